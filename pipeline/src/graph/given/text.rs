//! Associations in text.
use std::{borrow::Cow, io::Read};

use ebert_dumps::{Line, LineReader};
use schemas::{StoreError, quoted};

use super::{
    EXPECTED, GivenError, GivenFile, NOT_UTF8, Rows,
    layout::{Header, Layout},
};
use crate::graph::products::ProductTable;

/// Bytes of lines that are read at a time. The layout is decided by the first of these.
const BATCH: usize = 1 << 20;

/// Rows that decide the layout.
const ROWS_TRIED: usize = 1000;

/// The most lines of a row. A field between quotes may have line breaks.
const MOST_LINES: usize = 20;

/// The most bytes of a row of several lines.
const LONGEST_ROW: usize = 1 << 20;

/// Characters between fields, the most telling first.
const DELIMITERS: [char; 5] = ['\t', ';', '|', ',', ' '];

/// Reads the rows of a text.
pub(super) fn read(file: GivenFile<'_>, bytes: Box<dyn Read + Send>, rows: &mut Rows<'_>) -> Result<(), GivenError> {
    let mut lines = LineReader::new(bytes);
    let mut format: Option<TextFormat> = None;
    let mut open = OpenRow::default();
    while let Some(batch) = lines.next_batch(BATCH) {
        let mut records = batch.iter();
        let format = match format {
            Some(format) => format,
            None => {
                let first: Vec<&str> =
                    batch.iter().take(ROWS_TRIED).filter_map(|line| std::str::from_utf8(line.bytes).ok()).collect();
                let found = TextFormat::of(file, &first, rows)?;
                records.by_ref().take(found.before).for_each(drop);
                rows.counts.holds = found.layout.name().to_owned();
                rows.has_decimal_commas = found.delimiter != ',';
                *format.insert(found)
            }
        };
        for Line { number, bytes } in records {
            if let Ok(line) = std::str::from_utf8(bytes) {
                open.add(number, line, format, rows)?;
            } else {
                open.close(format, rows)?;
                rows.counts.rows += 1;
                rows.bad(|| format!("line {number}: {NOT_UTF8}"));
            }
        }
        for number in &batch.too_long {
            rows.counts.rows += 1;
            rows.bad(|| format!("line {number}: more than 16 MiB"));
        }
        if let Some(damage) = batch.damage {
            return Err(GivenError::Read { path: file.path.to_owned(), source: damage.error });
        }
    }
    if let Some(format) = format {
        open.close(format, rows)?;
    }
    Ok(())
}

/// Lines of a row in which a quoted field is not closed yet.
#[derive(Default)]
struct OpenRow {
    lines: Vec<NumberedLine>,
}

struct NumberedLine {
    number: u64,
    text: String,
}

impl OpenRow {
    /// Adds a line, and the rows that it completes.
    fn add(&mut self, number: u64, line: &str, format: TextFormat, rows: &mut Rows<'_>) -> Result<(), StoreError> {
        if self.lines.is_empty() {
            let row = Row::of(line, format.delimiter);
            if row.end == RowEnd::Open && format.has_long_rows() {
                self.lines.push(NumberedLine { number, text: line.to_owned() });
            } else if !is_row_count(line) {
                rows.add(format.layout, &row.fields, || format!("line {number}"))?;
            }
            return Ok(());
        }
        self.lines.push(NumberedLine { number, text: line.to_owned() });
        let text = self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
        let row = Row::of(&text, format.delimiter);
        let is_complete = format.columns.is_none_or(|columns| row.fields.len() == columns);
        match row.end {
            RowEnd::Found if is_complete => {
                let number = self.lines[0].number;
                self.lines.clear();
                rows.add(format.layout, &row.fields, || format!("line {number}"))
            }
            RowEnd::Open if self.lines.len() < MOST_LINES && text.len() <= LONGEST_ROW => Ok(()),
            _ => self.give_up(format, rows),
        }
    }

