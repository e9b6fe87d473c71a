//! The tokenizer file: a `vocab.txt` (uncased BERT) or a `tokenizer.json` with a WordPiece model.
//!
//! [`Tokenizer::load`] refuses files that word-by-word encoding into 16-bit ids cannot express.
//! Whatever it accepts is encoded exactly as Hugging Face's `tokenizers` does.
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use schemas::manifest::TokenizerEntry;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tokenizers::{
    AddedToken, DecoderWrapper, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    OffsetReferential, OffsetType, PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    decoders, models::wordpiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
    processors::bert::BertProcessing,
};

use super::wordpiece::{CONTINUATION, WordPiece};
use ebert_dumps::BYTE_ORDER_MARK;

/// A WordPiece tokenizer whose ids fit in 16 bits.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    vocabulary: Vec<String>,
    /// Whether normalizer and pre-tokenizer are BERT's, so that characters can be looked up one by
    /// one.
    by_character: bool,
    /// Whether normalized text may have upper case or accents.
    cased: bool,
    pieces: WordPiece,
}

/// The tokens that a trainer adds or predicts. A vocabulary without them cannot train BERT.
const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Ids are stored as 16-bit numbers.
const MAX_ENTRIES: usize = 1 << 16;

/// Why a tokenizer file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("cannot read tokenizer `{}`\nhint: `--tokenizer` names a `vocab.txt` (uncased) or a `tokenizer.json`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Neither a `vocab.txt` nor a `tokenizer.json`.
    #[error("tokenizer `{}` cannot be loaded: {found}\nhint: `--tokenizer` names a `vocab.txt` (uncased, one entry per line) or a `tokenizer.json` of Hugging Face tokenizers", path.display())]
    Malformed {
        path: PathBuf,
        /// The loader's message.
        found: String,
    },
    /// A `vocab.txt` of a cased BERT, which would be read as the vocabulary of an uncased one.
    #[error(
        "tokenizer `{}` has {found} entries with capitals, such as `{entry}`: a vocab.txt alone is read as the vocabulary of an uncased BERT\n\
         hint: name a cased model's tokenizer.json. In Python, AutoTokenizer.from_pretrained(folder, do_lower_case=False).save_pretrained(folder) writes it",
        path.display()
    )]
    Cased {
        path: PathBuf,
        /// Number of entries with capitals.
        found: usize,
        /// The first of these entries.
        entry: String,
    },
    #[error("tokenizer `{}` is {found}, expected WordPiece\nhint: E-BERT post-trains BERT; use the tokenizer of a BERT model", path.display())]
    NotWordPiece {
        path: PathBuf,
        /// Kind of the model.
        found: &'static str,
    },
    /// Another file of a model's folder.
    #[error("`{}` is {found}\nhint: `--tokenizer` names the `vocab.txt` (uncased) or `tokenizer.json` of a BERT model", path.display())]
    AnotherFile {
        path: PathBuf,
        /// What the file is.
        found: &'static str,
    },
    /// Two entries of a `vocab.txt` are equal, so an id has no entry of its own.
    #[error(
        "tokenizer `{}` has the entry `{entry}` on lines {first} and {second}\n\
         hint: fetch the vocabulary again; each line of a vocab.txt is another entry",
        path.display()
    )]
    Duplicate { path: PathBuf, entry: String, first: usize, second: usize },
    /// The vocabulary of a `tokenizer.json` has an entry twice.
    #[error("tokenizer `{}` has the entry `{entry}` twice\nhint: fetch the tokenizer again", path.display())]
    EntryTwice { path: PathBuf, entry: String },
    /// Two entries of a `tokenizer.json` have the same id.
    #[error("tokenizer `{}` has the id {id} twice, for `{first}` and `{second}`\nhint: fetch the tokenizer again", path.display())]
    SameId { path: PathBuf, id: u32, first: String, second: String },
    /// Ids do not fit in 16 bits.
    #[error("tokenizer `{}` has {found} entries, expected at most {MAX_ENTRIES}: ids are stored as 16-bit numbers", path.display())]
    TooLarge {
        path: PathBuf,
        /// Number of entries, or the highest id + 1.
        found: usize,
    },
    #[error("tokenizer `{}` has no `{token}` in its vocabulary\nhint: a BERT vocabulary has {}", path.display(), SPECIAL_TOKENS.join(" "))]
    NoSpecialToken { path: PathBuf, token: &'static str },
    /// Something that word-by-word encoding cannot express.
    #[error("tokenizer `{}` has {found}, which the shards cannot express\nhint: use a plain BERT tokenizer", path.display())]
    Unsupported {
        path: PathBuf,
        /// What the tokenizer has.
        found: String,
    },
}

