//! Mining (placeholder page).
#![forbid(unsafe_code)]

mod candidates;
mod count;
mod edges;
mod error;
mod features;
mod forest;
mod ids;
mod labels;
mod lists;
mod mine;
mod occurrences;
mod pieces;
mod reader;
mod segmentation;
mod smoothing;
#[cfg(test)]
mod testing;
mod tokens;
mod trie;
mod vocabulary;
mod word_properties;

pub use error::MineError;
pub use lists::{List, Lists, QualityList, StopWords};
pub use mine::{Mined, MinedCounts, MinedPhrase, Options, Step, mine};
pub use reader::Reader;
pub use tokens::{Batch, Tokens};
