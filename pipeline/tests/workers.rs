//! Tasks that an engine starts give the bytes of one run: for any number of tasks, which may be killed at any moment
//! and run twice at the same time. `xargs` is the engine.
//!
//! Each number of tasks has a few kills in every test run, and EBERT_FAULTS kills when that is set. Run with
//! `--nocapture` to see the counts.
mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command, thread, time::Duration};

use schemas::{Draws, Lockable};
use serde_json::Value;
use support::{
    TOKENIZER, assert_same, ebert,
    raw::{OTHER, PRODUCT, Raw, lines, raw_files_of_every_form},
    real_arguments, real_data, said, succeed, tries,
    workers::Subject,
};

const STEPS: [&str; 10] =
    ["read", "documents", "interactions", "words", "pool", "edges", "graph", "encode", "rows", "pairs"];

/// One run over raw files, in `one`.
fn subject(folder: tempfile::TempDir, arguments: Vec<String>) -> Subject {
    let subject = Subject { folder, arguments };
    succeed(&mut subject.command("shards", "one"));
    subject
}

/// Files in every form, most of which are a group of their own. They repeat each other, so most records are duplicates.
/// Interactions name variants, whose parents other records name.
fn invented() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    raw_files_of_every_form(&raw);
    let mut draws = Draws::new(7, "test", b"variants");
    let (mut reviews, mut ratings) = (String::new(), String::new());
    for number in 0..3_000 {
        let (parent, user) = (draws.below(300), draws.below(500));
        let review = serde_json::json!({
            "asin": format!("V{parent:09}"), "parent_asin": format!("P{parent:09}"), "user_id": format!("U{user}"),
            "title": "Fine", "text": format!("It is number {} of its kind", draws.below(2_000)), "rating": 4.0,
            "timestamp": 1_500_000_000_000_i64 + number,
        });
        reviews += &format!("{review}\n");
        let time = draws.below(1 << 30);
        ratings += &format!("U{user},V{:09},5.0,{time}\n", draws.below(400));
    }
    fs::write(raw.join("f.jsonl"), reviews).unwrap();
    fs::write(raw.join("g.csv"), ratings).unwrap();
    let mut arguments =
        ["--nouns", "off", "--max-unreadable", "1", "--allow-damaged", "--corpus"].map(str::to_owned).to_vec();
    arguments.extend([raw.display().to_string()]);
    arguments.extend(TOKENIZER.map(str::to_owned));
    subject(folder, arguments)
}

/// Makes everything in `n` tasks per step, some of which are killed or run twice.
fn all_steps(subject: &Subject, out: &str, n: u64, kills: u64, longest: f64) {
    subject.plan(out, n);
    for step in STEPS {
        let single = ["pool", "rows"].contains(&step);
        subject.run_step(step, out, if single { 1 } else { n }, kills.div_ceil(7 * n + 2), longest);
    }
    assert!(subject.plan(out, n).iter().all(|task| task["done"] == true), "{n} tasks");
    assert_same(&subject.path("one"), &subject.path(out), &format!("{n} tasks"));
}

#[test]
fn tasks_that_are_killed_and_run_twice_give_the_bytes_of_one_run() {
    let subject = invented();
    for n in [1, 3, 7] {
        let out = format!("{n}");
        all_steps(&subject, &out, n, tries(n), 0.4);
        fs::remove_dir_all(subject.path(&out)).unwrap();
    }
    assert!(subject.kills() > 0, "nothing was killed");
    println!("1, 3 and 7 tasks per step, {} SIGKILLs: all the same bytes", subject.kills());
}

#[test]
fn tasks_on_real_files_give_the_bytes_of_one_run() {
    let Some(data) = real_data() else { return };
    let mut arguments = real_arguments(&data);
    arguments.extend(["--nouns", "off"].map(str::to_owned));
    let subject = subject(tempfile::tempdir().unwrap(), arguments);
    for n in if tries(0) > 0 { vec![1, 3, 7] } else { vec![3] } {
        let out = format!("{n}");
        all_steps(&subject, &out, n, tries(0), 2.0);
        fs::remove_dir_all(subject.path(&out)).unwrap();
    }
    println!("{} SIGKILLs on real files: all the same bytes", subject.kills());
}

