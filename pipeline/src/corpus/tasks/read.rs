//! Raw files to groups, and what all groups have together.
use std::{collections::BTreeSet, fs, ops::Range, time::Instant};

use schemas::{
    Manifest, StoreError, Task,
    manifest::{CorpusBody, MANIFEST},
    store,
};

use super::{
    super::{
        CorpusError,
        checkpoint::{Checkpoint, Tally},
        folder,
        group::{Group, GroupNotes, GroupWriter},
        origin,
        plan::{self, Inputs, RawInput},
        raw_groups::{RawGroup, RawRange},
        read,
    },
    CorpusTasks, Phase,
};
use crate::engine::{
    hashes::Hashes,
    progress::{Done, Progress},
    tree_hash,
};

/// Raw files that have all been read.
pub(super) struct AllRead<'a> {
    pub(super) inputs: Inputs<'a>,
    /// Without the ranges of a file that are behind damage.
    pub(super) groups: Vec<Group>,
    pub(super) tally: Tally,
}

/// What the ranges of a raw file have, up to here.
#[derive(Default)]
struct RangesSoFar {
    lines: u64,
    /// Of the tree whose root is the hash of the file.
    nodes: Vec<String>,
    damaged: bool,
}

impl<'a> CorpusTasks<'a> {
    /// Reads the groups of a task that are missing.
    ///
    /// # Errors
    /// If a raw file cannot be read, or the folder has the corpus of other raw files.
    pub fn read(&self, task: Task, hashes: &mut Hashes, progress: &Progress) -> Result<Done, CorpusError> {
        let since = Instant::now();
        let own: Vec<usize> = self.parts_of(Phase::Read, task).into_iter().map(|group| group as usize).collect();
        let sealed = self.sealed()?;
        if self.is_sealed_from(sealed.as_ref(), &own, hashes, progress)? {
            return Ok(Done::new(since, own.len() as u64, 0));
        }
        self.prepare(sealed, hashes, &own, progress)?;
        let mut made = 0;
        for &number in &own {
            let inputs = plan::hash_group(self.files, &self.groups[number], hashes, progress)?;
            let context = plan::hash_context(self.files, &self.groups[number], hashes)?;
            let made_from = self.made_from(number, &inputs, context.as_deref());
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
            let files = &self.files.recognised;
            let lines = read::read(self.settings, files, &inputs, &mut writer, &mut checkpoint, progress)?;
            let blake3 = inputs.into_iter().map(|input| input.blake3).collect();
            let notes = GroupNotes { made_from: made_from.clone(), blake3, context, lines, tally: checkpoint.tally };
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
            for input in plan::hash(self.files, self.compared(group), hashes, progress)? {
                // The manifest lists the same files in the same order.
                if sealed.body.inputs[input.number as usize].blake3 != input.blake3 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The raw files of a group whose hashes are compared with those of a sealed corpus. A file that is read in ranges
    /// is compared by the task of the first.
    fn compared(&self, group: usize) -> Range<usize> {
        let RawGroup { files, range, .. } = &self.groups[group];
        let is_later = range.as_ref().is_some_and(|range| range.number > 0);
        if is_later { files.end..files.end } else { files.clone() }
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
                for input in plan::hash(self.files, self.compared(group), hashes, progress)? {
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
    fn made_from(&self, group: usize, inputs: &[RawInput<'_>], context: Option<&str>) -> String {
        let RawGroup { files, range, .. } = &self.groups[group];
        let mut what = format!("group from {}", files.start);
        if let Some(RawRange { number, bytes, .. }) = range {
            what += &format!(", range {number}: {}-{}, {}", bytes.start, bytes.end, context.unwrap_or_default());
        }
        plan::made_from(&what, self.settings, inputs, self.layout)
    }

    /// A group, if it is complete and made from raw files of these names and sizes.
    fn group(&self, number: usize) -> Result<Option<(Group, Vec<RawInput<'a>>)>, CorpusError> {
        let Some(group) = Group::open(&self.path_of(number), self.layout)? else { return Ok(None) };
        let RawGroup { files, range, .. } = self.groups[number].clone();
        if group.notes().blake3.len() != files.len() {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for (number, blake3) in files.zip(&group.notes().blake3) {
            let input = RawInput::with_hash(number as u32, &self.files.recognised[number], blake3.clone())?;
            inputs.push(match &range {
                Some(range) => input.in_range(range),
                None => input,
            });
        }
        let is_same = group.notes().made_from == self.made_from(number, &inputs, group.notes().context.as_deref());
        Ok(is_same.then_some((group, inputs)))
    }

    /// Numbers of the groups that are missing.
    pub(super) fn unread(&self) -> Result<BTreeSet<u64>, CorpusError> {
        let mut missing = BTreeSet::new();
        for number in 0..self.groups.len() {
            if self.group(number)?.is_none() {
                missing.insert(number as u64);
            }
        }
        Ok(missing)
    }

    /// All groups. `None` if some are missing.
    pub(super) fn all_read(&self) -> Result<Option<AllRead<'a>>, CorpusError> {
        let (mut groups, mut files, mut tally) = (Vec::new(), Vec::new(), Tally::default());
        let mut ranges = RangesSoFar::default();
        for (number, raw) in self.groups.iter().enumerate() {
            let Some((group, inputs)) = self.group(number)? else { return Ok(None) };
            let Some(range) = &raw.range else {
                tally.add(group.notes().tally.clone());
                groups.push(group);
                files.extend(inputs);
                continue;
            };
            let GroupNotes { blake3, lines, tally: of_range, .. } = group.notes();
            ranges.nodes.extend_from_slice(blake3);
            // A file ends where it is damaged.
            if !ranges.damaged {
                tally.add(of_range.clone().behind(ranges.lines));
                ranges.lines += lines;
                ranges.damaged = !of_range.damage.is_empty();
                groups.push(group);
            }
            if range.is_last {
                let RangesSoFar { nodes, .. } = std::mem::take(&mut ranges);
                let Some(blake3) = tree_hash::of_file(&nodes) else { return Ok(None) };
                let file = raw.files.start;
                files.push(RawInput::with_hash(file as u32, &self.files.recognised[file], blake3)?);
            }
        }
        Ok(Some(AllRead { inputs: Inputs::new(self.files, files), groups, tally }))
    }
}
