//! `OUT` in an object store: the objects are the files of a run in a folder, for one process and for tasks.
//!
//! The store is the S3 server of `moto` (a package of Python) on this machine. Without it, and in a build without the
//! feature `remote`, these tests are skipped. `EBERT_PYTHON` names another Python.
#![cfg(feature = "remote")]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use schemas::Draws;
use serde_json::Value;
use support::{
    TOKENIZER, contents, ebert,
    moto::{self, Moto},
    raw::raw_files_of_every_form,
    said, succeed, tries,
};

/// A server with a bucket, and machines that use it.
struct Stores {
    _moto: Moto,
    endpoint: String,
    folder: tempfile::TempDir,
}

/// Prints each object with its size and hash, or puts, removes or creates what is named.
const OBJECTS: &str = r#"
import hashlib, http.client, os, sys, urllib.parse, re
host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
sign = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=none"}
def ask(method, path, body=None):
    connection = http.client.HTTPConnection(host)
    connection.request(method, path, body, sign)
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status < 300, (method, path, answer.status, data)
    return data
what, *rest = sys.argv[1:]
if what == "list":
    prefix, token = rest[0], ""
    while True:
        query = "/bucket?list-type=2&prefix=" + urllib.parse.quote(prefix) + token
        text = ask("GET", query).decode()
        for key in re.findall("<Key>(.*?)</Key>", text):
            print(hashlib.sha256(ask("GET", "/bucket/" + key)).hexdigest(), key.removeprefix(prefix))
        more = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", text)
        if not more:
            break
        token = "&continuation-token=" + urllib.parse.quote(more[1])
elif what == "bucket":
    ask("PUT", "/bucket")
else:
    ask(what.upper(), "/bucket/" + rest[0], b"changed" if what == "put" else None)
"#;

impl Stores {
    /// Starts the server. `None`, with the reason printed, without `moto`.
    fn start() -> Option<Self> {
        let moto = Moto::start()?;
        let (endpoint, folder) = (format!("http://127.0.0.1:{}", moto.port), tempfile::tempdir().unwrap());
        let stores = Self { _moto: moto, endpoint, folder };
        stores.objects(&["bucket"]);
        Some(stores)
    }

    fn objects(&self, arguments: &[&str]) -> String {
        let mut python = Command::new(moto::python());
        succeed(python.args(["-c", OBJECTS]).args(arguments).env("AWS_ENDPOINT_URL", &self.endpoint))
    }

    /// The hashes of all objects below a prefix, except that of the options.
    fn hashes(&self, prefix: &str) -> BTreeMap<String, String> {
        let lines = self.objects(&["list", &format!("{prefix}/")]);
        let named = lines.lines().map(|line| line.split_once(' ').unwrap());
        let others = named.filter(|(_, name)| *name != ebert_commands::OPTIONS_FILE);
        others.map(|(hash, name)| (name.to_owned(), hash.to_owned())).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The only mirror of a machine.
    fn mirror(&self, machine: &str) -> PathBuf {
        let out = self.path(machine).join("ebert/out");
        let mut mirrors = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
        mirrors.find(|path| path.extension().is_none()).unwrap()
    }

    /// A command on a machine, which has a cache of its own.
    fn on(&self, machine: &str, mut command: Command) -> Command {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ];
        command.envs(variables).env("XDG_CACHE_HOME", self.path(machine));
        command
    }

    /// `ebert NAME` with the options of this test.
    fn command(&self, machine: &str, name: &[&str], out: &str) -> Command {
        let mut command = ebert(name.iter().copied());
        command.args(["--bucket-mib", "1", "--nouns", "off", "--max-unreadable", "1", "--allow-damaged", "--corpus"]);
        command.arg(self.path("raw")).args(TOKENIZER).args(["--out", out]);
        self.on(machine, command)
    }

