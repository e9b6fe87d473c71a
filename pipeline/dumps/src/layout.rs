//! How a file holds its records, and a reader for each way.
use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, atomic::AtomicU64},
};

mod blocks;
mod columns;
mod delimited;
mod values;

pub use blocks::BlockNames;
pub use delimited::Delimited;
pub(crate) use delimited::{delimiter_name, values_of_row};

use self::{blocks::Blocks, columns::Columns, delimited::Rows, values::Values};
use crate::lines::{Damage, LineBatch, LineReader, RecordReader};

/// How a file holds its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object or Python dict per line.
    Lines,
    /// JSON objects or Python dicts over any number of lines, one after another or in arrays.
    Values {
        /// The fields that lead to the records; empty if they are the outermost objects.
        path: Vec<String>,
    },
    /// A table in text.
    Delimited(Delimited),
    /// Blocks of `name: value` lines, as SNAP publishes them.
    Blocks(BlockNames),
    /// A Parquet file.
    Parquet,
    /// An Arrow file (Feather).
    ArrowFile,
    /// A stream of Arrow tables.
    ArrowStream,
}

impl Layout {
    /// The layout that the first bytes of a file show, whatever follows.
    pub(crate) fn of_magic(start: &[u8]) -> Option<Self> {
        match start {
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0, ..] => Some(Self::ArrowFile),
            [0xff, 0xff, 0xff, 0xff, _, _, 0, 0, ..] => Some(Self::ArrowStream),
            _ => None,
        }
    }

    /// Whether the file must be read at any place, not from its start.
    pub(crate) const fn seeks(&self) -> bool {
        matches!(self, Self::Parquet | Self::ArrowFile)
    }

    /// A name for people, with its article.
    pub fn name(&self) -> String {
        match self {
            Self::Lines => "one JSON object per line".to_owned(),
            Self::Values { path } if path.is_empty() => "JSON objects".to_owned(),
            Self::Values { path } => format!("JSON objects at `{}`", path.join(".")),
            Self::Delimited(table) => format!("a table with {} between values", table.delimiter_name()),
            Self::Blocks(_) => "blocks of `name: value` lines".to_owned(),
            Self::Parquet => "a Parquet file".to_owned(),
            Self::ArrowFile => "an Arrow file".to_owned(),
            Self::ArrowStream => "a stream of Arrow tables".to_owned(),
        }
    }

    /// Reads the records of a stream.
    ///
    /// # Errors
    /// If the first bytes cannot be read, or the layout [`seeks`](Self::seeks).
    pub(crate) fn read(&self, stream: Box<dyn Read + Send>, wanted: Wanted<'_>) -> io::Result<Box<dyn RecordReader>> {
        Ok(match self {
            Self::Lines => Box::new(LineReader::of_records(stream)),
            Self::Values { path } => Box::new(Batches::new(Values::new(stream, path))),
            Self::Delimited(table) => Box::new(Batches::new(Rows::new(stream, table))),
            Self::Blocks(names) => Box::new(Batches::new(Blocks::new(stream, *names))),
            Self::ArrowStream => Box::new(Batches::new(Columns::of_stream(stream, wanted)?)),
            Self::Parquet | Self::ArrowFile => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "it can only be read as a file of its own"));
            }
        })
    }

    /// Reads the records of a file that must be read at any place. `from_disk` grows by the bytes that are read.
    ///
    /// # Errors
    /// If the file is not what the layout says.
    pub(crate) fn read_file(
        &self,
        file: File,
        from_disk: Arc<AtomicU64>,
        wanted: Wanted<'_>,
    ) -> io::Result<Box<dyn RecordReader>> {
        let columns = match self {
            Self::Parquet => Columns::of_parquet(file, from_disk, wanted)?,
            _ => Columns::of_file(file, from_disk, wanted)?,
        };
        Ok(Box::new(Batches::new(columns)))
    }
}

/// Whether a column of this name is read.
pub(crate) type Wanted<'w> = &'w dyn Fn(&str) -> bool;

