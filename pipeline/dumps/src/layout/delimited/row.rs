//! One row of a table in text: where its values end, and whether it took rows below it.
use memchr::{memchr, memchr_iter, memchr2, memchr2_iter, memchr3};

/// Values of a row. It bounds memory.
const MOST_COLUMNS: usize = 1 << 16;

/// What a quote behind a backslash is where that is not clear.
///
/// Spark writes `\"` for a quote in a value, and others double it. Before the end of a value, `\"` may be such a quote
/// or a backslash and the end, and `\""` a quote and the end or a backslash and a doubled quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Both are the end of the value.
    Close,
    /// `\"` is a quote in the value, and `\""` one and the end.
    Escapes,
    /// `\"` is the end of the value, and `\""` a doubled quote.
    Doubles,
    /// No quote encloses a value.
    Literal,
}

/// The values of a row, one after another, where each ends, and whether quotes enclose it.
#[derive(Debug, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    enclosed: Vec<bool>,
}

/// How a row was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its bytes, with the line break behind it.
    pub(super) bytes: usize,
    /// Whether quotes enclose a value.
    pub(super) has_quotes: bool,
    /// Whether something stands between a closing quote and the end of the value.
    pub(super) is_loose: bool,
    /// Whether another reading of its quotes is possible.
    pub(super) is_ambiguous: bool,
    /// Whether it has more values than can be kept.
    pub(super) is_too_wide: bool,
}

/// What the bytes at hand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// They begin with a row.
    Row(Row),
    /// They end before the row does, outside quotes.
    Cut,
    /// They end inside quotes.
    Open {
        /// Whether another reading of the quotes is possible.
        is_ambiguous: bool,
    },
}

impl Values {
    /// Number of the values.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all values.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// The values, of which those that R writes for missing ones are empty: `NA` without quotes.
    pub(super) fn present(&self) -> impl Iterator<Item = &[u8]> {
        let is_missing = |(value, enclosed): (&[u8], &bool)| !enclosed && value.trim_ascii() == b"NA";
        self.iter().zip(&self.enclosed).map(move |cell| if is_missing(cell) { &[][..] } else { cell.0 })
    }

    /// Reads the row at the start of `raw`. With `is_last`, the end of `raw` is that of the table.
    pub(super) fn split(&mut self, raw: &[u8], is_last: bool, delimiter: u8, quotes: Quotes) -> Split {
        self.bytes.clear();
        self.ends.clear();
        self.enclosed.clear();
        let mut row =
            Row { bytes: raw.len(), has_quotes: false, is_loose: false, is_ambiguous: false, is_too_wide: false };
        let end_from = |at: usize| match memchr3(delimiter, b'\n', b'\r', &raw[at..]) {
            Some(found) => Some(at + found),
            None => is_last.then_some(raw.len()),
        };
        let mut at = 0;
        loop {
            let is_enclosed = quotes != Quotes::Literal && raw.get(at) == Some(&b'"');
            if is_enclosed {
                row.has_quotes = true;
                match self.read_enclosed(raw, at + 1, is_last, delimiter, quotes, &mut row.is_ambiguous) {
                    Some(behind) => at = behind,
                    None => return Split::Open { is_ambiguous: row.is_ambiguous },
                }
                let Some(end) = end_from(at) else { return Split::Cut };
                row.is_loose |= raw[at..end].iter().any(|byte| *byte != b' ');
                self.bytes.extend_from_slice(&raw[at..end]);
                at = end;
            } else {
                let Some(end) = end_from(at) else { return Split::Cut };
                self.bytes.extend_from_slice(&raw[at..end]);
                at = end;
            }
            if self.ends.len() < MOST_COLUMNS {
                self.ends.push(self.bytes.len());
                self.enclosed.push(is_enclosed);
            } else {
                row.is_too_wide = true;
                self.bytes.truncate(*self.ends.last().unwrap_or(&0));
            }
            match raw.get(at) {
                Some(byte) if *byte == delimiter => at += 1,
                Some(_) => {
                    row.bytes = at + 1;
                    return Split::Row(row);
                }
                None => return Split::Row(row),
            }
        }
    }

