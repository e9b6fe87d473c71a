//! Finds the raw files below a folder.
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

mod recognise;
mod walk;

pub use walk::RelativePath;

use recognise::{Content, recognise};
use walk::Walk;

use super::record::RecordType;

/// Lines at the start of a file among which a record must be recognised.
const LINES_TRIED: usize = 100;

/// The files below a folder, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct RawFiles {
    /// Files that hold records or are damaged.
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
    /// The most frequent type among its first records; `None` if damage comes before the first.
    pub holds: Option<RecordType>,
    /// How its first 100 lines are damaged.
    pub damage: Option<String>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its path below the folder.
    pub name: RelativePath,
    /// Why it is not read.
    pub reason: SkipReason,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// None of its first 100 lines is a record.
    NothingRecognised,
    /// It is one JSON array, so its lines are not records.
    JsonArray,
    /// A link without a file at its end.
    DeadLink,
    /// A pipe, a socket or a device.
    NotAFile,
}

impl SkipReason {
    const ALL: [Self; 4] = [Self::NothingRecognised, Self::JsonArray, Self::DeadLink, Self::NotAFile];

    /// The reason in words, as manifests store it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingRecognised => "no recognisable record in its first 100 lines",
            Self::JsonArray => "a JSON array",
            Self::DeadLink => "a link to nothing",
            Self::NotAFile => "not a file",
        }
    }

    /// The reason with these words.
    pub fn from_words(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == words)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A folder without usable raw files.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It does not exist.
    #[error("there is no corpus folder `{}`", folder.display())]
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
    #[error("no file below `{}` holds a recognisable record in its first {LINES_TRIED} lines", folder.display())]
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

/// Finds and recognises the files below `folder`, which may also be a single file.
///
/// Links are followed. Hidden files are left out, and so is the folder `output`, in which a program
/// writes what it makes from these files; it need not exist.
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
    files.skipped.sort();
    if files.recognised.iter().all(|file| file.holds.is_none()) {
        return Err(FindError::NothingRecognised { folder: folder.to_owned(), files });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(files: &RawFiles) -> (Vec<&str>, Vec<(&str, SkipReason)>) {
        let skipped = files.skipped.iter().map(|file| (file.name.as_str(), file.reason));
        (files.recognised.iter().map(|file| file.name.as_str()).collect(), skipped.collect())
    }

    #[test]
    fn an_array_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}";
        fs::write(folder.path().join("a.json"), format!("[\n{record},\n{record}\n]\n")).unwrap();
        fs::write(folder.path().join("b.json"), format!("  [{record}, {record}]")).unwrap();
        let error = find(folder.path(), Path::new("nowhere")).unwrap_err();
        let FindError::NothingRecognised { files, .. } = error else { panic!("{error}") };
        let skipped = vec![("a.json", SkipReason::JsonArray), ("b.json", SkipReason::JsonArray)];
        assert_eq!(names(&files), (vec![], skipped.clone()));
        fs::write(folder.path().join("c.json"), record).unwrap();
        fs::write(folder.path().join("d.json"), format!("[\"Tea\"]}}\n{record}\n{record}\n")).unwrap();
        let found = find(folder.path(), Path::new("nowhere")).unwrap();
        assert_eq!(names(&found), (vec!["c.json", "d.json"], skipped));
    }

    #[test]
    fn links_are_followed_once_around_and_those_to_nothing_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("raw");
        fs::create_dir_all(raw.join("a/b")).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
        for name in ["raw/a/b/meta.json", "elsewhere/meta.json"] {
            fs::write(folder.path().join(name), record).unwrap();
        }
        fs::write(raw.join("notes.txt"), "nothing\n").unwrap();
        symlink(folder.path().join("elsewhere"), raw.join("linked")).unwrap();
        symlink("..", raw.join("a/b/up")).unwrap();
        symlink(&raw, raw.join("a/root")).unwrap();
        symlink("itself", raw.join("itself")).unwrap();
        symlink("gone.json", raw.join("lost.json")).unwrap();
        symlink("notes.txt/x", raw.join("lost.txt")).unwrap();
        symlink("x".repeat(300), raw.join("lost.zst")).unwrap();
        let found = find(&raw, &folder.path().join("out")).unwrap();
        let (recognised, skipped) = names(&found);
        assert_eq!(recognised, ["a/b/meta.json", "linked/meta.json"]);
        let lost = ["itself", "lost.json", "lost.txt", "lost.zst"].map(|name| (name, SkipReason::DeadLink));
        assert_eq!(skipped, [&lost[..], &[("notes.txt", SkipReason::NothingRecognised)]].concat());
    }

    #[test]
    fn a_link_into_the_output_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [raw, out] = ["raw", "out"].map(|name| folder.path().join(name));
        fs::create_dir_all(out.join("shards")).unwrap();
        fs::create_dir_all(out.join("raw/old")).unwrap();
        fs::create_dir(&raw).unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
        for file in [raw.join("meta.json"), out.join("shards/meta.json"), out.join("raw/old/meta.json")] {
            fs::write(file, record).unwrap();
        }
        symlink(out.join("shards"), raw.join("made")).unwrap();
        symlink(&out, raw.join("out")).unwrap();
        assert_eq!(names(&find(&raw, &out).unwrap()).0, ["meta.json"]);
        // Raw files that lie in the output folder are read.
        assert_eq!(names(&find(&out.join("raw"), &out).unwrap()).0, ["old/meta.json"]);
    }

    #[test]
    fn what_is_not_a_corpus_is_named_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        fs::write(&file, "hello\n").unwrap();
        let error = |path: &Path| find(path, Path::new("out")).unwrap_err();
        assert!(matches!(error(&folder.path().join("gone")), FindError::NoFolder { .. }));
        assert!(matches!(error(&file.join("below")), FindError::NoFolder { .. }));
        assert!(matches!(error(&file), FindError::NothingRecognised { .. }));
        assert!(matches!(error(Path::new("/dev/null")), FindError::Read { .. }));
        symlink("itself", folder.path().join("itself")).unwrap();
        assert!(matches!(error(&folder.path().join("itself")), FindError::Read { .. }));
    }

    #[test]
    fn reasons_are_told_by_their_words() {
        assert!(SkipReason::ALL.iter().all(|reason| SkipReason::from_words(reason.as_str()) == Some(*reason)));
        assert!(SkipReason::NothingRecognised.as_str().contains(&format!("first {LINES_TRIED} lines")));
        assert_eq!(SkipReason::from_words("another"), None);
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // Root reads everything.
        if fs::read_dir(&closed).is_ok() {
            return;
        }
        let error = find(folder.path(), Path::new("out")).unwrap_err();
        assert!(matches!(&error, FindError::Read { path, .. } if *path == closed), "{error}");
    }
}
