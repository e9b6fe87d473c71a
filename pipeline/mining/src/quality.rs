//! Learning the quality of candidates in one round (section E of the specification).
use crate::{
    features::{Measurements, PhraseRows, WordRows},
    forest::{Examples, Forest, Rows},
    labels::Labels,
};

/// The quality of words if no list names one. With 0, segmentation would avoid words.
pub(crate) const NEUTRAL: f64 = 0.5;

pub(crate) struct Learning<'a> {
    pub(crate) measurements: Measurements<'a>,
    pub(crate) labels: &'a Labels,
    pub(crate) seed: u64,
    pub(crate) round: u32,
}

impl Learning<'_> {
    /// Updates the quality of every candidate. Words and phrases have forests of their own. If all positives were
    /// dropped after the first round, its quality stays.
    pub(crate) fn update(&self, quality: &mut [f64]) {
        let Self { measurements, labels, .. } = *self;
        let candidates = measurements.candidates;
        let extension_counts = &measurements.extension_counts();
        let (of_words, of_phrases) = quality.split_at_mut(candidates.words());
        let examples = labels.of_words(candidates, measurements.properties);
        self.learn(&WordRows { measurements, extension_counts }, &examples, |_| true, of_words, "quality of words");
        // A phrase that was never a piece is not one in the next round either, so its quality is
        // not used.
        let is_used = |row: usize| measurements.counts[candidates.words() + row] > 0;
        let examples = labels.of_phrases(candidates);
        let rows = PhraseRows { measurements, extension_counts };
        self.learn(&rows, &examples, is_used, of_phrases, "quality of phrases");
    }

    /// Scores the used rows. `purpose` names the random draws.
    fn learn(
        &self,
        rows: &impl Rows,
        examples: &Examples,
        is_used: impl Fn(usize) -> bool + Sync,
        quality: &mut [f64],
        purpose: &str,
    ) {
        if !examples.is_one_sided() {
            let forest = Forest::train(rows, examples, self.seed, &format!("{purpose} {}", self.round));
            forest.score(rows, is_used, quality);
        }
    }
}