    /// The output of a command with the paths of this test hidden.
    fn said(&self, mut command: Command) -> String {
        said(&command.output().unwrap(), &[(self.folder.path(), "DIR")])
    }
}

/// The hashes of the files of a folder, as [`Stores::hashes`] gives them. What a folder has and a store has not: locks.
fn hashes_of(folder: &Path) -> BTreeMap<String, String> {
    let files = contents(folder).into_keys().filter(|name| !name.ends_with(".lock"));
    let names: Vec<String> = files.collect();
    let script = "import hashlib, sys\nfor name in sys.argv[2:]:\n    print(hashlib.sha256(open(sys.argv[1] + '/' + name, 'rb').read()).hexdigest(), name)";
    let lines = succeed(Command::new(moto::python()).args(["-c", script]).arg(folder).args(&names));
    let named = lines.lines().map(|line| line.split_once(' ').unwrap());
    named.map(|(hash, name)| (name.to_owned(), hash.to_owned())).collect()
}

/// Asserts that the objects below a prefix are the files of a folder.
fn assert_same(stores: &Stores, folder: &str, prefix: &str, what: &str) {
    let (files, objects) = (hashes_of(&stores.path(folder)), stores.hashes(prefix));
    assert_eq!(files.keys().collect::<Vec<_>>(), objects.keys().collect::<Vec<_>>(), "{what}");
    for (name, hash) in &files {
        assert_eq!(*hash, objects[name], "{what}: `{name}` differs");
    }
}

#[test]
fn one_process_stores_the_files_of_a_run_in_a_folder() {
    let Some(stores) = Stores::start() else { return };
    raw_files_of_every_form(&stores.path("raw"));
    let folder = stores.path("folder").display().to_string();
    succeed(&mut stores.command("a", &["shards"], &folder));
    let said = succeed(&mut stores.command("a", &["shards"], "s3://bucket/one"));
    assert!(said.contains("  s3://bucket/one/shards  ") && !said.contains("/ebert/out/"), "{said}");
    let next = "next      ebert inspect s3://bucket/one    ebert pretrain --shards s3://bucket/one";
    assert!(said.contains(next), "{said}");
    assert_same(&stores, "folder", "one", "one process");
    // A machine with an empty cache finds all done, and fetches records only.
    let said = succeed(&mut stores.command("b", &["shards"], "s3://bucket/one/"));
    assert_eq!(said.matches("up to date").count(), 5, "{said}");
    // Other options: what they affect is stored again, and tables that are no more go.
    let options = ["--max-tokens", "120", "--no-interactions"];
    succeed(stores.command("a", &["shards"], &folder).args(options));
    succeed(stores.command("b", &["shards"], "s3://bucket/one").args(options));
    assert_same(&stores, "folder", "one", "other options on another machine");

    let inspected = |machine: &str, out: &str| {
        let text = succeed(&mut stores.on(machine, ebert(["inspect", out])));
        text.replace(out, "OUT")
    };
    assert_eq!(inspected("c", "s3://bucket/one"), inspected("a", &folder));
    for command in [["verify", "s3://bucket/one"], ["inspect", "s3://bucket/one/shards"]] {
        succeed(&mut stores.on("d", ebert(command)));
    }
    let titles = stores.path("titles.jsonl");
    succeed(stores.on("e", ebert(["titles", "s3://bucket/one", "--out"])).arg(&titles));
    assert!(fs::read_to_string(titles).unwrap().lines().count() > 1);
    // Single steps, each on a machine of its own. The pool continues the work of a task.
    for step in ["corpus", "words", "pool", "graph", "encode", "pairs", "seal"] {
        if step == "words" {
            succeed(stores.command("words", &["plan"], "s3://bucket/steps").args(options));
            let line = ["worker", "words", "--config", "s3://bucket/steps/ebert.toml"];
            succeed(&mut stores.on("words", ebert(line)));
            // More than the end that every machine fetches.
            let mirror = stores.mirror("words").join("pool/parts");
            let sizes = fs::read_dir(mirror).unwrap().map(|part| part.unwrap().metadata().unwrap().len());
            assert!(sizes.max().unwrap() > 100_000);
            continue;
        }
        let mut options = ["--bucket-mib", "1", "--nouns", "off", "--max-unreadable", "1", "--max-tokens", "120"]
            .map(str::to_owned)
            .to_vec();
        options.extend(["--corpus".to_owned(), stores.path("raw").display().to_string()]);
        options.extend(TOKENIZER.map(str::to_owned));
        options.extend(["--out", "s3://bucket/steps"].map(str::to_owned));
        let mut command = support::step(step, &options);
        if step == "corpus" {
            command.args(["--allow-damaged", "--no-interactions"]);
        }
        let said = succeed(&mut stores.on(step, command));
        let wanted = if step == "seal" { "pretrain --shards s3://bucket/steps" } else { "--out s3://bucket/steps" };
        assert!(said.contains(wanted), "{said}");
    }
    assert_same(&stores, "folder", "steps", "single steps");
}

