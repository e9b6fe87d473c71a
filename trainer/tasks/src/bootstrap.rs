//! How sure a difference between two models is: the paired bootstrap (Efron and Tibshirani 1993; Koehn 2004).
//!
//! Documents of the test part are drawn with replacement, as many as there are; both models are scored on what was drawn, each as the
//! mean over its seeds; and so on ten thousand times. Draws are keyed by the number of the resample: every pair of models sees
//! the same resamples.
use std::{
    collections::{BTreeMap, HashMap},
    thread,
};

use schemas::Draws;

use super::{
    Task,
    metrics::{Scorer, Sums},
    predictions::Judged,
};

/// Resamples of a comparison.
pub const RESAMPLES: usize = 10_000;

/// A model's score less another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// On the test part itself.
    pub value: f64,
    /// Of 95% of resamples, the lowest.
    pub low: f64,
    /// Of 95% of resamples, the highest.
    pub high: f64,
    /// Twice the smaller share of resamples in which the difference is not above, or not below, 0: small where the sign is sure.
    pub p: f64,
}

/// Two models were not tested on the same examples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the models were tested on different examples: `{id}` is not in all of their predictions\nhint: compare fine-tunings of the same data, split seed and limits"
)]
pub struct NotPaired {
    id: String,
}

/// Compares a model with another one, each by its predictions with one or more seeds: for each score, in the order of [`Task::score_names`].
///
/// # Errors
/// When they were not tested on the same examples.
pub fn compare(
    task: Task,
    model: &[Vec<Judged>],
    other: &[Vec<Judged>],
    resamples: usize,
) -> Result<Vec<Difference>, NotPaired> {
    let mut scorer = Scorer::new(task);
    let mut documents: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in model.iter().chain(other).flatten() {
        let next = documents.len();
        documents.entry(&judged.document).or_insert(next);
    }
    paired(model.iter().chain(other))?;
    // For each model, each of its seeds, and each document: sums.
    let sides: [Vec<Vec<Sums>>; 2] = [model, other].map(|seeds| {
        let sums = seeds.iter().map(|predictions| {
            let mut of: Vec<HashMap<u32, f64>> = vec![HashMap::new(); documents.len()];
            for judged in predictions {
                let document = documents[judged.document.as_str()];
                for (slot, value) in scorer.sums(&judged.prediction, &judged.gold).0 {
                    *of[document].entry(slot).or_default() += value;
                }
            }
            of.into_iter()
                .map(|sums| {
                    let mut sums: Vec<(u32, f64)> = sums.into_iter().collect();
                    sums.sort_unstable_by_key(|(slot, _)| *slot);
                    Sums(sums)
                })
                .collect()
        });
        sums.collect()
    });
    let scorer = &scorer;
    // The difference of every score, where each document stands for so many.
    let difference = |times: &[u32]| -> Vec<f64> {
        let mean = |seeds: &[Vec<Sums>]| {
            let mut mean = vec![0.0; task.score_names().len()];
            for documents in seeds {
                let mut sums = vec![0.0; scorer.slots()];
                for (document, &times) in documents.iter().zip(times).filter(|(_, times)| **times > 0) {
                    document.0.iter().for_each(|(slot, value)| sums[*slot as usize] += f64::from(times) * value);
                }
                for (mean, score) in mean.iter_mut().zip(scorer.scores(&sums)) {
                    *mean += score / seeds.len() as f64;
                }
            }
            mean
        };
        mean(&sides[0]).iter().zip(mean(&sides[1])).map(|(model, other)| model - other).collect()
    };
    let count = documents.len();
    let resample = |number: usize| {
        let mut draws = Draws::new(0, "bootstrap", &number.to_le_bytes());
        let mut times = vec![0; count];
        (0..count).for_each(|_| times[draws.below(count as u64) as usize] += 1);
        difference(&times)
    };
    let workers = thread::available_parallelism().map_or(1, |n| n.get());
    let all: Vec<Vec<f64>> = thread::scope(|scope| {
        let parts: Vec<_> = (0..workers)
            .map(|worker| {
                let resample = &resample;
                let range = worker * resamples / workers..(worker + 1) * resamples / workers;
                scope.spawn(move || range.map(resample).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|_| panic!("a worker has panicked"))).collect()
    });
    let values = difference(&vec![1; count]);
    let of_score = |(score, &value): (usize, &f64)| {
        let mut drawn: Vec<f64> = all.iter().map(|differences| differences[score]).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| drawn[((share * drawn.len() as f64) as usize).min(drawn.len() - 1)];
        let share = |holds: fn(&f64) -> bool| (drawn.iter().filter(|d| holds(d)).count() + 1) as f64;
        let p = 2.0 * share(|d| *d <= 0.0).min(share(|d| *d >= 0.0)) / (drawn.len() + 1) as f64;
        Difference { value, low: at(0.025), high: at(0.975), p: p.min(1.0) }
    };
    Ok(values.iter().enumerate().map(of_score).collect())
}

/// Checks that all predictions are of the same examples.
fn paired<'a>(all: impl Iterator<Item = &'a Vec<Judged>>) -> Result<(), NotPaired> {
    let mut first: Option<std::collections::BTreeSet<&str>> = None;
    for predictions in all {
        let ids: std::collections::BTreeSet<&str> = predictions.iter().map(|judged| judged.id.as_str()).collect();
        match &first {
            None => first = Some(ids),
            Some(first) => {
                if let Some(id) = first.symmetric_difference(&ids).next() {
                    return Err(NotPaired { id: (*id).to_owned() });
                }
            }
        }
    }
    Ok(())
}

