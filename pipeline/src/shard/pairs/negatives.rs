//! Which products may be the negative of an edge, and the draw of one.
use std::fmt;

use schemas::{Draws, TokenId};

use super::{
    categories::Categories,
    graph::{EdgeNumber, Ends, Graph, ProductNumber},
    texts::FirstSegments,
};

/// The fewest possible negatives in a category that negatives are drawn from. With fewer, most would be drawn for many
/// anchors, and be substitutes that nobody has associated yet.
pub(super) const FEWEST: usize = 8;

/// The products that negatives are drawn from.
pub(super) struct Negatives<'a, I> {
    pub(super) graph: &'a Graph,
    pub(super) texts: &'a FirstSegments<I>,
    /// If they are drawn from categories.
    pub(super) categories: Option<&'a Categories>,
}

impl<I> Clone for Negatives<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Negatives<'_, I> {}

/// What a negative was drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DrawnFrom {
    /// A category of the anchor, so many levels above its leaf.
    Category { levels_up: usize },
    /// All products.
    All,
}

impl fmt::Display for DrawnFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Category { levels_up: 0 } => f.write_str("leaf"),
            Self::Category { levels_up } => write!(f, "up_{levels_up}"),
            Self::All => f.write_str("random"),
        }
    }
}

/// A negative that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negative {
    pub(super) product: ProductNumber,
    pub(super) from: DrawnFrom,
}

impl<I: TokenId> Negatives<'_, I> {
    /// Whether a product may be the negative. It has tokens and is neither the anchor nor one of its neighbors. Its
    /// text differs from the texts of both.
    pub(super) fn is_possible(&self, product: ProductNumber, Ends { anchor, neighbor }: Ends) -> bool {
        let Self { graph, texts, .. } = self;
        product != anchor
            && graph.neighbors(anchor).binary_search(&product).is_err()
            && !texts.get(product).is_empty()
            && !texts.are_alike(product, anchor)
            && !texts.are_alike(product, neighbor)
    }

    /// A random product that may be the negative.
    pub(super) fn draw(&self, edge: EdgeNumber, draw: u32, seed: u64) -> Option<Negative> {
        let ends = self.graph.directed(edge, seed);
        let mut draws = self.graph.draws(edge, seed, "negative", draw);
        let levels = self.categories.iter().flat_map(|categories| categories.of(ends.anchor)).enumerate();
        let impossible = self.categories.map_or(0, |_| self.most_impossible(ends));
        for (levels_up, category) in levels {
            if self.has_enough(category, impossible, ends) {
                let product = self.draw_of(category.len(), |n| category[n], ends, &mut draws)?;
                return Some(Negative { product, from: DrawnFrom::Category { levels_up } });
            }
        }
        let all = self.graph.products.len();
        let product = self.draw_of(all, |n| ProductNumber(n as u32), ends, &mut draws)?;
        Some(Negative { product, from: DrawnFrom::All })
    }

    /// The most products with tokens that may not be the negative.
    fn most_impossible(&self, Ends { anchor, neighbor }: Ends) -> usize {
        let Self { graph, texts, .. } = self;
        graph.neighbors(anchor).len() + texts.alike(anchor).count() + texts.alike(neighbor).count()
    }

    /// Whether at least [`FEWEST`] of a category's products are possible, of which at most `impossible` are not.
    fn has_enough(&self, category: &[ProductNumber], impossible: usize, ends: Ends) -> bool {
        // Nearly always the category is so large that nothing needs to be looked up.
        category.len() >= impossible + FEWEST
            || category.iter().filter(|&&product| self.is_possible(product, ends)).nth(FEWEST - 1).is_some()
    }

    /// A random one of `count` products that is possible.
    fn draw_of(
        &self,
        count: usize,
        product: impl Fn(usize) -> ProductNumber,
        ends: Ends,
        draws: &mut Draws,
    ) -> Option<ProductNumber> {
        let possible = |&product: &ProductNumber| self.is_possible(product, ends);
        // The first try nearly always succeeds. For an anchor with very many neighbors, list all candidates.
        let drawn = (0..32).map(|_| product(draws.below(count as u64) as usize)).find(possible);
        drawn.or_else(|| {
            let candidates: Vec<ProductNumber> = (0..count).map(product).filter(possible).collect();
            (!candidates.is_empty()).then(|| candidates[draws.below(candidates.len() as u64) as usize])
        })
    }
}

/// Whether edges have a possible negative. It is asked for each edge, and a hub has many, so what
/// depends on the anchor alone is counted once.
pub(super) struct PossibleNegatives<'a, I> {
    negatives: Negatives<'a, I>,
    with_tokens: usize,
    /// The products that are possible as far as the anchor alone decides.
    of_anchor: Vec<Option<usize>>,
}

impl<'a, I: TokenId> PossibleNegatives<'a, I> {
    pub(super) fn new(negatives: Negatives<'a, I>) -> Self {
        let Negatives { graph, texts, .. } = negatives;
        let with_tokens = graph.product_numbers().filter(|&product| !texts.get(product).is_empty()).count();
        Self { negatives, with_tokens, of_anchor: vec![None; graph.products.len()] }
    }

    pub(super) fn any(&mut self, ends: Ends) -> bool {
        let Self { negatives, with_tokens, of_anchor } = self;
        let Negatives { graph, texts, .. } = *negatives;
        let of_anchor = *of_anchor[ends.anchor.index()].get_or_insert_with(|| {
            let mut excluded: Vec<ProductNumber> = texts.alike(ends.anchor).collect();
            excluded.extend(graph.neighbors(ends.anchor).iter().filter(|&&product| !texts.get(product).is_empty()));
            excluded.sort_unstable();
            excluded.dedup();
            *with_tokens - excluded.len()
        });
        // Nearly always more products are left than have the neighbor's text.
        of_anchor > texts.alike(ends.neighbor).count()
            || of_anchor > 0 && graph.product_numbers().any(|product| negatives.is_possible(product, ends))
    }
}
