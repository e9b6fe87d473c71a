//! Which associations become rows, and the rows in their order.
//!
//! A row is drawn in three passes over edges that are sorted on disk:
//!
//! 1. by anchor, next to the neighbors of each: edges that can have no row are dropped. They do not use up the quota of
//!    a hub;
//! 2. in a keyed order: edges whose hub has its quota are dropped;
//! 3. by anchor again: negatives are drawn.
use schemas::{
    Counts, Relation, StoreError,
    manifest::{self, ShardOptions},
};

use super::{
    graph::{DirectedEdge, EdgeNumber, Ends, Graph, SortSpace},
    negatives::{Negative, Negatives, NegativesOf},
    texts::Place,
};
use crate::{
    engine::runs::{FixedRecord, SortedRecords, long_number, number},
    graph::{edges::Edge, products::ProductRank},
};

/// An edge in the order in which edges use up the quota of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HubEdge {
    key: u64,
    number: EdgeNumber,
    directed: DirectedEdge,
}

impl FixedRecord for HubEdge {
    const BYTES: usize = 8 + DirectedEdge::BYTES;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.key.to_le_bytes());
        self.directed.write(into);
    }

    fn read(from: &[u8]) -> Self {
        let directed = DirectedEdge::read(&from[8..]);
        Self { key: long_number(&from[..8]), number: directed.number, directed }
    }

    fn absorb(&mut self, _: &Self) -> bool {
        false
    }
}

/// A row: an edge, the number of its draw, and its negative. Sorted in the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DrawnRow {
    key: u64,
    number: EdgeNumber,
    draw: u32,
    pub(super) directed: DirectedEdge,
    pub(super) negative: ProductRank,
}

impl FixedRecord for DrawnRow {
    const BYTES: usize = 8 + 4 + DirectedEdge::BYTES + 4;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.key.to_le_bytes());
        into.extend(self.draw.to_le_bytes());
        self.directed.write(into);
        self.negative.write(into);
    }

    fn read(from: &[u8]) -> Self {
        let directed = DirectedEdge::read(&from[12..]);
        Self {
            key: long_number(&from[..8]),
            number: directed.number,
            draw: number(&from[8..12]),
            directed,
            negative: ProductRank::read(&from[12 + DirectedEdge::BYTES..]),
        }
    }

    fn absorb(&mut self, _: &Self) -> bool {
        false
    }
}

/// The rows of a graph.
pub(super) struct DrawnRows {
    pub(super) rows: SortedRecords<DrawnRow>,
    /// Rows left out, by reason.
    pub(super) dropped: Counts,
    /// Rows by what their negative was drawn from.
    pub(super) drawn_from: Counts,
}

/// Draws the rows of a graph.
pub(super) fn draw(
    graph: &Graph,
    negatives: Negatives<'_>,
    seed: u64,
    options: &ShardOptions,
    space: SortSpace<'_>,
) -> Result<DrawnRows, StoreError> {
    let mut dropped = Counts::new();
    let mut leave_out = |reason: &str| *dropped.entry(reason.to_owned()).or_default() += options.draws;
    let possible = possible_edges(graph, negatives, seed, space, &mut leave_out)?;
    let products = negatives.texts.len();
    let kept = bounded_hubs(possible, products, options.max_per_product, space, &mut leave_out)?;
    let mut drawn_from = Counts::new();
    let rows = with_negatives(graph, kept, negatives, seed, options, space, &mut drawn_from)?;
    Ok(DrawnRows { rows, dropped, drawn_from })
}

/// The associations whose products have different tokens, and a negative. They are in the order in which a hub keeps
/// them.
fn possible_edges(
    graph: &Graph,
    negatives: Negatives<'_>,
    seed: u64,
    space: SortSpace<'_>,
    leave_out: &mut impl FnMut(&str),
) -> Result<SortedRecords<HubEdge>, StoreError> {
    let mut by_anchor = space.sorter();
    for edge in graph.edges()? {
        let (number, edge) = edge?;
        by_anchor.push(graph.directed(number, edge, seed)?)?;
    }
    let texts = negatives.texts;
    let mut neighbors = graph.neighbors()?;
    let (mut anchor, mut of_anchor) = (None, None);
    let mut by_hub_key = space.sorter();
    for directed in by_anchor.finish()? {
        let directed: DirectedEdge = directed?;
        if anchor != Some(directed.anchor) {
            (anchor, of_anchor) = (Some(directed.anchor), None);
        }
        let ends = directed.ends();
        let of = NegativesOf { negatives, ends, neighbors: neighbors.of(directed.anchor)? };
        if [ends.anchor, ends.neighbor].iter().any(|&product| !texts.has_tokens(product)) {
            leave_out("without_tokens");
        } else if texts.have_same_ids(ends.anchor, ends.neighbor) {
            leave_out("same_text");
        } else if !of.any(&mut of_anchor) {
            leave_out("no_negative");
        } else {
            let key = graph.draws(directed.edge, seed, "hub", 0)?.next_u64();
            by_hub_key.push(HubEdge { key, number: directed.number, directed })?;
        }
    }
    by_hub_key.finish()
}

