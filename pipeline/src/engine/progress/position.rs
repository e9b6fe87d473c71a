//! Where a step is, as a line for a log.
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar};

use super::{facts::Facts, numbers::thousands};

/// What a position counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Items,
}

/// Where a step is.
pub(super) struct Position<'a> {
    pub(super) step: &'static str,
    /// Absent if the end is unknown.
    pub(super) unit: Option<Unit>,
    pub(super) bar: &'a ProgressBar,
    pub(super) elapsed: Duration,
}

impl Position<'_> {
    /// One line for a person.
    pub(super) fn text(&self) -> String {
        let Self { step, unit, bar, elapsed } = self;
        let (at, of) = (bar.position(), bar.length().unwrap_or(0));
        let done = match unit {
            Some(Unit::Bytes) => format!("{} of {}", HumanBytes(at), HumanBytes(of)),
            Some(Unit::Items) => format!("{} of {}", thousands(at), thousands(of)),
            None => return format!("{step:9} {}   {}", bar.message(), HumanDuration(*elapsed)),
        };
        let left = elapsed.mul_f64(of.saturating_sub(at) as f64 / at.max(1) as f64);
        let left = if at == 0 { String::new() } else { format!("   {} left", HumanDuration(left)) };
        format!("{step:9} {done}   {:.0}%{left}", 100.0 * at as f64 / of.max(1) as f64)
    }

    /// The same for a program.
    pub(super) fn facts(&self) -> Facts {
        let facts = Facts::new("progress", "").with("step", self.step).with("seconds", self.elapsed.as_secs_f64());
        let unit = match self.unit {
            Some(Unit::Bytes) => "bytes",
            Some(Unit::Items) => "items",
            None => return facts.with("doing", self.bar.message()),
        };
        facts.with("unit", unit).with("position", self.bar.position()).with("length", self.bar.length())
    }
}
