//! Finds the raw files below a folder.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

mod fields;
mod format;
mod json;
mod other;
mod ratings;
mod reason;
mod recognise;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub use format::Format;
pub use ratings::{Rating, RatingTable};
pub use reason::{Commas, Encoding, SkipReason, YelpFile};
pub use walk::RelativePath;

use recognise::{Content, recognise};
use walk::Walk;

use super::{open::Compression, record::RecordType};

/// Lines at the start of a file among which a record must be recognized.
const LINES_TRIED: usize = 100;

/// The files below a folder, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct RawFiles {
    /// Files that hold records or ratings, or are damaged.
    pub recognised: Vec<DumpFile>,
    /// Files that are not read.
    pub skipped: Vec<Skipped>,
}

/// A file with records of a dump.
#[derive(Clone, Debug)]
pub struct DumpFile {
    /// Its path below the folder.
    pub name: RelativePath,
    /// Where to open it.
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
    /// Whether it is compressed.
    pub compressed: bool,
    /// The most frequent type among its first records. `None` if damage comes before the first, or if the file is a
    /// table of ratings.
    pub holds: Option<RecordType>,
    /// How its lines are read, if it is a table of ratings.
    pub ratings: Option<RatingTable>,
    /// How its first 100 lines are damaged.
    pub damage: Option<String>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its path below the folder.
    pub name: RelativePath,
    /// Where it is.
    pub path: PathBuf,
    /// How it is compressed, if it is and can be opened.
    pub compression: Option<Compression>,
    /// Why it is not read.
    pub reason: SkipReason,
}

impl Skipped {
    /// What to do about it, with a command that can be typed where there is one. `None` if there is
    /// nothing to do.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("all.json"), "[{\"asin\": \"B0\", \"title\": \"Tea\"}, {}]")?;
    /// # std::fs::write(folder.path().join("meta.json"), "{\"asin\": \"B0\", \"title\": \"Tea\"}")?;
    /// let files = ebert_dumps::find(folder.path(), std::path::Path::new("output"))?;
    /// let array = &files.skipped[0];
    /// assert_eq!(array.reason.to_string(), "a JSON array that is not one record per line");
    /// let path = array.path.display();
    /// assert_eq!(array.hint(), Some(format!("`jq -c '.[]' < {path} > {path}.jsonl`")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hint(&self) -> Option<String> {
        self.reason.hint(&self.path, self.compression)
    }
}

/// A folder without usable raw files.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It does not exist.
    #[error("corpus folder `{}` does not exist", folder.display())]
    NoFolder {
        /// The folder as it was given.
        folder: PathBuf,
    },
    /// It has no files, or hidden ones only.
    #[error("the corpus folder `{}` has no files", folder.display())]
    Empty {
        /// The folder as it was given.
        folder: PathBuf,
    },
    /// No file holds a record.
    #[error("no file below `{}` holds a recognizable record in its first {LINES_TRIED} lines", folder.display())]
    NothingRecognised {
        /// The folder as it was given.
        folder: PathBuf,
        /// All files, damaged and skipped ones.
        files: RawFiles,
    },
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl FindError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// Finds and recognizes the files below `folder`, which may also be a single file.
///
/// Links are followed. Hidden files are left out. So is the folder `output`, which a program fills
/// with what it makes from these files. It need not exist.
///
/// # Errors
/// If a file or folder cannot be read, or no file holds a record.
pub fn find(folder: &Path, output: &Path) -> Result<RawFiles, FindError> {
    let about = fs::metadata(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FindError::NoFolder { folder: folder.to_owned() },
        _ => FindError::read(folder)(source),
    })?;
    let mut walk = Walk::default();
    if about.is_dir() {
        let real = fs::canonicalize(folder).map_err(FindError::read(folder))?;
        // If the raw files lie inside the output folder, nothing is left out.
        walk.excluded = fs::canonicalize(output).ok().filter(|output| !real.starts_with(output));
        walk.enter(folder, real, "")?;
    } else if about.is_file() {
        walk.files.push((RelativePath::of_file(folder), folder.to_owned()));
    } else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "neither a folder nor a file");
        return Err(FindError::read(folder)(source));
    }
    let Walk { files: mut paths, skipped, .. } = walk;
    if paths.is_empty() && skipped.is_empty() {
        return Err(FindError::Empty { folder: folder.to_owned() });
    }
    paths.sort();
    let mut files = RawFiles { recognised: Vec::new(), skipped };
    for (name, path) in paths {
        match recognise(name, path)? {
            Content::Records(file) => files.recognised.push(file),
            Content::Other(skipped) => files.skipped.push(skipped),
        }
    }
    if files.recognised.iter().all(|file| file.holds.is_none()) {
        // Ratings have no text.
        let ratings = files.recognised.extract_if(.., |file| file.ratings.is_some());
        files.skipped.extend(ratings.map(|file| Skipped {
            name: file.name,
            path: file.path,
            compression: None,
            reason: SkipReason::Ratings,
        }));
    }
    files.skipped.sort();
    if files.recognised.iter().all(|file| file.holds.is_none()) {
        return Err(FindError::NothingRecognised { folder: folder.to_owned(), files });
    }
    Ok(files)
}
