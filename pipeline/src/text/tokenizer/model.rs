//! What a tokenizer's model and settings mean for encoding. Whatever is not exactly supported is
//! refused here, by name.
use std::path::Path;

use serde::{Deserialize, de::IgnoredAny};
use tokenizers::{
    AddedToken, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper,
    models::{bpe, wordpiece},
};

use super::error::{BERT_TOKENS, ROBERTA_TOKENS, TokenizerError};
use crate::text::{
    added::AddedTokens,
    bpe::Bpe,
    byte_level::ByteLevel,
    rules::WordRules,
    wordpiece::{CONTINUATION, WordPiece},
};

/// How a text becomes tokens.
pub(in crate::text) enum Model {
    WordPiece(WordPieceModel),
    ByteLevel(Box<ByteLevel>),
}

pub(in crate::text) struct WordPieceModel {
    pub(in crate::text) pieces: WordPiece,
    pub(in crate::text) words: WordPieceWords,
}

/// The words that a WordPiece tokenizer cuts into pieces.
pub(in crate::text) enum WordPieceWords {
    /// Those of the text: an uncased tokenizer.
    OfText,
    /// By these rules. They are those of the text but for case, accents and rare characters.
    Cased(Box<WordRules>),
    /// Others.
    Other,
}

/// The most entries of a vocabulary. The largest ones that people train have 1 million.
const MOST_ENTRIES: usize = 1 << 24;

const WITH_WORDPIECE: &str = "with WordPiece, BERT's normalizer and pre-tokenizer and the prefix `##` are supported: \
                              use the tokenizer of a BERT model";

const WITH_BPE: &str = "with byte-level BPE, the pre-tokenizer ByteLevel with its pattern and no normalizer or NFC \
                        are supported, and neither dropout, prefixes nor suffixes: use the tokenizer of a RoBERTa or \
                        ModernBERT model";

impl Model {
    /// What a loaded tokenizer means.
    pub(super) fn of(path: &Path, inner: &tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let found = match inner.get_model() {
            ModelWrapper::WordPiece(model) => return word_piece(path, inner, model).map(Self::WordPiece),
            ModelWrapper::BPE(model) => {
                return byte_level(path, inner, model).map(|model| Self::ByteLevel(Box::new(model)));
            }
            ModelWrapper::Unigram(_) => "a Unigram (SentencePiece) model",
            ModelWrapper::WordLevel(_) => "a whole-word model (WordLevel)",
        };
        Err(TokenizerError::Model { path: path.to_owned(), found })
    }
}

/// The WordPiece model, if nothing takes tokens out of the text before it.
fn word_piece(
    path: &Path,
    inner: &tokenizers::Tokenizer,
    model: &wordpiece::WordPiece,
) -> Result<WordPieceModel, TokenizerError> {
    let unsupported =
        |found: String| TokenizerError::Unsupported { path: path.to_owned(), found, supported: WITH_WORDPIECE };
    let prefix = &model.continuing_subword_prefix;
    if prefix != CONTINUATION {
        return Err(unsupported(format!("the continuation prefix `{prefix}`")));
    }
    if let Some(token) = inner.get_added_tokens_decoder().values().find(|token| !token.special) {
        return Err(unsupported(format!("the added token `{}`, which is taken out of the text whole", token.content)));
    }
    if let Some(normalizer) = inner.get_normalizer().and_then(other_normalizer) {
        return Err(unsupported(format!("the normalizer {normalizer}")));
    }
    if let Some(pre_tokenizer) = inner.get_pre_tokenizer().and_then(other_pre_tokenizer) {
        return Err(unsupported(format!("the pre-tokenizer {pre_tokenizer}")));
    }
    let rules = WordRules::of(inner);
    let pieces = WordPiece::new(model).ok_or_else(|| {
        unsupported(format!("the unknown token `{}`, which is not in its vocabulary", model.unk_token))
    })?;
    let words = match rules.bert() {
        Some(bert) if bert.clean_text && bert.handle_chinese_chars => {
            if bert.lowercase && bert.strip_accents.unwrap_or(true) {
                WordPieceWords::OfText
            } else {
                WordPieceWords::Cased(Box::new(rules))
            }
        }
        _ => WordPieceWords::Other,
    };
    Ok(WordPieceModel { pieces, words })
}

/// Fails for WordPiece if a word may begin with `##`: readers of shards take such a token for the
/// continuation of a word.
pub(super) fn refuse_continuations_as_words(
    path: &Path,
    inner: &tokenizers::Tokenizer,
    model: &Model,
) -> Result<(), TokenizerError> {
    let (mut text, mut words) = (Vec::new(), Vec::new());
    WordRules::of(inner).pre_tokenize("##a b##c ##", &mut text, &mut words);
    let mut words = words.iter().map(|word| &text[word.start..word.end]);
    if matches!(model, Model::WordPiece(_)) && words.any(|word| word.starts_with(CONTINUATION.as_bytes())) {
        let found = "a pre-tokenizer that leaves `##` at the start of words".to_owned();
        return Err(TokenizerError::Unsupported { path: path.to_owned(), found, supported: WITH_WORDPIECE });
    }
    Ok(())
}

/// The name of a normalizer that may remove letters or change them into anything.
fn other_normalizer(normalizer: &NormalizerWrapper) -> Option<String> {
    use NormalizerWrapper::{BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Sequence, StripAccents};
    match normalizer {
        BertNormalizer(_) | NFC(_) | NFD(_) | NFKC(_) | NFKD(_) | Lowercase(_) | StripAccents(_) => None,
        Sequence(all) => all.as_ref().iter().find_map(other_normalizer),
        other => Some(kind_of(other)),
    }
}

