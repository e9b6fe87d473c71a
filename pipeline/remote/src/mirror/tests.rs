//! Tests against a store in memory that fails and truncates as often as a test says. That the same works with a server
//! of S3 is tested with the program (`pipeline/tests/stores.rs`).
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as Stored, memory::InMemory,
};

use super::*;

/// A store that notes what it was asked for.
#[derive(Clone, Debug, Default)]
struct Store {
    memory: Arc<InMemory>,
    /// `put NAME`, `get NAME`, `delete NAME` and `list`, as far as they worked.
    log: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicU64>,
    /// Each request with such a number fails; 0: none.
    fails: u64,
    /// Each put with such a number stores half of the bytes; 0: none.
    truncates: u64,
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a store for tests")
    }
}

impl Store {
    fn number(&self) -> Stored<u64> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fails > 0 && number.is_multiple_of(self.fails) {
            return Err(Error::Generic { store: "test", source: "it failed".into() });
        }
        Ok(number)
    }

    fn note(&self, what: &str, location: &ObjectPath) {
        self.log.lock().unwrap().push(format!("{what} {location}"));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// The mirror of a machine.
    fn mirror(&self, machine: &Path) -> Mirror {
        let remote = Remote {
            name: "s3://bucket/out".to_owned(),
            store: Box::new(self.clone()),
            prefix: "out".into(),
            pattern: None,
            lists: true,
            range: 64 << 10,
            most: None,
            pause: Duration::from_millis(1),
        };
        Mirror::of(remote, machine).unwrap()
    }

    /// All objects.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let all = async {
            let mut objects = BTreeMap::new();
            for meta in self.memory.list(None).try_collect::<Vec<_>>().await.unwrap() {
                let bytes = self.memory.get(&meta.location).await.unwrap().bytes().await.unwrap();
                objects.insert(meta.location.to_string(), bytes.to_vec());
            }
            objects
        };
        waited(all)
    }

    fn put_now(&self, name: &str, bytes: &[u8]) {
        waited(self.memory.put(&name.into(), bytes.to_vec().into())).unwrap();
    }
}

fn waited<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[async_trait::async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> Stored<PutResult> {
        let number = self.number()?;
        let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
        let is_cut = self.truncates > 0 && number.is_multiple_of(self.truncates) && options.mode == PutMode::Overwrite;
        let stored = if is_cut { bytes[..bytes.len() / 2].to_vec() } else { bytes };
        let put = self.memory.put_opts(location, stored.into(), options).await?;
        self.note("put", location);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        self.number()?;
        self.note("put", location);
        self.memory.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &ObjectPath, mut options: GetOptions) -> Stored<GetResult> {
        self.number()?;
        // Tags of this store have no quotes.
        options.if_match = options.if_match.map(|tag| tag.trim_matches('"').to_owned());
        if !options.head {
            self.note("get", location);
        }
        self.memory.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Stored<ObjectPath>>,
    ) -> BoxStream<'static, Stored<ObjectPath>> {
        let store = self.clone();
        let noted = locations.map(move |location| {
            let location = location?;
            store.number()?;
            store.note("delete", &location);
            Ok(location)
        });
        self.memory.delete_stream(noted.boxed())
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Stored<ObjectMeta>> {
        match self.number() {
            Ok(_) => self.memory.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Stored<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Stored<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

/// Bytes that do not repeat soon.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| xxh3_64(&(seed << 32 | at).to_le_bytes()) as u8).collect()
}

const TABLE: &str = "corpus/products-00000.parquet";
const RECORD: &str = ".made/corpus/products-00000.parquet.json";
const SEAL: &str = "corpus/manifest.json";
const GROUP: &str = "spill/raw-00000.frames";

fn write(mirror: &Mirror, name: &str, bytes: &[u8]) {
    let path = mirror.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As the pipeline does it: the new file replaces a stand-in.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let temporary = path.with_extension(format!("{:016x}.tmp", NEXT.fetch_add(1, Ordering::SeqCst)));
    fs::write(&temporary, bytes).unwrap();
    fs::rename(&temporary, path).unwrap();
}

fn manifest(files: &[&str], number: u32) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|name| serde_json::json!({"name": name})).collect();
    serde_json::json!({"files": files, "self_blake3": format!("hash {number}")}).to_string().into_bytes()
}

