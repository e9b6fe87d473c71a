//! Large raw files are read in ranges by several tasks. The corpus has the bytes of one run, in which each file is read
//! from its start to its end.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
};

use schemas::Draws;
use serde_json::{Value, json};
use support::{TOKENIZER, assert_same, succeed, tries, workers::Subject};

const STEPS: [&str; 3] = ["read", "documents", "interactions"];

/// Products and reviews, one per line, as dumps of 2018 and 2023 have them. Ids and texts repeat, so which records stay
/// depends on their order.
struct Records {
    draws: Draws,
}

impl Records {
    fn product(&mut self, more: &str) -> String {
        let (id, other) = (self.draws.below(2_000), self.draws.below(2_000));
        let title = format!("Tee für {} 日本 {:x}", self.draws.below(1 << 40), self.draws.below(1 << 60));
        let description = format!("{:x} {:x} {more}", self.draws.below(1 << 60), self.draws.below(1 << 60));
        json!({
            "asin": format!("P{id:09}"), "title": title, "description": [description],
            "also_buy": [format!("P{other:09}")],
        })
        .to_string()
    }

    fn review(&mut self) -> String {
        let text = format!("It is number {:x} of its kind", self.draws.below(1 << 14) << 44);
        json!({
            "asin": format!("V{:09}", self.draws.below(3_000)), "parent_asin": format!("P{:09}", self.draws.below(2_000)),
            "user_id": format!("U{}", self.draws.below(4_000)), "title": format!("{:x}", self.draws.below(1 << 60)),
            "text": text, "rating": 4.0, "timestamp": 1_500_000_000_000_u64 + self.draws.below(1 << 30),
        })
        .to_string()
    }

    fn lines(&mut self, number: u64, end: &str) -> String {
        let record = |n| if n % 3 == 0 { self.product("") } else { self.review() };
        (0..number).map(record).map(|record| record + end).collect()
    }
}

/// Lines with all that may stand at the ends of ranges. The second half has lines that cannot be read, one that is
/// longer than a range, and one that is too long.
fn flawed(records: &mut Records) -> Vec<u8> {
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    for number in 0..20_000 {
        bytes.extend(records.lines(1, ["\n", "\r\n", "\n\n \n"][number % 3]).into_bytes());
        match number {
            10_000 => bytes.extend((records.product(&"salt ".repeat(1 << 20)) + "\n").into_bytes()),
            15_000 => bytes.extend(["x".repeat(17 << 20), String::new()].join("\n").into_bytes()),
            12_001.. if number % 700 == 0 => bytes.extend(b"neither JSON nor a dict\n"),
            12_001.. if number % 900 == 0 => bytes.extend(b"{\"asin\": \"caf\xe9\"}\n"),
            12_001.. if number % 1_100 == 0 => bytes.extend(b"\xef\xbb\xbf{\"title\": \"no id\", \"also_buy\": []}\n"),
            _ => {}
        }
    }
    bytes.truncate(bytes.trim_ascii_end().len());
    bytes
}

/// Zstd frames of various lengths, cut anywhere.
fn zstd_of(text: &[u8], length: usize) -> Vec<u8> {
    let mut compressed = Vec::new();
    for (number, piece) in text.chunks(length).enumerate() {
        let mut encoder = zstd::Encoder::new(&mut compressed, 1).unwrap();
        encoder.include_checksum(number % 2 == 0).unwrap();
        encoder.write_all(piece).unwrap();
        encoder.finish().unwrap();
    }
    compressed
}

/// Raw files, of which some are large enough for several ranges, and the corpus of one process in `one`.
fn subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::create_dir(&raw).unwrap();
    let mut records = Records { draws: Draws::new(0, "test", b"ranges") };
    let mut ratings = "user_id,product_id,rating,timestamp\n".to_owned();
    for _ in 0..150_000 {
        let (user, product) = (records.draws.below(9_000), records.draws.below(3_000));
        ratings += &format!("U{user},V{product:09},5.0,{}\n", 1_472_688_000 + records.draws.below(1 << 20));
    }
    let compressed = zstd_of(records.lines(36_000, "\n").as_bytes(), 300_001);
    let mut damaged = zstd_of(records.lines(36_000, "\n").as_bytes(), 70_001);
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0);
    for (name, bytes) in [
        ("a.json", records.lines(300, "\n").into_bytes()),
        ("b.jsonl", flawed(&mut records)),
        ("c.csv", ratings.into_bytes()),
        ("d.json", format!("[\n{}\n]\n", records.lines(30_000, ",\n").trim_end_matches(",\n")).into_bytes()),
        ("e.json.zst", compressed),
        ("f.json.zst", damaged),
        ("g.json.zst", zstd_of(records.lines(36_000, "\n").as_bytes(), 1 << 30)),
        ("h.json", records.lines(300, "\n").into_bytes()),
    ] {
        fs::write(raw.join(name), bytes).unwrap();
    }
    let arguments = ["--max-unreadable", "1", "--allow-damaged", "--corpus"].map(str::to_owned).into_iter();
    let arguments = arguments.chain([raw.display().to_string()]).chain(TOKENIZER.map(str::to_owned)).collect();
    let subject = Subject { folder, arguments };
    succeed(&mut subject.command("corpus", "one"));
    subject
}

