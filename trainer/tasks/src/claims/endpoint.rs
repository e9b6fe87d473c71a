//! The scores that claims compare, from the results of each item in a record of `ebert probe`.
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metrics::{Sums, f1, ratio};

/// A score of a probed model, with the documents that a bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Masked words of held-out documents of which all tokens are right.
    Words,
    /// Masked pool phrases of held-out documents of which all tokens are right.
    PoolPhrases,
    /// The mean of both.
    WordsAndPoolPhrases,
    /// Mean reciprocal rank of a neighbor, by cosine.
    Retrieval,
    /// Micro-F1 of title categories, by logistic regression.
    Titles,
    /// F1 of aspects, the mean over all data sets.
    Aspects,
}

impl Endpoint {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Words, Self::PoolPhrases, Self::WordsAndPoolPhrases, Self::Retrieval, Self::Titles, Self::Aspects];

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Words => "words right",
            Self::PoolPhrases => "pool phrases right",
            Self::WordsAndPoolPhrases => "mean of words and pool phrases",
            Self::Retrieval => "MRR of neighbors",
            Self::Titles => "micro-F1 of titles",
            Self::Aspects => "F1 of aspects",
        }
    }

    /// How the sums of documents become the score.
    pub(super) fn score(self) -> fn(&[f64]) -> f64 {
        match self {
            Self::Words | Self::Retrieval => |s| ratio(s[0], s[1]),
            Self::PoolPhrases => |s| ratio(s[2], s[3]),
            Self::WordsAndPoolPhrases => |s| (ratio(s[0], s[1]) + ratio(s[2], s[3])) / 2.0,
            Self::Titles => f1_of,
            Self::Aspects => |s| {
                let sets = s.chunks_exact(3);
                sets.clone().map(f1_of).sum::<f64>() / sets.len().max(1) as f64
            },
        }
    }

    /// The sums of each document in a probed model; `None` if it was not probed for this.
    pub(super) fn sums(self, record: &ProbeRecord, model: &Value) -> Option<Vec<Sums>> {
        let results = |probe: &str| Some(&model["probes"][probe]["results"]).filter(|results| results.is_object());
        let items = |probe: &str| record.items.get(probe);
        match self {
            Self::Words | Self::PoolPhrases | Self::WordsAndPoolPhrases => {
                let cloze = results("cloze")?;
                let of = |kind: &str, count: &str| column(&cloze[kind][count]);
                Some(rows(&[
                    of("words", "whole")?,
                    of("words", "units")?,
                    of("pool phrases", "whole")?,
                    of("pool phrases", "units")?,
                ]))
            }
            Self::Retrieval => {
                let ranks = column(&results("retrieval")?["cosine"])?;
                let reciprocal: Vec<f64> = ranks.iter().map(|rank| 1.0 / rank).collect();
                let ones = vec![1.0; ranks.len()];
                Some(grouped(&[reciprocal, ones], items("retrieval")?["anchor"].as_array()?))
            }
            Self::Titles => {
                let counts = counts(&results("titles")?["logistic"], items("titles")?)?;
                Some(grouped(&counts, items("titles")?["document"].as_array()?))
            }
            Self::Aspects => {
                let mut documents = Vec::new();
                let sets = record.items.iter().filter(|(probe, _)| probe.starts_with("aspects "));
                for (set, (probe, items)) in (0..).zip(sets) {
                    let place =
                        |sums: Sums| Sums(sums.0.into_iter().map(|(slot, value)| (3 * set + slot, value)).collect());
                    documents.extend(rows(&counts(results(probe)?, items)?).into_iter().map(place));
                }
                (!documents.is_empty()).then_some(documents)
            }
        }
    }
}

/// Columns of right, predicted and gold.
fn counts(found: &Value, items: &Value) -> Option<[Vec<f64>; 3]> {
    Some([column(&found["right"])?, column(&found["predicted"])?, column(&items["gold"])?])
}

/// Of the sums of right, predicted and gold.
fn f1_of(sums: &[f64]) -> f64 {
    f1(sums[0], sums[1], sums[2])
}

fn column(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// Columns of equal length as the sums of rows.
fn rows(columns: &[Vec<f64>]) -> Vec<Sums> {
    let count = columns.iter().map(Vec::len).min().unwrap_or(0);
    (0..count).map(|row| Sums((0..).zip(columns).map(|(slot, column)| (slot, column[row])).collect())).collect()
}

/// Columns of equal length as the sums of the rows with an equal key.
fn grouped(columns: &[Vec<f64>], keys: &[Value]) -> Vec<Sums> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Sums> = Vec::new();
    for (row, key) in rows(columns).into_iter().zip(keys) {
        let next = groups.len();
        let number = *numbers.entry(key.to_string()).or_insert(next);
        if number == next {
            groups.push(row);
        } else {
            groups[number].0.iter_mut().zip(row.0).for_each(|((_, sum), (_, value))| *sum += value);
        }
    }
    groups
}

/// A record of `ebert probe`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProbeRecord {
    pub settings: Value,
    pub items: BTreeMap<String, Value>,
    pub models: Vec<Value>,
}
