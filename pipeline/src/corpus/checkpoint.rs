//! How documents map to buckets and spill files, and how far reading has come.
use std::collections::BTreeMap;

use ebert_dumps::Kind;
use schemas::{Counts, DocumentId, manifest::Place};
use serde::{Deserialize, Serialize};

use super::Reason;

/// The documents of one kind whose id, modulo the number of buckets, is `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BucketId {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

/// A spill file: the records of one kind for one or several buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SpillFileId {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

/// How documents map to buckets and buckets to spill files: spill file f holds the buckets b with
/// b mod `files` = f.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpillLayout {
    /// Number of buckets of each kind.
    pub(crate) buckets: u32,
    /// Number of spill files of each kind: as many as buckets, or as may be open at once.
    pub(crate) files: u32,
}

impl SpillLayout {
    pub(crate) fn file_of(self, kind: Kind, document: DocumentId) -> SpillFileId {
        SpillFileId { kind, number: document.bucket(self.buckets) % self.files }
    }

    /// All spill files, products first.
    pub(crate) fn all_files(self) -> impl Iterator<Item = SpillFileId> {
        [Kind::Product, Kind::Review]
            .into_iter()
            .flat_map(move |kind| (0..self.files).map(move |number| SpillFileId { kind, number }))
    }

    /// The buckets in a spill file.
    pub(crate) fn buckets_of(self, file: SpillFileId) -> impl Iterator<Item = BucketId> {
        (file.number..self.buckets).step_by(self.files as usize).map(move |number| BucketId { kind: file.kind, number })
    }
}

/// How much of the raw files is in the spill files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Hash of the raw files and options that decide the spill files.
    pub(crate) spilled_from: String,
    pub(crate) layout: SpillLayout,
    /// Raw files that are complete.
    pub(crate) files_done: u32,
    /// Lines of the next raw file that are complete.
    pub(crate) lines_done: u64,
    /// All raw files are complete.
    pub(crate) finished: bool,
    /// Valid bytes of each spill file, by its name.
    pub(crate) lengths: BTreeMap<String, u64>,
    /// Counts up to here.
    pub(crate) tally: Tally,
}

/// What reading the raw files counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Lines that are not blank.
    pub(crate) records: u64,
    /// Lines that are not blank, by number of the raw file.
    pub(crate) records_of: BTreeMap<u32, u64>,
    /// Rejected records by reason.
    pub(crate) rejected: Counts,
    /// The first few unreadable records, by reason.
    pub(crate) places: BTreeMap<String, Vec<Place>>,
    /// Damage, by number of the raw file.
    pub(crate) damage: BTreeMap<u32, String>,
    /// Bytes of the longest text.
    pub(crate) longest_text: u64,
}

/// Places that are kept for each reason.
const PLACES: usize = 5;

impl Tally {
    /// Adds the counts of what follows.
    pub(crate) fn add(&mut self, next: Self) {
        self.records += next.records;
        for (file, n) in next.records_of {
            *self.records_of.entry(file).or_default() += n;
        }
        for (reason, n) in next.rejected {
            *self.rejected.entry(reason).or_default() += n;
        }
        for (reason, places) in next.places {
            let kept = self.places.entry(reason).or_default();
            kept.extend(places);
            kept.truncate(PLACES);
        }
        self.damage.extend(next.damage);
        self.longest_text = self.longest_text.max(next.longest_text);
    }

    /// Counts a rejected record. `place` is called only for the places that are kept.
    pub(crate) fn reject(&mut self, reason: Reason, place: impl FnOnce() -> Place) {
        *self.rejected.entry(reason.as_str().to_owned()).or_default() += 1;
        if reason.is_unreadable() {
            let places = self.places.entry(reason.as_str().to_owned()).or_default();
            if places.len() < PLACES {
                places.push(place());
            }
        }
    }
}
