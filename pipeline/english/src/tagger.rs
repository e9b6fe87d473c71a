//! Part-of-speech tags: a greedy averaged perceptron, left to right.
//!
//! Words that are nearly always one tag are looked up; the others are scored by what they look like, what stands around them, and the
//! two tags before them.
use hashbrown::HashMap;

use super::{
    features::{Record, feature, near},
    memo::Memo,
    perceptron::{MOST_LABELS, Row, Scores, Sought, Training, Weights},
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

/// What a word is to its own tag.
fn word_features(word: &Record) -> [u32; 12] {
    [
        feature(0, 0, 0),
        feature(1, word.word, 0),
        feature(2, word.lower, 0),
        feature(3, word.suffixes[0], 0),
        feature(4, word.suffixes[1], 0),
        feature(5, word.suffixes[2], 0),
        feature(6, word.suffixes[3], 0),
        feature(7, word.prefixes[0], 0),
        feature(8, word.prefixes[1], word.suffixes[1]),
        feature(9, word.prefixes[2], 0),
        feature(10, word.prefixes[3], 0),
        feature(11, word.shape, 0),
    ]
}

/// The tags that [`neighbour_features`] are for: so far from the word are their tokens.
const NEIGHBOURS: [isize; 5] = [-2, -1, -1, 1, 2];

/// What a word is to the tags around it.
fn neighbour_features(word: &Record) -> [u32; NEIGHBOURS.len()] {
    [
        feature(16, word.lower, 0),
        feature(15, word.lower, 0),
        feature(18, word.suffixes[2], 0),
        feature(13, word.lower, 0),
        feature(14, word.lower, 0),
    ]
}

/// What a word and its neighbours are to its tag.
fn pair_features(records: &[Record], i: usize) -> [u32; 4] {
    let (before, here, after) = (near(records, i, -1), near(records, i, 0), near(records, i, 1));
    [
        feature(12, here.shape, before.shape),
        feature(17, before.suffixes[2], here.suffixes[2]),
        feature(19, here.lower, after.lower),
        feature(20, before.lower, here.lower),
    ]
}

/// What the two tags before a word are to its tag.
fn tag_features(last: u8, before_last: u8) -> [u32; 3] {
    let (last, before_last) = (u32::from(last), u32::from(before_last));
    [feature(30, last, 0), feature(31, before_last, 0), feature(32, last << 8 | before_last, 0)]
}

/// What the tag before a word is to its tag, with a word.
fn tag_and_word_features(records: &[Record], i: usize, last: u8) -> [u32; 3] {
    let (last, here) = (u32::from(last), near(records, i, 0));
    [feature(33, last, here.lower), feature(34, last, here.suffixes[2]), feature(35, last, near(records, i, 1).lower)]
}

/// All features of a word's tag.
fn features(records: &[Record], i: usize, (last, before_last): (u8, u8)) -> impl Iterator<Item = u32> {
    let word = word_features(near(records, i, 0)).into_iter();
    let around = NEIGHBOURS.iter().enumerate();
    let around = around.map(move |(at, away)| neighbour_features(near(records, i, -away))[at]);
    word.chain(around)
        .chain(pair_features(records, i))
        .chain(tag_features(last, before_last))
        .chain(tag_and_word_features(records, i, last))
}

/// No tag: outside the sentence.
pub(super) const NO_TAG: u8 = 255;

fn last_two(tags: &[u8]) -> (u8, u8) {
    let back = |n: usize| tags.len().checked_sub(n).map_or(NO_TAG, |at| tags[at]);
    (back(1), back(2))
}

impl Tagger {
    /// The tags, by number.
    pub fn tags(&self) -> &[String] {
        &self.tags
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
        let (mut given, mut found): (Vec<u8>, Vec<u32>) = (Vec::new(), Vec::new());
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
                    found.clear();
                    found.extend(features(records, i, last_two(&given)));
                    let mut scores = [0.0; MOST_LABELS];
                    found.iter().for_each(|f| training.score(*f, &mut scores));
                    let best = first_of_largest(&scores[..tags.len()]);
                    training.step();
                    if best != wanted[i] {
                        for &feature in &found {
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

/// Words whose pairs are looked up together.
const BLOCK: usize = 16;
/// How many words outside the sentence say something of tags inside, on either side.
const OUTSIDE: usize = 2;
/// How many words ahead sums are fetched.
const AHEAD: usize = 4;

/// Which word: its other affixes follow from the longest.
type Word = [u32; 5];

fn key_of(record: &Record) -> Word {
    [record.word, record.lower, record.prefixes[3], record.suffixes[3], record.shape]
}

/// What a word weighs.
#[derive(Clone, Debug)]
#[repr(C)]
struct WordSums {
    /// For the tags around it.
    around: [Row; NEIGHBOURS.len()],
    /// For its own tag, all features together.
    own: Scores,
}

impl WordSums {
    const BLANK: Self = Self { around: [Row::NONE; NEIGHBOURS.len()], own: [0; MOST_LABELS] };

    fn of(word: &Record, weights: &Weights) -> Self {
        let mut sums = Self { around: weights.find_all(neighbour_features(word)), ..Self::BLANK };
        weights.find_all(word_features(word)).iter().for_each(|row| weights.add(*row, &mut sums.own));
        sums
    }
}

/// A tagger at work: what it has added up is kept for the next time.
#[derive(Debug)]
pub(super) struct Scorer<'m> {
    tagger: &'m Tagger,
    words: Memo<Word, WordSums>,
    tags: Memo<(u8, u8), Scores>,
    known: Vec<Option<u8>>,
    /// Of each token.
    scores: Vec<Scores>,
}

impl<'m> Scorer<'m> {
    /// With this tagger.
    pub fn new(tagger: &'m Tagger) -> Self {
        Self {
            tagger,
            words: Memo::new(1 << 13, WordSums::BLANK),
            tags: Memo::new(1 << 12, [0; MOST_LABELS]),
            known: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// The names of the tags, by number.
    pub fn names(&self) -> &'m [String] {
        &self.tagger.tags
    }

    /// Tags a sentence, by number; `tags` is dropped.
    pub fn tag(&mut self, records: &[Record], tags: &mut Vec<u8>) {
        let Tagger { dictionary, weights, tags: names } = self.tagger;
        let Self { known, scores, .. } = self;
        known.clear();
        known.extend(records.iter().map(|record| dictionary.get(&record.word).copied()));
        scores.clear();
        scores.resize(records.len(), [0; MOST_LABELS]);
        self.add_words(records);
        self.add_pairs(records);
        tags.clear();
        for i in 0..records.len() {
            if let Some(tag) = self.known[i] {
                tags.push(tag);
                continue;
            }
            let (last, before_last) = last_two(tags);
            let with_words = tag_and_word_features(records, i, last).map(|f| weights.seek(f));
            let scores = &mut self.scores[i];
            let sum = || {
                let mut sums = [0; MOST_LABELS];
                let rows = weights.find_all(tag_features(last, before_last));
                rows.iter().for_each(|row| weights.add(*row, &mut sums));
                sums
            };
            let place = u32::from(last & 63) << 6 | u32::from(before_last & 63);
            match self.tags.get(place, (last, before_last), sum) {
                Some(sums) => add(scores, sums),
                None => add(scores, &sum()),
            }
            with_words.iter().for_each(|sought| weights.add(weights.find(*sought), scores));
            tags.push(first_of_largest(&scores[..names.len()]));
        }
    }

    /// Adds what each word says of its tag and of those around it.
    fn add_words(&mut self, records: &[Record]) {
        let Self { tagger: Tagger { weights, .. }, words, known, scores, .. } = self;
        let outside = [Record::OUTSIDE; OUTSIDE];
        let all = || outside.iter().chain(records).chain(&outside);
        let mut ahead = all().skip(AHEAD);
        for (at, word) in all().enumerate() {
            ahead.next().into_iter().for_each(|word| words.prefetch(word.word));
            // Tokens so far away, where their tags are not known.
            let unknown = |away: isize| {
                let i = at.checked_add_signed(away - OUTSIDE as isize)?;
                (known.get(i) == Some(&None)).then_some(i)
            };
            let (here, around) = (unknown(0), NEIGHBOURS.map(unknown));
            if here.is_none() && around == [None; NEIGHBOURS.len()] {
                continue;
            }
            let rows = match words.get(word.word, key_of(word), || WordSums::of(word, weights)) {
                Some(sums) => {
                    here.iter().for_each(|i| add(&mut scores[*i], &sums.own));
                    sums.around
                }
                None => {
                    here.iter().for_each(|i| {
                        weights.find_all(word_features(word)).iter().for_each(|row| weights.add(*row, &mut scores[*i]));
                    });
                    weights.find_all(neighbour_features(word))
                }
            };
            for (i, row) in around.iter().zip(rows) {
                i.iter().for_each(|i| weights.add(row, &mut scores[*i]));
            }
        }
    }

    /// Adds what each word and its neighbours say of its tag.
    fn add_pairs(&mut self, records: &[Record]) {
        let weights = &self.tagger.weights;
        // In steps, with time for the memory between them.
        for base in (0..records.len()).step_by(BLOCK) {
            let unknown = (base..records.len().min(base + BLOCK)).filter(|i| self.known[*i].is_none());
            let mut sought = [[Sought::default(); 4]; BLOCK];
            for i in unknown.clone() {
                sought[i - base] = pair_features(records, i).map(|f| weights.seek(f));
            }
            let mut rows = [[Row::NONE; 4]; BLOCK];
            for i in unknown.clone() {
                rows[i - base] = sought[i - base].map(|sought| weights.find(sought));
            }
            for i in unknown {
                rows[i - base].iter().for_each(|row| weights.add(*row, &mut self.scores[i]));
            }
        }
    }
}

fn add(scores: &mut Scores, sums: &Scores) {
    scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum);
}

/// The first label with the largest score.
fn first_of_largest<S: PartialOrd + Copy>(scores: &[S]) -> u8 {
    let most = scores.iter().copied().reduce(|most, score| if score > most { score } else { most });
    scores.iter().position(|score| Some(*score) == most).unwrap_or_default() as u8
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{features::records_of, model::Model};

    /// The tags of a sentence, each feature looked up by itself.
    fn slowly(tagger: &Tagger, rows: &HashMap<u32, Vec<(u8, i8)>>, records: &[Record]) -> Vec<u8> {
        let mut tags = Vec::new();
        for (i, record) in records.iter().enumerate() {
            let mut scores = [0; MOST_LABELS];
            for feature in features(records, i, last_two(&tags)) {
                for (label, weight) in rows.get(&feature).into_iter().flatten() {
                    scores[usize::from(*label)] += i32::from(*weight);
                }
            }
            let best = first_of_largest(&scores[..tagger.tags.len()]);
            tags.push(tagger.dictionary.get(&record.word).copied().unwrap_or(best));
        }
        tags
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_scorer_gives_what_features_one_by_one_do(
            sentences in prop::collection::vec("([a-z]{1,4}(ing|ed|s|ly)?|the|is|of|Kettle|[A-Z][a-z]{0,3}|[0-9.,]{1,3}|\\PC{1,3}){1} ?([a-zA-Z]{1,5} ){0,30}", 1..40)
        ) {
            thread_local!(static ROWS: HashMap<u32, Vec<(u8, i8)>> = Model::embedded().tagger.weights.rows().into_iter().collect());
            let tagger = &Model::embedded().tagger;
            // Few places: most words find another one in theirs.
            let mut scorer = Scorer { words: Memo::new(4, WordSums::BLANK), tags: Memo::new(2, [0; MOST_LABELS]), ..Scorer::new(tagger) };
            let (mut records, mut tags) = (Vec::new(), Vec::new());
            for sentence in sentences.iter().chain(&sentences) {
                records_of(sentence.split_whitespace(), &mut records, &mut Vec::new());
                scorer.tag(&records, &mut tags);
                prop_assert_eq!(&tags, &ROWS.with(|rows| slowly(tagger, rows, &records)));
            }
        }
    }
}
