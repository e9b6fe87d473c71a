//! What a run reports: `metrics.jsonl`, TensorBoard events, and a bar for a person.
mod held_out;
mod tensorboard;

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::StoreError;
use serde::{Deserialize, Serialize};

pub use held_out::{
    HeldOutRecord, Measured, MeasuredPairs, MeasuredPart, MeasuredRetrieval, describe, describe_pairs,
    describe_retrieval,
};

use crate::optimizer::Trains;
use ebert_batches::masking::MaskMode;
use tensorboard::EventFile;

/// For whom the run talks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Talk {
    /// A person: a bar on a terminal, a line now and then elsewhere.
    #[default]
    Text,
    /// A person who wants to see more lines.
    Verbose,
    /// Nobody: warnings and errors only.
    Quiet,
    /// A program: one JSON object per line.
    Json,
}

impl Talk {
    /// Whether a person reads along.
    pub fn is_for_person(self) -> bool {
        matches!(self, Self::Text | Self::Verbose)
    }

    /// The time between two lines of output without a bar.
    pub fn silence(self) -> Duration {
        if self == Self::Verbose { Duration::from_secs(2) } else { SILENCE }
    }
}

/// What there is to say of a step: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done, this one counted.
    pub step: u64,
    /// Stage, from 1.
    pub stage: usize,
    /// Epoch within the stage, from 0.
    pub epoch: u32,
    /// Which weights it changed; absent if all.
    #[serde(default, skip_serializing_if = "Trains::is_all")]
    pub trains: Trains,
    /// What was masked.
    pub mode: MaskMode,
    /// Mean cross entropy over the selected tokens, in nats; absent when none was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The loss of the span boundary objective, as `loss`; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary_loss: Option<f64>,
    /// Mean over the pairs, unweighted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbor_loss: Option<f64>,
    /// The last loss of word mode, this step counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_loss: Option<f64>,
    /// The last loss of phrase mode, this step counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase_loss: Option<f64>,
    /// Probability of word mode in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Recent part of the word loss's fall, before this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_word: Option<f64>,
    /// Recent part of the phrase loss's fall, before this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_phrase: Option<f64>,
    /// Learning rate.
    pub learning_rate: f64,
    /// 2-norm of the gradient of the weights that are trained, before clipping. `null` in the file
    /// where it is not finite.
    #[serde(deserialize_with = "or_not_finite")]
    pub gradient_norm: f64,
    /// That of the masked-LM loss alone, in a step with both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_gradient_norm: Option<f64>,
    /// That of the weighted neighbor loss alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbor_gradient_norm: Option<f64>,
    /// The ratio of tokens that were selected.
    pub masked_share: f64,
    /// Of the tokens selected in phrase mode, the part in pool phrases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_pool_phrases: Option<f64>,
    /// Of the tokens selected in phrase mode, the part in noun phrases; the rest tops up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_noun_phrases: Option<f64>,
    /// Tokens trained on so far, special tokens and pairs counted.
    pub tokens: u64,
    /// Steps skipped so far, since their gradient was not finite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Of its wall time, what went by until its batch was there: the most that the device can have
    /// waited for data.
    #[serde(default)]
    pub waited: f64,
    /// Wall time of this step.
    pub seconds: f64,
}

pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Reads a number. `null`, which is how JSON has a number that is not finite, becomes NaN.
///
/// # Errors
/// If it is neither a number nor `null`.
pub fn or_not_finite<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Writes what a run reports.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    metrics: File,
    events: EventFile,
    bar: ProgressBar,
    talk: Talk,
    recent: Recent,
    said: Instant,
    steps: u64,
    first: u64,
    started: Instant,
}

/// Moving averages for the bar.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    word: Option<f64>,
    phrase: Option<f64>,
    other: Option<f64>,
    boundary: Option<f64>,
    neighbor: Option<f64>,
    /// That of the last measurement.
    mrr: Option<f64>,
    tokens_per_second: Option<f64>,
}

/// Seconds between two lines of output without a bar.
const SILENCE: Duration = Duration::from_secs(20);

pub const METRICS: &str = "metrics.jsonl";

