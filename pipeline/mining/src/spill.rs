//! Arrays with one item per word of the text: in memory up to a limit, and in a temporary file from there on.
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use schemas::temporary::unnamed_file;

use crate::error::SpillError;

/// How much of a text is held in memory, and where the rest goes.
///
/// The result does not depend on it. Temporary files have no name once they are open, so nothing is left when the
/// process ends.
#[derive(Clone, Debug)]
pub struct Memory {
    bytes: usize,
    next_to: PathBuf,
}

impl Memory {
    /// MiB by default: a text of 7 million words stays in memory.
    pub const DEFAULT_MIB: u64 = 128;

    /// At most this many MiB for the words of the text and what is counted of them. Temporary files are created in the
    /// folder of `next_to`, and their names begin with its name.
    pub fn new(mib: u64, next_to: impl Into<PathBuf>) -> Self {
        Self { bytes: usize::try_from(mib << 20).unwrap_or(usize::MAX), next_to: next_to.into() }
    }

    /// As [`Self::new`] with a number of bytes.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: usize, next_to: impl Into<PathBuf>) -> Self {
        Self { bytes, next_to: next_to.into() }
    }

    /// Words of the text that stay in memory. Each has at most ten bytes in all arrays together while segments are cut,
    /// and at most fourteen while candidates are counted. That is half of the bytes, and 70% while candidates are
    /// counted, next to a quarter for keys.
    pub(crate) fn words(&self) -> usize {
        self.bytes / 20
    }

    /// Bytes of keys that stay in memory while candidates are counted.
    pub(crate) fn keys(&self) -> usize {
        self.bytes / 4
    }

    pub(crate) fn file(&self) -> Result<SpillFile, SpillError> {
        let file = unnamed_file(&self.next_to).map_err(error_of("create temporary files next to", &self.next_to))?;
        Ok(SpillFile { file, next_to: self.next_to.clone() })
    }
}

impl Default for Memory {
    /// [`Self::DEFAULT_MIB`], and the system's folder for temporary files.
    fn default() -> Self {
        Self::new(Self::DEFAULT_MIB, std::env::temp_dir().join("ebert-mining"))
    }
}

fn error_of(what: &'static str, next_to: &Path) -> impl FnOnce(io::Error) -> SpillError {
    let path = next_to.to_owned();
    move |source| SpillError { what, path, source }
}

/// An item of a fixed size: a number in a file.
pub(crate) trait Item: Copy + Default + Send + Sync {
    type Number: Number;

    fn number(self) -> Self::Number;

    fn of_number(number: Self::Number) -> Self;
}

/// An unsigned integer.
pub(crate) trait Number: Copy {
    const BYTES: usize;

    /// Writes items, the lowest byte of each first.
    fn encode<T: Item<Number = Self>>(items: &[T], into: &mut Vec<u8>);

    /// Appends the items that [`Self::encode`] wrote.
    fn decode<T: Item<Number = Self>>(bytes: &[u8], into: &mut Vec<T>);
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const BYTES: usize = size_of::<$type>();

            fn encode<T: Item<Number = Self>>(items: &[T], into: &mut Vec<u8>) {
                into.resize(items.len() * size_of::<$type>(), 0);
                for (bytes, item) in into.as_chunks_mut().0.iter_mut().zip(items) {
                    *bytes = item.number().to_le_bytes();
                }
            }

            fn decode<T: Item<Number = Self>>(bytes: &[u8], into: &mut Vec<T>) {
                into.extend(bytes.as_chunks().0.iter().map(|bytes| T::of_number(<$type>::from_le_bytes(*bytes))));
            }
        }
    };
}

number!(u16);
number!(u32);
number!(u64);

/// A temporary file of items.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    /// For messages.
    next_to: PathBuf,
}

/// Items that are read at a time, so that they are decoded in the cache.
const READ: usize = 1 << 14;

