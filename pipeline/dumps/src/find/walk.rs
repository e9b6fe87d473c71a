//! The files below a folder, with links followed.
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{FindError, SkipReason, Skipped};

/// The path of a file below a folder, with `/`.
///
/// A control character, a byte that is not UTF-8 and a backslash are escaped (`\n` as `\x0a`, `\` as
/// `\\`). So different paths stay different, and no file name can forge a line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelativePath(String);

impl RelativePath {
    /// The name of a file that is the whole corpus.
    pub(super) fn of_file(path: &Path) -> Self {
        Self(file_name(path))
    }

    /// The parts of a path.
    pub(super) fn of_path(path: &Path) -> Self {
        let parts = path.components().map(|part| file_name(Path::new(part.as_os_str())));
        Self(parts.collect::<Vec<_>>().join("/"))
    }

    /// The path of a file in the archive with this path.
    pub(super) fn of_member(&self, member: &str) -> Self {
        Self(format!("{self}/{}", Self::of_path(Path::new(member))))
    }

    /// The path below a folder of this name.
    pub(super) fn below(&self, folder: &str) -> Self {
        Self(format!("{folder}/{self}"))
    }

    /// The path with a note behind it.
    pub(super) fn with_note(&self, note: &str) -> Self {
        Self(format!("{self} ({note})"))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last part of a path, escaped.
fn file_name(path: &Path) -> String {
    let mut name = String::new();
    let escape =
        |name: &mut String, bytes: &[u8]| bytes.iter().for_each(|byte| name.push_str(&format!("\\x{byte:02x}")));
    for chunk in path.file_name().unwrap_or_default().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => name.push_str("\\\\"),
                c if c.is_control() => escape(&mut name, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => name.push(c),
            }
        }
        escape(&mut name, chunk.invalid());
    }
    name
}

/// Whether a path with this error is a link that leads to no file.
fn leads_nowhere(path: &Path, error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    // `io::ErrorKind` has no stable kind for a circle of links.
    let is_nothing =
        matches!(error.kind(), NotFound | NotADirectory | InvalidFilename) || error.raw_os_error() == Some(libc::ELOOP);
    is_nothing && path.is_symlink()
}

/// A walk below a folder.
#[derive(Default)]
pub(super) struct Walk {
    /// A folder that is left out.
    pub(super) excluded: Option<PathBuf>,
    /// Canonical paths of the folders that the walk is in. A link to one of them is a loop.
    ancestors: Vec<PathBuf>,
    pub(super) files: Vec<(RelativePath, PathBuf)>,
    pub(super) skipped: Vec<Skipped>,
}

impl Walk {
    /// Walks through a folder whose files have names that begin with `prefix`.
    pub(super) fn enter(&mut self, folder: &Path, real: PathBuf, prefix: &str) -> Result<(), FindError> {
        self.ancestors.push(real);
        for entry in fs::read_dir(folder).map_err(FindError::read(folder))? {
            let path = entry.map_err(FindError::read(folder))?.path();
            let name = file_name(&path);
            if name.starts_with('.') {
                continue;
            }
            let name = RelativePath(format!("{prefix}{name}"));
            let about = match fs::metadata(&path) {
                Err(e) if leads_nowhere(&path, &e) => {
                    self.skipped.push(Skipped {
                        name,
                        path,
                        compression: None,
                        member: None,
                        reason: SkipReason::DeadLink,
                    });
                    continue;
                }
                about => about.map_err(FindError::read(&path))?,
            };
            if about.is_dir() {
                let real = fs::canonicalize(&path).map_err(FindError::read(&path))?;
                let is_excluded = self.excluded.as_ref().is_some_and(|excluded| real.starts_with(excluded));
                if !is_excluded && !self.ancestors.contains(&real) {
                    self.enter(&path, real, &format!("{name}/"))?;
                }
            } else if about.is_file() {
                self.files.push((name, path));
            } else {
                self.skipped.push(Skipped {
                    name,
                    path,
                    compression: None,
                    member: None,
                    reason: SkipReason::NotAFile,
                });
            }
        }
        self.ancestors.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_bytes_and_of_their_escapes_differ() {
        let names = [&b"a\xff.json"[..], b"a\\xff.json", b"a\\\\xff.json", b"a\n.json", "é漢\u{85}".as_bytes()]
            .map(|name| file_name(Path::new(OsStr::from_bytes(name))));
        let wanted = [r"a\xff.json", r"a\\xff.json", r"a\\\\xff.json", r"a\x0a.json", r"é漢\xc2\x85"];
        assert_eq!(names, wanted);
    }

    /// The bytes that a name stands for.
    fn unescaped(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = name.as_bytes();
        while let Some((&first, more)) = rest.split_first() {
            match (first, more) {
                (b'\\', [b'\\', after @ ..]) => {
                    bytes.push(b'\\');
                    rest = after;
                }
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = String::from_utf8(vec![*high, *low]).unwrap();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                    rest = after;
                }
                _ => {
                    bytes.push(first);
                    rest = more;
                }
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_name_tells_its_bytes(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\\x0f\xc3\xa9"[..])], 1..20,
        )) {
            // As an entry of a folder is named: neither `/` nor a dot alone.
            let bytes: Vec<u8> = bytes.into_iter().filter(|b| !b"/\0.".contains(b)).collect();
            let name = file_name(Path::new(OsStr::from_bytes(&bytes)));
            prop_assert!(!name.contains(char::is_control));
            prop_assert_eq!(unescaped(&name), bytes, "{}", name);
        }
    }
}
