//! Whole commands over a small sealed folder: what they print, and how they fail.
mod support;

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use ebert_bert::weights;
use support::{Place, keep_positions, text_of};
use tch::{Device, Kind, Tensor};

#[test]
fn a_dry_run_says_what_would_be_trained() {
    let output = Place::new().run(&["--recipe", "tiny.toml", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    // How fast it is differs.
    let text = text_of(&output);
    let (expected, said): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("expect"));
    assert!(expected.len() == 1 && expected[0].contains(" K tokens in ") && expected[0].contains("tokens/s"), "{text}");
    insta::assert_snapshot!("dry_run", said.join("\n"));
}

/// `ebert` has fetched them before it became the trainer.
#[test]
fn shards_of_an_object_store_are_in_the_cache_and_their_runs_are_not() {
    let (place, elsewhere) = (Place::new(), tempfile::tempdir().unwrap());
    let mut command = place.command(&["--recipe"]);
    command.arg(place.path("tiny.toml")).args(["--set", "stage.0.steps=2", "--set", "stage.1.steps=1"]);
    let address = |part| if part == "." { std::ffi::OsStr::new("s3://bucket/out") } else { part };
    let mut trainer = std::process::Command::new(command.get_program());
    trainer.args(command.get_args().map(address)).current_dir(&elsewhere).env("EBERT_FETCHED", place.folder.path());
    let output = trainer.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(elsewhere.path().join("runs/tiny/model/model.safetensors").is_file(), "{}", text_of(&output));
    assert!(!place.path("runs").exists());
}

#[test]
fn a_dry_run_for_a_program_is_one_object() {
    let output = Place::new().run(&["--recipe", "tiny.toml", "--dry-run", "--log", "json"]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&line["event"], &line["stages"][0]["neighbor"]), (&"dry_run".into(), &false.into()), "{line}");
    assert_eq!(line["switch_warmup_steps"], 8);
    assert!(line["recipe"]["optimizer"]["learning_rate"].is_f64() && line["estimate"]["tokens"].is_f64(), "{line}");
}

