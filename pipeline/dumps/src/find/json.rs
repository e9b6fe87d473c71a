//! The outline of JSON values, or of Python literals, from the start of a text.
use std::ops::Range;

use serde_json::Value;

use super::super::python::json_or_python;

/// The largest number of values that are looked at.
const MOST_VALUES: usize = 10;

/// The deepest object in which an array of records is looked for.
const MOST_DEPTH: usize = 4;

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
    pub(super) fn objects_by_key(&self) -> Option<&serde_json::Map<String, Value>> {
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

    /// Whether the only value has the names of the columns and the rows apart, as pandas writes it.
    pub(super) fn is_split(&self) -> bool {
        let is_list =
            |members: &serde_json::Map<String, Value>, key: &str| members.get(key).is_some_and(Value::is_array);
        matches!(self.values.as_slice(), [Value::Object(members)]
            if is_list(members, "columns") && is_list(members, "data") && members.len() <= 3)
    }

    /// The fields that lead to the arrays of objects in the only value. Of several values, where the first holds arrays
    /// of records.
    pub(super) fn paths_of_arrays(&self, is_record: fn(&Value) -> bool) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        match self.values.as_slice() {
            [value] => paths_of_arrays(value, &mut Vec::new(), Value::is_object, &mut paths),
            [value, ..] => paths_of_arrays(value, &mut Vec::new(), is_record, &mut paths),
            [] => {}
        }
        paths
    }
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
fn paths_of_arrays(value: &Value, path: &mut Vec<String>, is_item: fn(&Value) -> bool, paths: &mut Vec<Vec<String>>) {
    let Value::Object(members) = value else { return };
    let is_records = |value: &Value| value.as_array().is_some_and(|items| items.first().is_some_and(is_item));
    paths.extend(
        members
            .iter()
            .filter(|(_, value)| is_records(value))
            .map(|(key, _)| [path.as_slice(), std::slice::from_ref(key)].concat()),
    );
    if path.len() + 1 < MOST_DEPTH {
        for (key, value) in members {
            path.push(key.clone());
            paths_of_arrays(value, path, is_item, paths);
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

    proptest! {
        #[test]
        fn any_text_has_an_outline(text in r#"([\[\]{}(),:"'\\ \na1é]|"a":|\{"a": 1\}){0,40}"#) {
            Outline::of(&text);
        }
    }
}
