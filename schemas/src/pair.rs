//! Pairs: the rows of `shards/pairs-*.parquet`.
use std::{marker::PhantomData, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Float32Array, ListArray, RecordBatch, StringArray, StructArray, UInt64Array,
    builder::{Float32Builder, StringBuilder},
    cast::AsArray,
    types::{Float32Type, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use crate::{
    Relation, TextId, TokenId, UnknownRelation,
    fields::{list, schema},
    rows::{Rows, column, texts},
    segment::{id_lists, slice_of},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// One side of a pair: a product and the ids of its segment 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairProduct<'a, I = u16> {
    /// The product.
    pub product: &'a str,
    /// The id of its whole text.
    pub text_id: TextId,
    /// The tokenizer's ids, no special tokens.
    pub input_ids: &'a [I],
}

/// Two associated products, and a product that is not associated with the first and has another text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a, I = u16> {
    /// How the two are associated.
    pub relation: Relation,
    /// How strongly, where the association has a weight.
    pub weight: Option<f32>,
    /// The product that is reconstructed. The negative is drawn for it.
    pub anchor: PairProduct<'a, I>,
    /// A product associated with it.
    pub neighbor: PairProduct<'a, I>,
    /// A product that has associations, but none with the anchor.
    pub negative: PairProduct<'a, I>,
}

/// The fields of `anchor`, `neighbor` and `negative`.
pub fn pair_product() -> Fields {
    pair_product_of::<u16>()
}

fn pair_product_of<I: TokenId>() -> Fields {
    Fields::from(vec![
        Field::new("product_id", DataType::Utf8, false),
        Field::new("text_id", DataType::UInt64, false),
        Field::new("input_ids", list(I::Column::DATA_TYPE), false),
    ])
}

/// `shards/pairs-*.parquet`: one row per association and draw, in a keyed random order.
pub fn columns() -> SchemaRef {
    columns_of::<u16>()
}

/// [`columns`] with ids of any width.
pub fn columns_of<I: TokenId>() -> SchemaRef {
    let product = || DataType::Struct(pair_product_of::<I>());
    schema(vec![
        Field::new("relation", DataType::Utf8, false),
        Field::new("weight", DataType::Float32, true),
        Field::new("anchor", product(), false),
        Field::new("neighbor", product(), false),
        Field::new("negative", product(), false),
    ])
}

const LAYOUT: Layout = Layout {
    byte_streams: &[
        "anchor.input_ids.list.element",
        "neighbor.input_ids.list.element",
        "negative.input_ids.list.element",
    ],
    plain: &[
        "anchor.product_id",
        "neighbor.product_id",
        "negative.product_id",
        "anchor.text_id",
        "neighbor.text_id",
        "negative.text_id",
    ],
    row_group_bytes: 16 << 20,
};

/// Starts a shard of pairs at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_pairs(path: &Path) -> Result<TableWriter, StoreError> {
    create_pairs_of::<u16>(path)
}

/// [`create_pairs`] with ids of any width.
///
/// # Errors
/// When the file cannot be created.
pub fn create_pairs_of<I: TokenId>(path: &Path) -> Result<TableWriter, StoreError> {
    TableWriter::create(path, columns_of::<I>(), &LAYOUT)
}

/// Opens a shard of pairs whose ids have 16 bits.
///
/// # Errors
/// When the file is not a table of pairs, or its ids are wider.
pub fn open_pairs(path: &Path) -> Result<TableReader, StoreError> {
    open_pairs_of::<u16>(path)
}

/// [`open_pairs`] with ids of any width.
///
/// # Errors
/// When the file is not a table of pairs, or its ids have another width.
pub fn open_pairs_of<I: TokenId>(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns_of::<I>())
}

/// Collects pairs whose ids have 16 bits.
pub type PairBuilder = PairBuilderOf<u16>;

/// Collects pairs into a record batch.
#[derive(Debug, Default)]
pub struct PairBuilderOf<I> {
    relations: StringBuilder,
    weights: Float32Builder,
    sides: [Side<I>; 3],
}

