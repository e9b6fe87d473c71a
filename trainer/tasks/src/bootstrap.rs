//! How sure a difference between models is: a paired bootstrap with two levels (Efron and
//! Tibshirani 1993; Koehn 2004).
//!
//! A resample draws replicates of post-training with replacement, and then documents of the test
//! part. All models see the same draws: replicates are paired by number, and all models by document.
//! A model's score is the mean over its replicates, and within a replicate over its cells
//! (fine-tuning seeds and splits).
//!
//! Of n replicates, n - 1 are drawn: the variance of their mean is then that of the mean of n
//! replicates without bias (Rao and Wu 1988). Drawing n of three would give two thirds of it. Noise of
//! a document that differs from replicate to replicate is counted up to three times (Owen 2007), so
//! intervals are too wide where it dominates.
//!
//! The percentiles of so few replicates are too narrow: those of three cover 80% instead of 95%. So
//! with replicates, the interval is the one of Student's t with the deviation of the resamples. Its
//! degrees of freedom are n - 1 where replicates are all of the variance, and grow with the part of
//! the documents (Satterthwaite 1946). Without replicates, it is the percentiles, and holds for these
//! fine-tuned models only.
use serde::Serialize;
use std::{collections::BTreeMap, thread};

use schemas::Draws;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{
    Task,
    metrics::{Scorer, Sums},
    predictions::Judged,
};

/// Resamples of a comparison.
pub const RESAMPLES: usize = 10_000;

/// A model's score less another's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// On the test part itself.
    pub value: f64,
    /// Lower end of the 95% interval.
    pub low: f64,
    /// Upper end of the 95% interval.
    pub high: f64,
    /// The probability of a difference as large if there is none: small where the sign is sure.
    pub p: f64,
}

/// Two models were not tested on the same examples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the models were tested on different examples: `{id}` is not in all of their predictions\nhint: compare fine-tunings of the same data, split seeds and limits"
)]
pub struct NotPaired {
    id: String,
}

/// The predictions of one post-trained model: for each split seed, those of each fine-tuning seed.
pub type Replicate = Vec<Vec<Vec<Judged>>>;

/// Sums of one fine-tuning: of each document that it was tested on.
type CellSums = Vec<(u32, Sums)>;

/// How the sums of documents become scores.
type ScoresOf = Box<dyn Fn(&[f64]) -> Vec<f64> + Send + Sync>;

/// The results of models on one test, as sums that scores are made of.
pub struct Panel {
    /// Documents, over all splits.
    documents: usize,
    /// Length of the sums.
    slots: usize,
    scores: ScoresOf,
    /// For each model, its replicates by number, `None` without results; for each of them, its cells.
    models: Vec<Vec<Option<Vec<CellSums>>>>,
}

impl Panel {
    /// Of the predictions of models for a task: for each model, its replicates by number.
    ///
    /// # Errors
    /// When the models were not tested on the same examples.
    pub fn of_task(task: Task, models: &[Vec<Option<Replicate>>]) -> Result<Self, NotPaired> {
        let all = || models.iter().flatten().flatten();
        for split in 0..all().map(Vec::len).max().unwrap_or(0) {
            paired(all().filter_map(|replicate| replicate.get(split)).flatten())?;
        }
        let mut scorer = Scorer::new(task);
        let mut documents: BTreeMap<String, u32> = BTreeMap::new();
        let mut sums_of = |judged: &Vec<Judged>| -> CellSums {
            let mut of: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
            for judged in judged {
                let next = documents.len() as u32;
                let document = *documents.entry(judged.document.clone()).or_insert(next);
                for (slot, value) in scorer.sums(&judged.prediction, &judged.gold).0 {
                    *of.entry(document).or_default().entry(slot).or_default() += value;
                }
            }
            of.into_iter().map(|(document, sums)| (document, Sums(sums.into_iter().collect()))).collect()
        };
        let mut cells_of = |splits: &Replicate| splits.iter().flatten().map(&mut sums_of).collect();
        let models: Vec<Vec<Option<Vec<CellSums>>>> = models
            .iter()
            .map(|replicates| replicates.iter().map(|splits| splits.as_ref().map(&mut cells_of)).collect())
            .collect();
        let (documents, slots) = (documents.len(), scorer.slots());
        Ok(Self { documents, slots, scores: Box::new(move |sums| scorer.scores(sums)), models })
    }

