//! Raw Amazon dumps to sealed training shards for E-BERT.
//!
//! Folders are in the order in which data flows. [`corpus`] sorts the records that `ebert-dumps` reads into clean
//! documents in buckets. [`phrase`] holds the scored pool, which `ebert-mining` mines, and its matcher. [`graph`]
//! holds the associations, and [`text`] turns text into words, WordPiece ids and noun phrases. [`shard`] streams
//! documents into shards, draws pairs, and seals them. [`run`] makes the steps that are out of date on top of
//! [`engine`], and [`look`] shows the output.
//!
//! This crate never links libtorch.
/// The command that messages name when something has to be rebuilt.
pub const REMAKE: &str = "ebert shards";

pub mod corpus;
pub mod engine;
pub mod graph;
mod hint;
pub mod look;
pub mod phrase;
pub mod run;
pub mod settings;
pub mod shard;
pub mod text;
