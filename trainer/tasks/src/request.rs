//! What a user asks for, and why it cannot be done.
use std::path::PathBuf;

use schemas::StoreError;

use super::{
    Tally, Task, TaskFileError,
    finetune::{FinetuneError, Voice},
    options::{OptionError, Options},
    split::SplitError,
};
use ebert_bert::{CannotCompute, ConfigError, tokens::TokensError, weights::WeightsError};
use ebert_kernels::device::{DeviceError, Wish};
use trainer::init::InitError;

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// A Hugging Face folder, a run's folder, or an id on the hub.
    pub model: PathBuf,
    /// The task.
    pub task: Task,
    /// Its files; several are one.
    pub data: Vec<PathBuf>,
    /// The test, if it has a file of its own.
    pub test: Option<PathBuf>,
    /// The cell's folder.
    pub run: PathBuf,
    /// How.
    pub options: Options,
    /// Where to compute.
    pub device: Wish,
    /// Threads of the CPU.
    pub threads: Option<u16>,
    /// What becomes of the fine-tuned weights.
    pub weights: Keep,
    /// What becomes of a result that is another than the one asked for.
    pub other: Other,
    /// To whom to talk.
    pub voice: Voice,
}

/// What becomes of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They are saved next to the scores.
    Model,
    /// They are not: scores and predictions are.
    Scores,
}

/// What becomes of another result in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It stays, and the request is refused.
    Refuse,
    /// It is rebuilt.
    Replace,
}

/// A task cannot be fine-tuned for.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// An option. The text is all of it: the cause would repeat the key of a grid.
    #[error("`--{}` is {}, expected {}", flag(.0.option), .0.found.trim_matches(['[', ']']), .0.wanted)]
    Option(OptionError),
    /// A file of the task.
    #[error(transparent)]
    File(#[from] TaskFileError),
    /// No file was named.
    #[error("no data is named for {}\nhint: `--data FILE`: {}", task.title(), task.where_found())]
    NoData {
        /// The task.
        task: Task,
    },
    /// The model cannot be had.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The device cannot compute as demanded.
    #[error(transparent)]
    Compute(#[from] CannotCompute),
    /// It is too short for any text.
    #[error("the model in `{}` has {found} positions, expected at least {least}", folder.display())]
    Positions {
        /// The model.
        folder: PathBuf,
        /// Its positions.
        found: usize,
        /// As many as are needed.
        least: usize,
    },
    /// Its tokenizer.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The parts.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// All labels are rare.
    #[error(
        "no label has at least {least} titles\nhint: name a larger file, or a smaller `--min-titles` (min_titles in a grid)"
    )]
    NoLabels {
        /// As many as were asked for.
        least: usize,
    },
    /// Nothing can be learned from.
    #[error("none of the {examples} {} to train on can be learned from{}", task.examples(), notes.lines())]
    NothingToLearn {
        /// The task.
        task: Task,
        /// How many there are.
        examples: usize,
        /// Why not.
        notes: Tally,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Training.
    #[error(transparent)]
    Finetune(#[from] FinetuneError),
    /// A file of the cell.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds a model that is not a result of this.
    #[error(
        "`{}` exists and is not the output of a fine-tuning: the result would replace it\nhint: choose another folder with `--out DIR`",
        path.display()
    )]
    Occupied {
        /// The model.
        path: PathBuf,
    },
    /// The folder holds another result.
    #[error(
        "`{}` holds a result that is not this one\n{}\nhint: use the original settings, choose another folder with `--out DIR`, or delete this one",
        run.display(),
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Changed {
        /// The folder.
        run: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
}

impl From<OptionError> for CellError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

/// The option of the command line for a key of a grid.
fn flag(key: &str) -> String {
    if key == "learning_rates" { "learning-rate".to_owned() } else { key.replace('_', "-") }
}

impl CellError {
    /// Whether another command line would do.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Option(_) | Self::NoData { .. })
    }
}
