//! Phrases of the pool: the rows of `pool/phrases.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{
    Array, Float32Array, RecordBatch, StringArray, UInt8Array, UInt32Array, UInt64Array,
    builder::{Float32Builder, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder},
    cast::AsArray,
    types::{Float32Type, UInt8Type, UInt32Type, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use crate::{
    PhraseId,
    fields::schema,
    rows::{RowBuilder, RowWriter, Rows, column, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A phrase of the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolPhrase<'a> {
    /// Its row.
    pub id: PhraseId,
    /// Its words, separated by one space.
    pub phrase: &'a str,
    /// Quality, from 0 to 1.
    pub score: f32,
    /// Number of words.
    pub words: u8,
    /// Occurrences in the corpus that it was mined from.
    pub frequency: Option<u64>,
}

/// `pool/phrases.parquet`: row number is `phrase_id`; sorted by score descending, then phrase.
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("phrase_id", DataType::UInt32, false),
        Field::new("phrase", DataType::Utf8, false),
        Field::new("score", DataType::Float32, false),
        Field::new("words", DataType::UInt8, false),
        Field::new("frequency", DataType::UInt64, true),
    ])
}

const LAYOUT: Layout = Layout { byte_streams: &["phrase_id"], plain: &["phrase"], row_group_bytes: 16 << 20 };

/// Starts a pool at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_pool_phrases(path: &Path) -> Result<RowWriter<PoolPhraseBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a pool.
///
/// # Errors
/// When the file is not a table of phrases.
pub fn open_pool_phrases(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects phrases into a record batch.
#[derive(Debug, Default)]
pub struct PoolPhraseBuilder {
    ids: UInt32Builder,
    phrases: StringBuilder,
    scores: Float32Builder,
    words: UInt8Builder,
    frequencies: UInt64Builder,
    rows: usize,
}

impl RowBuilder for PoolPhraseBuilder {
    type Row<'a> = PoolPhrase<'a>;

    fn push(&mut self, row: &PoolPhrase<'_>) {
        self.ids.append_value(row.id.get());
        self.phrases.append_value(row.phrase);
        self.scores.append_value(row.score);
        self.words.append_value(row.words);
        self.frequencies.append_option(row.frequency);
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.rows >= 1 << 14
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.phrases.finish()),
                Arc::new(self.scores.finish()),
                Arc::new(self.words.finish()),
                Arc::new(self.frequencies.finish()),
            ],
        )
    }
}

/// The phrases of a batch.
#[derive(Debug)]
pub struct PoolPhraseRows {
    ids: UInt32Array,
    phrases: StringArray,
    scores: Float32Array,
    words: UInt8Array,
    frequencies: UInt64Array,
}

impl Rows for PoolPhraseRows {
    const COLUMNS: &'static [&'static str] = &["phrase_id", "phrase", "score", "words", "frequency"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            ids: column(batch, "phrase_id").as_primitive::<UInt32Type>().clone(),
            phrases: texts(batch, "phrase"),
            scores: column(batch, "score").as_primitive::<Float32Type>().clone(),
            words: column(batch, "words").as_primitive::<UInt8Type>().clone(),
            frequencies: column(batch, "frequency").as_primitive::<UInt64Type>().clone(),
        }
    }
}

impl PoolPhraseRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One row.
    pub fn get(&self, row: usize) -> PoolPhrase<'_> {
        PoolPhrase {
            id: PhraseId::new(self.ids.value(row)),
            phrase: self.phrases.value(row),
            score: self.scores.value(row),
            words: self.words.value(row),
            frequency: self.frequencies.is_valid(row).then(|| self.frequencies.value(row)),
        }
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = PoolPhrase<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }
}
