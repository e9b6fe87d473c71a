//! What a model predicts, as a file: JSON lines `{"id", "document", "prediction", "gold"}`.
//!
//! `prediction` is the answer's text (rqa), the aspects' positions `[[from, to], …]` in characters
//! (ae), a class (asc) or labels (pc). `gold` has the same form for what is right, for rqa all
//! answers. A file that another program wrote needs `id` and `prediction`.
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use schemas::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Example, Gold, Span, Task, semeval::POLARITIES};

/// What a model says of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// An answer.
    Answer(String),
    /// Places of aspects.
    Aspects(Vec<Span>),
    /// A class.
    Class(String),
    /// Labels.
    Labels(Vec<String>),
}

impl Prediction {
    /// The one of an example of which nothing can be predicted.
    pub fn empty(task: Task) -> Self {
        match task {
            Task::Rqa => Self::Answer(String::new()),
            Task::Ae => Self::Aspects(Vec::new()),
            Task::Asc => Self::Class(String::new()),
            Task::Pc => Self::Labels(Vec::new()),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Answer(text) | Self::Class(text) => json!(text),
            Self::Aspects(spans) => json!(spans),
            Self::Labels(labels) => json!(labels),
        }
    }

    pub(crate) fn of_json(task: Task, value: Value) -> serde_json::Result<Self> {
        Ok(match task {
            Task::Rqa => Self::Answer(serde_json::from_value(value)?),
            Task::Ae => Self::Aspects(serde_json::from_value(value)?),
            Task::Asc => match serde_json::from_value::<String>(value)? {
                // Nothing, where nothing could be predicted.
                class if class.is_empty() || POLARITIES.contains(&class.as_str()) => Self::Class(class),
                other => return Err(serde::de::Error::custom(format_args!("`{other}` is not a polarity"))),
            },
            Task::Pc => Self::Labels(serde_json::from_value(value)?),
        })
    }
}

impl Gold {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Answers { texts, .. } => json!(texts),
            Self::Aspects(spans) => json!(spans),
            Self::Class(class) => json!(class),
            Self::Labels(labels) => json!(labels),
        }
    }

    pub(crate) fn of_json(task: Task, value: Value) -> serde_json::Result<Self> {
        Ok(match task {
            Task::Rqa => Self::Answers { texts: serde_json::from_value(value)?, at: None },
            Task::Ae => Self::Aspects(serde_json::from_value(value)?),
            Task::Asc => Self::Class(serde_json::from_value(value)?),
            Task::Pc => Self::Labels(serde_json::from_value(value)?),
        })
    }
}

/// A prediction, with what is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Name of the example.
    pub id: String,
    /// What it belongs to.
    pub document: String,
    /// What was predicted.
    pub prediction: Prediction,
    /// What is right.
    pub gold: Gold,
}

/// A file of predictions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PredictionsError {
    /// It cannot be read.
    #[error("cannot read the predictions `{}`\nhint: a fine-tuning writes predictions.jsonl in its folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line is none.
    #[error(
        "line {line} of `{}` is not a prediction of {task}\nhint: expected {}",
        path.display(),
        wanted(*task)
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The task.
        task: Task,
        /// Number of the line, from 1.
        line: usize,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Two are of one example.
    #[error("`{}` has two predictions of `{id}`", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The example.
        id: String,
    },
    /// One is of an example that the data do not have.
    #[error(
        "`{}` predicts `{id}`, which is not in the data ({unknown} of {all} predictions are not)\nhint: name the file that was predicted with `--data`",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The first example.
        id: String,
        /// How many.
        unknown: usize,
        /// Of how many.
        all: usize,
    },
    /// There are none.
    #[error("`{}` holds no predictions\nhint: a line is {}", path.display(), wanted(*task))]
    None {
        /// The file.
        path: PathBuf,
        /// The task.
        task: Task,
    },
    /// Writing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wanted(task: Task) -> &'static str {
    match task {
        Task::Rqa => r#"{"id": "…", "prediction": "text of the answer"}"#,
        Task::Ae => r#"{"id": "…", "prediction": [[from, to], …]}, in characters"#,
        Task::Asc => r#"{"id": "sentence#from-to", "prediction": "positive", "negative" or "neutral"}"#,
        Task::Pc => r#"{"id": "…", "prediction": ["label", …]}"#,
    }
}

/// Pairs predictions with what is right.
pub fn judged(examples: &[Example], predictions: Vec<Prediction>) -> Vec<Judged> {
    let each = examples.iter().zip(predictions);
    each.map(|(example, prediction)| Judged {
        id: example.id.clone(),
        document: example.document.clone(),
        prediction,
        gold: example.gold.clone(),
    })
    .collect()
}

/// Writes predictions, and returns the hash of the file.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, judged: &[Judged]) -> Result<String, StoreError> {
    let mut text = String::new();
    for Judged { id, document, prediction, gold } in judged {
        let (prediction, gold) = (prediction.to_json(), gold.to_json());
        text += &json!({"id": id, "document": document, "prediction": prediction, "gold": gold}).to_string();
        text.push('\n');
    }
    Ok(schemas::store::write_file(path, text.as_bytes())?.blake3)
}

