//! Text that a shop's page put into a record, and what was removed of it.
//!
//! The dumps were read from web pages. Some of their text is not by the maker of a product or a
//! customer: scripts, `Read more`, a headline generated from a rating. [`Rule`] is the closed list
//! of such kinds. [`DocumentBuilder`](crate::DocumentBuilder) applies the rules, and [`Removals`]
//! counts what each one removed from a record.
//!
//! Losing a sentence of a customer or a brand is worse than keeping a stray piece. Every rule
//! therefore has a counterexample: text that looks similar and stays.
//!
//! ```
//! use ebert_dumps::{DocumentBuilder, Rule, parse};
//!
//! let line = br#"{"asin": "B0", "description": ["Hemmed by hand. Read more"], "also_buy": []}"#;
//! let mut builder = DocumentBuilder::default();
//! parse(line, |record| {
//!     let product = builder.product(record);
//!     assert_eq!(product.text, "Hemmed by hand.");
//!     let removed: Vec<_> = product.removed.iter().filter(|(_, removed)| removed.pieces > 0).collect();
//!     assert_eq!((removed[0].0, removed[0].1.bytes), (Rule::ReadMore, 9));
//! })?;
//! # Ok::<(), ebert_dumps::MalformedRecord>(())
//! ```
use std::fmt;

mod brands;
mod categories;
mod code;
mod headlines;
mod items;
mod lines;

pub(crate) use self::{
    brands::undecorated,
    categories::{CategoryList, FeatureIndex},
    code::{may_hold_code, strip_code},
    headlines::{is_excerpt, rating_headline},
    items::{Field, Items},
    lines::{is_notice, is_switch, strip_lines_of_review},
};

/// A kind of text that is not by a maker or a customer.
///
/// Counts are of the files that `docs/boilerplate/README.md` in the project names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A category that equals one of the product's features. The 2018 dump lists the features of
    /// clothing again in `category`. Case and a full stop at the end do not count.
    ///
    /// Stays: `Skirts` of a product with the feature `Skirts with pockets`.
    FeaturesInCategories,
    /// A material or an instruction for care among the categories, and all categories behind it: the
    /// features of 2018 clothing where `feature` is empty. Labels that are not among the product's
    /// features become features, so no text is lost. 1,431 products of 2023 have the feature
    /// `Imported`, and none of 6,500 categories is such a label.
    ///
    /// Stays: `Imported Cheese`, `Dry Cleaners`.
    CareInCategories,
    /// A category that is a sentence, such as `No expiration, no fees.` (510 of the 1,547 gift
    /// cards of 2018). If it is not a feature, it becomes one, so no text is lost. None of
    /// 6,500 other categories ends like a sentence.
    ///
    /// Stays: `St. Patrick's Day Event & Party Supplies`.
    SentencesInCategories,
    /// What the page wrote around the name of a maker: `Visit Amazon's … Page`,
    /// `… (Author)   Format: Kindle Edition`. The first name stays.
    ///
    /// Stays: `Aritayaki (Utsuwa)`, `by Terry`.
    BrandDecorations,
    /// A word for a missing brand: `Generic`, `Unknown`, `Does not apply`.
    ///
    /// Stays: `Generic Surplus`.
    BrandPlaceholders,
    /// A headline that the shop generated from the rating: `Five Stars` of a review with 5 stars.
    /// A review without other text becomes empty.
    /// 19% of the 16,439 reviews with headlines begin with one; 55% of those of gift cards.
    ///
    /// Stays: `Five stars for the hinge`, `Five Stars!`, and `Five Stars` of a review with 1 star.
    RatingHeadlines,
    /// A headline that the shop cut from the text of the review. It ends with ` ...`, and the text
    /// contains its words.
    ///
    /// Stays: `Wow...`, and a headline whose words are not in the text.
    HeadlineExcerpts,
    /// Scripts without their tags: `P.when('A').execute(function(A){ … });`, `gtag('config', 'UA-1');`.
    ///
    /// Stays: `A book on var and let, function by function.`
    Scripts,
    /// Style sheets without their tags: `.a-section {margin:0}`. Those of word processors, too.
    ///
    /// Stays: `Learn CSS: margin {and padding} explained`.
    Styles,
    /// JSON around a value: `{ "language_tag": "en_US", "value": "Undyed linen." }`. The value
    /// stays.
    ///
    /// Stays: `Set the "language_tag" in the menu.`
    LanguageTags,
    /// The page's form that checks whether a part fits, `Fits your .`, at the start of a line. It may go over several
    /// lines. Case does not count.
    ///
    /// Stays: `Fits your iPhone like a glove`.
    FitNotices,
    /// Buttons of the page at the end of a description: `Read more`, `See more`, `(Continues...)`. On lines of their
    /// own, they may be in another language, in capitals or before an arrow. In a review, they are on lines of their
    /// own.
    ///
    /// Stays: `I hope to Read more`, and `read more` on a line of a poem.
    ReadMore,
    /// Captions of pictures: `View larger`, `Click here for a larger image`, `(click to enlarge)`.
    ///
    /// Stays: `View larger prints in our shop`.
    ViewLarger,
    /// A note that a text belongs to another edition:
    /// `--This text refers to an alternate kindle_edition edition.`, also in German and French.
    ///
    /// Stays: `The text refers to the first edition.`
    EditionNotes,
    /// Notices of the services that sell reviews and excerpts of books:
    /// `Copyright © Reed Business Information, a division of Reed Elsevier Inc.`
    ///
    /// Stays: `Copyright 1999 by Jorun Aske.`
    RightsNotices,
    /// Rows of the page's table of details between the features: `ASIN: B00BXOFI1I`,
    /// `Shipping Weight: 4 ounces (View shipping rates and policies)`. A space may stand before the colon.
    ///
    /// Stays: `Product Dimensions: 4 x 2.8 x 0.1 inches`.
    DetailRows,
    /// The shop's notices about shipping, prices and terms among the details: `Domestic Shipping` of
    /// 1,257 gift cards of 2018 is `Item can be shipped within U.S.` or a variant of it.
    ///
    /// Stays: `Shipping Weight`, `Price Range`.
    DetailNotices,
    /// The position of a switch among the details: `Not Enabled` of `X Ray`, `No` of `Batteries
    /// Required?`. Without its name it has no meaning. Four such values are in 5% of the products of
    /// 2023, and `No` is in 28%.
    ///
    /// Stays: `Yes Please`, `1`, and `No` in a feature.
    DetailSwitches,
    /// The shop's instructions for returns between the features: `Read the full returns policy`.
    ///
    /// Stays: `No returns and no refunds on gift cards.`
    ReturnPolicies,
    /// The page's replacement for a video: `The media could not be loaded.` on a line of its own.
    ///
    /// Stays: the same words inside a line.
    MediaNotices,
    /// Items of a list that are pieces of one sentence are joined with a space, such as an article alone. The 2023 dump
    /// splits the descriptions of books at each italic word. Nothing is removed: no bytes are
    /// counted.
    ///
    /// Stays: `Soft cotton` and `easy to wash` on two lines.
    JoinedListItems,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 21] = [
        Self::FeaturesInCategories,
        Self::CareInCategories,
        Self::SentencesInCategories,
        Self::BrandDecorations,
        Self::BrandPlaceholders,
        Self::RatingHeadlines,
        Self::HeadlineExcerpts,
        Self::Scripts,
        Self::Styles,
        Self::LanguageTags,
        Self::FitNotices,
        Self::ReadMore,
        Self::ViewLarger,
        Self::EditionNotes,
        Self::RightsNotices,
        Self::DetailRows,
        Self::DetailNotices,
        Self::DetailSwitches,
        Self::ReturnPolicies,
        Self::MediaNotices,
        Self::JoinedListItems,
    ];

    /// The name in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FeaturesInCategories => "features_in_categories",
            Self::CareInCategories => "care_in_categories",
            Self::SentencesInCategories => "sentences_in_categories",
            Self::BrandDecorations => "brand_decorations",
            Self::BrandPlaceholders => "brand_placeholders",
            Self::RatingHeadlines => "rating_headlines",
            Self::HeadlineExcerpts => "headline_excerpts",
            Self::Scripts => "scripts",
            Self::Styles => "styles",
            Self::LanguageTags => "language_tags",
            Self::FitNotices => "fit_notices",
            Self::ReadMore => "read_more",
            Self::ViewLarger => "view_larger",
            Self::EditionNotes => "edition_notes",
            Self::RightsNotices => "rights_notices",
            Self::DetailRows => "detail_rows",
            Self::DetailNotices => "detail_notices",
            Self::DetailSwitches => "detail_switches",
            Self::ReturnPolicies => "return_policies",
            Self::MediaNotices => "media_notices",
            Self::JoinedListItems => "joined_list_items",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a rule removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Number of removals.
    pub pieces: u64,
    /// Bytes of the removed text.
    pub bytes: u64,
}

