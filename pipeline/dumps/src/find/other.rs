//! What a file is that holds no record of a dump.
use std::borrow::Cow;

use serde_json::Value;

use super::{
    super::{
        lines::BYTE_ORDER_MARK,
        record::{Kind, parse},
    },
    fields::{is_field, names_product, renamed},
    json::{self, Outline},
    ratings::RatingTable,
    reason::{Encoding, SkipReason, shown},
    table::{Holds, Table},
};

/// The start of a file that is looked at.
pub(super) struct Start<'s> {
    /// Its bytes.
    pub(super) bytes: &'s [u8],
    /// Whether they are the whole file.
    pub(super) whole: bool,
    /// The first line that begins like a record and is none, and what is wrong with it.
    pub(super) malformed: Option<(u64, String)>,
}

/// What none of the first records has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lacks {
    /// The id of a product.
    pub(super) ids: bool,
    /// The id of a product, and all are products.
    pub(super) ids_of_products: bool,
    /// A text.
    pub(super) text: bool,
}

/// Why a file is not read whose records have the fields `found` and lack something, if that is a reason.
pub(super) fn lacking(start: &[u8], found: &[String], lacks: Lacks) -> Option<SkipReason> {
    if !lacks.ids && !lacks.text {
        return None;
    }
    let is_by_column = || decoded(start, false).is_some_and(|(text, _)| Outline::of(text.trim_start()).is_by_column());
    let has_text_elsewhere = || renamed(found).iter().any(|field| field.is_text() && !is_field(field.found));
    match () {
        () if is_yelp_without_text(found) => Some(SkipReason::Yelp),
        () if is_about_data(found) => Some(SkipReason::AboutData),
        () if lacks.ids && is_by_column() => Some(SkipReason::Columns),
        () if lacks.ids_of_products => Some(SkipReason::NoIds { found: found.to_vec() }),
        // Reviews of the dumps may lack an id, but not have it under another name.
        () if lacks.ids && names_product(found) => Some(SkipReason::OtherFields { found: found.to_vec() }),
        () => (lacks.text && has_text_elsewhere()).then(|| SkipReason::OtherFields { found: found.to_vec() }),
    }
}

/// What a file is, from its start. None of its first lines is a record.
pub(super) fn name(start: &Start<'_>) -> SkipReason {
    let text = match text(start) {
        Ok(text) => text,
        Err(reason) => return reason,
    };
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    if text.is_empty() {
        return SkipReason::NothingRecognised;
    }
    let found = if looks_like_records(text) { json(text, start) } else { None };
    found.unwrap_or_else(|| lines(text, start))
}

/// The start of a text in UTF-8; otherwise what the file is.
///
/// # Errors
/// If it has no text, is in another encoding, or is what a server or a program leaves in place of a text.
pub(super) fn text<'s>(start: &Start<'s>) -> Result<Cow<'s, str>, SkipReason> {
    let bytes = start.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start.bytes);
    if start.whole && bytes.trim_ascii().is_empty() {
        return Err(SkipReason::Empty);
    }
    if let Some(encoding) = wide_encoding(start.bytes) {
        return Err(SkipReason::Encoding(encoding));
    }
    let (text, eight_bit) = decoded(start.bytes, start.whole).ok_or(SkipReason::Binary)?;
    let trimmed = text.trim_start_matches('\u{feff}').trim_ascii();
    let reason = match eight_bit.map(SkipReason::Encoding) {
        _ if trimmed.starts_with("version https://git-lfs.github.com/spec/") => Some(SkipReason::LfsPointer),
        _ if trimmed.starts_with("/annex/objects/") => Some(SkipReason::AnnexPointer),
        encoding if trimmed.starts_with('<') => markup(trimmed).or(encoding),
        encoding => encoding,
    };
    reason.map_or(Ok(text), Err)
}

/// Whether a text begins like JSON or a Python literal.
fn looks_like_records(text: &str) -> bool {
    let inside = text.strip_prefix('[').map(str::trim_ascii_start);
    text.starts_with('{') || inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(['{', '[', '"', ']']))
}

