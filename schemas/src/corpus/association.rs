//! Associations of a corpus: the rows of `corpus/associations-*.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{Array, RecordBatch, StringArray, builder::StringBuilder};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::{BATCH_BYTES, ROW_GROUP_BYTES};
use crate::{
    Relation, UnknownRelation,
    fields::schema,
    rows::{Fill, RowBuilder, RowWriter, Rows, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// An association as the dump states it: directed, and `other` need not be a product of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusAssociation<'a> {
    /// The product whose record states it.
    pub product: &'a str,
    /// The product that it is associated with.
    pub other: &'a str,
    /// How.
    pub relation: Relation,
}

/// `corpus/associations-*.parquet`: as found in the dump, ends unchecked.
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("product", DataType::Utf8, false),
        Field::new("other", DataType::Utf8, false),
        Field::new("relation", DataType::Utf8, false),
    ])
}

const LAYOUT: Layout = Layout { byte_streams: &[], plain: &["other"], row_group_bytes: ROW_GROUP_BYTES };

/// Starts a table of associations at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_corpus_associations(path: &Path) -> Result<RowWriter<CorpusAssociationBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a table of associations.
///
/// # Errors
/// When the file is not a table of associations.
pub fn open_corpus_associations(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects associations into a record batch.
#[derive(Debug, Default)]
pub struct CorpusAssociationBuilder {
    products: StringBuilder,
    others: StringBuilder,
    relations: StringBuilder,
    fill: Fill,
}

impl RowBuilder for CorpusAssociationBuilder {
    type Row<'a> = CorpusAssociation<'a>;

    fn push(&mut self, row: &CorpusAssociation<'_>) {
        self.products.append_value(row.product);
        self.others.append_value(row.other);
        self.relations.append_value(row.relation.as_str());
        self.fill.add(row.product.len() + row.other.len());
    }

    fn is_full(&self) -> bool {
        self.fill.is_full(1 << 15, BATCH_BYTES)
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![Arc::new(self.products.finish()), Arc::new(self.others.finish()), Arc::new(self.relations.finish())],
        )
    }
}

/// The associations of a batch.
#[derive(Debug)]
pub struct CorpusAssociationRows {
    products: StringArray,
    others: StringArray,
    relations: StringArray,
}

impl Rows for CorpusAssociationRows {
    const COLUMNS: &'static [&'static str] = &["product", "other", "relation"];

    fn new(batch: &RecordBatch) -> Self {
        Self { products: texts(batch, "product"), others: texts(batch, "other"), relations: texts(batch, "relation") }
    }
}

impl CorpusAssociationRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// One row.
    ///
    /// # Errors
    /// When this build does not know its relation.
    pub fn get(&self, row: usize) -> Result<CorpusAssociation<'_>, UnknownRelation> {
        Ok(CorpusAssociation {
            product: self.products.value(row),
            other: self.others.value(row),
            relation: self.relations.value(row).parse()?,
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// An item is an error when this build does not know its relation.
    pub fn iter(&self) -> impl Iterator<Item = Result<CorpusAssociation<'_>, UnknownRelation>> {
        (0..self.len()).map(|row| self.get(row))
    }
}
