//! The graph with ranks for its products, on disk.
use std::{fmt::Write, path::Path};

use schemas::{Draws, GraphEdgeRows, Manifest, Relation, StoreError, manifest::GraphBody, open_graph_edges};

use crate::{
    engine::{
        hashes::Hashes,
        runs::{FixedRecord, RunSorter, number},
        sections::{RecordFile, RecordWriter, SectionRecords},
    },
    graph::{
        edges::Edge,
        products::{ProductNumbers, ProductRank, ProductTable},
    },
    shard::ShardError,
};

/// Where temporary files are created, and how much memory a sorter has.
#[derive(Clone, Copy)]
pub(super) struct SortSpace<'a> {
    /// Temporary files are created next to this one.
    pub(super) next_to: &'a Path,
    /// In bytes.
    pub(super) memory: usize,
}

impl SortSpace<'_> {
    pub(super) fn sorter<R: FixedRecord>(self) -> RunSorter<R> {
        RunSorter::new(self.next_to, self.memory)
    }
}

/// An edge of the graph: its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EdgeNumber(pub(super) u32);

/// The ends of an edge in the direction that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) anchor: ProductRank,
    pub(super) neighbor: ProductRank,
}

/// An edge with its direction. Those of an anchor stand in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DirectedEdge {
    pub(super) anchor: ProductRank,
    pub(super) number: EdgeNumber,
    pub(super) edge: Edge,
}

impl DirectedEdge {
    pub(super) fn ends(self) -> Ends {
        let Edge { a, b, .. } = self.edge;
        Ends { anchor: self.anchor, neighbor: if a == self.anchor { b } else { a } }
    }
}

impl FixedRecord for DirectedEdge {
    const BYTES: usize = 4 + 4 + Edge::BYTES;

    fn write(&self, into: &mut Vec<u8>) {
        self.anchor.write(into);
        into.extend(self.number.0.to_le_bytes());
        self.edge.write(into);
    }

    fn read(from: &[u8]) -> Self {
        let number = EdgeNumber(number(&from[4..8]));
        Self { anchor: ProductRank::read(&from[0..4]), number, edge: Edge::read(&from[8..]) }
    }

    fn absorb(&mut self, _: &Self) -> bool {
        false
    }
}

/// A product is associated with another, by any relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Neighbor {
    of: ProductRank,
    other: ProductRank,
}

impl FixedRecord for Neighbor {
    const BYTES: usize = 8;

    fn write(&self, into: &mut Vec<u8>) {
        self.of.write(into);
        self.other.write(into);
    }

