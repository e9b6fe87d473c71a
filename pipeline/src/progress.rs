//! What a run says while it works: bars for a person, lines of JSON for a cluster.
use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// For whom the run talks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Log {
    /// A person: bars on a terminal, and a table of steps.
    #[default]
    Text,
    /// A program: one JSON object a line.
    Json,
}

/// A path as a shell takes it: in quotation marks where it needs them.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if !path.is_empty() && path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A share in percent, to a millionth: `100.0 * 0.034` has digits that nobody wrote.
pub fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

/// Standard output of what works on files: a reader that goes away, as `head` does, is no reason to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said;

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// Tells of a run as it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    log: Log,
}

impl Progress {
    /// Tells it in this way.
    pub fn new(log: Log) -> Self {
        Self { log }
    }

    /// A bar over this many bytes; hidden where standard error is not a terminal.
    pub fn bytes(&self, step: &'static str, total: u64) -> ProgressBar {
        self.bar(step, total, "{prefix:9} {bar:32} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {eta} left")
    }

    /// A bar over this many things.
    pub fn count(&self, step: &'static str, total: u64) -> ProgressBar {
        self.bar(step, total, "{prefix:9} {bar:32} {pos:>10} of {len:<10} {per_sec:>12}  {eta} left")
    }

    /// A line that says what is being done; hidden where standard error is not a terminal.
    pub fn spinner(&self, step: &'static str) -> ProgressBar {
        let spinner = self.bar(step, 0, "{prefix:9} {spinner} {msg}   {elapsed}");
        spinner.enable_steady_tick(Duration::from_millis(125));
        spinner
    }

    fn bar(&self, step: &'static str, total: u64, template: &str) -> ProgressBar {
        if self.log == Log::Json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(step);
        bar
    }

    /// Says that a step is done, or was not needed: its name, what it holds, where it is, how long it took.
    pub fn step(&self, step: &str, holds: &str, place: &str, outcome: &Outcome) -> io::Result<()> {
        let mut out = Said;
        match self.log {
            Log::Text => {
                let time = match outcome {
                    Outcome::UpToDate => "up to date".to_owned(),
                    Outcome::Made { seconds, why } if why == NEW => format!("{seconds:.1} s"),
                    Outcome::Made { seconds, why } => format!("{seconds:.1} s   again: {why}"),
                };
                writeln!(out, "{step:9} {holds:<56}  {place:24}  {time}")
            }
            Log::Json => {
                let (state, seconds, why) = match outcome {
                    Outcome::UpToDate => ("up to date", 0.0, None),
                    Outcome::Made { seconds, why } => ("made", *seconds, Some(why)),
                };
                let line = serde_json::json!({
                    "event": "step", "step": step, "state": state, "holds": holds, "place": place,
                    "seconds": seconds, "why": why,
                });
                writeln!(out, "{line}")
            }
        }
    }

    /// Says one more thing under a heading of the summary.
    pub fn note(&self, heading: &str, text: &str) -> io::Result<()> {
        writeln!(Said, "{}", self.line("", heading, text))
    }

    /// Says more of the last step, under a heading of its own.
    pub fn detail(&self, heading: &str, text: &str) -> io::Result<()> {
        writeln!(Said, "{}", self.line("          ", heading, text))
    }

    /// A line of a summary, as a person or a program reads it.
    pub fn line(&self, indent: &str, heading: &str, text: &str) -> String {
        match self.log {
            Log::Text => format!("{indent}{heading:9} {text}"),
            Log::Json => serde_json::json!({"event": "note", "heading": heading, "text": text}).to_string(),
        }
    }
}

/// Why a step is made that never was.
pub const NEW: &str = "is new";

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// What it would make is there already.
    UpToDate,
    /// It made it.
    Made {
        /// Wall time.
        seconds: f64,
        /// Why it was not up to date.
        why: String,
    },
}

impl Outcome {
    /// The step was made since then, for this reason.
    pub fn made(since: Instant, why: String) -> Self {
        let took: Duration = since.elapsed();
        Self::Made { seconds: took.as_secs_f64(), why }
    }
}

/// A number with its thousands apart: `602,257`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of something: `1 file`, `1,204 files`.
pub fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A large number for reading at a glance: `4.9 M`.
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => thousands(number),
        // What would round to a thousand of one is one of the next.
        10_000..999_950 => format!("{:.1} K", number as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} G", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        for (path, wanted) in [
            ("data/work", "data/work"),
            ("/tmp/a b", "'/tmp/a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;x", "'$HOME;x'"),
            ("größe", "größe"),
        ] {
            assert_eq!(quoted(Path::new(path)), wanted);
        }
    }

    #[test]
    fn percents_have_the_digits_that_were_written() {
        for (share, wanted) in [(0.034, "3.4"), (0.01, "1"), (0.00005, "0.005"), (0.07, "7"), (1.0, "100")] {
            assert_eq!(percent(share).to_string(), wanted);
        }
    }

    #[test]
    fn numbers_read_well() {
        for (number, apart, brief) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_204, "1,204", "1,204"),
            (131_900_000, "131,900,000", "131.9 M"),
            (23_456, "23,456", "23.5 K"),
        ] {
            assert_eq!((thousands(number).as_str(), short(number).as_str()), (apart, brief));
        }
    }
}
