//! Limits: how many flaws of the raw files are allowed, and how many files may be open.
use std::collections::BTreeMap;

use ebert_dumps::RawFiles;
use schemas::{
    Counts, Manifest,
    manifest::{CorpusBody, Place},
};

use super::{CorpusError, NOT_UTF8, Reason, WITHOUT_IDS, checkpoint::Tally, unreadable};
use crate::{
    engine::progress::{percent, thousands},
    settings::StepSettings,
};

/// Upper bound of the number of buckets: file names have five digits.
pub(crate) const MOST_BUCKETS: u64 = 100_000;

/// What is wrong with the raw files.
pub(crate) struct Flaws<'a> {
    /// Names of files, and how they are damaged.
    damage: Vec<(&'a str, String)>,
    records: u64,
    rejected: &'a Counts,
    places: &'a BTreeMap<String, Vec<Place>>,
}

impl<'a> Flaws<'a> {
    /// Of files that this run has read.
    pub(crate) fn of_tally(tally: &'a Tally, files: &'a RawFiles) -> Self {
        let name = |number: &u32| files.recognised[*number as usize].name.as_str();
        let damage = tally.damage.iter().map(|(number, what)| (name(number), what.to_string())).collect();
        Self { damage, records: tally.records, rejected: &tally.rejected, places: &tally.places }
    }

    /// Of the files that a corpus was made from.
    pub(crate) fn of_manifest(corpus: &'a Manifest<CorpusBody>) -> Self {
        let CorpusBody { inputs, counts, places, .. } = &corpus.body;
        let damage = inputs.iter().filter_map(|file| Some((file.path.as_str(), file.damage.clone()?))).collect();
        Self { damage, records: counts.records, rejected: &counts.rejected, places }
    }

    /// Fails if there are more flaws than the settings allow.
    pub(crate) fn refuse(&self, settings: StepSettings<'_>) -> Result<(), CorpusError> {
        if !self.damage.is_empty() && !settings.allow_damaged {
            let path = |name| settings.raw_path(name);
            let files = self.damage.iter().map(|(name, what)| format!("  `{}` {what}", path(name).display()));
            return Err(CorpusError::Damaged { files: files.collect() });
        }
        let unreadable = unreadable(self.rejected);
        let share = unreadable as f64 / self.records.max(1) as f64;
        if share > settings.max_unreadable {
            let places = self.places.iter().flat_map(|(reason, places)| {
                places.iter().map(move |p| format!("  {reason}: `{}` line {}: {}", p.path, p.line, p.found))
            });
            return Err(CorpusError::TooManyUnreadable {
                unreadable: thousands(unreadable),
                records: thousands(self.records),
                share: 100.0 * share,
                limit: percent(settings.max_unreadable),
                places: places.collect::<Vec<_>>().join("\n"),
                hint: self.hint(share),
            });
        }
        Ok(())
    }

    /// What to do about a share of unreadable records that is too large.
    fn hint(&self, share: f64) -> String {
        let unreadable = unreadable(self.rejected);
        let count = |reason: Reason| self.rejected.get(reason.as_str()).copied().unwrap_or(0);
        let is_most = |reason: Reason| 2 * count(reason) > unreadable;
        // A higher limit would give a corpus without these records, or an empty one.
        if is_most(Reason::NoProductId) {
            WITHOUT_IDS.to_owned()
        } else if is_most(Reason::InvalidUtf8) {
            NOT_UTF8.to_owned()
        } else if unreadable == self.records {
            "fix the files; none of their records can be read".to_owned()
        } else {
            let suggested = ((share * 100.0).ceil() / 100.0).min(1.0);
            format!("fix the files, or raise the limit with `--max-unreadable {suggested}`")
        }
    }
}

/// How many files may be open at once, without those that every process has.
pub(crate) fn open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: the call fills the struct that it is given.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur.saturating_sub(32) as usize
}

/// How many spill files of each stream may be open at once.
pub(crate) fn open_spill_files() -> u32 {
    (open_files() / 4).clamp(1, 256) as u32
}
