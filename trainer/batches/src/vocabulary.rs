//! The vocabulary of the shards: which ids are special, where words start, and how tokens are spelled
//! in a checkpoint.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use schemas::manifest::TokenizerEntry;
use serde::Deserialize;

use crate::format::SequenceFormat;

/// The tokens of a vocabulary, by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    kind: Kind,
    ordinary: Vec<u32>,
    names: &'static SpecialNames,
    /// The ids that a sequence is made with.
    pub special: SpecialIds,
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Words and pieces: whether each token continues a word.
    WordPiece(Vec<bool>),
    /// Bytes of a text, wherever words begin.
    ByteLevel,
}

/// Ids of the special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// `[PAD]` or `<pad>`.
    pub pad: u32,
    /// `[CLS]` or `<s>`, the first token of every sequence.
    pub cls: u32,
    /// `[SEP]` or `</s>`, the last token of every sequence.
    pub sep: u32,
    /// `[MASK]` or `<mask>`.
    pub mask: u32,
}

/// How a vocabulary writes the special tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecialNames {
    /// The padding.
    pub pad: &'static str,
    /// What is unknown.
    pub unk: &'static str,
    /// The first token of every sequence.
    pub cls: &'static str,
    /// The last token of every sequence.
    pub sep: &'static str,
    /// What hides others.
    pub mask: &'static str,
}

/// The special tokens of BERT and ModernBERT.
pub static BERT: SpecialNames = SpecialNames { pad: "[PAD]", unk: "[UNK]", cls: "[CLS]", sep: "[SEP]", mask: "[MASK]" };

/// The special tokens of RoBERTa.
pub static ROBERTA: SpecialNames = SpecialNames { pad: "<pad>", unk: "<unk>", cls: "<s>", sep: "</s>", mask: "<mask>" };

impl SpecialNames {
    /// All of them.
    pub fn all(&self) -> [&'static str; 5] {
        [self.pad, self.unk, self.cls, self.sep, self.mask]
    }
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
    #[error(
        "`{}` has no token {token}\n\
         hint: BERT's tokens [PAD], [CLS], [SEP] and [MASK] are required, or RoBERTa's <pad>, <s>, </s> and <mask>",
        path.display()
    )]
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
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, usize>,
}

/// A word of a text, as two texts are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// Its pieces.
    Pieces(Vec<u32>),
    /// A run of letters and digits, in lower case.
    Letters(String),
}

impl Vocabulary {
    /// The vocabulary that the manifest of `shards` names, and the bytes of its file.
    pub(crate) fn of_shards(shards: &Path, entry: &TokenizerEntry) -> Result<(Self, Vec<u8>), VocabularyError> {
        let path = shards.join(&entry.file);
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
        let kind = match entry.continuation_ids.is_empty() {
            true => Kind::ByteLevel,
            false => Kind::WordPiece(
                entry.continuations().ok_or_else(|| other("its table of continuations has another size".to_owned()))?,
            ),
        };
        Ok((Self::new(&path, tokens, kind, &added)?, bytes))
    }

    fn new(path: &Path, tokens: Vec<String>, kind: Kind, added: &HashSet<u32>) -> Result<Self, VocabularyError> {
        let find = |token: &str| tokens.iter().position(|t| t == token).map(|id| id as u32);
        let names = if find(BERT.cls).is_none() && find(ROBERTA.cls).is_some() { &ROBERTA } else { &BERT };
        let id = |token| find(token).ok_or(VocabularyError::NoToken { path: path.to_owned(), token });
        let special =
            SpecialIds { pad: id(names.pad)?, cls: id(names.cls)?, sep: id(names.sep)?, mask: id(names.mask)? };
        let is_special = |id: u32| added.contains(&id) || names.all().contains(&tokens[id as usize].as_str());
        let ordinary = (0..tokens.len() as u32).filter(|id| !is_special(*id)).collect();
        Ok(Self { kind, ordinary, names, special, tokens })
    }

    /// How it writes the special tokens.
    pub fn names(&self) -> &'static SpecialNames {
        self.names
    }

    /// Whether its tokens are bytes of a text, as those of byte-level BPE.
    pub fn is_byte_level(&self) -> bool {
        self.kind == Kind::ByteLevel
    }

    /// The format of sequences that a model with this vocabulary most likely takes. A known model's
    /// own format takes precedence.
    pub fn format(&self) -> SequenceFormat {
        match self.kind {
            _ if self.names == &ROBERTA => SequenceFormat::Roberta,
            Kind::ByteLevel => SequenceFormat::ModernBert,
            Kind::WordPiece(_) => SequenceFormat::Bert,
        }
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

    /// Puts the tokens of a text that start a word into `starts`. Returns whether the vocabulary
    /// marks them: if not, it does nothing.
    pub(crate) fn word_starts(&self, ids: &[u32], starts: &mut Vec<u16>) -> bool {
        let Kind::WordPiece(continues) = &self.kind else { return false };
        starts.clear();
        starts.extend((0u16..).zip(ids).filter(|(_, id)| !continues[**id as usize]).map(|(at, _)| at));
        true
    }

    /// The words of a text of which nothing but its tokens is known.
    pub(crate) fn words(&self, ids: &[u32]) -> Vec<Word> {
        match &self.kind {
            Kind::WordPiece(continues) => {
                let words = ids.chunk_by(|_, &next| continues[next as usize]);
                words.map(|word| Word::Pieces(word.to_vec())).collect()
            }
            Kind::ByteLevel => {
                let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes_of(id)).collect();
                crate::words::letters(&String::from_utf8_lossy(&bytes)).into_iter().map(Word::Letters).collect()
            }
        }
    }

    /// The bytes that a token of byte-level BPE stands for. An added token with other characters, such
    /// as a space, stands for its text.
    fn bytes_of(&self, id: u32) -> Vec<u8> {
        let token = self.tokens[id as usize].as_str();
        token.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| token.as_bytes().to_vec())
    }

    /// The ids of all tokens that are text.
    pub fn ordinary(&self) -> &[u32] {
        &self.ordinary
    }
}

