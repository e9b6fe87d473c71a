//! The scores of the paper's Table 2.
//!
//! * rqa: precision, recall and F1 of an answer's tokens, those of the gold answer with the highest
//!   F1, and exact match with any gold answer. Text is normalized as in SQuAD 1.1: lower case,
//!   single spaces, no punctuation and no articles. Means over questions.
//! * ae: an aspect is right when its place is exactly a gold one; precision, recall and F1 over all
//!   aspects.
//! * asc: accuracy, and the mean of the classes' F1.
//! * pc: the ratio of titles whose labels are exactly right, F1 over all labels of all titles, and
//!   the mean of the labels' F1.
//!
//! A mean over classes or labels is over those that are in the gold or in a prediction. One that is
//! never predicted right has F1 0. These are scikit-learn's definitions with `zero_division=0`.
//!
//! Each score is a function of sums over examples, [`Sums`]: so the bootstrap adds up, and does not
//! score again.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    Gold, Task,
    predictions::{Judged, Prediction},
};

/// Version of the scores: raised when the same predictions get other scores.
pub const RULES: u32 = 1;

/// Scores of a task by name, in shares of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores(BTreeMap<String, f64>);

impl Scores {
    /// From values in the order of [`Task::score_names`].
    pub fn new(task: Task, values: &[f64]) -> Self {
        Self(task.score_names().iter().map(|name| (*name).to_owned()).zip(values.iter().copied()).collect())
    }

    /// The values, in the order of [`Task::score_names`].
    pub fn values(&self, task: Task) -> Vec<f64> {
        task.score_names().iter().map(|name| self.0.get(*name).copied().unwrap_or(f64::NAN)).collect()
    }

    /// The one that decides.
    pub fn deciding(&self, task: Task) -> f64 {
        self.values(task)[task.deciding()]
    }

    /// `precision 41.20   recall 40.03   …`, in percent.
    pub fn describe(&self, task: Task) -> String {
        let each = task.score_names().iter().zip(self.values(task));
        let each: Vec<String> =
            each.map(|(name, value)| format!("{} {:.2}", name.replace('_', " "), 100.0 * value)).collect();
        each.join("   ")
    }
}

/// Sums of some examples, by slot: what scores are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums(pub Vec<(u32, f64)>);

/// Slots of every task; what each holds depends on the task.
const EXAMPLES: u32 = 0;
/// First slot of the names; each has three: right, predicted, gold.
const NAMES: u32 = 5;

/// Makes [`Sums`], and scores of them.
#[derive(Clone, Debug)]
pub struct Scorer {
    task: Task,
    /// Number of each class or label.
    names: HashMap<String, u32>,
}

impl Scorer {
    /// For a task.
    pub fn new(task: Task) -> Self {
        Self { task, names: HashMap::new() }
    }

    /// How many slots there are so far.
    pub fn slots(&self) -> usize {
        NAMES as usize + 3 * self.names.len()
    }

    /// First of the three slots of a class or label.
    fn slot(&mut self, name: &str) -> u32 {
        let next = self.names.len() as u32;
        NAMES + 3 * *self.names.entry(name.to_owned()).or_insert(next)
    }

    /// The sums of one example.
    pub fn sums(&mut self, prediction: &Prediction, gold: &Gold) -> Sums {
        let mut sums = vec![(EXAMPLES, 1.0)];
        match (prediction, gold) {
            (Prediction::Answer(answer), Gold::Answers { texts, .. }) => {
                let best = texts
                    .iter()
                    .map(|gold| overlap(answer, gold))
                    .fold([0.0; 3], |best, next| if next[2] > best[2] { next } else { best });
                let exact = texts.iter().any(|gold| normalised(gold) == normalised(answer));
                sums.extend([(1, best[0]), (2, best[1]), (3, best[2]), (4, f64::from(u8::from(exact)))]);
            }
            (Prediction::Aspects(predicted), Gold::Aspects(gold)) => {
                let [predicted, gold] = [predicted, gold].map(|spans| spans.iter().collect::<BTreeSet<_>>());
                let right = predicted.intersection(&gold).count();
                sums.extend([(1, right as f64), (2, predicted.len() as f64), (3, gold.len() as f64)]);
            }
            (Prediction::Class(predicted), Gold::Class(gold)) => {
                // No prediction is of no class: it costs recall alone.
                let predicted = Some(predicted).filter(|class| !class.is_empty());
                self.of_names(predicted.into_iter().collect(), [gold].into(), &mut sums);
            }
            (Prediction::Labels(predicted), Gold::Labels(gold)) => {
                self.of_names(predicted.iter().collect(), gold.iter().collect(), &mut sums);
            }
            // Of another task: nothing of it is right.
            _ => {}
        }
        Sums(sums)
    }

