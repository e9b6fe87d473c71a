//! Progress and results on the terminal: bars and a table for a person, JSON lines for a program.
//!
//! [`Progress`] draws bars on standard error and prints a line per step on standard output. The
//! functions at the end format numbers ([`thousands`], [`short`], [`percent`]).
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

pub use facts::Facts;
pub use numbers::{count_of, listed, percent, short, thousands};
use position::{Position, Unit};

mod facts;
mod numbers;
mod position;

/// The format of a run's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person: bars on a terminal, lines elsewhere, and a table of steps
    #[default]
    Text,
    /// For a program: one JSON object per line
    Json,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors
    Quiet,
    /// Progress, results, and the first entries of long lists
    #[default]
    Normal,
    /// Progress more often, and complete lists
    Verbose,
}

/// Standard output that ignores a closed pipe. A run works on files, so it continues when `head`
/// exits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

impl Write for Stdout {
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

/// What a task has done.
#[derive(Debug)]
pub struct Done {
    /// Parts that are the task's.
    pub of_task: u64,
    /// Those that it made now. The others existed.
    pub made: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Done {
    pub(crate) fn new(since: Instant, of_task: u64, made: u64) -> Self {
        let outcome = if made == 0 { Outcome::UpToDate } else { Outcome::made(since, NEW.to_owned()) };
        Self { of_task, made, outcome }
    }
}

/// Reports the progress and the results of a run.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    format: Format,
    verbosity: Verbosity,
    words: fn(&str) -> String,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(Format::Text, Verbosity::Normal)
    }
}

impl Progress {
    /// Reports in this format.
    pub fn new(format: Format, verbosity: Verbosity) -> Self {
        Self { format, verbosity, words: str::to_owned }
    }

    /// Reports nothing.
    pub fn silent() -> Self {
        Self::new(Format::Text, Verbosity::Quiet)
    }

    /// Passes text for a person through `words`, which may change commands and options.
    pub fn with_words(self, words: fn(&str) -> String) -> Self {
        Self { words, ..self }
    }

    /// The format of the output.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether lists are printed as a whole.
    pub fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Progress over this many bytes: a bar on a terminal, a line now and then elsewhere.
    pub fn bytes(&self, step: &'static str, total: u64) -> ProgressBar {
        let template = "{prefix:9} {bar:32} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {eta} left";
        self.bar(step, Some((total, Unit::Bytes)), template)
    }

    /// Progress over this many items.
    pub fn count(&self, step: &'static str, total: u64) -> ProgressBar {
        self.bar(step, Some((total, Unit::Items)), COUNT)
    }

    /// Progress of a step without a known end.
    pub fn spinner(&self, step: &'static str) -> ProgressBar {
        let spinner = self.bar(step, None, "{prefix:9} {spinner} {msg}   {elapsed}");
        if !spinner.is_hidden() {
            spinner.enable_steady_tick(Duration::from_millis(125));
        }
        spinner
    }

