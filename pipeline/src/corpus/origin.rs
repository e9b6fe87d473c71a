//! Which raw files the corpus in an output folder is of, so that another corpus does not replace it unasked.
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use ebert_dumps::Source;
use schemas::{
    Manifest, Previous, StoreError,
    manifest::{CorpusBody, RawFile},
    store,
};

use super::{
    CorpusError,
    plan::{Inputs, RawInput},
    spill::SpillFolder,
};
use crate::settings::Settings;

/// The record in `OUT/.made`: the folder that raw files were read from.
const RECORD: &str = "raw-folder";

fn record(out: &Path) -> PathBuf {
    out.join(".made").join(RECORD)
}

/// Fails if the corpus in `OUT` is of other raw files, unless the settings say to replace it. It is the same corpus if
/// it was read from the same folder, or has one of the raw files. A run that failed before it kept a record does not
/// count.
pub(super) fn check(settings: &Settings, inputs: &Inputs<'_>, spill: &SpillFolder) -> Result<(), CorpusError> {
    if settings.force {
        return Ok(());
    }
    let read_from = noted(&settings.out)?;
    if read_from.as_deref() == Some(&real(&settings.corpus)) {
        return Ok(());
    }
    let found: Vec<RawFile> = match Manifest::<CorpusBody>::read_previous(&settings.out.join("corpus"))? {
        Previous::Sealed(old) => old.body.inputs,
        // A run that was stopped; its folder is all that is known.
        Previous::None if read_from.is_some() && spill.has_records() => Vec::new(),
        Previous::None | Previous::OlderFormat(_) => return Ok(()),
    };
    // With a record, equal names in another folder are other files.
    let same = |old: &RawFile, new: &RawInput<'_>| {
        old.blake3 == new.blake3 || read_from.is_none() && old.path == new.found.name.as_str()
    };
    if found.iter().any(|old| inputs.files.iter().any(|new| same(old, new))) {
        return Ok(());
    }
    let (out, corpus) = (settings.out.clone(), settings.corpus_names());
    Err(CorpusError::Other { out, found: described(read_from.as_deref(), &found), corpus })
}

/// Writes down where the raw files are, unless that is known.
pub(super) fn note(settings: &Settings) -> Result<(), StoreError> {
    let (path, folder) = (record(&settings.out), real(&settings.corpus));
    if noted(&settings.out)?.as_ref() == Some(&folder) {
        return Ok(());
    }
    fs::create_dir_all(settings.out.join(".made")).map_err(StoreError::io("create", &path))?;
    store::write_file(&path, format!("{}\n", folder.display()).as_bytes()).map(drop)
}

/// Removes what a killed process left of a record. No other process may write one meanwhile.
pub(super) fn sweep(settings: &Settings) -> Result<(), StoreError> {
    store::sweep(&settings.out.join(".made"), |name| name == RECORD)
}

/// The folder that [`note`] wrote down, if any.
fn noted(out: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = record(out);
    match fs::read_to_string(&path) {
        Ok(folder) => Ok(Some(PathBuf::from(folder.trim_end_matches('\n')))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// The sources of a corpus: addresses, and paths with links resolved.
fn real(corpus: &[Source]) -> PathBuf {
    let real = |source: &Source| match &source.address {
        Some(address) => PathBuf::from(address),
        None => fs::canonicalize(&source.path).unwrap_or_else(|_| source.path.clone()),
    };
    let all: Vec<OsString> = corpus.iter().map(|source| real(source).into_os_string()).collect();
    PathBuf::from(all.join(OsStr::new(", ")))
}

/// The folder, or the first raw files.
fn described(folder: Option<&Path>, files: &[RawFile]) -> String {
    match (folder, files) {
        (Some(folder), _) => format!("`{}`", folder.display()),
        (None, []) => "no raw file".to_owned(),
        (None, [only]) => format!("`{}`", only.path),
        (None, [first, rest @ ..]) => format!("`{}` and {} more", first.path, rest.len()),
    }
}
