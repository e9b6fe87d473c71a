//! What a line reports, for a person and for a program.
use serde_json::{Map, Value};

/// What a line reports: words for a person, numbers and names for a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    event: &'static str,
    text: String,
    pub(super) fields: Map<String, Value>,
}

impl Facts {
    /// An event with this text. Its numbers and names follow.
    pub fn new(event: &'static str, text: impl Into<String>) -> Self {
        Self { event, text: text.into(), fields: Map::new() }
    }

    /// Adds a number or a name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds numbers with their names.
    pub fn with_counts<'a>(mut self, counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> Self {
        self.fields.extend(counts.into_iter().map(|(name, &count)| (name.replace(' ', "_"), count.into())));
        self
    }

    /// The words for a person.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line for a program.
    pub(super) fn json(&self) -> String {
        let mut line = Map::from_iter([("event".to_owned(), Value::from(self.event))]);
        line.extend(self.fields.clone());
        Value::Object(line).to_string()
    }
}
