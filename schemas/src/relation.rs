//! How two products are associated.
use std::{fmt, str::FromStr};

/// How two products are associated. Dumps state the two relations of McAuley, Pandey and Leskovec 2015: products
/// bought in addition, or instead. The other two are derived from what users reviewed or bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Bought together or both bought.
    Complement,
    /// Viewed together, or one bought after viewing the other.
    Substitute,
    /// Reviewed by the same users, one soon after the other.
    CoReviewed,
    /// In the same orders.
    CoPurchased,
}

impl Relation {
    /// All relations, in the order in which the graph lists those of one pair.
    pub const ALL: [Self; 4] = [Self::Complement, Self::Substitute, Self::CoReviewed, Self::CoPurchased];

    /// The name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complement => "complement",
            Self::Substitute => "substitute",
            Self::CoReviewed => "co_reviewed",
            Self::CoPurchased => "co_purchased",
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// This is not the name of a relation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("relation `{0}` is not known; expected `substitute`, `complement`, `co_reviewed` or `co_purchased`")]
pub struct UnknownRelation(String);

impl FromStr for Relation {
    type Err = UnknownRelation;

    fn from_str(name: &str) -> Result<Self, UnknownRelation> {
        Self::ALL.into_iter().find(|relation| relation.as_str() == name).ok_or_else(|| UnknownRelation(name.to_owned()))
    }
}