#[derive(Debug, Default)]
struct Side<I> {
    products: StringBuilder,
    text_ids: Vec<u64>,
    ids: Vec<I>,
    ends: Vec<i32>,
}

impl<I: TokenId> Side<I> {
    fn push(&mut self, side: PairProduct<'_, I>) {
        self.products.append_value(side.product);
        self.text_ids.push(side.text_id.get());
        self.ids.extend_from_slice(side.input_ids);
        self.ends.push(self.ids.len() as i32);
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.products.finish()),
            Arc::new(UInt64Array::from(self.text_ids)),
            Arc::new(id_lists(self.ids, self.ends)?),
        ];
        Ok(Arc::new(StructArray::try_new(pair_product_of::<I>(), arrays, None)?))
    }
}

impl<I: TokenId> PairBuilderOf<I> {
    /// Appends a row.
    pub fn push(&mut self, row: &Pair<'_, I>) {
        self.relations.append_value(row.relation.as_str());
        self.weights.append_option(row.weight);
        for (side, product) in self.sides.iter_mut().zip([row.anchor, row.neighbor, row.negative]) {
            side.push(product);
        }
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.sides[0].ends.len()
    }

    /// Whether it has no rows yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows as a batch of [`columns::pairs`](crate::columns::pairs).
    ///
    /// # Errors
    /// When Arrow refuses the rows.
    pub fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let [anchor, neighbor, negative] = self.sides;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.relations.finish()),
            Arc::new(self.weights.finish()),
            anchor.finish()?,
            neighbor.finish()?,
            negative.finish()?,
        ];
        RecordBatch::try_new(columns_of::<I>(), arrays)
    }
}

/// The pairs of a batch whose ids have 16 bits.
pub type PairRows = PairRowsOf<u16>;

/// The pairs of a batch.
#[derive(Debug)]
pub struct PairRowsOf<I> {
    relations: StringArray,
    weights: Float32Array,
    sides: [SideRows; 3],
    ids: PhantomData<I>,
}

#[derive(Debug)]
struct SideRows {
    products: StringArray,
    text_ids: UInt64Array,
    input_ids: ListArray,
}

impl SideRows {
    fn get<I: TokenId>(&self, row: usize) -> PairProduct<'_, I> {
        PairProduct {
            product: self.products.value(row),
            text_id: TextId::new(self.text_ids.value(row)),
            input_ids: slice_of(&self.input_ids, row),
        }
    }
}

impl<I: TokenId> Rows for PairRowsOf<I> {
    const COLUMNS: &'static [&'static str] = &["relation", "weight", "anchor", "neighbor", "negative"];

    fn new(batch: &RecordBatch) -> Self {
        let side = |name| {
            let side = column(batch, name).as_struct();
            SideRows {
                products: side.column(0).as_string::<i32>().clone(),
                text_ids: side.column(1).as_primitive::<UInt64Type>().clone(),
                input_ids: side.column(2).as_list::<i32>().clone(),
            }
        };
        Self {
            relations: texts(batch, "relation"),
            weights: column(batch, "weight").as_primitive::<Float32Type>().clone(),
            sides: ["anchor", "neighbor", "negative"].map(side),
            ids: PhantomData,
        }
    }
}

impl<I: TokenId> PairRowsOf<I> {
    /// Reads a batch that [`open_pairs`] gave.
    ///
    /// # Panics
    /// If the batch comes from a table of other columns.
    pub fn new(batch: &RecordBatch) -> Self {
        Rows::new(batch)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.relations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row.
    ///
    /// # Errors
    /// When this build does not know its relation.
    pub fn get(&self, row: usize) -> Result<Pair<'_, I>, UnknownRelation> {
        let [anchor, neighbor, negative] = &self.sides;
        Ok(Pair {
            relation: self.relations.value(row).parse()?,
            weight: self.weights.is_valid(row).then(|| self.weights.value(row)),
            anchor: anchor.get(row),
            neighbor: neighbor.get(row),
            negative: negative.get(row),
        })
    }
}
