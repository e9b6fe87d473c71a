//! The corpus in tasks, so that many processes can make it in one folder.
//!
//! 1. [`CorpusTasks::read`]: each task reads some of the raw files, in groups, and leaves a file per group with their
//!    records sorted by bucket ([`group`]).
//! 2. [`CorpusTasks::write`] of [`Phase::Documents`]: each task writes the tables of products and reviews of some
//!    buckets. It reads their ranges of all groups. Duplicates and copies of a document meet in its bucket.
//! 3. `write` of [`Phase::Interactions`]: likewise. They come last, because they need the ids of all products.
//! 4. [`CorpusTasks::seal`]: one process checks the counts and writes the manifest.
//!
//! Which records a group has, and which buckets a table, depends on the raw files alone, and not on the number of
//! tasks. So finished groups and tables are kept, whatever task is to make them. A task may run twice, and at the same
//! time: both write the same.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::PathBuf,
    time::Instant,
};

use ebert_dumps::RawFiles;
use schemas::{
    Manifest, StoreError, Task,
    manifest::{CorpusBody, MANIFEST},
    store,
};

use super::{
    CorpusError, SORT_MEMORY,
    bucket::{self, BucketOptions},
    checkpoint::{BucketId, Checkpoint, SpillFileId, SpillLayout, Stream, Tally, VARIANTS},
    folder,
    frame::SpilledFrames,
    group::{self, Group, GroupNotes, GroupWriter},
    limits::Flaws,
    origin,
    plan::{self, CorpusPlan, Inputs, RawInput},
    read, seal,
    spill::SpillFolder,
    spill_folder,
    variants::Variants,
    write::{CorpusTables, limits_of_worker},
};
use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{Done, Progress},
        stage,
    },
    settings::StepSettings,
};

/// Raw files that are read together: consecutive ones, until they are worth this many buckets. A larger file is a group
/// of its own.
const BUCKETS_PER_GROUP: u64 = 4;

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

/// A file that a task reads, or a range of it.
pub(crate) struct FileRange {
    pub(crate) path: PathBuf,
    pub(crate) range: Option<Range<u64>>,
}

/// The corpus of some raw files, and its parts.
pub struct CorpusTasks<'a> {
    settings: StepSettings<'a>,
    files: &'a RawFiles,
    layout: SpillLayout,
    groups: Vec<Range<usize>>,
    spill: SpillFolder,
}

/// Raw files that have all been read.
struct AllRead<'a> {
    inputs: Inputs<'a>,
    groups: Vec<Group>,
    tally: Tally,
}

impl<'a> CorpusTasks<'a> {
    /// The parts of the corpus of these raw files.
    ///
    /// # Errors
    /// If it would have too many buckets.
    pub fn new(settings: StepSettings<'a>, files: &'a RawFiles) -> Result<Self, CorpusError> {
        let layout = plan::layout(settings, files)?;
        // Each bucket has a place of its own in the file of a group.
        let layout = SpillLayout { files: layout.buckets, ..layout };
        let limit = (settings.bucket_mib << 20).saturating_mul(BUCKETS_PER_GROUP);
        let weights: Vec<u64> = files.recognised.iter().map(plan::weight).collect();
        let groups = grouped(&weights, limit);
        Ok(Self { settings, files, layout, groups, spill: spill_folder(&settings) })
    }

