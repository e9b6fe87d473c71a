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
use support::{Place as Shards, events, tasks::Place, text_of};

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
    let found = lines(&python, "fill_mask.py", place.folder.path(), &["bert", text]);
    let ours = events(&place.run(&["fill-mask", "--model", "bert", "--device", "cpu", "--log", "json", text]));
    let masks = ours[0]["masks"].as_array().unwrap();
    let entries =
        (1..).zip(masks).flat_map(|(number, entries)| entries.as_array().unwrap().iter().map(move |e| (number, e)));
    assert_eq!((masks.len(), found.len()), (2, 10));
    for (line, (number, entry)) in found.iter().zip(entries) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!((fields[0], fields[1]), (&*i32::to_string(&number), entry["entry"].as_str().unwrap()), "{found:?}");
        let difference = fields[2].parse::<f64>().unwrap() - entry["probability"].as_f64().unwrap();
        assert!(difference.abs() < 1e-5, "{line}: {entry}");
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
