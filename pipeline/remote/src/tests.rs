//! Tests against the S3 server of `moto` (a package of Python) on this machine, behind a proxy that injects faults.
//!
//! They are skipped, with a printed reason, where Python has no `moto`. `EBERT_PYTHON` names another Python.
#[path = "../../tests/support/moto.rs"]
mod moto;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use moto::Moto;

use super::*;

#[test]
fn addresses_that_cannot_be_fetched_are_refused() {
    for (source, wanted) in [
        ("https://host/a.json?signature=x", "curl -LO"),
        ("ftp://host/a", "cannot read"),
        ("s3:// /", "is not an address"),
    ] {
        let error = Remote::of(source, std::iter::empty()).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(wanted)), "{source}: {error:?}");
    }
}

#[test]
fn a_version_has_no_quotes() {
    let object = |tag: &str| ObjectMeta {
        location: ObjectPath::from("x"),
        last_modified: Default::default(),
        size: 3,
        e_tag: Some(tag.to_owned()),
        version: None,
    };
    assert_eq!(version_of(&object("\"0x8D\"")), version_of(&object("0x8D")));
    assert_ne!(version_of(&object("\"0x8E\"")), version_of(&object("0x8D")));
    assert_eq!(if_match(&object("0x8D")).as_deref(), Some("\"0x8D\""));
    // A server answers 412 to a weak tag, whatever the object is.
    assert_eq!(if_match(&object("W/\"0x8D\"")), None);
}

/// What the proxy does to a request of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// An answer with status 500.
    Status500,
    /// The connection ends in the middle of the answer.
    Cut,
    /// The answer takes a while.
    Slow,
}

/// A server with a bucket, behind a proxy.
struct Server {
    moto: Moto,
    proxy: u16,
    /// How many ranges of objects were asked for.
    ranges: Arc<AtomicU32>,
}

/// Chooses the fault of a request from its number.
type Faults = Arc<dyn Fn(u32) -> Fault + Send + Sync>;

impl Server {
    /// `None` if Python has no `moto`.
    fn start(faults: Faults) -> Option<Self> {
        let moto = Moto::start()?;
        let ranges = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, proxy) = (moto.port, listener.local_addr().unwrap().port());
        let server = Self { moto, proxy, ranges: ranges.clone() };
        thread::spawn(move || {
            for client in listener.incoming() {
                let (faults, ranges) = (faults.clone(), ranges.clone());
                thread::spawn(move || {
                    let _ = pass(client.unwrap(), port, &faults, &ranges);
                });
            }
        });
        put(port, "/bucket", b"");
        Some(server)
    }

    fn remote(&self, source: &str) -> Remote {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.proxy)),
            // Google's store answers as S3 does.
            ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{}", self.proxy)),
            ("GOOGLE_SKIP_SIGNATURE", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        Remote { range: 64 << 10, ..Remote::of(source, variables).unwrap() }
    }
}

/// Puts a bucket or an object.
fn put(port: u16, path: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // The server reads who asks, and does not check the signature.
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\nConnection: close\r\n\
         x-amz-acl: public-read\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
         Signature=none\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
}

/// Passes one request on, and its answer back.
fn pass(mut client: TcpStream, port: u16, faults: &Faults, ranges: &AtomicU32) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let is_range = head.starts_with("GET") && head.to_ascii_lowercase().contains("\r\nrange: ");
    let fault = if is_range { faults(ranges.fetch_add(1, Ordering::SeqCst)) } else { Fault::None };
    if fault == Fault::Status500 {
        return client.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if fault == Fault::Slow {
        thread::sleep(Duration::from_millis(300));
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let sent = if fault == Fault::Cut { answer.len() / 2 } else { answer.len() };
    client.write_all(&answer[..sent])?;
    client.shutdown(Shutdown::Both)
}

/// Names and bytes of the files below a folder that are not hidden.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Bytes that do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| xxh3_64(&at.to_le_bytes()) as u8).collect()
}

