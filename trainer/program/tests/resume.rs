//! Resume equals no interruption: the same losses and the same weights, bit for bit on the CPU.
mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
};

use ebert_bert::weights;

use tch::Tensor;

use support::{Place, WHOLE_NEIGHBOR, text_of};

const STEPS: [&str; 4] = ["--set", "stage.0.steps=400", "--set", "stage.1.steps=200"];

fn start(place: &Place, run: &str) -> Child {
    let mut command = place.command(&["--recipe", "tiny.toml", "--out", run]);
    command.args(STEPS).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn finish(place: &Place, run: &str) -> String {
    let output = place.command(&["--recipe", "tiny.toml", "--out", run]).args(STEPS).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    text_of(&output)
}

/// Compares a run's metrics line by line, and its weights.
fn assert_equal(place: &Place, run: &str, wanted: &str) {
    let (found, metrics) = (place.metrics(run), place.metrics(wanted));
    for (found, wanted) in found.iter().zip(&metrics) {
        assert_eq!(found, wanted, "{run}");
    }
    assert_eq!(found.len(), metrics.len(), "{run}");
    assert!(place.weights(run) == place.weights(wanted), "{run}: the weights differ");
}

#[test]
fn stopped_and_killed_runs_end_as_if_they_never_were() {
    let place = Place::new();
    finish(&place, "whole");

    // The same seed gives the same numbers twice.
    finish(&place, "again");
    assert_equal(&place, "again", "whole");

    // SIGTERM saves where it is: in the first stage, in its second epoch, and in the second stage.
    for line in [10, 130, 470] {
        let mut child = start(&place, "stopped");
        place.wait_for("stopped", line, &mut child);
        // As schedulers do: twice.
        signal(&child, "-TERM");
        signal(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(75));
    }
    let text = finish(&place, "stopped");
    assert!(text.contains("resume    from step"), "{text}");
    assert_equal(&place, "stopped", "whole");

    // SIGKILL falls back to the last checkpoint.
    for line in [3, 150, 450] {
        let mut child = start(&place, "killed");
        place.wait_for("killed", line, &mut child);
        signal(&child, "-KILL");
        child.wait().unwrap();
    }
    finish(&place, "killed");
    assert_equal(&place, "killed", "whole");
}

#[test]
fn weights_of_objectives_resume_and_are_not_exported() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=20", "--set", "stage.1.steps=400", "--set", "checkpoint.every=30"];
    let span = ["--set", "scheme=span", "--set", "masking.span_boundary=true"];
    let command = |run: &str| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--out", run]);
        command.args(steps).args(WHOLE_NEIGHBOR).args(span);
        command
    };
    let finish = |run: &str| {
        let output = command(run).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    };
    finish("whole");
    let losses = |run: &str| -> Vec<f64> {
        let lines = place.metrics(run);
        let boundary =
            |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["boundary_loss"].as_f64();
        lines.iter().filter_map(boundary).collect()
    };
    let boundary = losses("whole");
    assert_eq!(boundary.len(), 420);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(
        mean(&boundary[320..]) < 0.85 * mean(&boundary[..5]),
        "{} {}",
        mean(&boundary[320..]),
        mean(&boundary[..5])
    );
    for (name, line) in [("-TERM", 70), ("-KILL", 200)] {
        let mut child = command("cut").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        place.wait_for("cut", line, &mut child);
        signal(&child, name);
        child.wait().unwrap();
    }
    finish("cut");
    assert_equal(&place, "cut", "whole");
    let tensors = |run: &str, file: &str| weights::read(&place.path(run).join("model").join(file)).unwrap();
    let of_objectives = |run: &str| {
        let files = ["neighbor.safetensors", "../state/objectives.safetensors"];
        files.into_iter().flat_map(|file| tensors(run, file)).collect::<Vec<_>>()
    };
    let [cut, whole] = ["cut", "whole"].map(of_objectives);
    let is_of_objective = |name: &str| name.starts_with("neighbor.") || name.starts_with("span_boundary.");
    assert!(cut.len() == 11 && cut.iter().all(|(name, _)| is_of_objective(name)));
    let of = |tensors: &[(String, Tensor)]| -> BTreeMap<String, Vec<f32>> {
        let values = |tensor: &Tensor| Vec::try_from(tensor.view([-1])).unwrap();
        tensors.iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect()
    };
    assert!(of(&cut) == of(&whole));
    // All of them have learned.
    let first = place
        .command(&["--recipe", "tiny.toml", "--out", "first"])
        .args(WHOLE_NEIGHBOR)
        .args(span)
        .args(["--set", "stage.0.steps=1", "--set", "stage.1.steps=1", "--set", "optimizer.learning_rate=1e-30"])
        .output()
        .unwrap();
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let fresh = of(&of_objectives("first"));
    let moved =
        |(name, values): (&String, &Vec<f32>)| values.iter().zip(&fresh[name]).any(|(a, b)| (a - b).abs() > 1e-6);
    assert!(of(&whole).iter().all(moved));
    assert!(!tensors("whole", "model.safetensors").iter().any(|(name, _)| is_of_objective(name)));
}

