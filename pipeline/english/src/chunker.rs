//! Base noun phrases: a structured perceptron with Viterbi search over begin, inside and outside.
//!
//! A label is either that of a token ([`Chunk`]), or that of a [`transition`] between the labels of
//! two tokens in a row.
use std::ops::Range;

use crate::{
    cache::ScoreCache,
    features::{Feature, WordForm, form_at, tag_at},
    weights::{Probe, Row, Weights},
};

/// The position of a token in noun phrases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Chunk {
    /// The first token of one.
    Begin,
    /// A later token of one.
    Inside,
    /// In none.
    #[default]
    Outside,
}

impl Chunk {
    /// All positions, by number.
    pub const ALL: [Self; 3] = [Self::Begin, Self::Inside, Self::Outside];
}

/// Noun phrases as ranges of tokens.
pub(crate) fn spans(chunks: &[Chunk]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        match chunk {
            Chunk::Begin => spans.push(i..i + 1),
            Chunk::Inside => match spans.last_mut().filter(|span| span.end == i) {
                Some(span) => span.end += 1,
                None => spans.push(i..i + 1),
            },
            Chunk::Outside => {}
        }
    }
    spans
}

/// Marks the noun phrases of a tagged sentence. [`NounPhrases`](crate::NounPhrases) applies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunker {
    pub(crate) weights: Weights,
}

/// Labels of tokens.
const LABELS: usize = Chunk::ALL.len();
/// Labels of tokens, then those of transitions.
pub(crate) const ALL_LABELS: usize = LABELS + LABELS * LABELS;

/// The label of a transition.
pub(crate) fn transition(from: usize, to: usize) -> usize {
    LABELS + LABELS * from + to
}

/// Inside cannot follow outside.
fn may_follow(from: usize, to: usize) -> bool {
    !(from == Chunk::Outside as usize && to == Chunk::Inside as usize)
}

/// A word and its tag have features for the labels of this many tokens on either side.
const REACH: usize = 2;
/// Offsets of these tokens, from -[`REACH`] to [`REACH`], are numbered from 0.
const OFFSETS: usize = 2 * REACH + 1;

/// A feature for the label of the token at an offset, which is numbered from 0.
#[derive(Clone, Copy, Debug)]
struct OffsetFeature {
    offset: usize,
    feature: Feature,
}

fn at_offset(offset: usize, template: u32, value: u32) -> OffsetFeature {
    OffsetFeature { offset, feature: Feature::new(template, value, 0) }
}

/// Features of a word for the labels around it.
fn word_features(lower: u32) -> [OffsetFeature; OFFSETS] {
    [(0, 54), (1, 53), (2, 52), (3, 51), (4, 50)].map(|(offset, template)| at_offset(offset, template, lower))
}

/// The tag of a token, after the two tags before it.
type Tags = [u8; 3];

/// Features of a token's tag, and of the tags before it, for the labels around it.
fn tag_features(tags: Tags) -> [OffsetFeature; 12] {
    let [a, b, c] = tags.map(u32::from);
    let (two, three) = (b << 8 | c, a << 16 | b << 8 | c);
    [
        at_offset(0, 61, c),
        at_offset(0, 65, two),
        at_offset(0, 68, three),
        at_offset(1, 60, c),
        at_offset(1, 64, two),
        at_offset(1, 67, three),
        at_offset(2, 59, c),
        at_offset(2, 63, two),
        at_offset(2, 66, three),
        at_offset(3, 58, c),
        at_offset(3, 62, two),
        at_offset(4, 57, c),
    ]
}

/// Features of a token's tag, and of the tag before it, for the transition to its label.
pub(crate) fn transition_features(tags: Tags) -> [Feature; 3] {
    let [_, before, tag] = tags.map(u32::from);
    [Feature::new(90, 0, 0), Feature::new(91, tag, 0), Feature::new(92, before << 8 | tag, 0)]
}

/// Number of [`own_features`].
const OWN: usize = 12;

