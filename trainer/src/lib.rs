//! Training shards to an E-BERT checkpoint.
//!
//! The trainer never sees raw text, phrase strings or the graph: only shard rows and their manifest.
pub mod data;
