//! The rows that the sample gives, as hashes in `golden.json`.
//!
//! A change of code that changes a step's output must raise the step's rules number, or an upgrade mixes old and new
//! output. So this test names the first step whose rows differ although its inputs do not. After the number is raised,
//! `EBERT_BLESS=1 cargo test --release -p pipeline --test golden` writes the hashes anew.
mod support;

use std::{collections::BTreeMap, fs, path::Path};

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use support::{ebert, succeed, workspace};

/// Each step with the folder and the files that it writes, the steps that it reads, and where its rules numbers are.
const STEPS: [Step; 5] = [
    Step {
        name: "corpus",
        folder: "corpus",
        files: &["products", "reviews", "interactions", "associations"],
        reads: &[],
        rules: &["clean", "corpus", "words"],
    },
    Step {
        name: "pool",
        folder: "pool",
        files: &["phrases"],
        reads: &["corpus"],
        rules: &["pool", "words", "english", "mine", "names"],
    },
    Step { name: "graph", folder: "graph", files: &["associations"], reads: &["corpus"], rules: &["graph"] },
    Step {
        name: "shards",
        folder: "shards",
        files: &["products", "reviews"],
        reads: &["corpus", "pool"],
        rules: &["cut", "words", "english", "nouns"],
    },
    Step { name: "pairs", folder: "shards", files: &["pairs"], reads: &["graph", "shards"], rules: &["pairs"] },
];

struct Step {
    name: &'static str,
    folder: &'static str,
    files: &'static [&'static str],
    reads: &'static [&'static str],
    rules: &'static [&'static str],
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    rules: BTreeMap<String, u32>,
    rows: String,
}

/// Hash of all rows of a step's tables, whatever library wrote them.
fn rows(out: &Path, step: &Step) -> String {
    let folder = out.join(step.folder);
    let is_table = |name: &str| name.ends_with(".parquet") && step.files.iter().any(|stem| name.starts_with(stem));
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| is_table(name));
    names.sort();
    assert!(!names.is_empty(), "{} has no tables", step.name);
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(name.as_bytes());
        let file = fs::File::open(folder.join(&name)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let options = FormatOptions::new().with_null("∅");
            let columns: Vec<ArrayFormatter> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                for column in &columns {
                    hasher.update(column.value(row).to_string().as_bytes());
                    hasher.update(b"\x1f");
                }
                hasher.update(b"\n");
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The rules numbers in a folder's manifest.
fn rules(out: &Path, step: &Step) -> BTreeMap<String, u32> {
    let manifest = fs::read(out.join(step.folder).join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let number = |rule: &&str| {
        let number =
            manifest["rules"][*rule].as_u64().unwrap_or_else(|| panic!("{} has no rules of {rule}", step.name));
        ((*rule).to_owned(), number as u32)
    };
    step.rules.iter().map(number).collect()
}

/// The verdict on a step whose rows may have changed: a step may change when its rules or the rows that it reads do.
fn verdict(step: &Step, old: Option<&Golden>, new: &Golden, inputs_changed: bool) -> Result<(), String> {
    match old {
        Some(old) if old.rows != new.rows && old.rules == new.rules && !inputs_changed => Err(format!(
            "the rows of the {} step have changed although its inputs and rules have not\n\
             hint: if the change is intended, raise one of its `RULES` ({}) next to the code that changed",
            step.name,
            step.rules.join(", ")
        )),
        _ => Ok(()),
    }
}

#[test]
fn the_rows_of_the_sample_change_only_with_the_rules() {
    let out = tempfile::tempdir().unwrap();
    succeed(ebert(["shards", "--corpus", "data/sample", "--out"]).arg(out.path()).current_dir(workspace()));
    let file = workspace().join("pipeline/tests/golden.json");
    let old: BTreeMap<String, Golden> = fs::read(&file).map_or_else(
        |_| BTreeMap::new(),
        |bytes| serde_json::from_slice(&bytes).expect("golden.json is written by this test"),
    );
    let mut new: BTreeMap<String, Golden> = BTreeMap::new();
    for step in &STEPS {
        let golden = Golden { rules: rules(out.path(), step), rows: rows(out.path(), step) };
        let inputs_changed =
            step.reads.iter().any(|read| old.get(*read).map(|o| &o.rows) != new.get(*read).map(|n| &n.rows));
        if let Err(verdict) = verdict(step, old.get(step.name), &golden, inputs_changed) {
            panic!("{verdict}");
        }
        new.insert(step.name.to_owned(), golden);
    }
    if std::env::var_os("EBERT_BLESS").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&new).unwrap() + "\n").unwrap();
    } else {
        assert_eq!(old, new, "hint: write the hashes anew with EBERT_BLESS=1");
    }
}

#[test]
fn a_change_without_a_new_rules_number_is_named() {
    let step = &STEPS[1];
    let golden =
        |number, rows: &str| Golden { rules: BTreeMap::from([("mine".to_owned(), number)]), rows: rows.to_owned() };
    let old = golden(1, "a");
    assert_eq!(verdict(step, Some(&old), &golden(1, "a"), false), Ok(()));
    assert!(verdict(step, Some(&old), &golden(1, "b"), false).unwrap_err().contains("the pool step"));
    assert_eq!(verdict(step, Some(&old), &golden(2, "b"), false), Ok(()));
    assert_eq!(verdict(step, Some(&old), &golden(1, "b"), true), Ok(()));
    assert_eq!(verdict(step, None, &golden(1, "b"), false), Ok(()));
}

/// Makes a manifest that of an older build: one of its rules has another number.
fn age(manifest: &Path, rule: &str) {
    let text = fs::read_to_string(manifest).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let stated = json["self_blake3"].as_str().unwrap();
    let number = json["rules"][rule].as_u64().unwrap_or_else(|| panic!("no rule {rule} in {manifest:?}"));
    let aged =
        text.replace(stated, "").replace(&format!("\"{rule}\": {number}"), &format!("\"{rule}\": {}", number + 1));
    let hash = blake3::hash(aged.as_bytes()).to_hex().to_string();
    let empty = "\"self_blake3\": \"";
    let at = aged.rfind(empty).unwrap() + empty.len();
    fs::write(manifest, format!("{}{hash}{}", &aged[..at], &aged[at..])).unwrap();
}

#[test]
fn an_upgrade_rebuilds_what_it_affects_and_says_why() {
    let out = tempfile::tempdir().unwrap();
    let run = || succeed(ebert(["shards", "--corpus", "data/sample", "--out"]).arg(out.path()));
    run();
    let fresh = support::contents(out.path());
    for (folder, rule, step) in [
        ("corpus", "clean", "corpus"),
        ("pool", "mine", "pool"),
        ("graph", "graph", "graph"),
        ("shards", "cut", "shards"),
        ("shards", "pairs", "shards"),
    ] {
        age(&out.path().join(folder).join("manifest.json"), rule);
        let report = run();
        let line = report.lines().find(|line| line.starts_with(step)).unwrap();
        assert!(line.contains(&format!("rules of {rule} changed")), "{line}");
        assert!(support::contents(out.path()) == fresh, "other bytes after {rule}");
        let up_to_date = run();
        assert!(!up_to_date.contains("changed"), "{up_to_date}");
    }
}
