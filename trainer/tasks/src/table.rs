//! The paper's Table 2 of a grid, and its page.
//!
//! A number is a mean in percent: over replicates of post-training, and within a replicate over
//! splits and fine-tuning seeds. Its deviation is the sample standard deviation of replicates, or
//! of the cells if there is one replicate. The best of a column is bold, unless all are equal. A
//! dagger marks a deciding score that differs from the first model's: by the bootstrap of
//! [`bootstrap`](super::bootstrap), after Holm's correction over all models and tests, p is below
//! 0.05.
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use schemas::StoreError;

use super::{
    Task,
    bootstrap::{Difference, NotPaired, Panel, RESAMPLES, Replicate, Resampled, holm, mean_and_deviation},
    contamination::{Contamination, RUN},
    figures::{self, Interval, Line},
    grid::Grid,
    paper_order,
};
use crate::cross_attention::{AttentionError, CrossAttention, scale_of};
use trainer::{
    neighbor::Scale,
    report::{self, ReportError, chart::escape},
};

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
    /// For each model, its replicates.
    pub models: Vec<Vec<Replicate>>,
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
    /// Of the model that has most.
    replicates: usize,
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
    /// The mean rank correlation with the paper's scores, if its rows and tasks are there.
    order: Option<Difference>,
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
            let resampled = panel.resampled(RESAMPLES);
            for score in 0..test.task.score_names().len() {
                let value = |model: usize| {
                    let replicates = panel.replicates(model);
                    let of = |rows: &[Vec<f64>]| rows.iter().map(|scores| scores[score]).collect::<Vec<_>>();
                    let (mean, deviation) = match replicates.len() {
                        0 => return None,
                        1 => mean_and_deviation(&of(&panel.cells(model))),
                        _ => mean_and_deviation(&of(&replicates)),
                    };
                    let difference = (model > 0).then(|| resampled.difference(score, model, 0)).flatten();
                    Some(Value { mean, deviation, best: false, difference, corrected: None })
                };
                let mut values: Vec<Option<Value>> = (0..results.models.len()).map(value).collect();
                let means = || values.iter().flatten().map(|value| value.mean);
                let highest = means().fold(f64::NEG_INFINITY, f64::max);
                let lowest = means().fold(f64::INFINITY, f64::min);
                for value in values.iter_mut().flatten() {
                    value.best = value.mean == highest && highest > lowest;
                }
                columns.push(Column { test: tests.len(), score, values });
            }
            let first = test.models.iter().flatten().next();
            tests.push(Test {
                name: test.name.clone(),
                task: test.task,
                limit: test.limit,
                train: test.train,
                replicates: test.models.iter().map(Vec::len).max().unwrap_or(0),
                splits: first.map_or(0, Vec::len),
                seeds: first.and_then(|splits| splits.first()).map_or(0, Vec::len),
                examples: first.and_then(|splits| splits.first()?.first()).map_or(0, Vec::len),
                documents: panel.documents(),
            });
            if test.name == test.task.as_str() && test.limit.is_none() {
                of_paper.push((test.task, resampled));
            }
        }
        let of_paper: Vec<(Task, &Resampled)> = of_paper.iter().map(|(task, resampled)| (*task, resampled)).collect();
        let mut table = Self {
            models: results.models.clone(),
            tests,
            columns,
            missing: results.missing.clone(),
            contamination: results.contamination.clone(),
            order: paper_order::correlation(&results.models, &of_paper),
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

    /// Whether a column is of all training examples: the last limit of its test.
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
                    test.replicates,
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
        if let Some(Difference { value, low, high, .. }) = self.order {
            let _ = write!(
                text,
                "\nRank correlation with the paper's Table 2, mean over tasks: {value:.2}, 95% interval {low:.2} to {high:.2}.\n"
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
        let mut figures = Vec::new();
        let panels: Vec<(String, Vec<Interval>)> = self
            .deciding()
            .map(|(column, test)| {
                let rows = self.models.iter().enumerate().filter_map(|(row, model)| {
                    let difference = column.values[row]?.difference?;
                    let [value, low, high] = [difference.value, difference.low, difference.high].map(|d| 100.0 * d);
                    Some(Interval { name: model.clone(), colour: row, value, low, high })
                });
                (format!("{}, points from {}", test.deciding_name(column), self.models[0]), rows.collect())
            })
            .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
            .collect();
        if !panels.is_empty() {
            figures.push(("differences.svg", figures::intervals("Differences with 95% intervals", &panels)));
        }
        let curves: Vec<(String, Vec<Line>)> = self
            .curves()
            .into_iter()
            .map(|columns| {
                let line = |(row, model): (usize, &String)| {
                    let point = |(column, test): &(&Column, &Test)| {
                        Some((test.train.max(1) as f64, 100.0 * column.values[row]?.mean))
                    };
                    Line { name: model.clone(), colour: row, points: columns.iter().filter_map(point).collect() }
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
        let of = |count: usize, name: &str| match count {
            1 => format!("1 {name}"),
            count => format!("{count} {name}s"),
        };
        format!(
            "Test scores in percent: mean ± standard deviation, over {}, {} and {}. The best is bold. † differs from {} (bootstrap of replicates and documents, {RESAMPLES} resamples, p < 0.05 after Holm's correction over all models and tests). Tested on: {}.",
            of(most(|test| test.replicates), "replicate"),
            of(most(|test| test.splits), "split"),
            of(most(|test| test.seeds), "seed"),
            self.models.first().map_or("", String::as_str),
            each.join(", ")
        )
    }

    fn html(&self) -> String {
        let mut head = String::from("<tr><th rowspan=\"2\">model</th>");
        for (_, test) in self.deciding() {
            let _ =
                write!(head, "<th class=\"task\" colspan=\"{}\">{}</th>", test.task.score_names().len(), test.title());
        }
        head += "</tr>\n<tr>";
        for (column, test) in self.main() {
            let _ = write!(head, "<th{}>{}</th>", column.class(), test.task.score_heads()[column.score]);
        }
        let mut rows = String::new();
        for (row, model) in self.models.iter().enumerate() {
            let _ = write!(rows, "<tr><th>{}</th>", escape(model));
            for (column, _) in self.main() {
                let Some(value) = column.values[row] else {
                    let _ = write!(rows, "<td{}>–</td>", column.class());
                    continue;
                };
                let title = value.difference.map_or(String::new(), |d| {
                    format!(
                        " title=\"{:+.2} from the first, 95% of resamples from {:+.2} to {:+.2}, p = {:.4}\"",
                        100.0 * d.value,
                        100.0 * d.low,
                        100.0 * d.high,
                        d.p
                    )
                });
                let (open, close) = if value.best { ("<b>", "</b>") } else { ("", "") };
                let (mean, deviation) = value.parts();
                let deviation = deviation.map_or(String::new(), |deviation| format!("<br><small>{deviation}</small>"));
                let _ = write!(rows, "<td{}{title}>{open}{mean}{close}{deviation}</td>", column.class());
            }
            rows += "</tr>\n";
        }
        let mut html = format!(
            "<table class=\"scores\"><thead>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n<p>{}</p>\n",
            escape(&self.caption())
        );
        self.figures().iter().for_each(|(_, svg)| html += &format!("<figure>\n{svg}</figure>\n"));
        if !self.missing.is_empty() {
            let cells = escape(&self.missing.join(" · "));
            let _ = writeln!(html, "<p>{}: {cells}</p>", self.are_missing());
        }
        html
    }
}

impl Test {
    /// `AE F1`.
    fn deciding_name(&self, column: &Column) -> String {
        format!("{} {}", self.name.to_uppercase(), self.task.score_heads()[column.score])
    }

    /// The task, with the test's name if it has one of its own.
    fn title(&self) -> String {
        if self.name == self.task.as_str() {
            self.task.title().to_owned()
        } else {
            format!("{} ({})", self.task.title(), self.name)
        }
    }
}

/// `+1.20 [0.30, 2.10]†`, in points.
fn difference_text(value: Option<Value>) -> String {
    let Some(Value { difference: Some(d), .. }) = value else { return "–".to_owned() };
    let dagger = value.map_or("", Value::dagger);
    format!("{:+.2} [{:.2}, {:.2}]{dagger}", 100.0 * d.value, 100.0 * d.low, 100.0 * d.high)
}

impl Column {
    /// Where a task begins.
    fn class(&self) -> &'static str {
        if self.score == 0 { " class=\"task\"" } else { "" }
    }
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

/// The table with the figures that a grid names, as one page that needs nothing else. `folders` are
/// those of the models.
///
/// # Errors
/// When a file that it shows cannot be read.
pub fn page(grid: &Grid, table: &Table, folders: &[(String, PathBuf)]) -> Result<String, TableError> {
    let title = if grid.summary.is_empty() { "Fine-tuning" } else { &grid.summary };
    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{}\nb{{font-weight:700}}.scores td,.scores th{{padding:.3em .7em;white-space:nowrap}}.scores .task{{border-left:1px solid #ddd}}.scores thead th{{text-align:center}}.phrases td:last-child,.phrases thead th{{text-align:left}}.maps{{display:flex;flex-wrap:wrap;gap:1.5em}}</style></head><body>\n<h1>{title}</h1>\n<h2>Tasks</h2>\n{}",
        report::STYLE,
        table.html()
    );
    let runs: Vec<(String, PathBuf)> =
        grid.model.iter().filter_map(|model| Some((model.name.clone(), model.run.clone()?))).collect();
    if !runs.is_empty() {
        let _ = write!(page, "<h2>Pre-training</h2>\n{}", report::figures(&runs)?);
    }
    if !grid.figures.titles.is_empty() {
        // One scale for all, or shares could not be compared: that of the last model, which is the
        // whole E-BERT.
        let scale = folders.last().map_or(Scale::None, |(_, folder)| scale_of(folder));
        let divided = match scale {
            Scale::None => "",
            Scale::SqrtD => " Dot products are divided by the square root of the hidden size.",
        };
        let _ = writeln!(
            page,
            "<h2>Cross attention of two titles</h2>\n<p>A cell is the weight of the column's token with which Neighbor Product \
             Reconstruction rebuilds the row's.{divided}</p>"
        );
        for [first, second] in &grid.figures.titles {
            page += "<div class=\"maps\">\n";
            for (name, folder) in drawn(folders) {
                let svg = CrossAttention::of(folder, [first, second], scale)?.svg();
                let _ = write!(page, "<figure><figcaption>{}</figcaption>\n{svg}</figure>\n", escape(name));
            }
            page += "</div>\n";
        }
    }
    if let Some(overlap) = &grid.figures.overlap {
        let _ = write!(page, "<h2>Pool phrases that are noun phrases, by category</h2>\n{}\n", read(overlap)?);
    }
    if let Some(phrases) = &grid.figures.phrases {
        page += "<h2>Phrases that distinguish categories</h2>\n";
        page += &phrase_table(&read(phrases)?);
    }
    Ok(page + "</body></html>\n")
}

/// The models whose attention is drawn: the first and the last, before all post-training and after
/// all of it.
pub(super) fn drawn<T>(models: &[T]) -> impl Iterator<Item = &T> {
    models.iter().take(1).chain(models.iter().skip(1).last())
}

fn read(path: &Path) -> Result<String, StoreError> {
    fs::read_to_string(path).map_err(StoreError::io("read", path))
}

/// The paper's Table 1 of the lines that `ebert report phrases` writes: category, products, phrase,
/// and more. A row for each category.
fn phrase_table(csv: &str) -> String {
    let mut rows: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in csv.lines().skip(1) {
        if let [category, products, phrase, ..] = fields(line).as_slice() {
            match rows.last_mut() {
                Some((last, _, phrases)) if last == category => phrases.push(phrase.clone()),
                _ => rows.push((category.clone(), products.clone(), vec![phrase.clone()])),
            }
        }
    }
    let row = |(category, products, phrases): &(String, String, Vec<String>)| {
        let phrases = escape(&phrases.join(" · "));
        format!("<tr><th>{}</th><td>{products}</td><td>{phrases}</td></tr>\n", escape(category))
    };
    format!(
        "<table class=\"phrases\"><thead><tr><th>category</th><th>products</th><th>phrases</th></tr></thead>\n<tbody>{}</tbody></table>\n",
        rows.iter().map(row).collect::<String>()
    )
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Gold,
        predictions::{Judged, Prediction},
    };

    fn judged(right: usize, of: usize) -> Vec<Judged> {
        let each = (0..of).map(|at| Judged {
            id: at.to_string(),
            document: at.to_string(),
            prediction: Prediction::Class(if at < right { "x" } else { "y" }.into()),
            gold: Gold::Class("x".into()),
        });
        each.collect()
    }

    fn asc(models: Vec<Vec<Replicate>>, limit: Option<usize>) -> TestResults {
        TestResults { name: "asc".into(), task: Task::Asc, limit, train: limit.unwrap_or(900), models }
    }

    fn results(tests: Vec<TestResults>) -> Results {
        Results {
            models: vec!["BERT-Raw".into(), "E-BERT \"x\"".into()],
            tests,
            missing: Vec::new(),
            contamination: Vec::new(),
        }
    }

    #[test]
    fn the_table_has_the_papers_layout() {
        let one = |seeds: Vec<Vec<Judged>>| vec![vec![seeds]];
        let models = vec![one(vec![judged(40, 100), judged(42, 100)]), one(vec![judged(60, 100), judged(60, 100)])];
        let table = Table::of(&results(vec![asc(models, None)])).unwrap();
        let markdown = table.markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines[0], "| model | ASC Acc | ASC MaF1 |");
        assert!(lines[2].starts_with("| BERT-Raw | 41.00 ± 1.41 | "), "{markdown}");
        assert!(lines[3].starts_with("| E-BERT \"x\" | **60.00† ± 0.00** | "), "{markdown}");
        assert!(
            lines[5].contains("over 1 replicate, 1 split and 2 seeds.")
                && lines[5].ends_with("ASC 100 different sentences.")
        );
        assert!(markdown.contains("\n| E-BERT \"x\" | +19.00 ["), "{markdown}");
        let csv = table.csv();
        assert!(csv.contains("\n\"BERT-Raw\",asc,asc,,900,accuracy,0.410000,0.014142,1,1,2,100,100,,,,,\n"), "{csv}");
        assert!(
            csv.contains("\n\"E-BERT \"\"x\"\"\",asc,asc,,900,accuracy,0.600000,0.000000,1,1,2,100,100,0.190000,"),
            "{csv}"
        );
        let html = table.html();
        assert!(
            html.contains("<th>E-BERT &quot;x&quot;</th><td class=\"task\" title=\"+19.00 from the first"),
            "{html}"
        );
    }

    #[test]
    fn replicates_limits_and_missing_cells_are_shown() {
        let replicates = |right: [usize; 3]| right.map(|right| vec![vec![judged(right, 100)]]).to_vec();
        let few = vec![replicates([30, 31, 32]), replicates([40, 41, 42])];
        let all = vec![replicates([60, 61, 62]), Vec::new()];
        let mut results = results(vec![asc(few, Some(64)), asc(all, None)]);
        results.missing.push("E-BERT, asc, seed 0, replicate 3".to_owned());
        let table = Table::of(&results).unwrap();
        let markdown = table.markdown();
        // The main table is of all examples; the deviation is that of replicates.
        assert!(markdown.contains("\n| BERT-Raw | 61.00 ± 1.00 | "), "{markdown}");
        assert!(markdown.contains("\n| E-BERT \"x\" | – | – |"), "{markdown}");
        assert!(markdown.contains("ASC Acc by training examples:\n\n| model | 64 | 900 |"), "{markdown}");
        assert!(markdown.ends_with("1 cell is missing:\n\n* E-BERT, asc, seed 0, replicate 3\n"), "{markdown}");
        assert_eq!(table.figures().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["learning-curves.svg"]);
    }

    #[test]
    fn phrases_of_a_category_are_one_row() {
        let csv = "category,products,phrase,score\n\"Tea, green\",9,\"tea pot\",0.9\n\"Tea, green\",9,\"a cup\",0.8\nBooks,4,\"new york\",0.7\n";
        let table = phrase_table(csv);
        assert!(
            table.contains("<tr><th>Tea, green</th><td>9</td><td>tea pot · a cup</td></tr>\n<tr><th>Books</th>"),
            "{table}"
        );
    }

    #[test]
    fn fields_of_csv_may_be_quoted() {
        assert_eq!(fields("\"a, b\",3,\"say \"\"c\"\"\","), ["a, b", "3", "say \"c\"", ""]);
    }
}
