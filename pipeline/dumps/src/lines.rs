//! The lines of a stream, in batches. A line that is too long is never held in memory.
use std::io::{self, Read};

/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 16 << 20;

/// The bytes with which some programs begin a UTF-8 file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of one read from the stream.
const READ: usize = 1 << 17;

/// A line that is not blank, or a record of a file whose records are not lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'b> {
    /// Its number in the stream, from 1. Of a record over several lines, that of the first one. Records of JSON values,
    /// of Parquet and of Arrow are counted instead.
    pub number: u64,
    /// Its bytes, without white space at either end and without a byte order mark. Of
    /// [records](LineReader::of_records), without the comma after one and the brackets around all.
    pub bytes: &'b [u8],
}

/// What stopped a stream before its end.
#[derive(Debug)]
pub struct Damage {
    /// The last complete line before the damage.
    pub after_line: u64,
    /// What is wrong.
    pub error: io::Error,
}

/// Consecutive lines.
#[derive(Debug, Default)]
pub struct LineBatch {
    bytes: Vec<u8>,
    lines: Vec<Span>,
    /// Numbers of the lines longer than [`MAX_LINE`].
    pub too_long: Vec<u64>,
    /// Numbers of the records that their format does not allow, with the reason.
    pub malformed: Vec<(u64, String)>,
    /// The last line read so far, blank and too long lines included.
    pub last_line: u64,
    /// What stopped the stream before its end.
    pub damage: Option<Damage>,
    /// Whether this is the last batch.
    pub last: bool,
}

/// Where a line lies in the bytes of its batch.
#[derive(Debug)]
struct Span {
    number: u64,
    start: usize,
    end: usize,
}

impl LineBatch {
    /// Adds a record that `write` appends to the bytes.
    pub(crate) fn push(&mut self, number: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.lines.push(Span { number, start, end: self.bytes.len() });
    }

    /// Number of the lines that are neither blank nor too long.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// One of these lines.
    pub(crate) fn get(&self, at: usize) -> Line<'_> {
        let Span { number, start, end } = self.lines[at];
        Line { number, bytes: &self.bytes[start..end] }
    }

    /// Bytes of the records.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Takes out the damage if the system failed to read the file, rather than the content being
    /// wrong.
    pub fn take_disk_error(&mut self) -> Option<io::Error> {
        self.damage.take_if(|damage| damage.error.raw_os_error().is_some()).map(|damage| damage.error)
    }

    /// The lines that are neither blank nor too long.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        (0..self.lines.len()).map(|at| self.get(at))
    }
}

/// Reads the records of a file in batches.
pub trait RecordReader: Send {
    /// The next records: about `size` bytes, or more if a record is longer. `None` after the last.
    fn next_batch(&mut self, size: usize) -> Option<LineBatch>;
}

impl RecordReader for LineReader {
    fn next_batch(&mut self, size: usize) -> Option<LineBatch> {
        Self::next_batch(self, size)
    }
}

/// A file without a record that can be read.
pub(crate) struct OnlyDamage(Option<io::Error>);

impl OnlyDamage {
    pub(crate) fn new(error: io::Error) -> Self {
        Self(Some(error))
    }
}

impl RecordReader for OnlyDamage {
    fn next_batch(&mut self, _: usize) -> Option<LineBatch> {
        let damage = Damage { after_line: 0, error: self.0.take()? };
        Some(LineBatch { damage: Some(damage), last: true, ..LineBatch::default() })
    }
}

/// Cuts a stream into batches of lines.
pub struct LineReader {
    stream: Box<dyn Read + Send>,
    /// The beginning of a line, for the next batch.
    rest: Vec<u8>,
    line: u64,
    /// Whether the stream is inside a line that is too long.
    skipping: bool,
    done: bool,
    /// What stands around the records of the lines.
    around: Around,
}

/// What stands around records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// Lines are not records, and kept as they are.
    Kept,
    /// Nothing is known before the first line.
    Unknown,
    /// Commas may follow records.
    Commas,
    /// The brackets of an array.
    Array,
}

