//! Sources and models on other machines.
use std::path::PathBuf;

use pipeline::run::RunError;

/// How much of a source is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// What shows how its records are read.
    Start,
    /// All of it.
    Whole,
}

/// The folder or file to which a source was fetched.
///
/// # Errors
/// If it cannot be fetched.
#[cfg(feature = "remote")]
pub(crate) fn fetched(address: &str, needed: Needed) -> Result<PathBuf, RunError> {
    use ebert_hub::{Progress, Repository};
    use pipeline::engine::progress;

    if let Some(rest) = address.strip_prefix("hf://datasets/") {
        let refuse = || RunError::NoFile { address: address.to_owned() };
        let mut parts = rest.splitn(3, '/');
        let (Some(owner), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse());
        };
        let repository = Repository::dataset(&format!("{owner}/{name}"), Progress::Bars).map_err(failed)?;
        return repository.file(path).map_err(failed)?.ok_or_else(refuse);
    }
    let bar = progress::Progress::default().bytes("fetching", 0);
    let mut show = |fetched: ebert_remote::Fetched| {
        bar.set_length(fetched.all);
        bar.set_position(fetched.bytes);
    };
    let folder = match needed {
        Needed::Whole => ebert_remote::fetch(address, &cache("raw"), &mut show),
        Needed::Start => ebert_remote::fetch_starts(address, &cache("raw"), &mut show),
    };
    bar.finish_and_clear();
    folder.map_err(failed)
}

/// A folder in the user's cache, or in the system's folder for temporary files.
#[cfg(feature = "remote")]
pub(crate) fn cache(folder: &str) -> PathBuf {
    let temporary = || std::env::temp_dir().join("ebert");
    pipeline::engine::hashes::cache().unwrap_or_else(temporary).join(folder)
}

/// The tokenizer of a model on the hub. `None` if it is not the id of a model.
///
/// # Errors
/// If the hub cannot be reached.
#[cfg(feature = "remote")]
pub(crate) fn tokenizer(model: &str) -> Result<Option<PathBuf>, RunError> {
    if !ebert_hub::is_id(model) {
        return Ok(None);
    }
    let repository = ebert_hub::Repository::model(model, ebert_hub::Progress::Bars).map_err(failed)?;
    for name in ["tokenizer.json", "vocab.txt"] {
        if let Some(path) = repository.file(name).map_err(failed)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(feature = "remote")]
pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> RunError {
    RunError::Remote(Box::new(error))
}

/// Refuses a source on another machine: this program was built without them.
#[cfg(not(feature = "remote"))]
pub(crate) fn fetched(address: &str, _: Needed) -> Result<PathBuf, RunError> {
    Err(RunError::NoRemote { address: address.to_owned() })
}

/// Knows no model on another machine: this program was built without them.
#[cfg(not(feature = "remote"))]
pub(crate) fn tokenizer(_: &str) -> Result<Option<PathBuf>, RunError> {
    Ok(None)
}