    /// Adds the first line as a row, and then the others again: the quote was text.
    fn give_up(&mut self, format: TextFormat, rows: &mut Rows<'_>) -> Result<(), StoreError> {
        let mut lines = std::mem::take(&mut self.lines).into_iter();
        if let Some(NumberedLine { number, text }) = lines.next() {
            rows.add(format.layout, &Row::of(&text, format.delimiter).fields, || format!("line {number}"))?;
        }
        lines.try_for_each(|NumberedLine { number, text }| self.add(number, &text, format, rows))
    }

    /// Adds all lines that are left.
    fn close(&mut self, format: TextFormat, rows: &mut Rows<'_>) -> Result<(), StoreError> {
        while !self.lines.is_empty() {
            self.give_up(format, rows)?;
        }
        Ok(())
    }
}

/// How fields are in lines.
#[derive(Clone, Copy)]
struct TextFormat {
    delimiter: char,
    /// Lines before the first row: comments, a header, and the dashes below it.
    before: usize,
    layout: Layout,
    /// The number of columns, if they have names.
    columns: Option<usize>,
}

impl TextFormat {
    /// The format that the first lines have.
    fn of(file: GivenFile<'_>, first: &[&str], rows: &Rows<'_>) -> Result<Self, GivenError> {
        let unrecognized = |found: String, hint: &str| {
            Err(GivenError::Unrecognised { path: file.path.to_owned(), found, hint: hint.to_owned() })
        };
        if first.iter().any(|line| line.trim_end_matches('\r').contains('\r')) {
            let hint = format!("run `tr '\\r' '\\n' < {0} > {0}.new`, and name that file", quoted(file.path));
            return unrecognized("lines that end with a carriage return alone".to_owned(), &hint);
        }
        let comments = first.iter().take_while(|line| is_comment(line, rows.products)).count();
        let named = first.iter().take(comments).find_map(|line| named_delimiter(line));
        let first = &first[comments..];
        let (delimiter, table) = table_of(first, named, rows.products);
        let table: Vec<Vec<&str>> = table.iter().map(|row| texts(row)).collect();
        let header = table.first().map_or(&[][..], Vec::as_slice);
        let dashes = usize::from(first.get(1).is_some_and(|line| is_rule(line)));
        let with_header =
            |layout| Ok(Self { delimiter, before: comments + 1 + dashes, layout, columns: Some(header.len()) });
        match Layout::of_names(header) {
            Header::Layout(layout) => {
                return with_header(layout.with_known_products(header, &table, rows.products));
            }
            Header::Orders => return with_header(Layout::Orders),
            Header::NoRelation => {
                let hint = "add a column `relation` with `substitute`, `complement`, `co_reviewed` or `co_purchased`";
                return unrecognized(format!("the columns {}", header.join(", ")), hint);
            }
            // What would be an order of unknown products.
            Header::OnlyProduct | Header::Unknown if is_header(&table, rows.products) => {
                if let Some(layout @ Layout::Associations { .. }) = Layout::of_rows(&table[1..], rows.products) {
                    return with_header(layout);
                }
                return unrecognized(format!("the columns {}", header.join(", ")), EXPECTED);
            }
            Header::OnlyProduct | Header::Unknown => {}
        }
        match Layout::of_rows(&table, rows.products) {
            Some(layout) => Ok(Self { delimiter, before: comments, layout, columns: None }),
            None => {
                let line = first.first().map_or("", |line| &line[..line.floor_char_boundary(60)]);
                let found =
                    format!("no id of a product of the corpus in its first {} rows, such as `{line}`", first.len());
                unrecognized(found, EXPECTED)
            }
        }
    }

    /// Whether a row may have several lines.
    fn has_long_rows(self) -> bool {
        self.delimiter != ' ' && self.layout != Layout::Orders
    }
}

/// Whether a line is the rule below the header of `psql` or Markdown: `-----+-----`.
fn is_rule(line: &str) -> bool {
    line.chars().all(|c| "-+|: ".contains(c)) && line.contains('-') && line.contains(['+', '|'])
}

/// Whether a line is the number of rows that `psql` writes below them: `(100 rows)`.
fn is_row_count(line: &str) -> bool {
    let count = line.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).and_then(|count| count.split_once(' '));
    count.is_some_and(|(count, unit)| {
        !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) && matches!(unit, "row" | "rows")
    })
}

