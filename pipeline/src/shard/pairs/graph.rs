//! The graph in memory, with numbers for its products.
use std::{collections::HashMap, path::Path};

use schemas::{Draws, GraphEdgeRows, Manifest, Relation, manifest::GraphBody, open_graph_edges};

use crate::{engine::hashes::Hashes, shard::ShardError};

/// A product of the graph: its rank among the product ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProductNumber(pub(super) u32);

impl ProductNumber {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// An edge of the graph: its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EdgeNumber(u32);

#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) a: ProductNumber,
    pub(super) b: ProductNumber,
    pub(super) relation: Relation,
    pub(super) weight: Option<f32>,
}

/// The ends of an edge in the direction that was drawn.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) anchor: ProductNumber,
    pub(super) neighbor: ProductNumber,
}

/// Numbers product ids in the order in which they first appear.
#[derive(Default)]
pub(super) struct ProductNumbers {
    numbers: HashMap<String, ProductNumber>,
}

impl ProductNumbers {
    pub(super) fn number(&mut self, name: &str) -> ProductNumber {
        match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = ProductNumber(self.numbers.len() as u32);
                self.numbers.insert(name.to_owned(), number);
                number
            }
        }
    }
}

/// The graph with numbers for products: sorted by id. The edges are in the order of the file.
pub(super) struct Graph {
    pub(super) products: Vec<String>,
    pub(super) edges: Vec<Edge>,
    /// Neighbors of each product by any relation, sorted; `starts` has one more entry than `products`.
    starts: Vec<u32>,
    neighbors: Vec<ProductNumber>,
}

impl Graph {
    pub(super) fn load(out: &Path, manifest: &Manifest<GraphBody>, hashes: &mut Hashes) -> Result<Self, ShardError> {
        let folder = out.join("graph");
        let mut names = ProductNumbers::default();
        let mut edges: Vec<Edge> = Vec::new();
        for entry in &manifest.files {
            hashes.verify(&folder, entry)?;
            let path = folder.join(&entry.name);
            for rows in open_graph_edges(&path)?.read::<GraphEdgeRows>(1 << 14) {
                for edge in rows?.iter() {
                    let edge = edge.map_err(|source| ShardError::Edge { path: path.clone(), source })?;
                    let (a, b) = (names.number(edge.product_a), names.number(edge.product_b));
                    edges.push(Edge { a, b, relation: edge.relation, weight: edge.weight });
                }
            }
        }
        Ok(Self::new(names, edges))
    }

    pub(super) fn new(names: ProductNumbers, mut edges: Vec<Edge>) -> Self {
        // Numbers in the order of names, so that they do not depend on the order of edges.
        let mut order: Vec<(String, ProductNumber)> = names.numbers.into_iter().collect();
        order.sort_unstable();
        let mut renumbered = vec![ProductNumber(0); order.len()];
        for (number, (_, first)) in order.iter().enumerate() {
            renumbered[first.index()] = ProductNumber(number as u32);
        }
        let products: Vec<String> = order.into_iter().map(|(name, _)| name).collect();
        for edge in &mut edges {
            (edge.a, edge.b) = (renumbered[edge.a.index()], renumbered[edge.b.index()]);
        }
        let mut both: Vec<(ProductNumber, ProductNumber)> =
            edges.iter().flat_map(|&Edge { a, b, .. }| [(a, b), (b, a)]).collect();
        both.sort_unstable();
        both.dedup();
        let mut starts = vec![0; products.len() + 1];
        for (from, _) in &both {
            starts[from.index() + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Self { products, edges, starts, neighbors: both.into_iter().map(|(_, to)| to).collect() }
    }

    /// The numbers of the products by id.
    pub(super) fn numbers(&self) -> HashMap<&str, ProductNumber> {
        self.product_numbers().map(|number| (self.product(number), number)).collect()
    }

    pub(super) fn product_numbers(&self) -> impl Iterator<Item = ProductNumber> {
        (0..self.products.len() as u32).map(ProductNumber)
    }

    pub(super) fn edge_numbers(&self) -> impl Iterator<Item = EdgeNumber> {
        (0..self.edges.len() as u32).map(EdgeNumber)
    }

    pub(super) fn product(&self, number: ProductNumber) -> &str {
        &self.products[number.index()]
    }

    pub(super) fn edge(&self, number: EdgeNumber) -> Edge {
        self.edges[number.0 as usize]
    }

    pub(super) fn neighbors(&self, product: ProductNumber) -> &[ProductNumber] {
        let product = product.index();
        &self.neighbors[self.starts[product] as usize..self.starts[product + 1] as usize]
    }

    /// The draws of an edge: keyed by its products and relation, not by its number.
    pub(super) fn draws(&self, edge: EdgeNumber, seed: u64, purpose: &str, draw: u32) -> Draws {
        let Edge { a, b, relation, .. } = self.edge(edge);
        let (a, b) = (self.product(a), self.product(b));
        Draws::new(seed, purpose, format!("{a}\0{b}\0{relation}\0{draw}").as_bytes())
    }

    pub(super) fn directed(&self, edge: EdgeNumber, seed: u64) -> Ends {
        let Edge { a, b, .. } = self.edge(edge);
        let (anchor, neighbor) = if self.draws(edge, seed, "direction", 0).below(2) == 0 { (a, b) } else { (b, a) };
        Ends { anchor, neighbor }
    }
}
