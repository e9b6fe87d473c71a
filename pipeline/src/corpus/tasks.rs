//! The corpus in tasks, so that many processes can make it in one folder.
//!
//! 1. [`CorpusTasks::read`]: each task reads some of the raw files, in groups ([`raw_groups`]), and leaves a file per
//!    group with their records sorted by bucket ([`group`]). A group may be a range of a large file.
//! 2. [`CorpusTasks::write`] of [`Phase::Documents`]: each task writes the tables of products and reviews of some
//!    buckets. It reads their ranges of all groups. Duplicates and copies of a document meet in its bucket.
//! 3. `write` of [`Phase::Interactions`]: likewise. They come last, because they need the ids of all products.
//! 4. [`CorpusTasks::seal`]: one process checks the counts and writes the manifest.
//!
//! Which records a group has, and which buckets a table, depends on the raw files alone, and not on the number of
//! tasks. So finished groups and tables are kept, whatever task is to make them. A task may run twice, and at the same
//! time: both write the same.
//!
//! # Ranges
//!
//! No task reads all of a file that is read in ranges. What needs all of it is put together from the groups:
//!
//! * **Order.** The position of a record has the number of its range in front of that of its line.
//! * **Numbers of lines** in messages: the lines of earlier ranges are added.
//! * **Damage.** The file ends with the first range that has any. Those behind it do not count.
//! * **Hash.** Each range has a node of the tree whose root is the hash of the file
//!   ([`tree_hash`](crate::engine::tree_hash)). So a manifest has the hash of the bytes that were read.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

use ebert_dumps::RawFiles;
use schemas::{Manifest, StoreError, Task, manifest::CorpusBody};

use super::{
    CorpusError, bucket,
    checkpoint::{BucketId, SpillFileId, SpillLayout, Stream, VARIANTS},
    folder, group,
    limits::Flaws,
    origin,
    plan::{self, CorpusPlan, Inputs, RawInput},
    raw_groups::{self, RawGroup},
    seal,
    spill::SpillFolder,
    spill_folder,
    write::CorpusTables,
};
use crate::{
    engine::{hashes::Hashes, ledger::Ledger},
    settings::StepSettings,
};

mod read;
mod write;

/// A part of the corpus step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Raw files to groups.
    Read,
    /// Groups to the tables of products and reviews.
    Documents,
    /// Groups to the tables of interactions.
    Interactions,
}

impl Phase {
    /// The streams whose tables it writes.
    fn streams(self) -> &'static [Stream] {
        match self {
            Self::Read => &[],
            Self::Documents => &[Stream::Products, Stream::Reviews],
            Self::Interactions => &[Stream::Interactions],
        }
    }
}

/// A file that a task reads, or a range of it. As text, it is `PATH` or `PATH:START-END`.
pub struct FileRange {
    /// Where the file is.
    pub path: PathBuf,
    /// The bytes that are read, if not all.
    pub range: Option<Range<u64>>,
}

impl fmt::Display for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.range {
            Some(Range { start, end }) => write!(f, "{}:{start}-{end}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// The corpus of some raw files, and its parts.
pub struct CorpusTasks<'a> {
    settings: StepSettings<'a>,
    files: &'a RawFiles,
    layout: SpillLayout,
    groups: Vec<RawGroup>,
    spill: SpillFolder,
}

impl<'a> CorpusTasks<'a> {
    /// The parts of the corpus of these raw files.
    ///
    /// # Errors
    /// If it would have too many buckets, or a raw file cannot be read.
    pub fn new(settings: StepSettings<'a>, files: &'a RawFiles) -> Result<Self, CorpusError> {
        let layout = plan::layout(settings, files)?;
        // Each bucket has a place of its own in the file of a group.
        let layout = SpillLayout { files: layout.buckets, ..layout };
        let groups = raw_groups::groups(&files.recognised, settings.bucket_mib)?;
        Ok(Self { settings, files, layout, groups, spill: spill_folder(&settings) })
    }

