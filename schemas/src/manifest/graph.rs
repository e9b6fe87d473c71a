//! The manifest of `graph/`.
use std::collections::BTreeMap;

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
    /// Which associations were asked for.
    #[serde(default)]
    pub source: AssociationSource,
    /// The user's own file of associations, if one was given, and what was found in it.
    #[serde(default)]
    pub file: Option<AssociationFile>,
    /// Associations as found in the corpus.
    pub found: u64,
    /// Distinct ids that associations name.
    pub named_ids: u64,
    /// Those of them that are products of the corpus.
    pub named_products: u64,
    /// What associations were derived from, if they were.
    #[serde(default)]
    pub lists: Option<ListCounts>,
    /// Reviews that name no product.
    pub reviews_without_product: u64,
    /// Reviews of a product that is not in the corpus.
    pub reviews_of_unknown_products: u64,
    /// Edges by relation.
    pub edges: Counts,
    /// The weights of each relation that has some.
    #[serde(default)]
    pub weights: BTreeMap<String, WeightRange>,
    /// Products with at least one edge.
    pub products: u64,
}

/// Which associations become edges. A file of associations that is given takes the place of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssociationSource {
    /// Those of the dump if any joins two products of the corpus, otherwise those of the reviews.
    #[default]
    Auto,
    /// Those that the dump states.
    Dump,
    /// Those that follow from the interactions of reviewers.
    Reviews,
    /// Those of the dump and of the reviews.
    Both,
}

impl AssociationSource {
    /// The name in manifests and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dump => "dump",
            Self::Reviews => "reviews",
            Self::Both => "both",
        }
    }
}

/// A file of associations or orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationFile {
    /// Hash of the file.
    pub blake3: String,
    /// What its rows are: `associations`, `orders` (one per row) or `order_products` (a product per row).
    pub holds: String,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// Ids of products in the rows, with repetitions.
    pub ids: u64,
    /// Those of them that are not in the corpus.
    pub unknown_products: u64,
    /// Orders with more products than one may have.
    pub too_long: u64,
}

/// The weights of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightRange {
    /// The lowest.
    pub lowest: f32,
    /// The highest.
    pub highest: f32,
}

/// What the lists of reviewers hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCounts {
    /// Reviewers with an interaction that counts.
    pub users: u64,
    /// Interactions that count: with a time, and of a product of the corpus.
    pub interactions: u64,
    /// Interactions without a time.
    pub without_time: u64,
    /// Interactions with a product that is not in the corpus.
    pub unknown_products: u64,
    /// Reviewers with more products than a list may have.
    pub too_long: u64,
}
