//! Part-of-speech tags: a greedy averaged perceptron, left to right.
//!
//! Words that are nearly always one tag are looked up; the others are scored by what they look like, what stands around them, and the
//! two tags before them.
use hashbrown::HashMap;

use super::{
    features::{Record, feature},
    perceptron::{MOST_LABELS, Row, Training, Weights},
};

/// Gives each token of a sentence its Penn Treebank tag.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagger {
    pub(super) tags: Vec<String>,
    /// Words, by the hash of how they are written, that are nearly always one tag.
    pub(super) dictionary: HashMap<u32, u8>,
    pub(super) weights: Weights,
}

/// A word is in the dictionary from so many occurrences on.
const FREQUENT: u32 = 12;
/// And when so large a share of them has one tag.
const CERTAIN: f64 = 0.995;
/// Averaged weights under this are left out. (With 0.08 there are twice as many features, and no more tags are right.)
const LEAST: f64 = 1.0;

const STATIC: usize = 21;
const DYNAMIC: usize = 6;

/// The record of a token, or of what is outside the sentence.
fn near(records: &[Record], i: usize, by: isize) -> &Record {
    i.checked_add_signed(by).and_then(|at| records.get(at)).unwrap_or(&Record::OUTSIDE)
}

/// The features of a token that no tag decides.
fn static_features(records: &[Record], i: usize) -> [u32; STATIC] {
    let here = &records[i];
    let (before, before2) = (near(records, i, -1), near(records, i, -2));
    let (after, after2) = (near(records, i, 1), near(records, i, 2));
    [
        feature(0, 0, 0),
        feature(1, here.word, 0),
        feature(2, here.lower, 0),
        feature(3, here.suffixes[0], 0),
        feature(4, here.suffixes[1], 0),
        feature(5, here.suffixes[2], 0),
        feature(6, here.suffixes[3], 0),
        feature(7, here.prefixes[0], 0),
        feature(8, here.prefixes[1], here.suffixes[1]),
        feature(9, here.prefixes[2], 0),
        feature(10, here.prefixes[3], 0),
        feature(11, here.shape, 0),
        feature(12, here.shape, before.shape),
        feature(13, before.lower, 0),
        feature(14, before2.lower, 0),
        feature(15, after.lower, 0),
        feature(16, after2.lower, 0),
        feature(17, before.suffixes[2], here.suffixes[2]),
        feature(18, after.suffixes[2], 0),
        feature(19, here.lower, after.lower),
        feature(20, before.lower, here.lower),
    ]
}

/// The features of a token that the two tags before it decide.
fn dynamic_features(records: &[Record], i: usize, last: u32, before_last: u32) -> [u32; DYNAMIC] {
    let here = &records[i];
    [
        feature(30, last, 0),
        feature(31, before_last, 0),
        feature(32, last << 8 | before_last, 0),
        feature(33, last, here.lower),
        feature(34, last, here.suffixes[2]),
        feature(35, last, near(records, i, 1).lower),
    ]
}

/// No tag: before the sentence.
const NO_TAG: u32 = 255;

fn last_two(tags: &[u8]) -> (u32, u32) {
    let back = |n: usize| tags.len().checked_sub(n).map_or(NO_TAG, |at| u32::from(tags[at]));
    (back(1), back(2))
}

/// Tokens whose features are found together.
const BLOCK: usize = 16;

/// Room that [`Tagger::tag`] works in.
#[derive(Debug)]
pub(super) struct Scratch {
    known: [Option<u8>; BLOCK],
    features: [[u32; STATIC]; BLOCK],
    rows: [[Row; STATIC]; BLOCK],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { known: [None; BLOCK], features: [[0; STATIC]; BLOCK], rows: [[Row::default(); STATIC]; BLOCK] }
    }
}

