//! The distinct words of a text.
use hashbrown::HashTable;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

use crate::{error::MineError, ids::WordId};

/// The distinct words of a text in lower case, by number, with the number of documents they are in.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    /// All words, concatenated.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u64>,
    table: HashTable<WordId>,
    document_counts: Vec<u64>,
    /// The last document of each word, counted from 1. Needed only while documents are added.
    last_document: Vec<u64>,
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

    /// The number of documents that contain a word.
    pub(crate) fn document_count(&self, word: WordId) -> u64 {
        self.document_counts[word.index()]
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
        self.document_counts.push(0);
        let Self { table, text, ends, .. } = self;
        table.insert_unique(xxh3_64(word.as_bytes()), id, |&id| xxh3_64(text_of(text, ends, id).as_bytes()));
        Ok(id)
    }

    /// Counts documents for words. Documents are numbered from 1, in order; a word may be given
    /// several times for one.
    pub(crate) fn count_documents(&mut self, occurrences: impl Iterator<Item = (WordId, u64)>) {
        self.last_document.resize(self.ends.len(), 0);
        for (word, document) in occurrences {
            let last = &mut self.last_document[word.index()];
            if *last != document {
                *last = document;
                self.document_counts[word.index()] += 1;
            }
        }
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.last_document = Vec::new();
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
