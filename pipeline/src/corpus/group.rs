//! The frames of some raw files, sorted by bucket in one file: what a task that reads raw files leaves for those that
//! write tables.
//!
//! ```text
//!  frames of bucket 0 | of bucket 1 | … | index | notes | lengths, checksum, mark
//! ```
//!
//! The buckets of products come first, then those of reviews and of interactions, then all variants. The index has the
//! start of each, and the end of the last, as 64-bit numbers. Notes are JSON ([`GroupNotes`]). So a task that writes
//! tables reads one range of the file per bucket. Frames of a bucket are in the order of reading.
//!
//! Memory: [`MEMORY`] bytes of frames, and twice that at worst. What exceeds it is sorted by bucket on disk.
use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemas::{StoreError, store::AtomicFile, temporary::unnamed_file};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    checkpoint::{Checkpoint, Spill, SpillFileId, SpillLayout, Stream, Tally},
    frame::Section,
};

/// Bytes of frames in memory.
const MEMORY: usize = 256 << 20;

/// The last bytes of a complete file.
const MARK: &[u8; 8] = b"ebertgrp";

/// Bytes after the notes: number of buckets, bytes of notes, checksum of index and notes, [`MARK`].
const TAIL: u64 = 8 + 8 + 8 + 8;

/// Name of the file of a group.
pub(crate) fn name_of(number: u32) -> String {
    format!("raw-{number:05}.frames")
}

/// Whether [`name_of`] gives this name.
pub(crate) fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("raw-").and_then(|rest| rest.strip_suffix(".frames"));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// What the tasks that write tables need to know of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupNotes {
    /// Hash of the raw files, options and rules that decide the frames.
    pub(crate) made_from: String,
    /// Hashes of the raw files.
    pub(crate) blake3: Vec<String>,
    /// What reading them counted.
    pub(crate) tally: Tally,
}

/// Where the frames of a spill file are in the order of buckets. The layout has one spill file per bucket.
fn place(layout: SpillLayout, id: SpillFileId) -> usize {
    let streams = match id.stream {
        Stream::Products => 0,
        Stream::Reviews => 1,
        Stream::Interactions => 2,
        Stream::Variants => 3,
    };
    streams * layout.buckets as usize + id.number as usize
}

/// Number of places.
fn places(layout: SpillLayout) -> usize {
    3 * layout.buckets as usize + 1
}

/// Writes a group. The file appears when it is complete.
pub(crate) struct GroupWriter {
    path: PathBuf,
    layout: SpillLayout,
    /// Frames in memory, by bucket.
    buffers: Vec<Vec<u8>>,
    buffered: usize,
    memory: usize,
    /// What did not fit in memory, in a file without a name.
    spilled: Option<Arc<File>>,
    /// Where each bucket starts in each part of that file. The last number is the part's end.
    parts: Vec<Vec<u64>>,
}

impl GroupWriter {
    pub(crate) fn new(path: PathBuf, layout: SpillLayout) -> Self {
        let buffers = vec![Vec::new(); places(layout)];
        Self { path, layout, buffers, buffered: 0, memory: MEMORY, spilled: None, parts: Vec::new() }
    }

    /// Moves the frames in memory to the disk, by bucket.
    fn spill(&mut self) -> Result<(), StoreError> {
        let error = |e| StoreError::io("write a temporary file next to", &self.path)(e);
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(Arc::new(unnamed_file(&self.path).map_err(error)?)),
        };
        let mut at = (&**file).seek(SeekFrom::End(0)).map_err(error)?;
        let mut starts = Vec::with_capacity(self.buffers.len() + 1);
        let mut writer = BufWriter::with_capacity(1 << 20, &**file);
        for buffer in &mut self.buffers {
            starts.push(at);
            writer.write_all(buffer).map_err(error)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
        writer.flush().map_err(error)?;
        starts.push(at);
        self.parts.push(starts);
        self.buffered = 0;
        Ok(())
    }

