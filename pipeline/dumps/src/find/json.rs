//! The outline of JSON values, or of Python literals, from the start of a text.
use std::{
    io::{self, BufRead, BufReader, Read},
    ops::Range,
};

use serde_json::{Map, Value};

use super::{
    super::python::json_or_python,
    fields::{Renamed, renamed},
};

/// The largest number of values that are looked at.
const MOST_VALUES: usize = 10;

/// The deepest object in which records are looked for.
const MOST_DEPTH: usize = 8;

/// The first values of a text.
#[derive(Debug)]
pub(super) struct Outline {
    /// The first few that can be read. One that the text cuts short is closed.
    pub(super) values: Vec<Value>,
    /// The keys of all objects among them, in the order of the text.
    pub(super) keys: Vec<String>,
    /// Whether the first spans several lines.
    pub(super) over_lines: bool,
    /// Whether one begins on the line on which another ends.
    pub(super) several_per_line: bool,
    /// Whether commas stand between them.
    pub(super) commas: bool,
    /// Whether the text cuts the last of them short.
    pub(super) cut: bool,
    /// Whether something else than a value follows, or one that cannot be read.
    pub(super) broken: bool,
}

impl Outline {
    /// Reads the outline of a text, which may be cut short.
    pub(super) fn of(text: &str) -> Self {
        let mut outline = Self {
            values: Vec::new(),
            keys: Vec::new(),
            over_lines: false,
            several_per_line: false,
            commas: false,
            cut: false,
            broken: false,
        };
        let mut end = 0;
        while outline.values.len() < MOST_VALUES {
            let between = text[end..].bytes().take_while(|b| b.is_ascii_whitespace() || *b == b',').count();
            let start = end + between;
            if start == text.len() {
                break;
            }
            let Some(scanned) = Scanned::of(text, start) else {
                outline.broken = true;
                break;
            };
            let json = text[start..scanned.range.end].to_owned() + &scanned.closing;
            let Some(value) = read(&json) else {
                outline.broken = true;
                break;
            };
            outline.several_per_line |= !outline.values.is_empty() && !text[end..start].contains('\n');
            outline.commas |= text[end..start].contains(',');
            outline.over_lines |= outline.values.is_empty() && json.contains('\n');
            if value.is_object() {
                add_keys(&json, &mut outline.keys);
            }
            outline.values.push(value);
            end = scanned.range.end;
            if !scanned.closing.is_empty() {
                outline.cut = true;
                break;
            }
        }
        outline
    }

    /// The members of the only value, if it is an object whose members are objects, too.
    pub(super) fn objects_by_key(&self) -> Option<&Map<String, Value>> {
        match self.values.as_slice() {
            [Value::Object(members)]
                if !self.broken && !members.is_empty() && members.values().all(Value::is_object) =>
            {
                Some(members)
            }
            _ => None,
        }
    }

    /// Whether the only value has one object per column, with the numbers of the rows as keys.
    pub(super) fn is_by_column(&self) -> bool {
        self.objects_by_key().is_some_and(|columns| columns.values().all(|rows| rows.get("0").is_some()))
    }

    /// The fields that lead to an object in the only value that has one record per key.
    pub(super) fn path_of_keyed(&self, is_record: IsRecord) -> Option<Vec<String>> {
        let [value] = self.values.as_slice() else { return None };
        let mut path = Vec::new();
        (!self.broken && leads_to_keyed(value, &mut path, is_record)).then_some(path)
    }

    /// Whether the only value has the names of the columns and the rows apart, as pandas writes it.
    pub(super) fn is_split(&self) -> bool {
        let is_list =
            |members: &serde_json::Map<String, Value>, key: &str| members.get(key).is_some_and(Value::is_array);
        matches!(self.values.as_slice(), [Value::Object(members)]
            if is_list(members, "columns") && is_list(members, "data") && members.len() <= 3)
    }

    /// The fields that lead to the arrays of objects in the only value. Of several values, where the first holds arrays
    /// of records. A member of the items is the last field if the records are inside it.
    pub(super) fn paths_of_arrays(&self, is_record: IsRecord) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        match self.values.as_slice() {
            [value] => paths_of_arrays(value, &mut Vec::new(), |item, _| item.is_object(), is_record, &mut paths),
            [value, ..] => paths_of_arrays(value, &mut Vec::new(), holds_record, is_record, &mut paths),
            [] => {}
        }
        paths
    }
}

/// Whether a value is a record.
type IsRecord = fn(&Value) -> bool;

