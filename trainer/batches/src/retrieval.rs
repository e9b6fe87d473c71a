//! Retrieval of a product's neighbor among held-out products: ranks, and two baselines that need no
//! model.
use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use serde::{Deserialize, Serialize};

use crate::{
    pairs::{KnownNeighbors, PairBlock},
    vocabulary::Vocabulary,
    words::Bags,
};

/// Whose neighbors are to be found, and among which products.
#[derive(Debug, Default)]
pub struct Retrieval {
    /// One of each held-out pair.
    queries: Vec<Query>,
    /// The sides that are candidates: neighbors and negatives of all pairs, those with the same
    /// tokens once.
    candidates: Vec<usize>,
    /// By the words that two products have in common, over those that either has.
    pub word_overlap: Ranks,
    /// By the cosine of tf-idf vectors of their words.
    pub tf_idf: Ranks,
}

/// The anchor of a pair. Sides are counted over all pairs: the anchor, neighbor and negative of the
/// first, and so on.
#[derive(Debug)]
struct Query {
    anchor: usize,
    /// Which candidate is the neighbor.
    neighbor: usize,
    /// Candidates that do not count: the anchor itself, and its other neighbors.
    left_out: HashSet<usize>,
}

/// How well neighbors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    /// Mean of 1 / rank. Among equally similar candidates the rank is the middle one.
    pub mrr: f64,
    /// The ratio of neighbors that come first.
    pub recall_at_1: f64,
    /// The ratio of neighbors among the first ten.
    pub recall_at_10: f64,
}

/// The most pairs whose neighbors are looked for: time and memory grow with the square.
const MOST: usize = 1024;

impl Retrieval {
    /// Of the first [`MOST`] pairs. `known` are rows with neighbors of their anchors, which do not
    /// count as wrong answers.
    pub(crate) fn of(pairs: &PairBlock, known: &KnownNeighbors<'_>, vocabulary: &Vocabulary) -> Self {
        let sides: Vec<_> = pairs.sides().take(3 * MOST).collect();
        let mut candidates: Vec<usize> = Vec::new();
        let mut of_tokens: HashMap<&[u32], usize> = HashMap::new();
        for side in (0..sides.len()).filter(|side| side % 3 != 0) {
            of_tokens.entry(sides[side].input_ids).or_insert_with(|| {
                candidates.push(side);
                candidates.len() - 1
            });
        }
        let query = |pair: usize| {
            let related = known.related(sides[3 * pair]);
            let neighbor = of_tokens[sides[3 * pair + 1].input_ids];
            let is_left_out =
                |candidate: &usize| *candidate != neighbor && related.contains(sides[candidates[*candidate]]);
            Query { anchor: 3 * pair, neighbor, left_out: (0..candidates.len()).filter(is_left_out).collect() }
        };
        let queries = (0..sides.len() / 3).map(query).collect();
        let mut retrieval = Self { queries, candidates, ..Self::default() };
        let bags = Bags::of(sides.iter().map(|side| vocabulary.words(side.input_ids)));
        let similarities = |similarity: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            let of_query = |query: &Query| -> Vec<f32> {
                retrieval.candidates.iter().map(|&candidate| similarity(query.anchor, candidate) as f32).collect()
            };
            retrieval.queries.iter().flat_map(of_query).collect()
        };
        let by_overlap = similarities(&|a, b| bags.overlap(a, b));
        let by_tf_idf = similarities(&|a, b| bags.tf_idf(a, b));
        [retrieval.word_overlap, retrieval.tf_idf] = [by_overlap, by_tf_idf].map(|s| retrieval.ranks(&s));
        retrieval
    }

    /// The sides of the queries.
    pub fn anchors(&self) -> Vec<usize> {
        self.queries.iter().map(|query| query.anchor).collect()
    }

    /// The sides of the candidates.
    pub fn candidates(&self) -> &[usize] {
        &self.candidates
    }

    /// The ranks by similarities `[queries, candidates]`.
    pub fn ranks(&self, similarities: &[f32]) -> Ranks {
        let each = self.queries.iter().zip(similarities.chunks_exact(self.candidates.len().max(1)));
        Ranks::of(&each.map(|(query, similarities)| query.rank(similarities)).collect::<Vec<_>>())
    }
}

