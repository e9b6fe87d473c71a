//! What a sealed folder holds and what it was made from.
//!
//! A manifest is written last: a folder without one is not a finished data set. It holds only what
//! decides the data, and no paths of a machine, times, threads or host names. So equal inputs and
//! options give equal manifests.
mod corpus;
mod graph;
mod pool;
mod shards;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::{self, FileEntry, StoreError};

pub use self::{
    corpus::{Copies, CorpusBody, CorpusCounts, CorpusOptions, Place, RawFile, RemovedText, SkippedFile},
    graph::{AssociationFile, AssociationSource, GraphBody, ListCounts, WeightRange},
    pool::{MinedPool, PoolBody, PoolSource},
    shards::{
        Negatives, PoolEntry, Resolved, SegmentCounts, ShardCounts, ShardOptions, ShardsBody, Shares, TokenizerEntry,
    },
};

/// The version of all stored tables and manifests.
pub const FORMAT: u32 = 2;

/// Name of a manifest in its folder.
pub const MANIFEST: &str = "manifest.json";

/// A manifest: the fields that all of them have, around a body that differs by folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest<B> {
    /// [`FORMAT`].
    pub format: u32,
    /// The fields of this kind of folder.
    #[serde(flatten)]
    pub body: B,
    /// Every file, sorted by name.
    pub files: Vec<FileEntry>,
    /// Hash of the manifest's bytes with this value empty.
    pub self_blake3: String,
}

/// What an earlier run left in a folder.
#[derive(Clone, Debug, PartialEq)]
pub enum Previous<B> {
    /// No manifest: nothing, or a run that was stopped.
    None,
    /// A manifest of this older format.
    OlderFormat(u64),
    /// A manifest that can be read.
    Sealed(Box<Manifest<B>>),
}

impl<B> Previous<B> {
    /// The manifest, if it can be read.
    pub fn sealed(self) -> Option<Manifest<B>> {
        match self {
            Self::Sealed(manifest) => Some(*manifest),
            Self::None | Self::OlderFormat(_) => None,
        }
    }
}

/// A manifest cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("`{}` has no manifest, so it is not a finished data set", folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not a manifest.
    #[error("`{}` cannot be read as a manifest: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version of the format.
    #[error("`{}` has format {found}, this build reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It was changed after it was written.
    #[error("`{}` was changed after it was written\n  blake3 found {found}, expected {wanted}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Hash of the file.
        found: String,
        /// The hash that it states.
        wanted: String,
    },
    /// The file itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<B: Serialize + DeserializeOwned> Manifest<B> {
    /// The manifest of these files.
    pub fn new(body: B, mut files: Vec<FileEntry>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Self { format: FORMAT, body, files, self_blake3: String::new() }
    }

    /// Writes it into its folder, where it must be the last file, and returns it with its own hash.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn seal(mut self, folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        self.self_blake3.clear();
        let malformed = |source| ManifestError::Malformed { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(&self).map_err(malformed)? + "\n";
        self.self_blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        // The field is the last one; an equal key in the body would come earlier.
        if let Some(at) = text.rfind(EMPTY_HASH) {
            text.insert_str(at + EMPTY_HASH.len() - 1, &self.self_blake3);
        }
        store::write_file(&path, text.as_bytes())?;
        Ok(self)
    }

    /// Reads the manifest of a folder and checks its own hash.
    ///
    /// # Errors
    /// When there is none, or it is not what [`Manifest::seal`] wrote.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Absent { folder: folder.to_owned() });
            }
            other => other.map_err(StoreError::io("read", &path))?,
        };
        let malformed = |source| ManifestError::Malformed { path: path.clone(), source };
        #[derive(Deserialize)]
        struct Head {
            format: u64,
            self_blake3: String,
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(malformed)?;
        if head.format != u64::from(FORMAT) {
            return Err(ManifestError::Format { path, found: head.format });
        }
        let found = hash_without(&bytes, &head.self_blake3);
        if found != head.self_blake3 {
            return Err(ManifestError::Changed { path, found, wanted: head.self_blake3 });
        }
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    /// Reads what an earlier run left in a folder that is to be written.
    ///
    /// # Errors
    /// As [`Manifest::read`], but an older format is not an error: its folder is rebuilt.
    pub fn read_previous(folder: &Path) -> Result<Previous<B>, ManifestError> {
        match Self::read(folder) {
            Ok(manifest) => Ok(Previous::Sealed(Box::new(manifest))),
            Err(ManifestError::Absent { .. }) => Ok(Previous::None),
            Err(ManifestError::Format { found, .. }) if found < u64::from(FORMAT) => Ok(Previous::OlderFormat(found)),
            Err(error) => Err(error),
        }
    }

    /// Hash of the data: the names and contents of the files, and not how they were made. It is the
    /// cache key of everything that is made from the folder.
    pub fn data_blake3(&self) -> String {
        data_blake3(&self.files)
    }
}

