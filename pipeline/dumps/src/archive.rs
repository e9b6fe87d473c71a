//! The files in a tar or zip archive.
use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    mem,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::{Crc, read::DeflateDecoder};
use zip::result::ZipError;

use crate::open::{OpenFile, counted, decompress, open};

/// Files of an archive that are read.
pub(crate) const MOST_MEMBERS: usize = 100_000;

/// Streams of a compressed archive that are kept for the files behind them.
const MOST_STREAMS: usize = 16;

/// A file in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its path in the archive.
    pub(crate) name: String,
    /// Where its bytes begin: of a tar archive, after the archive is decompressed.
    offset: u64,
    /// Bytes in the archive.
    stored: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    coding: Coding,
    /// Of its archive.
    streams: Arc<Streams>,
}

/// How the bytes of a file stand in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// As they are, in a tar archive.
    Tar,
    /// In a zip archive, with a checksum.
    Zip { deflated: bool, crc32: u32 },
}

/// Why a file of an archive is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unpackable {
    /// It is encrypted.
    Encrypted,
    /// Its compression is rare.
    Compression,
}

/// The files of an archive, in their order.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) members: Vec<Member>,
    /// Those that are not read.
    pub(crate) others: Vec<(String, Unpackable)>,
    /// What follows these files, if it is not the end of the archive.
    pub(crate) rest: Option<Rest>,
}

/// What follows the files of an archive that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// More files.
    TooMany,
    /// Damage.
    Damaged {
        /// What is wrong.
        why: String,
        /// Whether it is in the bytes of the last member. To read that gives the damage, too.
        is_in_last: bool,
    },
}

/// The files of a tar archive.
///
/// # Errors
/// If the disk cannot be read.
pub(crate) fn of_tar(path: &Path) -> io::Result<Files> {
    let read = Arc::<AtomicU64>::default();
    let mut archive = tar::Archive::new(counted(open(path, Arc::default())?.bytes, read.clone()));
    let (mut files, streams) = (Files::default(), Arc::<Streams>::default());
    for entry in archive.entries()? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(error) => {
                let ends = |last: &Member| last.offset + last.stored;
                let is_in_last = files.members.last().is_some_and(|last| read.load(Ordering::Relaxed) < ends(last));
                files.rest = Some(Rest::Damaged { why: behind(&files.members, &error), is_in_last });
                break;
            }
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        let streams = streams.clone();
        files.members.push(Member { name, offset, stored: bytes, bytes, coding: Coding::Tar, streams });
        if files.members.len() == MOST_MEMBERS {
            files.rest = Some(Rest::TooMany);
            break;
        }
    }
    streams.last.store(files.members.last().map_or(0, |member| member.offset), Ordering::Relaxed);
    Ok(files)
}

/// The files of a zip archive.
///
/// # Errors
/// If the disk cannot be read.
pub(crate) fn of_zip(path: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    match list_zip(path, &mut files) {
        Ok(()) => Ok(files),
        Err(ZipError::Io(error)) if error.raw_os_error().is_some() => Err(error),
        Err(error) => {
            let why = behind(&files.members, &error);
            Ok(Files { rest: Some(Rest::Damaged { why, is_in_last: false }), ..files })
        }
    }
}

/// Which files of an archive an error hides.
fn behind(known: &[Member], error: &dyn fmt::Display) -> String {
    match known.last() {
        Some(last) => format!("the files behind `{}` cannot be read: {error}", last.name),
        None => format!("none of its files can be read: {error}"),
    }
}

