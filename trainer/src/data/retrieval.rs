//! Retrieval of a product's neighbor among held-out products: ranks, and two baselines that need no model.
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::pairs::{KnownNeighbors, PairBlock};
use crate::vocabulary::Vocabulary;

/// Whose neighbors are to be found, and among which products.
#[derive(Debug, Default)]
pub struct Retrieval {
    /// One of each held-out pair.
    queries: Vec<Query>,
    /// The sides that are candidates: neighbors and negatives of all pairs, those with the same tokens once.
    candidates: Vec<usize>,
    /// By the words that two products have in common, over those that either has.
    pub word_overlap: Ranks,
    /// By the cosine of tf-idf vectors of their words.
    pub tf_idf: Ranks,
}

/// The anchor of a pair. Sides are counted over all pairs: the anchor, neighbor and negative of the first, and so on.
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
    /// Of the first [`MOST`] pairs. `known` are rows with neighbors of their anchors, which do not count as wrong
    /// answers.
    pub(super) fn of(pairs: &PairBlock, known: &KnownNeighbors<'_>, vocabulary: &Vocabulary) -> Self {
        let sides: Vec<_> = pairs.sides().take(3 * MOST).collect();
        let mut candidates: Vec<usize> = Vec::new();
        let mut of_tokens: HashMap<&[u16], usize> = HashMap::new();
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
        let words = words(sides.iter().map(|side| side.input_ids), vocabulary);
        let similarities = |similarity: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            let of_query = |query: &Query| -> Vec<f32> {
                retrieval.candidates.iter().map(|&candidate| similarity(query.anchor, candidate) as f32).collect()
            };
            retrieval.queries.iter().flat_map(of_query).collect()
        };
        let by_overlap = similarities(&|a, b| overlap(&words[a], &words[b]));
        let vectors = tf_idf(&words);
        let by_tf_idf = similarities(&|a, b| dot(&vectors[a], &vectors[b]));
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
        let mut sums = Ranks::default();
        for (query, similarities) in self.queries.iter().zip(similarities.chunks_exact(self.candidates.len().max(1))) {
            let rank = query.rank(similarities);
            sums.mrr += 1.0 / rank;
            sums.recall_at_1 += f64::from(u8::from(rank <= 1.0));
            sums.recall_at_10 += f64::from(u8::from(rank <= 10.0));
        }
        let many = self.queries.len().max(1) as f64;
        Ranks { mrr: sums.mrr / many, recall_at_1: sums.recall_at_1 / many, recall_at_10: sums.recall_at_10 / many }
    }
}

impl Query {
    /// The rank of the neighbor, from 1. What is not a number is like everything.
    fn rank(&self, similarities: &[f32]) -> f64 {
        let wanted = similarities[self.neighbor];
        let counts =
            |&(candidate, _): &(usize, &f32)| candidate != self.neighbor && !self.left_out.contains(&candidate);
        let others = similarities.iter().enumerate().filter(counts).map(|(_, similarity)| match similarity {
            more if *more > wanted => 1.0,
            less if *less < wanted => 0.0,
            _ => 0.5,
        });
        1.0 + others.sum::<f64>()
    }
}

/// How often each word occurs in each text, by a number of the word.
fn words<'a>(texts: impl Iterator<Item = &'a [u16]>, vocabulary: &Vocabulary) -> Vec<HashMap<usize, f64>> {
    let mut numbers: HashMap<&[u16], usize> = HashMap::new();
    let of_text = |text: &'a [u16]| {
        let mut counts = HashMap::new();
        for word in text.chunk_by(|_, &next| vocabulary.continues(next)) {
            let next = numbers.len();
            *counts.entry(*numbers.entry(word).or_insert(next)).or_insert(0.0) += 1.0;
        }
        counts
    };
    texts.map(of_text).collect()
}

/// The ratio of common words (Jaccard).
fn overlap(a: &HashMap<usize, f64>, b: &HashMap<usize, f64>) -> f64 {
    let common = a.keys().filter(|word| b.contains_key(word)).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// Vectors of length 1: a word weighs its count times ln((1 + texts) / (1 + texts with it)) + 1.
fn tf_idf(words: &[HashMap<usize, f64>]) -> Vec<HashMap<usize, f64>> {
    let mut texts_with: HashMap<usize, f64> = HashMap::new();
    words.iter().flat_map(HashMap::keys).for_each(|&word| *texts_with.entry(word).or_default() += 1.0);
    let texts = words.len() as f64;
    let weigh = |counts: &HashMap<usize, f64>| {
        let weight =
            |(&word, count): (&usize, &f64)| (word, count * (((1.0 + texts) / (1.0 + texts_with[&word])).ln() + 1.0));
        let weights: HashMap<usize, f64> = counts.iter().map(weight).collect();
        let mut squares: Vec<f64> = weights.values().map(|w| w * w).collect();
        // In an order of its own: sums of floats depend on it.
        squares.sort_by(f64::total_cmp);
        let length = squares.iter().sum::<f64>().sqrt();
        weights.into_iter().map(|(word, weight)| (word, weight / length)).collect()
    };
    words.iter().map(weigh).collect()
}

fn dot(a: &HashMap<usize, f64>, b: &HashMap<usize, f64>) -> f64 {
    let mut products: Vec<f64> = a.iter().filter_map(|(word, x)| Some(x * b.get(word)?)).collect();
    products.sort_by(f64::total_cmp);
    products.iter().sum()
}

#[cfg(test)]
mod tests {
    use schemas::{PairProduct, TextId};

    use super::*;
    use crate::{data::pairs::PairSide, vocabulary::tests::small};

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
    fn baselines_are_those_of_the_equations() {
        // Words of one token: 1, 2 and 3 are in the texts.
        let words: Vec<HashMap<usize, f64>> = [vec![1, 1, 2], vec![1, 3], vec![3]]
            .map(|text| {
                text.into_iter().fold(HashMap::new(), |mut counts, word| {
                    *counts.entry(word).or_insert(0.0) += 1.0;
                    counts
                })
            })
            .into();
        assert_eq!([overlap(&words[0], &words[1]), overlap(&words[0], &words[2])], [1.0 / 3.0, 0.0]);
        let idf = |texts: f64| (4.0f64 / (1.0 + texts)).ln() + 1.0;
        let lengths = [(2.0 * idf(2.0)).hypot(idf(1.0)), idf(2.0).hypot(idf(2.0))];
        let wanted = 2.0 * idf(2.0) * idf(2.0) / lengths[0] / lengths[1];
        let vectors = tf_idf(&words);
        assert!((dot(&vectors[0], &vectors[1]) - wanted).abs() < 1e-12);
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
        // A row that is not measured tells that E is a neighbor of A, too.
        let mut known = PairBlock::default();
        (0..3).for_each(|row| known.push(pairs.get(row)));
        known.push([4, 0, 3].map(side));
        let retrieval = Retrieval::of(&pairs, &KnownNeighbors::of(&known), &small(12));
        assert_eq!(retrieval.queries[0].left_out, HashSet::from([2, 3, 4]));
    }
}
