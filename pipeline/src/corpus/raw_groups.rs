//! How raw files are cut into groups: what a task reads at a time.
//!
//! A group is one raw file, several small ones, or a range of a large one whose lines can be read in ranges
//! ([`DumpFile::has_ranges`]). Groups depend on the raw files and on `--bucket-mib` alone.
use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use ebert_dumps::DumpFile;
use schemas::StoreError;

/// Small files are a group until they are worth this many buckets. Larger ones are cut, if they can be.
const BUCKETS_PER_GROUP: u64 = 4;

/// Text is compressed about so many times.
const COMPRESSION: u64 = 4;

/// The shortest range that is a node of the tree of hashes.
const SHORTEST: u64 = 1 << 10;

/// Raw files that are read together, or a range of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawGroup {
    /// Indices of the raw files. They follow each other.
    pub(crate) files: Range<usize>,
    /// A range of the only file, if not all of it is read.
    pub(crate) range: Option<RawRange>,
    /// Bytes of text, estimated.
    pub(crate) weight: u64,
}

/// A range of a raw file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawRange {
    /// Its number among the ranges of the file, from 0.
    pub(crate) number: u32,
    /// Where it is in the file on disk.
    pub(crate) bytes: Range<u64>,
    /// Whether the file ends with it.
    pub(crate) is_last: bool,
}

/// Bytes of text in a raw file, estimated.
pub(crate) fn weight(file: &DumpFile) -> u64 {
    if file.compressed { COMPRESSION * file.bytes } else { file.bytes }
}

/// The groups of raw files, in their order.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn groups(files: &[DumpFile], bucket_mib: u64) -> Result<Vec<RawGroup>, StoreError> {
    let limit = (bucket_mib << 20).saturating_mul(BUCKETS_PER_GROUP);
    let mut groups = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let (weight, length) = (weight(file), length_of_ranges(file, limit));
        if weight > limit && file.has_ranges(length).map_err(StoreError::io("read", &file.path))? {
            groups.extend(in_ranges(number, file.on_disk, length, weight));
        } else {
            add_whole(&mut groups, number, weight, limit);
        }
    }
    Ok(groups)
}

/// Bytes on disk of a range: a power of two, so that hashes of ranges can be merged.
fn length_of_ranges(file: &DumpFile, limit: u64) -> u64 {
    let length = 1 << limit.max(1).ilog2();
    if file.compressed { length / COMPRESSION } else { length }.max(SHORTEST)
}

/// The ranges of a file of so many bytes.
fn in_ranges(file: usize, bytes: u64, length: u64, weight: u64) -> impl Iterator<Item = RawGroup> {
    let per_byte = weight / bytes.max(1);
    (0..bytes.div_ceil(length)).map(move |number| {
        let range = number * length..bytes.min((number + 1) * length);
        let weight = per_byte * (range.end - range.start);
        let range = RawRange { number: number as u32, is_last: range.end == bytes, bytes: range };
        RawGroup { files: file..file + 1, range: Some(range), weight }
    })
}

/// Adds a file to the last group, or as a new group if it would exceed the limit.
fn add_whole(groups: &mut Vec<RawGroup>, number: usize, weight: u64, limit: u64) {
    match groups.last_mut() {
        Some(group) if group.range.is_none() && group.weight + weight <= limit => {
            group.files.end = number + 1;
            group.weight += weight;
        }
        _ => groups.push(RawGroup { files: number..number + 1, range: None, weight }),
    }
}

/// The task of each group, for so many tasks: the heaviest groups first, each to the task that has least.
pub(crate) fn tasks_of(groups: &[RawGroup], tasks: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&group| (Reverse(groups[group].weight), group));
    // Further tasks have nothing to do.
    let tasks = tasks.min(groups.len() as u32);
    let mut least: BinaryHeap<Reverse<(u64, u32)>> = (0..tasks).map(|task| Reverse((0, task))).collect();
    let mut task_of = vec![0; groups.len()];
    for group in order {
        if let Some(mut task) = least.peek_mut() {
            let Reverse((weight, number)) = &mut *task;
            // An empty file takes time, too.
            *weight += groups[group].weight.max(1);
            task_of[group] = *number;
        }
    }
    task_of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(weights: &[u64], limit: u64) -> Vec<RawGroup> {
        let mut groups = Vec::new();
        weights.iter().enumerate().for_each(|(number, &weight)| add_whole(&mut groups, number, weight, limit));
        groups
    }

    #[test]
    fn small_files_share_a_group_and_large_ones_do_not() {
        for (weights, ends) in [
            (&[][..], &[][..]),
            (&[50], &[1]),
            (&[50, 1, 2], &[1, 3]),
            (&[3, 3, 4, 1, 10, 9], &[3, 4, 5, 6]),
            (&[0, 0, 10, 0], &[4]),
        ] {
            let (groups, ends): (_, &[usize]) = (whole(weights, 10), ends);
            assert_eq!(groups.iter().map(|group| group.files.end).collect::<Vec<_>>(), ends, "{weights:?}");
            assert!(groups.windows(2).all(|pair| pair[0].files.end == pair[1].files.start), "{weights:?}");
        }
    }

    #[test]
    fn ranges_are_consecutive_and_share_no_group() {
        let mut groups = whole(&[3], 10);
        groups.extend(in_ranges(1, 2_500, 1_024, 10_000));
        add_whole(&mut groups, 2, 1, 10);
        let ranges: Vec<_> = groups.iter().map(|group| group.range.clone().map(|range| range.bytes)).collect();
        assert_eq!(ranges, [None, Some(0..1_024), Some(1_024..2_048), Some(2_048..2_500), None]);
        let last: Vec<_> = groups.iter().map(|group| group.range.as_ref().is_some_and(|range| range.is_last)).collect();
        assert_eq!(last, [false, false, false, true, false]);
        assert_eq!(groups.iter().map(|group| group.weight).collect::<Vec<_>>(), [3, 4_096, 4_096, 1_808, 1]);
    }

    #[test]
    fn groups_are_shared_out_by_weight() {
        for (weights, tasks, wanted) in [
            (&[][..], 3, &[] as &[u32]),
            (&[5, 5, 5, 5], 2, &[0, 1, 0, 1]),
            (&[1, 9, 2, 3, 4], 2, &[0, 0, 1, 1, 1]),
            (&[0, 0, 0], 3, &[0, 1, 2]),
            (&[7, 8], 3, &[1, 0]),
        ] {
            let group = |&weight: &u64| RawGroup { files: 0..1, range: None, weight };
            let groups: Vec<RawGroup> = weights.iter().map(group).collect();
            assert_eq!(tasks_of(&groups, tasks), wanted, "{weights:?} in {tasks} tasks");
        }
    }
}
