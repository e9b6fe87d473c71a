//! Files that appear under their names when they are complete.
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{FileEntry, StoreError};
use crate::temporary::{file_of_temporary, temporary};

/// A file being written: visible under its own name only after [`AtomicFile::commit`].
///
/// Dropped without commit, it removes what it wrote.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl AtomicFile {
    /// Starts `path` under a temporary name in the same folder.
    ///
    /// # Errors
    /// When the temporary file cannot be created.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let temporary = temporary(path, 0);
        let file = File::create(&temporary).map_err(StoreError::io("create", &temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file: Some(file), hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// The name that the file gets.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the file, gives it its name, and describes it.
    ///
    /// # Errors
    /// When the file cannot be synced or renamed.
    pub fn commit(mut self, rows: u64) -> Result<FileEntry, StoreError> {
        let Some(file) = &self.file else { unreachable!("the file is taken by commit and drop alone") };
        file.sync_all().map_err(StoreError::io("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(StoreError::io("rename to", &self.path))?;
        // From here on, drop must not remove it.
        self.file = None;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileEntry { name, rows, bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = self.file.as_mut() else { unreachable!("the file is taken by commit and drop alone") };
        let written = file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: the next run sweeps it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes renames and removals in a folder survive a power cut.
///
/// # Errors
/// When the system cannot sync the folder.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // The parent of a bare name.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", folder))
}

/// Writes a small file atomically.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<FileEntry, StoreError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    file.commit(0)
}

/// Removes the temporary files of a stopped run whose final names are `ours`. Any other file stays.
///
/// # Errors
/// When the folder cannot be listed, or a file cannot be removed.
pub fn sweep(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StoreError::io("list", folder)(e)),
    };
    for entry in entries {
        let path = entry.map_err(StoreError::io("list", folder))?.path();
        if path.file_name().and_then(|name| name.to_str()).and_then(file_of_temporary).is_some_and(&ours) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file, if it exists.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
