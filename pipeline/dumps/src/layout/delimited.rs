//! Tables in text: CSV and its relatives.
use std::{
    borrow::Cow,
    io::{self, Read},
};

use serde::Serialize;

use self::row::{Quotes, Split, Values, Width, first_line};
use super::{Found, Records, write_object};
use crate::lines::{BYTE_ORDER_MARK, MAX_LINE};

mod row;

/// Bytes of one read from the stream.
const READ: usize = 1 << 17;

/// How a table in text is read.
///
/// Quotes that other programs read differently are decided row by row: the first reading counts that gives as many
/// values as there are columns. A row whose quote is closed in a row below it, or nowhere, is damaged. It ends with its
/// line, so the rows below it are read. To notice that, at most [`MAX_LINE`] bytes are read ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delimited {
    /// What stands between values.
    pub delimiter: u8,
    /// Whether double quotes always enclose values, which may then hold delimiters and line breaks.
    ///
    /// Otherwise they do so in rows that fit the table. Tables with tabs are often written without quotes, and those in
    /// a text then mean nothing. In such a row, a value between quotes loses them if all quotes inside are doubled.
    pub quoted: bool,
    /// Whether a backslash before a quote first counts as an escape where it may be the end of a value. Spark writes
    /// such escapes.
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
        "\u{1}" => "Ctrl-A".to_owned(),
        other => format!("`{other}`"),
    }
}

/// The values of the row that a text is. `None` if a quote is open at its end, so that the row may continue.
pub(crate) fn values_of_row(text: &str, delimiter: u8) -> Option<Vec<String>> {
    let mut values = Values::default();
    match values.split(text.as_bytes(), true, delimiter, Quotes::Close) {
        Split::Row(_) => Some(values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()),
        Split::Cut | Split::Open { .. } => None,
    }
}

/// The rows of a table as JSON objects.
pub(super) struct Rows {
    stream: Box<dyn Read + Send>,
    /// Bytes of one read from the stream.
    read: usize,
    table: Delimited,
    /// What was read, and where the rows begin that are still to come.
    buffer: Vec<u8>,
    start: usize,
    /// Whether nothing follows.
    at_end: bool,
    /// What ended the stream before its end.
    error: Option<io::Error>,
    /// Rows without values that are still to come.
    to_skip: u8,
    /// Line breaks before `start`.
    line_breaks: u64,
    /// Number of the last row.
    last: u64,
    /// The current row.
    values: Values,
    /// The row with the names of the columns.
    names: Values,
}

/// What stands in place of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// A row with these quotes.
    Row(Quotes),
    /// A line whose quote is not closed in its row.
    Open,
    TooLong,
}

/// What a row is, as far as it was read.
enum Chosen {
    /// A row of this many bytes.
    Row(usize, Quotes),
    /// A line of a row that took others below it.
    Open,
    /// The last row, in which a quote is open. The file may be cut off.
    OpenAtEnd,
    /// Its end must be read first.
    Cut,
    TooLong,
}

impl Rows {
    pub(super) fn new(stream: Box<dyn Read + Send>, table: &Delimited) -> Self {
        Self {
            stream,
            read: READ,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            error: None,
            line_breaks: 0,
            last: 0,
            to_skip: u8::from(table.preface) + u8::from(table.header),
            table: table.clone(),
            values: Values::default(),
            names: Values::default(),
        }
    }

    /// Reads on. The rows that are still to come double at most, so a long one is looked at few times.
    fn fill(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        let most = self.buffer.len().max(self.read);
        self.buffer.reserve(most);
        match (&mut self.stream).take(most as u64).read_to_end(&mut self.buffer) {
            Ok(read) => self.at_end = read < most,
            Err(error) => self.error = Some(error),
        }
    }

    /// Moves to the next row, over empty lines. Returns whether there is one.
    fn find(&mut self) -> io::Result<bool> {
        loop {
            let rest = &self.buffer[self.start..];
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            self.line_breaks += memchr::memchr_iter(b'\n', &rest[..blank]).count() as u64;
            self.start += blank;
            let rest = &rest[blank..];
            // Concatenated files have a byte order mark at the start of any row.
            if rest.starts_with(BYTE_ORDER_MARK) {
                self.start += BYTE_ORDER_MARK.len();
                continue;
            }
            let may_be_cut = BYTE_ORDER_MARK.starts_with(rest);
            if self.at_end || self.error.is_some() || !may_be_cut {
                if !rest.is_empty() {
                    return Ok(true);
                }
                return self.error.take().map_or(Ok(false), Err);
            }
            self.fill();
        }
    }