impl Around {
    /// What is left of a line without the comma after its record, and without the brackets of an array
    /// around all records.
    fn strip<'l>(&mut self, line: &'l [u8]) -> &'l [u8] {
        if *self == Self::Kept || line.is_empty() {
            return line;
        }
        if *self == Self::Unknown {
            // A piece of a record may begin with a bracket and something else.
            let inside = line.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
            let is_array = inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(b"{"));
            *self = if is_array { Self::Array } else { Self::Commas };
        }
        let mut line = line;
        // Some programs write the comma before a record.
        if let Some(record) = line.strip_prefix(b",").map(<[u8]>::trim_ascii_start)
            && (record.is_empty() || record.starts_with(b"{"))
        {
            line = record;
        }
        if *self == Self::Array {
            line = line.strip_prefix(b"[").unwrap_or(line).trim_ascii_start();
            line = match line {
                b"]" | b"]," => b"",
                _ => line.strip_suffix(b"}]").map_or(line, |rest| &line[..=rest.len()]),
            };
        }
        match line.strip_suffix(b",").map(<[u8]>::trim_ascii_end) {
            Some(record) if record.starts_with(b"{") && record.ends_with(b"}") => record,
            _ if is_action(line) => b"",
            _ => line,
        }
    }
}

/// Whether a line names what Elasticsearch does with the record on the next line of a bulk file:
/// `{"index": {"_id": "1"}}`. Its members are about the record, and no fields of it.
fn is_action(line: &[u8]) -> bool {
    const LONGEST: usize = 1 << 10;
    const MEMBERS: [&str; 3] = ["routing", "pipeline", "require_alias"];
    let inside = line.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
    let may_be = line.len() <= LONGEST && (inside.starts_with(b"\"index\"") || inside.starts_with(b"\"create\""));
    let Some(serde_json::Value::Object(action)) = may_be.then(|| serde_json::from_slice(line).ok()).flatten() else {
        return false;
    };
    let is_about = |name: &String| name.starts_with('_') || MEMBERS.contains(&name.as_str());
    let has_only_these = |value: &serde_json::Value| value.as_object().is_some_and(|value| value.keys().all(is_about));
    action.len() == 1 && action.values().all(has_only_these)
}

impl LineReader {
    /// Reads the lines of a stream.
    pub fn new(stream: Box<dyn Read + Send>) -> Self {
        Self { stream, rest: Vec::new(), line: 0, skipping: false, done: false, around: Around::Kept }
    }

    /// Reads the lines of a stream of records, one per line. The commas and brackets of a JSON array
    /// around them are left out.
    pub fn of_records(stream: Box<dyn Read + Send>) -> Self {
        Self { around: Around::Unknown, ..Self::new(stream) }
    }