/// Whether a line above the rows is none of them: a comment, or `sep=;` as Excel reads it. `#1001` may be an order.
fn is_comment(line: &str, products: &ProductTable) -> bool {
    let has_product = || line.split(DELIMITERS).any(|field| products.has_given(field.trim_matches('"')));
    line.starts_with('#') && !has_product() || named_delimiter(line).is_some()
}

/// The delimiter that a line such as `sep=;` names.
fn named_delimiter(line: &str) -> Option<char> {
    let mut rest = line.trim_end_matches('\r').trim_matches('"').strip_prefix("sep=")?.chars();
    rest.next().filter(|delimiter| DELIMITERS.contains(delimiter) && rest.next().is_none())
}

/// The fields of lines, and what is between them. Names of products may contain other delimiters. So the names of
/// columns decide, and then the number of fields that are products of the corpus.
fn table_of<'l>(lines: &[&'l str], named: Option<char>, products: &ProductTable) -> (char, Vec<Vec<Cow<'l, str>>>) {
    let table = |delimiter: char| -> Vec<Vec<Cow<'l, str>>> {
        lines.iter().map(|&line| Row::of(line, delimiter).fields).collect()
    };
    if let Some(delimiter) = named {
        return (delimiter, table(delimiter));
    }
    let has_names = |delimiter: char| {
        lines.first().is_some_and(|&line| {
            let header = Row::of(line, delimiter).fields;
            let header = Layout::of_names(&texts(&header));
            matches!(header, Header::Layout(_) | Header::Orders | Header::NoRelation)
        })
    };
    // An order of one product has no delimiter.
    let telling: Vec<&&str> = lines.iter().filter(|line| line.contains(DELIMITERS)).collect();
    // A row may have several lines.
    let may_be = |delimiter: &char| {
        2 * telling.iter().filter(|line| line.contains(*delimiter)).count() >= telling.len() || has_names(*delimiter)
    };
    let tables = DELIMITERS.into_iter().filter(may_be).map(|delimiter| (delimiter, table(delimiter)));
    let known = |table: &[Vec<Cow<'_, str>>]| table.iter().flatten().filter(|field| products.has_given(field)).count();
    // Of equal ones, the most telling delimiter.
    let best = tables.rev().max_by_key(|(delimiter, table)| (has_names(*delimiter), known(table)));
    best.unwrap_or_else(|| (' ', table(' ')))
}

fn texts<'r>(row: &'r [Cow<'_, str>]) -> Vec<&'r str> {
    row.iter().map(|field| &**field).collect()
}

/// Whether the first row has names of columns instead of products: words without digits or with the name of a
/// relation among them, above rows with products.
fn is_header(table: &[Vec<&str>], products: &ProductTable) -> bool {
    let Some((first, rest)) = table.split_first() else { return false };
    let has_relation = Layout::has_relation(first);
    let is_word = |field: &&str| !field.is_empty() && (has_relation || !field.contains(|c: char| c.is_ascii_digit()));
    first.len() > 1
        && first.iter().all(is_word)
        && !first.iter().any(|field| products.has_given(field))
        && rest.iter().filter(|row| row.len() == first.len()).count() * 2 > rest.len()
        && !rest.iter().flatten().any(|field| first.contains(field))
}

/// The fields of a row.
struct Row<'r> {
    fields: Vec<Cow<'r, str>>,
    end: RowEnd,
}

/// Whether a text of one or several lines is a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowEnd {
    Found,
    /// The last field has a quote at its start, which is not closed.
    Open,
    /// A line ends outside of quotes.
    Earlier,
}

