//! Results in a place that a user named.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{AtomicFile, StoreError};

/// A place that a user named for a result. A link is followed, and a device or pipe is written to.
/// Anything else is a file, which appears when it is complete.
#[derive(Clone, Debug)]
pub struct Output {
    path: PathBuf,
    is_file: bool,
}

impl Output {
    /// Checks the place, so that a mistake shows before the work and not after it.
    ///
    /// # Errors
    /// When it is a folder, or its parent folder does not exist.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let refused = |kind: io::ErrorKind| StoreError::io("write", path)(kind.into());
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(refused(io::ErrorKind::IsADirectory)),
            Ok(found) if found.is_file() => {
                let path = fs::canonicalize(path).map_err(StoreError::io("write", path))?;
                Ok(Self { path, is_file: true })
            }
            Ok(_) => Ok(Self { path: path.to_owned(), is_file: false }),
            Err(_) if path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) => {
                Ok(Self { path: path.to_owned(), is_file: true })
            }
            Err(_) => Err(refused(io::ErrorKind::NotFound)),
        }
    }

    /// The file, unless the place is a device or pipe.
    pub fn file(&self) -> Option<&Path> {
        self.is_file.then_some(&*self.path)
    }

    /// Starts writing.
    ///
    /// # Errors
    /// When the file cannot be created or opened.
    pub fn create(&self) -> Result<OutputFile, StoreError> {
        if self.is_file {
            return AtomicFile::create(&self.path).map(|file| OutputFile::Whole(Box::new(file)));
        }
        let open = OpenOptions::new().write(true).open(&self.path);
        open.map(OutputFile::InPlace).map_err(StoreError::io("write", &self.path))
    }

    /// Writes these bytes and nothing else.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = self.create()?;
        file.write_all(bytes).map_err(StoreError::io("write", &self.path))?;
        file.commit()
    }
}

/// A file or pipe that is being written, from [`Output::create`].
#[derive(Debug)]
pub enum OutputFile {
    /// A file that appears when it is committed.
    Whole(Box<AtomicFile>),
    /// A device or pipe.
    InPlace(File),
}

impl OutputFile {
    /// Completes it.
    ///
    /// # Errors
    /// When a file cannot be synced or renamed.
    pub fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Whole(file) => file.commit(0).map(drop),
            Self::InPlace(_) => Ok(()),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Whole(file) => file.write(bytes),
            Self::InPlace(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Whole(file) => file.flush(),
            Self::InPlace(file) => file.flush(),
        }
    }
}
