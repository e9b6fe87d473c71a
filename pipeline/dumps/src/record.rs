//! One record of a dump: its fields in any of the three generations, and what it is.
//!
//! Sources: McAuley et al. 2015 (2014 dump), Ni, Li and McAuley 2019 (2018 dump), Hou et al. 2024 (2023
//! dump). Only the fields that the corpus needs are kept, and text is borrowed from the line where it holds no
//! escapes.
mod values;

use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

pub use self::values::Texts;
use self::values::{Ids, Keys, Related};
use super::python::python_to_json;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Product metadata.
    Product,
    /// A review.
    Review,
}

impl Kind {
    /// The name of its tables.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Product => "products",
            Self::Review => "reviews",
        }
    }
}

/// The dump that a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// McAuley's 2014 dump.
    Y2014,
    /// Ni's 2018 dump.
    Y2018,
    /// Hou's 2023 dump.
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

/// A line is no record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRecord {
    /// Its bytes are no text.
    #[error("invalid UTF-8 after byte {0}")]
    InvalidUtf8(usize),
    /// It is neither a JSON object nor a Python dict.
    #[error("{0}")]
    Malformed(String),
}

/// The fields of a record, as they stand in the dump. Missing fields are empty.
///
/// Dumps that were joined from several have the fields of all of them, null where a record has none. So each spelling is
/// kept by itself, and one without a value hides no other.
#[derive(Debug, Default, PartialEq)]
pub struct Record<'a> {
    /// Fields that are there.
    seen: u64,
    /// Those of them that are not null.
    filled: u64,
    /// `asin`
    asin: Texts<'a>,
    /// `parent_asin`
    parent_asin: Texts<'a>,
    /// `title`: a product's name, or the summary of a 2023 review.
    pub title: Texts<'a>,
    /// `features`
    features: Texts<'a>,
    /// `feature`
    feature: Texts<'a>,
    /// `description`
    pub description: Texts<'a>,
    /// `categories`
    categories: Texts<'a>,
    /// `category`
    category: Texts<'a>,
    /// `brand`
    brand: Texts<'a>,
    /// `store`
    store: Texts<'a>,
    /// The keys of `details`.
    pub attributes: Vec<Cow<'a, str>>,
    /// Associated products, in the order of the record.
    pub associations: Vec<(Relation, Cow<'a, str>)>,
    /// `summary`
    summary: Texts<'a>,
    /// `reviewText`
    review_text: Texts<'a>,
    /// `text`
    text: Texts<'a>,
    /// `reviewerID`
    reviewer_id: Texts<'a>,
    /// `user_id`
    user_id: Texts<'a>,
    /// `unixReviewTime`
    unix_review_time: Texts<'a>,
    /// `timestamp`
    timestamp: Texts<'a>,
    /// `overall`
    overall: Option<f32>,
    /// `rating`
    rating: Option<f32>,
}

/// The fields that reviews alone have.
const OF_REVIEWS: u64 = bits(&[
    Field::ReviewText,
    Field::Text,
    Field::Summary,
    Field::Overall,
    Field::Rating,
    Field::ReviewerId,
    Field::UserId,
    Field::UnixReviewTime,
    Field::Timestamp,
]);
/// The fields that tell a product of 2023. A review has `parent_asin`, too.
const OF_PRODUCTS_2023: u64 = bits(&[Field::MainCategory, Field::Features, Field::AverageRating]);
/// The fields that tell a product of 2018.
const OF_PRODUCTS_2018: u64 = bits(&[Field::AlsoBuy, Field::AlsoView, Field::Category, Field::Feature, Field::MainCat]);
/// The fields that tell a product of 2014.
const OF_PRODUCTS_2014: u64 = bits(&[Field::Related, Field::Categories, Field::ImUrl, Field::SalesRank]);

