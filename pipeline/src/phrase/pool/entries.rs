//! Scored entries to a pool: their words, thresholds, and one entry for the same words.
use std::collections::HashMap;

use ebert_dumps::clean::clean_line;
use schemas::Counts;

use super::{Phrase, Pool};
use crate::text::{Tokenizer, Words};

/// Entries that become a pool.
pub(super) struct Entries<'a> {
    words: Words<'a>,
    min_score: f64,
    min_score_single: f64,
    /// By text.
    best: HashMap<String, Kept>,
    rejected: Counts,
    text: String,
}

struct Kept {
    score: f32,
    words: u8,
    frequency: Option<u64>,
}

impl<'a> Entries<'a> {
    /// No entries yet.
    pub(super) fn new(tokenizer: &'a Tokenizer, min_score: f64, min_score_single: f64) -> Self {
        Self {
            words: Words::new(tokenizer),
            min_score,
            min_score_single,
            best: HashMap::new(),
            rejected: Counts::new(),
            text: String::new(),
        }
    }

    /// Counts an entry that is left out.
    pub(super) fn reject(&mut self, reason: &str) {
        *self.rejected.entry(reason.to_owned()).or_default() += 1;
    }

    /// Adds an entry: one word where its text has no space.
    pub(super) fn add(&mut self, score: f64, phrase: &str, frequency: Option<u64>) {
        let least = if phrase.contains(' ') { self.min_score } else { self.min_score_single };
        if score < least {
            return self.reject("below_score");
        }
        // A corpus holds clean text only.
        self.text.clear();
        clean_line(phrase, &mut self.text);
        if !self.text.split_whitespace().eq(phrase.split_whitespace()) {
            return self.reject("not_clean_text");
        }
        let words = match u8::try_from(self.join_words(phrase)) {
            Ok(0) => return self.reject("without_words"),
            Ok(words) => words,
            Err(_) => return self.reject("too_many_words"),
        };
        let score = score as f32;
        match self.best.get_mut(&self.text) {
            Some(kept) => {
                kept.score = kept.score.max(score);
                kept.frequency = kept.frequency.zip(frequency).map(|(a, b)| a + b);
                self.reject("duplicate");
            }
            None => {
                self.best.insert(self.text.clone(), Kept { score, words, frequency });
            }
        }
    }

    /// Writes the words of a phrase in lower case, without accents, separated by spaces, and counts them. Transparent
    /// hyphens are left out.
    fn join_words(&mut self, phrase: &str) -> usize {
        let Self { words, text, .. } = self;
        text.clear();
        words.find(phrase);
        let mut count = 0;
        for (number, &range) in words.ranges().iter().enumerate() {
            if words.is_transparent(number) {
                continue;
            }
            if count > 0 {
                text.push(' ');
            }
            text.push_str(words.word(range));
            count += 1;
        }
        count
    }

    /// The pool, and what was left out, by reason.
    pub(super) fn finish(self) -> (Pool, Counts) {
        let phrases = self.best.into_iter();
        let mut phrases: Vec<Phrase> =
            phrases.map(|(text, Kept { score, words, frequency })| Phrase { text, score, words, frequency }).collect();
        phrases.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
        (Pool { phrases }, self.rejected)
    }
}
