//! The distinct words of a text.
use hashbrown::HashTable;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

use super::tokens::Word;

/// The distinct words, by number.
#[derive(Debug, Default)]
pub struct Types {
    text: String,
    ends: Vec<u64>,
    table: HashTable<u32>,
    /// Documents that each is in.
    pub documents: Vec<u64>,
    /// The last of them, from 1.
    last_document: Vec<u64>,
}

impl Types {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A word.
    pub fn text(&self, kind: u32) -> &str {
        let kind = kind as usize;
        let start = kind.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[kind] as usize]
    }

    /// The number of a word in lower case.
    pub fn find(&self, word: &str) -> Option<u32> {
        self.table.find(xxh3_64(word.as_bytes()), |&kind| self.text(kind) == word).copied()
    }

    /// The number of a word in lower case, which may be new.
    pub fn intern(&mut self, word: &str) -> u32 {
        if let Some(kind) = self.find(word) {
            return kind;
        }
        let kind = self.ends.len() as u32;
        assert!(kind < Word::MOST_TYPES, "more distinct words than fit their number");
        self.text.push_str(word);
        self.ends.push(self.text.len() as u64);
        self.documents.push(0);
        self.last_document.push(0);
        let Self { table, text, ends, .. } = self;
        table.insert_unique(xxh3_64(word.as_bytes()), kind, |&kind| {
            let start = (kind as usize).checked_sub(1).map_or(0, |before| ends[before]);
            xxh3_64(&text.as_bytes()[start as usize..ends[kind as usize] as usize])
        });
        kind
    }

    /// Notes that a word stands in a document; documents are told by number from 1, in order.
    pub fn note(&mut self, kind: u32, document: u64) {
        let last = &mut self.last_document[kind as usize];
        if *last != document {
            *last = document;
            self.documents[kind as usize] += 1;
        }
    }

    /// Frees what only reading needs.
    pub fn finish(&mut self) {
        self.last_document = Vec::new();
    }

    /// Whether a word is a number.
    pub fn is_numeric(&self, kind: u32) -> bool {
        let text = self.text(kind).as_bytes();
        text.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')) && text.iter().any(u8::is_ascii_digit)
    }
}

/// The words of a text with their places: those of UAX #29, but that a colon between letters, as in `Color:Black`, stands between two words.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.unicode_word_indices().flat_map(|(start, word)| {
        let mut at = start;
        word.split(':').map(move |part| {
            let place = at;
            at += part.len() + 1;
            (place, part)
        })
    })
}

/// The words of an entry of a list, as types. Whether there are any, and all are known.
pub fn types_of(types: &Types, entry: &str, into: &mut Vec<u32>) -> bool {
    into.clear();
    for (_, word) in words(entry) {
        match types.find(&word.to_lowercase()) {
            Some(kind) => into.push(kind),
            None => return false,
        }
    }
    !into.is_empty()
}
