//! Tag-guided segmentation: the text as a sequence of phrases and words (section F of the
//! specification).
//!
//! Each segment is cut into the pieces with the largest sum of log scores, by dynamic programming
//! (Viterbi). How likely two tags are inside a piece is estimated from the last segmentation. Only
//! the occurrences of a candidate that are pieces, not every occurrence of its words, are its
//! rectified count.
use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::prelude::*;

use crate::{
    error::SpillError,
    ids::NodeId,
    occurrences::FindOccurrences,
    parallel,
    passages::{Passage, PassageBuffer, Passages},
    pieces::{Costs, Pieces, Transitions},
    tokens::TAGS,
    trie::PREFETCH_DISTANCE,
};

/// The last pass is the first that changes the log-likelihood by a smaller part.
const TOLERANCE: f64 = 1e-8;
const MAX_PASSES: u32 = 10;
/// Transitions are a few thousand numbers, so at most this many chunks, 17 million words, are
/// enough to estimate them.
const MAX_SAMPLED_CHUNKS: usize = 64;

/// The segmentation of a text, with its estimate of how tags belong together.
pub(crate) struct Segmentation<'a> {
    passages: &'a Passages<'a>,
    chunks: Vec<Range<usize>>,
    /// The chunks on which transitions are estimated.
    sample: Vec<Range<usize>>,
    /// How often each pair of tags occurs within a segment of the sample.
    neighbors: Vec<u64>,
    transitions: Transitions,
}

impl<'a> Segmentation<'a> {
    /// At first, all pairs of tags are equally likely inside a piece; without tags, half of them are.
    pub(crate) fn new(passages: &'a Passages<'a>) -> Result<Self, SpillError> {
        let chunks = passages.tokens().chunks_of_segments();
        let sample = spread(&chunks, MAX_SAMPLED_CHUNKS);
        let neighbors = count_neighbors(passages, &sample)?;
        let tags = passages.tokens().distinct_tags().max(2);
        let transitions = Transitions::uniform(1.0 / f64::from(tags));
        Ok(Self { passages, chunks, sample, neighbors, transitions })
    }

    /// Estimates the transitions, pass by pass. `on_pass` is called with the number of each pass.
    pub(crate) fn estimate(&mut self, pieces: &Pieces, mut on_pass: impl FnMut(u32)) -> Result<(), SpillError> {
        let mut last = f64::INFINITY;
        for pass in 1..=MAX_PASSES {
            on_pass(pass);
            let Pass { likelihood, joined } = self.pass(pieces)?;
            self.transitions.update(&joined, &self.neighbors);
            if (likelihood - last).abs() < TOLERANCE * last.abs() {
                break;
            }
            last = likelihood;
        }
        Ok(())
    }

    /// Segments the sample.
    fn pass(&self, pieces: &Pieces) -> Result<Pass, SpillError> {
        let cutter = self.cutter(pieces);
        let state = || (PassageBuffer::default(), Workspace::default());
        let passes = self.sample.par_iter().map_init(state, |(buffer, workspace), chunk| {
            let passage = self.passages.read(chunk.clone(), buffer)?;
            let mut pass = Pass::default();
            for segment in passage.segments() {
                pass.likelihood += cutter.cut(&passage, segment, workspace, |piece, _| {
                    for place in piece.start..piece.end - 1 {
                        pass.joined[passage.tag_pair(place)] += 1;
                    }
                });
            }
            Ok::<_, SpillError>(pass)
        });
        let passes: Vec<Pass> = passes.collect::<Result<_, _>>()?;
        // In the order of the chunks: a sum of fractions depends on it.
        let mut sum = Pass { likelihood: passes.iter().map(|pass| pass.likelihood).sum(), ..Pass::default() };
        passes.iter().for_each(|pass| add(&mut sum.joined, &pass.joined));
        Ok(sum)
    }

    /// Cuts segments by the present estimate.
    pub(crate) fn cutter<'p>(&self, pieces: &'p Pieces) -> Cutter<'p> {
        Cutter { costs: Costs::new(pieces, &self.transitions) }
    }

    /// How often each of the first `nodes` nodes is a piece of the text.
    pub(crate) fn counts(&self, nodes: usize, cutter: &Cutter<'_>) -> Result<Vec<u64>, SpillError> {
        let counts: Vec<AtomicU64> = (0..nodes).map(|_| AtomicU64::new(0)).collect();
        parallel::for_each(
            self.chunks.len(),
            || (PassageBuffer::default(), Workspace::default()),
            |(buffer, workspace), number| {
                let passage = self.passages.read(self.chunks[number].clone(), buffer)?;
                for segment in passage.segments() {
                    cutter.cut(&passage, segment, workspace, |_, node| {
                        if let Some(count) = counts.get(node.index()) {
                            count.fetch_add(1, Relaxed);
                        }
                    });
                }
                Ok(())
            },
            |_| Ok(()),
        )?;
        Ok(counts.into_iter().map(AtomicU64::into_inner).collect())
    }
}

