//! Part-of-speech tags: a greedy perceptron, from left to right.
//!
//! A dictionary gives the tags of words that nearly always have the same one. The other words are
//! scored by their form, their neighbors and the two tags before them. A label is a tag's index.
use hashbrown::HashMap;

use crate::{
    cache::ScoreCache,
    features::{Feature, WordForm, form_at, tag_at},
    weights::{LabelScores, MOST_LABELS, Probe, Row, Weights},
};

/// The most tags of a model.
pub const MOST_TAGS: usize = MOST_LABELS - 1;

/// Gives each token of a sentence its Penn Treebank tag. [`Tagging`](crate::Tagging) applies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagger {
    /// At least one, at most [`MOST_TAGS`].
    pub(crate) tags: Vec<String>,
    /// Tags of words that nearly always have the same one, by [`WordForm::word`].
    pub(crate) dictionary: HashMap<u32, u8>,
    pub(crate) weights: Weights,
}

impl Tagger {
    /// The names of the tags. A token's tag is an index into them.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Features of a word for its own tag.
fn word_features(word: &WordForm) -> [Feature; 12] {
    [
        Feature::new(0, 0, 0),
        Feature::new(1, word.word, 0),
        Feature::new(2, word.lower, 0),
        Feature::new(3, word.suffixes[0], 0),
        Feature::new(4, word.suffixes[1], 0),
        Feature::new(5, word.suffixes[2], 0),
        Feature::new(6, word.suffixes[3], 0),
        Feature::new(7, word.prefixes[0], 0),
        Feature::new(8, word.prefixes[1], word.suffixes[1]),
        Feature::new(9, word.prefixes[2], 0),
        Feature::new(10, word.prefixes[3], 0),
        Feature::new(11, word.shape, 0),
    ]
}

/// Offsets from a word to the tokens whose tags [`neighbor_features`] are for.
const NEIGHBORS: [isize; 5] = [-2, -1, -1, 1, 2];

/// Features of a word for the tags of its neighbors.
fn neighbor_features(word: &WordForm) -> [Feature; NEIGHBORS.len()] {
    [
        Feature::new(16, word.lower, 0),
        Feature::new(15, word.lower, 0),
        Feature::new(18, word.suffixes[2], 0),
        Feature::new(13, word.lower, 0),
        Feature::new(14, word.lower, 0),
    ]
}

/// Features of a word with one of its neighbors, for its own tag.
fn pair_features(forms: &[WordForm], i: usize) -> [Feature; 4] {
    let (before, here, after) = (form_at(forms, i, -1), form_at(forms, i, 0), form_at(forms, i, 1));
    [
        Feature::new(12, here.shape, before.shape),
        Feature::new(17, before.suffixes[2], here.suffixes[2]),
        Feature::new(19, here.lower, after.lower),
        Feature::new(20, before.lower, here.lower),
    ]
}

/// The tags of the two tokens before a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagsBefore {
    last: u8,
    second_last: u8,
}

impl TagsBefore {
    /// Before the token that follows the tags of the sentence so far.
    pub(crate) fn new(tags: &[u8]) -> Self {
        Self { last: tag_at(tags, tags.len(), -1), second_last: tag_at(tags, tags.len(), -2) }
    }

    /// Distinct for all tags.
    fn hash(self) -> u32 {
        u32::from(self.last & 63) << 6 | u32::from(self.second_last & 63)
    }
}

/// Features of the tags before a word for its own tag.
fn tag_features(tags: TagsBefore) -> [Feature; 3] {
    let (last, second_last) = (u32::from(tags.last), u32::from(tags.second_last));
    [Feature::new(30, last, 0), Feature::new(31, second_last, 0), Feature::new(32, last << 8 | second_last, 0)]
}

/// Features of the tag before a word, with a word, for its own tag.
fn tag_and_word_features(forms: &[WordForm], i: usize, last: u8) -> [Feature; 3] {
    let (last, here) = (u32::from(last), form_at(forms, i, 0));
    [
        Feature::new(33, last, here.lower),
        Feature::new(34, last, here.suffixes[2]),
        Feature::new(35, last, form_at(forms, i, 1).lower),
    ]
}

/// All features for the tag of a word: the plain version of what [`TagScorer`] looks up.
#[cfg(any(test, feature = "train"))]
pub(crate) fn features(forms: &[WordForm], i: usize, tags: TagsBefore) -> impl Iterator<Item = Feature> {
    let word = word_features(form_at(forms, i, 0)).into_iter();
    let neighbors = NEIGHBORS.iter().enumerate();
    let neighbors = neighbors.map(move |(at, offset)| neighbor_features(form_at(forms, i, -offset))[at]);
    word.chain(neighbors)
        .chain(pair_features(forms, i))
        .chain(tag_features(tags))
        .chain(tag_and_word_features(forms, i, tags.last))
}

