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
    /// Distinct ids that associations name.
    pub named_ids: u64,
    /// Those of them that are products of the corpus.
    pub named_products: u64,
    /// Reviews that name no product.
    pub reviews_without_product: u64,
    /// Reviews of a product that is not in the corpus.
    pub reviews_of_unknown_products: u64,
    /// Edges by relation.
    pub edges: Counts,
    /// Products with at least one edge.
    pub products: u64,
}
