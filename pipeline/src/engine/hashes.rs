//! BLAKE3 hashes of files, cached from run to run.
//!
//! Whether a step is up to date, and whether a sealed file is complete, depends on the content of
//! files. [`Hashes`] reads a file once. Later it compares only device, inode, size and change time,
//! which no program can set.
//!
//! The cache is a file per `OUT` in `$XDG_CACHE_HOME/ebert` or `~/.cache/ebert`. It may be deleted
//! at any time. Without a cache folder, each run hashes all files.
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use schemas::{FileEntry, Manifest, StoreError, store};

use crate::REMAKE;

/// The hashes of files by content version.
#[derive(Debug)]
pub struct Hashes {
    path: Option<PathBuf>,
    /// From earlier runs.
    known: BTreeMap<String, String>,
    /// Used in this run.
    asked: BTreeMap<String, String>,
}

impl Hashes {
    /// Loads the cache of `out`.
    pub fn load(out: &Path) -> Self {
        let path = cache_of(out);
        let read = path.as_ref().and_then(|path| fs::read(path).ok());
        let known = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, known, asked: BTreeMap::new() }
    }

    /// The hash of a file's bytes, in hex.
    pub(crate) fn blake3(&mut self, path: &Path) -> Result<String, StoreError> {
        let key = key_of(path)?;
        let hash = match self.asked.get(&key).or_else(|| self.known.get(&key)) {
            Some(hash) => hash.clone(),
            None => store::hash_file(path)?,
        };
        self.asked.insert(key, hash.clone());
        Ok(hash)
    }

    /// Remembers the hash of a file that was just written.
    pub(crate) fn remember(&mut self, path: &Path, blake3: &str) -> Result<(), StoreError> {
        self.asked.insert(key_of(path)?, blake3.to_owned());
        Ok(())
    }

    /// Checks that `folder` holds the file that `entry` describes.
    pub(crate) fn verify(&mut self, folder: &Path, entry: &FileEntry, remake: &'static str) -> Result<(), StoreError> {
        let path = folder.join(&entry.name);
        let found = match self.blake3(&path) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path, remake });
            }
            other => other?,
        };
        if found != entry.blake3 {
            return Err(StoreError::Damaged { path, found, wanted: entry.blake3.clone(), remake });
        }
        Ok(())
    }

    /// Writes the cache, if there is a folder for it.
    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        if self.asked.iter().all(|(k, v)| self.known.get(k) == Some(v)) {
            return;
        }
        let mut all = self.known.clone();
        all.extend(self.asked.clone());
        // Entries of deleted files do no harm, but must not accumulate.
        let kept = if all.len() > 4 * self.asked.len() + 1000 { &self.asked } else { &all };
        if let Some(folder) = path.parent()
            && fs::create_dir_all(folder).is_ok()
            && let Ok(json) = serde_json::to_vec(kept)
        {
            // Not an error: the next run hashes again.
            let _ = store::write_file(path, &json);
        }
    }
}

/// The cache file of an `OUT` folder.
fn cache_of(out: &Path) -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()).or_else(home)?;
    let name = blake3::hash(fs::canonicalize(out).ok()?.as_os_str().as_encoded_bytes());
    Some(cache.join("ebert").join(format!("{}.json", &name.to_hex()[..16])))
}

/// Identifies the content of a file without reading it.
fn key_of(path: &Path) -> Result<String, StoreError> {
    let about = fs::metadata(path).map_err(StoreError::io("read", path))?;
    // Writing to a file changes its change time, which no program can set.
    Ok(format!("{}:{}:{}:{}.{:09}", about.dev(), about.ino(), about.len(), about.ctime(), about.ctime_nsec()))
}

/// Checks that the files of a manifest exist and are unchanged. Returns which one is missing, as a
/// reason to rebuild.
///
/// # Errors
/// If a file is damaged.
pub(crate) fn check_files<B: serde::Serialize + serde::de::DeserializeOwned>(
    folder: &Path,
    manifest: &Manifest<B>,
    hashes: &mut Hashes,
) -> Result<Option<String>, StoreError> {
    let mut missing = None;
    for entry in &manifest.files {
        match hashes.verify(folder, entry, REMAKE) {
            Err(StoreError::Missing { .. }) => missing = Some(format!("`{}` is missing", entry.name)),
            other => other?,
        }
    }
    Ok(missing)
}
