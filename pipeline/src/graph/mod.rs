//! The association graph: which products of the corpus go together.
//!
//! Dumps state associations, [`lists`] derives them from what users reviewed, and [`given`] reads a user's own. All
//! edges go through sorted runs on disk, so memory grows with the ids of products alone. [`tasks`] shares the work.
pub mod associations;
pub(crate) mod edges;
mod error;
pub mod given;
pub mod lists;
pub mod options;
mod parts;
pub(crate) mod products;
mod tables;
pub mod tasks;

pub use error::GraphError;