impl Ranks {
    /// Of ranks from 1; zeros if there are none.
    pub fn of(ranks: &[f64]) -> Self {
        let mean =
            |value: &dyn Fn(f64) -> f64| ranks.iter().map(|&rank| value(rank)).sum::<f64>() / ranks.len().max(1) as f64;
        let within = |most: f64| mean(&|rank| f64::from(u8::from(rank <= most)));
        Self { mrr: mean(&|rank| 1.0 / rank), recall_at_1: within(1.0), recall_at_10: within(10.0) }
    }
}

/// The rank of a similarity among others, from 1. Among equal ones it is the middle one. What is
/// not a number is like everything.
pub fn rank<T: PartialOrd>(similarity: T, others: impl Iterator<Item = T>) -> f64 {
    let above = others.map(|other| match other.partial_cmp(&similarity) {
        Some(Ordering::Greater) => 1.0,
        Some(Ordering::Less) => 0.0,
        _ => 0.5,
    });
    1.0 + above.sum::<f64>()
}

impl Query {
    /// The rank of the neighbor.
    fn rank(&self, similarities: &[f32]) -> f64 {
        let counts =
            |&(candidate, _): &(usize, &f32)| candidate != self.neighbor && !self.left_out.contains(&candidate);
        let others = similarities.iter().enumerate().filter(counts);
        rank(similarities[self.neighbor], others.map(|(_, similarity)| *similarity))
    }
}

#[cfg(test)]
mod tests {
    use schemas::{PairProduct, TextId};

    use super::*;
    use crate::{pairs::PairSide, vocabulary::tests::small};

    #[test]
    fn ranks_are_those_of_a_plain_count() {
        let query = Query { anchor: 0, neighbor: 2, left_out: HashSet::from([0]) };
        // Candidate 0 does not count, 1 is nearer, 3 as near.
        assert_eq!(query.rank(&[0.9, 0.8, 0.5, 0.5, 0.1]), 2.5);
        assert_eq!(query.rank(&[0.9, 0.1, 0.5, 0.2, 0.1]), 1.0);
        // A model whose states are not numbers finds nothing.
        assert_eq!(query.rank(&[f32::NAN; 5]), 2.5);
    }

    #[test]
    fn means_are_over_all_ranks() {
        let ranks = Ranks::of(&[1.0, 2.0, 20.0]);
        assert!((ranks.mrr - 1.55 / 3.0).abs() < 1e-12);
        assert_eq!([ranks.recall_at_1, ranks.recall_at_10], [1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(Ranks::of(&[]), Ranks::default());
    }

    #[test]
    fn other_neighbors_and_the_anchor_are_no_candidates() {
        let products = [("A", [5]), ("B", [6]), ("C", [7]), ("D", [8]), ("E", [9])];
        let mut pairs = PairBlock::default();
        // B and C are neighbors of A, whose second pair has A's own tokens as the negative.
        let side = |at: usize| {
            PairSide::of(PairProduct {
                product: products[at].0,
                text_id: TextId::new(at as u64),
                input_ids: &products[at].1,
            })
        };
        [[0, 1, 3], [0, 2, 0], [3, 4, 1]].into_iter().for_each(|row| pairs.push(row.map(side)));
        let retrieval = Retrieval::of(&pairs, &KnownNeighbors::of(&pairs), &small(12));
        assert_eq!(retrieval.anchors(), [0, 3, 6]);
        // B, D, C, A and E, each once.
        assert_eq!(retrieval.candidates(), [1, 2, 4, 5, 7]);
        assert_eq!(retrieval.queries[0].left_out, HashSet::from([2, 3]));
        assert_eq!(retrieval.queries[1].left_out, HashSet::from([0, 3]));
        assert_eq!(retrieval.queries[2].left_out, HashSet::from([1]));
        let similarities = [[0.9, 0.1, 1.0, 1.0, 0.2], [1.0, 0.8, 0.5, 1.0, 0.6], [0.4, 1.0, 0.3, 0.2, 0.3f32]];
        let found = retrieval.ranks(similarities.as_flattened());
        // Ranks 1, 3 and 2.5.
        assert!((found.mrr - (1.0 + 1.0 / 3.0 + 0.4) / 3.0).abs() < 1e-12);
        assert_eq!((found.recall_at_1, found.recall_at_10), (1.0 / 3.0, 1.0));
        // A row that is not measured shows that E is a neighbor of A, too.
        let mut known = PairBlock::default();
        (0..3).for_each(|row| known.push(pairs.get(row)));
        known.push([4, 0, 3].map(side));
        let retrieval = Retrieval::of(&pairs, &KnownNeighbors::of(&known), &small(12));
        assert_eq!(retrieval.queries[0].left_out, HashSet::from([2, 3, 4]));
    }
}
