//! The products of shards by category. A product's category is the first that its record names.
use std::path::{Path, PathBuf};

use polars::prelude::*;
use schemas::{
    FileEntry, Manifest, ManifestError, columns,
    manifest::{CorpusBody, ShardsBody},
};

use super::{
    figure,
    segments::{SegmentsError, read_segments},
};
use crate::{
    REMAKE,
    engine::frames::{COUNT, FrameError, KeyCounts, read_sealed},
    hint::Hint,
};

/// Products cannot be read by category.
#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    #[error("cannot join the segments of products with their categories")]
    Query(#[from] PolarsError),
    #[error("the shards were made from another corpus than `{}`\nhint: run `{REMAKE}` to rebuild them from this one", folder.display())]
    OtherCorpus { folder: PathBuf },
    #[error(
        "no product of the corpus names a category, so there is nothing to compare\nhint: metadata files of the dumps have `category` or `categories`"
    )]
    NoCategories,
}

/// A category and the number of its products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CategorySize {
    pub name: String,
    pub products: u64,
}

/// The products of sealed shards.
pub(super) struct Products {
    corpus_folder: PathBuf,
    shards_folder: PathBuf,
    corpus: Manifest<CorpusBody>,
    shards: Manifest<ShardsBody>,
}

impl Products {
    /// Opens the shards and the corpus below `out`.
    pub(super) fn open(out: &Path) -> Result<Self, ProductsError> {
        let (corpus_folder, shards_folder) = (out.join("corpus"), out.join("shards"));
        let shards = Manifest::<ShardsBody>::read(&shards_folder)?;
        let corpus = Manifest::<CorpusBody>::read(&corpus_folder)?;
        if shards.body.corpus.blake3 != corpus.data_blake3() {
            return Err(ProductsError::OtherCorpus { folder: corpus_folder });
        }
        Ok(Self { corpus_folder, shards_folder, corpus, shards })
    }

    /// Where figures of the products come from.
    pub(super) fn origin(&self) -> String {
        figure::origin(&self.shards_folder, &self.shards.self_blake3)
    }

    pub(super) fn shards(&self) -> &ShardsBody {
        &self.shards.body
    }

    /// Calls `each` once per shard, with the segments of products that name a category: the columns
    /// `names` of a segment, `row`, `product_id` and `category`. Returns all categories, those with
    /// the most products first.
    pub(super) fn for_each_shard(
        &self,
        names: &[&str],
        mut each: impl FnMut(&DataFrame) -> PolarsResult<()>,
    ) -> Result<Vec<CategorySize>, ProductsError> {
        let mut products = KeyCounts::new([Field::new("category".into(), DataType::String)]);
        for shard in self.shards.files.iter().filter(|file| file.name.starts_with("products-")) {
            let Some(table) = self.corpus.files.iter().find(|file| file.name == shard.name) else { continue };
            let categories = self.categories(table)?;
            products.add(&categories)?;
            let segments = read_segments(&self.shards_folder, shard, &[names, &["product_id"]].concat())?;
            let inner = JoinArgs::new(JoinType::Inner);
            each(&segments.join(&categories, ["product_id"], ["product_id"], inner, None)?)?;
        }
        let sizes = largest_first(&products.finish()?)?;
        if sizes.is_empty() { Err(ProductsError::NoCategories) } else { Ok(sizes) }
    }

    fn categories(&self, table: &FileEntry) -> Result<DataFrame, ProductsError> {
        let schema = columns::corpus_products();
        let products = read_sealed(&self.corpus_folder, table, &schema, &["product_id", "categories"])?;
        Ok(first_categories(&products)?)
    }
}

/// The columns `product_id` and `category`, without products that name no category.
pub(super) fn first_categories(products: &DataFrame) -> PolarsResult<DataFrame> {
    let null_if_empty = true;
    let first = products.column("categories")?.list()?.lst_get(0, null_if_empty)?.with_name("category".into());
    let named = first.is_not_null();
    let columns = vec![products.column("product_id")?.clone(), first.into_column()];
    DataFrame::new(products.height(), columns)?.filter(&named)
}

/// Counts rows by `category` and `phrase_id`.
pub(super) fn count_category_phrases() -> KeyCounts {
    KeyCounts::new([Field::new("category".into(), DataType::String), Field::new("phrase_id".into(), DataType::UInt32)])
}

/// From the rows of [`KeyCounts`]: by size, then by name.
fn largest_first(products: &DataFrame) -> PolarsResult<Vec<CategorySize>> {
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let sorted = products.sort([COUNT, "category"], order)?;
    let (names, counts) = (sorted.column("category")?.str()?, sorted.column(COUNT)?.u64()?);
    let sizes = names.iter().flatten().zip(counts.iter().flatten());
    Ok(sizes.map(|(name, products)| CategorySize { name: name.to_owned(), products }).collect())
}

/// A text as a field of a CSV file.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_category_counts() {
        let lists: [&[&str]; 5] = [&["Tea", "Food"], &[], &["Food"], &["Cups"], &["Tea"]];
        let lists = lists.map(|list| Series::new("".into(), list));
        let products = df!(
            "product_id" => ["B1", "B2", "B3", "B4", "B5"], "categories" => Series::new("".into(), lists),
        )
        .unwrap();
        let found = first_categories(&products).unwrap();
        let wanted = df!("product_id" => ["B1", "B3", "B4", "B5"], "category" => ["Tea", "Food", "Cups", "Tea"]);
        assert!(found.equals(&wanted.unwrap()), "{found:?}");

        let mut counts = KeyCounts::new([Field::new("category".into(), DataType::String)]);
        counts.add(&found).unwrap();
        let sizes = largest_first(&counts.finish().unwrap()).unwrap();
        let size = |name: &str, products| CategorySize { name: name.to_owned(), products };
        assert_eq!(sizes, [size("Tea", 2), size("Cups", 1), size("Food", 1)]);
    }
}
