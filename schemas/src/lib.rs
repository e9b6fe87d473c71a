//! The contract between the two programs: the stored tables, their names, and their readers and
//! writers.
//!
//! The pipeline writes these tables and the trainer reads them. This crate knows no tokenizer, no
//! libtorch, no field names of a dump, and no command of either program.
//!
//! # Tables
//!
//! | file | row | write | read |
//! |---|---|---|---|
//! | `corpus/products-*.parquet` | [`CorpusProduct`] | [`create_corpus_products`] | [`open_corpus_products`] |
//! | `corpus/reviews-*.parquet` | [`CorpusReview`] | [`create_corpus_reviews`] | [`open_corpus_reviews`] |
//! | `corpus/interactions-*.parquet` | [`CorpusInteraction`] | [`create_corpus_interactions`] | [`open_corpus_interactions`] |
//! | `corpus/associations-*.parquet` | [`CorpusAssociation`] | [`create_corpus_associations`] | [`open_corpus_associations`] |
//! | `pool/phrases.parquet` | [`PoolPhrase`] | [`create_pool_phrases`] | [`open_pool_phrases`] |
//! | `graph/associations.parquet` | [`GraphEdge`] | [`create_graph_edges`] | [`open_graph_edges`] |
//! | `shards/products-*.parquet`, `shards/reviews-*.parquet` | [`Segment`] | [`create_segments`] | [`open_segments`] |
//! | `shards/pairs-*.parquet` | [`Pair`] | [`create_pairs`] | [`open_pairs`] |
//!
//! [`columns`] has the Arrow schema of each. Readers that need only some columns use a projection,
//! which decodes no others: [`CorpusTextRows`], [`CorpusNameRows`], [`SegmentTokenRows`].
//!
//! Each folder is sealed by a [`Manifest`], which names its files and what they were made from.
//!
//! # The rest
//!
//! * [`temporary`] names temporary files, and creates files without a name.
//! * [`store`] writes files that are complete or absent, and checks their hashes.
//! * [`Lockable`] is a folder that one process writes at a time.
//! * [`DocumentId`], [`TextId`], [`ReviewerId`], [`PhraseId`], [`TokenRange`] and [`Relation`] are the names of things.
//! * [`Draws`] are keyed random numbers. [`Task`] is one process's share of the work.
//! * [`explain`] prints an error with its causes and its hint. [`quoted`] is a path in a command to type.
//!
//! # Examples
//!
//! Write a segment and read it back. Builders of segments and pairs give batches, so that several
//! threads can build them.
//!
//! ```
//! use schemas::{DocumentId, Segment, SegmentBuilder, SegmentRows, TextId, create_segments, open_segments};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("products-00000.parquet");
//! let segment = Segment {
//!     document: DocumentId::of_product("B000TBZHNK"),
//!     text_id: TextId::of("Hello, world"),
//!     product: Some("B000TBZHNK"),
//!     segment: 0,
//!     input_ids: &[7592, 2088],
//!     phrases: &[],
//!     noun_phrases: &[],
//! };
//! let mut rows = SegmentBuilder::default();
//! rows.push(&segment);
//! let mut table = create_segments(&path)?;
//! table.write_result(rows.finish())?;
//! table.commit()?;
//!
//! for rows in open_segments(&path)?.read::<SegmentRows>(1000) {
//!     assert_eq!(rows?.get(0)?, segment);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Write a product of a corpus, and read only its text.
//!
//! ```
//! use schemas::{CorpusProduct, CorpusTextRows, create_corpus_products, open_corpus_products};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("products-00000.parquet");
//! let mut products = create_corpus_products(&path)?;
//! products.push(&CorpusProduct {
//!     categories: vec!["Kitchen", "Kettles"],
//!     ..CorpusProduct::of("B000TBZHNK", "Steel kettle", "Steel kettle\nBoils water.")
//! })?;
//! let written = products.finish()?.commit()?;
//! assert_eq!((written.name.as_str(), written.rows), ("products-00000.parquet", 1));
//!
//! for rows in open_corpus_products(&path)?.read::<CorpusTextRows>(1000) {
//!     assert_eq!(rows?.get(0).text, "Steel kettle\nBoils water.");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]
#[cfg(feature = "tables")]
pub mod columns;
#[cfg(feature = "tables")]
mod corpus;
mod draw;
mod failure;
#[cfg(feature = "tables")]
mod fields;
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
pub mod temporary;
#[cfg(feature = "tables")]
mod token;

#[cfg(feature = "tables")]
pub use corpus::{
    CorpusAssociation, CorpusAssociationBuilder, CorpusAssociationRows, CorpusInteraction, CorpusInteractionBuilder,
    CorpusInteractionRows, CorpusNameRows, CorpusProduct, CorpusProductBuilder, CorpusProductRows, CorpusReview,
    CorpusReviewBuilder, CorpusReviewRows, CorpusText, CorpusTextRows, ProductCategories, ProductCategoryRows,
    ProductTextIdRows, create_corpus_associations, create_corpus_interactions, create_corpus_products,
    create_corpus_reviews, open_corpus_associations, open_corpus_interactions, open_corpus_products,
    open_corpus_reviews,
};
pub use draw::Draws;
pub use failure::{explain, in_a_line, quoted};
#[cfg(feature = "tables")]
pub use graph::{GraphEdge, GraphEdgeBuilder, GraphEdgeRows, create_graph_edges, open_graph_edges};
pub use ids::{DocumentId, PhraseId, ReviewerId, TextId, TokenRange};
#[cfg(feature = "tables")]
pub use lock::{Attempt, Lock, Lockable};
#[cfg(feature = "tables")]
pub use manifest::{Counts, FORMAT, Manifest, ManifestError, Previous};
#[cfg(feature = "tables")]
pub use pair::{
    Pair, PairBuilder, PairBuilderOf, PairProduct, PairRows, PairRowsOf, create_pairs, create_pairs_of, open_pairs,
    open_pairs_of,
};
#[cfg(feature = "tables")]
pub use pool::{PoolPhrase, PoolPhraseBuilder, PoolPhraseRows, create_pool_phrases, open_pool_phrases};
pub use relation::{Relation, UnknownRelation};
#[cfg(feature = "tables")]
pub use rows::{RowBuilder, RowWriter, Rows};
#[cfg(feature = "tables")]
pub use rules::Rules;
#[cfg(feature = "tables")]
pub use segment::{
    PhraseSpan, Segment, SegmentBuilder, SegmentBuilderOf, SegmentName, SegmentOf, SegmentRows, SegmentRowsOf,
    SegmentTokenRows, SegmentTokenRowsOf, SegmentTokens, SpanOutside, create_segments, create_segments_of,
    open_segments, open_segments_of, segment_names, segment_phrases,
};
#[cfg(feature = "tables")]
pub use store::{FileEntry, StoreError};
pub use task::Task;
#[cfg(feature = "tables")]
pub use token::TokenId;
