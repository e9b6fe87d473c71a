//! The layouts that a file may have whose lines are not records.
use std::collections::HashSet;

use super::{
    super::{
        layout::{BlockNames, Delimited, Layout},
        record::is_of_reviews,
    },
    Given,
    fields::is_product_with_reviews,
    json::{Outline, paths_inside, wrapped_record},
    other::{self, Start},
    table::{Holds, Table, cells},
};

/// Delimiters of tables.
const DELIMITERS: [&str; 5] = ["\t", ",", ";", "|", "\u{1}"];

/// The layouts that the start of a file suggests, the likeliest first.
pub(super) fn of(start: &Start<'_>, given: Option<&Given>) -> Vec<Layout> {
    let Some(text) = other::utf8(start) else { return Vec::new() };
    if text.starts_with(['{', '[']) {
        return of_values(text);
    }
    let mut layouts = Vec::new();
    let mut lines = other::whole_lines(text, start);
    let names = whole_names(&lines);
    if let Some((names, count)) = &names {
        drop(lines.splice(..*count, [names.as_str()]));
    }
    let begins = |name: &str| lines.iter().any(|line| line.starts_with(name));
    if lines.first().is_some_and(|line| BlockNames::Reviews.split(line.trim_ascii_start()).is_some()) {
        layouts.push(Layout::Blocks(BlockNames::Reviews));
    } else if begins("ASIN: ") && begins("Id: ") {
        layouts.push(Layout::Blocks(BlockNames::Products));
    }
    let named = lines.first().and_then(|line| named_delimiter(line));
    let rows = if named.is_some() { &lines[1..] } else { &lines[..] };
    let table = match given {
        Some(given) => of_given(rows, given, named),
        None => of_table(rows, named),
    };
    layouts.extend(table.map(|table| {
        let table = Delimited { preface: named.is_some(), columns: unique(table.columns), ..table };
        // Hive writes Ctrl-A, and no quotes.
        let quoted = !matches!(table.delimiter, b'\t' | 1);
        Layout::Delimited(Delimited { quoted, escaped: has_escapes(text, table.delimiter), ..table })
    }));
    layouts
}

/// The first line, and those below it up to the end of a name that quotes enclose, with their number. `None` if no name
/// has a line break.
fn whole_names(lines: &[&str]) -> Option<(String, usize)> {
    const MOST_LINES: usize = 20;
    let is_open = |line: &str| memchr::memchr_iter(b'"', line.as_bytes()).count() % 2 == 1;
    let mut below = lines.iter().skip(1).take(MOST_LINES);
    let count = 2 + below.position(|line| is_open(line))?;
    is_open(lines[0]).then(|| (lines[..count].join(" "), count))
}

/// The delimiter that a line names for those below it, such as `sep=;`.
fn named_delimiter(line: &str) -> Option<u8> {
    let delimiter = line.trim_matches(['"', '\r']).strip_prefix("sep=")?;
    DELIMITERS.contains(&delimiter).then(|| delimiter.as_bytes()[0])
}

/// Whether quotes inside values follow a backslash, and none is doubled.
fn has_escapes(text: &str, delimiter: u8) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == delimiter || b"\r\n".contains(byte));
    // A value without characters is two quotes, too.
    let is_doubled = |at: usize| {
        bytes.get(at + 1) == Some(&b'"')
            && !(is_end(at.checked_sub(1).map(|before| &bytes[before])) && is_end(bytes.get(at + 2)))
    };
    let mut quotes = memchr::memchr_iter(b'"', bytes);
    memchr::memmem::find(bytes, b"\\\"").is_some() && !quotes.any(is_doubled)
}

