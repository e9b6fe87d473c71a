//! The sources in the file of `--config`, and the tokenizer of the start model.
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_commands::{SAMPLE, TokenizerOption};
use ebert_dumps::{Fields, FindError, Given, Mapping, Source};
use pipeline::{run::RunError, text::Tokenizer};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::remote::{self, Needed};

/// The sources of a run: those that are named, then those of the file; without any, the sample.
///
/// # Errors
/// If the file is not a configuration, or a source does not exist.
pub(crate) fn sources(corpus: &[PathBuf], config: Option<&Path>, needed: Needed) -> Result<Vec<Source>, RunError> {
    let mut all = Vec::new();
    for path in corpus {
        all.push(source(path, None, needed)?);
    }
    if let Some(path) = config {
        all.extend(of_file(path, needed)?);
    }
    if all.is_empty() {
        all.push(Source::from(sample().as_path()));
    }
    for Source { path, .. } in &all {
        // Before a tokenizer is missed.
        if matches!(path.try_exists(), Ok(false)) && !Source::is_pattern(path) {
            return Err(FindError::NoFolder { folder: path.clone() }.into());
        }
    }
    Ok(all)
}

fn of_file(path: &Path, needed: Needed) -> Result<Vec<Source>, RunError> {
    let refuse = |what: String| RunError::Config { path: path.to_owned(), what };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let mut table: Table = toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut all = Vec::new();
    for kind in ["products", "reviews"] {
        let described = match table.remove(kind) {
            None => Vec::new(),
            Some(Value::Array(several)) => several,
            Some(one) => vec![one],
        };
        for description in described {
            let Value::Table(description) = description else {
                return Err(refuse(format!("found `{kind} = {description}`, expected a table with `path` and fields")));
            };
            let (paths, given) = of_table(kind, description).map_err(|what| refuse(format!("[{kind}]: {what}")))?;
            for path in paths {
                let path = PathBuf::from(path);
                let path = if ebert_commands::is_address(&path) { path } else { folder.join(path) };
                all.push(source(&path, given.clone(), needed)?);
            }
        }
    }
    Ok(all)
}

/// A source. One on another machine is fetched first.
fn source(path: &Path, given: Option<Given>, needed: Needed) -> Result<Source, RunError> {
    if !ebert_commands::is_address(path) {
        return Ok(Source { path: path.to_owned(), address: None, given });
    }
    let text = path.to_string_lossy();
    let path = remote::fetched(&text, needed)?;
    Ok(Source { path, address: Some(text.into_owned()), given })
}

/// The paths of a table, and how they are read.
fn of_table(kind: &str, mut table: Table) -> Result<(Vec<String>, Option<Given>), String> {
    let paths = match table.remove("path") {
        Some(Value::String(path)) => vec![path],
        Some(Value::Array(paths)) => {
            let all: Option<Vec<String>> = paths.iter().map(|path| Some(path.as_str()?.to_owned())).collect();
            all.ok_or("found another value in `path`, expected texts")?
        }
        _ => return Err("`path` is missing".to_owned()),
    };
    let delimiter = match table.remove("delimiter") {
        None => None,
        Some(Value::String(text)) if text.len() == 1 => Some(text.as_bytes()[0]),
        Some(other) => return Err(format!("found `delimiter = {other}`, expected one character")),
    };
    let header = match table.remove("header") {
        None => true,
        Some(Value::Boolean(header)) => header,
        Some(other) => return Err(format!("found `header = {other}`, expected true or false")),
    };
    let given = if table.is_empty() && (delimiter.is_some() || !header) {
        return Err("`delimiter` and `header` need fields, such as `id`".to_owned());
    } else if table.is_empty() {
        None
    } else {
        let fields = match kind {
            "products" => Fields::Products(fields(table)?),
            _ => Fields::Reviews(fields(table)?),
        };
        let mapping = Arc::new(Mapping { name: String::new(), fields });
        Some(Given { mapping, delimiter, header })
    };
    Ok((paths, given))
}

/// The fields of a table. An error names the key that is wrong.
fn fields<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    table.try_into().map_err(|error: toml::de::Error| {
        let message = match error.message() {
            // `FieldNames` has several forms, which serde would name as the code does.
            message if message.contains("untagged enum") => {
                "expected a field, a list of fields, or { field = \"…\", split = \"…\" }"
            }
            message => message,
        };
        // The last line of what it displays.
        let text = error.to_string();
        let key = text.trim_end().lines().last().and_then(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        key.map_or_else(|| message.to_owned(), |key| format!("`{key}`: {message}"))
    })
}