    fn read(from: &[u8]) -> Self {
        Self { of: ProductRank::read(&from[0..4]), other: ProductRank::read(&from[4..8]) }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

/// The graph. Ranks are those among the products that have an association.
pub(super) struct Graph {
    pub(super) products: ProductTable,
    /// In the order of the table.
    edges: RecordFile<Edge>,
    /// Sorted, each once.
    neighbors: RecordFile<Neighbor>,
}

impl Graph {
    pub(super) fn load(
        out: &Path,
        manifest: &Manifest<GraphBody>,
        space: SortSpace<'_>,
        hashes: &mut Hashes,
    ) -> Result<Self, ShardError> {
        let folder = out.join("graph");
        let mut builder = GraphBuilder::new(space)?;
        for entry in &manifest.files {
            hashes.verify(&folder, entry)?;
            let path = folder.join(&entry.name);
            for rows in open_graph_edges(&path)?.read::<GraphEdgeRows>(1 << 14) {
                for edge in rows?.iter() {
                    let edge = edge.map_err(|source| ShardError::Edge { path: path.clone(), source })?;
                    builder.push([edge.product_a, edge.product_b], edge.relation, edge.weight)?;
                }
            }
        }
        Ok(builder.finish()?)
    }

    #[cfg(test)]
    pub(super) fn product_ranks(&self) -> impl Iterator<Item = ProductRank> + use<> {
        (0..self.products.len() as u32).map(ProductRank)
    }

    /// The edges in the order of the table.
    pub(super) fn edges(&self) -> Result<impl Iterator<Item = Result<(EdgeNumber, Edge), StoreError>>, StoreError> {
        let numbers = (0..).map(EdgeNumber);
        Ok(numbers.zip(self.edges.read()?).map(|(number, edge)| Ok((number, edge?))))
    }

    pub(super) fn neighbors(&self) -> Result<Neighbors, StoreError> {
        let mut records = self.neighbors.read()?;
        let next = records.next().transpose()?;
        Ok(Neighbors { records, next, of: None, list: Vec::new() })
    }

    /// The draws of an edge: keyed by its products and relation, not by its number.
    pub(super) fn draws(&self, edge: Edge, seed: u64, purpose: &str, draw: u32) -> Result<Draws, StoreError> {
        let mut key = String::with_capacity(64);
        for product in [edge.a, edge.b] {
            self.products.push_id(product, &mut key)?;
            key.push('\0');
        }
        // Writing to a text does not fail.
        let _ = write!(key, "{}\0{draw}", edge.relation);
        Ok(Draws::new(seed, purpose, key.as_bytes()))
    }

    pub(super) fn directed(&self, number: EdgeNumber, edge: Edge, seed: u64) -> Result<DirectedEdge, StoreError> {
        let anchor = if self.draws(edge, seed, "direction", 0)?.below(2) == 0 { edge.a } else { edge.b };
        Ok(DirectedEdge { anchor, number, edge })
    }
}

/// Collects edges in the order of the table.
pub(super) struct GraphBuilder<'a> {
    space: SortSpace<'a>,
    numbers: ProductNumbers,
    /// With numbers instead of ranks.
    edges: RecordWriter<Edge>,
}

impl<'a> GraphBuilder<'a> {
    pub(super) fn new(space: SortSpace<'a>) -> Result<Self, StoreError> {
        Ok(Self { space, numbers: ProductNumbers::default(), edges: RecordWriter::new(space.next_to)? })
    }

    pub(super) fn push(&mut self, ends: [&str; 2], relation: Relation, weight: Option<f32>) -> Result<(), StoreError> {
        let [one, other] = ends.map(|id| ProductRank(self.numbers.number(id)));
        Edge::new(one, other, relation, weight).map_or(Ok(()), |edge| self.edges.push(edge))
    }

    pub(super) fn finish(self) -> Result<Graph, StoreError> {
        let Self { space, numbers, edges } = self;
        let (products, ranks) = numbers.finish(space.next_to)?;
        let mut ranked = RecordWriter::new(space.next_to)?;
        let mut both = space.sorter();
        for edge in edges.finish()?.read()? {
            let edge = edge?;
            let (one, other) = (ranks[edge.a.index()], ranks[edge.b.index()]);
            let Some(edge) = Edge::new(one, other, edge.relation, edge.weight()) else { continue };
            ranked.push(edge)?;
            both.push(Neighbor { of: one, other })?;
            both.push(Neighbor { of: other, other: one })?;
        }
        drop(ranks);
        let mut neighbors = RecordWriter::new(space.next_to)?;
        both.finish()?.try_for_each(|neighbor| neighbors.push(neighbor?))?;
        Ok(Graph { products, edges: ranked.finish()?, neighbors: neighbors.finish()? })
    }
}

/// The neighbors of products that are asked for in order of their ranks.
pub(super) struct Neighbors {
    records: SectionRecords<Neighbor>,
    next: Option<Neighbor>,
    of: Option<ProductRank>,
    list: Vec<ProductRank>,
}

impl Neighbors {
    /// The neighbors of a product by any relation, sorted. No product of a lower rank may follow.
    pub(super) fn of(&mut self, product: ProductRank) -> Result<&[ProductRank], StoreError> {
        if self.of != Some(product) {
            self.of = Some(product);
            self.list.clear();
            while let Some(Neighbor { of, other }) = self.next.filter(|next| next.of <= product) {
                if of == product {
                    self.list.push(other);
                }
                self.next = self.records.next().transpose()?;
            }
        }
        Ok(&self.list)
    }
}