fn list_zip(path: &Path, files: &mut Files) -> Result<(), ZipError> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    let Files { members, others, rest } = files;
    *rest = (archive.len() > MOST_MEMBERS).then_some(Rest::TooMany);
    for number in 0..archive.len().min(MOST_MEMBERS) {
        let file = archive.by_index_raw(number)?;
        if !file.is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(file.name_raw()).into_owned();
        let deflated = match file.compression() {
            _ if file.encrypted() => {
                others.push((name, Unpackable::Encrypted));
                continue;
            }
            zip::CompressionMethod::Stored => false,
            zip::CompressionMethod::Deflated => true,
            _ => {
                others.push((name, Unpackable::Compression));
                continue;
            }
        };
        let offset = file.data_start().ok_or_else(|| io::Error::other("a file without a place"))?;
        let coding = Coding::Zip { deflated, crc32: file.crc32() };
        let (stored, bytes) = (file.compressed_size(), file.size());
        members.push(Member { name, offset, stored, bytes, coding, streams: Arc::default() });
    }
    Ok(())
}

impl Member {
    /// Opens a file of the archive at `path`, and decompresses it if it is compressed itself. `read` grows by the
    /// bytes of the file that are read.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub(crate) fn open(&self, path: &Path, read: Arc<AtomicU64>) -> io::Result<OpenFile> {
        decompress(counted(self.bytes(path)?, read))
    }

    /// Reads the file of the archive at `path` at once for all that [`Kept::open`] opens.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub(crate) fn keep(&self, path: &Path) -> io::Result<Kept> {
        let known = Known { bytes: Vec::new(), rest: self.bytes(path)? };
        Ok(Kept(Arc::new(Mutex::new(known))))
    }

    /// Its bytes as the archive holds them, checked.
    fn bytes(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let whole = |inner: Box<dyn Read + Send>, checked| Whole { left: self.bytes, checked, inner };
        let bytes = match self.coding {
            Coding::Tar => match self.streams.take(path, self.offset)? {
                Some(turn) => whole(Box::new(turn), None),
                None => whole(Box::new(self.seek(path)?), None),
            },
            Coding::Zip { deflated, crc32 } => {
                let stored = self.seek(path)?.take(self.stored);
                let inner: Box<dyn Read + Send> =
                    if deflated { Box::new(DeflateDecoder::new(stored)) } else { Box::new(stored) };
                whole(inner, Some((crc32, Crc::new())))
            }
        };
        Ok(Box::new(bytes))
    }

    fn seek(&self, path: &Path) -> io::Result<BufReader<File>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(BufReader::with_capacity(1 << 17, file))
    }
}

/// A compressed tar archive can be read from its start only. So its files take turns: each continues where the one
/// before it stopped, and all of them together cost one pass, or one for each thread.
#[derive(Default)]
struct Streams {
    kept: Mutex<Vec<Stream>>,
    /// Where the last file begins. A stream behind that is of no use.
    last: AtomicU64,
}

/// The bytes of an archive from a place on.
struct Stream {
    at: u64,
    bytes: Box<dyn Read + Send>,
}