/// The tokenizer: the one that is named, that of the start model, or for the sample its own.
///
/// # Errors
/// If the start model has none, or another than the one that is named.
pub(crate) fn tokenizer(option: &TokenizerOption, sources: Option<&[Source]>) -> Result<Option<PathBuf>, RunError> {
    let Some(model) = &option.init else {
        let is_sample = sources.is_none_or(|sources| sources.iter().all(|source| is_sample(&source.path)));
        return Ok(option.tokenizer.clone().or_else(|| is_sample.then(|| sample().join("tokenizer.json"))));
    };
    let own = if model.is_dir() {
        // A `vocab.json` alone is refused, with the command that writes a `tokenizer.json`.
        let names = ["tokenizer.json", "vocab.txt", "vocab.json"];
        let own = names.map(|name| model.join(name)).into_iter().find(|path| path.is_file());
        let own = own.ok_or_else(|| RunError::NoStartTokenizer { model: model.clone() })?;
        if own.ends_with("vocab.txt")
            && let Some(key) = key_of_another_text(model)
        {
            return Err(RunError::StartTokenizerConfig { model: model.clone(), key });
        }
        own
    } else {
        let own = remote::tokenizer(&model.to_string_lossy())?;
        own.ok_or_else(|| RunError::NoStartModel { model: model.clone() })?
    };
    if let Some(named) = &option.tokenizer {
        let (of_model, other) = (Tokenizer::load(&own)?, Tokenizer::load(named)?);
        let (of_model, other) = (of_model.vocabulary(), other.vocabulary());
        if let Some(difference) = difference(of_model, other) {
            return Err(RunError::OtherTokenizer { tokenizer: named.clone(), model: model.clone(), difference });
        }
    }
    Ok(Some(own))
}

/// A key of a model's `tokenizer_config.json` by which its texts are not those of an uncased BERT.
fn key_of_another_text(model: &Path) -> Option<&'static str> {
    let text = fs::read(model.join("tokenizer_config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
    ["do_lower_case", "strip_accents", "tokenize_chinese_chars"].into_iter().find(|key| config[key] == false)
}

/// How a vocabulary differs from that of a model.
fn difference(model: &[String], other: &[String]) -> Option<String> {
    let at = model.iter().zip(other).position(|(model, other)| model != other);
    match at {
        Some(id) => Some(format!("entry {id} is `{}`, and the model's is `{}`", other[id], model[id])),
        None if model.len() == other.len() => None,
        None => Some(format!("it has {} entries, and the model's has {}", other.len(), model.len())),
    }
}

/// The sample: that of the repository in the current folder, or the one that was installed with this program.
fn sample() -> PathBuf {
    let here = PathBuf::from(SAMPLE);
    if here.exists() {
        return here;
    }
    let program = env::current_exe().unwrap_or_default();
    let installed = program.ancestors().nth(2).map(|root| root.join("share/ebert/sample"));
    installed.filter(|folder| folder.is_dir()).unwrap_or(here)
}

/// The option that names a start model, unless the corpus or its configuration has a tokenizer. With it, the next
/// command can be typed.
pub(crate) fn start_option(sources: &[Source], config: Option<&Path>) -> Option<&'static str> {
    let has_tokenizer = |table: &Table| ["init", "tokenizer"].iter().any(|key| table.contains_key(*key));
    let table = config.and_then(|path| fs::read_to_string(path).ok()).and_then(|text| toml::from_str(&text).ok());
    let is_known = sources.iter().all(|source| is_sample(&source.path)) || table.is_some_and(|it| has_tokenizer(&it));
    (!is_known).then_some(" --init bert-base-uncased")
}

fn is_sample(corpus: &Path) -> bool {
    let (sample, real) = (sample(), |path: &Path| path.canonicalize().ok());
    corpus == sample || real(corpus).is_some_and(|corpus| real(&sample) == Some(corpus))
}

#[cfg(test)]
mod tests {
    use ebert_dumps::Kind;

    use super::*;

