//! The manifest of `graph/`.
use serde::{Deserialize, Serialize};

use super::{Counts, Hash};
use crate::Rules;

/// The body of `graph/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// The corpus that it joins.
    pub corpus: Hash,
    /// Associations as found in the corpus.
    pub found: u64,
    /// Edges by relation.
    pub edges: Counts,
    /// Products with at least one edge.
    pub products: u64,
}