#[test]
fn the_bytes_are_those_of_the_store_whatever_fails() {
    let every = |number: u32| match number % 4 {
        0 => Fault::Status500,
        1 => Fault::Cut,
        2 => Fault::Slow,
        _ => Fault::None,
    };
    let Some(server) = Server::start(Arc::new(every)) else { return };
    let objects = [
        ("dumps/2014/meta.json.gz", noise(300_000)),
        ("dumps/empty.json", Vec::new()),
        ("dumps/reviews.json", noise(64 << 10)),
        ("other/x.json", noise(10)),
    ];
    for (name, bytes) in &objects {
        put(server.moto.port, &format!("/bucket/{name}"), bytes);
    }
    put(server.moto.port, "/bucket/dumps/2014/", b"");
    put(server.moto.port, "/bucket/dumps/2014", b"");
    let cache = tempfile::tempdir().unwrap();
    let below = |prefix: &str, names: &[usize]| -> Vec<(String, Vec<u8>)> {
        names.iter().map(|at| (objects[*at].0[prefix.len()..].to_owned(), objects[*at].1.clone())).collect()
    };
    let remote = server.remote("s3://bucket/dumps");
    let mut last = Fetched::default();
    let folder = remote.fetch_to(cache.path(), &mut |fetched| last = fetched).unwrap();
    assert_eq!(files(&folder), below("dumps/", &[0, 1, 2]));
    assert_eq!((last.bytes, last.all), (365_536, 365_536));
    // What is there is not asked for again.
    let asked = server.ranges.load(Ordering::SeqCst);
    remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(server.ranges.load(Ordering::SeqCst), asked);
    for (pattern, wanted) in [
        ("s3://bucket/dumps/*.json", below("dumps/", &[1, 2])),
        ("s3://bucket/*/*.json", below("", &[1, 2, 3])),
        ("s3://bucket/other/x.json", vec![("x.json".to_owned(), objects[3].1.clone())]),
        ("gs://bucket/dumps/*.json", below("dumps/", &[1, 2])),
    ] {
        let folder = server.remote(pattern).fetch_to(cache.path(), &mut |_| ()).unwrap();
        assert_eq!(files(&folder), wanted, "{pattern}");
    }
    // Another version replaces the one in the cache, and an object that is gone its file.
    put(server.moto.port, "/bucket/dumps/reviews.json", b"new");
    let folder = remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(files(&folder)[2].1, b"new");
    let error = server.remote("s3://bucket/none/*.json").fetch_to(cache.path(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, RemoteError::Nothing { .. }), "{error}");
    let error = server.remote("s3://no-bucket/x").fetch_to(cache.path(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, RemoteError::Nothing { .. } | RemoteError::Store { .. }), "{error}");
}

#[test]
fn an_object_that_changes_is_an_error_and_a_stopped_run_resumes() {
    let changed: Arc<Mutex<Option<u16>>> = Arc::default();
    let to_change = changed.clone();
    let change = move |number: u32| {
        // Before the third range, another version is put.
        if number == 2
            && let Some(port) = to_change.lock().unwrap().take()
        {
            put(port, "/bucket/a.json", &noise(200_001));
        }
        Fault::None
    };
    let Some(server) = Server::start(Arc::new(change)) else { return };
    put(server.moto.port, "/bucket/a.json", &noise(200_000));
    *changed.lock().unwrap() = Some(server.moto.port);
    let cache = tempfile::tempdir().unwrap();
    let remote = server.remote("s3://bucket/a.json");
    let error = remote.fetch_to(cache.path(), &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with("`a.json` in `s3://bucket/a.json` changed while it was read"), "{error}");
    let folder = remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(files(&folder), [("a.json".to_owned(), noise(200_001))]);
    // A run that was stopped after two ranges asks for the other two only.
    let (file, partial) = (folder.join("a.json"), folder.join(".a.json.partial"));
    fs::rename(&file, &partial).unwrap();
    fs::OpenOptions::new().write(true).open(&partial).unwrap().set_len(128 << 10).unwrap();
    let before = server.ranges.load(Ordering::SeqCst);
    remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(server.ranges.load(Ordering::SeqCst), before + 2);
    assert_eq!(files(&folder), [("a.json".to_owned(), noise(200_001))]);
}

