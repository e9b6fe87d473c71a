//! The vocabulary of the shards: which ids are special, which continue a word, and how they are
//! spelled in a checkpoint.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use schemas::manifest::TokenizerEntry;
use serde::Deserialize;

/// The tokens of a WordPiece vocabulary, by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    continues: Vec<bool>,
    ordinary: Vec<u16>,
    /// The ids that a sequence is made with.
    pub special: SpecialIds,
}

/// Ids of the special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// `[PAD]`.
    pub pad: u16,
    /// `[CLS]`, the first token of every sequence.
    pub cls: u16,
    /// `[SEP]`, the last token of every sequence.
    pub sep: u16,
    /// `[MASK]`.
    pub mask: u16,
}

/// A vocabulary cannot be used for training.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not a tokenizer file.
    #[error("`{}` is not a tokenizer file\nhint: use a Hugging Face `tokenizer.json` with WordPiece or byte-level BPE", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A token that sequences are made with is not in it.
    #[error("`{}` has no token {token}\nhint: BERT's tokens [PAD], [UNK], [CLS], [SEP] and [MASK] are required", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// Which.
        token: &'static str,
    },
    /// Its ids are not 0, 1, 2, …
    #[error("`{}` has {tokens} tokens, but no token of id {id}", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// How many it has.
        tokens: usize,
        /// The first id without a token.
        id: usize,
    },
    /// Shards are built for it, but batches are not made of them yet.
    #[error(
        "`{}` is {found}, and pre-training reads WordPiece of at most 65,536 entries so far\n\
         hint: build shards with a BERT's tokenizer: `ebert shards --tokenizer vocab.txt --out DIR`, another folder",
        path.display()
    )]
    NotRead {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It is another one than the manifest says.
    #[error("`{}` does not match the manifest next to it: {what}\nhint: run `ebert shards` again", path.display())]
    OtherThanStated {
        /// The file.
        path: PathBuf,
        /// How.
        what: String,
    },
}

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: WordPiece,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct WordPiece {
    vocab: std::collections::HashMap<String, usize>,
}

/// BERT's special tokens, whether or not a file lists them as added.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

impl Vocabulary {
    /// The vocabulary that the manifest of `shards` names, and the bytes of its file.
    pub(crate) fn of_shards(shards: &Path, entry: &TokenizerEntry) -> Result<(Self, Vec<u8>), VocabularyError> {
        let path = shards.join(&entry.file);
        if entry.has_wide_ids() {
            return Err(VocabularyError::NotRead { path, found: "a vocabulary with ids of 32 bits" });
        }
        if entry.continuation_ids.is_empty() {
            return Err(VocabularyError::NotRead { path, found: "a byte-level BPE" });
        }
        let other = |what: String| VocabularyError::OtherThanStated { path: path.clone(), what };
        let bytes = fs::read(&path).map_err(|source| VocabularyError::Io { path: path.clone(), source })?;
        let found = blake3::hash(&bytes).to_hex().to_string();
        if found != entry.blake3 {
            return Err(other(format!("blake3 found {found}, expected {}", entry.blake3)));
        }
        let (tokens, added) = parse_tokenizer(&path, &bytes)?;
        if tokens.len() != entry.vocab_size as usize {
            return Err(other(format!("{} tokens found, expected {}", tokens.len(), entry.vocab_size)));
        }
        let continues =
            entry.continuations().ok_or_else(|| other("its table of continuations has another size".to_owned()))?;
        Ok((Self::new(&path, tokens, continues, &added)?, bytes))
    }

    fn new(path: &Path, tokens: Vec<String>, continues: Vec<bool>, added: &[u16]) -> Result<Self, VocabularyError> {
        let id = |token: &'static str| {
            let at = tokens.iter().position(|t| t == token);
            at.map(|id| id as u16).ok_or(VocabularyError::NoToken { path: path.to_owned(), token })
        };
        let special = SpecialIds { pad: id("[PAD]")?, cls: id("[CLS]")?, sep: id("[SEP]")?, mask: id("[MASK]")? };
        let ordinary = (0..tokens.len() as u32)
            .map(|id| id as u16)
            .filter(|id| !added.contains(id) && !SPECIAL.contains(&tokens[usize::from(*id)].as_str()))
            .collect();
        Ok(Self { continues, ordinary, special, tokens })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens, by id.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether a token continues a word.
    pub fn continues(&self, id: u16) -> bool {
        self.continues.get(usize::from(id)).copied().unwrap_or(false)
    }

