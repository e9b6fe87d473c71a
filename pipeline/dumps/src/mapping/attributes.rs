//! Attributes of products in fields that a user named.
use serde_json::{Map, Value};

use crate::record::{ATTRIBUTE_NAMES, ATTRIBUTE_VALUES};

/// Adds the values of a field. Attributes with names of their own get these: `{"name": "Color", "value": "Red"}` and
/// `{"Color": "Red"}`. Others get the name of the field.
pub(super) fn add(field: &str, values: Vec<Value>, into: &mut Map<String, Value>) {
    for value in values {
        let Value::Object(members) = value else {
            push(field, value, into);
            continue;
        };
        let first = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
        match (first(&ATTRIBUTE_NAMES).and_then(Value::as_str), first(&ATTRIBUTE_VALUES)) {
            (Some(name), Some(value)) => push(name, value.clone(), into),
            // JSON-LD notes types.
            _ => members
                .into_iter()
                .filter(|(name, _)| !name.starts_with('@'))
                .for_each(|(name, value)| push(&name, value, into)),
        }
    }
}

fn push(name: &str, value: Value, into: &mut Map<String, Value>) {
    let values = into.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(values) = values {
        match value {
            Value::Array(more) => values.extend(more),
            value => values.push(value),
        }
    }
}
