//! What is known of each distinct word before any candidate is counted.
use crate::{ids::WordId, lists::StopWords, smoothing, tokens::Tokens};

/// Properties of all distinct words, by number.
pub(crate) struct WordProperties {
    idf: Vec<f64>,
    stop_word: Vec<bool>,
    numeric: Vec<bool>,
}

impl WordProperties {
    pub(crate) fn new(tokens: &Tokens, stop_words: &StopWords) -> Self {
        let words = &tokens.vocabulary;
        let idf = |word| smoothing::ln(tokens.documents as f64 / words.counts(word).documents.max(1) as f64);
        Self {
            idf: words.words().map(idf).collect(),
            stop_word: words.words().map(|word| stop_words.contains(words.text(word))).collect(),
            numeric: words.words().map(|word| words.is_numeric(word)).collect(),
        }
    }

    /// Inverse document frequency: the logarithm of the number of documents per document with the
    /// word.
    pub(crate) fn idf(&self, word: WordId) -> f64 {
        self.idf[word.index()]
    }

    /// [`Self::idf`] of all words.
    pub(crate) fn idfs(&self) -> &[f64] {
        &self.idf
    }

    pub(crate) fn is_stop_word(&self, word: WordId) -> bool {
        self.stop_word[word.index()]
    }

    pub(crate) fn is_stop_word_or_number(&self, word: WordId) -> bool {
        self.stop_word[word.index()] || self.numeric[word.index()]
    }
}