/// The second run begins at any moment of the first, also while its last range is on the way.
#[test]
fn two_runs_that_fetch_the_same_object_do_not_disturb_each_other() {
    let Some(server) = Server::start(Arc::new(|_| Fault::Slow)) else { return };
    put(server.moto.port, "/bucket/a.json", &noise(200_000));
    for wait in [0, 400, 1_100] {
        let cache = tempfile::tempdir().unwrap();
        let fetch = |wait: u64| {
            thread::sleep(Duration::from_millis(wait));
            let folder = server.remote("s3://bucket/a.json").fetch_to(cache.path(), &mut |_| ()).unwrap();
            assert_eq!(files(&folder), [("a.json".to_owned(), noise(200_000))]);
        };
        let before = server.ranges.load(Ordering::SeqCst);
        thread::scope(|scope| [0, wait].map(|wait| scope.spawn(move || fetch(wait))).map(|run| run.join().unwrap()));
        // Four ranges, fetched once.
        assert_eq!(server.ranges.load(Ordering::SeqCst), before + 4, "{wait}");
    }
}

#[test]
fn the_start_of_an_object_is_enough_to_look_at_it() {
    let Some(server) = Server::start(Arc::new(|_| Fault::None)) else { return };
    let parquet = [b"PAR1", &noise(200_000)[..]].concat();
    put(server.moto.port, "/bucket/a.json", &noise(200_000));
    put(server.moto.port, "/bucket/b.parquet", &parquet);
    put(server.moto.port, "/bucket/c.json", &noise(10));
    let cache = tempfile::tempdir().unwrap();
    let remote = Remote { most: Some(100_000), ..server.remote("s3://bucket") };
    let folder = remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    let wanted = [("a.json", noise(100_000)), ("b.parquet", parquet), ("c.json", noise(10))];
    assert_eq!(files(&folder), wanted.map(|(name, bytes)| (name.to_owned(), bytes)));
}

#[test]
fn a_file_of_a_web_server_with_ranges_is_fetched_in_ranges() {
    let every_second = |number: u32| if number.is_multiple_of(2) { Fault::Cut } else { Fault::None };
    let Some(server) = Server::start(Arc::new(every_second)) else { return };
    let bytes = noise(300_000);
    put(server.moto.port, "/bucket/meta.json", &bytes);
    let cache = tempfile::tempdir().unwrap();
    let remote = server.remote(&format!("http://127.0.0.1:{}/bucket/meta.json", server.proxy));
    let folder = remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(files(&folder), [("meta.json".to_owned(), bytes)]);
    // Five ranges, each of which is cut at most once.
    let asked = server.ranges.load(Ordering::SeqCst);
    assert!((5..=10).contains(&asked), "{asked}");
}

/// A web server that knows no ranges, and whose first answers are cut short.
#[test]
fn a_file_of_a_web_server_without_ranges_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = noise(300_000);
    let sent = bytes.clone();
    thread::spawn(move || {
        let mut answers = 0;
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let length = sent.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\
                 Connection: close\r\n\r\n"
            );
            client.write_all(answer.as_bytes()).unwrap();
            if head.starts_with(b"GET") {
                answers += 1;
                let _ = client.write_all(&sent[..if answers < 3 { length / 2 } else { length }]);
            }
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let remote = Remote::of(&format!("http://{address}/dumps/meta.json"), std::iter::empty()).unwrap();
    let folder = remote.fetch_to(cache.path(), &mut |_| ()).unwrap();
    assert_eq!(files(&folder), [("meta.json".to_owned(), bytes)]);
}
