//! Files that are complete or absent.
//!
//! A file is written under a temporary name, hashed on the way, synced, and renamed; what reads it
//! later compares the hash. Nothing here knows what a file holds.
use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};

use arrow::{datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch};
use serde::{Deserialize, Serialize};

/// What a temporary file's name ends with. Such a file is never read, and swept away by the next run.
pub const TEMPORARY: &str = ".tmp";

/// A number of this process's own, in temporary names: two processes that write one file, on one machine or on two
/// that share the folder, do not write into one another.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// A file of a sealed folder, as its manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name within the folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Hash of its bytes, in hex.
    pub blake3: String,
}

/// A stored file cannot be written or read, or is not what was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {what} `{}`{}", path.display(), no_space_hint(source))]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The Parquet library refused.
    #[error("cannot {what} `{}`{}", path.display(), parquet_hint(source))]
    Parquet {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A file that the manifest names is not there.
    #[error("`{}` is missing; the manifest beside it names it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is not the one that the manifest names.
    #[error("`{}` does not match the manifest\n  blake3 found {found}, wanted {wanted}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Hash of the file.
        found: String,
        /// Hash of what was stored.
        wanted: String,
    },
    /// A folder that would be emptied holds a file that this program did not write.
    #[error("`{}` is no file of this program, in a folder that it would empty", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A table has other columns than this build reads.
    #[error("`{}` does not have the columns that this build reads\n  found  {found}\n  wanted {wanted}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Its columns.
        found: String,
        /// The columns of [`crate::columns`].
        wanted: String,
    },
}

impl StoreError {
    /// An [`StoreError::Io`], for `map_err`.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// A [`StoreError::Parquet`], for `map_err`.
    pub fn parquet(what: &'static str, path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        move |source| Self::Parquet { what, path: path.to_owned(), source }
    }
}

fn no_space_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "\nhint: there is no room left; make some and run the same command again, finished files are kept"
        }
        // EMFILE has no kind of its own.
        _ if error.raw_os_error() == Some(24) => "\nhint: too many files are open; raise the limit with `ulimit -n`",
        _ => "",
    }
}

fn parquet_hint(error: &parquet::errors::ParquetError) -> &'static str {
    match error {
        parquet::errors::ParquetError::External(inner) => inner.downcast_ref().map_or("", no_space_hint),
        _ => "",
    }
}

/// A file being written: visible under its own name only after [`AtomicFile::commit`].
///
/// Dropped without commit, it removes what it wrote.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl AtomicFile {
    /// Starts `path` under a temporary name in the same folder.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}{TEMPORARY}", *PROCESS));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(StoreError::io("create", &temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file: Some(file), hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the file and gives it its name; the entry describes it.
    pub fn commit(mut self, rows: u64) -> Result<FileEntry, StoreError> {
        let Some(file) = &self.file else { unreachable!("the file is taken by commit and drop alone") };
        file.sync_all().map_err(StoreError::io("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(StoreError::io("rename to", &self.path))?;
        // Only now is there nothing to remove.
        self.file = None;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileEntry { name, rows, bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = self.file.as_mut() else { unreachable!("the file is taken by commit and drop alone") };
        let written = file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: the next run sweeps what is left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes renames and removals in a folder outlast a power cut.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // The parent of a bare name.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", folder))
}

/// Writes a small file whole.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<FileEntry, StoreError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    file.commit(0)
}

/// A place that a user named for a result. What stands there stays what it is: a link is followed, a device or pipe is written to; anything
/// else is a file, which appears when it is whole.
#[derive(Clone, Debug)]
pub struct Output {
    path: PathBuf,
    is_file: bool,
}

impl Output {
    /// Looks at the place before the work.
    ///
    /// # Errors
    /// When it is a folder, or in none.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let refused = |kind: io::ErrorKind| StoreError::io("write", path)(kind.into());
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(refused(io::ErrorKind::IsADirectory)),
            Ok(there) if there.is_file() => {
                let path = fs::canonicalize(path).map_err(StoreError::io("write", path))?;
                Ok(Self { path, is_file: true })
            }
            Ok(_) => Ok(Self { path: path.to_owned(), is_file: false }),
            Err(_) if path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) => {
                Ok(Self { path: path.to_owned(), is_file: true })
            }
            Err(_) => Err(refused(io::ErrorKind::NotFound)),
        }
    }

    /// Starts writing.
    ///
    /// # Errors
    /// When the file cannot be made or opened.
    pub fn create(&self) -> Result<OutputFile, StoreError> {
        if self.is_file {
            return AtomicFile::create(&self.path).map(|file| OutputFile::Whole(Box::new(file)));
        }
        let open = OpenOptions::new().write(true).open(&self.path);
        open.map(OutputFile::InPlace).map_err(StoreError::io("write", &self.path))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = self.create()?;
        file.write_all(bytes).map_err(StoreError::io("write", &self.path))?;
        file.commit()
    }
}

