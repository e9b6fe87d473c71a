//! The four tasks that a BERT is fine-tuned for (section 4 of the paper), and the grid that makes
//! its Table 2.
//!
//! A task's file is read as [`Example`]s ([`files`], [`squad`], [`semeval`], [`products`]). [`split`] selects
//! which of them are trained on. [`tokens`](ebert_bert::tokens) and [`sequence`] turn them into
//! token ids. [`heads`] puts a task's head on the encoder, and [`finetune`] is the loop. [`decode`]
//! makes predictions of logits. [`metrics`] scores them, and [`bootstrap`] compares models.
//! [`evaluate`] scores a file of predictions. [`request`] is the input of one fine-tuning, [`cell`]
//! its folder, [`identity`] what decides its numbers. [`grid`] is a file that names many of them,
//! [`cells`] makes them, [`records`] keeps them without texts, and [`table`] and [`figures`] show their
//! scores. [`contamination`] finds
//! test texts that a model was post-trained on. [`apply`] is for finished models: masks, embeddings
//! and similar products.
//!
//! ```
//! use ebert_tasks::Task;
//! assert_eq!(Task::Rqa.score_names(), ["precision", "recall", "f1", "exact_match"]);
//! ```
pub mod apply;
pub mod bootstrap;
pub mod cell;
pub mod cells;
pub mod claims;
pub mod contamination;
pub mod cross_attention;
pub mod decode;
pub mod evaluate;
pub mod figures;
pub mod files;
pub mod finetune;
pub mod grid;
pub mod heads;
pub mod identity;
pub mod metrics;
pub mod options;
mod origin;
pub mod paper_order;
pub mod predictions;
pub mod probe;
pub mod products;
pub mod records;
pub mod request;
pub mod semeval;
pub mod sequence;
pub mod split;
pub mod squad;
pub mod table;
pub mod trained;

use std::{collections::BTreeMap, fmt, path::Path};

pub use ebert_bert::tokens::Span;
pub(crate) use files::rename_numbered;
pub use files::{TaskFileError, differing, read, read_all};
use serde::{Deserialize, Serialize};

/// A task of the paper's Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Review question answering: a span of the review answers a question (SQuAD 1.1 JSON)
    Rqa,
    /// Product classification: a title to the categories that it is in (JSON lines of `ebert
    /// titles`)
    Pc,
    /// Review aspect extraction: which words of a sentence name an aspect (SemEval 2014 Task 4 XML)
    Ae,
    /// Review aspect sentiment classification: how a sentence speaks of an aspect (the same file)
    Asc,
}

impl Task {
    /// In the order of the paper's Table 2.
    pub const ALL: [Self; 4] = [Self::Rqa, Self::Pc, Self::Ae, Self::Asc];

    /// Its short name, which commands and folders use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rqa => "rqa",
            Self::Pc => "pc",
            Self::Ae => "ae",
            Self::Asc => "asc",
        }
    }

    /// What it is.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rqa => "review question answering",
            Self::Pc => "product classification",
            Self::Ae => "review aspect extraction",
            Self::Asc => "review aspect sentiment",
        }
    }

    /// What an example of it is called, many of them.
    pub const fn examples(self) -> &'static str {
        match self {
            Self::Rqa => "questions",
            Self::Pc => "titles",
            Self::Ae => "sentences",
            Self::Asc => "aspects",
        }
    }

    /// What is never split between training and test.
    pub const fn documents(self) -> &'static str {
        match self {
            Self::Rqa => "entries of reviews",
            Self::Pc => "different titles",
            Self::Ae | Self::Asc => "different sentences",
        }
    }

    /// The scores of the paper's Table 2, in its order.
    pub const fn score_names(self) -> &'static [&'static str] {
        match self {
            Self::Rqa => &["precision", "recall", "f1", "exact_match"],
            Self::Pc => &["accuracy", "micro_f1", "macro_f1"],
            Self::Ae => &["precision", "recall", "f1"],
            Self::Asc => &["accuracy", "macro_f1"],
        }
    }

    /// How Table 2 heads their columns.
    pub const fn score_heads(self) -> &'static [&'static str] {
        match self {
            Self::Rqa => &["P", "R", "F1", "EM"],
            Self::Pc => &["Acc", "MiF1", "MaF1"],
            Self::Ae => &["P", "R", "F1"],
            Self::Asc => &["Acc", "MaF1"],
        }
    }

    /// Which of the scores decides on the validation part. The paper does not say; these are the
    /// ones by which the tasks are known.
    pub const fn deciding(self) -> usize {
        match self {
            Self::Rqa | Self::Ae => 2,
            Self::Pc => 1,
            Self::Asc => 0,
        }
    }

    /// Where a file for it is found, for a message.
    pub const fn where_found(self) -> &'static str {
        match self {
            Self::Rqa => {
                "any SQuAD 1.1 file; the paper's kind of data is SQuADShifts' amazon_reviews_v1.0.json \
                 (Miller et al. 2020, modestyachts.github.io/squadshifts-website)"
            }
            Self::Pc => "`ebert titles DIR` writes one from the corpus that `ebert shards` built",
            Self::Ae | Self::Asc => {
                "SemEval 2014 Task 4, laptops: Laptop_Train_v2.xml, and Laptops_Test_Gold.xml as the test \
                 (Pontiki et al. 2014, alt.qcri.org/semeval2014/task4)"
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One text.
    Text(String),
    /// Two: a question and a review, or a sentence and its aspect.
    Pair(String, String),
}

impl Input {
    /// The longer text: of a question and a review the review, of a sentence and an aspect the
    /// sentence.
    pub fn longest(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Pair(first, second) => {
                if first.len() > second.len() {
                    first
                } else {
                    second
                }
            }
        }
    }
}

