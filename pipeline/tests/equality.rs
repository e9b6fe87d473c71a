//! Same input, options and seed: the same bytes, for any number of threads and tasks, in steps or at once. Runs with
//! few open files and runs that resume under other options or limits are included. `faults` has kills and full disks.
mod support;

use std::{fs, path::Path, process::Stdio, thread, time::Duration};

use support::{assert_same, ebert, real_arguments, real_data, said, succeed};

/// Small buckets: the sample has several.
const RUN: [&str; 3] = ["shards", "--bucket-mib", "1"];

fn run_into(out: &Path, more: &[&str]) {
    succeed(ebert(RUN).args(more).arg("--out").arg(out));
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    for threads in ["1", "2", "5"] {
        run_into(&out(threads), &["--threads", threads, "--negatives", "category"]);
        assert_same(&out("1"), &out(threads), threads);
    }
}

/// Makes `one` in one run, and next to it `tasks`, up to the shards.
fn before_the_shards(folder: &Path, arguments: &[String]) {
    succeed(ebert(["shards", "--bucket-mib", "1"]).args(arguments).arg("--out").arg(folder.join("one")));
    for step in ["corpus", "pool", "graph"] {
        task(folder, arguments, step);
    }
}

/// One step in `tasks`, as a scheduler would start it.
fn task(folder: &Path, arguments: &[String], step: &str) {
    succeed(
        support::step(step, &[arguments, &["--bucket-mib".to_owned(), "1".to_owned()]].concat())
            .arg("--out")
            .arg(folder.join("tasks")),
    );
}

/// Makes the shards in 1, 3 and 7 tasks, some of them started twice at once, and compares with one run.
fn tasks_are_one_run(folder: &Path, arguments: &[String]) {
    before_the_shards(folder, arguments);
    for n in [1, 3, 7] {
        let mut children = Vec::new();
        for i in (0..n).rev() {
            for _ in 0..if i % 2 == 0 { 2 } else { 1 } {
                let mut command = support::step("encode", arguments);
                command.args(["--threads", "1", "--part", &format!("{i}/{n}"), "--out"]).arg(folder.join("tasks"));
                children.push(command.stdout(Stdio::null()).spawn().unwrap());
            }
            // Two tasks and their doubles at a time.
            if i % 2 == 0 {
                for mut child in children.drain(..) {
                    assert!(child.wait().unwrap().success(), "task {i}/{n}");
                }
            }
        }
        task(folder, arguments, "pairs");
        task(folder, arguments, "seal");
        assert_same(&folder.join("one"), &folder.join("tasks"), &format!("{n} tasks"));
        for step in ["shards", ".made/shards"] {
            fs::remove_dir_all(folder.join("tasks").join(step)).unwrap();
        }
    }
}

#[test]
fn any_number_of_tasks_gives_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    tasks_are_one_run(folder.path(), &["--negatives".to_owned(), "category".to_owned()]);
}

#[test]
fn any_number_of_tasks_gives_the_bytes_of_one_run_on_real_files() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = real_arguments(&data);
    arguments.extend(["--nouns".to_owned(), "off".to_owned()]);
    tasks_are_one_run(folder.path(), &arguments);
}

