//! Which versions of the code made a folder.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The rules numbers of the steps that decide a folder's content, and the libraries that wrote its files.
///
/// Each step's code has a rules number, which is raised whenever the step's output changes. The numbers stand in
/// manifests and in every key, so that an upgrade rebuilds what it affects and never mixes versions.
///
/// ```
/// use schemas::Rules;
///
/// let old = Rules::of([("clean", 1), ("words", 1)]);
/// let new = Rules::of([("clean", 2), ("words", 1)]);
/// assert_eq!(new.changed_since(&old).as_deref(), Some("rules of clean changed"));
/// assert_eq!(new.changed_since(&new), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    #[serde(flatten)]
    numbers: BTreeMap<String, u32>,
    /// Another version of a library may write the same rows as other bytes.
    #[serde(default)]
    writer: String,
}

impl Rules {
    /// The rules of these steps, with the libraries of this build.
    pub fn of<'s>(steps: impl IntoIterator<Item = (&'s str, u32)>) -> Self {
        Self { numbers: steps.into_iter().map(|(step, number)| (step.to_owned(), number)).collect(), writer: writer() }
    }

    /// These and others.
    pub fn and(mut self, other: Self) -> Self {
        self.numbers.extend(other.numbers);
        self
    }

    /// The rules as a line of text, for keys.
    pub fn key(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(|(step, number)| format!("{step} {number}")).collect();
        format!("rules {}; {}", numbers.join(", "), self.writer)
    }

    /// In words, how these differ from those of an older folder, which may name more steps. `None` if they do not.
    pub fn changed_since(&self, old: &Self) -> Option<String> {
        let changed: Vec<&str> = self
            .numbers
            .iter()
            .filter(|(step, number)| old.numbers.get(*step) != Some(number))
            .map(|(step, _)| step.as_str())
            .collect();
        if !changed.is_empty() {
            return Some(format!("rules of {} changed", changed.join(", ")));
        }
        (self.writer != old.writer).then(|| format!("files were written by {}, now by {}", old.writer, self.writer))
    }
}

/// The libraries that write tables.
fn writer() -> String {
    let parquet = parquet::file::properties::DEFAULT_CREATED_BY.replace(" version", "");
    format!("{parquet}, zstd {}", zstd::zstd_safe::version_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_and_every_difference_changes_the_key() {
        let now = Rules::of([("clean", 1), ("words", 3)]);
        for (old, wanted) in [
            (Rules::of([("clean", 1), ("words", 3)]), None),
            (Rules::of([("clean", 2), ("words", 3)]), Some("rules of clean changed")),
            (Rules::of([("words", 3)]), Some("rules of clean changed")),
            (Rules::of([("clean", 1), ("cut", 1), ("words", 2)]), Some("rules of words changed")),
            (Rules::default(), Some("rules of clean, words changed")),
        ] {
            assert_eq!(now.changed_since(&old).as_deref(), wanted);
            assert!(wanted.is_none() || now.key() != old.key());
        }
        let other = Rules { writer: "parquet-rs 1.0.0, zstd 1.0.0".to_owned(), ..now.clone() };
        assert!(now.changed_since(&other).unwrap().starts_with("files were written by parquet-rs 1.0.0"));
        assert_ne!(now.key(), other.key());
    }

    #[test]
    fn a_folder_without_rules_is_read() {
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
        let rules = Rules::of([("pairs", 7)]);
        let json = serde_json::to_string(&rules).unwrap();
        assert!(json.starts_with(r#"{"pairs":7,"writer":"parquet-rs "#), "{json}");
        assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules);
    }
}
