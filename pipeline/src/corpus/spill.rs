//! Spill files: what the raw files hold, sorted into buckets on disk, unsorted within a bucket.
//!
//! A frame is one record. Frames of one spill file are in the order of reading. After some gigabytes, and
//! at the end, a checkpoint says how much of every spill file is whole and up to which line the raw files
//! are in it; a stopped run cuts the spill files back to it and reads on from there.
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use schemas::{
    Counts, DocumentId, Relation, StoreError,
    manifest::Place,
    store::{self, write_file},
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use ebert_dumps::{Kind, MAX_LINE};

/// Where a record stands: number of the raw file in name order, and line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the raw file.
    pub file: u32,
    /// Line, from 1.
    pub line: u64,
}

/// A record on its way to its bucket.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The document.
    pub document: DocumentId,
    /// Where it was read.
    pub position: Position,
    /// What it holds, as [`ProductFields`] or [`ReviewFields`] wrote it.
    pub fields: &'a [u8],
}

/// Bytes before a frame's fields: their length, checksum, document, file, line.
const HEAD: usize = 4 + 4 + 8 + 4 + 8;

/// Where what the checksum covers begins: all after itself.
const SUMMED: usize = 4 + 4;

/// No frame is longer: its record was one line, whose cleaned text stands in it twice at most.
const LONGEST: usize = 8 * MAX_LINE;

fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

impl<'a> Frame<'a> {
    /// Appends a frame whose fields `write` appends.
    pub fn write(into: &mut Vec<u8>, document: DocumentId, position: Position, write: impl FnOnce(&mut Vec<u8>)) {
        let start = into.len();
        into.extend_from_slice(&[0; SUMMED]);
        into.extend_from_slice(&document.get().to_le_bytes());
        into.extend_from_slice(&position.file.to_le_bytes());
        into.extend_from_slice(&position.line.to_le_bytes());
        write(into);
        let length = (into.len() - start - HEAD) as u32;
        let sum = checksum(&into[start + SUMMED..]);
        into[start..start + 4].copy_from_slice(&length.to_le_bytes());
        into[start + 4..start + SUMMED].copy_from_slice(&sum.to_le_bytes());
    }

    /// The frame at the start of `bytes`, and its length with all; `None` when it is not as it was written.
    pub fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (frame, sum) = Self::split(bytes)?;
        let length = HEAD + frame.fields.len();
        (sum == checksum(&bytes[SUMMED..length])).then_some((frame, length))
    }

    /// The frame at the start of bytes that [`Frame::read`] has found to be as they were written.
    pub fn read_again(bytes: &'a [u8]) -> Option<Self> {
        Self::split(bytes).map(|(frame, _)| frame)
    }

    /// The frame at the start of `bytes`, and the checksum that it says.
    fn split(bytes: &'a [u8]) -> Option<(Self, u32)> {
        let mut fields = Fields(bytes.get(..HEAD)?);
        let length = fields.u32()? as usize;
        let sum = fields.u32()?;
        let document = DocumentId::new(fields.u64()?);
        let position = Position { file: fields.u32()?, line: fields.u64()? };
        Some((Self { document, position, fields: bytes.get(HEAD..HEAD + length)? }, sum))
    }
}

/// What a frame holds of a product.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProductFields<'a> {
    /// The record has no text: only its associations count.
    pub empty: bool,
    /// The product.
    pub product_id: &'a str,
    /// Clean title.
    pub title: &'a str,
    /// Clean text.
    pub text: &'a str,
    /// Flattened, first occurrence kept.
    pub categories: Vec<&'a str>,
    /// Empty for none.
    pub brand: &'a str,
    /// Keys of `details`.
    pub attributes: Vec<&'a str>,
    /// Associated products.
    pub associations: Vec<(Relation, &'a str)>,
}

impl<'a> ProductFields<'a> {
    /// Appends the fields.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.empty));
        for text in [self.product_id, self.title, self.text, self.brand] {
            put_text(into, text);
        }
        for list in [&self.categories, &self.attributes] {
            into.extend_from_slice(&(list.len() as u32).to_le_bytes());
            list.iter().for_each(|text| put_text(into, text));
        }
        into.extend_from_slice(&(self.associations.len() as u32).to_le_bytes());
        for (relation, other) in &self.associations {
            into.push(*relation as u8);
            put_text(into, other);
        }
    }

    /// Reads the fields back.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Fields(bytes);
        let empty = from.bytes(1)?[0] != 0;
        let (product_id, title, text, brand) = (from.text()?, from.text()?, from.text()?, from.text()?);
        let categories = from.list(|f| f.text())?;
        let attributes = from.list(|f| f.text())?;
        let associations = from.list(|f| {
            let relation =
                if f.bytes(1)?[0] == Relation::Complement as u8 { Relation::Complement } else { Relation::Substitute };
            Some((relation, f.text()?))
        })?;
        Some(Self { empty, product_id, title, text, categories, brand, attributes, associations })
    }
}