    /// How many parts a phase has.
    pub fn parts(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Read => self.groups.len() as u64,
            Phase::Documents => u64::from(self.layout.buckets),
            Phase::Interactions if self.settings.interactions => u64::from(self.layout.buckets),
            Phase::Interactions => 0,
        }
    }

    /// The task of each part, of so many tasks. Groups are shared out by size, and table p belongs to task p mod n of
    /// n.
    pub fn tasks_of(&self, phase: Phase, tasks: u32) -> Vec<u32> {
        match phase {
            Phase::Read => raw_groups::tasks_of(&self.groups, tasks),
            Phase::Documents | Phase::Interactions => {
                (0..self.parts(phase)).map(|part| (part % u64::from(tasks)) as u32).collect()
            }
        }
    }

    /// The parts of a task.
    pub fn parts_of(&self, phase: Phase, task: Task) -> Vec<u64> {
        let tasks = (0..).zip(self.tasks_of(phase, task.of()));
        tasks.filter(|(_, number)| task.has(u64::from(*number))).map(|(part, _)| part).collect()
    }

    /// What a part reads. For tables these are the files of all groups.
    pub fn inputs(&self, phase: Phase, part: u64) -> Vec<FileRange> {
        match phase {
            Phase::Read => {
                let Some(RawGroup { files, range, .. }) = self.groups.get(part as usize) else { return Vec::new() };
                let bytes = range.as_ref().map(|range| &range.bytes);
                let input = |path: &Path| FileRange { path: path.to_owned(), range: bytes.cloned() };
                self.files.recognised[files.clone()].iter().map(|file| input(&file.path)).collect()
            }
            Phase::Documents | Phase::Interactions => {
                let paths = (0..self.groups.len()).map(|group| self.path_of(group));
                paths.map(|path| FileRange { path, range: None }).collect()
            }
        }
    }

    /// The files that a part writes.
    pub fn outputs(&self, phase: Phase, part: u64) -> Vec<PathBuf> {
        if phase == Phase::Read {
            return vec![self.path_of(part as usize)];
        }
        let number = part as u32;
        let names = phase.streams().iter().flat_map(|&stream| bucket::tables(BucketId { stream, number }));
        names.map(|name| folder(&self.settings).join(name)).collect()
    }

