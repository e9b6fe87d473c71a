//! The association graph: which products of the corpus go together ([`associations`]), and pairs drawn
//! from it for Neighbor Product Reconstruction ([`pairs`]).
pub mod associations;
pub mod pairs;
