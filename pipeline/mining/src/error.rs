//! Why mining can fail.
use std::{io, path::PathBuf};

/// Why a text could not be mined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MineError {
    /// The text has no word.
    #[error("found no document with a word")]
    NoText,
    /// No sequence of two words or more occurs often enough.
    #[error("no sequence of words occurs {min_support} times or more in {words} words of text")]
    NothingFrequent {
        /// The number of occurrences that was asked for.
        min_support: u64,
        /// Words of the text.
        words: u64,
    },
    /// The quality list names no candidate.
    #[error(
        "none of the {candidates} candidates of several words is one of {entries} names of good phrases, \
         so there is nothing to learn from"
    )]
    NoPositives {
        /// Candidates of several words.
        candidates: u64,
        /// Entries of the quality list.
        entries: u64,
    },
    /// The lists name every candidate.
    #[error(
        "the lists name all of the {candidates} candidates of several words, \
         so no negative examples are left"
    )]
    NoNegatives {
        /// Candidates of several words.
        candidates: u64,
    },
    /// A text may have 2²⁹ distinct words.
    #[error("the text has more than 536,870,912 distinct words")]
    TooManyWords,
    /// A text may have 2³² - 1 candidates, single words and listed phrases included.
    #[error("the text has more than 4,294,967,295 candidates; a higher minimum support leaves fewer")]
    TooManyCandidates,
    /// The tag set of a tagger is too large.
    #[error("the tagger has {tags} tags, auxiliary verbs counted apart, of at most {limit}")]
    TooManyTags {
        /// Tags of the tagger, and one more per verb tag.
        tags: usize,
        /// The most tags that fit.
        limit: usize,
    },
    /// A part of the text that is not in memory.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// A stored text cannot be written or read.
    #[error("cannot write or read the words of a text")]
    Stored(#[source] io::Error),
}

/// A temporary file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{}`", path.display())]
pub struct SpillError {
    /// What was tried: a verb and its object.
    pub what: &'static str,
    /// The file that [`Memory`](crate::Memory) names.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}
