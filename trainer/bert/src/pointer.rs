//! Files of a model that Git LFS has not fetched.
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// A file is a pointer that Git LFS left in its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` is a Git LFS pointer, not the file itself\nhint: git -C {} lfs pull",
    path.display(),
    schemas::quoted(path.parent().unwrap_or(path))
)]
pub struct Pointer {
    /// The file.
    pub path: PathBuf,
}

/// The first bytes of a pointer (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const START: &[u8] = b"version https://git-lfs.github.com/spec/";

impl Pointer {
    /// Fails if a file is a pointer. A file that cannot be read is not one.
    ///
    /// # Errors
    /// If it begins as pointers do.
    pub fn refuse(path: &Path) -> Result<(), Self> {
        let mut start = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(START.len() as u64).read_to_end(&mut start));
        if read.is_ok() && start == START { Err(Self { path: path.to_owned() }) } else { Ok(()) }
    }
}
