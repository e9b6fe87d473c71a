//! Text to token ids and words.
//!
//! Words come from the text, in lower case and without accents. For uncased WordPiece they are the
//! words that the tokenizer cuts, too, so one pass finds both. A cased tokenizer cuts the same words
//! but for rare characters. All other tokens are found apart from the words, and compared with them
//! in bytes of the raw text.
use std::ops::Range;

use schemas::TokenId;

use super::{
    Tokenizer, WordRange, Words,
    byte_level::ByteLevelEncoder,
    pieces::{Piece, Touched, touch},
    table::{Entry, Key, SLACK, WordTable},
    tokenizer::{Model, WordPieceWords},
};

/// The words that phrases are made of, each with its number. All threads share it. `I` is the width
/// of ids.
pub struct Lexicon<'t, I = u16> {
    tokenizer: &'t Tokenizer,
    table: WordTable<I>,
}

impl<'t, I: TokenId> Lexicon<'t, I> {
    /// A lexicon of these words, as [`Words`] writes them, without duplicates. The first word has
    /// number 1.
    ///
    /// # Panics
    /// If the tokenizer has ids that are wider than `I`.
    pub fn new<'w>(tokenizer: &'t Tokenizer, pool_words: impl ExactSizeIterator<Item = &'w str>) -> Self {
        assert!(tokenizer.vocabulary().len() as u64 <= I::MOST_ENTRIES, "ids must fit");
        let mut table = WordTable::new(pool_words.len() + if tokenizer.marks_words() { NEW_WORDS } else { 0 });
        let mut ids = Vec::new();
        for (number, word) in (1..).zip(pool_words) {
            ids.clear();
            tokenizer.encode_word(word, &mut ids);
            let padded = pad(word);
            table.insert(&Key::new(&padded, 0..word.len()), Entry { ids: &ids, pool_word: number });
        }
        Self { tokenizer, table }
    }

    /// The number of a word that the table does not have, or 0 for a word of no phrase. That of a
    /// cased tokenizer has the number of the word of the text, or [`NOT_ONE_WORD`].
    fn number_of(&self, word: &str) -> u32 {
        if self.tokenizer.is_uncased() {
            return 0;
        }
        let folded = if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Some(word.to_ascii_lowercase())
        } else {
            self.tokenizer.text_rules().single_word(word)
        };
        let Some(word) = folded else { return NOT_ONE_WORD };
        let padded = pad(&word);
        self.table.pool_word(&Key::new(&padded, 0..word.len())).unwrap_or(0)
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

/// In the word table of a cased tokenizer: a word that is not one word of the text.
const NOT_ONE_WORD: u32 = u32::MAX - 1;

/// Encodes texts. Each thread needs its own.
pub struct Encoder<'l, I = u16> {
    lexicon: &'l Lexicon<'l, I>,
    /// The words of the text.
    words: Words<'l>,
    way: Way<'l, I>,
    pieces: Vec<Piece>,
}

/// How an encoder finds tokens.
enum Way<'l, I> {
    /// Word by word.
    Words {
        /// The words of the lexicon, and new ones.
        table: WordTable<I>,
        /// The words of a cased tokenizer.
        cased: Option<Words<'l>>,
    },
    /// By the library, apart from the words.
    Library,
    /// Byte-level, apart from the words.
    ByteLevel(ByteLevelEncoder<'l, I>),
}

/// An encoded text whose ids have 16 bits.
pub type Document = DocumentOf<u16>;

/// An encoded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentOf<I> {
    /// The tokenizer's ids of the whole text, without special tokens.
    pub ids: Vec<I>,
    /// Number of each word in the lexicon, 0 for a word of no phrase, or [`Document::TRANSPARENT`].
    pub pool_words: Vec<u32>,
    /// First byte of each word in the raw text.
    pub origins: Vec<u32>,
    /// Whether any word is [`Document::TRANSPARENT`].
    pub has_transparent: bool,
    /// Tokens that start a word, and at the end the number of tokens.
    pub word_starts: Vec<u32>,
    /// The tokens of each word, where these are not all tokens from one word start to the next.
    touched: Option<Touched>,
}

impl<I> DocumentOf<I> {
    /// In `pool_words`: a hyphen that matching skips.
    pub const TRANSPARENT: u32 = u32::MAX;

    /// Number of words.
    pub fn words(&self) -> usize {
        self.pool_words.len()
    }

    /// The tokens of some words. `None` if a word outside of them shares one of these tokens.
    #[inline]
    pub fn tokens(&self, words: Range<usize>) -> Option<Range<u32>> {
        match &self.touched {
            _ if words.is_empty() => Some(0..0),
            None => Some(self.word_starts[words.start]..self.word_starts[words.end]),
            Some(touched) => touched.tokens(words),
        }
    }

