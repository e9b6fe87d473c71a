//! Messages about associations: where they come from, and ids that lead nowhere.
use schemas::{
    Manifest,
    manifest::{CorpusBody, GraphBody},
};

use super::{Run, RunError};
use crate::engine::progress::{Facts, count_of, thousands};

impl Run<'_> {
    /// Reports the relations, and what they were derived from.
    pub(super) fn note_sources(&self, graph: &GraphBody) -> Result<(), RunError> {
        let relations = graph.edges.iter().map(|(relation, &edges)| {
            let weights = graph.weights.get(relation);
            let weights =
                weights.map_or(String::new(), |range| format!(" (weight {:.4} to {:.4})", range.lowest, range.highest));
            format!("{relation} {}{weights}", thousands(edges))
        });
        if !graph.edges.is_empty() {
            let facts = Facts::new("relations", relations.collect::<Vec<_>>().join(", ")).with_counts(&graph.edges);
            self.progress.detail("relations", &facts)?;
        }
        if let Some(lists) = graph.lists {
            let users = count_of(lists.users, "reviewer", "reviewers");
            let (interactions, unknown) = (thousands(lists.interactions), thousands(lists.unknown_products));
            let mut text =
                format!("{interactions} interactions of {users}; {unknown} of products that are not in the corpus");
            for (count, what) in [(lists.without_time, "without a time"), (lists.too_long, "lists too long")] {
                text += &if count > 0 { format!(", {} {what}", thousands(count)) } else { String::new() };
            }
            let facts = Facts::new("derived_associations", text)
                .with("reviewers", lists.users)
                .with("interactions", lists.interactions)
                .with("interactions_of_unknown_products", lists.unknown_products)
                .with("without_time", lists.without_time)
                .with("too_long", lists.too_long);
            self.progress.detail("derived", &facts)?;
        }
        if let Some(file) = &graph.file {
            let (rows, ids, unknown) = (thousands(file.rows), thousands(file.ids), thousands(file.unknown_products));
            let mut text =
                format!("{rows} rows of {}; {unknown} of {ids} product ids are not in the corpus", file.holds);
            for (count, what) in [(file.unreadable, "rows unreadable"), (file.too_long, "orders too long")] {
                text += &if count > 0 { format!(", {} {what}", thousands(count)) } else { String::new() };
            }
            let facts = Facts::new("given_associations", text)
                .with("holds", file.holds.to_string())
                .with("rows", file.rows)
                .with("product_ids", file.ids)
                .with("unknown_product_ids", file.unknown_products)
                .with("unreadable", file.unreadable)
                .with("too_long", file.too_long);
            self.progress.detail("file", &facts)?;
        }
        Ok(())
    }

    /// Reports how many product ids of associations and reviews are in the corpus.
    pub(super) fn note_links(&self, corpus: &Manifest<CorpusBody>, graph: &GraphBody) -> Result<(), RunError> {
        let named = count_of(graph.named_ids, "product id", "product ids");
        if graph.named_ids > 0 {
            let found = thousands(graph.named_products);
            let missing = thousands(graph.named_ids - graph.named_products);
            let text = format!("associations name {named}: {found} in the corpus, {missing} not found");
            let facts = Facts::new("associated_ids", text)
                .with("product_ids", graph.named_ids)
                .with("in_corpus", graph.named_products);
            self.progress.detail("ids", &facts)?;
        }
        let (without, unknown) = (graph.reviews_without_product, graph.reviews_of_unknown_products);
        if without + unknown > 0 {
            let text = format!(
                "{} without a product id, {} of products that are not in the corpus",
                thousands(without),
                thousands(unknown)
            );
            let facts = Facts::new("unlinked_reviews", text)
                .with("without_product_id", without)
                .with("of_unknown_products", unknown);
            self.progress.detail("reviews", &facts)?;
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
    if edges == 0 && counts.products > 0 {
        let why = match (&graph.file, graph.lists) {
            (Some(file), _) if 2 * file.unknown_products < file.ids => format!(
                "no two products are together in two of the {} of the file; if its rows are pairs, write \
                 `product_a,product_b,relation` above them, and a relation in each",
                count_of(file.rows, "row", "rows")
            ),
            (Some(file), _) => format!(
                "none of the {} of the file joins two products of the corpus; compare their ids",
                count_of(file.rows, "row", "rows")
            ),
            (None, Some(lists)) if lists.interactions > 0 => "no two products have two reviewers in common; \
                 `--associations` reads a file of your own"
                .to_owned(),
            (None, Some(_)) => "no review of a product of the corpus has a reviewer and a time; \
                 `--associations` reads a file of your own"
                .to_owned(),
            (None, None) if counts.associations > 0 => format!(
                "none of the {} joins two products of the corpus; the corpus needs the metadata of the products that they name",
                count_of(counts.associations, "association", "associations")
            ),
            (None, None) if !corpus.body.options.interactions => "the products name no associations, and there are no \
                 interactions to derive some from; omit `--no-interactions`, or name a file with `--associations`"
                .to_owned(),
            (None, None) => {
                "the products name no associations; try `--association-source reviews`, or name a file with \
                 `--associations`"
                    .to_owned()
            }
        };
        warnings.push(format!("there are no pairs to train on: {why}"));
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
