//! Finished cells without the texts of their data: the tables of a [`Grid`](super::grid::Grid) follow
//! from them on any machine, without models and data.
//!
//! A file of records has JSON lines of two kinds. `{"examples": {…}}` is the test part of a test and
//! split: ids and documents as the first 12 digits of the BLAKE3 of their names, and what is right.
//! `{"cell": {…}}` names a cell, and has its `metrics.json` and its predictions, in the order of these
//! examples. Words of an answer are numbers that hold within their question, and labels of products
//! are numbers that hold within a cell. So all scores stay as they are.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Gold,
    cell::Metrics,
    grid::Cell,
    metrics::normalised,
    predictions::{Judged, Prediction},
};

/// Cells of a grid, without texts.
#[derive(Debug, Default)]
pub struct Records {
    /// By the name of a test and the seed of a split.
    parts: BTreeMap<(String, u64), TestExamples>,
    cells: BTreeMap<CellKey, CellRecord>,
}

/// Which cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct CellKey {
    test: String,
    split_seed: u64,
    limit: Option<usize>,
    seed: u64,
    model: String,
    /// From 0.
    replicate: usize,
}

impl CellKey {
    fn of(cell: &Cell<'_>) -> Self {
        let Cell { model, replicate, test, limit, split_seed, seed } = *cell;
        Self { test: test.name.clone(), split_seed, limit, seed, model: model.name.clone(), replicate }
    }
}

/// The examples of a test part, without texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TestExamples {
    test: String,
    split_seed: u64,
    ids: Vec<String>,
    documents: Vec<String>,
    gold: Vec<Value>,
}

/// A finished cell.
#[derive(Debug, Serialize, Deserialize)]
struct CellRecord {
    #[serde(flatten)]
    key: CellKey,
    metrics: Metrics,
    predictions: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordLine {
    Examples(TestExamples),
    Cell(Box<CellRecord>),
}

/// Records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A file cannot be read.
    #[error("cannot read the records `{}`\nhint: a grid writes records.jsonl next to its tables; unpack one that is compressed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line is none.
    #[error("line {line} of `{}` is not a record of a grid\nhint: a grid writes records.jsonl next to its tables", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Cells were tested on different examples.
    #[error(
        "{cell} was tested on other examples than an earlier cell of this test and split\nhint: records of other data do not belong to the grid; remove their file from `records`"
    )]
    Different {
        /// The cell.
        cell: String,
    },
}

impl Records {
    /// Reads files of records; of a cell that two of them have, the later one counts.
    ///
    /// # Errors
    /// When a file cannot be read, or two have different examples.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RecordsError> {
        let mut records = Self::default();
        paths.iter().try_for_each(|path| records.read_file(path))?;
        Ok(records)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), RecordsError> {
        let text = fs::read_to_string(path).map_err(|source| RecordsError::Io { path: path.to_owned(), source })?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = |source| RecordsError::Malformed { path: path.to_owned(), line: number + 1, source };
            match serde_json::from_str(line).map_err(malformed)? {
                RecordLine::Examples(examples) => {
                    let cell = || format!("`{}`: `{}`", path.display(), examples.test);
                    self.add_examples(examples.clone(), cell)?;
                }
                RecordLine::Cell(cell) => {
                    let examples = self.parts.get(&(cell.key.test.clone(), cell.key.split_seed));
                    if examples.is_none_or(|examples| examples.ids.len() != cell.predictions.len()) {
                        let what = "the predictions do not fit the examples";
                        return Err(malformed(serde::de::Error::custom(what)));
                    }
                    self.cells.insert(cell.key.clone(), *cell);
                }
            }
        }
        Ok(())
    }

    fn add_examples(&mut self, examples: TestExamples, cell: impl Fn() -> String) -> Result<(), RecordsError> {
        let key = (examples.test.clone(), examples.split_seed);
        if *self.parts.entry(key).or_insert_with(|| examples.clone()) == examples {
            Ok(())
        } else {
            Err(RecordsError::Different { cell: cell() })
        }
    }

    /// Adds a finished cell.
    ///
    /// # Errors
    /// When it was tested on other examples than those of its test and split.
    pub fn add(&mut self, cell: &Cell<'_>, metrics: Metrics, judged: &[Judged]) -> Result<(), RecordsError> {
        let key = CellKey::of(cell);
        let name = |of: fn(&Judged) -> &String| judged.iter().map(|judged| anonymous(of(judged))).collect();
        let (gold, predictions) = numbered(judged);
        let (ids, documents) = (name(|judged| &judged.id), name(|judged| &judged.document));
        let examples = TestExamples { test: key.test.clone(), split_seed: key.split_seed, ids, documents, gold };
        self.add_examples(examples, || cell.to_string())?;
        self.cells.insert(key.clone(), CellRecord { key, metrics, predictions });
        Ok(())
    }

    /// What came of a cell.
    pub fn metrics(&self, cell: &Cell<'_>) -> Option<&Metrics> {
        Some(&self.cells.get(&CellKey::of(cell))?.metrics)
    }

    /// The predictions of a cell.
    pub fn judged(&self, cell: &Cell<'_>) -> Option<Vec<Judged>> {
        let recorded = self.cells.get(&CellKey::of(cell))?;
        let examples = self.parts.get(&(recorded.key.test.clone(), recorded.key.split_seed))?;
        let names = examples.ids.iter().zip(&examples.documents);
        let each = names.zip(&recorded.predictions).zip(&examples.gold);
        let judged = each.map(|(((id, document), prediction), gold)| {
            Some(Judged {
                id: id.clone(),
                document: document.clone(),
                prediction: Prediction::of_json(cell.test.task, prediction.clone()).ok()?,
                gold: Gold::of_json(cell.test.task, gold.clone()).ok()?,
            })
        });
        judged.collect()
    }

    /// Keeps the records of these cells alone.
    pub fn keep(&mut self, cells: &[Cell<'_>]) {
        let kept: BTreeSet<CellKey> = cells.iter().map(CellKey::of).collect();
        self.cells.retain(|key, _| kept.contains(key));
        let tested: BTreeSet<(&String, u64)> = self.cells.keys().map(|key| (&key.test, key.split_seed)).collect();
        self.parts.retain(|(test, split_seed), _| tested.contains(&(test, *split_seed)));
    }

    /// As a file.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for examples in self.parts.values() {
            let _ = writeln!(text, "{}", serde_json::json!({"examples": examples}));
        }
        for cell in self.cells.values() {
            let _ = writeln!(text, "{}", serde_json::json!({"cell": cell}));
        }
        text
    }
}

