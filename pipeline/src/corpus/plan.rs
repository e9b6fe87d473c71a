//! What a corpus is made from, whether that has changed, and the key that shows it.
//!
//! One key, [`CorpusPlan::made_from`], covers the raw files, the options and the rules. The spill files
//! and the tables carry it.
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use ebert_dumps::{DumpFile, Layout, RawFiles, RecordReader};
use schemas::{
    Manifest, Previous, Rules, StoreError,
    manifest::{CorpusBody, CorpusOptions, RawFile, SkippedFile},
    store,
};

use super::{
    CorpusError,
    checkpoint::{SpillLayout, Tally},
    folder,
    limits::{self, Flaws, MOST_BUCKETS},
    raw_groups::{RawGroup, RawRange, weight},
    spill_folder,
};
use crate::{
    engine::{
        hashes::{self, FileVersion, Hashes},
        progress::{NEW, Progress, STOPPED, older_format},
    },
    settings::StepSettings,
    text,
};

/// Raised whenever the same records give other rows: ids, duplicates, buckets, columns.
pub(crate) const RULES: u32 = 2;

/// The code that decides the corpus.
pub(crate) fn rules() -> Rules {
    Rules::of([("clean", ebert_dumps::RULES), ("corpus", RULES), ("words", text::RULES)])
}

/// The raw files, hashed.
pub(crate) struct Inputs<'a> {
    /// The files with records, in the order of their names.
    pub(crate) files: Vec<RawInput<'a>>,
    pub(crate) skipped: Vec<SkippedFile>,
}

/// A raw file with records.
pub(crate) struct RawInput<'a> {
    /// Its place among all raw files, in the order of their names.
    pub(crate) number: u32,
    pub(crate) found: &'a DumpFile,
    /// The range that is read, if not all of the file.
    pub(crate) range: Option<RawRange>,
    /// Of the file, or of the range: a node of the tree from which the hash of the file follows.
    pub(crate) blake3: String,
    /// From before it was hashed.
    version: FileVersion,
}

impl<'a> RawInput<'a> {
    fn hash(number: u32, found: &'a DumpFile, hashes: &mut Hashes) -> Result<Self, CorpusError> {
        let mut input = Self::with_hash(number, found, String::new())?;
        input.blake3 = hashes.blake3(&found.path)?;
        Ok(input)
    }

    /// A file whose hash is known.
    pub(crate) fn with_hash(number: u32, found: &'a DumpFile, blake3: String) -> Result<Self, CorpusError> {
        let path = &found.path;
        let version = FileVersion::of(path)?;
        // The size decides the number of buckets.
        if version.bytes() != found.on_disk {
            return Err(CorpusError::Changed { path: path.clone() });
        }
        Ok(Self { number, found, range: None, blake3, version })
    }

    /// A range of the file.
    pub(crate) fn in_range(self, range: &RawRange) -> Self {
        Self { range: Some(range.clone()), ..self }
    }

    /// Number of bytes that are read.
    pub(crate) fn bytes(&self) -> u64 {
        self.range.as_ref().map_or(self.found.bytes, |range| range.bytes.end - range.bytes.start)
    }

    /// Reads the records. `read` grows by the bytes that are read.
    pub(crate) fn records(&self, read: Arc<AtomicU64>) -> io::Result<Box<dyn RecordReader>> {
        match &self.range {
            Some(range) => self.found.records_in(&range.bytes, read),
            None => self.found.records(read),
        }
    }

    /// Fails if the file has changed since it was hashed. To be called when it has been read.
    pub(crate) fn check_unchanged(&self) -> Result<(), CorpusError> {
        let path = &self.found.path;
        // Other permissions are another version, too. Of a range, bytes behind its hash are read as well.
        if FileVersion::of(path)? == self.version || self.range.is_none() && store::hash_file(path)? == self.blake3 {
            return Ok(());
        }
        Err(CorpusError::Changed { path: path.clone() })
    }

    /// Generation and kind of the records, for manifests.
    fn holds(&self) -> String {
        if self.found.ratings.is_some() {
            return "ratings".to_owned();
        }
        match (&self.found.mapping, self.found.holds) {
            (Some(mapping), _) => mapping.to_string(),
            (None, Some(holds)) => holds.to_string(),
            (None, None) => "nothing before the damage".to_owned(),
        }
    }

    /// The fields of the records, if they are not those of a dump, and how a table is read.
    fn fields(&self) -> Option<String> {
        let fields = serde_json::to_value(&self.found.mapping.as_ref()?.fields).expect("it has only texts");
        let table = match &self.found.layout {
            Layout::Delimited(table) => serde_json::to_value(table).expect("it has texts and numbers only"),
            _ => serde_json::Value::Null,
        };
        Some(serde_json::json!({"fields": fields, "table": table}).to_string())
    }
}