#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    document: String,
    prediction: Value,
    #[serde(default)]
    gold: Value,
}

fn lines(path: &Path) -> Result<String, PredictionsError> {
    let text = fs::read_to_string(path).map_err(|source| PredictionsError::Io { path: path.to_owned(), source })?;
    // A byte order mark is not part of the text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// When it cannot be read, or is another file.
pub fn read(task: Task, path: &Path) -> Result<Vec<Judged>, PredictionsError> {
    let text = lines(path)?;
    let judged = |(number, line): (usize, &str)| {
        let parse = || {
            let line: Line = serde_json::from_str(line)?;
            let (prediction, gold) = (Prediction::of_json(task, line.prediction)?, Gold::of_json(task, line.gold)?);
            Ok(Judged { id: line.id, document: line.document, prediction, gold })
        };
        parse().map_err(|source| PredictionsError::Malformed { path: path.to_owned(), task, line: number + 1, source })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(judged).collect()
}

/// Predictions of a file, with what is right according to the data, whatever the file itself has as
/// gold. Also returns how many examples have no prediction. Predictions of what was `left_out` of
/// the data are ignored.
///
/// # Errors
/// When the file cannot be read, a line is not a prediction, an example is predicted twice, or is
/// not in the data.
pub fn read_beside(
    task: Task,
    path: &Path,
    examples: &[Example],
    left_out: &[String],
) -> Result<(Vec<Judged>, usize), PredictionsError> {
    let text = lines(path)?;
    let mut of: HashMap<&str, &Example> = examples.iter().map(|example| (example.id.as_str(), example)).collect();
    let all: HashSet<&str> = of.keys().copied().collect();
    let left_out: HashSet<&str> = left_out.iter().map(String::as_str).collect();
    let (mut judged, mut unknown): (Vec<Judged>, Vec<String>) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parse = || {
            let line: Line = serde_json::from_str(line)?;
            Ok((line.id, Prediction::of_json(task, line.prediction)?))
        };
        let malformed = |source| PredictionsError::Malformed { path: path.to_owned(), task, line: number + 1, source };
        let (id, prediction) = parse().map_err(malformed)?;
        match of.remove(id.as_str()) {
            Some(example) => {
                judged.push(Judged { id, document: example.document.clone(), prediction, gold: example.gold.clone() })
            }
            None if left_out.contains(id.as_str()) => {}
            None if all.contains(id.as_str()) => return Err(PredictionsError::Twice { path: path.to_owned(), id }),
            None => unknown.push(id),
        }
    }
    if let Some(id) = unknown.first() {
        let (id, count, all) = (id.clone(), unknown.len(), unknown.len() + judged.len());
        return Err(PredictionsError::Unknown { path: path.to_owned(), id, unknown: count, all });
    }
    if judged.is_empty() {
        return Err(PredictionsError::None { path: path.to_owned(), task });
    }
    Ok((judged, of.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;

    fn judgement(task: Task, id: &str) -> Judged {
        let spans = vec![Span::new(1, 4).unwrap()];
        let (prediction, gold) = match task {
            Task::Rqa => {
                (Prediction::Answer("a \"b\"".into()), Gold::Answers { texts: vec!["a".into(), "b".into()], at: None })
            }
            Task::Ae => (Prediction::Aspects(vec![]), Gold::Aspects(spans)),
            Task::Asc => (Prediction::Class("positive".into()), Gold::Class("negative".into())),
            Task::Pc => (Prediction::Labels(vec!["positive".into()]), Gold::Labels(vec![])),
        };
        Judged { id: id.into(), document: "d".into(), prediction, gold }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        for task in Task::ALL {
            let wanted = vec![judgement(task, "1"), judgement(task, "2")];
            write(&path, &wanted).unwrap();
            assert_eq!(read(task, &path).unwrap(), wanted);
            let examples: Vec<Example> = ["1", "2", "3"]
                .map(|id| Example {
                    id: id.into(),
                    document: "d".into(),
                    input: Input::Text("t".into()),
                    gold: judgement(task, id).gold,
                })
                .to_vec();
            assert_eq!(read_beside(task, &path, &examples, &[]).unwrap(), (wanted.clone(), 1));
            let without = read_beside(task, &path, &examples[..1], &["2".to_owned()]).unwrap();
            assert_eq!(without, (wanted[..1].to_vec(), 0));
            let error = read_beside(task, &path, &examples[..1], &[]).unwrap_err().to_string();
            assert!(error.contains("predicts `2`, which is not in the data (1 of 2"), "{error}");
            write(&path, &[judgement(task, "1"), judgement(task, "1")]).unwrap();
            let error = read_beside(task, &path, &examples, &[]).unwrap_err().to_string();
            assert!(error.contains("two predictions of `1`"), "{error}");
        }
        fs::write(&path, "\u{feff}\n").unwrap();
        let error = read_beside(Task::Ae, &path, &[], &[]).unwrap_err().to_string();
        assert!(error.contains("holds no predictions"), "{error}");
        fs::write(&path, "{\"id\": \"1\", \"prediction\": 3}\n").unwrap();
        let error = read_beside(Task::Ae, &path, &[], &[]).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of `") && error.contains("[[from, to], …]"), "{error}");
    }
}
