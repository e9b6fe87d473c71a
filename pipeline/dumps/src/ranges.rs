//! Ranges of a file whose records are lines, which different processes may read.
//!
//! A range has the lines that begin behind its first byte, up to the one that begins right behind its last byte. The
//! first range has the first line, too. So a reader skips what precedes the first newline of its range, and continues
//! behind its end up to the next newline. Ranges that follow each other give each line of the file once.
//!
//! A range of a zstd file consists of the frames that begin in it. The rule is that of plain files, for the bytes that
//! these frames hold.
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use crate::{
    lines::{LineReader, MAX_LINE, RecordReader},
    open::{
        Compression, READ, counted, open,
        zstd::{FrameStarts, Frames},
    },
};

/// Whether ranges of the file can be read: it is plain, or consists of several zstd frames, the first of which has at
/// most so many bytes.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn are_possible(path: &Path, most: u64) -> io::Result<bool> {
    let file = File::open(path)?;
    match Compression::of_file(&file)? {
        None => Ok(true),
        Some(Compression::Zstd) => FrameStarts::of(&file)?.has_several(most),
        Some(Compression::Gzip | Compression::Bzip2 | Compression::Xz) => Ok(false),
    }
}

/// Reads the records of a range. Their lines are counted from its first line. `from_disk` grows by the bytes that are
/// read.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn read(path: &Path, bytes: &Range<u64>, from_disk: Arc<AtomicU64>) -> io::Result<Box<dyn RecordReader>> {
    let file = File::open(path)?;
    let (own, behind) = match Compression::of_file(&file)? {
        None => (plain(path, bytes.clone(), &from_disk)?, plain(path, bytes.end..u64::MAX, &from_disk)?),
        _ => {
            let mut starts = FrameStarts::of(&file)?;
            let Some(first) = starts.find(bytes.start, bytes.end)? else {
                return Ok(Box::new(LineReader::new(Box::new(io::empty()))));
            };
            let end = starts.find(bytes.end, u64::MAX)?.unwrap_or(file.metadata()?.len());
            (frames(path, first..end, &from_disk)?, frames(path, end..u64::MAX, &from_disk)?)
        }
    };
    if bytes.start == 0 {
        let lines = RangeLines { own, behind, at: At::Own };
        return Ok(Box::new(LineReader::of_records(Box::new(lines))));
    }
    let lines = RangeLines { own, behind, at: At::Before };
    let whole = open(path, Arc::default())?.bytes;
    Ok(Box::new(LineReader::of_later_records(Box::new(lines), whole)?))
}

/// The bytes of the file that [`read`] reads behind its start, at most: its frames, the rest of its last line, and what
/// is read ahead. A line has at most [`MAX_LINE`] bytes, on disk hardly more, and of a longer one no byte is used.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn reach(path: &Path, bytes: &Range<u64>) -> io::Result<u64> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let end = match Compression::of_file(&file)? {
        None => bytes.end,
        _ => FrameStarts::of(&file)?.find(bytes.end, u64::MAX)?.unwrap_or(size),
    };
    Ok(size.min(end.saturating_add(MAX_LINE as u64 + (1 << 20))))
}

/// The bytes of a plain file.
fn plain(path: &Path, bytes: Range<u64>, from_disk: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(bytes.start))?;
    Ok(Box::new(counted(Box::new(file.take(bytes.end - bytes.start)), from_disk.clone())))
}

/// What the zstd frames hold that make up these bytes.
fn frames(path: &Path, bytes: Range<u64>, from_disk: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let compressed = BufReader::with_capacity(READ, plain(path, bytes, from_disk)?);
    Ok(Box::new(Frames::new(compressed)?))
}

/// Where a reader of a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first newline of the range.
    Before,
    /// In the range.
    Own,
    /// In the line that continues behind the range.
    Behind,
    End,
}

