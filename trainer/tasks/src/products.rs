//! Product classification: JSON lines `{"id", "title", "labels": [...]}`, as `ebert titles` writes
//! them.
//!
//! Titles that are equal but for case and spaces stay together: many products are one article in
//! several sizes.
//!
//! Which labels there are is a matter of the file, not of what is trained on: [`Labels::of`] takes
//! those of at least so many titles. Rarer ones are not part of the task.
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Example, Gold, Input, Read, Tally};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    title: String,
    labels: Vec<String>,
}

/// Version of this reader: raised when it gives other examples for the same file.
pub const RULES: u32 = 1;

const WANTED: &str = r#"JSON lines: {"id": "B000TBZHNK", "title": "…", "labels": ["Beauty", "Foot Care"]}"#;

/// A product without a title.
pub const NO_TITLE: &str = "products without a title: left out";
/// A product without labels.
pub const NO_LABEL: &str = "products without a label: left out";
/// A label of too few titles.
pub const RARE: &str = "labels of too few titles: no part of the task";
/// A product all of whose labels are rare.
pub const RARE_ONLY: &str = "titles whose labels are all of too few titles: left out";
/// A label of the test that training never saw.
pub const UNSEEN: &str = "labels of the test that no title trained on has: cannot be predicted, and count as missed";

/// Reads the text of a file. An error is what was found, and what was wanted.
///
/// # Errors
/// When a line is not a JSON object of `id`, `title` and `labels` alone.
pub fn read(text: &str) -> Result<Read, (String, &'static str)> {
    let (mut examples, mut left_out, mut tally) = (Vec::new(), Vec::new(), Tally::default());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line =
            serde_json::from_str(line).map_err(|error| (format!("line {}: {error}", number + 1), WANTED))?;
        let place = format!("in product {}", line.id);
        if line.title.trim().is_empty() {
            tally.add(NO_TITLE, &place);
            left_out.push(line.id);
            continue;
        }
        let labels: BTreeSet<String> = line.labels.into_iter().filter(|label| !label.trim().is_empty()).collect();
        if labels.is_empty() {
            tally.add(NO_LABEL, &place);
            left_out.push(line.id);
            continue;
        }
        examples.push(Example {
            id: line.id,
            document: line.title.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
            input: Input::Text(line.title),
            gold: Gold::Labels(labels.into_iter().collect()),
        });
    }
    Ok(Read { examples, left_out, tally, numbered: false })
}

/// The labels of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    frequent: BTreeSet<String>,
    rare: BTreeSet<String>,
}

impl Labels {
    /// Those of at least `least` of these titles, and the rest.
    pub fn of(examples: &[Example], least: usize) -> Self {
        let mut titles: BTreeMap<&String, usize> = BTreeMap::new();
        for label in examples.iter().flat_map(labels_of) {
            *titles.entry(label).or_default() += 1;
        }
        let (frequent, rare): (Vec<_>, Vec<_>) = titles.into_iter().partition(|(_, count)| *count >= least);
        let [frequent, rare] = [frequent, rare].map(|some| some.into_iter().map(|(label, _)| label.clone()).collect());
        Self { frequent, rare }
    }

    /// The labels of the task, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.frequent.iter().map(String::as_str)
    }

    /// Whether a label is one of the rest.
    pub fn is_rare(&self, label: &str) -> bool {
        self.rare.contains(label)
    }

    /// Counts the rest.
    pub fn count_rare(&self, tally: &mut Tally) {
        self.rare.iter().for_each(|label| tally.add(RARE, &format!("`{label}`")));
    }

    /// Takes rare labels off examples, and examples away that have no other. A label that is in
    /// neither list stays: it cannot be predicted, and counts as missed.
    pub fn restrict(&self, examples: Vec<Example>, tally: &mut Tally) -> Vec<Example> {
        let mut kept = Vec::new();
        for mut example in examples {
            if let Gold::Labels(labels) = &mut example.gold {
                labels.retain(|label| !self.rare.contains(label));
                if labels.is_empty() {
                    tally.add(RARE_ONLY, &format!("in product {}", example.id));
                    continue;
                }
            }
            kept.push(example);
        }
        kept
    }
}

/// The labels that an example has.
pub fn labels_of(example: &Example) -> &[String] {
    match &example.gold {
        Gold::Labels(labels) => labels,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"id":"1","title":"Red  Tea","labels":["Tea","Food","Food"]}
{"id":"2","title":"red tea","labels":["Tea","Rare"]}

{"id":"3","title":" ","labels":["Tea"]}
{"id":"4","title":"Cup","labels":[]}
{"id":"5","title":"Pot","labels":["Rarer"]}
"#;

    #[test]
    fn titles_are_read_and_equal_ones_stay_together() {
        let read = read(FILE).unwrap();
        let found: Vec<_> = read.examples.iter().map(|e| (e.id.as_str(), e.document.as_str(), labels_of(e))).collect();
        let labels = |some: &[&str]| some.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            found,
            [
                ("1", "red tea", &labels(&["Food", "Tea"])[..]),
                ("2", "red tea", &labels(&["Rare", "Tea"])),
                ("5", "pot", &labels(&["Rarer"])),
            ]
        );
        assert_eq!(
            read.tally.iter().collect::<Vec<_>>(),
            [(NO_LABEL, 1, "in product 4"), (NO_TITLE, 1, "in product 3")]
        );
    }

    #[test]
    fn rare_labels_are_no_part_of_the_task_and_unseen_ones_stay() {
        let examples = read(FILE).unwrap().examples;
        let labels = Labels::of(&examples, 2);
        assert_eq!(labels.names().collect::<Vec<_>>(), ["Tea"]);
        let mut tally = Tally::default();
        labels.count_rare(&mut tally);
        let mut more = examples.clone();
        more.push(Example { gold: Gold::Labels(vec!["New".into()]), ..examples[0].clone() });
        let kept = labels.restrict(more, &mut tally);
        let found: Vec<_> = kept.iter().map(labels_of).collect();
        assert_eq!(found, [["Tea"], ["Tea"], ["New"]]);
        assert_eq!(tally.iter().collect::<Vec<_>>(), [(RARE, 3, "`Food`"), (RARE_ONLY, 1, "in product 5")]);
    }

    #[test]
    fn another_shape_is_named() {
        assert!(read("{\"id\":1}").unwrap_err().0.starts_with("line 1: "));
        assert!(
            read("{\"id\":\"1\",\"title\":\"a\",\"label\":\"b\"}").unwrap_err().0.contains("unknown field `label`")
        );
    }
}
