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
#[cfg(feature = "tables")]
mod corpus;
mod draw;
mod failure;
#[cfg(feature = "tables")]
mod graph;
mod ids;
#[cfg(feature = "tables")]
mod lock;
#[cfg(feature = "tables")]
pub mod manifest;
#[cfg(feature = "tables")]
mod pair;
#[cfg(feature = "tables")]
mod pool;
mod relation;
#[cfg(feature = "tables")]
mod rows;
#[cfg(feature = "tables")]
mod rules;
#[cfg(feature = "tables")]
mod segment;
#[cfg(feature = "tables")]
pub mod store;
mod task;

#[cfg(feature = "tables")]
pub use corpus::{
    CorpusAssociation, CorpusAssociationBuilder, CorpusAssociationRows, CorpusNameRows, CorpusProduct,
    CorpusProductBuilder, CorpusProductRows, CorpusReview, CorpusReviewBuilder, CorpusReviewRows, CorpusText,
    CorpusTextRows, create_corpus_associations, create_corpus_products, create_corpus_reviews,
    open_corpus_associations, open_corpus_products, open_corpus_reviews,
};
pub use draw::Draws;
pub use failure::{explain, in_a_line};
#[cfg(feature = "tables")]
pub use graph::{GraphEdge, GraphEdgeBuilder, GraphEdgeRows, create_graph_edges, open_graph_edges};
pub use ids::{DocumentId, PhraseId, TokenRange};
#[cfg(feature = "tables")]
pub use lock::{Attempt, Lock, Lockable};
#[cfg(feature = "tables")]
pub use manifest::{Counts, FORMAT, Manifest, ManifestError};
#[cfg(feature = "tables")]
pub use pair::{Pair, PairBuilder, PairProduct, PairRows, create_pairs, open_pairs};
#[cfg(feature = "tables")]
pub use pool::{PoolPhrase, PoolPhraseBuilder, PoolPhraseRows, create_pool_phrases, open_pool_phrases};
pub use relation::{Relation, UnknownRelation};
#[cfg(feature = "tables")]
pub use rows::{RowBuilder, RowWriter, Rows};
#[cfg(feature = "tables")]
pub use rules::Rules;
#[cfg(feature = "tables")]
pub use segment::{
    PhraseSpan, Segment, SegmentBuilder, SegmentRows, SegmentTokenRows, SegmentTokens, SpanOutside, create_segments,
    open_segments, segment_names,
};
#[cfg(feature = "tables")]
pub use store::{FileEntry, StoreError};
pub use task::Task;
