//! Opens a file, whatever its compression: plain, gzip (of any number of members) or zstd.
use std::{
    fs::File,
    io::{self, BufRead, Chain, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::GzDecoder;

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
    // A zstd file may begin with a skippable frame.
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd] || matches!(magic[..], [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    let whole: Chain<Cursor<Vec<u8>>, Counted> = Cursor::new(magic).chain(file);
    let bytes: Box<dyn Read + Send> = if gzip {
        Box::new(Members { member: Some(GzDecoder::new(io::BufReader::with_capacity(1 << 17, whole))) })
    } else if zstd {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        // As `zstd --long=31` writes; memory is taken only for a file that asks for it.
        decoder.window_log_max(31)?;
        Box::new(decoder)
    } else {
        Box::new(whole)
    };
    Ok(Opened { bytes, compressed: gzip || zstd })
}

/// The members of a gzip file, one after another, and the zero bytes that some writers leave after the last.
struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            // An error drops what the same call had inflated, so a call inflates little.
            let little = into.len().min(1 << 13);
            let n = member.read(&mut into[..little])?;
            if n > 0 || into.is_empty() {
                return Ok(n);
            }
            let Some(member) = self.member.take() else { break };
            let mut rest = member.into_inner();
            let mut junk = false;
            loop {
                let next = match rest.fill_buf() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                if next.is_empty() {
                    return Ok(0);
                }
                let zeros = next.iter().take_while(|b| **b == 0).count();
                if zeros < next.len() {
                    // A member begins with these bytes.
                    let begins = next.iter().zip([0x1f, 0x8b]).all(|(found, wanted)| *found == wanted);
                    junk |= zeros > 0 || !begins;
                    break;
                }
                junk = true;
                rest.consume(zeros);
            }
            if junk {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of the gzip stream"));
            }
            self.member = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
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