fn holds_record(item: &Value, is_record: IsRecord) -> bool {
    is_record(item) || wrapped_record(item, is_record).is_some()
}

/// The only member of an object that is a record, as in `{"_id": 1, "_source": {…}}`. `None` if the object may be a
/// record itself: it is one, or has text of its own.
pub(super) fn wrapped_record(item: &Value, is_record: IsRecord) -> Option<&String> {
    let members = item.as_object().filter(|_| !is_record(item))?;
    let (records, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|(_, value)| value.is_object() && is_record(value));
    let others: Vec<String> = others.into_iter().map(|(key, _)| key.clone()).collect();
    match records.as_slice() {
        [(key, _)] if !renamed(&others).iter().any(Renamed::is_text) => Some(*key),
        _ => None,
    }
}

/// Whether an object has an array of objects, and no text of its own: a page of what a server found.
pub(super) fn is_around_array(value: &Value) -> bool {
    let is_array = |value: &Value| value.as_array().is_some_and(|items| items.first().is_some_and(Value::is_object));
    let Some(members) = value.as_object() else { return false };
    let others: Vec<String> =
        members.iter().filter(|(_, value)| !is_array(value)).map(|(key, _)| key.clone()).collect();
    others.len() < members.len() && !renamed(&others).iter().any(Renamed::is_text)
}

/// The fields that lead to arrays of records in the items of an array, of which `item` is the first.
pub(super) fn paths_inside(item: &Value, is_record: IsRecord) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    if is_around_array(item) && !holds_record(item, is_record) {
        paths_of_arrays(item, &mut Vec::new(), holds_record, is_record, &mut paths);
    }
    paths
}

/// Whether a value has one record per key, or an object inside has. Then the fields that lead there are added.
fn leads_to_keyed(value: &Value, path: &mut Vec<String>, is_record: IsRecord) -> bool {
    let Value::Object(members) = value else { return false };
    if is_keyed(members, is_record) {
        return true;
    }
    path.len() + 1 < MOST_DEPTH
        && members.iter().any(|(key, value)| {
            path.push(key.clone());
            let is_found = leads_to_keyed(value, path, is_record);
            if !is_found {
                path.pop();
            }
            is_found
        })
}

/// Whether the members of an object are records, with their keys as ids: one is clearly a record, or nearly all have a
/// value in common.
fn is_keyed(members: &Map<String, Value>, is_record: IsRecord) -> bool {
    if members.is_empty() || !members.values().all(Value::is_object) {
        return false;
    }
    let is_record_with_id = |(key, value): (&String, &Value)| {
        let mut record = value.as_object().cloned().unwrap_or_default();
        record.entry("asin").or_insert_with(|| key.as_str().into());
        is_record(&record.into())
    };
    let has_scalar =
        |value: &Value, name: &str| value.get(name).is_some_and(|value| !value.is_object() && !value.is_array());
    // The text may end inside one of them.
    let is_common = |name: &str| {
        let count = members.values().filter(|value| has_scalar(value, name)).count();
        count >= 2 && count + 1 >= members.len()
    };
    members.iter().any(is_record_with_id)
        || members.values().take(2).filter_map(Value::as_object).flat_map(Map::keys).any(|name| is_common(name))
}

/// Where a value lies in a text.
struct Scanned {
    /// Its bytes, up to the last place where brackets can be closed.
    range: Range<usize>,
    /// The brackets that the text does not close.
    closing: String,
}

impl Scanned {
    /// Scans the object or array that begins at a byte.
    fn of(text: &str, start: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut open: Vec<char> = Vec::new();
        // The end of the last whole element, and the brackets that are open there.
        let mut cut = (start, String::new());
        let mut quote = None;
        let mut at = start;
        let closing = |open: &[char]| open.iter().rev().collect();
        while let Some(&byte) = bytes.get(at) {
            match (quote, byte) {
                (Some(_), b'\\') => at += 1,
                (Some(opened), byte) => quote = quote.filter(|_| byte != opened),
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'{' | b'[' | b'(') => {
                    open.push(match byte {
                        b'{' => '}',
                        b'[' => ']',
                        _ => ')',
                    });
                    if open.len() <= MOST_OPEN {
                        cut = (at + 1, closing(&open));
                    }
                }
                (None, b'}' | b']' | b')') => {
                    open.pop();
                    if open.is_empty() {
                        return Some(Self { range: start..at + 1, closing: String::new() });
                    }
                }
                // What stands before a comma is whole.
                (None, b',') if open.len() <= MOST_OPEN => cut = (at, closing(&open)),
                // A value begins with a bracket.
                _ if open.is_empty() => return None,
                _ => {}
            }
            at += 1;
        }
        (cut.0 > start).then_some(Self { range: start..cut.0, closing: cut.1 })
    }
}