/// Features for a token's own label: of two words, of a word with tags, and of four tags in a row.
fn own_features(forms: &[WordForm], tags: &[u8], i: usize) -> [Feature; OWN] {
    let (here, before, after) = (form_at(forms, i, 0), form_at(forms, i, -1).lower, form_at(forms, i, 1).lower);
    let tag = |offset: isize| u32::from(tag_at(tags, i, offset));
    let (t3, t2, t1, t, u1, u2) = (tag(-3), tag(-2), tag(-1), tag(0), tag(1), tag(2));
    [
        Feature::new(55, before, here.lower),
        Feature::new(56, here.lower, after),
        Feature::new(69, here.lower, t),
        Feature::new(70, here.lower, t1),
        Feature::new(71, here.lower, u1),
        Feature::new(72, before, t),
        Feature::new(73, here.suffixes[2], t),
        Feature::new(74, here.shape, t1 << 8 | t),
        Feature::new(75, t2 << 16 | t1 << 8 | t, u1),
        Feature::new(76, t1 << 16 | t << 8 | u1, u2),
        Feature::new(77, after, t1 << 8 | t),
        Feature::new(78, t3 << 8 | t2, t1 << 8 | t),
    ]
}

/// The tag of the token at `i + offset` and the two before it.
pub(crate) fn tags_at(tags: &[u8], i: usize, offset: isize) -> Tags {
    [-2, -1, 0].map(|before| tag_at(tags, i, offset + before))
}

/// All features for a token's own label: the plain version of what [`ChunkScorer`] looks up.
#[cfg(any(test, feature = "train"))]
pub(crate) fn features(forms: &[WordForm], tags: &[u8], i: usize) -> impl Iterator<Item = Feature> {
    let around = (0..OFFSETS).flat_map(move |offset| {
        let from = REACH as isize - offset as isize;
        let word = word_features(form_at(forms, i, from).lower).into_iter();
        let here = move |f: OffsetFeature| (f.offset == offset).then_some(f.feature);
        word.chain(tag_features(tags_at(tags, i, from))).filter_map(here)
    });
    around.chain(own_features(forms, tags, i))
}

/// The scores of a token: its own labels, then its label after each label of the token before.
pub(crate) type TokenScores = [f32; ALL_LABELS];

/// Viterbi search.
#[derive(Debug, Default)]
pub(crate) struct Viterbi {
    /// For each token and label, the best label of the token before.
    back: Vec<[usize; LABELS]>,
    best: Vec<usize>,
}

impl Viterbi {
    /// The best sequence of labels.
    pub(crate) fn search(&mut self, scores: &[TokenScores]) -> &[usize] {
        self.best.clear();
        self.back.clear();
        // Outside precedes the sentence.
        let mut so_far = [f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0];
        for token in scores {
            let mut next = [f32::NEG_INFINITY; LABELS];
            let mut back = [0; LABELS];
            for to in 0..LABELS {
                for (before, &score) in so_far.iter().enumerate() {
                    let score = score + token[to] + token[transition(before, to)];
                    if may_follow(before, to) && score > next[to] {
                        (next[to], back[to]) = (score, before);
                    }
                }
            }
            so_far = next;
            self.back.push(back);
        }
        let mut label = (0..LABELS).rev().max_by(|&a, &b| so_far[a].total_cmp(&so_far[b])).unwrap_or(0);
        for back in self.back.iter().rev() {
            self.best.push(label);
            label = back[label];
        }
        self.best.reverse();
        &self.best
    }
}

/// Tokens whose own features are looked up together.
const BLOCK: usize = 16;

const WORD_ENTRIES: usize = 1 << 12;
const TAG_ENTRIES: usize = 1 << 12;

/// Scores for the labels of the tokens around a token.
type AroundSums = [i16; LABELS * OFFSETS];

/// The cached part of the scores that follows from a token's tag and those before it.
#[derive(Clone, Debug)]
struct TagSums {
    around: AroundSums,
    /// For the transitions to its label.
    transitions: [i16; LABELS * LABELS],
}

impl TagSums {
    const BLANK: Self = Self { around: [0; LABELS * OFFSETS], transitions: [0; LABELS * LABELS] };

    fn of(tags: Tags, weights: &Weights) -> Self {
        let mut sums = Self { around: around_sums(weights, tag_features(tags)), ..Self::BLANK };
        for row in weights.find_all(transition_features(tags)) {
            weights.each_cell(row, |label, weight| {
                let label = label.checked_sub(LABELS as u8);
                label.into_iter().for_each(|label| add(&mut sums.transitions, label, weight));
            });
        }
        sums
    }
}

