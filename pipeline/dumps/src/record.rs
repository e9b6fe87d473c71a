//! One record of a dump: its fields in any of the three generations.
//!
//! Only the fields that a corpus needs are kept. Text without escapes is borrowed from the line.
//!
//! Each field accepts any value. Lists and maps in strings are read, missing values are empty, and
//! what cannot be read is in [`Record::unread`].
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

mod dates;
mod details;
mod fields;
mod ids;
mod kind;
mod stars;
#[cfg(test)]
mod tests;
mod texts;
mod times;
mod unread;
mod values;

pub(crate) use self::{
    details::{ATTRIBUTE_NAMES, ATTRIBUTE_VALUES},
    fields::{is_field, is_of_reviews},
    ids::{bare_product_id, is_no_id, is_nobody, listed_ids, whole_number},
    stars::of_five,
    values::extended_scalar,
};
pub use self::{
    kind::{Generation, Kind, RecordType},
    texts::Strings,
    unread::{UnreadReason, UnreadValue},
};

use self::{
    details::{Details, without_date},
    fields::{Field, FieldSet, record_type},
    ids::{AssociationsSeed, IdKind, id, restored},
    stars::rating,
    texts::{TextShape, strings},
    times::{Unit, seconds_of, time},
    unread::Unread,
    values::Value,
};
use super::python::{PythonLiteralError, python_to_json};

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
    parse_with(line, |record| with(record))
}