    /// Reads a value up to the quote that closes it, and gives the position behind that. `None` if there is none yet.
    fn read_enclosed(
        &mut self,
        raw: &[u8],
        start: usize,
        is_last: bool,
        delimiter: u8,
        quotes: Quotes,
        is_ambiguous: &mut bool,
    ) -> Option<usize> {
        let mut from = start;
        loop {
            let quote = from + memchr(b'"', &raw[from..])?;
            let run = raw[quote..].iter().take_while(|byte| **byte == b'"').count();
            let next = raw.get(quote + run);
            if next.is_none() && !is_last {
                return None;
            }
            let is_end = next.is_none_or(|next| *next == delimiter || matches!(next, b'\n' | b'\r'));
            let backslashes = raw[from..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
            let is_escaped = backslashes % 2 == 1
                && match (run, is_end) {
                    (1, false) => true,
                    (1, true) => quotes == Quotes::Escapes,
                    (2, true) => quotes != Quotes::Doubles,
                    _ => false,
                };
            *is_ambiguous |= backslashes % 2 == 1 && run <= 2 && is_end;
            let text = if is_escaped { quote - 1 - backslashes / 2 } else { quote };
            self.bytes.extend_from_slice(&raw[from..text]);
            let kept = if is_escaped { 1 } else { run / 2 };
            self.bytes.extend(std::iter::repeat_n(b'"', kept));
            from = quote + run;
            // Behind an escaped quote, a second one closes the value.
            let is_closed = if is_escaped { run == 2 } else { run % 2 == 1 };
            if is_closed {
                return Some(from);
            }
        }
    }
}

/// Distinguishes rows of a table from lines of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    pub(super) delimiter: u8,
    pub(super) columns: usize,
}

impl Width {
    /// Delimiters of rows inside a value that are not chance.
    const CLEAR: usize = 24;

    /// The shortest part of a value that is looked at before its end is known.
    const LOOKED_AT: usize = 1 << 16;

    /// Whether a line has the width of a row. In prose, a space follows a comma.
    fn is_row(self, line: &[u8]) -> bool {
        if self.delimiter == b'\t' {
            return memchr_iter(b'\t', line).count() + 1 == self.columns;
        }
        let (mut found, mut is_inside) = (0, false);
        for at in memchr2_iter(self.delimiter, b'"', line) {
            if line[at] == b'"' {
                is_inside = !is_inside;
            } else if !is_inside {
                found += 1;
                if line.get(at + 1) == Some(&b' ') {
                    return false;
                }
            }
        }
        found + 1 == self.columns
    }

    /// Whether a row over several lines took rows below it: many lines inside it are rows.
    ///
    /// `lines` may be the start of such a row. The answer is then true only if it is so for every longer start.
    pub(super) fn took_rows(self, lines: &[u8]) -> bool {
        let Some(last) = memchr::memrchr2(b'\n', b'\r', lines) else { return false };
        let parts = std::iter::successors(Some(Self::LOOKED_AT), |size| size.checked_mul(2));
        let mut parts = parts.take_while(|size| *size <= lines.len()).map(|size| &lines[..size]);
        self.begins_with_rows(&lines[..last]) || parts.any(|part| self.has_rows_inside(part))
    }

    /// As [`Width::took_rows`], for all lines of a row. A loose one needs fewer lines to be sure.
    pub(super) fn all_took_rows(self, lines: &[u8], is_loose: bool) -> bool {
        self.took_rows(lines)
            || self.begins_with_rows(lines)
            || self.has_rows_inside(lines)
            || is_loose && self.has_rows_below(lines)
    }

    /// Whether the first two lines are rows of a table with tabs. A line of text has no tabs.
    fn begins_with_rows(self, lines: &[u8]) -> bool {
        let mut lines = lines_of(lines);
        let mut next_is_row = || lines.next().is_some_and(|line| self.is_row(line));
        self.delimiter == b'\t' && self.columns > 1 && next_is_row() && next_is_row()
    }

    /// Whether nearly all lines but the first and the last are rows, and not by chance.
    fn has_rows_inside(self, lines: &[u8]) -> bool {
        let Some(last) = memchr::memrchr2(b'\n', b'\r', lines) else { return false };
        let (rows, all) = self.rows_below(&lines[..last]);
        rows >= 2 && rows * self.columns.saturating_sub(1) >= Self::CLEAR && rows * 10 >= all * 9
    }

    /// Whether half of the lines below the first, or more, are rows.
    pub(super) fn has_rows_below(self, lines: &[u8]) -> bool {
        let (rows, all) = self.rows_below(lines);
        self.columns > 1 && rows > 0 && 2 * rows >= all
    }

    /// Rows below the first line, and lines there.
    fn rows_below(self, lines: &[u8]) -> (usize, usize) {
        let below = lines_of(lines).skip(1);
        below.fold((0, 0), |(rows, all), line| (rows + usize::from(self.is_row(line)), all + 1))
    }
}

/// The lines of a text, each without its line break.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let line_break = if memchr(b'\n', text).is_some() { b'\n' } else { b'\r' };
    text.split(move |byte| *byte == line_break).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The first line of a text, without its line break.
pub(super) fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr2(b'\n', b'\r', text).unwrap_or(text.len())]
}
