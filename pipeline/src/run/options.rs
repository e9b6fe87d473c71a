//! The options of a run as a file that `--config` reads.
use std::path::{Path, PathBuf};

use ebert_commands::OPTIONS_FILE;
use ebert_dumps::{Fields, Given, Source};
use schemas::{
    StoreError,
    manifest::{Copies, Negatives},
    store,
};
use toml::{Table, Value};

use crate::settings::{LanguageOption, MiningSettings, Settings};

/// Writes the options to the output folder. Paths are absolute, so the file can be used anywhere on this machine.
pub(super) fn write(settings: &Settings) -> Result<(), StoreError> {
    let text = "# The options of the last `ebert shards` or `ebert plan` on this folder. `--config` reads this file.\n"
        .to_owned();
    let text = text + &toml::to_string(&table(settings)).expect("it has texts and numbers only");
    let path = settings.out.join(OPTIONS_FILE);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    store::write_file(&path, text.as_bytes()).map(drop)
}

/// Removes what a killed process left of the file. No other process may write it meanwhile.
pub(super) fn sweep(settings: &Settings) -> Result<(), StoreError> {
    store::sweep(&settings.out, |name| name == OPTIONS_FILE)
}

fn table(settings: &Settings) -> Table {
    // A setting that is added must be written, too. Threads and memory, and that a corpus may be replaced, say nothing
    // about the data.
    let Settings {
        corpus,
        force: _,
        init,
        pool,
        mining: MiningSettings { quality_list, entity_list, stop_words, min_support, max_words, mining_mib: _ },
        language,
        tokenizer,
        out: _,
        address: elsewhere,
        min_score,
        min_score_single,
        max_tokens,
        seed,
        threads: _,
        nouns,
        association_source,
        associations,
        bucket_mib,
        copies,
        interactions,
        max_unreadable,
        allow_damaged,
        max_per_product,
        draws,
        negatives,
        checkpoint_mib: _,
    } = settings;
    let mut table = Table::new();
    let mut add = |key: &str, value: Value| table.insert(key.to_owned(), value);
    let path = |path: &Path| Value::from(absolute(path));
    let plain: Vec<Value> =
        corpus.iter().filter(|source| source.given.is_none()).map(|source| address(source).into()).collect();
    if !plain.is_empty() {
        add("corpus", plain.into());
    }
    for (key, value) in [
        ("init", init),
        ("tokenizer", if init.is_some() { &None } else { tokenizer }),
        ("pool", pool),
        ("quality-list", quality_list),
        ("entity-list", entity_list),
        ("stop-words", stop_words),
        ("associations", associations),
    ] {
        if let Some(value) = value {
            // The id of a model on the hub is not a path.
            let is_id = key == "init" && !value.is_dir();
            add(key, if is_id { value.display().to_string().into() } else { path(value) });
        }
    }
    // The file is in the output folder, or was fetched from there.
    add("out", elsewhere.as_deref().unwrap_or(".").into());
    let language = match language {
        LanguageOption::Auto => "auto",
        LanguageOption::En => "en",
        LanguageOption::Other => "other",
    };
    let copies = match copies {
        Copies::Remove => "remove",
        Copies::Keep => "keep",
    };
    let negatives = match negatives {
        Negatives::Random => "random",
        Negatives::Category => "category",
    };
    // TOML has no larger numbers; a text is read, too.
    let number = |number: u64| i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from);
    add("language", language.into());
    add("bucket-mib", number(*bucket_mib));
    add("copies", copies.into());
    add("no-interactions", (!interactions).into());
    add("allow-damaged", (*allow_damaged).into());
    add("max-unreadable", (*max_unreadable).into());
    if pool.is_none() {
        add("min-support", number(*min_support));
        add("max-words", number(*max_words));
    }
    add("min-score", (*min_score).into());
    add("min-score-single", (*min_score_single).into());
    if associations.is_none() {
        add("association-source", association_source.as_str().into());
    }
    add("max-tokens", i64::from(*max_tokens).into());
    add("nouns", if *nouns { "on" } else { "off" }.into());
    add("max-per-product", number(*max_per_product));
    add("draws", number(*draws));
    add("negatives", negatives.into());
    add("seed", number(*seed));
    for kind in ["products", "reviews"] {
        let described: Vec<Value> =
            corpus.iter().filter_map(|source| described(source, kind)).map(Value::Table).collect();
        if !described.is_empty() {
            add(kind, described.into());
        }
    }
    table
}

/// A source with fields, if it is of this kind.
fn described(source: &Source, kind: &str) -> Option<Table> {
    let Given { mapping, delimiter, header } = source.given.as_ref()?;
    let fields = match &mapping.fields {
        Fields::Products(fields) if kind == "products" => Table::try_from(fields),
        Fields::Reviews(fields) if kind == "reviews" => Table::try_from(fields),
        _ => return None,
    };
    let mut table = Table::new();
    table.insert("path".to_owned(), address(source).into());
    if let Some(delimiter) = delimiter {
        table.insert("delimiter".to_owned(), char::from(*delimiter).to_string().into());
    }
    if !header {
        table.insert("header".to_owned(), false.into());
    }
    table.extend(fields.expect("fields have texts only"));
    Some(table)
}

fn address(source: &Source) -> String {
    source.address.clone().unwrap_or_else(|| absolute(&source.path))
}

fn absolute(path: &Path) -> String {
    let path: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebert_dumps::{Mapping, ProductFields};

    use super::*;

    #[test]
    fn sources_are_written_as_they_are_read() {
        let fields: ProductFields =
            toml::from_str("id = \"sku\"\ntext = [\"a\", \"b\"]\ncategories = { field = \"path\", split = \" > \" }")
                .unwrap();
        let mapping = Arc::new(Mapping { name: String::new(), fields: Fields::Products(fields.clone()) });
        let given = Some(Given { mapping, delimiter: Some(b';'), header: false });
        let settings = Settings {
            corpus: vec![Source { path: "/shop/*.csv".into(), address: None, given }],
            init: Some("/models/bert".into()),
            ..Settings::default()
        };
        let table = table(&settings);
        let mut products = table["products"][0].as_table().unwrap().clone();
        assert_eq!(products.remove("path"), Some("/shop/*.csv".into()));
        assert_eq!((products.remove("delimiter"), products.remove("header")), (Some(";".into()), Some(false.into())));
        assert_eq!(products.try_into::<ProductFields>().unwrap(), fields);
        assert_eq!(table["init"].as_str(), Some("/models/bert"));
        assert!(!table.contains_key("tokenizer") && !table.contains_key("corpus"));
        // Every option exists.
        let command = ebert_commands::ebert();
        let shards = command.find_subcommand("shards").unwrap();
        for key in table.keys().filter(|key| *key != "products") {
            assert!(shards.get_arguments().any(|option| option.get_long() == Some(key)), "{key}");
        }
    }
}