const EMPTY_HASH: &str = "\"self_blake3\": \"\"";

/// Hash of the names and contents of files.
pub fn data_blake3(files: &[FileEntry]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(file.blake3.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

/// Hash of `bytes` with the last occurrence of `stated` left out.
fn hash_without(bytes: &[u8], stated: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let at = if stated.is_empty() { None } else { bytes.windows(stated.len()).rposition(|w| w == stated.as_bytes()) };
    match at {
        Some(at) => hasher.update(&bytes[..at]).update(&bytes[at + stated.len()..]),
        None => hasher.update(bytes),
    };
    hasher.finalize().to_hex().to_string()
}

/// Counts by reason or kind, in a stable order.
pub type Counts = BTreeMap<String, u64>;

/// A hash of something that data was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// In hex.
    pub blake3: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rules;

    fn graph() -> Manifest<GraphBody> {
        let body = GraphBody {
            rules: Rules::of([("graph", 1)]),
            corpus: Hash { blake3: "c0".into() },
            source: AssociationSource::Auto,
            file: None,
            found: 7,
            named_ids: 5,
            named_products: 4,
            lists: None,
            reviews_without_product: 1,
            reviews_of_unknown_products: 2,
            edges: Counts::from([("substitute".into(), 3)]),
            weights: BTreeMap::from([("co_reviewed".into(), WeightRange { lowest: 0.1, highest: 1.5 })]),
            products: 4,
        };
        let entry = |name: &str| FileEntry { name: name.into(), rows: 1, bytes: 2, blake3: "ab".into() };
        Manifest::new(body, vec![entry("b"), entry("a")])
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = graph().seal(folder.path()).unwrap();
        assert_eq!(sealed.files[0].name, "a");
        assert_eq!(Manifest::<GraphBody>::read(folder.path()).unwrap(), sealed);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        graph().seal(folder.path()).unwrap();
        let path = folder.path().join(MANIFEST);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(Manifest::<GraphBody>::read(folder.path()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        graph().seal(folder.path()).unwrap();
        let path = folder.path().join(MANIFEST);
        let ours = fs::read_to_string(&path).unwrap();
        for (format, is_older) in [(9, false), (1, true)] {
            fs::write(&path, ours.replace("\"format\": 2", &format!("\"format\": {format}"))).unwrap();
            let error = Manifest::<GraphBody>::read(folder.path()).unwrap_err();
            let wanted = format!("has format {format}, this build reads format 2");
            assert!(error.to_string().contains(&wanted), "{error}");
            let previous = Manifest::<GraphBody>::read_previous(folder.path());
            assert_eq!(previous.is_ok_and(|previous| previous == Previous::OlderFormat(format)), is_older);
        }
    }

    #[test]
    fn continuations_survive_the_table() {
        for size in [1usize, 7, 8, 9, 300] {
            let table: Vec<bool> = (0..size).map(|i| i % 3 == 1).collect();
            let entry = TokenizerEntry {
                file: String::new(),
                vocab_size: size as u32,
                blake3: String::new(),
                continuation_ids: TokenizerEntry::encode_continuations(&table),
            };
            assert_eq!(entry.continuations(), Some(table));
        }
    }
}