/// As [`parse`], of a row of a table in text. Its ids are as they were before pandas or a spreadsheet wrote them as
/// numbers: `31852.0` is `31852`.
pub(crate) fn parse_row<T>(line: &[u8], with: impl FnOnce(&Record<'_>) -> T) -> Result<T, MalformedRecord> {
    parse_with(line, |record| {
        record.restore_ids();
        with(record)
    })
}

fn parse_with<T>(line: &[u8], with: impl FnOnce(&mut Record<'_>) -> T) -> Result<T, MalformedRecord> {
    let text = std::str::from_utf8(line).map_err(|e| MalformedRecord::InvalidUtf8(e.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    let strict = match serde_json::from_str::<Record<'_>>(text) {
        Ok(mut record) => return Ok(with(&mut record)),
        Err(error) => error,
    };
    if !text.starts_with('{') {
        return Err(MalformedRecord::Malformed(format!(
            "found `{}`, expected a JSON object or Python dict",
            beginning(text)
        )));
    }
    let json = python_to_json(text).map_err(|lenient| {
        // A double-quoted key looks like JSON, so the error of the JSON parser is the better one. There are two
        // exceptions: the Python parser came further, or found a call such as `ObjectId(…)`.
        let is_json = text[1..].trim_start().starts_with('"')
            && lenient.at() <= strict.column()
            && !matches!(lenient, PythonLiteralError::Name { .. });
        MalformedRecord::Malformed(if is_json { in_line(&strict) } else { lenient.to_string() })
    })?;
    let mut record = serde_json::from_str(&json).map_err(|e| MalformedRecord::Malformed(in_line(&e)))?;
    Ok(with(&mut record))
}

/// Ids from fields that a user named. They are taken as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenIds {
    /// Of the product.
    pub(crate) product: Option<String>,
    /// Of the author of a review.
    pub(crate) reviewer: Option<String>,
    /// Of associated products.
    pub(crate) associations: Vec<(Relation, String)>,
}

/// As [`parse`], of JSON whose ids are elsewhere.
pub(crate) fn parse_with_ids<T>(
    json: &str,
    GivenIds { product, reviewer, associations }: GivenIds,
    with: impl FnOnce(&Record<'_>) -> T,
) -> Result<T, MalformedRecord> {
    let mut record: Record<'_> =
        serde_json::from_str(json).map_err(|error| MalformedRecord::Malformed(in_line(&error)))?;
    for (field, is_filled) in [(Field::ParentAsin, product.is_some()), (Field::UserId, reviewer.is_some())] {
        record.filled.set(field, is_filled);
    }
    record.parent_asin = product.map(Cow::Owned);
    record.user_id = reviewer.map(Cow::Owned);
    record.associations =
        associations.into_iter().map(|(relation, other)| Association { relation, other: other.into() }).collect();
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
    /// Values that are present and cannot be read in their field, in the order of the record.
    pub unread: Vec<UnreadValue>,
    /// The values of `details`, one for each of `attributes`.
    details: Vec<Strings<'a>>,
    /// The fields that are present.
    seen: FieldSet,
    /// The fields that are present and not missing values.
    filled: FieldSet,
    // The other fields, under their names in the dumps.
    asin: Option<Cow<'a, str>>,
    parent_asin: Option<Cow<'a, str>>,
    features: Strings<'a>,
    feature: Strings<'a>,
    categories: Strings<'a>,
    category: Strings<'a>,
    main_category: Strings<'a>,
    main_cat: Strings<'a>,
    brand: Strings<'a>,
    store: Strings<'a>,
    subtitle: Strings<'a>,
    author: Strings<'a>,
    summary: Strings<'a>,
    review_text: Strings<'a>,
    text: Strings<'a>,
    reviewer_id: Option<Cow<'a, str>>,
    user_id: Option<Cow<'a, str>>,
    unix_review_time: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
    overall: Option<f32>,
    rating: Option<f32>,
}

impl Record<'_> {
    /// The kind and generation of the record, if its fields tell.
    pub fn record_type(&self) -> Option<RecordType> {
        record_type(self.seen, self.filled)
    }

    /// The id of the product: `parent_asin`, or else `asin`. A number is written with ten digits,
    /// because the leading zeros of an ISBN-10 are lost in a number.
    pub fn product_id(&self) -> Option<&str> {
        self.parent_asin.as_deref().or(self.asin.as_deref())
    }

    /// The id of a variant of the product: `asin`, where `parent_asin` names another product.
    pub fn variant_id(&self) -> Option<&str> {
        self.parent_asin.as_ref().and(self.asin.as_deref()).filter(|asin| self.product_id() != Some(asin))
    }

    /// Whether [`Record::product_id`] may be a variant: the record names no parent.
    pub fn may_be_variant(&self) -> bool {
        self.parent_asin.is_none()
    }

    /// The features of a product: `features`, or else `feature`.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.or(&self.feature).iter()
    }

    /// The categories of a product, flattened: `categories`, or else `category`, or else
    /// `main_category`, or else `main_cat`.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.or(&self.category).or(&self.main_category).or(&self.main_cat).iter()
    }

    /// The subtitle of a product. The 2023 dump has the format and date of books there: of
    /// `Paperback – January 1, 1999`, the date is left out.
    pub fn subtitle(&self) -> impl Iterator<Item = &str> {
        self.subtitle.iter().map(without_date)
    }

    /// The names of the authors of a product.
    pub fn author(&self) -> impl Iterator<Item = &str> {
        self.author.iter()
    }

    /// The attributes of a product from `details`: each key with its values. A nested map has the
    /// values of all its keys.
    pub fn details(&self) -> impl Iterator<Item = (&str, &Strings<'_>)> {
        self.attributes.iter().map(AsRef::as_ref).zip(&self.details)
    }

    /// The values of `details` that belong in the text of a product, in order, each with its key. Ids,
    /// dates and sales ranks are left out. A date at the end of a value is left out, too.
    pub fn detail_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        details::texts(self.details())
    }

    /// The brand of a product: `brand`, or else `store`.
    pub fn brand(&self) -> Option<&str> {
        self.brand.or(&self.store).first()
    }

    /// The headline of a review: `summary`, or else `title`. In a row of products and reviews that were joined, `title`
    /// is that of the product.
    pub fn headline(&self) -> impl Iterator<Item = &str> {
        let of_product = [&self.description, &self.features, &self.feature, &self.brand];
        let is_joined = of_product.into_iter().any(|strings| strings.first().is_some());
        let headline = if is_joined { &self.summary } else { self.summary.or(&self.title) };
        headline.iter()
    }

    /// The headline and the body of a review.
    pub fn review_pieces(&self) -> impl Iterator<Item = &str> {
        self.headline().chain(self.body())
    }

    /// The body of a review: `reviewText`, or else `text`.
    pub fn body(&self) -> impl Iterator<Item = &str> {
        self.review_text.or(&self.text).iter()
    }

    /// The author of a review: `reviewerID`, or else `user_id`.
    pub fn reviewer(&self) -> Option<&str> {
        self.reviewer_id.as_deref().or(self.user_id.as_deref())
    }

    /// The time of a review as it stands in the dump: `unixReviewTime` in seconds, or else
    /// `timestamp` in milliseconds. A date is converted to that number.
    pub fn time(&self) -> Option<&str> {
        self.unix_review_time.as_deref().or(self.timestamp.as_deref())
    }

    /// The time of a review in seconds since 1970. Larger numbers than 10^11 are milliseconds, as in
    /// the 2023 dump; in seconds they would be after the year 5138.
    pub fn seconds(&self) -> Option<i64> {
        seconds(self.time()?)
    }

    /// The stars of a review: `overall`, or else `rating`.
    pub fn rating(&self) -> Option<f32> {
        self.overall.or(self.rating)
    }
}

