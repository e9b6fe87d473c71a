//! A run: its folder, what it is made of, and how it resumes after a stop.
//!
//! [`Plan::make`] reads and checks everything, [`Plan::open`] makes a [`Run`] of it: a new one, or
//! one that resumes.
mod error;
mod identity;
mod plan;

use std::{path::PathBuf, sync::Arc};

use schemas::{Lock, StoreError};

pub use self::{
    error::RunError,
    plan::{Opened, Plan, Request},
};
use crate::{
    card::{Names, card},
    checkpoint::Checkpoints,
    init::Carried,
    log::{HeldOutRecord, Journal, StepRecord},
    model::PretrainingModel,
    recipe::Recipe,
    schedule::Schedule,
    session::{Session, Trainable},
    state::TrainerState,
};
use ebert_batches::{HeldOut, HeldOutPairs, Shards, masking::Masking};

/// The resolved recipe in the folders of runs and checkpoints.
const RECIPE: &str = "recipe.toml";

/// Everything that a run works with.
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// Its recipe.
    pub recipe: Recipe,
    /// The recipe's text, every value given.
    recipe_text: String,
    /// Its data.
    pub shards: Arc<Shards>,
    /// How masks are drawn.
    pub masking: Arc<Masking>,
    /// Its stages.
    pub schedule: Schedule,
    /// The documents to measure on.
    pub held_out: HeldOut,
    pub held_out_pairs: HeldOutPairs,
    /// The model in training, and the processes that train it.
    pub session: Session<PretrainingModel>,
    /// Where it is.
    pub state: TrainerState,
    /// Steps in a row without a finite gradient.
    pub(crate) skipped_in_a_row: u32,
    /// What rank 0 alone has.
    lead: Option<Lead>,
}

/// What writes and talks.
struct Lead {
    journal: Journal,
    checkpoints: Checkpoints,
    carried: Carried,
    names: Names,
    /// Kept open: its lock ends with the process.
    _lock: Lock,
}

impl Run {
    /// Saves a checkpoint on rank 0, while the other ranks wait.
    ///
    /// # Errors
    /// If it cannot be written, or another rank is lost. The checkpoints before stay as they are.
    pub fn save(&mut self) -> Result<(), RunError> {
        if let Some(lead) = &mut self.lead {
            lead.journal.flush()?;
            self.state.set_optimizer_steps(self.session.optimizer.steps());
            let Session { model, optimizer, .. } = &self.session;
            let card = card(&self.state, self.shards.manifest(), &self.recipe.summary, &lead.names);
            let texts = (self.recipe_text.as_str(), card.as_str());
            lead.checkpoints.save(&self.state, model, optimizer, &self.shards, texts, &lead.carried)?;
        }
        self.session.world.barrier(self.session.model.device(), "waited for rank 0 to save a checkpoint")?;
        Ok(())
    }

    /// Notes a step of so many tokens.
    ///
    /// # Errors
    /// If the metrics or events cannot be written.
    pub fn note(&mut self, record: &StepRecord, tokens: u64) -> Result<(), StoreError> {
        self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.step(record, tokens))
    }

    /// Notes a measurement.
    ///
    /// # Errors
    /// If the metrics or events cannot be written.
    pub fn note_held_out(&mut self, record: &HeldOutRecord) -> Result<(), StoreError> {
        self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.held_out(record))
    }

    /// Ends its output, here and to other ranks.
    ///
    /// # Errors
    /// If the metrics or events cannot be written to the disk. The other ranks end even then.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        let finished = self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.finish());
        self.session.world.finish();
        finished
    }

    /// The link to the newest checkpoint.
    pub fn result(&self) -> PathBuf {
        Checkpoints::of(&self.folder, 1).model()
    }
}