/// Tasks in some order, of various numbers of tasks.
#[test]
fn the_number_of_tasks_may_change_and_finished_tasks_are_kept() {
    let subject = invented();
    let tasks = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let done = |step: &str| {
        let plan = subject.plan("out", 3);
        plan.iter().filter(|task| task["step"] == step && task["done"] == true).count()
    };
    subject.plan("out", 3);
    subject.run("read", "out", &tasks(&["1/3"]), Vec::new);
    assert_eq!(done("read"), 1);
    let group = fs::read_dir(subject.path("out/spill")).unwrap().flatten().next().unwrap().path();
    let written = fs::metadata(&group).unwrap().modified().unwrap();
    subject.run("read", "out", &tasks(&["0/1"]), Vec::new);
    assert_eq!((done("read"), fs::metadata(&group).unwrap().modified().unwrap()), (3, written), "read again");
    // Of the seven files, two small ones share a group, and a large one has two.
    assert_eq!(subject.plan("out", 99).iter().filter(|task| task["step"] == "read").count(), 7);
    subject.run("documents", "out", &tasks(&["2/5"]), Vec::new);
    let table = subject.path("out/corpus/reviews-00002.parquet");
    let written = fs::metadata(&table).unwrap().modified().unwrap();
    subject.run("documents", "out", &tasks(&["0/2", "1/2"]), Vec::new);
    assert_eq!(fs::metadata(&table).unwrap().modified().unwrap(), written, "written again");
    assert_eq!((done("documents"), done("interactions")), (3, 0));
    subject.run("interactions", "out", &tasks(&["1/2", "0/2"]), Vec::new);
    assert!(!subject.path("out/spill").exists(), "the last task seals the corpus");
    assert_same(&subject.path("one/corpus"), &subject.path("out/corpus"), "tasks");
    // One process continues from there.
    succeed(&mut subject.command("shards", "out"));
    // A late double of the first task finds nothing to do.
    subject.run("read", "out", &tasks(&["1/3", "1/3"]), Vec::new);
    for step in &STEPS[3..] {
        subject.run(step, "out", &tasks(&["0/1", "0/2"]), Vec::new);
    }
    assert_same(&subject.path("one"), &subject.path("out"), "tasks, then one process");
    // A process was killed after it sealed a folder, and before it removed what tasks had left there.
    for (step, left) in [
        ("interactions", "spill/raw-00000.frames"),
        ("pool", "pool/parts/words-00000.part"),
        ("graph", "graph/parts/stated-00001.part"),
        ("pairs", "shards/parts/rows-00000.part"),
    ] {
        let path = subject.path("out").join(left);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "left").unwrap();
        let not_done = |task: &&Value| task["done"] == false;
        assert!(subject.plan("out", 3).iter().filter(not_done).all(|task| task["step"] == step), "{step}");
        assert_eq!(subject.plan("out", 3).iter().filter(not_done).count(), 1, "{step}");
        subject.run(step, "out", &tasks(&["0/1"]), Vec::new);
        assert!(!path.exists() && subject.plan("out", 3).iter().all(|task| task["done"] == true), "{step}");
    }
}

#[test]
fn a_damaged_part_is_named_and_written_again() {
    let subject = invented();
    subject.plan("out", 1);
    let one = |step: &str| subject.run(step, "out", &["0/1".to_owned()], Vec::new);
    STEPS[..4].iter().for_each(|step| one(step));
    let path = subject.path("out/pool/parts/words-00001.part");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut pool = ebert(["worker", "pool", "--config"]);
    pool.arg(subject.path("out/ebert.toml"));
    insta::assert_snapshot!("damaged_part", said(&pool.output().unwrap(), &[(subject.folder.path(), "DIR")]));
    // As the message says.
    fs::remove_file(&path).unwrap();
    STEPS[3..].iter().for_each(|step| one(step));
    assert_same(&subject.path("one"), &subject.path("out"), "words that were damaged");
}