#[test]
fn what_is_no_result_of_a_run_stays() {
    let place = Place::new();
    let model = place.path("own/model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("config.json"), "{}").unwrap();
    let output = place.run(&["--recipe", "tiny.toml", "--out", "own"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text_of(&output).contains("own/model` exists and is not the output of a pre-training run"),
        "{}",
        text_of(&output)
    );
    assert!(model.join("config.json").is_file());
}

#[test]
fn a_run_makes_a_checkpoint_and_is_then_up_to_date() {
    let place = Place::new();
    let output = place.run(&["--recipe", "tiny.toml"]);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["step 0 ", "step 160 ", "held out", "result    ./runs/tiny/model", "AutoModelForMaskedLM"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // `fs::canonicalize` follows the link, so that `..` is the checkpoint.
    let model = fs::canonicalize(place.path("runs/tiny/model")).unwrap();
    let files = |part: &str| {
        let entries = fs::read_dir(model.parent().unwrap().join(part)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut files: Vec<String> = entries.map(|entry| format!("{part}/{}", name(entry))).collect();
        files.sort();
        files.join("\n")
    };
    insta::assert_snapshot!("checkpoint", files("model") + "\n" + &files("state"));
    let kept = fs::read_dir(place.path("runs/tiny/checkpoints")).unwrap().count();
    // The newest two, and the best one where that is another.
    assert!((2..=3).contains(&kept), "{kept}");

    // 160 steps, and held-out documents at 0, 50, 100, 150 and 160; both losses fall.
    let lines: Vec<serde_json::Value> =
        place.metrics("runs/tiny").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let held_out: Vec<&serde_json::Value> = lines.iter().filter(|l| l["held_out"].is_array()).collect();
    assert_eq!((lines.len(), held_out.len()), (165, 5));
    for mode in [0, 1] {
        let loss = |line: &serde_json::Value| line["held_out"][mode]["loss"].as_f64().unwrap();
        assert!(loss(held_out[4]) < loss(held_out[0]) - 0.3, "{} {}", loss(held_out[0]), loss(held_out[4]));
    }
    // Pool phrases and clean noun phrases are scored apart, and make up all phrases.
    let phrases = &held_out[4]["held_out"][1];
    let parts = ["pool_phrases", "noun_phrases"].map(|part| &phrases[part]);
    let of_parts: u64 = parts.iter().filter_map(|part| part["units"].as_u64()).sum();
    assert_eq!(of_parts, phrases["units"].as_u64().unwrap(), "{phrases}");
    assert!(parts[0]["loss"].is_number() && held_out[4]["held_out"][0]["pool_phrases"].is_null());
    // So are held-out pairs, also before the stage that trains on pairs.
    assert!(held_out.iter().all(|line| line["held_out_pairs"]["within"].is_number()));
    let in_phrase_mode: Vec<_> = lines.iter().filter(|l| l["mode"] == "phrase").collect();
    assert!(in_phrase_mode.iter().all(|l| {
        let parts = ["in_pool_phrases", "in_noun_phrases"].map(|part| l[part].as_f64().unwrap());
        parts.iter().all(|part| (0.0..=1.0).contains(part)) && parts.iter().sum::<f64>() <= 1.0 + 1e-9
    }));
    let second_stage: Vec<_> = lines.iter().filter(|l| l["neighbor_loss"].is_number()).collect();
    assert_eq!(second_stage.len(), 60);
    assert!(second_stage.iter().all(|l| l["neighbor_gradient_norm"].is_number() && l["stage"] == 2));

    let page = fs::read_to_string(place.path("runs/tiny/report.html")).unwrap();
    let noted = fs::read_to_string(place.path("runs/tiny/run.json")).unwrap();
    let noted: serde_json::Value = serde_json::from_str(&noted).unwrap();
    let start = &noted["starts"][0];
    assert_eq!((&noted["recipe"], &start["step"]), (&"tiny".into(), &0.into()), "{noted}");
    let recipe = format!("tiny ({})", &noted["identity"]["recipe_blake3"].as_str().unwrap()[..12]);
    for part in ["Loss, phrases masked", "Phrases predicted as a whole", "Neighbor loss", "Alpha", &recipe]
        .into_iter()
        .chain(["version", "device", "date"].map(|key| start[key].as_str().unwrap()))
    {
        assert!(page.contains(part), "{part}");
    }
    let card = fs::read_to_string(place.path("runs/tiny/model/README.md")).unwrap();
    assert!(card.contains("step 160 of 160") && card.contains("| last measured | word "), "{card}");

    let output = place.run(&["--recipe", "tiny.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text_of(&output).contains("up to date"), "{}", text_of(&output));
}

/// The step that was best on held-out documents, by the metrics, and the one that `best` points at.
fn best_steps(place: &Place, run: &str) -> (u64, u64) {
    let mean = |line: &serde_json::Value| -> Option<(f64, u64)> {
        let measured = line["held_out"].as_array()?;
        let losses: Vec<f64> = measured.iter().map(|m| m["loss"].as_f64().unwrap()).collect();
        Some((losses.iter().sum::<f64>() / losses.len() as f64, line["step"].as_u64().unwrap()))
    };
    let lines = place.metrics(run);
    // The last stage begins after step 100.
    let measured = lines.iter().filter_map(|line| mean(&serde_json::from_str(line).unwrap())).filter(|m| m.1 > 100);
    let best = measured.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1;
    let state = fs::read_to_string(place.path(run).join("best/../state/trainer_state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    (best, state["step"].as_u64().unwrap())
}

#[test]
fn the_best_checkpoint_is_kept_beside_the_newest() {
    let place = Place::new();
    // In the second stage the neighbors' gradient drowns that of the masks, so the best step of it
    // is an early one. Steps of the first stage do not count.
    let mut run = vec!["--recipe", "tiny.toml", "--set", "checkpoint.keep=1", "--set", "measure.every=15"];
    run.extend(["--set", "neighbor.reduction=sum", "--set", "neighbor.scale=none", "--set", "neighbor.weight=100"]);
    let output = place.run(&run);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let (wanted, found) = best_steps(&place, "runs/tiny");
    assert_eq!(found, wanted);
    assert!((101..160).contains(&wanted), "the best one is the newest: {wanted}");
    assert_eq!(fs::read_dir(place.path("runs/tiny/checkpoints")).unwrap().count(), 2);
}

#[test]
fn steps_without_a_finite_gradient_are_skipped_and_counted_and_then_end_the_run() {
    let place = Place::new();
    let wild = ["--recipe", "tiny.toml", "--set", "optimizer.learning_rate=1e38", "--set", "optimizer.warmup=0"];
    let output = place.run(&wild);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no finite gradient in the last steps") && text.contains("the documents "), "{text}");
    let skipped: Vec<u64> = place
        .metrics("runs/tiny")
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["skipped"].as_u64())
        .collect();
    // The tenth ends the run before it is printed.
    assert!(skipped.starts_with(&[1, 2, 3]) && skipped.ends_with(&[9]), "{skipped:?}");
}

#[test]
fn bert_raw_is_measured_and_stays_as_it_is() {
    let place = Place::new();
    let first = place.run(&["--recipe", "tiny.toml", "--set", "stage.0.steps=5", "--set", "stage.1.steps=1"]);
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let raw = ["--recipe", "bert-raw", "--init", "runs/tiny/model", "--set", "data.held_out=0.1"];
    let dry = place.run(&[&raw[..], &["--dry-run"]].concat());
    assert!(text_of(&dry).contains("bert-raw: no step: the model stays as it is"), "{}", text_of(&dry));
    let output = place.run(&raw);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(place.weights("runs/bert-raw") == place.weights("runs/tiny"));
    let metrics = place.metrics("runs/bert-raw");
    assert!(
        metrics.len() == 1 && metrics[0].contains("\"held_out\"") && metrics[0].contains("\"step\":0"),
        "{metrics:?}"
    );
    assert!(text_of(&place.run(&raw)).contains("up to date"));
}

#[test]
fn the_model_that_shards_were_made_for_is_the_start_unless_another_is_named() {
    let place = Place::new();
    let first = place.run(&["--recipe", "tiny.toml", "--set", "stage.0.steps=3", "--set", "stage.1.steps=1"]);
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let raw = ["--recipe", "bert-raw", "--set", "data.held_out=0.1"];
    let refused = place.run(&raw);
    assert!(text_of(&refused).contains("post-trains a model, and none is named"), "{}", text_of(&refused));
    // As `ebert shards --init` notes it.
    let model = |name: &str| place.path(&format!("{name}/model")).display().to_string();
    fs::write(place.path("ebert.toml"), format!("init = \"{}\"\n", model("runs/tiny"))).unwrap();
    let output = place.run(&raw);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(place.weights("runs/bert-raw") == place.weights("runs/tiny"));
    let noted: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("runs/bert-raw/run.json")).unwrap()).unwrap();
    assert_eq!(noted["model"], "tiny/model");
    // A recipe that starts from scratch does.
    let fresh =
        place.run(&["--recipe", "tiny.toml", "--out", "fresh", "--set", "stage.0.steps=1", "--set", "stage.1.steps=1"]);
    assert_eq!(fresh.status.code(), Some(0), "{}", text_of(&fresh));
    let noted: serde_json::Value = serde_json::from_slice(&fs::read(place.path("fresh/run.json")).unwrap()).unwrap();
    assert!(noted["model"].is_null(), "{noted}");
}

#[test]
fn a_checkpoint_can_be_started_from() {
    let place = Place::new();
    let first = place.run(&["--recipe", "tiny.toml", "--set", "stage.0.steps=20", "--set", "stage.1.steps=2"]);
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let output = place.run(&[
        "--recipe",
        "tiny.toml",
        "--init",
        "runs/tiny/model",
        "--out",
        "second",
        "--set",
        "stage.0.steps=3",
        "--set",
        "stage.1.steps=1",
    ]);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("from INIT") && !text.contains("note"), "{text}");
    let last = place.metrics("runs/tiny").pop().unwrap();
    let first = place.metrics("second").swap_remove(0);
    assert_eq!(last.replace("\"step\":22", "\"step\":0"), first, "what was measured at the end is where it starts");
}

#[test]
fn a_pooler_goes_along_untrained() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=4", "--set", "stage.1.steps=2", "--set", "checkpoint.every=3"];
    let run = |more: &[&str]| {
        let output = place.run(&[&["--recipe", "tiny.toml"], &steps[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        text_of(&output)
    };
    let stored = |folder: &str| weights::read(&place.path(folder).join("model.safetensors")).unwrap();
    run(&["--out", "without"]);
    assert!(stored("without/model").iter().all(|(name, _)| !name.contains("pooler")));

    fs::create_dir(place.path("start")).unwrap();
    for file in ["config.json", "vocab.txt"] {
        fs::copy(place.path("without/model").join(file), place.path("start").join(file)).unwrap();
    }
    let numbers = |shape: &[i64]| Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(shape);
    // As a bare encoder names it.
    let pooler = [("pooler.dense.weight", numbers(&[16, 16])), ("pooler.dense.bias", numbers(&[16]))];
    let without = stored("without/model");
    let named = without.iter().map(|(name, tensor)| (name.clone(), tensor));
    let named = named.chain(pooler.iter().map(|(name, tensor)| ((*name).to_owned(), tensor)));
    weights::write(&place.path("start/model.safetensors"), named).unwrap();
    let text = run(&["--out", "with", "--init", "start"]);
    assert!(text.contains("note      the pooler is not trained; checkpoints have it as it is"), "{text}");
    let with = stored("with/model");
    for (name, tensor) in &pooler {
        let name = format!("bert.{name}");
        assert!(with.iter().any(|(found, carried)| *found == name && carried == tensor), "{name}");
    }
    assert_eq!(with.len(), without.len() + 2);
    let trained = |name: &str| [&with, &without].map(|all| all.iter().find(|t| t.0 == name).unwrap().1.copy());
    let [after, before] = trained("bert.encoder.layer.0.output.dense.weight");
    assert!(after != before);

    // Resumed, the checkpoint is the same, byte for byte.
    let whole = place.weights("with");
    fs::remove_dir_all(place.path("with/checkpoints/step-00000006")).unwrap();
    run(&["--out", "with", "--init", "start"]);
    assert!(place.weights("with") == whole);
}

/// Breaks something, and returns the arguments that meet it.
type Case = (&'static str, fn(&Place) -> Vec<&'static str>);

const BAD: &[Case] = &[
    ("unknown recipe", |_| vec!["--recipe", "bart"]),
    ("unknown key", |place| {
        fs::write(place.path("bad.toml"), support::RECIPE.replace("heads", "haeds")).unwrap();
        vec!["--recipe", "bad.toml"]
    }),
    ("bad value", |_| vec!["--recipe", "tiny.toml", "--set", "masking.budget=2"]),
    ("e-bert without INIT", |_| vec!["--recipe", "e-bert"]),
    ("INIT that is not a folder", |_| vec!["--recipe", "e-bert", "--init", "./bert"]),
    ("INIT without weights", |place| {
        model(place, |_| ());
        fs::remove_file(place.path("model/model.safetensors")).unwrap();
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("INIT with weights of another shape", |place| {
        model(place, |config| config["hidden_size"] = 32.into());
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("INIT that is not BERT", |place| {
        model(place, |config| config["model_type"] = "gpt2".into());
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("INIT with another vocabulary", |place| {
        model(place, |_| ());
        let text = fs::read_to_string(place.path("model/vocab.txt")).unwrap().replace("w7\n", "seven\n");
        fs::remove_file(place.path("model/tokenizer.json")).unwrap();
        fs::write(place.path("model/vocab.txt"), text).unwrap();
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("INIT that reads text in another way", |place| {
        model(place, |_| ());
        fs::remove_file(place.path("model/tokenizer.json")).unwrap();
        fs::write(place.path("model/tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("INIT with too few positions", |place| {
        model(place, |_| ());
        keep_positions(&place.path("model"), 16);
        vec!["--recipe", "tiny.toml", "--init", "model"]
    }),
    ("a later stage without data", |_| vec!["--recipe", "tiny.toml", "--set", "data.held_out=0.99"]),
    ("no noun phrases", |_| vec!["--recipe", "tiny.toml", "--set", "scheme=noun"]),
    ("OUT without shards", |place| {
        fs::remove_dir_all(place.path("shards")).unwrap();
        vec!["--recipe", "tiny.toml"]
    }),
    ("shards of another format", |place| {
        let path = place.path("shards/manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"format\": 2", "\"format\": 3");
        fs::write(&path, text).unwrap();
        vec!["--recipe", "tiny.toml"]
    }),
    ("shards of an older format", |place| {
        let path = place.path("shards/manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"format\": 2", "\"format\": 1");
        fs::write(&path, text).unwrap();
        vec!["--recipe", "tiny.toml"]
    }),
    ("a damaged shard", |place| {
        let path = place.path("shards/reviews-00000.parquet");
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        vec!["--recipe", "tiny.toml"]
    }),
    ("a changed tokenizer", |place| {
        fs::write(place.path("shards/tokenizer.json"), "{}").unwrap();
        vec!["--recipe", "tiny.toml"]
    }),
    ("nothing to resume", |_| vec!["--recipe", "tiny.toml", "--resume"]),
    ("a changed recipe", |place| {
        model(place, |_| ());
        vec!["--recipe", "tiny.toml", "--out", "first", "--resume", "--set", "seed=5", "--set", "neighbor.pairs=2"]
    }),
    ("no GPU", |_| vec!["--recipe", "tiny.toml", "--device", "cuda"]),
];

/// A model's folder `model`, with a change to its configuration.
fn model(place: &Place, change: fn(&mut serde_json::Value)) {
    let steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1"];
    let output = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    fs::create_dir(place.path("model")).unwrap();
    for file in fs::read_dir(place.path("first/model")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), place.path("model").join(file.file_name())).unwrap();
    }
    let path = place.path("model/config.json");
    let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn bad_input_is_refused_with_a_hint() {
    let mut all = String::new();
    for (name, prepare) in BAD {
        let place = Place::new();
        let arguments = prepare(&place);
        let mut command = place.command(&[]);
        // The last --device counts.
        let arguments: Vec<&str> = arguments.into_iter().collect();
        if arguments.contains(&"--device") {
            command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
            command.args(["pretrain", "--shards", "."]).current_dir(place.folder.path());
            // Even where there is one.
            if std::path::Path::new("/proc/driver/nvidia/gpus").exists() {
                continue;
            }
        }
        let output = command.args(&arguments).output().unwrap();
        let code = output.status.code().unwrap();
        assert!([1, 2].contains(&code), "{name}: {}", text_of(&output));
        let text = String::from_utf8(output.stderr).unwrap();
        all += &format!("# {name}: exit {code}\n{}\n", hide_hashes(&text));
    }
    insta::assert_snapshot!("bad_input", all);
}

/// Hashes and sizes that a library's version may change.
fn hide_hashes(text: &str) -> String {
    let hex = |word: &str| word.len() >= 12 && word.trim_end_matches(['…', ',']).chars().all(|c| c.is_ascii_hexdigit());
    let words = |line: &str| line.split(' ').map(|w| if hex(w) { "HASH" } else { w }).collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn usage_errors_end_with_2() {
    for arguments in [&["pretrain", "--resum"][..], &["pretrain", "--threads", "0"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ebert-trainer")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
    }
}

/// A program of another build is refused by both versions, before anything is loaded.
#[test]
fn another_version_of_the_front_program_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
    let output = command.arg("doctor").env("EBERT_VERSION", "0.0.9").output().unwrap();
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("`ebert` is version 0.0.9, but `ebert-trainer` is 0.") && text.contains("hint: "), "{text}");
}

/// Shards of other data than the sample have no default recipe.
#[test]
fn shards_need_a_recipe_by_name() {
    let output = Place::new().run(&[]);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no recipe is named for `./shards`") && text.contains("hint: `--recipe e-bert"), "{text}");
}

#[test]
fn quiet_runs_print_nothing_and_programs_read_how_a_run_ended() {
    let place = Place::new();
    let run = |more: &[&str]| {
        let steps = ["--recipe", "tiny.toml", "--set", "stage.0.steps=2", "--set", "stage.1.steps=1"];
        let output = place.run(&[&steps[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        text_of(&output)
    };
    assert_eq!(run(&["-q", "-o", "quiet"]), "");
    let last = run(&["--log", "json", "-o", "logged"]);
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["step"]), (&"finished".into(), &3.into()), "{last}");
    assert_eq!(last["result"], "logged/model");
    assert!(run(&["--log", "json", "-o", "logged"]).contains("\"event\":\"up_to_date\""));
}

#[test]
fn the_doctor_says_what_was_found() {
    let output = Command::new(env!("CARGO_BIN_EXE_ebert-trainer")).arg("doctor").output().unwrap();
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["libtorch  2.", "libtorch_cpu.so", "cpu ", "gpu ", "driver ", "cuda "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_doctor_reports_to_programs() {
    let output = Command::new(env!("CARGO_BIN_EXE_ebert-trainer")).args(["doctor", "--log", "json"]).output().unwrap();
    let lines = support::events(&output);
    assert_eq!(lines[0]["event"], "machine");
    assert!(lines[0].get("driver").is_some());
    assert!(lines[0]["libtorch"] == lines[0]["libtorch_expected"] && lines[0]["threads"].as_u64() > Some(0));
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["device"]), (&"compute".into(), &"CPU".into()));
    assert!(["float32", "bfloat16"].contains(&last["number"].as_str().unwrap()), "{last}");
}

#[test]
fn a_libtorch_that_is_missing_or_another_is_named() {
    let place = Place::new();
    // The program without the libtorch that it was built with: a copy that looks where nothing is.
    fs::create_dir_all(place.path("torch/lib")).unwrap();
    fs::write(place.path("torch/lib/libtorch_cpu.so"), "").unwrap();
    fs::write(place.path("torch/version.py"), "__version__ = '2.10.0+cu128'\n").unwrap();
    let output = place.command(&["--recipe", "tiny.toml"]).env("LIBTORCH", place.path("torch")).output().unwrap();
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("is 2.10.0, expected 2.") && text.contains("hint: run `make libtorch`"), "{text}");
    let output = place.command(&["--recipe", "tiny.toml"]).env("LIBTORCH", place.path("nowhere")).output().unwrap();
    let text = text_of(&output);
    assert!(text.contains("which has no lib/libtorch_cpu.so") && text.contains("hint:"), "{text}");
    // One that is found by chance is passed over when it does not fit.
    let output = place
        .command(&["--recipe", "tiny.toml", "--dry-run"])
        .env("LD_LIBRARY_PATH", place.path("torch/lib"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}

/// `pip` installs programs in `bin`, and torch in `lib/python3.12/site-packages`.
#[test]
fn a_program_that_pip_installed_takes_the_torch_of_its_environment() {
    let environment = tempfile::tempdir().unwrap();
    let packages = environment.path().join("lib/python3.12/site-packages");
    for folder in [&environment.path().join("bin"), &packages.join("ebert"), &packages.join("torch/lib")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(packages.join("ebert/__init__.py"), "").unwrap();
    let program = environment.path().join("bin/ebert-trainer");
    fs::copy(env!("CARGO_BIN_EXE_ebert-trainer"), &program).unwrap();
    let start = || {
        let mut command = Command::new(&program);
        text_of(&command.arg("doctor").env_remove("LIBTORCH").env_remove("LD_LIBRARY_PATH").output().unwrap())
    };
    let missing = start();
    assert!(missing.contains("hint: run `pip install 'ebert[train]'` in this environment"), "{missing}");
    assert!(missing.contains("pip install --no-deps torch==2."), "{missing}");
    // The one that the program was built with is another machine's.
    let looked = missing.split("looked in").nth(1).unwrap().lines().nth(1).unwrap();
    assert_eq!(looked.trim(), packages.join("torch/lib").display().to_string());

    let wanted = ebert_kernels::device::TORCH_VERSION;
    fs::write(packages.join("torch/version.py"), format!("__version__ = '{wanted}+cpu'\n")).unwrap();
    fs::write(packages.join("torch/lib/libtorch_cpu.so"), "").unwrap();
    let other = environment.path().join("bin/ebert-trainer-libtorch");
    fs::write(&other, "#!/bin/sh\necho \"$LD_LIBRARY_PATH\"\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(start().trim(), packages.join("torch/lib").display().to_string());
}

/// Whoever fine-tunes a checkpoint does so with the dropout of the model that training started
/// from.
#[test]
fn checkpoints_keep_the_dropout_of_the_start_model() {
    let place = Place::new();
    let dropout_of = |run: &str| {
        let config = fs::read(place.path(run).join("model/config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        ["hidden_dropout_prob", "attention_probs_dropout_prob"].map(|key| config[key].as_f64().unwrap())
    };
    let steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1", "--set", "dropout=0"];
    let output = place.run(&[["--recipe", "tiny.toml", "--out", "fresh"].as_slice(), &steps].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert_eq!(dropout_of("fresh"), [0.1, 0.1]);

    let file = place.path("fresh/model/config.json");
    let text =
        fs::read_to_string(&file).unwrap().replace("\"hidden_dropout_prob\": 0.1", "\"hidden_dropout_prob\": 0.25");
    fs::write(&file, text).unwrap();
    let output =
        place.run(&[["--recipe", "tiny.toml", "--init", "fresh", "--out", "next"].as_slice(), &steps].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert_eq!(dropout_of("next"), [0.25, 0.1]);
}
