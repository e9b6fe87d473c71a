//! Scores of a file of predictions, whoever made it.
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    Read, Tally, Task, TaskFileError,
    metrics::{Scores, score},
    predictions::{self, Prediction, PredictionsError},
    products::Labels,
    read_all,
};

/// Predictions cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file of the task.
    #[error(transparent)]
    File(#[from] TaskFileError),
    /// The predictions.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Examples of the data that are part of the task.
    pub examples: usize,
    /// What a person should know of the data.
    pub notes: Tally,
    /// Predictions that were scored.
    pub scored: usize,
    /// Examples without one.
    pub without: usize,
    /// The scores.
    pub scores: Scores,
}

/// Scores predictions of the data. For product classification, labels of fewer than `least` titles
/// are not part of the task, neither as right nor in predictions. Titles are counted in
/// `trained_on`, or in the data where that is empty.
///
/// # Errors
/// When a file cannot be used, or one does not fit the other.
pub fn evaluate(
    task: Task,
    data: &[PathBuf],
    predictions: &Path,
    (least, trained_on): (usize, &[PathBuf]),
) -> Result<Evaluation, EvaluateError> {
    let Read { mut examples, mut left_out, tally: mut notes, .. } = read_all(task, data)?;
    let mut labels = Labels::default();
    if task == Task::Pc {
        labels = match trained_on {
            [] => Labels::of(&examples, least),
            files => Labels::of(&read_all(task, files)?.examples, least),
        };
        let all: Vec<String> = examples.iter().map(|example| example.id.clone()).collect();
        examples = labels.restrict(examples, &mut notes);
        let kept: HashSet<&str> = examples.iter().map(|example| example.id.as_str()).collect();
        left_out.extend(all.into_iter().filter(|id| !kept.contains(id.as_str())));
    }
    let (mut judged, without) = predictions::read_beside(task, predictions, &examples, &left_out)?;
    for judged in &mut judged {
        // What is not part of the task is not wrong either.
        if let Prediction::Labels(predicted) = &mut judged.prediction {
            predicted.retain(|label| !labels.is_rare(label));
        }
    }
    Ok(Evaluation { examples: examples.len(), notes, scored: judged.len(), without, scores: score(task, &judged) })
}
