//! English text to tags and noun phrases.
//!
//! Phrase masking adds a sequence's clean noun phrases to its pool phrases; only flat spans are needed, so a base-noun-phrase chunker does
//! what a parser would, at a thousandth of the cost. `sentence` cuts text into sentences and Penn tokens, [`Tagger`] gives each its
//! part of speech ([`Tagging`] does both), [`Chunker`] marks noun phrases, and [`Nouns`] turns them into token ranges of a document.
//! Both models are perceptrons over hashed features (`perceptron`; `memo` keeps what recurring features weigh together), trained by
//! [`train`] from treebanks ([`treebank`]) and kept in `pipeline/english/models/`; [`evaluate`] scores them.

/// Raised whenever a text gives other sentences, tags or noun phrases with the same model.
pub const RULES: u32 = 1;

mod chunker;
#[cfg(feature = "train")]
pub mod evaluate;
mod features;
mod memo;
mod model;
mod nouns;
mod perceptron;
mod sentence;
mod tagger;
mod tagging;
#[cfg(feature = "train")]
pub mod train;
pub mod treebank;

pub use chunker::Chunker;
pub use model::{Model, ModelError};
pub use nouns::{MOST_WORDS, NounPhrases};
pub use sentence::{Sentences, Token};
pub use tagger::Tagger;
pub use tagging::Tagging;