/// The lines of a range.
struct RangeLines {
    /// The bytes of the range.
    own: Box<dyn Read + Send>,
    /// Those that follow it.
    behind: Box<dyn Read + Send>,
    at: At,
}

impl Read for RangeLines {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let stream = match self.at {
                At::Before | At::Own => &mut self.own,
                At::Behind => &mut self.behind,
                At::End => return Ok(0),
            };
            let length = stream.read(into)?;
            let newline = || memchr::memchr(b'\n', &into[..length]);
            match self.at {
                // A line that begins before the range and does not end in it.
                At::Before if length == 0 => self.at = At::End,
                At::Before => {
                    if let Some(newline) = newline() {
                        self.at = At::Own;
                        into.copy_within(newline + 1..length, 0);
                        if newline + 1 < length {
                            return Ok(length - newline - 1);
                        }
                    }
                }
                At::Own if length == 0 => self.at = At::Behind,
                At::Own => return Ok(length),
                At::Behind | At::End => {
                    let newline = newline();
                    if length == 0 || newline.is_some() {
                        self.at = At::End;
                    }
                    return Ok(newline.map_or(length, |newline| newline + 1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// The records of a file with their lines, then the lines that are too long, the number of lines, and the damage.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        records: Vec<(u64, Vec<u8>)>,
        too_long: Vec<u64>,
        lines: u64,
        damage: Option<(u64, String)>,
    }

    impl Seen {
        /// Adds what follows, unless there is damage before it.
        fn add(&mut self, mut reader: Box<dyn RecordReader>, size: usize) {
            if self.damage.is_some() {
                return;
            }
            let before = self.lines;
            while let Some(batch) = reader.next_batch(size) {
                self.records.extend(batch.iter().map(|line| (before + line.number, line.bytes.to_vec())));
                self.too_long.extend(batch.too_long.iter().map(|line| before + line));
                self.lines = before + batch.last_line;
                self.damage = batch.damage.map(|damage| (before + damage.after_line, damage.error.to_string()));
            }
        }
    }

    fn whole(path: &Path) -> Seen {
        let mut seen = Seen::default();
        seen.add(Box::new(LineReader::of_records(open(path, Arc::default()).unwrap().bytes)), 1 << 20);
        seen
    }

    fn in_ranges(path: &Path, cuts: &[u64], size: usize) -> Seen {
        let mut seen = Seen::default();
        for range in cuts.windows(2) {
            seen.add(read(path, &(range[0]..range[1]), Arc::default()).unwrap(), size);
        }
        seen
    }

    /// The start of the file, some offsets in it, and its end.
    fn cuts_of(bytes: usize, at: &[prop::sample::Index]) -> Vec<u64> {
        let mut cuts: Vec<u64> = at.iter().map(|at| at.index(bytes.max(1)) as u64).chain([0, bytes as u64]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    fn zstd_of(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut compressed = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let mut encoder = zstd::Encoder::new(&mut compressed, 1).unwrap();
            encoder.include_checksum(number % 2 == 0).unwrap();
            if number % 3 == 0 {
                encoder.set_pledged_src_size(Some(piece.len() as u64)).unwrap();
            }
            io::copy(&mut piece.as_slice(), &mut encoder).unwrap();
            encoder.finish().unwrap();
            if number % 4 == 1 {
                // A skippable frame.
                compressed.extend(b"\x5a\x2a\x4d\x18\x05\x00\x00\x00hello");
            }
        }
        compressed
    }

    /// Lines with everything that may stand at a cut, or nothing.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just("\n".to_owned()), 2 => Just("\r\n".to_owned()), 1 => Just("\u{feff}".to_owned()),
            1 => Just("[".to_owned()), 1 => Just("]".to_owned()), 3 => "[{]\"a\": \"[é日x]{0,9}\"[}],?", 2 => "[ a-c日]{0,20}",
        ];
        (prop::collection::vec(piece, 0..40), any::<bool>()).prop_map(|(pieces, is_latin)| {
            let text = pieces.concat().into_bytes();
            // Not UTF-8.
            if is_latin { text.into_iter().map(|byte| if byte == b'c' { 0xe9 } else { byte }).collect() } else { text }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn ranges_of_a_plain_file_give_its_lines(
            text in texts(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..6), size in 1usize..100,
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &text).unwrap();
            prop_assert_eq!(in_ranges(file.path(), &cuts_of(text.len(), &at), size), whole(file.path()));
        }

        #[test]
        fn ranges_of_zstd_frames_give_the_lines_of_the_file(
            texts in prop::collection::vec(texts(), 1..6), size in 1usize..100,
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            damage in prop::option::of((any::<prop::sample::Index>(), 1u8..=255)), cut in any::<prop::sample::Index>(),
        ) {
            let mut compressed = zstd_of(&texts);
            if let Some((at, with)) = damage {
                // The first four bytes show that it is zstd.
                let at = 4 + at.index(compressed.len() - 4);
                compressed[at] ^= with;
                compressed.truncate(4 + cut.index(compressed.len() - 4).max(at));
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &compressed).unwrap();
            prop_assert_eq!(in_ranges(file.path(), &cuts_of(compressed.len(), &at), size), whole(file.path()));
        }
    }

    #[test]
    fn a_line_may_be_longer_than_ranges() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let long = |bytes: usize| [vec![b'x'; bytes], b"\n".to_vec()].concat();
        let text = [b"{1}\n".to_vec(), long(MAX_LINE), long(MAX_LINE + 1), b"{4}".to_vec()].concat();
        fs::write(&path, &text).unwrap();
        let wanted = whole(&path);
        assert_eq!((wanted.records.len(), &wanted.too_long[..], wanted.lines), (3, &[3][..], 4));
        let end = text.len() as u64;
        for step in [5 << 20, 16 << 20, 17 << 20] {
            let cuts: Vec<u64> = (0..end).step_by(step).chain([end]).collect();
            assert!(in_ranges(&path, &cuts, 1 << 20) == wanted, "{step}");
        }
    }

    #[test]
    fn frames_of_any_size_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json.zst");
        let line = |n: usize| format!("{{\"asin\": \"B{n}\", \"title\": \"Tea {}\"}}\n", n * 7919 % 10_007);
        let text: Vec<u8> = (0..30_000).map(line).collect::<String>().into_bytes();
        let mut pieces: Vec<Vec<u8>> = text.chunks(20_001).map(<[u8]>::to_vec).collect();
        // One has several blocks.
        let large = pieces.drain(10..40).collect::<Vec<_>>().concat();
        pieces.insert(10, large);
        let compressed = zstd_of(&pieces);
        fs::write(&path, &compressed).unwrap();
        let (wanted, end) = (whole(&path), compressed.len() as u64);
        assert_eq!(wanted.records.len(), 30_000);
        let mut most = 0;
        for step in [1_000, 30_000, 1 << 17] {
            let cuts: Vec<u64> = (0..end).step_by(step).chain([end]).collect();
            let with_lines = |range: &&[u64]| {
                let mut seen = Seen::default();
                seen.add(read(&path, &(range[0]..range[1]), Arc::default()).unwrap(), 1 << 20);
                seen.lines > 0
            };
            most = most.max(cuts.windows(2).filter(with_lines).count());
            assert!(in_ranges(&path, &cuts, 1 << 16) == wanted, "{step}");
        }
        assert!(most > 20, "{most}");
        assert!(are_possible(&path, 50_000).unwrap() && !are_possible(&path, 1_000).unwrap());
        fs::write(&path, zstd_of(std::slice::from_ref(&text))).unwrap();
        assert!(!are_possible(&path, 1 << 30).unwrap(), "a single frame");
        fs::write(&path, &text).unwrap();
        assert!(are_possible(&path, 1 << 30).unwrap());
    }
}
