//! The paper's Table 2 of a grid, and its page.
//!
//! A number is a mean in percent: over replicates of post-training, and within a replicate over
//! splits and fine-tuning seeds. Its deviation is the sample standard deviation of replicates, or
//! of the cells if there is one replicate. The best of a column is bold, unless all are equal. A
//! dagger marks a deciding score that differs from the first model's: by the bootstrap of
//! [`bootstrap`](super::bootstrap), after Holm's correction over all models and tests, p is below
//! 0.05.
mod facts;
mod page;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use ebert_report::{ReportError, chart::Series, color::Color};
use indicatif::HumanCount;
use schemas::StoreError;

pub(super) use page::drawn;
pub use page::page;

use super::{
    Task,
    bootstrap::{Difference, NotPaired, Panel, RESAMPLES, Replicate, holm, mean_and_deviation},
    contamination::{Contamination, RUN},
    figures::{self, Interval},
    paper_order::{self, Order},
};
use crate::cross_attention::AttentionError;

/// The predictions of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// Models, in the table's order.
    pub models: Vec<String>,
    /// Tests, in the table's order; those of one name by their limits, all examples last.
    pub tests: Vec<TestResults>,
    /// Names of cells that are not finished.
    pub missing: Vec<String>,
    /// For each name of a test, its texts that occur in the training text, where that is known.
    pub contamination: Vec<(String, Contamination)>,
}

/// The predictions for one test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestResults {
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: Task,
    /// The most examples to train on; `None` for all.
    pub limit: Option<usize>,
    /// Examples that were trained on, in the first split.
    pub train: usize,
    /// For each model, its replicates by number; `None` without results.
    pub models: Vec<Vec<Option<Replicate>>>,
}

/// A table or a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Cells are not of the same test.
    #[error(transparent)]
    NotPaired(#[from] NotPaired),
    /// A run's curves.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A figure of two titles.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// A file that the page shows.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A score of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    /// A ratio of 1.
    mean: f64,
    deviation: Option<f64>,
    /// Replicates with results.
    replicates: usize,
    /// Whether no model has a higher mean, and some a lower one.
    best: bool,
    /// From the first model's; the first has none.
    difference: Option<Difference>,
    /// Of a deciding score: p after Holm's correction.
    corrected: Option<f64>,
}

/// A score of a test.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    /// Number of the test.
    test: usize,
    score: usize,
    /// For each model; `None` without a finished replicate.
    values: Vec<Option<Value>>,
}

/// A test without its predictions.
#[derive(Clone, Debug, PartialEq)]
struct Test {
    name: String,
    task: Task,
    limit: Option<usize>,
    train: usize,
    splits: usize,
    seeds: usize,
    /// Test examples of the first split.
    examples: usize,
    documents: usize,
}

/// Table 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    models: Vec<String>,
    tests: Vec<Test>,
    columns: Vec<Column>,
    missing: Vec<String>,
    contamination: Vec<(String, Contamination)>,
    /// How the models are ordered, compared with the paper, if its rows and tasks are there.
    order: Option<Order>,
}