    /// Writes the file, unless `is_finished` shows that another process has done it meanwhile.
    pub(crate) fn commit(self, notes: &GroupNotes, is_finished: impl FnOnce() -> bool) -> Result<(), StoreError> {
        let error = |e| StoreError::io("write", &self.path)(e);
        let mut file = BufWriter::with_capacity(1 << 20, AtomicFile::create(&self.path)?);
        let (mut at, mut tail) = (0u64, Vec::new());
        for (place, buffer) in self.buffers.iter().enumerate() {
            tail.extend_from_slice(&at.to_le_bytes());
            if let Some(spilled) = &self.spilled {
                for part in &self.parts {
                    let bytes = part[place]..part[place + 1];
                    let section = Section { path: self.path.clone(), file: Some(spilled.clone()), bytes };
                    at += io::copy(&mut section.open()?, &mut file).map_err(error)?;
                }
            }
            file.write_all(buffer).map_err(error)?;
            at += buffer.len() as u64;
        }
        tail.extend_from_slice(&at.to_le_bytes());
        let notes = serde_json::to_vec(notes).map_err(|e| error(e.into()))?;
        tail.extend_from_slice(&notes);
        let numbers = [self.buffers.len() as u64, notes.len() as u64, xxh3_64(&tail)];
        numbers.iter().for_each(|number| tail.extend_from_slice(&number.to_le_bytes()));
        tail.extend_from_slice(MARK);
        file.write_all(&tail).map_err(error)?;
        let file = file.into_inner().map_err(|e| error(e.into_error()))?;
        if !is_finished() {
            file.commit(0)?;
        }
        Ok(())
    }
}

impl Spill for GroupWriter {
    fn append(&mut self, id: SpillFileId, frames: &[u8]) -> Result<(), StoreError> {
        self.buffers[place(self.layout, id)].extend_from_slice(frames);
        self.buffered += frames.len();
        if self.buffered >= self.memory { self.spill() } else { Ok(()) }
    }

    /// A stopped task starts its group again.
    fn checkpoint(&mut self, _: &mut Checkpoint) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Where the index and all behind it are, from the last bytes of the file. `None` if it does not exist, or is none.
pub(crate) fn end(path: &Path) -> Result<Option<Range<u64>>, StoreError> {
    let error = |e| StoreError::io("read", path)(e);
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(error)?,
    };
    let size = file.metadata().map_err(error)?.len();
    let Some(tail_at) = size.checked_sub(TAIL) else { return Ok(None) };
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, tail_at).map_err(error)?;
    if &tail[24..] != MARK {
        return Ok(None);
    }
    let number = |at: usize| tail[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let index = number(0).checked_add(1).and_then(|places| places.checked_mul(8));
    let before = index.and_then(|index| index.checked_add(number(8)));
    Ok(before.and_then(|before| tail_at.checked_sub(before)).map(|start| start..size))
}

/// A complete group. Its index stays on disk, since there may be many groups of many buckets.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    layout: SpillLayout,
    /// Where the index begins.
    index_at: u64,
    pub(crate) notes: GroupNotes,
}