impl Tagger {
    /// The tags, by number.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Tags a sentence, by number; `tags` is dropped.
    pub(super) fn tag(&self, records: &[Record], scratch: &mut Scratch, tags: &mut Vec<u8>) {
        tags.clear();
        // What no tag decides is found for a block of tokens in two steps, with time for the memory between them.
        for (block, some) in records.chunks(BLOCK).enumerate() {
            let base = block * BLOCK;
            for (at, record) in some.iter().enumerate() {
                scratch.known[at] = self.dictionary.get(&record.word).copied();
                if scratch.known[at].is_none() {
                    scratch.features[at] = static_features(records, base + at);
                    scratch.features[at].iter().for_each(|f| self.weights.fetch(*f));
                }
            }
            for at in 0..some.len() {
                if scratch.known[at].is_none() {
                    scratch.rows[at] = scratch.features[at].map(|f| self.weights.find(f));
                }
            }
            for at in 0..some.len() {
                if let Some(tag) = scratch.known[at] {
                    tags.push(tag);
                    continue;
                }
                let (last, before_last) = last_two(tags);
                let moving = dynamic_features(records, base + at, last, before_last);
                moving.iter().for_each(|f| self.weights.fetch(*f));
                let mut scores = [0; MOST_LABELS];
                scratch.rows[at].iter().for_each(|row| self.weights.add(*row, &mut scores));
                moving.iter().for_each(|f| self.weights.score(*f, &mut scores));
                tags.push(first_of_largest(&scores[..self.tags.len()]));
            }
        }
    }

    /// Trains on sentences (records and tags by number), `epochs` times in the order that `order` gives.
    pub(super) fn train(
        tags: Vec<String>,
        sentences: &[(&[Record], &[u8])],
        epochs: u32,
        order: impl Fn(u32, &mut Vec<usize>),
    ) -> Self {
        let dictionary = dictionary_of(sentences);
        let mut training = Training::default();
        let mut given: Vec<u8> = Vec::new();
        let mut places: Vec<usize> = (0..sentences.len()).collect();
        for epoch in 0..epochs {
            order(epoch, &mut places);
            for &place in &places {
                let (records, wanted) = sentences[place];
                given.clear();
                for i in 0..records.len() {
                    if let Some(&tag) = dictionary.get(&records[i].word) {
                        given.push(tag);
                        continue;
                    }
                    let (last, before_last) = last_two(&given);
                    let (fixed, moving) =
                        (static_features(records, i), dynamic_features(records, i, last, before_last));
                    let mut scores = [0.0; MOST_LABELS];
                    fixed.iter().chain(&moving).for_each(|f| training.score(*f, &mut scores));
                    let best = first_of_largest(&scores[..tags.len()]);
                    training.step();
                    if best != wanted[i] {
                        for feature in fixed.into_iter().chain(moving) {
                            training.update(feature, wanted[i], 1.0);
                            training.update(feature, best, -1.0);
                        }
                    }
                    given.push(best);
                }
            }
        }
        Self { tags, dictionary, weights: training.finish(LEAST) }
    }
}

fn first_of_largest<S: PartialOrd + Copy>(scores: &[S]) -> u8 {
    let mut best = 0;
    for (label, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = label;
        }
    }
    best as u8
}

fn dictionary_of(sentences: &[(&[Record], &[u8])]) -> HashMap<u32, u8> {
    let mut counts: HashMap<u32, HashMap<u8, u32>> = HashMap::new();
    for (records, tags) in sentences {
        for (record, tag) in records.iter().zip(*tags) {
            *counts.entry(record.word).or_default().entry(*tag).or_default() += 1;
        }
    }
    let certain = |of: &HashMap<u8, u32>| {
        let total: u32 = of.values().sum();
        let (&tag, &most) = of.iter().max_by_key(|(tag, n)| (**n, std::cmp::Reverse(**tag)))?;
        (total >= FREQUENT && f64::from(most) >= CERTAIN * f64::from(total)).then_some(tag)
    };
    counts.iter().filter_map(|(&word, of)| Some((word, certain(of)?))).collect()
}
