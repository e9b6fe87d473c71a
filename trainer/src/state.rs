//! The position of a run, without its weights, and what the run is.
use serde::{Deserialize, Serialize};

use crate::{
    log::{Measured, MeasuredPairs, is_zero},
    optimizer::Steps,
};
use ebert_batches::{Position, masking::switch::Switch};

/// The version of `trainer_state.json`.
pub(crate) const FORMAT: u32 = 1;

/// The position of a run, without its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// 1.
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Tokens trained on, special tokens and pairs counted.
    pub tokens: u64,
    /// Steps of the optimizer.
    pub optimizer_steps: u64,
    /// Of these, the ones that changed the masked-LM head alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub head_steps: u64,
    /// Steps that were skipped, since their gradient was not finite.
    #[serde(default)]
    pub skipped: u64,
    /// Where the segments of the stage are.
    pub segments: Position,
    /// Where its pairs are.
    pub pairs: Position,
    /// The adaptive switch.
    pub switch: Switch,
    /// What was measured before the first step.
    pub first_measured: Vec<Measured>,
    /// What was measured last, so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_measured: Vec<Measured>,
    /// On held-out pairs, before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_measured_pairs: Option<MeasuredPairs>,
    /// On held-out pairs, last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_measured_pairs: Option<MeasuredPairs>,
    /// The step of the last stage that was best on held-out documents, so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// What the run is.
    pub identity: Identity,
}

/// The step with the lowest held-out loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done.
    pub step: u64,
    /// Mean of the losses of the measured modes, in nats.
    pub loss: f64,
}

/// What decides the numbers of a run. A run resumes only if all of it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Hash of the resolved recipe.
    pub recipe_blake3: String,
    /// Hash of the shards' manifest.
    pub shards_blake3: String,
    /// Hash of the weights that it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_blake3: Option<String>,
}

impl TrainerState {
    /// The start of a run.
    pub fn new(steps: u64, switch: Switch, identity: Identity) -> Self {
        let (segments, pairs) = Default::default();
        let (format, first_measured) = (FORMAT, Vec::new());
        Self {
            format,
            step: 0,
            steps,
            tokens: 0,
            optimizer_steps: 0,
            head_steps: 0,
            skipped: 0,
            segments,
            pairs,
            switch,
            first_measured,
            last_measured: Vec::new(),
            first_measured_pairs: None,
            last_measured_pairs: None,
            best: None,
            identity,
        }
    }

    /// Steps of the optimizer.
    pub(crate) fn optimizer_steps(&self) -> Steps<u64> {
        Steps { head: self.optimizer_steps, others: self.optimizer_steps - self.head_steps }
    }

    /// Notes the steps of the optimizer.
    pub(crate) fn set_optimizer_steps(&mut self, Steps { head, others }: Steps<u64>) {
        self.optimizer_steps = head;
        self.head_steps = head - others;
    }

    /// A step is done.
    pub fn advance(&mut self, step: u64, tokens: u64, segments: Position, pairs: Option<Position>) {
        self.step = step;
        self.tokens += tokens;
        self.segments = segments;
        self.pairs = pairs.unwrap_or(self.pairs);
    }
}
