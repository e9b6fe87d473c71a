//! Whether a file is the one that was written.
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// A file of a sealed folder, as its manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name within the folder.
    pub name: String,
    /// Rows of a table; 0 of any other file.
    pub rows: u64,
    /// Size on disk.
    pub bytes: u64,
    /// BLAKE3 hash of its bytes, in hex.
    pub blake3: String,
}

/// Hash of a file's bytes, in hex.
///
/// # Errors
/// When the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(n) => hasher.update(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(StoreError::io("read", path)(e)),
        };
    }
}

/// Checks that `folder` holds the file that `entry` describes, byte for byte.
///
/// # Errors
/// When it is missing or has other bytes.
pub fn verify_file(folder: &Path, entry: &FileEntry) -> Result<PathBuf, StoreError> {
    let path = folder.join(&entry.name);
    if !path.is_file() {
        return Err(StoreError::Missing { path });
    }
    let found = hash_file(&path)?;
    if found != entry.blake3 {
        return Err(StoreError::Damaged { path, found, wanted: entry.blake3.clone() });
    }
    Ok(path)
}
