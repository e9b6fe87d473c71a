//! The association graph: which products of the corpus go together.
pub mod associations;
