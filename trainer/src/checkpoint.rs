//! Checkpoints: Hugging Face folders, each next to what its run needs to resume.
//!
//! `RUN/checkpoints/step-00000600/` has two folders:
//!
//! * `model` is for users: `config.json`, `model.safetensors`, `tokenizer.json` and
//!   `tokenizer_config.json`, which `transformers` loads, `vocab.txt` if the vocabulary is WordPiece,
//!   a model card (`README.md`), and `recipe.toml`. `neighbor.safetensors` has the projection of
//!   NPR, if the recipe has one.
//! * `state` is for the run: `trainer_state.json` and `optimizer.safetensors`.
//!   `objectives.safetensors` has weights that training alone needs, if there are such.
//!
//! Both are complete or absent together: a checkpoint is written under another name, synced and
//! renamed. `RUN/model` is a link to the newest model, `RUN/best` to the one with the lowest
//! held-out loss; it is kept, too.
//!
//! Earlier versions wrote all files into one folder. Runs resume from those, too.
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use schemas::{
    StoreError, in_a_line,
    store::{TEMPORARY, sync_folder},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tch::Tensor;
use tokenizers::PostProcessor as _;

use crate::{
    init::Carried,
    model::{PROJECTION, PretrainingModel, sequence_format},
    optimizer::{Optimizer, StateMismatch},
    state::{FORMAT, TrainerState},
};
use ebert_batches::{
    SequenceFormat, Shards,
    vocabulary::{BERT, SpecialNames, Vocabulary},
};
use ebert_bert::{
    BertConfig,
    weights::{self, WeightsError},
};

/// A checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Weights or the optimizer's state.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A file of it is gone or cut.
    #[error("the checkpoint `{}` cannot be used: {what}\nhint: delete this folder; the run resumes from the checkpoint before it, or starts again where there is none", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        what: String,
    },
    /// It is not what was written.
    #[error("`{}` is not a trainer's state\nhint: delete the checkpoint's folder; the run resumes from the one before it, or starts again where there is none", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("`{}` has format {found}, this build reads format {FORMAT}\nhint: use the release that wrote it, or choose another folder with `--out RUN`", path.display())]
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

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Weights that training alone has, if a recipe has such.
const OBJECTIVES: &str = "objectives.safetensors";
/// The projection of NPR, which distances need after training, too.
const NEIGHBOR: &str = "neighbor.safetensors";

/// The weights of NPR's projection of the model in a folder, `[d, d]`, if it has them.
///
/// # Errors
/// When the file that should have them cannot be read.
pub fn projection(model: &Path) -> Result<Option<Tensor>, WeightsError> {
    let earlier = model.join(OBJECTIVES);
    let file = if earlier.is_file() { earlier } else { model.join(NEIGHBOR) };
    Ok(weights::read(&file)?.into_iter().find_map(|(name, weights)| (name == PROJECTION).then_some(weights)))
}

/// The folders of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    folder: PathBuf,
    /// What users load.
    pub model: PathBuf,
    /// What the run resumes from.
    state: PathBuf,
}

impl Checkpoint {
    fn at(folder: PathBuf) -> Self {
        if folder.join(STATE).is_file() {
            // Of an earlier version.
            return Self { model: folder.clone(), state: folder.clone(), folder };
        }
        Self { model: folder.join("model"), state: folder.join("state"), folder }
    }

    fn damaged(&self, what: String) -> CheckpointError {
        CheckpointError::Damaged { folder: self.folder.clone(), what }
    }