/// Flips a bit of what a step has left, in a copy of `OUT`. A step that reads it must fail, unless none needs the bit.
fn flip_a_bit(subject: &Subject, file: &Path, reader: &[&str], draws: &mut Draws) {
    let mut bytes = fs::read(subject.path("out").join(file)).unwrap();
    let bit = draws.below(8 * bytes.len() as u64) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
    let copy = subject.path("copy");
    succeed(Command::new("cp").arg("-r").arg(subject.path("out")).arg(&copy));
    fs::write(copy.join(file), bytes).unwrap();
    let is_noticed = |worker: &[&str]| {
        let output = subject.command("worker", "copy").args(worker).output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "bit {bit} of {file:?}, {worker:?}: {}", said(&output, &[]));
        code == Some(1)
    };
    let next = STEPS.iter().position(|step| *step == reader[0]).unwrap();
    if !is_noticed(reader) && !STEPS[next..].iter().any(|step| is_noticed(&[step])) {
        assert_same(&subject.path("one"), &copy, &format!("bit {bit} of {file:?}, {reader:?}"));
    }
    fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn a_bit_that_changes_in_what_tasks_leave_is_noticed() {
    let subject = invented();
    subject.plan("out", 1);
    let mut draws = Draws::new(0, "test", b"bits");
    let mut stems = BTreeSet::new();
    let mut run = |step: &str, task: &str, folder: &str, readers: &[&[&str]]| {
        subject.run(step, "out", &[task.to_owned()], Vec::new);
        let entries = fs::read_dir(subject.path("out").join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        for name in names.into_iter().filter(|_| !readers.is_empty()) {
            for reader in readers {
                (0..2).for_each(|_| flip_a_bit(&subject, &Path::new(folder).join(&name), reader, &mut draws));
            }
            stems.insert(name.split(['-', '.']).next().unwrap_or_default().to_owned());
        }
    };
    run("read", "0/1", "spill", &[&["documents"], &["interactions"]]);
    run("documents", "0/1", "", &[]);
    run("interactions", "0/1", "", &[]);
    run("words", "0/1", "pool/parts", &[&["pool"]]);
    run("pool", "0/1", "", &[]);
    run("edges", "0/1", "graph/parts", &[&["graph"]]);
    run("graph", "0/2", "graph/parts", &[&["graph", "1/2"]]);
    run("graph", "1/2", "", &[]);
    run("encode", "0/1", "", &[]);
    run("rows", "0/1", "shards/parts", &[&["pairs"]]);
    assert_eq!(stems, ["raw", "rows", "sorted", "stated", "words"].map(str::to_owned).into());
}

/// A task of an earlier step that runs twice may share the lock of the folder when the last task ends.
#[test]
fn the_last_task_waits_for_others_and_seals() {
    let subject = invented();
    subject.plan("out", 1);
    for step in STEPS {
        let folder = match step {
            "interactions" => "corpus",
            "graph" => "graph",
            "pairs" => "shards",
            _ => "",
        };
        let lock = subject.path("out/.made").join(folder);
        let shared = (!folder.is_empty()).then(|| Lockable::within(&lock).unwrap().shared().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| subject.run(step, "out", &["0/1".to_owned()], Vec::new));
            thread::sleep(Duration::from_millis(if folder.is_empty() { 0 } else { 700 }));
            drop(shared);
        });
    }
    assert_same(&subject.path("one"), &subject.path("out"), "an earlier task that still ran");
}

#[test]
fn changed_options_and_raw_files_are_read_again() {
    let subject = invented();
    subject.plan("out", 2);
    let all = |steps: &[&str]| steps.iter().for_each(|step| subject.run(step, "out", &["0/1".to_owned()], Vec::new));
    all(&STEPS);
    assert_same(&subject.path("one"), &subject.path("out"), "tasks");
    // The same size, other bytes: only the task that reads the file can notice.
    let file = subject.path("raw/f.jsonl");
    let changed = fs::read_to_string(&file).unwrap().replace("Fine", "Good");
    fs::write(&file, changed).unwrap();
    // The task that does not have it may come before and after.
    for task in ["0/2", "1/2", "0/2"] {
        subject.run("read", "out", &[task.to_owned()], Vec::new);
    }
    all(&STEPS[1..]);
    succeed(&mut subject.command("shards", "one"));
    assert_same(&subject.path("one"), &subject.path("out"), "another file");
    succeed(subject.command("plan", "out").arg("--no-interactions"));
    all(&["read", "documents", "words", "pool", "edges", "graph", "encode", "rows", "pairs"]);
    succeed(subject.command("shards", "one").arg("--no-interactions"));
    assert_same(&subject.path("one"), &subject.path("out"), "no interactions");
}

