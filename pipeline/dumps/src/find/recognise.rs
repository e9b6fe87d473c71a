//! What a file holds, from its first lines.
use std::{fs, path::PathBuf, sync::Arc};

use super::{
    super::{
        lines::LineReader,
        open::open,
        record::{RecordType, parse},
    },
    DumpFile, FindError, LINES_TRIED, RelativePath, SkipReason, Skipped,
};

/// What a file holds.
pub(super) enum Content {
    /// Records, or damage before the first.
    Records(DumpFile),
    /// Anything else.
    Other(Skipped),
}

pub(super) fn recognise(name: RelativePath, path: PathBuf) -> Result<Content, FindError> {
    let bytes = fs::metadata(&path).map_err(FindError::read(&path))?.len();
    let file = open(&path, Arc::default()).map_err(FindError::read(&path))?;
    let mut lines = LineReader::new(file.bytes);
    let mut types: Vec<(RecordType, u32)> = Vec::new();
    let (mut tried, mut damage, mut is_array) = (0, None, false);
    while tried < LINES_TRIED {
        let Some(mut batch) = lines.next_batch(1 << 16) else { break };
        for line in batch.iter().take(LINES_TRIED - tried) {
            // The bracket has a line of its own, or the first record follows it. A piece of a record
            // may begin with a bracket and something else.
            let inside = line.bytes.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
            is_array |= tried == 0 && inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(b"{"));
            tried += 1;
            if let Ok(Some(found)) = parse(line.bytes, |record| record.record_type()) {
                match types.iter_mut().find(|(known, _)| *known == found) {
                    Some((_, n)) => *n += 1,
                    None => types.push((found, 1)),
                }
            }
        }
        tried += batch.too_long.len();
        if let Some(source) = batch.take_disk_error() {
            return Err(FindError::read(&path)(source));
        }
        damage = batch.damage.map(|damage| damage.error.to_string());
    }
    // The most frequent one; the first of equally frequent ones.
    let holds = types.iter().rev().max_by_key(|(_, n)| *n).map(|(found, _)| *found);
    // The last record of an array has no comma behind it, so it is recognised.
    is_array &= types.iter().map(|(_, n)| n).sum::<u32>() <= 1;
    Ok(if is_array {
        Content::Other(Skipped { name, reason: SkipReason::JsonArray })
    } else if holds.is_some() || damage.is_some() {
        Content::Records(DumpFile { name, path, bytes, compressed: file.compressed, holds, damage })
    } else {
        Content::Other(Skipped { name, reason: SkipReason::NothingRecognised })
    })
}
