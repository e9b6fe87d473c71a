//! Files that people take for a tokenizer, and files that are damaged.
use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tokenizers::{Model, models::wordpiece};

use super::error::TokenizerError;
use crate::text::wordpiece::CONTINUATION;

/// Fails for a file that people take for a tokenizer.
pub(super) fn refuse_another_file(path: &Path, bytes: &[u8], is_json: bool) -> Result<(), TokenizerError> {
    let another = |found| Err(TokenizerError::AnotherFile { path: path.to_owned(), found });
    let part = |found| Err(TokenizerError::SeveralFiles { path: path.to_owned(), found });
    if !is_json {
        return if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            another("a Git LFS pointer, not the file itself; run `git lfs pull` in its repository")
        } else if bytes.starts_with(b"#version") {
            part("the list of merges of a byte-pair encoding (BPE) tokenizer")
        } else if bytes.starts_with(b"<!") || bytes.starts_with(b"<html") {
            another("a web page")
        } else if bytes.starts_with(b"PK\x03\x04") {
            another("a zip archive")
        } else if bytes.contains(&0) {
            another("a binary file, such as a SentencePiece model")
        } else {
            Ok(())
        };
    }
    let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) else {
        return Ok(());
    };
    if object.contains_key("model") {
        return Ok(());
    }
    if !object.is_empty() && object.values().all(serde_json::Value::is_u64) {
        // Byte-level BPE writes a space as U+0120, and SentencePiece as U+2581.
        return if object.keys().any(|entry| entry.starts_with('\u{120}')) {
            part("a byte-level BPE vocabulary")
        } else if object.keys().any(|entry| entry.starts_with('\u{2581}')) {
            another("a SentencePiece vocabulary")
        } else if object.keys().any(|entry| entry.starts_with(CONTINUATION)) {
            another("a WordPiece vocabulary as a JSON map, without the rest of its tokenizer")
        } else {
            another("a vocabulary as a JSON map, without the rest of its tokenizer")
        };
    }
    if ["model_type", "architectures", "tokenizer_class", "do_lower_case"].iter().any(|key| object.contains_key(*key)) {
        return another("the configuration of a model, not its tokenizer");
    }
    Ok(())
}

/// An entry that the vocabulary of a `tokenizer.json` has twice. JSON parsers keep the last of equal keys.
pub(super) fn entry_twice(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        #[serde(default)]
        vocab: Entries,
    }
    /// The first entry that comes again.
    #[derive(Default)]
    struct Entries(Option<String>);

    impl<'de> Deserialize<'de> for Entries {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(EntriesVisitor)
        }
    }

    struct EntriesVisitor;

    impl<'de> Visitor<'de> for EntriesVisitor {
        type Value = Entries;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a vocabulary")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
            let (mut known, mut twice) = (HashSet::new(), None);
            while let Some((entry, _)) = map.next_entry::<String, IgnoredAny>()? {
                if !known.insert(entry.clone()) {
                    twice = twice.or(Some(entry));
                }
            }
            Ok(Entries(twice))
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Entries, S::Error> {
            // Of a Unigram model, which is refused later.
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Entries(None))
        }
    }

    serde_json::from_slice::<File>(json).ok()?.model.vocab.0
}

/// Fails if two lines of a `vocab.txt` are equal.
pub(super) fn refuse_duplicates(path: &Path, vocabulary: &[u8]) -> Result<(), TokenizerError> {
    let mut lines = HashMap::new();
    for (number, line) in (1..).zip(vocabulary.split(|byte| *byte == b'\n')) {
        // As `tokenizers` reads an entry.
        let line = line.trim_ascii_end();
        // A last line break, or several, ends the file.
        if line.is_empty()
            && vocabulary.split(|byte| *byte == b'\n').skip(number).all(|line| line.trim_ascii().is_empty())
        {
            break;
        }
        if let Some(first) = lines.insert(line, number) {
            let entry = String::from_utf8_lossy(line).into_owned();
            return Err(TokenizerError::Duplicate { path: path.to_owned(), entry, first, second: number });
        }
    }
    Ok(())
}

/// Fails for the vocabulary of a cased BERT: one with capitals in more than a twentieth of its
/// entries. No lower-case text can reach these.
pub(super) fn refuse_cased(path: &Path, model: &wordpiece::WordPiece) -> Result<(), TokenizerError> {
    let vocabulary = model.get_vocab();
    let has_capital = |entry: &str| !entry.starts_with('[') && entry.chars().any(char::is_uppercase);
    let capitals = || vocabulary.iter().filter(|(entry, _)| has_capital(entry));
    let found = capitals().count();
    match capitals().min_by_key(|(_, id)| **id) {
        Some((entry, _)) if found * 20 > vocabulary.len() => {
            Err(TokenizerError::Cased { path: path.to_owned(), found, entry: entry.clone() })
        }
        _ => Ok(()),
    }
}