    fn bar(&self, step: &'static str, total: Option<(u64, Unit)>, template: &str) -> ProgressBar {
        if self.verbosity == Verbosity::Quiet {
            return ProgressBar::hidden();
        }
        let length = total.map(|(total, _)| total);
        if self.format == Format::Text && io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style(template));
            bar.set_prefix(step);
            return bar;
        }
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        self.print_lines(&bar, step, total.map(|(_, unit)| unit));
        bar
    }

    /// Prints a line now and then until the bar is finished or dropped.
    fn print_lines(&self, bar: &ProgressBar, step: &'static str, unit: Option<Unit>) {
        let (bar, format) = (bar.downgrade(), self.format);
        let between = Duration::from_secs(if self.is_verbose() { 2 } else { 20 });
        thread::spawn(move || {
            let started = Instant::now();
            loop {
                thread::sleep(between);
                let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) else { return };
                let at = Position { step, unit, bar: &bar, elapsed: started.elapsed() };
                // A reader that has gone is not a reason to stop.
                let _ = match format {
                    Format::Text => writeln!(io::stderr(), "{}", at.text()),
                    Format::Json => writeln!(Stdout, "{}", at.facts().json()),
                };
            }
        });
    }

    /// Prints the line of a step: its name, what its output holds, where that is, and the time it
    /// took.
    ///
    /// # Errors
    /// If standard output cannot be written. A closed pipe is not an error.
    pub fn step(&self, step: &str, holds: &Facts, place: &str, outcome: &Outcome) -> io::Result<()> {
        if self.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        match self.format {
            Format::Text => {
                let time = match outcome {
                    Outcome::UpToDate => "up to date".to_owned(),
                    Outcome::Made { seconds, why } if why == NEW => format!("{seconds:.1} s"),
                    Outcome::Made { seconds, why } => format!("{seconds:.1} s   again: {}", (self.words)(why)),
                };
                writeln!(Stdout, "{step:9} {:<56}  {place:24}  {time}", holds.text())
            }
            Format::Json => {
                let mut line = Facts::new("step", "").with("step", step).with("place", place);
                line = match outcome {
                    Outcome::UpToDate => line.with("state", "up_to_date").with("seconds", 0.0),
                    Outcome::Made { seconds, why } => {
                        line.with("state", "made").with("seconds", *seconds).with("reason", why.as_str())
                    }
                };
                line.fields.extend(holds.fields.clone());
                writeln!(Stdout, "{}", line.json())
            }
        }
    }

    /// Prints a line of the summary.
    ///
    /// # Errors
    /// If standard output cannot be written. A closed pipe is not an error.
    pub fn note(&self, heading: &str, facts: &Facts) -> io::Result<()> {
        self.print("", heading, facts)
    }

    /// Prints an indented line about the last step.
    ///
    /// # Errors
    /// If standard output cannot be written. A closed pipe is not an error.
    pub fn detail(&self, heading: &str, facts: &Facts) -> io::Result<()> {
        self.print("          ", heading, facts)
    }

    fn print(&self, indent: &str, heading: &str, facts: &Facts) -> io::Result<()> {
        if self.verbosity == Verbosity::Quiet {
            Ok(())
        } else {
            writeln!(Stdout, "{}", self.line(indent, heading, facts))
        }
    }

    /// Prints a warning that stands out from the summary.
    ///
    /// # Errors
    /// If standard output cannot be written. A closed pipe is not an error.
    pub fn warn(&self, text: &str) -> io::Result<()> {
        writeln!(Stdout, "{}", self.warning(text))
    }

    /// A warning in this format.
    pub fn warning(&self, text: &str) -> String {
        match self.format {
            Format::Text => format!("\nWARNING   {}\n", (self.words)(text)),
            Format::Json => Facts::new("warning", "").with("message", text).json(),
        }
    }

    /// Prints the commands that come next, and a condition for them.
    ///
    /// # Errors
    /// If standard output cannot be written. A closed pipe is not an error.
    pub fn next(&self, commands: &[String], condition: &str) -> io::Result<()> {
        let words = |command: &String| (self.words)(&format!("`{command}`")).trim_matches('`').to_owned();
        let text = commands.iter().map(words).collect::<Vec<_>>().join("    ") + condition;
        self.note("next", &Facts::new("next", text).with("commands", commands))
    }

    /// A line of the summary in this format.
    pub fn line(&self, indent: &str, heading: &str, facts: &Facts) -> String {
        match self.format {
            Format::Text => {
                let text = (self.words)(facts.text()).replace('\n', &format!("\n{indent}{:10}", ""));
                format!("{indent}{heading:9} {text}")
            }
            Format::Json => facts.json(),
        }
    }
}

/// Template of a bar over items.
const COUNT: &str = "{prefix:9} {bar:32} {human_pos:>11} of {human_len:<11} {rate:>10}  {eta} left";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // The library's own rate has as many decimals as fit.
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // An error of the terminal is not an error of the run.
        let _ = match state.per_sec() {
            few @ ..10.0 => write!(out, "{few:.1}/s"),
            many => write!(out, "{}/s", short(many as u64)),
        };
    };
    style.progress_chars("━╸ ").with_key("rate", rate)
}

/// The reason to run a step that has no output yet.
pub const NEW: &str = "is new";

/// The reason to rebuild a folder of an older format.
pub(crate) fn older_format(found: u64) -> String {
    format!("the format was {found} and is {}", schemas::FORMAT)
}

/// The reason to run a step that an earlier run did not finish.
pub(crate) const STOPPED: &str = "a stopped run resumes";

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its output exists.
    UpToDate,
    /// It ran.
    Made {
        /// Wall time, in seconds.
        seconds: f64,
        /// Why its output was not up to date.
        why: String,
    },
}

impl Outcome {
    /// The step ran from `since` until now.
    pub fn made(since: Instant, why: String) -> Self {
        let took: Duration = since.elapsed();
        Self::Made { seconds: took.as_secs_f64(), why }
    }
}

#[cfg(test)]
mod tests;
