//! Shards as training data.
//!
//! [`Shards::open`] checks a sealed folder. [`Order`] puts its rows in the order of an epoch.
//! [`segment_batches`] and [`pair_batches`] build batches on a thread of their own. [`HeldOut`] has
//! the documents that are never trained on. Nothing but the shards, their manifest and their
//! tokenizer is read.
mod batch;
mod held_out;
mod hint;
mod order;
mod pairs;
mod relations;
mod retrieval;
mod shards;
mod text_pair;
mod words;

pub use batch::{
    Batch, Batches, MaskedBatch, PairBatch, PairPlan, SegmentPlan, Texts, pack, pair_batches, segment_batches, starts,
};
pub use held_out::{Frequency, HeldOut, HeldOutPairs, MaskedSet};
pub use order::{Order, Position, StepSize};
pub use relations::RelationRatios;
pub use retrieval::{Ranks, Retrieval, rank};
pub use shards::{Corpus, DataError, Shards, Split};
pub use words::Bags;