impl Journal {
    /// Opens the journal of a run that has done `step` of `steps`. Lines of later steps, which a
    /// stopped run wrote after its last checkpoint, are dropped.
    ///
    /// # Errors
    /// If its metrics or events cannot be read or written.
    pub fn open(run: &Path, step: u64, steps: u64, talk: Talk) -> Result<Self, StoreError> {
        let path = run.join(METRICS);
        keep_until(&path, step)?;
        let metrics =
            OpenOptions::new().append(true).create(true).open(&path).map_err(StoreError::io("open", &path))?;
        // TensorBoard drops the events of this step and of later ones. Those of the last step that is done stay.
        let events = EventFile::create(run, if step == 0 { 0 } else { step + 1 })
            .map_err(StoreError::io("write events in", run))?;
        let bar = if talk.is_for_person() {
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4))
        } else {
            ProgressBar::hidden()
        };
        let template = "{bar:24} {pos}/{len}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_position(step);
        bar.reset_eta();
        let now = Instant::now();
        Ok(Self {
            path,
            metrics,
            events,
            bar,
            talk,
            recent: Recent::default(),
            said: now,
            steps,
            first: step,
            started: now,
        })
    }

    /// Notes a step.
    ///
    /// # Errors
    /// If the metrics or events cannot be written.
    pub fn step(&mut self, record: &StepRecord, tokens: u64) -> Result<(), StoreError> {
        self.line(record)?;
        let (loss, share) = match record.mode {
            MaskMode::Word => ("loss/word", "masked_share/word"),
            MaskMode::Phrase => ("loss/phrase", "masked_share/phrase"),
            MaskMode::Span => ("loss/span", "masked_share/span"),
            MaskMode::Noun => ("loss/noun", "masked_share/noun"),
            MaskMode::Token => ("loss/token", "masked_share/token"),
        };
        let optional = [
            (loss, record.loss),
            ("loss/boundary", record.boundary_loss),
            ("loss/neighbor", record.neighbor_loss),
            ("switch/alpha", record.alpha),
            ("switch/eta_word", record.eta_word),
            ("switch/eta_phrase", record.eta_phrase),
            ("gradient_norm/masked", record.masked_gradient_norm),
            ("gradient_norm/neighbor", record.neighbor_gradient_norm),
            ("gradient_norm/all", Some(record.gradient_norm)),
            ("learning_rate", Some(record.learning_rate)),
            (share, Some(record.masked_share)),
            ("selected/in_pool_phrases", record.in_pool_phrases),
            ("selected/in_noun_phrases", record.in_noun_phrases),
            ("tokens_per_second", Some(tokens as f64 / record.seconds)),
        ];
        let values: Vec<_> = optional.into_iter().filter_map(|(tag, value)| Some((tag, value?))).collect();
        self.events(record.step, &values)?;
        let blend = |old: &mut Option<f64>, new: Option<f64>| {
            if let Some(new) = new {
                *old = Some(old.map_or(new, |old| 0.95 * old + 0.05 * new));
            }
        };
        blend(
            match record.mode {
                MaskMode::Word => &mut self.recent.word,
                MaskMode::Phrase => &mut self.recent.phrase,
                _ => &mut self.recent.other,
            },
            record.loss,
        );
        blend(&mut self.recent.boundary, record.boundary_loss);
        blend(&mut self.recent.neighbor, record.neighbor_loss);
        blend(&mut self.recent.tokens_per_second, Some(tokens as f64 / record.seconds));
        let message = self.message(record);
        self.bar.set_message(message.clone());
        self.bar.set_position(record.step);
        if self.talk.is_for_person() && self.bar.is_hidden() && self.said.elapsed() > self.talk.silence() {
            self.said = Instant::now();
            let done = (record.step - self.first).max(1);
            let left = self.started.elapsed().mul_f64((self.steps - record.step) as f64 / done as f64);
            self.say(&format!("step {}/{}  {message}  {} left", record.step, self.steps, HumanDuration(left)));
        }
        Ok(())
    }

    fn message(&self, record: &StepRecord) -> String {
        let recent = self.recent;
        let parts = [
            ("word", recent.word.map(|v| format!("{v:.3}"))),
            ("phrase", recent.phrase.map(|v| format!("{v:.3}"))),
            (record.mode.as_str(), recent.other.map(|v| format!("{v:.3}"))),
            ("boundary", recent.boundary.map(|v| format!("{v:.3}"))),
            ("neighbor", recent.neighbor.map(|v| format!("{v:.3}"))),
            ("MRR", recent.mrr.map(|v| format!("{v:.3}"))),
            ("alpha", record.alpha.map(|v| format!("{v:.2}"))),
        ];
        let mut message = String::new();
        for (name, value) in parts {
            if let Some(value) = value {
                message += &format!("{name} {value}  ");
            }
        }
        message + &format!("{} tokens/s", brief(recent.tokens_per_second.unwrap_or(0.0)))
    }

    /// Notes a measurement.
    ///
    /// # Errors
    /// If the metrics or events cannot be written.
    pub fn held_out(&mut self, record: &HeldOutRecord) -> Result<(), StoreError> {
        self.line(record)?;
        let retrieval = record.held_out_pairs.and_then(|pairs| pairs.retrieval);
        self.recent.mrr = retrieval.map(|retrieval| retrieval.model.mrr);
        self.events(record.step, &record.scalars())?;
        if self.talk.is_for_person() {
            self.say(&format!("step {:<8} held out: {}", record.step, describe(&record.held_out)));
            if let Some(pairs) = &record.held_out_pairs {
                self.say(&format!("{:23}{}", "", describe_pairs(pairs)));
                if let Some(retrieval) = &pairs.retrieval {
                    self.say(&format!("{:23}{}", "", describe_retrieval(retrieval)));
                }
            }
        }
        Ok(())
    }

    /// Prints a line for a person, above the bar.
    pub fn say(&self, text: &str) {
        if !self.talk.is_for_person() {
            return;
        }
        if self.bar.is_hidden() || !io::stdout().is_terminal() {
            // Continue if nobody reads the output anymore.
            let _ = writeln!(io::stdout(), "{text}");
        } else {
            self.bar.suspend(|| writeln!(io::stdout(), "{text}")).ok();
        }
    }

    /// Ends the bar.
    ///
    /// # Errors
    /// If the metrics or events cannot be written to the disk.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.bar.finish_and_clear();
        self.flush()
    }

    /// Makes what was noted outlast a power cut: a checkpoint that is younger relies on it.
    ///
    /// # Errors
    /// If the metrics or events cannot be written to the disk.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.metrics.sync_data().map_err(StoreError::io("sync", &self.path))?;
        self.events.flush().map_err(StoreError::io("write", self.events.path()))
    }

    fn line(&mut self, record: &impl Serialize) -> Result<(), StoreError> {
        let error = StoreError::io("write", &self.path);
        let mut line = serde_json::to_string(record).unwrap_or_default();
        if self.talk == Talk::Json {
            let _ = writeln!(io::stdout(), "{line}");
        }
        line.push('\n');
        self.metrics.write_all(line.as_bytes()).map_err(error)
    }

    fn events(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), StoreError> {
        self.events.scalars(step, values).map_err(StoreError::io("write", self.events.path()))
    }
}

