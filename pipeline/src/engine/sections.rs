//! Files of sections: what a task leaves for the tasks of a later step.
//!
//! ```text
//!  section 0 | section 1 | … | index | notes | lengths, checksum, mark
//! ```
//!
//! The index has the start and the checksum of each section, and the end of the last, as 64-bit numbers. Notes are
//! JSON. So a later task reads one range of the file per section. What is in a section is in the order of writing.
//!
//! Memory: [`MEMORY`] bytes of sections, and twice that at worst. What exceeds it is sorted by section on disk.
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    marker::PhantomData,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemas::{
    StoreError,
    store::{self, AtomicFile},
    temporary::unnamed_file,
};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::runs::FixedRecord;

/// Bytes of sections in memory.
const MEMORY: usize = 256 << 20;

/// The last bytes of a complete file of this form.
const MARK: &[u8; 8] = b"ebertsec";

/// Bytes of a section in the index: its start and its checksum.
const ENTRY: u64 = 16;

/// Bytes after the notes: number of sections, bytes of notes, checksum of index and notes, [`MARK`].
pub(crate) const TAIL: u64 = 8 + 8 + 8 + 8;

/// Writes a file of sections. The file appears when it is complete.
pub(crate) struct SectionWriter {
    path: PathBuf,
    /// What is in memory, by section.
    buffers: Vec<Vec<u8>>,
    buffered: usize,
    memory: usize,
    /// What did not fit in memory, in a file without a name.
    spilled: Option<Arc<File>>,
    /// Where each section starts in each part of that file. The last number is the part's end.
    parts: Vec<Vec<u64>>,
}

impl SectionWriter {
    pub(crate) fn new(path: PathBuf, sections: usize) -> Self {
        Self::within(path, sections, MEMORY)
    }

    /// As [`SectionWriter::new`], with so many bytes of memory.
    pub(crate) fn within(path: PathBuf, sections: usize, memory: usize) -> Self {
        let buffers = vec![Vec::new(); sections];
        Self { path, buffers, buffered: 0, memory, spilled: None, parts: Vec::new() }
    }

    /// Appends bytes to a section.
    pub(crate) fn append(&mut self, section: usize, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffers[section].extend_from_slice(bytes);
        self.buffered += bytes.len();
        if self.buffered >= self.memory { self.spill() } else { Ok(()) }
    }

    /// Appends a record to a section.
    pub(crate) fn push<R: FixedRecord>(&mut self, section: usize, record: R) -> Result<(), StoreError> {
        record.write(&mut self.buffers[section]);
        self.buffered += R::BYTES;
        if self.buffered >= self.memory { self.spill() } else { Ok(()) }
    }