impl Group {
    /// Opens the file of a group. `None` if it does not exist, or is not a group of this layout: then it is to be read
    /// again.
    pub(crate) fn open(path: &Path, layout: SpillLayout) -> Result<Option<Self>, StoreError> {
        let error = |e| StoreError::io("read", path)(e);
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(error)?,
        };
        let size = file.metadata().map_err(error)?.len();
        let bytes = |start: u64, length: u64| {
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, start).map(|()| bytes)
        };
        let Some(tail_at) = size.checked_sub(TAIL) else { return Ok(None) };
        let tail = bytes(tail_at, TAIL).map_err(error)?;
        let number = |at: usize| tail[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (buckets, notes, sum) = (number(0), number(8), number(16));
        let index = 8 * (places(layout) as u64 + 1);
        let Some(index_at) = tail_at.checked_sub(index).and_then(|rest| rest.checked_sub(notes)) else {
            return Ok(None);
        };
        if &tail[24..] != MARK || buckets != places(layout) as u64 {
            return Ok(None);
        }
        let rest = bytes(index_at, index + notes).map_err(error)?;
        let (index, notes) = rest.split_at(index as usize);
        let starts: Vec<u64> =
            index.chunks_exact(8).filter_map(|bytes| bytes.first_chunk()).map(|b| u64::from_le_bytes(*b)).collect();
        let Ok(notes) = serde_json::from_slice(notes) else { return Ok(None) };
        let is_whole = sum == xxh3_64(&rest) && starts.is_sorted() && starts.last() == Some(&index_at);
        Ok(is_whole.then(|| Self { path: path.to_owned(), layout, index_at, notes }))
    }

    /// Where the frames of a bucket are, or all variants.
    pub(crate) fn section(&self, id: SpillFileId) -> Result<Section, StoreError> {
        let mut ends = [0; 16];
        let at = self.index_at + 8 * place(self.layout, id) as u64;
        let read = File::open(&self.path).and_then(|file| file.read_exact_at(&mut ends, at));
        read.map_err(StoreError::io("read", &self.path))?;
        let number = |at: usize| ends[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(Section { path: self.path.clone(), file: None, bytes: number(0)..number(8) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use schemas::{DocumentId, Draws};

    use super::*;
    use crate::corpus::{
        checkpoint::VARIANTS,
        frame::{Frame, FrameKey, FrameReader, GroupId, Position},
    };

    const LAYOUT: SpillLayout = SpillLayout { buckets: 5, files: 5 };

    fn notes() -> GroupNotes {
        GroupNotes { made_from: "a hash".to_owned(), blake3: vec!["b".to_owned()], tally: Tally::default() }
    }

    /// Writes frames in batches, and gives them by place.
    fn write(path: &Path, memory: usize) -> Vec<Vec<Vec<u8>>> {
        let mut writer = GroupWriter { memory, ..GroupWriter::new(path.to_owned(), LAYOUT) };
        let mut draws = Draws::new(0, "test", b"group");
        let mut wanted = vec![Vec::new(); places(LAYOUT)];
        for line in 0..500 {
            let stream = Stream::ALL[draws.below(4) as usize];
            let group = GroupId::new(draws.below(1_000));
            let id = LAYOUT.file_of(stream, group);
            let key = FrameKey { group, document: DocumentId::new(line), position: Position { file: 0, line } };
            let mut frame = Vec::new();
            Frame::write(&mut frame, key, |into| into.extend(vec![7; draws.below(60) as usize]));
            writer.append(id, &frame).unwrap();
            wanted[place(LAYOUT, id)].push(frame);
        }
        writer.commit(&notes(), || false).unwrap();
        wanted
    }

    #[test]
    fn frames_are_read_back_by_bucket_whatever_fits_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for memory in [usize::MAX, 4_000, 1] {
            let path = folder.path().join(name_of(files.len() as u32));
            let wanted = write(&path, memory);
            let group = Group::open(&path, LAYOUT).unwrap().unwrap();
            assert_eq!(group.notes, notes());
            let ids = [Stream::Products, Stream::Reviews, Stream::Interactions]
                .into_iter()
                .flat_map(|stream| (0..5).map(move |number| SpillFileId { stream, number }))
                .chain([VARIANTS]);
            for (id, wanted) in ids.zip(&wanted) {
                let mut reader = FrameReader::new(vec![group.section(id).unwrap()]).unwrap();
                for frame in wanted {
                    assert_eq!(reader.next_frame().unwrap().unwrap().bytes, frame);
                }
                assert!(reader.next_frame().unwrap().is_none() && !wanted.is_empty());
            }
            files.push(fs::read(&path).unwrap());
        }
        assert!(files.iter().all(|file| file == &files[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn what_is_not_complete_or_has_another_layout_is_not_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name_of(0));
        assert!(Group::open(&path, LAYOUT).unwrap().is_none());
        write(&path, usize::MAX);
        assert!(Group::open(&path, SpillLayout { buckets: 4, files: 4 }).unwrap().is_none());
        let whole = fs::read(&path).unwrap();
        for length in [0, 7, 40, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(Group::open(&path, LAYOUT).unwrap().is_none(), "{length} bytes");
        }
        // From the index on, no byte may change.
        let group_bytes = whole.len() - TAIL as usize - serde_json::to_vec(&notes()).unwrap().len() - 8 * 17;
        for at in group_bytes..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(Group::open(&path, LAYOUT).unwrap().is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_group_that_another_process_has_finished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name_of(0));
        GroupWriter::new(path.clone(), LAYOUT).commit(&notes(), || true).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
