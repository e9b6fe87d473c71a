//! Associations in text.
use std::io::Read;

use ebert_dumps::{Line, LineReader};
use schemas::quoted;

use super::{
    EXPECTED, GivenError, GivenFile, NOT_UTF8, Rows,
    layout::{Header, Layout},
};
use crate::graph::products::ProductTable;

/// Bytes of lines that are read at a time. The layout is decided by the first of these.
const BATCH: usize = 1 << 20;

/// Rows that decide the layout.
const ROWS_TRIED: usize = 1000;

/// Characters between fields, the most telling first.
const DELIMITERS: [char; 5] = ['\t', ';', '|', ',', ' '];

/// Reads the rows of a text.
pub(super) fn read(file: GivenFile<'_>, bytes: Box<dyn Read + Send>, rows: &mut Rows<'_>) -> Result<(), GivenError> {
    let mut lines = LineReader::new(bytes);
    let mut format: Option<TextFormat> = None;
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
                *format.insert(found)
            }
        };
        let mut fields = Vec::new();
        for Line { number, bytes } in records {
            let Ok(text) = std::str::from_utf8(bytes) else {
                rows.counts.rows += 1;
                rows.bad(|| format!("line {number}: {NOT_UTF8}"));
                continue;
            };
            split(text, format.delimiter, &mut fields);
            rows.add(format.layout, &fields, || format!("line {number}"))?;
        }
        for number in &batch.too_long {
            rows.counts.rows += 1;
            rows.bad(|| format!("line {number}: more than 16 MiB"));
        }
        if let Some(damage) = batch.damage {
            return Err(GivenError::Read { path: file.path.to_owned(), source: damage.error });
        }
    }
    Ok(())
}

/// How fields are in lines.
#[derive(Clone, Copy)]
struct TextFormat {
    delimiter: char,
    /// Lines before the first row: comments, and a header.
    before: usize,
    layout: Layout,
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
        let header = table.first().map_or(&[][..], Vec::as_slice);
        let with_header = |layout| Ok(Self { delimiter, before: comments + 1, layout });
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
            Some(layout) => Ok(Self { delimiter, before: comments, layout }),
            None => {
                let line = first.first().map_or("", |line| &line[..line.floor_char_boundary(60)]);
                let found =
                    format!("no id of a product of the corpus in its first {} rows, such as `{line}`", first.len());
                unrecognized(found, EXPECTED)
            }
        }
    }
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
fn table_of<'l>(lines: &[&'l str], named: Option<char>, products: &ProductTable) -> (char, Vec<Vec<&'l str>>) {
    let table = |delimiter: char| -> Vec<Vec<&'l str>> {
        let fields = |line: &&'l str| {
            let mut fields = Vec::new();
            split(line, delimiter, &mut fields);
            fields
        };
        lines.iter().map(fields).collect()
    };
    if let Some(delimiter) = named {
        return (delimiter, table(delimiter));
    }
    // An order of one product has no delimiter.
    let telling: Vec<&&str> = lines.iter().filter(|line| line.contains(DELIMITERS)).collect();
    let is_common =
        |delimiter: &char| 2 * telling.iter().filter(|line| line.contains(*delimiter)).count() >= telling.len();
    let tables = DELIMITERS.into_iter().filter(is_common).map(|delimiter| (delimiter, table(delimiter)));
    let value = |table: &[Vec<&str>]| {
        let header = table.first().map_or(&[][..], Vec::as_slice);
        let is_named = matches!(Layout::of_names(header), Header::Layout(_) | Header::Orders | Header::NoRelation);
        (is_named, table.iter().flatten().filter(|field| products.has_given(field)).count())
    };
    // Of equal ones, the most telling delimiter.
    let best = tables.rev().max_by_key(|(_, table)| value(table));
    best.unwrap_or_else(|| (' ', table(' ')))
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

/// The fields of a line. A delimiter between double quotes is part of a field. Spaces in a row are one delimiter.
fn split<'l>(line: &'l str, delimiter: char, into: &mut Vec<&'l str>) {
    into.clear();
    if delimiter == ' ' {
        return into.extend(line.split_whitespace().map(|field| field.trim_matches('"')));
    }
    let (mut start, mut quoted) = (0, false);
    let mut push = |field: &'l str| into.push(field.trim().trim_matches('"'));
    for (at, c) in line.char_indices() {
        if c == '"' {
            quoted = !quoted;
        } else if c == delimiter && !quoted {
            push(&line[start..at]);
            start = at + delimiter.len_utf8();
        }
    }
    push(&line[start..]);
}