    /// Moves what is in memory to the disk, by section.
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
    pub(crate) fn commit(self, notes: &impl Serialize, is_finished: impl FnOnce() -> bool) -> Result<(), StoreError> {
        let error = |e| StoreError::io("write", &self.path)(e);
        let mut file = BufWriter::with_capacity(1 << 20, AtomicFile::create(&self.path)?);
        let (mut at, mut tail) = (0u64, Vec::new());
        for (number, buffer) in self.buffers.iter().enumerate() {
            tail.extend_from_slice(&at.to_le_bytes());
            let mut into = Summed { inner: &mut file, sum: Xxh3::new() };
            if let Some(spilled) = &self.spilled {
                for part in &self.parts {
                    let bytes = part[number]..part[number + 1];
                    let section = Section { path: self.path.clone(), file: Some(spilled.clone()), bytes };
                    at += io::copy(&mut section.open()?, &mut into).map_err(error)?;
                }
            }
            into.write_all(buffer).map_err(error)?;
            at += buffer.len() as u64;
            tail.extend_from_slice(&into.sum.digest().to_le_bytes());
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

/// A file that is written, and the checksum of what was written.
struct Summed<'f, F> {
    inner: &'f mut F,
    sum: Xxh3,
}

impl<F: Write> Write for Summed<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The last bytes of a file of sections.
struct Tail {
    /// Where they begin.
    at: u64,
    sections: u64,
    /// Bytes of the notes.
    notes: u64,
    /// Checksum of index and notes.
    sum: u64,
}

impl Tail {
    /// `None` if the file is not a file of sections.
    fn read(file: &File) -> io::Result<Option<Self>> {
        let Some(at) = file.metadata()?.len().checked_sub(TAIL) else { return Ok(None) };
        let mut tail = [0; TAIL as usize];
        file.read_exact_at(&mut tail, at)?;
        let number = |at: usize| tail[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let found = Self { at, sections: number(0), notes: number(8), sum: number(16) };
        Ok((&tail[24..] == MARK).then_some(found))
    }

    /// Bytes of the index.
    fn index(&self) -> Option<u64> {
        self.sections.checked_mul(ENTRY)?.checked_add(8)
    }

    /// Where the index begins. `None` if the numbers do not fit the file.
    fn index_at(&self) -> Option<u64> {
        self.at.checked_sub(self.index()?)?.checked_sub(self.notes)
    }
}

/// Opens a file, if it exists.
fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Where the index and all behind it are, from the last bytes of the file. `None` if it does not exist, or is none.
pub(crate) fn end(path: &Path) -> Result<Option<Range<u64>>, StoreError> {
    let error = |e| StoreError::io("read", path)(e);
    let Some(file) = opened(path).map_err(error)? else { return Ok(None) };
    let Some(tail) = Tail::read(&file).map_err(error)? else { return Ok(None) };
    Ok(tail.index_at().map(|start| start..tail.at + TAIL))
}

/// A complete file of sections. Its index stays on disk, since there may be many files of many sections.
#[derive(Debug)]
pub(crate) struct Sections<N> {
    path: PathBuf,
    /// Where the index begins.
    index_at: u64,
    pub(crate) notes: N,
}

impl<N: DeserializeOwned> Sections<N> {
    /// Opens a file. `None` if it does not exist, or is not a complete file of so many sections with such notes: then
    /// it is to be written again.
    pub(crate) fn open(path: &Path, sections: usize) -> Result<Option<Self>, StoreError> {
        let error = |e| StoreError::io("read", path)(e);
        let Some(file) = opened(path).map_err(error)? else { return Ok(None) };
        let Some(tail) = Tail::read(&file).map_err(error)?.filter(|tail| tail.sections == sections as u64) else {
            return Ok(None);
        };
        let (Some(index), Some(index_at)) = (tail.index(), tail.index_at()) else { return Ok(None) };
        let mut rest = vec![0; (index + tail.notes) as usize];
        file.read_exact_at(&mut rest, index_at).map_err(error)?;
        let (index, notes) = rest.split_at(index as usize);
        let entries = index.chunks(ENTRY as usize).filter_map(|entry| entry.first_chunk());
        let starts: Vec<u64> = entries.map(|start| u64::from_le_bytes(*start)).collect();
        let Ok(notes) = serde_json::from_slice(notes) else { return Ok(None) };
        let is_whole = tail.sum == xxh3_64(&rest) && starts.is_sorted() && starts.last() == Some(&index_at);
        Ok(is_whole.then(|| Self { path: path.to_owned(), index_at, notes }))
    }

    /// Where a section is. Its bytes are not checked: this is for what has checksums of its own.
    pub(crate) fn section(&self, number: usize) -> Result<Section, StoreError> {
        Ok(self.entry(number)?.0)
    }

    /// A section and its checksum.
    fn entry(&self, number: usize) -> Result<(Section, u64), StoreError> {
        let mut entry = [0; ENTRY as usize + 8];
        let at = self.index_at + ENTRY * number as u64;
        let read = File::open(&self.path).and_then(|file| file.read_exact_at(&mut entry, at));
        read.map_err(StoreError::io("read", &self.path))?;
        let number = |at: usize| entry[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let section = Section { path: self.path.clone(), file: None, bytes: number(0)..number(16) };
        Ok((section, number(8)))
    }

    /// A section whose bytes are as they were written. It is read once for that.
    ///
    /// # Errors
    /// [`StoreError::DamagedPart`] if they are not.
    pub(crate) fn checked(&self, number: usize) -> Result<Section, StoreError> {
        let (section, wanted) = self.entry(number)?;
        let mut found = Summed { inner: &mut io::sink(), sum: Xxh3::new() };
        io::copy(&mut section.clone().open()?, &mut found).map_err(StoreError::io("read", &self.path))?;
        if found.sum.digest() == wanted {
            Ok(section)
        } else {
            Err(StoreError::DamagedPart { path: self.path.clone() })
        }
    }

    /// The records of a section, in the order of writing. They are checked as in [`Sections::checked`].
    pub(crate) fn records<R: FixedRecord>(&self, number: usize) -> Result<SectionRecords<R>, StoreError> {
        SectionRecords::new(self.checked(number)?)
    }
}

/// A range of a file.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// The file, which is opened when the section is to be read.
    pub(crate) path: PathBuf,
    /// The file, if it is open already. A file without a name has to be. `path` is then for messages.
    pub(crate) file: Option<Arc<File>>,
    /// Where the section is in the file.
    pub(crate) bytes: Range<u64>,
}

impl Section {
    /// All of a file.
    pub(crate) fn whole(path: &Path) -> Result<Self, StoreError> {
        let bytes = 0..fs::metadata(path).map_err(StoreError::io("read", path))?.len();
        Ok(Self { path: path.to_owned(), file: None, bytes })
    }

    /// Opens it for reading.
    pub(crate) fn open(self) -> Result<BufReader<SectionReader>, StoreError> {
        let file = match self.file {
            Some(file) => file,
            None => Arc::new(File::open(&self.path).map_err(StoreError::io("open", &self.path))?),
        };
        let capacity = (self.bytes.end - self.bytes.start).clamp(LEAST_READ, LONGEST_READ);
        Ok(BufReader::with_capacity(capacity as usize, SectionReader { file, rest: self.bytes }))
    }
}

/// The least room for bytes of a section: that of the head of a frame.
const LEAST_READ: u64 = 64;

/// The most bytes of a section that are read at a time.
const LONGEST_READ: u64 = 1 << 18;

/// Reads a section. Several may read one file at a time.
pub(crate) struct SectionReader {
    file: Arc<File>,
    rest: Range<u64>,
}

impl Read for SectionReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = (self.rest.end - self.rest.start).min(into.len() as u64) as usize;
        let read = self.file.read_at(&mut into[..length], self.rest.start)?;
        self.rest.start += read as u64;
        Ok(read)
    }
}

/// The records of a section.
pub(crate) struct SectionRecords<R> {
    /// For messages.
    path: PathBuf,
    reader: BufReader<SectionReader>,
    left: u64,
    bytes: Vec<u8>,
    record: PhantomData<R>,
}

impl<R: FixedRecord> SectionRecords<R> {
    pub(crate) fn new(section: Section) -> Result<Self, StoreError> {
        let left = (section.bytes.end - section.bytes.start) / R::BYTES as u64;
        let path = section.path.clone();
        Ok(Self { path, reader: section.open()?, left, bytes: vec![0; R::BYTES], record: PhantomData })
    }
}

impl<R: FixedRecord> Iterator for SectionRecords<R> {
    type Item = Result<R, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.reader.read_exact(&mut self.bytes).map_err(StoreError::io("read", &self.path));
        Some(read.map(|()| R::read(&self.bytes)))
    }
}

