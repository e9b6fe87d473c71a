//! The corpus: raw dumps to clean, deduplicated documents in buckets.
//!
//! Two passes. `read` parses the raw files once and sorts their records into spill files by bucket;
//! `bucket` sorts each bucket, leaves out duplicates (which always meet in one bucket), and writes its
//! Parquet tables. Memory is a bounded number of batches in the first pass and of buckets in the second.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_dumps::{Kind, RawFiles};
use schemas::{
    FileEntry, Manifest, ManifestError, StoreError,
    manifest::{CorpusBody, CorpusCounts, CorpusOptions, Hash, MANIFEST, Place, RawFile, SkippedFile},
    store,
};

mod bucket;
mod read;
mod spill;
pub mod tables;

use self::{
    bucket::Bucket,
    spill::{Plan, Spill},
};
use crate::{
    REMAKE,
    engine::{
        hashes::{self, Hashes},
        ledger::{self, Ledger},
        progress::{NEW, Outcome, Progress, percent, thousands},
        stage::{self, Threads},
    },
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
    /// A file of ours, or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest.
    #[error(transparent)]
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

/// What the corpus is to be made from.
pub struct Request<'a> {
    /// The folder of raw files.
    pub corpus: &'a Path,
    /// The folder of everything made.
    pub out: &'a Path,
    /// Decides what an empty record is.
    pub tokenizer: &'a Tokenizer,
    /// Raw bytes for one bucket, in MiB.
    pub bucket_mib: u64,
    /// Longest segment in tokens.
    pub max_tokens: u16,
    /// The share of unreadable records up to which the step succeeds.
    pub max_unreadable: f64,
    /// Go on although raw files are damaged.
    pub allow_damaged: bool,
    /// Workers.
    pub threads: Threads,
}

impl Request<'_> {
    /// The options that decide a corpus whose longest text has so many bytes.
    fn options(&self, longest_text: u64) -> CorpusOptions {
        let word = self.tokenizer.longest_word();
        let counts = read::may_have_too_many_segments(longest_text as usize, self.max_tokens, word);
        CorpusOptions { bucket_mib: self.bucket_mib, max_tokens: counts.then_some(self.max_tokens) }
    }
}

/// Most buckets: file names have five digits.
const MOST_BUCKETS: u64 = 100_000;