impl Table {
    /// Scores predictions and compares models.
    ///
    /// # Errors
    /// When the models of a test were not tested on the same examples.
    pub fn of(results: &Results) -> Result<Self, TableError> {
        let (mut columns, mut tests, mut of_paper) = (Vec::new(), Vec::new(), Vec::new());
        for test in &results.tests {
            let panel = Panel::of_task(test.task, &test.models)?;
            let models = 0..results.models.len();
            let differences: Vec<Option<Vec<Difference>>> =
                models.clone().map(|model| (model > 0).then(|| panel.compare(model, 0, RESAMPLES)).flatten()).collect();
            let scores: Vec<Vec<Vec<f64>>> = models.clone().map(|model| panel.replicates(model)).collect();
            let cells: Vec<Vec<Vec<f64>>> = models.clone().map(|model| panel.cells(model)).collect();
            for score in 0..test.task.score_names().len() {
                let value = |model: usize| {
                    let of = |rows: &[Vec<f64>]| rows.iter().map(|scores| scores[score]).collect::<Vec<_>>();
                    let replicates = scores[model].len();
                    let (mean, deviation) = match replicates {
                        0 => return None,
                        1 => mean_and_deviation(&of(&cells[model])),
                        _ => mean_and_deviation(&of(&scores[model])),
                    };
                    let difference = differences[model].as_ref().map(|differences| differences[score]);
                    Some(Value { mean, deviation, replicates, best: false, difference, corrected: None })
                };
                let mut values: Vec<Option<Value>> = models.clone().map(value).collect();
                let means = || values.iter().flatten().map(|value| value.mean);
                let highest = means().fold(f64::NEG_INFINITY, f64::max);
                let lowest = means().fold(f64::INFINITY, f64::min);
                for value in values.iter_mut().flatten() {
                    value.best = value.mean == highest && highest > lowest;
                }
                columns.push(Column { test: tests.len(), score, values });
            }
            let first = test.models.iter().flatten().flatten().next();
            tests.push(Test {
                name: test.name.clone(),
                task: test.task,
                limit: test.limit,
                train: test.train,
                splits: first.map_or(0, Vec::len),
                seeds: first.and_then(|splits| splits.first()).map_or(0, Vec::len),
                examples: first.and_then(|splits| splits.first()?.first()).map_or(0, Vec::len),
                documents: panel.documents(),
            });
            if test.name == test.task.as_str() && test.limit.is_none() {
                of_paper.push((test.task, panel));
            }
        }
        let mut table = Self {
            models: results.models.clone(),
            tests,
            columns,
            missing: results.missing.clone(),
            contamination: results.contamination.clone(),
            order: paper_order::order(&results.models, &of_paper),
        };
        table.correct();
        Ok(table)
    }

    /// Corrects the p values of all deciding scores of the main table together.
    fn correct(&mut self) {
        let main: Vec<usize> = (0..self.columns.len()).filter(|&at| self.is_deciding(&self.columns[at])).collect();
        let mut values: Vec<&mut Value> = Vec::new();
        for (at, column) in self.columns.iter_mut().enumerate() {
            if main.contains(&at) {
                values.extend(column.values.iter_mut().flatten().filter(|value| value.difference.is_some()));
            }
        }
        let p: Vec<f64> = values.iter().filter_map(|value| value.difference).map(|difference| difference.p).collect();
        values.iter_mut().zip(holm(&p)).for_each(|(value, corrected)| value.corrected = Some(corrected));
    }

    /// Whether a column is of the most training examples: the last limit of its test.
    fn is_main(&self, column: &Column) -> bool {
        self.tests.get(column.test + 1).is_none_or(|next| next.name != self.tests[column.test].name)
    }

    fn is_deciding(&self, column: &Column) -> bool {
        self.is_main(column) && column.score == self.tests[column.test].task.deciding()
    }

    fn main(&self) -> impl Iterator<Item = (&Column, &Test)> {
        self.columns.iter().filter(|column| self.is_main(column)).map(|column| (column, &self.tests[column.test]))
    }

    fn deciding(&self) -> impl Iterator<Item = (&Column, &Test)> {
        self.main().filter(|(column, _)| self.is_deciding(column))
    }