    /// What a task that writes tables reads: the ranges of its missing buckets in all groups, and whole files. Nothing
    /// while groups are missing.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub(crate) fn reads(&self, phase: Phase, task: Task) -> Result<Vec<FileRange>, CorpusError> {
        let mut reads = Vec::new();
        let Some(read) = self.all_read()?.filter(|_| phase != Phase::Read) else { return Ok(reads) };
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        let mut ids = Vec::new();
        for part in self.parts_of(phase, task) {
            if !self.is_recorded(phase, part, &ledger, &plan.made_from)? {
                ids.extend(phase.streams().iter().map(|&stream| SpillFileId { stream, number: part as u32 }));
            }
        }
        if phase == Phase::Interactions && !ids.is_empty() && read.tally.may_be_variants > 0 {
            ids.push(VARIANTS);
            let products = (0..self.layout.buckets).map(|number| BucketId { stream: Stream::Products, number });
            let tables = products.filter_map(|id| bucket::tables(id).last().cloned());
            reads.extend(tables.map(|name| FileRange { path: ledger.folder().join(name), range: None }));
        }
        for group in &read.groups {
            for &id in &ids {
                let section = group.section(id)?;
                reads.push(FileRange { path: section.path, range: Some(section.bytes) });
            }
        }
        Ok(reads)
    }

    /// Whether a group is stored.
    pub fn has_groups(&self) -> bool {
        (0..self.groups.len()).any(|group| self.path_of(group).exists())
    }

    fn path_of(&self, group: usize) -> PathBuf {
        self.spill.path().join(group::name_of(group as u32))
    }

    /// The sealed corpus, if it is of these raw files and options. Names and sizes of the raw files are compared, not
    /// their hashes, which would be a read of all of them by each task.
    ///
    /// # Errors
    /// If the manifest is there and cannot be read, or a raw file is missing or changed meanwhile.
    pub fn sealed(&self) -> Result<Option<Manifest<CorpusBody>>, CorpusError> {
        let folder = folder(&self.settings);
        let Some(old) = Manifest::<CorpusBody>::read_previous(&folder)?.sealed() else { return Ok(None) };
        let inputs = self.assumed(&old)?;
        if plan::changed(self.settings, &inputs, &old).is_some() {
            return Ok(None);
        }
        let size = |name: &str| fs::metadata(folder.join(name)).map(|about| about.len()).ok();
        Ok(old.files.iter().all(|file| size(&file.name) == Some(file.bytes)).then_some(old))
    }

    /// The raw files with the hashes that a manifest has for their names and sizes. Other files have none.
    fn assumed(&self, old: &Manifest<CorpusBody>) -> Result<Inputs<'a>, CorpusError> {
        let known: BTreeMap<(&str, u64), &str> =
            old.body.inputs.iter().map(|old| ((old.path.as_str(), old.bytes), old.blake3.as_str())).collect();
        let mut inputs = Vec::new();
        for (number, found) in (0..).zip(&self.files.recognised) {
            let blake3 = known.get(&(found.name.as_str(), found.bytes)).copied().unwrap_or_default();
            inputs.push(RawInput::with_hash(number, found, blake3.to_owned())?);
        }
        Ok(Inputs::new(self.files, inputs))
    }

    /// The parts of a phase that are missing. While groups are missing, so are all tables. Tables count as finished by
    /// their records.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn missing(&self, phase: Phase) -> Result<BTreeSet<u64>, CorpusError> {
        if self.sealed()?.is_some() {
            return Ok(BTreeSet::new());
        }
        if phase == Phase::Read {
            return self.unread();
        }
        let Some(read) = self.all_read()? else { return Ok((0..self.parts(phase)).collect()) };
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        let mut missing = BTreeSet::new();
        for part in 0..self.parts(phase) {
            if !self.is_recorded(phase, part, &ledger, &plan.made_from)? {
                missing.insert(part);
            }
        }
        Ok(missing)
    }

    fn is_recorded(&self, phase: Phase, part: u64, ledger: &Ledger, made_from: &str) -> Result<bool, StoreError> {
        for &stream in phase.streams() {
            if !bucket::recorded(ledger, BucketId { stream, number: part as u32 }, made_from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether everything is there that the manifest needs, by the records of tables.
    ///
    /// # Errors
    /// If a stored file cannot be read, or a raw file is missing or changed meanwhile.
    pub fn is_complete(&self) -> Result<bool, CorpusError> {
        let Some(read) = self.all_read()? else { return Ok(false) };
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        for phase in [Phase::Documents, Phase::Interactions] {
            for part in 0..self.parts(phase) {
                if !self.is_recorded(phase, part, &ledger, &plan.made_from)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Checks the counts, writes the manifest and removes the groups. No other process may write the corpus meanwhile.
    /// `None` if something is missing.
    ///
    /// # Errors
    /// If a table is damaged, or the counts do not add up.
    pub fn seal(&self, hashes: &mut Hashes) -> Result<Option<Manifest<CorpusBody>>, CorpusError> {
        let Some(read) = self.all_read()? else { return self.sealed() };
        Flaws::of_tally(&read.tally, self.files).refuse(self.settings)?;
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        let mut tables = CorpusTables::default();
        for phase in [Phase::Documents, Phase::Interactions] {
            for &stream in phase.streams() {
                for part in 0..self.parts(phase) {
                    let id = BucketId { stream, number: part as u32 };
                    let Some(finished) = bucket::finished(&ledger, id, &plan.made_from, hashes)? else {
                        return Ok(None);
                    };
                    tables.add(finished);
                }
            }
        }
        let manifest = seal::seal(&plan, read.tally, tables, &ledger, hashes)?;
        self.clear()?;
        Ok(Some(manifest))
    }

    /// Removes the groups of a sealed corpus. No other process may write the corpus meanwhile.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn clear(&self) -> Result<(), CorpusError> {
        origin::sweep(&self.settings)?;
        Ok(self.spill.clear()?)
    }
}
