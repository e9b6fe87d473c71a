//! What probes find: a file with a result for each item, and a table.
//!
//! The file is one JSON object. `items` names what each probe scores, once for all models. `models`
//! has, for each model and probe, its scores and one result per item in the order of `items`, which
//! is what a bootstrap needs.
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};

use super::ProbeData;

/// A file of probes.
#[derive(Debug, Serialize)]
pub struct Record {
    /// What models are probed with.
    pub settings: ProbeData,
    /// By probe: ids of its items and what is right.
    pub items: BTreeMap<String, Value>,
    /// The models.
    pub models: Vec<Probed>,
}

/// What a model knows.
#[derive(Debug, Serialize)]
pub struct Probed {
    /// The model as it was named.
    pub model: String,
    /// blake3 of its weights.
    pub weights: String,
    /// By probe, in the order of the table.
    #[serde(serialize_with = "as_map")]
    pub probes: Vec<(String, Finished)>,
}

/// A probe of a model.
#[derive(Debug, Serialize)]
pub struct Finished {
    /// What it took.
    pub seconds: f64,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a probe finds.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Scores, in the order of the table.
    #[serde(serialize_with = "scores_as_map")]
    pub scores: Vec<Score>,
    /// A result for each item.
    pub results: Value,
    /// Why there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

impl Outcome {
    /// Of scores and results.
    pub fn new(scores: Vec<Score>, results: Value) -> Self {
        Self { scores, results, left_out: None }
    }

    /// Nothing, for a reason.
    pub fn left_out(reason: String) -> Self {
        Self { left_out: Some(reason), ..Self::default() }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// What it is counted in.
    pub unit: Unit,
}

/// What a score is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 1; the table has percent.
    Ratio,
    /// Nats per token.
    Nats,
}

impl Score {
    /// A ratio.
    pub fn ratio(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, unit: Unit::Ratio }
    }

    /// A loss.
    pub fn nats(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, unit: Unit::Nats }
    }
}

impl Probed {
    pub(super) fn new(model: &str, weights: &str) -> Self {
        Self { model: model.to_owned(), weights: weights.to_owned(), probes: Vec::new() }
    }

    pub(super) fn add(&mut self, probe: String, outcome: Outcome, took: Duration) {
        let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        self.probes.push((probe, Finished { seconds, outcome }));
    }

    /// Numbers and names for a program: one object per probe.
    pub fn facts(&self) -> Vec<Value> {
        let of_probe = |(probe, finished): &(String, Finished)| {
            let scores: BTreeMap<&str, f64> =
                finished.outcome.scores.iter().map(|score| (score.name.as_str(), score.value)).collect();
            json!({
                "event": "probe", "model": self.model, "probe": probe, "scores": scores,
                "left_out": finished.outcome.left_out, "seconds": finished.seconds,
            })
        };
        self.probes.iter().map(of_probe).collect()
    }

    fn score(&self, probe: &str, name: &str) -> Option<&Score> {
        let (_, finished) = self.probes.iter().find(|(at, _)| at == probe)?;
        finished.outcome.scores.iter().find(|score| score.name == name)
    }
}

fn as_map<S: Serializer>(probes: &[(String, Finished)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(probes.len()))?;
    probes.iter().try_for_each(|(name, finished)| map.serialize_entry(name, finished))?;
    map.end()
}

fn scores_as_map<S: Serializer>(scores: &[Score], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(scores.len()))?;
    scores.iter().try_for_each(|score| map.serialize_entry(&score.name, &score.value))?;
    map.end()
}

impl Record {
    /// A table in Markdown: a row for each score, a column for each model, and what the probes
    /// took.
    pub fn table(&self) -> String {
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for (probe, finished) in self.models.iter().flat_map(|model| &model.probes) {
            let names = finished.outcome.scores.iter().map(|score| (probe.as_str(), score.name.as_str()));
            let new: Vec<_> = names.filter(|row| !rows.contains(row)).collect();
            // Rows of a probe stay together, also where the first model was left out.
            let at = rows.iter().rposition(|(of, _)| of == probe).map_or(rows.len(), |last| last + 1);
            rows.splice(at..at, new);
        }
        let mut cells: Vec<Vec<String>> = vec![["probe", "score"].map(str::to_owned).to_vec()];
        cells[0].extend(self.models.iter().map(|model| model.model.clone()));
        for (probe, name) in rows {
            let mut row = vec![probe.to_owned(), name.to_owned()];
            row.extend(self.models.iter().map(|model| match model.score(probe, name) {
                Some(Score { value, unit: Unit::Nats, .. }) => format!("{value:.3}"),
                Some(Score { value, unit: Unit::Ratio, .. }) => format!("{:.2}", 100.0 * value),
                None => String::new(),
            }));
            cells.push(row);
        }
        let seconds = |model: &Probed| model.probes.iter().map(|(_, finished)| finished.seconds).sum::<f64>();
        let mut took = vec!["all".to_owned(), "seconds".to_owned()];
        took.extend(self.models.iter().map(|model| format!("{:.0}", seconds(model))));
        cells.push(took);
        in_columns(&cells)
    }
}

/// Cells as a Markdown table: two columns of names, then numbers.
fn in_columns(cells: &[Vec<String>]) -> String {
    let columns = cells.first().map_or(0, Vec::len);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in cells.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column < 2 { write!(text, "| {cell:width$} ") } else { write!(text, "| {cell:>width$} ") };
        }
        text += "|\n";
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = write!(text, "|{}{}", "-".repeat(width + 1), if column < 2 { "-" } else { ":" });
            }
            text += "|\n";
        }
    }
    text
}

/// Rounded to five digits, so that a file of thousands of numbers stays small.
pub(super) fn short(number: f64) -> f64 {
    let scale = 10f64.powi(5 - number.abs().max(1e-9).log10().ceil() as i32);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_column_for_each_model() {
        let mut models = ["a", "bert"].map(|name| Probed::new(name, "hash"));
        models[0].add("cloze".into(), Outcome::left_out("no head".into()), Duration::from_secs(1));
        models[1].add("cloze".into(), Outcome::new(vec![Score::nats("loss", 2.5)], Value::Null), Duration::ZERO);
        for (value, model) in [0.25, 0.5].into_iter().zip(&mut models) {
            model.add("titles".into(), Outcome::new(vec![Score::ratio("f1", value)], Value::Null), Duration::ZERO);
        }
        let record = Record { settings: ProbeData::default(), items: BTreeMap::new(), models: models.into() };
        let wanted = "| probe  | score   |     a |  bert |\n\
                      |--------|---------|------:|------:|\n\
                      | titles | f1      | 25.00 | 50.00 |\n\
                      | cloze  | loss    |       | 2.500 |\n\
                      | all     | seconds |     1 |     0 |\n"
            .replace("| all     |", "| all    |");
        assert_eq!(record.table(), wanted);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["models"][1]["probes"]["cloze"]["scores"]["loss"], 2.5);
        assert_eq!(json["models"][0]["probes"]["cloze"]["left_out"], "no head");
    }

    #[test]
    fn numbers_keep_five_digits() {
        for (number, wanted) in [(1.234_567, 1.2346), (-123.456_78, -123.46), (0.0, 0.0), (0.001_234_567, 0.001_234_6)]
        {
            assert!((short(number) - wanted).abs() < 1e-9, "{number}: {}", short(number));
        }
    }
}
