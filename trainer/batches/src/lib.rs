//! Shards to masked batches, without libtorch.
//!
//! [`Shards::open`] checks a sealed folder. [`Order`] puts its rows in the order of an epoch.
//! [`segment_batches`] and [`pair_batches`] build batches on a thread of their own. [`HeldOut`] has
//! the documents that are never trained on. [`masking`] draws what is hidden, and its
//! [`masking::switch`] in which mode. Nothing but the shards, their manifest and their tokenizer is
//! read.
//!
//! All draws are keyed by (seed, purpose, id). So any number of threads, a resumed run, and the
//! Python module get the same batches.
//!
//! # Example
//!
//! Batches of product segments, with phrases masked:
//!
//! ```
//! # mod written { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/shards.rs")); }
//! use std::sync::Arc;
//!
//! use ebert_batches::{
//!     Corpus, Position, SegmentPlan, SequenceFormat, Shards, StepSize,
//!     masking::{MaskMode, Masking, MaskingOptions},
//!     segment_batches,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path();
//! # written::seal_shards(folder);
//! // A hundredth of the texts is held out.
//! let shards = Arc::new(Shards::open(folder, 0.01, |_| ())?);
//! let lowest_score = shards.manifest().body.pool.lowest_score;
//! let masking = Masking::new(MaskingOptions::default(), shards.vocabulary().clone(), lowest_score);
//! let plan = SegmentPlan {
//!     corpora: vec![Corpus::Products],
//!     size: StepSize::Tokens(512),
//!     mix: 8,
//!     modes: vec![MaskMode::Phrase],
//!     seed: 0,
//!     text_pairs: 0.0,
//!     format: SequenceFormat::Bert,
//!     epochs_before: 0,
//! };
//! let mut batches = segment_batches(&shards, &Arc::new(masking), plan, Position::default())?;
//! for _ in 0..3 {
//!     let batch = batches.next_batch()?;
//!     // All sequences are in one row, without padding.
//!     let masked = batch.in_mode(MaskMode::Phrase);
//!     assert_eq!(batch.lengths.iter().sum::<usize>(), masked.input_ids.len());
//!     println!("{} sequences, {} tokens hidden", batch.lengths.len(), masked.selected.len());
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod batch;
mod error;
mod format;
mod held_out;
mod hint;
pub mod masking;
mod options;
mod order;
mod pairs;
mod relations;
mod retrieval;
mod segment;
mod shards;
mod text_pair;
pub mod vocabulary;
mod words;

pub use batch::{
    Batch, Batches, MaskedBatch, PairBatch, PairPlan, SegmentPlan, Texts, pack, pair_batches, segment_batches, starts,
};
pub use error::DataError;
pub use format::SequenceFormat;
pub use held_out::{Frequency, HeldOut, HeldOutPairs, MaskedSet};
pub use options::DataOptions;
pub use order::{Order, Position, StepSize};
pub use relations::RelationRatios;
pub use retrieval::{Ranks, Retrieval, rank};
pub use segment::Segment;
pub use shards::{Corpus, Shards, Split};
pub use words::Bags;
