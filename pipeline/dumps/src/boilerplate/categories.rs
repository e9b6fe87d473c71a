//! Categories that are features or sentences.
use std::cmp::Ordering;

use super::{Removals, Rule};

/// A sentence has at least this many words.
const SENTENCE_WORDS: usize = 3;

/// More words than this are a sentence without its full stop. The longest category of the dumps,
/// the name of a sale, has 14.
const MOST_WORDS: usize = 20;

/// Labels that thousands of pieces of clothing have as features, and that no category is.
const CARE: [&str; 16] = [
    "Imported",
    "Made in USA",
    "Made in the USA",
    "Made in US",
    "Made in USA or Imported",
    "Made in the USA or Imported",
    "Made in USA and Imported",
    "Made in the USA and Imported",
    "Machine Wash",
    "Machine Washable",
    "Hand Wash Only",
    "Dry Clean Only",
    "Dry Clean",
    "Rubber sole",
    "Synthetic sole",
    "Leather sole",
];

/// The clean features of one product in alphabetical order.
#[derive(Debug, Default)]
pub(crate) struct FeatureIndex<'t> {
    features: Vec<&'t str>,
}

impl<'t> FeatureIndex<'t> {
    pub(crate) fn new(features: impl Iterator<Item = &'t str>) -> Self {
        let mut features: Vec<&str> = features.map(without_stop).filter(|feature| !feature.is_empty()).collect();
        features.sort_unstable_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
        Self { features }
    }

    /// Whether a clean category is none. Counts it if so. `list` is what is known of the list.
    pub(crate) fn is_no_category(&self, category: &str, list: &mut CategoryList, removals: &mut Removals) -> bool {
        // A path of categories holds no label of clothing, so the features begin here.
        list.is_at_features |= is_of_clothing(category);
        let rule = if list.repeats_features && self.is_feature(category) {
            Rule::FeaturesInCategories
        } else if list.is_at_features {
            Rule::CareInCategories
        } else if is_sentence(category) {
            Rule::SentencesInCategories
        } else {
            return false;
        };
        removals.remove(rule, category);
        true
    }

    /// Whether the category equals a feature, or the beginning of one and ends with dots.
    pub(crate) fn is_feature(&self, category: &str) -> bool {
        let cut = category.strip_suffix("...").or_else(|| category.strip_suffix('…'));
        let words = without_stop(cut.unwrap_or(category)).as_bytes();
        // Features that begin with these words come first among those that are not before them.
        let at = self.features.partition_point(|feature| compare(feature.as_bytes(), words) == Ordering::Less);
        let Some(feature) = self.features.get(at).map(|feature| feature.as_bytes()) else { return false };
        let is_beginning = feature.get(..words.len()).is_some_and(|start| compare(start, words) == Ordering::Equal);
        is_beginning && !words.is_empty() && (cut.is_some() || feature.len() == words.len())
    }
}

/// What is known of the categories of one record.
#[derive(Debug, Default)]
pub(crate) struct CategoryList {
    /// The record lists features among its categories.
    repeats_features: bool,
    /// The labels that follow are features.
    is_at_features: bool,
}

impl CategoryList {
    pub(crate) fn new(repeats_features: bool) -> Self {
        Self { repeats_features, is_at_features: false }
    }
}

/// Compares texts without regard to ASCII case and to line breaks.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let fold = |byte: &u8| if *byte == b'\n' { b' ' } else { byte.to_ascii_lowercase() };
    a.iter().map(fold).cmp(b.iter().map(fold))
}

fn without_stop(text: &str) -> &str {
    text.trim_end_matches(['.', ',', ';', '!', ' '])
}

/// Whether a category is a material, a closure or an instruction for care: `100% Cotton`.
fn is_of_clothing(category: &str) -> bool {
    let digits = category.bytes().take_while(u8::is_ascii_digit).count();
    let is_share = (1..=3).contains(&digits)
        && category[digits..].trim_start().strip_prefix('%').is_some_and(|rest| rest.starts_with(' '))
        && category.split(' ').nth(1).is_some_and(|word| !word.eq_ignore_ascii_case("off"));
    let category = without_stop(category);
    is_share
        || is_closure(&category.to_ascii_lowercase())
        || CARE.iter().any(|known| category.eq_ignore_ascii_case(known))
}

