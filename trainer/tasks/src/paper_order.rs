//! Whether models come in the order of the paper's Table 2: the rank correlation with its scores,
//! over its rows.
use super::{
    Task,
    bootstrap::{Difference, Resampled},
};

/// A row of the paper's Table 2, and its scores in percent: F1 of review QA, micro-F1 of product
/// classification, F1 of aspects, macro-F1 of sentiment.
pub const ROWS: [(&str, [f64; 4]); 7] = [
    ("BERT-Raw", [60.69, 81.90, 83.90, 62.87]),
    ("BERT", [61.25, 82.38, 84.81, 64.96]),
    ("BERT-NP", [62.94, 81.72, 86.11, 63.21]),
    ("SpanBERT", [63.63, 81.51, 86.23, 65.13]),
    ("E-BERT-DP", [65.77, 85.84, 88.11, 69.02]),
    ("E-BERT-AHM", [66.18, 86.35, 88.96, 70.35]),
    ("E-BERT", [68.77, 90.37, 88.42, 69.32]),
];

/// The score of each task that is compared, by its place in [`Task::score_names`].
fn score_of(task: Task) -> usize {
    match task {
        Task::Rqa | Task::Ae => 2,
        Task::Pc | Task::Asc => 1,
    }
}

/// The mean over tasks of Spearman's correlation between our scores and the paper's, with its
/// interval and the p of no correlation. `models` are names of rows; `None` if fewer than three of
/// them are the paper's, or one of these has no results.
pub fn correlation(models: &[String], tests: &[(Task, &Resampled)]) -> Option<Difference> {
    let rows: Vec<(usize, [f64; 4])> = ROWS
        .iter()
        .filter_map(|(name, scores)| Some((models.iter().position(|model| model == name)?, *scores)))
        .collect();
    if rows.len() < 3 || tests.is_empty() {
        return None;
    }
    let mean = |scores_of: &dyn Fn(&Resampled) -> Vec<Vec<f64>>| -> Option<f64> {
        let mut sum = 0.0;
        for (task, resampled) in tests {
            let scores = scores_of(resampled);
            let ours = rows.iter().map(|(model, _)| scores[*model].get(score_of(*task)).copied());
            let papers: Vec<f64> = rows.iter().map(|(_, scores)| scores[*task as usize]).collect();
            sum += spearman(&ours.collect::<Option<Vec<f64>>>()?, &papers);
        }
        Some(sum / tests.len() as f64)
    };
    let resamples = tests.iter().map(|(_, resampled)| resampled.drawn.len()).min().unwrap_or(0);
    let drawn = (0..resamples).map(|number| mean(&|resampled| resampled.drawn[number].clone()));
    Some(Difference::of(mean(&|resampled| resampled.scores.clone())?, drawn.collect::<Option<_>>()?))
}

/// Spearman's rank correlation; equal values share the mean of their ranks. 0 if all values of a
/// side are equal.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (sum(&a, &a) * sum(&b, &b)).sqrt();
    if scale > 0.0 { sum(&a, &b) / scale } else { 0.0 }
}

/// Ranks from 0.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_in_scipy() {
        // scipy.stats.spearmanr([1, 2, 3, 4], [1, 3, 2, 4]) and ([1, 2, 2, 3], [4, 3, 1, 2])
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]) - 0.8).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 2.0, 3.0], &[4.0, 3.0, 1.0, 2.0]) + 0.632_455_532_033_675_9).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), 0.0);
    }

    #[test]
    fn the_papers_order_is_found_and_noise_widens_it() {
        let models: Vec<String> = ROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let of = |task: Task, sign: f64| -> Vec<Vec<f64>> {
            ROWS.iter().map(|(_, scores)| vec![sign * scores[task as usize]; 4]).collect()
        };
        let resampled = |task, signs: &[f64]| Resampled {
            scores: of(task, 1.0),
            drawn: signs.iter().map(|sign| of(task, *sign)).collect(),
        };
        let [rqa, asc] = [Task::Rqa, Task::Asc].map(|task| (task, resampled(task, &[1.0, 1.0, -1.0])));
        let tests: Vec<(Task, &Resampled)> = [&rqa, &asc].map(|(task, resampled)| (*task, resampled)).to_vec();
        let found = correlation(&models, &tests).unwrap();
        assert!((found.value - 1.0).abs() < 1e-12 && (found.low + 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(correlation(&models[..2], &tests), None);
    }
}