/// A record that was read, or why it cannot be.
enum Found {
    /// Its bytes were appended.
    Record,
    TooLong,
    Malformed(String),
}

/// Records one after another. A record is a JSON object or a Python dict.
trait Records: Send {
    /// Reads the next record and appends it to `into`; gives its number. `None` after the last.
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>>;
}

/// Collects records in batches.
struct Batches<R> {
    records: R,
    last: u64,
    done: bool,
}

impl<R: Records> Batches<R> {
    fn new(records: R) -> Self {
        Self { records, last: 0, done: false }
    }
}

impl<R: Records> RecordReader for Batches<R> {
    fn next_batch(&mut self, size: usize) -> Option<LineBatch> {
        if self.done {
            return None;
        }
        let mut batch = LineBatch::default();
        let mut found_any = false;
        let mut bytes = Vec::new();
        while batch.size() < size || !found_any {
            bytes.clear();
            match self.records.next(&mut bytes) {
                Some(Ok((number, found))) => {
                    self.last = number;
                    found_any = true;
                    match found {
                        Found::Record => batch.push(number, |into| into.extend_from_slice(&bytes)),
                        Found::TooLong => batch.too_long.push(number),
                        Found::Malformed(why) => batch.malformed.push((number, why)),
                    }
                }
                Some(Err(error)) => {
                    batch.damage = Some(Damage { after_line: self.last, error });
                    self.done = true;
                    break;
                }
                None => {
                    self.done = true;
                    break;
                }
            }
            // Records that are rejected take no bytes.
            if batch.malformed.len() + batch.too_long.len() > MOST_REJECTED {
                break;
            }
        }
        batch.last_line = self.last;
        batch.last = self.done;
        Some(batch)
    }
}

/// Rejected records of a batch. It bounds memory.
const MOST_REJECTED: usize = 10_000;

/// Writes a JSON string. Bytes that are not UTF-8 stay: the parser of records names them.
fn write_string(text: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        into.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            control => into.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
    }
    into.extend_from_slice(&text[plain..]);
    into.push(b'"');
}