/// The name of a pre-tokenizer whose words are not parts of the text.
fn other_pre_tokenizer(pre_tokenizer: &PreTokenizerWrapper) -> Option<String> {
    match pre_tokenizer {
        PreTokenizerWrapper::Metaspace(_) | PreTokenizerWrapper::ByteLevel(_) => Some(kind_of(pre_tokenizer)),
        PreTokenizerWrapper::Sequence(all) => all.as_ref().iter().find_map(other_pre_tokenizer),
        _ => None,
    }
}

/// How a `tokenizer.json` names a part.
fn kind_of(part: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(part).unwrap_or_default();
    json["type"].as_str().unwrap_or("of an unknown kind").to_owned()
}

/// Fails for byte-pair encoding whose pieces have a prefix. The library panics on some of these files,
/// so this comes before it reads them.
pub(super) fn refuse_prefix(path: &Path, json: &[u8]) -> Result<(), TokenizerError> {
    #[derive(Deserialize)]
    struct File {
        model: Settings,
    }
    #[derive(Deserialize)]
    struct Settings {
        merges: Option<IgnoredAny>,
        continuing_subword_prefix: Option<String>,
    }
    let model = serde_json::from_slice::<File>(json).ok().map(|file| file.model);
    let prefix = model.filter(|model| model.merges.is_some()).and_then(|model| model.continuing_subword_prefix);
    match prefix.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => Err(TokenizerError::Unsupported {
            path: path.to_owned(),
            found: format!("the prefix `{prefix}` of its pieces"),
            supported: WITH_BPE,
        }),
        None => Ok(()),
    }
}

/// The byte-level model, if it has nothing but what RoBERTa and ModernBERT have.
fn byte_level(path: &Path, inner: &tokenizers::Tokenizer, model: &bpe::BPE) -> Result<ByteLevel, TokenizerError> {
    let unsupported = |found: String| TokenizerError::Unsupported { path: path.to_owned(), found, supported: WITH_BPE };
    let add_prefix_space = match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::ByteLevel(level)) if level.use_regex => level.add_prefix_space,
        Some(PreTokenizerWrapper::ByteLevel(_)) => {
            return Err(unsupported("the pre-tokenizer ByteLevel without its pattern (`use_regex`)".to_owned()));
        }
        Some(PreTokenizerWrapper::Sequence(all)) => {
            let kinds: Vec<String> = all.as_ref().iter().map(kind_of).collect();
            return Err(unsupported(format!("the pre-tokenizer Sequence of {}", kinds.join(", "))));
        }
        Some(other) => return Err(unsupported(format!("the pre-tokenizer {}", kind_of(other)))),
        None => return Err(unsupported("no pre-tokenizer".to_owned())),
    };
    let composes = match inner.get_normalizer() {
        None => false,
        Some(NormalizerWrapper::NFC(_)) => true,
        Some(other) => return Err(unsupported(format!("the normalizer {}", kind_of(other)))),
    };
    if let Some(dropout) = model.dropout.filter(|dropout| *dropout > 0.0) {
        return Err(unsupported(format!("dropout {dropout}, which makes ids random")));
    }
    if let Some(suffix) = model.end_of_word_suffix.as_ref().filter(|suffix| !suffix.is_empty()) {
        return Err(unsupported(format!("the suffix `{suffix}` of its pieces")));
    }
    // With all bytes, no text is unknown: unknown tokens and `byte_fallback` mean nothing.
    let bpe = Bpe::new(model).map_err(|byte| unsupported(format!("no token for the byte 0x{byte:02x}")))?;
    let (mut raw, mut normalized) = (Vec::new(), Vec::new());
    for (&id, token) in inner.get_added_tokens_decoder().iter() {
        let AddedToken { content, single_word, lstrip, rstrip, special, .. } = token;
        if !special && (*single_word || *lstrip || *rstrip) {
            return Err(unsupported(format!("the added token `{content}`, which depends on the text around it")));
        }
        let token_id = (!special).then_some(id);
        if token.normalized {
            let content = WordRules::of(inner).normalize(content);
            normalized.push((content.get().to_owned(), token_id));
        } else {
            raw.push((content.clone(), token_id));
        }
    }
    let added = |strings: &[_]| AddedTokens::new(strings).map_err(|_| unsupported("too many added tokens".to_owned()));
    Ok(ByteLevel { bpe, add_prefix_space, composes, added_raw: added(&raw)?, added_normalized: added(&normalized)? })
}

/// Refuses a vocabulary whose ids would need tables that do not fit in memory.
pub(super) fn refuse_high_ids(path: &Path, inner: &tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    match inner.get_vocab(true).into_values().max() {
        Some(id) if id as usize >= MOST_ENTRIES => {
            Err(TokenizerError::HighId { path: path.to_owned(), id, most: MOST_ENTRIES })
        }
        _ => Ok(()),
    }
}

/// The vocabulary by id, if it has all special tokens.
pub(super) fn vocabulary(
    path: &Path,
    inner: &tokenizers::Tokenizer,
    model: &Model,
) -> Result<Vec<String>, TokenizerError> {
    let entries = inner.get_vocab(true);
    let highest = entries.values().max();
    let missing = |tokens: [&'static str; 5]| -> Vec<&'static str> {
        tokens.into_iter().filter(|token| !entries.contains_key(*token)).collect()
    };
    let mut all = vec![missing(BERT_TOKENS)];
    if matches!(model, Model::ByteLevel(_)) {
        all.push(missing(ROBERTA_TOKENS));
    }
    if let Some(token) = all.into_iter().min_by_key(Vec::len).and_then(|missing| missing.first().copied()) {
        return Err(TokenizerError::NoSpecialToken { path: path.to_owned(), token });
    }
    let mut vocabulary = vec![String::new(); highest.map_or(0, |id| *id as usize + 1).max(entries.len())];
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