/// Mean and sample standard deviation; the latter of at least two values.
pub fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gold, predictions::Prediction};

    /// Predictions of `documents` documents of two examples, each right with this probability.
    fn predictions(seed: u64, documents: usize, right: f64) -> Vec<Judged> {
        let each = (0..2 * documents).map(|example| {
            let is_right = Draws::new(seed, "test", &example.to_le_bytes()).unit() < right;
            Judged {
                id: example.to_string(),
                document: (example / 2).to_string(),
                prediction: Prediction::Class(if is_right { "x" } else { "y" }.into()),
                gold: Gold::Class("x".into()),
            }
        });
        each.collect()
    }

    #[test]
    fn a_large_difference_is_sure_and_none_is_not() {
        let good = [predictions(1, 200, 0.8), predictions(2, 200, 0.8)];
        let bad = [predictions(3, 200, 0.6)];
        let accuracy = compare(Task::Asc, &good, &bad, 2000).unwrap()[0];
        assert!((accuracy.value - 0.2).abs() < 0.07 && accuracy.low < accuracy.value && accuracy.value < accuracy.high);
        assert!(accuracy.p < 0.01 && accuracy.low > 0.0, "{accuracy:?}");
        // The interval of a mean of 400 examples on the one side and twice as many on the other.
        let width = (accuracy.high - accuracy.low) / 3.92;
        let wanted = (0.8 * 0.2 / 800.0 + 0.6 * 0.4 / 400.0f64).sqrt();
        assert!((width / wanted - 1.0).abs() < 0.2, "{width} {wanted}");
        assert_eq!(compare(Task::Asc, &good, &bad, 2000).unwrap()[0], accuracy);

        let same = compare(Task::Asc, &good, &good, 500).unwrap()[0];
        assert_eq!(same, Difference { value: 0.0, low: 0.0, high: 0.0, p: 1.0 });
        let alike = compare(Task::Asc, &[predictions(4, 200, 0.7)], &[predictions(5, 200, 0.7)], 500).unwrap()[0];
        assert!(alike.p > 0.05, "{alike:?}");
    }

    #[test]
    fn models_of_different_tests_are_refused() {
        let error = compare(Task::Asc, &[predictions(1, 3, 0.5)], &[predictions(1, 2, 0.5)], 10).unwrap_err();
        assert!(error.to_string().contains("`4` is not in all"), "{error}");
    }

    #[test]
    fn means_have_sample_deviations() {
        assert_eq!(mean_and_deviation(&[3.0]), (3.0, None));
        assert_eq!(mean_and_deviation(&[2.0, 4.0]), (3.0, Some(2f64.sqrt())));
    }
}
