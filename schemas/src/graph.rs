//! Edges of the association graph: the rows of `graph/associations.parquet`.
use std::{path::Path, sync::Arc};

use arrow_array::{
    Array, Float32Array, RecordBatch, StringArray,
    builder::{Float32Builder, StringBuilder},
    cast::AsArray,
    types::Float32Type,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use crate::{
    Relation, UnknownRelation,
    fields::schema,
    rows::{RowBuilder, RowWriter, Rows, column, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// An undirected edge between two products of the corpus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraphEdge<'a> {
    /// The product whose id is smaller.
    pub product_a: &'a str,
    /// The product whose id is larger.
    pub product_b: &'a str,
    /// How the two are associated.
    pub relation: Relation,
    /// How strong a derived association is. `None` for those that a dump states.
    pub weight: Option<f32>,
}

/// `graph/associations.parquet`: undirected edges, `product_a < product_b`, sorted, each once.
pub fn columns() -> SchemaRef {
    schema(vec![
        Field::new("product_a", DataType::Utf8, false),
        Field::new("product_b", DataType::Utf8, false),
        Field::new("relation", DataType::Utf8, false),
        Field::new("weight", DataType::Float32, true),
    ])
}

const LAYOUT: Layout = Layout { byte_streams: &[], plain: &[], row_group_bytes: 64 << 20 };

/// Starts a graph at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_graph_edges(path: &Path) -> Result<RowWriter<GraphEdgeBuilder>, StoreError> {
    TableWriter::create(path, columns(), &LAYOUT).map(RowWriter::new)
}

/// Opens a graph.
///
/// # Errors
/// When the file is not a table of edges.
pub fn open_graph_edges(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns())
}

/// Collects edges into a record batch.
#[derive(Debug, Default)]
pub struct GraphEdgeBuilder {
    a: StringBuilder,
    b: StringBuilder,
    relations: StringBuilder,
    weights: Float32Builder,
    rows: usize,
}

impl RowBuilder for GraphEdgeBuilder {
    type Row<'a> = GraphEdge<'a>;

    fn push(&mut self, row: &GraphEdge<'_>) {
        self.a.append_value(row.product_a);
        self.b.append_value(row.product_b);
        self.relations.append_value(row.relation.as_str());
        self.weights.append_option(row.weight);
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.rows >= 1 << 15
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            columns(),
            vec![
                Arc::new(self.a.finish()),
                Arc::new(self.b.finish()),
                Arc::new(self.relations.finish()),
                Arc::new(self.weights.finish()),
            ],
        )
    }
}

/// The edges of a batch.
#[derive(Debug)]
pub struct GraphEdgeRows {
    a: StringArray,
    b: StringArray,
    relations: StringArray,
    weights: Float32Array,
}

impl Rows for GraphEdgeRows {
    const COLUMNS: &'static [&'static str] = &["product_a", "product_b", "relation", "weight"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            a: texts(batch, "product_a"),
            b: texts(batch, "product_b"),
            relations: texts(batch, "relation"),
            weights: column(batch, "weight").as_primitive::<Float32Type>().clone(),
        }
    }
}

impl GraphEdgeRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.a.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.a.is_empty()
    }

    /// One row.
    ///
    /// # Errors
    /// When this build does not know its relation.
    pub fn get(&self, row: usize) -> Result<GraphEdge<'_>, UnknownRelation> {
        Ok(GraphEdge {
            product_a: self.a.value(row),
            product_b: self.b.value(row),
            relation: self.relations.value(row).parse()?,
            weight: self.weights.is_valid(row).then(|| self.weights.value(row)),
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// An item is an error when this build does not know its relation.
    pub fn iter(&self) -> impl Iterator<Item = Result<GraphEdge<'_>, UnknownRelation>> {
        (0..self.len()).map(|row| self.get(row))
    }
}
