//! How two sets of options differ, for a person who wonders why something is not up to date.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

/// An option that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name; keys of tables within tables are joined by dots.
    pub key: String,
    /// What it was.
    pub before: String,
    /// What it is now.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: it was {}, now {}", self.key, self.before, self.now)
    }
}

/// What differs, by key.
pub fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let [before, now] = [before, now].map(|value| {
        let mut values = BTreeMap::new();
        flatten("", value, &mut values);
        values
    });
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let value = |of: &BTreeMap<String, String>, key: &String| of.get(key).cloned().unwrap_or("absent".to_owned());
    keys.into_iter()
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| Difference { key: key.clone(), before: value(&before, key), now: value(&now, key) })
        .collect()
}

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let under = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| flatten(&under(key), value, into)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(i, value)| flatten(&under(&i.to_string()), value, into));
        }
        value => drop(into.insert(prefix.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let before = json!({"seed": 0, "stage": [{"steps": 5}, {"steps": 6}], "betas": [0.9, 0.999], "gone": "x"});
        let now = json!({"seed": 0, "stage": [{"steps": 5}, {"steps": 7}], "betas": [0.9, 0.99]});
        let wanted = [
            "betas: it was [0.9,0.999], now [0.9,0.99]",
            "gone: it was \"x\", now absent",
            "stage.1.steps: it was 6, now 7",
        ];
        assert_eq!(differences(&before, &now).iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    }
}
