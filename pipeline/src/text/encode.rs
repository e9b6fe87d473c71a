//! Text to WordPiece ids, word by word.
use std::borrow::Cow;

use super::{
    Tokenizer, Words,
    table::{Entry, FEW, Key, WordTable},
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
const AHEAD: usize = 64;

/// Encodes text; one for each thread.
pub struct Encoder<'l> {
    lexicon: &'l Lexicon<'l>,
    words: Words<'l>,
    table: WordTable,
    /// Ids of a new word.
    new: Vec<u16>,
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
        Self { lexicon, words: Words::new(lexicon.tokenizer), table: lexicon.table.clone(), new: Vec::new() }
    }

    /// Encodes a text into `document`, whose old content is dropped.
    pub fn encode(&mut self, text: &str, document: &mut Document) {
        self.words.find(text);
        let Self { lexicon, words, table, new } = self;
        let (padded, ranges) = (words.padded(), words.ranges());
        let Document { ids, first_tokens, pool_words, origins, has_transparent } = document;
        origins.clear();
        origins.extend(ranges.iter().map(|range| range.origin));
        first_tokens.resize(ranges.len() + 1, 0);
        pool_words.resize(ranges.len(), 0);
        *has_transparent = false;
        // Nearly all words have few ids, and as many as fit are written of each; `count` are meant.
        let mut count = 0;
        let mut keys = [Key::EMPTY; AHEAD];
        let of_words = first_tokens.chunks_mut(AHEAD).zip(pool_words.chunks_mut(AHEAD));
        for (block, (ranges, (first_tokens, pool_words))) in ranges.chunks(AHEAD).zip(of_words).enumerate() {
            for (key, range) in keys.iter_mut().zip(ranges) {
                *key = Key::new(padded, range.start as usize, range.end as usize);
                table.prefetch(key);
            }
            make_room(ids, count);
            let of_words = first_tokens.iter_mut().zip(pool_words);
            for (i, ((key, range), (first_token, pool_word))) in keys.iter().zip(ranges).zip(of_words).enumerate() {
                *first_token = count as u32;
                *pool_word = match table.slot(key) {
                    Some(slot) => {
                        ids[count..count + FEW].copy_from_slice(&slot.ids);
                        count += usize::from(slot.id_count);
                        slot.pool_word
                    }
                    None => {
                        let entry = match table.other(key) {
                            Some(entry) => entry,
                            None => {
                                let word = words.word(*range);
                                new.clear();
                                lexicon.tokenizer.encode_word(word, new);
                                let entry = Entry { ids: new, pool_word: lexicon.number_of(word) };
                                if table.len() >= lexicon.table.len() + NEW_WORDS {
                                    *table = lexicon.table.clone();
                                }
                                table.insert(key, entry);
                                entry
                            }
                        };
                        let end = count + entry.ids.len();
                        make_room(ids, end);
                        ids[count..end].copy_from_slice(entry.ids);
                        count = end;
                        entry.pool_word
                    }
                };
                if key.word() == b"-" && words.is_transparent(block * AHEAD + i) {
                    *has_transparent = true;
                    *pool_word = Document::TRANSPARENT;
                }
            }
        }
        first_tokens[ranges.len()] = count as u32;
        ids.truncate(count);
    }
}

/// Room for a block of words' ids after the first so many.
fn make_room(ids: &mut Vec<u16>, count: usize) {
    let needed = count + FEW * AHEAD;
    if ids.len() < needed {
        ids.resize(2 * needed, 0);
    }
}
