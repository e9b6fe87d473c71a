//! One record of a dump: its fields in any of the three generations, and what it is.
//!
//! Sources: McAuley et al. 2015 (2014 dump), Ni, Li and McAuley 2019 (2018 dump), Hou et al. 2024 (2023
//! dump). A field may be a string, a list, a number or null, since the dumps mix these; only the fields
//! that the corpus needs are kept, and text is borrowed from the line where it holds no escapes.
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

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

/// Strings of a field that may be one string, a list of them, nested lists, a number or null.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Texts<'a>(Vec<Cow<'a, str>>);

impl Texts<'_> {
    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The first string that is not blank, trimmed.
    pub fn first(&self) -> Option<&str> {
        self.iter().map(str::trim).find(|t| !t.is_empty())
    }

    /// These strings, or others where all of these are blank.
    fn or<'t>(&'t self, others: &'t Self) -> &'t Self {
        if self.first().is_some() { self } else { others }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut texts = Vec::new();
        Collect { into: &mut texts, maps: Maps::Nothing }.deserialize(from)?;
        Ok(Self(texts))
    }
}

/// Ids of products, in any shape of [`Texts`], or in maps of a product each: `{"asin": "B0", "title": "Tea"}`.
#[derive(Debug, Default)]
struct Ids<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Ids<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut ids = Vec::new();
        Collect { into: &mut ids, maps: Maps::Products }.deserialize(from)?;
        Ok(Self(ids))
    }
}

/// What is taken of a map.
#[derive(Clone, Copy)]
enum Maps {
    Nothing,
    /// Its `parent_asin`, or else `asin`.
    Products,
}

/// Appends every string of a value to a list.
struct Collect<'l, 'a> {
    into: &'l mut Vec<Cow<'a, str>>,
    maps: Maps,
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Collect<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.into.push(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.into.push(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_string<E>(self, text: String) -> Result<(), E> {
        self.into.push(Cow::Owned(text));
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element_seed(Collect { into: self.into, maps: self.maps })?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let (mut parent_asin, mut asin) = (Texts::default(), Texts::default());
        while let Some(field) = map.next_key::<Field>()? {
            match (self.maps, field) {
                (Maps::Products, Field::ParentAsin) => parent_asin = map.next_value()?,
                (Maps::Products, Field::Asin) => asin = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.into.extend(if parent_asin.first().is_some() { parent_asin } else { asin }.0);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.visit_string(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_string(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // Display writes a whole number without a point: 1472688000.0 is 1472688000.
        self.visit_string(number.to_string())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The rest of a visitor of maps: a value that is no map holds nothing, and does not make a record malformed.
macro_rules! nothing_else {
    () => {
        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Vec::new())
        }

        nothing_else!(visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_bool(bool));

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    };
    ($($visit:ident($of:ty)),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<Self::Value, E> {
            Ok(Vec::new())
        })*
    };
}

/// Keys of a map, or of a map written as JSON or Python in a string.
#[derive(Default)]
struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Keys<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(KeysVisitor).map(Self)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut keys = Vec::new();
        while let Some(Texts(mut key)) = map.next_key()? {
            keys.append(&mut key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let inner = serde_json::from_str::<Keys<'_>>(text)
            .ok()
            .map(|k| k.0.into_iter().map(|k| Cow::Owned(k.into_owned())).collect());
        Ok(inner.or_else(|| keys_of_python(text)).unwrap_or_default())
    }

    nothing_else!();
}

fn keys_of_python(text: &str) -> Option<Vec<Cow<'static, str>>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let json = python_to_json(text).ok()?;
    let keys = serde_json::from_str::<Keys<'_>>(&json).ok()?;
    Some(keys.0.into_iter().map(|k| Cow::Owned(k.into_owned())).collect())
}

/// `related` of the 2014 dump.
#[derive(Default)]
struct Related<'a>(Vec<(Relation, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Related<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RelatedVisitor).map(Self)
    }
}

struct RelatedVisitor;

impl<'de> Visitor<'de> for RelatedVisitor {
    type Value = Vec<(Relation, Cow<'de, str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of lists of product ids")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut related = Vec::new();
        while let Some(Texts(key)) = map.next_key()? {
            let relation = match key.first().map(AsRef::as_ref) {
                Some("also_bought" | "bought_together") => Relation::Complement,
                Some("also_viewed" | "buy_after_viewing") => Relation::Substitute,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            related.extend(map.next_value::<Ids<'de>>()?.0.into_iter().map(|other| (relation, other)));
        }
        Ok(related)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    nothing_else!();
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
