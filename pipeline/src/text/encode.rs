//! Text to WordPiece ids, word by word.
use std::borrow::Cow;

use super::{
    Tokenizer, Words,
    table::{Entry, Key, WordTable},
    words::SLACK,
};

/// The words that phrases are made of, each with its number. All threads share it.
pub struct Lexicon<'t> {
    tokenizer: &'t Tokenizer,
    table: WordTable,
}

impl<'t> Lexicon<'t> {
    /// A lexicon of these words, as [`Tokenizer::fold`] writes them, without duplicates. The first
    /// word has number 1.
    pub fn new<'w>(tokenizer: &'t Tokenizer, pool_words: impl ExactSizeIterator<Item = &'w str>) -> Self {
        let mut table = WordTable::new(pool_words.len() + NEW_WORDS);
        let mut ids = Vec::new();
        for (number, word) in (1..).zip(pool_words) {
            ids.clear();
            tokenizer.encode_word(word, &mut ids);
            let padded = pad(word);
            table.insert(&Key::new(&padded, 0..word.len()), Entry { ids: &ids, pool_word: number });
        }
        Self { tokenizer, table }
    }

    /// The number of a word that the table does not have: that of its folded form, or 0.
    fn number_of(&self, word: &str) -> u32 {
        let Cow::Owned(folded) = self.tokenizer.fold(word) else { return 0 };
        let padded = pad(&folded);
        self.table.append_ids(&Key::new(&padded, 0..folded.len()), &mut Vec::new()).unwrap_or(0)
    }
}

/// The bytes of a word and the [`SLACK`] that a [`Key`] needs.
fn pad(word: &str) -> Vec<u8> {
    [word.as_bytes(), &[0; SLACK]].concat()
}

/// How many words an encoder remembers in addition to those of the pool. Enough for nearly all
/// words of any text, and few enough for the cache. When the limit is reached, they are dropped and
/// learned again.
const NEW_WORDS: usize = 1 << 16;

/// Encodes texts. Each thread needs its own.
pub struct Encoder<'l> {
    lexicon: &'l Lexicon<'l>,
    words: Words<'l>,
    /// The words of the lexicon, and new ones.
    table: WordTable,
}

/// An encoded text. All fields but `ids` have one entry per word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// WordPiece ids of the whole text, without special tokens.
    pub ids: Vec<u16>,
    /// First token of each word, and at the end the number of tokens.
    pub first_tokens: Vec<u32>,
    /// Number of each word in the lexicon, 0 for a word of no phrase, or [`Document::TRANSPARENT`].
    pub pool_words: Vec<u32>,
    /// First byte of each word in the raw text.
    pub origins: Vec<u32>,
    /// Whether any word is [`Document::TRANSPARENT`].
    pub has_transparent: bool,
}

impl Document {
    /// In `pool_words`: a hyphen that matching skips.
    pub const TRANSPARENT: u32 = u32::MAX;

    /// Number of words.
    pub fn words(&self) -> usize {
        self.pool_words.len()
    }

    fn clear(&mut self) {
        let Self { ids, first_tokens, pool_words, origins, has_transparent } = self;
        ids.clear();
        [first_tokens, pool_words, origins].into_iter().for_each(Vec::clear);
        *has_transparent = false;
    }
}

impl<'l> Encoder<'l> {
    /// An encoder that knows the words of the lexicon.
    pub fn new(lexicon: &'l Lexicon<'l>) -> Self {
        Self { lexicon, words: Words::new(lexicon.tokenizer), table: lexicon.table.clone() }
    }

    /// Encodes a text into `document`, whose old content is dropped.
    pub fn encode(&mut self, text: &str, document: &mut Document) {
        self.words.find(text);
        document.clear();
        let Self { lexicon, words, table } = self;
        for (number, &range) in words.ranges().iter().enumerate() {
            document.first_tokens.push(document.ids.len() as u32);
            document.origins.push(range.origin);
            let key = Key::new(words.padded(), range.bytes());
            let pool_word = match table.append_ids(&key, &mut document.ids) {
                Some(pool_word) => pool_word,
                None => learn(lexicon, table, &key, words.word(range), &mut document.ids),
            };
            let is_transparent = key.word() == b"-" && words.is_transparent(number);
            document.has_transparent |= is_transparent;
            document.pool_words.push(if is_transparent { Document::TRANSPARENT } else { pool_word });
        }
        document.first_tokens.push(document.ids.len() as u32);
    }
}

/// Cuts a new word into pieces, appends their ids to `ids`, and adds the word to the table. Returns
/// its number in the lexicon.
fn learn(lexicon: &Lexicon<'_>, table: &mut WordTable, key: &Key<'_>, word: &str, ids: &mut Vec<u16>) -> u32 {
    let first = ids.len();
    lexicon.tokenizer.encode_word(word, ids);
    let entry = Entry { ids: &ids[first..], pool_word: lexicon.number_of(word) };
    if table.len() >= lexicon.table.len() + NEW_WORDS {
        *table = lexicon.table.clone();
    }
    table.insert(key, entry);
    entry.pool_word
}
