//! Scores of predictions: those of the usual programs, and those that a fine-tuning said.
mod support;

use std::{fs, path::Path, process::Command};

use ebert_tasks::{Task, metrics::score, predictions, read};
use support::{
    tasks::{Place, titles},
    text_of,
};

#[test]
fn scores_are_those_of_the_usual_programs() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tasks/fixture");
    let wanted: serde_json::Value = serde_json::from_slice(&fs::read(fixture.join("scores.json")).unwrap()).unwrap();
    for (task, data) in
        [(Task::Rqa, "rqa.json"), (Task::Ae, "aspects.xml"), (Task::Asc, "aspects.xml"), (Task::Pc, "pc.jsonl")]
    {
        let file = fixture.join(format!("{task}.predictions.jsonl"));
        let examples = read(task, &fixture.join(data)).unwrap().examples;
        let (judged, without) = predictions::read_beside(task, &file, &examples, &[]).unwrap();
        assert_eq!(without, 0);
        let scores = score(task, &judged).values(task);
        let mut said = Vec::new();
        for (name, found) in task.score_names().iter().zip(scores) {
            let wanted = wanted[task.as_str()][*name].as_f64().unwrap();
            assert!((found - wanted).abs() < 1e-12, "{task} {name}: found {found}, expected {wanted}");
            said.push(format!("{} {:.2}", name.replace('_', " "), 100.0 * wanted));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
        command.args(["evaluate", "--task", task.as_str(), "--min-titles", "1", "--data"]).arg(fixture.join(data));
        let output = command.arg("--predictions").arg(&file).output().unwrap();
        assert!(text_of(&output).contains(&said.join("   ")), "{}", text_of(&output));
    }
}

/// Which labels are rare is a matter of what was trained on.
#[test]
fn predictions_of_a_test_file_are_scored_as_they_were() {
    let place = Place::new();
    let lines = titles(120);
    let (train, test): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.len() % 3 > 0);
    // A label that is rare where is trained, and one that is rare in both.
    let more = |line: &str, label: &str| line.replacen("\"labels\":[", &format!("\"labels\":[\"{label}\","), 1);
    let train: Vec<String> = train
        .iter()
        .enumerate()
        .map(|(at, line)| if at < 2 { more(line, "Seldom") } else { (*line).to_owned() })
        .collect();
    let test: Vec<String> = test
        .iter()
        .enumerate()
        .map(|(at, line)| if at < 5 { more(line, "Seldom") } else { (*line).to_owned() })
        .collect();
    fs::write(place.path("train.jsonl"), train.join("\n")).unwrap();
    fs::write(place.path("test.jsonl"), test.join("\n")).unwrap();
    let output = place.finetune("pc", "train.jsonl", "run", &["--test", "test.jsonl", "--min-titles", "3"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let scores = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    let wanted = scores(&text_of(&output), "test      accuracy");
    let evaluate = |predictions: &str, more: &[&str]| {
        let arguments =
            ["evaluate", "--task", "pc", "--data", "test.jsonl", "--predictions", predictions, "--min-titles", "3"];
        let output = place.run(&[&arguments, more].concat());
        assert!(output.status.success(), "{}", text_of(&output));
        scores(&text_of(&output), "scores    accuracy")
    };
    assert_eq!(evaluate("run/predictions.jsonl", &["--trained-on", "train.jsonl"]), wanted);
    // What is right, as a prediction, is right, rare labels and all.
    let right: Vec<String> = test
        .iter()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            serde_json::json!({"id": line["id"], "prediction": line["labels"]}).to_string()
        })
        .collect();
    fs::write(place.path("right.jsonl"), right.join("\n")).unwrap();
    for more in [&[][..], &["--trained-on", "train.jsonl"]] {
        assert_eq!(evaluate("right.jsonl", more), "100.00   micro f1 100.00   macro f1 100.00");
    }
}

/// What the data leave out may be predicted, but is not part of the task.
#[test]
fn predictions_of_what_is_left_out_are_passed_over() {
    let place = Place::new();
    let aspect = |polarity: &str, place: [usize; 2]| {
        let [from, to] = place;
        format!("<aspectTerm term='cord' polarity='{polarity}' from='{from}' to='{to}'/>")
    };
    let aspects = [aspect("positive", [4, 8]), aspect("conflict", [13, 17]), aspect("negative", [0, 4])].concat();
    let sentence =
        format!("<sentence id='7'><text>the cord and cord</text><aspectTerms>{aspects}</aspectTerms></sentence>");
    fs::write(place.path("gold.xml"), format!("<sentences>{sentence}</sentences>")).unwrap();
    let evaluate = |classes: [&str; 3]| {
        let of = ["7#4-8", "7#13-17", "7#0-4"].into_iter().zip(classes);
        let lines = of.map(|(id, class)| serde_json::json!({"id": id, "prediction": class}).to_string());
        fs::write(place.path("predictions.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
        place.run(&["evaluate", "--task", "asc", "--data", "gold.xml", "--predictions", "predictions.jsonl"])
    };
    let output = evaluate(["positive", "negative", "neutral"]);
    assert!(output.status.success() && text_of(&output).contains("accuracy 100.00"), "{}", text_of(&output));
    let output = evaluate(["Positive", "negative", "neutral"]);
    assert!(text_of(&output).contains("`Positive` is not a polarity"), "{}", text_of(&output));
}