/// Whether a label is the closure of a piece of clothing: `Zip closure`, but not `Wound Closure`.
fn is_closure(label: &str) -> bool {
    const CLOSURES: [&str; 14] = [
        "buckle",
        "button",
        "drawstring",
        "elastic",
        "hook and eye",
        "hook and loop",
        "lace up",
        "lace-up",
        "magnetic",
        "pull on",
        "pull-on",
        "snap",
        "zip",
        "zipper",
    ];
    label.strip_suffix(" closure").is_some_and(|kind| CLOSURES.contains(&kind))
}

fn is_sentence(category: &str) -> bool {
    let words = category.split(' ').take(MOST_WORDS + 1).count();
    // `Parts, Accessories, etc.` is a category.
    let ends = category.ends_with(['.', '!', '?'])
        && category.rsplit(' ').next().is_some_and(|last| {
            let last = last.trim_end_matches(['.', '!', '?']);
            last.split('.').any(|part| part.chars().count() > 3)
        });
    words > MOST_WORDS || words >= SENTENCE_WORDS && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_no_categories() {
        let features = ["100% Cotton", "Skirts with pockets", "Zip at the\nback.", "Women’s", "Imported", ""];
        let index = FeatureIndex::new(features.into_iter());
        for (category, wanted) in [
            ("100% Cotton", true),
            ("100% cotton", true),
            ("Imported", true),
            ("Zip at the back", true),
            ("Zip at the back.", true),
            ("Women’s", true),
            ("Skirts with...", true),
            ("No expiration, no fees.", true),
            ("Redeemable storewide on Amazon.com.", true),
            (&"word ".repeat(MOST_WORDS + 1), true),
            ("Dry Clean Only", true),
            ("60% Linen, 40% Cotton", true),
            ("Pull On closure", true),
            // Counterexamples.
            ("50% Off", false),
            ("Closures", false),
            ("Dry Cleaners", false),
            // Soap.
            ("Hand Wash", false),
            ("Imported Cheese", false),
            ("Skirts", false),
            ("Cotton", false),
            ("Import", false),
            ("Women", false),
            ("St. Patrick's Day Event & Party Supplies", false),
            ("Toys for Ages 3 to 5 yrs.", false),
            ("Parts, Accessories, etc.", false),
            ("Made in the U.S.A.", false),
            ("Jeopardy!", false),
            ("Yu-Gi-Oh!", false),
            ("Prime Day: 30% off Select Clothing, Shoes & More for Men, Women, Kids & Baby", false),
            ("...", false),
            ("", false),
        ] {
            assert_eq!(
                {
                    let mut list = CategoryList { repeats_features: true, is_at_features: false };
                    index.is_no_category(category, &mut list, &mut Removals::default())
                },
                wanted,
                "{category}"
            );
        }
    }

    #[test]
    fn features_follow_a_label_of_clothing() {
        let index = FeatureIndex::default();
        let mut list = CategoryList::default();
        let mut removals = Removals::default();
        let categories = ["Women", "Skirts", "100% Cotton", "Two pockets", "Imported"];
        let kept = categories.iter().filter(|category| !index.is_no_category(category, &mut list, &mut removals));
        assert_eq!(kept.copied().collect::<Vec<_>>(), ["Women", "Skirts"]);
        assert_eq!(removals.of(Rule::CareInCategories).pieces, 3);
        // The label may be a feature, too.
        let index = FeatureIndex::new(["95% Cotton, 5% Spandex"].into_iter());
        let mut list = CategoryList::new(true);
        let categories = ["Women", "95% cotton, 5% spandex", "Hand wash"];
        let kept = categories.iter().filter(|category| !index.is_no_category(category, &mut list, &mut removals));
        assert_eq!(kept.copied().collect::<Vec<_>>(), ["Women"]);
    }
}
