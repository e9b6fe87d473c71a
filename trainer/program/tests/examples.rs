//! The Python examples of the repository, run as printed. Each is skipped, with a message, where no
//! Python has the modules that it needs.
#[path = "../../batches/tests/support/python.rs"]
mod python;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use python::python;
use schemas::TextId;
use support::{
    Place as Shards, events,
    tasks::{Place, make_model},
    text_of,
};

/// The path of an example, which has at most 40 lines.
fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    assert!(fs::read_to_string(&path).unwrap().lines().count() <= 40, "{name}");
    path
}

/// The lines that an example prints.
fn lines(python: &Path, name: &str, folder: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(python);
    let output = command.arg(example(name)).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn transformers_fills_in_the_same_entries() {
    let Some(python) = python(&["torch", "transformers"]) else { return };
    let place = Place::new();
    let text = "The new [MASK] is red[MASK]and the cord is small .";
    let found = lines(&python, "fill_mask.py", place.folder.path(), &[text, "bert"]);
    let ours = events(&place.run(&["fill-mask", "--model", "bert", "--device", "cpu", "--log", "json", text]));
    let masks = ours[0]["masks"].as_array().unwrap();
    let entries =
        (1..).zip(masks).flat_map(|(number, entries)| entries.as_array().unwrap().iter().map(move |e| (number, e)));
    assert_eq!((masks.len(), found.len()), (2, 10));
    for (line, (number, entry)) in found.iter().zip(entries) {
        let fields: Vec<&str> = line.split(['\t', ' ']).collect();
        assert_eq!((fields[0], fields[1]), (&*i32::to_string(&number), entry["entry"].as_str().unwrap()), "{found:?}");
        let difference = fields[2].parse::<f64>().unwrap() - entry["probability"].as_f64().unwrap();
        assert!(difference.abs() < 1e-5, "{line}: {entry}");
    }
    // Two models: before and after.
    make_model(&place.path("other"), 2);
    let [before, after] =
        ["bert", "other"].map(|model| lines(&python, "fill_mask.py", place.folder.path(), &[text, model]));
    let both = lines(&python, "fill_mask.py", place.folder.path(), &[text, "bert", "other"]);
    for ((line, before), after) in both.iter().zip(&before).zip(&after) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!((&*columns[..2].join("\t"), columns[2]), (before.as_str(), after.split('\t').nth(1).unwrap()));
    }
}

