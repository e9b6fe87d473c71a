//! Opens a file, whatever its compression.
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

mod gzip;
mod zstd;

/// Compressed bytes that are read from the disk at a time.
const READ: usize = 1 << 17;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Compression {
    /// The name of the program that decompresses it.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// An open file: plain, gzip or zstd.
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
    let mut file = Counted { file: File::open(path)?, read_from_disk };
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&gzip::MAGIC);
    let is_zstd = zstd::is_magic(&magic);
    let whole = Cursor::new(magic).chain(file);
    let (bytes, compression): (Box<dyn Read + Send>, _) = if is_gzip {
        (Box::new(gzip::Members::new(BufReader::with_capacity(READ, whole))), Some(Compression::Gzip))
    } else if is_zstd {
        (Box::new(zstd::Frames::new(BufReader::with_capacity(READ, whole))?), Some(Compression::Zstd))
    } else {
        (Box::new(whole), None)
    };
    Ok(OpenFile { bytes, compression })
}

/// The buffered bytes, read from the stream if there are none; empty at its end.
fn peek<R: BufRead>(stream: &mut R) -> io::Result<&[u8]> {
    while let Err(e) = stream.fill_buf() {
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    // A second call, since the borrow checker refuses to return the first result from a loop.
    stream.fill_buf()
}

struct Counted {
    file: File,
    read_from_disk: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.read_from_disk.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