/// A word and its tags, as the labels around it see them.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lower: u32,
    tags: Tags,
}

/// A chunker with the buffers and caches of one thread.
#[derive(Debug)]
pub(crate) struct ChunkScorer<'m> {
    weights: &'m Weights,
    words: ScoreCache<u32, AroundSums>,
    tags: ScoreCache<Tags, TagSums>,
    /// The tokens, and [`REACH`] positions outside the sentence on either side.
    seen: Vec<Seen>,
    /// Three scores for each token in [`REACH`] of one of these.
    own: Vec<i16>,
    scores: Vec<TokenScores>,
    viterbi: Viterbi,
}

impl<'m> ChunkScorer<'m> {
    pub(crate) fn new(chunker: &'m Chunker) -> Self {
        Self::with_entries(chunker, WORD_ENTRIES, TAG_ENTRIES)
    }

    /// With caches of so many entries: powers of two.
    pub(crate) fn with_entries(chunker: &'m Chunker, words: usize, tags: usize) -> Self {
        Self {
            weights: &chunker.weights,
            words: ScoreCache::new(words, [0; LABELS * OFFSETS]),
            tags: ScoreCache::new(tags, TagSums::BLANK),
            seen: Vec::new(),
            own: Vec::new(),
            scores: Vec::new(),
            viterbi: Viterbi::default(),
        }
    }

    /// Replaces `chunks` by those of a tagged sentence.
    pub(crate) fn chunk(&mut self, forms: &[WordForm], tags: &[u8], chunks: &mut Vec<Chunk>) {
        self.add_seen(forms, tags);
        self.add_own(forms, tags);
        let own = self.own[LABELS * 2 * REACH..].chunks_exact(LABELS);
        for (scores, own) in self.scores.iter_mut().zip(own) {
            scores.iter_mut().zip(own).for_each(|(score, own)| *score = f32::from(*own));
        }
        chunks.clear();
        chunks.extend(self.viterbi.search(&self.scores).iter().map(|&label| Chunk::ALL[label]));
    }

    /// Adds the features of each word, and of each tag with those before it, for the labels around.
    fn add_seen(&mut self, forms: &[WordForm], tags: &[u8]) {
        let Self { weights, words, seen, own, scores, .. } = self;
        seen.clear();
        for at in 0..forms.len() + 2 * REACH {
            let offset = at as isize - REACH as isize;
            let (lower, tags) = (form_at(forms, 0, offset).lower, tags_at(tags, 0, offset));
            words.prefetch(lower);
            self.tags.prefetch(hash(tags));
            seen.push(Seen { lower, tags });
        }
        own.clear();
        own.resize(LABELS * (seen.len() + 2 * REACH), 0);
        scores.clear();
        for (at, &Seen { lower, tags }) in seen.iter().enumerate() {
            let around = &mut own[LABELS * at..][..LABELS * OFFSETS];
            match words.get(lower, lower, || around_sums(weights, word_features(lower))) {
                Some(sums) => around.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum),
                None => add_around(weights, word_features(lower), around),
            }
            let uncached;
            let sums = match self.tags.get(hash(tags), tags, || TagSums::of(tags, weights)) {
                Some(sums) => sums,
                None => {
                    uncached = TagSums::of(tags, weights);
                    &uncached
                }
            };
            around.iter_mut().zip(&sums.around).for_each(|(score, sum)| *score += sum);
            if (REACH..REACH + forms.len()).contains(&at) {
                let mut all = [0.0; ALL_LABELS];
                all[LABELS..].iter_mut().zip(&sums.transitions).for_each(|(score, sum)| *score = f32::from(*sum));
                scores.push(all);
            }
        }
    }

    /// Adds [`own_features`].
    fn add_own(&mut self, forms: &[WordForm], tags: &[u8]) {
        let Self { weights, own, .. } = self;
        // Each pass over a block gives memory the time to answer the pass before.
        for base in (0..forms.len()).step_by(BLOCK) {
            let count = BLOCK.min(forms.len() - base);
            let mut probes = [[Probe::default(); OWN]; BLOCK];
            for (i, probes) in (base..).zip(&mut probes[..count]) {
                *probes = own_features(forms, tags, i).map(|f| weights.probe(f));
            }
            let mut rows = [[Row::EMPTY; OWN]; BLOCK];
            for (rows, probes) in rows.iter_mut().zip(&probes[..count]) {
                *rows = probes.map(|probe| weights.row(probe));
            }
            let own = own[LABELS * (base + 2 * REACH)..].chunks_exact_mut(LABELS);
            for (own, rows) in own.zip(&rows[..count]) {
                rows.iter().for_each(|row| weights.each_cell(*row, |label, weight| add(own, label, weight)));
            }
        }
    }
}

