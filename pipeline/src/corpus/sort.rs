//! The frames of a spill file in the order of document, then position: sorted in memory or on disk.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use ebert_prefetch::prefetch;
use schemas::{DocumentId, StoreError};

use super::frame::{Frame, FrameReader, Position, malformed};

type SortKey = (DocumentId, Position);

/// Frames are in memory in another order than they are read in. This many frames ahead, the first
/// bytes of a frame are prefetched.
const AHEAD: usize = 4;
const FETCHED: usize = 256;

/// The frames of a spill file, sorted; their checksums are verified.
pub(crate) enum SortedFrames {
    Memory { bytes: Vec<u8>, order: std::vec::IntoIter<(SortKey, usize, usize)> },
    Disk(Merge),
}

impl SortedFrames {
    /// Sorts a spill file. One over `in_memory` bytes is sorted on disk, in files beside it.
    pub(crate) fn open(spill: &Path, in_memory: usize) -> Result<Self, StoreError> {
        let size = fs::metadata(spill).map_err(StoreError::io("read", spill))?.len() as usize;
        if size <= in_memory {
            let bytes = fs::read(spill).map_err(StoreError::io("read", spill))?;
            let order = order_of(&bytes).ok_or_else(|| malformed(spill))?.into_iter();
            return Ok(Self::Memory { bytes, order });
        }
        let mut frames = FrameReader::open(spill)?;
        let mut bytes = Vec::with_capacity(in_memory);
        let mut runs = Vec::new();
        while let Some(frame) = frames.next_frame()? {
            if !bytes.is_empty() && bytes.len() + frame.len() > in_memory {
                runs.push(write_run(&bytes, spill, runs.len())?);
                bytes.clear();
            }
            bytes.extend_from_slice(frame);
        }
        runs.push(write_run(&bytes, spill, runs.len())?);
        drop(bytes);
        Ok(Self::Disk(Merge::open(runs)?))
    }

    /// The bytes of the next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        match self {
            Self::Memory { bytes, order } => {
                let next = order.next();
                let ahead = order.as_slice().get(AHEAD).map(|(_, start, _)| &bytes[*start..]);
                ahead.and_then(|ahead| ahead.first_chunk::<FETCHED>()).into_iter().for_each(prefetch);
                Ok(next.map(|(_, start, end)| &bytes[start..end]))
            }
            Self::Disk(merge) => merge.next_frame(),
        }
    }
}

/// Where each frame is, sorted by document, then position; `None` if these are not complete frames.
fn order_of(bytes: &[u8]) -> Option<Vec<(SortKey, usize, usize)>> {
    let mut order = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (frame, length) = Frame::read(&bytes[at..])?;
        order.push(((frame.document, frame.position), at, at + length));
        at += length;
    }
    order.sort_unstable();
    Some(order)
}

fn write_run(bytes: &[u8], spill: &Path, number: usize) -> Result<PathBuf, StoreError> {
    let name = spill.file_name().unwrap_or_default().to_string_lossy();
    let path = spill.with_file_name(format!("{name}.run{number}"));
    let error = |e| StoreError::io("write", &path)(e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(error)?);
    for (_, start, end) in order_of(bytes).ok_or_else(|| malformed(spill))? {
        file.write_all(&bytes[start..end]).map_err(error)?;
    }
    file.flush().map_err(error)?;
    Ok(path)
}

/// Sorted runs on disk, merged.
pub(crate) struct Merge {
    runs: Vec<FrameReader>,
    paths: Vec<PathBuf>,
    heads: BinaryHeap<Reverse<(SortKey, usize, Vec<u8>)>>,
    current: Vec<u8>,
}

impl Merge {
    fn open(paths: Vec<PathBuf>) -> Result<Self, StoreError> {
        let mut merge = Self { runs: Vec::new(), paths, heads: BinaryHeap::new(), current: Vec::new() };
        for number in 0..merge.paths.len() {
            merge.runs.push(FrameReader::open(&merge.paths[number])?);
            merge.refill(number)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> Result<(), StoreError> {
        if let Some(bytes) = self.runs[run].next_frame()? {
            let (frame, _) = Frame::read(bytes).ok_or_else(|| malformed(&self.paths[run]))?;
            self.heads.push(Reverse(((frame.document, frame.position), run, bytes.to_vec())));
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let Some(Reverse((_, run, bytes))) = self.heads.pop() else { return Ok(None) };
        self.current = bytes;
        self.refill(run)?;
        Ok(Some(&self.current))
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        for path in &self.paths {
            // A run that stays is removed with the folder, at the end of the step.
            let _ = fs::remove_file(path);
        }
    }
}
