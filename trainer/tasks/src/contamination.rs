//! Which texts of a test occur in the text that a model was post-trained on.
//!
//! Texts are compared as runs of 13 tokens, so that other segments, titles or line breaks around a
//! text do not hide it. A text of fewer tokens is compared as a whole, and one of fewer than 6
//! tokens is not judged: such texts occur everywhere.
use std::collections::HashMap;

use ebert_batches::{Corpus, DataError, Shards};
use ebert_bert::tokens::TokensError;
use schemas::DocumentId;

/// Tokens of a run.
pub const RUN: usize = 13;
/// The fewest tokens of a text that is judged.
pub const FEWEST: usize = 6;

/// Texts of a test that occur in the training text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contamination {
    /// Texts that were judged.
    pub texts: usize,
    /// Of these, those that share a run with the training text.
    pub shared: usize,
    /// Of these, those of whose runs at least half occur.
    pub mostly: usize,
    /// Texts that are too short to judge.
    pub short: usize,
}

/// Contamination cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum ContaminationError {
    /// The shards.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Their tokenizer.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Their tokenizer refuses a text.
    #[error("the shards' tokenizer cannot encode a text of a test\nhint: leave out [contamination]")]
    Encode {
        /// Why not.
        source: tokenizers::Error,
    },
}

/// A rolling hash: the sum of token × base^k modulo 2^64, each token first mixed.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(token: u32) -> u64 {
    let mixed = (u64::from(token) + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// The hashes of all runs of this length.
fn runs(tokens: &[u32], length: usize) -> impl Iterator<Item = u64> + '_ {
    let highest = (1..length).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0u64;
    tokens.iter().enumerate().filter_map(move |(at, &token)| {
        if at >= length {
            hash = hash.wrapping_sub(mixed(tokens[at - length]).wrapping_mul(highest));
        }
        hash = hash.wrapping_mul(BASE).wrapping_add(mixed(token));
        (at + 1 >= length).then_some(hash)
    })
}

/// Compares texts with the training text. `tests` has the token ids of each text of each test,
/// without special tokens, by the shards' tokenizer.
///
/// # Errors
/// When a shard cannot be read.
pub fn contamination(shards: &Shards, tests: &[Vec<Vec<u32>>]) -> Result<Vec<Contamination>, DataError> {
    // For each length of run, its hashes: whether they were seen.
    let mut wanted: HashMap<usize, HashMap<u64, bool>> = HashMap::new();
    let length_of = |text: &[u32]| (text.len() >= FEWEST).then(|| text.len().min(RUN));
    for text in tests.iter().flatten() {
        if let Some(length) = length_of(text) {
            wanted.entry(length).or_default().extend(runs(text, length).map(|hash| (hash, false)));
        }
    }
    let mut document: (Option<DocumentId>, Vec<u32>) = (None, Vec::new());
    for corpus in [Corpus::Products, Corpus::Reviews] {
        let mut look = |tokens: &[u32]| {
            for (&length, wanted) in &mut wanted {
                for hash in runs(tokens, length) {
                    if let Some(seen) = wanted.get_mut(&hash) {
                        *seen = true;
                    }
                }
            }
        };
        shards.each_trained_segment(corpus, |segment| {
            if document.0 != Some(segment.document) {
                look(&document.1);
                document.1.clear();
                document.0 = Some(segment.document);
            }
            document.1.extend_from_slice(segment.input_ids);
        })?;
        look(&document.1);
        document = (None, Vec::new());
    }
    let judge = |texts: &Vec<Vec<u32>>| {
        let mut found = Contamination::default();
        for text in texts {
            let Some(length) = length_of(text) else {
                found.short += 1;
                continue;
            };
            let (mut all, mut seen) = (0, 0);
            for hash in runs(text, length) {
                all += 1;
                seen += usize::from(wanted[&length][&hash]);
            }
            found.texts += 1;
            found.shared += usize::from(seen > 0);
            found.mostly += usize::from(2 * seen >= all);
        }
        found
    };
    Ok(tests.iter().map(judge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_the_same_wherever_they_stand() {
        let text: Vec<u32> = (0..40).map(|at| at * 31 % 17).collect();
        let all: Vec<u64> = runs(&text, RUN).collect();
        assert_eq!(all.len(), 40 - RUN + 1);
        for (at, hash) in all.iter().enumerate() {
            let alone: Vec<u64> = runs(&text[at..at + RUN], RUN).collect();
            assert_eq!(alone, [*hash], "{at}");
        }
        // The order counts.
        let mut turned = text[..RUN].to_vec();
        turned.swap(3, 4);
        assert_ne!(runs(&turned, RUN).next(), Some(all[0]));
        assert_eq!(runs(&text[..5], RUN).count(), 0);
    }
}
