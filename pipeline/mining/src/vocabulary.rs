//! The distinct words of a text.
use hashbrown::HashTable;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

use crate::{error::MineError, ids::WordId};

/// How often a word occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WordCounts {
    pub(crate) all: u64,
    /// Occurrences whose tag allows them to start a candidate.
    pub(crate) starts: u64,
    /// Documents that contain it.
    pub(crate) documents: u64,
}

/// The distinct words of a text in lower case, by number, with their counts.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    /// All words, concatenated.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u64>,
    table: HashTable<WordId>,
    counts: Vec<WordCounts>,
}

impl Vocabulary {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = WordId> + use<> {
        (0..self.len()).map(WordId::from_index)
    }

    pub(crate) fn text(&self, word: WordId) -> &str {
        text_of(&self.text, &self.ends, word)
    }

    pub(crate) fn counts(&self, word: WordId) -> &WordCounts {
        &self.counts[word.index()]
    }

    /// The counts of all words.
    pub(crate) fn all_counts(&self) -> &[WordCounts] {
        &self.counts
    }

    /// Adds the occurrences of a word in some documents.
    pub(crate) fn add(&mut self, word: WordId, counts: &WordCounts) {
        let sum = &mut self.counts[word.index()];
        sum.all += counts.all;
        sum.starts += counts.starts;
        sum.documents += counts.documents;
    }

    /// The number of a word in lower case.
    pub(crate) fn find(&self, word: &str) -> Option<WordId> {
        self.table.find(xxh3_64(word.as_bytes()), |&id| self.text(id) == word).copied()
    }

    /// The number of a word in lower case, which is added if it is new.
    pub(crate) fn intern(&mut self, word: &str) -> Result<WordId, MineError> {
        if let Some(id) = self.find(word) {
            return Ok(id);
        }
        let id = WordId::try_from_index(self.ends.len())?;
        self.text.push_str(word);
        self.ends.push(self.text.len() as u64);
        self.counts.push(WordCounts::default());
        let Self { table, text, ends, .. } = self;
        table.insert_unique(xxh3_64(word.as_bytes()), id, |&id| xxh3_64(text_of(text, ends, id).as_bytes()));
        Ok(id)
    }

    /// Whether a word is a number, such as `1,299.50`.
    pub(crate) fn is_numeric(&self, word: WordId) -> bool {
        let text = self.text(word).as_bytes();
        text.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')) && text.iter().any(u8::is_ascii_digit)
    }

    /// Writes the words of a phrase to `into`. Returns whether it has any and all of them are
    /// known.
    pub(crate) fn find_words(&self, phrase: &str, into: &mut Vec<WordId>) -> bool {
        into.clear();
        for (_, word) in words(phrase) {
            match self.find(&word.to_lowercase()) {
                Some(id) => into.push(id),
                None => return false,
            }
        }
        !into.is_empty()
    }
}

fn text_of<'t>(text: &'t str, ends: &[u64], word: WordId) -> &'t str {
    let start = word.index().checked_sub(1).map_or(0, |before| ends[before]);
    &text[start as usize..ends[word.index()] as usize]
}

/// The words of a text with their byte offsets: those of UAX #29, except that a colon between
/// letters, as in `Color:Black`, separates two words.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.unicode_word_indices().flat_map(|(start, word)| {
        let mut at = start;
        word.split(':').map(move |part| {
            let offset = at;
            at += part.len() + 1;
            (offset, part)
        })
    })
}
