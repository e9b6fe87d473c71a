//! An ensemble of regression trees that learns from noisy labels (section E of the specification).
//!
//! Each tree is grown to purity on few positives and as many of the far more numerous negatives.
//! Some negatives are wrong, but so few that most trees are right. The score is the mean over a
//! thousand trees (Shang et al. 2018). Nothing here knows of phrases: rows of numbers go in, scores
//! come out.
use std::ops::Range;

use rayon::prelude::*;
use schemas::Draws;

/// Rows of equal length: one per candidate, with its features.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Rows of `columns` values, concatenated.
    ///
    /// # Panics
    /// If the last row is incomplete.
    pub(crate) fn new(columns: usize, values: Vec<f32>) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "{} values in rows of {columns}", values.len());
        Self { columns, values }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    fn of_rows(&self, rows: &[u32]) -> Self {
        Self::new(self.columns, rows.iter().flat_map(|&row| self.row(row as usize)).copied().collect())
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.columns
    }
}

/// Rows to learn from. Each group counts as much as the others, however many rows it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Examples {
    pub(crate) positives: Vec<Vec<u32>>,
    /// Most of them, not necessarily all, are negative.
    pub(crate) negatives: Vec<Vec<u32>>,
}

impl Examples {
    /// Whether positives or negatives are missing.
    pub(crate) fn is_one_sided(&self) -> bool {
        let none = |groups: &[Vec<u32>]| groups.iter().all(Vec::is_empty);
        none(&self.positives) || none(&self.negatives)
    }
}

const TREES: u64 = 1000;
/// The most positives that a tree is grown on, with as many negatives.
const MAX_POSITIVES: usize = 100;
/// Features tried at a node.
const FEATURES: usize = 4;
/// Thresholds tried per feature.
const THRESHOLDS: usize = 4;
const MAX_DEPTH: usize = 100;

/// A trained ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    trees: Vec<Tree>,
}

#[derive(Clone, Debug, Default)]
struct Tree {
    nodes: Vec<TreeNode>,
    /// The mean label of the examples that reach each node.
    values: Vec<f32>,
    depth: usize,
}

/// Leads to the node at `left`, or to the next one if the feature reaches the threshold. A leaf
/// leads to itself, so that a walk of fixed length needs no test for leaves.
#[derive(Clone, Copy, Debug)]
struct TreeNode {
    threshold: f32,
    feature: u16,
    left: u16,
}

impl TreeNode {
    /// No value reaches a threshold of NaN.
    fn leaf(at: usize) -> Self {
        Self { threshold: f32::NAN, feature: 0, left: at as u16 }
    }

    #[inline]
    fn next(self, row: &[f32]) -> u16 {
        self.left + u16::from(row[usize::from(self.feature)] >= self.threshold)
    }
}

impl Forest {
    /// Grows an ensemble. The random draws depend on the seed and on `purpose`, a name.
    pub(crate) fn train(matrix: &Matrix, examples: &Examples, seed: u64, purpose: &str) -> Self {
        let trees = (0..TREES).into_par_iter().map(|number| {
            let mut draws = Draws::new(seed, purpose, &number.to_le_bytes());
            Tree::grow(matrix, examples, &mut draws)
        });
        Self { trees: trees.collect() }
    }

    /// The mean over the trees for each of some rows, and 0 for the other rows.
    pub(crate) fn score(&self, matrix: &Matrix, rows: &[u32]) -> Vec<f64> {
        // A block of rows and a tree together fit into the first-level cache.
        const BLOCK: usize = 256;
        let scored = rows.par_chunks(BLOCK).map(|rows| {
            let block = matrix.of_rows(rows);
            let mut sums = vec![0.0f64; rows.len()];
            for tree in &self.trees {
                tree.add(&block, &mut sums);
            }
            sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
            sums
        });
        let scored: Vec<f64> = scored.flatten_iter().collect();
        let mut scores = vec![0.0; matrix.len()];
        rows.iter().zip(scored).for_each(|(&row, score)| scores[row as usize] = score);
        scores
    }
}

