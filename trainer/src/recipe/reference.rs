//! `docs/recipes.md` against the code: the same keys, values of enumerations, defaults, and values of `e-bert`.
use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A recipe with no more than what it must have.
const MINIMAL: &str = "summary = \"\"\nscheme = \"word\"\n\
    [model]\nhidden_size = 8\nlayers = 1\nheads = 1\nintermediate_size = 8\n\
    [optimizer]\nlearning_rate = 1.0\nsequences = 1\n\
    [[stage]]\ncorpora = [\"products\"]\nsteps = 1\n";

/// Names of an earlier version, which are read but not documented.
const OLD_NAMES: [&str; 1] = ["optimizer.tokens_at_once"];

/// A row of a table of the page, by the column's title.
type Row = BTreeMap<String, String>;

/// The rows of the page by key, such as `stage.0.epochs`.
fn page() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes.md")).unwrap();
    let (mut rows, mut prefix, mut titles) = (BTreeMap::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## `[") {
            let table = heading.trim_matches(['[', ']', '`']);
            prefix = if table == "stage" { "stage.0.".to_owned() } else { format!("{table}.") };
        }
        let Some(line) = line.strip_prefix("| ") else { continue };
        let cells: Vec<String> = line.trim_end_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        match cells[0].strip_prefix('`').and_then(|key| key.strip_suffix('`')) {
            None => titles = cells,
            Some(key) if titles[0] == "key" => {
                let key = format!("{prefix}{key}");
                let row = titles.iter().cloned().zip(cells.iter().cloned()).collect();
                assert!(rows.insert(key.clone(), row).is_none(), "{key} has two rows");
            }
            Some(_) => {}
        }
    }
    rows
}

/// Texts between back quotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

struct Minimal {
    _folder: tempfile::TempDir,
    path: String,
}

impl Minimal {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("minimal.toml");
        fs::write(&path, MINIMAL).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    fn with(&self, set: &str) -> Result<Recipe, RecipeError> {
        Recipe::load(&self.path, &[set.to_owned()])
    }

    /// What the code expects instead of a key or value that does not exist, if it has a list.
    fn expected(&self, set: &str) -> Option<BTreeSet<String>> {
        let error = self.with(set).err()?.to_string();
        let (_, expected) = error.split_once(", expected ").filter(|_| error.contains("unknown "))?;
        Some(quoted(expected.lines().next().unwrap()))
    }

    /// Every key of the code that is not a table.
    fn keys(&self) -> BTreeSet<String> {
        let resolved: toml::Value = toml::from_str(&self.with("seed=0").unwrap().to_toml()).unwrap();
        let (mut keys, mut tables) = (BTreeSet::new(), vec![(String::new(), resolved)]);
        while let Some((prefix, table)) = tables.pop() {
            for name in self.expected(&format!("{prefix}no_such_key=1")).unwrap() {
                let key = format!("{prefix}{name}");
                match table.get(&name) {
                    Some(inner @ toml::Value::Table(_)) => tables.push((format!("{key}."), inner.clone())),
                    Some(toml::Value::Array(items)) if items[0].is_table() => {
                        tables.push((format!("{key}.0."), items[0].clone()));
                    }
                    _ if OLD_NAMES.contains(&key.as_str()) => {}
                    _ => drop(keys.insert(key)),
                }
            }
        }
        keys
    }
}

#[test]
fn the_page_lists_the_keys_of_the_code() {
    let documented: BTreeSet<String> = page().into_keys().collect();
    let keys = Minimal::new().keys();
    assert!(keys.len() > 50, "{keys:?}");
    let missing: Vec<&String> = keys.difference(&documented).collect();
    let unknown: Vec<&String> = documented.difference(&keys).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "docs/recipes.md lacks {missing:?} and invents {unknown:?}");
}

#[test]
fn the_page_lists_the_values_of_enumerations() {
    let minimal = Minimal::new();
    for (key, row) in page() {
        let Some(variants) = minimal.expected(&format!("{key}=\"no_such_value\"")) else {
            assert!(!row["type"].contains('"') || key == "stage.0.corpora", "{key} is not an enumeration");
            continue;
        };
        let listed: BTreeSet<String> = quoted(&row["type"]).iter().map(|v| v.trim_matches('"').to_owned()).collect();
        assert_eq!(listed, variants, "values of {key} in docs/recipes.md");
    }
}

#[test]
fn the_page_has_the_defaults_and_the_values_of_e_bert() {
    let minimal = Minimal::new();
    let written: toml::Value = toml::from_str(MINIMAL).unwrap();
    for (key, row) in page() {
        let value_of = |column: &str| row.get(column)?.strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
        let is_written =
            serde_json::to_value(&written).unwrap().pointer(&format!("/{}", key.replace('.', "/"))).is_some();
        if is_written {
            assert!(["required", "this or"].iter().any(|start| row["default"].starts_with(start)), "{key}");
        } else if let Some(value) = value_of("default").filter(|value| !value.contains("masking.")) {
            let set = minimal.with(&format!("{key}={value}")).unwrap();
            assert_eq!(set, minimal.with("seed=0").unwrap(), "default of {key}");
        } else {
            // Nothing: the key is absent from a recipe that does not set it.
            assert_eq!(minimal.with("seed=0").unwrap().values_of(&key), "null", "default of {key}");
        }
        if let Some(value) = value_of("`e-bert`") {
            let unchanged = Recipe::load("e-bert", &[]).unwrap();
            let set = Recipe::load("e-bert", &[format!("{key}={value}")]).unwrap();
            assert_eq!(set, unchanged, "{key} of e-bert");
        }
    }
}

#[test]
fn the_examples_of_the_page_are_recipes() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes.md")).unwrap();
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.toml");
    for example in &examples {
        fs::write(&path, example).unwrap();
        Recipe::load(path.to_str().unwrap(), &[]).unwrap();
    }
    assert!(!examples.is_empty());
}