/// Writes a sealed corpus, a group and what is not to be stored.
fn write_all(mirror: &Mirror, seed: u64) {
    write(mirror, TABLE, &noise(seed, 300_000));
    write(mirror, RECORD, format!("record {seed}").as_bytes());
    write(mirror, GROUP, &noise(seed + 1, 5 << 20));
    write(mirror, "ebert.toml", b"seed = 0\n");
    write(mirror, SEAL, &manifest(&["products-00000.parquet"], seed as u32));
    for name in [".lock", ".made/corpus/.lock", "corpus/x.0123456789abcdef.tmp", "runs/sample/model.bin"] {
        write(mirror, name, b"not this");
    }
}

fn none(_: Fetched) {}

fn needed(name: &str) -> Needed {
    Needed { name: name.to_owned(), range: None }
}

/// Two machines, and a store.
struct Two {
    _folder: tempfile::TempDir,
    store: Store,
    one: Mirror,
    other: Mirror,
}

fn two(store: Store) -> Two {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = ["one", "other"].map(|name| store.mirror(&folder.path().join(name)));
    machines.iter_mut().for_each(|mirror| mirror.refresh(&mut none).unwrap());
    let [one, other] = machines;
    store.taken();
    Two { _folder: folder, store, one, other }
}

#[test]
fn what_one_machine_stores_another_fetches_in_that_order() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    let mut last = Fetched::default();
    one.publish(None, &mut |done| last = done).unwrap();
    assert!(last.bytes > 5 << 20 && last.bytes == last.all, "{last:?}");
    let puts: Vec<String> = store.taken().into_iter().filter(|line| line.starts_with("put")).collect();
    let wanted = [TABLE, GROUP, RECORD, "ebert.toml", SEAL].map(|name| format!("put out/{name}"));
    let place = |name: &str| puts.iter().position(|put| *put == format!("put out/{name}")).unwrap();
    assert_eq!(BTreeSet::from_iter(puts.clone()), BTreeSet::from(wanted));
    assert!(place(TABLE).max(place(GROUP)) < place(RECORD) && place(RECORD) < place(SEAL), "{puts:?}");
    // Nothing is stored twice.
    one.publish(None, &mut none).unwrap();
    assert_eq!(store.taken(), [""; 0]);

    other.refresh(&mut none).unwrap();
    for name in [RECORD, SEAL, "ebert.toml"] {
        assert_eq!(fs::read(other.path(name)).unwrap(), fs::read(one.path(name)).unwrap(), "{name}");
    }
    let about = fs::metadata(other.path(TABLE)).unwrap();
    assert!(has_holes(&about) && about.len() == 300_000);
    // Of a file in ranges, the end is there.
    let group = noise(1, 5 << 20);
    assert!(fs::read(other.path(GROUP)).unwrap()[(5 << 20) - END as usize..] == group[(5 << 20) - END as usize..]);
    store.taken();
    let ranges = [10..70_000, 200_000..200_001, 4_000_000..4_100_000];
    let ranges = ranges.map(|range| Needed { name: GROUP.to_owned(), range: Some(range) });
    other.fetch(&ranges, &mut none).unwrap();
    let found = fs::read(other.path(GROUP)).unwrap();
    for range in ranges.map(|needed| needed.range.unwrap()) {
        let range = range.start as usize..range.end as usize;
        assert!(found[range.clone()] == group[range.clone()], "{range:?}");
    }
    // Two ranges that are near are one, of 4 requests. The other one has 2.
    assert_eq!(store.taken().len(), 6);
    other.fetch(&[needed("corpus"), needed("nothing"), needed(GROUP)], &mut none).unwrap();
    assert!(fs::read(other.path(TABLE)).unwrap() == noise(0, 300_000));
    assert!(fs::read(other.path(GROUP)).unwrap() == group);
    store.taken();
    other.refresh(&mut none).unwrap();
    other.fetch(&[needed("corpus"), needed(GROUP)], &mut none).unwrap();
    other.publish(None, &mut none).unwrap();
    assert_eq!(store.taken(), [""; 0], "what is there is not fetched again");
}