/// Words whose pair features are looked up together.
const BLOCK: usize = 16;
/// The number of positions outside the sentence, on each side, whose features reach into it.
const OUTSIDE: usize = 2;
/// How many words ahead cache entries are prefetched.
const AHEAD: usize = 4;

const WORD_ENTRIES: usize = 1 << 13;
const TAG_ENTRIES: usize = 1 << 12;

/// Identifies a word form: shorter prefixes and suffixes follow from the longest.
type WordKey = [u32; 5];

fn key_of(form: &WordForm) -> WordKey {
    [form.word, form.lower, form.prefixes[3], form.suffixes[3], form.shape]
}

/// The cached part of a word's score.
#[derive(Clone, Debug)]
#[repr(C)]
struct WordSums {
    /// Rows of [`neighbor_features`].
    neighbors: [Row; NEIGHBORS.len()],
    /// The sum of [`word_features`].
    own: LabelScores,
}

impl WordSums {
    const BLANK: Self = Self { neighbors: [Row::EMPTY; NEIGHBORS.len()], own: [0; MOST_LABELS] };

    fn of(word: &WordForm, weights: &Weights) -> Self {
        let mut sums = Self { neighbors: weights.find_all(neighbor_features(word)), ..Self::BLANK };
        weights.find_all(word_features(word)).iter().for_each(|row| weights.add(*row, &mut sums.own));
        sums
    }
}

/// A tagger with the buffers and caches of one thread.
#[derive(Debug)]
pub(crate) struct TagScorer<'m> {
    tagger: &'m Tagger,
    words: ScoreCache<WordKey, WordSums>,
    tags: ScoreCache<TagsBefore, LabelScores>,
    /// The tag of each token that is in the dictionary.
    known: Vec<Option<u8>>,
    /// The scores of each token.
    scores: Vec<LabelScores>,
}

impl<'m> TagScorer<'m> {
    pub(crate) fn new(tagger: &'m Tagger) -> Self {
        Self::with_entries(tagger, WORD_ENTRIES, TAG_ENTRIES)
    }

    /// With caches of so many entries: powers of two.
    pub(crate) fn with_entries(tagger: &'m Tagger, words: usize, tags: usize) -> Self {
        Self {
            tagger,
            words: ScoreCache::new(words, WordSums::BLANK),
            tags: ScoreCache::new(tags, [0; MOST_LABELS]),
            known: Vec::new(),
            scores: Vec::new(),
        }
    }

