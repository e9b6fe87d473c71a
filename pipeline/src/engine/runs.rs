//! Sorting of small records of a fixed size that do not fit in memory.
//!
//! [`RunSorter`] collects records in a buffer of fixed size. A full buffer is sorted and appended to a temporary file
//! as a run. [`SortedRecords`] merges all runs at once. Records of one key become one record as soon as they meet, in
//! the buffer or in the merge. The spill files of the corpus hold records of any length with a head of 36 bytes, which
//! would be most of the bytes here.
//!
//! The temporary file has no name once it is open, so nothing is left when the process is killed.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use schemas::{StoreError, temporary::unnamed_file};

/// A record of a fixed size. Its order is the order of its key.
pub(crate) trait FixedRecord: Copy + Ord {
    /// Bytes in a run.
    const BYTES: usize;

    /// Writes all [`FixedRecord::BYTES`].
    fn write(&self, into: &mut Vec<u8>);

    /// Reads what [`FixedRecord::write`] wrote.
    fn read(from: &[u8]) -> Self;

    /// Adds a record with the same key. Returns false, and changes nothing, if the keys differ. The result must not
    /// depend on the order in which records are added.
    fn absorb(&mut self, other: &Self) -> bool;
}

/// Four bytes of a record as a number, the lowest first.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// As [`number`], of eight bytes.
pub(crate) fn long_number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Collects records to sort them in a bounded amount of memory.
pub(crate) struct RunSorter<R> {
    /// The temporary file gets the name of this file and an ending.
    next_to: PathBuf,
    /// Records that fit in memory.
    capacity: usize,
    buffer: Vec<R>,
    runs: Option<RunFile>,
}

impl<R: FixedRecord> RunSorter<R> {
    /// The temporary file is created next to a file, whose name it begins with. `memory` is in bytes.
    pub(crate) fn new(next_to: &Path, memory: usize) -> Self {
        let capacity = (memory / size_of::<R>()).max(2);
        Self { next_to: next_to.to_owned(), capacity, buffer: Vec::new(), runs: None }
    }

    pub(crate) fn push(&mut self, record: R) -> Result<(), StoreError> {
        if self.buffer.len() == self.capacity {
            self.sort();
            // Where most records have met others of their key, the buffer has room again.
            if self.buffer.len() > self.capacity / 2 {
                self.write_run()?;
            }
        }
        if self.buffer.len() == self.buffer.capacity() {
            // Doubling would exceed the memory.
            let more = self.buffer.len().max(1 << 10).min(self.capacity - self.buffer.len());
            self.buffer.reserve_exact(more);
        }
        self.buffer.push(record);
        Ok(())
    }

    /// The records in order, each key once.
    pub(crate) fn finish(mut self) -> Result<SortedRecords<R>, StoreError> {
        self.sort();
        if self.runs.is_some() && !self.buffer.is_empty() {
            self.write_run()?;
            self.buffer = Vec::new();
        }
        let memory = self.capacity * size_of::<R>();
        let mut sorted =
            SortedRecords { buffer: self.buffer.into_iter(), runs: None, heads: BinaryHeap::new(), pending: None };
        if let Some(file) = self.runs {
            let (mut runs, mut start) = (Vec::new(), 0);
            let records = (memory / file.ends.len() / R::BYTES).clamp(1, LONGEST_READ / R::BYTES);
            for &end in &file.ends {
                runs.push(RunReader { at: start, end, bytes: Vec::new(), next: 0, longest: records * R::BYTES });
                start = end;
            }
            sorted.runs = Some(OpenRuns { path: self.next_to, file: file.file, runs });
            for run in 0..file.ends.len() {
                sorted.advance(run)?;
            }
        }
        Ok(sorted)
    }

    /// Sorts the buffer, and joins the records of one key.
    fn sort(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup_by(|next, kept| kept.absorb(next));
    }

    fn write_run(&mut self) -> Result<(), StoreError> {
        let error = |e| StoreError::io("write", &self.next_to)(e);
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => none.insert(RunFile::create(&self.next_to)?),
        };
        let mut writer = BufWriter::with_capacity(1 << 18, &runs.file);
        let mut bytes = Vec::with_capacity(R::BYTES);
        for record in &self.buffer {
            bytes.clear();
            record.write(&mut bytes);
            writer.write_all(&bytes).map_err(error)?;
        }
        writer.flush().map_err(error)?;
        let start = runs.ends.last().copied().unwrap_or(0);
        runs.ends.push(start + (self.buffer.len() * R::BYTES) as u64);
        self.buffer.clear();
        Ok(())
    }
}