const fn bits(fields: &[Field]) -> u64 {
    let (mut bits, mut at) = (0, 0);
    while at < fields.len() {
        bits |= fields[at].bit();
        at += 1;
    }
    bits
}

/// What a record with these fields is.
fn kind_of(fields: u64) -> Option<(Kind, Generation)> {
    use Generation::{Y2014, Y2018, Y2023};
    let has = |some: u64| fields & some != 0;
    let all = |some: u64| fields & some == some;
    if has(Field::ReviewText.bit()) || all(bits(&[Field::Overall, Field::ReviewerId])) {
        let newer = has(bits(&[Field::Verified, Field::Style, Field::Vote]));
        return Some((Kind::Review, if newer { Y2018 } else { Y2014 }));
    }
    if all(bits(&[Field::Rating, Field::Text])) || has(Field::UserId.bit()) {
        return Some((Kind::Review, Y2023));
    }
    if has(Field::ParentAsin.bit() | OF_PRODUCTS_2023) {
        return Some((Kind::Product, Y2023));
    }
    if has(OF_PRODUCTS_2018) {
        return Some((Kind::Product, Y2018));
    }
    if has(OF_PRODUCTS_2014) || has(Field::Asin.bit()) && has(bits(&[Field::Title, Field::Description])) {
        return Some((Kind::Product, Y2014));
    }
    None
}

impl Record<'_> {
    /// What the record is, if its fields tell: those with a value, or else all of them.
    pub fn recognise(&self) -> Option<(Kind, Generation)> {
        // An id and a title are a product's, unless a review's own field has a value: its text may be null.
        let of_products = OF_PRODUCTS_2023 | OF_PRODUCTS_2018 | OF_PRODUCTS_2014;
        let is_clear = |kind| kind == Kind::Review || self.filled & OF_REVIEWS == 0 || self.filled & of_products != 0;
        kind_of(self.filled).filter(|&(kind, _)| is_clear(kind)).or_else(|| kind_of(self.seen))
    }

    /// The product's id: `parent_asin` where there is one, else `asin`.
    pub fn product_id(&self) -> Option<&str> {
        self.parent_asin.or(&self.asin).first()
    }

    /// `features` where there are some, else `feature`.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.or(&self.feature).iter()
    }

    /// `categories` where there are some, else `category`; flattened.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.or(&self.category).iter()
    }

    /// The brand: `brand`, or `store` of the 2023 dump.
    pub fn brand(&self) -> Option<&str> {
        self.brand.or(&self.store).first()
    }

    /// The pieces of a review's text in order: summary or title, then body.
    pub fn review_pieces(&self) -> impl Iterator<Item = &str> {
        self.summary.or(&self.title).iter().chain(self.review_text.or(&self.text).iter())
    }

    /// Who wrote a review: `reviewerID`, or `user_id`.
    pub fn reviewer(&self) -> Option<&str> {
        self.reviewer_id.or(&self.user_id).first()
    }

    /// When, in decimal: `unixReviewTime`, or `timestamp`.
    pub fn time(&self) -> Option<&str> {
        self.unix_review_time.or(&self.timestamp).first()
    }

    /// The stars of a review: `overall`, or `rating`.
    pub fn rating(&self) -> Option<f32> {
        self.overall.or(self.rating)
    }
}