/// What a frame holds of a review.
#[derive(Debug, PartialEq)]
pub struct ReviewFields<'a> {
    /// The product, if the record names one.
    pub product_id: Option<&'a str>,
    /// Clean text.
    pub text: &'a str,
    /// Stars.
    pub rating: Option<f32>,
}

impl<'a> ReviewFields<'a> {
    /// Appends the fields.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.product_id.is_some()));
        put_text(into, self.product_id.unwrap_or_default());
        put_text(into, self.text);
        into.extend_from_slice(&self.rating.unwrap_or(f32::NAN).to_le_bytes());
    }

    /// Reads the fields back.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Fields(bytes);
        let has_product = from.bytes(1)?[0] != 0;
        let product_id = Some(from.text()?).filter(|_| has_product);
        let text = from.text()?;
        let rating = Some(f32::from_bits(from.u32()?)).filter(|r| !r.is_nan());
        Some(Self { product_id, text, rating })
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&(text.len() as u32).to_le_bytes());
    into.extend_from_slice(text.as_bytes());
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.u32()?;
        (0..length).map(|_| one(self)).collect()
    }
}

/// How documents go to buckets and buckets to spill files: spill file f holds the buckets b with
/// b mod files = f.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of buckets.
    pub buckets: u32,
    /// Number of spill files of each kind: as many as buckets, or as may be open.
    pub files: u32,
}

impl Plan {
    /// The spill file of a document.
    pub fn file_of(self, document: DocumentId) -> u32 {
        document.bucket(self.buckets) % self.files
    }

    /// The buckets in a spill file.
    pub fn buckets_of(self, file: u32) -> impl Iterator<Item = u32> {
        (file..self.buckets).step_by(self.files as usize)
    }
}

/// How far the raw files are in the spill files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What the spill files are made from: raw files and options.
    pub of: String,
    /// How documents go to them.
    pub plan: Plan,
    /// Raw files that are done.
    pub files_done: u32,
    /// Lines of the next one that are done.
    pub lines_done: u64,
    /// Everything is in the spill files.
    pub finished: bool,
    /// Bytes of each spill file that are whole.
    pub lengths: BTreeMap<String, u64>,
    /// What was counted so far.
    pub tally: Tally,
}

/// What reading the raw files counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Lines that are not blank.
    pub records: u64,
    /// Lines that are not blank, of each raw file.
    pub records_of: BTreeMap<u32, u64>,
    /// Rejected records by reason.
    pub rejected: Counts,
    /// The first few places of unreadable records, by reason.
    pub places: BTreeMap<String, Vec<Place>>,
    /// Damage of raw files, by number.
    pub damage: BTreeMap<u32, String>,
    /// Bytes of the longest text.
    pub longest_text: u64,
}

/// The spill files of one run.
pub struct Spill {
    folder: PathBuf,
    plan: Plan,
    files: BTreeMap<(Kind, u32), Open>,
}

struct Open {
    file: File,
    buffer: Vec<u8>,
    length: u64,
}

/// Bytes gathered for a spill file before they are written.
const BUFFER: usize = 1 << 16;

/// Name of the checkpoint.
const CHECKPOINT: &str = "checkpoint.json";