/// The most bytes of a run that are read at a time.
const LONGEST_READ: usize = 1 << 20;

/// Sorted runs, one after another.
struct RunFile {
    file: File,
    /// Where each run ends.
    ends: Vec<u64>,
}

impl RunFile {
    fn create(next_to: &Path) -> Result<Self, StoreError> {
        let file = unnamed_file(next_to).map_err(StoreError::io("create a temporary file next to", next_to))?;
        Ok(Self { file, ends: Vec::new() })
    }
}

struct OpenRuns {
    /// For messages.
    path: PathBuf,
    file: File,
    runs: Vec<RunReader>,
}

/// A run that is being read.
struct RunReader {
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    /// Where the next record begins in `bytes`.
    next: usize,
    /// The most bytes that are read at a time.
    longest: usize,
}

impl OpenRuns {
    fn next<R: FixedRecord>(&mut self, run: usize) -> Result<Option<R>, StoreError> {
        let reader = &mut self.runs[run];
        if reader.next == reader.bytes.len() {
            let length = reader.longest.min((reader.end - reader.at) as usize);
            reader.bytes.resize(length, 0);
            self.file.read_exact_at(&mut reader.bytes, reader.at).map_err(StoreError::io("read", &self.path))?;
            (reader.at, reader.next) = (reader.at + length as u64, 0);
        }
        let Some(bytes) = reader.bytes.get(reader.next..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
        reader.next += R::BYTES;
        Ok(Some(R::read(&bytes[..R::BYTES])))
    }
}

/// Records in order, each key once.
pub(crate) struct SortedRecords<R> {
    /// All records, where they fit in memory.
    buffer: std::vec::IntoIter<R>,
    runs: Option<OpenRuns>,
    /// Each run's next record, with the number of the run.
    heads: BinaryHeap<Reverse<(R, usize)>>,
    pending: Option<R>,
}

impl<R: FixedRecord> SortedRecords<R> {
    /// Reads the next record of a run.
    fn advance(&mut self, run: usize) -> Result<(), StoreError> {
        let Some(runs) = &mut self.runs else { return Ok(()) };
        if let Some(record) = runs.next(run)? {
            self.heads.push(Reverse((record, run)));
        }
        Ok(())
    }

    fn next_record(&mut self) -> Result<Option<R>, StoreError> {
        if self.runs.is_none() {
            return Ok(self.buffer.next());
        }
        while let Some(Reverse((record, run))) = self.heads.pop() {
            self.advance(run)?;
            if self.pending.as_mut().is_some_and(|pending| pending.absorb(&record)) {
                continue;
            }
            if let Some(complete) = self.pending.replace(record) {
                return Ok(Some(complete));
            }
        }
        Ok(self.pending.take())
    }
}

impl<R: FixedRecord> Iterator for SortedRecords<R> {
    type Item = Result<R, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Counted {
        key: u16,
        count: u64,
    }

    impl FixedRecord for Counted {
        const BYTES: usize = 10;

        fn write(&self, into: &mut Vec<u8>) {
            into.extend(self.key.to_le_bytes());
            into.extend(self.count.to_le_bytes());
        }

        fn read(from: &[u8]) -> Self {
            let (key, count) = from.split_at(2);
            Self {
                key: u16::from_le_bytes(key.try_into().unwrap()),
                count: u64::from_le_bytes(count.try_into().unwrap()),
            }
        }

        fn absorb(&mut self, other: &Self) -> bool {
            let same = self.key == other.key;
            self.count += if same { other.count } else { 0 };
            same
        }
    }

    proptest! {
        #[test]
        fn records_are_sorted_and_joined_within_any_memory(
            keys in proptest::collection::vec(0u16..200, 0..400),
            memory in 0usize..3_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = RunSorter::new(&folder.path().join("associations.parquet"), memory);
            let mut wanted = BTreeMap::new();
            for (count, &key) in (1..).zip(&keys) {
                sorter.push(Counted { key, count }).unwrap();
                *wanted.entry(key).or_insert(0) += count;
                prop_assert!(sorter.buffer.capacity() <= sorter.capacity.max(1 << 10));
            }
            let sorted: Vec<(u16, u64)> =
                sorter.finish().unwrap().map(|record| record.map(|r| (r.key, r.count)).unwrap()).collect();
            prop_assert_eq!(sorted, wanted.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
