//! Reviews of a corpus: the rows of `corpus/reviews-*.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{
    Array, Float32Array, RecordBatch, StringArray, UInt64Array,
    builder::{Float32Builder, StringBuilder, UInt64Builder},
    cast::AsArray,
    types::{Float32Type, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::{BATCH_BYTES, BATCH_ROWS, ROW_GROUP_BYTES};
use crate::{
    DocumentId, TextId,
    fields::schema,
    rows::{Fill, RowBuilder, RowWriter, Rows, column, optional, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A review.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CorpusReview<'a> {
    /// The review, which is a document.
    pub review: DocumentId,
    /// The id of the text.
    pub text_id: TextId,
    /// The product that it is of, where the record names one.
    pub product_id: Option<&'a str>,
    /// Clean text: the summary and the body.
    pub text: &'a str,
    /// Stars, where the record gives them.
    pub rating: Option<f32>,
}

/// `corpus/reviews-*.parquet`: one row per review, sorted by review id (which is its document id).
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("review_id", DataType::UInt64, false),
        Field::new("text_id", DataType::UInt64, false),
        Field::new("product_id", DataType::Utf8, true),
        Field::new("text", DataType::Utf8, false),
        Field::new("rating", DataType::Float32, true),
    ])
}

const LAYOUT: Layout =
    Layout { byte_streams: &[], plain: &["review_id", "text_id", "text"], row_group_bytes: ROW_GROUP_BYTES };

/// Starts a table of reviews at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_corpus_reviews(path: &Path) -> Result<RowWriter<CorpusReviewBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a table of reviews.
///
/// # Errors
/// When the file is not a table of reviews.
pub fn open_corpus_reviews(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects reviews into a record batch.
#[derive(Debug, Default)]
pub struct CorpusReviewBuilder {
    ids: UInt64Builder,
    text_ids: UInt64Builder,
    products: StringBuilder,
    texts: StringBuilder,
    ratings: Float32Builder,
    fill: Fill,
}

impl RowBuilder for CorpusReviewBuilder {
    type Row<'a> = CorpusReview<'a>;

    fn push(&mut self, row: &CorpusReview<'_>) {
        self.ids.append_value(row.review.get());
        self.text_ids.append_value(row.text_id.get());
        self.products.append_option(row.product_id);
        self.texts.append_value(row.text);
        self.ratings.append_option(row.rating);
        self.fill.add(row.product_id.map_or(0, str::len) + row.text.len());
    }

    fn is_full(&self) -> bool {
        self.fill.is_full(BATCH_ROWS, BATCH_BYTES)
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.text_ids.finish()),
                Arc::new(self.products.finish()),
                Arc::new(self.texts.finish()),
                Arc::new(self.ratings.finish()),
            ],
        )
    }
}

/// The reviews of a batch.
#[derive(Debug)]
pub struct CorpusReviewRows {
    ids: UInt64Array,
    text_ids: UInt64Array,
    products: StringArray,
    texts: StringArray,
    ratings: Float32Array,
}

impl Rows for CorpusReviewRows {
    const COLUMNS: &'static [&'static str] = &["review_id", "text_id", "product_id", "text", "rating"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            ids: column(batch, "review_id").as_primitive::<UInt64Type>().clone(),
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
            products: texts(batch, "product_id"),
            texts: texts(batch, "text"),
            ratings: column(batch, "rating").as_primitive::<Float32Type>().clone(),
        }
    }
}

impl CorpusReviewRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One row.
    pub fn get(&self, row: usize) -> CorpusReview<'_> {
        CorpusReview {
            review: DocumentId::new(self.ids.value(row)),
            text_id: TextId::new(self.text_ids.value(row)),
            product_id: optional(&self.products, row),
            text: self.texts.value(row),
            rating: self.ratings.is_valid(row).then(|| self.ratings.value(row)),
        }
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = CorpusReview<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }
}
