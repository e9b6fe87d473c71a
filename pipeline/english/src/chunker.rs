//! Base noun phrases: a structured averaged perceptron with Viterbi search over begin, inside and outside.
use super::{
    features::{Record, feature, near},
    memo::Memo,
    perceptron::{MOST_LABELS, Row, Sought, Training, Weights},
    tagger::NO_TAG,
    treebank::Chunk,
};

/// Marks the noun phrases of a tagged sentence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunker {
    pub(super) weights: Weights,
}

/// Averaged weights under this are left out.
const LEAST: f64 = 0.05;

const LABELS: usize = 3;
/// A token's own labels, and those after each label before it.
const ALL_LABELS: usize = LABELS + LABELS * LABELS;

/// The label of a transition's weight: labels below are those of the tokens themselves.
fn transition(from: usize, to: usize) -> usize {
    LABELS + LABELS * from + to
}

/// Whether one may follow the other: nothing goes on that has not begun.
fn may_follow(from: usize, to: usize) -> bool {
    !(from == Chunk::Outside as usize && to == Chunk::Inside as usize)
}

/// A word and its tag are seen by the labels of so many tokens on either side.
const REACH: usize = 2;
/// Where they are, from two tokens before to two after; the token's own is the third.
const PLACES: usize = 2 * REACH + 1;

/// What a word is to the labels around it: places, and a feature of each.
fn word_features(lower: u32) -> [(usize, u32); PLACES] {
    [(0, 54), (1, 53), (2, 52), (3, 51), (4, 50)].map(|(place, template)| (place, feature(template, lower, 0)))
}

/// Tags of three tokens in a row.
type Tags = [u8; 3];

/// What the last of three tags is, with those before it, to the labels around it: places, and a feature of each.
fn tag_features(tags: Tags) -> [(usize, u32); 12] {
    let [a, b, c] = tags.map(u32::from);
    let (two, three) = (b << 8 | c, a << 16 | b << 8 | c);
    [
        (0, feature(61, c, 0)),
        (0, feature(65, two, 0)),
        (0, feature(68, three, 0)),
        (1, feature(60, c, 0)),
        (1, feature(64, two, 0)),
        (1, feature(67, three, 0)),
        (2, feature(59, c, 0)),
        (2, feature(63, two, 0)),
        (2, feature(66, three, 0)),
        (3, feature(58, c, 0)),
        (3, feature(62, two, 0)),
        (4, feature(57, c, 0)),
    ]
}

/// What a token's tag and the one before it are to its label after that of the token before.
fn transition_features(tags: Tags) -> [u32; 3] {
    let [_, before, tag] = tags.map(u32::from);
    [feature(90, 0, 0), feature(91, tag, 0), feature(92, before << 8 | tag, 0)]
}

const OWN: usize = 12;

/// What a word with its neighbours or with tags, and four tags in a row, are to its label alone.
fn own_features(records: &[Record], tags: &[u8], i: usize) -> [u32; OWN] {
    let (here, before, after) = (near(records, i, 0), near(records, i, -1).lower, near(records, i, 1).lower);
    let tag = |by: isize| u32::from(tag_near(tags, i, by));
    let (t3, t2, t1, t, u1, u2) = (tag(-3), tag(-2), tag(-1), tag(0), tag(1), tag(2));
    [
        feature(55, before, here.lower),
        feature(56, here.lower, after),
        feature(69, here.lower, t),
        feature(70, here.lower, t1),
        feature(71, here.lower, u1),
        feature(72, before, t),
        feature(73, here.suffixes[2], t),
        feature(74, here.shape, t1 << 8 | t),
        feature(75, t2 << 16 | t1 << 8 | t, u1),
        feature(76, t1 << 16 | t << 8 | u1, u2),
        feature(77, after, t1 << 8 | t),
        feature(78, t3 << 8 | t2, t1 << 8 | t),
    ]
}

/// The tag of a token, or of what is outside the sentence.
fn tag_near(tags: &[u8], i: usize, by: isize) -> u8 {
    i.checked_add_signed(by).and_then(|at| tags.get(at)).copied().unwrap_or(NO_TAG)
}

/// A token's tag and the two before it; the token may be outside the sentence.
fn last_tags(tags: &[u8], i: usize, by: isize) -> Tags {
    [-2, -1, 0].map(|before| tag_near(tags, i, by + before))
}

/// The features of a token for its own label.
fn features(records: &[Record], tags: &[u8], i: usize) -> impl Iterator<Item = u32> {
    let seen = (0..PLACES).flat_map(move |place| {
        let by = REACH as isize - place as isize;
        let word = word_features(near(records, i, by).lower).into_iter();
        let here = move |(at, feature)| (at == place).then_some(feature);
        word.chain(tag_features(last_tags(tags, i, by))).filter_map(here)
    });
    seen.chain(own_features(records, tags, i))
}