impl Spill {
    /// Opens the spill files below `folder`: those of a stopped run of the same input and options (`of`), cut
    /// back to its checkpoint, or new ones as in `plan`.
    pub fn open(folder: &Path, plan: Plan, of: &str) -> Result<(Self, Checkpoint), StoreError> {
        let checkpoint = fs::read(folder.join(CHECKPOINT)).ok().and_then(|b| serde_json::from_slice(&b).ok());
        // The limit of open files may have changed since; a layout that is begun is kept while it fits.
        let goes_on =
            |c: &Checkpoint| c.of == of && c.plan.buckets == plan.buckets && (c.finished || c.plan.files <= plan.files);
        let whole = |c: &Checkpoint| {
            let of = |name: &str| fs::metadata(folder.join(name)).map_or(0, |about| about.len());
            c.finished || c.lengths.iter().all(|(name, length)| of(name) >= *length)
        };
        let checkpoint = checkpoint.filter(|c| goes_on(c) && whole(c));
        let plan = checkpoint.as_ref().map_or(plan, |c| c.plan);
        let spill = |files| Self { folder: folder.to_owned(), plan, files };
        match checkpoint {
            Some(checkpoint) if checkpoint.finished => Ok((spill(BTreeMap::new()), checkpoint)),
            Some(checkpoint) => {
                let mut files = BTreeMap::new();
                for kind in [Kind::Product, Kind::Review] {
                    for number in 0..plan.files {
                        let path = path_of(folder, kind, number);
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        let length = checkpoint.lengths.get(name.as_ref()).copied().unwrap_or(0);
                        let error = StoreError::io("open", &path);
                        let open = || {
                            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                            file.set_len(length)?;
                            file.seek(SeekFrom::End(0))?;
                            Ok(Open { file, buffer: Vec::new(), length })
                        };
                        files.insert((kind, number), open().map_err(error)?);
                    }
                }
                Ok((spill(files), checkpoint))
            }
            None => {
                Self::clear(folder)?;
                fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
                let mut files = BTreeMap::new();
                for kind in [Kind::Product, Kind::Review] {
                    for number in 0..plan.files {
                        let path = path_of(folder, kind, number);
                        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
                        files.insert((kind, number), Open { file, buffer: Vec::new(), length: 0 });
                    }
                }
                Ok((spill(files), Checkpoint { of: of.to_owned(), plan, ..Default::default() }))
            }
        }
    }

    /// Appends frames to a spill file.
    pub fn append(&mut self, kind: Kind, file: u32, frames: &[u8]) -> Result<(), StoreError> {
        let path = path_of(&self.folder, kind, file);
        let Some(open) = self.files.get_mut(&(kind, file)) else { return Ok(()) };
        open.buffer.extend_from_slice(frames);
        open.length += frames.len() as u64;
        if open.buffer.len() >= BUFFER {
            open.file.write_all(&open.buffer).map_err(StoreError::io("write", &path))?;
            open.buffer.clear();
        }
        Ok(())
    }

    /// Makes what was appended so far outlast the run.
    pub fn checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<(), StoreError> {
        for ((kind, number), open) in &mut self.files {
            let path = path_of(&self.folder, *kind, *number);
            open.file.write_all(&open.buffer).map_err(StoreError::io("write", &path))?;
            open.buffer.clear();
            open.file.sync_data().map_err(StoreError::io("sync", &path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            checkpoint.lengths.insert(name, open.length);
        }
        if checkpoint.finished {
            self.files.clear();
        }
        let json = serde_json::to_vec(checkpoint).map_err(|e| StoreError::io("write", &self.folder)(e.into()))?;
        write_file(&self.folder.join(CHECKPOINT), &json)?;
        Ok(())
    }

    /// The spill file of some buckets.
    pub fn path(&self, kind: Kind, file: u32) -> PathBuf {
        path_of(&self.folder, kind, file)
    }

    /// The plan.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Removes all spill files.
    pub fn clear(folder: &Path) -> Result<(), StoreError> {
        let files = refuse_foreign(folder)?;
        // Without a checkpoint, what is left of a folder half removed means nothing.
        if folder.join(CHECKPOINT).exists() {
            store::remove(&folder.join(CHECKPOINT))?;
            store::sync_folder(folder)?;
        }
        files.iter().try_for_each(|file| store::remove(file))?;
        let is_link = fs::symlink_metadata(folder).is_ok_and(|about| about.is_symlink());
        match if is_link { fs::remove_file(folder) } else { fs::remove_dir(folder) } {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", folder)(e)),
            _ => Ok(()),
        }
    }
}

/// The files in a folder of spill files, if there are any.
///
/// # Errors
/// When one of them is none of ours: the folder is made anew, and a user's own files would be lost.
pub fn refuse_foreign(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let error = |e| StoreError::io("list", folder)(e);
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(error)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
            return Err(StoreError::Foreign { path });
        }
        files.push(path);
    }
    Ok(files)
}