    /// How many parts a phase has. Part p belongs to task p mod n of n.
    pub fn parts(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Read => self.groups.len() as u64,
            Phase::Documents => u64::from(self.layout.buckets),
            Phase::Interactions if self.settings.interactions => u64::from(self.layout.buckets),
            Phase::Interactions => 0,
        }
    }

    /// The files that a part reads. For tables these are those of all groups.
    pub fn inputs(&self, phase: Phase, part: u64) -> Vec<PathBuf> {
        match phase {
            Phase::Read => {
                let files =
                    self.groups.get(part as usize).into_iter().flat_map(|group| &self.files.recognised[group.clone()]);
                files.map(|file| file.path.clone()).collect()
            }
            Phase::Documents | Phase::Interactions => (0..self.groups.len()).map(|group| self.path_of(group)).collect(),
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
        for part in (0..self.parts(phase)).filter(|&part| task.has(part)) {
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
        for (number, group) in read.groups.iter().enumerate() {
            for &id in &ids {
                reads.push(FileRange { path: self.path_of(number), range: Some(group.section(id)?.bytes) });
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

    /// Reads the groups of a task that are missing.
    ///
    /// # Errors
    /// If a raw file cannot be read, or the folder has the corpus of other raw files.
    pub fn read(&self, task: Task, hashes: &mut Hashes, progress: &Progress) -> Result<Done, CorpusError> {
        let since = Instant::now();
        let own: Vec<usize> = (0..self.groups.len()).filter(|&group| task.has(group as u64)).collect();
        let sealed = self.sealed()?;
        if self.is_sealed_from(sealed.as_ref(), &own, hashes, progress)? {
            return Ok(Done::new(since, own.len() as u64, 0));
        }
        self.prepare(sealed, hashes, &own, progress)?;
        let mut made = 0;
        for &number in &own {
            let inputs = plan::hash(self.files, self.groups[number].clone(), hashes, progress)?;
            let made_from = self.made_from(number, &inputs);
            let path = self.path_of(number);
            let is_finished = || {
                let group = Group::open(&path, self.layout).ok().flatten();
                group.is_some_and(|group| group.notes().made_from == made_from)
            };
            if is_finished() {
                continue;
            }
            let mut writer = GroupWriter::new(path.clone(), self.layout);
            let mut checkpoint = Checkpoint { layout: self.layout, ..Checkpoint::default() };
            read::read(self.settings, &self.files.recognised, &inputs, &mut writer, &mut checkpoint, progress)?;
            let blake3 = inputs.into_iter().map(|input| input.blake3).collect();
            let notes = GroupNotes { made_from: made_from.clone(), blake3, tally: checkpoint.tally };
            writer.commit(&notes, is_finished)?;
            made += 1;
        }
        Ok(Done::new(since, own.len() as u64, made))
    }

    /// Whether the sealed corpus has the raw files of these groups, by their hashes.
    fn is_sealed_from(
        &self,
        sealed: Option<&Manifest<CorpusBody>>,
        groups: &[usize],
        hashes: &mut Hashes,
        progress: &Progress,
    ) -> Result<bool, CorpusError> {
        let Some(sealed) = sealed else { return Ok(false) };
        for &group in groups {
            for input in plan::hash(self.files, self.groups[group].clone(), hashes, progress)? {
                // The manifest lists the same files in the same order.
                if sealed.body.inputs[input.number as usize].blake3 != input.blake3 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Prepares the folder for groups.
    fn prepare(
        &self,
        sealed: Option<Manifest<CorpusBody>>,
        hashes: &mut Hashes,
        own: &[usize],
        progress: &Progress,
    ) -> Result<(), CorpusError> {
        let is_stale = sealed.is_some();
        let old = match sealed {
            Some(old) => Some(old),
            None => Manifest::<CorpusBody>::read_previous(&folder(&self.settings))?.sealed(),
        };
        let mut inputs = Inputs::new(self.files, Vec::new());
        if let Some(old) = old {
            inputs = self.assumed(&old)?;
            for &group in own {
                for input in plan::hash(self.files, self.groups[group].clone(), hashes, progress)? {
                    let number = input.number as usize;
                    inputs.files[number] = input;
                }
            }
        }
        origin::check(&self.settings, &inputs, &self.spill)?;
        self.spill.refuse_foreign()?;
        let path = self.spill.path();
        fs::create_dir_all(path).map_err(StoreError::io("create", path))?;
        origin::note(&self.settings)?;
        if is_stale {
            // Names and sizes are equal, so other tasks would take it for the corpus of these raw files.
            store::remove(&folder(&self.settings).join(MANIFEST))?;
        }
        Ok(())
    }

    /// The key of a group. Positions hold the numbers of raw files, so the first one counts, too.
    fn made_from(&self, group: usize, inputs: &[RawInput<'_>]) -> String {
        let first = self.groups[group].start;
        plan::made_from(&format!("group from {first}"), self.settings, inputs, self.layout)
    }

    /// A group, if it is complete and made from raw files of these names and sizes.
    fn group(&self, number: usize) -> Result<Option<(Group, Vec<RawInput<'a>>)>, CorpusError> {
        let Some(group) = Group::open(&self.path_of(number), self.layout)? else { return Ok(None) };
        let files = self.groups[number].clone();
        if group.notes().blake3.len() != files.len() {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for (number, blake3) in files.zip(&group.notes().blake3) {
            inputs.push(RawInput::with_hash(number as u32, &self.files.recognised[number], blake3.clone())?);
        }
        let is_same = group.notes().made_from == self.made_from(number, &inputs);
        Ok(is_same.then_some((group, inputs)))
    }

    /// Numbers of the groups that are missing.
    fn unread(&self) -> Result<BTreeSet<u64>, CorpusError> {
        let mut missing = BTreeSet::new();
        for number in 0..self.groups.len() {
            if self.group(number)?.is_none() {
                missing.insert(number as u64);
            }
        }
        Ok(missing)
    }

    /// All groups. `None` if some are missing.
    fn all_read(&self) -> Result<Option<AllRead<'a>>, CorpusError> {
        let (mut groups, mut files, mut tally) = (Vec::new(), Vec::new(), Tally::default());
        for number in 0..self.groups.len() {
            let Some((group, inputs)) = self.group(number)? else { return Ok(None) };
            tally.add(group.notes().tally.clone());
            groups.push(group);
            files.extend(inputs);
        }
        Ok(Some(AllRead { inputs: Inputs::new(self.files, files), groups, tally }))
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

    /// Writes the tables of a task that are missing. `None` if an earlier phase is not finished.
    ///
    /// # Errors
    /// If the raw files have more flaws than are allowed, or a table cannot be written.
    pub fn write(
        &self,
        phase: Phase,
        task: Task,
        hashes: &mut Hashes,
        progress: &Progress,
    ) -> Result<Option<Done>, CorpusError> {
        let since = Instant::now();
        let own: Vec<u64> = (0..self.parts(phase)).filter(|&part| task.has(part)).collect();
        let streams = phase.streams();
        let of_task = (own.len() * streams.len()) as u64;
        let Some(read) = self.all_read()? else {
            // The groups go when the corpus is sealed.
            return Ok(self.sealed()?.map(|_| Done::new(since, of_task, 0)));
        };
        Flaws::of_tally(&read.tally, self.files).refuse(self.settings)?;
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        let mut missing = Vec::new();
        for &stream in streams {
            for &part in &own {
                let id = BucketId { stream, number: part as u32 };
                if bucket::finished(&ledger, id, &plan.made_from, hashes)?.is_none() {
                    missing.push(id);
                }
            }
        }
        if missing.is_empty() {
            return Ok(Some(Done::new(since, of_task, 0)));
        }
        let variants = if phase == Phase::Interactions && read.tally.may_be_variants > 0 {
            let Some(variants) = self.variants(&read, &ledger, &plan.made_from)? else { return Ok(None) };
            variants
        } else {
            Variants::default()
        };
        let folder = folder(&self.settings);
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        store::remove(&folder.join(MANIFEST))?;
        let (threads, made) = (self.settings.threads(), missing.len() as u64);
        let limits = limits_of_worker(threads, missing.len(), SORT_MEMORY);
        let options = BucketOptions { copies: self.settings.copies, variants: &variants, limits };
        let bar = progress.count("buckets", made);
        let mut missing = missing.into_iter();
        stage::run(
            threads,
            || Ok(missing.next()),
            || (),
            |(), id| {
                let BucketId { stream, number } = id;
                let frames = self.frames(&read, SpillFileId { stream, number })?;
                bucket::write(&frames, &ledger, id, &plan.made_from, options)
            },
            |finished| {
                for file in finished.files {
                    hashes.remember(&folder.join(&file.name), &file.blake3)?;
                }
                bar.inc(1);
                Ok::<(), StoreError>(())
            },
        )?;
        bar.finish_and_clear();
        Ok(Some(Done::new(since, of_task, made)))
    }

    /// The frames of a bucket, or all variants, in all groups.
    fn frames(&self, read: &AllRead<'_>, id: SpillFileId) -> Result<SpilledFrames, StoreError> {
        let mut sections = Vec::new();
        for group in &read.groups {
            sections.extend(Some(group.section(id)?).filter(|section| !section.bytes.is_empty()));
        }
        Ok(SpilledFrames { sections, name: self.spill.file(id) })
    }

    /// The parents of variants. `None` if a table of products is missing.
    fn variants(&self, read: &AllRead<'_>, ledger: &Ledger, made_from: &str) -> Result<Option<Variants>, StoreError> {
        let mut paths = Vec::new();
        for number in 0..self.layout.buckets {
            let id = BucketId { stream: Stream::Products, number };
            if !bucket::recorded(ledger, id, made_from)? {
                return Ok(None);
            }
            paths.extend(bucket::tables(id).last().map(|name| ledger.folder().join(name)));
        }
        Variants::load(&self.frames(read, VARIANTS)?, paths.iter().map(PathBuf::as_path)).map(Some)
    }

    /// Whether everything is there that the manifest needs, by the records of tables.
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

/// Consecutive items in groups: a group ends where the next item would exceed the limit.
fn grouped(weights: &[u64], limit: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (number, &weight) in weights.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if sum + weight <= limit => group.end = number + 1,
            _ => {
                groups.push(number..number + 1);
                sum = 0;
            }
        }
        sum += weight;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_share_a_group_and_large_ones_do_not() {
        for (weights, ends) in [
            (&[][..], &[][..]),
            (&[50], &[1]),
            (&[50, 1, 2], &[1, 3]),
            (&[3, 3, 4, 1, 10, 9], &[3, 4, 5, 6]),
            (&[0, 0, 10, 0], &[4]),
        ] {
            let (groups, ends): (_, &[usize]) = (grouped(weights, 10), ends);
            assert_eq!(groups.iter().map(|group| group.end).collect::<Vec<_>>(), ends, "{weights:?}");
            assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start), "{weights:?}");
        }
    }
}