/// The graph of a source in tasks is that of one process. Returns whether it follows from lists of reviewers.
fn assert_same_graph(subject: &Subject, source: &[String]) -> bool {
    succeed(subject.command("shards", "one").args(source));
    succeed(subject.command("plan", "out").args(source));
    for step in ["edges", "graph"] {
        let tasks = ["2/3", "0/3", "0/3", "1/3"].map(str::to_owned);
        subject.run(step, "out", &tasks, Vec::new);
    }
    assert_same(&subject.path("one/graph"), &subject.path("out/graph"), &format!("{source:?}"));
    let manifest = fs::read_to_string(subject.path("out/graph/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert!(manifest["edges"].as_object().is_some_and(|edges| !edges.is_empty()), "{source:?}: {manifest}");
    manifest["lists"].is_object()
}

#[test]
fn associations_of_every_source_are_those_of_one_run() {
    let subject = invented();
    succeed(&mut subject.command("shards", "out"));
    fs::remove_dir_all(subject.path("out/graph")).unwrap();
    let mut draws = Draws::new(0, "test", b"orders");
    let mut ids = vec!["UNKNOWN".to_owned()];
    let table = schemas::open_corpus_products(&subject.path("one/corpus/products-00000.parquet")).unwrap();
    for rows in table.read::<schemas::ProductCategoryRows>(1_000) {
        ids.extend(rows.unwrap().iter().map(|row| row.product_id.to_owned()));
    }
    let mut product = || ids[draws.below(ids.len() as u64) as usize].clone();
    let orders: String = (0..400).map(|_| format!("{} {} {}\n", product(), product(), product())).collect();
    let weights: String = (0..900).map(|n| format!("{},{},substitute,{n}\n", product(), product())).collect();
    fs::write(subject.path("orders.txt"), orders).unwrap();
    fs::write(subject.path("weights.csv"), format!("product_a,product_b,relation,weight\n{weights}")).unwrap();
    let file = |name: &str| vec!["--associations".to_owned(), subject.path(name).display().to_string()];
    let source = |name: &str| vec!["--association-source".to_owned(), name.to_owned()];
    assert!(assert_same_graph(&subject, &source("reviews")));
    assert!(assert_same_graph(&subject, &source("both")));
    assert!(!assert_same_graph(&subject, &source("dump")));
    assert!(!assert_same_graph(&subject, &file("orders.txt")));
    assert!(!assert_same_graph(&subject, &file("weights.csv")));
}

/// That the dump's associations join no products is known when all are read. So associations follow from reviews.
#[test]
fn associations_with_unknown_products_alone_do_not_count_in_tasks_either() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::create_dir(&raw).unwrap();
    let mut draws = Draws::new(0, "test", b"unknown");
    let (mut products, mut reviews) = (String::new(), String::new());
    for number in 0..60 {
        let text: String = (0..8_000).map(|_| format!("word{} ", draws.below(5_000))).collect();
        let product = serde_json::json!({
            "asin": format!("Q{number:09}"), "title": format!("Thing {number}"), "description": [text],
            "also_buy": ["UNKNOWN001", format!("UNKNOWN{number:03}")],
        });
        products += &format!("{product}\n");
    }
    for number in 0..600 {
        let review = serde_json::json!({
            "asin": format!("Q{:09}", draws.below(60)), "reviewerID": format!("U{}", number % 70),
            "reviewText": format!("It is the {number}th of its kind"), "overall": 5.0,
            "unixReviewTime": draws.below(1 << 30),
        });
        reviews += &format!("{review}\n");
    }
    fs::write(raw.join("meta.json"), products).unwrap();
    fs::write(raw.join("reviews.json"), reviews).unwrap();
    let mut arguments = ["--nouns", "off", "--corpus"].map(str::to_owned).to_vec();
    arguments.extend([raw.display().to_string()]);
    arguments.extend(TOKENIZER.map(str::to_owned));
    let subject = subject(folder, arguments);
    assert!(subject.path("one/corpus/products-00002.parquet").exists(), "several buckets");
    succeed(&mut subject.command("shards", "out"));
    fs::remove_dir_all(subject.path("out/graph")).unwrap();
    assert!(assert_same_graph(&subject, &[]));
}

/// A small corpus, and what commands on it print.
struct Small(Raw);

impl Small {
    fn new() -> Self {
        let small = Self(Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER])), ("notes.txt", b"hello\n")]));
        succeed(&mut small.command(&["plan"]));
        small
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = ebert(arguments.iter().copied());
        command.arg("--corpus").arg(self.0.path("raw")).args(TOKENIZER).arg("--out").arg(self.0.path("out"));
        command.arg("--pool").arg(self.0.path("pool.txt"));
        command
    }

    fn said(&self, arguments: &[&str]) -> String {
        said(&self.command(arguments).output().unwrap(), &[(self.0.folder.path(), "DIR")])
    }
}