/// The ranges of each raw file in the plan. A file that is read as a whole has one, without an end.
fn planned(subject: &Subject) -> BTreeMap<String, BTreeSet<(u64, Option<u64>)>> {
    let mut ranges: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for task in subject.plan("out", 1_000).iter().filter(|task| task["step"] == "read") {
        for input in task["inputs"].as_array().unwrap() {
            let name = Path::new(input.as_str().unwrap()).file_name().unwrap().to_str().unwrap();
            let (name, range) = match name.split_once(':') {
                Some((name, range)) => (name, range.split_once('-').unwrap()),
                None => (name, ("0", "")),
            };
            let range = (range.0.parse().unwrap(), range.1.parse().ok());
            assert!(ranges.entry(name.to_owned()).or_default().insert(range), "{name} {range:?}");
        }
    }
    ranges
}

#[test]
fn ranges_of_large_files_give_the_bytes_of_one_run() {
    let subject = subject();
    let ranges = planned(&subject);
    for (name, of_file) in &ranges {
        let bytes = fs::metadata(subject.path("raw").join(name)).unwrap().len();
        if ["a.json", "g.json.zst", "h.json"].contains(&name.as_str()) {
            assert_eq!(of_file, &BTreeSet::from([(0, None)]), "{name}");
            continue;
        }
        let starts: Vec<u64> = of_file.iter().map(|(start, _)| *start).collect();
        let ends: Vec<u64> = of_file.iter().filter_map(|(_, end)| *end).collect();
        assert!(starts.len() > 1 && starts[0] == 0 && ends.last() == Some(&bytes), "{name}: {of_file:?}");
        assert_eq!(starts[1..], ends[..ends.len() - 1], "{name}");
    }
    assert!(ranges.len() == 8 && ranges["b.jsonl"].len() > 5, "{ranges:?}");
    let manifest = fs::read_to_string(subject.path("one/corpus/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let places = manifest["places"].as_object().unwrap();
    let late = |place: &Value| place["line"].as_u64() > Some(20_000);
    assert!(places.len() == 4 && places.values().all(|of| of.as_array().unwrap().iter().all(late)), "{places:?}");
    assert!(manifest["inputs"][5]["damage"].as_str().is_some_and(|damage| damage.contains("zstd")));
    for n in [1, 3, 7] {
        let out = format!("{n}");
        subject.plan(&out, n);
        for step in STEPS {
            subject.run_step(step, &out, n, tries(n).div_ceil(3 * n), 0.6);
        }
        assert!(!subject.path(&out).join("spill").exists(), "{n} tasks");
        assert_same(&subject.path("one/corpus"), &subject.path(&out).join("corpus"), &format!("{n} tasks"));
        fs::remove_dir_all(subject.path(&out)).unwrap();
    }
    println!("1, 3 and 7 tasks per step, {} SIGKILLs: all the same bytes", subject.kills());
}

#[test]
fn finished_ranges_are_kept_and_changed_files_are_read_again() {
    let subject = subject();
    subject.plan("out", 2);
    let one = |step: &str, task: &str| subject.run(step, "out", &[task.to_owned()], Vec::new);
    one("read", "1/2");
    let spill = || fs::read_dir(subject.path("out/spill")).unwrap().flatten();
    let written: BTreeMap<_, _> =
        spill().map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect();
    one("read", "0/1");
    assert!(written.len() > 5 && spill().count() > written.len(), "{written:?}");
    for (path, time) in written {
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time, "{} was read again", path.display());
    }
    one("documents", "0/1");
    one("interactions", "0/1");
    assert_same(&subject.path("one/corpus"), &subject.path("out/corpus"), "tasks");
    // One process finds nothing to do: the hashes of the files follow from those of their ranges.
    let said = succeed(&mut subject.command("corpus", "out"));
    assert!(said.contains("up to date"), "{said}");
    // The same size, other bytes, behind the first range.
    let path = subject.path("raw/d.json");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 10 * 9 + bytes[bytes.len() / 10 * 9..].windows(3).position(|word| word == b"Tee").unwrap();
    bytes[at..at + 3].copy_from_slice(b"Cha");
    fs::write(&path, bytes).unwrap();
    // The task of the first range notices. The other may come before and after.
    for task in ["0/2", "1/2", "0/2"] {
        one("read", task);
    }
    one("documents", "0/1");
    one("interactions", "0/1");
    succeed(&mut subject.command("corpus", "one"));
    assert_same(&subject.path("one/corpus"), &subject.path("out/corpus"), "another file");
}

/// The line that begins in a range and ends behind it is a record of that range, whose own bytes are the same.
#[test]
fn a_change_behind_a_range_is_noticed() {
    let subject = subject();
    subject.plan("out", 2);
    let one = |step: &str, task: &str| subject.run(step, "out", &[task.to_owned()], Vec::new);
    let (plain, zstd) = (subject.path("raw/d.json"), subject.path("raw/e.json.zst"));
    let whole = [&plain, &zstd].map(|path| fs::read(path).unwrap());
    // The files are at first as they may be while they are downloaded. Plain ranges have 4 MiB.
    let cut = 4 << 20;
    let end = cut + whole[0][cut..].iter().position(|&byte| byte == b'\n').unwrap();
    assert!(end > cut);
    let mut half = whole.clone();
    half[0][cut..end].fill(b'-');
    // Those of zstd have a quarter of that. A frame that begins in the first ends behind it.
    half[1][(1 << 20) + 10..(1 << 20) + 20].fill(b'-');
    for (path, half) in [&plain, &zstd].into_iter().zip(half) {
        fs::write(path, half).unwrap();
    }
    one("read", "0/1");
    for (path, whole) in [&plain, &zstd].into_iter().zip(whole) {
        fs::write(path, whole).unwrap();
    }
    one("read", "0/1");
    one("documents", "0/1");
    one("interactions", "0/1");
    assert_same(&subject.path("one/corpus"), &subject.path("out/corpus"), "the whole file");
}
