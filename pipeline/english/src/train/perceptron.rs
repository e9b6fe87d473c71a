//! Averaged perceptrons (Freund and Schapire 1999; Collins 2002).
//!
//! A weight is averaged over all steps of training. An average is brought up to date only when the
//! weight changes: a [`TrainingCell`] records the step of its last change.
use hashbrown::HashMap;

use crate::{
    features::Feature,
    weights::{Cell, FeatureRow, MOST_LABELS, Weights},
};

/// Small weights are left out of a model with more features than this.
const LARGE: usize = 50_000;

/// The part of the weights, in thousandths, that rounding may clip.
const CLIPPED: usize = 1;

/// Weights in training.
#[derive(Debug, Default)]
pub(crate) struct AveragedPerceptron {
    rows: HashMap<Feature, Vec<TrainingCell>>,
    step: u32,
}

/// The weight of a feature for a label.
#[derive(Clone, Copy, Debug)]
struct TrainingCell {
    label: u8,
    weight: f32,
    /// The sum of the weight over the steps up to `since`.
    sum: f64,
    since: u32,
}

impl TrainingCell {
    fn sum_at(&self, step: u32) -> f64 {
        self.sum + f64::from(self.weight) * f64::from(step - self.since)
    }
}

impl AveragedPerceptron {
    /// Counts a step: the present weights enter the average once more.
    pub(crate) fn step(&mut self) {
        self.step += 1;
    }

    /// Adds the weights of a feature to the scores.
    pub(crate) fn score(&self, feature: Feature, scores: &mut [f32; MOST_LABELS]) {
        if let Some(row) = self.rows.get(&feature) {
            for cell in row {
                scores[usize::from(cell.label)] += cell.weight;
            }
        }
    }

    /// Adds `by` to a weight.
    pub(crate) fn update(&mut self, feature: Feature, label: u8, by: f32) {
        let step = self.step;
        let row = self.rows.entry(feature).or_default();
        match row.iter_mut().find(|cell| cell.label == label) {
            Some(cell) => {
                cell.sum = cell.sum_at(step);
                cell.since = step;
                cell.weight += by;
            }
            None => row.push(TrainingCell { label, weight: by, sum: 0.0, since: step }),
        }
    }

    /// The averages, scaled and rounded to 8 bits. A large model loses those below `least`.
    /// Returns `None` if there are more than a model can have.
    pub(crate) fn finish(self, least: f64) -> Option<Weights> {
        let steps = f64::from(self.step.max(1));
        let least = if self.rows.len() > LARGE { least } else { 0.0 };
        let mut rows: Vec<(Feature, Vec<(u8, f64)>)> = Vec::new();
        for (feature, cells) in self.rows {
            let averages = cells.iter().map(|cell| (cell.label, cell.sum_at(self.step) / steps));
            let mut row: Vec<(u8, f64)> = averages.filter(|(_, average)| average.abs() >= least).collect();
            if !row.is_empty() {
                row.sort_by_key(|cell| cell.0);
                rows.push((feature, row));
            }
        }
        rows.sort_by_key(|row| row.0);
        // A few weights exceed all others by far. Clipping them leaves the others more digits.
        let mut sizes: Vec<f64> = rows.iter().flat_map(|row| row.1.iter().map(|cell| cell.1.abs())).collect();
        sizes.sort_by(f64::total_cmp);
        let clipped = CLIPPED * sizes.len() / 1000;
        let largest = sizes.get(sizes.len().saturating_sub(1 + clipped)).copied().unwrap_or(1.0);
        let round = |average: f64| (average / largest * 127.0).round().clamp(-127.0, 127.0) as i8;
        let rows = rows.into_iter().map(|(feature, row)| {
            let cells = row.into_iter().map(|(label, average)| Cell { label, weight: round(average) });
            FeatureRow { feature, cells: cells.filter(|cell| cell.weight != 0).collect() }
        });
        let rows: Vec<FeatureRow> = rows.filter(|row| !row.cells.is_empty()).collect();
        Weights::new(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_averages_over_steps() {
        let (a, b) = (Feature(7), Feature(8));
        let mut perceptron = AveragedPerceptron::default();
        perceptron.step();
        perceptron.update(a, 2, 1.0);
        perceptron.step();
        perceptron.step();
        perceptron.update(a, 2, 1.0);
        perceptron.update(b, 0, -4.0);
        perceptron.step();
        // Over four steps: a has 1 + 1 + 2, b has -4; the largest becomes 127.
        let cells = |label, weight| vec![Cell { label, weight }];
        let wanted =
            [FeatureRow { feature: a, cells: cells(2, 127) }, FeatureRow { feature: b, cells: cells(0, -127) }];
        assert_eq!(perceptron.finish(0.0).unwrap().rows(), wanted);
    }
}