/// The result of one segmentation of the sample.
struct Pass {
    /// Sum of the scores of all segments.
    likelihood: f64,
    /// How often each pair of tags is inside a piece.
    joined: Vec<u64>,
}

impl Default for Pass {
    fn default() -> Self {
        Self { likelihood: 0.0, joined: vec![0; TAGS * TAGS] }
    }
}

/// Cuts segments into their best pieces.
pub(crate) struct Cutter<'a> {
    costs: Costs<'a>,
}

/// Buffers for one segment.
#[derive(Default)]
pub(crate) struct Workspace {
    /// The best score of the words before each place.
    best: Vec<f64>,
    /// The last piece of the best cut before each place.
    last_pieces: Vec<LastPiece>,
    /// Sum of the costs of joining the words up to each.
    joined: Vec<f64>,
}

#[derive(Clone, Copy, Default)]
struct LastPiece {
    start: u32,
    node: NodeId,
}

impl Cutter<'_> {
    /// Cuts a segment into its best pieces and calls back with each, from the last to the first.
    /// Returns the sum of their scores.
    fn cut(
        &self,
        passage: &Passage<'_>,
        segment: Range<usize>,
        workspace: &mut Workspace,
        mut on_piece: impl FnMut(Range<usize>, NodeId),
    ) -> f64 {
        let Self { costs } = self;
        let Workspace { best, last_pieces, joined } = workspace;
        let length = segment.len();
        best.clear();
        best.resize(length + 1, f64::NEG_INFINITY);
        best[0] = 0.0;
        last_pieces.clear();
        last_pieces.resize(length + 1, LastPiece::default());
        joined.clear();
        joined.push(0.0);
        let mut sum = 0.0;
        for place in segment.start..segment.end - 1 {
            sum += costs.inside[passage.tag_pair(place)];
            joined.push(sum);
        }
        for start in 0..length {
            let place = segment.start + start;
            self.prefetch_ahead(passage.longest, place);
            let so_far = best[start] - joined[start];
            let mut node = passage.longest[place];
            let mut piece = costs.pieces.get(node);
            let mut end = start + piece.words as usize;
            loop {
                let mut score = so_far + joined[end - 1] + piece.score;
                if end < length {
                    score += costs.end[passage.tag_pair(segment.start + end - 1)];
                }
                if score > best[end] {
                    best[end] = score;
                    last_pieces[end] = LastPiece { start: start as u32, node };
                }
                if piece.parent == NodeId::NONE {
                    break;
                }
                (node, end) = (piece.parent, end - 1);
                piece = costs.pieces.get(node);
            }
        }
        let mut end = length;
        while end > 0 {
            let LastPiece { start, node } = last_pieces[end];
            on_piece(segment.start + start as usize..segment.start + end, node);
            end = start as usize;
        }
        best[length]
    }

    /// Prefetches the piece of a word further on, and the parent of a piece that was prefetched
    /// before.
    #[inline]
    fn prefetch_ahead(&self, longest: &[NodeId], place: usize) {
        let Self { costs } = self;
        if let Some(&node) = longest.get(place + PREFETCH_DISTANCE) {
            costs.pieces.prefetch(node);
            costs.pieces.prefetch(costs.pieces.get(longest[place + PREFETCH_DISTANCE / 2]).parent);
        }
    }
}

impl FindOccurrences for Cutter<'_> {
    type Workspace = Workspace;

    fn find(
        &self,
        passage: &Passage<'_>,
        segment: Range<usize>,
        workspace: &mut Workspace,
        on_occurrence: impl FnMut(Range<usize>, NodeId),
    ) {
        self.cut(passage, segment, workspace, on_occurrence);
    }
}

/// At most `most` of the chunks, evenly spread over the text.
fn spread(chunks: &[Range<usize>], most: usize) -> Vec<Range<usize>> {
    let count = chunks.len().min(most);
    (0..count).map(|i| chunks[i * chunks.len() / count].clone()).collect()
}