/// What each rule removed, from one record or from many.
#[derive(Clone, Debug, Default)]
pub struct Removals {
    counts: [Removed; Rule::ALL.len()],
    log: Option<Vec<(Rule, String)>>,
}

impl Removals {
    /// Also keeps the removed texts. They are in [`Removals::log`].
    pub fn logging() -> Self {
        Self { log: Some(Vec::new()), ..Self::default() }
    }

    /// The count of each rule, in the order of [`Rule::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Rule, Removed)> {
        Rule::ALL.into_iter().zip(self.counts)
    }

    /// The count of one rule.
    pub fn of(&self, rule: Rule) -> Removed {
        self.counts[rule as usize]
    }

    /// Whether nothing was removed.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.pieces == 0)
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            count.pieces += more.pieces;
            count.bytes += more.bytes;
        }
    }

    /// The removed texts in order, if these are [`Removals::logging`]; else nothing.
    pub fn log(&self) -> &[(Rule, String)] {
        self.log.as_deref().unwrap_or_default()
    }

    /// Forgets all counts and texts.
    pub(crate) fn clear(&mut self) {
        self.counts = Default::default();
        if let Some(log) = &mut self.log {
            log.clear();
        }
    }

    /// Counts a removed text.
    pub(crate) fn remove(&mut self, rule: Rule, text: &str) {
        self.count(rule, text.len() as u64, || text.to_owned());
    }

    /// Counts a removal of `bytes` bytes. `text` is what a log shows.
    pub(crate) fn count(&mut self, rule: Rule, bytes: u64, text: impl FnOnce() -> String) {
        let count = &mut self.counts[rule as usize];
        count.pieces += 1;
        count.bytes += bytes;
        if let Some(log) = &mut self.log {
            log.push((rule, text()));
        }
    }
}