    /// The next row and the line of its first byte. `None` after the last.
    fn row(&mut self) -> io::Result<Option<(u64, Taken)>> {
        if !self.find()? {
            return Ok(None);
        }
        let line = self.line_breaks + 1;
        loop {
            match self.chosen() {
                Chosen::Row(bytes, quotes) => {
                    let raw = &self.buffer[self.start..self.start + bytes];
                    self.line_breaks += memchr::memchr_iter(b'\n', raw).count() as u64;
                    self.start += bytes;
                    return Ok(Some((line, Taken::Row(quotes))));
                }
                Chosen::Open => {
                    self.start += first_line(&self.buffer[self.start..]).len();
                    return Ok(Some((line, Taken::Open)));
                }
                Chosen::OpenAtEnd => {
                    let message = format!("the quote that opens in the row at line {line} is not closed");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                Chosen::TooLong => {
                    self.skip_line();
                    return Ok(Some((line, Taken::TooLong)));
                }
                Chosen::Cut => match self.error.take() {
                    Some(error) => return Err(error),
                    None => self.fill(),
                },
            }
        }
    }

    /// Reads the row at the start, in the first way that fits the table.
    fn chosen(&mut self) -> Chosen {
        let rest = &self.buffer[self.start..];
        let raw = &rest[..rest.len().min(MAX_LINE)];
        let is_last = self.at_end && raw.len() == rest.len();
        let is_full = raw.len() == MAX_LINE;
        let Delimited { delimiter, quoted, escaped, .. } = self.table;
        let width = Width { delimiter, columns: self.table.columns.len() };
        let readings = match escaped {
            false => [Quotes::Close, Quotes::Escapes, Quotes::Doubles],
            true => [Quotes::Escapes, Quotes::Close, Quotes::Doubles],
        };
        // Rows that do not fit, on one line and on several, and whether the file may end inside one.
        let (mut single, mut several, mut is_cut_off) = (None, None, false);
        for quotes in readings {
            let is_ambiguous = match self.values.split(raw, is_last, delimiter, quotes) {
                Split::Row(row) => {
                    if row.is_too_wide {
                        return Chosen::TooLong;
                    }
                    if !row.has_quotes || self.to_skip > 0 {
                        return Chosen::Row(row.bytes, quotes);
                    }
                    let lines = match &raw[..row.bytes] {
                        [lines @ .., b'\n' | b'\r'] | lines => lines,
                    };
                    let is_single = memchr::memchr2(b'\n', b'\r', lines).is_none();
                    let took_rows = !is_single && width.all_took_rows(lines, row.is_loose);
                    if self.values.len() == width.columns && !row.is_loose && !took_rows {
                        return Chosen::Row(row.bytes, quotes);
                    }
                    match is_single {
                        true => single = single.or(Some(quotes)),
                        false if took_rows => is_cut_off = false,
                        false => several = several.or(Some(quotes)),
                    }
                    row.is_ambiguous
                }
                Split::Cut if is_full => false,
                Split::Cut => return Chosen::Cut,
                Split::Open { is_ambiguous } => {
                    if !is_full && !is_last && !width.took_rows(raw) {
                        return Chosen::Cut;
                    }
                    is_cut_off = is_last && !width.took_rows(raw) && !width.has_rows_below(raw);
                    is_ambiguous
                }
            };
            if !is_ambiguous {
                break;
            }
        }
        let quotes = if quoted { single.or(several) } else { Some(Quotes::Literal) };
        if let Some(quotes) = quotes
            && let Split::Row(row) = self.values.split(raw, is_last, delimiter, quotes)
        {
            return Chosen::Row(row.bytes, quotes);
        }
        let is_line = first_line(raw).len() == raw.len();
        match () {
            () if is_full && is_line => Chosen::TooLong,
            () if !quoted && is_line => Chosen::Cut,
            () if is_cut_off => Chosen::OpenAtEnd,
            () => Chosen::Open,
        }
    }

    /// Whether the row has the names of the columns, as it stands between tables that were joined. Their order may be
    /// another one, and is that of the rows below.
    fn takes_names(&mut self) -> bool {
        if self.values.iter().eq(self.names.iter()) {
            return true;
        }
        let sorted = |values: &Values| {
            let mut all: Vec<Vec<u8>> = values.iter().map(<[u8]>::to_vec).collect();
            all.sort_unstable();
            all
        };
        // Nearly all rows have another length than the names.
        if self.values.size() != self.names.size() || sorted(&self.values) != sorted(&self.names) {
            return false;
        }
        let mut left: Vec<(&[u8], &String)> = self.names.iter().zip(&self.table.columns).collect();
        let mut take = |name: &[u8]| left.iter().position(|(known, _)| *known == name).map(|at| left.remove(at).1);
        let columns: Vec<String> = self.values.iter().filter_map(&mut take).cloned().collect();
        self.table.columns = columns;
        std::mem::swap(&mut self.names, &mut self.values);
        true
    }

    /// Skips the rest of a line, whose length has no limit.
    fn skip_line(&mut self) {
        loop {
            let rest = &self.buffer[self.start..];
            let length = first_line(rest).len();
            self.start += length;
            if self.start < self.buffer.len() || self.at_end || self.error.is_some() {
                return;
            }
            self.fill();
        }
    }
}

impl Records for Rows {
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>> {
        loop {
            let (line, taken) = match self.row() {
                Ok(row) => row?,
                Err(error) => return Some(Err(error)),
            };
            // Rows may end without a line break that is counted.
            let line = line.max(self.last + 1);
            self.last = line;
            if self.to_skip > 0 {
                self.to_skip -= 1;
                if self.table.header && self.to_skip == 0 {
                    std::mem::swap(&mut self.names, &mut self.values);
                }
                continue;
            }
            let quotes = match taken {
                Taken::Row(quotes) => quotes,
                Taken::Open => return Some(Ok((line, Found::Malformed(NOT_CLOSED.to_owned())))),
                Taken::TooLong => return Some(Ok((line, Found::TooLong))),
            };
            // Spreadsheets write rows without values below the last.
            if self.values.present().all(<[u8]>::is_empty) || is_drawn(&self.values) {
                continue;
            }
            let (found, expected) = (self.values.len(), self.table.columns.len());
            if found != expected {
                let why = format!("{found} values in a row, expected {expected}");
                return Some(Ok((line, Found::Malformed(why))));
            }
            if self.table.header && self.takes_names() {
                continue;
            }
            let names = self.table.columns.iter().map(String::as_bytes);
            if quotes == Quotes::Literal {
                let cells: Vec<_> = self.values.present().map(unquoted).collect();
                write_object(names.zip(cells.iter().map(|cell| without_formula(cell))), into);
            } else {
                write_object(names.zip(self.values.present().map(without_formula)), into);
            }
            return Some(Ok((line, Found::Record)));
        }
    }
}

/// Whether a row is a line that Markdown and database clients draw between rows, `|---|:--|` or `----+----`, or the
/// count that they write below all rows: `(2 rows)`.
fn is_drawn(values: &Values) -> bool {
    let is_line = || {
        values.iter().flatten().all(|byte| b"-:+= ".contains(byte)) && values.iter().flatten().any(|byte| *byte == b'-')
    };
    let is_count = |value: &[u8]| {
        let rows = [&b" rows)"[..], b" row)"].iter().find_map(|rows| value.strip_suffix(*rows));
        let count = rows.and_then(|count| count.strip_prefix(b"("));
        count.is_some_and(|count| !count.is_empty() && count.iter().all(u8::is_ascii_digit))
    };
    is_line() || values.len() == 1 && values.iter().all(is_count)
}

/// What is wrong with a row that has taken others.
const NOT_CLOSED: &str = "a quote opens a value and is not closed in this row";

/// The text of a formula that keeps a spreadsheet from reading it as a number: `="0000031852"`.
fn without_formula(value: &[u8]) -> &[u8] {
    let text = value.strip_prefix(b"=\"").and_then(|rest| rest.strip_suffix(b"\""));
    text.filter(|text| memchr::memchr(b'"', text).is_none()).unwrap_or(value)
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

#[cfg(test)]
mod tests;
