//! The paper's Table 2 from the predictions of a grid, and its page.
//!
//! A number is the mean over seeds in percent, with the sample standard deviation; the best of a column is bold, unless all are equal; a dagger says that it
//! differs from the first model's by the paired bootstrap (p below 0.05).
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use schemas::StoreError;

use super::{
    Task,
    bootstrap::{Difference, NotPaired, RESAMPLES, compare, mean_and_deviation},
    grid::Grid,
    metrics::score,
    predictions::Judged,
};
use crate::cross_attention::{AttentionError, CrossAttention, scale_of};
use trainer::{
    neighbor::Scale,
    report::{self, ReportError, chart::escape},
};

/// The predictions of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Models, in the table's order.
    pub models: Vec<String>,
    /// For each task, each model and each seed: predictions of the test part.
    pub tasks: Vec<(Task, Vec<Vec<Vec<Judged>>>)>,
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
pub struct Value {
    /// Mean over seeds, a share.
    pub mean: f64,
    /// Sample standard deviation, of two seeds or more.
    pub deviation: Option<f64>,
    /// Whether no model has a higher mean, and some a lower one.
    pub best: bool,
    /// Against the first model; the first has none.
    pub difference: Option<Difference>,
}

/// A column: a score of a task.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    task: Task,
    score: usize,
    /// For each model.
    values: Vec<Value>,
}

/// Table 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    models: Vec<String>,
    columns: Vec<Column>,
    /// Seeds and test examples of each task.
    sizes: Vec<(Task, usize, usize)>,
}

impl Table {
    /// Scores predictions and compares models.
    ///
    /// # Errors
    /// When the models of a task were not tested on the same examples.
    pub fn of(cells: &Cells) -> Result<Self, TableError> {
        let (mut columns, mut sizes) = (Vec::new(), Vec::new());
        for (task, models) in &cells.tasks {
            let task = *task;
            let mut differences: Vec<Option<Vec<Difference>>> = Vec::new();
            for (number, model) in models.iter().enumerate() {
                differences.push((number > 0).then(|| compare(task, model, &models[0], RESAMPLES)).transpose()?);
            }
            let scored: Vec<Vec<Vec<f64>>> = models
                .iter()
                .map(|seeds| seeds.iter().map(|judged| score(task, judged).values(task)).collect())
                .collect();
            for number in 0..task.score_names().len() {
                let means: Vec<(f64, Option<f64>)> = scored
                    .iter()
                    .map(|seeds| mean_and_deviation(&seeds.iter().map(|values| values[number]).collect::<Vec<_>>()))
                    .collect();
                let highest = means.iter().map(|(mean, _)| *mean).fold(f64::NEG_INFINITY, f64::max);
                let lowest = means.iter().map(|(mean, _)| *mean).fold(f64::INFINITY, f64::min);
                let value = |((mean, deviation), differences): (&(f64, Option<f64>), &Option<Vec<Difference>>)| Value {
                    mean: *mean,
                    deviation: *deviation,
                    best: *mean == highest && highest > lowest,
                    difference: differences.as_ref().map(|differences| differences[number]),
                };
                let values = means.iter().zip(&differences).map(value).collect();
                columns.push(Column { task, score: number, values });
            }
            sizes.push((task, models[0].len(), models[0].first().map_or(0, Vec::len)));
        }
        Ok(Self { models: cells.models.clone(), columns, sizes })
    }

