//! The tokenizer file: `vocab.txt` (uncased BERT) or `tokenizer.json` with a WordPiece model.
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use schemas::manifest::TokenizerEntry;
use tokenizers::{
    AddedToken, DecoderWrapper, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    OffsetReferential, OffsetType, PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    decoders, models::wordpiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
    processors::bert::BertProcessing,
};

use super::wordpiece::{CONTINUATION, WordPiece};
use ebert_dumps::BYTE_ORDER_MARK;

/// A WordPiece tokenizer whose ids fit 16 bits.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    vocabulary: Vec<String>,
    /// Normaliser and pre-tokeniser are BERT's, so characters can be looked up one by one.
    by_character: bool,
    /// Its normaliser leaves upper case or accents.
    cased: bool,
    pieces: WordPiece,
}

/// The tokens that a trainer adds or predicts; a vocabulary without them cannot train BERT.
pub const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Ids are stored as 16-bit numbers.
const MOST_ENTRIES: usize = 1 << 16;

/// A tokenizer file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// It cannot be read.
    #[error("cannot read tokenizer `{}`\nhint: TOKENIZER= names a `vocab.txt` (uncased) or a `tokenizer.json`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is neither of the two formats.
    #[error("tokenizer `{}` cannot be loaded: {found}\nhint: TOKENIZER= names a `vocab.txt` (uncased, one entry a line) or a `tokenizer.json` of Hugging Face tokenizers", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        found: String,
    },
    /// It is a vocabulary of a cased BERT, and nothing says so.
    #[error(
        "tokenizer `{}` has {found} entries with capitals, such as `{entry}`: a vocab.txt by itself is read as that of an uncased BERT\n\
         hint: name a cased model's tokenizer.json; in Python AutoTokenizer.from_pretrained(folder, do_lower_case=False).save_pretrained(folder) writes it",
        path.display()
    )]
    Cased {
        /// The file.
        path: PathBuf,
        /// How many.
        found: usize,
        /// The first of them.
        entry: String,
    },
    /// Its model is another.
    #[error("tokenizer `{}` is {found}, wanted WordPiece\nhint: E-BERT post-trains BERT; use the tokenizer of a BERT model", path.display())]
    NotWordPiece {
        /// The file.
        path: PathBuf,
        /// The model's name.
        found: &'static str,
    },
    /// Its ids do not fit.
    #[error("tokenizer `{}` has {found} entries, wanted at most {MOST_ENTRIES}: ids are stored as 16-bit numbers", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Entries, or the highest id and one.
        found: usize,
    },
    /// A special token is missing.
    #[error("tokenizer `{}` has no `{token}` in its vocabulary\nhint: a BERT vocabulary has {}", path.display(), SPECIAL_TOKENS.join(" "))]
    NoSpecialToken {
        /// The file.
        path: PathBuf,
        /// The token.
        token: &'static str,
    },
    /// It has something that word-by-word encoding does not cover.
    #[error("tokenizer `{}` has {found}, which the shards cannot express\nhint: use a plain BERT tokenizer", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What.
        found: String,
    },
}