/// The best labels, from each token's scores: its own three, and three for each label before it.
fn viterbi(scores: &[[f32; ALL_LABELS]], from: &mut Vec<[usize; LABELS]>, best: &mut Vec<usize>) {
    best.clear();
    from.clear();
    // Before the sentence is outside.
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
        from.push(back);
    }
    let mut label = (0..LABELS).rev().max_by(|&a, &b| so_far[a].total_cmp(&so_far[b])).unwrap_or(0);
    for back in from.iter().rev() {
        best.push(label);
        label = back[label];
    }
    best.reverse();
}

impl Chunker {
    /// Trains on sentences: records, tags as the tagger gives them, and chunks.
    pub(super) fn train(
        sentences: &[(&[Record], &[u8], &[Chunk])],
        epochs: u32,
        order: impl Fn(u32, &mut Vec<usize>),
    ) -> Self {
        let mut training = Training::default();
        let mut places: Vec<usize> = (0..sentences.len()).collect();
        let (mut scores, mut from, mut best) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 0..epochs {
            order(epoch, &mut places);
            for &place in &places {
                let (records, tags, chunks) = sentences[place];
                scores.clear();
                for i in 0..records.len() {
                    let mut of = [0.0; MOST_LABELS];
                    let transitions = transition_features(last_tags(tags, i, 0));
                    features(records, tags, i).chain(transitions).for_each(|f| training.score(f, &mut of));
                    scores.push(std::array::from_fn(|label| of[label]));
                }
                viterbi(&scores, &mut from, &mut best);
                training.step();
                let mut before = [Chunk::Outside as usize; 2];
                for i in 0..records.len() {
                    let (given, wanted) = (best[i], chunks[i] as usize);
                    let steps = [transition(before[0], given), transition(before[1], wanted)];
                    if given != wanted {
                        for feature in features(records, tags, i) {
                            training.update(feature, wanted as u8, 1.0);
                            training.update(feature, given as u8, -1.0);
                        }
                    }
                    if steps[0] != steps[1] {
                        for feature in transition_features(last_tags(tags, i, 0)) {
                            training.update(feature, steps[1] as u8, 1.0);
                            training.update(feature, steps[0] as u8, -1.0);
                        }
                    }
                    before = [given, wanted];
                }
            }
        }
        Self { weights: training.finish(LEAST) }
    }
}

/// Tokens whose own features are looked up together.
const BLOCK: usize = 16;

/// What a word weighs: for the labels of the tokens around it, from two before to two after.
type WordSums = [i16; LABELS * PLACES];

/// What a token's tag and those before it weigh together.
#[derive(Clone, Debug)]
struct TagSums {
    /// For the labels of the tokens around it.
    around: [i16; LABELS * PLACES],
    /// For its own label after each label before it.
    after: [i16; LABELS * LABELS],
}

impl TagSums {
    const BLANK: Self = Self { around: [0; LABELS * PLACES], after: [0; LABELS * LABELS] };

    fn of(tags: Tags, weights: &Weights) -> Self {
        let mut sums = Self { around: around_of(weights, tag_features(tags)), ..Self::BLANK };
        for row in weights.find_all(transition_features(tags)) {
            weights.each(row, |label, weight| {
                label.checked_sub(LABELS as u8).into_iter().for_each(|label| add(&mut sums.after, label, weight));
            });
        }
        sums
    }
}

/// A chunker at work: what it has added up is kept for the next time.
#[derive(Debug)]
pub(super) struct Scorer<'m> {
    weights: &'m Weights,
    words: Memo<u32, WordSums>,
    tags: Memo<Tags, TagSums>,
    /// Words and tags of the tokens, and of [`REACH`] outside the sentence on either side.
    seen: Vec<(u32, Tags)>,
    /// Labels' scores of all tokens that these see, three a token.
    own: Vec<i16>,
    scores: Vec<[f32; ALL_LABELS]>,
    from: Vec<[usize; LABELS]>,
    best: Vec<usize>,
}

impl<'m> Scorer<'m> {
    /// With this chunker.
    pub fn new(chunker: &'m Chunker) -> Self {
        Self {
            weights: &chunker.weights,
            words: Memo::new(1 << 12, [0; LABELS * PLACES]),
            tags: Memo::new(1 << 12, TagSums::BLANK),
            seen: Vec::new(),
            own: Vec::new(),
            scores: Vec::new(),
            from: Vec::new(),
            best: Vec::new(),
        }
    }

    /// Marks the noun phrases of a sentence; `chunks` is dropped.
    pub fn chunk(&mut self, records: &[Record], tags: &[u8], chunks: &mut Vec<Chunk>) {
        self.add_seen(records, tags);
        self.add_own(records, tags);
        let own = self.own[LABELS * 2 * REACH..].chunks_exact(LABELS);
        for (scores, own) in self.scores.iter_mut().zip(own) {
            scores.iter_mut().zip(own).for_each(|(score, own)| *score = f32::from(*own));
        }
        viterbi(&self.scores, &mut self.from, &mut self.best);
        chunks.clear();
        chunks.extend(self.best.iter().map(|&label| Chunk::ALL[label]));
    }

