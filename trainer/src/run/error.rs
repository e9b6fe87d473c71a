//! Why a run cannot start or continue.
use std::path::PathBuf;

use ebert_kernels::{TorchError, device::DeviceError};
use schemas::{DocumentId, StoreError};

use crate::{checkpoint::CheckpointError, init::InitError, recipe::RecipeError, session::StepError, world::WorldError};
use ebert_batches::DataError;

/// A run cannot start or resume.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The shards.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What it starts from.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A recipe without steps.
    #[error("the recipe has no step to measure\nhint: use another recipe than bert-raw")]
    NothingToMeasure,
    /// The other processes.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The folder holds another run.
    #[error(
        "`{}` holds a run that is not this one\n{}\n\
         hint: use the original settings, choose another folder with `--out RUN`, or delete this one",
        run.display(),
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Changed {
        /// The folder.
        run: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// The run has another number of steps now.
    #[error(
        "`{}` holds a run with another number of steps\n{}\n\
         hint: `--extend` continues it with the new number; the learning rate of the steps to come follows the new schedule",
        run.display(),
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Lengths {
        /// The folder.
        run: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// The steps done do not fit into the new schedule.
    #[error(
        "`--extend` cannot change stage {stage}: step {step} of the run is done, and the stage ended with step {before}, now with step {now}\n\
         hint: change only stages that are not finished, to at least the steps that are done"
    )]
    Extend {
        /// The stage, from 1.
        stage: usize,
        /// Steps done.
        step: u64,
        /// The last step of the stage when the run began.
        before: u64,
        /// The last step of the stage now.
        now: u64,
    },
    /// The processes would train different things.
    #[error(
        "rank {rank} would train something else than rank 0\n{}\n\
         hint: start all processes with the same recipe, shards and start model",
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Ranks {
        /// The first rank that differs.
        rank: usize,
        /// In what.
        differences: Vec<String>,
    },
    /// Its result would replace something that is not the result of a run.
    #[error(
        "`{}` exists and is not the output of a pre-training run: the result would replace it\nhint: choose another folder with `--out RUN`",
        path.display()
    )]
    Occupied {
        /// What stands where the result would.
        path: PathBuf,
    },
    /// `--resume` without a run.
    #[error("`{}` holds no run to resume\nhint: without `--resume` a new one starts", run.display())]
    NothingToResume {
        /// The folder.
        run: PathBuf,
    },
    /// Another process trains there.
    #[error("another process is training in `{}`\nhint: wait for it, or choose another folder with `--out RUN`", run.display())]
    Busy {
        /// The folder.
        run: PathBuf,
    },
    /// The scheme masks what the shards do not have.
    #[error("the recipe masks {what}, and the shards hold none\nhint: {hint}")]
    NoSpans {
        /// What.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Gradients stay infinite.
    #[error(
        "no finite gradient in the last steps up to {step}; the last batch held the documents {}\n\
         hint: try a smaller optimizer.learning_rate or neighbor.weight, or compute = \"float32\"",
        list(documents)
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Documents of its batch.
        documents: Vec<DocumentId>,
    },
}

impl RunError {
    /// Whether another command line would do.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Recipe(_) | Self::Init(InitError::Wanted { .. }))
    }
}

/// Documents by id, as a message lists them.
fn list(documents: &[DocumentId]) -> String {
    documents.iter().map(DocumentId::to_string).collect::<Vec<_>>().join(", ")
}