/// A number at a glance: `12.3 K`.
pub fn brief(number: f64) -> String {
    match number {
        n if n < 1e4 => format!("{n:.0}"),
        // What would round to a thousand of one is one of the next.
        n if n < 999_950.0 => format!("{:.1} K", n / 1e3),
        n if n < 999_950e3 => format!("{:.1} M", n / 1e6),
        n => format!("{:.1} G", n / 1e9),
    }
}

/// Drops the lines of steps after `step`, and a last line that was cut. Before the first step there
/// is nothing to keep.
fn keep_until(path: &Path, step: u64) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    struct OfStep {
        step: u64,
    }
    let error = |e| StoreError::io("read", path)(e);
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(error)?,
    };
    // Files of long runs have gigabytes. All lines to drop are at the end.
    let (mut lines, mut line, mut kept) = (BufReader::new(&file), Vec::new(), 0);
    while lines.read_until(b'\n', &mut line).map_err(error)? > 0 {
        let is_kept = serde_json::from_slice::<OfStep>(&line).is_ok_and(|at| step > 0 && at.step <= step);
        if !is_kept || !line.ends_with(b"\n") {
            break;
        }
        kept += line.len() as u64;
        line.clear();
    }
    if kept < file.metadata().map_err(error)?.len() {
        file.set_len(kept).and_then(|()| file.sync_all()).map_err(StoreError::io("write", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_resumed_run_repeats_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS);
        fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"step\":1").unwrap();
        keep_until(&path, 2).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        fs::write(&path, "{\"step\":0}\n{\"step\":1}\n").unwrap();
        keep_until(&path, 0).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([12.4, 12_345.0, 999_960.0, 3.21e6, 4.2e9].map(brief), ["12", "12.3 K", "1.0 M", "3.2 M", "4.2 G"]);
    }
}
