//! Base noun phrases: a structured averaged perceptron with Viterbi search over begin, inside and outside.
use super::{
    features::{Record, feature},
    perceptron::{MOST_LABELS, Row, Training, Weights},
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
const EMISSIONS: usize = 29;
const TRANSITIONS: usize = 3;
/// A token's own labels, and those after each label before it.
const ALL_LABELS: usize = LABELS + LABELS * LABELS;
/// Tokens whose features are found together.
const BLOCK: usize = 16;

/// The label of a transition's weight: labels below are those of the tokens themselves.
fn transition(from: usize, to: usize) -> usize {
    LABELS + LABELS * from + to
}

/// Whether one may follow the other: nothing goes on that has not begun.
fn may_follow(from: usize, to: usize) -> bool {
    !(from == Chunk::Outside as usize && to == Chunk::Inside as usize)
}

/// The features of a token for its own label, and those for its label after that of the token before.
fn features(records: &[Record], tags: &[u8], i: usize) -> ([u32; EMISSIONS], [u32; TRANSITIONS]) {
    let record = |by: isize| i.checked_add_signed(by).and_then(|at| records.get(at)).unwrap_or(&Record::OUTSIDE);
    let tag = |by: isize| i.checked_add_signed(by).and_then(|at| tags.get(at)).map_or(255, |t| u32::from(*t));
    let (w2, w1, w, v1, v2) = (record(-2).lower, record(-1).lower, record(0).lower, record(1).lower, record(2).lower);
    let (t3, t2, t1, t, u1, u2) = (tag(-3), tag(-2), tag(-1), tag(0), tag(1), tag(2));
    let own = [
        feature(50, w2, 0),
        feature(51, w1, 0),
        feature(52, w, 0),
        feature(53, v1, 0),
        feature(54, v2, 0),
        feature(55, w1, w),
        feature(56, w, v1),
        feature(57, t2, 0),
        feature(58, t1, 0),
        feature(59, t, 0),
        feature(60, u1, 0),
        feature(61, u2, 0),
        feature(62, t2 << 8 | t1, 0),
        feature(63, t1 << 8 | t, 0),
        feature(64, t << 8 | u1, 0),
        feature(65, u1 << 8 | u2, 0),
        feature(66, t2 << 16 | t1 << 8 | t, 0),
        feature(67, t1 << 16 | t << 8 | u1, 0),
        feature(68, t << 16 | u1 << 8 | u2, 0),
        feature(69, w, t),
        feature(70, w, t1),
        feature(71, w, u1),
        feature(72, w1, t),
        feature(73, record(0).suffixes[2], t),
        feature(74, record(0).shape, t1 << 8 | t),
        feature(75, t2 << 16 | t1 << 8 | t, u1),
        feature(76, t1 << 16 | t << 8 | u1, u2),
        feature(77, v1, t1 << 8 | t),
        feature(78, t3 << 8 | t2, t1 << 8 | t),
    ];
    let after = [feature(90, 0, 0), feature(91, t, 0), feature(92, t1 << 8 | t, 0)];
    (own, after)
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

/// Room that [`Chunker::chunk`] works in.
#[derive(Debug)]
pub(super) struct Scratch {
    features: [[u32; EMISSIONS + TRANSITIONS]; BLOCK],
    rows: [[Row; EMISSIONS + TRANSITIONS]; BLOCK],
    scores: Vec<[f32; ALL_LABELS]>,
    from: Vec<[usize; LABELS]>,
    best: Vec<usize>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            features: [[0; EMISSIONS + TRANSITIONS]; BLOCK],
            rows: [[Row::default(); EMISSIONS + TRANSITIONS]; BLOCK],
            scores: Vec::new(),
            from: Vec::new(),
            best: Vec::new(),
        }
    }
}

impl Chunker {
    /// Marks the noun phrases of a sentence; `chunks` is dropped.
    pub(super) fn chunk(&self, records: &[Record], tags: &[u8], scratch: &mut Scratch, chunks: &mut Vec<Chunk>) {
        scratch.scores.clear();
        // As in the tagger: the features of a block are found in steps, with time for the memory between them.
        for base in (0..records.len()).step_by(BLOCK) {
            let count = BLOCK.min(records.len() - base);
            for at in 0..count {
                let (own, after) = features(records, tags, base + at);
                let all = &mut scratch.features[at];
                all[..EMISSIONS].copy_from_slice(&own);
                all[EMISSIONS..].copy_from_slice(&after);
                all.iter().for_each(|f| self.weights.fetch(*f));
            }
            for at in 0..count {
                scratch.rows[at] = scratch.features[at].map(|f| self.weights.find(f));
            }
            for rows in &scratch.rows[..count] {
                let mut scores = [0; MOST_LABELS];
                rows.iter().for_each(|row| self.weights.add(*row, &mut scores));
                scratch.scores.push(std::array::from_fn(|label| scores[label] as f32));
            }
        }
        viterbi(&scratch.scores, &mut scratch.from, &mut scratch.best);
        chunks.clear();
        chunks.extend(scratch.best.iter().map(|&label| Chunk::ALL[label]));
    }

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
                    let (own, after) = features(records, tags, i);
                    let mut of = [0.0; MOST_LABELS];
                    own.into_iter().chain(after).for_each(|f| training.score(f, &mut of));
                    scores.push(std::array::from_fn(|label| of[label]));
                }
                viterbi(&scores, &mut from, &mut best);
                training.step();
                let mut before = [Chunk::Outside as usize; 2];
                for i in 0..records.len() {
                    let (given, wanted) = (best[i], chunks[i] as usize);
                    let steps = [transition(before[0], given), transition(before[1], wanted)];
                    let (own, after) = features(records, tags, i);
                    if given != wanted {
                        for feature in own {
                            training.update(feature, wanted as u8, 1.0);
                            training.update(feature, given as u8, -1.0);
                        }
                    }
                    if steps[0] != steps[1] {
                        for feature in after {
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