/// The names of columns; one that is there already gets a number, as in pandas.
fn unique(columns: Vec<String>) -> Vec<String> {
    let mut all = Vec::with_capacity(columns.len());
    let mut taken = HashSet::new();
    for name in columns {
        let numbered = (1..).map(|number| format!("{name}.{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
        let free = free.unwrap_or(name);
        taken.insert(free.clone());
        all.push(free);
    }
    all
}

/// Whether the start of a file ends inside its first JSON object. An array in it may be so long that others begin after
/// the start.
pub(super) fn is_cut_in_object(start: &Start<'_>) -> bool {
    let text = other::utf8(start).filter(|text| !start.whole && text.starts_with('{'));
    let outline = text.map(Outline::of);
    outline.is_some_and(|outline| outline.cut && outline.values.len() == 1)
}

/// Where the objects of a JSON text may be records.
pub(super) fn of_values(text: &str) -> Vec<Layout> {
    let outline = Outline::of(text);
    let Some(first) = outline.values.first() else { return Vec::new() };
    let mut paths = Vec::new();
    match first {
        _ if outline.is_by_column() => {}
        serde_json::Value::Array(items) => {
            // Arrays may stand inside one another.
            let mut inside = items;
            while let Some(serde_json::Value::Array(items)) = inside.first() {
                inside = items;
            }
            if inside.first().is_none_or(serde_json::Value::is_object) {
                paths.push(Vec::new());
            }
            let first = inside.first();
            let wrapped = first.and_then(|item| wrapped_record(item, other::is_record));
            paths.extend(wrapped.map(|key| vec![key.clone()]));
            paths.extend(first.into_iter().flat_map(|item| paths_inside(item, other::is_record)));
        }
        serde_json::Value::Object(members) => {
            if outline.over_lines || outline.several_per_line || outline.commas {
                paths.push(Vec::new());
            }
            if keys_are_ids(&outline) {
                return Vec::new();
            }
            let inside = members.iter().filter(|(_, value)| value.is_object() && other::is_record(value));
            paths.extend(inside.map(|(key, _)| vec![key.clone()]));
            // Reviews inside a product say nothing of where the products are. Nor do other products inside one.
            let is_product = is_product_with_reviews(&outline.keys);
            let has_id = ["asin", "parent_asin"].iter().any(|id| members.get(*id).is_some_and(|id| id.is_string()));
            let is_of_product =
                |path: &[String]| path.len() == 1 && if is_of_reviews(&path[0]) { is_product } else { has_id };
            paths.extend(outline.paths_of_arrays(other::is_record).into_iter().filter(|path| !is_of_product(path)));
        }
        _ => {}
    }
    paths.into_iter().map(|path| Layout::Values { path }).collect()
}

/// Whether the members of the only value are records of one kind with their ids as keys. A product next to its review,
/// or next to what was asked of a server, is not such a member.
fn keys_are_ids(outline: &Outline) -> bool {
    let Some(members) = outline.objects_by_key() else { return false };
    let records = || members.iter().filter_map(|(key, value)| Some((key, value, other::kind(value)?)));
    let mut kinds = records().map(|(_, _, kind)| kind);
    let first = kinds.next();
    let are_alike =
        kinds.next().is_some_and(|second| std::iter::once(second).chain(kinds).all(|kind| Some(kind) == first));
    let is_id = |key: &String, value: &serde_json::Value| {
        ["asin", "parent_asin"].iter().any(|name| value.get(name).and_then(serde_json::Value::as_str) == Some(key))
    };
    let has_others = members.len() > 1 || outline.cut;
    are_alike || has_others && records().any(|(key, value, _)| is_id(key, value))
}

/// A table whose first row names its columns, by the delimiter that it names or the likeliest.
fn of_table(lines: &[&str], named: Option<u8>) -> Option<Delimited> {
    let (delimiter, columns) = match named {
        Some(delimiter) => (delimiter, cells(lines.first()?, &char::from(delimiter).to_string())),
        None => {
            let table = Table::of(lines).filter(|table| table.holds == Holds::Other && !table.columns.is_empty())?;
            let [delimiter] = *table.delimiter.as_bytes() else { return None };
            (delimiter, table.columns)
        }
    };
    Some(Delimited { delimiter, quoted: true, escaped: false, preface: false, header: true, columns })
}

/// A table whose columns the user describes.
fn of_given(lines: &[&str], given: &Given, named: Option<u8>) -> Option<Delimited> {
    let first = lines.first()?;
    let names = given.mapping.names();
    let columns_by = |delimiter: &str| {
        let columns = cells(first, delimiter);
        if given.header { columns } else { (1..=columns.len()).map(|number| number.to_string()).collect() }
    };
    let known = |columns: &[String]| columns.iter().filter(|column| given.mapping.reads(column)).count();
    let (delimiter, columns) = match given.delimiter.or(named) {
        Some(delimiter) => (delimiter, columns_by(&char::from(delimiter).to_string())),
        None => {
            let by = DELIMITERS.map(|delimiter| (delimiter.as_bytes()[0], columns_by(delimiter)));
            by.into_iter().rev().max_by_key(|(_, columns)| (known(columns), columns.len()))?
        }
    };
    (known(&columns) > 0 && (columns.len() > 1 || names.len() == 1)).then_some(Delimited {
        delimiter,
        quoted: true,
        escaped: false,
        preface: false,
        header: given.header,
        columns,
    })
}