impl<'a> Inputs<'a> {
    pub(crate) fn hash(files: &'a RawFiles, hashes: &mut Hashes, progress: &Progress) -> Result<Self, CorpusError> {
        let inputs = hash(files, 0..files.recognised.len(), hashes, progress)?;
        Ok(Self::new(files, inputs))
    }

    /// These raw files, and those that are skipped.
    pub(crate) fn new(files: &RawFiles, inputs: Vec<RawInput<'a>>) -> Self {
        let skipped =
            files.skipped.iter().map(|file| SkippedFile { path: file.name.to_string(), why: file.reason.to_string() });
        Self { files: inputs, skipped: skipped.collect() }
    }

    /// The files as the manifest lists them.
    pub(crate) fn in_manifest(&self, tally: &Tally) -> Vec<RawFile> {
        let entry = |(number, input): (u32, &RawInput<'_>)| RawFile {
            path: input.found.name.to_string(),
            holds: input.holds(),
            fields: input.fields(),
            bytes: input.found.bytes,
            blake3: input.blake3.clone(),
            records: tally.records_of.get(&number).copied().unwrap_or(0),
            damage: tally.damage.get(&number).map(ToString::to_string),
        };
        (0..).zip(&self.files).map(entry).collect()
    }
}

/// Hashes some of the raw files.
pub(crate) fn hash<'a>(
    files: &'a RawFiles,
    some: Range<usize>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<Vec<RawInput<'a>>, CorpusError> {
    let found = &files.recognised[some.clone()];
    let bar = progress.bytes("hashing", found.iter().map(|f| f.bytes).sum());
    let mut inputs = Vec::new();
    for (number, found) in some.zip(found) {
        inputs.push(RawInput::hash(number as u32, found, hashes)?);
        bar.inc(found.bytes);
    }
    bar.finish_and_clear();
    hashes.save();
    Ok(inputs)
}

/// Hashes the raw files of a group, or its range of one.
pub(crate) fn hash_group<'a>(
    files: &'a RawFiles,
    group: &RawGroup,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<Vec<RawInput<'a>>, CorpusError> {
    let Some(range) = &group.range else { return hash(files, group.files.clone(), hashes, progress) };
    let number = group.files.start;
    let found = &files.recognised[number];
    let mut input = RawInput::with_hash(number as u32, found, String::new())?.in_range(range);
    let bar = progress.bytes("hashing", input.bytes());
    input.blake3 = hashes.blake3_of_range(&found.path, &range.bytes)?;
    bar.finish_and_clear();
    hashes.save();
    Ok(vec![input])
}

/// Bytes at the start of a file that show the form of its records.
const START: u64 = 1 << 16;

/// The hash of what is read of a raw file outside of a group's range, if it has one: the start of the file, and what
/// follows the range, in which its last line or frame may end.
pub(crate) fn hash_context(
    files: &RawFiles,
    group: &RawGroup,
    hashes: &mut Hashes,
) -> Result<Option<String>, CorpusError> {
    let Some(range) = &group.range else { return Ok(None) };
    let found = &files.recognised[group.files.start];
    let Range { start, end } = range.bytes;
    let reach = found.reach_of(&range.bytes).map_err(StoreError::io("read", &found.path))?;
    let mut context = String::new();
    for bytes in [0..START.min(start), end..reach.max(end)] {
        context += &hashes.blake3_of_bytes(&found.path, &bytes)?;
    }
    Ok(Some(context))
}

/// The corpus in `OUT/corpus`, compared with the one that the settings ask for.
pub(crate) enum Status {
    UpToDate(Box<Manifest<CorpusBody>>),
    /// With the reason, for the summary.
    Outdated(String),
}

/// Compares the corpus in `OUT/corpus` with the inputs and settings.
///
/// # Errors
/// If the corpus is up to date, but its raw files have more flaws than are allowed now, or one of its
/// tables is damaged.
pub(crate) fn status(
    settings: StepSettings<'_>,
    inputs: &Inputs<'_>,
    hashes: &mut Hashes,
) -> Result<Status, CorpusError> {
    let folder = folder(&settings);
    let old = match Manifest::<CorpusBody>::read_previous(&folder)? {
        Previous::Sealed(old) => *old,
        Previous::OlderFormat(found) => return Ok(Status::Outdated(older_format(found))),
        Previous::None => {
            let stopped = spill_folder(&settings).path().exists();
            return Ok(Status::Outdated(if stopped { STOPPED } else { NEW }.to_owned()));
        }
    };
    if let Some(why) = changed(settings, inputs, &old) {
        return Ok(Status::Outdated(why));
    }
    Flaws::of_manifest(&old).refuse(settings)?;
    if let Some(missing) = hashes::check_files(&folder, &old, hashes)? {
        return Ok(Status::Outdated(missing));
    }
    if old.body.skipped == inputs.skipped {
        return Ok(Status::UpToDate(Box::new(old)));
    }
    // Files without records do not change the tables, but the manifest lists them.
    let body = CorpusBody { skipped: inputs.skipped.clone(), ..old.body };
    Ok(Status::UpToDate(Box::new(Manifest::new(body, old.files).seal(&folder)?)))
}

