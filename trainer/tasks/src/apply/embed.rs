//! `ebert embed`: one vector for each title of a file.
//!
//! Titles go through in batches of [`BATCH`](super::title_file::BATCH), so memory does not grow with
//! the file.
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    RecordBatch, StringArray,
    builder::{Float32Builder, ListBuilder},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use schemas::{
    StoreError,
    columns::element,
    store::{Layout, Output, OutputFile, TableWriter},
};
use serde::Serialize;

use super::{
    ApplyError, npy,
    title_file::{Title, TitleFile},
};
use crate::probe::{
    ProbeError,
    features::{Frozen, TextPooling},
    nearest::normalized,
};

/// How an embedding is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmbedOptions {
    /// How the states of a title become one vector.
    pub pooling: TextPooling,
    /// Whether it is divided by its length.
    pub normalize: bool,
}

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Parquet,
    Npy,
}

/// A place for embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingFile {
    path: PathBuf,
    output: Output,
    format: Format,
}

/// A file that is being written.
enum Writer {
    Parquet(Box<TableWriter>, SchemaRef),
    Npy(OutputFile),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Embedded {
    /// Rows.
    pub rows: u64,
    /// Numbers of a row: the hidden size.
    pub width: i64,
    /// Titles with more tokens than the model takes, whose end was left out.
    pub cut: u64,
    /// Titles without tokens, whose rows are 0.
    pub empty: u64,
}

impl EmbeddingFile {
    /// Checks the place: the name ends with `.parquet` or `.npy`, and its folder exists.
    ///
    /// # Errors
    /// When it does not.
    pub fn at(path: &Path) -> Result<Self, ApplyError> {
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => Format::Parquet,
            Some("npy") => Format::Npy,
            _ => return Err(ApplyError::Ending { path: path.to_owned() }),
        };
        let output = Output::at(path).map_err(|error| match error {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ApplyError::NoPlace { path: path.to_owned() }
            }
            error => error.into(),
        })?;
        Ok(Self { path: path.to_owned(), output, format })
    }

    /// Writes a row for each title, in their order. `progress` gets the number of titles so far.
    ///
    /// Parquet has the columns `id` and `text` (strings) and `embedding` (a list of float32). `.npy`
    /// has float32, `[titles, hidden size]`.
    ///
    /// # Errors
    /// When titles cannot be read, states are not finite, or the file cannot be written.
    pub fn write(
        &self,
        frozen: &Frozen,
        titles: &TitleFile,
        options: EmbedOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Embedded, ApplyError> {
        let mut writer = self.start(titles.titles(), frozen.width(), options)?;
        let mut embedded = Embedded { width: frozen.width(), ..Embedded::default() };
        let most = frozen.most_content_tokens();
        titles.each_batch(|batch| {
            let mut texts = Vec::with_capacity(batch.len());
            for Title { title, .. } in batch {
                let mut ids = frozen.tokens().encode(title)?.ids;
                embedded.cut += u64::from(ids.len() > most);
                embedded.empty += u64::from(ids.is_empty());
                ids.truncate(most);
                texts.push(ids);
            }
            self.push(&mut writer, batch, &embeddings(frozen, &texts, options)?)?;
            embedded.rows += batch.len() as u64;
            progress(embedded.rows);
            Ok(())
        })?;
        match writer {
            Writer::Parquet(table, _) => drop(table.commit()?),
            Writer::Npy(file) => file.commit()?,
        }
        Ok(embedded)
    }

    fn start(&self, rows: u64, width: i64, options: EmbedOptions) -> Result<Writer, ApplyError> {
        match self.format {
            Format::Parquet => {
                let columns = columns();
                let mut table = TableWriter::create(&self.path, columns.clone(), &LAYOUT)?;
                table.note("ebert.embed", serde_json::to_string(&options).unwrap_or_default());
                Ok(Writer::Parquet(Box::new(table), columns))
            }
            Format::Npy => {
                let mut file = self.output.create()?;
                file.write_all(&npy::header(rows, width)).map_err(StoreError::io("write", &self.path))?;
                Ok(Writer::Npy(file))
            }
        }
    }

    /// Appends rows. `values` has all rows, concatenated.
    fn push(&self, writer: &mut Writer, titles: &[Title], values: &[f32]) -> Result<(), ApplyError> {
        match writer {
            Writer::Parquet(table, columns) => {
                let ids = StringArray::from_iter_values(titles.iter().map(|title| &title.id));
                let texts = StringArray::from_iter_values(titles.iter().map(|title| &title.title));
                let mut lists = ListBuilder::new(Float32Builder::new()).with_field(element(DataType::Float32));
                for row in values.chunks_exact(values.len() / titles.len()) {
                    lists.values().append_slice(row);
                    lists.append(true);
                }
                let arrays = vec![Arc::new(ids) as _, Arc::new(texts) as _, Arc::new(lists.finish()) as _];
                Ok(table.write_result(RecordBatch::try_new(columns.clone(), arrays))?)
            }
            Writer::Npy(file) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Ok(file.write_all(&bytes).map_err(StoreError::io("write", &self.path))?)
            }
        }
    }
}

/// The columns of a table of embeddings.
fn columns() -> SchemaRef {
    let list = DataType::List(element(DataType::Float32));
    let fields = [("id", DataType::Utf8), ("text", DataType::Utf8), ("embedding", list)];
    Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, false)).to_vec()))
}

const LAYOUT: Layout =
    Layout { byte_streams: &["embedding.list.element"], plain: &["id", "text"], row_group_bytes: 64 << 20 };

/// The embeddings of texts, row by row.
///
/// # Errors
/// When one is not finite.
fn embeddings(frozen: &Frozen, texts: &[Vec<u32>], options: EmbedOptions) -> Result<Vec<f32>, ApplyError> {
    let pooled = frozen.pooled(texts, options.pooling);
    let rows = if options.normalize { normalized(&pooled) } else { pooled };
    let values: Vec<f32> = Vec::try_from(rows.to_kind(tch::Kind::Float).view([-1]))?;
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(ProbeError::NotFinite.into()) }
}
