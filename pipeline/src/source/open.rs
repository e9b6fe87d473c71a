//! Opens a file, whatever its compression: plain, gzip (of any number of members) or zstd.
use std::{
    fs::File,
    io::{self, Chain, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// An open file.
pub struct Opened {
    /// The decompressed bytes.
    pub bytes: Box<dyn Read + Send>,
    /// Whether the file on disk is compressed.
    pub compressed: bool,
}

/// Opens a file for reading from its start. `read` counts the bytes taken from the disk.
pub fn open(path: &Path, read: Arc<AtomicU64>) -> io::Result<Opened> {
    let mut file = Counted { file: File::open(path)?, read };
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole: Chain<Cursor<Vec<u8>>, Counted> = Cursor::new(magic).chain(file);
    let bytes: Box<dyn Read + Send> = if gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 17, whole)))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    };
    Ok(Opened { bytes, compressed: gzip || zstd })
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
