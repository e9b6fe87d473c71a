//! Mines scored phrases from text: AutoPhrase, deterministic, without Java and TreeTagger.
//!
//! [AutoPhrase](https://arxiv.org/abs/1702.04457) (Shang et al., *Automated Phrase Mining from
//! Massive Text Corpora*, 2018) finds the word sequences of a corpus that are good phrases, such as
//! `cast iron`. It learns from a list of known phrases and from the text; nobody labels anything. A
//! phrase gets a score from 0 to 1.
//!
//! # Overview
//!
//! * [`Tokens`] is a text as arrays. [`Tokens::from_documents`] reads one with a part-of-speech
//!   tagger; [`Reader`] and [`Batch`] do the same on several threads.
//! * [`Lists`] holds what to learn from: a [`QualityList`] of good phrases, such as the embedded
//!   [`CommonPhrases`], optionally a [`List`]
//!   of names that may be good or not, and [`StopWords`].
//! * [`mine()`] runs the algorithm with its [`Options`] and returns [`Mined`]: each [`MinedPhrase`]
//!   with its score and count. It reports each [`Step`] to a callback, and fails with a
//!   [`MineError`].
//!
//! # Example
//!
//! Phrases from an iterator of documents and a list:
//!
//! ```
//! use ebert_english::Model;
//! use ebert_mining::{Lists, Options, QualityList, StopWords, Tokens, mine};
//!
//! let things = ["cast iron", "litter box", "phone case", "cutting board"];
//! let opinions = ["is heavy", "broke", "works well", "smells", "was cheap", "looks nice", "fell"];
//! let documents = (0..400).map(|i| format!("My {} {}.", things[i % 4], opinions[i % 7]));
//!
//! let tokens = Tokens::from_documents(documents, &Model::embedded().tagger)?;
//! let lists = Lists {
//!     quality: QualityList::Phrases(["Cast Iron", "Litter Box"].into_iter().collect()),
//!     entities: None,
//!     stop_words: StopWords::english(),
//! };
//! let mined = mine(&tokens, &lists, &Options::default(), |step| println!("{step}"))?;
//!
//! // Of two phrases that are not in the list, one is like those that are.
//! let score = |text| mined.phrases.iter().find(|p| p.text == text).map_or(0.0, |p| p.score);
//! assert!(score("phone case") > 0.9);
//! assert!(score("case broke") < 0.1);
//! # Ok::<(), ebert_mining::MineError>(())
//! ```
//!
//! # Algorithm
//!
//! 1. Candidates are the sequences of up to 6 words that occur 10 times or more within a segment,
//!    which ends at most punctuation. Determiners, pronouns, auxiliaries and the like may not be
//!    inside.
//! 2. Candidates in the quality list are positive examples. Those in no list are negative examples,
//!    although a few of them are good phrases.
//! 3. Each candidate gets features: how much more often its words occur together than by chance,
//!    how often it is in quotes, brackets or capitals, how often it is part of longer candidates.
//! 4. A forest of 1,000 regression trees learns quality from the examples. Each tree sees 100
//!    positives and 100 negatives, so that most trees see few wrong labels. Single words have a
//!    forest of their own.
//! 5. The text is segmented into words and phrases of high quality. A phrase then counts only where
//!    it is a piece of the segmentation. Quality is learned a second time from these counts.
//!
//! Differences from AutoPhrase are listed in `docs/mining.md`. Optimizations are explained in
//! `DESIGN.md`.
//!
//! # Other languages
//!
//! Tag names, auxiliary verbs, and the built-in phrases and stop words are English.
//! [`Reader::untagged`] reads text in any language with spaces between words, and
//! [`StopWords::most_common`] finds stop words. [`MinedCounts::looks_foreign`] detects most texts
//! that were read as English by mistake.
//!
//! # Determinism
//!
//! The same text, lists, options and tagger give the same phrases and scores on any number of
//! threads. Counts are integers. Sums of fractions are taken in the order of the text. Each tree
//! draws random numbers from a stream that depends only on the seed and the number of the tree.
//!
//! # Memory
//!
//! [`Memory`] bounds what is held of the text: by default 128 MiB, which is a text of 7 million
//! words. More is in temporary files, of about three times the text. The result is the same. The
//! rest is a table of about 90 bytes per candidate, 155 per distinct word with 4 more per thread, the
//! longest document, and 16 MiB per thread. A text of more than 4 × 10⁹ words takes 32 bytes per
//! thread for each 4,096th of its distinct sequences instead. A text may have 2²⁹ distinct words and 2³² - 1
//! candidates; counts have 64 bits.
//!
//! # When not to use it
//!
//! * For a single document or less than about a million words: hardly any phrase occurs 10 times.
//!   Noun phrases of `ebert-english` need no corpus.
//! * For text whose words no spaces separate, such as Chinese.
//! * For text that grows: phrases cannot be updated, only mined again.
//!
//! # Modules
//!
//! Each module uses only modules above it.
//!
//! ```text
//! error ─ spill ─ ids ─ smoothing    errors, arrays in memory or files, numbers of words and nodes
//! parallel                           work on all threads
//!    │
//! vocabulary ─ tokens ─ reader       text to arrays
//! passages                           parts of it, in memory
//!    │
//! lists ─ word_properties            stop words, idf, numbers
//!    │
//! candidates ─ count                 the trie of frequent word sequences
//!    │
//! edges ─ trie                       with listed phrases that are rare
//!    │
//! forest ─ labels                    the learner, and what it learns from
//!    │
//! occurrences ─ features ─ quality   what it learns about
//!    │
//! pieces ─ segmentation              the text as words and phrases
//!    │
//! mine                               all of it, in order
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod candidates;
mod count;
mod edges;
mod error;
mod features;
mod forest;
mod ids;
mod labels;
mod lists;
mod mine;
mod occurrences;
mod parallel;
mod passages;
mod pieces;
mod quality;
mod reader;
mod segmentation;
mod smoothing;
mod spill;
mod tokens;
mod trie;
mod vocabulary;
mod word_properties;

pub use error::{MineError, SpillError};
pub use lists::{CommonPhrases, ENGLISH_STOP_WORDS, List, Lists, QualityList, StopWords};
pub use mine::{Mined, MinedCounts, MinedPhrase, Options, Step, mine};
pub use reader::Reader;
pub use spill::Memory;
pub use tokens::{Batch, Tokens};

/// The version of the rules. It is raised whenever the same text and lists give other phrases or
/// scores.
pub const RULES: u32 = 2;

#[cfg(test)]
mod testing;
