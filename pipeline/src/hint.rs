//! What a user should do about a stored file that is missing or is not as it was written.
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ebert_dumps::NotText;
use schemas::{ManifestError, StoreError, manifest::MANIFEST, quoted};

use crate::REMAKE;

/// Errors of `schemas` state facts. This adds the commands of this program.
pub(crate) trait Hint {
    /// The last part of a message, where `command` is what writes the file. It begins with `\nhint:`,
    /// or is empty where there is nothing to add.
    fn hint_of(&self, command: &str) -> String;

    /// The hint where all steps write the file.
    fn hint(&self) -> String {
        self.hint_of(REMAKE)
    }
}

/// What to do if a text has Latin-1 behind its start. `what` names it, such as `the list`.
pub(crate) fn from_latin(path: &Path, what: &str) -> String {
    NotText::latin_hint(path)
        .map_or_else(|| format!("convert {what} to UTF-8"), |command| format!("if {what} is in Latin-1, {command}"))
}

impl Hint for StoreError {
    fn hint_of(&self, command: &str) -> String {
        match self {
            Self::Missing { .. } => format!("\nhint: run `{command}` again, with all options as before"),
            Self::Damaged { .. } => format!(
                "\nhint: delete the file and run `{command}` again, with all options as before; complete files are kept"
            ),
            Self::DamagedPart { .. } => {
                format!(
                    "\nhint: delete the file and run `{command}` again, or the tasks that `ebert plan` lists as not done"
                )
            }
            Self::Foreign { .. } => "\nhint: move it away, or choose another output folder with `--out DIR`".to_owned(),
            Self::Columns { .. } => {
                format!("\nhint: another version wrote it: run `{command}` again, with all options as before")
            }
            Self::Io { .. } | Self::Parquet { .. } => String::new(),
        }
    }
}

impl Hint for ManifestError {
    fn hint_of(&self, command: &str) -> String {
        match self {
            Self::Absent { folder } if is_within_step(folder) => {
                let [named, out] = [parent(folder), parent(&parent(folder))].map(|folder| quoted(&folder));
                format!("\nhint: `{named}` is one folder of an output folder: name `{out}` instead")
            }
            Self::Absent { folder } => {
                let out = out_of(Some(folder));
                format!("\nhint: run `{command} --out {out}` to finish it, with all other options as intended")
            }
            Self::Malformed { path, .. } if is_of_another_program(path) => {
                "\nhint: another program wrote it: move it away, or choose another output folder".to_owned()
            }
            Self::Malformed { .. } | Self::Changed { .. } => {
                format!("\nhint: delete it and run `{command}` again; finished files are kept")
            }
            Self::Format { path, found } if *found < u64::from(schemas::FORMAT) => {
                let out = out_of(path.parent());
                format!("\nhint: run `{command} --out {out}` with all other options as before; it rebuilds the folder")
            }
            Self::Format { .. } => {
                "\nhint: choose another output folder, or use the release that wrote this one".to_owned()
            }
            Self::Store(error) => error.hint_of(command),
        }
    }
}

/// The output folder that a step's folder is in, as it can be typed.
fn out_of(step: Option<&Path>) -> String {
    quoted(&step.map_or_else(|| PathBuf::from("."), parent))
}

/// The folder that a folder is in.
fn parent(folder: &Path) -> PathBuf {
    match folder.parent() {
        Some(parent) if folder.file_name().is_some() && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if folder.file_name().is_some() => parent.to_owned(),
        // Of `.` and `..`.
        _ => folder.join(".."),
    }
}

/// Whether a folder without a manifest was looked for in the folder of a step, such as `OUT/shards/shards`.
fn is_within_step(folder: &Path) -> bool {
    let manifest = parent(folder).join(MANIFEST);
    manifest.is_file() && !is_of_another_program(&manifest)
}

/// Whether a file is JSON without the fields that every manifest of ours has.
fn is_of_another_program(path: &Path) -> bool {
    let value = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    value.is_some_and(|value| ["format", "self_blake3"].iter().all(|key| value.get(key).is_none()))
}

/// Fails unless the path is a regular file. A pipe could not be read twice.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    // A pipe that nobody writes to would block when it is opened.
    let about = fs::metadata(path)?;
    if about.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if about.is_file() {
        File::open(path).map(drop)
    } else {
        Err(io::Error::other("not a regular file, so it cannot be read twice"))
    }
}

/// What to do about a file of the user's that cannot be read. `expected` names what it should be.
pub(crate) fn unreadable(error: &io::Error, expected: &'static str) -> &'static str {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => "the file is damaged: fetch or compress it again",
        _ => expected,
    }
}
