//! Parquet and Arrow: rows as JSON objects.
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_cast::{can_cast_types, cast};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_json::LineDelimitedWriter;
use arrow_schema::{ArrowError, DataType, FieldRef, Schema};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use super::{Found, Records, Wanted};

/// Rows that are read at a time.
const ROWS: usize = 1 << 10;

/// The rows of a table with columns.
pub(super) struct Columns {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    /// The rows of the current batch, a line each.
    lines: Vec<u8>,
    at: usize,
    /// Number of the last row.
    row: u64,
}

impl Columns {
    /// The columns of a Parquet file for which `wanted` is true.
    pub(super) fn of_parquet(file: File, from_disk: Arc<AtomicU64>, wanted: Wanted<'_>) -> io::Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Counted { file, from_disk }).map_err(of_parquet)?;
        let columns = positions(builder.schema(), wanted);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let batches = builder.with_projection(mask).with_batch_size(ROWS).build().map_err(of_parquet)?;
        Ok(Self::new(batches))
    }

    /// The columns of an Arrow file for which `wanted` is true.
    pub(super) fn of_file(file: File, from_disk: Arc<AtomicU64>, wanted: Wanted<'_>) -> io::Result<Self> {
        let mut counted = Counted { file, from_disk };
        let schema = FileReader::try_new(&mut counted, None).map_err(of_arrow)?.schema();
        counted.seek(SeekFrom::Start(0))?;
        let batches = FileReader::try_new(counted, Some(positions(&schema, wanted))).map_err(of_arrow)?;
        Ok(Self::new(batches))
    }

    /// The columns of a stream of Arrow tables for which `wanted` is true.
    pub(super) fn of_stream(stream: Box<dyn Read + Send>, wanted: Wanted<'_>) -> io::Result<Self> {
        let batches = StreamReader::try_new(stream, None).map_err(of_arrow)?;
        let columns = positions(&batches.schema(), wanted);
        Ok(Self::new(batches.map(move |batch| batch?.project(&columns))))
    }

    fn new(batches: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static) -> Self {
        // A batch of an Arrow file may have any size.
        let parts = batches.flat_map(|batch| -> Box<dyn Iterator<Item = _> + Send> {
            match batch {
                Ok(batch) => {
                    let starts = (0..batch.num_rows()).step_by(ROWS);
                    Box::new(starts.map(move |at| Ok(batch.slice(at, ROWS.min(batch.num_rows() - at)))))
                }
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        });
        Self { batches: Box::new(parts), lines: Vec::new(), at: 0, row: 0 }
    }

    /// Writes the next rows as lines. Returns whether there are some.
    fn fill(&mut self) -> Result<bool, ArrowError> {
        while self.at == self.lines.len() {
            let Some(batch) = self.batches.next() else { return Ok(false) };
            self.at = 0;
            self.lines.clear();
            let mut writer = LineDelimitedWriter::new(&mut self.lines);
            writer.write(&as_text(batch?)?)?;
            writer.finish()?;
        }
        Ok(true)
    }
}

/// Bytes as text, which some programs write without saying so, at any depth.
fn as_text(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let is_fixed_size = |field: &FieldRef| matches!(field.data_type(), DataType::FixedSizeBinary(_));
    if !schema.fields().iter().any(|field| is_fixed_size(field) || text_in(field.data_type()).is_some()) {
        return Ok(batch);
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if let Some(text) = text_of_fixed_size(column) {
            return Ok((field.name().clone(), text, true));
        }
        let text = text_in(field.data_type()).filter(|text| can_cast_types(field.data_type(), text));
        let column = text.map_or_else(|| Ok(column.clone()), |text| cast(column, &text))?;
        Ok((field.name().clone(), column, true))
    });
    RecordBatch::try_from_iter_with_nullable(columns.collect::<Result<Vec<_>, ArrowError>>()?)
}

/// Values of a fixed number of bytes as text, if all of them are: ids are, and UUIDs are not.
fn text_of_fixed_size(column: &ArrayRef) -> Option<ArrayRef> {
    let values = column.as_any().downcast_ref::<FixedSizeBinaryArray>()?;
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
        (!text.contains(char::is_control)).then(|| text.to_owned())
    };
    let texts: Option<Vec<Option<String>>> =
        values.iter().map(|bytes| bytes.map_or(Some(None), |b| Some(Some(text(b)?)))).collect();
    Some(Arc::new(StringArray::from(texts?)))
}

/// The type with text in place of bytes. `None` if it has no bytes.
fn text_in(kind: &DataType) -> Option<DataType> {
    let inside = |field: &FieldRef| Some(Arc::new(field.as_ref().clone().with_data_type(text_in(field.data_type())?)));
    Some(match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::LargeUtf8,
        DataType::Dictionary(_, values) => text_in(values)?,
        DataType::List(field) => DataType::List(inside(field)?),
        DataType::LargeList(field) => DataType::LargeList(inside(field)?),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inside(field)?, *size),
        DataType::Map(field, is_sorted) => DataType::Map(inside(field)?, *is_sorted),
        DataType::Struct(fields) => {
            let texts: Vec<Option<FieldRef>> = fields.iter().map(inside).collect();
            if texts.iter().all(Option::is_none) {
                return None;
            }
            DataType::Struct(
                fields.iter().zip(texts).map(|(field, text)| text.unwrap_or_else(|| field.clone())).collect(),
            )
        }
        _ => return None,
    })
}

fn positions(schema: &Schema, wanted: Wanted<'_>) -> Vec<usize> {
    schema.fields().iter().enumerate().filter(|(_, field)| wanted(field.name())).map(|(at, _)| at).collect()
}

impl Records for Columns {
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>> {
        match self.fill() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(of_arrow(error))),
        }
        let rest = &self.lines[self.at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        into.extend_from_slice(&rest[..end]);
        self.at = (self.at + end + 1).min(self.lines.len());
        self.row += 1;
        Some(Ok((self.row, Found::Record)))
    }
}

/// The error of the disk, if that is the cause.
fn of_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        ArrowError::ExternalError(inner) => match inner.downcast::<ParquetError>() {
            Ok(error) => of_parquet(*error),
            Err(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        },
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        },
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

/// A file that counts the bytes that are read from it.
struct Counted {
    file: File,
    from_disk: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.from_disk.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Length for Counted {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Counted {
    type T = io::BufReader<Self>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(io::BufReader::new(Self { file, from_disk: self.from_disk.clone() }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        let bytes = self.file.get_bytes(start, length)?;
        self.from_disk.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
