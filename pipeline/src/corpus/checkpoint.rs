//! How documents map to buckets and spill files, and how far reading has come.
use std::{collections::BTreeMap, fmt};

use ebert_dumps::{Removals, Removed, UnreadValue};
use schemas::{
    Counts, StoreError,
    manifest::{Place, RemovedText},
};
use serde::{Deserialize, Serialize};

use super::{Reason, frame::GroupId};

/// What the records of a raw file become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    Products,
    Reviews,
    Interactions,
    /// Which variants have which parents. In one spill file, and in no table.
    Variants,
}

impl Stream {
    pub(crate) const ALL: [Self; 4] = [Self::Products, Self::Reviews, Self::Interactions, Self::Variants];
    /// Those that have tables, in the order in which they are written. Interactions come last: they
    /// need the ids of products.
    pub(crate) const WITH_TABLES: [Self; 3] = [Self::Products, Self::Reviews, Self::Interactions];

    /// Begins the names of its files.
    pub(crate) const fn stem(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Reviews => "reviews",
            Self::Interactions => "interactions",
            Self::Variants => "variants",
        }
    }
}

/// The groups of a stream whose id, modulo the number of buckets, is `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BucketId {
    pub(crate) stream: Stream,
    pub(crate) number: u32,
}

/// A spill file: the records of one stream for one or several buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SpillFileId {
    pub(crate) stream: Stream,
    pub(crate) number: u32,
}

/// The spill file of [`Stream::Variants`].
pub(crate) const VARIANTS: SpillFileId = SpillFileId { stream: Stream::Variants, number: 0 };

/// How groups map to buckets and buckets to spill files: spill file f holds the buckets b with
/// b mod `files` = f.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpillLayout {
    /// Number of buckets of each stream.
    pub(crate) buckets: u32,
    /// Number of spill files of each stream: as many as buckets, or as may be open at once.
    pub(crate) files: u32,
}

impl SpillLayout {
    pub(crate) fn file_of(self, stream: Stream, group: GroupId) -> SpillFileId {
        match stream {
            Stream::Variants => VARIANTS,
            _ => SpillFileId { stream, number: group.bucket(self.buckets) % self.files },
        }
    }

    /// The spill files of a stream.
    pub(crate) fn files_of(self, stream: Stream) -> impl Iterator<Item = SpillFileId> {
        let files = if stream == Stream::Variants { 1 } else { self.files };
        (0..files).map(move |number| SpillFileId { stream, number })
    }

    /// All spill files.
    pub(crate) fn all_files(self) -> impl Iterator<Item = SpillFileId> {
        Stream::ALL.into_iter().flat_map(move |stream| self.files_of(stream))
    }

    /// The buckets in a spill file.
    pub(crate) fn buckets_of(self, file: SpillFileId) -> impl Iterator<Item = BucketId> {
        let SpillFileId { stream, number } = file;
        (number..self.buckets).step_by(self.files as usize).map(move |number| BucketId { stream, number })
    }
}

/// Where the frames of raw files go.
pub(crate) trait Spill {
    /// Appends frames to those of a spill file.
    fn append(&mut self, id: SpillFileId, frames: &[u8]) -> Result<(), StoreError>;

    /// Stores how far reading has come, if a stopped run is to resume there.
    fn checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<(), StoreError>;
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
    /// Rows of ratings.
    pub(crate) ratings: u64,
    /// Rejected records by reason.
    pub(crate) rejected: Counts,
    /// The first few unreadable records, by reason.
    pub(crate) places: BTreeMap<String, Vec<Place>>,
    /// Damage, by number of the raw file.
    pub(crate) damage: BTreeMap<u32, FileDamage>,
    /// Reviews that give no interaction, by reason.
    pub(crate) without_interaction: Counts,
    /// Interactions with a product id that may be that of a variant. Only these need the parents of variants.
    pub(crate) may_be_variants: u64,
    /// Text that rules removed, by rule.
    pub(crate) removed: BTreeMap<String, RemovedText>,
    /// Values that could not be read, by field and reason.
    pub(crate) unread: BTreeMap<String, Counts>,
}

/// What stopped a raw file before its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileDamage {
    /// The last complete line before the damage.
    pub(crate) after_line: u64,
    /// What is wrong.
    pub(crate) error: String,
}

impl fmt::Display for FileDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after_line {
            0 => write!(f, "is damaged: {}", self.error),
            line => write!(f, "after line {line}: {}", self.error),
        }
    }
}

/// Places that are kept for each reason.
const PLACES: usize = 5;

impl Tally {
    /// Adds the counts of what follows.
    pub(crate) fn add(&mut self, next: Self) {
        self.records += next.records;
        self.ratings += next.ratings;
        self.may_be_variants += next.may_be_variants;
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
        for (reason, n) in next.without_interaction {
            *self.without_interaction.entry(reason).or_default() += n;
        }
        for (rule, more) in next.removed {
            self.removed.entry(rule).or_default().add(more);
        }
        for (field, reasons) in next.unread {
            let known = self.unread.entry(field).or_default();
            reasons.into_iter().for_each(|(reason, n)| *known.entry(reason).or_default() += n);
        }
    }

    /// The counts of a range of a raw file that has so many lines before it.
    pub(crate) fn behind(mut self, lines: u64) -> Self {
        self.places.values_mut().flatten().for_each(|place| place.line += lines);
        self.damage.values_mut().for_each(|damage| damage.after_line += lines);
        self
    }

    pub(crate) fn add_removals(&mut self, removals: &Removals) {
        for (rule, Removed { pieces, bytes }) in removals.iter().filter(|(_, removed)| removed.pieces > 0) {
            self.removed.entry(rule.to_string()).or_default().add(RemovedText { pieces, bytes });
        }
    }

    pub(crate) fn add_unread(&mut self, values: &[UnreadValue]) {
        for UnreadValue { field, reason } in values {
            let reasons = self.unread.entry((*field).to_owned()).or_default();
            *reasons.entry(reason.as_str().to_owned()).or_default() += 1;
        }
    }

    /// Counts a review that gives no interaction.
    pub(crate) fn no_interaction(&mut self, reason: &str) {
        *self.without_interaction.entry(reason.to_owned()).or_default() += 1;
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