    pub(crate) fn tagger(&self) -> &'m Tagger {
        self.tagger
    }

    /// Replaces `tags` by the tags of a sentence.
    pub(crate) fn tag(&mut self, forms: &[WordForm], tags: &mut Vec<u8>) {
        let Tagger { dictionary, weights, tags: names } = self.tagger;
        let Self { known, scores, .. } = self;
        known.clear();
        known.extend(forms.iter().map(|form| dictionary.get(&form.word).copied()));
        scores.clear();
        scores.resize(forms.len(), [0; MOST_LABELS]);
        self.add_words(forms);
        self.add_pairs(forms);
        tags.clear();
        for i in 0..forms.len() {
            if let Some(tag) = self.known[i] {
                tags.push(tag);
                continue;
            }
            let before = TagsBefore::new(tags);
            let with_words = tag_and_word_features(forms, i, before.last).map(|f| weights.probe(f));
            let scores = &mut self.scores[i];
            let sum = || {
                let mut sums = [0; MOST_LABELS];
                weights.find_all(tag_features(before)).iter().for_each(|row| weights.add(*row, &mut sums));
                sums
            };
            match self.tags.get(before.hash(), before, sum) {
                Some(sums) => add(scores, sums),
                None => add(scores, &sum()),
            }
            with_words.iter().for_each(|probe| weights.add(weights.row(*probe), scores));
            tags.push(first_of_largest(&scores[..names.len()]));
        }
    }

    /// Adds the features of each word for its own tag and for those of its neighbors.
    fn add_words(&mut self, forms: &[WordForm]) {
        let Self { tagger: Tagger { weights, .. }, words, known, scores, .. } = self;
        let outside = [WordForm::OUTSIDE; OUTSIDE];
        let all = || outside.iter().chain(forms).chain(&outside);
        let mut ahead = all().skip(AHEAD);
        for (at, word) in all().enumerate() {
            ahead.next().into_iter().for_each(|word| words.prefetch(word.word));
            // The token at this offset from the word, if it exists and has to be scored.
            let scored = |offset: isize| {
                let i = at.checked_add_signed(offset - OUTSIDE as isize)?;
                (known.get(i) == Some(&None)).then_some(i)
            };
            let (here, neighbors) = (scored(0), NEIGHBORS.map(scored));
            if here.is_none() && neighbors == [None; NEIGHBORS.len()] {
                continue;
            }
            let rows = match words.get(word.word, key_of(word), || WordSums::of(word, weights)) {
                Some(sums) => {
                    here.iter().for_each(|i| add(&mut scores[*i], &sums.own));
                    sums.neighbors
                }
                None => {
                    here.iter().for_each(|i| {
                        weights.find_all(word_features(word)).iter().for_each(|row| weights.add(*row, &mut scores[*i]));
                    });
                    weights.find_all(neighbor_features(word))
                }
            };
            for (i, row) in neighbors.iter().zip(rows) {
                i.iter().for_each(|i| weights.add(row, &mut scores[*i]));
            }
        }
    }

    /// Adds the features of each word with one of its neighbors.
    fn add_pairs(&mut self, forms: &[WordForm]) {
        let weights = &self.tagger.weights;
        // Each pass over a block gives memory the time to answer the pass before.
        for base in (0..forms.len()).step_by(BLOCK) {
            let scored = (base..forms.len().min(base + BLOCK)).filter(|i| self.known[*i].is_none());
            let mut probes = [[Probe::default(); 4]; BLOCK];
            for i in scored.clone() {
                probes[i - base] = pair_features(forms, i).map(|f| weights.probe(f));
            }
            let mut rows = [[Row::EMPTY; 4]; BLOCK];
            for i in scored.clone() {
                rows[i - base] = probes[i - base].map(|probe| weights.row(probe));
            }
            for i in scored {
                rows[i - base].iter().for_each(|row| weights.add(*row, &mut self.scores[i]));
            }
        }
    }
}

fn add(scores: &mut LabelScores, sums: &LabelScores) {
    scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum);
}

/// The first label with the largest score.
pub(crate) fn first_of_largest<S: PartialOrd + Copy>(scores: &[S]) -> u8 {
    let most = scores.iter().copied().reduce(|most, score| if score > most { score } else { most });
    scores.iter().position(|score| Some(*score) == most).unwrap_or_default() as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{features::forms_of, weights::Cell};

    type Rows = HashMap<Feature, Vec<Cell>>;

    /// The tags of a sentence, each feature looked up alone.
    fn plain_tags(tagger: &Tagger, rows: &Rows, forms: &[WordForm]) -> Vec<u8> {
        let mut tags = Vec::new();
        for (i, form) in forms.iter().enumerate() {
            let mut scores = [0; MOST_LABELS];
            for feature in features(forms, i, TagsBefore::new(&tags)) {
                for cell in rows.get(&feature).into_iter().flatten() {
                    scores[usize::from(cell.label)] += i32::from(cell.weight);
                }
            }
            let best = first_of_largest(&scores[..tagger.tags.len()]);
            tags.push(tagger.dictionary.get(&form.word).copied().unwrap_or(best));
        }
        tags
    }

    const SENTENCE: &str = "([a-z]{1,4}(ing|ed|s|ly)?|the|is|of|Kettle|[A-Z][a-z]{0,3}|[0-9.,]{1,3}|\\PC{1,3}){1} ?\
         ([a-zA-Z]{1,5} ){0,30}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_scorer_agrees_with_the_plain_version(sentences in prop::collection::vec(SENTENCE, 1..40)) {
            let tagger = &crate::test_model().tagger;
            thread_local!(static ROWS: Rows = {
                let rows = crate::test_model().tagger.weights.rows();
                rows.into_iter().map(|row| (row.feature, row.cells)).collect()
            });
            // With few entries, most words evict others.
            let mut scorer = TagScorer::with_entries(tagger, 4, 2);
            let (mut forms, mut tags) = (Vec::new(), Vec::new());
            for sentence in sentences.iter().chain(&sentences) {
                forms_of(sentence.split_whitespace(), &mut forms, &mut Vec::new());
                scorer.tag(&forms, &mut tags);
                prop_assert_eq!(&tags, &ROWS.with(|rows| plain_tags(tagger, rows, &forms)));
            }
        }
    }
}
