//! Sorts frames: in memory, or on disk if they do not fit.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use ebert_prefetch::prefetch;
use schemas::{DocumentId, StoreError, temporary::unnamed_file};

use super::frame::{Frame, FrameKey, FrameReader, GroupId, Position, SpilledFrames};
use crate::engine::sections::Section;

/// What one worker may use to sort a bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SortLimits {
    /// Bytes for frames and their order.
    pub(crate) memory: usize,
    /// Sorted runs that are merged at a time; two or more.
    pub(crate) open_files: usize,
}

impl SortLimits {
    /// How many sorted runs are merged at a time.
    fn fan_in(self) -> usize {
        self.open_files.min(self.memory / RUN_MEMORY).max(2)
    }
}

/// Memory for each run of a merge: the buffer of its reader, and a frame.
const RUN_MEMORY: usize = 1 << 20;

/// What frames are sorted by. Equal ones are sorted by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortBy {
    /// By group, then document.
    Group,
    /// By document.
    Document,
}

impl SortBy {
    fn key(self, key: FrameKey) -> SortKey {
        let FrameKey { group, document, position: Position { file, line } } = key;
        match self {
            Self::Group => SortKey { group, document, file, line },
            Self::Document => SortKey { group: GroupId::new(0), document, file, line },
        }
    }
}

/// The order of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    group: GroupId,
    document: DocumentId,
    // A `Position`, in another order to avoid padding in `FrameEntry`.
    file: u32,
    line: u64,
}

/// Frames one after another, sorted; their checksums were verified.
pub(crate) trait SortedFrames {
    /// The bytes of the next frame. `None` at the end.
    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError>;
}

/// Sorts the frames of a bucket. Runs of frames that do not fit in memory together are written to a
/// temporary file without a name, next to the bucket's.
pub(crate) fn sort(spill: &SpilledFrames, by: SortBy, limits: SortLimits) -> Result<Box<dyn SortedFrames>, StoreError> {
    let mut reader = spill.read()?;
    let mut sorter = Sorter::new(&spill.name, by, limits);
    sorter.buffer.bytes.reserve((spill.bytes() as usize).min(limits.memory));
    while let Some(frame) = reader.next_frame()? {
        sorter.push(&frame)?;
    }
    sorter.finish()
}

/// Collects frames to sort them.
pub(crate) struct Sorter<'a> {
    by: SortBy,
    limits: SortLimits,
    buffer: FrameBuffer,
    runs: Runs<'a>,
}

impl<'a> Sorter<'a> {
    /// Runs are written to a temporary file next to this one.
    pub(crate) fn new(next_to: &'a Path, by: SortBy, limits: SortLimits) -> Self {
        Self { by, limits, buffer: FrameBuffer::default(), runs: Runs::new(next_to, by) }
    }

    pub(crate) fn push(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        if !self.buffer.order.is_empty() && self.buffer.memory_with(frame) > self.limits.memory {
            self.buffer.sort();
            self.runs.write(&mut self.buffer)?;
            self.buffer.clear();
        }
        self.buffer.push(frame, self.by);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Box<dyn SortedFrames>, StoreError> {
        let Self { limits, mut buffer, mut runs, .. } = self;
        buffer.sort();
        if runs.sections.is_empty() {
            return Ok(Box::new(buffer));
        }
        runs.write(&mut buffer)?;
        drop(buffer);
        Ok(Box::new(runs.merge(limits.fan_in())?))
    }
}

/// Frames in memory.
#[derive(Default)]
struct FrameBuffer {
    bytes: Vec<u8>,
    order: Vec<FrameEntry>,
    /// Index in `order`.
    next: usize,
}

/// Where a frame is in the buffer, in the order of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FrameEntry {
    key: SortKey,
    start: usize,
    length: u32,
}

/// Frames are in memory in another order than they are read in. This many frames ahead, the first
/// bytes of a frame are prefetched.
const AHEAD: usize = 4;
const FETCHED: usize = 256;

impl FrameBuffer {
    /// Bytes of memory after another frame is pushed.
    fn memory_with(&self, frame: &Frame<'_>) -> usize {
        // While a vector grows, its elements are in memory twice.
        let order = 2 * size_of::<FrameEntry>() * (self.order.len() + 1);
        self.bytes.len() + frame.bytes.len() + order
    }

    fn push(&mut self, frame: &Frame<'_>, by: SortBy) {
        let (start, length) = (self.bytes.len(), frame.bytes.len() as u32);
        self.order.push(FrameEntry { key: by.key(frame.key), start, length });
        self.bytes.extend_from_slice(frame.bytes);
    }

    fn sort(&mut self) {
        self.order.sort_unstable();
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.order.clear();
        self.next = 0;
    }
}

impl SortedFrames for FrameBuffer {
    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let ahead = self.order.get(self.next + AHEAD).map(|entry| &self.bytes[entry.start..]);
        ahead.and_then(|ahead| ahead.first_chunk::<FETCHED>()).into_iter().for_each(prefetch);
        let Some(&FrameEntry { start, length, .. }) = self.order.get(self.next) else { return Ok(None) };
        self.next += 1;
        Ok(Some(&self.bytes[start..start + length as usize]))
    }
}

