//! Rows as batches and batches as rows: what the tables of this crate have in common.
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::ArrowError;

use crate::store::{StoreError, TableReader, TableWriter};

/// The rows of a batch: whole rows of a table, or a projection of them.
///
/// [`TableReader::read`] and [`TableReader::read_group`] decode the columns named here and no others.
pub trait Rows: Sized {
    /// The columns that are decoded. Where a projection reads several tables, each table may lack
    /// some of them.
    const COLUMNS: &'static [&'static str];

    /// The rows of a batch.
    ///
    /// # Panics
    /// If the batch comes from a table of other columns.
    fn new(batch: &RecordBatch) -> Self;
}

impl TableReader {
    /// The rows of one row group, in pieces of at most `rows` rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_group<R: Rows>(
        &self,
        group: usize,
        rows: usize,
    ) -> Result<impl Iterator<Item = Result<R, StoreError>> + use<R>, StoreError> {
        Ok(self.row_group(group, rows, Some(R::COLUMNS))?.map(|batch| batch.map(|batch| R::new(&batch))))
    }

    /// All rows, in pieces of at most `rows` rows that do not cross row groups.
    ///
    /// # Errors
    /// An item is an error when the file cannot be read.
    pub fn read<R: Rows>(&self, rows: usize) -> impl Iterator<Item = Result<R, StoreError>> {
        self.batches(rows, Some(R::COLUMNS)).map(|batch| batch.map(|batch| R::new(&batch)))
    }
}

/// Collects rows of one table into a record batch.
pub trait RowBuilder: Default {
    /// A row.
    type Row<'a>;

    /// Appends a row.
    fn push(&mut self, row: &Self::Row<'_>);

    /// Whether the rows so far make a batch. Where batches end decides where row groups end, so it
    /// depends on the rows alone.
    fn is_full(&self) -> bool;

    /// The rows as a batch.
    ///
    /// # Errors
    /// When Arrow refuses them, as when a column exceeds 2 GiB.
    fn finish(self) -> Result<RecordBatch, ArrowError>;
}

/// Writes a table row by row.
pub struct RowWriter<B> {
    table: TableWriter,
    batch: B,
}

impl<B: RowBuilder> RowWriter<B> {
    pub(crate) fn new(table: TableWriter) -> Self {
        Self { table, batch: B::default() }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, row: &B::Row<'_>) -> Result<(), StoreError> {
        self.batch.push(row);
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    /// Writes the last batch. The table that is returned waits for its notes and for
    /// [`TableWriter::commit`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<TableWriter, StoreError> {
        self.flush()?;
        Ok(self.table)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.table.write_result(std::mem::take(&mut self.batch).finish())
    }
}

/// Rows and bytes of the batch that a builder collects.
#[derive(Debug, Default)]
pub(crate) struct Fill {
    rows: usize,
    bytes: usize,
}

impl Fill {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    pub(crate) fn is_full(&self, rows: usize, bytes: usize) -> bool {
        self.rows >= rows || self.bytes >= bytes
    }
}

/// A column of a batch.
///
/// # Panics
/// If there is none of this name.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap_or_else(|| panic!("the batch comes from a table without `{name}`"))
}

/// A column of text of a batch.
///
/// # Panics
/// If there is none of this name and type.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> StringArray {
    column(batch, name).as_string::<i32>().clone()
}

/// A value that may be missing.
pub(crate) fn optional(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}