impl Tokenizer {
    /// Loads a `tokenizer.json`, or a `vocab.txt` of an uncased BERT.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut bytes = fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let malformed = |found: String| TokenizerError::Malformed { path: path.to_owned(), found };
        // A vocabulary has no entry that begins like a JSON object.
        let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        if let Some(found) = another_file(&bytes, is_json) {
            return Err(TokenizerError::AnotherFile { path: path.to_owned(), found });
        }
        let (mut inner, json) = if is_json {
            if let Some(entry) = entry_twice(&bytes) {
                return Err(TokenizerError::EntryTwice { path: path.to_owned(), entry });
            }
            (tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| malformed(e.to_string()))?, bytes)
        } else {
            refuse_duplicates(path, &bytes)?;
            let model = wordpiece::WordPiece::read_bytes(&bytes)
                .and_then(|vocabulary| wordpiece::WordPiece::builder().vocab(vocabulary).build())
                .map_err(|e| malformed(e.to_string()))?;
            refuse_cased(path, &model)?;
            let inner = uncased_bert(model).map_err(malformed)?;
            let json = inner.to_string(true).map_err(|e| malformed(e.to_string()))? + "\n";
            (inner, json.into_bytes())
        };
        inner.set_encode_special_tokens(true);
        let pieces = word_piece(path, &inner)?;
        let vocabulary = vocabulary(path, &inner)?;
        let by_character = matches!(inner.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)))
            && matches!(inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
        let cased = !matches!(inner.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(bert))
            if bert.lowercase && bert.strip_accents.unwrap_or(true));
        let tokenizer = Self { inner, json, vocabulary, by_character, cased, pieces };
        tokenizer.refuse_continuations_as_words(path)?;
        Ok(tokenizer)
    }

    /// Fails if a word may begin with `##`: readers of shards take such a token for the
    /// continuation of a word.
    fn refuse_continuations_as_words(&self, path: &Path) -> Result<(), TokenizerError> {
        let (mut text, mut words) = (Vec::new(), Vec::new());
        self.pre_tokenize("##a b##c ##", &mut text, &mut words);
        if words.iter().any(|word| text[word.start..word.end].starts_with(CONTINUATION.as_bytes())) {
            return Err(unsupported(path, "a pre-tokenizer that leaves `##` at the start of words".to_owned()));
        }
        Ok(())
    }

    /// The bytes of a `tokenizer.json`: the loaded file, or one for the loaded vocabulary.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// BLAKE3 hash of [`Tokenizer::json`], in hex.
    pub fn blake3(&self) -> String {
        blake3::hash(&self.json).to_hex().to_string()
    }

    /// The vocabulary, by id. An id without an entry has an empty one.
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// The entry of the shards' manifest, where `file` is the name of the `tokenizer.json`.
    pub fn entry(&self, file: &str) -> TokenizerEntry {
        let continues: Vec<bool> = self.vocabulary.iter().map(|e| e.starts_with(CONTINUATION)).collect();
        TokenizerEntry {
            file: file.to_owned(),
            vocab_size: self.vocabulary.len() as u32,
            blake3: self.blake3(),
            continuation_ids: TokenizerEntry::encode_continuations(&continues),
        }
    }

    /// The most tokens that a word can have. A token has at least one character, and a word of more
    /// characters than this is one unknown token.
    pub fn longest_word(&self) -> usize {
        self.pieces.longest_word
    }

    /// Hugging Face's tokenizer: the authority, and the oracle of tests.
    pub fn oracle(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    pub(super) fn by_character(&self) -> bool {
        self.by_character
    }

    /// A text as phrases are compared: in lower case and without accents, as BERT's uncased
    /// normalizer writes it, even if this tokenizer is cased.
    pub fn fold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.cased || text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            return Cow::Borrowed(text);
        }
        let mut folded = NormalizedString::from(text);
        // BERT's normalizer returns no errors.
        let _ = BertNormalizer::new(false, false, Some(true), true).normalize(&mut folded);
        Cow::Owned(folded.get().to_owned())
    }

    /// The normalized text, with the raw bytes that each part came from.
    pub(super) fn normalize(&self, text: &str) -> NormalizedString {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            // No normalizer of the library returns errors for plain text.
            let _ = normalizer.normalize(&mut normalized);
        }
        normalized
    }

    /// Appends the words of a normalized text to `text`, and their positions to `words`. Words that
    /// touch in the normalized text touch in `text`; others have a space between them. The words
    /// are copied because a pre-tokenizer may change them, as `Metaspace` does. (BERT's does not.)
    pub(super) fn pre_tokenize(&self, normalized: &str, text: &mut Vec<u8>, words: &mut Vec<PreToken>) {
        let mut split = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            // No pre-tokenizer of the library returns errors for plain text.
            let _ = pre_tokenizer.pre_tokenize(&mut split);
        }
        let mut last_end = None;
        for (word, (normalized_start, end), _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            if word.is_empty() {
                continue;
            }
            if last_end != Some(normalized_start) {
                text.push(b' ');
            }
            let start = text.len();
            text.extend_from_slice(word.as_bytes());
            words.push(PreToken { start, end: text.len(), normalized_start });
            last_end = Some(end);
        }
    }

    /// Appends the ids of a word.
    pub(super) fn encode_word(&self, word: &str, ids: &mut Vec<u16>) {
        self.pieces.encode(word, ids);
    }
}

