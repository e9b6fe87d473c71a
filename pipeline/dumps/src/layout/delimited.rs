//! Tables in text: CSV and its relatives.
use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read},
};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde::Serialize;

use super::{Found, Records, write_object};
use crate::{lines::MAX_LINE, open::peek};

/// Bytes of one read from the stream.
const READ: usize = 1 << 17;

/// How a table in text is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delimited {
    /// What stands between values.
    pub delimiter: u8,
    /// Whether a value in double quotes may hold delimiters and line breaks.
    ///
    /// Tables with tabs are often written without quotes, and a quote in a text then stays open to the end of the file.
    /// Without quotes, a value between quotes loses them if all quotes inside are doubled.
    pub quoted: bool,
    /// Whether a backslash before a quote makes it a part of a value, as Spark writes it.
    pub escaped: bool,
    /// Whether a row before all others names the delimiter, such as `sep=;` in tables that Excel opens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preface: bool,
    /// Whether the first row has the names of the columns.
    pub header: bool,
    /// The names of the columns.
    pub columns: Vec<String>,
}

impl Delimited {
    /// The delimiter in words.
    pub(crate) fn delimiter_name(&self) -> String {
        delimiter_name(&char::from(self.delimiter).to_string())
    }
}

/// A delimiter in words.
pub(crate) fn delimiter_name(delimiter: &str) -> String {
    match delimiter {
        "\t" => "tabs".to_owned(),
        "," => "commas".to_owned(),
        ";" => "semicolons".to_owned(),
        other => format!("`{other}`"),
    }
}

/// Values of a row. It bounds memory.
const MOST_COLUMNS: usize = 1 << 16;

/// The rows of a table as JSON objects.
pub(super) struct Rows {
    stream: BufReader<Box<dyn Read + Send>>,
    table: Delimited,
    reader: Reader,
    /// Rows without values that are still to come.
    to_skip: u8,
    /// Number of the last row.
    last: u64,
    /// The values of the current row, one after another, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
}

/// A row that was read.
struct Row {
    /// Line of its first byte.
    line: u64,
    too_long: bool,
    values: usize,
}

impl Rows {
    pub(super) fn new(stream: Box<dyn Read + Send>, table: &Delimited) -> Self {
        Self {
            stream: BufReader::with_capacity(READ, stream),
            reader: ReaderBuilder::new()
                .delimiter(table.delimiter)
                .quoting(table.quoted)
                .escape(table.escaped.then_some(b'\\'))
                .build(),
            last: 0,
            to_skip: u8::from(table.preface) + u8::from(table.header),
            table: table.clone(),
            values: vec![0; READ],
            ends: vec![0; 64],
        }
    }

    /// The next row. `None` after the last.
    fn row(&mut self) -> io::Result<Option<Row>> {
        let mut line = self.reader.line();
        let (mut bytes, mut values) = (0, 0);
        let (mut too_long, mut started) = (false, false);
        loop {
            let bytes_left = peek(&mut self.stream)?;
            let at_end = bytes_left.is_empty();
            // A line break behind the last row ends it, unless a quote is open.
            let input = if at_end { &b"\n"[..] } else { bytes_left };
            if at_end && !started {
                return Ok(None);
            }
            if !started {
                let blank = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
                let (mut skipped, mut breaks) = (0, 0);
                for byte in blank {
                    skipped += 1;
                    breaks += u64::from(*byte == b'\n');
                }
                line += breaks;
                started = skipped < input.len();
            }
            let (result, taken, written, ended) =
                self.reader.read_record(input, &mut self.values[bytes..], &mut self.ends[values..]);
            if !at_end {
                self.stream.consume(taken);
            }
            bytes += written;
            values += ended;
            match result {
                ReadRecordResult::InputEmpty if at_end => {
                    let message = format!("the quote that opens in the row at line {line} is not closed");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if too_long || bytes >= MAX_LINE => {
                    (bytes, values, too_long) = (0, 0, true)
                }
                ReadRecordResult::OutputFull => self.values.resize(2 * self.values.len(), 0),
                ReadRecordResult::OutputEndsFull if too_long || values >= MOST_COLUMNS => {
                    (bytes, values, too_long) = (0, 0, true);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => return Ok(Some(Row { line, too_long, values })),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// The values of the current row.
    fn cells(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends[..count]).map(|(start, end)| &self.values[start..*end])
    }
}

impl Records for Rows {
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>> {
        loop {
            let Row { line, too_long, values } = match self.row() {
                Ok(row) => row?,
                Err(error) => return Some(Err(error)),
            };
            // Rows may end without a line break that is counted.
            let line = line.max(self.last + 1);
            self.last = line;
            if self.to_skip > 0 {
                self.to_skip -= 1;
                continue;
            }
            if too_long {
                return Some(Ok((line, Found::TooLong)));
            }
            // Spreadsheets write rows without values below the last.
            if self.cells(values).all(<[u8]>::is_empty) {
                continue;
            }
            let expected = self.table.columns.len();
            if values != expected {
                let why = format!("{values} values in a row, expected {expected}");
                return Some(Ok((line, Found::Malformed(why))));
            }
            let names = self.table.columns.iter().map(String::as_bytes);
            if self.table.quoted {
                write_object(names.zip(self.cells(values)), into);
            } else {
                let cells: Vec<_> = self.cells(values).map(unquoted).collect();
                write_object(names.zip(cells.iter().map(AsRef::as_ref)), into);
            }
            return Some(Ok((line, Found::Record)));
        }
    }
}

/// A value between quotes without them, if all quotes inside are doubled.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(inside) = inside else { return Cow::Borrowed(value) };
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'"', rest) {
        if rest.get(at + 1) != Some(&b'"') {
            return Cow::Borrowed(value);
        }
        text.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}
