//! The corpus: raw dumps to clean, deduplicated documents in buckets.
//!
//! [`make`] has these stages:
//!
//! 1. `plan`: hash the raw files, decide whether the corpus is up to date, and choose the buckets;
//! 2. `read`: parse the raw files once and sort their records into spill files by bucket;
//! 3. `limits`: refuse raw files with more flaws than are allowed;
//! 4. `write`: sort each bucket, leave out duplicates and copies, which always meet in one bucket, and
//!    write its Parquet tables;
//! 5. `seal`: check the counts and write the manifest.
//!
//! Memory is bounded: by a number of batches in the first pass, by [`SORT_MEMORY`] in the second.
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_dumps::{DumpFile, RawFiles};
use schemas::{
    Manifest, ManifestError, StoreError,
    manifest::{CorpusBody, MANIFEST},
    store,
};

mod bucket;
mod checkpoint;
mod frame;
pub(crate) mod group;
mod limits;
mod origin;
mod plan;
mod raw_groups;
mod read;
mod records;
mod seal;
mod sort;
mod spill;
pub mod tables;
pub mod tasks;
mod variants;
mod write;

use self::{
    checkpoint::Checkpoint,
    limits::Flaws,
    plan::{CorpusPlan, Inputs, Status},
    spill::SpillFolder,
    write::BucketWriter,
};
use crate::{
    REMAKE,
    engine::{
        hashes::Hashes,
        ledger::{self, Ledger},
        progress::{Outcome, Progress, thousands},
    },
    hint::Hint,
    settings::{Settings, StepSettings},
};

/// Why a record is not in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No text, or none with a word. Normal.
    Empty,
    /// An earlier record has the same id. Normal.
    Duplicate,
    /// A review whose text an earlier review of another product, reviewer or time has. Normal.
    Copy,
    /// The line is neither JSON nor a Python dict.
    Malformed,
    /// The line is not UTF-8.
    InvalidUtf8,
    /// The line is longer than 16 MiB.
    LineTooLong,
    /// A product without an id.
    NoProductId,
    /// Of an interaction, not of a record: records name different parents of the variant.
    AmbiguousVariant,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Duplicate,
        Self::Copy,
        Self::Malformed,
        Self::InvalidUtf8,
        Self::LineTooLong,
        Self::NoProductId,
    ];

    /// The name in manifests.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Duplicate => "duplicate",
            Self::Copy => "copy",
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LineTooLong => "line_too_long",
            Self::NoProductId => "no_product_id",
            Self::AmbiguousVariant => "ambiguous_variant",
        }
    }

    /// Whether such a record counts against the limit.
    pub(crate) const fn is_unreadable(self) -> bool {
        !matches!(self, Self::Empty | Self::Duplicate | Self::Copy)
    }
}

/// How many of the rejected records are unreadable.
pub(crate) fn unreadable(rejected: &schemas::Counts) -> u64 {
    Reason::ALL.iter().filter(|r| r.is_unreadable()).filter_map(|r| rejected.get(r.as_str())).sum()
}

/// What to do about products without an id.
pub(crate) const WITHOUT_IDS: &str = "products need an id in asin or parent_asin, or in the field that `id` names in a \
    file of `--config` (docs/own-data.md); in plain files of JSON lines, it can be copied from another field: \
    `jq -c '. + {asin: .ID}' < FILE > FILE.new && mv FILE.new FILE`";

/// What to do about records that are not UTF-8.
pub(crate) const NOT_UTF8: &str = "convert the files, compressed ones after `gunzip FILE.gz` or the like; if they are in \
    Latin-1: `iconv -f WINDOWS-1252 -t UTF-8 < FILE > FILE.new && mv FILE.new FILE`";