    #[test]
    fn sources_and_their_fields_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.toml");
        let of = |text: &str| {
            fs::write(&file, text).unwrap();
            sources(&[], Some(&file), Needed::Whole)
        };
        fs::write(folder.path().join("a.csv"), "").unwrap();
        let all = of("[products]\npath = \"a.csv\"\nid = \"sku\"\ntitle = \"name\"\ndelimiter = \";\"\n\
                      categories = { field = \"path\", split = \" > \" }\n\
                      [[reviews]]\npath = [\"*.json\", \"a.csv\"]\nproduct = \"sku\"\ntext = [\"good\", \"bad\"]\n")
        .unwrap();
        let paths: Vec<_> = all.iter().map(|source| source.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(paths, [Path::new("a.csv"), Path::new("*.json"), Path::new("a.csv")]);
        let given: Vec<&Given> = all.iter().map(|source| source.given.as_ref().unwrap()).collect();
        assert_eq!((given[0].delimiter, given[0].mapping.kind()), (Some(b';'), Kind::Product));
        assert_eq!(given[1].mapping.names(), ["sku", "good", "bad"]);
        let plain = of("[[products]]\npath = \"a.csv\"\n").unwrap();
        assert_eq!(
            plain,
            [Source { path: folder.path().join("a.csv"), address: None, given: None }],
            "a source of a known kind"
        );
        for (text, wanted) in [
            ("[products]\nid = \"a\"", "[products]: `path` is missing"),
            ("products = 3", "found `products = 3`, expected a table"),
            ("[products]\npath = \"a.csv\"\ntitle = \"b\"", "[products]: missing field `id`"),
            (
                "[products]\npath = \"a.csv\"\nid = \"a\"\nname = \"b\"",
                "unknown field `name`, expected one of `id`, `title`",
            ),
            (
                "[products]\npath = \"a.csv\"\nid = \"a\"\ncategories = 3",
                "[products]: `categories`: expected a field, a list of fields, or { field = ",
            ),
            ("[products]\npath = \"a.csv\"\nid = 3", "[products]: `id`: invalid type: integer `3`, expected a string"),
            ("[reviews]\npath = \"a.csv\"\ndelimiter = \"::\"", "expected one character"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(matches!(of("[products]\npath = \"none.csv\"\nid = \"a\""), Err(RunError::Find { .. })));
    }

    #[test]
    fn the_tokenizer_follows_the_start_model() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, words: &[&str]| {
            let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [&special, words].concat().join("\n")).unwrap();
            path
        };
        let own = write("model/vocab.txt", &["tea", "salt"]);
        let same = write("same.txt", &["tea", "salt"]);
        let other = write("other.txt", &["tea", "oil"]);
        let model = folder.path().join("model");
        let chosen = |tokenizer: Option<&PathBuf>, init: Option<&Path>| {
            let option = TokenizerOption { tokenizer: tokenizer.cloned(), init: init.map(Path::to_owned) };
            tokenizer_of(&option)
        };
        fn tokenizer_of(option: &TokenizerOption) -> Result<Option<PathBuf>, RunError> {
            tokenizer(option, Some(&[Source::from(Path::new("real"))]))
        }
        assert_eq!(chosen(None, Some(&model)).unwrap(), Some(own.clone()));
        assert_eq!(chosen(Some(&same), Some(&model)).unwrap(), Some(own));
        assert_eq!(chosen(Some(&other), None).unwrap(), Some(other.clone()));
        assert_eq!(chosen(None, None).unwrap(), None);
        let error = chosen(Some(&other), Some(&model)).unwrap_err().to_string();
        assert!(error.contains("entry 6 is `oil`, and the model's is `salt`"), "{error}");
        for (config, wanted) in [
            (r#"{"do_lower_case": true, "strip_accents": null}"#, None),
            (r#"{"do_lower_case": true, "strip_accents": false}"#, Some("has `strip_accents: false`")),
            (r#"{"do_lower_case": false}"#, Some("has `do_lower_case: false`")),
        ] {
            fs::write(model.join("tokenizer_config.json"), config).unwrap();
            let error = chosen(None, Some(&model)).err().map(|error| error.to_string());
            let as_wanted =
                error.as_deref().map_or(wanted.is_none(), |error| wanted.is_some_and(|it| error.contains(it)));
            assert!(as_wanted, "{error:?}");
        }
        let error = chosen(None, Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("has neither"), "{error}");
        let error = chosen(None, Some(Path::new("google-bert/bert-base-uncased"))).unwrap_err().to_string();
        assert!(error.contains("hf download google-bert/bert-base-uncased --local-dir bert-base-uncased"), "{error}");
    }
}
