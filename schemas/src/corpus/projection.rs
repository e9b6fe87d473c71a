//! Projections that read tables of products and of reviews alike.
use arrow_array::{
    Array, ArrayRef, ListArray, RecordBatch, StringArray, UInt64Array, cast::AsArray, types::UInt64Type,
};

use super::product::texts_of;
use crate::{
    DocumentId, TextId,
    rows::{Rows, column, optional, texts},
};

/// The text of a product document or of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusText<'a> {
    /// The document.
    pub document: DocumentId,
    /// The id of its text.
    pub text_id: TextId,
    /// The product, or the product that a review is of.
    pub product_id: Option<&'a str>,
    /// Clean text.
    pub text: &'a str,
}

/// The texts of a batch of products or reviews.
#[derive(Debug)]
pub struct CorpusTextRows {
    /// Of reviews: the id of a product document follows from its product.
    reviews: Option<UInt64Array>,
    text_ids: UInt64Array,
    products: StringArray,
    texts: StringArray,
}

impl Rows for CorpusTextRows {
    const COLUMNS: &'static [&'static str] = &["review_id", "text_id", "product_id", "text"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            reviews: batch.column_by_name("review_id").map(|ids| ids.as_primitive::<UInt64Type>().clone()),
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
            products: texts(batch, "product_id"),
            texts: texts(batch, "text"),
        }
    }
}

impl CorpusTextRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// One row.
    pub fn get(&self, row: usize) -> CorpusText<'_> {
        let product_id = optional(&self.products, row);
        let document = match &self.reviews {
            Some(ids) => DocumentId::new(ids.value(row)),
            None => DocumentId::of_product(product_id.unwrap_or_default()),
        };
        let text_id = TextId::new(self.text_ids.value(row));
        CorpusText { document, text_id, product_id, text: self.texts.value(row) }
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = CorpusText<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// The texts of a batch of products or reviews, and the names that products give: their
/// categories, brands and attributes. Reviews give none.
#[derive(Debug)]
pub struct CorpusNameRows {
    texts: CorpusTextRows,
    categories: Option<ListArray>,
    brands: Option<StringArray>,
    attributes: Option<ListArray>,
}

impl Rows for CorpusNameRows {
    const COLUMNS: &'static [&'static str] =
        &["review_id", "text_id", "product_id", "text", "categories", "brand", "attributes"];

    fn new(batch: &RecordBatch) -> Self {
        let lists = |name| batch.column_by_name(name).map(|column: &ArrayRef| column.as_list::<i32>().clone());
        Self {
            texts: CorpusTextRows::new(batch),
            categories: lists("categories"),
            brands: batch.column_by_name("brand").map(|column| column.as_string::<i32>().clone()),
            attributes: lists("attributes"),
        }
    }
}

impl CorpusNameRows {
    /// Number of documents.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text of each document.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|row| row.text)
    }

    /// The ids of each document and of its text.
    pub fn names(&self) -> impl Iterator<Item = (DocumentId, TextId)> {
        self.texts.iter().map(|row| (row.document, row.text_id))
    }

    /// The categories of all products, one after another.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.iter().flat_map(concatenated)
    }

    /// The brands of the products that have one.
    pub fn brands(&self) -> impl Iterator<Item = &str> {
        self.brands.iter().flatten().flatten()
    }

    /// The attributes of all products, one after another.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().flat_map(concatenated)
    }
}

/// The ids of a batch of products and of their texts.
#[derive(Debug)]
pub struct ProductTextIdRows {
    products: StringArray,
    text_ids: UInt64Array,
}

impl Rows for ProductTextIdRows {
    const COLUMNS: &'static [&'static str] = &["product_id", "text_id"];

    fn new(batch: &RecordBatch) -> Self {
        let text_ids = column(batch, "text_id").as_primitive::<UInt64Type>().clone();
        Self { products: texts(batch, "product_id"), text_ids }
    }
}

impl ProductTextIdRows {
    /// The id of the document and of its text, of all rows.
    pub fn iter(&self) -> impl Iterator<Item = (DocumentId, TextId)> {
        let row = |row| (DocumentId::of_product(self.products.value(row)), TextId::new(self.text_ids.value(row)));
        (0..self.products.len()).map(row)
    }
}

/// The categories of a batch of products.
#[derive(Debug)]
pub struct ProductCategoryRows {
    products: StringArray,
    categories: ListArray,
}

/// The categories of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductCategories<'a> {
    /// The product.
    pub product_id: &'a str,
    /// All categories of its record, from the most general one, each once. The paths of a record with several of them
    /// stand one after another.
    pub categories: Vec<&'a str>,
}

impl Rows for ProductCategoryRows {
    const COLUMNS: &'static [&'static str] = &["product_id", "categories"];

    fn new(batch: &RecordBatch) -> Self {
        Self { products: texts(batch, "product_id"), categories: column(batch, "categories").as_list::<i32>().clone() }
    }
}

impl ProductCategoryRows {
    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = ProductCategories<'_>> {
        (0..self.products.len()).map(|row| ProductCategories {
            product_id: self.products.value(row),
            categories: texts_of(&self.categories, row),
        })
    }
}

/// The texts of all lists.
fn concatenated(lists: &ListArray) -> impl Iterator<Item = &str> {
    let (offsets, values) = (lists.value_offsets(), lists.values().as_string::<i32>());
    (offsets[0] as usize..offsets[lists.len()] as usize).map(|at| values.value(at))
}