/// Moves the files of checkpoints to where version 0.1 wrote them.
fn as_in_version_0_1(place: &Place, run: &str) {
    for checkpoint in fs::read_dir(place.path(run).join("checkpoints")).unwrap() {
        let folder = checkpoint.unwrap().path();
        for part in ["model", "state"].map(|part| folder.join(part)) {
            for file in fs::read_dir(&part).unwrap() {
                let file = file.unwrap();
                let name = file.file_name();
                let name = if name == "neighbor.safetensors" { "objectives.safetensors".into() } else { name };
                fs::rename(file.path(), folder.join(name)).unwrap();
            }
            fs::remove_dir(&part).unwrap();
        }
    }
    for link in ["model", "best"].map(|link| place.path(run).join(link)) {
        if let Ok(target) = fs::read_link(&link) {
            fs::remove_file(&link).unwrap();
            symlink(target.parent().unwrap(), &link).unwrap();
        }
    }
}

#[test]
fn runs_of_version_0_1_resume() {
    let place = Place::new();
    let run = |name: &str, more: &[&str]| {
        let arguments = [&["--recipe", "tiny.toml", "--out", name], &WHOLE_NEIGHBOR[..], more].concat();
        let output = place.run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        text_of(&output)
    };
    run("whole", &[]);
    run("old", &["--set", "stage.1.steps=20"]);
    as_in_version_0_1(&place, "old");
    assert!(run("old", &["--set", "stage.1.steps=20"]).contains("up to date"));
    let text = run("old", &["--extend"]);
    assert!(text.contains("resume    from step 120 of 160"), "{text}");
    // The learning rate followed another schedule, so the weights differ, but these are as in a new run.
    let last = place.path("old/model").canonicalize().unwrap();
    assert!(last.ends_with("step-00000160/model") && last.join("neighbor.safetensors").is_file(), "{last:?}");

    // Stopped without a new schedule, it ends as if it never was.
    let mut child = place.command(&[&["--recipe", "tiny.toml", "--out", "cut"], &WHOLE_NEIGHBOR[..]].concat());
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("cut", 70, &mut child);
    signal(&child, "-TERM");
    child.wait().unwrap();
    as_in_version_0_1(&place, "cut");
    run("cut", &[]);
    assert_equal(&place, "cut", "whole");
}

#[test]
fn another_process_in_the_same_folder_is_refused() {
    let place = Place::new();
    let mut child = start(&place, "busy");
    place.wait_for("busy", 5, &mut child);
    let output = place.command(&["--recipe", "tiny.toml", "--out", "busy"]).args(STEPS).output().unwrap();
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("another process is training"), "{}", text_of(&output));
}

