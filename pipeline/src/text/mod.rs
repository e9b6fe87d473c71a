//! Text to words, token ids and noun phrases.
//!
//! * [`Tokenizer`] is a loaded `vocab.txt` or `tokenizer.json`.
//! * [`Words`] normalizes a text and finds its words.
//! * [`Lexicon`] numbers the words of the phrase pool.
//! * [`Encoder`] turns a text into a [`Document`]: the ids of the text, and for each word its tokens
//!   and its number in the lexicon.
//! * [`nouns::NounFinder`] finds the noun phrases of a document, as ranges of its tokens.
//!
//! Hugging Face's `tokenizers` is the authority and the oracle of the tests: it loads the file and
//! decides what each character becomes. It is too slow to encode a corpus, so each word (WordPiece)
//! or part of a text (byte-level BPE) is encoded once and then looked up. `pipeline/DESIGN.md`
//! explains how.
//!
//! ```
//! use pipeline::text::{Document, Encoder, Lexicon, Tokenizer};
//!
//! let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/sample/tokenizer.json");
//! let tokenizer = Tokenizer::load(file.as_ref())?;
//! let lexicon = Lexicon::new(&tokenizer, ["wi", "fi"].into_iter());
//! let mut document = Document::default();
//! Encoder::new(&lexicon).encode("A Wi-Fi router", &mut document);
//!
//! assert_eq!(document.pool_words, [0, 1, Document::TRANSPARENT, 2, 0]);
//! assert_eq!(document.origins, [0, 2, 4, 5, 8]);
//! let encoding = tokenizer.oracle().encode("A Wi-Fi router", false)?;
//! assert!(encoding.get_ids().iter().copied().eq(document.ids.iter().map(|&id| u32::from(id))));
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
mod added;
mod block;
mod bpe;
mod byte_level;
mod encode;
pub mod language;
pub mod nouns;
mod pattern;
mod pieces;
mod rules;
pub mod segment;
mod table;
mod tokenizer;
mod wordpiece;
mod words;

/// Version of the words and ids. Raised whenever a text gives other ones.
pub const RULES: u32 = 1;

/// Version of the step from words to the tokens of tokenizers that find these apart from the words.
/// Raised whenever a text gives other ones.
pub const TOKEN_RULES: u32 = 1;

pub use encode::{Document, DocumentOf, Encoder, Lexicon};
pub use tokenizer::{Tokenizer, TokenizerError};
pub use words::{WordRange, Words};
