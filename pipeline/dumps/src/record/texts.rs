//! Fields of text: one string, or a list of strings.
use std::borrow::Cow;

use super::{
    unread::{Unread, UnreadReason},
    values::{Bracket, MAX_LAYERS, Value, is_missing},
};

/// The strings of a field that may be one string, a list of them, nested lists, a number or null.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strings<'a>(pub(super) Vec<Cow<'a, str>>);

impl Strings<'_> {
    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The first string that is not blank, trimmed.
    pub fn first(&self) -> Option<&str> {
        self.iter().map(str::trim).find(|t| !t.is_empty())
    }

    /// These strings, or `others` if all of these are blank.
    pub(super) fn or<'t>(&'t self, others: &'t Self) -> &'t Self {
        if self.first().is_some() { self } else { others }
    }
}

/// What a field of text usually holds. It decides what is taken from a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextShape {
    /// One string.
    One,
    /// A list of strings.
    Many,
    /// A name, or a map that has a name among other text.
    Name,
}

/// All strings of the value of a text field.
///
/// Text is never lost to a bracket. A string that begins as a list stays as it is if it does not
/// parse as a list of strings.
pub(super) fn strings<'a>(value: Value<'a>, shape: TextShape, unread: &mut Unread<'_>) -> Strings<'a> {
    let mut strings = Vec::new();
    Collector { into: &mut strings, shape, unread }.collect(value, MAX_LAYERS);
    Strings(strings)
}

struct Collector<'l, 'u, 'a> {
    into: &'l mut Vec<Cow<'a, str>>,
    shape: TextShape,
    unread: &'l mut Unread<'u>,
}

impl<'a> Collector<'_, '_, 'a> {
    fn collect(&mut self, value: Value<'a>, layers: u8) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.unread.add(UnreadReason::Boolean),
            Value::Integer(number) => self.into.push(number.to_string().into()),
            Value::Date(milliseconds) => self.into.push(milliseconds.to_string().into()),
            Value::Float(number) if !number.is_finite() => {}
            // Display writes 1984.0 as 1984.
            Value::Float(number) => self.into.push(number.to_string().into()),
            Value::Text(text) => self.collect_text(text, layers),
            Value::List(items) => {
                let languages = Languages::of(&items);
                for (at, item) in items.into_iter().enumerate() {
                    if languages.is_chosen(at) {
                        self.collect(item, layers);
                    } else {
                        self.unread.add(UnreadReason::OtherLanguage);
                    }
                }
            }
            Value::Map(entries) => self.collect_map(entries, layers),
        }
    }

    fn collect_text(&mut self, text: Cow<'a, str>, layers: u8) {
        let Some(bracket) = Bracket::at_start_of(&text) else {
            if !is_missing(&text) {
                self.into.push(text);
            }
            return;
        };
        let parsed = if layers > 0 { Value::parse_literal(&text) } else { None };
        match parsed.filter(|value| self.is_list_of_strings(value)) {
            Some(value) => self.collect(value, layers - 1),
            None if self.shape == TextShape::Many && bracket == Bracket::Map => match Value::parse_postgres(&text) {
                Some(array) => self.collect(array, 0),
                None => self.into.push(text),
            },
            // What is wrong with the map of an author is the text about the author.
            None if self.shape == TextShape::Name && bracket == Bracket::Map => {
                self.unread.add(UnreadReason::MalformedMap);
            }
            None => self.into.push(text),
        }
    }

    /// Whether a value from a string is certainly no text of a person: `[4]` and `[sic]` are, and
    /// `['4']` and `[]` are not.
    fn is_list_of_strings(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Map(entries) => {
                self.shape == TextShape::Name
                    || entries.is_empty()
                    || (self.shape == TextShape::Many || named_entry(entries).is_some() || is_indexed(entries))
                        && entries.iter().any(|(_, value)| has_string(value))
            }
            Value::List(items) => {
                items.iter().all(|item| *item == Value::Null || is_empty_container(item)) || has_string(value)
            }
            _ => true,
        }
    }

    fn collect_map(&mut self, mut entries: Vec<(Cow<'a, str>, Value<'a>)>, layers: u8) {
        // JSON-LD, of which two fields are text of the product.
        if self.shape == TextShape::Many && entries.iter().any(|(key, _)| key == "@context") {
            let found = self.into.len();
            let is_text = |key: &str| matches!(key, "name" | "description");
            entries.into_iter().filter(|(key, _)| is_text(key)).for_each(|(_, value)| self.collect(value, layers));
            if self.into.len() == found {
                self.unread.add(UnreadReason::Map);
            }
            return;
        }
        if let Some(at) = named_entry(&entries) {
            return self.collect(entries.swap_remove(at).1, layers);
        }
        let takes_all = match self.shape {
            TextShape::One => is_indexed(&entries),
            TextShape::Many => true,
            TextShape::Name => false,
        };
        if !takes_all && !entries.is_empty() {
            return self.unread.add(UnreadReason::Map);
        }
        for (key, value) in entries {
            if !matches!(key.as_ref(), "asin" | "parent_asin" | "id" | "_id") {
                self.collect(value, layers);
            }
        }
    }
}

