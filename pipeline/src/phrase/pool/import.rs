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
                        places.push(format!("  line {number}: `{}`", shown(line)));
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

/// The beginning of a line that is not an entry.
fn shown(line: &[u8]) -> String {
    let start = String::from_utf8_lossy(line);
    start.chars().take(40).map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

/// Score and phrase of a line.
fn entry(line: &[u8]) -> Option<(f64, &str)> {
    let (score, phrase) = std::str::from_utf8(line).ok()?.split_once('\t')?;
    let score: f64 = score.trim().parse().ok()?;
    let phrase = phrase.trim();
    let is_phrase = !phrase.is_empty() && !phrase.contains('\t');
    ((0.0..=1.0).contains(&score) && is_phrase).then_some((score, phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_a_score_and_a_phrase() {
        for (line, wanted) in [
            ("0.9312\tstainless steel", Some((0.9312, "stainless steel"))),
            (" 1\t steel \t", Some((1.0, "steel"))),
            ("0\t\u{e9}p\u{e9}e", Some((0.0, "\u{e9}p\u{e9}e"))),
            ("0.9\tsteel fork\t123", None),
            ("95\tsteel fork", None),
            ("1.0001\tsteel", None),
            ("-0.1\tsteel", None),
            ("inf\tsteel", None),
            ("NaN\tsteel", None),
            ("steel\t0.9", None),
            ("0.9 steel", None),
            ("0.9\t ", None),
        ] {
            assert_eq!(entry(line.as_bytes()), wanted, "{line}");
        }
        assert_eq!(shown(b"PAR1\x15\0\x1b[31m\t\xff"), "PAR1???[31m\t\u{fffd}");
    }
}