    /// From precomputed sums: for each model, its replicates by number. Each has the sums of all
    /// documents, by their number.
    pub fn of_sums(
        models: Vec<Vec<Option<Vec<Sums>>>>,
        scores: impl Fn(&[f64]) -> Vec<f64> + Send + Sync + 'static,
    ) -> Self {
        let each = || models.iter().flatten().flatten();
        let documents = each().map(Vec::len).max().unwrap_or(0);
        let slots = each().flatten().flat_map(|sums| &sums.0).map(|(slot, _)| *slot as usize + 1).max().unwrap_or(0);
        let cells = |documents: Vec<Sums>| -> Vec<CellSums> { vec![(0..).zip(documents).collect()] };
        let models = models
            .into_iter()
            .map(|replicates| replicates.into_iter().map(|documents| documents.map(cells)).collect())
            .collect();
        Self { documents, slots, scores: Box::new(scores), models }
    }

    /// The scores of a replicate in which each document counts so often: the mean over its cells.
    fn replicate(&self, cells: &[CellSums], times: &[u32]) -> Vec<f64> {
        let mut mean: Vec<f64> = Vec::new();
        let mut sums = vec![0.0; self.slots];
        for cell in cells {
            sums.fill(0.0);
            for (document, of) in cell {
                let times = f64::from(times[*document as usize]);
                if times > 0.0 {
                    of.0.iter().for_each(|(slot, value)| sums[*slot as usize] += times * value);
                }
            }
            let scores = (self.scores)(&sums);
            mean.resize(scores.len(), 0.0);
            mean.iter_mut().zip(scores).for_each(|(mean, score)| *mean += score / cells.len() as f64);
        }
        mean
    }

    /// The scores of a model in each replicate that has results.
    pub fn replicates(&self, model: usize) -> Vec<Vec<f64>> {
        let once = vec![1; self.documents];
        self.models[model].iter().flatten().map(|cells| self.replicate(cells, &once)).collect()
    }

    /// The scores of a model's first replicate in each of its cells.
    pub fn cells(&self, model: usize) -> Vec<Vec<f64>> {
        let once = vec![1; self.documents];
        let first = self.models[model].iter().flatten().next().map_or(&[][..], Vec::as_slice);
        first.iter().map(|cell| self.replicate(std::slice::from_ref(cell), &once)).collect()
    }

    /// How many documents there are.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// The replicates of models that are compared. Those with several replicates are compared in the
    /// numbers that all of them have. `None` if there is none.
    fn common(&self, models: &[usize]) -> Option<Vec<Vec<&Vec<CellSums>>>> {
        let several = || models.iter().map(|&model| &self.models[model]).filter(|replicates| replicates.len() > 1);
        let most = several().map(Vec::len).max().unwrap_or(1);
        let has = |number: usize| several().all(|replicates| replicates.get(number).is_some_and(Option::is_some));
        let numbers: Vec<usize> = (0..most).filter(|&number| has(number)).collect();
        let of = |&model: &usize| -> Vec<&Vec<CellSums>> {
            let replicates = &self.models[model];
            let numbers = if replicates.len() > 1 { &numbers[..] } else { &[0] };
            numbers.iter().filter_map(|&number| replicates.get(number)?.as_ref()).collect()
        };
        let common: Vec<Vec<&Vec<CellSums>>> = models.iter().map(of).collect();
        common.iter().all(|replicates| !replicates.is_empty()).then_some(common)
    }