/// What differs between the inputs and settings of a corpus and those of now.
pub(crate) fn changed(settings: StepSettings<'_>, inputs: &Inputs<'_>, old: &Manifest<CorpusBody>) -> Option<String> {
    let was = &old.body;
    let before: BTreeMap<&str, (&str, Option<&str>)> =
        was.inputs.iter().map(|f| (f.path.as_str(), (f.blake3.as_str(), f.fields.as_deref()))).collect();
    let now: BTreeMap<&str, (&str, Option<String>)> =
        inputs.files.iter().map(|f| (f.found.name.as_str(), (f.blake3.as_str(), f.fields()))).collect();
    for (path, (hash, fields)) in &now {
        match before.get(path) {
            None => return Some(format!("`{path}` is new")),
            Some((old, _)) if old != hash => return Some(format!("`{path}` has changed")),
            Some((_, old)) if *old != fields.as_deref() => return Some(format!("the fields of `{path}` have changed")),
            Some(_) => {}
        }
    }
    if let Some(path) = before.keys().find(|path| !now.contains_key(*path)) {
        return Some(format!("`{path}` is gone"));
    }
    if let Some(why) = rules().changed_since(&was.rules) {
        return Some(why);
    }
    if was.tokenizer.blake3 != settings.tokenizer.blake3() {
        return Some("the tokenizer has changed".to_owned());
    }
    let (then, wanted) = (&was.options, options(settings));
    if then.bucket_mib != wanted.bucket_mib {
        return Some(format!("`--bucket-mib` was {} and is {}", then.bucket_mib, wanted.bucket_mib));
    }
    if then.copies != wanted.copies {
        return Some(format!("`--copies` was {} and is {}", then.copies.as_str(), wanted.copies.as_str()));
    }
    if then.interactions != wanted.interactions {
        return Some("`--no-interactions` has changed".to_owned());
    }
    None
}

/// The options that decide the content of a corpus.
pub(crate) fn options(settings: StepSettings<'_>) -> CorpusOptions {
    CorpusOptions { bucket_mib: settings.bucket_mib, copies: settings.copies, interactions: settings.interactions }
}

/// How to make a corpus.
pub(crate) struct CorpusPlan<'a> {
    pub(crate) settings: StepSettings<'a>,
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) layout: SpillLayout,
    /// Hash of the raw files, the options and the rules: the key of spill files and tables.
    pub(crate) made_from: String,
}

impl<'a> CorpusPlan<'a> {
    pub(crate) fn new(
        settings: StepSettings<'a>,
        inputs: &'a Inputs<'a>,
        files: &RawFiles,
    ) -> Result<Self, CorpusError> {
        let layout = layout(settings, files)?;
        let made_from = made_from("corpus", settings, &inputs.files, layout);
        Ok(Self { settings, inputs, layout, made_from })
    }
}

/// Hash of raw files, the options and the rules. `what` is what they make.
pub(crate) fn made_from(
    what: &str,
    settings: StepSettings<'_>,
    inputs: &[RawInput<'_>],
    layout: SpillLayout,
) -> String {
    let CorpusOptions { copies, interactions, .. } = options(settings);
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{what} {} {}\n", schemas::FORMAT, layout.buckets).as_bytes());
    hasher.update(format!("copies {} interactions {interactions}\n", copies.as_str()).as_bytes());
    hasher.update(rules().key().as_bytes());
    hasher.update(settings.tokenizer.blake3().as_bytes());
    for file in inputs {
        hasher.update(format!("\n{}\0{}\0{}", file.found.name, file.holds(), file.blake3).as_bytes());
        if let Some(fields) = file.fields() {
            hasher.update(format!("\0{fields}").as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// How the documents are divided: one bucket per `--bucket-mib` of raw files.
pub(crate) fn layout(settings: StepSettings<'_>, files: &RawFiles) -> Result<SpillLayout, CorpusError> {
    let weighted: u64 = files.recognised.iter().map(weight).sum();
    let buckets = weighted.div_ceil(settings.bucket_mib << 20).max(1);
    if buckets > MOST_BUCKETS {
        let suggested = weighted.div_ceil(MOST_BUCKETS).div_ceil(1 << 20);
        return Err(CorpusError::TooManyBuckets { buckets, most: MOST_BUCKETS, suggested });
    }
    let buckets = buckets as u32;
    Ok(SpillLayout { buckets, files: buckets.min(limits::open_spill_files()) })
}
