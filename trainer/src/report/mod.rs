//! Runs as a page: `report.html`, drawn from `metrics.jsonl`. Several runs in one page give the
//! paper's Figure 7.
pub mod chart;

use std::{
    fs,
    path::{Path, PathBuf},
};

use schemas::StoreError;
use serde::Deserialize;

use crate::{
    log::{HeldOutRecord, METRICS, Measured, MeasuredPairs, MeasuredPart, MeasuredRetrieval, StepRecord, brief},
    masking::MaskMode,
};
use chart::{Series, chart, colour, escape};

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
#[derive(Clone, Debug, Default, PartialEq)]
struct RunRecords {
    name: String,
    steps: Vec<StepRecord>,
    held_out: Vec<HeldOutRecord>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    HeldOut(HeldOutRecord),
    Step(Box<StepRecord>),
}

impl RunRecords {
    fn read(run: &Path) -> Result<Self, ReportError> {
        let path = run.join(METRICS);
        let text = fs::read_to_string(&path).map_err(|source| ReportError::Read { path: path.clone(), source })?;
        let name = fs::canonicalize(run).ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()));
        let mut told = Self { name: name.unwrap_or_else(|| run.display().to_string()), ..Self::default() };
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::HeldOut(record)) => told.held_out.push(record),
                Ok(Line::Step(record)) => told.steps.push(*record),
                // A run that continues may be writing it.
                Err(_) if number + 1 == lines.len() && !text.ends_with('\n') => {}
                Err(source) => return Err(ReportError::Malformed { path, line: number + 1, source }),
            }
        }
        if told.steps.is_empty() && told.held_out.is_empty() { Err(ReportError::Empty { path }) } else { Ok(told) }
    }

    /// A value of each step that has it.
    fn of_steps(&self, value: impl Fn(&StepRecord) -> Option<f64>) -> Vec<(f64, f64)> {
        self.steps.iter().filter_map(|step| Some((step.step as f64, value(step)?))).collect()
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
pub fn report(runs: &[PathBuf], page: &Path) -> Result<(), ReportError> {
    let told: Vec<RunRecords> = runs.iter().map(|run| RunRecords::read(run)).collect::<Result<_, _>>()?;
    schemas::store::Output::at(page)?.write(html(&told).as_bytes())?;
    Ok(())
}

/// Tables and charts of runs, each under a name of the caller's, as a part of a page with
/// [`STYLE`].
///
/// # Errors
/// When a run has no metrics.
pub fn figures(runs: &[(String, PathBuf)]) -> Result<String, ReportError> {
    let told = runs.iter().map(|(name, run)| Ok(RunRecords { name: name.clone(), ..RunRecords::read(run)? }));
    Ok(body(&told.collect::<Result<Vec<_>, ReportError>>()?))
}

/// What is drawn of a run.
type Points<'f> = &'f dyn Fn(&RunRecords) -> Vec<(f64, f64)>;

fn html(runs: &[RunRecords]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let title = escape(&names.join(", "));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n{}</body></html>\n",
        body(runs)
    )
}

fn body(runs: &[RunRecords]) -> String {
    let each = |points: Points<'_>| -> Vec<Series> {
        let lines = runs.iter().enumerate();
        lines
            .map(|(at, run)| Series { name: run.name.clone(), colour: at, dashed: false, points: points(run) })
            .collect()
    };
    // Two lines of each run, the second one dashed.
    let pair = |names: [&str; 2], points: [Points<'_>; 2]| -> Vec<Series> {
        let mut lines = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            for (number, (name, points)) in names.iter().zip(points).enumerate() {
                let name = if runs.len() == 1 { (*name).to_owned() } else { format!("{}, {name}", run.name) };
                let colour = if runs.len() == 1 { number } else { at };
                lines.push(Series { name, colour, dashed: number == 1, points: points(run) });
            }
        }
        lines
    };
    let loss_of =
        |run: &RunRecords, wanted: &dyn Fn(MaskMode) -> bool| run.of_steps(|s| s.loss.filter(|_| wanted(s.mode)));
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
                        [&|r| loss_of(r, &|m| m == MaskMode::Word), &|r| loss_of(r, &|m| m != MaskMode::Word)],
                    ),
                ),
                chart("Span boundary loss", "nats", &each(&|r| r.of_steps(|s| s.boundary_loss))),
                chart("Neighbor loss", "hinge, mean of pairs", &each(&|r| r.of_steps(|s| s.neighbor_loss))),
                chart("Alpha, the probability of word mode", "", &each(&|r| r.of_steps(|s| s.alpha))),
                chart(
                    "Eta, the recent part of a loss's fall",
                    "",
                    &pair(["words", "phrases"], [&|r| r.of_steps(|s| s.eta_word), &|r| r.of_steps(|s| s.eta_phrase)]),
                ),
                chart("Learning rate", "", &each(&|r| r.of_steps(|s| Some(s.learning_rate)))),
                chart("Norm of the gradient, before clipping", "", &each(&|r| r.of_steps(|s| Some(s.gradient_norm)))),
                chart("Speed", "tokens/s", &each(&tokens_per_second_of)),
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
    page
}

