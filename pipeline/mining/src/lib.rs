//! Mining a phrase pool from text: AutoPhrase (Shang et al. 2018), made deterministic.
//!
//! In the order of the algorithm: `tokens` turns text into arrays, `candidates` finds word sequences that occur often, `labels` tells
//! some of them by lists of names, `features` measures them, `forest` learns their quality, and `segmentation` cuts the text into the
//! best pieces, which rectifies how often each candidate is a phrase. Quality and segmentation take turns twice.
//!
//! Results do not depend on the number of threads: counts are integers, sums of fractions are taken in a fixed order, and each tree draws
//! with a key of its own.

/// Raised whenever the same text and lists give other phrases or scores.
pub const RULES: u32 = 1;

mod candidates;
pub mod edges;
mod features;
mod forest;
mod labels;
mod segmentation;
mod tokens;
mod types;

pub use candidates::Candidates;
use features::{Lexical, Places};
use forest::{Forest, Matrix};
pub use labels::{ENGLISH_STOP_WORDS, List, Quality, StopWords};
use segmentation::{Segmentation, Trie};
pub use tokens::{Batch, Pruning, Reader, Tokens, Word};

/// What stands for nothing in divisions and logarithms.
const EPSILON: f64 = 1e-8;
/// Quality and segmentation take turns so often.
const ROUNDS: u32 = 2;

/// What decides a pool, besides the text.
#[derive(Clone, Debug)]
pub struct Options {
    /// A candidate occurs at least so often.
    pub min_support: u64,
    /// The most words of a candidate.
    pub longest: usize,
    /// Seed of the forests.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_support: 10, longest: 6, seed: 0 }
    }
}

/// What tells good phrases, and words that are none.
#[derive(Clone, Debug)]
pub struct Lists<'a> {
    /// Good phrases.
    pub quality: Quality,
    /// Names of things, good phrases or not.
    pub entities: Option<List>,
    /// Words that say little by themselves.
    pub stop_words: &'a StopWords,
}

/// A phrase that was mined.
#[derive(Clone, Debug, PartialEq)]
pub struct MinedPhrase {
    /// Its words, separated by one space.
    pub text: String,
    /// Quality, from 0 to 1.
    pub score: f64,
    /// Number of words.
    pub words: u32,
    /// How often the words stand in a row.
    pub count: u64,
}

/// What was mined.
#[derive(Clone, Debug, Default)]
pub struct Mined {
    /// By score descending, then text.
    pub phrases: Vec<MinedPhrase>,
    /// How it came to be.
    pub counts: MinedCounts,
}

/// Numbers of a mining run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinedCounts {
    /// Documents with a word.
    pub documents: u64,
    /// Words of the text.
    pub words: u64,
    /// Distinct words.
    pub types: u64,
    /// Stop words among the words.
    pub stop_words: u64,
    /// Candidates, by number of words from 1.
    pub candidates: Vec<u64>,
    /// Entries of the quality list.
    pub entries: u64,
    /// Candidates of several words that the quality list names.
    pub positives: u64,
    /// Candidates of several words that no list names.
    pub negatives: u64,
    /// Words that the quality list names.
    pub positive_words: u64,
}

/// Nothing can be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
    /// No text.
    #[error("found no document with a word")]
    NoText,
    /// Nothing is frequent.
    #[error("no sequence of words occurs {min_support} times or more in {words} words of text")]
    NothingFrequent {
        /// What was wanted.
        min_support: u64,
        /// Words of the text.
        words: u64,
    },
    /// Nothing names good phrases.
    #[error(
        "none of the {candidates} candidates of several words is one of {entries} names of good phrases, so there is nothing to learn from"
    )]
    NoPositives {
        /// Candidates of several words.
        candidates: u64,
        /// Entries of the list.
        entries: u64,
    },
    /// Everything is named.
    #[error(
        "the lists name all of the {candidates} candidates of several words, so there is nothing to tell good phrases from"
    )]
    NoNegatives {
        /// Candidates of several words.
        candidates: u64,
    },
}

impl MinedCounts {
    /// Whether the text is hardly English: of English words, some 40% are stop words.
    pub fn looks_foreign(&self) -> bool {
        10 * self.stop_words < self.words
    }
}

