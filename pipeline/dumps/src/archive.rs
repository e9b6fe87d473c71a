//! The files in a tar or zip archive.
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use flate2::{Crc, read::DeflateDecoder};
use zip::result::ZipError;

use crate::open::{OpenFile, counted, decompress, open};

/// Files of an archive that are read.
const MOST_MEMBERS: usize = 100_000;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What is wrong with the archive behind these files.
    pub(crate) damage: Option<String>,
}

/// The files of a tar archive.
///
/// # Errors
/// If the disk cannot be read.
pub(crate) fn of_tar(path: &Path) -> io::Result<Files> {
    let mut archive = tar::Archive::new(open(path, Arc::default())?.bytes);
    let mut files = Files::default();
    for entry in archive.entries()? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(error) => {
                files.damage = Some(error.to_string());
                break;
            }
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        files.members.push(Member { name, offset, stored: bytes, bytes, coding: Coding::Tar });
        if files.members.len() == MOST_MEMBERS {
            files.damage = Some(format!("more than {MOST_MEMBERS} files"));
            break;
        }
    }
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
        Err(error) => Ok(Files { damage: Some(error.to_string()), ..files }),
    }
}

fn list_zip(path: &Path, files: &mut Files) -> Result<(), ZipError> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    let Files { members, others, damage } = files;
    if archive.len() > MOST_MEMBERS {
        *damage = Some(format!("more than {MOST_MEMBERS} files"));
    }
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
        members.push(Member { name, offset, stored: file.compressed_size(), bytes: file.size(), coding });
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
        let bytes: Box<dyn Read + Send> = match self.coding {
            Coding::Tar => {
                let mut archive = open(path, Arc::default())?;
                let rest: Box<dyn Read + Send> = if archive.compression.is_none() {
                    Box::new(self.seek(path)?)
                } else {
                    io::copy(&mut archive.bytes.by_ref().take(self.offset), &mut io::sink())?;
                    archive.bytes
                };
                Box::new(Whole { left: self.bytes, checked: None, inner: rest })
            }
            Coding::Zip { deflated, crc32 } => {
                let stored = self.seek(path)?.take(self.stored);
                let inner: Box<dyn Read + Send> =
                    if deflated { Box::new(DeflateDecoder::new(stored)) } else { Box::new(stored) };
                Box::new(Whole { left: self.bytes, checked: Some((crc32, Crc::new())), inner })
            }
        };
        decompress(counted(bytes, read))
    }

    fn seek(&self, path: &Path) -> io::Result<BufReader<File>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(BufReader::with_capacity(1 << 17, file))
    }
}

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
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a file"));
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
