//! What decides the numbers of a cell: a finished one is up to date while this stays the same.
use std::{
    fs,
    path::{Path, PathBuf},
};

use schemas::store::hash_file;
use serde::{Deserialize, Serialize};

use super::{
    Task, TaskFileError, finetune, metrics,
    options::Options,
    products,
    request::{CellError, Request},
    semeval, squad,
};
use ebert_bert::{BertConfig, BertForMaskedLm, weights};
use trainer::differences::differences;

/// A file, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Its name.
    pub file: String,
    /// Hash of its bytes.
    pub blake3: String,
}

/// Versions of the code that decides numbers. Each is next to its code, and is raised when that
/// code gives other numbers for the same files. 0 is what was not noted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Of the reader of the task's files.
    pub readers: u32,
    /// Of all from examples to predictions: parts, sequences, heads, the loop, decoding.
    pub training: u32,
    /// Of scores.
    pub metrics: u32,
}

impl Rules {
    /// Of this build.
    pub const fn of(task: Task) -> Self {
        let readers = match task {
            Task::Rqa => squad::RULES,
            Task::Pc => products::RULES,
            Task::Ae | Task::Asc => semeval::RULES,
        };
        Self { readers, training: finetune::RULES, metrics: metrics::RULES }
    }

    /// The parts that changed, as `rules of metrics changed: they were version 1, now 2`.
    fn differences(self, now: Self) -> Vec<String> {
        let parts = [
            ("readers", self.readers, now.readers),
            ("training", self.training, now.training),
            ("metrics", self.metrics, now.metrics),
        ];
        let changed = parts.into_iter().filter(|(_, before, now)| before != now);
        let version = |version| if version == 0 { "not noted".to_owned() } else { format!("version {version}") };
        changed
            .map(|(part, before, now)| {
                format!("rules of {part} changed: they were {}, now {}", version(before), version(now))
            })
            .collect()
    }
}

/// What decides the numbers of a cell, but for the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The task.
    pub task: Task,
    /// Hash of the model: configuration, weights, tokenizer.
    pub model_blake3: String,
    /// Its files.
    pub data: Vec<Hashed>,
    /// The test's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Hashed>,
    /// The options.
    pub options: Options,
    /// The code.
    #[serde(default)]
    pub rules: Rules,
}

impl Identity {
    /// Of a request, whose model is in `folder`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(request: &Request, model_blake3: String) -> Result<Self, CellError> {
        let hashed = |path: &PathBuf| {
            let io = |source| TaskFileError::Io { task: request.task, path: path.clone(), source };
            fs::metadata(path).map_err(io)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok::<_, CellError>(Hashed { file, blake3: hash_file(path)? })
        };
        Ok(Self {
            task: request.task,
            model_blake3,
            data: request.data.iter().map(hashed).collect::<Result<_, _>>()?,
            test: request.test.as_ref().map(hashed).transpose()?,
            options: request.options.clone(),
            rules: Rules::of(request.task),
        })
    }

    /// What differs, as `key: it was a, now b`.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let [before, after] = [self, now].map(|identity| {
            let identity = Self { rules: Rules::default(), ..identity.clone() };
            serde_json::to_value(identity).unwrap_or_default()
        });
        let mut all: Vec<String> = differences(&before, &after).iter().map(ToString::to_string).collect();
        all.extend(self.rules.differences(now.rules));
        all
    }
}

/// Checks a model's configuration, and the names and shapes of its weights.
///
/// # Errors
/// If they cannot be read, or do not fit.
pub fn check_model(folder: &Path) -> Result<(), CellError> {
    let config = BertConfig::read(folder)?;
    Ok(weights::check(folder, &config.family, &BertForMaskedLm::outline(&config)).map(drop)?)
}

/// Hash of all of a model that decides what comes of it.
///
/// # Errors
/// When a file cannot be read.
pub fn hash_of_model(folder: &Path) -> Result<String, CellError> {
    let mut hasher = blake3::Hasher::new();
    let optional =
        ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
            .map(|name| folder.join(name));
    let files = [folder.join("config.json")].into_iter().chain(weights::files(folder)?);
    for file in files.chain(optional.into_iter().filter(|file| file.is_file())) {
        hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(hash_file(&file)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_rules_make_another_identity_and_are_named() {
        let now = Identity {
            task: Task::Ae,
            model_blake3: "00".into(),
            data: Vec::new(),
            test: None,
            options: Options::default(),
            rules: Rules::of(Task::Ae),
        };
        assert!(now.differences(&now).is_empty());
        let before = Identity { rules: Rules { metrics: 7, ..now.rules }, ..now.clone() };
        assert_ne!(before, now);
        let wanted = format!("rules of metrics changed: they were version 7, now version {}", metrics::RULES);
        assert_eq!(before.differences(&now), [wanted]);
        // As written before rules were noted.
        let mut old = serde_json::to_value(&now).unwrap();
        old.as_object_mut().unwrap().remove("rules");
        let old: Identity = serde_json::from_value(old).unwrap();
        assert_ne!(old, now);
        let all = old.differences(&now);
        assert_eq!(all.len(), 3);
        assert!(all[0].starts_with("rules of readers changed: they were not noted, now version "), "{all:?}");
    }
}
