//! Edges on their way to the table of the graph.
use std::path::Path;

use schemas::{
    FileEntry, GraphEdge, Relation, StoreError, create_graph_edges,
    manifest::{GraphBody, WeightRange},
};

use super::products::{ProductRank, ProductTable};
use crate::engine::runs::{FixedRecord, number};

/// An undirected edge. Sorted by its ends, then its relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) a: ProductRank,
    pub(crate) b: ProductRank,
    pub(crate) relation: Relation,
    /// Bits of the weight; those of the infinity where there is none.
    weight: u32,
}

const NO_WEIGHT: u32 = f32::NEG_INFINITY.to_bits();

impl Edge {
    /// `None` for a loop. A weight is finite.
    pub(crate) fn new(one: ProductRank, other: ProductRank, relation: Relation, weight: Option<f32>) -> Option<Self> {
        let weight = weight.map_or(NO_WEIGHT, f32::to_bits);
        (one != other).then(|| Self { a: one.min(other), b: one.max(other), relation, weight })
    }

    pub(crate) fn weight(self) -> Option<f32> {
        (self.weight != NO_WEIGHT).then(|| f32::from_bits(self.weight))
    }
}

#[cfg(test)]
impl Edge {
    /// The ranks of the ends, and the bits of the weight.
    pub(crate) fn numbers(self) -> ((u32, u32), u32) {
        ((self.a.0, self.b.0), self.weight)
    }
}

impl FixedRecord for Edge {
    const BYTES: usize = 13;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.a.0.to_le_bytes());
        into.extend(self.b.0.to_le_bytes());
        into.push(self.relation as u8);
        into.extend(self.weight.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self {
            a: ProductRank(number(&from[0..4])),
            b: ProductRank(number(&from[4..8])),
            relation: Relation::ALL[usize::from(from[8])],
            weight: number(&from[9..13]),
        }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        let same = (self.a, self.b, self.relation) == (other.a, other.b, other.relation);
        if same {
            let larger = f32::from_bits(self.weight).max(f32::from_bits(other.weight));
            self.weight = larger.to_bits();
        }
        same
    }
}

/// The edges of one relation.
#[derive(Clone, Copy, Default)]
struct RelationCounts {
    edges: u64,
    weights: Option<WeightRange>,
}

impl RelationCounts {
    fn add(&mut self, weight: Option<f32>) {
        self.edges += 1;
        if let Some(weight) = weight {
            let range = self.weights.get_or_insert(WeightRange { lowest: weight, highest: weight });
            range.lowest = range.lowest.min(weight);
            range.highest = range.highest.max(weight);
        }
    }
}

/// Writes the table of the graph from sorted edges, and counts them and their products into `body`.
pub(crate) fn write(
    path: &Path,
    edges: impl Iterator<Item = Result<Edge, StoreError>>,
    products: &ProductTable,
    body: &mut GraphBody,
) -> Result<FileEntry, StoreError> {
    let mut table = create_graph_edges(path)?;
    let mut linked = vec![false; products.len()];
    let mut counts = [RelationCounts::default(); Relation::ALL.len()];
    let (mut product_a, mut product_b, mut last_a) = (String::new(), String::new(), None);
    for edge in edges {
        let edge = edge?;
        for end in [edge.a, edge.b] {
            linked[end.index()] = true;
        }
        counts[edge.relation as usize].add(edge.weight());
        if last_a.replace(edge.a) != Some(edge.a) {
            product_a.clear();
            products.push_id(edge.a, &mut product_a)?;
        }
        product_b.clear();
        products.push_id(edge.b, &mut product_b)?;
        let (product_a, product_b) = (product_a.as_str(), product_b.as_str());
        table.push(&GraphEdge { product_a, product_b, relation: edge.relation, weight: edge.weight() })?;
    }
    for (relation, counts) in Relation::ALL.into_iter().zip(counts).filter(|(_, counts)| counts.edges > 0) {
        body.edges.insert(relation.to_string(), counts.edges);
        if let Some(weights) = counts.weights {
            body.weights.insert(relation.to_string(), weights);
        }
    }
    body.products = linked.into_iter().filter(|&linked| linked).count() as u64;
    let mut table = table.finish()?;
    table.note_made(body)?;
    table.commit()
}
