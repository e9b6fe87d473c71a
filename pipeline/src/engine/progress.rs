//! Progress and results on the terminal: bars and a table for a person, JSON lines for a program.
//!
//! [`Progress`] draws bars on standard error and prints a line per step on standard output. The
//! functions at the end format numbers ([`thousands`], [`short`], [`percent`]).
use std::{
    fmt,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The format of a run's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Log {
    /// For a person: bars on a terminal, and a table of steps
    #[default]
    Text,
    /// For a program: one JSON object per line
    Json,
}

/// A path as it can be pasted into a shell: in quotation marks if it needs them.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if !path.is_empty() && path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A ratio in percent, rounded to 6 decimals: `100.0 * 0.034` is 3.4000000000000004.
pub fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
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

/// Reports the progress and the results of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    log: Log,
}

impl Progress {
    /// Reports in this format.
    pub fn new(log: Log) -> Self {
        Self { log }
    }

    /// A bar over this many bytes. Like all bars, hidden unless standard error is a terminal.
    pub fn bytes(&self, step: &'static str, total: u64) -> ProgressBar {
        self.bar(step, total, "{prefix:9} {bar:32} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {eta} left")
    }

    /// A bar over this many items.
    pub fn count(&self, step: &'static str, total: u64) -> ProgressBar {
        self.bar(step, total, COUNT)
    }

    /// A line for a step without a known end.
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
        bar.set_style(style(template));
        bar.set_prefix(step);
        bar
    }

    /// Prints the line of a step: its name, what its output holds, where that is, and the time it
    /// took.
    pub fn step(&self, step: &str, holds: &str, place: &str, outcome: &Outcome) -> io::Result<()> {
        let mut out = Stdout;
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

    /// Prints a line of the summary.
    pub fn note(&self, heading: &str, text: &str) -> io::Result<()> {
        writeln!(Stdout, "{}", self.line("", heading, text))
    }

    /// Prints an indented line about the last step.
    pub fn detail(&self, heading: &str, text: &str) -> io::Result<()> {
        writeln!(Stdout, "{}", self.line("          ", heading, text))
    }

    /// Prints a warning that stands out from the summary.
    pub fn warn(&self, text: &str) -> io::Result<()> {
        match self.log {
            Log::Text => writeln!(Stdout, "\nWARNING   {text}\n"),
            Log::Json => self.note("warning", text),
        }
    }

    /// A line of the summary in this format.
    pub fn line(&self, indent: &str, heading: &str, text: &str) -> String {
        match self.log {
            Log::Text => format!("{indent}{heading:9} {text}"),
            Log::Json => serde_json::json!({"event": "note", "heading": heading, "text": text}).to_string(),
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

/// A number with thousands separators: `602,257`.
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

/// A count with its noun: `1 file`, `1,204 files`.
pub fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A rounded number: `4.9 M`.
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => thousands(number),
        // 999,950 rounds to 1.0 M, not to 1000.0 K.
        10_000..999_950 => format!("{:.1} K", number as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} G", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that records what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_says_how_far_and_how_fast() {
        let paper = Paper::default();
        let bar = ProgressBar::with_draw_target(
            Some(14_999_898),
            ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255),
        );
        bar.set_style(style(COUNT));
        bar.set_prefix("encoding");
        bar.set_position(110_050);
        std::thread::sleep(Duration::from_millis(20));
        bar.inc(1);
        bar.tick();
        let drawn = paper.0.lock().unwrap().clone();
        let last = drawn.rsplit("encoding").next().unwrap();
        assert!(last.contains("110,051 of 14,999,898"), "{drawn}");
        let rate = last.split("/s").next().unwrap().rsplit("  ").next().unwrap().trim().to_owned();
        let of_a_rate = |c: char| c.is_ascii_digit() || ",. KMG".contains(c);
        assert!((1..=8).contains(&rate.len()) && rate.chars().all(of_a_rate), "{drawn}");
    }

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