/// What is written to an [`Output`].
#[derive(Debug)]
pub enum OutputFile {
    /// It appears when it is committed.
    Whole(Box<AtomicFile>),
    /// It is there already.
    InPlace(File),
}

impl OutputFile {
    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be written to the end.
    pub fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Whole(file) => file.commit(0).map(drop),
            Self::InPlace(_) => Ok(()),
        }
    }
}

impl io::Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Whole(file) => file.write(bytes),
            Self::InPlace(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Whole(file) => file.flush(),
            Self::InPlace(file) => file.flush(),
        }
    }
}

/// Hash of a file's bytes, in hex, read in pieces.
pub fn hash_file(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(n) => hasher.update(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(StoreError::io("read", path)(e)),
        };
    }
}

/// Checks that `folder` holds the file that `entry` describes, byte for byte.
///
/// # Errors
/// When it is missing or another.
pub fn verify_file(folder: &Path, entry: &FileEntry) -> Result<PathBuf, StoreError> {
    let path = folder.join(&entry.name);
    if !path.is_file() {
        return Err(StoreError::Missing { path });
    }
    let found = hash_file(&path)?;
    if found != entry.blake3 {
        return Err(StoreError::Damaged { path, found, wanted: entry.blake3.clone() });
    }
    Ok(path)
}

/// Rows after which a row group ends, whatever they hold.
const ROW_GROUP_ROWS: usize = 1 << 16;

/// Writes one Parquet table atomically. Row groups are bounded by rows and by bytes in memory, and
/// where they end depends on the rows alone.
pub struct TableWriter {
    path: PathBuf,
    writer: ArrowWriter<AtomicFile>,
    group_bytes: usize,
    group_limit: usize,
    rows: u64,
}

/// How a table is laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Columns (dotted paths) stored as byte streams: token ids and positions, whose high bytes are
    /// mostly equal. They are stored without a dictionary.
    pub byte_streams: &'static [&'static str],
    /// Columns stored without a dictionary: values that hardly repeat.
    pub plain: &'static [&'static str],
    /// Bytes of rows in memory after which a row group ends.
    pub row_group_bytes: usize,
}

impl TableWriter {
    /// Starts the table at `path`.
    pub fn create(path: &Path, columns: SchemaRef, layout: &Layout) -> Result<Self, StoreError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("ebert schemas ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(None)
            .set_statistics_truncate_length(Some(64));
        for column in layout.byte_streams {
            properties = properties
                .set_column_dictionary_enabled(column_path(column), false)
                .set_column_encoding(column_path(column), Encoding::BYTE_STREAM_SPLIT);
        }
        for column in layout.plain {
            properties = properties.set_column_dictionary_enabled(column_path(column), false);
        }
        let writer = ArrowWriter::try_new(AtomicFile::create(path)?, columns, Some(properties.build()))
            .map_err(StoreError::parquet("start", path))?;
        Ok(Self { path: path.to_owned(), writer, group_bytes: 0, group_limit: layout.row_group_bytes, rows: 0 })
    }

    /// Appends rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let error = |e| StoreError::parquet("write", &self.path)(e);
        let bytes = size_of_rows(rows);
        if self.group_bytes > 0 && self.group_bytes + bytes > self.group_limit {
            self.writer.flush().map_err(error)?;
            self.group_bytes = 0;
        }
        self.writer.write(rows).map_err(error)?;
        self.group_bytes += bytes;
        self.rows += rows.num_rows() as u64;
        if self.writer.in_progress_rows() >= ROW_GROUP_ROWS {
            self.writer.flush().map_err(error)?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// Appends a batch that was just built from columns.
    ///
    /// # Errors
    /// When the columns did not fit together, too.
    pub fn write_result(&mut self, rows: Result<RecordBatch, ArrowError>) -> Result<(), StoreError> {
        let rows = rows.map_err(|e| StoreError::parquet("write", &self.path)(e.into()))?;
        if rows.num_rows() == 0 { Ok(()) } else { self.write(&rows) }
    }

    /// Where the table will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes something about the file in its own metadata.
    pub fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Notes what the file was made from and holds, as its folder's manifest says it, for a file that stands alone.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn note_made(&mut self, body: &impl Serialize) -> Result<(), StoreError> {
        let json = serde_json::to_string(body).map_err(|e| StoreError::io("write", &self.path)(e.into()))?;
        self.note("ebert.manifest", json);
        Ok(())
    }

