//! Learning the quality of candidates in one round (section E of the specification).
use crate::{
    features::Measurements,
    forest::{Examples, Forest, Matrix},
    labels::Labels,
};

/// The quality of words if no list names one. With 0, segmentation would avoid words.
const NEUTRAL: f64 = 0.5;

pub(crate) struct Learning<'a> {
    pub(crate) measurements: Measurements<'a>,
    pub(crate) labels: &'a Labels,
    pub(crate) seed: u64,
    pub(crate) round: u32,
    /// The quality of the last round; empty in the first.
    pub(crate) previous: &'a [f64],
}

impl Learning<'_> {
    /// The quality of every candidate. Words and phrases have forests of their own.
    pub(crate) fn quality(&self) -> Vec<f64> {
        let Measurements { candidates, properties, .. } = self.measurements;
        let words = self.measurements.of_words();
        let of_words = self.labels.of_words(candidates, properties);
        let mut quality = self.learn(&words, &of_words, 0, "quality of words");
        drop(words);
        let phrases = self.measurements.of_phrases();
        let of_phrases = self.labels.of_phrases(candidates);
        quality.extend(self.learn(&phrases, &of_phrases, candidates.words(), "quality of phrases"));
        quality
    }

    /// Scores rows, of which the first is the node `first`. `purpose` names the random draws.
    fn learn(&self, matrix: &Matrix, examples: &Examples, first: usize, purpose: &str) -> Vec<f64> {
        let nodes = first..first + matrix.len();
        if examples.is_one_sided() {
            // If all positives were dropped after the first round, its quality stays. Without any,
            // words are neither good nor bad.
            return self.previous.get(nodes).map_or_else(|| vec![NEUTRAL; matrix.len()], <[f64]>::to_vec);
        }
        // A phrase that was never a piece is not one in the next round either, so its quality is
        // not used.
        let Measurements { candidates, counts, .. } = self.measurements;
        let is_used = |node: &usize| *node < candidates.words() || counts[*node] > 0;
        let rows: Vec<u32> = nodes.filter(is_used).map(|node| (node - first) as u32).collect();
        Forest::train(matrix, examples, self.seed, &format!("{purpose} {}", self.round)).score(matrix, &rows)
    }
}
