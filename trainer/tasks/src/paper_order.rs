//! Whether models come in the order of the paper's Table 2: the rank correlation with its scores,
//! over its rows.
use serde::Serialize;

use super::{
    Task,
    bootstrap::{Difference, Panel, RESAMPLES, Resampled},
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

/// How models are ordered, compared with the paper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// The mean over tasks of Spearman's correlation with the paper's scores, with its interval. p is that of a
    /// correlation of 0, if replicates and documents are the only source of chance.
    #[serde(flatten)]
    pub correlation: Difference,
    /// The share of all orders of the rows, the same in all tasks, whose correlation is as far from 0. Rows that have
    /// nothing to do with the paper's come this far as often.
    pub by_chance: f64,
}

/// The score of each task that is compared, by its place in [`Task::score_names`].
fn score_of(task: Task) -> usize {
    match task {
        Task::Rqa | Task::Ae => 2,
        Task::Pc | Task::Asc => 1,
    }
}

/// How our scores are ordered, compared with the paper's. `models` are names of rows; `None` if fewer than three of them
/// are the paper's, or one of these has no results.
pub fn order(models: &[String], tests: &[(Task, Panel)]) -> Option<Order> {
    let rows: Vec<(usize, [f64; 4])> = ROWS
        .iter()
        .filter_map(|(name, scores)| Some((models.iter().position(|model| model == name)?, *scores)))
        .collect();
    if rows.len() < 3 || tests.is_empty() {
        return None;
    }
    let (of_paper, papers): (Vec<usize>, Vec<[f64; 4]>) = rows.into_iter().unzip();
    let resample = |(task, panel): &(Task, Panel)| Some((*task, panel.resample(&of_paper, RESAMPLES)?));
    let tests = tests.iter().map(resample).collect::<Option<Vec<_>>>()?;
    let correlation = mean_correlation(&papers, &tests)?;
    Some(Order { by_chance: by_chance(&papers, &tests), correlation })
}

/// Spearman's correlation of models' scores in a task with those that the paper has for them.
fn of_task(papers: &[[f64; 4]], task: Task, scores: &[Vec<f64>]) -> f64 {
    let ours: Vec<f64> = scores.iter().map(|scores| scores[score_of(task)]).collect();
    let papers: Vec<f64> = papers.iter().map(|scores| scores[task as usize]).collect();
    spearman(&ours, &papers)
}

/// [`Order::by_chance`], exactly.
fn by_chance(papers: &[[f64; 4]], tests: &[(Task, Resampled)]) -> f64 {
    let of = |papers: &[[f64; 4]]| -> f64 {
        tests.iter().map(|(task, resampled)| of_task(papers, *task, &resampled.scores)).sum::<f64>().abs()
    };
    let found = of(papers);
    let orders = orders(papers.len());
    // Sums of the same numbers in another order differ by rounding.
    let as_far = orders.iter().filter(|order| {
        let papers: Vec<[f64; 4]> = order.iter().map(|&row| papers[row]).collect();
        of(&papers) >= found - 1e-9
    });
    as_far.count() as f64 / orders.len() as f64
}

/// All orders of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |shorter, next| {
        let places = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |place| [&order[..place], &[next], &order[place..]].concat())
        };
        shorter.iter().flat_map(places).collect()
    })
}

