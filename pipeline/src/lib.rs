//! Raw Amazon dumps to sealed training shards for E-BERT.
//!
//! Folders are in the order in which data flows: [`source`] opens dumps, [`corpus`] makes clean documents in
//! buckets, [`phrase`] holds the scored pool and its matcher, [`graph`] the associations and pairs, [`text`]
//! turns text into words and WordPiece ids, [`syntax`] finds noun phrases, [`shard`] streams documents into shards and seals them.
//! [`run`] makes the steps that are not up to date; [`inspect`] and [`verify`] look at what is there.
//!
//! This crate never links libtorch.
/// The command that messages name when something is to be made again.
pub const REMAKE: &str = "make shards";

pub mod corpus;
pub mod graph;
pub mod hashes;
pub mod inspect;
pub mod ledger;
mod memory;
pub mod phrase;
pub mod progress;
pub mod report;
pub mod run;
pub mod sample;
pub mod shard;
pub mod source;
pub mod stage;
pub mod syntax;
pub mod text;
pub mod verify;