/// The text of bytes in UTF-8, or in Latin-1 with the encoding that it may be in. `None` if it is not
/// text. A character that is cut off is left out.
fn decoded(bytes: &[u8], whole: bool) -> Option<(Cow<'_, str>, Option<Encoding>)> {
    // Hive writes \x01 between values.
    let is_control = |b: &u8| *b < b' ' && !b"\x01\t\n\r\x0c\x1b".contains(b);
    // A few stray ones occur in text.
    if bytes.iter().filter(|b| is_control(b)).count() > bytes.len() / 50 + 1 {
        return None;
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some((text.into(), None)),
        Err(error) if error.error_len().is_none() && !whole => {
            let whole = std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?;
            Some((whole.into(), None))
        }
        // A few bytes in UTF-8 that are damaged. Their records are counted when they are read.
        Err(_) if is_mostly_utf8(bytes) => Some((String::from_utf8_lossy(bytes).into_owned().into(), None)),
        Err(_) => {
            // Windows-1252 has no characters for these; text in most other encodings has them.
            let is_latin1 = !bytes.iter().any(|b| [0x81, 0x8d, 0x8f, 0x90, 0x9d].contains(b));
            let high = bytes.iter().filter(|b| **b >= 0x80).count();
            // Text in Latin letters is mostly ASCII, and its other letters stand alone.
            let alone =
                bytes.chunk_by(|a, b| (*a >= 0x80) == (*b >= 0x80)).filter(|run| run[0] >= 0x80 && run.len() == 1);
            let is_latin1 = is_latin1 && high <= bytes.len() / 4 && alone.count() * 3 >= high;
            let encoding = if is_latin1 { Encoding::Latin1 } else { Encoding::Unknown };
            Some((bytes.iter().copied().map(char::from).collect::<String>().into(), Some(encoding)))
        }
    }
}

/// Whether nearly all characters beyond ASCII are those of UTF-8.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut characters, mut damaged) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        damaged += usize::from(!chunk.invalid().is_empty());
    }
    characters > 4 * damaged
}

/// UTF-16 or UTF-32, recognized by a byte order mark or by the zeros of its first characters, which are
/// ASCII in every file of records.
fn wide_encoding(bytes: &[u8]) -> Option<Encoding> {
    let is_text = |b: u8| (b' '..=b'~').contains(&b) || b"\t\r\n".contains(&b);
    // No character of a text is zero.
    let units = |high_first: bool| {
        bytes.chunks_exact(2).take(64).all(|unit| unit != [0, 0] && (high_first || unit != [0xff, 0xff]))
    };
    match *bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some(Encoding::Utf32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Encoding::Utf16),
        [a, 0, 0, 0, b, 0, 0, 0, ..] | [0, 0, 0, a, 0, 0, 0, b, ..] if is_text(a) && is_text(b) => {
            Some(Encoding::Utf32)
        }
        [a, 0, b, 0, ..] if is_text(a) && is_text(b) && units(false) => Some(Encoding::Utf16Le),
        [0, a, 0, b, ..] if is_text(a) && is_text(b) && units(true) => Some(Encoding::Utf16Be),
        _ => None,
    }
}