    /// Resamples models together. `None` if one has no replicate that the others have, or if there are
    /// fewer than two documents.
    pub fn resample(&self, models: &[usize], resamples: usize) -> Option<Resampled> {
        let common = self.common(models).filter(|_| self.documents > 1)?;
        let once = vec![1; self.documents];
        let scores = |cells: &&Vec<CellSums>| self.replicate(cells, &once);
        let replicates: Vec<Vec<Vec<f64>>> =
            common.iter().map(|replicates| replicates.iter().map(scores).collect()).collect();
        let draw = |number: usize| -> Vec<Vec<f64>> {
            let mut draws = Draws::new(0, "bootstrap", &number.to_le_bytes());
            let mut times = vec![0; self.documents];
            (0..self.documents).for_each(|_| times[draws.below(self.documents as u64) as usize] += 1);
            let score = |replicates: &Vec<&Vec<CellSums>>| {
                let weights = replicate_draws(number, replicates.len());
                let mut mean: Vec<f64> = Vec::new();
                for (cells, &weight) in replicates.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0) {
                    let scores = self.replicate(cells, &times);
                    mean.resize(scores.len(), 0.0);
                    mean.iter_mut().zip(scores).for_each(|(mean, score)| *mean += weight * score);
                }
                mean
            };
            common.iter().map(score).collect()
        };
        let workers = thread::available_parallelism().map_or(1, |n| n.get());
        let drawn = thread::scope(|scope| {
            let parts: Vec<_> = (0..workers)
                .map(|worker| {
                    let (draw, range) = (&draw, worker * resamples / workers..(worker + 1) * resamples / workers);
                    scope.spawn(move || range.map(draw).collect::<Vec<_>>())
                })
                .collect();
            let ended = parts.into_iter().map(|part| part.join());
            ended.flat_map(|part| part.unwrap_or_else(|_| panic!("a worker has panicked"))).collect()
        });
        Some(Resampled { scores: replicates.iter().map(|rows| mean(rows)).collect(), replicates, drawn })
    }

    /// One model's scores less another's: `None` as in [`Panel::resample`].
    pub fn compare(&self, model: usize, other: usize, resamples: usize) -> Option<Vec<Difference>> {
        let resampled = self.resample(&[model, other], resamples)?;
        Some((0..resampled.scores[0].len()).map(|score| resampled.difference(score)).collect())
    }
}

/// How much each replicate counts in a resample: n - 1 of n are drawn, with replacement.
fn replicate_draws(number: usize, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![1.0; count];
    }
    let mut draws = Draws::new(count as u64, "bootstrap-replicates", &number.to_le_bytes());
    let mut weights = vec![0.0; count];
    (1..count).for_each(|_| weights[draws.below(count as u64) as usize] += 1.0 / (count - 1) as f64);
    weights
}

/// The means over rows.
fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; rows.first().map_or(0, Vec::len)];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / rows.len() as f64));
    mean
}

/// Scores of models on a test, and on its resamples.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// For each model, its scores.
    pub scores: Vec<Vec<f64>>,
    /// For each model and replicate, its scores.
    pub replicates: Vec<Vec<Vec<f64>>>,
    /// For each resample and model, its scores.
    pub drawn: Vec<Vec<Vec<f64>>>,
}

impl Resampled {
    /// The first model's score less the second's.
    fn difference(&self, score: usize) -> Difference {
        let less = |scores: &[Vec<f64>]| scores[0][score] - scores[1][score];
        let drawn: Vec<f64> = self.drawn.iter().map(|scores| less(scores)).collect();
        let of = |model: usize| self.replicates[model].iter().map(|scores| scores[score]).collect::<Vec<f64>>();
        let (model, other) = (of(0), of(1));
        let samples = if model.len() == other.len() {
            vec![model.iter().zip(&other).map(|(model, other)| model - other).collect()]
        } else {
            vec![model, other]
        };
        let variance = mean_and_deviation(&drawn).1.unwrap_or(0.0).powi(2);
        Difference::of(less(&self.scores), drawn, degrees_of_freedom(variance, &samples))
    }

