//! Training shards to an E-BERT checkpoint.
//!
//! In the order in which data flows: [`data`] (shards, order, batches), [`masking`] (section 3.2 of the paper),
//! [`model`] (BERT), [`neighbor`] (section 3.3), [`optimizer`], [`pretrain`] (the loop), [`checkpoint`] with its [`card`], [`log`],
//! [`report`]. [`recipe`]
//! is one run as a file; [`device`] finds where to compute; [`native`] closes the gaps of tch.
//!
//! [`cross_attention`] draws how two titles attend to each other. [`tasks`] fine-tunes for the paper's four tasks.
//!
//! Pre-training never sees raw text, phrase strings or the graph: only shard rows and their manifest. Fine-tuning reads task files.
pub mod bench;
pub mod card;
pub mod checkpoint;
pub mod cross_attention;
pub mod data;
pub mod device;
mod differences;
pub mod estimate;
pub mod hub;
pub mod init;
mod lock;
pub mod log;
pub mod masking;
pub mod model;
pub mod native;
pub mod neighbor;
pub mod optimizer;
pub mod pretrain;
pub mod recipe;
pub mod report;
pub mod run;
pub mod schedule;
pub mod step;
pub mod tasks;
pub mod world;
