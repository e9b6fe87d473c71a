//! What decides the graph of a corpus.
use std::path::Path;

use schemas::{Rules, manifest::AssociationSource};

/// Memory of one sorter, in bytes. There are at most four at a time.
pub const SORT_MEMORY: usize = 96 << 20;
/// Memory per product: two numbers (8), a mark, and one of its block's ids (1).
pub const BYTES_PER_PRODUCT: u64 = 10;

/// Raised whenever the output of this step changes for the same input.
pub const RULES: u32 = 4;

pub(super) fn rules() -> Rules {
    Rules::of([("graph", RULES)])
}

/// Name of the table.
pub(super) const NAME: &str = "associations.parquet";

/// Which associations to use.
#[derive(Clone, Copy, Debug)]
pub struct AssociationOptions<'a> {
    /// Of the corpus.
    pub source: AssociationSource,
    /// The user's file, which takes their place.
    pub file: Option<&'a Path>,
    /// The ratio of rows of the file that may be unreadable.
    pub max_unreadable: f64,
}