/// How often each pair of tags occurs within a segment.
fn count_neighbors(passages: &Passages<'_>, chunks: &[Range<usize>]) -> Result<Vec<u64>, SpillError> {
    let zero = || vec![0u64; TAGS * TAGS];
    let counts = chunks.par_iter().map_init(PassageBuffer::default, |buffer, chunk| {
        let passage = passages.read(chunk.clone(), buffer)?;
        let mut counts = zero();
        for place in (0..passage.words.len()).filter(|&place| !passage.words[place].ends_segment()) {
            counts[passage.tag_pair(place)] += 1;
        }
        Ok::<_, SpillError>(counts)
    });
    counts.try_reduce(zero, |mut a: Vec<u64>, b: Vec<u64>| {
        add(&mut a, &b);
        Ok(a)
    })
}

fn add(to: &mut [u64], counts: &[u64]) {
    to.iter_mut().zip(counts).for_each(|(a, b)| *a += b);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ids::WordId,
        testing::{candidates_of, random_text},
        trie::Trie,
    };

    #[test]
    fn a_sample_is_all_or_evenly_spread() {
        let chunks: Vec<Range<usize>> = (0..10).map(|i| 3 * i..3 * i + 3).collect();
        assert_eq!(spread(&chunks, 10), chunks);
        assert_eq!(spread(&chunks, 64), chunks);
        assert_eq!(spread(&chunks, 4), [0..3, 6..9, 15..18, 21..24]);
        assert!(spread(&[], 64).is_empty());
    }

    /// The best score of a segment, by trying all ways to cut it.
    fn best_by_trying(cutter: &Cutter<'_>, trie: &Trie<'_>, passage: &Passage<'_>, segment: Range<usize>) -> f64 {
        if segment.is_empty() {
            return 0.0;
        }
        let costs = &cutter.costs;
        let mut best = f64::NEG_INFINITY;
        let mut node = Some(passage.words[segment.start].id().into());
        let mut inside = 0.0;
        for end in segment.start + 1..=segment.end {
            let Some(here) = node else { break };
            let mut score = inside + costs.pieces.get(here).score;
            if end < segment.end {
                score += costs.end[passage.tag_pair(end - 1)];
                inside += costs.inside[passage.tag_pair(end - 1)];
                node = trie.child(here, passage.words[end].id());
            }
            best = best.max(score + best_by_trying(cutter, trie, passage, end..segment.end));
        }
        best
    }

    proptest! {
        #[test]
        fn a_segment_is_cut_into_the_best_pieces(
            tokens in random_text(60),
            qualities in prop::collection::vec(0.01f64..1.0, 400),
        ) {
            let candidates = candidates_of(&tokens, 2, 4);
            // Listed phrases; whether they are candidates depends on the text.
            let listed = [vec![0, 1, 2], vec![3, 3]].map(|ids| ids.into_iter().map(WordId::new).collect::<Vec<_>>());
            let trie = Trie::new(&candidates, listed.iter().map(Vec::as_slice)).unwrap();
            let passages = Passages::new(&tokens, trie.longest_nodes(&tokens).unwrap());
            let mut segmentation = Segmentation::new(&passages).unwrap();
            let mut buffer = PassageBuffer::default();
            let passage = passages.read(0..tokens.len(), &mut buffer).unwrap();
            let quality: Vec<f64> = (0..candidates.len()).map(|node| qualities[node % qualities.len()]).collect();
            // Some candidates are not pieces.
            let mut counts = candidates.counts().to_vec();
            counts.iter_mut().skip(candidates.words()).step_by(3).for_each(|count| *count = 0);
            let pieces = Pieces::new(&trie, &counts, &quality);
            for _ in 0..2 {
                let cutter = segmentation.cutter(&pieces);
                let mut workspace = Workspace::default();
                for segment in passage.segments().filter(|s| s.len() <= 12) {
                    let mut cut = Vec::new();
                    let found = cutter.cut(&passage, segment.clone(), &mut workspace, |place, node| cut.push((place, node)));
                    let wanted = best_by_trying(&cutter, &trie, &passage, segment.clone());
                    prop_assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{found} {wanted}");
                    // Pieces cover the segment from its end to its start, and each is its node's
                    // words.
                    let mut end = segment.end;
                    for (place, node) in cut {
                        prop_assert_eq!(place.end, end);
                        let walked = place.clone().skip(1).try_fold(passage.words[place.start].id().into(), |node, at| {
                            trie.child(node, passage.words[at].id())
                        });
                        prop_assert_eq!(walked, Some(node));
                        end = place.start;
                    }
                    prop_assert_eq!(end, segment.start);
                }
                segmentation.estimate(&pieces, |_| {}).unwrap();
            }
        }
    }
}
