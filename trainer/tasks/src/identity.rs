//! What decides the numbers of a cell: a finished one is up to date while this stays the same.
use std::{
    fs,
    path::{Path, PathBuf},
};

use schemas::store::hash_file;
use serde::{Deserialize, Serialize};

use super::{
    Task, TaskFileError,
    cell::{CellError, Request},
    options::Options,
};
use ebert_bert::weights;
use trainer::differences::differences;

/// A file, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Its name.
    pub file: String,
    /// Hash of its bytes.
    pub blake3: String,
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
            options: request.options,
        })
    }

    /// What differs, as `key: it was a, now b`.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let [before, now] = [self, now].map(|identity| serde_json::to_value(identity).unwrap_or_default());
        differences(&before, &now).iter().map(ToString::to_string).collect()
    }
}

/// Hash of all of a model that decides what comes of it.
///
/// # Errors
/// When a file cannot be read.
pub fn hash_of_model(folder: &Path) -> Result<String, CellError> {
    let mut hasher = blake3::Hasher::new();
    let optional = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"].map(|name| folder.join(name));
    let files = [folder.join("config.json")].into_iter().chain(weights::files(folder)?);
    for file in files.chain(optional.into_iter().filter(|file| file.is_file())) {
        hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(hash_file(&file)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