    /// One row per model, test, limit and score.
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "model,test,task,limit,train_examples,score,mean,standard_deviation,replicates,splits,seeds,test_examples,documents,difference_from_first,difference_low,difference_high,p,p_holm\n",
        );
        for (row, model) in self.models.iter().enumerate() {
            for column in &self.columns {
                let (Some(value), test) = (column.values[row], &self.tests[column.test]) else { continue };
                let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
                let difference = value.difference;
                let _ = writeln!(
                    csv,
                    "\"{}\",{},{},{},{},{},{:.6},{},{},{},{},{},{},{},{},{},{},{}",
                    model.replace('"', "\"\""),
                    test.name,
                    test.task,
                    test.limit.map(|limit| limit.to_string()).unwrap_or_default(),
                    test.train,
                    test.task.score_names()[column.score],
                    value.mean,
                    number(value.deviation),
                    value.replicates,
                    test.splits,
                    test.seeds,
                    test.examples,
                    test.documents,
                    number(difference.map(|d| d.value)),
                    number(difference.map(|d| d.low)),
                    number(difference.map(|d| d.high)),
                    number(difference.map(|d| d.p)),
                    number(value.corrected),
                );
            }
        }
        csv
    }

    /// The paper's layout, then differences with their intervals, learning curves, and missing
    /// cells.
    pub fn markdown(&self) -> String {
        let scores: Vec<String> = self
            .main()
            .map(|(column, test)| format!("{} {}", test.name.to_uppercase(), test.task.score_heads()[column.score]))
            .collect();
        let bold = |value: Option<Value>| match value {
            Some(value) if value.best => format!("**{}**", value.text()),
            value => value.map_or("–".to_owned(), Value::text),
        };
        let mut text = self.rows(&scores, |row| self.main().map(|(column, _)| bold(column.values[row])).collect());
        text += &format!("\n{}\n", self.caption());
        if self.models.len() > 1 {
            let heads: Vec<String> = self.deciding().map(|(column, test)| test.deciding_name(column)).collect();
            let _ = write!(text, "\nDifference from {} in points, 95% interval:\n\n", self.models[0]);
            let cells = |row: usize| self.deciding().map(|(column, _)| difference_text(column.values[row])).collect();
            text += &self.rows(&heads, cells);
        }
        if let Some(Order { correlation: Difference { value, low, high, p }, by_chance }) = &self.order {
            let _ = write!(
                text,
                "\nRank correlation with the paper's Table 2, mean over tasks: {value:.2}, 95% interval {low:.2} to {high:.2}, p {p:.4}. \
                 Of all orders of the rows, {:.1}% are as far from 0.\n",
                100.0 * by_chance
            );
        }
        for test in self.curves() {
            let heads: Vec<String> = test.iter().map(|(_, test)| test.train.to_string()).collect();
            let _ = write!(text, "\n{} by training examples:\n\n", test[0].1.deciding_name(test[0].0));
            text += &self.rows(&heads, |row| test.iter().map(|(column, _)| bold(column.values[row])).collect());
        }
        if !self.contamination.is_empty() {
            let _ = write!(
                text,
                "\nTest texts that occur in the training text, by runs of {RUN} tokens (shorter texts as a whole):\n\n\
                 | test | texts | share a run | at least half of their runs | too short to judge |\n|---|---|---|---|---|\n"
            );
            for (name, found) in &self.contamination {
                let part = |count: usize| format!("{count} ({:.1}%)", 100.0 * count as f64 / found.texts.max(1) as f64);
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} |",
                    name.to_uppercase(),
                    found.texts,
                    part(found.shared),
                    part(found.mostly),
                    found.short
                );
            }
        }
        if !self.missing.is_empty() {
            let _ = write!(text, "\n{}:\n\n", self.are_missing());
            self.missing.iter().for_each(|cell| text += &format!("* {cell}\n"));
        }
        text
    }

    /// A table with a row for each model.
    fn rows(&self, heads: &[String], cells: impl Fn(usize) -> Vec<String>) -> String {
        let mut text = format!("| model | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
        for (row, model) in self.models.iter().enumerate() {
            let _ = writeln!(text, "| {} | {} |", model.replace('|', "\\|"), cells(row).join(" | "));
        }
        text
    }

    /// The deciding scores of each test with several limits, by limit.
    fn curves(&self) -> Vec<Vec<(&Column, &Test)>> {
        let deciding = self.columns.iter().map(|column| (column, &self.tests[column.test]));
        let deciding: Vec<_> = deciding.filter(|(column, test)| column.score == test.task.deciding()).collect();
        let of_test = deciding.chunk_by(|(_, a), (_, b)| a.name == b.name);
        of_test.filter(|columns| columns.len() > 1).map(<[_]>::to_vec).collect()
    }

    /// Figures: file name and content.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let (mut figures, colors) = (Vec::new(), self.colors());
        let panels: Vec<(String, Vec<Interval>)> = self
            .deciding()
            .map(|(column, test)| {
                let rows = self.models.iter().enumerate().filter_map(|(row, model)| {
                    let difference = column.values[row]?.difference?;
                    let [value, low, high] = [difference.value, difference.low, difference.high].map(|d| 100.0 * d);
                    Some(Interval { name: model.clone(), color: colors[row], value, low, high })
                });
                (format!("{}, points from {}", test.deciding_name(column), self.models[0]), rows.collect())
            })
            .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
            .collect();
        if !panels.is_empty() {
            figures.push(("differences.svg", figures::intervals("Differences with 95% intervals", &panels)));
        }
        let curves: Vec<(String, Vec<Series>)> = self
            .curves()
            .into_iter()
            .map(|columns| {
                let line = |(row, model): (usize, &String)| {
                    let point = |(column, test): &(&Column, &Test)| {
                        Some((test.train.max(1) as f64, 100.0 * column.values[row]?.mean))
                    };
                    Series {
                        name: model.clone(),
                        color: colors[row],
                        dashed: false,
                        points: columns.iter().filter_map(point).collect(),
                    }
                };
                let title = format!("{} by training examples", columns[0].1.deciding_name(columns[0].0));
                (title, self.models.iter().enumerate().map(line).collect())
            })
            .collect();
        if !curves.is_empty() {
            figures.push(("learning-curves.svg", figures::curves("Learning curves", &curves)));
        }
        figures
    }

    /// Those of the models, for all figures.
    fn colors(&self) -> Vec<Color> {
        Color::of_names(self.models.iter().map(String::as_str))
    }

    fn are_missing(&self) -> String {
        match self.missing.len() {
            1 => "1 cell is missing".to_owned(),
            cells => format!("{cells} cells are missing"),
        }
    }

    fn caption(&self) -> String {
        let mut each: Vec<String> = Vec::new();
        for (_, test) in self.deciding() {
            each.push(format!("{} {} {}", test.name.to_uppercase(), test.documents, test.task.documents()));
        }
        let most = |of: fn(&Test) -> usize| self.tests.iter().map(of).max().unwrap_or(0);
        let values = self.columns.iter().flat_map(|column| column.values.iter().flatten());
        let replicates = values.map(|value| value.replicates).max().unwrap_or(0);
        let of = |count: usize, name: &str| match count {
            1 => format!("1 {name}"),
            count => format!("{count} {name}s"),
        };
        format!(
            "Test scores in percent: mean ± standard deviation, over {}, {} and {}. The best is bold. † differs from {} (bootstrap of replicates and documents, {} resamples, p < 0.05 after Holm's correction over all models and tests). Tested on: {}.",
            of(replicates, "replicate"),
            of(most(|test| test.splits), "split"),
            of(most(|test| test.seeds), "seed"),
            self.models.first().map_or("", String::as_str),
            HumanCount(RESAMPLES as u64),
            each.join(", ")
        )
    }
}

impl Test {
    /// `AE F1`.
    fn deciding_name(&self, column: &Column) -> String {
        format!("{} {}", self.name.to_uppercase(), self.task.score_heads()[column.score])
    }
}

/// `+1.20 [0.30, 2.10]†`, in points.
fn difference_text(value: Option<Value>) -> String {
    let Some(Value { difference: Some(d), .. }) = value else { return "–".to_owned() };
    let dagger = value.map_or("", Value::dagger);
    d.in_points() + dagger
}

impl Value {
    /// `66.71†` and `± 0.20`.
    fn parts(self) -> (String, Option<String>) {
        let dagger = self.dagger();
        let deviation = self.deviation.map(|deviation| format!("± {:.2}", 100.0 * deviation));
        (format!("{:.2}{dagger}", 100.0 * self.mean), deviation)
    }

    fn dagger(self) -> &'static str {
        if self.corrected.is_some_and(|p| p < 0.05) { "†" } else { "" }
    }

    /// `66.71† ± 0.20`.
    fn text(self) -> String {
        let (mean, deviation) = self.parts();
        deviation.map_or(mean.clone(), |deviation| format!("{mean} {deviation}"))
    }
}
