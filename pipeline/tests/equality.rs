//! Same input, options and seed: the same bytes. For any number of threads and tasks, in steps or at once, with
//! few open files, and after kills at any moment.
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime},
};

use schemas::Draws;
use support::{assert_same, pipeline, real_arguments, real_data, succeed};

/// Small buckets: the sample has several.
const RUN: [&str; 3] = ["run", "--bucket-mib", "1"];

fn run_into(out: &Path, more: &[&str]) {
    succeed(pipeline(RUN).args(more).arg("--out").arg(out));
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    for threads in ["1", "2", "5"] {
        run_into(&out(threads), &["--threads", threads]);
        assert_same(&out("1"), &out(threads), threads);
    }
}

#[test]
fn steps_and_tasks_give_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    run_into(&out("one"), &[]);
    let step = |arguments: &[&str]| {
        succeed(pipeline(arguments.iter().copied()).args(["--bucket-mib", "1", "--out"]).arg(out("steps")));
    };
    step(&["corpus"]);
    step(&["pool", "--pool", "data/sample/pool.txt.gz"]);
    step(&["graph"]);
    for task in ["2/3", "0/3", "1/3"] {
        step(&["shards", "--task", task]);
    }
    step(&["pairs"]);
    step(&["seal"]);
    assert_same(&out("one"), &out("steps"), "steps");
}

#[test]
fn few_open_files_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    run_into(&out("many"), &[]);
    let program = pipeline(RUN);
    // 54 open files leave room for two spill files of each kind, for more buckets than that.
    let script =
        format!("ulimit -n 54; exec {:?} run --bucket-mib 1 --threads 2 --out {:?}", program.get_program(), out("few"));
    succeed(std::process::Command::new("bash").args(["-c", &script]).current_dir(support::workspace()));
    assert_same(&out("many"), &out("few"), "few open files");
}

fn times(folder: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().ends_with(".parquet"))
        .filter_map(|e| Some((e.file_name().to_string_lossy().into_owned(), e.metadata().ok()?.modified().ok()?)))
        .collect()
}

/// Kills runs into `out` at random moments of the time that a whole run takes, then lets one finish.
fn kill_and_continue(arguments: &[String], folder: &Path, kills: u64) {
    let whole = folder.join("whole");
    let since = Instant::now();
    succeed(pipeline(RUN).args(arguments).arg("--out").arg(&whole));
    let takes = since.elapsed();
    let out = folder.join("killed");
    let mut stopped_early = 0;
    let mut before: BTreeMap<String, SystemTime> = BTreeMap::new();
    for kill in 0..kills {
        // Later moments are reached by going on: each run starts where the last was stopped.
        let share = 0.02 + 0.6 * Draws::new(7, "kill", &kill.to_le_bytes()).unit();
        let mut child = pipeline(RUN)
            .args(arguments)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_secs_f64(takes.as_secs_f64() * share));
        child.kill().unwrap();
        stopped_early += u64::from(!child.wait().unwrap().success());
        // A finished bucket is not made again.
        let mut now = BTreeMap::new();
        for step in ["corpus", "shards"] {
            now.extend(times(&out.join(step)).into_iter().map(|(name, time)| (format!("{step}/{name}"), time)));
        }
        for (name, time) in &before {
            assert_eq!(now.get(name), Some(time), "`{name}` was made again");
        }
        // The tables of products are finished when the second one is; pairs are drawn as a whole.
        let recorded = |name: &str| out.join(".made").join(format!("{name}.json")).exists();
        now.retain(|name, _| !name.contains("pairs-") && recorded(&name.replace("associations-", "products-")));
        before = now;
        if kill % 4 == 3 {
            // From the start again, so that early moments are met, too.
            fs::remove_dir_all(&out).unwrap();
            before.clear();
        }
    }
    assert!(stopped_early > kills / 4, "{stopped_early} of {kills} runs were stopped early");
    succeed(pipeline(RUN).args(arguments).arg("--out").arg(&out));
    assert_same(&whole, &out, "killed and continued");
}

#[test]
fn killed_and_continued_gives_the_bytes_of_an_undisturbed_run() {
    let folder = tempfile::tempdir().unwrap();
    kill_and_continue(&[], folder.path(), 16);
}

#[test]
fn killed_and_continued_on_real_files() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    kill_and_continue(&real_arguments(&data), folder.path(), 8);
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
        let mut command = pipeline(["run", "--pool", "data/sample/pool.txt.gz", "--log", "json"]);
        let said = succeed(command.args(more).arg("--corpus").arg(&corpus).arg("--out").arg(out));
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
        ("shorter segments", vec!["--max-tokens", "128"], vec!["pool", "pairs", "shards"]),
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
    assert_eq!(made(&[], &out), ["corpus", "graph", "pairs", "shards"]);
    let fresh = folder.path().join("new file");
    made(&[], &fresh);
    assert_same(&fresh, &out, "a new file");
}

/// Runs with a limit of open files and kills the run when `until` is there. Gives whether it was stopped early.
fn stop_when(out: &Path, open_files: u32, until: &Path) -> bool {
    let script = format!(
        "ulimit -n {open_files}; exec {:?} run --bucket-mib 1 --threads 1 --out {out:?}",
        pipeline(RUN).get_program()
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
        let mut child = pipeline(RUN)
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