/// Writes the members of a JSON object. Empty values are left out.
fn write_object<'m>(members: impl Iterator<Item = (&'m [u8], &'m [u8])>, into: &mut Vec<u8>) {
    into.push(b'{');
    let start = into.len();
    for (name, value) in members.filter(|(_, value)| !value.is_empty()) {
        if into.len() > start {
            into.push(b',');
        }
        write_string(name, into);
        into.push(b':');
        write_string(value, into);
    }
    into.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records with their numbers, and the damage behind the last.
    type Read = (Vec<(u64, String)>, Option<(u64, String)>);

    /// The records of a text, or what is wrong with each, for batches of any size.
    fn read(layout: &Layout, text: &[u8]) -> Read {
        let mut all = Vec::new();
        for size in [1, 40, 1 << 20] {
            let stream = Box::new(io::Cursor::new(text.to_vec()));
            let mut reader = layout.read(stream, &|_| true).unwrap();
            let (mut records, mut damage) = (Vec::new(), None);
            while let Some(batch) = reader.next_batch(size) {
                records
                    .extend(batch.iter().map(|line| (line.number, String::from_utf8_lossy(line.bytes).into_owned())));
                records.extend(batch.malformed.iter().cloned());
                records.extend(batch.too_long.iter().map(|number| (*number, "too long".to_owned())));
                damage = batch.damage.map(|damage| (damage.after_line, damage.error.to_string()));
            }
            records.sort();
            all.push((records, damage));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    }

    fn numbered(records: &[(u64, &str)]) -> Vec<(u64, String)> {
        records.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn values_are_found_wherever_they_stand() {
        let values = |path: &[&str]| Layout::Values { path: path.iter().map(|part| (*part).to_owned()).collect() };
        for (path, text, wanted) in [
            (
                &[][..],
                "{\"a\": 1}\n{\"a\": {\"b\": 2}} {\"c\": \"}\\\"\"}",
                &[(1, "{\"a\": 1}"), (2, "{\"a\": {\"b\": 2}}"), (3, "{\"c\": \"}\\\"\"}")][..],
            ),
            (&[], "[{\"a\":\n1},\n{\"a\": 2},]", &[(1, "{\"a\":\n1}"), (2, "{\"a\": 2}")]),
            (&[], "[[{\"a\": 1}], [{\"a\": 2}]]", &[(1, "{\"a\": 1}"), (2, "{\"a\": 2}")]),
            (&[], "\u{feff}[{'a': 'it\\'s', \"b\": \"it's\"}]", &[(1, "{'a': 'it\\'s', \"b\": \"it's\"}")]),
            (
                &["found"],
                "{\"n\": 2, \"x\": [{\"a\": 0}], \"found\": [{\"a\": 1}, {\"a\": 2}], \"y\": {\"found\": {\"a\": 3}}}",
                &[(1, "{\"a\": 1}"), (2, "{\"a\": 2}")],
            ),
            (
                &["d", "e"],
                "{\"d\": {\"e\": {\"f\": 1}}}\n{\"d\": [{\"e\": [{\"f\": 2}]}]}",
                &[(1, "{\"f\": 1}"), (2, "{\"f\": 2}")],
            ),
            (
                &[],
                "{\"a\": 1} what\n{\"a\": 2}\n]",
                &[
                    (1, "{\"a\": 1}"),
                    (2, "found `what`, expected an object"),
                    (3, "{\"a\": 2}"),
                    (4, "found `]`, expected an object"),
                ],
            ),
            (
                &[],
                "[1, \"x\", {\"a\": 1}]",
                &[(1, "found `1`, expected an object"), (2, "found `\"x\"`, expected an object"), (3, "{\"a\": 1}")],
            ),
        ] {
            assert_eq!(read(&values(path), text.as_bytes()), (numbered(wanted), None), "{text}");
        }
        // Strings may hold line breaks, with brackets behind them.
        let text = "[{\"a\": \"x\ny {z}\n}\n] w\"},\n{\"a\": 1}]";
        let wanted = numbered(&[(1, "{\"a\": \"x\ny {z}\n}\n] w\"}"), (2, "{\"a\": 1}")]);
        assert_eq!(read(&values(&[]), text.as_bytes()), (wanted, None));
        for (text, records, message) in [
            ("[{\"a\": 1}, {\"a\": ", &[(1, "{\"a\": 1}")][..], "the file ends inside a record"),
            ("[{\"a\": 1}", &[(1, "{\"a\": 1}")], "the file ends before the closing `]`"),
        ] {
            assert_eq!(read(&values(&[]), text.as_bytes()), (numbered(records), Some((1, message.to_owned()))));
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_counted_and_not_kept() {
        let text = format!("[{{\"a\": \"{}\"}},\n{{\"b\": 1}}]", "x".repeat(crate::MAX_LINE));
        let wanted = numbered(&[(1, "too long"), (2, "{\"b\": 1}")]);
        assert_eq!(read(&Layout::Values { path: Vec::new() }, text.as_bytes()), (wanted, None));
    }

    #[test]
    fn rows_become_objects_with_the_number_of_their_line() {
        let table = |delimiter: u8, quoted, columns: &[&str]| {
            let columns = columns.iter().map(|name| (*name).to_owned()).collect();
            Layout::Delimited(Delimited { delimiter, quoted, escaped: false, preface: false, header: true, columns })
        };
        let text = "\u{feff}id,name\r\n1,\"Tea, \"\"green\"\"\nhot\"\n\n2,\n3,a,b\n4,\t\\\n";
        let wanted = numbered(&[
            (2, r#"{"id":"1","name":"Tea, \"green\"\nhot"}"#),
            (5, r#"{"id":"2"}"#),
            (6, "3 values in a row, expected 2"),
            (7, r#"{"id":"4","name":"\t\\"}"#),
        ]);
        assert_eq!(read(&table(b',', true, &["id", "name"]), text.as_bytes()), (wanted, None));
        let rows = numbered(&[(2, r#"{"id":"1","name":"Tea"}"#), (3, r#"{"id":"2","name":"Salt"}"#)]);
        assert_eq!(read(&table(b',', true, &["id", "name"]), b"id,name\r1,Tea\r2,Salt\r"), (rows, None));
        // Formulas keep spreadsheets from reading ids as numbers.
        let rows = numbered(&[(2, r#"{"id":"007","name":"=\"a\"&\"b\""}"#)]);
        let text = b"id,name\n\"=\"\"007\"\"\",\"=\"\"a\"\"&\"\"b\"\"\"\n";
        assert_eq!(read(&table(b',', true, &["id", "name"]), text), (rows, None));
        let Layout::Delimited(spark) = table(b',', true, &["id", "name"]) else { panic!() };
        let wanted = numbered(&[(2, r#"{"id":"1","name":"Size 5\", \"wide\""}"#)]);
        let text = b"id,name\n1,\"Size 5\\\", \\\"wide\\\"\"\n";
        assert_eq!(read(&Layout::Delimited(Delimited { escaped: true, ..spark }), text), (wanted, None));
        // Without quotes, as in the tables of reviews that Amazon published.
        let text = "id\ttext\n1\t\"Great\" value\n2\t\"All \"\"of\"\" it\"\n3\t5\" wide\n";
        let wanted = numbered(&[
            (2, r#"{"id":"1","text":"\"Great\" value"}"#),
            (3, r#"{"id":"2","text":"All \"of\" it"}"#),
            (4, r#"{"id":"3","text":"5\" wide"}"#),
        ]);
        assert_eq!(read(&table(b'\t', false, &["id", "text"]), text.as_bytes()), (wanted, None));
    }

    #[test]
    fn blocks_become_records_of_2014() {
        let text = "product/productId: B1\nproduct/title: Syrup\nreview/userId: A1\nreview/score: 5.0\n\
            review/time: 1182729600\nreview/summary: Good: yes\nreview/text: Thick\nand dark\n\n\
            product/productId: B2\nreview/text: Thin\n";
        let wanted = numbered(&[
            (
                1,
                r#"{"asin":"B1","reviewerID":"A1","overall":"5.0","unixReviewTime":"1182729600","summary":"Good: yes","reviewText":"Thick\nand dark"}"#,
            ),
            (10, r#"{"asin":"B2","reviewText":"Thin"}"#),
        ]);
        assert_eq!(read(&Layout::Blocks(BlockNames::Reviews), text.as_bytes()), (wanted, None));
        // Without blank lines, and with the id and the score of the reviewed twice.
        let text = "product/productId: B1\nreview/score: 5.0\nreview/text: Thick\nand dark\nreview/score: 1.0\n\
            product/productId: B2\nreview/text: Thin\nproduct/productId: B3\nreview/text: Pale\n";
        let wanted = numbered(&[
            (1, r#"{"asin":"B1","overall":"5.0","reviewText":"Thick\nand dark"}"#),
            (6, r#"{"asin":"B2","reviewText":"Thin"}"#),
            (8, r#"{"asin":"B3","reviewText":"Pale"}"#),
        ]);
        assert_eq!(read(&Layout::Blocks(BlockNames::Reviews), text.as_bytes()), (wanted, None));
        let text = "# Full information\nTotal items: 2\n\nId:   1\nASIN: 08\n  title: P: Q\n  group: Book\n\
            \x20 similar: 2  B1  B2\n  categories: 1\n   |Books[1]|Art[2]\n  reviews: total: 1\n    2000-7-28  cutomer: A2\n";
        let wanted = numbered(&[(4, r#"{"asin":"08","title":"P: Q","category":"Book","also_view":["B1","B2"]}"#)]);
        assert_eq!(read(&Layout::Blocks(BlockNames::Products), text.as_bytes()), (wanted, None));
    }
}
