//! Opens a file, whatever its compression.
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

mod gzip;
pub(crate) mod zstd;

/// Compressed bytes that are read from the disk at a time.
pub(crate) const READ: usize = 1 << 17;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
}

impl Compression {
    /// The name of the program that decompresses it.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// The compression of a file that begins with these bytes.
    fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [first, second, ..] if [*first, *second] == gzip::MAGIC => Some(Self::Gzip),
            magic if zstd::is_magic(magic) => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The compression of a file.
    ///
    /// # Errors
    /// If its first bytes cannot be read.
    pub(crate) fn of_file(file: &File) -> io::Result<Option<Self>> {
        let mut magic = [0; LONGEST_MAGIC];
        let length = read_at(file, &mut magic, 0)?;
        Ok(Self::of(&magic[..length]))
    }
}

/// Reads the bytes at an offset: all that `into` holds, or fewer at the end of the file.
pub(crate) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read_at(&mut into[length..], at + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

/// An open file: plain, or compressed with gzip, zstd, bzip2 or xz.
pub struct OpenFile {
    /// The decompressed bytes. All bytes before a damaged place are given, then the error.
    pub bytes: Box<dyn Read + Send>,
    /// How the file on disk is compressed. `None` for a plain file.
    pub compression: Option<Compression>,
}

/// Opens a file and recognizes its compression from its first bytes. `read_from_disk` grows by each
/// byte that is read from the disk, for a progress bar.
///
/// # Errors
/// If the file cannot be opened or its first bytes cannot be read.
pub fn open(path: &Path, read_from_disk: Arc<AtomicU64>) -> io::Result<OpenFile> {
    decompress(counted(Box::new(File::open(path)?), read_from_disk))
}

/// Counts the bytes that are read.
pub(crate) fn counted(inner: Box<dyn Read + Send>, read: Arc<AtomicU64>) -> impl Read + Send + 'static {
    Counted { inner, read }
}

/// Decompresses a stream if its first bytes show that it is compressed.
///
/// # Errors
/// If its first bytes cannot be read.
pub(crate) fn decompress(mut stream: impl Read + Send + 'static) -> io::Result<OpenFile> {
    let mut magic = Vec::with_capacity(LONGEST_MAGIC);
    stream.by_ref().take(LONGEST_MAGIC as u64).read_to_end(&mut magic)?;
    let compression = Compression::of(&magic);
    let whole = Cursor::new(magic).chain(stream);
    let buffered = |whole| BufReader::with_capacity(READ, whole);
    let bytes: Box<dyn Read + Send> = match compression {
        None => Box::new(whole),
        Some(Compression::Gzip) => Box::new(gzip::Members::new(buffered(whole))),
        Some(Compression::Zstd) => Box::new(zstd::Frames::new(buffered(whole))?),
        Some(Compression::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(whole))),
        Some(Compression::Xz) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(buffered(whole))),
    };
    Ok(OpenFile { bytes, compression })
}

/// Bytes that show how a file is compressed.
const LONGEST_MAGIC: usize = 10;

/// The buffered bytes, read from the stream if there are none; empty at its end.
pub(crate) fn peek<R: BufRead>(stream: &mut R) -> io::Result<&[u8]> {
    while let Err(e) = stream.fill_buf() {
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    // A second call, since the borrow checker refuses to return the first result from a loop.
    stream.fill_buf()
}

struct Counted {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
