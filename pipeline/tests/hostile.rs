//! Input that is made to hurt: bounded memory, everything counted, nothing written outside OUT.
mod support;

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use schemas::{CorpusProductRows, Manifest, manifest::CorpusBody, open_corpus_products};
use support::{contents, ebert, gzip, succeed};

const KETTLE: &str = r#"{"asin": "B01", "title": "Stainless steel kettle", "also_buy": ["B02"], "also_view": []}"#;
const TEA: &str = r#"{"asin": "B02", "title": "Green tea", "description": [], "also_buy": []}"#;

/// Raw files in a folder of their own, with a pool next to them.
struct Hostile {
    folder: tempfile::TempDir,
}

impl Hostile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("raw")).unwrap();
        fs::write(folder.path().join("pool.txt"), "0.9\tstainless steel\n0.95\tkettle\n").unwrap();
        Self { folder }
    }

    fn raw(&self, name: &str) -> fs::File {
        fs::File::create(self.folder.path().join("raw").join(name)).unwrap()
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs all steps; peak memory in MiB, and the output.
    #[allow(clippy::zombie_processes, reason = "wait4 waits for it, and returns how much memory it took")]
    fn run(&self, more: &[&str]) -> (ExitStatus, u64, String) {
        let log = self.folder.path().join("log");
        let file = fs::File::create(&log).unwrap();
        let mut command = ebert(["shards", "--threads", "2", "--max-unreadable", "1"]);
        command.args(support::TOKENIZER);
        command.arg("--corpus").arg(self.folder.path().join("raw")).arg("--pool");
        command.arg(self.folder.path().join("pool.txt")).arg("--out").arg(self.out()).args(more);
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null()).spawn().unwrap();
        let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
        // SAFETY: both are owned here and large enough; a struct of numbers may be zeroed.
        let usage = unsafe {
            assert_eq!(libc::wait4(child.id() as i32, &raw mut status, 0, usage.as_mut_ptr()), child.id() as i32);
            usage.assume_init()
        };
        (ExitStatus::from_raw(status), usage.ru_maxrss as u64 >> 10, fs::read_to_string(&log).unwrap())
    }

    /// Runs to the end in less memory than `most` MiB, and gives the corpus manifest.
    fn survive(&self, most: u64) -> CorpusBody {
        let (status, peak, said) = self.run(&[]);
        assert!(status.success(), "{said}");
        println!("peak {peak} MiB");
        assert!(peak < most, "{peak} MiB, expected less than {most}");
        let counts = Manifest::<CorpusBody>::read(&self.out().join("corpus")).unwrap().body;
        let of = &counts.counts;
        assert_eq!(of.records, of.products + of.reviews + of.rejected.values().sum::<u64>(), "{of:?}");
        counts
    }
}

/// Writes so many MiB of the zero byte.
fn zeros(mut into: impl Write, mebibytes: usize) {
    let piece = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        into.write_all(&piece).unwrap();
    }
}

#[test]
fn a_line_of_two_gigabytes() {
    let hostile = Hostile::new();
    let mut file = hostile.raw("meta.json");
    writeln!(file, "{KETTLE}").unwrap();
    // A hole in the file reads as zero bytes.
    let length = file.metadata().unwrap().len();
    file.set_len(length + (2 << 30)).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(hostile.folder.path().join("raw/meta.json")).unwrap();
    write!(file, "\n{TEA}\n").unwrap();
    let corpus = hostile.survive(400);
    assert_eq!((corpus.counts.products, corpus.counts.rejected["line_too_long"]), (2, 1));
}

#[test]
fn gzip_bombs() {
    let hostile = Hostile::new();
    // One line of 2 GiB in two megabytes, a member of blank lines, and a million equal records.
    let mut line = Vec::new();
    zeros(&mut line, 64);
    let (line, blank) = (gzip(&line), gzip(&vec![b'\n'; 64 << 20]));
    let mut bomb = hostile.raw("bomb.json.gz");
    bomb.write_all(&gzip(format!("{KETTLE}\n").as_bytes())).unwrap();
    (0..32).for_each(|_| bomb.write_all(&line).unwrap());
    (0..16).for_each(|_| bomb.write_all(&blank).unwrap());
    let record = format!(r#"{{"asin": "B02", "title": "Green tea", "description": "{}"}}"#, " ".repeat(500_000));
    let same = gzip(format!("{record}\n").repeat(200).as_bytes());
    (0..10).for_each(|_| bomb.write_all(&same).unwrap());
    drop(bomb);
    let corpus = hostile.survive(500);
    assert_eq!((corpus.counts.products, corpus.counts.rejected["line_too_long"]), (2, 1));
    assert_eq!(corpus.counts.rejected["duplicate"], 1999);
}

#[test]
fn deeply_nested_json() {
    let hostile = Hostile::new();
    let mut file = hostile.raw("meta.json");
    writeln!(file, "{KETTLE}\n{TEA}").unwrap();
    let depth = 1_000_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("(", ")"), ("{'a':", "}")] {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        for field in ["title", "categories", "related", "details", "other"] {
            writeln!(file, "{{\"asin\": \"B03\", \"{field}\": {open}1{close}}}").unwrap();
        }
        writeln!(file, "{open}").unwrap();
    }
    let corpus = hostile.survive(400);
    // Fields that nobody reads may hold anything; then the record has no text.
    let rejected = &corpus.counts.rejected;
    assert_eq!((corpus.counts.products, rejected["malformed"] + rejected["empty"]), (2, 24), "{rejected:?}");
    assert!(rejected["malformed"] >= 12, "{rejected:?}");
}

