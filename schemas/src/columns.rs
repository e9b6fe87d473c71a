//! The columns of every stored table, as Arrow schemas. List children are named `element`.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn list(of: DataType) -> DataType {
    DataType::List(element(of))
}

/// The child field of a list column.
pub fn element(of: DataType) -> FieldRef {
    Arc::new(Field::new("element", of, false))
}

/// `corpus/products-*.parquet`: one row a product, sorted by document id.
pub fn corpus_products() -> SchemaRef {
    schema(vec![
        Field::new("product_id", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("categories", list(DataType::Utf8), false),
        Field::new("brand", DataType::Utf8, true),
        Field::new("attributes", list(DataType::Utf8), false),
    ])
}

/// `corpus/reviews-*.parquet`: one row a review, sorted by review id (which is its document id).
pub fn corpus_reviews() -> SchemaRef {
    schema(vec![
        Field::new("review_id", DataType::UInt64, false),
        Field::new("product_id", DataType::Utf8, true),
        Field::new("text", DataType::Utf8, false),
        Field::new("rating", DataType::Float32, true),
    ])
}

/// `corpus/associations-*.parquet`: as found in the dump, ends unchecked.
pub fn corpus_associations() -> SchemaRef {
    schema(vec![
        Field::new("product", DataType::Utf8, false),
        Field::new("other", DataType::Utf8, false),
        Field::new("relation", DataType::Utf8, false),
    ])
}

/// `pool/phrases.parquet`: row number is `phrase_id`; sorted by score descending, then phrase.
pub fn pool_phrases() -> SchemaRef {
    schema(vec![
        Field::new("phrase_id", DataType::UInt32, false),
        Field::new("phrase", DataType::Utf8, false),
        Field::new("score", DataType::Float32, false),
        Field::new("words", DataType::UInt8, false),
        Field::new("frequency", DataType::UInt64, true),
    ])
}

/// `graph/associations.parquet`: undirected edges, `product_a < product_b`.
pub fn graph_associations() -> SchemaRef {
    schema(vec![
        Field::new("product_a", DataType::Utf8, false),
        Field::new("product_b", DataType::Utf8, false),
        Field::new("relation", DataType::Utf8, false),
    ])
}

/// The fields of one element of `phrases`.
pub fn phrase_span() -> Fields {
    Fields::from(vec![
        Field::new("start", DataType::UInt16, false),
        Field::new("length", DataType::UInt16, false),
        Field::new("phrase_id", DataType::UInt32, false),
        Field::new("score", DataType::Float32, false),
    ])
}

/// The fields of one element of `noun_phrases`.
pub fn noun_phrase() -> Fields {
    Fields::from(vec![Field::new("start", DataType::UInt16, false), Field::new("length", DataType::UInt16, false)])
}

/// `shards/products-*.parquet` and `shards/reviews-*.parquet`: one row a segment.
pub fn segments() -> SchemaRef {
    schema(vec![
        Field::new("document_id", DataType::UInt64, false),
        Field::new("product_id", DataType::Utf8, true),
        Field::new("segment", DataType::UInt16, false),
        Field::new("input_ids", list(DataType::UInt16), false),
        Field::new("phrases", list(DataType::Struct(phrase_span())), false),
        Field::new("noun_phrases", list(DataType::Struct(noun_phrase())), false),
    ])
}

/// The fields of `anchor`, `neighbor` and `negative`.
pub fn pair_product() -> Fields {
    Fields::from(vec![
        Field::new("product_id", DataType::Utf8, false),
        Field::new("input_ids", list(DataType::UInt16), false),
    ])
}

/// `shards/pairs-*.parquet`: one row an association and draw, in a keyed random order.
pub fn pairs() -> SchemaRef {
    let product = || DataType::Struct(pair_product());
    schema(vec![
        Field::new("relation", DataType::Utf8, false),
        Field::new("anchor", product(), false),
        Field::new("neighbor", product(), false),
        Field::new("negative", product(), false),
    ])
}
