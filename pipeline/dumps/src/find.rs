//! Finds raw files: below a folder, or those that a pattern matches.
use std::{
    cell::RefCell,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

mod contents;
mod fields;
mod format;
mod json;
mod layouts;
mod other;
mod ratings;
mod reason;
mod recognise;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod walk;

pub use format::Format;
pub use ratings::{Rating, RatingTable};
pub use reason::{Encoding, SkipReason};
pub use source::{Given, Source};
pub use text::NotText;
pub use walk::RelativePath;

use contents::{Content, recognise};

use super::{
    archive::Member,
    layout::Layout,
    lines::{OnlyDamage, RecordReader},
    mapping::Mapping,
    open::{Compression, open},
    ranges,
    record::{MalformedRecord, Record, RecordType, is_field, is_of_reviews, parse, parse_row, parse_with_ids},
};

/// Lines at the start of a file among which a record must be recognized.
const LINES_TRIED: usize = 100;

/// The files of all sources, in the order of the sources and of their names.
#[derive(Clone, Debug, Default)]
pub struct RawFiles {
    /// Files that hold records or ratings, or are damaged. An archive whose end cannot be read is one of them, too.
    pub recognised: Vec<DumpFile>,
    /// Files that are not read.
    pub skipped: Vec<Skipped>,
}

/// A file with records.
#[derive(Clone, Debug)]
pub struct DumpFile {
    /// Its path below the folder. The path of a file in an archive follows that of the archive. If products and reviews
    /// are read from one file, it is there twice, with the kind behind its path.
    pub name: RelativePath,
    /// Where it or its archive is.
    pub path: PathBuf,
    /// Size on disk, or in an archive its own size.
    pub bytes: u64,
    /// Size of what is at `path`.
    pub on_disk: u64,
    /// Whether its records are compressed, as those of Parquet are.
    pub compressed: bool,
    /// How it holds its records.
    pub layout: Layout,
    /// The fields of its records, if they are not those of a dump.
    pub mapping: Option<Arc<Mapping>>,
    /// The file in the archive.
    member: Option<Member>,
    /// Whether these are the files of an archive that damage hides. They give the damage and no record.
    is_hidden: bool,
    /// The most frequent type among its first records. `None` if damage comes before the first, or if the file is a
    /// table of ratings.
    pub holds: Option<RecordType>,
    /// How its lines are read, if it is a table of ratings.
    pub ratings: Option<RatingTable>,
    /// How its first 100 lines are damaged.
    pub damage: Option<String>,
}

impl DumpFile {
    /// Reads its records. `read` grows by each byte of [`DumpFile::bytes`] that is read.
    ///
    /// # Errors
    /// If the file cannot be opened, or is damaged at its start.
    pub fn records(&self, read: Arc<AtomicU64>) -> io::Result<Box<dyn RecordReader>> {
        // Reviews inside records are counted.
        self.columns(read, &|column| self.reads(column) || self.mapping.is_none() && is_of_reviews(column))
    }

    /// Whether [`DumpFile::records_in`] can read ranges of it: its records are lines, and it is plain, or consists of
    /// several zstd frames, the first of which has at most `most` bytes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn has_ranges(&self, most: u64) -> io::Result<bool> {
        let is_file = self.member.is_none() && !self.is_hidden;
        Ok(is_file && self.layout == Layout::Lines && ranges::are_possible(&self.path, most)?)
    }

    /// Reads the records of a range of its bytes on disk, with the numbers of lines counted from the first of the
    /// range. Ranges that follow each other from the start of the file to its end give each of its lines once. After
    /// damage in one range, the file ends.
    ///
    /// `read` grows by each byte that is read.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn records_in(&self, range: &Range<u64>, read: Arc<AtomicU64>) -> io::Result<Box<dyn RecordReader>> {
        ranges::read(&self.path, range, read)
    }

    /// Where the bytes end that [`DumpFile::records_in`] may read of a range: behind its end, because its last line may
    /// end there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn reach_of(&self, range: &Range<u64>) -> io::Result<u64> {
        ranges::reach(&self.path, range)
    }

    /// Reads the columns for which `wanted` is true; without columns, all of each record.
    fn columns(&self, read: Arc<AtomicU64>, wanted: &dyn Fn(&str) -> bool) -> io::Result<Box<dyn RecordReader>> {
        match &self.member {
            None if self.is_hidden => {
                let why = self.damage.clone().unwrap_or_default();
                Ok(Box::new(OnlyDamage::new(io::Error::new(io::ErrorKind::InvalidData, why))))
            }
            Some(member) => self.layout.read(member.open(&self.path, read)?.bytes, wanted),
            None if self.layout.seeks() => self.layout.read_file(fs::File::open(&self.path)?, read, wanted),
            None => self.layout.read(open(&self.path, read)?.bytes, wanted),
        }
    }

    /// Whether a field of its records is read.
    pub fn reads(&self, field: &str) -> bool {
        match &self.mapping {
            Some(mapping) => mapping.reads(field),
            None => is_field(field),
        }
    }

    /// The fields of its first `records`, in the order in which they occur.
    ///
    /// # Errors
    /// If the file cannot be opened, or is damaged at its start.
    pub fn fields(&self, records: usize) -> io::Result<Vec<String>> {
        let (mut fields, mut seen) = match &self.layout {
            // A column may be empty in all of them.
            Layout::Delimited(table) => (table.columns.clone(), 0),
            _ => (Vec::new(), 0),
        };
        let columns = RefCell::new(Vec::new());
        let mut reader = self.columns(Arc::default(), &|column| {
            columns.borrow_mut().push(column.to_owned());
            true
        })?;
        fields.extend(columns.take());
        while seen < records {
            let Some(batch) = reader.next_batch(recognise::START) else { break };
            for line in batch.iter().take(records - seen) {
                json::add_keys(&String::from_utf8_lossy(line.bytes), &mut fields);
                seen += 1;
            }
            seen += batch.malformed.len() + batch.too_long.len();
        }
        Ok(fields)
    }

    /// Parses a record that [`DumpFile::records`] gave, and passes it to `with`.
    ///
    /// # Errors
    /// If it is neither a JSON object nor a Python dict.
    pub fn parse<T>(&self, record: &[u8], with: impl FnOnce(&Record<'_>) -> T) -> Result<T, MalformedRecord> {
        match &self.mapping {
            Some(mapping) => parse_mapped(record, mapping, with),
            None if matches!(self.layout, Layout::Delimited(_)) => parse_row(record, with),
            None => parse(record, with),
        }
    }
}