/// Writes records one after another into a file without a name, to be read more than once.
pub(crate) struct RecordWriter<R> {
    /// For messages.
    next_to: PathBuf,
    writer: BufWriter<File>,
    bytes: Vec<u8>,
    length: u64,
    record: PhantomData<R>,
}

impl<R: FixedRecord> RecordWriter<R> {
    /// The temporary file is created next to a file.
    pub(crate) fn new(next_to: &Path) -> Result<Self, StoreError> {
        let file = unnamed_file(next_to).map_err(StoreError::io("create a temporary file next to", next_to))?;
        let (writer, bytes) = (BufWriter::with_capacity(1 << 18, file), Vec::with_capacity(R::BYTES));
        Ok(Self { next_to: next_to.to_owned(), writer, bytes, length: 0, record: PhantomData })
    }

    pub(crate) fn push(&mut self, record: R) -> Result<(), StoreError> {
        self.bytes.clear();
        record.write(&mut self.bytes);
        self.length += self.bytes.len() as u64;
        self.writer.write_all(&self.bytes).map_err(StoreError::io("write a temporary file next to", &self.next_to))
    }

    pub(crate) fn finish(self) -> Result<RecordFile<R>, StoreError> {
        let error = |e: io::IntoInnerError<_>| StoreError::io("write", &self.next_to)(e.into_error());
        let file = self.writer.into_inner().map_err(error)?;
        let section = Section { path: self.next_to, file: Some(Arc::new(file)), bytes: 0..self.length };
        Ok(RecordFile { section, record: PhantomData })
    }
}