/// The corpus step failed.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The spill files or the tables.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// The manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// More records are unreadable than is allowed.
    #[error("{unreadable} of {records} records cannot be read ({share:.3}%, limit {limit}%)\n{places}\nhint: {hint}")]
    TooManyUnreadable {
        /// Number of unreadable records.
        unreadable: String,
        /// Number of all records.
        records: String,
        /// Percentage of unreadable records.
        share: f64,
        /// The percentage that is allowed.
        limit: f64,
        /// The first few unreadable records, one per line.
        places: String,
        /// What to do.
        hint: String,
    },
    /// Raw files or archives are cut short or corrupt.
    #[error(
        "{} of the raw files cannot be read to the end; the records before the damage are kept\n{}\n\
         hint: fetch the files again, or continue without the rest with `--allow-damaged`",
        files.len(), files.join("\n")
    )]
    Damaged {
        /// The files, each with its damage.
        files: Vec<String>,
    },
    /// The output folder has the corpus of other raw files.
    #[error(
        "`{}` has a corpus of other raw files: {found}, not `{}`\n\
         hint: choose another output folder with `--out DIR`, name those files with `--corpus DIR`, or replace the corpus with `--force`",
        out.display(), corpus
    )]
    Other {
        /// Output folder of all steps.
        out: PathBuf,
        /// The folder or files that it is of.
        found: String,
        /// The raw files as they were given.
        corpus: String,
    },
    /// A raw file was written to while it was hashed or read.
    #[error(
        "the raw file `{}` changed while it was being read\n\
         hint: run the same command again once the file is complete",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Records are neither in the corpus nor counted as rejected: a bug, or a damaged disk.
    #[error(
        "of {} records {} are in the corpus or counted as rejected; the others are lost\n\
         hint: delete `{}` and run `{REMAKE}` again; if that does not help, it is a bug",
        thousands(*records), thousands(*known), spill.display()
    )]
    Lost {
        /// Number of records that were read.
        records: u64,
        /// Number of records in the corpus or counted as rejected.
        known: u64,
        /// The folder of spill files.
        spill: PathBuf,
    },
    /// No record has text.
    #[error(
        "none of the {records} records has text\nhint: check that the files have the fields title, description, reviewText or text"
    )]
    NoDocument {
        /// Number of records that were read.
        records: String,
    },
    /// Most records are products without an id, and the others have no text.
    #[error(
        "none of the {records} records is a document: {without_id} are products without an id\nhint: {WITHOUT_IDS}"
    )]
    NoIds {
        /// Number of products without an id.
        without_id: String,
        /// Number of records that were read.
        records: String,
    },
    /// The number of a bucket has at most five digits.
    #[error(
        "the corpus would have {} buckets, more than {}\nhint: make buckets larger with `--bucket-mib {suggested}`",
        thousands(*buckets), thousands(*most)
    )]
    TooManyBuckets {
        /// Number of buckets that was asked for.
        buckets: u64,
        /// Upper bound.
        most: u64,
        /// A value of `--bucket-mib` that is high enough.
        suggested: u64,
    },
}

/// Bytes in which all workers together may sort buckets. A bucket over its worker's share is sorted on
/// disk. With 64 workers, a bucket of the default `--bucket-mib` still fits.
const SORT_MEMORY: usize = 2 << 30;

fn folder(settings: &Settings) -> PathBuf {
    settings.out.join("corpus")
}

fn spill_folder(settings: &Settings) -> SpillFolder {
    SpillFolder::new(settings.out.join("spill"))
}

/// Makes the corpus, unless it is up to date.
pub(crate) fn make(
    settings: StepSettings<'_>,
    files: &RawFiles,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(Manifest<CorpusBody>, Outcome), CorpusError> {
    let since = Instant::now();
    let inputs = Inputs::hash(files, hashes, progress)?;
    let why = match plan::status(settings, &inputs, hashes)? {
        Status::UpToDate(manifest) => {
            // The files may have moved.
            origin::note(&settings)?;
            return Ok((*manifest, Outcome::UpToDate));
        }
        Status::Outdated(why) => why,
    };
    let spill = spill_folder(&settings);
    origin::check(&settings, &inputs, &spill)?;
    let plan = CorpusPlan::new(settings, &inputs, files)?;
    spill.refuse_foreign()?;
    origin::sweep(&settings)?;
    origin::note(&settings)?;
    open_folder(&folder(&settings))?;
    let ledger = Ledger::open(&settings.out, "corpus")?;

    let checkpoint = read_raw_files(&plan, &files.recognised, &spill, &ledger, hashes, progress)?;
    Flaws::of_tally(&checkpoint.tally, files).refuse(settings)?;
    let tables = BucketWriter::new(&plan, &spill, &ledger, &checkpoint).write_all(hashes, progress)?;
    let manifest = seal::seal(&plan, checkpoint.tally, tables, &ledger, hashes)?;
    spill.clear()?;
    Ok((manifest, Outcome::made(since, why)))
}

/// Fills the spill files, or continues where a stopped run was.
fn read_raw_files(
    plan: &CorpusPlan<'_>,
    files: &[DumpFile],
    spill: &SpillFolder,
    ledger: &Ledger,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<Checkpoint, CorpusError> {
    let mut checkpoint = spill.resume(plan.layout, &plan.made_from)?;
    if checkpoint.finished && BucketWriter::new(plan, spill, ledger, &checkpoint).lacks_spill_files(hashes)? {
        spill.clear()?;
        checkpoint = spill.resume(plan.layout, &plan.made_from)?;
    }
    if !checkpoint.finished {
        let mut writer = spill.writer(&checkpoint)?;
        let inputs = &plan.inputs.files;
        let outcome = read::read(plan.settings, files, inputs, &mut writer, &mut checkpoint, progress);
        if let Err(CorpusError::Changed { .. }) = outcome {
            // Checkpoints may cover bytes that do not belong to the hash.
            spill.clear()?;
        }
        outcome?;
    }
    Ok(checkpoint)
}

/// Removes the manifest, which makes the folder unfinished, and what a stopped run left behind.
fn open_folder(folder: &Path) -> Result<(), StoreError> {
    store::remove(&folder.join(MANIFEST))?;
    fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    store::sweep(folder, |name| name == MANIFEST || ledger::is_table(name))
}