#[test]
fn a_scheduler_says_which_task_and_the_seal_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments: [String; 0] = [];
    before_the_shards(folder.path(), &arguments);
    let out = folder.path().join("tasks");
    let step = |step: &[&str], variables: &[(&str, &str)]| {
        let mut command = ebert(step.iter().copied());
        command.arg("--out").arg(&out).envs(variables.iter().copied());
        said(&command.output().unwrap(), &[(folder.path(), "DIR")])
    };
    let array = [("SLURM_ARRAY_TASK_COUNT", "3"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_MAX", "3")];
    let slurm = |id| [&array[..], &[("SLURM_ARRAY_TASK_ID", id)]].concat();
    assert!(step(&["encode"], &slurm("1")).starts_with("exit 0"));
    assert!(step(&["encode", "--parts", "3"], &[("JOB_COMPLETION_INDEX", "2")]).starts_with("exit 0"));
    insta::assert_snapshot!("seal_names_missing_buckets", step(&["seal"], &[]));
    insta::assert_snapshot!("seal_names_missing_tasks", step(&["seal", "--parts", "3"], &[]));
    insta::assert_snapshot!("pairs_name_missing_tasks", step(&["pairs"], &[]));
    insta::assert_snapshot!(
        "an_array_with_gaps",
        step(
            &["encode"],
            &[
                ("SLURM_ARRAY_TASK_ID", "7"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
                ("SLURM_ARRAY_TASK_MIN", "3"),
                ("SLURM_ARRAY_TASK_MAX", "7")
            ]
        )
    );
    assert!(step(&["encode", "--part", "1/3"], &slurm("1")).starts_with("exit 0"));
    insta::assert_snapshot!("seal_names_missing_pairs", step(&["seal"], &[]));
    task(folder.path(), &arguments, "pairs");
    task(folder.path(), &arguments, "seal");
    assert_same(&folder.path().join("one"), &out, "scheduled");
}

#[test]
fn few_open_files_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    run_into(&out("many"), &[]);
    let program = ebert(RUN);
    // 54 open files leave room for two spill files of each kind, for more buckets than that.
    let script = format!(
        "ulimit -n 54; exec {:?} shards --bucket-mib 1 --threads 2 --out {:?}",
        program.get_program(),
        out("few")
    );
    succeed(std::process::Command::new("bash").args(["-c", &script]).current_dir(support::workspace()));
    assert_same(&out("many"), &out("few"), "few open files");
}

#[test]
fn a_change_makes_the_affected_steps_again_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("raw");
    fs::create_dir(&corpus).unwrap();
    for name in ["meta_sample.json.gz", "Sample_5.json.gz"] {
        fs::copy(support::workspace().join("data/sample").join(name), corpus.join(name)).unwrap();
    }
    let out = folder.path().join("out");
    let made = |more: &[&str], out: &Path| -> Vec<String> {
        let mut command = ebert(["shards", "--log", "json"]);
        let said =
            succeed(command.args(more).args(support::TOKENIZER).arg("--corpus").arg(&corpus).arg("--out").arg(out));
        said.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["event"] == "step" && line["state"] == "made")
            .map(|line| line["step"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ["corpus", "pool", "graph", "pairs", "shards"];
    assert_eq!(made(&[], &out), all);
    assert_eq!(made(&[], &out), [""; 0]);
    for (what, options, steps) in [
        ("another seed", vec!["--seed", "1"], vec!["pairs", "shards"]),
        ("other thresholds", vec!["--seed", "1", "--min-score", "0.7"], vec!["pool", "pairs", "shards"]),
        (
            "fewer of a hub",
            vec!["--seed", "1", "--min-score", "0.7", "--max-per-product", "8"],
            vec!["pairs", "shards"],
        ),
        ("negatives of the category", vec!["--negatives", "category"], vec!["pool", "pairs", "shards"]),
        ("any negatives", vec![], vec!["pairs", "shards"]),
        ("shorter segments", vec!["--max-tokens", "128"], vec!["pairs", "shards"]),
        ("back", vec![], vec!["pairs", "shards"]),
        ("another limit", vec!["--max-unreadable", "0.5"], vec![]),
    ] {
        assert_eq!(made(&options, &out), steps, "{what}");
        let fresh = folder.path().join(what);
        made(&options, &fresh);
        assert_same(&fresh, &out, what);
    }
    // A file that holds no record decides nothing; one that holds records does.
    fs::write(corpus.join("notes.txt"), "nothing\n").unwrap();
    assert_eq!(made(&[], &out), [""; 0]);
    fs::write(corpus.join("zz.json"), "{\"asin\": \"B0\", \"title\": \"A new kettle\", \"also_buy\": []}\n").unwrap();
    assert_eq!(made(&[], &out), ["corpus", "pool", "graph", "pairs", "shards"]);
    let fresh = folder.path().join("new file");
    made(&[], &fresh);
    assert_same(&fresh, &out, "a new file");
}

/// Runs with a limit of open files and kills the run when `until` is there. Gives whether it was stopped early.
fn stop_when(out: &Path, open_files: u32, until: &Path) -> bool {
    let script = format!(
        "ulimit -n {open_files}; exec {:?} shards --bucket-mib 1 --threads 1 --out {out:?}",
        ebert(RUN).get_program()
    );
    let mut child = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(support::workspace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !until.exists() && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_stopped_run_goes_on_under_another_limit_of_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run_into(&whole, &[]);
    for (before, after) in [(44, 1000), (1000, 44)] {
        for until in ["spill/checkpoint.json", "corpus/products-00001.parquet", "corpus/products-00004.parquet"] {
            let out = folder.path().join(format!("{before}{}", until.len()));
            stop_when(&out, before, &out.join(until));
            stop_when(&out, after, &out.join("nothing"));
            run_into(&out, &[]);
            assert_same(&whole, &out, until);
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn going_back_to_earlier_options_after_a_kill_gives_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run_into(&whole, &[]);
    let out = folder.path().join("out");
    run_into(&out, &[]);
    for kill in 0..8u64 {
        let mut child = ebert(RUN)
            .args(["--max-tokens", "128", "--out"])
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + 25 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
        run_into(&out, &[]);
        assert_same(&whole, &out, "back to the first options");
    }
}

#[test]
fn a_table_that_vanishes_from_a_stopped_run_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run_into(&whole, &[]);
    for _ in 0..10 {
        let out = folder.path().join("stopped");
        let stopped = stop_when(&out, 1000, &out.join("corpus/products-00004.parquet"));
        let in_between = stopped && out.join("spill").exists();
        fs::remove_file(out.join("corpus/products-00001.parquet")).unwrap();
        run_into(&out, &[]);
        assert_same(&whole, &out, "a table was removed");
        fs::remove_dir_all(&out).unwrap();
        if in_between {
            return;
        }
    }
    panic!("no run was stopped while it wrote buckets");
}

/// As a copy without hidden files leaves it: the sealed files suffice.
#[test]
fn a_copy_without_hidden_files_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, copy] = ["whole", "copy"].map(|name| folder.path().join(name));
    for out in [&whole, &copy] {
        run_into(out, &[]);
    }
    fs::remove_dir_all(copy.join(".made")).unwrap();
    let shards = |said: String| said.lines().find(|line| line.starts_with("shards")).unwrap_or_default().to_owned();
    let line = shards(succeed(ebert(RUN).arg("--out").arg(&copy)));
    assert!(line.contains("up to date"), "{line}");
    assert_same(&whole.join("shards"), &copy.join("shards"), "the hidden files were removed");
    assert_same(&whole.join(".made/shards"), &copy.join(".made/shards"), "the records were removed");
}

/// Wherever documents are cut, each occurrence of a phrase is stored or counted as cut.
#[test]
fn spans_are_stored_or_counted_as_cut() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::create_dir(&raw).unwrap();
    // Every two words in a row are a phrase: the chain leaves no position to cut between phrases.
    let words = ["red", "blue", "green"];
    let text = words.repeat(200).join(" ");
    let review = serde_json::json!({"asin": "B1", "reviewerID": "A1", "overall": 5.0, "reviewText": text});
    fs::write(raw.join("reviews.json"), format!("{review}\n")).unwrap();
    let pool = folder.path().join("pool.txt");
    fs::write(&pool, "0.9\tred blue\n0.9\tblue green\n0.9\tgreen red\n").unwrap();
    for (max_tokens, segments) in [("100", 6), ("300", 2), ("510", 2)] {
        let out = folder.path().join(max_tokens);
        let mut command = ebert(["shards", "--nouns", "off", "--max-tokens", max_tokens, "--corpus"]);
        succeed(command.arg(&raw).args(support::TOKENIZER).arg("--pool").arg(&pool).arg("--out").arg(&out));
        let manifest = fs::read(out.join("shards/manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let count = |name: &str| manifest["counts"][name].as_u64().unwrap();
        let found = ["tokens", "segments", "phrase_spans", "cut_spans"].map(count);
        assert_eq!(found, [600, segments, 599 - (segments - 1), segments - 1], "--max-tokens {max_tokens}");
    }
}
