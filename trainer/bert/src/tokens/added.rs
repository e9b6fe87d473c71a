//! Tokens that were added to a model's vocabulary, as `tokenizer.add_tokens` does.
//!
//! Folders list them in `tokenizer.json`, in `tokenizer_config.json` (`added_tokens_decoder`) or,
//! if they are older, in `added_tokens.json`, which has names and ids alone.
use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::AddedToken;

use super::error::TokensError;
use crate::pointer::Pointer;

/// An added token, as `tokenizer.json` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// Its id.
    pub id: u32,
    /// Its text, and how it is found in a text.
    #[serde(flatten)]
    pub token: AddedToken,
}

/// The added tokens of a Hugging Face folder by id, BERT's special tokens among them where the
/// folder lists them.
///
/// # Errors
/// When one of its files cannot be read.
pub fn added(folder: &Path) -> Result<Vec<Added>, TokensError> {
    let broken = |file: &str, error: serde_json::Error| TokensError::Unreadable {
        folder: folder.to_owned(),
        what: format!("{file}: {error}"),
    };
    let [tokenizer, config, named, special] =
        ["tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
            .map(|file| read(folder, file));
    let mut all: BTreeMap<u32, AddedToken> = BTreeMap::new();
    for token in tokenizer?["added_tokens"].as_array().into_iter().flatten() {
        let Added { id, token } =
            serde_json::from_value(token.clone()).map_err(|error| broken("tokenizer.json", error))?;
        all.insert(id, token);
    }
    let config = config?;
    for (id, token) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
        let Ok(id) = id.parse() else { continue };
        let token = serde_json::from_value(token.clone()).map_err(|error| broken("tokenizer_config.json", error))?;
        all.entry(id).or_insert(token);
    }
    let named = named?;
    if !named.is_null() {
        let named: BTreeMap<String, u32> =
            serde_json::from_value(named).map_err(|error| broken("added_tokens.json", error))?;
        let mut specials = Vec::new();
        texts(&special?, &mut specials);
        texts(&config["additional_special_tokens"], &mut specials);
        for (text, id) in named {
            let special = specials.contains(&text);
            all.entry(id).or_insert_with(|| AddedToken::from(text, special));
        }
    }
    Ok(all.into_iter().map(|(id, token)| Added { id, token }).collect())
}

/// A JSON file of a folder; null where there is none.
pub(super) fn read(folder: &Path, file: &str) -> Result<Value, TokensError> {
    let path = folder.join(file);
    Pointer::refuse(&path)?;
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| TokensError::Unreadable { folder: folder.to_owned(), what: format!("{file}: {error}") }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Null),
        Err(source) => Err(TokensError::Io { path, source }),
    }
}

/// All texts of a value.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, into)),
        Value::Object(values) => values.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_tokens_are_found_in_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let found = || -> Vec<(u32, String, bool)> {
            let all = added(folder.path()).unwrap().into_iter();
            all.map(|added| (added.id, added.token.content, added.token.special)).collect()
        };
        assert_eq!(found(), []);
        fs::write(folder.path().join("added_tokens.json"), r#"{"[PRICE]": 8, "xbox": 7}"#).unwrap();
        fs::write(folder.path().join("special_tokens_map.json"), r#"{"additional_special_tokens": ["[PRICE]"]}"#)
            .unwrap();
        assert_eq!(found(), [(7, "xbox".to_owned(), false), (8, "[PRICE]".to_owned(), true)]);
        let decoder = r#"{"added_tokens_decoder": {"8": {"content": "[COST]", "special": true, "lstrip": false,
            "rstrip": false, "single_word": false, "normalized": false}}}"#;
        fs::write(folder.path().join("tokenizer_config.json"), decoder).unwrap();
        assert_eq!(found()[1], (8, "[COST]".to_owned(), true));
        let file = r#"{"added_tokens": [{"id": 9, "content": "wii", "special": false, "lstrip": false,
            "rstrip": false, "single_word": true, "normalized": true}]}"#;
        fs::write(folder.path().join("tokenizer.json"), file).unwrap();
        assert_eq!(found()[2], (9, "wii".to_owned(), false));
        fs::write(folder.path().join("added_tokens.json"), "[]").unwrap();
        assert!(added(folder.path()).unwrap_err().to_string().contains("added_tokens.json: "));
    }
}