    fn unreadable(&self, error: &dyn std::error::Error) -> CheckpointError {
        self.damaged(in_a_line(error))
    }
}

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
    ///
    /// # Errors
    /// If the folder exists and cannot be listed.
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

    /// The newest, and its state.
    ///
    /// # Errors
    /// If the folder cannot be listed, or the newest has no state of this format that can be read.
    pub fn newest(&self) -> Result<Option<(TrainerState, Checkpoint)>, CheckpointError> {
        let Some((_, folder)) = self.list()?.pop() else { return Ok(None) };
        let checkpoint = Checkpoint::at(folder);
        let path = checkpoint.state.join(STATE);
        let bytes =
            fs::read(&path).map_err(StoreError::io("read", &path)).map_err(|error| checkpoint.unreadable(&error))?;
        let malformed = |source| CheckpointError::Malformed { path: path.clone(), source };
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format: found } = serde_json::from_slice(&bytes).map_err(malformed)?;
        if found != FORMAT {
            return Err(CheckpointError::Format { path, found });
        }
        Ok(Some((serde_json::from_slice(&bytes).map_err(malformed)?, checkpoint)))
    }

    /// Loads the weights and the optimizer's state of a checkpoint.
    ///
    /// # Errors
    /// If a file of it is missing or damaged, or does not fit the model or the optimizer.
    pub fn restore(
        checkpoint: &Checkpoint,
        state: &TrainerState,
        model: &PretrainingModel,
        optimizer: &mut Optimizer,
    ) -> Result<(), CheckpointError> {
        let read = |path: &Path| weights::read(path).map_err(|error| checkpoint.unreadable(&error));
        let found = weights::load(&checkpoint.model, &model.bert.encoder().config().family, model.bert.parameters())
            .map_err(|error| checkpoint.unreadable(&error))?;
        if !found.fresh.is_empty() {
            return Err(checkpoint.damaged(format!("model.safetensors lacks {}", found.fresh.join(", "))));
        }
        let files = [checkpoint.model.join(NEIGHBOR), checkpoint.state.join(OBJECTIVES)];
        let mut stored: HashMap<String, Tensor> = HashMap::new();
        for file in files.iter().filter(|file| file.is_file()) {
            stored.extend(read(file)?);
        }
        for (name, tensor) in model.objectives().iter() {
            match stored.get(name) {
                Some(stored) if stored.size() == tensor.size() => tensor.detach().copy_(stored),
                _ => return Err(checkpoint.damaged(format!("it lacks {name}, or has it in another shape"))),
            }
        }
        let stored = read(&checkpoint.state.join(OPTIMIZER))?;
        let mismatch = |source| CheckpointError::State { path: checkpoint.folder.clone(), source };
        optimizer.restore(stored, state.optimizer_steps()).map_err(mismatch)
    }

    /// Writes a checkpoint, points `RUN/model` at it, and removes the oldest. If this fails, the
    /// ones before stay as they are. `carried` is what it has of the start model as it was, and
    /// `recipe` and `card` are the texts of its files.
    ///
    /// # Errors
    /// If a file of it cannot be written, or an older checkpoint cannot be removed.
    pub fn save(
        &self,
        state: &TrainerState,
        model: &PretrainingModel,
        optimizer: &Optimizer,
        shards: &Shards,
        (recipe, card): (&str, &str),
        carried: &Carried,
    ) -> Result<Checkpoint, CheckpointError> {
        let name = name_of(state.step);
        let (path, temporary) = (self.folder.join(&name), self.folder.join(format!("{name}{TEMPORARY}")));
        self.sweep()?;
        let parts = Checkpoint::at(temporary.clone());
        let written = write(&parts, state, (model, carried), optimizer, shards, (recipe, card));
        if written.is_err() {
            // Best effort: the next save sweeps what is left.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        [&parts.model, &parts.state, &temporary].into_iter().try_for_each(|folder| sync_folder(folder))?;
        fs::rename(&temporary, &path).map_err(StoreError::io("rename to", &path))?;
        sync_folder(&self.folder)?;
        let checkpoint = Checkpoint::at(path);
        self.link(state, &checkpoint)?;
        let mut old = self.list()?;
        old.truncate(old.len().saturating_sub(self.keep));
        if let Some(best) = state.best {
            old.retain(|(step, _)| *step != best.step);
        }
        remove_all_or_none(old.into_iter().map(|(_, old)| old))?;
        Ok(checkpoint)
    }

    /// Whether there is a checkpoint of this step.
    pub(crate) fn has(&self, step: u64) -> bool {
        Checkpoint::at(self.folder.join(name_of(step))).model.is_dir()
    }

    /// Points `RUN/model` at the checkpoint of a state, and `RUN/best` at the best one until then.
    ///
    /// # Errors
    /// If a link cannot be written.
    pub fn link(&self, state: &TrainerState, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.point("model", &checkpoint.model)?;
        let best = state.best.map(|best| Checkpoint::at(self.folder.join(name_of(best.step))));
        if let Some(best) = best.filter(|best| best.model.is_dir()) {
            return self.point("best", &best.model);
        }
        let link = self.run.join("best");
        // It points to a checkpoint that the user has removed.
        if link.is_symlink() && !link.exists() { schemas::store::remove(&link) } else { Ok(()) }
    }

    /// Points a link in the run's folder at a model of a checkpoint.
    fn point(&self, link: &str, model: &Path) -> Result<(), StoreError> {
        let target = model.strip_prefix(&self.run).unwrap_or(model);
        let (link, temporary) = (self.run.join(link), self.run.join(format!("{link}{TEMPORARY}")));
        schemas::store::remove(&temporary)?;
        symlink(target, &temporary).map_err(StoreError::io("create", &temporary))?;
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

/// Removes checkpoints: all of them, or none if one cannot be renamed. Under its own name a checkpoint is whole to the
/// last.
fn remove_all_or_none(old: impl Iterator<Item = PathBuf>) -> Result<(), StoreError> {
    let mut renamed: Vec<(PathBuf, PathBuf)> = Vec::new();
    for old in old {
        let gone = old.with_extension(format!("old{TEMPORARY}"));
        if let Err(error) = fs::rename(&old, &gone) {
            // Best effort, as the error is already there.
            renamed.iter().for_each(|(old, gone)| drop(fs::rename(gone, old)));
            return Err(StoreError::io("rename to", &gone)(error));
        }
        renamed.push((old, gone));
    }
    // What remains is swept by the next save.
    renamed.iter().try_for_each(|(_, gone)| fs::remove_dir_all(gone).map_err(StoreError::io("remove", gone)))
}

fn write(
    Checkpoint { model: exported, state: resumed, .. }: &Checkpoint,
    state: &TrainerState,
    (model, carried): (&PretrainingModel, &Carried),
    optimizer: &Optimizer,
    shards: &Shards,
    (recipe, card): (&str, &str),
) -> Result<(), CheckpointError> {
    for folder in [exported, resumed] {
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    }
    let tensors = model.bert.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let tensors = tensors.chain(carried.pooler.iter().map(|(name, tensor)| (name.clone(), tensor)));
    weights::write(&exported.join("model.safetensors"), tensors)?;
    let objectives = model.objectives().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let (projection, others): (Vec<_>, Vec<_>) = objectives.partition(|(name, _)| name == PROJECTION);
    for (file, tensors) in [(exported.join(NEIGHBOR), projection), (resumed.join(OBJECTIVES), others)] {
        if !tensors.is_empty() {
            weights::write(&file, tensors.into_iter())?;
        }
    }
    weights::write(&resumed.join(OPTIMIZER), optimizer.state())?;
    let path = resumed.join(STATE);
    let malformed = |source| CheckpointError::Malformed { path: path.clone(), source };
    let state = serde_json::to_string_pretty(state).map_err(malformed)? + "\n";
    let vocabulary = shards.vocabulary();
    let config = carried.config.to_json(vocabulary.special.pad).map_err(malformed)?;
    let tokenizer = tokenizer_file(shards, carried)?;
    let tokenizer_config = tokenizer_config(&tokenizer, &carried.config, vocabulary.names());
    schemas::store::write_file(&path, state.as_bytes())?;
    for (name, text) in [
        ("config.json", config),
        ("tokenizer.json", format!("{tokenizer:#}\n")),
        ("tokenizer_config.json", format!("{tokenizer_config:#}\n")),
        ("recipe.toml", recipe.to_owned()),
        ("README.md", card.to_owned()),
    ] {
        schemas::store::write_file(&exported.join(name), text.as_bytes())?;
    }
    if !vocabulary.is_byte_level() {
        schemas::store::write_file(&exported.join("vocab.txt"), vocabulary_text(vocabulary).as_bytes())?;
    }
    Ok(())
}

/// The tokenizer of the shards, which also puts the special tokens around a text.
fn tokenizer_file(shards: &Shards, carried: &Carried) -> Result<Value, CheckpointError> {
    let path = || shards.folder().join(&shards.manifest().body.tokenizer.file);
    let mut tokenizer: Value = serde_json::from_slice(shards.tokenizer())
        .map_err(|source| CheckpointError::Malformed { path: path(), source })?;
    let format = sequence_format(&carried.config.family);
    // Two texts stand in a sequence as the model was trained with them.
    if added_to_two_texts(shards.tokenizer()) != 2 + format.separators() {
        tokenizer["post_processor"] = post_processor(&tokenizer, shards.vocabulary(), format);
    }
    keep_added(&mut tokenizer, carried).map_err(|source| CheckpointError::Malformed { path: path(), source })?;
    Ok(tokenizer)
}

/// How many special tokens a tokenizer puts around two texts and between them.
fn added_to_two_texts(tokenizer: &[u8]) -> usize {
    let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer).ok();
    let processor = tokenizer.as_ref().and_then(|tokenizer| tokenizer.get_post_processor());
    processor.map_or(0, |processor| processor.added_tokens(true))
}

/// What puts the special tokens around texts.
fn post_processor(tokenizer: &Value, vocabulary: &Vocabulary, format: SequenceFormat) -> Value {
    let (names, ids) = (vocabulary.names(), vocabulary.special);
    let mut processor = json!({"sep": [names.sep, ids.sep], "cls": [names.cls, ids.cls]});
    match format {
        SequenceFormat::Bert | SequenceFormat::ModernBert => processor["type"] = "BertProcessing".into(),
        SequenceFormat::Roberta => {
            processor["type"] = "RobertaProcessing".into();
            processor["trim_offsets"] = true.into();
            processor["add_prefix_space"] = (tokenizer["pre_tokenizer"]["add_prefix_space"] == true).into();
        }
    }
    processor
}

/// Adds the start model's own tokens to a tokenizer.
fn keep_added(tokenizer: &mut Value, carried: &Carried) -> serde_json::Result<()> {
    if carried.added.is_empty() {
        return Ok(());
    }
    let mut added = tokenizer["added_tokens"].as_array().cloned().unwrap_or_default();
    for token in &carried.added {
        added.push(serde_json::to_value(token)?);
    }
    tokenizer["added_tokens"] = added.into();
    Ok(())
}

/// The values from which `transformers` builds its tokenizer. `BertTokenizer` builds its own parts
/// from these values. It cleans text, takes words of up to 100 characters and always knows `[UNK]`.
/// Any other tokenizer is read from its file unchanged.
fn tokenizer_config(tokenizer: &Value, model: &BertConfig, names: &SpecialNames) -> Value {
    let normalizer = &tokenizer["normalizer"];
    let bert = normalizer["type"] == "BertNormalizer"
        && normalizer["clean_text"] == true
        && tokenizer["pre_tokenizer"]["type"] == "BertPreTokenizer"
        && tokenizer["model"]["max_input_chars_per_word"] == 100
        && tokenizer["model"]["unk_token"] == "[UNK]";
    let mut config = json!({
        "tokenizer_class": if bert { "BertTokenizer" } else { "PreTrainedTokenizerFast" },
        "model_max_length": model.longest_sequence(),
        "sep_token": names.sep,
        "pad_token": names.pad,
        "cls_token": names.cls,
        "mask_token": names.mask,
    });
    let added: Vec<&Value> = tokenizer["added_tokens"].as_array().into_iter().flatten().collect();
    let is_there = |name: &str| {
        tokenizer["model"]["vocab"][name].is_number() || added.iter().any(|token| token["content"] == name)
    };
    match &tokenizer["model"]["unk_token"] {
        Value::Null if is_there(names.unk) => config["unk_token"] = names.unk.into(),
        // Bytes are never unknown.
        Value::Null => {}
        unknown => config["unk_token"] = unknown.clone(),
    }
    if names != &BERT {
        (config["bos_token"], config["eos_token"]) = (names.cls.into(), names.sep.into());
    }
    if bert {
        config["do_lower_case"] = normalizer["lowercase"].clone();
        config["strip_accents"] = normalizer["strip_accents"].clone();
        config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"].clone();
    }
    // A model without token types refuses them, so its tokenizer must not give any.
    if model.type_vocab_size < 2 || !sequence_format(&model.family).has_types() {
        config["model_input_names"] = json!(["input_ids", "attention_mask"]);
    }
    // BERT's own are known without a list.
    if added.iter().any(|token| !BERT.all().iter().any(|special| token["content"] == *special)) {
        for token in added {
            let mut without = token.clone();
            if let Some(id) = without.as_object_mut().and_then(|token| token.remove("id")) {
                config["added_tokens_decoder"][id.to_string()] = without;
            }
        }
    }
    config
}

fn vocabulary_text(vocabulary: &Vocabulary) -> String {
    vocabulary.tokens().iter().flat_map(|token| [token, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use ebert_batches::vocabulary::ROBERTA;

    use super::*;

    #[test]
    fn old_checkpoints_go_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let old = ["step-00000001", "step-00000002"].map(|name| folder.path().join(name));
        old.iter().for_each(|old| fs::create_dir(old).unwrap());
        // The second cannot be renamed.
        let in_the_way = old[1].with_extension(format!("old{TEMPORARY}"));
        fs::create_dir_all(in_the_way.join("full")).unwrap();
        assert!(remove_all_or_none(old.clone().into_iter()).is_err());
        assert!(old.iter().all(|old| old.is_dir()));
        fs::remove_dir_all(in_the_way).unwrap();
        remove_all_or_none(old.into_iter()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_bert_tokenizer_would_build_otherwise_is_taken_from_the_file() {
        let bert = json!({
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": false},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100},
        });
        let names = |config: BertConfig| tokenizer_config(&bert, &config, &BERT)["model_input_names"].clone();
        assert_eq!(names(BertConfig::base(9)), json!(null));
        assert_eq!(names(BertConfig::modern_base(9)), json!(["input_ids", "attention_mask"]));
        let config = tokenizer_config(&bert, &BertConfig::base(9), &BERT);
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
            let config = tokenizer_config(&other, &BertConfig::base(9), &BERT);
            assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast", "{key}");
            assert_eq!(config["unk_token"], other["model"]["unk_token"]);
        }
    }

    #[test]
    fn tokens_of_byte_level_vocabularies_have_their_own_names() {
        let token =
            |id: u32, text: &str| json!({"id": id, "content": text, "special": true, "lstrip": text == "<mask>"});
        let special: Vec<Value> = (0..).zip(["<s>", "<pad>", "</s>", "<mask>"]).map(|(id, t)| token(id, t)).collect();
        let roberta = json!({"added_tokens": special, "model": {"type": "BPE", "vocab": {"a": 4}}});
        let config = tokenizer_config(&roberta, &BertConfig::base(9), &ROBERTA);
        assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
        let names = ["cls_token", "bos_token", "sep_token", "eos_token", "pad_token", "mask_token"];
        assert_eq!(names.map(|name| &config[name]), ["<s>", "<s>", "</s>", "</s>", "<pad>", "<mask>"]);
        assert_eq!(
            (&config["unk_token"], &config["added_tokens_decoder"]["3"]["lstrip"]),
            (&Value::Null, &json!(true))
        );
        // ModernBERT's names are BERT's. It knows an unknown token, and never needs it.
        let modern = json!({"added_tokens": [token(3, "[UNK]")], "model": {"type": "BPE", "vocab": {"a": 4}}});
        let config = tokenizer_config(&modern, &BertConfig::modern_base(9), &BERT);
        assert_eq!(["unk_token", "cls_token"].map(|name| &config[name]), ["[UNK]", "[CLS]"]);
        assert!(config.get("bos_token").is_none());
        // The tokens that a sequence is made with have the same names where models are read.
        let names = [&BERT, &ROBERTA].map(|names| [names.cls, names.sep, names.pad, names.mask]);
        assert_eq!(names, ebert_bert::tokens::SPECIAL);
    }

    #[test]
    fn added_tokens_are_written_where_transformers_looks() {
        let token = |id: u32, text: &str| {
            json!({"id": id, "content": text, "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false})
        };
        let mut tokenizer = json!({"added_tokens": [token(0, "[PAD]")], "model": {"unk_token": "[UNK]"}});
        let config = BertConfig::base(30_522);
        let mut carried = Carried { config, pooler: Vec::new(), added: Vec::new() };
        keep_added(&mut tokenizer, &carried).unwrap();
        assert!(tokenizer_config(&tokenizer, &BertConfig::base(9), &BERT)["added_tokens_decoder"].is_null());
        carried.added.push(serde_json::from_value(token(7, "[PRICE]")).unwrap());
        keep_added(&mut tokenizer, &carried).unwrap();
        assert_eq!(tokenizer["added_tokens"], json!([token(0, "[PAD]"), token(7, "[PRICE]")]));
        let decoder = &tokenizer_config(&tokenizer, &BertConfig::base(9), &BERT)["added_tokens_decoder"];
        assert_eq!((&decoder["7"]["content"], &decoder["0"]["content"]), (&json!("[PRICE]"), &json!("[PAD]")));
        assert!(decoder["7"]["id"].is_null());
    }
}
