//! Products of a corpus: the rows of `corpus/products-*.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{
    Array, ListArray, RecordBatch, StringArray, UInt64Array,
    builder::{ListBuilder, StringBuilder, UInt64Builder},
    cast::AsArray,
    types::UInt64Type,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::{BATCH_BYTES, BATCH_ROWS, ROW_GROUP_BYTES};
use crate::{
    TextId,
    fields::{element, list, schema},
    rows::{Fill, RowBuilder, RowWriter, Rows, column, optional, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A product document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusProduct<'a> {
    /// The id that the dump gives the product.
    pub product_id: &'a str,
    /// Clean title, one line.
    pub title: &'a str,
    /// Clean text of the document, title included.
    pub text: &'a str,
    /// All categories of the record, flattened, each once.
    pub categories: Vec<&'a str>,
    /// Brand, where the record names one.
    pub brand: Option<&'a str>,
    /// Names of the product's attributes, without their values.
    pub attributes: Vec<&'a str>,
    /// The id of the text.
    pub text_id: TextId,
}

impl<'a> CorpusProduct<'a> {
    /// A product with a title and a text, and nothing else.
    pub fn of(product_id: &'a str, title: &'a str, text: &'a str) -> Self {
        let (categories, attributes) = (Vec::new(), Vec::new());
        Self { product_id, title, text, categories, brand: None, attributes, text_id: TextId::of(text) }
    }
}

/// `corpus/products-*.parquet`: one row per product, sorted by document id.
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("product_id", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("categories", list(DataType::Utf8), false),
        Field::new("brand", DataType::Utf8, true),
        Field::new("attributes", list(DataType::Utf8), false),
        Field::new("text_id", DataType::UInt64, false),
    ])
}

const LAYOUT: Layout =
    Layout { byte_streams: &[], plain: &["product_id", "title", "text", "text_id"], row_group_bytes: ROW_GROUP_BYTES };

/// Starts a table of products at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_corpus_products(path: &Path) -> Result<RowWriter<CorpusProductBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a table of products.
///
/// # Errors
/// When the file is not a table of products.
pub fn open_corpus_products(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects products into a record batch.
#[derive(Debug)]
pub struct CorpusProductBuilder {
    ids: StringBuilder,
    titles: StringBuilder,
    texts: StringBuilder,
    categories: ListBuilder<StringBuilder>,
    brands: StringBuilder,
    attributes: ListBuilder<StringBuilder>,
    text_ids: UInt64Builder,
    fill: Fill,
}

impl Default for CorpusProductBuilder {
    fn default() -> Self {
        let lists = || ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
        Self {
            ids: StringBuilder::new(),
            titles: StringBuilder::new(),
            texts: StringBuilder::new(),
            categories: lists(),
            brands: StringBuilder::new(),
            attributes: lists(),
            text_ids: UInt64Builder::new(),
            fill: Fill::default(),
        }
    }
}

impl RowBuilder for CorpusProductBuilder {
    type Row<'a> = CorpusProduct<'a>;

    fn push(&mut self, row: &CorpusProduct<'_>) {
        self.ids.append_value(row.product_id);
        self.titles.append_value(row.title);
        self.texts.append_value(row.text);
        for (list, values) in [(&mut self.categories, &row.categories), (&mut self.attributes, &row.attributes)] {
            values.iter().for_each(|value| list.values().append_value(value));
            list.append(true);
        }
        self.brands.append_option(row.brand);
        self.text_ids.append_value(row.text_id.get());
        let single = [row.product_id, row.title, row.text, row.brand.unwrap_or_default()];
        self.fill.add(single.iter().chain(&row.categories).chain(&row.attributes).map(|text| text.len()).sum());
    }

    fn is_full(&self) -> bool {
        self.fill.is_full(BATCH_ROWS, BATCH_BYTES)
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.titles.finish()),
                Arc::new(self.texts.finish()),
                Arc::new(self.categories.finish()),
                Arc::new(self.brands.finish()),
                Arc::new(self.attributes.finish()),
                Arc::new(self.text_ids.finish()),
            ],
        )
    }
}

/// The products of a batch.
#[derive(Debug)]
pub struct CorpusProductRows {
    ids: StringArray,
    titles: StringArray,
    texts: StringArray,
    categories: ListArray,
    brands: StringArray,
    attributes: ListArray,
    text_ids: UInt64Array,
}

impl Rows for CorpusProductRows {
    const COLUMNS: &'static [&'static str] =
        &["product_id", "title", "text", "categories", "brand", "attributes", "text_id"];

    fn new(batch: &RecordBatch) -> Self {
        let lists = |name| column(batch, name).as_list::<i32>().clone();
        Self {
            ids: texts(batch, "product_id"),
            titles: texts(batch, "title"),
            texts: texts(batch, "text"),
            categories: lists("categories"),
            brands: texts(batch, "brand"),
            attributes: lists("attributes"),
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
        }
    }
}

impl CorpusProductRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One row.
    pub fn get(&self, row: usize) -> CorpusProduct<'_> {
        CorpusProduct {
            product_id: self.ids.value(row),
            title: self.titles.value(row),
            text: self.texts.value(row),
            categories: texts_of(&self.categories, row),
            brand: optional(&self.brands, row),
            attributes: texts_of(&self.attributes, row),
            text_id: TextId::new(self.text_ids.value(row)),
        }
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = CorpusProduct<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// The texts of one list.
pub(super) fn texts_of(lists: &ListArray, row: usize) -> Vec<&str> {
    let (offsets, values) = (lists.value_offsets(), lists.values().as_string::<i32>());
    (offsets[row] as usize..offsets[row + 1] as usize).map(|at| values.value(at)).collect()
}