/// HTML, XML, or the XML with which object stores report an error.
fn markup(text: &str) -> Option<SkipReason> {
    const LOOKED_AT: usize = 4096;
    let start: String = text.chars().take(LOOKED_AT).collect::<String>();
    let lower = start.to_ascii_lowercase();
    let inside = |name: &str| {
        let open = lower.find(&format!("<{name}"))?;
        let from = open + lower[open..].find('>')? + 1;
        let to = from + lower[from..].find("</")?;
        Some(shown(&start[from..to].split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    let root = root(text);
    let before = root.map_or(lower.len(), |(at, _)| at.min(lower.len()));
    let is_of_page = |root: &str| OF_PAGES.contains(&root.to_ascii_lowercase().as_str());
    if lower.as_bytes()[..before].windows(DOCTYPE.len()).any(|part| part == DOCTYPE)
        || root.is_some_and(|(_, root)| is_of_page(root))
    {
        return Some(SkipReason::WebPage { title: inside("title").filter(|title| !title.is_empty()) });
    }
    let (_, root) = root?;
    let message = || inside("message").or_else(|| inside("code"));
    match root {
        "Error" | "error" => Some(SkipReason::ServerError { message: message().unwrap_or_else(|| root.to_owned()) }),
        _ => Some(SkipReason::Xml { root: shown(root) }),
    }
}

/// What most web pages begin with.
const DOCTYPE: &[u8] = b"<!doctype html";

/// The first elements of other web pages, and of parts of them.
const OF_PAGES: [&str; 13] =
    ["html", "head", "body", "script", "meta", "div", "p", "center", "h1", "noscript", "style", "iframe", "br"];

/// Where the first element of a markup begins, and its name.
fn root(text: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    loop {
        at += text[at..].find('<')?;
        let tag = &text[at + 1..];
        if let Some(comment) = tag.strip_prefix("!--") {
            at = text.len() - comment.split_once("-->")?.1.len();
        } else if tag.starts_with(['?', '!']) {
            at += 1;
        } else {
            let name = tag.split(|c: char| c.is_whitespace() || ">/".contains(c)).next()?;
            return name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some((at, name));
        }
    }
}

/// What a text is that begins with a bracket.
fn json(text: &str, start: &Start<'_>) -> Option<SkipReason> {
    let outline = Outline::of(text);
    let first = outline.values.first()?;
    let Value::Object(members) = first else {
        return first.as_array().map(|_| SkipReason::Json { start: first_line(text) });
    };
    let is_single = outline.values.len() == 1 && !outline.broken;
    if outline.is_by_column() {
        return Some(SkipReason::Columns);
    }
    if outline.is_split() {
        return Some(SkipReason::Rows);
    }
    if is_yelp_without_text(&outline.keys) {
        return Some(SkipReason::Yelp);
    }
    if is_about_data(&outline.keys) {
        return Some(SkipReason::AboutData);
    }
    if is_record(first) {
        return None;
    }
    let is_vocabulary = members.len() > 2 && members.values().all(Value::is_u64);
    if is_single && (is_vocabulary || members.contains_key("added_tokens")) {
        return Some(SkipReason::Vocabulary);
    }
    if let Some(message) = (is_single && start.whole).then(|| server_error(first)).flatten() {
        return Some(SkipReason::ServerError { message: shown(&message) });
    }
    if let Some(path) = outline.path_of_keyed(is_record) {
        return Some(SkipReason::Keyed { path });
    }
    if members.is_empty() {
        return (!outline.cut).then(|| SkipReason::Json { start: first_line(text) });
    }
    // The fields that are missing may be in the rest.
    if outline.cut && (start.whole || outline.keys.iter().all(|key| is_field(key))) {
        return None;
    }
    let is_around_others = outline.objects_by_key().is_some();
    let found = outline.keys;
    Some(if is_around_others { SkipReason::Around { found } } else { SkipReason::OtherFields { found } })
}

fn first_line(text: &str) -> String {
    shown(text.lines().next().unwrap_or_default())
}

/// What a value is a record of, if it is one of a dump.
pub(super) fn kind(value: &Value) -> Option<Kind> {
    let found = parse(value.to_string().as_bytes(), |record| record.record_type()).ok()?;
    found.map(|found| found.kind)
}

/// Whether a value is a record of a dump.
pub(super) fn is_record(value: &Value) -> bool {
    kind(value).is_some()
}

/// Whether the first value is an object around an array, and no record itself.
pub(super) fn is_around_array(start: &Start<'_>) -> bool {
    let outline = utf8(start).map(Outline::of);
    outline.is_some_and(|outline| outline.values.first().is_some_and(json::is_around_array))
}

/// The message of an object with which a server reports an error.
fn server_error(value: &Value) -> Option<String> {
    let members = value.as_object()?;
    let is_of_error = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["error", "message", "detail", "status", "code", "documentation", "request", "reason", "type"]
            .iter()
            .any(|part| key.contains(part))
    };
    if !members.keys().all(|key| is_of_error(key)) {
        return None;
    }
    ["message", "Message", "error", "Error", "detail", "reason"].iter().find_map(|key| match members.get(*key)? {
        Value::String(text) => Some(text.clone()),
        inner => server_error(inner),
    })
}

/// Whether these are the fields of a file of the Yelp data set that has no texts.
fn is_yelp_without_text(keys: &[String]) -> bool {
    let has = |key: &str| keys.iter().any(|found| found == key);
    let is_dump = has("asin") || has("parent_asin");
    !is_dump && (has("yelping_since") || has("business_id") && !has("text") && !has("name"))
}

/// Whether these are the fields of a file about a data set: of the library `datasets`, or of the log of a Delta table.
fn is_about_data(keys: &[String]) -> bool {
    const OF_DELTA: [&str; 9] =
        ["commitInfo", "protocol", "metaData", "add", "remove", "txn", "cdc", "domainMetadata", "checkpointMetadata"];
    let has = |key: &str| keys.iter().any(|found| found == key);
    let is_log = !keys.is_empty() && keys.iter().all(|key| OF_DELTA.contains(&key.as_str()));
    let is_info = has("features") && ["splits", "builder_name", "dataset_name", "download_size"].into_iter().any(has);
    is_log || is_info && !has("asin") && !has("parent_asin") || has("_data_files") && has("_fingerprint")
}

/// The text of a file in UTF-8, without what stands before its first character.
pub(super) fn utf8<'s>(start: &Start<'s>) -> Option<&'s str> {
    let text = match decoded(start.bytes, start.whole)? {
        (Cow::Borrowed(text), None) => text,
        // Up to the first damaged byte.
        (Cow::Owned(_), None) => {
            let whole = std::str::from_utf8(start.bytes).err()?.valid_up_to();
            std::str::from_utf8(&start.bytes[..whole]).ok()?
        }
        _ => return None,
    };
    Some(text.trim_start_matches('\u{feff}').trim_ascii_start())
}