#[test]
fn duckdb_finds_the_same_neighbors() {
    let Some(python) = python(&["duckdb"]) else { return };
    let place = Place::new();
    // Titles that differ.
    let sizes = ["big", "small", "tiny", "huge"];
    let title = |number: usize| format!("{} tea set number {}", sizes[number % 4], "1 ".repeat(number / 4 + 1));
    let all: String = (0..20).map(|number| title(number) + "\n").collect();
    fs::write(place.path("titles.txt"), all).unwrap();
    let output = place.run(&["embed", "--model", "bert", "--device", "cpu", "titles.txt", "--out", "titles.parquet"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let found = lines(&python, "embeddings.py", place.folder.path(), &["titles.parquet", "7"]);
    let title = title(6);
    let ours = ["similar", "--model", "bert", "--device", "cpu", "--catalog", "titles.txt", "--log", "json", &title];
    let ours = events(&place.run(&ours));
    let ours = ours.last().unwrap()["cosine"].as_array().unwrap();
    assert_eq!((ours.len(), found.len()), (5, 5));
    for (line, neighbor) in found.iter().zip(ours) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(
            (fields[0], fields[2]),
            (neighbor["id"].as_str().unwrap(), neighbor["title"].as_str().unwrap()),
            "{found:?}"
        );
        let difference = fields[1].parse::<f64>().unwrap() - neighbor["value"].as_f64().unwrap();
        assert!(difference.abs() < 1e-5, "{line}: {neighbor}");
    }
}

#[test]
fn a_data_loader_reads_shards() {
    let Some(python) = python(&["torch", "polars"]) else { return };
    let place = Shards::new();
    let found = lines(&python, "dataloader.py", place.folder.path(), &["shards"]);
    assert_eq!(found.len(), 3);
    // The first 32 products, in the order of files and rows.
    let products = (0..5u64).flat_map(|bucket| (0..120).filter(move |product| product % 5 == bucket)).take(32);
    let lengths: Vec<usize> = products.map(|product| support::ids(product, "products").len() + 2).collect();
    let (tokens, longest) = (lengths.iter().sum::<usize>(), lengths.iter().max().unwrap());
    assert_eq!(found[0], format!("0 (32, {longest}) {tokens} tokens"));
}

/// Tables of a shop with three mugs, two of which are substitutes, and a pot.
const SHOP: &str = r#"
import json, os, duckdb
for folder in ("corpus", "graph", "pool", "shards"):
    os.makedirs(f"shop/{folder}")
def table(name, rows):
    json.dump(rows, open("rows.json", "w"))
    duckdb.execute(f"COPY (FROM read_json('rows.json')) TO 'shop/{name}' (FORMAT parquet)")
products = [("1", "Acme", "Mugs"), ("2", "Bolt", "Mugs"), ("3", "Acme", "Mugs"), ("4", "Bolt", "Pots")]
table("corpus/products-0.parquet", [{"product_id": i, "brand": b, "categories": ["Kitchen", c]} for i, b, c in products])
edges = [("1", "2", "substitute"), ("1", "4", "complement"), ("3", "4", "complement")]
table("graph/associations.parquet", [{"product_a": a, "product_b": b, "relation": r} for a, b, r in edges])
table("pool/phrases.parquet", [{"phrase_id": i, "phrase": p, "score": 0.5} for i, p in enumerate(["tea set", "big mug"])])
spans = [("1", [0, 1]), ("2", [1]), ("3", [0, 1])]
table("shards/products-0.parquet", [{"product_id": p, "phrases": [{"phrase_id": i} for i in ids]} for p, ids in spans])
values = ", ".join(f"('{i}', 'mug {i}', [1.0, {i}.0])" for i in range(1, 5))
duckdb.execute(f"COPY (FROM (VALUES {values}) AS t(id, text, embedding)) TO 'titles.parquet' (FORMAT parquet)")
"#;

#[test]
fn duckdb_counts_phrases_and_brands_and_finds_substitutes() {
    let Some(python) = python(&["duckdb"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let made = Command::new(&python).args(["-c", SHOP]).current_dir(place.path()).output().unwrap();
    assert!(made.status.success(), "{}", text_of(&made));
    let found = lines(&python, "shards.py", place.path(), &["shop"]);
    let found: Vec<&str> = found.iter().map(|line| line.trim()).collect();
    assert_eq!(
        found,
        [
            "frequent phrases",
            "('big mug', 3, 0.5)",
            "('tea set', 2, 0.5)",
            "phrases of the same products",
            "('big mug', 'tea set', 2)",
            "brands bought together",
            "('Acme', 'Bolt', 2)",
        ]
    );
    let nearest = lines(&python, "embeddings.py", place.path(), &["titles.parquet", "1"]);
    assert_eq!(nearest.iter().map(|line| &line[..1]).collect::<String>(), "234");
    let same_category = lines(&python, "embeddings.py", place.path(), &["titles.parquet", "1", "shop"]);
    let marked: Vec<bool> = same_category.iter().map(|line| line.ends_with("\tsubstitute")).collect();
    assert_eq!(same_category.iter().map(|line| &line[..1]).collect::<String>(), "23");
    assert_eq!(marked, [true, false]);
}

/// Compares embeddings of sentence-transformers with the mean that its folder asks for.
const SENTENCES: &str = "
import sys, torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer
texts = ['red tea set', 'blue soap']
found = torch.tensor(SentenceTransformer('sentences', device='cpu').encode(texts))
tokenizer, model = AutoTokenizer.from_pretrained('bert'), AutoModel.from_pretrained('bert').eval()
with torch.no_grad():
    states = [model(**tokenizer(text, return_tensors='pt')).last_hidden_state[0].mean(0) for text in texts]
wanted = torch.nn.functional.normalize(torch.stack(states))
assert (found - wanted).abs().max() < 1e-5, (found, wanted)
";

#[test]
fn a_folder_for_sentence_transformers_has_its_mean() {
    let Some(python) = python(&["json"]) else { return };
    let place = Place::new();
    lines(&python, "sentence_transformer.py", place.folder.path(), &["bert", "sentences"]);
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(place.path("sentences").join(file)).unwrap()).unwrap()
    };
    let modules = read("modules.json");
    let paths: Vec<&str> = modules.as_array().unwrap().iter().map(|module| module["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["", "1_Pooling", "2_Normalize"]);
    let (pooling, length) = (read("1_Pooling/config.json"), read("sentence_bert_config.json"));
    assert_eq!((&pooling["word_embedding_dimension"], &length["max_seq_length"]), (&32.into(), &48.into()));
    let Some(python) = python::python(&["sentence_transformers"]) else { return };
    let output = Command::new(python).args(["-c", SENTENCES]).current_dir(place.folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
}

#[test]
fn what_would_be_uploaded_is_listed_and_needs_a_license() {
    let Some(python) = python(&["huggingface_hub"]) else { return };
    let place = Shards::new();
    let steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1"];
    let output = place.run(&[["--recipe", "tiny.toml", "--out", "run"].as_slice(), &steps].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    let listed = lines(&python, "upload.py", place.folder.path(), &["run/model", "owner/name"]);
    let names: Vec<&str> = listed.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let model =
        ["config.json", "model.safetensors", "recipe.toml", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
    assert_eq!(names, [&["card", "README.md"][..], &model].concat());
    let mut command = Command::new(&python);
    command.arg(example("upload.py")).args(["run/model", "owner/name", "--yes"]).current_dir(place.folder.path());
    let output = command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    assert!(!output.status.success() && text_of(&output).contains("has no license yet"), "{}", text_of(&output));
}

/// What a module says about the ids of texts.
const HELD_OUT: &str = "
import importlib, sys
page, *ids = sys.argv[1:]
names = {}
exec(open(page).read().split('```python\\nimport xxhash\\n')[1].split('```')[0], {'xxhash': importlib.import_module('xxhash')}, names)
from demo import is_held_out
for text in map(int, ids):
    found = names['is_held_out'](text, 0.3, 7)
    assert found == is_held_out(text, 0.3, 7), text
    print(found)
";

#[test]
fn held_out_texts_are_those_of_the_page_and_the_demo() {
    let Some(python) = python(&["duckdb", "xxhash"]) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ids: Vec<u64> = (0..300u64).map(|text| text.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut command = Command::new(python);
    command.args(["-c", HELD_OUT]).arg(root.join("docs/files.md")).args(ids.iter().map(u64::to_string));
    let output =
        command.env("PYTHONPATH", root.join("examples/demo")).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let wanted = ids.iter().map(|&text| if TextId::new(text).is_held_out(7, 0.3) { "True" } else { "False" });
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}
