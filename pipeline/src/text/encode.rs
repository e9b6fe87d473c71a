//! Text to WordPiece ids, word by word.
use std::borrow::Cow;

use super::{
    Tokenizer, Words,
    table::{Entry, Key, WordTable},
    words::SLACK,
};

/// The words that phrases are made of, each with its number; made once and shared by all threads.
pub struct Lexicon<'t> {
    tokenizer: &'t Tokenizer,
    table: WordTable,
}

impl<'t> Lexicon<'t> {
    /// A lexicon of these words, as [`Tokenizer::fold`] writes them; the first has number 1. No word may come twice.
    pub fn new<'w>(tokenizer: &'t Tokenizer, pool_words: impl ExactSizeIterator<Item = &'w str>) -> Self {
        let mut table = WordTable::new(pool_words.len() + NEW_WORDS);
        let (mut padded, mut ids) = (Vec::new(), Vec::new());
        for (number, word) in pool_words.enumerate() {
            padded.clear();
            padded.extend_from_slice(word.as_bytes());
            padded.extend_from_slice(&[0; SLACK]);
            ids.clear();
            tokenizer.encode_word(word, &mut ids);
            let key = Key::new(&padded, 0, word.len());
            table.insert(&key, Entry { ids: &ids, pool_word: number as u32 + 1 });
        }
        Self { tokenizer, table }
    }

    /// The number of a word that the table does not have: that of the same word in lower case, without accents.
    fn number_of(&self, word: &str) -> u32 {
        let Cow::Owned(folded) = self.tokenizer.fold(word) else { return 0 };
        let padded = [folded.as_bytes(), &[0; SLACK]].concat();
        self.table.get(&Key::new(&padded, 0, folded.len())).map_or(0, |entry| entry.pool_word)
    }
}

/// The words that an encoder remembers besides those of the pool: enough for nearly all of any text,
/// few enough for the cache. When they are full, they are forgotten and learnt again.
const NEW_WORDS: usize = 1 << 16;

/// Words whose slots are fetched before the first of them is looked at.
const AHEAD: usize = 16;

/// Encodes text; one for each thread.
pub struct Encoder<'l> {
    lexicon: &'l Lexicon<'l>,
    words: Words<'l>,
    table: WordTable,
    ids: Vec<u16>,
}

/// An encoded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// WordPiece ids of the whole text.
    pub ids: Vec<u16>,
    /// First token of each word, and at the end the number of tokens.
    pub first_tokens: Vec<u32>,
    /// For each word its number in the lexicon, 0 for a word of no phrase, or [`Document::TRANSPARENT`].
    pub pool_words: Vec<u32>,
    /// First byte of each word in the text.
    pub origins: Vec<u32>,
    /// Whether any word is [`Document::TRANSPARENT`].
    pub has_transparent: bool,
}

impl Document {
    /// In `pool_words`: a hyphen that matching passes over.
    pub const TRANSPARENT: u32 = u32::MAX;

    /// Number of words.
    pub fn words(&self) -> usize {
        self.pool_words.len()
    }
}

impl<'l> Encoder<'l> {
    /// An encoder that starts with the lexicon's words.
    pub fn new(lexicon: &'l Lexicon<'l>) -> Self {
        Self { lexicon, words: Words::new(lexicon.tokenizer), table: lexicon.table.clone(), ids: Vec::new() }
    }

    /// Encodes a text into `document`, whose old content is dropped.
    pub fn encode(&mut self, text: &str, document: &mut Document) {
        document.ids.clear();
        document.first_tokens.clear();
        document.pool_words.clear();
        document.has_transparent = false;
        self.words.find(text);
        document.origins.clear();
        document.origins.extend(self.words.ranges().iter().map(|range| range.origin));
        let padded = self.words.padded();
        for (block, ranges) in self.words.ranges().chunks(AHEAD).enumerate() {
            let mut keys = [Key::EMPTY; AHEAD];
            for (key, range) in keys.iter_mut().zip(ranges) {
                *key = Key::new(padded, range.start as usize, range.end as usize);
                self.table.fetch(key);
            }
            for (i, (key, &range)) in keys.iter().zip(ranges).enumerate() {
                document.first_tokens.push(document.ids.len() as u32);
                let pool_word = match self.table.get(key) {
                    Some(entry) => {
                        match entry.ids {
                            // Most words are one token; a push is cheaper than a copy of unknown length.
                            &[id] => document.ids.push(id),
                            ids => document.ids.extend_from_slice(ids),
                        }
                        entry.pool_word
                    }
                    None => {
                        self.ids.clear();
                        let word = self.words.word(range);
                        self.lexicon.tokenizer.encode_word(word, &mut self.ids);
                        let pool_word = self.lexicon.number_of(word);
                        document.ids.extend_from_slice(&self.ids);
                        if self.table.len() >= self.lexicon.table.len() + NEW_WORDS {
                            self.table = self.lexicon.table.clone();
                        }
                        self.table.insert(key, Entry { ids: &self.ids, pool_word });
                        pool_word
                    }
                };
                let transparent = key.word() == b"-" && self.words.is_transparent(block * AHEAD + i);
                document.has_transparent |= transparent;
                document.pool_words.push(if transparent { Document::TRANSPARENT } else { pool_word });
            }
        }
        document.first_tokens.push(document.ids.len() as u32);
    }
}