/// The first associations of each of so many products, at most `most` of each.
fn bounded_hubs(
    edges: SortedRecords<HubEdge>,
    products: usize,
    most: u64,
    space: SortSpace<'_>,
    leave_out: &mut impl FnMut(&str),
) -> Result<SortedRecords<DirectedEdge>, StoreError> {
    let mut taken = vec![0u32; products];
    let mut kept = space.sorter();
    for edge in edges {
        let HubEdge { directed, .. } = edge?;
        let Ends { anchor, neighbor } = directed.ends();
        let both = [anchor, neighbor];
        if both.iter().any(|product| u64::from(taken[product.index()]) >= most) {
            leave_out("hub");
        } else {
            both.iter().for_each(|product| taken[product.index()] += 1);
            kept.push(directed)?;
        }
    }
    kept.finish()
}

/// Rows with their negatives, in the order in which they are stored.
fn with_negatives(
    graph: &Graph,
    edges: SortedRecords<DirectedEdge>,
    negatives: Negatives<'_>,
    seed: u64,
    options: &ShardOptions,
    space: SortSpace<'_>,
    drawn_from: &mut Counts,
) -> Result<SortedRecords<DrawnRow>, StoreError> {
    let mut neighbors = graph.neighbors()?;
    let mut rows = space.sorter();
    for directed in edges {
        let directed: DirectedEdge = directed?;
        let of = NegativesOf { negatives, ends: directed.ends(), neighbors: neighbors.of(directed.anchor)? };
        for draw in 0..options.draws as u32 {
            let Some(Negative { product: negative, from }) =
                of.draw(&mut graph.draws(directed.edge, seed, "negative", draw)?)
            else {
                continue;
            };
            if options.negatives == manifest::Negatives::Category {
                *drawn_from.entry(from.to_string()).or_default() += 1;
            }
            let key = graph.draws(directed.edge, seed, "pair order", draw)?.next_u64();
            rows.push(DrawnRow { key, number: directed.number, draw, directed, negative })?;
        }
    }
    rows.finish()
}

/// A row as it is stored until the pairs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlacedRow {
    edge: Edge,
    pub(super) anchor: Place,
    pub(super) neighbor: Place,
    pub(super) negative: Place,
}

impl PlacedRow {
    pub(super) fn new(row: DrawnRow, place: impl Fn(ProductRank) -> Place) -> Self {
        let Ends { anchor, neighbor } = row.directed.ends();
        let [anchor, neighbor, negative] = [anchor, neighbor, row.negative].map(place);
        Self { edge: row.directed.edge, anchor, neighbor, negative }
    }

    pub(super) fn relation(&self) -> Relation {
        self.edge.relation
    }

    pub(super) fn weight(&self) -> Option<f32> {
        self.edge.weight()
    }

    pub(super) fn places(&self) -> [Place; 3] {
        [self.anchor, self.neighbor, self.negative]
    }
}

const PLACE: usize = 8 + 4;

impl FixedRecord for PlacedRow {
    const BYTES: usize = Edge::BYTES + 3 * PLACE;

    fn write(&self, into: &mut Vec<u8>) {
        self.edge.write(into);
        for Place { start, length } in self.places() {
            into.extend(start.to_le_bytes());
            into.extend(length.to_le_bytes());
        }
    }

    fn read(from: &[u8]) -> Self {
        let place = |n: usize| {
            let bytes = &from[Edge::BYTES + n * PLACE..][..PLACE];
            Place { start: long_number(&bytes[..8]), length: number(&bytes[8..]) }
        };
        Self { edge: Edge::read(from), anchor: place(0), neighbor: place(1), negative: place(2) }
    }

    fn absorb(&mut self, _: &Self) -> bool {
        false
    }
}
