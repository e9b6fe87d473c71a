//! An ensemble of regression trees that learns from noisy labels (section E of the specification).
//!
//! Each tree is grown to purity on few positives and as many of the far more numerous negatives.
//! Some negatives are wrong, but so few that most trees are right. The score is the mean over a
//! thousand trees (Shang et al. 2018). Nothing here knows of phrases: rows of numbers go in, scores
//! come out.
use std::ops::Range;

use rayon::prelude::*;
use schemas::Draws;

/// Rows of numbers of equal length: one per candidate, with its features. A row is computed when it is needed: all of
/// them at once would take more memory than all else that is known of the candidates.
pub(crate) trait Rows: Sync {
    /// Numbers of a row.
    const COLUMNS: usize;

    /// Appends a row.
    fn append(&self, row: usize, into: &mut Vec<f32>);
}

/// Some rows, concatenated.
#[derive(Clone, Debug, Default, PartialEq)]
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn of<R: Rows>(rows: &R, numbers: impl Iterator<Item = usize>) -> Self {
        let mut matrix = Self { columns: R::COLUMNS, values: Vec::new() };
        numbers.for_each(|number| rows.append(number, &mut matrix.values));
        matrix
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
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
    pub(crate) fn train(rows: &impl Rows, examples: &Examples, seed: u64, purpose: &str) -> Self {
        let trees = (0..TREES).into_par_iter().map(|number| {
            let mut draws = Draws::new(seed, purpose, &number.to_le_bytes());
            Tree::grow(rows, examples, &mut draws)
        });
        Self { trees: trees.collect() }
    }

    /// The mean over the trees for each row that is used, and 0 for the others. `scores` has one entry per row.
    pub(crate) fn score(&self, rows: &impl Rows, is_used: impl Fn(usize) -> bool + Sync, scores: &mut [f64]) {
        // A block of rows and a tree together fit into the first-level cache.
        const BLOCK: usize = 256;
        // Each task has several blocks, since some rows are not used.
        const TASK: usize = 8 * BLOCK;
        scores.par_chunks_mut(TASK).enumerate().for_each(|(task, scores)| {
            let first = task * TASK;
            scores.fill(0.0);
            let used: Vec<usize> = (0..scores.len()).filter(|at| is_used(first + at)).collect();
            for block in used.chunks(BLOCK) {
                let matrix = Matrix::of(rows, block.iter().map(|at| first + at));
                let mut sums = vec![0.0f64; block.len()];
                for tree in &self.trees {
                    tree.add(&matrix, &mut sums);
                }
                for (&at, sum) in block.iter().zip(sums) {
                    scores[at] = sum / self.trees.len() as f64;
                }
            }
        });
    }
}

impl Tree {
    fn grow<R: Rows>(rows: &R, Examples { positives, negatives }: &Examples, draws: &mut Draws) -> Self {
        let all = |groups: &[Vec<u32>]| groups.iter().map(Vec::len).sum();
        let size = MAX_POSITIVES.min(all(positives)).min(all(negatives));
        let mut bag: Vec<Example> = Vec::with_capacity(2 * size);
        // The rows of the bag.
        let mut matrix = Matrix { columns: R::COLUMNS, values: Vec::with_capacity(2 * size * R::COLUMNS) };
        for (groups, label) in [(negatives, false), (positives, true)] {
            for group in groups.iter().filter(|group| !group.is_empty()).cycle().take(size) {
                bag.push(Example { row: bag.len() as u32, label });
                rows.append(group[draws.below(group.len() as u64) as usize] as usize, &mut matrix.values);
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
            let Some(split) = best_split(&matrix, bag, draws) else { continue };
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

/// A row of the bag with its label.
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

    /// Rows of two numbers.
    struct Pairs(Vec<[f32; 2]>);

    impl Rows for Pairs {
        const COLUMNS: usize = 2;

        fn append(&self, row: usize, into: &mut Vec<f32>) {
            into.extend(self.0[row]);
        }
    }

    impl Pairs {
        fn score(&self, forest: &Forest, is_used: impl Fn(usize) -> bool + Sync) -> Vec<f64> {
            let mut scores = vec![f64::NAN; self.0.len()];
            forest.score(self, is_used, &mut scores);
            scores
        }
    }

    /// The first number decides the label, apart from noise.
    fn noisy_examples(rows: usize) -> (Pairs, Examples) {
        let mut draws = Draws::new(1, "test", b"");
        let mut values = Vec::new();
        let (mut positives, mut negatives) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let (x, noise) = (draws.unit(), draws.unit());
            values.push([x as f32, noise as f32]);
            let label = x + 0.1 * (noise - 0.5) > 0.7;
            if label { &mut positives } else { &mut negatives }.push(row as u32);
        }
        (Pairs(values), Examples { positives: vec![positives], negatives: vec![negatives] })
    }

    #[test]
    fn a_row_scores_the_same_alone_and_among_all() {
        let (rows, examples) = noisy_examples(5000);
        let forest = Forest::train(&rows, &examples, 0, "test");
        let (every, some) = (rows.score(&forest, |_| true), rows.score(&forest, |row| row % 7 == 1));
        for row in 0..every.len() {
            assert_eq!(some[row], if row % 7 == 1 { every[row] } else { 0.0 });
            let matrix = Matrix::of(&rows, [row].into_iter());
            let mut alone = [0.0];
            forest.trees.iter().for_each(|tree| tree.add(&matrix, &mut alone));
            assert_eq!(every[row], alone[0] / 1000.0);
        }
    }

    #[test]
    fn the_deciding_feature_is_found() {
        let (rows, examples) = noisy_examples(3000);
        let scores = rows.score(&Forest::train(&rows, &examples, 0, "test"), |_| true);
        let mean = |rows: &[u32]| rows.iter().map(|&r| scores[r as usize]).sum::<f64>() / rows.len() as f64;
        let (good, bad) = (mean(&examples.positives[0]), mean(&examples.negatives[0]));
        assert!(good > 0.9 && bad < 0.1, "{good} {bad}");
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (rows, examples) = noisy_examples(1000);
        let scores = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| rows.score(&Forest::train(&rows, &examples, 3, "test"), |_| true))
        };
        assert_eq!(scores(1), scores(3));
    }

    proptest! {
        #[test]
        fn lanes_reach_the_leaf_of_a_plain_walk(values in prop::collection::vec((0u8..20, 0u8..20), 2..100), seed: u64) {
            let rows = Pairs(values.into_iter().map(|(a, b)| [f32::from(a), f32::from(b)]).collect());
            let (positives, negatives): (Vec<u32>, Vec<u32>) = (0..rows.0.len() as u32).partition(|row| row % 3 == 0);
            let mut draws = Draws::new(seed, "test", b"");
            let tree = Tree::grow(&rows, &Examples { positives: vec![positives], negatives: vec![negatives] }, &mut draws);
            let mut sums = vec![0.0; rows.0.len()];
            tree.add(&Matrix::of(&rows, 0..rows.0.len()), &mut sums);
            for (row, sum) in sums.iter().enumerate() {
                let mut at = 0;
                while tree.nodes[at].left as usize != at {
                    let node = tree.nodes[at];
                    let reaches = rows.0[row][node.feature as usize] >= node.threshold;
                    at = node.left as usize + usize::from(reaches);
                }
                prop_assert_eq!(*sum, f64::from(tree.values[at]));
                prop_assert!((0.0..=1.0).contains(sum));
            }
        }
    }
}
