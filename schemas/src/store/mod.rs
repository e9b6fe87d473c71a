//! Files that are complete or absent.
//!
//! A file is written under a temporary name, hashed on the way, synced, and renamed. Readers compare
//! its hash with the one in the manifest. Nothing here knows what a file holds.
//!
//! * [`AtomicFile`] and [`write_file`] write a file. [`sweep`] removes the temporary files of a
//!   stopped run.
//! * [`Output`] writes to a place that a user named, which may be a pipe.
//! * [`TableWriter`] and [`TableReader`] write and read Parquet tables of any columns.
//! * [`FileEntry`] describes a file, and [`verify_file`] checks it.
mod atomic;
mod output;
mod table;
mod verify;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::{
    atomic::{AtomicFile, remove, sweep, sync_folder, write_file},
    output::{Output, OutputFile},
    table::{Layout, TableReader, TableWriter},
    verify::{FileEntry, hash_file, verify_file},
};
pub use crate::temporary::{TEMPORARY, file_of_temporary};

/// A stored file cannot be written or read, or is not what was stored.
///
/// A message states facts. The programs add what to do, with their own commands.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system failed.
    #[error("cannot {what} `{}`{}", path.display(), no_space_hint(source))]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The Parquet library failed.
    #[error("cannot {what} `{}`{}", path.display(), parquet_hint(source))]
    Parquet {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A file that the manifest names does not exist.
    #[error("`{}` is missing; the manifest in its folder lists it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is not the one that the manifest names.
    #[error("`{}` does not match the manifest\n  blake3 found {found}, expected {wanted}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Hash of the file.
        found: String,
        /// Hash of what was stored.
        wanted: String,
    },
    /// What a task left for a later step is not as it was written.
    #[error("`{}` is damaged: it does not match its checksum", path.display())]
    DamagedPart {
        /// The file.
        path: PathBuf,
    },
    /// A folder that would be emptied holds a file that this program did not write.
    #[error("`{}` is not a file of this program, in a folder that it would empty", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A table has other columns than this build reads.
    #[error("`{}` does not have the columns that this build reads\n  found    {found}\n  expected {wanted}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Its columns.
        found: String,
        /// The columns of [`crate::columns`].
        wanted: String,
    },
}

impl StoreError {
    /// An [`StoreError::Io`], for `map_err`.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// A [`StoreError::Parquet`], for `map_err`.
    pub fn parquet(what: &'static str, path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        move |source| Self::Parquet { what, path: path.to_owned(), source }
    }
}

fn no_space_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "\nhint: free some disk space and run the same command again; finished files are kept"
        }
        // EMFILE has no kind of its own.
        _ if error.raw_os_error() == Some(24) => "\nhint: too many files are open; raise the limit with `ulimit -n`",
        _ => "",
    }
}

fn parquet_hint(error: &parquet::errors::ParquetError) -> &'static str {
    match error {
        parquet::errors::ParquetError::External(inner) => inner.downcast_ref().map_or("", no_space_hint),
        _ => "",
    }
}