    /// The fewest replicates of a model with several; `None` without any.
    pub fn fewest_replicates(&self) -> Option<usize> {
        self.replicates.iter().map(Vec::len).filter(|replicates| *replicates > 1).min()
    }
}

/// The degrees of freedom of a variance, of which the means of samples are a part and documents the
/// rest (Satterthwaite 1946); `None` without a sample of two.
fn degrees_of_freedom(variance: f64, samples: &[Vec<f64>]) -> Option<f64> {
    let samples: Vec<&Vec<f64>> = samples.iter().filter(|sample| sample.len() > 1).collect();
    let fewest = samples.iter().map(|sample| sample.len() - 1).min()? as f64;
    let part = |sample: &&Vec<f64>| {
        let count = sample.len() as f64;
        let of_mean = mean_and_deviation(sample).1.unwrap_or(0.0).powi(2) / count;
        of_mean.powi(2) / (count - 1.0)
    };
    // Where replicates are all of the variance, noise of the resamples could give fewer.
    Some((variance.powi(2) / samples.iter().map(part).sum::<f64>()).clamp(fewest, 1e6))
}

impl Difference {
    /// `+1.20 [0.30, 2.10]`, in points.
    pub fn in_points(&self) -> String {
        format!("{:+.2} [{:.2}, {:.2}]", 100.0 * self.value, 100.0 * self.low, 100.0 * self.high)
    }

    /// From the value and those of all resamples. With degrees of freedom, the interval is Student's;
    /// without, it is of percentiles.
    pub fn of(value: f64, mut drawn: Vec<f64>, degrees_of_freedom: Option<f64>) -> Self {
        let least = 2.0 / (drawn.len() + 1) as f64;
        let deviation = mean_and_deviation(&drawn).1.unwrap_or(0.0);
        let student = degrees_of_freedom.and_then(|freedom| StudentsT::new(0.0, 1.0, freedom).ok());
        if let Some(student) = student.filter(|_| deviation > 0.0) {
            let reach = student.inverse_cdf(0.975) * deviation;
            let p = 2.0 * student.cdf(-(value / deviation).abs());
            return Self { value, low: value - reach, high: value + reach, p: p.clamp(least, 1.0) };
        }
        drawn.sort_unstable_by(f64::total_cmp);
        // As many below the interval as above it.
        let outside = (0.025 * drawn.len() as f64) as usize;
        let low = drawn.get(outside).copied().unwrap_or(value);
        let high = drawn.len().checked_sub(outside + 1).map_or(value, |at| drawn[at]);
        let part = |holds: fn(&f64) -> bool| (drawn.iter().filter(|d| holds(d)).count() + 1) as f64;
        let p = 2.0 * part(|d| *d <= 0.0).min(part(|d| *d >= 0.0)) / (drawn.len() + 1) as f64;
        Self { value, low, high, p: p.min(1.0) }
    }
}