/// Sorted runs, one after another in a file without a name. Nothing of it is left when the process
/// ends, and two processes that write one bucket do not meet.
struct Runs<'a> {
    next_to: &'a Path,
    by: SortBy,
    file: Option<Arc<File>>,
    sections: Vec<Section>,
}

impl<'a> Runs<'a> {
    fn new(next_to: &'a Path, by: SortBy) -> Self {
        Self { next_to, by, file: None, sections: Vec::new() }
    }

    fn write(&mut self, frames: &mut impl SortedFrames) -> Result<(), StoreError> {
        let error = |e| StoreError::io("write a temporary file next to", self.next_to)(e);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Arc::new(unnamed_file(self.next_to).map_err(error)?)),
        };
        let start = self.sections.last().map_or(0, |section| section.bytes.end);
        let mut end = start;
        // Readers have positions of their own, so this one stays at the end.
        let mut writer = BufWriter::with_capacity(1 << 18, &**file);
        while let Some(frame) = frames.next_frame()? {
            writer.write_all(frame).map_err(error)?;
            end += frame.len() as u64;
        }
        writer.flush().map_err(error)?;
        drop(writer);
        self.sections.push(Section { path: self.next_to.to_owned(), file: Some(file.clone()), bytes: start..end });
        Ok(())
    }

    /// Merges all runs, `fan_in` at a time.
    fn merge(mut self, fan_in: usize) -> Result<Merge, StoreError> {
        while self.sections.len() > fan_in {
            let mut fewer = Self::new(self.next_to, self.by);
            for some in self.sections.chunks(fan_in) {
                fewer.write(&mut Merge::open(some, self.by)?)?;
            }
            self = fewer;
        }
        Merge::open(&self.sections, self.by)
    }
}

/// The frames of several runs, merged.
struct Merge {
    by: SortBy,
    readers: Vec<FrameReader>,
    /// Each run's next frame, with the index of the run.
    heads: BinaryHeap<Reverse<(SortKey, usize)>>,
    /// The run whose frame was returned last: its reader still holds it.
    current: Option<usize>,
}

impl Merge {
    fn open(runs: &[Section], by: SortBy) -> Result<Self, StoreError> {
        let readers: Result<Vec<_>, _> = runs.iter().map(|run| FrameReader::new(vec![run.clone()])).collect();
        let mut merge = Self { by, readers: readers?, heads: BinaryHeap::new(), current: None };
        for run in 0..runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    /// Reads the next frame of a run.
    fn advance(&mut self, run: usize) -> Result<(), StoreError> {
        if let Some(frame) = self.readers[run].next_frame()? {
            self.heads.push(Reverse((self.by.key(frame.key), run)));
        }
        Ok(())
    }
}

impl SortedFrames for Merge {
    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        if let Some(run) = self.current.take() {
            self.advance(run)?;
        }
        let Some(Reverse((_, run))) = self.heads.pop() else { return Ok(None) };
        self.current = Some(run);
        Ok(Some(self.readers[run].frame()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use schemas::Draws;

    use super::*;

    #[test]
    fn frames_are_sorted_within_any_limits() {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("products-00000.spill");
        let mut draws = Draws::new(0, "test", b"sort");
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        for line in 0..2_000 {
            let position = Position { file: draws.below(3) as u32, line };
            let (group, document) = (GroupId::new(draws.below(20)), DocumentId::new(draws.below(300)));
            let key = FrameKey { group, document, position };
            let start = bytes.len();
            let fields = vec![line as u8; draws.below(200) as usize];
            Frame::write(&mut bytes, key, |into| into.extend(fields));
            wanted.push((key, bytes[start..].to_vec()));
        }
        fs::write(&spill, &bytes).unwrap();
        let spill = SpilledFrames::of_file(&spill).unwrap();
        for by in [SortBy::Group, SortBy::Document] {
            match by {
                SortBy::Group => wanted.sort(),
                SortBy::Document => wanted.sort_by_key(|(key, _)| (key.document, key.position)),
            }
            for memory in [usize::MAX, 100_000, 5_000, 1] {
                for open_files in [2, 5, 100] {
                    let mut sorted = sort(&spill, by, SortLimits { memory, open_files }).unwrap();
                    for (_, bytes) in &wanted {
                        assert_eq!(sorted.next_frame().unwrap(), Some(&bytes[..]));
                    }
                    assert_eq!(sorted.next_frame().unwrap(), None);
                    drop(sorted);
                    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "runs have no names");
                }
            }
        }
    }

    #[test]
    fn what_is_sorted_in_memory_fits_in_it() {
        let mut buffer = FrameBuffer::default();
        let mut bytes = Vec::new();
        let (group, document) = (GroupId::new(1), DocumentId::new(1));
        let key = FrameKey { group, document, position: Position { file: 0, line: 1 } };
        Frame::write(&mut bytes, key, |into| into.extend([0; 100]));
        let frame = Frame::read(&bytes).unwrap();
        for _ in 0..10_000 {
            let memory = buffer.memory_with(&frame);
            buffer.push(&frame, SortBy::Group);
            assert!(buffer.bytes.len() + buffer.order.capacity() * size_of::<FrameEntry>() <= memory.max(1_000));
        }
    }
}