/// Records in a file without a name.
pub(crate) struct RecordFile<R> {
    section: Section,
    record: PhantomData<R>,
}

impl<R: FixedRecord> RecordFile<R> {
    /// All of them, from the first.
    pub(crate) fn read(&self) -> Result<SectionRecords<R>, StoreError> {
        SectionRecords::new(self.section.clone())
    }
}

/// The folder of the files that tasks of a step leave for one another, until the step is sealed.
#[derive(Clone, Debug)]
pub(crate) struct PartFolder {
    path: PathBuf,
}

impl PartFolder {
    /// That of the step that writes `folder`.
    pub(crate) fn within(folder: &Path) -> Self {
        Self { path: folder.join("parts") }
    }

    /// The file of a part.
    pub(crate) fn file(&self, stem: &str, number: u64) -> PathBuf {
        self.path.join(format!("{stem}-{number:05}.part"))
    }

    pub(crate) fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.path).map_err(StoreError::io("create", &self.path))
    }

    /// Whether it has files of parts, or temporary ones.
    pub(crate) fn has_parts(&self) -> Result<bool, StoreError> {
        Ok(!self.parts()?.is_empty())
    }

    fn parts(&self) -> Result<Vec<PathBuf>, StoreError> {
        let error = |e| StoreError::io("list", &self.path)(e);
        let entries = match fs::read_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(error)?,
        };
        let mut parts = Vec::new();
        for entry in entries {
            let path = entry.map_err(error)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if store::file_of_temporary(name).unwrap_or(name).ends_with(".part") {
                parts.push(path);
            }
        }
        Ok(parts)
    }

    /// Removes the files of all parts, and the folder unless it holds something else.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        self.parts()?.iter().try_for_each(|part| store::remove(part))?;
        match fs::remove_dir(&self.path) {
            Err(e) if ![io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty].contains(&e.kind()) => {
                Err(StoreError::io("remove", &self.path)(e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_parts_goes_unless_it_has_a_file_of_someone_else() {
        let folder = tempfile::tempdir().unwrap();
        let parts = PartFolder::within(folder.path());
        parts.clear().unwrap();
        for theirs in [None, Some("notes.txt")] {
            parts.create().unwrap();
            fs::write(parts.file("edges", 3), "records").unwrap();
            fs::write(parts.path.join("edges-00003.part.0123456789abcdef.tmp"), "half").unwrap();
            theirs.iter().for_each(|name| fs::write(parts.path.join(name), name).unwrap());
            parts.clear().unwrap();
            assert_eq!(parts.path.exists(), theirs.is_some());
        }
    }
}
