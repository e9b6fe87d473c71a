//! The names of the fields, and those that identify the type of a record.
use serde::Deserialize;

use super::kind::{Generation, Kind, RecordType};

/// The fields that are read or identify the type of a record.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Field {
    Asin,
    ParentAsin,
    Title,
    Features,
    Feature,
    Description,
    Categories,
    Category,
    Brand,
    Store,
    Details,
    Related,
    /// A column of `related`, as `pandas.json_normalize` names it.
    #[serde(
        rename = "related.also_bought",
        alias = "related.bought_together",
        alias = "related_also_bought",
        alias = "related_bought_together",
        alias = "also_bought"
    )]
    RelatedComplements,
    #[serde(
        rename = "related.also_viewed",
        alias = "related.buy_after_viewing",
        alias = "related_also_viewed",
        alias = "related_buy_after_viewing",
        alias = "also_viewed",
        alias = "buy_after_viewing"
    )]
    RelatedSubstitutes,
    AlsoBuy,
    AlsoView,
    BoughtTogether,
    Summary,
    #[serde(rename = "reviewText")]
    ReviewText,
    Text,
    #[serde(rename = "reviewerID")]
    ReviewerId,
    UserId,
    #[serde(rename = "unixReviewTime")]
    UnixReviewTime,
    Timestamp,
    Overall,
    Rating,
    Verified,
    Style,
    Vote,
    MainCategory,
    Subtitle,
    Author,
    AverageRating,
    MainCat,
    #[serde(rename = "imUrl")]
    ImUrl,
    #[serde(rename = "salesRank")]
    SalesRank,
    /// Reviews inside a record, which are not read.
    #[serde(alias = "review")]
    Reviews,
    #[serde(other)]
    Other,
}

impl Field {
    /// The name in the dumps.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Asin => "asin",
            Self::ParentAsin => "parent_asin",
            Self::Title => "title",
            Self::Features => "features",
            Self::Feature => "feature",
            Self::Description => "description",
            Self::Categories => "categories",
            Self::Category => "category",
            Self::Brand => "brand",
            Self::Store => "store",
            Self::Details => "details",
            Self::Related | Self::RelatedComplements | Self::RelatedSubstitutes => "related",
            Self::AlsoBuy => "also_buy",
            Self::AlsoView => "also_view",
            Self::BoughtTogether => "bought_together",
            Self::Summary => "summary",
            Self::ReviewText => "reviewText",
            Self::Text => "text",
            Self::ReviewerId => "reviewerID",
            Self::UserId => "user_id",
            Self::UnixReviewTime => "unixReviewTime",
            Self::Timestamp => "timestamp",
            Self::Overall => "overall",
            Self::Rating => "rating",
            Self::Verified => "verified",
            Self::Style => "style",
            Self::Vote => "vote",
            Self::MainCategory => "main_category",
            Self::Subtitle => "subtitle",
            Self::Author => "author",
            Self::AverageRating => "average_rating",
            Self::MainCat => "main_cat",
            Self::ImUrl => "imUrl",
            Self::SalesRank => "salesRank",
            Self::Reviews => "reviews",
            Self::Other => "other",
        }
    }
}

/// Whether a field of this name is read or identifies the type of a record.
pub(crate) fn is_field(name: &str) -> bool {
    !matches!(field(name), Field::Other | Field::Reviews)
}

/// Whether a field of this name may hold reviews inside a record.
pub(crate) fn is_of_reviews(name: &str) -> bool {
    matches!(field(name), Field::Reviews)
}

fn field(name: &str) -> Field {
    let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
    Field::deserialize(name).unwrap_or(Field::Other)
}

/// Fields that only reviews have.
const OF_REVIEWS: FieldSet = FieldSet::of(&[
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
/// Fields of which a review with a `user_id` has one. Orders and tickets have users, too.
const WITH_USERS_OF_REVIEWS: FieldSet = FieldSet::of(&[Field::Asin, Field::ParentAsin, Field::Rating]);
/// Fields that only reviews of 2018 have.
const OF_REVIEWS_2018: FieldSet = FieldSet::of(&[Field::Verified, Field::Style, Field::Vote]);
/// Fields that only products of 2014 have.
const OF_PRODUCTS_2014: FieldSet = FieldSet::of(&[
    Field::Related,
    Field::RelatedComplements,
    Field::RelatedSubstitutes,
    Field::Categories,
    Field::ImUrl,
    Field::SalesRank,
]);
/// Fields that only products of 2018 have.
const OF_PRODUCTS_2018: FieldSet =
    FieldSet::of(&[Field::AlsoBuy, Field::AlsoView, Field::Category, Field::Feature, Field::MainCat]);
/// Fields that only products of 2023 have. Their `parent_asin` is in reviews, too.
const OF_PRODUCTS_2023: FieldSet = FieldSet::of(&[Field::MainCategory, Field::Features, Field::AverageRating]);

/// A set of fields, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(u64);

impl FieldSet {
    const fn of(fields: &[Field]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < fields.len() {
            bits |= 1 << fields[at] as u64;
            at += 1;
        }
        Self(bits)
    }

    pub(super) fn set(&mut self, field: Field, is_in: bool) {
        let bit = 1 << field as u64;
        self.0 = (self.0 & !bit) | if is_in { bit } else { 0 };
    }

    fn has(self, field: Field) -> bool {
        self.has_any(Self::of(&[field]))
    }

    fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The type of a record with these fields.
    fn record_type(self) -> Option<RecordType> {
        use Generation::{Y2014, Y2018, Y2023};
        let review = |generation| Some(RecordType { kind: Kind::Review, generation });
        let product = |generation| Some(RecordType { kind: Kind::Product, generation });
        if self.has(Field::ReviewText) || self.has(Field::Overall) && self.has(Field::ReviewerId) {
            review(if self.has_any(OF_REVIEWS_2018) { Y2018 } else { Y2014 })
        } else if self.has(Field::Rating) && self.has(Field::Text)
            || self.has(Field::UserId) && self.has_any(WITH_USERS_OF_REVIEWS)
        {
            review(Y2023)
        } else if self.has(Field::ParentAsin) || self.has_any(OF_PRODUCTS_2023) {
            product(Y2023)
        } else if self.has_any(OF_PRODUCTS_2018) {
            product(Y2018)
        } else if self.has_any(OF_PRODUCTS_2014)
            || self.has(Field::Asin) && (self.has(Field::Title) || self.has(Field::Description))
        {
            product(Y2014)
        } else {
            None
        }
    }
}

/// The type of a record that has the fields `seen`, of which `filled` are not null. Fields with a
/// value decide; if they do not tell, all fields do.
pub(super) fn record_type(seen: FieldSet, filled: FieldSet) -> Option<RecordType> {
    // An id and a title may also be those of a review whose text is null.
    let of_products = [OF_PRODUCTS_2014, OF_PRODUCTS_2018, OF_PRODUCTS_2023];
    let is_clear = |found: &RecordType| {
        found.kind == Kind::Review
            || !filled.has_any(OF_REVIEWS)
            || of_products.iter().any(|fields| filled.has_any(*fields))
    };
    filled.record_type().filter(is_clear).or_else(|| seen.record_type())
}