    /// Ends the table, syncs it and gives it its name.
    pub fn commit(self) -> Result<FileEntry, StoreError> {
        let file = self.writer.into_inner().map_err(StoreError::parquet("finish", &self.path))?;
        file.commit(self.rows)
    }
}

/// The library takes a dotted string for one part; ours are paths.
fn column_path(dotted: &str) -> ColumnPath {
    ColumnPath::new(dotted.split('.').map(str::to_owned).collect())
}

/// Bytes of the rows themselves, whatever the capacity of the buffers that hold them.
fn size_of_rows(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

/// A Parquet table open for reading: its columns are those wanted.
pub struct TableReader {
    path: PathBuf,
    file: File,
    metadata: parquet::arrow::arrow_reader::ArrowReaderMetadata,
}

impl TableReader {
    /// Opens the table at `path`.
    ///
    /// # Errors
    /// When it is no Parquet file, or its columns are not `columns`.
    pub fn open(path: &Path, columns: &SchemaRef) -> Result<Self, StoreError> {
        let table = Self::open_any(path)?;
        let found = table.metadata.schema();
        if found.fields() != columns.fields() {
            let describe = |s: &SchemaRef| {
                s.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
            };
            return Err(StoreError::Columns {
                path: path.to_owned(),
                found: describe(found),
                wanted: describe(columns),
            });
        }
        Ok(table)
    }

    /// Opens a table of any columns, for its notes.
    ///
    /// # Errors
    /// When it is no Parquet file.
    pub fn open_any(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        let metadata = guarded("open", path, || {
            parquet::arrow::arrow_reader::ArrowReaderMetadata::load(&file, Default::default())
        })?;
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// Rows in the table.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Number of row groups.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// What the writer noted under a key.
    pub fn note(&self, key: &str) -> Option<&str> {
        let notes = self.metadata.metadata().file_metadata().key_value_metadata()?;
        notes.iter().find(|n| n.key == key)?.value.as_deref()
    }

    /// The rows of one row group, in pieces of at most `rows` rows; only the named columns, or all.
    pub fn row_group(
        &self,
        group: usize,
        rows: usize,
        columns: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, StoreError>> + use<>, StoreError> {
        let file = self.file.try_clone().map_err(StoreError::io("open", &self.path))?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_batch_size(rows)
            .with_row_groups(vec![group]);
        if let Some(columns) = columns {
            let mask = parquet::arrow::ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let path = self.path.clone();
        let mut reader = Some(guarded("read", &path, || builder.build())?);
        Ok(std::iter::from_fn(move || {
            let external = |e| parquet::errors::ParquetError::External(Box::new(e));
            let batch =
                guarded("read", &path, || reader.as_mut().and_then(Iterator::next).transpose().map_err(external));
            if !matches!(batch, Ok(Some(_))) {
                reader = None;
            }
            batch.transpose()
        }))
    }

    /// All rows, in pieces of at most `rows` rows that do not cross row groups.
    pub fn batches<'a>(
        &'a self,
        rows: usize,
        columns: Option<&'a [&'a str]>,
    ) -> impl Iterator<Item = Result<RecordBatch, StoreError>> + 'a {
        (0..self.row_groups()).flat_map(move |group| {
            let (batches, error) = match self.row_group(group, rows, columns) {
                Ok(batches) => (Some(batches), None),
                Err(error) => (None, Some(Err(error))),
            };
            batches.into_iter().flatten().chain(error)
        })
    }
}

/// Lets the library read, which panics on some tables that no writer makes; such a table is an error of its file, too.
fn guarded<T>(
    what: &'static str,
    path: &Path,
    read: impl FnOnce() -> Result<T, parquet::errors::ParquetError>,
) -> Result<T, StoreError> {
    let outcome = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message = format!("the table is malformed ({})", text.unwrap_or("no message"));
        Err(parquet::errors::ParquetError::General(message))
    });
    outcome.map_err(StoreError::parquet(what, path))
}

/// Removes what a stopped run left under temporary names of files that are `ours`. Any other file stays.
pub fn sweep(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StoreError::io("list", folder)(e)),
    };
    for entry in entries {
        let path = entry.map_err(StoreError::io("list", folder))?.path();
        if path.file_name().and_then(|name| name.to_str()).and_then(file_of_temporary).is_some_and(&ours) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The name that a temporary file was to have; `None` where [`AtomicFile`] gives no such temporary name.
pub fn file_of_temporary(name: &str) -> Option<&str> {
    let (file, process) = name.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    (process.len() == 16 && process.bytes().all(|b| b.is_ascii_hexdigit())).then_some(file)
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