/// Mines the phrases of a text. `told` hears what is being done.
pub fn mine(
    tokens: &Tokens,
    lists: &Lists<'_>,
    options: &Options,
    told: &(dyn Fn(&str) + Sync),
) -> Result<Mined, MineError> {
    if tokens.words.is_empty() {
        return Err(MineError::NoText);
    }
    told("counting candidates");
    let candidates = Candidates::count(&tokens.words, tokens.types.len(), options.min_support, options.longest);
    if candidates.longer().is_empty() {
        let words = tokens.words.len() as u64;
        return Err(MineError::NothingFrequent { min_support: options.min_support, words });
    }
    told("looking up names");
    let lexical = Lexical::new(tokens, |word| lists.stop_words.contains(word));
    let mut labels = labels::Labels::new(&tokens.types, &candidates, &lexical, &lists.quality, lists.entities.as_ref());
    let all_words = 0..candidates.types() as u32;
    let counts_of = |labels: &labels::Labels| {
        let (phrases, words) = (labels.of_phrases(&candidates), labels.of_words(&candidates, &lexical));
        let all = |groups: &[Vec<u32>]| groups.iter().map(|group| group.len() as u64).sum();
        MinedCounts {
            documents: tokens.documents,
            words: tokens.words.len() as u64,
            types: tokens.types.len() as u64,
            stop_words: all_words
                .clone()
                .filter(|w| lexical.is_stop_word(*w))
                .map(|w| candidates.counts[w as usize])
                .sum(),
            candidates: std::iter::once(all_words.clone().filter(|w| candidates.is_frequent_word(*w)).count() as u64)
                .chain(candidates.by_length().skip(1).map(|nodes| nodes.len() as u64))
                .collect(),
            entries: labels.entries,
            positives: all(&phrases.positives),
            negatives: all(&phrases.negatives),
            positive_words: all(&words.positives),
        }
    };
    let numbers = counts_of(&labels);
    if numbers.positives == 0 {
        let candidates = candidates.longer().len() as u64;
        return Err(MineError::NoPositives { candidates, entries: numbers.entries });
    }
    if numbers.negatives == 0 {
        return Err(MineError::NoNegatives { candidates: candidates.longer().len() as u64 });
    }
    let trie = Trie::new(&candidates, labels.rare());
    let longest = trie.longest(tokens);
    told("measuring candidates");
    let mut counts = candidates.counts.clone();
    let mut places = Places::sum(tokens, &lexical, candidates.len(), |segment, _, found| {
        all_places(tokens, &candidates, &trie, &longest, segment, found);
    });
    let mut segmentation = Segmentation::new(tokens, &trie, &longest);
    let mut quality = Vec::new();
    for round in 1..=ROUNDS {
        told(&format!("round {round} of {ROUNDS}: learning quality"));
        let before = std::mem::take(&mut quality);
        quality = qualities(tokens, &candidates, &lexical, &labels, &counts, &places, (options.seed, round, &before));
        let pieces = segmentation.pieces(&counts, &quality);
        segmentation.estimate(&pieces, |pass| {
            told(&format!("round {round} of {ROUNDS}: cutting the text into phrases, pass {pass}"));
        });
        told(&format!("round {round} of {ROUNDS}: counting phrases"));
        let cut = segmentation.cutter(&pieces);
        if round < ROUNDS {
            // What is not needed any more goes before the next is made: it is as large.
            drop(places);
            places = Places::sum(tokens, &lexical, candidates.len(), cut);
            counts = places.counts();
            labels.drop_unused(&counts);
        } else {
            counts = segmentation.counts(candidates.len(), cut);
        }
    }
    told("sorting phrases");
    Ok(Mined { phrases: phrases(tokens, &candidates, &counts, &quality), counts: numbers })
}

/// All places in a segment where candidates and frequent words stand and their tags allow it.
fn all_places(
    tokens: &Tokens,
    candidates: &Candidates,
    trie: &Trie<'_>,
    longest: &[u32],
    segment: std::ops::Range<usize>,
    found: segmentation::Told<'_>,
) {
    let mut nodes = Vec::new();
    for start in segment.clone() {
        if let Some(&ahead) = longest.get(start + segmentation::AHEAD) {
            trie.prefetch(ahead);
        }
        let first = tokens.words[start];
        if !first.may_start() || !candidates.starts_candidates(first.kind()) {
            continue;
        }
        nodes.clear();
        nodes.extend(trie.prefixes(longest[start]));
        for (length, &node) in (1..).zip(nodes.iter().rev()) {
            if node as usize >= candidates.len() || (length > 1 && !tokens.words[start + length - 1].may_extend()) {
                break;
            }
            found(start..start + length, node);
        }
    }
}

/// The quality of every node: that of words and that of longer candidates are learnt apart.
fn qualities(
    tokens: &Tokens,
    candidates: &Candidates,
    lexical: &Lexical,
    labels: &labels::Labels,
    counts: &[u64],
    places: &Places,
    (seed, round, before): (u64, u32, &[f64]),
) -> Vec<f64> {
    // What is no piece any more is none in the next cut either, so nobody asks for its quality.
    let learn = |matrix: &Matrix, examples: &labels::Examples, first: usize, purpose: &str| {
        if examples.is_one_sided() {
            // Where a later round has lost its examples, what was learnt before stays.
            return before.get(first..first + matrix.len()).map_or_else(|| vec![0.0; matrix.len()], <[f64]>::to_vec);
        }
        let rows: Vec<u32> = (0..matrix.len() as u32)
            .filter(|&row| first + (row as usize) < candidates.types() || counts[first + row as usize] > 0)
            .collect();
        Forest::train(matrix, examples, seed, &format!("{purpose} {round}")).score(matrix, &rows)
    };
    let words = features::of_words(candidates, lexical, counts, places);
    let mut quality = learn(&words, &labels.of_words(candidates, lexical), 0, "quality of words");
    drop(words);
    let longer = features::of_phrases(tokens, candidates, lexical, counts, places);
    quality.extend(learn(&longer, &labels.of_phrases(candidates), candidates.types(), "quality of phrases"));
    quality
}

/// What was cut out at least once, but for rare words and pieces of contractions.
fn phrases(tokens: &Tokens, candidates: &Candidates, counts: &[u64], quality: &[f64]) -> Vec<MinedPhrase> {
    let mut phrases = Vec::new();
    let mut words = Vec::new();
    let contracted = tokens.contracted();
    for node in 0..candidates.len() as u32 {
        let at = node as usize;
        let is_word = at < candidates.types();
        if counts[at] == 0 || (is_word && (!candidates.is_frequent_word(node) || contracted.contains(&node))) {
            continue;
        }
        candidates.words(node, &mut words);
        let texts: Vec<&str> = words.iter().map(|w| tokens.types.text(*w)).collect();
        phrases.push(MinedPhrase {
            text: texts.join(" "),
            // The sum of a thousand fractions, in another order, differs in its last digits.
            score: (quality[at] * 1e10).round() / 1e10,
            words: words.len() as u32,
            count: candidates.counts[at],
        });
    }
    phrases.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
    phrases
}