/// Whether a file is called as the checkpoint is, a spill file, one bucket of it (`.part7`), or a sorted run of either
/// (`.run0`).
fn is_ours(name: &str) -> bool {
    let name = store::file_of_temporary(name).unwrap_or(name);
    if name == CHECKPOINT {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = |ending: &str, stem: &str| ending.strip_prefix(stem).is_some_and(digits);
    let mut parts = name.split('.');
    let of = parts.next().and_then(|first| first.split_once('-'));
    of.is_some_and(|(kind, number)| [Kind::Product, Kind::Review].iter().any(|k| k.stem() == kind) && digits(number))
        && parts.next().is_some_and(|what| what == "spill" || numbered(what, "part"))
        && parts.next().is_none_or(|what| numbered(what, "run"))
        && parts.next().is_none()
}

fn path_of(folder: &Path, kind: Kind, file: u32) -> PathBuf {
    folder.join(format!("{}-{file:05}.spill", kind.stem()))
}

/// Reads frames one after another without holding more than one.
pub struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
}

impl FrameReader {
    /// Frames of a spill file or a sorted run.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(1 << 18, file), buffer: Vec::new() })
    }

    /// The bytes of the next frame.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let error = |e| StoreError::io("read", &self.path)(e);
        self.buffer.resize(HEAD, 0);
        match self.file.read(&mut self.buffer[..1]).map_err(error)? {
            0 => return Ok(None),
            _ => self.file.read_exact(&mut self.buffer[1..HEAD]).map_err(error)?,
        }
        let length = Fields(&self.buffer).u32().unwrap_or(0) as usize;
        if length > LONGEST {
            return Err(malformed(&self.path));
        }
        self.buffer.resize(HEAD + length, 0);
        self.file.read_exact(&mut self.buffer[HEAD..]).map_err(error)?;
        Ok(Some(&self.buffer))
    }
}

/// A spill file does not hold what was written.
pub fn malformed(path: &Path) -> StoreError {
    let found =
        io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written; delete the folder that it is in");
    StoreError::io("read spill file", path)(found)
}

/// Splits the spill file of several buckets into one file a bucket, at most `at_once` of them open at a time.
pub fn split(from: &Path, buckets: u32, wanted: &BTreeMap<u32, PathBuf>, at_once: usize) -> Result<(), StoreError> {
    let wanted: Vec<(&u32, &PathBuf)> = wanted.iter().collect();
    for some in wanted.chunks(at_once.max(1)) {
        let mut files = BTreeMap::new();
        for &(&bucket, path) in some {
            let file = File::create(path).map_err(StoreError::io("create", path))?;
            files.insert(bucket, (path, io::BufWriter::with_capacity(BUFFER, file)));
        }
        let mut frames = FrameReader::open(from)?;
        while let Some(bytes) = frames.next_frame()? {
            let (frame, _) = Frame::read(bytes).ok_or_else(|| malformed(from))?;
            if let Some((path, file)) = files.get_mut(&frame.document.bucket(buckets)) {
                file.write_all(bytes).map_err(StoreError::io("write", path))?;
            }
        }
        for (path, mut file) in files.into_values() {
            file.flush().map_err(StoreError::io("write", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_file_of_someone_else_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        let ours = [
            "checkpoint.json",
            "checkpoint.json.0123456789abcdef.tmp",
            "products-00000.spill",
            "reviews-00012.part7",
            "products-00000.spill.run0",
            "reviews-00012.part7.run10",
        ];
        for theirs in
            ["meta.json", "products-00000.json", "notes-1.spill", "products-00000.spill.gz", "checkpoint.json.bak"]
        {
            fs::create_dir(&spill).unwrap();
            ours.iter().chain([&theirs]).for_each(|name| fs::write(spill.join(name), name).unwrap());
            let error = Spill::clear(&spill).unwrap_err().to_string();
            assert!(error.contains(theirs) && error.contains("hint:"), "{error}");
            assert_eq!(fs::read_dir(&spill).unwrap().count(), ours.len() + 1);
            fs::remove_file(spill.join(theirs)).unwrap();
            Spill::clear(&spill).unwrap();
            assert!(!spill.exists());
        }
    }

    #[test]
    fn any_changed_bit_of_a_frame_is_noticed() {
        let fields = ReviewFields { product_id: Some("B0"), text: "A good kettle", rating: Some(4.0) };
        let mut bytes = Vec::new();
        let position = Position { file: 1, line: 7 };
        Frame::write(&mut bytes, DocumentId::new(9), position, |into| fields.write(into));
        let (frame, length) = Frame::read(&bytes).unwrap();
        assert_eq!((frame.document.get(), frame.position, length), (9, position, bytes.len()));
        assert_eq!(ReviewFields::read(frame.fields), Some(fields));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::read(&changed).is_none(), "bit {bit}");
        }
    }
}
