//! Which categories a title is in, from its mean hidden state: logistic regression and the five
//! nearest titles, cross-validated.
use std::{collections::HashMap, path::Path};

use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::{
    Probe, ProbeError, Probing,
    folds::{FOLDS, are_filled, fold_of, rows_of},
    logistic::{Logistic, Targets},
    nearest::votes,
    record::{Outcome, Score},
};
use crate::{
    Example, Gold, Input, Tally, Task,
    metrics::score,
    options::Options,
    predictions::{Judged, Prediction},
    products::{Labels, labels_of},
    read,
};

/// Nearest titles that vote. An odd number avoids ties.
const NEIGHBORS: i64 = 5;
/// The inverse strength of the penalty.
const C: f64 = 1.0;

/// Titles with their categories.
#[derive(Debug)]
pub struct Titles {
    examples: Vec<Example>,
    names: Vec<String>,
    folds: Vec<usize>,
}

impl Titles {
    /// Reads a file of `ebert titles`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn read(file: &Path, seed: u64) -> Result<Self, ProbeError> {
        let examples = read(Task::Pc, file)?.examples;
        let labels = Labels::of(&examples, Options::default().min_titles);
        let examples = labels.restrict(examples, &mut Tally::default());
        let names: Vec<String> = labels.names().map(str::to_owned).collect();
        let folds: Vec<usize> = examples.iter().map(|example| fold_of(seed, &example.document)).collect();
        if names.is_empty() || !are_filled(&folds) {
            let what = format!("titles with a label of at least {} titles", Options::default().min_titles);
            return Err(ProbeError::TooFew { path: file.to_owned(), found: examples.len(), what });
        }
        Ok(Self { examples, names, folds })
    }

    /// The labels that have a positive score.
    fn judged(&self, row: usize, scores: &[f64]) -> Judged {
        let chosen = self.names.iter().zip(scores).filter(|(_, score)| **score > 0.0);
        let Example { id, document, .. } = &self.examples[row];
        Judged {
            id: id.clone(),
            document: document.clone(),
            prediction: Prediction::Labels(chosen.map(|(name, _)| name.clone()).collect()),
            gold: Gold::Labels(labels_of(&self.examples[row]).to_vec()),
        }
    }
}

impl Probe for Titles {
    fn name(&self) -> String {
        "titles".to_owned()
    }

    fn items(&self) -> Value {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let documents: Vec<usize> = self
            .examples
            .iter()
            .map(|example| {
                let next = numbers.len();
                *numbers.entry(&example.document).or_insert(next)
            })
            .collect();
        let ids: Vec<&String> = self.examples.iter().map(|example| &example.id).collect();
        let gold: Vec<usize> = self.examples.iter().map(|example| labels_of(example).len()).collect();
        json!({"id": ids, "document": documents, "gold": gold})
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let texts = self.examples.iter().map(|example| probing.frozen.encode(title_of(example), usize::MAX));
        let features = probing.frozen.means(&texts.collect::<Result<Vec<_>, _>>()?);
        let wanted = indicators(&self.examples, &self.names);
        let (titles, labels) = (self.examples.len() as i64, self.names.len() as i64);
        let found =
            ["logistic", "5 nearest"].map(|_| Tensor::zeros([titles, labels], (Kind::Double, features.device())));
        let mut before = None;
        for fold in 0..FOLDS {
            let (test, training) = rows_of(&self.folds, fold);
            let (test, training) = (Tensor::from_slice(&test), Tensor::from_slice(&training));
            let (x, y) = (features.index_select(0, &training), wanted.index_select(0, &training));
            let tested = features.index_select(0, &test);
            let nearest = votes(&tested, &x, &y, NEIGHBORS) - 0.5;
            let fitted = Logistic::fit_from(before.as_ref(), &x, &Targets::Labels(y), C)?;
            let (number, iterations) = (fold + 1, fitted.iterations);
            probing.say(&format!("titles, fold {number} of {FOLDS}: {labels} labels in {iterations} iterations"));
            for (found, scores) in found.iter().zip([fitted.logits(&tested), nearest]) {
                let _ = found.shallow_clone().index_copy_(0, &test, &scores);
            }
            before = Some(fitted);
        }
        let folds = Tensor::from_slice(&self.folds.iter().map(|&fold| fold as i64).collect::<Vec<_>>());
        probing.export(
            "titles",
            &[
                ("features", &features),
                ("labels", &wanted.to_kind(Kind::Uint8)),
                ("folds", &folds),
                ("c", &Tensor::from_slice(&[C])),
                ("logits", &found[0]),
                ("votes", &(&found[1] + 0.5)),
            ],
        )?;
        let (mut scores, mut results) = (Vec::new(), serde_json::Map::new());
        for (name, found) in ["logistic", "5 nearest"].into_iter().zip(&found) {
            let found: Vec<f64> = Vec::try_from(found.view([-1]))?;
            let rows = found.chunks_exact(self.names.len().max(1)).enumerate();
            let judged: Vec<Judged> = rows.map(|(row, scores)| self.judged(row, scores)).collect();
            let values = score(Task::Pc, &judged).values(Task::Pc);
            let named = ["titles all right", "micro-F1", "macro-F1"].into_iter().zip(values);
            scores.extend(named.map(|(score, value)| Score::ratio(format!("{name}, {score}"), value)));
            results.insert(name.to_owned(), of_titles(&judged));
        }
        Ok(Outcome::new(scores, results.into()))
    }
}

/// For each title how many of its labels are right, and how many are predicted. All of it is right
/// where both are `gold`.
fn of_titles(judged: &[Judged]) -> Value {
    let counts = judged.iter().map(|one| match (&one.prediction, &one.gold) {
        (Prediction::Labels(predicted), Gold::Labels(gold)) => {
            (predicted.iter().filter(|label| gold.contains(label)).count(), predicted.len())
        }
        _ => (0, 0),
    });
    let (right, predicted): (Vec<usize>, Vec<usize>) = counts.unzip();
    json!({"right": right, "predicted": predicted})
}

fn title_of(example: &Example) -> &str {
    match &example.input {
        Input::Text(text) | Input::Pair(text, _) => text,
    }
}

/// 1 where an example has a label: `[examples, labels]`, float64.
fn indicators(examples: &[Example], names: &[String]) -> Tensor {
    let mut values = vec![0.0f64; examples.len() * names.len()];
    for (row, example) in values.chunks_exact_mut(names.len().max(1)).zip(examples) {
        for label in labels_of(example) {
            if let Ok(at) = names.binary_search(label) {
                row[at] = 1.0;
            }
        }
    }
    Tensor::from_slice(&values).view([examples.len() as i64, names.len() as i64]).to_kind(Kind::Double)
}