/// Makes the corpus, or finds that it is up to date.
pub fn make(
    request: &Request<'_>,
    files: &RawFiles,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(Manifest<CorpusBody>, Outcome), CorpusError> {
    let since = Instant::now();
    let folder = request.out.join("corpus");
    let inputs = hash_inputs(files, hashes, progress)?;
    let old = match Manifest::<CorpusBody>::read(&folder, REMAKE) {
        Err(ManifestError::Absent { .. }) => None,
        other => Some(other?),
    };
    let why = match &old {
        None if request.out.join("spill").exists() => "a stopped run goes on".to_owned(),
        None => NEW.to_owned(),
        Some(old) => match changed(request, &inputs.0, old) {
            Some(why) => why,
            // What is known of the raw files may be more than is allowed now: then nothing is touched.
            None => {
                match refuse(request, &Flaws::of_manifest(old))
                    .and_then(|()| Ok(hashes::check_files(&folder, old, hashes)?))?
                {
                    None if old.body.skipped == inputs.1 => return Ok((old.clone(), Outcome::UpToDate)),
                    None => {
                        // Files that hold nothing decide nothing, but the manifest names them.
                        let body = CorpusBody { skipped: inputs.1, ..old.body.clone() };
                        return Ok((Manifest::new(body, old.files.clone()).seal(&folder)?, Outcome::UpToDate));
                    }
                    Some(missing) => missing,
                }
            }
        },
    };
    let weighted: u64 = files.recognised.iter().map(|f| if f.compressed { 4 * f.bytes } else { f.bytes }).sum();
    let buckets = weighted.div_ceil(request.bucket_mib << 20).max(1);
    if buckets > MOST_BUCKETS {
        let suggested = weighted.div_ceil(MOST_BUCKETS).div_ceil(1 << 20);
        return Err(CorpusError::TooManyBuckets { buckets, most: MOST_BUCKETS, suggested });
    }
    let plan = Plan { buckets: buckets as u32, files: (buckets as u32).min(spill_files_at_once()) };
    let sources = hash_of_sources(request, &inputs.0, plan);
    let spill_folder = request.out.join("spill");
    spill::refuse_foreign(&spill_folder)?;
    store::remove(&folder.join(MANIFEST))?;
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::sweep(&folder, |name| name == MANIFEST || ledger::is_table(name))?;

    let spilled_from = format!("{sources} {}", request.max_tokens);
    let (mut spill, mut checkpoint) = Spill::open(&spill_folder, plan, &spilled_from)?;
    let ledger = Ledger::open(request.out, "corpus")?;
    let stopped = checkpoint.finished.then(|| made_from(request, &sources, &checkpoint.tally));
    if let Some(made_from) = stopped
        && Units::find(&spill, &ledger, &made_from, hashes)?.lack_their_spill(&spill)
    {
        // A table that was finished, and its spill file removed, is gone: the raw files are read again.
        Spill::clear(&spill_folder)?;
        (spill, checkpoint) = Spill::open(&spill_folder, plan, &spilled_from)?;
    }
    if !checkpoint.finished {
        let bar = progress.bytes("reading", files.recognised.iter().map(|f| f.bytes).sum());
        let max_tokens = request.max_tokens;
        read::read(
            &files.recognised,
            request.tokenizer,
            max_tokens,
            request.threads,
            &mut spill,
            &mut checkpoint,
            &bar,
        )?;
    }
    let tally = checkpoint.tally;
    refuse(request, &Flaws::of_tally(&tally, files))?;

    let options = request.options(tally.longest_text);
    let made_from = made_from(request, &sources, &tally);
    let units = Units::find(&spill, &ledger, &made_from, hashes)?;
    let (mut entries, totals) = write_buckets(request, &ledger, &spill, units, &made_from, progress)?;
    let mut rejected = tally.rejected.clone();
    *rejected.entry(Reason::Duplicate.as_str().to_owned()).or_default() += totals.duplicates;
    rejected.retain(|_, n| *n > 0);
    let counts = CorpusCounts {
        records: tally.records,
        products: totals.products,
        reviews: totals.reviews,
        associations: totals.associations,
        text_bytes: totals.text_bytes,
        longest_text: tally.longest_text,
        rejected,
    };
    let known = counts.products + counts.reviews + counts.rejected.values().sum::<u64>();
    if known != counts.records {
        return Err(CorpusError::Lost { records: counts.records, known, spill: spill_folder });
    }
    if counts.products + counts.reviews == 0 {
        return Err(CorpusError::NoDocument { records: thousands(counts.records) });
    }
    let mut inputs = inputs;
    for (number, input) in inputs.0.iter_mut().enumerate() {
        input.records = tally.records_of.get(&(number as u32)).copied().unwrap_or(0);
        input.damage = tally.damage.get(&(number as u32)).cloned();
    }
    let body = CorpusBody {
        options,
        tokenizer: Hash { blake3: request.tokenizer.blake3() },
        inputs: inputs.0,
        skipped: inputs.1,
        counts,
        places: tally.places,
    };
    for entry in &entries {
        hashes.remember(&folder.join(&entry.name), &entry.blake3)?;
    }
    ledger.keep_only(&entries)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest::new(body, entries).seal(&folder)?;
    Spill::clear(&spill_folder)?;
    Ok((manifest, Outcome::made(since, why)))
}

type Inputs = (Vec<RawFile>, Vec<SkippedFile>);

fn hash_inputs(files: &RawFiles, hashes: &mut Hashes, progress: &Progress) -> Result<Inputs, StoreError> {
    let total = files.recognised.iter().map(|f| f.bytes).sum();
    let bar = progress.bytes("hashing", total);
    let mut inputs = (Vec::new(), Vec::new());
    for file in &files.recognised {
        let holds = file.holds.map_or_else(|| "nothing before the damage".to_owned(), |holds| holds.to_string());
        inputs.0.push(RawFile {
            path: file.name.to_string(),
            holds,
            bytes: file.bytes,
            blake3: hashes.blake3(&file.path)?,
            records: 0,
            damage: None,
        });
        bar.inc(file.bytes);
    }
    let skipped = files.skipped.iter();
    inputs.1.extend(skipped.map(|file| SkippedFile { path: file.name.to_string(), why: file.reason.to_string() }));
    bar.finish_and_clear();
    hashes.save();
    Ok(inputs)
}

/// What differs between what a corpus was made from and what is wanted now.
fn changed(request: &Request<'_>, now: &[RawFile], old: &Manifest<CorpusBody>) -> Option<String> {
    let was = &old.body;
    let named = |files: &[RawFile]| -> BTreeMap<String, String> {
        files.iter().map(|f| (f.path.clone(), f.blake3.clone())).collect()
    };
    let (before, after) = (named(&was.inputs), named(now));
    for (path, hash) in &after {
        match before.get(path) {
            None => return Some(format!("`{path}` is new")),
            Some(old) if old != hash => return Some(format!("`{path}` has changed")),
            Some(_) => {}
        }
    }
    if let Some(path) = before.keys().find(|p| !after.contains_key(*p)) {
        return Some(format!("`{path}` is gone"));
    }
    if was.tokenizer.blake3 != request.tokenizer.blake3() {
        return Some("the tokenizer has changed".to_owned());
    }
    let (then, wanted) = (&was.options, request.options(was.counts.longest_text));
    if then.bucket_mib != wanted.bucket_mib {
        return Some(format!("--bucket-mib was {} and is {}", then.bucket_mib, wanted.bucket_mib));
    }
    if then.max_tokens != wanted.max_tokens {
        return Some(format!("--max-tokens is {}, and a text is so long that it matters", request.max_tokens));
    }
    None
}

/// Hash of the raw files and the options that decide the content of any corpus.
fn hash_of_sources(request: &Request<'_>, inputs: &[RawFile], plan: Plan) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("corpus {} {}\n", schemas::FORMAT, plan.buckets).as_bytes());
    hasher.update(request.tokenizer.blake3().as_bytes());
    for file in inputs {
        hasher.update(format!("\n{}\0{}\0{}", file.path, file.holds, file.blake3).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Hash of all that decides the content of this corpus: its sources, and what depends on their longest text.
fn made_from(request: &Request<'_>, sources: &str, tally: &spill::Tally) -> String {
    match request.options(tally.longest_text).max_tokens {
        None => sources.to_owned(),
        Some(max_tokens) => format!("{sources} {max_tokens}"),
    }
}

fn share_of(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

/// What is wrong with the raw files.
struct Flaws<'a> {
    /// Names of files, and how they are damaged.
    damage: Vec<(&'a str, &'a str)>,
    records: u64,
    rejected: &'a schemas::Counts,
    places: &'a BTreeMap<String, Vec<Place>>,
}

impl<'a> Flaws<'a> {
    /// Of files that were read now.
    fn of_tally(tally: &'a spill::Tally, files: &'a RawFiles) -> Self {
        let name = |number: &u32| files.recognised[*number as usize].name.as_str();
        let damage = tally.damage.iter().map(|(number, what)| (name(number), what.as_str())).collect();
        Self { damage, records: tally.records, rejected: &tally.rejected, places: &tally.places }
    }

    /// Of those that a corpus was made from.
    fn of_manifest(corpus: &'a Manifest<CorpusBody>) -> Self {
        let CorpusBody { inputs, counts, places, .. } = &corpus.body;
        let damage = inputs.iter().filter_map(|file| Some((file.path.as_str(), file.damage.as_deref()?))).collect();
        Self { damage, records: counts.records, rejected: &counts.rejected, places }
    }
}

/// Fails where more is wrong with the raw files than the options allow.
fn refuse(request: &Request<'_>, flaws: &Flaws<'_>) -> Result<(), CorpusError> {
    if !flaws.damage.is_empty() && !request.allow_damaged {
        // The corpus may be one file.
        let path = |name| if request.corpus.is_file() { request.corpus.to_owned() } else { request.corpus.join(name) };
        let files = flaws.damage.iter().map(|(name, what)| format!("  `{}` {what}", path(name).display()));
        return Err(CorpusError::Damaged { files: files.collect() });
    }
    let unreadable = unreadable(flaws.rejected);
    let share = share_of(unreadable, flaws.records);
    if share > request.max_unreadable {
        let places = flaws.places.iter().flat_map(|(reason, places)| {
            places.iter().map(move |p| format!("  {reason}: `{}` line {}: {}", p.path, p.line, p.found))
        });
        return Err(CorpusError::TooManyUnreadable {
            unreadable: thousands(unreadable),
            records: thousands(flaws.records),
            share: 100.0 * share,
            limit: percent(request.max_unreadable),
            places: places.collect::<Vec<_>>().join("\n"),
            suggested: ((share * 100.0).ceil() / 100.0).min(1.0),
        });
    }
    Ok(())
}

/// Files that may be open at once besides those that every process has.
fn open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: the call fills the struct that it is given.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur.saturating_sub(32)
}

/// Spill files of each kind that may be open at once.
fn spill_files_at_once() -> u32 {
    (open_files() / 3).clamp(1, 256) as u32
}

#[derive(Default)]
struct Totals {
    products: u64,
    reviews: u64,
    duplicates: u64,
    associations: u64,
    text_bytes: u64,
}

/// The buckets by spill file: what of them is finished and what is not.
struct Units(Vec<Unit>);

struct Unit {
    kind: Kind,
    file: u32,
    finished: Vec<Bucket>,
    missing: Vec<u32>,
}

impl Units {
    fn find(spill: &Spill, ledger: &Ledger, made_from: &str, hashes: &mut Hashes) -> Result<Self, StoreError> {
        let plan = spill.plan();
        let mut units = Vec::new();
        for (kind, file) in
            [Kind::Product, Kind::Review].into_iter().flat_map(|kind| (0..plan.files).map(move |f| (kind, f)))
        {
            let mut unit = Unit { kind, file, finished: Vec::new(), missing: Vec::new() };
            for bucket in plan.buckets_of(file) {
                match bucket::finished(ledger, kind, bucket, made_from, hashes)? {
                    Some(finished) => unit.finished.push(finished),
                    None => unit.missing.push(bucket),
                }
            }
            units.push(unit);
        }
        Ok(Self(units))
    }

    /// Whether a bucket is to be made whose spill file is gone.
    fn lack_their_spill(&self, spill: &Spill) -> bool {
        self.0.iter().any(|u| !u.missing.is_empty() && !spill.path(u.kind, u.file).exists())
    }
}

/// Writes the tables of every bucket that is not finished.
fn write_buckets(
    request: &Request<'_>,
    ledger: &Ledger,
    spill: &Spill,
    units: Units,
    made_from: &str,
    progress: &Progress,
) -> Result<(Vec<FileEntry>, Totals), CorpusError> {
    let plan = spill.plan();
    let bar = progress.count("buckets", 2 * u64::from(plan.buckets));
    let (mut entries, mut totals) = (Vec::new(), Totals::default());
    let parts_at_once = (open_files() as usize / 2 / request.threads.get()).max(1);
    let work = |(): &mut (), unit: Unit| -> Result<_, CorpusError> {
        let (kind, mut made) = (unit.kind, unit.finished);
        let whole = spill.path(kind, unit.file);
        let mut parts: BTreeMap<u32, PathBuf> = BTreeMap::new();
        if plan.files < plan.buckets && !unit.missing.is_empty() {
            parts.extend(unit.missing.iter().map(|&b| (b, whole.with_extension(format!("part{b}")))));
            spill::split(&whole, plan.buckets, &parts, parts_at_once)?;
        }
        let scratch = whole.parent().unwrap_or(request.out);
        for bucket in unit.missing {
            let from = parts.get(&bucket).unwrap_or(&whole);
            made.push(bucket::write(from, ledger, (kind, bucket), made_from, (scratch, bucket::IN_MEMORY))?);
            if let Some(part) = parts.get(&bucket) {
                store::remove(part)?;
            }
        }
        // All its buckets are in the corpus: the spill file has done its work.
        store::remove(&whole)?;
        Ok((kind, made))
    };
    let mut units = units.0.into_iter();
    stage::run(
        request.threads,
        || Ok(units.next()),
        || (),
        work,
        |(kind, made)| {
            for Bucket { files, counts } in made {
                entries.extend(files);
                *(match kind {
                    Kind::Product => &mut totals.products,
                    Kind::Review => &mut totals.reviews,
                }) += counts.rows;
                totals.duplicates += counts.duplicates;
                totals.associations += counts.associations;
                totals.text_bytes += counts.text_bytes;
                bar.inc(1);
            }
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    Ok((entries, totals))
}
