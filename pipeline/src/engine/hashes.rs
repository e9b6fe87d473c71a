//! Remembers the hashes of files that have not changed since they were hashed.
//!
//! Hashes show what a step is made from, and whether a sealed file is complete. They are kept in the
//! user's cache folder (`$XDG_CACHE_HOME/ebert` or `~/.cache/ebert`), one file for each `OUT`. To ask
//! again then costs a look at each file's size, times and inode instead of a read of terabytes.
//! Without the cache, or without a home, files are hashed again. Deleting it is safe.
use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use schemas::{FileEntry, Manifest, StoreError, store};

use super::tree_hash;

/// The hashes that are known.
#[derive(Debug)]
pub struct Hashes {
    path: Option<PathBuf>,
    known: BTreeMap<String, String>,
    asked: BTreeMap<String, String>,
    /// Whether a file stands for an object in a store, which has its bytes.
    stands_in: Option<fn(&Path) -> bool>,
}

impl Hashes {
    /// What earlier runs into `out` remembered.
    pub fn load(out: &Path) -> Self {
        let path = cache_of(out);
        let read = path.as_ref().and_then(|path| fs::read(path).ok());
        let known = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, known, asked: BTreeMap::new(), stands_in: None }
    }

    /// Of files that stand for an object in a store, [`Hashes::verify`] compares the size alone.
    pub(crate) fn accept(&mut self, stands_in: fn(&Path) -> bool) {
        self.stands_in = Some(stands_in);
    }

    /// The hash of a file's bytes, in hex.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn blake3(&mut self, path: &Path) -> Result<String, StoreError> {
        self.known_or(FileVersion::of(path)?.key(), || store::hash_file(path))
    }

    /// The node of a range of a file in the tree of its hash, in hex.
    pub(crate) fn blake3_of_range(&mut self, path: &Path, bytes: &Range<u64>) -> Result<String, StoreError> {
        let key = format!("{} {}-{}", FileVersion::of(path)?.key(), bytes.start, bytes.end);
        self.known_or(key, || tree_hash::of_range(path, bytes))
    }

    /// The hash of some bytes of a file, in hex.
    pub(crate) fn blake3_of_bytes(&mut self, path: &Path, bytes: &Range<u64>) -> Result<String, StoreError> {
        let key = format!("{} bytes {}-{}", FileVersion::of(path)?.key(), bytes.start, bytes.end);
        self.known_or(key, || tree_hash::of_bytes(path, bytes))
    }

    fn known_or(
        &mut self,
        key: String,
        hash: impl FnOnce() -> Result<String, StoreError>,
    ) -> Result<String, StoreError> {
        let hash = match self.asked.get(&key).or_else(|| self.known.get(&key)) {
            Some(known) => known.clone(),
            None => hash()?,
        };
        self.asked.insert(key, hash.clone());
        Ok(hash)
    }

    /// Remembers the hash of a file that was just written.
    ///
    /// # Errors
    /// If the file's size and times cannot be read.
    pub fn remember(&mut self, path: &Path, blake3: &str) -> Result<(), StoreError> {
        self.asked.insert(FileVersion::of(path)?.key(), blake3.to_owned());
        Ok(())
    }

    /// Checks that `folder` holds the file that `entry` describes.
    ///
    /// # Errors
    /// If it is missing, cannot be read, or has other bytes.
    pub fn verify(&mut self, folder: &Path, entry: &FileEntry) -> Result<(), StoreError> {
        let path = folder.join(&entry.name);
        let size = || fs::metadata(&path).map(|about| about.len()).ok();
        if self.stands_in.is_some_and(|stands_in| stands_in(&path)) && size() == Some(entry.bytes) {
            return Ok(());
        }
        let found = match self.blake3(&path) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path });
            }
            other => other?,
        };
        if found != entry.blake3 {
            return Err(StoreError::Damaged { path, found, wanted: entry.blake3.clone() });
        }
        Ok(())
    }

    /// Keeps what was asked in this run for the next one, if there is a place for it.
    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        if self.asked.iter().all(|(k, v)| self.known.get(k) == Some(v)) {
            return;
        }
        let mut all = self.known.clone();
        all.extend(self.asked.clone());
        // Entries of files that are gone do no harm, but should not pile up for ever.
        let kept = if all.len() > 4 * self.asked.len() + 1000 { &self.asked } else { &all };
        if let Some(folder) = path.parent()
            && fs::create_dir_all(folder).is_ok()
            && let Ok(json) = serde_json::to_vec(kept)
        {
            // A cache that cannot be written is not an error: the next run hashes again.
            let _ = store::write_file(path, &json);
        }
    }
}

/// Where the hashes of an `OUT` folder are kept.
fn cache_of(out: &Path) -> Option<PathBuf> {
    let name = blake3::hash(fs::canonicalize(out).ok()?.as_os_str().as_encoded_bytes());
    Some(cache()?.join(format!("{}.json", &name.to_hex()[..16])))
}

/// The folder `ebert` in the user's cache: `XDG_CACHE_HOME`, or `.cache` in the home folder. `None` without both.
pub fn cache() -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Some(caches.or_else(home)?.join("ebert"))
}

/// Identifies the content of a file without reading it. A write changes the version; so does a change
/// of the owner or the permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the change time. Unlike the modification time, it cannot be set.
    changed: (i64, i64),
}

impl FileVersion {
    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        let about = fs::metadata(path).map_err(StoreError::io("read", path))?;
        let changed = (about.ctime(), about.ctime_nsec());
        Ok(Self { device: about.dev(), inode: about.ino(), bytes: about.len(), changed })
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As the cache stores it.
    fn key(&self) -> String {
        let Self { device, inode, bytes, changed: (seconds, nanoseconds) } = self;
        format!("{device}:{inode}:{bytes}:{seconds}.{nanoseconds:09}")
    }
}

/// Checks that the files of a manifest are there and unchanged. Returns what is missing, which is a reason to rebuild.
///
/// # Errors
/// If a file is damaged.
pub fn check_files<B: serde::Serialize + serde::de::DeserializeOwned>(
    folder: &Path,
    manifest: &Manifest<B>,
    hashes: &mut Hashes,
) -> Result<Option<String>, StoreError> {
    let mut missing = None;
    for entry in &manifest.files {
        match hashes.verify(folder, entry) {
            Err(StoreError::Missing { .. }) => missing = Some(format!("`{}` is missing", entry.name)),
            other => other?,
        }
    }
    Ok(missing)
}
