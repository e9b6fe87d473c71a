//! What comes of a fine-tuning: `metrics.json`.
use std::{collections::BTreeMap, fs, path::Path};

use schemas::store::hash_file;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trainer::provenance::Made;

use super::{METRICS, PREDICTIONS};
use crate::{finetune::Trial, identity::Identity, metrics::Scores};

/// The version of `metrics.json`.
pub(super) const FORMAT: u32 = 1;

/// How many examples there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Trained on.
    pub train: usize,
    /// Validated on.
    pub validation: usize,
    /// Tested on.
    pub test: usize,
    /// Sequences trained on.
    pub train_sequences: usize,
    /// Classes or labels.
    pub classes: usize,
}

/// What came of a cell: `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// 1.
    pub format: u32,
    /// What it was made from.
    pub identity: Identity,
    /// How many examples.
    pub sizes: Sizes,
    /// What was left out or treated in a special way, by reason.
    pub notes: BTreeMap<String, u64>,
    /// Every epoch of every learning rate.
    pub trials: Vec<Trial>,
    /// The learning rate that was kept.
    pub learning_rate: f64,
    /// The epochs that were kept.
    pub epochs: u32,
    /// On the validation part.
    pub validation: Scores,
    /// On the test part.
    pub test: Scores,
    /// Hash of the predictions.
    pub predictions_blake3: String,
    /// How long it took.
    pub seconds: f64,
    /// With what, and when; absent from cells of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

impl Metrics {
    /// The finished cell in a folder, if there is one whose predictions are complete.
    pub fn read(run: &Path) -> Option<Self> {
        let metrics: Self = serde_json::from_slice(&fs::read(run.join(METRICS)).ok()?).ok()?;
        let whole = hash_file(&run.join(PREDICTIONS)).is_ok_and(|hash| hash == metrics.predictions_blake3);
        (metrics.format == FORMAT && whole).then_some(metrics)
    }
}

/// The result of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was made now.
    Made(Metrics),
    /// It was there.
    UpToDate(Metrics),
}

impl Outcome {
    /// Numbers and names for a program.
    pub fn facts(&self) -> Value {
        let Metrics { learning_rate, epochs, sizes, validation, test, seconds, .. } = self.metrics();
        let state = if matches!(self, Self::Made(_)) { "made" } else { "up_to_date" };
        json!({
            "state": state, "learning_rate": learning_rate, "epochs": epochs, "sizes": sizes,
            "validation": validation, "test": test, "seconds": seconds,
        })
    }

    /// What came of it.
    pub fn metrics(&self) -> &Metrics {
        match self {
            Self::Made(metrics) | Self::UpToDate(metrics) => metrics,
        }
    }
}
