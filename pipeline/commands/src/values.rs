//! Values of options.
use clap::ValueEnum;

/// Whether noun phrases are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Nouns {
    /// Faster, for recipes that do not mask noun phrases
    Off,
    /// Find them
    #[default]
    On,
}

/// The language of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Detected from a sample of the text
    #[default]
    Auto,
    /// English
    En,
    /// Any other with spaces between words: no noun phrases, and no part-of-speech tags
    Other,
}

/// Which associations of products become pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AssociationSource {
    /// `dump` if any of its associations joins two products of the corpus, otherwise `reviews`
    #[default]
    Auto,
    /// Those that the products name
    Dump,
    /// Products that the same users reviewed one soon after the other
    Reviews,
    /// Both
    Both,
}

/// What happens to reviews with the text of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Copies {
    /// The first is kept
    #[default]
    Remove,
    /// All are kept
    Keep,
}

/// Which products the negative of a pair is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Negatives {
    /// All products with an association
    #[default]
    Random,
    /// Products of the anchor's most specific category with at least 8 candidates, or all if no category has as many
    Category,
}

/// A step that workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorkerStep {
    /// Read raw files, and sort their records by bucket. A task has groups of raw files, or ranges
    /// of large ones
    Read,
    /// Write products and reviews, without duplicates and copies. A task has buckets
    Documents,
    /// Write who reviewed which product when. A task has buckets. The last one seals OUT/corpus
    Interactions,
    /// Read the words of the corpus and their tags, for the pool. A task has buckets
    Words,
    /// Mine the phrase pool from the words, or import one. A single task
    Pool,
    /// Find the associations among products. A task has buckets
    Edges,
    /// Sort the associations. A task has ranges of products. The last one seals OUT/graph
    Graph,
    /// Encode documents into segments. A task has buckets
    Encode,
    /// Choose the rows of pairs, and draw their negatives. A single task
    Rows,
    /// Write pairs of associated products. A task has files. The last one seals OUT/shards
    Pairs,
}

/// Parses a ratio.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    from_0_to_1(text).ok_or_else(|| "expected a ratio from 0 to 1, such as 0.01".to_owned())
}

/// Parses a score.
pub(crate) fn score(text: &str) -> Result<f64, String> {
    from_0_to_1(text).ok_or_else(|| "expected a score from 0 to 1, such as 0.5".to_owned())
}

fn from_0_to_1(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!((ratio("0.01"), score("1"), score("5e-1")), (Ok(0.01), Ok(1.0), Ok(0.5)));
        for wrong in ["", "1.5", "-0.1", "nan", "inf", "one", "5"] {
            assert!(ratio(wrong).is_err() && score(wrong).is_err(), "{wrong}");
        }
    }
}