/// The first value of a stream, of each array only the first item: so what follows a long array is there, too. At most
/// so many bytes.
///
/// # Errors
/// If the stream cannot be read.
pub(super) fn skeleton(stream: impl Read, most: usize) -> io::Result<String> {
    let mut stream = BufReader::with_capacity(1 << 17, stream);
    // Of each open bracket, whether it is that of an array whose first item has ended.
    let (mut open, mut ended_arrays): (Vec<(u8, bool)>, usize) = (Vec::new(), 0);
    let (mut kept, mut quote, mut escaped) = (Vec::new(), None, false);
    loop {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        let count = bytes.len();
        for &byte in bytes {
            match (quote, byte) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(opened), _) => quote = quote.filter(|_| byte != opened),
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'{' | b'[') => open.push((byte, false)),
                (None, b'}' | b']') => ended_arrays -= usize::from(open.pop().is_some_and(|(_, ended)| ended)),
                (None, b',') => {
                    if let Some((b'[', ended @ false)) = open.last_mut() {
                        *ended = true;
                        ended_arrays += 1;
                    }
                }
                _ => {}
            }
            if ended_arrays == 0 {
                kept.push(byte);
            }
            let is_end = open.is_empty() && quote.is_none() && matches!(byte, b'}' | b']');
            if is_end || kept.len() == most {
                return Ok(String::from_utf8_lossy(&kept).into_owned());
            }
        }
        stream.consume(count);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// The largest number of open brackets where a text is cut. It bounds the time.
const MOST_OPEN: usize = 16;

fn read(json: &str) -> Option<Value> {
    json_or_python(json).ok()
}

/// Adds the keys of an object in their order.
pub(super) fn add_keys(json: &str, keys: &mut Vec<String>) {
    let found: Keys = json_or_python(json).unwrap_or_default();
    for key in found.0 {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
}

/// The keys of an object.
#[derive(Default)]
struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Keys, M::Error> {
                /// A bound for files whose objects are not records.
                const MOST_KEYS: usize = 200;
                let mut keys = Vec::new();
                while let Some((key, serde::de::IgnoredAny)) = map.next_entry::<String, _>()? {
                    if keys.len() < MOST_KEYS {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }
        }
        from.deserialize_map(Visitor)
    }
}