#[test]
fn a_plan_prints_steps_and_what_is_next() {
    let small = Small::new();
    insta::assert_snapshot!("plan", small.said(&["plan"]));
    insta::assert_snapshot!("plan_json", small.said(&["plan", "--log", "json"]));
    assert!(small.said(&["worker", "read"]).starts_with("exit 0"));
    assert!(small.said(&["worker", "documents"]).starts_with("exit 0"));
    insta::assert_snapshot!("plan_in_between", small.said(&["plan"]));
    for step in ["interactions", "words", "pool", "edges", "graph", "encode", "rows", "pairs"] {
        let text = small.said(&["worker", step]);
        assert!(text.starts_with("exit 0"), "{step}: {text}");
    }
    insta::assert_snapshot!("plan_done", small.said(&["plan"]));
}

#[test]
fn a_task_that_cannot_run_yet_names_the_tasks_that_are_missing() {
    let small = Small::new();
    insta::assert_snapshot!("wrong_step", small.said(&["worker", "reed", "0/3"]));
    insta::assert_snapshot!("no_such_task", small.said(&["worker", "read", "3/3"]));
    insta::assert_snapshot!("nothing_is_read", small.said(&["worker", "documents", "1/3"]));
    insta::assert_snapshot!("no_corpus", small.said(&["worker", "encode", "1/3"]));
    assert!(small.said(&["worker", "read"]).starts_with("exit 0"));
    insta::assert_snapshot!("no_documents", small.said(&["worker", "graph"]));
    assert!(small.said(&["worker", "documents", "2/3"]).starts_with("exit 0"));
    assert!(small.said(&["worker", "documents", "0/3"]).starts_with("exit 0"));
    assert!(small.said(&["worker", "interactions", "0/3"]).starts_with("exit 0"));
    insta::assert_snapshot!("no_pool", small.said(&["worker", "encode", "1/3"]));
    insta::assert_snapshot!("single_task", small.said(&["worker", "pool", "1/3"]));
    insta::assert_snapshot!("no_edges", small.said(&["worker", "graph", "1/3"]));
    for step in ["words", "pool", "edges"] {
        assert!(small.said(&["worker", step]).starts_with("exit 0"));
    }
    insta::assert_snapshot!("no_graph", small.said(&["worker", "rows"]));
    assert!(small.said(&["worker", "graph", "0/3"]).starts_with("exit 0"));
    insta::assert_snapshot!("no_shards", small.said(&["worker", "rows"]));
    assert!(small.said(&["worker", "encode"]).starts_with("exit 0"));
    insta::assert_snapshot!("no_rows", small.said(&["worker", "pairs", "0/3"]));
}

#[test]
fn another_corpus_does_not_replace_one_unasked() {
    let small = Small::new();
    assert!(small.said(&["worker", "read"]).starts_with("exit 0"));
    let other = Raw::new(&[("meta.json", &lines(&[OTHER]))]);
    let mut command = ebert(["worker", "read", "--corpus"]);
    command.arg(other.path("raw")).args(TOKENIZER).arg("--out").arg(small.0.path("out"));
    let text = said(&command.output().unwrap(), &[]);
    assert!(text.starts_with("exit 2") && text.contains("has a corpus of other raw files"), "{text}");
    assert!(said(&command.arg("--force").output().unwrap(), &[]).starts_with("exit 0"));
}

/// The scheduler gives the task, as it does to `ebert encode`.
#[test]
fn a_scheduler_gives_the_task() {
    let small = Small::new();
    let mut command = small.command(&["worker", "read", "--parts", "4"]);
    let text = said(&command.env("JOB_COMPLETION_INDEX", "0").output().unwrap(), &[]);
    assert!(text.starts_with("exit 0") && text.contains("task 0/4   1 of 1 groups"), "{text}");
    let mut command = small.command(&["worker", "read", "--parts", "4"]);
    let text = said(&command.env("JOB_COMPLETION_INDEX", "4").output().unwrap(), &[]);
    assert!(text.starts_with("exit 2") && text.contains("expected a number below 4"), "{text}");
    assert!(!small.0.path("out/corpus").exists());
}