impl SpillFile {
    /// Writes items from the place of item `first` of an array that begins at the start of the file.
    pub(crate) fn write<T: Item>(&self, items: &[T], first: u64) -> Result<(), SpillError> {
        let mut bytes = Vec::new();
        for (items, number) in items.chunks(READ).zip(0..) {
            T::Number::encode(items, &mut bytes);
            let at = (first + number * READ as u64) * T::Number::BYTES as u64;
            self.file.write_all_at(&bytes, at).map_err(error_of("write temporary files next to", &self.next_to))?;
        }
        Ok(())
    }

    /// Appends `count` items to `into`.
    pub(crate) fn read<T: Item>(&self, first: u64, count: usize, into: &mut Vec<T>) -> Result<(), SpillError> {
        let mut bytes = vec![0; count.min(READ) * T::Number::BYTES];
        into.reserve(count);
        for start in (0..count).step_by(READ) {
            bytes.truncate((count - start).min(READ) * T::Number::BYTES);
            let at = (first + start as u64) * T::Number::BYTES as u64;
            self.file.read_exact_at(&mut bytes, at).map_err(error_of("read temporary files next to", &self.next_to))?;
            T::Number::decode(&bytes, into);
        }
        Ok(())
    }
}

/// An array whose first items are in memory and the others in a file.
#[derive(Debug)]
pub(crate) struct SpillArray<T> {
    memory: Memory,
    in_memory: Vec<T>,
    /// The items after those in memory.
    in_file: usize,
    file: Option<SpillFile>,
    /// The last items, which are not yet in the file.
    tail: Vec<T>,
}

impl<T: Item> SpillArray<T> {
    pub(crate) fn new(memory: &Memory) -> Self {
        Self { memory: memory.clone(), in_memory: Vec::new(), in_file: 0, file: None, tail: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_memory.len() + self.in_file + self.tail.len()
    }

    pub(crate) fn append(&mut self, items: &[T]) -> Result<(), SpillError> {
        let room = self.memory.words() - self.in_memory.len().min(self.memory.words());
        let (near, far) = items.split_at(room.min(items.len()));
        grow(&mut self.in_memory, near.len(), self.memory.words());
        self.in_memory.extend_from_slice(near);
        self.tail.extend_from_slice(far);
        if self.tail.len() >= READ { self.write_tail() } else { Ok(()) }
    }

    fn write_tail(&mut self) -> Result<(), SpillError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.memory.file()?),
        };
        file.write(&self.tail, self.in_file as u64)?;
        self.in_file += self.tail.len();
        self.tail.clear();
        Ok(())
    }

    /// An array of which `fill` computes each chunk, on several threads. Chunks follow one another from 0.
    pub(crate) fn by_chunk<W>(
        memory: &Memory,
        chunks: &[Range<usize>],
        workspace: impl Fn() -> W + Send + Sync,
        fill: impl Fn(&mut W, Range<usize>, &mut [T]) -> Result<(), SpillError> + Send + Sync,
    ) -> Result<Self, SpillError> {
        let (near, far) = chunks.split_at(chunks.partition_point(|chunk| chunk.end <= memory.words()));
        let first_in_file = near.last().map_or(0, |chunk| chunk.end);
        let mut in_memory = vec![T::default(); first_in_file];
        let mut rest = &mut in_memory[..];
        let mut parts = Vec::with_capacity(near.len());
        for chunk in near {
            let (part, after) = rest.split_at_mut(chunk.len());
            parts.push((chunk.clone(), part));
            rest = after;
        }
        parts
            .into_par_iter()
            .try_for_each_init(&workspace, |workspace, (chunk, items)| fill(workspace, chunk, items))?;
        let file = if far.is_empty() { None } else { Some(memory.file()?) };
        if let Some(file) = &file {
            far.par_iter().try_for_each_init(
                || (workspace(), Vec::new()),
                |(workspace, items), chunk| {
                    items.clear();
                    items.resize(chunk.len(), T::default());
                    fill(workspace, chunk.clone(), items)?;
                    file.write(items, (chunk.start - first_in_file) as u64)
                },
            )?;
        }
        let in_file = far.last().map_or(0, |chunk| chunk.end - first_in_file);
        Ok(Self { memory: memory.clone(), in_memory, in_file, file, tail: Vec::new() })
    }

    /// The items of a range. `buffer` holds those that are not in memory.
    pub(crate) fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut Vec<T>) -> Result<&'a [T], SpillError> {
        if let Some(items) = self.in_memory.get(range.clone()) {
            return Ok(items);
        }
        buffer.clear();
        let (file_start, tail_start) = (self.in_memory.len(), self.in_memory.len() + self.in_file);
        let within = |from: usize, to: usize| range.start.clamp(from, to)..range.end.clamp(from, to);
        buffer.extend_from_slice(&self.in_memory[within(0, file_start)]);
        let far = within(file_start, tail_start);
        if let (Some(file), false) = (&self.file, far.is_empty()) {
            file.read((far.start - file_start) as u64, far.len(), buffer)?;
        }
        let last = within(tail_start, self.len());
        buffer.extend_from_slice(&self.tail[last.start - tail_start..last.end - tail_start]);
        Ok(buffer)
    }

    /// Frees memory that is needed only to append.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.in_memory.shrink_to_fit();
        self.tail.shrink_to_fit();
    }
}

