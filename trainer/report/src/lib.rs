//! Runs as a page: `report.html`, drawn from `metrics.jsonl`. Several runs in one page give the
//! paper's Figure 7.
//!
//! [`report()`] writes such a page, and [`figures`] makes a part of another one. All pages of the
//! project are made of [`mod@page`], [`mod@chart`] and [`color`]: HTML and SVG that fetch nothing.
#![forbid(unsafe_code)]

pub mod chart;
pub mod color;
pub mod page;
mod training;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use schemas::StoreError;
use serde::Deserialize;

use chart::{Series, chart, escape};
use color::Color;
use ebert_batches::masking::MaskMode;
use page::{page, scrolled};
use trainer::{
    log::{HeldOutRecord, METRICS, Measured, MeasuredPairs, MeasuredPart, MeasuredRetrieval, StepRecord, brief},
    provenance,
};
use training::{Curve, Training};

/// A page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A run's metrics.
    #[error("cannot read `{}`\nhint: name folders of runs, such as data/work/runs/sample", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A line of them.
    #[error("line {line} of `{}` is not a record of a run\nhint: only its last line may be cut short, by a run that was stopped", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing was measured.
    #[error("`{}` holds no step and no measurement yet\nhint: wait for the run's first line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The page.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a run reported.
#[derive(Clone, Debug, PartialEq)]
struct RunRecords {
    name: String,
    color: Color,
    training: Training,
    held_out: Vec<HeldOutRecord>,
    /// Where it comes from.
    provenance: [String; 6],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    HeldOut(HeldOutRecord),
    Step(Box<StepRecord>),
}

impl RunRecords {
    fn read(run: &Path, name: String, color: Color) -> Result<Self, ReportError> {
        let path = run.join(METRICS);
        let read = |source| ReportError::Read { path: path.clone(), source };
        let mut lines = BufReader::new(File::open(&path).map_err(read)?);
        let (training, held_out, provenance) = (Training::default(), Vec::new(), provenance::row(run));
        let mut told = Self { name, color, training, held_out, provenance };
        let (mut line, mut number) = (Vec::new(), 0);
        while lines.read_until(b'\n', &mut line).map_err(read)? > 0 {
            number += 1;
            match serde_json::from_slice(&line) {
                Ok(Line::HeldOut(record)) => told.held_out.push(record),
                Ok(Line::Step(record)) => told.training.add(&record),
                // A run that continues may be writing it.
                Err(_) if !line.ends_with(b"\n") => {}
                Err(source) => return Err(ReportError::Malformed { path, line: number, source }),
            }
            line.clear();
        }
        let is_empty = told.training.last.is_none() && told.held_out.is_empty();
        if is_empty { Err(ReportError::Empty { path }) } else { Ok(told) }
    }

    /// A value of each measurement on pairs.
    fn of_pairs(&self, value: fn(&MeasuredPairs) -> f64) -> Vec<(f64, f64)> {
        let of = |record: &HeldOutRecord| Some((record.step as f64, value(record.held_out_pairs.as_ref()?)));
        self.held_out.iter().filter_map(of).collect()
    }

    /// A value of each measurement of retrieval.
    fn of_retrieval(&self, value: fn(&MeasuredRetrieval) -> f64) -> Vec<(f64, f64)> {
        let of = |record: &HeldOutRecord| {
            Some((record.step as f64, value(record.held_out_pairs.as_ref()?.retrieval.as_ref()?)))
        };
        self.held_out.iter().filter_map(of).collect()
    }

    /// A value of each measurement of phrases in a part of them.
    fn of_phrases(&self, part: fn(&Measured) -> Option<MeasuredPart>) -> Vec<(f64, f64)> {
        let of = |record: &HeldOutRecord| {
            let part = record.held_out.iter().find(|m| m.mode == MaskMode::Phrase).and_then(part)?;
            Some((record.step as f64, 100.0 * part.whole))
        };
        self.held_out.iter().filter_map(of).collect()
    }

    /// A value of each measurement in a mode.
    fn measured(&self, mode: MaskMode, value: fn(&Measured) -> f64) -> Vec<(f64, f64)> {
        let of = |record: &HeldOutRecord| {
            record.held_out.iter().find(|m| m.mode == mode).map(|m| (record.step as f64, value(m)))
        };
        self.held_out.iter().filter_map(of).collect()
    }
}

