//! The corpus: raw dumps to clean, deduplicated documents in buckets.
//!
//! [`make`] has these stages:
//!
//! 1. `plan`: hash the raw files, decide whether the corpus is up to date, and choose the buckets;
//! 2. `read`: parse the raw files once and sort their records into spill files by bucket;
//! 3. `limits`: refuse raw files with more flaws than are allowed;
//! 4. `write`: sort each bucket, leave out duplicates, which always meet in one bucket, and write its
//!    Parquet tables;
//! 5. `seal`: check the counts and write the manifest.
//!
//! Memory is bounded: by a number of batches in the first pass, by [`SORT_MEMORY`] in the second.
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_dumps::{FindError, RawFiles};
use schemas::{
    Manifest, ManifestError, StoreError,
    manifest::{CorpusBody, MANIFEST},
    store,
};

mod bucket;
mod checkpoint;
mod frame;
mod limits;
mod plan;
mod read;
mod records;
mod seal;
mod sort;
mod spill;
pub mod tables;
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
        progress::{Outcome, Progress},
        stage::Threads,
    },
    hint::Hint,
    text::Tokenizer,
};

/// Why a record is not in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No text, or none that gives a token. Normal.
    Empty,
    /// An earlier record has the same id. Normal.
    Duplicate,
    /// The line is neither JSON nor a Python dict.
    Malformed,
    /// The line is no UTF-8.
    InvalidUtf8,
    /// The line is longer than 16 MiB.
    LineTooLong,
    /// The text has more segments than their number can hold.
    TooManySegments,
    /// A product without an id.
    NoProductId,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Duplicate,
        Self::Malformed,
        Self::InvalidUtf8,
        Self::LineTooLong,
        Self::TooManySegments,
        Self::NoProductId,
    ];

    /// The name in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LineTooLong => "line_too_long",
            Self::TooManySegments => "too_many_segments",
            Self::NoProductId => "no_product_id",
        }
    }

    /// Whether such a record counts against the limit.
    pub const fn is_unreadable(self) -> bool {
        !matches!(self, Self::Empty | Self::Duplicate)
    }
}

/// Unreadable records among rejected ones.
pub fn unreadable(rejected: &schemas::Counts) -> u64 {
    Reason::ALL.iter().filter(|r| r.is_unreadable()).filter_map(|r| rejected.get(r.as_str())).sum()
}

/// The corpus step failed.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The corpus folder.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A file of ours, or the disk.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// More than the allowed share of records cannot be read.
    #[error(
        "{unreadable} of {records} records cannot be read ({share:.3}%, limit {limit}%)\n{places}\n\
         hint: mend the files, or raise the limit with ARGS=\"--max-unreadable {suggested}\""
    )]
    TooManyUnreadable {
        /// How many.
        unreadable: String,
        /// Of how many.
        records: String,
        /// In percent.
        share: f64,
        /// In percent.
        limit: f64,
        /// The first few, a line each.
        places: String,
        /// A limit that would do.
        suggested: f64,
    },
    /// Raw files are cut short or corrupt.
    #[error(
        "{} of the raw files cannot be read to the end; the records before the damage are kept\n{}\n\
         hint: fetch the files again, or go on without the rest with ARGS=--allow-damaged",
        files.len(), files.join("\n")
    )]
    Damaged {
        /// Each with what is wrong.
        files: Vec<String>,
    },
    /// The books do not balance: a bug, or a damaged disk.
    #[error(
        "of {records} records {known} are in the corpus or counted as rejected; the others are lost\n\
         hint: delete `{}` and run `{REMAKE}` again; if that does not help, it is a bug",
        spill.display()
    )]
    Lost {
        /// How many were read.
        records: u64,
        /// How many are accounted for.
        known: u64,
        /// The spill files.
        spill: PathBuf,
    },
    /// There is no document at all.
    #[error(
        "none of the {records} records has text\nhint: see what the files hold: the fields title, description, reviewText or text"
    )]
    NoDocument {
        /// How many were read.
        records: String,
    },
    /// Longer than a bucket count can say.
    #[error(
        "the corpus would have {buckets} buckets, more than {most}\nhint: make buckets larger with ARGS=\"--bucket-mib {suggested}\""
    )]
    TooManyBuckets {
        /// How many.
        buckets: u64,
        /// At most.
        most: u64,
        /// A size that would do.
        suggested: u64,
    },
}

