//! Associations in Parquet.
use arrow_array::{Array, ListArray, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema};
use schemas::{Relation, StoreError, store::TableReader};

use super::{
    EXPECTED, GivenError, GivenFile, Rows,
    layout::{Header, Layout},
    relation::relation_of,
};

/// Rows that are read at a time.
const ROWS: usize = 1 << 13;

/// What the rows of a table are.
enum Contents {
    /// Columns as in a text with a header.
    Fields(Layout),
    /// The products of an order, in a list.
    Orders { list: usize },
    /// A product, and lists of those that go with it.
    Others(Others),
}

/// The columns of a product and of those that go with it.
struct Others {
    product: usize,
    lists: Vec<OtherProducts>,
    /// The column with the relation of lists whose name does not tell it.
    relation: Option<usize>,
    /// The column with the weight of each row.
    weight: Option<usize>,
}

struct OtherProducts {
    list: usize,
    relation: Option<Relation>,
}

/// The fields of a pair of a product and another.
const PAIR: Layout = Layout::Associations { one: 0, other: 1, relation: 2, weight: Some(3) };

impl Contents {
    /// What columns hold. Otherwise, a hint.
    fn of(schema: &Schema) -> Result<Self, &'static str> {
        let fields = schema.fields();
        let lists: Vec<usize> = (0..fields.len()).filter(|&at| is_list(fields[at].data_type())).collect();
        // A list of products is never one of an order's products.
        let single: Vec<&str> =
            fields.iter().map(|field| if is_list(field.data_type()) { "" } else { field.name().as_str() }).collect();
        match (Layout::of_names(&single), lists.first(), Layout::product_of(&single)) {
            (Header::Layout(layout), ..) => Ok(Self::Fields(layout)),
            (Header::NoRelation, ..) => Err("add a column `relation`, such as `co_purchased`"),
            (Header::OnlyProduct, Some(&list), Some(product)) => {
                let relation = Layout::relation_of(&single);
                let named = lists.iter().filter_map(|&list| {
                    let relation = relation_of(fields[list].name())?;
                    Some(OtherProducts { list, relation: Some(relation) })
                });
                let others = match relation {
                    Some(_) if lists.len() == 1 => Others {
                        product,
                        lists: vec![OtherProducts { list, relation: None }],
                        relation,
                        weight: Layout::weight_of(&single),
                    },
                    _ => Others { product, lists: named.collect(), relation: None, weight: None },
                };
                if others.lists.is_empty() {
                    return Err("a product and a list of others need a relation: \
                        name the list `also_buy` or `also_view`, or add a column `relation`");
                }
                Ok(Self::Others(others))
            }
            (_, Some(&list), _) => Ok(Self::Orders { list }),
            (_, None, _) => Err(EXPECTED),
        }
    }

    /// The layout of what is added.
    fn layout(&self) -> Layout {
        match self {
            Self::Fields(layout) => *layout,
            Self::Orders { .. } => Layout::Orders,
            Self::Others(_) => PAIR,
        }
    }

    /// The columns that are read.
    fn columns(&self) -> Vec<usize> {
        match self {
            Self::Fields(Layout::Associations { one, other, relation, weight }) => {
                [*one, *other, *relation].into_iter().chain(*weight).collect()
            }
            Self::Fields(Layout::OrderProducts { order, product }) => vec![*order, *product],
            Self::Fields(Layout::Orders) => Vec::new(),
            Self::Orders { list } => vec![*list],
            Self::Others(Others { product, lists, relation, weight }) => {
                let lists = lists.iter().map(|others| others.list);
                [*product].into_iter().chain(lists).chain(*relation).chain(*weight).collect()
            }
        }
    }
}

/// Reads the rows of a table.
pub(super) fn read(file: GivenFile<'_>, rows: &mut Rows<'_>) -> Result<(), GivenError> {
    let table = TableReader::open_any(file.path)?;
    let schema = table.columns();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let contents = Contents::of(schema).map_err(|hint| {
        let found = format!("a Parquet table with the columns {}", names.join(", "));
        GivenError::Unrecognised { path: file.path.to_owned(), found, hint: hint.to_owned() }
    })?;
    rows.counts.holds = contents.layout().name().to_owned();
    let projected: Vec<&str> = contents.columns().into_iter().map(|at| names[at]).collect();
    let mut number = 0;
    for batch in table.batches(ROWS, Some(&projected)) {
        let batch = batch?;
        match &contents {
            Contents::Fields(layout) => add_fields(file, &batch, &projected, *layout, rows, &mut number)?,
            Contents::Orders { .. } => add_orders(file, &batch, rows, &mut number)?,
            Contents::Others(others) => add_others(file, &batch, &names, others, rows, &mut number)?,
        }
    }
    Ok(())
}

