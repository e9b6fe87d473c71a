//! Rows of pairs in memory, and which of their products the rows say are related.
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use schemas::{DocumentId, PairProduct, TextId};

use crate::{
    error::DataError,
    order::Block,
    segment::Flat,
    shards::{Chunk, Shards},
};

/// What identifies a product, in addition to its tokens.
#[derive(Clone, Copy, Debug)]
struct ProductName {
    product: DocumentId,
    text_id: TextId,
}

/// One of the three products of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairSide<'a> {
    name: ProductName,
    pub(crate) input_ids: &'a [u32],
}

impl<'a> PairSide<'a> {
    pub(crate) fn of(product: PairProduct<'a, u32>) -> Self {
        let name = ProductName { product: DocumentId::of_product(product.product), text_id: product.text_id };
        Self { name, input_ids: product.input_ids }
    }

    /// Two products count as the same if they share one of these.
    fn keys(self) -> [Key<'a>; 3] {
        [Key::Product(self.name.product), Key::Text(self.name.text_id), Key::Tokens(self.input_ids)]
    }
}

/// What two sides with the same product have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Product(DocumentId),
    Text(TextId),
    Tokens(&'a [u32]),
}

/// Pairs in flat arrays: anchor, neighbor, negative of the first pair, and so on.
#[derive(Debug, Default)]
pub(crate) struct PairBlock {
    input_ids: Flat<u32>,
    names: Vec<ProductName>,
}

impl PairBlock {
    pub(crate) fn push(&mut self, sides: [PairSide<'_>; 3]) {
        for side in sides {
            self.input_ids.push(side.input_ids);
            self.names.push(side.name);
        }
    }

    pub(crate) fn get(&self, row: usize) -> [PairSide<'_>; 3] {
        [0, 1, 2].map(|side| self.side(3 * row + side))
    }

    /// The sides of all rows.
    pub(crate) fn sides(&self) -> impl Iterator<Item = PairSide<'_>> {
        (0..self.names.len()).map(|side| self.side(side))
    }

    fn side(&self, side: usize) -> PairSide<'_> {
        PairSide { name: self.names[side], input_ids: self.input_ids.get(side) }
    }
}

impl Block for PairBlock {
    fn load(&mut self, shards: &Shards, chunk: Chunk) -> Result<(), DataError> {
        shards.each_pair(chunk, |_, sides, is_trained| {
            if is_trained {
                self.push(sides.map(PairSide::of));
            }
        })
    }

    fn rows(&self) -> usize {
        self.names.len() / 3
    }

    fn tokens(&self, _: usize) -> usize {
        0
    }
}

/// What some rows of pairs say about who is a neighbor of whom. The graph itself is not known here.
#[derive(Debug)]
pub(crate) struct KnownNeighbors<'a> {
    block: &'a PairBlock,
    /// For each key of an anchor or neighbor, the sides that are associated with that product.
    associated: HashMap<Key<'a>, Vec<PairSide<'a>>>,
}

impl<'a> KnownNeighbors<'a> {
    pub(crate) fn of(block: &'a PairBlock) -> Self {
        let mut associated: HashMap<Key<'a>, Vec<PairSide<'a>>> = HashMap::new();
        for [anchor, neighbor, _] in (0..block.rows()).map(|row| block.get(row)) {
            for (side, other) in [(anchor, neighbor), (neighbor, anchor)] {
                side.keys().into_iter().for_each(|key| associated.entry(key).or_default().push(other));
            }
        }
        Self { block, associated }
    }

    /// A product and those that a row associates with it.
    pub(crate) fn related(&self, anchor: PairSide<'a>) -> Related<'a> {
        let associated = anchor.keys().into_iter().filter_map(|key| self.associated.get(&key)).flatten();
        Related::of(associated.copied().chain([anchor]))
    }

    /// The rows of `candidates` whose neighbor may be a negative of the anchor of `row`, since it
    /// is not related to it.
    pub(crate) fn unrelated(&self, row: usize, candidates: Range<usize>) -> Vec<usize> {
        let related = self.related(self.block.get(row)[0]);
        candidates.filter(|&other| !related.contains(self.block.get(other)[1])).collect()
    }
}

/// Some products. Two are the same if their id, text id or tokens are.
#[derive(Debug)]
pub(crate) struct Related<'a> {
    keys: HashSet<Key<'a>>,
}

impl<'a> Related<'a> {
    pub(crate) fn of(sides: impl Iterator<Item = PairSide<'a>>) -> Self {
        Self { keys: sides.flat_map(PairSide::keys).collect() }
    }

    pub(crate) fn contains(&self, side: PairSide<'_>) -> bool {
        side.keys().iter().any(|key| self.keys.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of (product, text, tokens).
    fn block(rows: &[[(&str, u64, u32); 3]]) -> PairBlock {
        let mut block = PairBlock::default();
        for row in rows {
            let ids = row.map(|(.., token)| [token]);
            block.push([0, 1, 2].map(|side| {
                let (product, text, _) = row[side];
                PairSide::of(PairProduct { product, text_id: TextId::new(text), input_ids: &ids[side] })
            }));
        }
        block
    }

    #[test]
    fn related_products_are_never_negatives() {
        let other = ("Z", 99, 99);
        let rows = [
            [("A", 1, 1), ("B", 2, 2), other],
            // Unrelated to A and to B.
            [("C", 3, 3), ("D", 4, 4), other],
            // A again, with another neighbor; that neighbor's text is D's.
            [("A", 1, 1), ("E", 4, 5), other],
            // A on the other side.
            [("F", 6, 6), ("A", 1, 1), other],
            // F is then a neighbor of A.
            [("G", 7, 7), ("F", 6, 6), other],
            // The tokens of B under another id.
            [("H", 8, 8), ("I", 9, 2), other],
            // A as the negative shows that it is not a neighbor of J.
            [("J", 10, 10), ("K", 11, 11), ("A", 1, 1)],
        ];
        let block = block(&rows);
        let known = KnownNeighbors::of(&block);
        // Of A: not B, D (the text of E), E, A itself, F, I (the tokens of B).
        assert_eq!(known.unrelated(0, 0..7), [6]);
        assert_eq!(known.unrelated(2, 0..7), [6]);
        // Of C: all but its own D, and E with the text of D.
        assert_eq!(known.unrelated(1, 0..7), [0, 3, 4, 5, 6]);
        assert_eq!(known.unrelated(1, 1..4), [3]);
        // Of J: all but K. A may be a negative.
        assert_eq!(known.unrelated(6, 0..7), [0, 1, 2, 3, 4, 5]);
    }
}
