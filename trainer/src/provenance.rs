//! Where numbers come from: model, data, recipe, version, device and date.
//!
//! A run notes it in `run.json`, and adds a line for each start on another version, device or day.
//! Pages show it. It does not affect training: a resumed run compares the hashes of its checkpoint.
use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use ebert_kernels::device::Machine;
use schemas::StoreError;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::{checkpoint::Checkpoints, state::Identity};

/// The file in a run's folder.
pub const PROVENANCE: &str = "run.json";

/// What is shown where an older version did not note it.
pub const NOT_NOTED: &str = "not noted";

/// With what, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Made {
    /// The day, in UTC, such as `2026-11-29`.
    pub date: String,
    /// The version of the program.
    pub version: String,
    /// The device, such as `NVIDIA H200` or `CPU, 2 threads`.
    pub device: String,
}

impl Made {
    /// Now, with this program.
    pub fn now(device: Device) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let device = match device {
            Device::Cuda(number) => {
                let gpus = Machine::look().gpus;
                gpus.get(number).or(gpus.first()).cloned().unwrap_or_else(|| "GPU".to_owned())
            }
            _ => match tch::get_num_threads() {
                1 => "CPU, 1 thread".to_owned(),
                threads => format!("CPU, {threads} threads"),
            },
        };
        Self { date: date(seconds / 86_400), version: env!("CARGO_PKG_VERSION").to_owned(), device }
    }
}

/// A day of the Gregorian calendar, counted from 1970-01-01.
fn date(mut day: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while day >= if is_leap(year) { 366 } else { 365 } {
        day -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

/// A start of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// Steps done before it.
    pub step: u64,
    /// With what, and when.
    #[serde(flatten)]
    pub made: Made,
}

/// Where a run comes from: `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The recipe's name.
    pub recipe: String,
    /// The start model as it was named; absent for a fresh one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The shards as they were named.
    pub data: String,
    /// Hashes of all three.
    pub identity: Identity,
    /// Its starts, by steps.
    pub starts: Vec<StartRecord>,
}

impl Provenance {
    /// Adds a start, and writes the file of a run's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn start(mut self, run: &Path, step: u64, made: Made) -> Result<(), StoreError> {
        // The recipe may have other lengths since: `--extend`.
        let inputs = |of: &Identity| (of.shards_blake3.clone(), of.init_blake3.clone());
        let before = Self::read(run).filter(|before| inputs(&before.identity) == inputs(&self.identity) && step > 0);
        self.starts = before.map_or_else(Vec::new, |before| before.starts);
        if self.starts.last().is_none_or(|last| last.made != made) {
            self.starts.push(StartRecord { step, made });
        }
        let text = serde_json::to_string_pretty(&self).unwrap_or_default() + "\n";
        schemas::store::write_file(&run.join(PROVENANCE), text.as_bytes()).map(drop)
    }

    /// Reads a run's provenance, if present.
    pub fn read(run: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(run.join(PROVENANCE)).ok()?).ok()
    }
}

/// The columns of [`row`].
pub const COLUMNS: [&str; 6] = ["start model", "data", "recipe", "version", "device", "date"];

/// Where a run comes from, for a page. What is not noted is taken from its last checkpoint.
pub fn row(run: &Path) -> [String; 6] {
    let noted = Provenance::read(run);
    let of_checkpoint = || -> Option<Identity> {
        let (state, _) = Checkpoints::of(run, 1).newest().ok()??;
        Some(state.identity)
    };
    let identity = noted.as_ref().map(|noted| noted.identity.clone()).or_else(of_checkpoint);
    let or_not_noted = |text: Option<String>| text.unwrap_or_else(|| NOT_NOTED.to_owned());
    let hashed = |name: Option<String>, hash: Option<&String>| match (name, hash.map(|hash| brief_hash(hash))) {
        (Some(name), Some(hash)) => Some(format!("{name} ({hash})")),
        (name, hash) => name.or(hash),
    };
    let weights = identity.as_ref().and_then(|identity| identity.init_blake3.as_ref());
    let model = match (&identity, weights) {
        (Some(_), None) => Some("fresh".to_owned()),
        _ => hashed(noted.as_ref().and_then(|noted| noted.model.clone()), weights),
    };
    let data = noted.as_ref().map(|noted| noted.data.clone());
    let recipe = noted.as_ref().map(|noted| noted.recipe.clone());
    let starts = noted.map(|noted| noted.starts).unwrap_or_default();
    let each = |of: fn(&Made) -> &String| {
        let mut values: Vec<&str> = starts.iter().map(|start| of(&start.made).as_str()).collect();
        values.dedup();
        or_not_noted((!values.is_empty()).then(|| values.join(", then ")))
    };
    [
        or_not_noted(model),
        or_not_noted(hashed(data, identity.as_ref().map(|identity| &identity.shards_blake3))),
        or_not_noted(hashed(recipe, identity.as_ref().map(|identity| &identity.recipe_blake3))),
        each(|made| &made.version),
        each(|made| &made.device),
        each(|made| &made.date),
    ]
}

/// The part of a hash that people compare.
pub fn brief_hash(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// A path as a page shows it: its last two parts, without the folders of a machine.
pub fn brief_path(path: &Path) -> String {
    if path.is_relative() {
        return path.display().to_string();
    }
    let parts: Vec<String> = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts[parts.len().saturating_sub(2).max(1)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        for (day, wanted) in
            [(0, "1970-01-01"), (58, "1970-02-28"), (59, "1970-03-01"), (364, "1970-12-31"), (365, "1971-01-01")]
        {
            assert_eq!(date(day), wanted);
        }
        // Leap days of 1972, 2000 and 2024, and the day after.
        for (day, wanted) in [
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_786, "2026-11-29"),
            // 2100 has none.
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), wanted);
        }
    }

    #[test]
    fn starts_on_another_device_are_added_and_a_new_run_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let identity = Identity {
            recipe_blake3: "a".repeat(64),
            shards_blake3: "b".repeat(64),
            init_blake3: Some("c".repeat(64)),
        };
        let provenance = Provenance {
            recipe: "e-bert".into(),
            model: Some("bert-base-uncased".into()),
            data: "my-shop".into(),
            identity,
            starts: Vec::new(),
        };
        let made = |device: &str| Made { date: "2026-11-29".into(), version: "0.1.0".into(), device: device.into() };
        let start = |step, device: &str| provenance.clone().start(run, step, made(device)).unwrap();
        assert!(row(run).iter().all(|cell| cell == NOT_NOTED));
        start(0, "CPU, 2 threads");
        start(10, "CPU, 2 threads");
        start(20, "NVIDIA H200");
        assert_eq!(Provenance::read(run).unwrap().starts.iter().map(|start| start.step).collect::<Vec<_>>(), [0, 20]);
        assert_eq!(
            row(run),
            [
                "bert-base-uncased (cccccccccccc)",
                "my-shop (bbbbbbbbbbbb)",
                "e-bert (aaaaaaaaaaaa)",
                "0.1.0",
                "CPU, 2 threads, then NVIDIA H200",
                "2026-11-29"
            ]
        );
        start(0, "NVIDIA H200");
        assert_eq!(Provenance::read(run).unwrap().starts.len(), 1);
    }

    #[test]
    fn paths_are_shown_without_the_folders_of_a_machine() {
        for (path, wanted) in
            [("my-shop/shards", "my-shop/shards"), ("/home/me/work/my-shop", "work/my-shop"), ("/a", "a")]
        {
            assert_eq!(brief_path(Path::new(path)), wanted);
        }
    }
}