    /// The ids of all tokens that are text.
    pub fn ordinary(&self) -> &[u16] {
        &self.ordinary
    }
}

/// The tokens of a `tokenizer.json`, by id.
///
/// # Errors
/// When it cannot be read, or has gaps.
pub fn tokens_of_file(path: &Path) -> Result<Vec<String>, VocabularyError> {
    let bytes = fs::read(path).map_err(|source| VocabularyError::Io { path: path.to_owned(), source })?;
    parse_tokenizer(path, &bytes).map(|(tokens, _)| tokens)
}

/// The tokens by id, and the ids of the special ones.
fn parse_tokenizer(path: &Path, bytes: &[u8]) -> Result<(Vec<String>, Vec<u16>), VocabularyError> {
    let file: TokenizerFile =
        serde_json::from_slice(bytes).map_err(|source| VocabularyError::Malformed { path: path.to_owned(), source })?;
    let mut by_id: std::collections::BTreeMap<usize, String> =
        file.model.vocab.into_iter().map(|(token, id)| (id, token)).collect();
    let special = file.added_tokens.iter().filter(|t| t.special && t.id <= 0xffff).map(|t| t.id as u16).collect();
    by_id.extend(file.added_tokens.into_iter().map(|t| (t.id, t.content)));
    let tokens = by_id.len();
    if let Some((missing, _)) = by_id.keys().enumerate().find(|(wanted, id)| wanted != *id) {
        return Err(VocabularyError::Gap { path: path.to_owned(), tokens, id: missing });
    }
    Ok((by_id.into_values().collect(), special))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `[PAD] [UNK] [CLS] [SEP] [MASK]`, then words `w5 w6 …`, of which every fourth continues a
    /// word.
    pub(crate) fn small(size: usize) -> Vocabulary {
        let token = |id: usize| match SPECIAL.get(id) {
            Some(token) => (*token).to_owned(),
            None if id.is_multiple_of(4) => format!("##w{id}"),
            None => format!("w{id}"),
        };
        let tokens: Vec<String> = (0..size).map(token).collect();
        let continues = tokens.iter().map(|t| t.starts_with("##")).collect();
        Vocabulary::new(Path::new("small"), tokens, continues, &[]).unwrap()
    }

    #[test]
    fn special_tokens_are_not_ordinary() {
        let vocabulary = small(12);
        assert_eq!(vocabulary.special, SpecialIds { pad: 0, cls: 2, sep: 3, mask: 4 });
        assert_eq!(vocabulary.ordinary(), [5, 6, 7, 8, 9, 10, 11]);
        assert!(vocabulary.continues(8) && !vocabulary.continues(9) && !vocabulary.continues(60_000));
    }

    #[test]
    fn files_that_are_no_vocabulary_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        let error = |text: &str| {
            fs::write(&file, text).unwrap();
            tokens_of_file(&file).unwrap_err().to_string()
        };
        let gap = error(r#"{"model": {"vocab": {"a": 0, "b": 2}}}"#);
        assert!(gap.contains("2 tokens, but no token of id 1"), "{gap}");
        assert!(error("{}").contains("not a tokenizer file"));
    }

    #[test]
    fn vocabularies_without_continuations_and_with_wide_ids_are_refused_by_name() {
        for (vocab_size, wanted) in [(300, "is a byte-level BPE"), (70_000, "with ids of 32 bits")] {
            let entry = TokenizerEntry {
                file: "tokenizer.json".to_owned(),
                vocab_size,
                blake3: String::new(),
                continuation_ids: String::new(),
            };
            let error = Vocabulary::of_shards(Path::new("shards"), &entry).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("hint: build shards"), "{error}");
        }
    }
}
