//! A masked-LM head that starts fresh trains alone at first: nothing else changes by a bit, and
//! stopped runs, parts of steps and several processes stay equal.
mod support;

use std::{collections::BTreeMap, fs, process::Stdio};

use ebert_bert::weights;
use serde_json::Value;
use support::{Place, assert_alike, start, text_of};
use tch::Tensor;

/// 30 steps of the head, 30 of all weights, then 20 with pairs.
const RUN: [&str; 10] = [
    "--recipe",
    "tiny.toml",
    "--init",
    "start",
    "--set",
    "fresh_head_steps=30",
    "--set",
    "stage.0.steps=60",
    "--set",
    "stage.1.steps=20",
];

fn headless(name: &str) -> Option<String> {
    (!name.starts_with("cls.")).then(|| name.to_owned())
}

/// A folder with a start model without a head.
fn place() -> Place {
    let place = Place::new();
    start(&place, 0, headless);
    place
}

/// Runs to the end, and returns the output.
fn run(place: &Place, name: &str, more: &[&str]) -> String {
    let output = place.command(&RUN).args(["--out", name]).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    text_of(&output)
}

fn tensors(place: &Place, path: &str) -> BTreeMap<String, Tensor> {
    weights::read(&place.path(path)).unwrap().into_iter().collect()
}

/// The values of a key in a run's steps.
fn values(place: &Place, run: &str, key: &str) -> Vec<Value> {
    let lines = place.metrics(run);
    let steps = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    steps.filter(|line| line.get("learning_rate").is_some()).map(|line| line[key].clone()).collect()
}

#[test]
fn an_estimate_of_a_head_alone_needs_no_pairs() {
    let place = place();
    let stage = ["--set", "stage.0.neighbor=true", "--set", "stage.0.steps=20", "--dry-run"];
    assert!(run(&place, "estimate", &stage).contains("expect    "));
}

#[test]
fn the_encoder_does_not_change_by_a_bit_while_the_head_trains_alone() {
    let place = place();
    let often = ["--set", "checkpoint.every=30", "--set", "checkpoint.keep=9"];
    let printed = run(&place, "run", &often);
    assert!(
        printed.contains("head      the masked-LM head starts fresh, and trains alone for 30 of 80 steps"),
        "{printed}"
    );

    let start = tensors(&place, "start/model.safetensors");
    let [alone, after] =
        [30, 60].map(|step| tensors(&place, &format!("run/checkpoints/step-{step:08}/model/model.safetensors")));
    for (name, tensor) in &start {
        assert!(tensor.equal(&alone[name]), "{name} has changed");
        assert!(!tensor.equal(&after[name]) || name.contains("token_type"), "{name} has not changed");
    }
    let head: Vec<&String> = alone.keys().filter(|name| !start.contains_key(*name)).collect();
    assert_eq!(head.len(), 5);
    assert!(head.iter().all(|name| !alone[*name].equal(&after[*name])));
    // Neither do the encoder's moving averages.
    let state = tensors(&place, "run/checkpoints/step-00000030/state/optimizer.safetensors");
    for (name, average) in state {
        let is_zero = average.abs().max().double_value(&[]) == 0.0;
        assert_eq!(is_zero, !name.contains("cls.predictions"), "{name}");
    }
    let state = fs::read_to_string(place.path("run/checkpoints/step-00000060/state/trainer_state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((&state["optimizer_steps"], &state["head_steps"]), (&60.into(), &30.into()));

    let trains = values(&place, "run", "trains");
    assert!(trains[..30].iter().all(|trains| *trains == "head") && trains[30..].iter().all(Value::is_null));
    let losses: Vec<f64> = values(&place, "run", "loss").iter().filter_map(Value::as_f64).collect();
    assert!(losses[29] < losses[0] - 0.1, "{losses:?}");

    // Without such steps the same start trains at once, and a start with a head does so by default.
    run(&place, "off", &["--set", "fresh_head_steps=0"]);
    assert!(values(&place, "off", "trains").iter().all(Value::is_null));
    support::start(&place, 0, |name| Some(name.to_owned()));
    assert!(!run(&place, "whole", &[]).contains("head  "));
}

#[test]
fn a_stage_of_the_head_alone_is_one_of_the_recipe() {
    let place = place();
    let stage = ["--set", "stage.0.trains=head", "--set", "stage.0.steps=30", "--set", "stage.1.neighbor=false"];
    let printed = run(&place, "stage", &stage);
    assert!(printed.contains("tiny: 30 steps of the head alone on products, reviews"), "{printed}");
    let trains = values(&place, "stage", "trains");
    assert_eq!(trains.iter().filter(|trains| **trains == "head").count(), 30);

    let output = place.command(&RUN).args(["--set", "stage.1.trains=head"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output).contains("stage.1.neighbor is true, expected false with trains"), "{}", text_of(&output));
}

#[test]
fn pairs_wait_until_the_encoder_trains() {
    let place = place();
    let printed = run(&place, "pairs", &["--set", "stage.0.neighbor=true"]);
    assert!(printed.contains("and pairs"), "{printed}");
    let losses = values(&place, "pairs", "neighbor_loss");
    assert!(losses[..30].iter().all(Value::is_null) && losses[30..].iter().all(Value::is_number), "{losses:?}");
}

#[test]
fn stopped_runs_end_as_if_they_never_were() {
    let place = place();
    run(&place, "whole", &[]);
    // While the head trains alone, and shortly after.
    for line in [10, 36] {
        let mut command = place.command(&RUN);
        let mut child = command.args(["--out", "stopped"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        place.wait_for("stopped", line, &mut child);
        let term = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(term.success());
        assert_eq!(child.wait().unwrap().code(), Some(75));
    }
    run(&place, "stopped", &[]);
    assert_eq!(place.metrics("stopped"), place.metrics("whole"));
    assert!(place.weights("stopped") == place.weights("whole"), "the weights differ");
}

#[test]
fn parts_of_a_step_give_the_losses_of_the_whole() {
    let place = place();
    let without_dropout = ["--set", "dropout=0.0", "--set"];
    run(&place, "whole", &[&without_dropout[..], &["seed=0"]].concat());
    run(&place, "parts", &[&without_dropout[..], &["optimizer.micro_batch_tokens=40"]].concat());
    assert_alike(&place, "parts", "whole", 2e-3);
}
