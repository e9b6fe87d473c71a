//! Training shards to an E-BERT checkpoint.
//!
//! `ebert_batches` makes masked batches of shards (section 3.2 of the paper). Here follow, in the
//! order of the data flow, [`neighbor`] (section 3.3), [`optimizer`], [`step`] (losses and
//! gradients) and [`session`] (a model in training). [`pretrain`] is the loop, with its [`schedule`],
//! [`checkpoint`] and [`card`], [`log`] and [`provenance`]. [`recipe`] is one run as a file, [`run`]
//! its folder, [`init`] and [`fetch`] the model that it starts from.
//!
//! Training never sees raw text, phrase strings or the graph: only the rows of shards and their
//! manifest. The model is in `ebert_bert`, everything that is not safe Rust in `ebert_kernels`,
//! fine-tuning in `ebert_tasks`, pages in `ebert_report`.
#![forbid(unsafe_code)]

mod boundary;
pub mod card;
pub mod checkpoint;
pub mod cloze;
pub mod differences;
pub mod estimate;
pub mod fetch;
pub mod init;
pub mod lock;
pub mod log;
mod measure;
pub mod model;
pub mod neighbor;
pub mod optimizer;
pub mod pretrain;
pub mod provenance;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod session;
pub mod state;
pub mod step;
pub mod world;
