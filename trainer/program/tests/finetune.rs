//! Fine-tuning as whole commands: each task from its file to scores, and what is refused.
mod support;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use ebert_bert::{BertConfig, weights};
use ebert_kernels::device::Machine;
use ebert_tasks::{Task, read};
use support::{
    tasks::{Place, grid, make_model, sentences},
    text_of,
};

/// What a command says, without what a clock decides, and scores, which another CPU may round to
/// others.
fn timeless(text: &str) -> String {
    let scored =
        |line: &&str| line.starts_with("          ") && line.contains("e-3") || line.starts_with("test      pre");
    let lines = text.lines().filter(|line| !scored(line) && !line.starts_with("test      acc"));
    lines.map(|line| if line.starts_with("kept ") { "kept      …" } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_task_goes_from_its_file_to_scores_and_the_same_ones_twice() {
    let place = Place::new();
    let mut said = String::new();
    for (task, data, least, more) in [
        ("rqa", "rqa.json", 0.8, vec![]),
        ("ae", "aspects.xml", 0.8, vec!["--test", "test.xml"]),
        ("asc", "aspects.xml", 0.6, vec![]),
        ("pc", "titles.jsonl", 0.6, vec!["--min-titles", "2"]),
    ] {
        let output = place.finetune(task, data, task, &more);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        let text = text_of(&output);
        let _ = write!(said, "{}\n\n", timeless(&text));
        let metrics = place.metrics(task);
        let parsed: Task = serde_json::from_value(metrics["identity"]["task"].clone()).unwrap();
        let deciding = parsed.score_names()[parsed.deciding()];
        let reached = metrics["test"][deciding].as_f64().unwrap();
        assert!(reached > least, "{task}: {reached}\n{text}");
        let config = BertConfig::read(&place.path(task).join("model")).unwrap();
        assert_eq!(config.hidden_size, 32);

        // Again, elsewhere: the same numbers and the same weights.
        assert_eq!(place.finetune(task, data, "again", &more).status.code(), Some(0));
        assert_eq!(place.metrics("again"), metrics);
        for file in ["predictions.jsonl", "model/model.safetensors", "model/config.json"] {
            let [first, second] = [task, "again"].map(|run| fs::read(place.path(run).join(file)).unwrap());
            assert!(first == second, "{task}: {file} differs");
        }
        fs::remove_dir_all(place.path("again")).unwrap();

        // What was predicted has the scores that were said.
        let scored = if more.first() == Some(&"--test") { "test.xml" } else { data };
        let predictions = place.path(task).join("predictions.jsonl");
        let mut arguments = vec!["evaluate", "--task", task, "--data", scored, "--predictions"];
        arguments.push(predictions.to_str().unwrap());
        if task == "pc" {
            arguments.extend(["--min-titles", "2"]);
        }
        let evaluated = text_of(&place.run(&arguments));
        let said_of_test =
            text.lines().find_map(|line| line.strip_prefix("test      prec").or(line.strip_prefix("test      acc")));
        assert!(evaluated.contains(said_of_test.unwrap()), "{evaluated}");

        let output = place.finetune(task, data, task, &more);
        assert!(text_of(&output).starts_with("up to date: "), "{}", text_of(&output));
    }
    insta::assert_snapshot!("finetune", said.replace(place.folder.path().to_str().unwrap(), "PLACE"));
}

#[test]
fn programs_read_epochs_and_the_result() {
    let place = Place::new();
    let options = ["--min-titles", "2", "--epochs", "2", "--device", "cpu", "--threads", "1", "--log", "json"];
    let run = || {
        let arguments = ["finetune", "--model", "bert", "--task", "pc", "--data", "titles.jsonl", "--out", "run"];
        support::events(&place.run(&[&arguments[..], &options].concat()))
    };
    let lines = run();
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["split", "epoch", "epoch", "result"]);
    let (result, metrics) = (&lines[3], place.metrics("run"));
    for name in ["sizes", "validation", "test", "learning_rate", "epochs"] {
        assert_eq!(result[name], metrics[name], "{name}");
    }
    assert_eq!((&lines[0]["sizes"], &lines[1]["loss"]), (&metrics["sizes"], &metrics["trials"][0]["loss"]));
    assert_eq!((&result["state"], &result["task"]), (&"made".into(), &"pc".into()));
    let again = run();
    assert_eq!((again.len(), &again[0]["state"]), (1, &"up_to_date".into()));
}

#[test]
fn wrong_values_are_named_as_options() {
    let place = Place::new();
    for (option, wanted) in [
        (["--learning-rate", "1e-4,0"], "error: `--learning-rate` is 0.0001,0.0, expected a number above 0\n"),
        (["--warmup", "2"], "error: `--warmup` is 2.0, expected a ratio from 0 to 1\n"),
    ] {
        let arguments = ["finetune", "--model", "bert", "--task", "pc", "--data", "titles.jsonl", "--out", "run"];
        let output = place.run(&[&arguments[..], &option].concat());
        assert_eq!((output.status.code(), text_of(&output).as_str()), (Some(2), wanted));
    }
}

#[test]
fn sequences_longer_than_those_of_training_are_noted() {
    let place = Place::new();
    let path = place.path("bert/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut tune = |trained_on: usize| {
        config["trained_sequence_length"] = trained_on.into();
        fs::write(&path, config.to_string()).unwrap();
        let run = format!("run-{trained_on}");
        let output = place.run(
            &[
                &["finetune", "--model", "bert", "--task", "rqa", "--data", "rqa.json", "--out", &run, "--limit", "20"]
                    [..],
                &["--epochs", "1", "--threads", "1", "--device", "cpu"],
            ]
            .concat(),
        );
        assert!(output.status.success(), "{}", text_of(&output));
        let count = place.metrics(&run)["notes"]["sequences longer than those that the model was trained on"].as_u64();
        (text_of(&output), count)
    };
    let (text, count) = tune(20);
    let count = count.unwrap();
    assert!(text.contains(&format!("note      {count} of ")), "{text}");
    let wanted = " sequences are longer than the 20 tokens of the model's training sequences, up to 48\nhint: `--max-tokens 20`, or";
    assert!(text.contains(wanted), "{text}");
    let (text, count) = tune(48);
    assert!(!text.contains("note  ") && count.is_none(), "{text}");
}

#[test]
fn heads_of_whole_sequences_read_the_mean_or_a_fresh_pooler_if_asked() {
    let place = Place::new();
    let config = |run: &str| {
        let text = fs::read_to_string(place.path(run).join("model/config.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let weights = |run: &str| {
        let stored = weights::read(&place.path(run).join("model/model.safetensors")).unwrap();
        stored.into_iter().map(|(name, _)| name).filter(|name| !name.starts_with("bert.e")).collect::<Vec<_>>()
    };
    let tune = |run, more: &[&str]| {
        let output = place.finetune("pc", "titles.jsonl", run, &[&["--min-titles", "2"], more].concat());
        assert!(output.status.success(), "{}", text_of(&output));
        assert!(place.metrics(run)["test"]["micro_f1"].as_f64().unwrap() > 0.6, "{}", text_of(&output));
        text_of(&output)
    };
    let text = tune("mean", &["--pooling", "mean"]);
    assert!(text.contains("model     BertModel: ") && text.contains("starts fresh and reads the mean"), "{text}");
    assert!(text.contains("from transformers import BertModel"), "{text}");
    assert_eq!(config("mean")["architectures"], serde_json::json!(["BertModel"]));
    let mut names = weights("mean");
    names.sort();
    assert_eq!(names, ["classifier.bias", "classifier.weight"]);

    tune("cls", &[]);
    assert_eq!(weights("cls").len(), 4);
    let again = |more: &[&str]| {
        let arguments =
            ["finetune", "--model", "cls/model", "--task", "pc", "--data", "titles.jsonl", "--out", "again"];
        let options = ["--min-titles", "2", "--epochs", "1", "--threads", "1", "--device", "cpu"];
        let output = place.run(&[&arguments[..], &options, more].concat());
        (output.status.code(), text_of(&output))
    };
    let (code, text) = again(&["--fresh-pooler"]);
    assert!(
        code == Some(0) && text.contains("its head starts fresh, and so does the pooler, as requested\n"),
        "{text}"
    );
    let (code, text) = again(&["--fresh-pooler", "--pooling", "mean"]);
    assert!(code == Some(2) && text.contains("`--fresh-pooler` is true, expected false with pooling mean"), "{text}");
    // The same folder with other options is another result.
    let (code, text) = again(&[]);
    assert!(code == Some(1) && text.contains("options.fresh_pooler: it was true, now false"), "{text}");
}

#[test]
fn labels_start_at_their_share() {
    let place = Place::new();
    let line = |number: usize| {
        let labels = if number.is_multiple_of(4) { vec!["All", "Some"] } else { vec!["All"] };
        let title = format!("tea number {number}");
        serde_json::json!({"id": number.to_string(), "title": title, "labels": labels}).to_string() + "\n"
    };
    fs::write(place.path("all.jsonl"), (0..60).map(line).collect::<String>()).unwrap();
    let arguments = ["finetune", "--model", "bert", "--task", "pc", "--data", "all.jsonl", "--out", "all"];
    let options = ["--min-titles", "2", "--learning-rate", "1e-9", "--threads", "1", "--device", "cpu"];
    let output = place.run(&[&arguments[..], &options].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    let predicted = fs::read_to_string(place.path("all/predictions.jsonl")).unwrap();
    assert!(predicted.lines().count() > 5 && predicted.lines().all(|line| line.contains("\"prediction\":[\"All\"]")));
}

#[test]
fn a_search_keeps_what_validates_best() {
    let place = Place::new();
    let output = place.run(&[
        "finetune",
        "--model",
        "bert",
        "--task",
        "asc",
        "--data",
        "aspects.xml",
        "--out",
        "searched",
        "--search",
        "--limit",
        "30",
        "--test-limit",
        "7",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]);
    assert!(output.status.success(), "{}", text_of(&output));
    let metrics = place.metrics("searched");
    let trials = metrics["trials"].as_array().unwrap();
    assert_eq!(
        (trials.len(), metrics["sizes"]["train"].as_u64(), metrics["sizes"]["test"].as_u64()),
        (20, Some(30), Some(7))
    );
    let accuracy = |trial: &serde_json::Value| trial["scores"]["accuracy"].as_f64().unwrap();
    let may = trials.iter().filter(|trial| trial["epoch"].as_u64().unwrap() >= 2);
    let best = may.clone().map(accuracy).fold(0.0, f64::max);
    let first = may.clone().find(|trial| accuracy(trial) == best).unwrap();
    assert_eq!((&first["epoch"], &first["learning_rate"]), (&metrics["epochs"], &metrics["learning_rate"]));
    assert_eq!(metrics["validation"]["accuracy"].as_f64().unwrap(), best);
}

/// Stopped between its model and its scores, a fine-tuning starts again, and a model goes with its
/// scores.
#[test]
fn a_model_is_that_of_its_scores() {
    let place = Place::new();
    let tune = || {
        let output = place.finetune("asc", "aspects.xml", "run", &["--limit", "8"]);
        assert!(output.status.success(), "{}", text_of(&output));
        fs::read(place.path("run/model/model.safetensors")).unwrap()
    };
    let made = tune();
    fs::remove_file(place.path("run/metrics.json")).unwrap();
    assert_eq!(tune(), made);

    let report = |keep: bool, epochs: u32| {
        let text = format!(
            "summary = \"a test\"\nresults = \"out\"\nseeds = [0]\nkeep_models = {keep}\n[[model]]\nname = \"a\"\nfolder = \"bert\"\n\
             [task.asc]\ndata = [\"aspects.xml\"]\nlearning_rate = 5e-3\nepochs = {epochs}\nlimit = 8\n"
        );
        fs::write(place.path("grid.toml"), text).unwrap();
        let output = place.run(&["grid", "grid.toml", "--threads", "1", "--device", "cpu"]);
        assert!(output.status.success(), "{}", text_of(&output));
        fs::read(place.path("out/cells/a/asc/seed-0-limit-8/model/model.safetensors")).ok()
    };
    let first = report(true, 1);
    assert!(first.is_some() && report(false, 1) == first, "a model that is right stays");
    assert_eq!(report(false, 2), None, "that of other scores does not");
    let second = report(true, 2);
    assert!(second.is_some() && second != first);
}

/// A model's name with a slash at its end is the model's name.
#[test]
fn a_result_stands_beside_its_model() {
    let place = Place::new();
    let options = ["--epochs", "1", "--limit", "8", "--threads", "1", "--device", "cpu"];
    for model in ["bert", "bert/"] {
        let arguments = ["finetune", "--model", model, "--task", "asc", "--data", "aspects.xml"];
        let output = place.run(&[&arguments, &options[..]].concat());
        assert!(text_of(&output).contains("bert-asc/model"), "{}", text_of(&output));
    }
}

/// The optional folder of real data, or the reason for skipping printed.
fn real_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("EBERT_SHARED").map_or_else(beside, PathBuf::from).join("data/downstream");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the optional folder of real data `{}` is not there", folder.display());
    None
}

#[test]
fn real_files_are_read_whole() {
    let Some(folder) = real_data() else { return };
    for (task, file, examples, left_out) in [
        (Task::Rqa, "amazon_reviews_v1.0.json", 9885, 0),
        (Task::Ae, "Laptop_Train_v2.xml", 3045, 0),
        (Task::Ae, "Laptops_Test_Gold.xml", 800, 0),
        (Task::Asc, "Laptop_Train_v2.xml", 987 + 866 + 460, 45),
        (Task::Asc, "Laptops_Test_Gold.xml", 341 + 169 + 128, 16),
    ] {
        let read = read(task, &folder.join(file)).unwrap();
        let counted: u64 = read.tally.counts().values().sum();
        assert_eq!((read.examples.len(), counted), (examples, left_out), "{task} {file}");
    }
}

/// Without dropout, whose draws differ, a GPU learns what a CPU does; in bfloat16 nearly so.
#[test]
fn a_gpu_fine_tunes_as_a_cpu_does() {
    if Machine::look().usable == 0 {
        println!("skipped: this needs a GPU");
        return;
    }
    let place = Place::new();
    let config = fs::read_to_string(place.path("bert/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for dropout in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        config[dropout] = 0.0.into();
    }
    fs::write(place.path("bert/config.json"), config.to_string()).unwrap();
    let report = |device: &str, compute: &str| {
        let results = format!("{device}-{compute}");
        let task = |task: &str, data: &str, more: &str| {
            format!(
                "[task.{task}]\ndata = [\"{data}\"]\ncompute = \"{compute}\"\nlearning_rate = 1e-3\nepochs = 2\n{more}\n"
            )
        };
        let tasks = [
            task("rqa", "rqa.json", ""),
            task("pc", "titles.jsonl", "min_titles = 2"),
            task("ae", "aspects.xml", ""),
            task("asc", "aspects.xml", ""),
        ];
        let model = "[[model]]\nname = \"BERT\"\nfolder = \"bert\"\n";
        fs::write(place.path("gpu.toml"), format!("results = \"{results}\"\n{model}{}", tasks.concat())).unwrap();
        let output = place.run(&["grid", "gpu.toml", "--threads", "1", "--device", device]);
        assert!(output.status.success(), "{}", text_of(&output));
        results
    };
    let losses = |results: &str, task: Task| -> Vec<f64> {
        let metrics = place.metrics(&format!("{results}/cells/bert/{task}/seed-0"));
        metrics["trials"].as_array().unwrap().iter().map(|trial| trial["loss"].as_f64().unwrap()).collect()
    };
    let wanted = report("cpu", "float32");
    for (compute, most) in [("float32", 2e-3), ("bfloat16", 3e-2)] {
        let found = report("cuda", compute);
        for task in Task::ALL {
            let [found, wanted] = [&found, &wanted].map(|results| losses(results, task));
            for (found, wanted) in found.iter().zip(&wanted) {
                let apart = (found / wanted - 1.0).abs();
                println!("{task} in {compute}: loss {found:.5}, on a CPU {wanted:.5}");
                assert!(apart < most, "{task} in {compute}: {found} is not {wanted}");
            }
        }
    }
}

#[test]
fn what_cannot_be_used_is_said_with_what_to_do() {
    let place = Place::new();
    let mut said = String::new();
    let mut note = |what: &str, output: Output| {
        let wanted = if what == "an option" { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(wanted), "{what}: {}", text_of(&output));
        assert!(output.stdout.is_empty() || !what.starts_with("no "), "{what}");
        let _ = write!(said, "{what}\n{}\n", String::from_utf8_lossy(&output.stderr));
    };
    note("no such file", place.finetune("rqa", "none.json", "run", &[]));
    note("another shape", place.finetune("rqa", "titles.jsonl", "run", &[]));
    note("no XML", place.finetune("asc", "titles.jsonl", "run", &[]));
    note("no JSON lines", place.finetune("pc", "aspects.xml", "run", &[]));
    fs::write(
        place.path("empty.json"),
        r#"{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "1", "question": "?", "answers": []}]}]}]}"#,
    )
    .unwrap();
    note("nothing in it", place.finetune("rqa", "empty.json", "run", &[]));
    let bare = "<sentences><sentence id='1'><text>the cord</text></sentence></sentences>";
    fs::write(place.path("bare.xml"), bare).unwrap();
    note("not one aspect", place.finetune("ae", "aspects.xml", "run", &["--test", "bare.xml"]));
    let elsewhere = sentences(0..9).replace("from=\"", "from=\"1");
    fs::write(place.path("elsewhere.xml"), elsewhere).unwrap();
    note("aspects that stand elsewhere", place.finetune("ae", "elsewhere.xml", "run", &[]));
    note("all in the test file too", place.finetune("ae", "test.xml", "run", &["--test", "test.xml"]));
    let wide: Vec<u8> = sentences(0..2).encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(place.path("wide.xml"), wide).unwrap();
    note("another encoding", place.finetune("asc", "wide.xml", "run", &[]));
    note("two files with an id in common", place.finetune("ae", "aspects.xml", "run", &["--data", "aspects.xml"]));
    make_model(&place.path("own/model"), 3);
    note("a model that is not a result", place.finetune("ae", "aspects.xml", "own", &[]));
    note("all labels are rare", place.finetune("pc", "titles.jsonl", "run", &["--min-titles", "1000"]));
    fs::write(place.path("one.jsonl"), "{\"id\":\"1\",\"title\":\"tea\",\"labels\":[\"x\"]}\n").unwrap();
    note("too few", place.finetune("pc", "one.jsonl", "run", &["--min-titles", "1"]));
    note("an option", place.finetune("pc", "titles.jsonl", "run", &["--threshold", "2"]));
    note("no model", place.run(&["finetune", "--model", "./none", "--task", "pc", "--data", "titles.jsonl"]));
    fs::write(place.path("predictions.jsonl"), "{\"id\":\"1\",\"prediction\":\"x\"}\n").unwrap();
    let evaluate =
        |data| place.run(&["evaluate", "--task", "pc", "--data", data, "--predictions", "predictions.jsonl"]);
    note("a prediction of another kind", evaluate("titles.jsonl"));
    fs::write(place.path("predictions.jsonl"), "{\"id\":\"other\",\"prediction\":[\"x\"]}\n").unwrap();
    note("predictions of other data", evaluate("titles.jsonl"));
    fs::write(place.path("grid.toml"), grid("out").replace("epochs", "epoch")).unwrap();
    note("a grid's key", place.run(&["grid", "grid.toml"]));
    fs::write(place.path("grid.toml"), grid("out").replace("\"other\"", "\"./other\"")).unwrap();
    let run = "folder = \"bert\"\nrun = \"nothere\"\n";
    fs::write(
        place.path("drawn.toml"),
        grid("out").replace("\"other\"", "\"bert\"").replacen("folder = \"bert\"\n", run, 1),
    )
    .unwrap();
    note("a grid's run", place.run(&["grid", "drawn.toml"]));
    note("a grid's model", place.run(&["grid", "grid.toml"]));
    let long = grid("out").replace("\"other\"", "\"bert\"").replace("new soap set", &"soap ".repeat(50));
    fs::write(place.path("long.toml"), long).unwrap();
    note("a title that the model cannot read", place.run(&["grid", "long.toml"]));
    assert!(place.finetune("pc", "titles.jsonl", "run", &["--min-titles", "2", "--limit", "20"]).status.success());
    note("another result", place.finetune("pc", "titles.jsonl", "run", &["--min-titles", "2", "--limit", "21"]));
    insta::assert_snapshot!("task_errors", said);

    for usage in [
        &["finetune", "--model", "bert", "--task", "ner", "--data", "x"][..],
        &["grid", "grid.toml", "--out", "page.html"],
    ] {
        let output = place.run(usage);
        assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
    }
}