impl Tokenizer {
    /// Loads a `tokenizer.json`, or else a `vocab.txt` for an uncased BERT.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut bytes = fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let malformed = |found: String| TokenizerError::Malformed { path: path.to_owned(), found };
        // A vocabulary has no entry that starts a JSON object; a file that does is a tokenizer.json.
        let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let (mut inner, json) = if is_json {
            (tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| malformed(e.to_string()))?, bytes)
        } else {
            let model = wordpiece::WordPiece::read_bytes(&bytes)
                .and_then(|vocabulary| wordpiece::WordPiece::builder().vocab(vocabulary).build())
                .map_err(|e| malformed(e.to_string()))?;
            refuse_cased(path, &model)?;
            let inner = uncased_bert(model).map_err(malformed)?;
            let json = inner.to_string(true).map_err(|e| malformed(e.to_string()))? + "\n";
            (inner, json.into_bytes())
        };
        inner.set_encode_special_tokens(true);

        let ModelWrapper::WordPiece(model) = inner.get_model() else {
            let found = match inner.get_model() {
                ModelWrapper::BPE(_) => "byte-pair encoding (BPE)",
                ModelWrapper::Unigram(_) => "a Unigram model",
                _ => "a whole-word model (WordLevel)",
            };
            return Err(TokenizerError::NotWordPiece { path: path.to_owned(), found });
        };
        if model.continuing_subword_prefix != CONTINUATION {
            let found = format!("the continuation prefix `{}`", model.continuing_subword_prefix);
            return Err(TokenizerError::Unsupported { path: path.to_owned(), found });
        }
        let added = inner.get_added_tokens_decoder();
        if let Some((_, token)) = added.iter().find(|(_, t)| !t.special) {
            let found = format!("the added token `{}`, which is taken out of the text whole", token.content);
            return Err(TokenizerError::Unsupported { path: path.to_owned(), found });
        }
        let entries = inner.get_vocab(true);
        let size = entries.values().max().map_or(0, |&id| id as usize + 1).max(entries.len());
        if size > MOST_ENTRIES {
            return Err(TokenizerError::TooLarge { path: path.to_owned(), found: size });
        }
        let Some(pieces) = WordPiece::new(model) else {
            let found = format!("the unknown token `{}`, which is not in its vocabulary", model.unk_token);
            return Err(TokenizerError::Unsupported { path: path.to_owned(), found });
        };
        for token in SPECIAL_TOKENS {
            if !entries.contains_key(token) {
                return Err(TokenizerError::NoSpecialToken { path: path.to_owned(), token });
            }
        }
        let mut vocabulary = vec![String::new(); size];
        for (entry, id) in entries {
            vocabulary[id as usize] = entry;
        }
        let by_character = matches!(inner.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)))
            && matches!(inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
        let cased = !matches!(inner.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(bert))
            if bert.lowercase && bert.strip_accents.unwrap_or(true));
        let tokenizer = Self { inner, json, vocabulary, by_character, cased, pieces };
        // A token starts a word unless its entry begins with `##`; so no word may begin with it.
        let (mut text, mut words) = (Vec::new(), Vec::new());
        tokenizer.pre_tokenize("##a b##c ##", &mut text, &mut words);
        if words.iter().any(|&(start, end, _)| text[start..end].starts_with(CONTINUATION.as_bytes())) {
            let found = "a pre-tokenizer that leaves `##` at the start of words".to_owned();
            return Err(TokenizerError::Unsupported { path: path.to_owned(), found });
        }
        Ok(tokenizer)
    }

    /// The file `tokenizer.json`: as it was read, or made from the vocabulary.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Hash of [`Tokenizer::json`], in hex.
    pub fn blake3(&self) -> String {
        blake3::hash(&self.json).to_hex().to_string()
    }

    /// The vocabulary, by id.
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// What the shards' manifest says of it.
    pub fn entry(&self, file: &str) -> TokenizerEntry {
        let continues: Vec<bool> = self.vocabulary.iter().map(|e| e.starts_with(CONTINUATION)).collect();
        TokenizerEntry {
            file: file.to_owned(),
            vocab_size: self.vocabulary.len() as u32,
            blake3: self.blake3(),
            continuation_ids: TokenizerEntry::encode_continuations(&continues),
        }
    }

    /// The most tokens that one word can have: a token has at least one character, and a longer word is
    /// one unknown token.
    pub fn longest_word(&self) -> usize {
        self.pieces.longest_word
    }

    /// Hugging Face's own encoding of a text: the authority and the oracle.
    pub fn oracle(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    pub(super) fn by_character(&self) -> bool {
        self.by_character
    }

    /// A text, or a word, as phrases are compared: in lower case and without accents, as BERT's uncased normaliser
    /// writes it, whatever this tokenizer keeps.
    pub fn fold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.cased || text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            return Cow::Borrowed(text);
        }
        let mut folded = NormalizedString::from(text);
        // It returns no errors.
        let _ = BertNormalizer::new(false, false, Some(true), true).normalize(&mut folded);
        Cow::Owned(folded.get().to_owned())
    }

    /// What the normaliser makes of a text, with the bytes that each part came from.
    pub(super) fn normalize(&self, text: &str) -> NormalizedString {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            // BERT's and all others shipped with the library return no errors for plain text.
            let _ = normalizer.normalize(&mut normalized);
        }
        normalized
    }

    /// Appends the words of a normalised text to `text`, and where each is: there, and its first byte in `normalized`. Words
    /// that touch in the normalised text touch in `text`; others have a space between them. (A pre-tokenizer may change its
    /// words, as `Metaspace` does; BERT's does not.)
    pub(super) fn pre_tokenize(&self, normalized: &str, text: &mut Vec<u8>, words: &mut Vec<(usize, usize, usize)>) {
        let mut split = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            let _ = pre_tokenizer.pre_tokenize(&mut split);
        }
        let mut last_end = None;
        for (word, (start, end), _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            if word.is_empty() {
                continue;
            }
            if last_end != Some(start) {
                text.push(b' ');
            }
            let from = text.len();
            text.extend_from_slice(word.as_bytes());
            words.push((from, text.len(), start));
            last_end = Some(end);
        }
    }

    /// Appends the ids of one word.
    pub(super) fn encode_word(&self, word: &str, ids: &mut Vec<u16>) {
        self.pieces.encode(word, ids);
    }
}

/// Fails for the vocabulary of a cased BERT: a twentieth of its entries have capitals, and no text in lower case can reach these.
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

/// An uncased BERT tokenizer of this vocabulary: what `BertWordPieceTokenizer(vocab, lowercase=True)` is in Python.
pub fn uncased_bert(model: wordpiece::WordPiece) -> Result<tokenizers::Tokenizer, String> {
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
