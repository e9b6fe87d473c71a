//! Python's `repr`, which wrote the 2014 dump. For tests and for the fuzz target of records.
use std::fmt::Write;

use serde_json::Value;

/// Python's `repr` of a JSON value.
pub(crate) fn repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if c == quote => out.extend(['\\', c]),
                    c if c < ' ' || ('\u{7f}'..'\u{a0}').contains(&c) => {
                        let _ = write!(out, "\\x{:02x}", u32::from(c));
                    }
                    // Python 2 escapes these, Python 3 does not.
                    '\u{100}'..='\u{ffff}' => {
                        let _ = write!(out, "\\u{:04x}", u32::from(c));
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (i, (key, field)) in fields.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(&Value::String(key.clone()), out);
                out.push_str(": ");
                repr(field, out);
            }
            out.push('}');
        }
    }
}