fn tokens_per_second_of(run: &RunRecords) -> Vec<(f64, f64)> {
    let pairs = run.steps.windows(2).filter(|pair| pair[1].tokens > pair[0].tokens && pair[1].seconds > 0.0);
    pairs.map(|p| (p[1].step as f64, (p[1].tokens - p[0].tokens) as f64 / p[1].seconds)).collect()
}

/// The runs in numbers: how far they are, and the last and the best measurement.
fn table(runs: &[RunRecords]) -> String {
    let mut rows = String::new();
    for (at, run) in runs.iter().enumerate() {
        let last = run.steps.last();
        let seconds: f64 = run.steps.iter().map(|s| s.seconds).sum();
        let cell = |mode: MaskMode| {
            let value = |m: &Measured| {
                format!("{:.3}<small> {:.1}% / {:.1}%</small>", m.loss, 100.0 * m.accuracy, 100.0 * m.whole)
            };
            let of = |record: &HeldOutRecord| record.held_out.iter().find(|m| m.mode == mode).map(value);
            let [first, last] = [run.held_out.first(), run.held_out.last()].map(|r| r.and_then(of).unwrap_or_default());
            format!("<td>{first}</td><td>{last}</td>")
        };
        rows += &format!(
            "<tr><th><i style=\"background:{}\"></i>{}</th><td>{}</td><td>{}</td><td>{:.1} min</td>{}{}</tr>\n",
            colour(at),
            escape(&run.name),
            last.map_or(0, |s| s.step),
            brief(last.map_or(0.0, |s| s.tokens as f64)),
            // An empty sum is -0.
            seconds.abs() / 60.0,
            cell(MaskMode::Word),
            cell(MaskMode::Phrase)
        );
    }
    format!(
        "<table><thead><tr><th rowspan=\"2\">run</th><th rowspan=\"2\">steps</th><th rowspan=\"2\">tokens</th><th rowspan=\"2\">in steps</th>\
         <th colspan=\"2\">held out, words</th><th colspan=\"2\">held out, phrases</th></tr>\
         <tr><th>first</th><th>last</th><th>first</th><th>last</th></tr></thead>\n<tbody>{rows}</tbody></table>\n\
         <p>Loss in nats per token; then the ratio of tokens, and of whole words or phrases, that are predicted right.</p>\n"
    )
}

/// How a page looks.
pub const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}\
table{border-collapse:collapse}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right;font-weight:normal}\
thead th{color:#555}tbody th{text-align:left}tbody th i{display:inline-block;width:.7em;height:.7em;margin-right:.5em}small{color:#666}\
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(460px,1fr));gap:1.5em}\
figure{margin:0}figcaption{font-weight:600}.charts svg{width:100%;height:auto}.charts svg text{font-size:11px;fill:#555}\
.grid{stroke:#e3e3e3}.line{fill:none;stroke-width:1.6}\
.legend{margin:.2em 0 0 3.5em;font-size:.85em}.legend span{margin-right:1em;white-space:nowrap}.legend i{display:inline-block;width:1.6em;margin-right:.4em;vertical-align:middle}";

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
        // What was not reported is not drawn, and nothing is fetched.
        assert!(!text.contains("Neighbor loss") && !text.contains("http") && !text.contains("<script"));
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