const STEPS: [&str; 10] =
    ["read", "documents", "interactions", "words", "pool", "edges", "graph", "encode", "rows", "pairs"];

/// Runs tasks of a step at the same time, some of which are killed or started twice, on several machines.
fn tasks(stores: &Stores, step: &str, of: u64, draws: &mut Draws, kills: u64) {
    thread::scope(|scope| {
        for i in 0..of {
            // Every other task starts twice: on another machine, and on one that runs another task.
            for copy in 0..1 + u64::from(i % 2 == 0) {
                let machine = format!("{step}{}", (i + copy) % 2);
                let moments: Vec<f64> = (0..kills).map(|_| 0.05 + 1.5 * draws.unit()).collect();
                scope.spawn(move || {
                    let task = format!("{i}/{of}");
                    let start = || {
                        let line = ["worker", step, &task, "--config", "s3://bucket/tasks/ebert.toml", "-j", "2"];
                        stores.on(&machine, ebert(line))
                    };
                    for moment in moments {
                        let mut child = start().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                        thread::sleep(Duration::from_secs_f64(moment));
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                    succeed(&mut start());
                });
            }
        }
    });
}

#[test]
fn tasks_that_are_killed_and_run_twice_store_the_files_of_one_run() {
    let Some(stores) = Stores::start() else { return };
    raw_files_of_every_form(&stores.path("raw"));
    let folder = stores.path("folder").display().to_string();
    succeed(&mut stores.command("a", &["shards"], &folder));
    let plan = |machine: &str| {
        let mut command = stores.command(machine, &["plan", "--log", "json", "--tasks", "3"], "s3://bucket/tasks");
        let said = succeed(&mut command);
        let objects = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.filter(|object| object["event"] == "task").collect::<Vec<_>>()
    };
    let planned = plan("plan");
    let command = planned[0]["command"].as_str().unwrap();
    assert!(command.ends_with("--config s3://bucket/tasks/ebert.toml"), "{command}");
    assert!(planned[0]["outputs"][0].as_str().unwrap().starts_with("s3://bucket/tasks/spill/"), "{:?}", planned[0]);
    let mut draws = Draws::new(3, "kills", b"stores");
    for step in STEPS {
        let of = if planned.iter().filter(|task| task["step"] == step).count() == 1 { 1 } else { 3 };
        tasks(&stores, step, of, &mut draws, tries(8).div_ceil(8));
        let done = plan(&format!("plan {step}"));
        assert!(done.iter().filter(|task| task["step"] == step).all(|task| task["done"] == true), "{step}: {done:?}");
    }
    assert_same(&stores, "folder", "tasks", "tasks");
    // A task reads what it needs: the machine of `encode` has not fetched the tables of interactions.
    let mirror = stores.mirror("encode1");
    let name = "corpus/interactions-00000.parquet";
    let size = fs::metadata(mirror.join(name)).unwrap().len();
    assert_eq!(size, fs::metadata(stores.path("folder").join(name)).unwrap().len());
    assert!(!fs::read(mirror.join(name)).is_ok_and(|bytes| bytes.starts_with(b"PAR1")));
}

/// The trainer is a script that shows where it finds the shards.
#[test]
fn shards_are_fetched_before_the_trainer_starts() {
    let Some(stores) = Stores::start() else { return };
    raw_files_of_every_form(&stores.path("raw"));
    succeed(&mut stores.command("a", &["shards"], "s3://bucket/one"));
    let program = stores.path("ebert");
    fs::copy(env!("CARGO_BIN_EXE_ebert"), &program).unwrap();
    let trainer = stores.path("ebert-trainer");
    fs::write(&trainer, "#!/bin/sh\necho \"$@\" && echo \"$EBERT_FETCHED\"\n").unwrap();
    fs::set_permissions(&trainer, fs::Permissions::from_mode(0o755)).unwrap();
    for shards in ["s3://bucket/one", "s3://bucket/one/shards/"] {
        // All ranks of a machine fetch at the same time.
        let start = || {
            let mut command = stores.on("b", Command::new(&program));
            succeed(command.args(["pretrain", "--shards", shards, "--dry-run"]))
        };
        let said = thread::scope(|scope| [(); 3].map(|()| scope.spawn(start)).map(|rank| rank.join().unwrap()));
        assert!(said.iter().all(|other| *other == said[0]));
        let (arguments, folder) = said[0].trim_end().split_once('\n').unwrap();
        assert_eq!(arguments, format!("pretrain --shards {shards} --dry-run"));
        let hashes = stores.hashes("one/shards");
        assert!(!hashes.is_empty());
        for name in hashes.keys() {
            let file = Path::new(folder).join("shards").join(name);
            assert!(fs::metadata(file).unwrap().permissions().mode() & 0o100 == 0, "{name} is fetched");
        }
    }
}

#[test]
fn mistakes_are_named() {
    let Some(stores) = Stores::start() else { return };
    raw_files_of_every_form(&stores.path("raw"));
    let said = stores.said(stores.command("a", &["shards"], "https://host/out"));
    assert!(said.starts_with("exit 2") && said.contains("`https://host/out` is not a place for output"), "{said}");
    let said = stores.said(stores.command("a", &["shards"], "s3://no-such-bucket/out"));
    assert!(said.starts_with("exit 1") && said.contains("s3://no-such-bucket/out"), "{said}");
    let said = stores.said(stores.on("a", ebert(["report", "phrases", "s3://bucket/out"])));
    assert!(said.starts_with("exit 2") && said.contains("aws s3 cp --recursive s3://bucket/out DIR"), "{said}");
    let said = stores.said(stores.on("a", ebert(["inspect", "s3://bucket/nothing"])));
    assert!(said.starts_with("exit 1") && said.contains("s3://bucket/nothing/shards"), "{said}");
    assert!(!said.contains("ebert/out"), "{said}");
    let said = stores.said(stores.command("a", &["worker", "encode", "0/3"], "s3://bucket/early"));
    assert!(said.starts_with("exit 1") && said.contains("the step `read` is not finished"), "{said}");
    let config = "s3://bucket/nothing/ebert.toml";
    let said = stores.said(stores.on("a", ebert(["worker", "read", "--config", config])));
    assert!(said.starts_with("exit 2") && said.contains(config), "{said}");
    // An object that changed after it was stored is refused by name.
    succeed(&mut stores.command("a", &["shards"], "s3://bucket/one"));
    stores.objects(&["put", "one/shards/reviews-00000.parquet"]);
    let said = stores.said(stores.on("a", ebert(["verify", "s3://bucket/one"])));
    assert!(said.starts_with("exit 1") && said.contains("reviews-00000.parquet"), "{said}");
}
