//! The raw files below a folder.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Generation, Kind, LineReader, open, parse};

/// Lines at the start of a file among which a record must be recognised.
const LINES_TRIED: usize = 100;

/// A file below the corpus folder, and what it holds.
#[derive(Clone, Debug)]
pub struct Found {
    /// Path below the folder, with `/`; files are in the order of this.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
    /// Whether it is compressed.
    pub compressed: bool,
    /// What most of its first recognised records are; `None` where there is none.
    pub holds: Option<(Kind, Generation)>,
    /// Why nothing was recognised, or how the beginning is damaged.
    pub damage: Option<String>,
}

impl Found {
    fn in_words(&self) -> String {
        match &self.damage {
            Some(damage) => format!("`{}` (damaged: {damage})", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// The files below a folder, in the order of their names.
#[derive(Clone, Debug)]
pub struct RawFiles {
    /// All files that hold records or are damaged.
    pub recognised: Vec<Found>,
    /// Files without a recognisable record.
    pub skipped: Vec<Found>,
}

/// The corpus folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It is not there.
    #[error("there is no corpus folder `{}`\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no file in it.
    #[error("the corpus folder `{}` has no files\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// No file holds a record.
    #[error(
        "no file below `{}` holds a recognisable record in its first {LINES_TRIED} lines; looked at {looked_at}\n\
         hint: files hold one JSON object (or Python dict) a line, with the fields of the 2014, 2018 or 2023 Amazon dumps",
        folder.display()
    )]
    NothingRecognised {
        /// The folder.
        folder: PathBuf,
        /// The files, or the first few.
        looked_at: String,
    },
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Finds and recognises the files below `folder`; `but_not` is a folder that is left out, since it
/// holds what is made. Hidden files are left out as well.
pub fn find(folder: &Path, but_not: &Path) -> Result<RawFiles, FindError> {
    if !folder.is_dir() && !folder.is_file() {
        return Err(FindError::NoFolder { folder: folder.to_owned() });
    }
    let mut paths = Vec::new();
    let excluded = fs::canonicalize(but_not).ok().filter(|out| fs::canonicalize(folder).is_ok_and(|f| f != *out));
    if folder.is_file() {
        paths.push((name_of(folder), folder.to_owned()));
    } else {
        walk(folder, "", excluded.as_deref(), &mut paths)?;
    }
    paths.sort();
    if paths.is_empty() {
        return Err(FindError::Empty { folder: folder.to_owned() });
    }
    let mut files = RawFiles { recognised: Vec::new(), skipped: Vec::new() };
    for (name, path) in paths {
        let found = look_into(name, path)?;
        if found.holds.is_some() || found.damage.is_some() {
            files.recognised.push(found);
        } else {
            files.skipped.push(found);
        }
    }
    if files.recognised.iter().all(|f| f.holds.is_none()) {
        let all: Vec<&Found> = files.recognised.iter().chain(&files.skipped).collect();
        let more = if all.len() > 5 { format!(" and {} more", all.len() - 5) } else { String::new() };
        let looked_at = all.iter().take(5).map(|f| f.in_words()).collect::<Vec<_>>().join(", ") + &more;
        return Err(FindError::NothingRecognised { folder: folder.to_owned(), looked_at });
    }
    Ok(files)
}

/// A file's name as text; bytes that are no UTF-8 as `\xNN`, so that different names stay different.
fn name_of(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.file_name().unwrap_or_default().as_encoded_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| name.push_str(&format!("\\x{byte:02x}")));
    }
    name
}

fn walk(
    folder: &Path,
    prefix: &str,
    excluded: Option<&Path>,
    into: &mut Vec<(String, PathBuf)>,
) -> Result<(), FindError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| FindError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(error(folder))? {
        let path = entry.map_err(error(folder))?.path();
        let name = name_of(&path);
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        let about = fs::metadata(&path).map_err(error(&path))?;
        if about.is_dir() {
            if excluded.is_none_or(|out| fs::canonicalize(&path).is_ok_and(|p| p != out)) {
                walk(&path, &format!("{name}/"), excluded, into)?;
            }
        } else if about.is_file() {
            into.push((name, path));
        }
    }
    Ok(())
}

fn look_into(name: String, path: PathBuf) -> Result<Found, FindError> {
    let error = |source| FindError::Read { path: path.clone(), source };
    let bytes = fs::metadata(&path).map_err(error)?.len();
    let opened = open(&path, Arc::default()).map_err(error)?;
    let mut lines = LineReader::new(opened.bytes);
    let mut kinds: Vec<((Kind, Generation), u32)> = Vec::new();
    let (mut tried, mut damage) = (0, None);
    while tried < LINES_TRIED {
        let Some(batch) = lines.next_batch(1 << 16) else { break };
        for (_, line) in batch.iter().take(LINES_TRIED - tried) {
            tried += 1;
            if let Ok(Some(kind)) = parse(line, |r| r.recognise()) {
                match kinds.iter_mut().find(|(k, _)| *k == kind) {
                    Some((_, n)) => *n += 1,
                    None => kinds.push((kind, 1)),
                }
            }
        }
        tried += batch.too_long.len();
        if batch.is_disk_error() {
            let (_, source) = batch.damage.unwrap_or((0, io::ErrorKind::Other.into()));
            return Err(error(source));
        }
        damage = batch.damage.map(|(_, e)| e.to_string());
    }
    // The most frequent; of equal ones the first seen.
    let holds = kinds.iter().rev().max_by_key(|(_, n)| *n).map(|(k, _)| *k);
    Ok(Found { name, path, bytes, compressed: opened.compressed, holds, damage })
}
