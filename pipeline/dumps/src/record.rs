//! One record of a dump: its fields in any of the three generations.
//!
//! Only the fields that a corpus needs are kept. Text without escapes is borrowed from the line.
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

mod fields;
mod kind;
#[cfg(test)]
mod tests;
mod values;

pub use self::{
    kind::{Generation, Kind, RecordType},
    values::Strings,
};

use self::{
    fields::{Field, FieldSet, record_type},
    values::{MapKeys, ProductIds, RelatedProducts},
};
use super::python::python_to_json;

/// A line that is not a record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRecord {
    /// Its bytes are not text. Holds the number of bytes before the first invalid one.
    #[error("invalid UTF-8 after byte {0}")]
    InvalidUtf8(usize),
    /// It is neither a JSON object nor a Python dict. Holds the reason.
    #[error("{0}")]
    Malformed(String),
}

/// Parses a line and passes its record to `with`.
///
/// A line is first read as strict JSON. If that fails, it is read as the union of JSON and Python:
/// dict literals of the 2014 dump, `NaN`, lone surrogates. White space and a byte order mark may
/// stand around the record.
///
/// # Errors
/// If the line is neither.
pub fn parse<T>(line: &[u8], with: impl FnOnce(&Record<'_>) -> T) -> Result<T, MalformedRecord> {
    let text = std::str::from_utf8(line).map_err(|e| MalformedRecord::InvalidUtf8(e.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    let strict = match serde_json::from_str::<Record<'_>>(text) {
        Ok(record) => return Ok(with(&record)),
        Err(error) => error,
    };
    if !text.starts_with('{') {
        return Err(MalformedRecord::Malformed(format!("no JSON object or Python dict, but `{}`", beginning(text))));
    }
    let json = python_to_json(text).map_err(|lenient| {
        // A double-quoted key looks like JSON, so the error of the JSON parser is the better one.
        let is_json = text[1..].trim_start().starts_with('"');
        MalformedRecord::Malformed(if is_json { in_line(&strict) } else { lenient.to_string() })
    })?;
    let record = serde_json::from_str(&json).map_err(|e| MalformedRecord::Malformed(in_line(&e)))?;
    Ok(with(&record))
}

/// The text of a JSON error without its line number, which is always 1.
fn in_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// The first few characters of a line, for a message.
fn beginning(text: &str) -> String {
    let mut start: String = text.chars().take(24).map(|c| if c.is_control() { '?' } else { c }).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// An association of a record's product with another product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association<'a> {
    /// How the products are associated.
    pub relation: Relation,
    /// The id of the other product, as it stands in the dump.
    pub other: Cow<'a, str>,
}

/// The fields of a record. Missing fields are empty.
///
/// Dumps joined from several have the fields of all of them, null where a record has none.
/// Therefore each spelling is kept on its own, and one without a value does not hide another.
#[derive(Debug, Default, PartialEq)]
pub struct Record<'a> {
    /// The name of a product, or the summary of a 2023 review.
    pub title: Strings<'a>,
    /// The description of a product.
    pub description: Strings<'a>,
    /// The keys of `details`.
    pub attributes: Vec<Cow<'a, str>>,
    /// Associated products, in the order of the record.
    pub associations: Vec<Association<'a>>,
    /// The fields that are present.
    seen: FieldSet,
    /// The fields that are present and not null.
    filled: FieldSet,
    // The other fields, under their names in the dumps.
    asin: Strings<'a>,
    parent_asin: Strings<'a>,
    features: Strings<'a>,
    feature: Strings<'a>,
    categories: Strings<'a>,
    category: Strings<'a>,
    brand: Strings<'a>,
    store: Strings<'a>,
    summary: Strings<'a>,
    review_text: Strings<'a>,
    text: Strings<'a>,
    reviewer_id: Strings<'a>,
    user_id: Strings<'a>,
    unix_review_time: Strings<'a>,
    timestamp: Strings<'a>,
    overall: Option<f32>,
    rating: Option<f32>,
}

impl Record<'_> {
    /// The kind and generation of the record, if its fields tell.
    pub fn record_type(&self) -> Option<RecordType> {
        record_type(self.seen, self.filled)
    }

    /// The id of the product: `parent_asin`, or else `asin`.
    pub fn product_id(&self) -> Option<&str> {
        self.parent_asin.or(&self.asin).first()
    }

    /// The features of a product: `features`, or else `feature`.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.or(&self.feature).iter()
    }

    /// The categories of a product, flattened: `categories`, or else `category`.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.or(&self.category).iter()
    }

    /// The brand of a product: `brand`, or else `store`.
    pub fn brand(&self) -> Option<&str> {
        self.brand.or(&self.store).first()
    }

    /// The pieces of a review's text in order: `summary` or else `title`, then `reviewText` or else
    /// `text`.
    pub fn review_pieces(&self) -> impl Iterator<Item = &str> {
        self.summary.or(&self.title).iter().chain(self.review_text.or(&self.text).iter())
    }

    /// The author of a review: `reviewerID`, or else `user_id`.
    pub fn reviewer(&self) -> Option<&str> {
        self.reviewer_id.or(&self.user_id).first()
    }

    /// The time of a review as it stands in the dump: `unixReviewTime` in seconds, or else
    /// `timestamp` in milliseconds.
    pub fn time(&self) -> Option<&str> {
        self.unix_review_time.or(&self.timestamp).first()
    }

    /// The stars of a review: `overall`, or else `rating`.
    pub fn rating(&self) -> Option<f32> {
        self.overall.or(self.rating)
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record: a JSON object or a Python dict")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Record<'de>, M::Error> {
        let mut record = Record::default();
        // The last value of a key counts, as in Python. Associations of all values are kept.
        while let Some(field) = map.next_key::<Field>()? {
            let is_filled = match field {
                Field::Asin => fill(&mut record.asin, &mut map)?,
                Field::ParentAsin => fill(&mut record.parent_asin, &mut map)?,
                Field::Title => fill(&mut record.title, &mut map)?,
                Field::Features => fill(&mut record.features, &mut map)?,
                Field::Feature => fill(&mut record.feature, &mut map)?,
                Field::Description => fill(&mut record.description, &mut map)?,
                Field::Categories => fill(&mut record.categories, &mut map)?,
                Field::Category => fill(&mut record.category, &mut map)?,
                Field::Brand => fill(&mut record.brand, &mut map)?,
                Field::Store => fill(&mut record.store, &mut map)?,
                Field::Details => {
                    let mut keys = MapKeys::default();
                    let is_filled = fill(&mut keys, &mut map)?;
                    record.attributes = keys.0;
                    is_filled
                }
                Field::Related => {
                    let mut related = RelatedProducts::default();
                    let is_filled = fill(&mut related, &mut map)?;
                    record.associations.append(&mut related.0);
                    is_filled
                }
                Field::AlsoBuy | Field::BoughtTogether | Field::AlsoView => {
                    let relation =
                        if let Field::AlsoView = field { Relation::Substitute } else { Relation::Complement };
                    let mut others = ProductIds::default();
                    let is_filled = fill(&mut others, &mut map)?;
                    record.associations.extend(others.associated_by(relation));
                    is_filled
                }
                Field::Summary => fill(&mut record.summary, &mut map)?,
                Field::ReviewText => fill(&mut record.review_text, &mut map)?,
                Field::Text => fill(&mut record.text, &mut map)?,
                Field::ReviewerId => fill(&mut record.reviewer_id, &mut map)?,
                Field::UserId => fill(&mut record.user_id, &mut map)?,
                Field::UnixReviewTime => fill(&mut record.unix_review_time, &mut map)?,
                Field::Timestamp => fill(&mut record.timestamp, &mut map)?,
                Field::Overall | Field::Rating => {
                    let mut stars = Strings::default();
                    let is_filled = fill(&mut stars, &mut map)?;
                    let stars = stars.first().and_then(|r| r.parse().ok()).filter(|r: &f32| r.is_finite());
                    *(if let Field::Overall = field { &mut record.overall } else { &mut record.rating }) = stars;
                    is_filled
                }
                _ => map.next_value::<Option<IgnoredAny>>()?.is_some(),
            };
            record.seen.set(field, true);
            record.filled.set(field, is_filled);
        }
        Ok(record)
    }
}

/// Reads the next value into a field, and returns whether it is not null.
fn fill<'de, T: Deserialize<'de> + Default, M: MapAccess<'de>>(field: &mut T, map: &mut M) -> Result<bool, M::Error> {
    let value = map.next_value::<Option<T>>()?;
    let is_filled = value.is_some();
    *field = value.unwrap_or_default();
    Ok(is_filled)
}
