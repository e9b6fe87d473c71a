//! The files of an output folder: which they are, and ranges of them.
use std::{collections::BTreeMap, fs, io, ops::Range, path::Path};

use super::{RemoteError, local};

/// The file that completes a folder.
pub(super) const MANIFEST: &str = "manifest.json";

/// The folder of records.
const RECORDS: &str = ".made/";

/// Bytes between two ranges that are fetched, too, rather than asked for apart.
const GAP: u64 = 1 << 20;

/// Whether a file or object belongs to the output folder: locks and temporary files do not, nor do runs of the trainer.
pub(super) fn is_ours(name: &str) -> bool {
    let is_hidden = |(at, part): (usize, &str)| part.is_empty() || part.starts_with('.') && (at, part) != (0, ".made");
    !name.ends_with(".tmp") && !name.starts_with("runs/") && !name.split('/').enumerate().any(is_hidden)
}

pub(super) fn is_manifest(name: &str) -> bool {
    name.rsplit('/').next() == Some(MANIFEST)
}

/// Whether an object is fetched without being asked for: manifests, records and options.
pub(super) fn is_small(name: &str) -> bool {
    is_manifest(name) || name.starts_with(RECORDS) || !name.contains('/') && name.ends_with(".toml")
}

/// Whether tasks read ranges of a file: those that are neither small nor tables.
pub(super) fn is_ranged(name: &str) -> bool {
    !is_small(name) && !name.ends_with(".parquet")
}

/// The files of a mirror, by their names below it.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<String, fs::Metadata>, RemoteError> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            // Another process has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(local(&next))?,
        };
        for entry in entries {
            let path = entry.map_err(local(&next))?.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() {
                folders.push(path);
            } else if let Some(name) =
                path.strip_prefix(folder).ok().and_then(Path::to_str).filter(|name| is_ours(name))
            {
                found.insert(name.to_owned(), about);
            }
        }
    }
    Ok(found)
}

/// A range in pieces of at most `most` bytes.
pub(super) fn pieces(range: Range<u64>, most: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(most as usize).map(move |start| start..(start + most).min(end))
}

/// Ranges in order, where near ones are one.
pub(super) fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}