    fn clear(&mut self) {
        let Self { ids, pool_words, origins, has_transparent, word_starts, touched } = self;
        ids.clear();
        [pool_words, origins, word_starts].into_iter().for_each(Vec::clear);
        *has_transparent = false;
        *touched = None;
    }
}

impl<'l, I: TokenId> Encoder<'l, I> {
    /// An encoder that knows the words of the lexicon.
    pub fn new(lexicon: &'l Lexicon<'l, I>) -> Self {
        let way = match lexicon.tokenizer.model() {
            Model::WordPiece(model) => match &model.words {
                WordPieceWords::OfText => Way::Words { table: lexicon.table.clone(), cased: None },
                WordPieceWords::Cased(rules) => {
                    Way::Words { table: lexicon.table.clone(), cased: Some(Words::by(rules)) }
                }
                WordPieceWords::Other => Way::Library,
            },
            Model::ByteLevel(model) => Way::ByteLevel(ByteLevelEncoder::new(model)),
        };
        Self { lexicon, words: Words::new(lexicon.tokenizer), way, pieces: Vec::new() }
    }

    /// Encodes a text into `document`, whose old content is dropped.
    pub fn encode(&mut self, text: &str, document: &mut DocumentOf<I>) {
        let mut touched = document.touched.take().unwrap_or_default();
        document.clear();
        let Self { lexicon, words, way, pieces } = self;
        pieces.clear();
        match way {
            Way::Words { table, cased: None } => return encode_words(lexicon, table, words, text, document),
            Way::Words { table, cased: Some(cased) } => {
                encode_words(lexicon, table, cased, text, document);
                if !document.pool_words.contains(&NOT_ONE_WORD) {
                    return;
                }
                document.clear();
                lexicon.tokenizer.encode_by_library(text, &mut document.ids, pieces);
            }
            Way::Library => lexicon.tokenizer.encode_by_library(text, &mut document.ids, pieces),
            Way::ByteLevel(encoder) => encoder.encode(text, &mut document.ids, pieces),
        }
        words.find(text);
        for (number, &range) in words.ranges().iter().enumerate() {
            let key = Key::new(words.padded(), range.bytes());
            let pool_word = lexicon.table.pool_word(&key).unwrap_or(0);
            push_word(words, number, range, &key, pool_word, document);
        }
        touched.clear();
        let raw_bytes = (0..words.ranges().len()).map(|word| words.raw_bytes(text, word));
        touch(raw_bytes, pieces, document.ids.len() as u32, &mut touched);
        document.word_starts.extend_from_slice(&touched.word_starts);
        document.word_starts.push(document.ids.len() as u32);
        document.touched = Some(touched);
    }
}

/// Encodes a text word by word.
#[inline]
fn encode_words<I: TokenId>(
    lexicon: &Lexicon<'_, I>,
    table: &mut WordTable<I>,
    words: &mut Words<'_>,
    text: &str,
    document: &mut DocumentOf<I>,
) {
    words.find(text);
    for (number, &range) in words.ranges().iter().enumerate() {
        document.word_starts.push(document.ids.len() as u32);
        let key = Key::new(words.padded(), range.bytes());
        let pool_word = match table.append_ids(&key, &mut document.ids) {
            Some(pool_word) => pool_word,
            None => learn(lexicon, table, &key, words.word(range), &mut document.ids),
        };
        push_word(words, number, range, &key, pool_word, document);
    }
    document.word_starts.push(document.ids.len() as u32);
}

#[inline]
fn push_word<I>(
    words: &Words<'_>,
    number: usize,
    range: WordRange,
    key: &Key<'_>,
    pool_word: u32,
    document: &mut DocumentOf<I>,
) {
    let is_transparent = key.word() == b"-" && words.is_transparent(number);
    document.has_transparent |= is_transparent;
    document.pool_words.push(if is_transparent { DocumentOf::<I>::TRANSPARENT } else { pool_word });
    document.origins.push(range.origin);
}

/// Cuts a new word into pieces, appends their ids to `ids`, and adds the word to the table. Returns
/// its number in the lexicon.
fn learn<I: TokenId>(
    lexicon: &Lexicon<'_, I>,
    table: &mut WordTable<I>,
    key: &Key<'_>,
    word: &str,
    ids: &mut Vec<I>,
) -> u32 {
    let first = ids.len();
    lexicon.tokenizer.encode_word(word, ids);
    let pool_word = lexicon.number_of(word);
    if table.len() >= lexicon.table.len() + NEW_WORDS {
        *table = lexicon.table.clone();
    }
    table.insert(key, Entry { ids: &ids[first..], pool_word });
    pool_word
}
