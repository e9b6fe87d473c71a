//! The tokenizer file: a `vocab.txt` (uncased BERT) or a `tokenizer.json` with WordPiece or byte-level
//! BPE.
//!
//! [`Tokenizer::load`] refuses files that cannot be encoded exactly. Whatever it accepts is encoded
//! as Hugging Face's `tokenizers` does.
mod error;
mod file;
mod model;

use std::{fs, path::Path};

use ebert_dumps::BYTE_ORDER_MARK;
use schemas::{TokenId, manifest::TokenizerEntry};
use tokenizers::{
    AddedToken, DecoderWrapper, Model as _, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    decoders, models::wordpiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
    processors::bert::BertProcessing,
};

pub use self::error::TokenizerError;
pub(super) use self::model::{Model, WordPieceWords};
use self::{
    error::BERT_TOKENS,
    file::{entry_twice, refuse_another_file, refuse_cased, refuse_duplicates},
    model::{refuse_continuations_as_words, refuse_high_ids, refuse_prefix, vocabulary},
};
use super::{bpe::byte_characters, pieces::Piece, rules::WordRules, wordpiece::CONTINUATION};

/// A tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    vocabulary: Vec<String>,
    /// What makes the words of texts.
    text_rules: WordRules,
    model: Model,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`, or a `vocab.txt` of an uncased BERT.
    ///
    /// # Errors
    /// If the file cannot be read, is not a tokenizer, or has a model or setting that is not
    /// supported.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut bytes = fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let malformed = |found: String| TokenizerError::Malformed { path: path.to_owned(), found };
        // A vocabulary has no entry that begins like a JSON object.
        let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        refuse_another_file(path, &bytes, is_json)?;
        let (mut inner, json) = if is_json {
            if let Some(entry) = entry_twice(&bytes) {
                return Err(TokenizerError::EntryTwice { path: path.to_owned(), entry });
            }
            refuse_prefix(path, &bytes)?;
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
        // A model's maximum length does not apply to documents.
        inner.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        inner.with_padding(None);
        refuse_high_ids(path, &inner)?;
        let model = Model::of(path, &inner)?;
        let vocabulary = vocabulary(path, &inner, &model)?;
        refuse_continuations_as_words(path, &inner, &model)?;
        Ok(Self { inner, json, vocabulary, text_rules: WordRules::uncased(), model })
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

    /// Whether ids need 32 bits.
    pub fn has_wide_ids(&self) -> bool {
        self.vocabulary.len() as u64 > u16::MOST_ENTRIES
    }

    /// Whether the vocabulary marks the tokens that start a word. If not, the shards have `word_starts`.
    pub fn marks_words(&self) -> bool {
        matches!(self.model, Model::WordPiece(_))
    }

    /// Whether the words of a text are what the tokenizer cuts into pieces, so that nothing has to be
    /// compared.
    pub fn is_uncased(&self) -> bool {
        matches!(&self.model, Model::WordPiece(model) if matches!(model.words, WordPieceWords::OfText))
    }

    /// The bytes that a token stands for. A piece that continues a word is without its `##`.
    pub fn bytes_of(&self, id: u32) -> Vec<u8> {
        let entry = self.vocabulary.get(id as usize).map_or("?", String::as_str);
        match self.model {
            Model::WordPiece(_) => entry.strip_prefix(CONTINUATION).unwrap_or(entry).as_bytes().to_vec(),
            Model::ByteLevel(_) => {
                let characters = byte_characters();
                let byte = |c| characters.iter().position(|other| *other == c).map(|byte| byte as u8);
                // An added token may have other characters, such as a space.
                let bytes: Option<Vec<u8>> = entry.chars().map(byte).collect();
                bytes.unwrap_or_else(|| entry.as_bytes().to_vec())
            }
        }
    }

    /// Whether a token continues a word. Always false where the vocabulary does not mark this.
    pub fn continues(&self, id: u32) -> bool {
        self.marks_words() && self.vocabulary.get(id as usize).is_some_and(|entry| entry.starts_with(CONTINUATION))
    }

    /// The entry of the shards' manifest, where `file` is the name of the `tokenizer.json`.
    pub fn entry(&self, file: &str) -> TokenizerEntry {
        let continuation_ids = if self.marks_words() {
            let continues: Vec<bool> = (0..self.vocabulary.len() as u32).map(|id| self.continues(id)).collect();
            TokenizerEntry::encode_continuations(&continues)
        } else {
            String::new()
        };
        TokenizerEntry {
            file: file.to_owned(),
            vocab_size: self.vocabulary.len() as u32,
            blake3: self.blake3(),
            continuation_ids,
        }
    }

    /// The most tokens that a word can have, if there is a limit. A token of WordPiece has at least
    /// one character, and a word of more characters than this is one unknown token.
    pub fn longest_word(&self) -> Option<usize> {
        match &self.model {
            Model::WordPiece(model) => Some(model.pieces.longest_word),
            Model::ByteLevel(_) => None,
        }
    }

    /// Hugging Face's tokenizer: the authority, and the oracle of tests.
    pub fn oracle(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// What makes the words of texts.
    pub(super) fn text_rules(&self) -> &WordRules {
        &self.text_rules
    }

    /// Appends the ids of a word, if this tokenizer encodes word by word.
    pub(super) fn encode_word<I: TokenId>(&self, word: &str, ids: &mut Vec<I>) {
        if let Model::WordPiece(model) = &self.model {
            model.pieces.encode(word, ids);
        }
    }

    /// Appends the ids of a text and its pieces, by the library alone.
    pub(super) fn encode_by_library<I: TokenId>(&self, text: &str, ids: &mut Vec<I>, pieces: &mut Vec<Piece>) {
        let encoding = match self.inner.encode(text, false) {
            Ok(encoding) => encoding,
            // Every supported model has an unknown token, or all bytes.
            Err(error) => panic!("the library encodes any text: {error}"),
        };
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            match pieces.last_mut() {
                Some(piece) if self.continues(id) => piece.end = piece.end.max(end as u32),
                _ => pieces.push(Piece::new(start..end, ids.len())),
            }
            ids.push(I::of(id));
        }
    }
}

/// An uncased BERT tokenizer, as `BertWordPieceTokenizer(vocab, lowercase=True)` in Python.
fn uncased_bert(model: wordpiece::WordPiece) -> Result<tokenizers::Tokenizer, String> {
    let id = |token: &str| Some((token.to_owned(), model.token_to_id(token)?));
    let frame = id("[SEP]").zip(id("[CLS]"));
    let special: Vec<_> =
        BERT_TOKENS.iter().filter(|t| model.token_to_id(t).is_some()).map(|t| AddedToken::from(*t, true)).collect();
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