    /// Adds what each word, and each tag with those before it, says of the labels around it.
    fn add_seen(&mut self, records: &[Record], tags: &[u8]) {
        let Self { weights, words, seen, own, scores, .. } = self;
        seen.clear();
        for at in 0..records.len() + 2 * REACH {
            let by = at as isize - REACH as isize;
            let (word, tags) = (near(records, 0, by).lower, last_tags(tags, 0, by));
            words.prefetch(word);
            self.tags.prefetch(hash(tags));
            seen.push((word, tags));
        }
        own.clear();
        own.resize(LABELS * (seen.len() + 2 * REACH), 0);
        scores.clear();
        for (at, &(word, tags)) in seen.iter().enumerate() {
            let around = &mut own[LABELS * at..][..LABELS * PLACES];
            match words.get(word, word, || around_of(weights, word_features(word))) {
                Some(sums) => around.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum),
                None => add_around(weights, word_features(word), around),
            }
            let rare;
            let sums = match self.tags.get(hash(tags), tags, || TagSums::of(tags, weights)) {
                Some(sums) => sums,
                None => {
                    rare = TagSums::of(tags, weights);
                    &rare
                }
            };
            around.iter_mut().zip(&sums.around).for_each(|(score, sum)| *score += sum);
            if (REACH..REACH + records.len()).contains(&at) {
                let mut all = [0.0; ALL_LABELS];
                all[LABELS..].iter_mut().zip(&sums.after).for_each(|(score, sum)| *score = f32::from(*sum));
                scores.push(all);
            }
        }
    }

    /// Adds what is said of one label alone.
    fn add_own(&mut self, records: &[Record], tags: &[u8]) {
        let Self { weights, own, .. } = self;
        // In steps, with time for the memory between them.
        for base in (0..records.len()).step_by(BLOCK) {
            let count = BLOCK.min(records.len() - base);
            let mut sought = [[Sought::default(); OWN]; BLOCK];
            for (i, sought) in (base..).zip(&mut sought[..count]) {
                *sought = own_features(records, tags, i).map(|f| weights.seek(f));
            }
            let mut rows = [[Row::NONE; OWN]; BLOCK];
            for (rows, sought) in rows.iter_mut().zip(&sought[..count]) {
                *rows = sought.map(|sought| weights.find(sought));
            }
            let own = own[LABELS * (base + 2 * REACH)..].chunks_exact_mut(LABELS);
            for (own, rows) in own.zip(&rows[..count]) {
                rows.iter().for_each(|row| weights.each(*row, |label, weight| add(own, label, weight)));
            }
        }
    }
}

/// Adds features' weights to the scores of labels around a token.
fn add_around<const N: usize>(weights: &Weights, features: [(usize, u32); N], around: &mut [i16]) {
    for (place, sought) in features.map(|(place, f)| (place, weights.seek(f))) {
        let own = &mut around[LABELS * place..][..LABELS];
        weights.each(weights.find(sought), |label, weight| add(own, label, weight));
    }
}

/// Sums of features' weights for the labels around a token.
fn around_of<const N: usize>(weights: &Weights, features: [(usize, u32); N]) -> [i16; LABELS * PLACES] {
    let mut sums = [0; LABELS * PLACES];
    add_around(weights, features, &mut sums);
    sums
}

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
    use crate::{features::records_of, model::Model};

    /// The chunks of a sentence, each feature looked up by itself.
    fn slowly(rows: &HashMap<u32, Vec<(u8, i8)>>, records: &[Record], tags: &[u8]) -> Vec<Chunk> {
        let mut all = Vec::new();
        for i in 0..records.len() {
            let mut scores = [0.0; ALL_LABELS];
            for feature in features(records, tags, i).chain(transition_features(last_tags(tags, i, 0))) {
                for (label, weight) in rows.get(&feature).into_iter().flatten() {
                    scores[usize::from(*label)] += f32::from(*weight);
                }
            }
            all.push(scores);
        }
        let mut best = Vec::new();
        viterbi(&all, &mut Vec::new(), &mut best);
        best.iter().map(|&label| Chunk::ALL[label]).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_scorer_gives_what_features_one_by_one_do(
            sentences in prop::collection::vec(prop::collection::vec(("[a-z]{1,4}(ing|ed|s)?|the|of|[A-Z][a-z]{0,3}", 0u8..50), 1..40), 1..20)
        ) {
            thread_local!(static ROWS: HashMap<u32, Vec<(u8, i8)>> = Model::embedded().chunker.weights.rows().into_iter().collect());
            let chunker = &Model::embedded().chunker;
            // Few places: most words and tags find others in theirs.
            let mut scorer = Scorer { words: Memo::new(4, [0; LABELS * PLACES]), tags: Memo::new(4, TagSums::BLANK), ..Scorer::new(chunker) };
            let (mut records, mut chunks) = (Vec::new(), Vec::new());
            for sentence in sentences.iter().chain(&sentences) {
                records_of(sentence.iter().map(|token| token.0.as_str()), &mut records, &mut Vec::new());
                let tags: Vec<u8> = sentence.iter().map(|token| token.1).collect();
                scorer.chunk(&records, &tags, &mut chunks);
                prop_assert_eq!(&chunks, &ROWS.with(|rows| slowly(rows, &records, &tags)));
            }
        }
    }
}