/// Writes a page about these runs.
///
/// # Errors
/// When a run has no metrics, or the page cannot be written.
pub fn report(runs: &[PathBuf], file: &Path) -> Result<(), ReportError> {
    let name = |run: &PathBuf| {
        let real = fs::canonicalize(run).ok();
        let name = real.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| run.display().to_string())
    };
    let names: Vec<String> = runs.iter().map(name).collect();
    let colors = Color::of_names(names.iter().map(String::as_str));
    let all = names.iter().zip(runs).zip(colors).map(|((name, run), color)| RunRecords::read(run, name.clone(), color));
    let told: Vec<RunRecords> = all.collect::<Result<_, _>>()?;
    schemas::store::Output::at(file)?.write(page(&names.join(", "), "", &body(&told)).as_bytes())?;
    Ok(())
}

/// A run of a page about models.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// What the page calls it.
    pub name: String,
    /// Its color on the page.
    pub color: Color,
    /// Its folder.
    pub run: PathBuf,
}

/// Tables and charts of runs, as a part of a page.
///
/// # Errors
/// When a run has no metrics.
pub fn figures(runs: Vec<Drawn>) -> Result<String, ReportError> {
    let told = runs.into_iter().map(|Drawn { name, color, run }| RunRecords::read(&run, name, color));
    Ok(body(&told.collect::<Result<Vec<_>, ReportError>>()?))
}

/// What is drawn of a run.
type Points<'f> = &'f dyn Fn(&RunRecords) -> Vec<(f64, f64)>;

fn body(runs: &[RunRecords]) -> String {
    let each = |points: Points<'_>| -> Vec<Series> {
        let line = |run: &RunRecords| {
            let (name, color) = (run.name.clone(), run.color);
            Series { name, color, dashed: false, points: points(run) }
        };
        runs.iter().map(line).collect()
    };
    // Two lines of each run, the second one dashed. Of a single run, it is gray.
    let pair = |names: [&str; 2], points: [Points<'_>; 2]| -> Vec<Series> {
        let mut lines = Vec::new();
        for run in runs {
            for (number, (name, points)) in names.iter().zip(points).enumerate() {
                let name = if runs.len() == 1 { (*name).to_owned() } else { format!("{}, {name}", run.name) };
                let color = if runs.len() == 1 && number == 1 { Color::NEUTRAL } else { run.color };
                lines.push(Series { name, color, dashed: number == 1, points: points(run) });
            }
        }
        lines
    };
    let of_each = |curve: fn(&Training) -> &Curve| each(&|run| curve(&run.training).points());
    let sections = [
        (
            "Held-out documents, masked alike for all runs",
            vec![
                chart("Loss, words masked", "nats per token", &each(&|r| r.measured(MaskMode::Word, |m| m.loss))),
                chart("Loss, phrases masked", "nats per token", &each(&|r| r.measured(MaskMode::Phrase, |m| m.loss))),
                chart(
                    "Words predicted as a whole",
                    "% right",
                    &each(&|r| r.measured(MaskMode::Word, |m| 100.0 * m.whole)),
                ),
                chart(
                    "Phrases predicted as a whole",
                    "% right",
                    &each(&|r| r.measured(MaskMode::Phrase, |m| 100.0 * m.whole)),
                ),
            ],
        ),
        (
            "Held-out phrases by kind",
            vec![
                chart(
                    "Pool phrases and noun phrases predicted as a whole",
                    "% right",
                    &pair(
                        ["pool phrases", "noun phrases"],
                        [&|r| r.of_phrases(|m| m.pool_phrases), &|r| r.of_phrases(|m| m.noun_phrases)],
                    ),
                ),
                chart(
                    "Rare and frequent pool phrases predicted as a whole",
                    "% right",
                    &pair(
                        ["frequent", "rare"],
                        [&|r| r.of_phrases(|m| m.frequent_phrases), &|r| r.of_phrases(|m| m.rare_phrases)],
                    ),
                ),
            ],
        ),
        (
            "Held-out pairs of products",
            vec![
                chart(
                    "Neighbors found among held-out products",
                    "MRR",
                    &pair(
                        ["model", "tf-idf"],
                        [&|r| r.of_retrieval(|m| m.model.mrr), &|r| r.of_retrieval(|m| m.tf_idf.mrr)],
                    ),
                ),
                chart(
                    "Neighbors among the first ten",
                    "%",
                    &pair(
                        ["model", "tf-idf"],
                        [&|r| r.of_retrieval(|m| 100.0 * m.model.recall_at_10), &|r| {
                            r.of_retrieval(|m| 100.0 * m.tf_idf.recall_at_10)
                        }],
                    ),
                ),
                chart(
                    "Distances to the neighbor and to a random product",
                    "eqs. 8-11",
                    &pair(["neighbor", "random product"], [&|r| r.of_pairs(|p| p.near), &|r| r.of_pairs(|p| p.far)]),
                ),
                chart("Pairs whose neighbor is nearer", "%", &each(&|r| r.of_pairs(|p| 100.0 * p.nearer))),
                chart(
                    "Variance of hidden states within titles",
                    "% of all variance",
                    &each(&|r| r.of_pairs(|p| 100.0 * p.within)),
                ),
                chart("Neighbor loss on held-out pairs", "hinge, mean of pairs", &each(&|r| r.of_pairs(|p| p.loss))),
            ],
        ),
        (
            "Training",
            vec![
                chart(
                    "Loss by what is masked",
                    "nats per token",
                    &pair(
                        ["words", "phrases, noun phrases or spans"],
                        [&|r| r.training.loss_of_words.points(), &|r| r.training.loss_of_others.points()],
                    ),
                ),
                chart("Span boundary loss", "nats", &of_each(|t| &t.boundary_loss)),
                chart("Neighbor loss", "hinge, mean of pairs", &of_each(|t| &t.neighbor_loss)),
                chart("Alpha, the probability of word mode", "", &of_each(|t| &t.alpha)),
                chart(
                    "Eta, the recent part of a loss's fall",
                    "",
                    &pair(
                        ["words", "phrases"],
                        [&|r| r.training.eta_word.points(), &|r| r.training.eta_phrase.points()],
                    ),
                ),
                chart("Learning rate", "", &of_each(|t| &t.learning_rate)),
                chart("Norm of the gradient, before clipping", "", &of_each(|t| &t.gradient_norm)),
                chart("Speed", "tokens/s", &of_each(|t| &t.tokens_per_second)),
            ],
        ),
    ];
    let mut page = table(runs);
    for (heading, charts) in sections {
        let charts: String = charts.into_iter().flatten().collect();
        if !charts.is_empty() {
            page += &format!("<h2>{heading}</h2>\n<div class=\"charts\">\n{charts}</div>\n");
        }
    }
    page + &origin(runs)
}