    /// One row a model and score.
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "model,task,score,mean,standard_deviation,seeds,test_examples,difference_from_first,difference_low,difference_high,p\n",
        );
        for (row, model) in self.models.iter().enumerate() {
            for column in &self.columns {
                let value = column.values[row];
                let (_, seeds, examples) =
                    self.sizes.iter().find(|(task, ..)| *task == column.task).copied().unwrap_or((column.task, 0, 0));
                let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
                let difference = value.difference;
                let _ = writeln!(
                    csv,
                    "\"{}\",{},{},{:.6},{},{seeds},{examples},{},{},{},{}",
                    model.replace('"', "\"\""),
                    column.task,
                    column.task.score_names()[column.score],
                    value.mean,
                    number(value.deviation),
                    number(difference.map(|d| d.value)),
                    number(difference.map(|d| d.low)),
                    number(difference.map(|d| d.high)),
                    number(difference.map(|d| d.p)),
                );
            }
        }
        csv
    }

    /// The paper's layout.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| model |");
        for column in &self.columns {
            let _ =
                write!(text, " {} {} |", column.task.as_str().to_uppercase(), column.task.score_heads()[column.score]);
        }
        text += "\n|---|";
        self.columns.iter().for_each(|_| text += "---|");
        text.push('\n');
        for (row, model) in self.models.iter().enumerate() {
            let _ = write!(text, "| {} |", model.replace('|', "\\|"));
            for column in &self.columns {
                let value = column.values[row];
                let shown = value.text();
                let _ = write!(text, " {} |", if value.best { format!("**{shown}**") } else { shown });
            }
            text.push('\n');
        }
        text + "\n" + &self.caption() + "\n"
    }

    fn caption(&self) -> String {
        let each = self
            .sizes
            .iter()
            .map(|(task, _, examples)| format!("{} {examples} {}", task.as_str().to_uppercase(), task.examples()));
        let seeds = match self.sizes.first().map_or(0, |(_, seeds, _)| *seeds) {
            1 => "one seed".to_owned(),
            seeds => format!("{seeds} seeds"),
        };
        format!(
            "Test scores in percent, mean ± standard deviation over seeds; the best is bold; † differs from {} (paired bootstrap, {RESAMPLES} resamples, p < 0.05). Of {seeds}. Tested on: {}.",
            self.models.first().map_or("", String::as_str),
            each.collect::<Vec<_>>().join(", ")
        )
    }

    fn html(&self) -> String {
        let mut head = String::from("<tr><th rowspan=\"2\">model</th>");
        for (task, ..) in &self.sizes {
            let _ = write!(head, "<th class=\"task\" colspan=\"{}\">{}</th>", task.score_names().len(), task.title());
        }
        head += "</tr>\n<tr>";
        for column in &self.columns {
            let _ = write!(head, "<th{}>{}</th>", column.class(), column.task.score_heads()[column.score]);
        }
        let mut rows = String::new();
        for (row, model) in self.models.iter().enumerate() {
            let _ = write!(rows, "<tr><th>{}</th>", escape(model));
            for column in &self.columns {
                let value = column.values[row];
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
        format!(
            "<table class=\"scores\"><thead>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n<p>{}</p>\n",
            escape(&self.caption())
        )
    }
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
        let dagger = if self.difference.is_some_and(|difference| difference.p < 0.05) { "†" } else { "" };
        let deviation = self.deviation.map(|deviation| format!("± {:.2}", 100.0 * deviation));
        (format!("{:.2}{dagger}", 100.0 * self.mean), deviation)
    }

    /// `66.71† ± 0.20`.
    fn text(self) -> String {
        let (mean, deviation) = self.parts();
        deviation.map_or(mean.clone(), |deviation| format!("{mean} {deviation}"))
    }
}

/// The table with the figures that a grid names, as one page that needs nothing else. `folders` are those of the models.
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
        // One scale for all, or shares could not be compared: that of the last model, which is the whole E-BERT.
        let scale = folders.last().map_or(Scale::None, |(_, folder)| scale_of(folder));
        let divided = match scale {
            Scale::None => "",
            Scale::SqrtD => " Scores are divided by the root of the hidden size.",
        };
        let _ = writeln!(
            page,
            "<h2>Cross attention of two titles</h2>\n<p>A cell is the share of the column's token with which Neighbor Product \
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
        page += "<h2>Phrases that tell categories apart</h2>\n";
        page += &phrase_table(&read(phrases)?);
    }
    Ok(page + "</body></html>\n")
}

/// The models whose attention is drawn: the first and the last, before all post-training and after all of it.
pub(super) fn drawn<T>(models: &[T]) -> impl Iterator<Item = &T> {
    models.iter().take(1).chain(models.iter().skip(1).last())
}

fn read(path: &Path) -> Result<String, StoreError> {
    fs::read_to_string(path).map_err(StoreError::io("read", path))
}

/// The paper's Table 1 of the lines that `pipeline report phrases` writes: category, products, phrase, and more. A row for each category.
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
    use crate::{Gold, predictions::Prediction};

    fn judged(right: usize, of: usize) -> Vec<Judged> {
        let each = (0..of).map(|at| Judged {
            id: at.to_string(),
            document: at.to_string(),
            prediction: Prediction::Class(if at < right { "x" } else { "y" }.into()),
            gold: Gold::Class("x".into()),
        });
        each.collect()
    }

    #[test]
    fn the_table_has_the_papers_layout() {
        let cells = Cells {
            models: vec!["BERT-Raw".into(), "E-BERT \"x\"".into()],
            tasks: vec![(
                Task::Asc,
                vec![vec![judged(40, 100), judged(42, 100)], vec![judged(60, 100), judged(60, 100)]],
            )],
        };
        let table = Table::of(&cells).unwrap();
        let markdown = table.markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines[0], "| model | ASC Acc | ASC MaF1 |");
        assert!(lines[2].starts_with("| BERT-Raw | 41.00 ± 1.41 | "), "{markdown}");
        assert!(lines[3].starts_with("| E-BERT \"x\" | **60.00† ± 0.00** | "), "{markdown}");
        assert!(lines[5].ends_with("Of 2 seeds. Tested on: ASC 100 aspects."), "{markdown}");
        let csv = table.csv();
        assert!(csv.contains("\n\"BERT-Raw\",asc,accuracy,0.410000,0.014142,2,100,,,,\n"), "{csv}");
        assert!(csv.contains("\n\"E-BERT \"\"x\"\"\",asc,accuracy,0.600000,0.000000,2,100,0.190000,"), "{csv}");
        assert!(table.html().contains("<th>E-BERT &quot;x&quot;</th><td class=\"task\" title=\"+19.00 from the first"));
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
