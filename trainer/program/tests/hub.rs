//! INIT by a model's id: a hub of our own on this machine, which answers as the real one does.
#[path = "../../batches/tests/support/python.rs"]
mod python;
mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use python::python;
use serde_json::json;
use support::{Place, text_of};

/// Serves the files of one folder as the model `owner/tiny`, for as long as the test runs. Returns
/// the address.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&folder, &mut stream.unwrap());
        }
    });
    address
}

/// Answers one request for a file, or for a range of its bytes.
fn answer(folder: &Path, stream: &mut TcpStream) -> std::io::Result<()> {
    let lines: Vec<String> =
        BufReader::new(stream.try_clone()?).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines[0].split(' ').nth(1).unwrap_or_default();
    let private = path.strip_prefix("/owner/private/resolve/main/");
    if private.is_some() && !lines.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer secret")) {
        return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let public = ["main", "refs%2Fpr%2F1"]
        .iter()
        .find_map(|revision| path.strip_prefix("/owner/tiny/resolve/")?.strip_prefix(revision)?.strip_prefix('/'));
    let file = private.or(public).map(|name| folder.join(name));
    let Some(bytes) = file.and_then(|file| fs::read(file).ok()) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let range = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (first, last) = range.as_deref().and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap_or(0);
    let last = last.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{}\r\nETag: \"{}\"\r\n\
         X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nConnection: close\r\n\r\n",
        last + 1 - first,
        bytes.len(),
        path.rsplit('/').next().unwrap_or_default(),
    )?;
    stream.write_all(&bytes[first..=last])
}

#[test]
fn a_model_is_fetched_by_its_id_and_then_kept() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=2", "--set", "stage.1.steps=1"];
    let first = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let hub = serve(place.path("first/model"));
    let fetch = |id: &str, run: &str, hub: &str| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--init", id, "--out", run]);
        command.args(steps).env("HF_ENDPOINT", hub).env("HF_HOME", place.path("cache")).env_remove("HF_TOKEN");
        command.output().unwrap()
    };
    let unreachable = "http://127.0.0.1:9";

    let output = fetch("owner/tiny", "none", unreachable);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the hub cannot be reached\n  because: ") && text.contains("hint: download it where"),
        "{text}"
    );

    let output = fetch("owner/tiny", "second", &hub);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    // The fetched weights are those of the folder: what is measured first is the same.
    let last = place.metrics("first").pop().unwrap().replace("\"step\":3", "\"step\":0");
    assert_eq!(place.metrics("second")[0], last);

    let card = fs::read_to_string(place.path("second/model/README.md")).unwrap();
    assert!(card.contains("base_model: \"owner/tiny\"\n") && card.contains("weights of the start model, `owner/tiny`"));
    let fresh = fs::read_to_string(place.path("first/model/README.md")).unwrap();
    assert!(!fresh.contains("base_model") && fresh.contains("| weights of the start model | none |"), "{fresh}");

    let output = fetch("owner/tiny", "third", unreachable);
    assert_eq!(output.status.code(), Some(0), "it is in the cache: {}", text_of(&output));
    assert_eq!(place.metrics("third"), place.metrics("second"));

    let output = fetch("owner/large", "none", &hub);
    assert!(text_of(&output).contains("`owner/large` is neither a folder here nor a model on the hub"));
    fs::remove_file(place.path("first/model/model.safetensors")).unwrap();
    fs::remove_dir_all(place.path("cache")).unwrap();
    let output = fetch("owner/tiny", "none", &hub);
    assert!(text_of(&output).contains("has neither model.safetensors nor"), "{}", text_of(&output));
}

/// Prints what the hub reads from the head of a card, and the card as the hub's library writes it.
const READ_CARD: &str = "
import json, sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
again = ModelCard(str(card))
assert again.data.to_dict() == card.data.to_dict() and again.text == card.text
print(json.dumps(card.data.to_dict()))
";

#[test]
fn the_hub_reads_the_card() {
    let Some(python) = python(&["huggingface_hub"]) else { return };
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=2", "--set", "stage.1.steps=1"];
    let first = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let read = |run: &str| -> serde_json::Value {
        let card = place.path(run).join("model/README.md");
        let output = Command::new(&python).args(["-c", READ_CARD]).arg(card).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let fresh = read("first");
    assert_eq!((&fresh["base_model"], &fresh["datasets"]), (&json!(null), &json!(null)), "{fresh}");
    for (key, value) in [
        ("library_name", json!("transformers")),
        ("pipeline_tag", json!("fill-mask")),
        ("language", json!("en")),
        ("license", json!("unknown")),
        ("metrics", json!(["accuracy", "perplexity"])),
    ] {
        assert_eq!(fresh[key], value, "{fresh}");
    }

    // As `ebert shards` notes it.
    fs::write(place.path("ebert.toml"), "corpus = [\"hf://datasets/shop/reviews/a.jsonl\"]\n").unwrap();
    let hub = serve(place.path("first/model"));
    let mut command = place.command(&["--recipe", "tiny.toml", "--init", "owner/tiny@main", "--out", "second"]);
    command.args(steps).env("HF_ENDPOINT", &hub).env("HF_HOME", place.path("cache")).env_remove("HF_TOKEN");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let card = read("second");
    assert_eq!((&card["base_model"], &card["datasets"]), (&json!("owner/tiny"), &json!(["shop/reviews"])), "{card}");
    let last = place.metrics("second").pop().unwrap();
    let measured: serde_json::Value = serde_json::from_str(&last).unwrap();
    let index = &card["model-index"][0];
    assert_eq!((&index["name"], index["results"].as_array().map(Vec::len)), (&json!("tiny"), Some(2)), "{card}");
    for (result, measured) in index["results"].as_array().unwrap().iter().zip(measured["held_out"].as_array().unwrap())
    {
        let value = |metric: usize| result["metrics"][metric]["value"].as_f64().unwrap();
        let wanted = |key: &str| measured[key].as_f64().unwrap();
        let pairs = [(value(0), wanted("accuracy")), (value(1), wanted("whole")), (value(2), wanted("loss").exp())];
        assert!(pairs.iter().all(|(found, wanted)| (found - wanted).abs() <= 1e-12 * wanted), "{result} {measured}");
        assert_eq!(result["dataset"]["type"], "shop/reviews", "{result}");
    }
}

#[test]
fn private_models_and_other_revisions_are_fetched() {
    let place = Place::new();
    let steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1"];
    let first = place.run(&[["--recipe", "tiny.toml", "--out", "first"].as_slice(), &steps].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text_of(&first));
    let hub = serve(place.path("first/model"));
    let fetch = |id: &str, run: &str, token: Option<&str>| {
        let mut command = place.command(&["--recipe", "tiny.toml", "--init", id, "--out", run]);
        command.args(steps).env("HF_ENDPOINT", &hub).env("HF_HOME", place.path("cache")).env_remove("HF_TOKEN");
        command.envs(token.map(|token| ("HF_TOKEN", token))).output().unwrap()
    };
    let output = fetch("owner/private", "none", None);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("a private one needs HF_TOKEN"), "{}", text_of(&output));
    let output = fetch("owner/private", "private", Some("secret"));
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let output = fetch("owner/tiny@refs/pr/1", "revision", None);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}