/// The languages of a list that holds a text several times, as
/// `{"language_tag": "de_DE", "value": "Seife"}`. The English ones are chosen, or else those in the
/// language of the first.
#[derive(Debug, Default)]
struct Languages {
    /// For each item, if it has one; empty if none has.
    tags: Vec<Option<String>>,
    chosen: String,
}

impl Languages {
    fn of(items: &[Value<'_>]) -> Self {
        if items.len() < 2 || !items.iter().any(|item| matches!(item, Value::Map(_)) || is_tagged_text(item)) {
            return Self::default();
        }
        let tags: Vec<Option<String>> = items.iter().map(language).collect();
        let is_english = |tag: &&String| tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("en"));
        let chosen = tags.iter().flatten().find(is_english).or_else(|| tags.iter().flatten().next());
        match chosen.cloned() {
            Some(chosen) => Self { tags, chosen },
            None => Self::default(),
        }
    }

    fn is_chosen(&self, at: usize) -> bool {
        self.tags.get(at).and_then(Option::as_ref).is_none_or(|tag| *tag == self.chosen)
    }
}

fn is_tagged_text(item: &Value<'_>) -> bool {
    matches!(item, Value::Text(text) if text.trim_start().starts_with('{') && text.contains("language_tag"))
}

/// The language of `{"language_tag": "de_DE", "value": "Seife"}`, which may be in a string.
fn language(item: &Value<'_>) -> Option<String> {
    match item {
        Value::Map(entries) => {
            let entry = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            match (entry("language_tag"), entry("value")) {
                (Some(Value::Text(tag)), Some(_)) => Some(tag.to_string()),
                _ => None,
            }
        }
        Value::Text(text) if is_tagged_text(item) => match Value::parse_literal(text)? {
            map @ Value::Map(_) => language(&map),
            _ => None,
        },
        _ => None,
    }
}

fn has_string(value: &Value<'_>) -> bool {
    match value {
        Value::Text(_) => true,
        Value::List(items) => items.iter().any(has_string),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_string(value)),
        _ => false,
    }
}

fn is_empty_container(value: &Value<'_>) -> bool {
    match value {
        Value::List(items) => items.iter().all(is_empty_container),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// The entry of a map that is its text: `{"name": "Lindqvar", "id": 5}`.
pub(super) fn named_entry(entries: &[(Cow<'_, str>, Value<'_>)]) -> Option<usize> {
    ["name", "value", "text"].iter().find_map(|name| entries.iter().position(|(key, _)| key == name))
}

/// Whether the keys of a map are the numbers of a list's places: `{"0": "a", "1": "b"}`.
pub(super) fn is_indexed(entries: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    entries.iter().all(|(key, _)| !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()))
}