/// A word from the pre-tokenizer.
pub(super) struct PreToken {
    /// Its bytes in the text that it was appended to.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its first byte in the normalized text.
    pub(super) normalized_start: usize,
}

fn unsupported(path: &Path, found: String) -> TokenizerError {
    TokenizerError::Unsupported { path: path.to_owned(), found }
}

/// The WordPiece model, if it is one and nothing takes tokens out of the text before it.
fn word_piece(path: &Path, inner: &tokenizers::Tokenizer) -> Result<WordPiece, TokenizerError> {
    let ModelWrapper::WordPiece(model) = inner.get_model() else {
        let found = match inner.get_model() {
            ModelWrapper::BPE(_) => "byte-pair encoding (BPE)",
            ModelWrapper::Unigram(_) => "a Unigram model",
            _ => "a whole-word model (WordLevel)",
        };
        return Err(TokenizerError::NotWordPiece { path: path.to_owned(), found });
    };
    let prefix = &model.continuing_subword_prefix;
    if prefix != CONTINUATION {
        return Err(unsupported(path, format!("the continuation prefix `{prefix}`")));
    }
    if let Some(token) = inner.get_added_tokens_decoder().values().find(|token| !token.special) {
        let found = format!("the added token `{}`, which is taken out of the text whole", token.content);
        return Err(unsupported(path, found));
    }
    WordPiece::new(model).ok_or_else(|| {
        unsupported(path, format!("the unknown token `{}`, which is not in its vocabulary", model.unk_token))
    })
}