/// A time of a dump in seconds since 1970.
fn seconds(time: &str) -> Option<i64> {
    seconds_of(time.parse().ok()?)
}

/// A time as a table has it, in seconds since 1970: a number or a date.
pub(crate) fn seconds_of_cell(cell: &str) -> Option<i64> {
    let unread = &mut Unread { field: "timestamp", values: &mut Vec::new() };
    seconds(&time(Value::Text(cell.into()), Unit::Seconds, unread)?)
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
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
                Field::Related
                | Field::RelatedComplements
                | Field::RelatedSubstitutes
                | Field::AlsoBuy
                | Field::BoughtTogether
                | Field::AlsoView => {
                    let relation = match field {
                        Field::Related => None,
                        Field::AlsoView | Field::RelatedSubstitutes => Some(Relation::Substitute),
                        _ => Some(Relation::Complement),
                    };
                    let unread = &mut Unread { field: field.name(), values: &mut record.unread };
                    map.next_value_seed(AssociationsSeed { relation, into: &mut record.associations, unread })?
                }
                Field::Reviews => {
                    if map.next_value::<Value<'de>>()?.holds_maps() {
                        record.unread.push(UnreadValue { field: field.name(), reason: UnreadReason::Reviews });
                    }
                    false
                }
                _ => {
                    let value = map.next_value::<Value<'de>>()?;
                    // A size among the details may have the name of a type.
                    let value = if matches!(field, Field::Details) { value } else { value.without_type() };
                    let is_filled = !value.is_missing();
                    record.set(field, if is_filled { value } else { Value::Null });
                    is_filled
                }
            };
            record.seen.set(field, true);
            record.filled.set(field, is_filled);
        }
        Ok(record)
    }
}

impl<'a> Record<'a> {
    /// Sets a field, other than those of associations, to what it can use of a value.
    fn set(&mut self, field: Field, value: Value<'a>) {
        use TextShape::{Many, Name, One};
        let unread = &mut Unread { field: field.name(), values: &mut self.unread };
        match field {
            Field::Asin => self.asin = id(value, IdKind::Product, unread),
            Field::ParentAsin => self.parent_asin = id(value, IdKind::Product, unread),
            Field::Title => self.title = strings(value, One, unread),
            Field::Features => self.features = strings(value, Many, unread),
            Field::Feature => self.feature = strings(value, Many, unread),
            Field::Description => self.description = strings(value, Many, unread),
            Field::Categories => self.categories = strings(value, Many, unread),
            Field::Category => self.category = strings(value, Many, unread),
            Field::MainCategory => self.main_category = strings(value, One, unread),
            Field::MainCat => self.main_cat = strings(value, One, unread),
            Field::Brand => self.brand = strings(value, One, unread),
            Field::Store => self.store = strings(value, One, unread),
            Field::Subtitle => self.subtitle = strings(value, One, unread),
            Field::Author => self.author = strings(value, Name, unread),
            Field::Details => {
                let details = Details::from_value(value, unread);
                (self.attributes, self.details) = (details.keys, details.values);
            }
            Field::Summary => self.summary = strings(value, One, unread),
            Field::ReviewText => self.review_text = strings(value, One, unread),
            Field::Text => self.text = strings(value, One, unread),
            Field::ReviewerId => self.reviewer_id = id(value, IdKind::Reviewer, unread),
            Field::UserId => self.user_id = id(value, IdKind::Reviewer, unread),
            Field::UnixReviewTime => self.unix_review_time = time(value, Unit::Seconds, unread),
            Field::Timestamp => self.timestamp = time(value, Unit::Milliseconds, unread),
            Field::Overall => self.overall = rating(value, unread),
            Field::Rating => self.rating = rating(value, unread),
            // Associations are read on their own. Of the others, only the presence counts.
            Field::Related
            | Field::RelatedComplements
            | Field::RelatedSubstitutes
            | Field::AlsoBuy
            | Field::AlsoView
            | Field::BoughtTogether
            | Field::Verified
            | Field::Style
            | Field::Vote
            | Field::AverageRating
            | Field::ImUrl
            | Field::SalesRank
            | Field::Reviews
            | Field::Other => {}
        }
    }

    /// Restores ids that were written as numbers.
    fn restore_ids(&mut self) {
        let products = self.asin.iter_mut().chain(&mut self.parent_asin);
        let products = products.chain(self.associations.iter_mut().map(|association| &mut association.other));
        products.chain(&mut self.reviewer_id).chain(&mut self.user_id).for_each(restored);
    }
}
