//! Which products may be the negative of an edge, and the draw of one.
use std::fmt;

use schemas::Draws;

use super::{categories::Categories, graph::Ends, texts::FirstSegments};
use crate::graph::products::ProductRank;

/// The fewest possible negatives in a category that negatives are drawn from. With fewer, most would be drawn for many
/// anchors, and be substitutes that nobody has associated yet.
pub(super) const FEWEST: usize = 8;

/// The products that negatives are drawn from.
#[derive(Clone, Copy)]
pub(super) struct Negatives<'a> {
    /// Of all products with an association.
    pub(super) texts: &'a FirstSegments,
    /// If they are drawn from categories.
    pub(super) categories: Option<&'a Categories>,
}

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
    pub(super) product: ProductRank,
    pub(super) from: DrawnFrom,
}

/// The negatives of an edge.
#[derive(Clone, Copy)]
pub(super) struct NegativesOf<'a> {
    pub(super) negatives: Negatives<'a>,
    pub(super) ends: Ends,
    /// The neighbors of the anchor by any relation, sorted.
    pub(super) neighbors: &'a [ProductRank],
}

impl NegativesOf<'_> {
    /// Whether a product may be the negative. It has tokens and is neither the anchor nor one of its neighbors. Its
    /// text differs from the texts of both.
    pub(super) fn is_possible(&self, product: ProductRank) -> bool {
        self.is_possible_for_anchor(product) && !self.negatives.texts.are_alike(product, self.ends.neighbor)
    }

    /// As [`NegativesOf::is_possible`], as far as the anchor alone decides.
    fn is_possible_for_anchor(&self, product: ProductRank) -> bool {
        let (texts, anchor) = (self.negatives.texts, self.ends.anchor);
        product != anchor
            && self.neighbors.binary_search(&product).is_err()
            && texts.has_tokens(product)
            && !texts.are_alike(product, anchor)
    }

    /// A random product that may be the negative.
    pub(super) fn draw(&self, draws: &mut Draws) -> Option<Negative> {
        let Negatives { texts, categories } = self.negatives;
        let levels = categories.iter().flat_map(|categories| categories.of(self.ends.anchor)).enumerate();
        for (levels_up, category) in levels {
            if self.has_enough(category) {
                let product = self.draw_of(category.len(), |n| category[n], draws)?;
                return Some(Negative { product, from: DrawnFrom::Category { levels_up } });
            }
        }
        let product = self.draw_of(texts.len(), |n| ProductRank(n as u32), draws)?;
        Some(Negative { product, from: DrawnFrom::All })
    }

    /// The most products with tokens that may not be the negative.
    fn most_impossible(&self) -> usize {
        let (texts, Ends { anchor, neighbor }) = (self.negatives.texts, self.ends);
        self.neighbors.len() + texts.most_alike(anchor) + texts.most_alike(neighbor)
    }

    /// Whether at least [`FEWEST`] of a category's products are possible.
    fn has_enough(&self, category: &[ProductRank]) -> bool {
        // Nearly always the category is so large that nothing needs to be looked up.
        category.len() >= self.most_impossible() + FEWEST
            || category.iter().filter(|&&product| self.is_possible(product)).nth(FEWEST - 1).is_some()
    }

    /// A random one of `count` products that is possible.
    fn draw_of(&self, count: usize, product: impl Fn(usize) -> ProductRank, draws: &mut Draws) -> Option<ProductRank> {
        let possible = |&product: &ProductRank| self.is_possible(product);
        // The first try nearly always succeeds. For an anchor with very many neighbors, list all candidates.
        let drawn = (0..32).map(|_| product(draws.below(count as u64) as usize)).find(possible);
        drawn.or_else(|| {
            let candidates: Vec<ProductRank> = (0..count).map(product).filter(possible).collect();
            (!candidates.is_empty()).then(|| candidates[draws.below(candidates.len() as u64) as usize])
        })
    }

    /// Whether there is one. It is asked for each edge, and a hub has many, so what depends on the anchor alone is
    /// counted once: the caller keeps `of_anchor` for all edges of an anchor.
    pub(super) fn any(&self, of_anchor: &mut Option<usize>) -> bool {
        let texts = self.negatives.texts;
        // Nearly always more products are left than have the text of either.
        if texts.with_tokens() > self.most_impossible() {
            return true;
        }
        let all = || (0..texts.len() as u32).map(ProductRank);
        let of_anchor =
            *of_anchor.get_or_insert_with(|| all().filter(|&product| self.is_possible_for_anchor(product)).count());
        of_anchor > texts.most_alike(self.ends.neighbor)
            || of_anchor > 0 && all().any(|product| self.is_possible(product))
    }
}
