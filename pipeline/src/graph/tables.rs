//! The tables of a corpus, as the graph reads them.
use std::path::PathBuf;

use arrow_array::{Array, StringArray, cast::AsArray};
use schemas::{
    CorpusAssociationRows, CorpusInteractionRows, Manifest, ReviewerId, StoreError,
    manifest::{CorpusBody, ListCounts},
    open_corpus_associations, open_corpus_interactions, open_corpus_products, open_corpus_reviews,
    store::TableReader,
};

use super::{
    GraphError,
    edges::Edge,
    lists::{LONGEST_LIST, PairCounter},
    products::{ProductRank, ProductTable, ProductTableBuilder, UnknownProduct},
};
use crate::engine::{hashes::Hashes, runs::RunSorter};

/// Rows that are read at a time.
const ROWS: usize = 1 << 13;

/// The tables of `OUT/corpus`.
pub(super) struct CorpusTables<'a> {
    pub(super) folder: PathBuf,
    pub(super) corpus: &'a Manifest<CorpusBody>,
    pub(super) hashes: &'a mut Hashes,
}

/// The associations that a dump states.
#[derive(Clone, Copy, Default)]
pub(super) struct StatedAssociations {
    /// All of them.
    pub(super) found: u64,
    /// Those that join two products of the corpus.
    pub(super) resolved: u64,
    /// Distinct ids that they name.
    pub(super) named_ids: u64,
    /// Those of products of the corpus.
    pub(super) named_products: u64,
}

/// The products that reviews are of.
#[derive(Clone, Copy, Default)]
pub(super) struct ReviewedProducts {
    /// Reviews without a product id.
    pub(super) without_product: u64,
    /// Reviews of products that are not in the corpus.
    pub(super) of_unknown_products: u64,
}

impl CorpusTables<'_> {
    /// Calls `each` with every table whose name begins with `stem`, after comparing its hash.
    fn for_each(
        &mut self,
        stem: &str,
        open: fn(&std::path::Path) -> Result<TableReader, StoreError>,
        mut each: impl FnMut(&TableReader) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        for entry in self.corpus.files.iter().filter(|entry| entry.name.starts_with(stem)) {
            self.hashes.verify(&self.folder, entry)?;
            each(&open(&self.folder.join(&entry.name))?)?;
        }
        Ok(())
    }

    /// The ids of all products.
    pub(super) fn products(&mut self) -> Result<ProductTable, GraphError> {
        let mut products = ProductTableBuilder::default();
        self.for_each("products-", open_corpus_products, |table| {
            for_each_id(table, |id| products.push(id.unwrap_or_default()))
        })?;
        Ok(products.finish())
    }

    /// Counts the associations of the dump, and adds those among products to `edges` on request.
    pub(super) fn stated(
        &mut self,
        products: &ProductTable,
        mut edges: Option<&mut RunSorter<Edge>>,
        mut unknown: RunSorter<UnknownProduct>,
    ) -> Result<StatedAssociations, GraphError> {
        let mut stated = StatedAssociations::default();
        let mut named = vec![false; products.len()];
        let folder = self.folder.clone();
        self.for_each("associations-", open_corpus_associations, |table| {
            for rows in table.read::<CorpusAssociationRows>(ROWS) {
                for association in rows?.iter() {
                    let association =
                        association.map_err(|source| GraphError::Relation { folder: folder.clone(), source })?;
                    stated.found += 1;
                    let other = products.rank(association.other);
                    match other {
                        Some(other) => named[other.index()] = true,
                        None => unknown.push(UnknownProduct::new(association.other))?,
                    }
                    let ends = products.rank(association.product).zip(other);
                    let edge = ends.and_then(|(one, other)| Edge::new(one, other, association.relation, None));
                    let Some(edge) = edge else { continue };
                    stated.resolved += 1;
                    if let Some(edges) = &mut edges {
                        edges.push(edge)?;
                    }
                }
            }
            Ok(())
        })?;
        stated.named_products = named.into_iter().filter(|&named| named).count() as u64;
        stated.named_ids = stated.named_products;
        for id in unknown.finish()? {
            id?;
            stated.named_ids += 1;
        }
        Ok(stated)
    }

    /// Counts the reviews whose product is not in the corpus.
    pub(super) fn reviewed(&mut self, products: &ProductTable) -> Result<ReviewedProducts, GraphError> {
        let mut reviewed = ReviewedProducts::default();
        self.for_each("reviews-", open_corpus_reviews, |table| {
            for_each_id(table, |id| match id {
                None => reviewed.without_product += 1,
                Some(id) => reviewed.of_unknown_products += u64::from(products.rank(id).is_none()),
            })
        })?;
        Ok(reviewed)
    }

    /// Adds the list of every reviewer to `pairs`. The rows of a reviewer follow one another in one table.
    pub(super) fn lists(
        &mut self,
        products: &ProductTable,
        pairs: &mut PairCounter<'_>,
    ) -> Result<ListCounts, GraphError> {
        let mut lists = ListReader { counts: ListCounts::default(), reviewer: None, list: TimedList::default() };
        self.for_each("interactions-", open_corpus_interactions, |table| {
            for rows in table.read::<CorpusInteractionRows>(ROWS) {
                for interaction in rows?.iter() {
                    if lists.reviewer != Some(interaction.reviewer) {
                        lists.end_list(pairs)?;
                        lists.reviewer = Some(interaction.reviewer);
                    }
                    match (products.rank(interaction.product_id), interaction.time) {
                        (None, _) => lists.counts.unknown_products += 1,
                        (_, None) => lists.counts.without_time += 1,
                        (Some(product), Some(time)) => lists.list.push(time, product),
                    }
                }
            }
            lists.end_list(pairs)?;
            Ok(())
        })?;
        Ok(lists.counts)
    }
}

/// Calls `each` with the product id of every row.
fn for_each_id(table: &TableReader, mut each: impl FnMut(Option<&str>)) -> Result<(), GraphError> {
    for batch in table.batches(ROWS, Some(&["product_id"])) {
        let batch = batch?;
        let ids: &StringArray = batch.column(0).as_string();
        (0..ids.len()).for_each(|row| each(ids.is_valid(row).then(|| ids.value(row))));
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
    fn end_list(&mut self, pairs: &mut PairCounter<'_>) -> Result<(), StoreError> {
        let Self { counts, list, .. } = self;
        let length = list.length;
        if length > LONGEST_LIST {
            counts.too_long += 1;
        } else if length > 0 {
            counts.users += 1;
            counts.interactions += length as u64;
            pairs.add_list(&list.products())?;
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
