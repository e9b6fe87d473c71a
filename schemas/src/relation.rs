//! How two products are associated.
use std::{fmt, str::FromStr};

/// The two relations of McAuley, Pandey and Leskovec 2015: products bought in addition, or instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Bought together or both bought.
    Complement,
    /// Viewed together, or one bought after viewing the other.
    Substitute,
}

impl Relation {
    /// The name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complement => "complement",
            Self::Substitute => "substitute",
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a relation is neither `substitute` nor `complement`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("relation `{0}` is not known; wanted `substitute` or `complement`")]
pub struct UnknownRelation(String);

impl FromStr for Relation {
    type Err = UnknownRelation;

    fn from_str(name: &str) -> Result<Self, UnknownRelation> {
        match name {
            "complement" => Ok(Self::Complement),
            "substitute" => Ok(Self::Substitute),
            other => Err(UnknownRelation(other.to_owned())),
        }
    }
}
