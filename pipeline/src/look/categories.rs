//! The segments of products, with their categories.
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use arrow::array::{Array, AsArray};
use schemas::{
    DocumentId, Manifest, ManifestError, Segment, SegmentRows, SpanOutside, StoreError, columns,
    manifest::{CorpusBody, ShardsBody},
    open_segments,
    store::{self, TableReader},
};

use crate::{REMAKE, hint::Hint};

/// Products cannot be read by category.
#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// A row.
    #[error("shard `{}` is not what its manifest promises", path.display())]
    Row {
        /// The shard.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SpanOutside,
    },
    /// The shards are of another corpus.
    #[error("the shards were made from another corpus than `{}`\nhint: run `{REMAKE}` to make them from this one", folder.display())]
    OtherCorpus {
        /// The folder.
        folder: PathBuf,
    },
    /// No product names a category.
    #[error(
        "no product of the corpus names a category, so there is nothing to compare\nhint: metadata files of the dumps have `category` or `categories`"
    )]
    NoCategories,
}

/// The products of sealed shards.
pub(super) struct Products {
    corpus_folder: PathBuf,
    shards_folder: PathBuf,
    corpus: Manifest<CorpusBody>,
    shards: Manifest<ShardsBody>,
}

impl Products {
    /// Those below `out`.
    pub fn open(out: &Path) -> Result<Self, ProductsError> {
        let (corpus_folder, shards_folder) = (out.join("corpus"), out.join("shards"));
        let shards = Manifest::<ShardsBody>::read(&shards_folder)?;
        let corpus = Manifest::<CorpusBody>::read(&corpus_folder)?;
        if shards.body.corpus.blake3 != corpus.data_blake3() {
            return Err(ProductsError::OtherCorpus { folder: corpus_folder });
        }
        Ok(Self { corpus_folder, shards_folder, corpus, shards })
    }

    /// The manifest of the shards.
    pub fn shards(&self) -> &Manifest<ShardsBody> {
        &self.shards
    }

    /// Calls `each` with every segment of a product that names a category; that is the first one that its record names.
    /// Gives the number of products of each category.
    pub fn each_segment(
        &self,
        mut each: impl FnMut(&str, Segment<'_>),
    ) -> Result<BTreeMap<String, u64>, ProductsError> {
        let mut products: BTreeMap<String, u64> = BTreeMap::new();
        for entry in self.shards.files.iter().filter(|f| f.name.starts_with("products-")) {
            let Some(table) = self.corpus.files.iter().find(|f| f.name == entry.name) else { continue };
            let of = categories_of(&store::verify_file(&self.corpus_folder, table)?)?;
            let path = store::verify_file(&self.shards_folder, entry)?;
            for name in of.values() {
                *products.entry(name.clone()).or_default() += 1;
            }
            for batch in open_segments(&path)?.batches(1 << 12, None) {
                let mut rows = SegmentRows::new(&batch?);
                for row in 0..rows.len() {
                    let segment = rows.get(row).map_err(|source| ProductsError::Row { path: path.clone(), source })?;
                    if let Some(name) = of.get(&segment.document) {
                        each(name, segment);
                    }
                }
            }
        }
        if products.is_empty() {
            return Err(ProductsError::NoCategories);
        }
        Ok(products)
    }
}

/// The category of each product of a table.
fn categories_of(table: &Path) -> Result<HashMap<DocumentId, String>, StoreError> {
    let table = TableReader::open(table, &columns::corpus_products())?;
    let mut of = HashMap::new();
    for batch in table.batches(1 << 12, Some(&["product_id", "categories"])) {
        let batch = batch?;
        let (ids, lists) = (batch.column(0).as_string::<i32>(), batch.column(1).as_list::<i32>());
        for row in 0..batch.num_rows() {
            let list = lists.value(row);
            let list = list.as_string::<i32>();
            if !list.is_empty() {
                of.insert(DocumentId::of_product(ids.value(row)), list.value(0).to_owned());
            }
        }
    }
    Ok(of)
}

/// A text as a field of a CSV file.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
