//! Kinds and generations of records.
use std::fmt;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The metadata of a product.
    Product,
    /// A review.
    Review,
}

impl Kind {
    /// `products` or `reviews`.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Product => "products",
            Self::Review => "reviews",
        }
    }
}

/// The dump that a record is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// McAuley, Targett, Shi and van den Hengel 2015.
    Y2014,
    /// Ni, Li and McAuley 2019.
    Y2018,
    /// Hou, Li, He, Yan, Chen and McAuley 2024.
    Y2023,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Y2014 => "2014",
            Self::Y2018 => "2018",
            Self::Y2023 => "2023",
        })
    }
}

/// The kind and the generation of a record. Displayed as `2014 products`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType {
    /// Product or review.
    pub kind: Kind,
    /// The dump.
    pub generation: Generation,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.generation, self.kind.stem())
    }
}
