//! One run in several ways: in parts, in bfloat16, in several processes, with one of them lost. The
//! losses are those of one process in float32, up to rounding, since dropout is off.
#[path = "../../kernels/tests/support/port.rs"]
mod port;
mod support;

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use ebert_kernels::group;
use port::free_port;
use support::{
    Place, RUN, WHOLE_NEIGHBOR, assert_alike, assert_bfloat16_is_near, numbers, start as start_model, text_of,
};

/// The span boundary objective.
const BOUNDARY: [&str; 4] = ["--set", "scheme=span", "--set", "masking.span_boundary=true"];

/// Prints why nothing is tested if this build cannot exchange.
fn without_gloo() -> bool {
    if !group::has_gloo() {
        println!("skipped: built without Gloo (its headers are in Debian's libgloo-dev)");
    }
    !group::has_gloo()
}

/// Starts the processes of one run.
fn start(place: &Place, run: &str, size: usize, more: &[&str]) -> Vec<Child> {
    let port = free_port();
    (0..size).map(|rank| begin(place, (run, rank, size), port, more)).collect()
}

/// Starts one of them.
fn begin(place: &Place, which: (&str, usize, usize), port: u16, more: &[&str]) -> Child {
    command_of(place, which, port, more).spawn().unwrap()
}

/// The command of one of them.
fn command_of(place: &Place, (run, rank, size): (&str, usize, usize), port: u16, more: &[&str]) -> Command {
    let mut command: Command = place.command(&RUN);
    command.args(["--out", run]).args(more).envs([
        ("RANK", rank.to_string()),
        ("WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(processes: Vec<Child>) -> Vec<Output> {
    processes.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn run(place: &Place, run: &str, size: usize, more: &[&str]) -> Vec<Output> {
    let outputs = finish(start(place, run, size, more));
    for (rank, output) in outputs.iter().enumerate() {
        assert_eq!(output.status.code(), Some(0), "rank {rank}: {}", text_of(output));
    }
    outputs
}

#[test]
fn parts_of_a_step_give_the_losses_of_the_whole() {
    let place = Place::new();
    for (name, more) in [
        ("whole", &[][..]),
        ("parts", &["--set", "optimizer.micro_batch_tokens=40"]),
        ("tokens", &["--set", "optimizer.tokens=1024", "--set", "stage.0.steps=6", "--set", "stage.1.steps=3"]),
    ] {
        let output = place.command(&RUN).args(["--out", name]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    }
    assert_alike(&place, "parts", "whole", 2e-3);
    for (name, micro_batch) in [("whole groups", "0"), ("parts of groups", "40")] {
        let micro_batch = format!("optimizer.micro_batch_tokens={micro_batch}");
        let output = place
            .command(&RUN)
            .args(["--out", name, "--set", &micro_batch])
            .args(WHOLE_NEIGHBOR)
            .args(BOUNDARY)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    }
    assert_alike(&place, "parts of groups", "whole groups", 2e-3);
    // Steps of about as many tokens as were asked for: a sequence belongs to the step in which it
    // begins.
    let steps: Vec<u64> = numbers(&place, "tokens")
        .iter()
        .filter_map(|line| line.1.split_once('"').and_then(|_| line.1.rsplit('"').next()?.parse().ok()))
        .collect();
    // The last steps of an epoch may be short.
    for pair in steps[..4].windows(2) {
        assert!((1024 - 32..=1024 + 32).contains(&(pair[1] - pair[0])), "{steps:?}");
    }
}

#[test]
fn bfloat16_stays_near_float32() {
    let place = Place::new();
    for compute in ["float32", "bfloat16"] {
        let compute_in = format!("compute={compute}");
        let slowly = ["--set", &compute_in, "--set", "optimizer.learning_rate=1e-3"];
        let output = place.command(&RUN).args(["--out", compute]).args(slowly).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    }
    assert_bfloat16_is_near(&place, "bfloat16", "float32");
}

#[test]
fn two_processes_give_the_losses_of_one() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    run(&place, "one", 1, &[]);
    let outputs = run(&place, "two", 2, &[]);
    assert_alike(&place, "two", "one", 2e-3);
    // Rank 0 talks; the other is silent.
    assert!(text_of(&outputs[0]).contains("2 processes") && text_of(&outputs[1]).is_empty(), "{outputs:?}");
    run(&place, "three", 3, &[]);
    assert_alike(&place, "three", "one", 2e-3);
    // What is not trained yet is the same to the last bit or nearly so.
    let [first, wanted] = ["two", "one"].map(|run| numbers(&place, run)[1].2[0]);
    assert!((first - wanted).abs() < 1e-6, "{first} {wanted}");
    for (name, size) in [("groups, one", 1), ("groups, two", 2)] {
        run(&place, name, size, &[&WHOLE_NEIGHBOR[..], &BOUNDARY].concat());
    }
    assert_alike(&place, "groups, two", "groups, one", 2e-3);
    let again = run(&place, "two", 2, &[]);
    assert!(text_of(&again[0]).contains("up to date"), "{}", text_of(&again[0]));
}

#[test]
fn two_processes_give_the_losses_of_one_while_a_fresh_head_trains_alone() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    start_model(&place, 0, |name| (!name.starts_with("cls.")).then(|| name.to_owned()));
    let more = ["--init", "start", "--set", "fresh_head_steps=30"];
    run(&place, "one", 1, &more);
    run(&place, "two", 2, &more);
    assert_alike(&place, "two", "one", 2e-3);
}

#[test]
fn pairs_of_texts_give_the_same_losses_in_parts_on_threads_and_in_processes() {
    let place = Place::new();
    let pairs = |name: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
        command.args(["pretrain", "--device", "cpu", "--shards", "."]).args(RUN).current_dir(place.folder.path());
        let output = command.args(["--out", name, "--set", "data.text_pairs=0.5"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    };
    pairs("whole", &["--threads", "1"]);
    pairs("parts", &["--threads", "1", "--set", "optimizer.micro_batch_tokens=40"]);
    pairs("threads", &["--threads", "2"]);
    assert_alike(&place, "parts", "whole", 2e-3);
    assert_alike(&place, "threads", "whole", 2e-3);
    if !without_gloo() {
        run(&place, "two", 2, &["--set", "data.text_pairs=0.5"]);
        assert_alike(&place, "two", "whole", 2e-3);
    }
    // They are other sequences.
    let output = place.command(&RUN).args(["--out", "none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert_ne!(numbers(&place, "none")[1].1, numbers(&place, "whole")[1].1);
}

#[test]
fn processes_that_would_train_different_things_are_refused() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    let port = free_port();
    let outputs = finish(
        (0..2).map(|rank| begin(&place, ("apart", rank, 2), port, &["--set", &format!("seed={rank}")])).collect(),
    );
    for output in outputs {
        assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
        let wanted =
            "error: rank 1 would train something else than rank 0\n  recipe, seed: 1 there, 0 on rank 0\nhint: ";
        assert!(text_of(&output).contains(wanted), "{}", text_of(&output));
    }
    assert!(!place.path("apart").join("checkpoints").exists());
}

#[test]
fn a_lost_process_ends_the_others_and_any_number_goes_on() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    let long = ["--set", "stage.0.steps=4000", "--set", "checkpoint.every=20"];
    let mut processes = start(&place, "lost", 2, &long);
    place.wait_for("lost", 50, &mut processes[1]);
    processes[1].kill().unwrap();
    let since = Instant::now();
    let outputs = finish(processes);
    assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
    let text = text_of(&outputs[0]);
    assert_eq!(outputs[0].status.code(), Some(1), "{text}");
    assert!(text.contains("rank 0 of 2 lost another rank") && text.contains("hint: "), "{text}");

    // SIGTERM to one of three stops all of them, at the same step.
    let mut processes = start(&place, "lost", 3, &long);
    let before = place.lines("lost");
    place.wait_for("lost", before + 30, &mut processes[2]);
    let term = Command::new("kill").args(["-TERM", &processes[2].id().to_string()]).status().unwrap();
    assert!(term.success());
    let outputs = finish(processes);
    for output in &outputs {
        assert_eq!(output.status.code(), Some(75), "{}", text_of(output));
    }
    assert!(text_of(&outputs[0]).contains("resumes from step"), "{}", text_of(&outputs[0]));
    let state = fs::read_to_string(place.path("lost/model/../state/trainer_state.json")).unwrap();
    let step = serde_json::from_str::<serde_json::Value>(&state).unwrap()["step"].as_u64().unwrap();
    assert!(step > 20 && step < 4000);

    // One process resumes where three were.
    let mut alone = start(&place, "lost", 1, &long);
    place.wait_for("lost", step as usize + 40, &mut alone[0]);
    alone[0].kill().unwrap();
    finish(alone);
}

/// A rank that hangs keeps its connections open, so that only the time limit detects it.
#[test]
fn a_process_that_hangs_is_given_up_after_the_time_limit() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    let seconds = 10;
    let port = free_port();
    let command = |rank| {
        let mut command = command_of(&place, ("hung", rank, 2), port, &["--set", "stage.0.steps=4000"]);
        command.env("EBERT_RANK_SECONDS", seconds.to_string());
        command
    };
    let mut processes = [0, 1].map(|rank| command(rank).spawn().unwrap());
    place.wait_for("hung", 20, &mut processes[0]);
    let [mut hung, other] = processes;
    let since = Instant::now();
    let signal = Command::new("kill").args(["-STOP", &hung.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let output = other.wait_with_output().unwrap();
    hung.kill().unwrap();
    hung.wait().unwrap();
    let waited = since.elapsed();
    assert!(waited > Duration::from_secs(seconds - 1) && waited < Duration::from_secs(60), "{waited:?}");
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert!(text_of(&output).contains("rank 1 of 2 lost another rank while it "), "{}", text_of(&output));
}

#[test]
fn losses_across_a_cut_are_those_of_a_run_that_never_stopped() {
    if without_gloo() {
        return;
    }
    let place = Place::new();
    let often = ["--set", "checkpoint.every=10"];
    run(&place, "uncut", 1, &often);
    // Two processes, one of which is lost in either stage. Then three, then one.
    for (size, after) in [(2, 30), (3, 66)] {
        let mut processes = start(&place, "cut", size, &often);
        place.wait_for("cut", after, &mut processes[1]);
        processes[1].kill().unwrap();
        let outputs = finish(processes);
        assert_eq!(outputs[0].status.code(), Some(1), "{}", text_of(&outputs[0]));
    }
    run(&place, "cut", 1, &often);
    assert_alike(&place, "cut", "uncut", 2e-3);
}
