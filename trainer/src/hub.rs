//! Models by their id on the Hugging Face hub, kept in its cache (`HF_HOME`), which other programs share.
use std::{collections::BTreeSet, path::PathBuf};

use hf_hub::{
    Repo, RepoType,
    api::sync::{ApiBuilder, ApiError, ApiRepo},
};

use crate::model::weights;

/// A model cannot be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is none of that id, or it is not public.
    #[error(
        "`{id}` is neither a folder here nor a model on the hub\n\
         hint: a model's id looks like bert-base-uncased or google-bert/bert-base-uncased; one that is not public needs HF_TOKEN"
    )]
    Unknown {
        /// The id.
        id: String,
    },
    /// The hub cannot be reached.
    #[error(
        "`{id}` is not a folder here, and the hub cannot be reached\n\
         hint: download it where there is a network, with `hf download {id} --local-dir folder`, and name the folder"
    )]
    Unreachable {
        /// The id.
        id: String,
        /// Why not.
        #[source]
        source: ApiError,
    },
    /// It has none of the files that are read.
    #[error(
        "the hub's model `{id}` has neither model.safetensors nor model.safetensors.index.json\n\
         hint: convert it with `transformers` (model.save_pretrained(folder)), and name the folder"
    )]
    NoWeights {
        /// The id.
        id: String,
    },
    /// The list of its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),
}

/// Whether a text can be a model's id: `name` or `owner/name`, and then `@revision` if another than `main` is meant.
pub fn is_id(text: &str) -> bool {
    let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = id.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|p| part(p)) && part(revision)
}

/// Fetches what a run starts from, unless the cache has it, and gives the folder. `talk` shows bars.
///
/// # Errors
/// When the hub has no such model, cannot be reached, or the model has no weights in a form that is read.
pub fn fetch(id: &str, talk: bool) -> Result<PathBuf, HubError> {
    let unreachable = |source| HubError::Unreachable { id: id.to_owned(), source };
    let api = ApiBuilder::from_env().with_progress(talk).build().map_err(unreachable)?;
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    let repo = api.repo(Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned()));
    let needed = |file: &str| get(&repo, file).map_err(unreachable);

    let config = needed("config.json")?.ok_or_else(|| HubError::Unknown { id: id.to_owned() })?;
    let folder = config.parent().map(PathBuf::from).unwrap_or_default();
    if needed(weights::WEIGHTS)?.is_none() {
        needed(weights::INDEX)?.ok_or_else(|| HubError::NoWeights { id: id.to_owned() })?;
        let files: BTreeSet<PathBuf> = weights::files(&folder)?.into_iter().collect();
        for file in files.iter().filter_map(|file| file.file_name()?.to_str()) {
            needed(file)?.ok_or_else(|| HubError::NoWeights { id: id.to_owned() })?;
        }
    }
    // Either of the first two has the vocabulary. What is missing from the cache is not missed without a network.
    let rest = ["vocab.txt", "tokenizer.json", "tokenizer_config.json"].map(|file| get(&repo, file));
    let found = rest[..2].iter().any(|file| matches!(file, Ok(Some(_))));
    for file in rest {
        match file {
            Err(error) if !found => return Err(unreachable(error)),
            _ => {}
        }
    }
    Ok(folder)
}

/// A file of a model; `None` if it has none of that name.
fn get(repo: &ApiRepo, file: &str) -> Result<Option<PathBuf>, ApiError> {
    match repo.get(file) {
        Ok(path) => Ok(Some(path)),
        // A model that is not there is said to need a login.
        Err(ApiError::RequestError(error)) if matches!(*error, ureq::Error::StatusCode(401 | 403 | 404)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_path() {
        for id in
            ["bert-base-uncased", "google-bert/bert-base-uncased", "a/b@v1.0", "sentence-transformers/all-MiniLM-L6-v2"]
        {
            assert!(is_id(id), "{id}");
        }
        for path in ["./bert", "/models/bert", "a/b/c", "bert/", "../bert", "", "my model", "~/bert", "a@"] {
            assert!(!is_id(path), "{path}");
        }
    }
}