/// The vocabulary by id, if ids fit in 16 bits and it has all special tokens.
fn vocabulary(path: &Path, inner: &tokenizers::Tokenizer) -> Result<Vec<String>, TokenizerError> {
    let entries = inner.get_vocab(true);
    let size = entries.values().max().map_or(0, |&id| id as usize + 1).max(entries.len());
    if size > MAX_ENTRIES {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), found: size });
    }
    if let Some(token) = SPECIAL_TOKENS.into_iter().find(|token| !entries.contains_key(*token)) {
        return Err(TokenizerError::NoSpecialToken { path: path.to_owned(), token });
    }
    let mut vocabulary = vec![String::new(); size];
    for (entry, id) in entries {
        let known = &mut vocabulary[id as usize];
        if !known.is_empty() {
            let mut both = [std::mem::take(known), entry];
            both.sort();
            let [first, second] = both;
            return Err(TokenizerError::SameId { path: path.to_owned(), id, first, second });
        }
        *known = entry;
    }
    Ok(vocabulary)
}

/// What a file is that people take for a tokenizer.
fn another_file(bytes: &[u8], is_json: bool) -> Option<&'static str> {
    if !is_json {
        return if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            Some("a Git LFS pointer, not the file itself; run `git lfs pull` in its repository")
        } else if bytes.starts_with(b"#version") {
            Some("the list of merges of a byte-pair encoding (BPE) tokenizer")
        } else if bytes.starts_with(b"<!") || bytes.starts_with(b"<html") {
            Some("a web page")
        } else if bytes.starts_with(b"PK\x03\x04") {
            Some("a zip archive")
        } else if bytes.contains(&0) {
            Some("a binary file, such as a SentencePiece model")
        } else {
            None
        };
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    if object.contains_key("model") {
        return None;
    }
    if !object.is_empty() && object.values().all(serde_json::Value::is_u64) {
        // Byte-level BPE writes a space as U+0120, and SentencePiece as U+2581.
        return Some(if object.keys().any(|entry| entry.starts_with('\u{120}')) {
            "a byte-level BPE vocabulary"
        } else if object.keys().any(|entry| entry.starts_with('\u{2581}')) {
            "a SentencePiece vocabulary"
        } else if object.keys().any(|entry| entry.starts_with(CONTINUATION)) {
            "a WordPiece vocabulary as a JSON map, without the rest of its tokenizer"
        } else {
            "a vocabulary as a JSON map, without the rest of its tokenizer"
        });
    }
    ["model_type", "architectures", "tokenizer_class", "do_lower_case"]
        .iter()
        .any(|key| object.contains_key(*key))
        .then_some("the configuration of a model, not its tokenizer")
}

/// An entry that the vocabulary of a `tokenizer.json` has twice. JSON parsers keep the last of equal keys.
fn entry_twice(json: &[u8]) -> Option<String> {
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
fn refuse_duplicates(path: &Path, vocabulary: &[u8]) -> Result<(), TokenizerError> {
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
fn refuse_cased(path: &Path, model: &wordpiece::WordPiece) -> Result<(), TokenizerError> {
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

/// An uncased BERT tokenizer, as `BertWordPieceTokenizer(vocab, lowercase=True)` in Python.
fn uncased_bert(model: wordpiece::WordPiece) -> Result<tokenizers::Tokenizer, String> {
    let id = |token: &str| Some((token.to_owned(), model.token_to_id(token)?));
    let frame = id("[SEP]").zip(id("[CLS]"));
    let special: Vec<_> =
        SPECIAL_TOKENS.iter().filter(|t| model.token_to_id(t).is_some()).map(|t| AddedToken::from(*t, true)).collect();
    let mut inner = tokenizers::Tokenizer::new(ModelWrapper::WordPiece(model));
    inner
        .with_normalizer(Some(NormalizerWrapper::BertNormalizer(BertNormalizer::new(true, true, None, true))))
        .map_err(|e| e.to_string())?;
    inner.with_pre_tokenizer(Some(PreTokenizerWrapper::BertPreTokenizer(BertPreTokenizer)));
    inner.with_post_processor(frame.map(|(sep, cls)| PostProcessorWrapper::Bert(BertProcessing::new(sep, cls))));
    inner.with_decoder(Some(DecoderWrapper::WordPiece(decoders::wordpiece::WordPiece::default())));
    inner.add_special_tokens(special).map_err(|e| e.to_string())?;
    Ok(inner)
}
