//! Fields that many tables share.
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

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
