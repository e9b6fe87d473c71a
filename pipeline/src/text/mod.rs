//! Text to words to WordPiece ids.
//!
//! Text is normalised once and its words are found once (`words`); a word table gives each word its
//! ids and its number in the phrase trie (`table`, [`Encoder`]): words of phrases are compared in lower case and without
//! accents, whatever a tokenizer keeps. A word that the table has not seen is cut into pieces (`wordpiece`). Hugging Face's
//! `tokenizers` stays the authority: it loads the file, says what each character becomes, and is the oracle in the tests.
mod encode;
pub mod nouns;
pub mod segment;
mod table;
mod tokenizer;
mod wordpiece;
mod words;

/// Raised whenever a text gives other words or ids.
pub const RULES: u32 = 1;

pub use encode::{Document, Encoder, Lexicon};
pub use tokenizer::{SPECIAL_TOKENS, Tokenizer, TokenizerError, uncased_bert};
pub use words::{WordRange, Words};