impl Streams {
    /// A stream of the archive at `path` that is at `offset`. `None` if the archive is not compressed: its files can
    /// be sought.
    fn take(self: &Arc<Self>, path: &Path, offset: u64) -> io::Result<Option<Turn>> {
        let nearest = {
            let mut streams = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let before = streams.iter().enumerate().filter(|(_, stream)| stream.at <= offset);
            let nearest = before.max_by_key(|(_, stream)| stream.at).map(|(number, _)| number);
            nearest.map(|number| streams.swap_remove(number))
        };
        let mut stream = match nearest {
            Some(stream) => stream,
            None => {
                let archive = open(path, Arc::default())?;
                if archive.compression.is_none() {
                    return Ok(None);
                }
                Stream { at: 0, bytes: archive.bytes }
            }
        };
        let between = offset - stream.at;
        let skipped = io::copy(&mut stream.bytes.by_ref().take(between), &mut io::sink())?;
        if skipped < between {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT));
        }
        stream.at = offset;
        Ok(Some(Turn { stream, streams: self.clone(), failed: false }))
    }

    /// Keeps a stream for files behind it.
    fn give_back(&self, stream: Stream) {
        if stream.at > self.last.load(Ordering::Relaxed) {
            return;
        }
        let mut streams = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push(stream);
        if streams.len() > MOST_STREAMS {
            let behind = (0..streams.len()).min_by_key(|&number| streams[number].at);
            behind.map(|number| streams.swap_remove(number));
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

/// A stream while a file is read from it.
struct Turn {
    stream: Stream,
    streams: Arc<Streams>,
    failed: bool,
}

impl Read for Turn {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.bytes.read(into).inspect_err(|error| {
            self.failed |= error.kind() != io::ErrorKind::Interrupted;
        })?;
        self.stream.at += read as u64;
        Ok(read)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.failed {
            let bytes = mem::replace(&mut self.stream.bytes, Box::new(io::empty()));
            self.streams.give_back(Stream { at: self.stream.at, bytes });
        }
    }
}

/// A file of an archive that is opened several times, but read once. What was read stays in memory.
pub(crate) struct Kept(Arc<Mutex<Known>>);

struct Known {
    bytes: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl Kept {
    /// Opens it from its start, and decompresses it if it is compressed itself.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub(crate) fn open(&self) -> io::Result<OpenFile> {
        decompress(FromStart { known: self.0.clone(), at: 0 })
    }
}

struct FromStart {
    known: Arc<Mutex<Known>>,
    at: usize,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { bytes, rest } = &mut *known;
        if self.at == bytes.len() {
            let read = rest.read(into)?;
            bytes.extend_from_slice(&into[..read]);
        }
        let read = (bytes.len() - self.at).min(into.len());
        into[..read].copy_from_slice(&bytes[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

const CUT: &str = "the archive ends inside a file";

/// A stream of which a number of bytes must be read.
struct Whole {
    inner: Box<dyn Read + Send>,
    left: u64,
    /// The checksum that all bytes must have, and that of those that were read.
    checked: Option<(u32, Crc)>,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.inner.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT));
        }
        self.left -= read as u64;
        if let Some((wanted, found)) = &mut self.checked {
            found.update(&into[..read]);
            if self.left == 0 && found.sum() != *wanted {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the checksum of a file in the archive is wrong",
                ));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A tar archive of files with these texts, compressed.
    fn archive(texts: &[String]) -> tempfile::NamedTempFile {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (number, text) in texts.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{number}.json"), text.as_bytes()).unwrap();
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&archive.into_inner().unwrap().finish().unwrap()).unwrap();
        file
    }

    fn text(mut opened: OpenFile) -> String {
        let mut text = String::new();
        opened.bytes.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_of_a_compressed_archive_take_turns() {
        let texts: Vec<String> = (0..100).map(|number| format!("{number} ").repeat(number * 40)).collect();
        let file = archive(&texts);
        let members = of_tar(file.path()).unwrap().members;
        let streams = |members: &[Member]| members[0].streams.kept.lock().unwrap().len();
        for (member, wanted) in members.iter().zip(&texts) {
            let kept = member.keep(file.path()).unwrap();
            let mut some = [0; 10];
            let _ = kept.open().unwrap().bytes.read(&mut some).unwrap();
            assert_eq!((text(kept.open().unwrap()), text(kept.open().unwrap())), (wanted.clone(), wanted.clone()));
            drop(kept);
            // One pass for all of them, and no open file behind the last.
            assert_eq!(streams(&members), usize::from(member.name != "99.json"));
        }
        // In any order, with several open at once, and read in part.
        for number in (0..100).rev() {
            assert_eq!(text(members[number].open(file.path(), Arc::default()).unwrap()), texts[number]);
            assert!(streams(&members) <= MOST_STREAMS);
        }
        let open = |number: usize| members[number].open(file.path(), Arc::default()).unwrap();
        let (first, mut second) = (open(7), open(8));
        let _ = second.bytes.read(&mut [0; 3]).unwrap();
        drop(second);
        assert_eq!((text(first), text(open(8)), text(open(9))), (texts[7].clone(), texts[8].clone(), texts[9].clone()));
    }
}
