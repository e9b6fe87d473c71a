//! The contract between the two programs: what is stored, under which names, and how it is read back.
//!
//! The pipeline writes what is here and the trainer reads it. Neither a tokenizer nor libtorch nor the
//! field names of a dump are known in this crate.
//!
//! * [`columns`]: the columns of every table.
//! * [`Segment`] and [`Pair`]: the rows of shards, with writer, serializer and reader of each.
//! * [`Manifest`]: what a sealed folder holds and what it was made from.
//! * [`store`]: files that are complete or absent. [`Lockable`]: folders that one process writes at a time.
//! * [`DocumentId`], [`PhraseId`], [`TokenRange`], [`Relation`]: the names of things.
//! * [`Draws`]: keyed random draws. [`Task`]: the share that one of many processes makes. [`explain`]: how both tell a failure.
//!
//! ```
//! use schemas::{DocumentId, Segment, SegmentBuilder};
//!
//! let mut rows = SegmentBuilder::default();
//! rows.push(&Segment {
//!     document: DocumentId::of_product("B000TBZHNK"),
//!     product: Some("B000TBZHNK"),
//!     segment: 0,
//!     input_ids: &[7592, 2088],
//!     phrases: &[],
//!     noun_phrases: &[],
//! });
//! assert_eq!(rows.finish()?.num_rows(), 1);
//! # Ok::<(), arrow::error::ArrowError>(())
//! ```
#[cfg(feature = "tables")]
pub mod columns;
mod draw;
mod failure;
mod ids;
#[cfg(feature = "tables")]
mod lock;
#[cfg(feature = "tables")]
pub mod manifest;
#[cfg(feature = "tables")]
mod pair;
mod relation;
#[cfg(feature = "tables")]
mod rules;
#[cfg(feature = "tables")]
mod segment;
#[cfg(feature = "tables")]
pub mod store;
mod task;

pub use draw::Draws;
pub use failure::{explain, in_a_line};
pub use ids::{DocumentId, PhraseId, TokenRange};
#[cfg(feature = "tables")]
pub use lock::{Lock, Lockable};
#[cfg(feature = "tables")]
pub use manifest::{Counts, FORMAT, Manifest, ManifestError};
#[cfg(feature = "tables")]
pub use pair::{Pair, PairBuilder, PairProduct, PairRows, create_pairs, open_pairs};
pub use relation::{Relation, UnknownRelation};
#[cfg(feature = "tables")]
pub use rules::Rules;
#[cfg(feature = "tables")]
pub use segment::{
    PhraseSpan, Segment, SegmentBuilder, SegmentRows, SpanOutside, create_segments, open_segments, segment_names,
};
#[cfg(feature = "tables")]
pub use store::{FileEntry, StoreError};
pub use task::Task;