fn anonymous(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..12].to_owned()
}

/// Numbers of texts, in the order of first use.
#[derive(Default)]
struct Numbers(HashMap<String, usize>);

impl Numbers {
    fn of(&mut self, text: &str) -> String {
        let next = self.0.len();
        self.0.entry(text.to_owned()).or_insert(next).to_string()
    }

    fn of_labels(&mut self, labels: &[String]) -> Vec<String> {
        labels.iter().map(|label| self.of(label)).collect()
    }

    fn of_words(&mut self, answer: &str) -> String {
        let words: Vec<String> = normalised(answer).split_whitespace().map(|word| self.of(word)).collect();
        words.join(" ")
    }
}

/// What is right and what was predicted, with numbers instead of texts. Those of what is right do not
/// depend on the predictions.
fn numbered(judged: &[Judged]) -> (Vec<Value>, Vec<Value>) {
    let mut labels = Numbers::default();
    let mut words: Vec<Numbers> = judged.iter().map(|_| Numbers::default()).collect();
    let gold = judged.iter().zip(&mut words).map(|(judged, words)| match &judged.gold {
        Gold::Answers { texts, at } => {
            Gold::Answers { texts: texts.iter().map(|text| words.of_words(text)).collect(), at: *at }
        }
        Gold::Labels(of) => Gold::Labels(labels.of_labels(of)),
        gold => gold.clone(),
    });
    let gold = gold.map(|gold| gold.to_json()).collect();
    let predictions = judged.iter().zip(&mut words).map(|(judged, words)| match &judged.prediction {
        Prediction::Answer(answer) => Prediction::Answer(words.of_words(answer)),
        Prediction::Labels(of) => Prediction::Labels(labels.of_labels(of)),
        prediction => prediction.clone(),
    });
    (gold, predictions.map(|prediction| prediction.to_json()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Span, Task, metrics::score};
    use proptest::prelude::*;

    /// A gold and a prediction of a task, of words and places that overlap.
    fn judged(task: Task) -> impl Strategy<Value = (Gold, Prediction)> {
        let words = || proptest::collection::vec("[a-c]{1,2}|The|an|a,|É|-", 0..5);
        let places = || proptest::collection::btree_set(0usize..4, 0..3);
        (words(), words(), words(), places(), places()).prop_map(move |(first, second, answer, gold, predicted)| {
            let spans = |of: std::collections::BTreeSet<usize>| {
                of.into_iter().map(|at| Span::new(2 * at, 2 * at + 1).unwrap()).collect::<Vec<_>>()
            };
            match task {
                Task::Rqa => (
                    Gold::Answers { texts: vec![first.join(" "), second.join(" ")], at: None },
                    Prediction::Answer(answer.join(" ")),
                ),
                Task::Ae => (Gold::Aspects(spans(gold)), Prediction::Aspects(spans(predicted))),
                Task::Asc => {
                    let class = |of: Vec<String>| ["positive", "negative"][of.len() % 2].to_owned();
                    (Gold::Class(class(first)), Prediction::Class(class(answer)))
                }
                Task::Pc => (Gold::Labels(first), Prediction::Labels(answer)),
            }
        })
    }

    proptest! {
        #[test]
        fn scores_stay_as_they_are_without_texts(
            each in prop::sample::select(Task::ALL.to_vec())
                .prop_flat_map(|task| (Just(task), proptest::collection::vec(judged(task), 1..20)))
        ) {
            let (task, examples) = each;
            let judged: Vec<Judged> = (0..)
                .zip(examples)
                .map(|(id, (gold, prediction))| Judged {
                    id: format!("id {id}"), document: format!("document {}", id / 2), prediction, gold,
                })
                .collect();
            let (gold, predictions) = numbered(&judged);
            let again: Vec<Judged> = judged
                .iter()
                .zip(gold.into_iter().zip(predictions))
                .map(|(judged, (gold, prediction))| Judged {
                    gold: Gold::of_json(task, gold).unwrap(),
                    prediction: Prediction::of_json(task, prediction).unwrap(),
                    ..judged.clone()
                })
                .collect();
            let [before, after] = [&judged, &again].map(|judged| score(task, judged).values(task));
            for (before, after) in before.iter().zip(&after) {
                prop_assert!((before - after).abs() < 1e-12, "{judged:?} {again:?}");
            }
        }
    }
}
