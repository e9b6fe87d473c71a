//! The sample as a whole: its bytes, its counts, and that it means something.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::*;

fn written(name: &str, seed: u64) -> (PathBuf, SampleSummary) {
    let dir = std::env::temp_dir().join(format!("sample-{name}-{}", std::process::id()));
    let summary = write_sample(&dir, seed).expect("the temporary folder can be written");
    (dir, summary)
}

fn read(dir: &Path, file: &str) -> String {
    let bytes = fs::read(dir.join(file)).expect("the file was written");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip of UTF-8");
    text
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (first, summary) = written("first", 3);
    let (again, same) = written("again", 3);
    let (other, _) = written("other", 4);
    assert_eq!(summary, same);
    for file in ["meta_sample.json.gz", "Sample_5.json.gz"] {
        let bytes = |dir: &Path| fs::read(dir.join(file)).expect("the file was written");
        assert!(bytes(&first) == bytes(&again), "{file} differs");
        assert!(bytes(&first) != bytes(&other), "{file} does not depend on the seed");
    }
    for dir in [first, again, other] {
        fs::remove_dir_all(dir).expect("it was made here");
    }
}

#[test]
fn the_counts_and_the_references_hold() {
    let (dir, summary) = written("counts", 0);
    assert!(summary.bytes < 2_600_000, "{summary:?}");
    let meta = read(&dir, "meta_sample.json.gz");
    let mut ids = BTreeSet::new();
    let mut empty = 0;
    for line in meta.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        ids.insert(record["asin"].as_str().expect("an id").to_owned());
        let none = |field: &str| record[field].as_array().is_none_or(Vec::is_empty);
        empty += usize::from(record["title"] == "" && none("description") && none("feature"));
    }
    assert_eq!((meta.lines().count(), ids.len()), (summary.products, PRODUCTS));
    assert!(summary.products > PRODUCTS && empty > 0);

    let reviews = read(&dir, "Sample_5.json.gz");
    assert_eq!(reviews.lines().count(), summary.reviews);
    let (mut seen, mut repeats, mut blank, mut long) = (BTreeSet::new(), 0, 0, 0);
    for line in reviews.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(ids.contains(record["asin"].as_str().expect("an id")));
        let text = record["reviewText"].as_str().expect("a text");
        assert!(!text.contains(['{', '}', '[', ']', '|']), "a template was not filled: {text}");
        blank += usize::from(text.is_empty());
        long += usize::from(text.split_whitespace().count() > 400);
        repeats += usize::from(!seen.insert(line));
    }
    assert!(repeats > 20 && blank > 20 && long > 20, "{repeats} repeats, {blank} blank, {long} long");
    fs::remove_dir_all(dir).expect("it was made here");
}

#[test]
fn associations_mean_something() {
    let products = products::products(PRODUCTS, 0);
    let mut hubs = 0;
    for product in &products {
        assert!(product.substitutes.iter().all(|&other| products[other].kind_of.name == product.kind_of.name));
        let goes: Vec<&str> = product.kind_of.goes_with.split('|').collect();
        assert!(product.complements.iter().all(|&other| goes.contains(&products[other].kind_of.name)));
        hubs += usize::from(product.complements.len() + product.substitutes.len() > 60);
    }
    assert!(hubs >= 5, "{hubs} hubs");
}

#[test]
fn every_complement_is_a_type_and_types_have_one_name() {
    let mut names = BTreeMap::new();
    for kind_of in catalog::CATEGORIES.iter().flat_map(|category| category.types) {
        assert!(names.insert(kind_of.name, kind_of).is_none(), "{} is there twice", kind_of.name);
    }
    for kind_of in names.values() {
        for other in kind_of.goes_with.split('|') {
            assert!(names.contains_key(other) && other != kind_of.name, "{} goes with {other}", kind_of.name);
        }
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (day, date) in [(0, (1970, 1, 1)), (16_861, (2016, 3, 1)), (17_696, (2018, 6, 14))] {
        assert_eq!(civil(day), date);
    }
}