impl Tree {
    fn grow(matrix: &Matrix, Examples { positives, negatives }: &Examples, draws: &mut Draws) -> Self {
        let all = |groups: &[Vec<u32>]| groups.iter().map(Vec::len).sum();
        let size = MAX_POSITIVES.min(all(positives)).min(all(negatives));
        let mut bag: Vec<Example> = Vec::with_capacity(2 * size);
        for (groups, label) in [(negatives, false), (positives, true)] {
            for group in groups.iter().filter(|group| !group.is_empty()).cycle().take(size) {
                bag.push(Example { row: group[draws.below(group.len() as u64) as usize], label });
            }
        }
        let mut tree = Self { nodes: vec![TreeNode::leaf(0)], values: vec![mean(&bag)], depth: 0 };
        let mut unsplit = vec![Unsplit { node: 0, bag: 0..bag.len(), depth: 0 }];
        while let Some(Unsplit { node: at, bag: range, depth }) = unsplit.pop() {
            tree.depth = tree.depth.max(depth);
            let bag = &mut bag[range.clone()];
            if depth == MAX_DEPTH || tree.values[at] == 0.0 || tree.values[at] == 1.0 {
                continue;
            }
            let Some(split) = best_split(matrix, bag, draws) else { continue };
            let value = |row: u32| matrix.row(row as usize)[split.feature];
            let cut = partition(bag, |example| value(example.row) < split.threshold);
            let below = bag[..cut].iter().map(|example| value(example.row)).fold(f32::NEG_INFINITY, f32::max);
            let left = tree.nodes.len();
            // Half way between the two sides. For adjacent floating-point numbers, the upper one.
            let middle = below / 2.0 + split.threshold / 2.0;
            let threshold = if middle > below { middle } else { split.threshold };
            tree.nodes[at] = TreeNode { threshold, feature: split.feature as u16, left: left as u16 };
            for (child, part) in [(left, 0..cut), (left + 1, cut..bag.len())] {
                tree.nodes.push(TreeNode::leaf(child));
                tree.values.push(mean(&bag[part.clone()]));
                let bag = range.start + part.start..range.start + part.end;
                unsplit.push(Unsplit { node: child, bag, depth: depth + 1 });
            }
        }
        tree
    }

    /// Adds the tree's value of each row.
    fn add(&self, matrix: &Matrix, sums: &mut [f64]) {
        // Several rows at a time, so that their loads overlap.
        const LANES: usize = 8;
        let (whole, rest) = sums.as_chunks_mut::<LANES>();
        let columns = matrix.columns;
        let mut row = 0;
        for sums in whole {
            let values = &matrix.values[row * columns..(row + LANES) * columns];
            let mut at = [0u16; LANES];
            for _ in 0..self.depth {
                for (lane, at) in at.iter_mut().enumerate() {
                    *at = self.nodes[usize::from(*at)].next(&values[lane * columns..]);
                }
            }
            for (sum, at) in sums.iter_mut().zip(at) {
                *sum += f64::from(self.values[usize::from(at)]);
            }
            row += LANES;
        }
        for sum in rest {
            let mut at = 0;
            for _ in 0..self.depth {
                at = self.nodes[usize::from(at)].next(matrix.row(row));
            }
            *sum += f64::from(self.values[usize::from(at)]);
            row += 1;
        }
    }
}

/// A row with its label.
#[derive(Clone, Copy, Debug)]
struct Example {
    row: u32,
    label: bool,
}

/// A node whose part of the bag is still to be split.
struct Unsplit {
    node: usize,
    bag: Range<usize>,
    depth: usize,
}

fn positives(bag: &[Example]) -> usize {
    bag.iter().filter(|example| example.label).count()
}

fn mean(bag: &[Example]) -> f32 {
    positives(bag) as f32 / bag.len().max(1) as f32
}

struct Split {
    feature: usize,
    threshold: f32,
}

/// The best of some random splits that leave examples on both sides.
fn best_split(matrix: &Matrix, bag: &[Example], draws: &mut Draws) -> Option<Split> {
    let positives = positives(bag);
    let mut best = None;
    let mut least = f64::INFINITY;
    for _ in 0..FEATURES {
        let feature = draws.below(matrix.columns as u64) as usize;
        let value = |row: u32| matrix.row(row as usize)[feature];
        for _ in 0..THRESHOLDS {
            let threshold = value(bag[draws.below(bag.len() as u64) as usize].row);
            let (mut below, mut positives_below) = (0, 0);
            for &Example { row, label } in bag {
                let is_below = value(row) < threshold;
                below += usize::from(is_below);
                positives_below += usize::from(is_below && label);
            }
            if below == 0 {
                continue;
            }
            let loss = loss(positives_below, below) + loss(positives - positives_below, bag.len() - below);
            if loss < least {
                least = loss;
                best = Some(Split { feature, threshold });
            }
        }
    }
    best
}