/// Adds the weights of features to the scores around a token.
fn add_around<const N: usize>(weights: &Weights, features: [OffsetFeature; N], around: &mut [i16]) {
    for (offset, probe) in features.map(|f| (f.offset, weights.probe(f.feature))) {
        let own = &mut around[LABELS * offset..][..LABELS];
        weights.each_cell(weights.row(probe), |label, weight| add(own, label, weight));
    }
}

fn around_sums<const N: usize>(weights: &Weights, features: [OffsetFeature; N]) -> AroundSums {
    let mut sums = [0; LABELS * OFFSETS];
    add_around(weights, features, &mut sums);
    sums
}

/// Adds a weight to the score of its label, if the label is one of these.
fn add(scores: &mut [i16], label: u8, weight: i8) {
    scores.get_mut(usize::from(label)).into_iter().for_each(|score| *score += i16::from(weight));
}

fn hash([a, b, c]: Tags) -> u32 {
    (u64::from(u32::from_le_bytes([a, b, c, 0])).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;
    use proptest::prelude::*;

    use super::*;
    use crate::{features::forms_of, weights::Cell};

    type Rows = HashMap<Feature, Vec<Cell>>;

    /// The chunks of a sentence, each feature looked up alone.
    fn plain_chunks(rows: &Rows, forms: &[WordForm], tags: &[u8]) -> Vec<Chunk> {
        let mut all = Vec::new();
        for i in 0..forms.len() {
            let mut scores = [0.0; ALL_LABELS];
            for feature in features(forms, tags, i).chain(transition_features(tags_at(tags, i, 0))) {
                for cell in rows.get(&feature).into_iter().flatten() {
                    scores[usize::from(cell.label)] += f32::from(cell.weight);
                }
            }
            all.push(scores);
        }
        Viterbi::default().search(&all).iter().map(|&label| Chunk::ALL[label]).collect()
    }

    const WORD: &str = "[a-z]{1,4}(ing|ed|s)?|the|of|[A-Z][a-z]{0,3}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_scorer_agrees_with_the_plain_version(
            sentences in prop::collection::vec(prop::collection::vec((WORD, 0u8..50), 1..40), 1..20)
        ) {
            thread_local!(static ROWS: Rows = {
                let rows = crate::test_model().chunker.weights.rows();
                rows.into_iter().map(|row| (row.feature, row.cells)).collect()
            });
            // With few entries, most words and tags evict others.
            let mut scorer = ChunkScorer::with_entries(&crate::test_model().chunker, 4, 4);
            let (mut forms, mut chunks) = (Vec::new(), Vec::new());
            for sentence in sentences.iter().chain(&sentences) {
                forms_of(sentence.iter().map(|token| token.0.as_str()), &mut forms, &mut Vec::new());
                let tags: Vec<u8> = sentence.iter().map(|token| token.1).collect();
                scorer.chunk(&forms, &tags, &mut chunks);
                prop_assert_eq!(&chunks, &ROWS.with(|rows| plain_chunks(rows, &forms, &tags)));
            }
        }
    }

    #[test]
    fn spans_begin_at_begin_or_after_outside() {
        use Chunk::{Begin, Inside, Outside};
        assert_eq!(spans(&[Inside, Inside, Outside, Begin, Begin, Inside, Outside]), [0..2, 3..4, 4..6]);
        assert_eq!(spans(&[Outside, Inside, Begin]), [1..2, 2..3]);
    }
}
