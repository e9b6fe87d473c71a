//! Which associations become rows.
use schemas::{Counts, TokenId, manifest::ShardOptions};

use super::{
    graph::{EdgeNumber, Ends},
    negatives::{Negatives, PossibleNegatives},
};

/// A row of the output: an edge, and the number of its draw.
pub(super) struct Row {
    pub(super) key: u64,
    pub(super) edge: EdgeNumber,
    pub(super) draw: u32,
}

/// The rows to draw, and the number of dropped ones by reason.
///
/// Rows that cannot be drawn are dropped first, so that they do not use up the quota of a hub.
pub(super) fn choose<I: TokenId>(negatives: Negatives<'_, I>, seed: u64, options: &ShardOptions) -> (Vec<Row>, Counts) {
    let Negatives { graph, texts, .. } = negatives;
    let mut order: Vec<(u64, EdgeNumber)> =
        graph.edge_numbers().map(|edge| (graph.draws(edge, seed, "hub", 0).next_u64(), edge)).collect();
    order.sort_unstable();
    let mut possible = PossibleNegatives::new(negatives);
    let mut taken = vec![0u64; graph.products.len()];
    let (mut rows, mut dropped) = (Vec::new(), Counts::new());
    for (_, edge) in order {
        let Ends { anchor, neighbor } = graph.directed(edge, seed);
        let both = [anchor, neighbor];
        let reason = if both.iter().any(|&product| texts.get(product).is_empty()) {
            "without_tokens"
        } else if texts.get(anchor) == texts.get(neighbor) {
            "same_text"
        } else if !possible.any(Ends { anchor, neighbor }) {
            "no_negative"
        } else if both.iter().any(|product| taken[product.index()] >= options.max_per_product) {
            "hub"
        } else {
            both.iter().for_each(|product| taken[product.index()] += 1);
            let draws = 0..options.draws as u32;
            rows.extend(draws.map(|draw| Row {
                key: graph.draws(edge, seed, "pair order", draw).next_u64(),
                edge,
                draw,
            }));
            continue;
        };
        *dropped.entry(reason.to_owned()).or_default() += options.draws;
    }
    (rows, dropped)
}