#[test]
fn requests_that_fail_and_objects_that_are_cut_change_nothing() {
    let mut all = Vec::new();
    for (fails, truncates) in [(0, 0), (3, 0), (2, 0), (4, 5), (0, 3)] {
        let Two { _folder, store, mut one, mut other } = two(Store { fails, truncates, ..Store::default() });
        write_all(&one, 0);
        for number in 1..20 {
            write(&one, &format!("shards/reviews-{number:05}.parquet"), &noise(number, 1_000));
        }
        one.publish(None, &mut none).unwrap();
        other.refresh(&mut none).unwrap();
        other.fetch(&[needed("corpus"), needed("shards"), needed("spill")], &mut none).unwrap();
        let (here, there) = (files(one.folder()).unwrap(), files(other.folder()).unwrap());
        assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
        for name in here.keys() {
            assert!(fs::read(one.path(name)).unwrap() == fs::read(other.path(name)).unwrap(), "{name}");
        }
        all.push(store.objects());
    }
    assert!(all.iter().all(|objects| *objects == all[0]));
    // A store that never takes all is an error, and no record names its files.
    let Two { _folder, store, mut one, .. } = two(Store { truncates: 1, ..Store::default() });
    write_all(&one, 0);
    // Those are large, and have several parts, which are not cut.
    let small = "shards/reviews-00000.parquet";
    write(&one, small, &noise(0, 1_000));
    let error = one.publish(None, &mut none).unwrap_err();
    assert!(matches!(&error, RemoteError::Write { object, .. } if object == small), "{error}");
    assert!(store.objects().keys().all(|name| !name.contains(".made") && !name.contains("manifest")));
}

#[test]
fn a_manifest_replaces_only_the_one_that_was_seen() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    write_all(&other, 0);
    one.publish(None, &mut none).unwrap();
    // Two tasks have finished the same step.
    other.publish(None, &mut none).unwrap();
    // Both begin with it, and replace it by others.
    write(&one, SEAL, &manifest(&["products-00000.parquet"], 1));
    write(&other, SEAL, &manifest(&["products-00000.parquet"], 2));
    one.publish(None, &mut none).unwrap();
    let error = other.publish(None, &mut none).unwrap_err().to_string();
    let wanted =
        "`corpus/manifest.json` in `s3://bucket/out` is from another run\n  found    hash 1\n  expected hash 2\n";
    assert!(error.starts_with(wanted) && error.contains("--out"), "{error}");
    // The next run begins with what is there.
    other.refresh(&mut none).unwrap();
    assert_eq!(fs::read(other.path(SEAL)).unwrap(), manifest(&["products-00000.parquet"], 1));
    // Other data under the same name: the manifest goes first.
    store.taken();
    write_all(&other, 3);
    other.publish(None, &mut none).unwrap();
    let log: Vec<String> = store.taken().into_iter().filter(|line| !line.starts_with("get")).collect();
    assert_eq!(log.first().map(String::as_str), Some("delete out/corpus/manifest.json"), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("put out/corpus/manifest.json"), "{log:?}");
    // Two that create one.
    let Two { _folder, mut one, mut other, .. } = two(Store::default());
    write(&one, SEAL, b"1");
    write(&other, SEAL, b"2");
    one.publish(None, &mut none).unwrap();
    let error = other.publish(None, &mut none).unwrap_err();
    assert!(matches!(error, RemoteError::Conflict { .. }), "{error}");
}

#[test]
fn what_a_step_removes_goes_and_what_someone_else_removes_stays() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    write(&one, "corpus/products-00001.parquet", b"an old table");
    one.publish(None, &mut none).unwrap();
    other.refresh(&mut none).unwrap();
    for name in [GROUP, "corpus/products-00001.parquet", TABLE] {
        fs::remove_file(other.path(name)).unwrap();
    }
    other.publish(None, &mut none).unwrap();
    let objects = store.objects();
    // The manifest lists this one.
    assert!(objects.contains_key(&format!("out/{TABLE}")));
    assert!(
        !objects.contains_key(&format!("out/{GROUP}")) && !objects.contains_key("out/corpus/products-00001.parquet")
    );
    one.refresh(&mut none).unwrap();
    assert!(!one.path(GROUP).exists());
    // Someone empties the cache.
    fs::remove_dir_all(one.folder()).unwrap();
    one.refresh(&mut none).unwrap();
    one.publish(None, &mut none).unwrap();
    assert_eq!(store.objects(), objects);
    let state = one.beside("json");
    fs::remove_file(state).unwrap();
    one.refresh(&mut none).unwrap();
    one.publish(None, &mut none).unwrap();
    assert_eq!(store.objects(), objects);
}

#[test]
fn files_that_are_not_stored_yet_stay_and_changed_objects_are_fetched_again() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    one.publish(None, &mut none).unwrap();
    other.refresh(&mut none).unwrap();
    other.fetch(&[needed(TABLE)], &mut none).unwrap();
    // A run that is killed has written these.
    write(&other, "shards/products-00000.parquet", b"new");
    write(&other, RECORD, b"another");
    let mut again = store.mirror(other.folder().parent().unwrap());
    again.refresh(&mut none).unwrap();
    assert_eq!(fs::read(again.path("shards/products-00000.parquet")).unwrap(), b"new");
    assert_eq!(fs::read(again.path(RECORD)).unwrap(), b"another");
    // Another machine has replaced the table.
    store.put_now(&format!("out/{TABLE}"), &noise(9, 300_000));
    again.fetch(&[needed(TABLE)], &mut none).unwrap();
    assert!(fs::read(again.path(TABLE)).unwrap() == noise(0, 300_000), "as it was when this run began");
    again.refresh(&mut none).unwrap();
    assert!(has_holes(&fs::metadata(again.path(TABLE)).unwrap()));
    // It changes again, and is found out while it is fetched.
    store.put_now(&format!("out/{TABLE}"), &noise(10, 300_000));
    again.fetch(&[needed(TABLE)], &mut none).unwrap();
    assert!(fs::read(again.path(TABLE)).unwrap() == noise(10, 300_000));
}

