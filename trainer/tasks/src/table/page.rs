//! The page of a grid: the table, curves of pre-training, attention between titles, and figures of `ebert report`.
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use ebert_report::{
    Drawn,
    chart::escape,
    color::Color,
    figures,
    page::{self, scrolled},
};
use schemas::StoreError;
use trainer::neighbor::Scale;

use super::{Column, Table, TableError, Test};
use crate::{
    cross_attention::{AttentionError, CrossAttention, scale_of},
    grid::Grid,
};

impl Table {
    pub(super) fn html(&self) -> String {
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
        for ((row, model), color) in self.models.iter().enumerate().zip(self.colors()) {
            let _ = write!(rows, "<tr><th>{}{}</th>", swatch(color), escape(model));
            for (column, _) in self.main() {
                let Some(value) = column.values[row] else {
                    let _ = write!(rows, "<td{}>–</td>", column.class());
                    continue;
                };
                let title = value.difference.map_or(String::new(), |d| {
                    format!(
                        " title=\"{:+.2} from the first, 95% interval {:+.2} to {:+.2}, p = {:.4}\"",
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
        let table = format!("<table class=\"scores\"><thead>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n");
        let mut html = format!("{}<p>{}</p>\n", scrolled(&table), escape(&self.caption()));
        self.figures().iter().for_each(|(_, svg)| html += &scrolled(svg));
        if !self.missing.is_empty() {
            let cells = escape(&self.missing.join(" · "));
            let _ = writeln!(html, "<p>{}: {cells}</p>", self.are_missing());
        }
        html
    }
}

impl Test {
    /// The task, with the test's name if it has one of its own.
    fn title(&self) -> String {
        if self.name == self.task.as_str() {
            self.task.title().to_owned()
        } else {
            format!("{} ({})", self.task.title(), self.name)
        }
    }
}

impl Column {
    /// Where a task begins.
    fn class(&self) -> &'static str {
        if self.score == 0 { " class=\"task\"" } else { "" }
    }
}

/// The color of a model, in front of its name.
fn swatch(color: Color) -> String {
    format!("<i class=\"{}\"></i>", color.class())
}

/// Rules of style that other pages do not need.
const STYLE: &str = "b{font-weight:700}.scores td,.scores th{padding:.3em .7em;white-space:nowrap}\
.scores .task{border-left:1px solid var(--rule)}.scores thead th{text-align:center}\
.phrases td:last-child{white-space:normal;min-width:16em}.phrases td:last-child,.phrases thead th{text-align:left}.maps{display:flex;flex-wrap:wrap;gap:1.5em}.maps figure{max-width:100%}\
figcaption i{display:inline-block;width:.7em;height:.7em;margin-right:.5em;background:currentColor}";

/// The table with the figures that a grid names, as one page that needs nothing else. `folders` are
/// those of the models, and `origin` is where the numbers come from, as HTML.
///
/// # Errors
/// When a file that it shows cannot be read.
pub fn page(grid: &Grid, table: &Table, folders: &[(String, PathBuf)], origin: &str) -> Result<String, TableError> {
    let title = if grid.summary.is_empty() { "Fine-tuning" } else { &grid.summary };
    let mut body = format!("<h2>Tasks</h2>\n{}", table.html());
    let colors = table.colors();
    let runs: Vec<Drawn> = grid
        .model
        .iter()
        .zip(&colors)
        .filter_map(|(model, &color)| Some(Drawn { name: model.name.clone(), color, run: model.run.clone()? }))
        .collect();
    if !runs.is_empty() {
        let _ = write!(body, "<h2>Pre-training</h2>\n{}", figures(runs)?);
    }
    if !grid.figures.titles.is_empty() {
        // One scale for all, or the maps could not be compared: that of the last model, which is
        // the whole E-BERT.
        let last = folders.last().map(|(_, folder)| scale_of(folder)).transpose().map_err(AttentionError::from)?;
        let scale = last.unwrap_or(Scale::None);
        body += "<h2>Cross attention of two titles</h2>\n<p>A cell is the weight of the column's token with which Neighbor Product \
                 Reconstruction rebuilds the row's.</p>\n";
        for [first, second] in &grid.figures.titles {
            let _ = write!(
                body,
                "<h3>“{}” (rows) and “{}” (columns)</h3>\n<div class=\"maps\">\n",
                escape(first),
                escape(second)
            );
            let colored: Vec<_> = folders.iter().zip(&colors).collect();
            for ((name, folder), color) in drawn(&colored) {
                let svg = CrossAttention::of(folder, [first, second], scale)?.svg(name);
                let _ = write!(
                    body,
                    "<figure><figcaption>{}{}</figcaption>\n{}</figure>\n",
                    swatch(**color),
                    escape(name),
                    scrolled(&svg)
                );
            }
            body += "</div>\n";
        }
    }
    if let Some(overlap) = &grid.figures.overlap {
        let svg = scrolled(&read(overlap)?);
        let _ = write!(body, "<h2>Pool phrases that are noun phrases, by category</h2>\n{svg}");
    }
    if let Some(phrases) = &grid.figures.phrases {
        let table = scrolled(&phrase_table(&read(phrases)?));
        let _ = write!(body, "<h2>Phrases that distinguish categories</h2>\n{table}");
    }
    Ok(page::page(title, STYLE, &(body + origin)))
}

/// The models whose attention is drawn: the first and the last, before all post-training and after
/// all of it.
pub(crate) fn drawn<T>(models: &[T]) -> impl Iterator<Item = &T> {
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