/// Where the runs come from.
fn origin(runs: &[RunRecords]) -> String {
    let heads: Vec<&str> = ["run"].into_iter().chain(provenance::COLUMNS).collect();
    let row = |run: &RunRecords| [run.name.clone()].into_iter().chain(run.provenance.clone()).collect();
    let note =
        "Hashes are the first 12 digits of BLAKE3: of the start model's weights, the shards' manifest, and the recipe.";
    format!(
        "<h2>Provenance of the runs</h2>\n{}<p><small>{note}</small></p>\n",
        page::table(&heads, runs.iter().map(row))
    )
}

/// The runs in numbers: how far they are, and the last and the best measurement.
fn table(runs: &[RunRecords]) -> String {
    let mut rows = String::new();
    for run in runs {
        let (step, tokens) = run.training.last.unwrap_or_default();
        let cell = |mode: MaskMode| {
            let value = |m: &Measured| {
                format!("{:.3}<small> {:.1}% / {:.1}%</small>", m.loss, 100.0 * m.accuracy, 100.0 * m.whole)
            };
            let of = |record: &HeldOutRecord| record.held_out.iter().find(|m| m.mode == mode).map(value);
            let [first, last] = [run.held_out.first(), run.held_out.last()].map(|r| r.and_then(of).unwrap_or_default());
            format!("<td>{first}</td><td>{last}</td>")
        };
        rows += &format!(
            "<tr><th><i class=\"{}\"></i>{}</th><td>{}</td><td>{}</td><td>{:.1} min</td>{}{}</tr>\n",
            run.color.class(),
            escape(&run.name),
            step,
            brief(tokens as f64),
            run.training.seconds / 60.0,
            cell(MaskMode::Word),
            cell(MaskMode::Phrase)
        );
    }
    let table = format!(
        "<table><thead><tr><th rowspan=\"2\">run</th><th rowspan=\"2\">steps</th><th rowspan=\"2\">tokens</th><th rowspan=\"2\">in steps</th>\
         <th colspan=\"2\">held out, words</th><th colspan=\"2\">held out, phrases</th></tr>\
         <tr><th>first</th><th>last</th><th>first</th><th>last</th></tr></thead>\n<tbody>{rows}</tbody></table>\n"
    );
    scrolled(&table)
        + "<p>Loss in nats per token; then the ratio of tokens, and of whole words or phrases, that are predicted right.</p>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, mode: MaskMode, loss: f64) -> String {
        let mode = mode.as_str();
        format!(
            "{{\"step\":{step},\"stage\":1,\"epoch\":0,\"mode\":\"{mode}\",\"loss\":{loss},\"alpha\":0.75,\"learning_rate\":1e-4,\
             \"gradient_norm\":1.5,\"masked_share\":0.15,\"tokens\":{},\"seconds\":0.5}}\n",
            1000 * step
        )
    }

    #[test]
    fn a_page_has_every_run_and_needs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let held_out = "{\"step\":0,\"held_out\":[{\"mode\":\"word\",\"loss\":8.0,\"accuracy\":0.1,\"tokens\":9,\"whole\":0.05,\"units\":8}]}\n";
        let mut runs = Vec::new();
        for (name, end) in [("first <run>", "{\"step\":3,\"sta"), ("second", "")] {
            let run = folder.path().join(name);
            fs::create_dir(&run).unwrap();
            let text = held_out.to_owned() + &step(1, MaskMode::Word, 8.0) + &step(2, MaskMode::Phrase, 7.5) + end;
            fs::write(run.join(METRICS), text).unwrap();
            runs.push(run);
        }
        let page = folder.path().join("report.html");
        report(&runs, &page).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        for wanted in
            ["first &lt;run&gt;", "second", "Loss, words masked", "Alpha", "8.000<small> 10.0% / 5.0%</small>"]
        {
            assert!(text.contains(wanted), "{wanted}");
        }
        // For screens of any width, in light and dark.
        assert!(text.contains("<meta name=\"viewport\" content=\"width=device-width"));
        assert!(text.contains("@media (prefers-color-scheme:dark)") && text.contains("overflow-x:auto"));
        // What was not reported is not drawn, and nothing is fetched.
        assert!(!text.contains("Neighbor loss") && !text.contains("http") && !text.contains("<script"));
    }

    fn folder_of_run(root: &Path, name: &str) -> PathBuf {
        let run = root.join(name);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join(METRICS), step(1, MaskMode::Word, 8.0) + &step(2, MaskMode::Word, 7.5)).unwrap();
        run
    }

    #[test]
    fn pages_show_where_a_run_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder_of_run(folder.path(), "old"), folder_of_run(folder.path(), "new"));
        let noted = serde_json::json!({
            "recipe": "e-bert", "model": "bert-base-uncased", "data": "my-shop",
            "identity": {"recipe_blake3": "a".repeat(64), "shards_blake3": "b".repeat(64), "init_blake3": "c".repeat(64)},
            "starts": [{"step": 0, "date": "2026-11-29", "version": "0.2.0", "device": "NVIDIA H200"}],
        });
        fs::write(new.join(provenance::PROVENANCE), noted.to_string()).unwrap();
        let page = folder.path().join("page.html");
        report(&[old, new], &page).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let cells = ["bert-base-uncased (cccccccccccc)", "my-shop (bbbbbbbbbbbb)", "e-bert (aaaaaaaaaaaa)"];
        let cells: Vec<String> =
            cells.into_iter().chain(["0.2.0", "NVIDIA H200", "2026-11-29"]).map(|c| format!("<td>{c}</td>")).collect();
        assert!(text.contains(&format!("<tr><th>new</th>{}</tr>", cells.concat())), "{text}");
        assert!(text.contains(&format!("<tr><th>old</th>{}</tr>", "<td>not noted</td>".repeat(6))), "{text}");
    }

    #[test]
    fn a_run_has_the_same_color_alone_and_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let [bert, ours] = ["bert", "e-bert"].map(|name| folder_of_run(folder.path(), name));
        let page = folder.path().join("page.html");
        let color_of = |runs: &[PathBuf], name: &str| {
            report(runs, &page).unwrap();
            let text = fs::read_to_string(&page).unwrap();
            let (before, _) = text.split_once(&format!("\"></i>{name}</th>")).unwrap();
            before.rsplit_once("<i class=\"").unwrap().1.to_owned()
        };
        let alone = color_of(std::slice::from_ref(&ours), "e-bert");
        assert_eq!(color_of(&[bert.clone(), ours.clone()], "e-bert"), alone);
        assert_eq!(color_of(&[ours.clone(), bert.clone()], "e-bert"), alone);
        assert_ne!(color_of(&[ours, bert], "bert"), alone);
    }

    #[test]
    fn what_is_no_run_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().to_owned();
        let page = run.join("report.html");
        let error = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(run.join(METRICS), text).unwrap();
            }
            report(std::slice::from_ref(&run), &page).unwrap_err().to_string()
        };
        assert!(error(None).contains("cannot read"));
        assert!(error(Some("")).contains("no step and no measurement"));
        assert!(error(Some("{\"step\":1}\n{\"step\":2}\n")).contains("line 1"));
    }
}
