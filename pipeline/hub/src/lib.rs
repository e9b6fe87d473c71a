//! Files of a repository on the Hugging Face hub.
//!
//! Downloaded files stay in the cache that `transformers` and other programs share (`HF_HOME`). A file in the cache
//! needs no network. The environment decides the rest: `HF_TOKEN` gives access to private repositories, and
//! `HF_ENDPOINT` names another hub.
//!
//! [`is_id`] distinguishes the id of a repository from a path, and [`Repository::file`] fetches one file:
//!
//! ```no_run
//! let model = ebert_hub::Repository::model("google-bert/bert-base-uncased", ebert_hub::Progress::Hidden)?;
//! let config = model.file("config.json")?.expect("every model has one");
//! println!("{}", std::fs::read_to_string(config)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
use std::{env, path::PathBuf};

use hf_hub::{
    Repo, RepoType,
    api::sync::{ApiBuilder, ApiError, ApiRepo},
};

/// The hub cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{id}` is not a folder here, and the hub cannot be reached\n\
     hint: download it where there is a network, with `hf download {id}{option} --local-dir folder`, and name the folder"
)]
pub struct Unreachable {
    /// The id of the repository.
    pub id: String,
    /// The option of `hf` for its kind, after a space.
    option: &'static str,
    /// The reason.
    #[source]
    pub source: ApiError,
}

/// Whether downloads show progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Bars,
    Hidden,
}

/// How often a failed download is tried again.
const RETRIES: usize = 3;

/// Whether a text can be the id of a repository: `name` or `owner/name`, and `@revision` for another revision than
/// `main`, for example `@v1.0` or `@refs/pr/1`.
pub fn is_id(text: &str) -> bool {
    let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = id.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(part) && revision.split('/').all(part)
}

/// A repository at one revision.
#[derive(Debug)]
pub struct Repository {
    id: String,
    kind: RepoType,
    repo: ApiRepo,
}

impl Repository {
    /// The model of an id, as [`is_id`] describes it.
    ///
    /// # Errors
    /// If the HTTP client cannot be created, for example because `HF_TOKEN` cannot be sent.
    pub fn model(id: &str, progress: Progress) -> Result<Self, Unreachable> {
        Self::of(id, RepoType::Model, progress)
    }

    /// The data set of an id, as [`is_id`] describes it.
    ///
    /// # Errors
    /// As for [`Repository::model`].
    pub fn dataset(id: &str, progress: Progress) -> Result<Self, Unreachable> {
        Self::of(id, RepoType::Dataset, progress)
    }

    fn of(id: &str, kind: RepoType, progress: Progress) -> Result<Self, Unreachable> {
        // hf-hub reads a token only from the cache folder.
        let token = env::var("HF_TOKEN").ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let builder = ApiBuilder::from_env().with_progress(progress == Progress::Bars).with_retries(RETRIES);
        let builder = if token.is_some() { builder.with_token(token) } else { builder };
        let api =
            builder.build().map_err(|source| Unreachable { id: id.to_owned(), option: option_of(kind), source })?;
        let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
        let repo = api.repo(Repo::with_revision(name.to_owned(), kind, revision.to_owned()));
        Ok(Self { id: id.to_owned(), kind, repo })
    }

    /// The path of a file in the cache, downloaded if it is not there. `None` if the repository has no such file, does
    /// not exist, or needs another token.
    ///
    /// # Errors
    /// If the hub cannot be reached.
    pub fn file(&self, name: &str) -> Result<Option<PathBuf>, Unreachable> {
        match self.repo.get(name) {
            Ok(path) => Ok(Some(path)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(source) => Err(Unreachable { id: self.id.clone(), option: option_of(self.kind), source }),
        }
    }
}

/// The option of `hf` for a kind of repositories, after a space.
const fn option_of(kind: RepoType) -> &'static str {
    match kind {
        RepoType::Dataset => " --repo-type dataset",
        RepoType::Model | RepoType::Space => "",
    }
}

/// Whether the hub answered that there is nothing. For a repository that does not exist, it answers as for a private
/// one.
fn is_absence(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => matches!(**error, ureq::Error::StatusCode(401 | 403 | 404)),
        ApiError::TooManyRetries(error) => is_absence(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_path() {
        for id in [
            "bert-base-uncased",
            "google-bert/bert-base-uncased",
            "a/b@v1.0",
            "a/b@refs/pr/1",
            "sentence-transformers/all-MiniLM-L6-v2",
        ] {
            assert!(is_id(id), "{id}");
        }
        for path in
            ["./bert", "/models/bert", "a/b/c", "bert/", "../bert", "", "my model", "~/bert", "a@", "a@../b", "a@b//c"]
        {
            assert!(!is_id(path), "{path}");
        }
    }
}
