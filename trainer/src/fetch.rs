//! Models by their id on the Hugging Face hub.
use std::{collections::BTreeSet, path::PathBuf};

use ebert_bert::{BertConfig, ConfigError, weights};
use ebert_hub::{Progress, Repository, Unreachable};

/// A model of the hub cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is none of that id, or it is private.
    #[error(
        "`{id}` is neither a folder here nor a model on the hub\n\
         hint: a model's id looks like bert-base-uncased or google-bert/bert-base-uncased; a private one needs HF_TOKEN"
    )]
    Unknown {
        /// The id.
        id: String,
    },
    /// The hub cannot be reached.
    #[error(transparent)]
    Hub(#[from] Unreachable),
    /// The model is not a BERT.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It has no weights in a format that is read.
    #[error(
        "the hub's model `{id}` has neither model.safetensors nor model.safetensors.index.json\n\
         hint: python -c 'from transformers import AutoModelForMaskedLM as M, AutoTokenizer as T; \
         [c.from_pretrained({}).save_pretrained(\"model\") for c in (M, T)]', then name that folder",
        arguments(id)
    )]
    NoWeights {
        /// The id.
        id: String,
    },
    /// The list of its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),
}

/// A model's id, such as `owner/name` or `owner/name@revision`, as arguments of `from_pretrained`.
fn arguments(id: &str) -> String {
    match id.split_once('@') {
        Some((name, revision)) => format!("\"{name}\", revision=\"{revision}\""),
        None => format!("\"{id}\""),
    }
}

/// Fetches the files of a model that the cache lacks, and returns its folder. The configuration
/// comes first, so that a model that is not a BERT is refused before its weights are downloaded.
///
/// # Errors
/// If the hub has no such model or cannot be reached, or the model is not a BERT or has no
/// safetensors weights.
pub fn fetch(id: &str, progress: Progress) -> Result<PathBuf, FetchError> {
    let repository = Repository::model(id, progress)?;
    let config = repository.file("config.json")?.ok_or_else(|| FetchError::Unknown { id: id.to_owned() })?;
    let folder = config.parent().map(PathBuf::from).unwrap_or_default();
    BertConfig::read(&folder)?;
    let no_weights = || FetchError::NoWeights { id: id.to_owned() };
    if repository.file(weights::WEIGHTS)?.is_none() {
        repository.file(weights::INDEX)?.ok_or_else(no_weights)?;
        let files: BTreeSet<PathBuf> = weights::listed(&folder)?.into_iter().collect();
        for file in files.iter().filter_map(|file| file.file_name()?.to_str()) {
            repository.file(file)?.ok_or_else(no_weights)?;
        }
    }
    // Either of the first two has the vocabulary. Without a network, the cache may lack the others.
    let rest = ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
        .map(|file| repository.file(file));
    let has_vocabulary = rest[..2].iter().any(|file| matches!(file, Ok(Some(_))));
    for file in rest {
        match file {
            Err(error) if !has_vocabulary => return Err(error.into()),
            _ => {}
        }
    }
    Ok(folder)
}
