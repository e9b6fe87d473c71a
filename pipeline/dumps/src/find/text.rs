//! Text of a user's, such as a list of phrases, and the files that people name in its place.
use std::{io, path::Path, sync::Arc};

use super::{
    super::open::open,
    Encoding, Format, SkipReason, other,
    recognise::{START, start_of},
};

/// A file that does not begin with text in UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotText {
    /// What it is.
    pub reason: SkipReason,
    /// What to do about it, with a command that can be typed where there is one.
    pub hint: Option<String>,
}

impl NotText {
    /// What a file is that is not text: empty, another format or encoding, or what a server or Git left in its place.
    /// `None` for text, plain or compressed.
    ///
    /// ```
    /// use ebert_dumps::NotText;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("phrases.txt");
    /// std::fs::write(&path, "cedar box\n")?;
    /// assert_eq!(NotText::of(&path)?, None);
    /// std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\n")?;
    /// assert_eq!(NotText::of(&path)?.unwrap().reason.to_string(), "a Git LFS pointer, not the file itself");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the start of the file cannot be read.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let opened = open(path, Arc::default())?;
        let (bytes, error) = start_of(opened.bytes, START);
        if let Some(error) = error {
            return Err(error);
        }
        let start = other::Start { bytes: &bytes, whole: bytes.len() < START, malformed: None };
        let reason = match Format::of(&bytes) {
            Some(format) => Some(SkipReason::Format(format)),
            None => other::text(&start).err(),
        };
        Ok(reason.map(|reason| Self { hint: reason.hint_for_text(path, opened.compression), reason }))
    }

    /// The command that converts a text with lines in Latin-1, also if it begins in UTF-8. `None` if the file cannot be
    /// read.
    pub fn latin_hint(path: &Path) -> Option<String> {
        let compression = open(path, Arc::default()).ok()?.compression;
        SkipReason::Encoding(Encoding::Latin1).hint_for_text(path, compression)
    }
}
