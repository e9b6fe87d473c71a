//! Checkpoints: Hugging Face folders that also hold what a run needs to go on.
//!
//! `RUN/checkpoints/step-00000600/` has `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json` and
//! `vocab.txt`, which `transformers` loads, and `trainer_state.json`, `optimizer.safetensors` and `recipe.toml`. A checkpoint is
//! complete or absent: it is written under another name, synced and renamed. `RUN/model` is a link to the newest.
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use schemas::{
    StoreError,
    store::{TEMPORARY, sync_folder},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    data::{Position, Shards, Vocabulary},
    masking::switch::Switch,
    model::{
        BertForMaskedLm,
        weights::{self, WeightsError},
    },
    optimizer::{Optimizer, StateMismatch},
};

/// The version of `trainer_state.json`.
const FORMAT: u32 = 1;

/// Where a run is, besides its weights.
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
    /// Steps of the optimiser.
    pub optimizer_steps: u64,
    /// Where the segments of the stage are.
    pub segments: Position,
    /// Where its pairs are.
    pub pairs: Position,
    /// The adaptive switch.
    pub switch: Switch,
    /// What the run is.
    pub identity: Identity,
}

/// What decides the numbers of a run. A run goes on only as what it was.
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
        Self { format: FORMAT, step: 0, steps, tokens: 0, optimizer_steps: 0, segments, pairs, switch, identity }
    }
}

/// A checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Weights or the optimiser's state.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It is not what was written.
    #[error("`{}` is not a trainer's state\nhint: delete the checkpoint's folder; the run goes on from the one before", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Its state belongs to another model.
    #[error("checkpoint `{}`: {source}", path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// How.
        #[source]
        source: StateMismatch,
    },
}

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

/// The folder of a run's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    run: PathBuf,
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Of the run in this folder; the newest `keep` are kept.
    pub fn of(run: &Path, keep: usize) -> Self {
        Self { run: run.to_owned(), folder: run.join("checkpoints"), keep }
    }

    /// The link to the newest.
    pub fn model(&self) -> PathBuf {
        self.run.join("model")
    }

    /// All of them, by step.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StoreError::io("list", &self.folder)(e).into()),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(StoreError::io("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(Ok(step)) = name.strip_prefix("step-").map(str::parse) {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The state of the newest, and its folder.
    pub fn newest(&self) -> Result<Option<(TrainerState, PathBuf)>, CheckpointError> {
        let Some((_, folder)) = self.list()?.pop() else { return Ok(None) };
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        let state = serde_json::from_slice(&bytes).map_err(|source| CheckpointError::Malformed { path, source })?;
        Ok(Some((state, folder)))
    }

    /// Takes up the weights and the optimiser's state of a checkpoint.
    pub fn restore(
        folder: &Path,
        state: &TrainerState,
        model: &BertForMaskedLm,
        optimizer: &mut Optimizer,
    ) -> Result<(), CheckpointError> {
        weights::load(folder, model)?;
        let stored = weights::read(&folder.join(OPTIMIZER))?;
        let mismatch = |source| CheckpointError::State { path: folder.to_owned(), source };
        optimizer.restore(stored, state.optimizer_steps).map_err(mismatch)
    }

    /// Writes a checkpoint, points `RUN/model` at it, and removes the oldest. Where this fails the ones before stay as they are.
    pub fn save(
        &self,
        state: &TrainerState,
        model: &BertForMaskedLm,
        optimizer: &Optimizer,
        shards: &Shards,
        recipe: &str,
    ) -> Result<PathBuf, CheckpointError> {
        let name = format!("step-{:08}", state.step);
        let (path, temporary) = (self.folder.join(&name), self.folder.join(format!("{name}{TEMPORARY}")));
        self.sweep()?;
        fs::create_dir_all(&temporary).map_err(StoreError::io("create", &temporary))?;
        let written = write(&temporary, state, model, optimizer, shards, recipe);
        if written.is_err() {
            // Best effort: the next save sweeps what is left.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        sync_folder(&temporary)?;
        if path.exists() {
            fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
        }
        fs::rename(&temporary, &path).map_err(StoreError::io("rename to", &path))?;
        sync_folder(&self.folder)?;
        self.link(&name)?;
        let mut all = self.list()?;
        all.truncate(all.len().saturating_sub(self.keep));
        for (_, old) in all {
            fs::remove_dir_all(&old).map_err(StoreError::io("remove", &old))?;
        }
        Ok(path)
    }

    fn link(&self, name: &str) -> Result<(), StoreError> {
        let (link, temporary) = (self.model(), self.run.join(format!("model{TEMPORARY}")));
        schemas::store::remove(&temporary)?;
        symlink(Path::new("checkpoints").join(name), &temporary).map_err(StoreError::io("create", &temporary))?;
        fs::rename(&temporary, &link).map_err(StoreError::io("rename to", &link))
    }

    /// Removes what a stopped save left.
    fn sweep(&self) -> Result<(), StoreError> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.to_string_lossy().ends_with(TEMPORARY) {
                fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn write(
    folder: &Path,
    state: &TrainerState,
    model: &BertForMaskedLm,
    optimizer: &Optimizer,
    shards: &Shards,
    recipe: &str,
) -> Result<(), CheckpointError> {
    let tensors = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    weights::write(&folder.join("model.safetensors"), tensors)?;
    weights::write(&folder.join(OPTIMIZER), optimizer.state())?;
    let path = folder.join(STATE);
    let malformed = |source| CheckpointError::Malformed { path: path.clone(), source };
    let state = serde_json::to_string_pretty(state).map_err(malformed)? + "\n";
    let config = model.config().to_json(shards.vocabulary().special.pad).map_err(malformed)?;
    let tokenizer = tokenizer_file(shards)?;
    let lower_case = tokenizer["normalizer"]["lowercase"].as_bool().unwrap_or(true);
    let tokenizer_config = tokenizer_config(lower_case, model.config().max_position_embeddings);
    for (name, text) in [
        (STATE, state),
        ("config.json", config),
        ("tokenizer.json", format!("{tokenizer:#}\n")),
        ("tokenizer_config.json", format!("{tokenizer_config:#}\n")),
        ("vocab.txt", vocabulary_text(shards.vocabulary())),
        ("recipe.toml", recipe.to_owned()),
    ] {
        schemas::store::write_file(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// The tokenizer of the shards, which also puts `[CLS]` and `[SEP]` around a text.
fn tokenizer_file(shards: &Shards) -> Result<Value, CheckpointError> {
    let path = shards.folder().join(&shards.manifest().body.tokenizer.file);
    let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
    let mut tokenizer: Value =
        serde_json::from_slice(&bytes).map_err(|source| CheckpointError::Malformed { path, source })?;
    if tokenizer["post_processor"].is_null() {
        let special = shards.vocabulary().special;
        tokenizer["post_processor"] =
            json!({"type": "BertProcessing", "sep": ["[SEP]", special.sep], "cls": ["[CLS]", special.cls]});
    }
    Ok(tokenizer)
}

fn tokenizer_config(lower_case: bool, positions: i64) -> Value {
    json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower_case,
        "model_max_length": positions,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    })
}

fn vocabulary_text(vocabulary: &Vocabulary) -> String {
    vocabulary.tokens().iter().flat_map(|token| [token, "\n"]).collect()
}
