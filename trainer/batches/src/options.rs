//! How data are read: a table of a recipe.
use serde::{Deserialize, Serialize};

use crate::relations::RelationRatios;

/// How data are read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// The ratio of documents that are never trained on.
    pub held_out: f64,
    /// Row groups that are shuffled together.
    pub mix: usize,
    /// The fraction of segments that are fed as two texts: cut at a word near the middle, with
    /// token types 0 and 1.
    pub text_pairs: f64,
    /// The ratio of pairs that are used, by relation.
    pub relations: RelationRatios,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self { held_out: 0.01, mix: 8, text_pairs: 0.0, relations: RelationRatios::default() }
    }
}
