//! Checkpoints: Hugging Face folders that also hold what a run needs to go on.
//!
//! `RUN/checkpoints/step-00000600/` has `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json` and
//! `vocab.txt`, which `transformers` loads, a model card (`README.md`), and `trainer_state.json`, `optimizer.safetensors` and `recipe.toml`. A checkpoint is
//! complete or absent: it is written under another name, synced and renamed. `RUN/model` is a link to the newest,
//! `RUN/best` to the one with the lowest held-out loss; it is kept, too.
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use schemas::{
    StoreError, in_a_line,
    store::{TEMPORARY, sync_folder},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Tensor;

use crate::{
    card::card,
    data::{Position, Shards, Vocabulary},
    log::Measured,
    masking::switch::Switch,
    optimizer::{Optimizer, StateMismatch},
};
use ebert_bert::{
    BertForMaskedLm,
    weights::{self, WeightsError},
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
    /// The step that was best on held-out documents, so far.
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
        let (format, first_measured) = (FORMAT, Vec::new());
        Self {
            format,
            step: 0,
            steps,
            tokens: 0,
            optimizer_steps: 0,
            skipped: 0,
            segments,
            pairs,
            switch,
            first_measured,
            last_measured: Vec::new(),
            best: None,
            identity,
        }
    }

    /// A step is done.
    pub fn advance(&mut self, step: u64, tokens: u64, segments: Position, pairs: Option<Position>) {
        self.step = step;
        self.tokens += tokens;
        self.segments = segments;
        self.pairs = pairs.unwrap_or(self.pairs);
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
    /// A file of it is gone or cut.
    #[error("the checkpoint `{}` cannot be used: {what}\nhint: delete this folder; the run goes on from the checkpoint before", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        what: String,
    },
    /// It is not what was written.
    #[error("`{}` is not a trainer's state\nhint: delete the checkpoint's folder; the run goes on from the one before", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("`{}` has format {found}, this build reads format {FORMAT}\nhint: use the release that wrote it, or another folder with RUN=", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
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

/// What is wrong with a checkpoint's files, in a line.
fn damaged(folder: &Path, error: &dyn std::error::Error) -> CheckpointError {
    CheckpointError::Damaged { folder: folder.to_owned(), what: in_a_line(error) }
}

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

/// The folder's name of a step's checkpoint.
fn name_of(step: u64) -> String {
    format!("step-{step:08}")
}

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
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path)).map_err(|error| damaged(&folder, &error))?;
        let malformed = |source| CheckpointError::Malformed { path: path.clone(), source };
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format: found } = serde_json::from_slice(&bytes).map_err(malformed)?;
        if found != FORMAT {
            return Err(CheckpointError::Format { path, found });
        }
        Ok(Some((serde_json::from_slice(&bytes).map_err(malformed)?, folder)))
    }

    /// Takes up the weights and the optimiser's state of a checkpoint.
    pub fn restore(
        folder: &Path,
        state: &TrainerState,
        model: &BertForMaskedLm,
        optimizer: &mut Optimizer,
    ) -> Result<(), CheckpointError> {
        weights::load(folder, model.parameters()).map_err(|error| damaged(folder, &error))?;
        let stored = weights::read(&folder.join(OPTIMIZER)).map_err(|error| damaged(folder, &error))?;
        let mismatch = |source| CheckpointError::State { path: folder.to_owned(), source };
        optimizer.restore(stored, state.optimizer_steps).map_err(mismatch)
    }

    /// Writes a checkpoint, points `RUN/model` at it, and removes the oldest. Where this fails the ones before stay as they are. `pooler`
    /// is that of the model that the run started from, which `transformers` finds beside the trained weights.
    pub fn save(
        &self,
        state: &TrainerState,
        model: &BertForMaskedLm,
        optimizer: &Optimizer,
        shards: &Shards,
        recipe: &str,
        pooler: &[(String, Tensor)],
    ) -> Result<PathBuf, CheckpointError> {
        let name = name_of(state.step);
        let (path, temporary) = (self.folder.join(&name), self.folder.join(format!("{name}{TEMPORARY}")));
        self.sweep()?;
        fs::create_dir_all(&temporary).map_err(StoreError::io("create", &temporary))?;
        let card = card(state, shards.manifest(), recipe);
        let written = write(&temporary, state, (model, pooler), optimizer, shards, (recipe, &card));
        if written.is_err() {
            // Best effort: the next save sweeps what is left.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        sync_folder(&temporary)?;
        fs::rename(&temporary, &path).map_err(StoreError::io("rename to", &path))?;
        sync_folder(&self.folder)?;
        self.link(state, &path)?;
        let mut old = self.list()?;
        old.truncate(old.len().saturating_sub(self.keep));
        if let Some(best) = state.best {
            old.retain(|(step, _)| *step != best.step);
        }
        for (_, old) in old {
            // Under its own name a checkpoint is whole to the last.
            let gone = old.with_extension(format!("old{TEMPORARY}"));
            fs::rename(&old, &gone).map_err(StoreError::io("rename to", &gone))?;
            fs::remove_dir_all(&gone).map_err(StoreError::io("remove", &gone))?;
        }
        Ok(path)
    }

    /// Points `RUN/model` at the checkpoint of a state, and `RUN/best` at the best one until then.
    pub fn link(&self, state: &TrainerState, checkpoint: &Path) -> Result<(), StoreError> {
        self.point("model", checkpoint)?;
        let best = state.best.map(|best| self.folder.join(name_of(best.step)));
        best.filter(|best| best.is_dir()).map_or(Ok(()), |best| self.point("best", &best))
    }

    /// Points a link in the run's folder at a checkpoint.
    fn point(&self, link: &str, checkpoint: &Path) -> Result<(), StoreError> {
        let name = checkpoint.file_name().unwrap_or_default();
        let (link, temporary) = (self.run.join(link), self.run.join(format!("{link}{TEMPORARY}")));
        schemas::store::remove(&temporary)?;
        symlink(Path::new("checkpoints").join(name), &temporary).map_err(StoreError::io("create", &temporary))?;
        fs::rename(&temporary, &link).map_err(StoreError::io("rename to", &link))?;
        sync_folder(&self.run)
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
    (model, pooler): (&BertForMaskedLm, &[(String, Tensor)]),
    optimizer: &Optimizer,
    shards: &Shards,
    (recipe, card): (&str, &str),
) -> Result<(), CheckpointError> {
    let tensors = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let tensors = tensors.chain(pooler.iter().map(|(name, tensor)| (name.clone(), tensor)));
    weights::write(&folder.join("model.safetensors"), tensors)?;
    weights::write(&folder.join(OPTIMIZER), optimizer.state())?;
    let path = folder.join(STATE);
    let malformed = |source| CheckpointError::Malformed { path: path.clone(), source };
    let state = serde_json::to_string_pretty(state).map_err(malformed)? + "\n";
    let config = model.encoder().config().to_json(shards.vocabulary().special.pad).map_err(malformed)?;
    let tokenizer = tokenizer_file(shards)?;
    let tokenizer_config = tokenizer_config(&tokenizer, model.encoder().config().max_position_embeddings);
    for (name, text) in [
        (STATE, state),
        ("config.json", config),
        ("tokenizer.json", format!("{tokenizer:#}\n")),
        ("tokenizer_config.json", format!("{tokenizer_config:#}\n")),
        ("vocab.txt", vocabulary_text(shards.vocabulary())),
        ("recipe.toml", recipe.to_owned()),
        ("README.md", card.to_owned()),
    ] {
        schemas::store::write_file(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// The tokenizer of the shards, which also puts `[CLS]` and `[SEP]` around a text.
fn tokenizer_file(shards: &Shards) -> Result<Value, CheckpointError> {
    let path = || shards.folder().join(&shards.manifest().body.tokenizer.file);
    let mut tokenizer: Value = serde_json::from_slice(shards.tokenizer())
        .map_err(|source| CheckpointError::Malformed { path: path(), source })?;
    if tokenizer["post_processor"].is_null() {
        let special = shards.vocabulary().special;
        tokenizer["post_processor"] =
            json!({"type": "BertProcessing", "sep": ["[SEP]", special.sep], "cls": ["[CLS]", special.cls]});
    }
    Ok(tokenizer)
}

/// What `transformers` makes its tokenizer from. `BertTokenizer` builds its own parts from these values, and cleans text, takes words of up to
/// 100 characters and knows `[UNK]` without asking; any other tokenizer is taken from its file as it is.
fn tokenizer_config(tokenizer: &Value, positions: i64) -> Value {
    let normalizer = &tokenizer["normalizer"];
    let bert = normalizer["type"] == "BertNormalizer"
        && normalizer["clean_text"] == true
        && tokenizer["pre_tokenizer"]["type"] == "BertPreTokenizer"
        && tokenizer["model"]["max_input_chars_per_word"] == 100
        && tokenizer["model"]["unk_token"] == "[UNK]";
    let mut config = json!({
        "tokenizer_class": if bert { "BertTokenizer" } else { "PreTrainedTokenizerFast" },
        "model_max_length": positions,
        "unk_token": tokenizer["model"]["unk_token"],
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    });
    if bert {
        config["do_lower_case"] = normalizer["lowercase"].clone();
        config["strip_accents"] = normalizer["strip_accents"].clone();
        config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"].clone();
    }
    config
}

fn vocabulary_text(vocabulary: &Vocabulary) -> String {
    vocabulary.tokens().iter().flat_map(|token| [token, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bert_tokenizer_would_build_otherwise_is_taken_from_the_file() {
        let bert = json!({
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": false},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100},
        });
        let config = tokenizer_config(&bert, 512);
        assert_eq!((&config["tokenizer_class"], &config["do_lower_case"]), (&json!("BertTokenizer"), &json!(false)));
        for (table, key, value) in [
            ("normalizer", "type", json!("Lowercase")),
            ("normalizer", "clean_text", json!(false)),
            ("pre_tokenizer", "type", json!("Whitespace")),
            ("model", "max_input_chars_per_word", json!(8)),
            ("model", "unk_token", json!("[MASK]")),
        ] {
            let mut other = bert.clone();
            other[table][key] = value;
            let config = tokenizer_config(&other, 512);
            assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast", "{key}");
            assert_eq!(config["unk_token"], other["model"]["unk_token"]);
        }
    }
}
