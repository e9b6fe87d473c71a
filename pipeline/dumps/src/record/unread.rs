//! Values that are present but cannot be read.
use std::fmt;

/// A value that is present in a record and cannot be read in its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnreadValue {
    /// The name of the field in the dump, such as `related`.
    pub field: &'static str,
    /// Why the value cannot be read.
    pub reason: UnreadReason,
}

/// Why a value cannot be read in its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnreadReason {
    /// A boolean where text, a number or an id is expected.
    Boolean,
    /// A number where a map is expected, or a number that is not an id.
    Number,
    /// Text where a map, a number or a time is expected.
    Text,
    /// A list where one value or a map is expected.
    List,
    /// A map with other keys than the known ones.
    Map,
    /// A string that begins as a list and does not parse as one, for example because it is cut.
    MalformedList,
    /// A string that begins as a map and does not parse as one.
    MalformedMap,
    /// A number that cannot be the time of a review: before 1990.
    NotATime,
    /// Text in a list of associated products that is not the id of a product.
    NotAProductId,
    /// A text that the field also has in English, or in the language of its first text.
    OtherLanguage,
    /// A list of reviews inside a record.
    Reviews,
    /// A key of `related` that is not a known relation.
    UnknownRelation,
}

impl UnreadReason {
    /// The reason in words, for a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::List => "list",
            Self::Map => "map of unknown shape",
            Self::MalformedList => "malformed list in a string",
            Self::MalformedMap => "malformed map in a string",
            Self::NotATime => "number before 1990",
            Self::NotAProductId => "not a product id",
            Self::OtherLanguage => "text in another language",
            Self::Reviews => "list of reviews in a record",
            Self::UnknownRelation => "unknown relation",
        }
    }
}

impl fmt::Display for UnreadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts the unread values of one field.
#[derive(Debug)]
pub(super) struct Unread<'r> {
    pub(super) field: &'static str,
    pub(super) values: &'r mut Vec<UnreadValue>,
}

impl Unread<'_> {
    pub(super) fn add(&mut self, reason: UnreadReason) {
        self.values.push(UnreadValue { field: self.field, reason });
    }
}
