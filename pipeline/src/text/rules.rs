//! What makes the words of a text: a normalizer and a pre-tokenizer of `tokenizers`.
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// A normalizer and a pre-tokenizer. Each may be absent.
pub(super) struct WordRules {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

impl WordRules {
    /// Those of uncased BERT: lower case, no accents, punctuation and Chinese characters apart.
    /// They make the words that phrases consist of, whatever the tokenizer is.
    pub(super) fn uncased() -> Self {
        Self {
            normalizer: Some(BertNormalizer::new(true, true, None, true).into()),
            pre_tokenizer: Some(BertPreTokenizer.into()),
        }
    }

    /// Those of a tokenizer.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        Self { normalizer: tokenizer.get_normalizer().cloned(), pre_tokenizer: tokenizer.get_pre_tokenizer().cloned() }
    }

    /// BERT's normalizer, if both are BERT's.
    pub(super) fn bert(&self) -> Option<BertNormalizer> {
        match (&self.normalizer, &self.pre_tokenizer) {
            (Some(NormalizerWrapper::BertNormalizer(bert)), Some(PreTokenizerWrapper::BertPreTokenizer(_))) => {
                Some(*bert)
            }
            _ => None,
        }
    }

    /// The normalized text, with the raw bytes that each part came from.
    pub(super) fn normalize(&self, text: &str) -> NormalizedString {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            // No normalizer of the library returns errors for plain text.
            let _ = normalizer.normalize(&mut normalized);
        }
        normalized
    }

    /// Appends the words of a normalized text to `text`, and their positions to `words`. Words that
    /// touch in the normalized text touch in `text`; others have a space between them. The words
    /// are copied because a pre-tokenizer may change them. (BERT's does not.)
    pub(super) fn pre_tokenize(&self, normalized: &str, text: &mut Vec<u8>, words: &mut Vec<PreToken>) {
        let mut split = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = &self.pre_tokenizer {
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

    /// The only word of a text. `None` if it has none or several.
    pub(super) fn single_word(&self, text: &str) -> Option<String> {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        self.pre_tokenize(self.normalize(text).get(), &mut bytes, &mut words);
        match words[..] {
            [PreToken { start, end, .. }] => String::from_utf8(bytes[start..end].to_vec()).ok(),
            _ => None,
        }
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