#[test]
fn a_full_disk_leaves_the_checkpoint_before() {
    let place = Place::new();
    let mut child = start(&place, "full");
    place.wait_for("full", 70, &mut child);
    signal(&child, "-TERM");
    child.wait().unwrap();
    let before = place.weights("full");
    // No file may grow past 20 KB, and going there is an error, not a signal.
    let script = "trap '' XFSZ; ulimit -f 20; exec \"$0\" \"$@\"";
    let trainer = place.command(&["--recipe", "tiny.toml", "--out", "full"]);
    let arguments: Vec<_> = trainer.get_args().map(|a| a.to_owned()).collect();
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(trainer.get_program())
        .args(arguments)
        .args(STEPS)
        .current_dir(place.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert!(text_of(&output).contains("free some disk space"), "{}", text_of(&output));
    assert!(place.weights("full") == before);
    finish(&place, "full");
    finish(&place, "whole");
    assert_equal(&place, "full", "whole");
}

#[test]
fn when_to_save_and_measure_may_change() {
    let place = Place::new();
    let run = |name: &str, more: &[&str]| {
        let arguments = [&["--recipe", "tiny.toml", "--out", name][..], more].concat();
        place.command(&arguments).args(STEPS).output().unwrap()
    };
    let output = run("whole", &["--set", "measure.every=0"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));

    let mut child = start(&place, "other");
    place.wait_for("other", 70, &mut child);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let other = ["measure.every=77", "checkpoint.every=33", "checkpoint.keep=5"];
    let output = run("other", &other.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(place.weights("other") == place.weights("whole"), "the weights differ");

    // Alpha follows what is measured.
    let measured = |every: &str| run("measured", &["--set", "switch.rule=measured", "--set", every]);
    assert_eq!(measured("measure.every=50").status.code(), Some(0));
    let output = measured("measure.every=77");
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("recipe, measure.every: it was"), "{}", text_of(&output));

    let output = run("other", &["--set", "optimizer.learning_rate=2e-2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("recipe, optimizer.learning_rate: it was"), "{}", text_of(&output));
}

#[test]
fn pairs_of_texts_come_again_after_a_stop() {
    let place = Place::new();
    let start = |run: &str| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--out", run, "--set", "data.text_pairs=0.5"]);
        command.args(["--set", "checkpoint.every=7"]).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    assert!(start("whole").wait().unwrap().success());
    let mut child = start("stopped");
    place.wait_for("stopped", 25, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(start("stopped").wait().unwrap().success());
    assert_equal(&place, "stopped", "whole");
}

#[test]
fn a_run_is_extended_if_asked() {
    let place = Place::new();
    let run = |steps: [&str; 2], more: &[&str]| {
        let [first, second] = steps.map(|steps| steps.to_owned());
        let mut command = place.command(&["--recipe", "tiny.toml", "--out", "longer"]);
        command.args(["--set", &format!("stage.0.steps={first}"), "--set", &format!("stage.1.steps={second}")]);
        command.args(["--set", "switch.warmup_epochs=1"]).args(more).output().unwrap()
    };
    let succeeds = |output: &std::process::Output| assert_eq!(output.status.code(), Some(0), "{}", text_of(output));
    succeeds(&run(["20", "10"], &[]));

    let output = run(["20", "25"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = text_of(&output);
    assert!(text.contains("stage.1.steps: it was 10, now 25\nhint: `--extend` continues it"), "{text}");

    let output = run(["25", "25"], &["--extend"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("`--extend` cannot change stage 1: step 30"), "{}", text_of(&output));

    let output = run(["20", "25"], &["--extend"]);
    succeeds(&output);
    let text = text_of(&output);
    assert!(text.contains("resume    from step 30 of 45"), "{text}");
    // A tenth of the steps that were planned first.
    assert!(text.contains("switch    T1 stays at 3 steps"), "{text}");
    let steps = place.metrics("longer").iter().filter(|line| line.contains("\"learning_rate\"")).count();
    assert_eq!(steps, 45);
    let output = run(["20", "25"], &[]);
    succeeds(&output);
    assert!(text_of(&output).contains("up to date"), "{}", text_of(&output));
    let starts = fs::read_to_string(place.path("longer/run.json")).unwrap();
    assert!(starts.contains("\"step\": 0"), "the first start is forgotten: {starts}");
    let output = run(["20", "10"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("stage.1.steps: it was 25, now 10"), "{}", text_of(&output));
}