/// The fields that are read or tell what a record is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(field_identifier)]
enum Field {
    #[serde(rename = "asin")]
    Asin,
    #[serde(rename = "parent_asin")]
    ParentAsin,
    #[serde(rename = "title")]
    Title,
    #[serde(rename = "features")]
    Features,
    #[serde(rename = "feature")]
    Feature,
    #[serde(rename = "description")]
    Description,
    #[serde(rename = "categories")]
    Categories,
    #[serde(rename = "category")]
    Category,
    #[serde(rename = "brand")]
    Brand,
    #[serde(rename = "store")]
    Store,
    #[serde(rename = "details")]
    Details,
    #[serde(rename = "related")]
    Related,
    #[serde(rename = "also_buy")]
    AlsoBuy,
    #[serde(rename = "also_view")]
    AlsoView,
    #[serde(rename = "bought_together")]
    BoughtTogether,
    #[serde(rename = "summary")]
    Summary,
    #[serde(rename = "reviewText")]
    ReviewText,
    #[serde(rename = "text")]
    Text,
    #[serde(rename = "reviewerID")]
    ReviewerId,
    #[serde(rename = "user_id")]
    UserId,
    #[serde(rename = "unixReviewTime")]
    UnixReviewTime,
    #[serde(rename = "timestamp")]
    Timestamp,
    #[serde(rename = "overall")]
    Overall,
    #[serde(rename = "rating")]
    Rating,
    #[serde(rename = "verified")]
    Verified,
    #[serde(rename = "style")]
    Style,
    #[serde(rename = "vote")]
    Vote,
    #[serde(rename = "main_category")]
    MainCategory,
    #[serde(rename = "average_rating")]
    AverageRating,
    #[serde(rename = "main_cat")]
    MainCat,
    #[serde(rename = "imUrl")]
    ImUrl,
    #[serde(rename = "salesRank")]
    SalesRank,
    #[serde(other)]
    Other,
}

impl Field {
    const fn bit(self) -> u64 {
        1 << self as u64
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
        // A key that comes twice counts with its last value, as in Python; associations of both are kept.
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
                    let mut keys = Keys::default();
                    let is_filled = fill(&mut keys, &mut map)?;
                    record.attributes = keys.0;
                    is_filled
                }
                Field::Related => {
                    let mut related = Related::default();
                    let is_filled = fill(&mut related, &mut map)?;
                    record.associations.append(&mut related.0);
                    is_filled
                }
                Field::AlsoBuy | Field::BoughtTogether | Field::AlsoView => {
                    let relation =
                        if let Field::AlsoView = field { Relation::Substitute } else { Relation::Complement };
                    let mut others = Ids::default();
                    let is_filled = fill(&mut others, &mut map)?;
                    record.associations.extend(others.0.into_iter().map(|other| (relation, other)));
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
                    let mut stars = Texts::default();
                    let is_filled = fill(&mut stars, &mut map)?;
                    let stars = stars.first().and_then(|r| r.parse().ok()).filter(|r: &f32| r.is_finite());
                    *(if let Field::Overall = field { &mut record.overall } else { &mut record.rating }) = stars;
                    is_filled
                }
                _ => map.next_value::<Option<IgnoredAny>>()?.is_some(),
            };
            record.seen |= field.bit();
            record.filled = (record.filled & !field.bit()) | (u64::from(is_filled) * field.bit());
        }
        Ok(record)
    }
}

/// Takes the next value into a field, and says whether it is one: null leaves the field empty.
fn fill<'de, T: Deserialize<'de> + Default, M: MapAccess<'de>>(field: &mut T, map: &mut M) -> Result<bool, M::Error> {
    let value = map.next_value::<Option<T>>()?;
    let is_filled = value.is_some();
    *field = value.unwrap_or_default();
    Ok(is_filled)
}

/// Reads a line and hands its record to `with`.
///
/// A JSON object is read strictly first. What that refuses is read once more as the union of JSON and
/// Python: dict literals of the 2014 dump, `NaN`, lone surrogates.
///
/// # Errors
/// When the line is neither.
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
        // A line with double-quoted keys was meant as JSON: say what JSON says.
        let is_json = text[1..].trim_start().starts_with('"');
        MalformedRecord::Malformed(if is_json { in_line(&strict) } else { lenient.to_string() })
    })?;
    let record = serde_json::from_str(&json).map_err(|e| MalformedRecord::Malformed(in_line(&e)))?;
    Ok(with(&record))
}

/// What is wrong with a line of JSON, and where: its number is known from elsewhere.
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

#[cfg(test)]
mod tests;