/// Parses a record with other fields than those of a dump.
fn parse_mapped<T>(
    record: &[u8],
    mapping: &Mapping,
    with: impl FnOnce(&Record<'_>) -> T,
) -> Result<T, MalformedRecord> {
    let text = std::str::from_utf8(record).map_err(|e| MalformedRecord::InvalidUtf8(e.valid_up_to()))?;
    match mapping.apply(text.trim_start_matches('\u{feff}')) {
        Ok((json, ids)) => parse_with_ids(&json, ids, with),
        // The message of the parser of records names what it found.
        Err(error) => match parse(record, |_| ()) {
            Err(malformed) => Err(malformed),
            Ok(()) => Err(MalformedRecord::Malformed(error.to_string())),
        },
    }
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its path below the folder.
    pub name: RelativePath,
    /// Where it is.
    pub path: PathBuf,
    /// How it is compressed, if it is and can be opened.
    pub compression: Option<Compression>,
    /// Its path in the archive at `path`, if it is in one.
    pub member: Option<String>,
    /// Why it is not read.
    pub reason: SkipReason,
}

impl Skipped {
    /// What to do about it, with a command that can be typed where there is one. `None` if there is
    /// nothing to do.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("all.json"), b"\xff\xfe{\0}\0")?;
    /// # std::fs::write(folder.path().join("meta.json"), "{\"asin\": \"B0\", \"title\": \"Tea\"}")?;
    /// let files = ebert_dumps::find(folder.path(), std::path::Path::new("output"))?;
    /// let wide = &files.skipped[0];
    /// assert_eq!(wide.reason.to_string(), "text in UTF-16");
    /// let path = wide.path.display();
    /// assert_eq!(wide.hint(), Some(format!("`iconv -f UTF-16 -t UTF-8 < {path} > {path}.jsonl`")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hint(&self) -> Option<String> {
        match &self.member {
            // These commands are for the archive, and fields are named for all of its files.
            Some(_) if self.reason.is_of_archive() => self.reason.hint(&self.path, None),
            Some(member) => {
                let hint = self.reason.hint(Path::new(member), self.compression)?;
                Some(format!("unpack `{}`, then {hint}", self.path.display()))
            }
            None => self.reason.hint(&self.path, self.compression),
        }
    }
}

/// A folder without usable raw files.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It does not exist.
    #[error("the raw files `{}` do not exist", folder.display())]
    NoFolder {
        /// The folder as it was given.
        folder: PathBuf,
    },
    /// It has no files, or hidden ones only.
    #[error("the folder of raw files `{}` has no files", folder.display())]
    Empty {
        /// The folder as it was given.
        folder: PathBuf,
    },
    /// A pattern matches no file, or is not one.
    #[error("no file matches the pattern `{pattern}`{why}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// No file holds a record.
    #[error("no file below `{}` holds a recognizable record in its first {LINES_TRIED} lines", folder.display())]
    NothingRecognised {
        /// The folder as it was given.
        folder: PathBuf,
        /// All files, damaged and skipped ones.
        files: RawFiles,
    },
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl FindError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// Finds and recognizes the files below `folder`, which may also be a single file or a pattern such as `*.json.gz`.
///
/// Links are followed. Hidden files are left out. So is the folder `output`, which a program fills
/// with what it makes from these files. It need not exist.
///
/// # Errors
/// If a file or folder cannot be read, or no file holds a record.
pub fn find(folder: &Path, output: &Path) -> Result<RawFiles, FindError> {
    find_all(&[Source::from(folder)], output)
}

/// As [`find`], for several sources. Each file belongs to the first source that has it.
///
/// With several sources, the names of files begin with the last part of the path of their source.
///
/// # Errors
/// If a file or folder cannot be read, a source has no files, or no file holds a record.
pub fn find_all(sources: &[Source], output: &Path) -> Result<RawFiles, FindError> {
    let mut files = RawFiles::default();
    for found in source::files(sources, output)? {
        files.skipped.extend(found.skipped);
        for (name, path) in found.files {
            for content in recognise(&name, &path, found.given)? {
                match content {
                    Content::Records(file) => files.recognised.push(*file),
                    Content::Other(skipped) => files.skipped.push(skipped),
                }
            }
        }
    }
    if files.recognised.iter().all(|file| file.holds.is_none()) {
        // Ratings have no text.
        let ratings = files.recognised.extract_if(.., |file| file.ratings.is_some());
        files.skipped.extend(ratings.map(|file| Skipped {
            name: file.name,
            path: file.path,
            compression: None,
            member: file.member.map(|member| member.name),
            reason: SkipReason::Ratings,
        }));
    }
    files.skipped.sort();
    if files.recognised.iter().all(|file| file.holds.is_none()) {
        let names: Vec<String> = sources.iter().map(Source::name).collect();
        return Err(FindError::NothingRecognised { folder: names.join(", ").into(), files });
    }
    Ok(files)
}