#[test]
fn a_million_associations_of_one_product() {
    let hostile = Hostile::new();
    let mut file = hostile.raw("meta.json");
    let others: Vec<String> = (0..1_000_000).map(|i| format!("\"{i}\"")).collect();
    writeln!(file, r#"{{"asin": "HUB", "title": "Kettle", "also_buy": [{}], "also_view": []}}"#, others.join(","))
        .unwrap();
    for i in 0..100_000 {
        writeln!(file, r#"{{"asin": "{i}", "title": "Cup number {i}", "also_buy": ["HUB", "HUB", "{i}"]}}"#).unwrap();
    }
    drop(file);
    let corpus = hostile.survive(700);
    assert_eq!((corpus.counts.products, corpus.counts.associations), (100_001, 1_300_000));
    let graph: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(hostile.out().join("graph/manifest.json")).unwrap()).unwrap();
    assert_eq!(graph["edges"]["complement"], 100_000);
    let shards = fs::read_to_string(hostile.out().join("shards/manifest.json")).unwrap();
    let shards: serde_json::Value = serde_json::from_str(&shards).unwrap();
    // Each of the others is associated only with the hub. Half of the pairs have the hub as anchor, and it has no
    // negative: all are its neighbors. They do not use up its 64 places.
    let dropped = shards["counts"]["pairs_dropped"].as_object().unwrap().values();
    let dropped: u64 = dropped.map(|n| n.as_u64().unwrap()).sum();
    assert_eq!((shards["counts"]["pairs"].as_u64(), dropped), (Some(64), 100_000 - 64));
}

#[test]
fn ids_that_are_paths_and_quotes_stay_values() {
    let hostile = Hostile::new();
    let ids = [
        "../../../../tmp/escaped",
        "/etc/passwd",
        "a/b\\c",
        "line\nbreak\r\n",
        "quote\"'`$(touch escaped)",
        "tab\tnul\u{0}bell\u{7}",
        "'; DROP TABLE products; --",
        "\u{202e}right to left\u{2066}",
        " ",
        "..",
        "%s%n{}{{",
    ];
    let long = "x".repeat(100_000);
    let (mut file, mut reviews) = (hostile.raw("meta.json"), hostile.raw("reviews.json"));
    for (number, id) in ids.iter().copied().chain([long.as_str()]).enumerate() {
        let record = serde_json::json!({"asin": id, "title": "Kettle", "also_buy": ids, "brand": id, "category": [id]});
        writeln!(file, "{record}").unwrap();
        let record = serde_json::json!({"asin": id, "reviewerID": id, "reviewText": format!("Kettle {number}."), "overall": 5.0});
        writeln!(reviews, "{record}").unwrap();
    }
    // A name that would leave the folder if it were a part of a path.
    fs::write(hostile.folder.path().join("raw/x\n..%2f..\\..json"), format!("{TEA}\n")).unwrap();
    let before = listing(hostile.folder.path());
    let corpus = hostile.survive(400);
    let after: Vec<String> =
        listing(hostile.folder.path()).into_iter().filter(|n| !n.starts_with("out/") && n != "log").collect();
    assert_eq!(before, after, "nothing is written outside OUT");
    assert!(!Path::new("/tmp/escaped").exists());
    for name in contents(&hostile.out()).keys() {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"./-_".contains(&b));
        assert!(plain && !name.contains(".."), "{name}");
    }
    // An id of white space is none.
    assert_eq!((corpus.counts.products, corpus.counts.reviews), (12, 12));
    assert_eq!(corpus.counts.rejected["no_product_id"], 1);
    let table = open_corpus_products(&hostile.out().join("corpus/products-00000.parquet")).unwrap();
    let mut stored = Vec::new();
    for rows in table.read::<CorpusProductRows>(100) {
        stored.extend(rows.unwrap().iter().map(|product| product.product_id.to_owned()));
    }
    for id in ids.iter().filter(|id| **id != " ") {
        assert!(stored.iter().any(|s| s == id.trim()), "{id:?} is not in the corpus");
    }
    succeed(ebert(["verify"]).arg(hostile.out()));
    succeed(ebert(["inspect"]).arg(hostile.out()));
}

fn listing(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}