/// What is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// Any of these texts; the first that stands in the review is trained on.
    Answers {
        /// Their texts.
        texts: Vec<String>,
        /// Where in the review an answer to train on is, if one is where its file says.
        at: Option<Span>,
    },
    /// All of these places, sorted.
    Aspects(Vec<Span>),
    /// This class.
    Class(String),
    /// All of these labels, sorted.
    Labels(Vec<String>),
}

/// One example of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its name in predictions, unique in its file.
    pub id: String,
    /// What it belongs to: examples with an equal one are never split between training and test.
    pub document: String,
    /// What is given.
    pub input: Input,
    /// What is right.
    pub gold: Gold,
}

/// What was found in a file that a person should know: for each reason how often, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, (u64, String)>);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, reason: &'static str, place: &str) {
        self.0.entry(reason).or_insert_with(|| (0, place.to_owned())).0 += 1;
    }

    /// Adds those of another.
    pub fn join(&mut self, other: Self) {
        for (reason, (count, place)) in other.0 {
            self.0.entry(reason).or_insert((0, place)).0 += count;
        }
    }

    /// Reasons, counts, and the first place of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        self.0.iter().map(|(reason, (count, place))| (*reason, *count, place.as_str()))
    }

    /// A line for each reason, as messages list them.
    pub fn lines(&self) -> String {
        self.iter().map(|(reason, count, place)| format!("\n  {count} {reason}, first {place}")).collect()
    }

    /// The counts by reason.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.iter().map(|(reason, count, _)| (reason.to_owned(), count)).collect()
    }
}

/// A file of a task, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Its examples, in the file's order.
    pub examples: Vec<Example>,
    /// Ids of what is not part of the task, though others may predict it.
    pub left_out: Vec<String>,
    /// What was left out or is treated in a special way.
    pub tally: Tally,
    /// Whether some ids are numbers in the file, as it has none.
    pub numbered: bool,
}

impl Read {
    /// Puts the name of the file before each id of a file that numbers them, as other files have
    /// the same numbers.
    pub(crate) fn name_after(&mut self, path: &Path) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let ids = self.examples.iter_mut().map(|example| &mut example.id).chain(&mut self.left_out);
        ids.for_each(|id| id.insert_str(0, &format!("{name}:")));
    }
}

/// The beginning of a text, of at most that many characters, for a message or a label.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_characters() {
        let text = "a “tea” cup";
        assert_eq!(Span::new(3, 6).unwrap().of(text), Some("tea"));
        assert_eq!(Span::new(8, 11).unwrap().of(text), Some("cup"));
        assert_eq!(Span::new(8, 12).unwrap().of(text), None);
        assert_eq!(Span::new(20, 21).unwrap().of(text), None);
        assert_eq!(Span::new(2, 2), None);
        let overlaps =
            |a: (usize, usize), b: (usize, usize)| Span::new(a.0, a.1).unwrap().overlaps(Span::new(b.0, b.1).unwrap());
        assert!(overlaps((0, 3), (2, 4)) && !overlaps((0, 3), (3, 4)) && overlaps((1, 2), (0, 9)));
    }
}
