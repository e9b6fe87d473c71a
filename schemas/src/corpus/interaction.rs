//! Interactions of a corpus: the rows of `corpus/interactions-*.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{
    Array, Int64Array, RecordBatch, StringArray, UInt64Array,
    builder::{Int64Builder, StringBuilder, UInt64Builder},
    cast::AsArray,
    types::{Int64Type, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::{BATCH_BYTES, ROW_GROUP_BYTES};
use crate::{
    ReviewerId,
    fields::schema,
    rows::{Fill, RowBuilder, RowWriter, Rows, column, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A reviewer has reviewed a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusInteraction<'a> {
    /// Who.
    pub reviewer: ReviewerId,
    /// What. It need not be a product of the corpus.
    pub product_id: &'a str,
    /// The earliest time, in seconds since 1970, if a record has one.
    pub time: Option<i64>,
}

/// `corpus/interactions-*.parquet`: one row per reviewer and product, in the bucket of the reviewer,
/// sorted by reviewer.
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("reviewer", DataType::UInt64, false),
        Field::new("product_id", DataType::Utf8, false),
        Field::new("time", DataType::Int64, true),
    ])
}

const LAYOUT: Layout = Layout { byte_streams: &[], plain: &[], row_group_bytes: ROW_GROUP_BYTES };

/// Starts a table of interactions at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_corpus_interactions(path: &Path) -> Result<RowWriter<CorpusInteractionBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a table of interactions.
///
/// # Errors
/// When the file is not a table of interactions.
pub fn open_corpus_interactions(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects interactions into a record batch.
#[derive(Debug, Default)]
pub struct CorpusInteractionBuilder {
    reviewers: UInt64Builder,
    products: StringBuilder,
    times: Int64Builder,
    fill: Fill,
}

impl RowBuilder for CorpusInteractionBuilder {
    type Row<'a> = CorpusInteraction<'a>;

    fn push(&mut self, row: &CorpusInteraction<'_>) {
        self.reviewers.append_value(row.reviewer.get());
        self.products.append_value(row.product_id);
        self.times.append_option(row.time);
        self.fill.add(row.product_id.len());
    }

    fn is_full(&self) -> bool {
        self.fill.is_full(1 << 15, BATCH_BYTES)
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![Arc::new(self.reviewers.finish()), Arc::new(self.products.finish()), Arc::new(self.times.finish())],
        )
    }
}

/// The interactions of a batch.
#[derive(Debug)]
pub struct CorpusInteractionRows {
    reviewers: UInt64Array,
    products: StringArray,
    times: Int64Array,
}

impl Rows for CorpusInteractionRows {
    const COLUMNS: &'static [&'static str] = &["reviewer", "product_id", "time"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            reviewers: column(batch, "reviewer").as_primitive::<UInt64Type>().clone(),
            products: texts(batch, "product_id"),
            times: column(batch, "time").as_primitive::<Int64Type>().clone(),
        }
    }
}

impl CorpusInteractionRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.reviewers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.reviewers.is_empty()
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = CorpusInteraction<'_>> {
        (0..self.len()).map(|row| CorpusInteraction {
            reviewer: ReviewerId::new(self.reviewers.value(row)),
            product_id: self.products.value(row),
            time: self.times.is_valid(row).then(|| self.times.value(row)),
        })
    }
}