    /// As [`LineReader::of_records`], for a stream that continues a file. What stands around its records shows at the
    /// start of the file, which is read up to its first record.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(crate) fn of_later_records(stream: Box<dyn Read + Send>, file: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut start = Self::of_records(file);
        while start.around == Around::Unknown {
            let Some(mut batch) = start.next_batch(1) else { break };
            if let Some(error) = batch.take_disk_error() {
                return Err(error);
            }
        }
        Ok(Self { around: start.around, ..Self::new(stream) })
    }

    /// The next lines: about `size` bytes, or more if a line is longer. `None` after the last.
    pub fn next_batch(&mut self, size: usize) -> Option<LineBatch> {
        if self.done {
            return None;
        }
        let mut batch = LineBatch { bytes: std::mem::take(&mut self.rest), ..Default::default() };
        batch.bytes.reserve(size + READ);
        // All bytes before `line_start` are in lines. No line ends between it and `scanned`.
        let (mut line_start, mut scanned) = (0, 0);
        loop {
            let filled = batch.bytes.len();
            batch.bytes.resize(filled + READ, 0);
            let read = self.stream.read(&mut batch.bytes[filled..]);
            batch.bytes.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    // The incomplete line before the damage is dropped.
                    batch.damage = Some(Damage { after_line: self.line, error: e });
                    self.done = true;
                }
                Ok(0) => {
                    if line_start < batch.bytes.len() || self.skipping {
                        let end = batch.bytes.len();
                        self.end_line(&mut batch, line_start, end);
                    }
                    self.done = true;
                }
                Ok(_) => {}
            }
            for newline in memchr::memchr_iter(b'\n', &batch.bytes[scanned..]).map(|i| i + scanned).collect::<Vec<_>>()
            {
                self.end_line(&mut batch, line_start, newline);
                line_start = newline + 1;
            }
            if batch.lines.is_empty() {
                // Blank lines alone take no memory, however many there are.
                batch.bytes.drain(..line_start);
                line_start = 0;
            }
            scanned = batch.bytes.len();
            if scanned - line_start > MAX_LINE {
                self.skipping = true;
            }
            if self.skipping {
                batch.bytes.truncate(line_start);
                scanned = line_start;
            }
            if self.done || batch.bytes.len() >= size && !batch.lines.is_empty() {
                break;
            }
        }
        if !self.done {
            self.rest = batch.bytes.split_off(line_start);
        }
        batch.last_line = self.line;
        batch.last = self.done;
        Some(batch)
    }

    fn end_line(&mut self, batch: &mut LineBatch, start: usize, end: usize) {
        self.line += 1;
        if std::mem::take(&mut self.skipping) || end - start > MAX_LINE {
            batch.too_long.push(self.line);
            return;
        }
        let line = &batch.bytes[start..end];
        // Concatenated files have a byte order mark at the start of any line.
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let trimmed = self.around.strip(line.trim_ascii());
        if !trimmed.is_empty() {
            let from = trimmed.as_ptr() as usize - batch.bytes.as_ptr() as usize;
            batch.lines.push(Span { number: self.line, start: from, end: from + trimmed.len() });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(bytes: &[u8], size: usize) -> (Vec<(u64, Vec<u8>)>, Vec<u64>) {
        lines_from(LineReader::new(Box::new(io::Cursor::new(bytes.to_vec()))), size)
    }

    fn lines_from(mut reader: LineReader, size: usize) -> (Vec<(u64, Vec<u8>)>, Vec<u64>) {
        let (mut lines, mut too_long) = (Vec::new(), Vec::new());
        while let Some(batch) = reader.next_batch(size) {
            lines.extend(batch.iter().map(|line| (line.number, line.bytes.to_vec())));
            too_long.extend(&batch.too_long);
            assert!(batch.damage.is_none());
        }
        (lines, too_long)
    }

    #[test]
    fn commas_and_brackets_around_records_are_left_out() {
        for (text, wanted) in [
            ("{1},\n{2} ,\r\n{3}", vec![(1, "{1}"), (2, "{2}"), (3, "{3}")]),
            ("[\n{1},\n{2}\n]\n", vec![(2, "{1}"), (3, "{2}")]),
            ("\n [{1},\n{2}]\n", vec![(2, "{1}"), (3, "{2}")]),
            ("[{1}]\n[{2}]", vec![(1, "{1}"), (2, "{2}")]),
            ("[{1}\n,{2}\n, {3}]", vec![(1, "{1}"), (2, "{2}"), (3, "{3}")]),
            ("[\n{1}\n,\n{2}\n]", vec![(2, "{1}"), (4, "{2}")]),
            ("{1}\n,{2}", vec![(1, "{1}"), (2, "{2}")]),
            // Brackets belong to records where no array begins.
            ("{1}\n[\n]\n[{4}]", vec![(1, "{1}"), (2, "["), (3, "]"), (4, "[{4}]")]),
            ("[\"1\"]}\n{2}", vec![(1, "[\"1\"]}"), (2, "{2}")]),
            (
                "{\"index\": {\"_id\": \"1\"}}\n{\"a\": 1}\n{ \"create\" : { \"_index\" : \"p\", \"_id\" : \"2\" } }\n{\"a\": 2}\n",
                vec![(2, "{\"a\": 1}"), (4, "{\"a\": 2}")],
            ),
            (
                "{\"index\": {\"title\": \"Tea\"}}\n{\"index\": 1}\n{\"index\": {}, \"a\": 1}\n",
                vec![(1, "{\"index\": {\"title\": \"Tea\"}}"), (2, "{\"index\": 1}"), (3, "{\"index\": {}, \"a\": 1}")],
            ),
            // Only records lose a comma.
            ("{1,\n2,\n}}\n,3", vec![(1, "{1,"), (2, "2,"), (3, "}}"), (4, ",3")]),
        ] {
            for size in [1, 100] {
                let reader = LineReader::of_records(Box::new(io::Cursor::new(text)));
                let (lines, _) = lines_from(reader, size);
                let wanted: Vec<_> = wanted.iter().map(|(n, line)| (*n, line.as_bytes().to_vec())).collect();
                assert_eq!(lines, wanted, "{text}");
            }
        }
        assert_eq!(lines_of(b"{1},\n]", 1).0, [(1, b"{1},".to_vec()), (2, b"]".to_vec())], "other text is kept");
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_kept() {
        let mut bytes = b"{1}\n".to_vec();
        bytes.extend(vec![b'x'; 3 * MAX_LINE + 5]);
        bytes.extend(b"\n{3}\n");
        bytes.extend(vec![b'y'; MAX_LINE]);
        bytes.extend(b"\n");
        bytes.extend(vec![b'z'; MAX_LINE + 1]);
        for size in [100, 1 << 20] {
            let (lines, too_long) = lines_of(&bytes, size);
            assert_eq!(lines.iter().map(|l| (l.0, l.1.len())).collect::<Vec<_>>(), [(1, 3), (3, 3), (4, MAX_LINE)]);
            assert_eq!(too_long, [2, 5]);
        }
    }

    #[test]
    fn a_byte_order_mark_is_left_out_wherever_a_file_began() {
        let lines = lines_of(b"\xef\xbb\xbf{1}\n\xef\xbb\xbf\n \n\xef\xbb\xbf {4}\n{5\xef\xbb\xbf}", 3).0;
        assert_eq!(lines, [(1, b"{1}".to_vec()), (4, b"{4}".to_vec()), (5, b"{5\xef\xbb\xbf}".to_vec())]);
    }

    #[test]
    fn blank_lines_take_no_memory() {
        let blank = io::repeat(b'\n').take(64 << 20).chain(io::Cursor::new(b"{last}\n".to_vec()));
        let mut reader = LineReader::new(Box::new(blank));
        let batch = reader.next_batch(1 << 20).unwrap();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [Line { number: (64 << 20) + 1, bytes: b"{last}" }]);
        assert!(batch.bytes.capacity() < 2 << 20, "{}", batch.bytes.capacity());
    }

    #[test]
    fn a_line_cut_by_damage_is_dropped() {
        struct Broken(io::Cursor<Vec<u8>>);
        impl Read for Broken {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                match self.0.read(into)? {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    n => Ok(n),
                }
            }
        }
        let mut reader = LineReader::new(Box::new(Broken(io::Cursor::new(b"one\ntwo\nthr".to_vec()))));
        let mut lines = Vec::new();
        let mut damage = None;
        while let Some(mut batch) = reader.next_batch(4) {
            lines.extend(batch.iter().map(|line| line.bytes.to_vec()));
            assert!(batch.take_disk_error().is_none());
            damage = damage.or(batch.damage);
        }
        assert_eq!(lines, [b"one", b"two"]);
        assert_eq!(damage.unwrap().after_line, 2);
    }

    #[test]
    fn errors_of_the_disk_are_not_damage_of_the_content() {
        for (error, is_disk) in [(io::Error::from_raw_os_error(libc::EIO), true), (io::Error::other("corrupt"), false)]
        {
            let mut batch = LineBatch { damage: Some(Damage { after_line: 1, error }), ..LineBatch::default() };
            assert_eq!((batch.take_disk_error().is_some(), batch.damage.is_none()), (is_disk, is_disk));
        }
    }

    proptest! {
        #[test]
        fn batches_are_the_lines(text in "[ab\n\r ]{0,80}", size in 1usize..40) {
            let wanted: Vec<(u64, Vec<u8>)> = text
                .split('\n')
                .enumerate()
                .map(|(i, l)| (i as u64 + 1, l.as_bytes().trim_ascii().to_vec()))
                .filter(|(_, l)| !l.is_empty())
                .collect();
            prop_assert_eq!(lines_of(text.as_bytes(), size).0, wanted);
        }
    }
}
