//! Associations in Parquet.
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field};
use schemas::{StoreError, store::TableReader};

use super::{
    EXPECTED, GivenError, GivenFile, Rows,
    layout::{Header, Layout},
};

/// Rows that are read at a time.
const ROWS: usize = 1 << 13;

/// Reads the rows of a table: columns as in a text with a header, or a list of products per order.
pub(super) fn read(file: GivenFile<'_>, rows: &mut Rows<'_>) -> Result<(), GivenError> {
    let table = TableReader::open_any(file.path)?;
    let schema = table.columns();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let list = schema.fields().iter().position(|field| is_list(field.data_type()));
    // A list of products is never one of an order's products.
    let single = |field: &Arc<Field>| !is_list(field.data_type());
    let of_single: Vec<&str> =
        schema.fields().iter().map(|field| if single(field) { field.name().as_str() } else { "" }).collect();
    let layout = match (Layout::of_names(&of_single), list) {
        (Header::Layout(layout), _) => layout,
        (_, Some(_)) => Layout::Orders,
        (header, None) => {
            let hint = match header {
                Header::NoRelation => "add a column `relation`, such as `co_purchased`",
                _ => EXPECTED,
            };
            let found = format!("a Parquet table with the columns {}", names.join(", "));
            return Err(GivenError::Unrecognised { path: file.path.to_owned(), found, hint: hint.to_owned() });
        }
    };
    rows.counts.holds = layout.name().to_owned();
    let columns: Vec<usize> = match layout {
        Layout::Associations { one, other, relation, weight } => {
            [one, other, relation].into_iter().chain(weight).collect()
        }
        Layout::OrderProducts { order, product } => vec![order, product],
        Layout::Orders => list.into_iter().collect(),
    };
    let projected: Vec<&str> = columns.iter().map(|&at| names[at]).collect();
    // The columns of a batch are those that were read, in the order of the list above.
    let layout = match layout {
        Layout::Associations { weight, .. } => {
            Layout::Associations { one: 0, other: 1, relation: 2, weight: weight.map(|_| 3) }
        }
        Layout::OrderProducts { .. } => Layout::OrderProducts { order: 0, product: 1 },
        Layout::Orders => Layout::Orders,
    };
    let mut number = 0;
    for batch in table.batches(ROWS, Some(&projected)) {
        let batch = batch?;
        let columns = projected.iter().filter_map(|name| batch.column_by_name(name));
        if layout == Layout::Orders {
            add_lists(file, &batch, rows, &mut number)?;
            continue;
        }
        let texts = columns.map(|column| texts(file, column.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut fields = Vec::new();
        for row in 0..batch.num_rows() {
            number += 1;
            fields.clear();
            fields.extend(texts.iter().map(|column| if column.is_valid(row) { column.value(row) } else { "" }));
            rows.add(layout, &fields, || format!("row {number}"))?;
        }
    }
    Ok(())
}

/// Adds an order per row.
fn add_lists(
    file: GivenFile<'_>,
    batch: &RecordBatch,
    rows: &mut Rows<'_>,
    number: &mut u64,
) -> Result<(), GivenError> {
    let Some(column) = batch.columns().first() else { return Ok(()) };
    let lists = match column.data_type() {
        DataType::List(_) => column.clone(),
        other => {
            let element = list_element(other).cloned().unwrap_or(DataType::Utf8);
            let list = DataType::new_list(element, true);
            cast(column, &list).map_err(|e| StoreError::parquet("read", file.path)(e.into()))?
        }
    };
    let lists = lists.as_list::<i32>();
    for row in 0..lists.len() {
        *number += 1;
        let ids = texts(file, lists.value(row).as_ref())?;
        let fields: Vec<&str> = (0..ids.len()).filter(|&at| ids.is_valid(at)).map(|at| ids.value(at)).collect();
        rows.add(Layout::Orders, &fields, || format!("row {number}"))?;
    }
    Ok(())
}

fn texts(file: GivenFile<'_>, column: &dyn Array) -> Result<StringArray, GivenError> {
    let texts = cast(column, &DataType::Utf8).map_err(|e| StoreError::parquet("read", file.path)(e.into()))?;
    Ok(texts.as_string::<i32>().clone())
}

fn is_list(of: &DataType) -> bool {
    list_element(of).is_some()
}

fn list_element(of: &DataType) -> Option<&DataType> {
    match of {
        DataType::List(element) | DataType::LargeList(element) => Some(element.data_type()),
        _ => None,
    }
}