/// Of resamples whose models have these scores in the paper.
fn mean_correlation(papers: &[[f64; 4]], tests: &[(Task, Resampled)]) -> Option<Difference> {
    let of_task = |task: Task, scores: &[Vec<f64>]| of_task(papers, task, scores) / tests.len() as f64;
    let value = tests.iter().map(|(task, resampled)| of_task(*task, &resampled.scores)).sum();
    let resamples = tests.iter().map(|(_, resampled)| resampled.drawn.len()).min()?;
    let drawn = |number: usize| tests.iter().map(|(task, resampled)| of_task(*task, &resampled.drawn[number])).sum();
    let fewest = tests.iter().filter_map(|(_, resampled)| resampled.fewest_replicates()).min();
    // The part of replicates in the variance is not known here, so it is taken for all of it.
    let freedom = fewest.map(|replicates| (replicates - 1) as f64);
    let found = Difference::of(value, (0..resamples).map(drawn).collect(), freedom);
    Some(Difference { low: found.low.max(-1.0), high: found.high.min(1.0), ..found })
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

    /// The exact p of Spearman's correlation for four: 1 in 12 for the same or the reverse order, and 1 in 3 for 0.8
    /// (Zar 1972).
    #[test]
    fn chance_is_the_exact_p_of_one_task() {
        let papers = [1.0, 2.0, 3.0, 4.0].map(|score| [score; 4]);
        let of = |ours: [f64; 4]| {
            let scores = ours.map(|score| vec![score; 4]).to_vec();
            by_chance(&papers, &[(Task::Rqa, Resampled { scores, replicates: vec![], drawn: vec![] })])
        };
        assert!((of([1.0, 2.0, 3.0, 4.0]) - 2.0 / 24.0).abs() < 1e-12);
        assert!((of([4.0, 3.0, 2.0, 1.0]) - 2.0 / 24.0).abs() < 1e-12);
        assert!((of([1.0, 3.0, 2.0, 4.0]) - 8.0 / 24.0).abs() < 1e-12);
        assert_eq!(of([1.0; 4]), 1.0);
        let all = orders(4);
        assert_eq!((all.len(), all.iter().collect::<std::collections::BTreeSet<_>>().len()), (24, 24));
    }

    #[test]
    fn the_papers_order_is_found_and_noise_widens_it() {
        let papers: Vec<[f64; 4]> = ROWS.iter().map(|(_, scores)| *scores).collect();
        let of = |task: Task, sign: f64| -> Vec<Vec<f64>> {
            papers.iter().map(|scores| vec![sign * scores[task as usize]; 4]).collect()
        };
        // In every other resample, two neighbors in the order change places.
        let swapped = |task: Task| -> Vec<Vec<f64>> {
            let mut order: Vec<usize> = (0..papers.len()).collect();
            order.sort_by(|a, b| papers[*a][task as usize].total_cmp(&papers[*b][task as usize]));
            let mut scores = of(task, 1.0);
            scores.swap(order[2], order[3]);
            scores
        };
        let resampled = |task, replicates: usize| Resampled {
            scores: of(task, 1.0),
            replicates: vec![vec![vec![0.0; 4]; replicates]; papers.len()],
            drawn: (0..100).map(|draw| if draw % 2 == 0 { of(task, 1.0) } else { swapped(task) }).collect(),
        };
        let [alone, thrice] = [1, 3].map(|replicates| {
            let tests = [Task::Rqa, Task::Asc].map(|task| (task, resampled(task, replicates)));
            mean_correlation(&papers, &tests).unwrap()
        });
        // Spearman's correlation of seven with two neighbors exchanged: 1 - 6 * 2 / (7 * 48).
        let changed = 1.0 - 12.0 / 336.0;
        assert!((alone.value - 1.0).abs() < 1e-12 && (alone.low - changed).abs() < 1e-12, "{alone:?}");
        // Student's t with two degrees of freedom, of a deviation of half the change.
        let wanted = 1.0 - 4.302_652_73 * (1.0 - changed) / 2.0;
        assert!((thrice.low - wanted).abs() < 0.002 && thrice.high <= 1.0, "{thrice:?}, {wanted}");
        assert!(alone.p < 0.05 && thrice.p < 0.05, "{alone:?} {thrice:?}");
        let against = Resampled { drawn: vec![of(Task::Rqa, -1.0); 100], ..resampled(Task::Rqa, 1) };
        let found = mean_correlation(&papers, &[(Task::Rqa, against)]).unwrap();
        assert!((found.low + 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(order(&["BERT".to_owned(), "E-BERT".to_owned()], &[]), None);
    }
}