/// The input, output and options of the corpus step.
pub(crate) struct CorpusSettings<'a> {
    /// The folder of raw files, or a single raw file.
    pub(crate) corpus: &'a Path,
    pub(crate) out: &'a Path,
    /// Decides which records are empty.
    pub(crate) tokenizer: &'a Tokenizer,
    /// MiB of raw files per bucket.
    pub(crate) bucket_mib: u64,
    /// MiB of raw text between two checkpoints.
    pub(crate) checkpoint_mib: u64,
    /// Longest segment in tokens.
    pub(crate) max_tokens: u16,
    /// The ratio of unreadable records up to which the step succeeds.
    pub(crate) max_unreadable: f64,
    /// Continue although raw files are damaged.
    pub(crate) allow_damaged: bool,
    pub(crate) threads: Threads,
}

impl CorpusSettings<'_> {
    fn folder(&self) -> PathBuf {
        self.out.join("corpus")
    }

    fn spill_folder(&self) -> SpillFolder {
        SpillFolder::new(self.out.join("spill"))
    }
}

/// Makes the corpus, unless it is up to date.
pub(crate) fn make(
    settings: &CorpusSettings<'_>,
    files: &RawFiles,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(Manifest<CorpusBody>, Outcome), CorpusError> {
    let since = Instant::now();
    let inputs = Inputs::hash(files, hashes, progress)?;
    let why = match plan::status(settings, &inputs, hashes)? {
        Status::UpToDate(manifest) => return Ok((manifest, Outcome::UpToDate)),
        Status::Outdated(why) => why,
    };
    let plan = CorpusPlan::new(settings, &inputs, files)?;
    let spill = settings.spill_folder();
    spill.refuse_foreign()?;
    open_folder(&settings.folder())?;
    let ledger = Ledger::open(settings.out, "corpus")?;

    let checkpoint = read_raw_files(&plan, &spill, &ledger, hashes, progress)?;
    Flaws::of_tally(&checkpoint.tally, files).refuse(settings)?;
    let tables = BucketWriter::new(&plan, &spill, &ledger, &checkpoint).write_all(hashes, progress)?;
    let manifest = seal::seal(&plan, checkpoint.tally, tables, &ledger, hashes)?;
    spill.clear()?;
    Ok((manifest, Outcome::made(since, why)))
}

/// Fills the spill files, or continues where a stopped run was.
fn read_raw_files(
    plan: &CorpusPlan<'_>,
    spill: &SpillFolder,
    ledger: &Ledger,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<Checkpoint, CorpusError> {
    let spilled_from = plan.spilled_from();
    let mut checkpoint = spill.resume(plan.layout, &spilled_from)?;
    if checkpoint.finished && BucketWriter::new(plan, spill, ledger, &checkpoint).lacks_spill_files(hashes)? {
        spill.clear()?;
        checkpoint = spill.resume(plan.layout, &spilled_from)?;
    }
    if !checkpoint.finished {
        let writer = spill.writer(&checkpoint)?;
        read::read(plan, writer, &mut checkpoint, progress)?;
    }
    Ok(checkpoint)
}

/// Removes the manifest, which makes the folder unfinished, and what a stopped run left behind.
fn open_folder(folder: &Path) -> Result<(), StoreError> {
    store::remove(&folder.join(MANIFEST))?;
    fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    store::sweep(folder, |name| name == MANIFEST || ledger::is_table(name))
}