#[test]
fn a_task_of_a_completed_folder_adds_nothing() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    fs::remove_file(one.path(GROUP)).unwrap();
    one.publish(Some("corpus"), &mut none).unwrap();
    store.taken();
    // It was slow, or ran twice.
    write(&other, GROUP, b"frames");
    other.publish(Some("corpus"), &mut none).unwrap();
    assert!(store.taken().iter().all(|line| line.starts_with("get")));
    assert!(other.path(SEAL).exists());
}

/// Four tasks on two machines. Whichever is last finds out that all tables are there.
#[test]
fn tasks_at_the_same_time_complete_the_folder() {
    for fails in [0, 7] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { fails, ..Store::default() };
        let table = |number: u64| format!("corpus/products-{number:05}.parquet");
        let work = |task: u64| {
            let mut mirror = store.mirror(&folder.path().join((task % 2).to_string()));
            mirror.refresh(&mut none).unwrap();
            for number in (0..12).filter(|number| number % 4 == task) {
                write(&mirror, &table(number), &noise(number, 100_000));
                write(&mirror, &format!(".made/{}.json", table(number)), b"a record");
            }
            mirror.publish(Some("corpus"), &mut none).unwrap();
            let is_complete = (0..12).all(|number| mirror.path(&format!(".made/{}.json", table(number))).exists());
            if is_complete {
                write(&mirror, SEAL, &manifest(&[], 0));
                mirror.publish(None, &mut none).unwrap();
            }
            is_complete
        };
        let sealed = std::thread::scope(|scope| {
            let work = &work;
            let tasks = [0, 1, 2, 3].map(|task| scope.spawn(move || work(task)));
            tasks.map(|task| task.join().unwrap()).into_iter().filter(|sealed| *sealed).count()
        });
        assert!(sealed >= 1);
        let objects = store.objects();
        assert_eq!(objects.len(), 25);
        assert_eq!(objects[&format!("out/{SEAL}")], manifest(&[], 0));
        assert!((0..12).all(|number| objects[&format!("out/{}", table(number))] == noise(number, 100_000)));
    }
}

#[test]
fn web_servers_and_patterns_are_not_places_for_output() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["https://host/folder", "s3://bucket/*/out"] {
        let error = Mirror::open(address, folder.path()).err().unwrap();
        assert!(matches!(error, RemoteError::NotWritable { .. }), "{error}");
    }
}

/// Other processes of the machine may open a file in ranges as soon as it has its name.
#[test]
fn a_file_that_is_read_in_ranges_appears_with_its_end() {
    let Two { _folder, store, mut one, mut other } = two(Store::default());
    write_all(&one, 0);
    one.publish(None, &mut none).unwrap();
    let path = other.path(GROUP);
    let watched = {
        let path = path.clone();
        std::thread::spawn(move || {
            loop {
                if let Ok(about) = fs::metadata(&path) {
                    break (about.permissions().mode(), fs::read(&path).unwrap());
                }
            }
        })
    };
    other.refresh(&mut none).unwrap();
    let (mode, bytes) = watched.join().unwrap();
    let wanted = &store.objects()[&format!("out/{GROUP}")];
    let end = wanted.len() - END as usize;
    assert!(mode & (HOLES | 0o600) == HOLES | 0o600 && bytes.len() == wanted.len() && bytes[end..] == wanted[end..]);
}

#[test]
fn a_file_that_was_just_written_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [fetched, written] = ["fetched", "written"].map(|name| folder.path().join(name));
    for is_taken in [false, true] {
        fs::write(&fetched, "of the store").unwrap();
        if is_taken {
            fs::write(&written, "of a worker").unwrap();
        }
        assert_eq!(name_unless_taken(&fetched, &written).unwrap(), !is_taken);
        let wanted = if is_taken { "of a worker" } else { "of the store" };
        assert!(fs::read_to_string(&written).unwrap() == wanted && !fetched.exists());
    }
}