/// Sum of |y - mean|³ over labels y of 0 and 1.
fn loss(positives: usize, labels: usize) -> f64 {
    let p = positives as f64 / labels as f64;
    labels as f64 * p * (1.0 - p) * (p * p + (1.0 - p) * (1.0 - p))
}

/// Moves the examples for which `is_first` holds to the front, in their order. Returns their
/// number.
fn partition(bag: &mut [Example], is_first: impl Fn(&Example) -> bool) -> usize {
    bag.sort_by_key(|entry| !is_first(entry));
    bag.partition_point(|entry| is_first(entry))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two features. The first decides the label, apart from noise.
    fn noisy_examples(rows: usize) -> (Matrix, Examples) {
        let mut draws = Draws::new(1, "test", b"");
        let mut values = Vec::new();
        let (mut positives, mut negatives) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let (x, noise) = (draws.unit(), draws.unit());
            values.extend([x as f32, noise as f32]);
            let label = x + 0.1 * (noise - 0.5) > 0.7;
            if label { &mut positives } else { &mut negatives }.push(row as u32);
        }
        (Matrix::new(2, values), Examples { positives: vec![positives], negatives: vec![negatives] })
    }

    fn all(matrix: &Matrix) -> Vec<u32> {
        (0..matrix.len() as u32).collect()
    }

    #[test]
    fn a_row_scores_the_same_alone_and_among_all() {
        let (matrix, examples) = noisy_examples(700);
        let forest = Forest::train(&matrix, &examples, 0, "test");
        let odd: Vec<u32> = (1..matrix.len() as u32).step_by(2).collect();
        let (every, some) = (forest.score(&matrix, &all(&matrix)), forest.score(&matrix, &odd));
        for row in 0..matrix.len() {
            assert_eq!(some[row], if row % 2 == 1 { every[row] } else { 0.0 });
        }
    }

    #[test]
    fn the_deciding_feature_is_found() {
        let (matrix, examples) = noisy_examples(3000);
        let scores = Forest::train(&matrix, &examples, 0, "test").score(&matrix, &all(&matrix));
        let mean = |rows: &[u32]| rows.iter().map(|&r| scores[r as usize]).sum::<f64>() / rows.len() as f64;
        let (good, bad) = (mean(&examples.positives[0]), mean(&examples.negatives[0]));
        assert!(good > 0.9 && bad < 0.1, "{good} {bad}");
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (matrix, examples) = noisy_examples(1000);
        let scores = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Forest::train(&matrix, &examples, 3, "test").score(&matrix, &all(&matrix)))
        };
        assert_eq!(scores(1), scores(3));
    }

    proptest! {
        #[test]
        fn lanes_reach_the_leaf_of_a_plain_walk(values in prop::collection::vec(0u8..20, 4..200), seed: u64) {
            let rows = values.len() as u32 / 2;
            let matrix = Matrix::new(2, values[..2 * rows as usize].iter().map(|v| f32::from(*v)).collect());
            let (positives, negatives): (Vec<u32>, Vec<u32>) = (0..rows).partition(|row| row % 3 == 0);
            let mut draws = Draws::new(seed, "test", b"");
            let tree = Tree::grow(&matrix, &Examples { positives: vec![positives], negatives: vec![negatives] }, &mut draws);
            let mut sums = vec![0.0; rows as usize];
            tree.add(&matrix, &mut sums);
            for (row, sum) in sums.iter().enumerate() {
                let mut at = 0;
                while tree.nodes[at].left as usize != at {
                    let node = tree.nodes[at];
                    let reaches = matrix.row(row)[node.feature as usize] >= node.threshold;
                    at = node.left as usize + usize::from(reaches);
                }
                prop_assert_eq!(*sum, f64::from(tree.values[at]));
                prop_assert!((0.0..=1.0).contains(sum));
            }
        }
    }
}
