//! Import of `score<TAB>phrase` lines, which is what AutoPhrase writes (Shang et al. 2018).
use std::{path::Path, sync::Arc};

use super::{PoolError, entries::Entries};
use ebert_dumps::{Line, LineReader, open};

/// Adds the entries of a file; gives the number of its lines.
pub(super) fn import(file: &Path, max_unreadable: f64, entries: &mut Entries<'_>) -> Result<u64, PoolError> {
    let read = |source| PoolError::Read { path: file.to_owned(), source };
    let mut lines = LineReader::new(open(file, Arc::default()).map_err(read)?.bytes);
    let (mut count, mut bad) = (0u64, 0u64);
    let mut places = Vec::new();
    while let Some(batch) = lines.next_batch(1 << 20) {
        let too_long = batch.too_long.iter().map(|&number| Line { number, bytes: b"a line of more than 16 MiB" });
        for Line { number, bytes: line } in batch.iter().chain(too_long) {
            count += 1;
            match entry(line) {
                Some((score, phrase)) => entries.add(score, phrase, None),
                None => {
                    bad += 1;
                    entries.reject("malformed");
                    if places.len() < 5 {
                        let start: String = String::from_utf8_lossy(line).chars().take(40).collect();
                        places.push(format!("  line {number}: `{start}`"));
                    }
                }
            }
        }
        if let Some(damage) = batch.damage {
            return Err(read(damage.error));
        }
    }
    if count == 0 {
        return Err(PoolError::Empty { path: file.to_owned() });
    }
    if bad as f64 > max_unreadable * count as f64 {
        let path = file.to_owned();
        return Err(PoolError::Malformed { path, bad, entries: count, places: places.join("\n") });
    }
    Ok(count)
}

/// Score and phrase of a line.
fn entry(line: &[u8]) -> Option<(f64, &str)> {
    let (score, phrase) = std::str::from_utf8(line).ok()?.split_once('\t')?;
    let score: f64 = score.trim().parse().ok()?;
    let phrase = phrase.trim();
    ((score as f32).is_finite() && !phrase.is_empty()).then_some((score, phrase))
}