/// Adds a row of fields per row.
fn add_fields(
    file: GivenFile<'_>,
    batch: &RecordBatch,
    projected: &[&str],
    layout: Layout,
    rows: &mut Rows<'_>,
    number: &mut u64,
) -> Result<(), GivenError> {
    // The columns are those that were read, in the order of `Contents::columns`.
    let layout = match layout {
        Layout::Associations { weight, .. } => {
            Layout::Associations { one: 0, other: 1, relation: 2, weight: weight.map(|_| 3) }
        }
        Layout::OrderProducts { .. } => Layout::OrderProducts { order: 0, product: 1 },
        Layout::Orders => Layout::Orders,
    };
    let columns = projected.iter().filter_map(|name| batch.column_by_name(name));
    let columns = columns.map(|column| texts(file, column.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let mut fields = Vec::new();
    for row in 0..batch.num_rows() {
        *number += 1;
        fields.clear();
        fields.extend(columns.iter().map(|column| text_at(Some(column), row)));
        rows.add(layout, &fields, || format!("row {number}"))?;
    }
    Ok(())
}

/// Adds an order per row.
fn add_orders(
    file: GivenFile<'_>,
    batch: &RecordBatch,
    rows: &mut Rows<'_>,
    number: &mut u64,
) -> Result<(), GivenError> {
    let Some(column) = batch.columns().first() else { return Ok(()) };
    let lists = lists(file, column.as_ref())?;
    for row in 0..lists.len() {
        *number += 1;
        let ids = texts(file, lists.value(row).as_ref())?;
        let fields: Vec<&str> = (0..ids.len()).filter(|&at| ids.is_valid(at)).map(|at| ids.value(at)).collect();
        rows.add(Layout::Orders, &fields, || format!("row {number}"))?;
    }
    Ok(())
}

/// Adds a pair for each product of the lists of a row.
fn add_others(
    file: GivenFile<'_>,
    batch: &RecordBatch,
    names: &[&str],
    others: &Others,
    rows: &mut Rows<'_>,
    number: &mut u64,
) -> Result<(), GivenError> {
    let column = |at: usize| batch.column_by_name(names[at]);
    let single = |at: usize| column(at).map(|column| texts(file, column.as_ref())).transpose();
    let products = single(others.product)?;
    let relations = others.relation.map(single).transpose()?.flatten();
    let weights = others.weight.map(single).transpose()?.flatten();
    let mut columns = Vec::new();
    for OtherProducts { list, relation } in &others.lists {
        if let Some(column) = column(*list) {
            columns.push((lists(file, column.as_ref())?, *relation));
        }
    }
    for row in 0..batch.num_rows() {
        *number += 1;
        let product = text_at(products.as_ref(), row);
        let weight = text_at(weights.as_ref(), row);
        for (list, relation) in &columns {
            if !list.is_valid(row) {
                continue;
            }
            let relation = match relation {
                Some(relation) => relation.as_str(),
                None => text_at(relations.as_ref(), row),
            };
            let ids = texts(file, list.value(row).as_ref())?;
            for at in (0..ids.len()).filter(|&at| ids.is_valid(at)) {
                rows.add(PAIR, &[product, ids.value(at), relation, weight], || format!("row {number}"))?;
            }
        }
    }
    Ok(())
}

fn texts(file: GivenFile<'_>, column: &dyn Array) -> Result<StringArray, GivenError> {
    let texts = cast(column, &DataType::Utf8).map_err(|e| StoreError::parquet("read", file.path)(e.into()))?;
    Ok(texts.as_string::<i32>().clone())
}

/// The text of a row. Empty if there is none.
fn text_at(column: Option<&StringArray>, row: usize) -> &str {
    column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row))
}

fn lists(file: GivenFile<'_>, column: &dyn Array) -> Result<ListArray, GivenError> {
    if matches!(column.data_type(), DataType::List(_)) {
        return Ok(column.as_list::<i32>().clone());
    }
    let element = list_element(column.data_type()).cloned().unwrap_or(DataType::Utf8);
    let list = DataType::new_list(element, true);
    let lists = cast(column, &list).map_err(|e| StoreError::parquet("read", file.path)(e.into()))?;
    Ok(lists.as_list::<i32>().clone())
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