/// Adds the paths of arrays whose first item is one of those looked for; those further up come first.
fn paths_of_arrays(
    value: &Value,
    path: &mut Vec<String>,
    is_item: fn(&Value, IsRecord) -> bool,
    is_record: IsRecord,
    paths: &mut Vec<Vec<String>>,
) {
    let Value::Object(members) = value else { return };
    for (key, value) in members {
        let first = value.as_array().and_then(|items| items.first());
        let Some(item) = first.filter(|item| is_item(item, is_record)) else { continue };
        let array = [path.as_slice(), std::slice::from_ref(key)].concat();
        paths.push(array.clone());
        paths.extend(wrapped_record(item, is_record).map(|inside| [array, vec![inside.clone()]].concat()));
    }
    if path.len() + 1 < MOST_DEPTH {
        for (key, value) in members {
            path.push(key.clone());
            paths_of_arrays(value, path, is_item, is_record, paths);
            // Pages of records.
            let inside = value.as_array().and_then(|items| items.first());
            let inside = inside.into_iter().flat_map(|item| paths_inside(item, is_record));
            paths.extend(inside.map(|inside| [path.as_slice(), &inside].concat()));
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_that_is_cut_short_is_closed() {
        for (text, wanted) in [
            (r#"{"a": 1, "b": [{"c": "x, y"#, json!({"a": 1, "b": [{}]})),
            (r#"[{"a": "]}"}, {"b": "#, json!([{"a": "]}"}, {}])),
            (r#"{"a": {"b": [1, 2"#, json!({"a": {"b": [1]}})),
            (r#"{"a"#, json!({})),
            ("{'a': ('x', 'y', 'it", json!({"a": ["x", "y"]})),
        ] {
            assert_eq!(Outline::of(text).values, [wanted], "{text}");
        }
    }

    #[test]
    fn values_are_counted_with_what_stands_between_them() {
        let outline = |text| {
            let Outline { values, over_lines, several_per_line, commas, broken, .. } = Outline::of(text);
            (values.len(), over_lines, several_per_line, commas, broken)
        };
        assert_eq!(outline("{\"a\": 1}\n{\"a\": 2}\n"), (2, false, false, false, false));
        assert_eq!(outline("{\"a\": 1}{\"a\": 2}"), (2, false, true, false, false));
        assert_eq!(outline("{\n\"a\": 1\n},\n{\n\"a\": 2\n}\n"), (2, true, false, true, false));
        assert_eq!(outline("{\"a\": 1} what"), (1, false, false, false, true));
        assert_eq!(outline("{a: 1}"), (0, false, false, false, true));
    }

    #[test]
    fn an_array_is_found_at_its_path() {
        for (text, path) in [
            (r#"{"count": 2, "products": [{"asin": "#, Some("products")),
            (r#"{"meta": {"n": 1}, "data": {"the items": [{"id": 1}]}}"#, Some("data/the items")),
            (r#"{"hits": {"hits": [{"_id": 1}]}}"#, Some("hits/hits")),
            (r#"{"a": [1, 2]}"#, None),
            ("{\"a\": [{}]}\n{\"a\": [{}]}", None),
            ("{\"a\": [{\"asin\": 1}]}\n{\"a\": []}", Some("a")),
        ] {
            let found = Outline::of(text).paths_of_arrays(|item| item.get("asin").is_some());
            assert_eq!(found.first().map(|path| path.join("/")).as_deref(), path, "{text}");
        }
    }

    #[test]
    fn records_are_found_inside_the_items_of_arrays() {
        for (text, paths) in [
            (r#"{"hits": {"hits": [{"_id": 1, "_source": {"asin": 1}}]}}"#, vec!["hits/hits", "hits/hits/_source"]),
            (r#"{"a": {"b": {"c": {"d": {"e": [{"asin": 1}]}}}}}"#, vec!["a/b/c/d/e"]),
            (r#"{"rows": [{"asin": 1, "row": {"asin": 2}}]}"#, vec!["rows"]),
            (r#"{"rows": [{"a": {"asin": 1}, "b": {"asin": 2}}]}"#, vec!["rows"]),
            (r#"{"rows": [{"review": "It fits.", "product": {"asin": 2}}]}"#, vec!["rows"]),
            // Pages.
            (r#"{"pages": [{"n": 1, "items": [{"asin": 1}]}]}"#, vec!["pages", "pages/items"]),
            (r#"{"a": [{"n": 1, "b": [{"c": [{"asin": 1}]}]}]}"#, vec!["a", "a/b/c"]),
            // Parts of a product.
            (r#"{"rows": [{"name": "Tea", "parts": [{"asin": 1}]}]}"#, vec!["rows"]),
            (r#"{"rows": [{"asin": 1, "parts": [{"asin": 2}]}]}"#, vec!["rows"]),
        ] {
            let found = Outline::of(text).paths_of_arrays(|item| item.get("asin").is_some());
            assert_eq!(found.iter().map(|path| path.join("/")).collect::<Vec<_>>(), paths, "{text}");
        }
    }

    #[test]
    fn objects_with_a_record_per_key_are_told_from_other_objects() {
        let is_record = |value: &Value| value.get("asin").is_some() && value.get("title").is_some();
        for (text, path) in [
            (r#"{"B1": {"title": "Tea"}}"#, Some("")),
            (r#"{"products": {"x1": {"asin": "B1", "title": "Tea"}, "x2": {"asin": "B2", "#, Some("products")),
            (r#"{"data": {"all": {"B1": {"title": "Tea"}}}}"#, Some("data/all")),
            (r#"{"K1": {"name": "Tea", "n": 1}, "K2": {"name": "Salt"}}"#, Some("")),
            (r#"{"data": {"products": {"edges": [{"node": {"asin": 1}}], "pageInfo": {}}}}"#, None),
            (r#"{"meta": {"facets": [{"k": 0}]}, "data": {"rows": 1}}"#, None),
            ("{}", None),
        ] {
            let found = Outline::of(text).path_of_keyed(is_record);
            assert_eq!(found.map(|path| path.join("/")).as_deref(), path, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_outline(text in r#"([\[\]{}(),:"'\\ \na1é]|"a":|\{"a": 1\}){0,40}"#) {
            Outline::of(&text);
        }
    }
}
