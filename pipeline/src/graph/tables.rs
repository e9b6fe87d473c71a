//! The tables of a corpus, as the graph reads them.
use std::path::{Path, PathBuf};

use arrow_array::{Array, StringArray, cast::AsArray};
use schemas::{
    CorpusAssociationRows, CorpusInteractionRows, FileEntry, Manifest, ReviewerId, StoreError,
    manifest::{CorpusBody, ListCounts},
    open_corpus_associations, open_corpus_interactions, open_corpus_products, open_corpus_reviews,
    store::TableReader,
};

use super::{
    GraphError,
    edges::Edge,
    lists::{LONGEST_LIST, add_list},
    parts::{EdgeWriter, ReviewedProducts, StatedAssociations},
    products::{ProductRank, ProductTable, ProductTableBuilder, UnknownProduct},
};
use crate::engine::hashes::Hashes;

/// Rows that are read at a time.
const ROWS: usize = 1 << 13;

/// The tables of `OUT/corpus`.
pub(super) struct CorpusTables<'a> {
    pub(super) folder: PathBuf,
    pub(super) corpus: &'a Manifest<CorpusBody>,
}

impl CorpusTables<'_> {
    /// The tables whose name begins with `stem`.
    fn entries(&self, stem: &str) -> impl Iterator<Item = &FileEntry> {
        self.corpus.files.iter().filter(move |entry| entry.name.starts_with(stem))
    }

    /// Rows of the tables whose name begins with `stem`.
    pub(super) fn rows(&self, stem: &str) -> u64 {
        self.entries(stem).map(|entry| entry.rows).sum()
    }

    /// Number of buckets. All of them have a table of products.
    pub(super) fn buckets(&self) -> u64 {
        self.entries("products-").count() as u64
    }

    /// The tables of some buckets, and the products of all.
    pub(super) fn of_buckets(&self, buckets: &[u64]) -> Vec<PathBuf> {
        let bucket = |name: &str| name.strip_suffix(".parquet")?.rsplit('-').next()?.parse::<u64>().ok();
        let is_read =
            |name: &str| name.starts_with("products-") || bucket(name).is_some_and(|bucket| buckets.contains(&bucket));
        let names = self.corpus.files.iter().map(|entry| &entry.name).filter(|name| is_read(name));
        names.map(|name| self.folder.join(name)).collect()
    }

    /// Calls `each` with the table of a bucket, after comparing its hash. The corpus need not have it.
    fn with(
        &self,
        stem: &str,
        bucket: u64,
        hashes: &mut Hashes,
        each: impl FnOnce(&Path) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        let name = format!("{stem}-{bucket:05}.parquet");
        let Some(entry) = self.corpus.files.iter().find(|entry| entry.name == name) else { return Ok(()) };
        hashes.verify(&self.folder, entry)?;
        each(&self.folder.join(&name))
    }

    /// The ids of all products. The tables are not checked: those who read their buckets do that.
    /// Temporary files are created next to a file.
    pub(super) fn products(&self, next_to: &Path) -> Result<ProductTable, GraphError> {
        let mut products = ProductTableBuilder::new(next_to);
        for entry in self.entries("products-") {
            let table = open_corpus_products(&self.folder.join(&entry.name))?;
            for_each_id(&table, |id| products.push(id.unwrap_or_default()))?;
        }
        Ok(products.finish()?)
    }

    /// Checks the table of the products of a bucket.
    pub(super) fn check_products(&self, bucket: u64, hashes: &mut Hashes) -> Result<(), GraphError> {
        self.with("products", bucket, hashes, |_| Ok(()))
    }

    /// Counts the associations that the dump states of the products of a bucket. With `keep`, those among products
    /// become edges.
    pub(super) fn stated(
        &self,
        bucket: u64,
        products: &ProductTable,
        keep: bool,
        edges: &mut EdgeWriter,
        hashes: &mut Hashes,
    ) -> Result<StatedAssociations, GraphError> {
        let mut stated = StatedAssociations::default();
        self.with("associations", bucket, hashes, |path| {
            for rows in open_corpus_associations(path)?.read::<CorpusAssociationRows>(ROWS) {
                for association in rows?.iter() {
                    let association =
                        association.map_err(|source| GraphError::Relation { folder: self.folder.clone(), source })?;
                    stated.found += 1;
                    let other = products.rank(association.other)?;
                    match other {
                        Some(other) => edges.named(other)?,
                        None => edges.unknown(UnknownProduct::new(association.other))?,
                    }
                    let ends = products.rank(association.product)?.zip(other);
                    let edge = ends.and_then(|(one, other)| Edge::new(one, other, association.relation, None));
                    let Some(edge) = edge else { continue };
                    stated.resolved += 1;
                    if keep {
                        edges.edge(edge)?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(stated)
    }

    /// Counts the reviews of a bucket whose product is not in the corpus.
    pub(super) fn reviewed(
        &self,
        bucket: u64,
        products: &ProductTable,
        hashes: &mut Hashes,
    ) -> Result<ReviewedProducts, GraphError> {
        let mut reviewed = ReviewedProducts::default();
        self.with("reviews", bucket, hashes, |path| {
            for_each_id(&open_corpus_reviews(path)?, |id| {
                match id {
                    None => reviewed.without_product += 1,
                    Some(id) => reviewed.of_unknown_products += u64::from(products.rank(id)?.is_none()),
                }
                Ok(())
            })
        })?;
        Ok(reviewed)
    }

    /// Adds the list of every reviewer of a bucket to `pairs`. The rows of a reviewer follow one another in one table.
    pub(super) fn lists(
        &self,
        bucket: u64,
        products: &ProductTable,
        pairs: &mut EdgeWriter,
        hashes: &mut Hashes,
    ) -> Result<ListCounts, GraphError> {
        let mut lists = ListReader { counts: ListCounts::default(), reviewer: None, list: TimedList::default() };
        self.with("interactions", bucket, hashes, |path| {
            for rows in open_corpus_interactions(path)?.read::<CorpusInteractionRows>(ROWS) {
                for interaction in rows?.iter() {
                    if lists.reviewer != Some(interaction.reviewer) {
                        lists.end_list(pairs)?;
                        lists.reviewer = Some(interaction.reviewer);
                    }
                    match (products.rank(interaction.product_id)?, interaction.time) {
                        (None, _) => lists.counts.unknown_products += 1,
                        (_, None) => lists.counts.without_time += 1,
                        (Some(product), Some(time)) => lists.list.push(time, product),
                    }
                }
            }
            Ok(lists.end_list(pairs)?)
        })?;
        Ok(lists.counts)
    }
}

/// Calls `each` with the product id of every row.
fn for_each_id(
    table: &TableReader,
    mut each: impl FnMut(Option<&str>) -> Result<(), StoreError>,
) -> Result<(), GraphError> {
    for batch in table.batches(ROWS, Some(&["product_id"])) {
        let batch = batch?;
        let ids: &StringArray = batch.column(0).as_string();
        (0..ids.len()).try_for_each(|row| each(ids.is_valid(row).then(|| ids.value(row))))?;
    }
    Ok(())
}

/// Interactions to lists.
struct ListReader {
    counts: ListCounts,
    reviewer: Option<ReviewerId>,
    list: TimedList,
}

impl ListReader {
    fn end_list(&mut self, pairs: &mut EdgeWriter) -> Result<(), StoreError> {
        let Self { counts, list, .. } = self;
        let length = list.length;
        if length > LONGEST_LIST {
            counts.too_long += 1;
        } else if length > 0 {
            counts.users += 1;
            counts.interactions += length as u64;
            add_list(&list.products(), pairs)?;
        }
        self.list = TimedList::default();
        Ok(())
    }
}

/// The products of a reviewer with their times.
#[derive(Default)]
struct TimedList {
    /// At most [`LONGEST_LIST`].
    entries: Vec<(i64, ProductRank)>,
    length: usize,
}

impl TimedList {
    fn push(&mut self, time: i64, product: ProductRank) {
        self.length += 1;
        if self.length <= LONGEST_LIST {
            self.entries.push((time, product));
        }
    }

    /// The products by time, and those of equal times by id.
    fn products(&mut self) -> Vec<ProductRank> {
        self.entries.sort_unstable();
        self.entries.iter().map(|&(_, product)| product).collect()
    }
}