impl<'r> Row<'r> {
    /// Splits a row. A double quote at the start of a field opens it: a delimiter in it is text, and `""` is one quote.
    /// Other quotes are text, such as an inch mark. Spaces in a row are one delimiter.
    fn of(row: &'r str, delimiter: char) -> Self {
        let (mut fields, mut end) = (Vec::new(), RowEnd::Found);
        if delimiter == ' ' {
            fields.extend(row.split_whitespace().map(|field| Cow::Borrowed(field.trim_matches('"'))));
            return Self { fields, end };
        }
        let mut rest = row;
        loop {
            let quotes = Quotes::of(rest, delimiter);
            let after = if let Quotes::Closed { inside, after } = quotes {
                fields.push(unescaped(inside.trim()));
                after
            } else {
                let (field, after) = rest.split_at(rest.find(delimiter).unwrap_or(rest.len()));
                fields.push(Cow::Borrowed(field.trim()));
                match (end, quotes) {
                    (RowEnd::Found, Quotes::Open) => end = RowEnd::Open,
                    (RowEnd::Found, _) if field.contains('\n') => end = RowEnd::Earlier,
                    _ => {}
                }
                after
            };
            let Some(next) = after.strip_prefix(delimiter) else { return Self { fields, end } };
            rest = next;
        }
    }
}

/// The quotes of a field.
#[derive(Clone, Copy)]
enum Quotes<'r> {
    /// None at its start, or text after those around its start: `"A" mug`.
    Text,
    /// One at its start, which is not closed.
    Open,
    Closed {
        inside: &'r str,
        /// What follows the field.
        after: &'r str,
    },
}

impl<'r> Quotes<'r> {
    /// The quotes of the first field of a text.
    fn of(text: &'r str, delimiter: char) -> Self {
        let is_space = move |c: char| c.is_whitespace() && c != delimiter;
        let Some(inside) = text.trim_start_matches(is_space).strip_prefix('"') else { return Self::Text };
        let mut from = 0;
        while let Some(found) = inside[from..].find('"') {
            let (at, after) = (from + found, &inside[from + found + 1..]);
            if after.starts_with('"') {
                from = at + 2;
                continue;
            }
            let after = after.trim_start_matches(is_space);
            let is_end = after.is_empty() || after.starts_with(delimiter);
            return if is_end { Self::Closed { inside: &inside[..at], after } } else { Self::Text };
        }
        Self::Open
    }
}

fn unescaped(inside: &str) -> Cow<'_, str> {
    if inside.contains('"') { Cow::Owned(inside.replace("\"\"", "\"")) } else { Cow::Borrowed(inside) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_open_a_field_at_its_start_alone() {
        for (row, wanted, end) in [
            ("1,Frame 8\" wide,B1", vec!["1", "Frame 8\" wide", "B1"], RowEnd::Found),
            ("1,\"Frame 8\"\" wide, oak\",B1", vec!["1", "Frame 8\" wide, oak", "B1"], RowEnd::Found),
            ("1, \"a, b\" ,\"\"", vec!["1", "a, b", ""], RowEnd::Found),
            ("\"\"\"a\"\"\",=\"007\"", vec!["\"a\"", "=\"007\""], RowEnd::Found),
            ("1,\"A\" mug,B1,", vec!["1", "\"A\" mug", "B1", ""], RowEnd::Found),
            ("1,\"a mug,B1", vec!["1", "\"a mug", "B1"], RowEnd::Open),
            ("1,\"a mug\nwith handle\",B1", vec!["1", "a mug\nwith handle", "B1"], RowEnd::Found),
            ("1,\"a mug,B1\n2,\"b mug\",B2", vec!["1", "\"a mug", "B1\n2", "b mug", "B2"], RowEnd::Earlier),
        ] {
            let found = Row::of(row, ',');
            assert_eq!((texts(&found.fields), found.end), (wanted, end), "{row}");
        }
        assert_eq!(texts(&Row::of("P1  \"P2\"", ' ').fields), ["P1", "P2"]);
    }

    #[test]
    fn what_psql_adds_is_no_row() {
        assert!(["----+----", "|---|---|", "|:-- | --:|"].into_iter().all(is_rule));
        assert!(!["P-1,P-2", "1|2", "----"].into_iter().any(is_rule));
        assert!(["(1 row)", "(100 rows)"].into_iter().all(is_row_count));
        assert!(!["(rows)", "(x rows)", "(1 rows", "1 row"].into_iter().any(is_row_count));
    }
}