/// The p values of several claims, corrected by Holm's method (Holm 1979): the smallest times their
/// number, the next times one less, and so on, none below one before it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut corrected, mut least) = (vec![0.0; p.len()], 0.0f64);
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[at]).min(1.0);
        corrected[at] = least;
    }
    corrected
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

    /// A model of replicates with one split each.
    fn model(replicates: &[Vec<Vec<Judged>>]) -> Vec<Option<Replicate>> {
        replicates.iter().map(|seeds| Some(vec![seeds.clone()])).collect()
    }

    /// The accuracy of the first model less that of the second.
    fn compare(models: [&[Vec<Vec<Judged>>]; 2], resamples: usize) -> Difference {
        let panel = Panel::of_task(Task::Asc, &models.map(model)).unwrap();
        panel.compare(0, 1, resamples).unwrap()[0]
    }

    #[test]
    fn a_large_difference_is_sure_and_none_is_not() {
        let good = [vec![predictions(1, 200, 0.8), predictions(2, 200, 0.8)]];
        let bad = [vec![predictions(3, 200, 0.6)]];
        let accuracy = compare([&good, &bad], 2000);
        assert!((accuracy.value - 0.2).abs() < 0.07 && accuracy.low < accuracy.value && accuracy.value < accuracy.high);
        assert!(accuracy.p < 0.01 && accuracy.low > 0.0, "{accuracy:?}");
        // The interval of a mean of 400 examples on the one side and twice as many on the other.
        let width = (accuracy.high - accuracy.low) / 3.92;
        let wanted = (0.8 * 0.2 / 800.0 + 0.6 * 0.4 / 400.0f64).sqrt();
        assert!((width / wanted - 1.0).abs() < 0.2, "{width} {wanted}");
        assert_eq!(compare([&good, &bad], 2000), accuracy);

        let same = compare([&good, &good], 500);
        assert_eq!(same, Difference { value: 0.0, low: 0.0, high: 0.0, p: 1.0 });
        let alike = compare([&[vec![predictions(4, 200, 0.7)]], &[vec![predictions(5, 200, 0.7)]]], 500);
        assert!(alike.p > 0.05, "{alike:?}");
    }

    /// Replicates whose accuracies on 2,000 documents are those.
    fn replicates(seed: u64, accuracies: &[f64]) -> Vec<Vec<Vec<Judged>>> {
        (0..).zip(accuracies).map(|(number, right)| vec![predictions(seed + number, 2000, *right)]).collect()
    }

    #[test]
    fn replicates_that_differ_widen_the_interval_as_students_t_does() {
        let few = compare([&replicates(10, &[0.6, 0.7, 0.8]), &replicates(20, &[0.7, 0.7, 0.7])], 4000);
        // Documents alone would be sure to 0.01. Student's t has 4.30 at two degrees of freedom.
        let deviation = (few.high - few.low) / (2.0 * 4.3027);
        let wanted = (0.1f64.powi(2) / 3.0 + 0.00012).sqrt();
        assert!((deviation / wanted - 1.0).abs() < 0.25, "{few:?} {wanted}");
        assert!(few.p > 0.3, "{few:?}");
        // A difference that every replicate has is sure, whatever their levels are: they are paired.
        let paired = compare([&replicates(10, &[0.65, 0.75, 0.85]), &replicates(20, &[0.6, 0.7, 0.8])], 2000);
        assert!(paired.low > 0.0 && paired.high < 0.1, "{paired:?}");
    }

    /// A normal number with deviation 1.
    fn normal(draws: &mut Draws) -> f64 {
        let radius = (-2.0 * (1.0 - draws.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * draws.unit()).cos()
    }

    #[test]
    fn intervals_cover_as_often_as_they_claim() {
        // Of replicates, of documents in all of them, and of documents in each; the true difference is 0.
        for (of_replicates, of_documents, of_both) in [(1.0, 0.5, 0.0), (0.1, 5.0, 0.0), (0.1, 0.5, 5.0)] {
            let (experiments, mut covered) = (400, 0);
            for experiment in 0u64..experiments {
                let mut draws = Draws::new(experiment, "test", b"");
                let documents: Vec<f64> = (0..40).map(|_| of_documents * normal(&mut draws)).collect();
                let mut model = |moves: f64| -> Vec<Option<Vec<Sums>>> {
                    let mut replicate = || {
                        let level = moves * of_replicates * normal(&mut draws);
                        let mut both = || moves * of_both * normal(&mut draws);
                        let sums = documents.iter().map(|of| Sums(vec![(0, level + moves * of + both()), (1, 1.0)]));
                        Some(sums.collect())
                    };
                    (0..3).map(|_| replicate()).collect()
                };
                let models = vec![model(1.0), model(0.0)];
                let panel = Panel::of_sums(models, |sums| vec![sums[0] / sums[1]]);
                let difference = panel.compare(0, 1, 300).unwrap()[0];
                covered += u64::from(difference.low <= 0.0 && 0.0 <= difference.high);
                assert_eq!(difference.p > 0.05, difference.low < 0.0 && 0.0 < difference.high);
            }
            let part = covered as f64 / experiments as f64;
            let most = if of_both > 0.0 { 1.0 } else { 0.985 };
            assert!((0.92..=most).contains(&part), "{of_replicates} {of_documents} {of_both}: {part}");
        }
    }

    #[test]
    fn cells_of_several_splits_count_alike_and_are_paired_by_document() {
        let part = |from: usize, right: f64| -> Vec<Judged> {
            predictions(7, 300, right).into_iter().skip(2 * from).take(200).collect()
        };
        let model = |right| vec![Some(vec![vec![part(0, right)], vec![part(50, right)]])];
        let panel = Panel::of_task(Task::Asc, &[model(0.8), model(0.6)]).unwrap();
        assert_eq!((panel.documents(), panel.cells(0).len()), (150, 2));
        let mean_of_cells = (panel.cells(0)[0][0] + panel.cells(0)[1][0]) / 2.0;
        assert!((panel.replicates(0)[0][0] - mean_of_cells).abs() < 1e-12);
        let difference = panel.compare(0, 1, 1000).unwrap()[0];
        assert!(difference.p < 0.01, "{difference:?}");
    }

    #[test]
    fn replicates_are_paired_by_number_where_some_are_missing() {
        let all = replicates(10, &[0.6, 0.7, 0.8]);
        let mut models = [model(&all), model(&all)];
        (models[0][1], models[1][2]) = (None, None);
        let panel = Panel::of_task(Task::Asc, &models).unwrap();
        // Both have the first, and there they are equal.
        let equal = Difference { value: 0.0, low: 0.0, high: 0.0, p: 1.0 };
        assert_eq!(panel.compare(0, 1, 100), Some(vec![equal; 2]));
        models[1][0] = None;
        assert_eq!(Panel::of_task(Task::Asc, &models).unwrap().compare(0, 1, 100), None);
        // A model with one run is compared with each of several.
        let one = [model(&all), model(&all[..1])];
        let difference = Panel::of_task(Task::Asc, &one).unwrap().compare(0, 1, 500).unwrap()[0];
        assert!((difference.value - 0.1).abs() < 0.03 && difference.low < 0.0, "{difference:?}");
    }

    #[test]
    fn nothing_is_compared_without_results_or_with_one_document() {
        let some = model(&[vec![predictions(1, 9, 0.5)]]);
        assert_eq!(Panel::of_task(Task::Asc, &[some.clone(), Vec::new()]).unwrap().compare(1, 0, 10), None);
        let one = model(&[vec![predictions(1, 1, 0.5)]]);
        assert_eq!(Panel::of_task(Task::Asc, &[one.clone(), one]).unwrap().compare(0, 1, 10), None);
    }

    #[test]
    fn models_of_different_tests_are_refused() {
        let models = [predictions(1, 3, 0.5), predictions(1, 2, 0.5)].map(|judged| model(&[vec![judged]]));
        let error = Panel::of_task(Task::Asc, &models).err().unwrap();
        assert!(error.to_string().contains("`4` is not in all"), "{error}");
    }

    #[test]
    fn holm_corrects_as_published() {
        // statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method="holm")
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, wanted) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - wanted).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn means_have_sample_deviations() {
        assert_eq!(mean_and_deviation(&[3.0]), (3.0, None));
        assert_eq!(mean_and_deviation(&[2.0, 4.0]), (3.0, Some(2f64.sqrt())));
    }
}
