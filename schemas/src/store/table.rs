//! Parquet tables of any columns.
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};
use serde::Serialize;

use super::{AtomicFile, FileEntry, StoreError};

/// Rows after which a row group ends, whatever they hold.
const ROW_GROUP_ROWS: usize = 1 << 16;

/// Writes one Parquet table atomically. Row groups are bounded by rows and by bytes in memory. Where
/// they end depends on the batches alone.
pub struct TableWriter {
    path: PathBuf,
    writer: ArrowWriter<AtomicFile>,
    group_bytes: usize,
    group_limit: usize,
    rows: u64,
}

/// How a table is encoded.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Columns (dotted paths) stored as byte streams, without a dictionary: token ids and positions,
    /// whose high bytes are mostly equal.
    pub byte_streams: &'static [&'static str],
    /// Columns stored without a dictionary: their values hardly repeat.
    pub plain: &'static [&'static str],
    /// Bytes of rows in memory after which a row group ends.
    pub row_group_bytes: usize,
}

impl TableWriter {
    /// Starts the table at `path`.
    ///
    /// # Errors
    /// When the file cannot be created.
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
    ///
    /// # Errors
    /// When the file cannot be written.
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

    /// Appends the batch of a builder. An empty batch adds nothing to the file.
    ///
    /// # Errors
    /// When the builder failed, or the file cannot be written.
    pub fn write_result(&mut self, rows: Result<RecordBatch, ArrowError>) -> Result<(), StoreError> {
        let rows = rows.map_err(|e| StoreError::parquet("write", &self.path)(e.into()))?;
        if rows.num_rows() == 0 { Ok(()) } else { self.write(&rows) }
    }

    /// The name that the table gets.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a key and a value to the file's own metadata.
    pub fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Adds the body of the folder's manifest to the file's own metadata, so that the file explains
    /// itself when it is copied without its folder.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn note_made(&mut self, body: &impl Serialize) -> Result<(), StoreError> {
        let json = serde_json::to_string(body).map_err(|e| StoreError::io("write", &self.path)(e.into()))?;
        self.note("ebert.manifest", json);
        Ok(())
    }

    /// Completes the table, syncs it and gives it its name.
    ///
    /// # Errors
    /// When the file cannot be written, synced or renamed.
    pub fn commit(self) -> Result<FileEntry, StoreError> {
        let file = self.writer.into_inner().map_err(StoreError::parquet("finish", &self.path))?;
        file.commit(self.rows)
    }
}

/// The Parquet library takes a string with dots for a single part.
fn column_path(dotted: &str) -> ColumnPath {
    ColumnPath::new(dotted.split('.').map(str::to_owned).collect())
}

/// Bytes of the rows themselves: the capacity of their buffers does not count.
fn size_of_rows(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

/// A Parquet table open for reading.
pub struct TableReader {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl TableReader {
    /// Opens the table at `path`.
    ///
    /// # Errors
    /// When the file is not a Parquet table with exactly these columns.
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

    /// Opens a table of any columns, for its metadata.
    ///
    /// # Errors
    /// When the file is not a Parquet table.
    pub fn open_any(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        let metadata = guarded("open", path, || ArrowReaderMetadata::load(&file, Default::default()))?;
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// The columns.
    pub fn columns(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Rows in the table.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Number of row groups.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The value of a key in the file's own metadata.
    pub fn note(&self, key: &str) -> Option<&str> {
        let notes = self.metadata.metadata().file_metadata().key_value_metadata()?;
        notes.iter().find(|n| n.key == key)?.value.as_deref()
    }

    /// One row group, in pieces of at most `rows` rows: the named columns, or all. Names that the
    /// table does not have are ignored.
    ///
    /// # Errors
    /// When the file cannot be read.
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
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let path = self.path.clone();
        let mut reader = Some(guarded("read", &path, || builder.build())?);
        Ok(std::iter::from_fn(move || {
            let external = |e| ParquetError::External(Box::new(e));
            let batch =
                guarded("read", &path, || reader.as_mut().and_then(Iterator::next).transpose().map_err(external));
            if !matches!(batch, Ok(Some(_))) {
                reader = None;
            }
            batch.transpose()
        }))
    }

    /// All row groups, in pieces of at most `rows` rows that do not cross row groups.
    ///
    /// # Errors
    /// An item is an error when the file cannot be read.
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

/// Calls the Parquet library, which panics on some malformed tables. A panic becomes an error that
/// names the file.
fn guarded<T>(
    what: &'static str,
    path: &Path,
    read: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, StoreError> {
    let outcome = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message = format!("the table is malformed ({})", text.unwrap_or("no message"));
        Err(ParquetError::General(message))
    });
    outcome.map_err(StoreError::parquet(what, path))
}