/// How a file of ratings is read.
pub(super) fn ratings(start: &Start<'_>) -> Option<RatingTable> {
    let (text, _) = decoded(start.bytes, start.whole).filter(|(text, _)| line_break(text) == '\n')?;
    RatingTable::of(&whole_lines(text.trim_start_matches('\u{feff}'), start))
}

/// What ends lines. Old programs write a carriage return alone.
fn line_break(text: &str) -> char {
    if !text.contains('\n') && text.trim_ascii().contains('\r') { '\r' } else { '\n' }
}

/// The lines that are not blank. The last one may be cut off.
pub(super) fn whole_lines<'t>(text: &'t str, start: &Start<'_>) -> Vec<&'t str> {
    let lines = text.split(line_break(text)).map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut all: Vec<&str> = lines.filter(|line| !line.trim_ascii().is_empty()).collect();
    if !start.whole && all.len() > 1 {
        all.pop();
    }
    all
}

/// What a text is that is neither markup nor JSON.
fn lines(text: &str, start: &Start<'_>) -> SkipReason {
    let all = whole_lines(text, start);
    if looks_like_records(text) {
        return match &start.malformed {
            Some((line, why)) => SkipReason::Malformed { line: *line, why: why.clone() },
            None => SkipReason::NothingRecognised,
        };
    }
    let is_record_in_string =
        |line: &str| serde_json::from_str::<String>(line).is_ok_and(|text| text.trim_ascii_start().starts_with('{'));
    if is_record_in_string(all[0].trim_ascii()) {
        return SkipReason::Strings;
    }
    if all.first().is_some_and(|line| *line == "[PAD]") {
        return SkipReason::Vocabulary;
    }
    match Table::of(&all) {
        Some(Table { holds: Holds::Ratings, .. }) => SkipReason::Ratings,
        Some(Table { holds: Holds::Phrases, .. }) => SkipReason::Phrases,
        Some(Table { delimiter, columns, holds: Holds::Other }) => SkipReason::Table { delimiter, columns },
        // A server may have sent a short text.
        None => below_title(text, &all, start).unwrap_or_else(|| SkipReason::Text {
            only_line: (start.whole && all.len() == 1 && text.len() < 200).then(|| shown(text)),
        }),
    }
}

/// A table below a few lines of text, such as a title.
fn below_title(text: &str, all: &[&str], start: &Start<'_>) -> Option<SkipReason> {
    const MOST_LINES: usize = 3;
    // The hint is a command that counts lines.
    if line_break(text) != '\n' {
        return None;
    }
    (1..=MOST_LINES.min(all.len().saturating_sub(1))).find_map(|above| {
        let columns = Table::of(&all[above..])?.columns;
        let at = all[above].as_ptr() as usize - text.as_ptr() as usize;
        let lines_in = |text: &[u8]| memchr::memchr_iter(b'\n', text).count() as u64;
        let blank = start.bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let line = 1 + lines_in(&text.as_bytes()[..at]) + lines_in(&start.bytes[..blank]);
        (!columns.is_empty()).then_some(SkipReason::TableBelow { line, columns })
    })
}