/// The byte that a character of a byte-level vocabulary stands for, as in GPT-2's program: visible
/// ones for themselves, all others for the characters from U+0100 on, in their order.
fn byte_of(character: char) -> Option<u8> {
    let is_visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(character).checked_sub(0x100) {
        None => Some(character as u8).filter(is_visible),
        Some(number) => (0..=u8::MAX).filter(|byte| !is_visible(byte)).nth(number as usize),
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
fn parse_tokenizer(path: &Path, bytes: &[u8]) -> Result<(Vec<String>, HashSet<u32>), VocabularyError> {
    let file: TokenizerFile =
        serde_json::from_slice(bytes).map_err(|source| VocabularyError::Malformed { path: path.to_owned(), source })?;
    let mut by_id: BTreeMap<usize, String> = file.model.vocab.into_iter().map(|(token, id)| (id, token)).collect();
    let special = file.added_tokens.iter().filter(|t| t.special).map(|t| t.id as u32).collect();
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
        let token = |id: usize| match BERT.all().get(id) {
            Some(token) => (*token).to_owned(),
            None if id.is_multiple_of(4) => format!("##w{id}"),
            None => format!("w{id}"),
        };
        let tokens: Vec<String> = (0..size).map(token).collect();
        let continues = tokens.iter().map(|t| t.starts_with("##")).collect();
        Vocabulary::new(Path::new("small"), tokens, Kind::WordPiece(continues), &HashSet::new()).unwrap()
    }

    /// Byte-level tokens with RoBERTa's special ones at the start, and one that a file adds.
    fn byte_level(tokens: &[&str]) -> Vocabulary {
        let tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<extra>"].iter().chain(tokens);
        let tokens = tokens.map(ToString::to_string).collect();
        Vocabulary::new(Path::new("bytes"), tokens, Kind::ByteLevel, &HashSet::from([5])).unwrap()
    }

    #[test]
    fn special_tokens_are_not_ordinary() {
        let vocabulary = small(12);
        assert_eq!(vocabulary.special, SpecialIds { pad: 0, cls: 2, sep: 3, mask: 4 });
        assert_eq!(vocabulary.ordinary(), [5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(vocabulary.format(), SequenceFormat::Bert);
        let roberta = byte_level(&["a", "\u{120}b"]);
        assert_eq!(roberta.special, SpecialIds { pad: 1, cls: 0, sep: 2, mask: 4 });
        assert_eq!((roberta.ordinary(), roberta.format()), (&[6, 7][..], SequenceFormat::Roberta));
        let without = Vocabulary::new(Path::new("v"), vec!["<s>".into()], Kind::ByteLevel, &HashSet::new());
        assert!(without.unwrap_err().to_string().contains("`v` has no token <pad>\nhint: BERT's tokens"));
    }

    #[test]
    fn words_start_where_the_vocabulary_says_so_or_not_at_all() {
        let mut starts = vec![7];
        assert!(small(12).word_starts(&[8, 5, 8, 6, 9], &mut starts));
        assert_eq!(starts, [1, 3, 4]);
        assert!(!byte_level(&["a"]).word_starts(&[6], &mut starts));
        assert_eq!(starts, [1, 3, 4]);
    }

    #[test]
    fn words_of_bytes_are_runs_of_letters_and_digits() {
        assert_eq!(small(12).words(&[5, 8, 6]), [Word::Pieces(vec![5, 8]), Word::Pieces(vec![6])]);
        // The two bytes of é are two tokens.
        let bytes = byte_level(&["Caf", "\u{c3}", "\u{a9}", "\u{120}2", "0cm", ",\u{10a}"]);
        let words = |ids: &[u32]| -> Vec<String> {
            let text = |word| match word {
                Word::Letters(text) => text,
                Word::Pieces(pieces) => panic!("{pieces:?}"),
            };
            bytes.words(ids).into_iter().map(text).collect()
        };
        assert_eq!(words(&[6, 7, 8, 9, 10, 11, 6]), ["café", "20cm", "caf"]);
        assert_eq!(
            ['!', '\u{120}', '\u{143}', '\u{144}', ' '].map(byte_of),
            [Some(b'!'), Some(b' '), Some(0xad), None, None]
        );
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
}