/// Makes room for `more` items. Grows by an eighth, at most to `limit`: doubling would need half as much memory again.
fn grow<T>(array: &mut Vec<T>, more: usize, limit: usize) {
    if array.capacity() - array.len() < more {
        array.reserve_exact(more.max((array.len() / 8).min(limit - array.len())));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    impl Item for u16 {
        type Number = u16;

        fn number(self) -> u16 {
            self
        }

        fn of_number(number: u16) -> u16 {
            number
        }
    }

    proptest! {
        #[test]
        fn an_array_is_a_vector_within_any_memory(
            batches in prop::collection::vec(0usize..3 * READ, 0..5),
            memory in 0usize..40 * READ,
            chunk in 1usize..2 * READ,
            ranges in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 5),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let memory = Memory::of_bytes(memory, folder.path().join("text"));
            let wanted: Vec<u16> = (0..batches.iter().sum::<usize>()).map(|i| (i * 7 % 65_521) as u16).collect();
            let mut appended = SpillArray::new(&memory);
            let mut at = 0;
            for batch in batches {
                appended.append(&wanted[at..at + batch]).unwrap();
                at += batch;
            }
            let starts = (0..wanted.len()).step_by(chunk);
            let chunks: Vec<Range<usize>> = starts.map(|start| start..wanted.len().min(start + chunk)).collect();
            let filled = SpillArray::by_chunk(&memory, &chunks, || (), |(), chunk, items: &mut [u16]| {
                items.copy_from_slice(&wanted[chunk]);
                Ok(())
            }).unwrap();
            for array in [appended, filled] {
                prop_assert_eq!(array.len(), wanted.len());
                prop_assert!(array.in_memory.capacity() <= memory.words());
                for &(a, b) in &ranges {
                    let place = |part: f64| (part * wanted.len() as f64) as usize;
                    let range = place(a.min(b))..place(a.max(b));
                    let mut buffer = Vec::new();
                    prop_assert_eq!(array.read(range.clone(), &mut buffer).unwrap(), &wanted[range]);
                }
                let mut buffer = Vec::new();
                prop_assert_eq!(array.read(0..wanted.len(), &mut buffer).unwrap(), &wanted[..]);
            }
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let mut array = SpillArray::new(&Memory::of_bytes(0, "/absent/folder/text"));
        let error = array.append(&[0u16; READ]).unwrap_err().to_string();
        assert!(error == "cannot create temporary files next to `/absent/folder/text`", "{error}");
    }
}