    fn of_names(&mut self, predicted: BTreeSet<&String>, gold: BTreeSet<&String>, sums: &mut Vec<(u32, f64)>) {
        sums.push((1, f64::from(u8::from(predicted == gold))));
        for name in predicted.union(&gold) {
            let slot = self.slot(name);
            let (in_predicted, in_gold) = (predicted.contains(*name), gold.contains(*name));
            for (offset, holds) in [(0, in_predicted && in_gold), (1, in_predicted), (2, in_gold)] {
                if holds {
                    sums.push((slot + offset, 1.0));
                }
            }
        }
    }

    /// The scores of summed examples, in the order of [`Task::score_names`].
    pub fn scores(&self, sums: &[f64]) -> Vec<f64> {
        let examples = sums[EXAMPLES as usize];
        let names = sums[NAMES as usize..].chunks_exact(3).filter(|name| name[1] + name[2] > 0.0);
        let macro_f1 = || {
            let (sum, count) =
                names.clone().fold((0.0, 0.0), |(sum, n), name| (sum + f1(name[0], name[1], name[2]), n + 1.0));
            ratio(sum, count)
        };
        match self.task {
            Task::Rqa => (1..=4).map(|slot| ratio(sums[slot], examples)).collect(),
            Task::Ae => {
                vec![ratio(sums[1], sums[2]), ratio(sums[1], sums[3]), f1(sums[1], sums[2], sums[3])]
            }
            Task::Asc => vec![ratio(sums[1], examples), macro_f1()],
            Task::Pc => {
                let all = names.clone().fold([0.0; 3], |all, name| [0, 1, 2].map(|i| all[i] + name[i]));
                vec![ratio(sums[1], examples), f1(all[0], all[1], all[2]), macro_f1()]
            }
        }
    }
}

/// A part of a whole; 0 of nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// F1 from the numbers that are right, predicted and gold; 0 without any.
pub(crate) fn f1(right: f64, predicted: f64, gold: f64) -> f64 {
    ratio(2.0 * right, predicted + gold)
}

/// Scores predictions.
pub fn score(task: Task, judged: &[Judged]) -> Scores {
    let mut scorer = Scorer::new(task);
    let each: Vec<Sums> = judged.iter().map(|j| scorer.sums(&j.prediction, &j.gold)).collect();
    let mut sums = vec![0.0; scorer.slots()];
    for (slot, value) in each.iter().flat_map(|sums| &sums.0) {
        sums[*slot as usize] += value;
    }
    Scores::new(task, &scorer.scores(&sums))
}

/// Precision, recall and F1 of the tokens of an answer, as SQuAD 1.1's script has them.
fn overlap(answer: &str, gold: &str) -> [f64; 3] {
    let [answer, gold] = [answer, gold].map(normalised);
    let mut left: HashMap<&str, usize> = HashMap::new();
    gold.split(' ').filter(|t| !t.is_empty()).for_each(|token| *left.entry(token).or_default() += 1);
    let tokens = |text: &str| text.split(' ').filter(|t| !t.is_empty()).count();
    let same = answer
        .split(' ')
        .filter(|token| left.get_mut(token).filter(|count| **count > 0).map(|count| *count -= 1).is_some());
    let same = same.count() as f64;
    if same == 0.0 {
        return [0.0; 3];
    }
    let (precision, recall) = (same / tokens(&answer) as f64, same / tokens(&gold) as f64);
    [precision, recall, 2.0 * precision * recall / (precision + recall)]
}

