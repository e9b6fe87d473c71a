//! Messages about ids that lead nowhere: associations and reviews whose product is not in the corpus.
use schemas::{
    Manifest,
    manifest::{CorpusBody, GraphBody},
};

use super::{Run, RunError};
use crate::engine::progress::{count_of, thousands};

impl Run<'_> {
    /// Reports how many product ids of associations and reviews are in the corpus.
    pub(super) fn note_links(&self, corpus: &Manifest<CorpusBody>, graph: &GraphBody) -> Result<(), RunError> {
        let named = count_of(graph.named_ids, "product id", "product ids");
        if graph.named_ids > 0 {
            let found = thousands(graph.named_products);
            let missing = thousands(graph.named_ids - graph.named_products);
            let text = format!("associations name {named}: {found} in the corpus, {missing} not found");
            self.progress.detail("ids", &text)?;
        }
        let (without, unknown) = (graph.reviews_without_product, graph.reviews_of_unknown_products);
        if without + unknown > 0 {
            let (without, unknown) = (thousands(without), thousands(unknown));
            let text = format!("{without} without a product id, {unknown} of products that are not in the corpus");
            self.progress.detail("reviews", &text)?;
        }
        for warning in warnings(corpus, graph) {
            self.progress.warn(&warning)?;
        }
        Ok(())
    }
}

/// What is lost entirely.
fn warnings(corpus: &Manifest<CorpusBody>, graph: &GraphBody) -> Vec<String> {
    let counts = &corpus.body.counts;
    let mut warnings = Vec::new();
    let edges: u64 = graph.edges.values().sum();
    if counts.associations > 0 && edges == 0 {
        warnings.push(format!(
            "none of the {} joins two products of the corpus, so there are no pairs to train on; \
             CORPUS needs the metadata of the products that they name",
            count_of(counts.associations, "association", "associations")
        ));
    }
    let of_associations =
        |field: &&String| ["related", "also_buy", "also_view", "bought_together"].contains(&field.as_str());
    let unread: u64 = counts
        .unread
        .iter()
        .filter(|(field, _)| of_associations(field))
        .map(|(_, reasons)| reasons.values().sum::<u64>())
        .sum();
    if counts.associations == 0 && unread > 0 {
        warnings.push(format!(
            "no association could be read: {} left out, see `unread`",
            count_of(unread, "value was", "values were")
        ));
    }
    let unknown = graph.reviews_without_product + graph.reviews_of_unknown_products;
    if counts.reviews > 0 && counts.products > 0 && unknown == counts.reviews {
        warnings.push(format!(
            "none of the {} is of a product of the corpus; compare the ids in both kinds of files",
            count_of(counts.reviews, "review", "reviews")
        ));
    }
    warnings
}
