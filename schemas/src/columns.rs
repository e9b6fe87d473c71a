//! The columns of every stored table, as Arrow schemas. List children are named `element`.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

pub use crate::{
    corpus::{corpus_associations, corpus_products, corpus_reviews},
    graph::columns as graph_associations,
    pair::{columns as pairs, pair_product},
    pool::columns as pool_phrases,
    segment::{columns as segments, noun_phrase, phrase_span},
};

pub(crate) fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

pub(crate) fn list(of: DataType) -> DataType {
    DataType::List(element(of))
}

/// The child field of a list column.
pub fn element(of: DataType) -> FieldRef {
    Arc::new(Field::new("element", of, false))
}