/// Lower case, without ASCII punctuation and articles, single spaces: `normalize_answer` of SQuAD
/// 1.1's script.
pub fn normalised(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // The script drops an article where word boundaries stand on both sides of it, in white space
    // or not.
    let mut spaced = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        spaced.push_str(if matches!(word.as_str(), "a" | "an" | "the") { " " } else { &word });
        word.clear();
        spaced.push(c);
    }
    // What Python calls white space, and Rust does not.
    let space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    spaced.split(space).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn answers_are_normalised_as_the_script_does() {
        for (text, wanted) in [
            ("The  Battery-life, a lot!", "batterylife lot"),
            ("an apple a day the", "apple day"),
            ("theme another", "theme another"),
            ("the–thing", "–thing"),
            ("“The” end", "“ ” end"),
            ("", ""),
        ] {
            assert_eq!(normalised(text), wanted, "{text}");
        }
    }

    fn judge(prediction: Prediction, gold: Gold) -> Judged {
        Judged { id: String::new(), document: String::new(), prediction, gold }
    }

    #[test]
    fn the_best_gold_answer_counts() {
        let texts = ["the big blue pot", "blue pot"].map(str::to_owned).to_vec();
        let gold = Gold::Answers { texts, at: None };
        let scores = score(Task::Rqa, &[judge(Prediction::Answer("Blue pot!".into()), gold.clone())]);
        assert_eq!(scores.values(Task::Rqa), [1.0, 1.0, 1.0, 1.0]);
        let scores = score(Task::Rqa, &[judge(Prediction::Answer("big pot pot".into()), gold.clone())]);
        let [p, r, f] = [2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0];
        assert_eq!(scores.values(Task::Rqa)[..], [p, r, f, 0.0]);
        let scores = score(Task::Rqa, &[judge(Prediction::Answer(String::new()), gold)]);
        assert_eq!(scores.values(Task::Rqa), [0.0; 4]);
    }

    #[test]
    fn aspects_are_right_as_a_whole_or_not() {
        let span = |start, end| Span::new(start, end).unwrap();
        let judged = [
            judge(Prediction::Aspects(vec![span(0, 4), span(6, 9), span(0, 4)]), Gold::Aspects(vec![span(0, 4)])),
            judge(Prediction::Aspects(vec![]), Gold::Aspects(vec![span(0, 4), span(5, 6)])),
            judge(Prediction::Aspects(vec![]), Gold::Aspects(vec![])),
        ];
        assert_eq!(score(Task::Ae, &judged).values(Task::Ae), [0.5, 1.0 / 3.0, 0.4]);
        assert_eq!(score(Task::Ae, &judged[2..]).values(Task::Ae), [0.0; 3]);
    }

    #[test]
    fn means_are_over_names_that_occur() {
        let class = |p: &str, g: &str| judge(Prediction::Class(p.into()), Gold::Class(g.into()));
        // x: F1 2/3, y: 0 (never predicted), z: 1.
        let judged = [class("x", "x"), class("x", "y"), class("z", "z")];
        let scores = score(Task::Asc, &judged).values(Task::Asc);
        assert!((scores[0] - 2.0 / 3.0).abs() < 1e-12 && (scores[1] - 5.0 / 9.0).abs() < 1e-12, "{scores:?}");
        let labels = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let judged = [
            judge(Prediction::Labels(labels(&["x", "y"])), Gold::Labels(labels(&["x", "y"]))),
            judge(Prediction::Labels(labels(&["x"])), Gold::Labels(labels(&["x", "unseen"]))),
        ];
        let scores = score(Task::Pc, &judged).values(Task::Pc);
        for (found, wanted) in scores.iter().zip([0.5, 6.0 / 7.0, 2.0 / 3.0]) {
            assert!((found - wanted).abs() < 1e-12, "{scores:?}");
        }
    }
}
