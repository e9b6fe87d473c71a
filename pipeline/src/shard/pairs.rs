//! `OUT/shards/pairs-*.parquet`: associated products, each with a product that is not a neighbor.
//!
//! One row an association and draw. Everything drawn is keyed by the association: its direction, its place
//! in the order, which rows of a hub stay, and its negative. In memory: the edges, about
//! [`BYTES_PER_EDGE`] bytes each (40 more for each further draw), the names of their products, and the first segments
//! of these, 2 bytes a token.
use std::{collections::HashMap, fs, path::Path, time::Instant};

use schemas::{
    Counts, Draws, FileEntry, GraphEdgeRows, Manifest, Pair, PairBuilder, PairProduct, Relation, Rules,
    SegmentTokenRows, StoreError, create_pairs,
    manifest::{GraphBody, MANIFEST, ShardOptions},
    open_graph_edges, open_segments, store,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{NEW, Outcome, Progress},
    },
    settings::Settings,
    shard::{ShardError, encode},
};

/// Memory for an edge: itself (12), its two places in the neighbor lists (16, and 8 to keep), its key (16), its
/// row (16 and 16).
pub const BYTES_PER_EDGE: u64 = 84;

/// Rows of one file.
const ROWS_PER_FILE: usize = 1 << 16;

/// The pairs that some inputs and options give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPairs {
    made_from: String,
}

/// What is in the pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Number of files.
    pub files: u32,
    /// Rows of all of them.
    pub rows: u64,
    /// Rows left out, by reason.
    pub dropped: Counts,
}

/// Name of a file of pairs.
pub fn name_of(file: u32) -> String {
    format!("pairs-{file:05}.parquet")
}

/// Raised whenever other pairs are drawn from the same graph and segments.
pub const RULES: u32 = 1;

/// The code that decides pairs.
pub(crate) fn rules() -> Rules {
    Rules::of([("pairs", RULES)])
}

/// The pairs of these shards, graph, seed and options.
pub fn plan(shards: &[encode::PlannedShard], graph_blake3: &str, seed: u64, options: &ShardOptions) -> PlannedPairs {
    let mut hasher = blake3::Hasher::new();
    let (most, draws) = (options.max_per_product, options.draws);
    hasher.update(
        format!("pairs {} {seed} {most} {draws}\n{graph_blake3}\n{}\n", schemas::FORMAT, rules().key()).as_bytes(),
    );
    for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
        hasher.update(shard.made_from.as_bytes());
    }
    PlannedPairs { made_from: hasher.finalize().to_hex().to_string() }
}

/// The files of finished pairs and what they hold, if all are there, made from the same.
pub(crate) fn finished(
    ledger: &Ledger,
    planned: &PlannedPairs,
    hashes: &mut Hashes,
) -> Result<Option<(Vec<FileEntry>, PairCounts)>, StoreError> {
    let mut files = Vec::new();
    loop {
        let name = name_of(files.len() as u32);
        let Some(made) = ledger.finished::<PairCounts>(&name, &planned.made_from, hashes)? else { return Ok(None) };
        files.push(made.file);
        if files.len() >= made.counts.files as usize {
            return Ok(Some((files, made.counts)));
        }
    }
}

/// Draws the pairs, or finds that they are up to date.
pub fn make(
    settings: &Settings,
    shards: &[encode::PlannedShard],
    graph: &Manifest<GraphBody>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(PairCounts, Outcome), ShardError> {
    let since = Instant::now();
    let (out, seed, options) = (&settings.out, settings.seed, &settings.shard_options());
    let folder = out.join("shards");
    let planned = plan(shards, &graph.data_blake3(), seed, options);
    let ledger = Ledger::open(out, "shards")?;
    if let Some((_, counts)) = finished(&ledger, &planned, hashes)? {
        return Ok((counts, Outcome::UpToDate));
    }
    store::remove(&folder.join(MANIFEST))?;
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;

    let graph = Graph::load(out, graph, hashes)?;
    let texts = FirstSegments::load(&folder, shards, &graph)?;
    let (mut rows, dropped) = choose(&graph, &texts, seed, options);
    rows.sort_unstable_by_key(|row| (row.key, row.edge, row.draw));
    let kept: Vec<(Relation, [u32; 3])> = rows
        .iter()
        .filter_map(|row| {
            let (anchor, neighbor) = graph.directed(row.edge, seed);
            let negative = graph.negative(row.edge, row.draw, seed, &texts)?;
            Some((graph.edges[row.edge as usize].2, [anchor, neighbor, negative]))
        })
        .collect();
    let counts =
        PairCounts { files: kept.len().div_ceil(ROWS_PER_FILE).max(1) as u32, rows: kept.len() as u64, dropped };
    let bar = progress.count("pairs", counts.rows);
    for file in 0..counts.files {
        let path = folder.join(name_of(file));
        let mut table = create_pairs(&path)?;
        let from = file as usize * ROWS_PER_FILE;
        for piece in kept[from..kept.len().min(from + ROWS_PER_FILE)].chunks(1 << 11) {
            let mut batch = PairBuilder::default();
            for (relation, [anchor, neighbor, negative]) in piece {
                let side = |product: &u32| PairProduct {
                    product: &graph.products[*product as usize],
                    input_ids: texts.get(*product),
                };
                let (anchor, neighbor, negative) = (side(anchor), side(neighbor), side(negative));
                batch.push(&Pair { relation: *relation, anchor, neighbor, negative });
            }
            table.write_result(batch.finish())?;
            bar.inc(piece.len() as u64);
        }
        let made = ledger.commit(table, &planned.made_from, counts.clone())?;
        hashes.remember(&path, &made.file.blake3)?;
    }
    bar.finish_and_clear();
    Ok((counts, Outcome::made(since, NEW.to_owned())))
}

/// A row to be: an edge and which repetition of it.
struct Row {
    key: u64,
    edge: u32,
    draw: u32,
}

/// The rows to draw, and how many are left out, by reason.
///
/// Rows that cannot be drawn are left out first, so that they do not use up the places of a hub.
fn choose(graph: &Graph, texts: &FirstSegments, seed: u64, options: &ShardOptions) -> (Vec<Row>, Counts) {
    let mut order: Vec<(u64, u32)> =
        (0..graph.edges.len() as u32).map(|e| (graph.draws(e, seed, "hub", 0).next_u64(), e)).collect();
    order.sort_unstable();
    let with_tokens = (0..graph.products.len() as u32).filter(|&p| !texts.get(p).is_empty()).count();
    // Whether a product has a possible negative: asked for each of its edges, and a hub has many.
    let mut has_negative: Vec<Option<bool>> = vec![None; graph.products.len()];
    let mut taken = vec![0u64; graph.products.len()];
    let (mut rows, mut dropped) = (Vec::new(), Counts::new());
    for (_, edge) in order {
        let (anchor, neighbor) = graph.directed(edge, seed);
        let both = [anchor as usize, neighbor as usize];
        let reason = if [anchor, neighbor].iter().any(|&product| texts.get(product).is_empty()) {
            "without_tokens"
        } else if !*has_negative[anchor as usize]
            .get_or_insert_with(|| with_tokens > 1 + graph.neighbors_with_tokens(anchor, texts))
        {
            "no_negative"
        } else if both.iter().any(|&product| taken[product] >= options.max_per_product) {
            "hub"
        } else {
            both.iter().for_each(|&product| taken[product] += 1);
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

/// Numbers for product ids, in the order in which they are met.
#[derive(Default)]
struct ProductNumbers {
    numbers: HashMap<String, u32>,
}

impl ProductNumbers {
    fn number(&mut self, name: &str) -> u32 {
        match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = self.numbers.len() as u32;
                self.numbers.insert(name.to_owned(), number);
                number
            }
        }
    }
}

/// The graph by number: products sorted by id, edges as in the file.
struct Graph {
    products: Vec<String>,
    edges: Vec<(u32, u32, Relation)>,
    /// Neighbors of each product by any relation, sorted; `starts` has one more entry than `products`.
    starts: Vec<u32>,
    neighbors: Vec<u32>,
}

impl Graph {
    fn load(out: &Path, manifest: &Manifest<GraphBody>, hashes: &mut Hashes) -> Result<Self, ShardError> {
        let folder = out.join("graph");
        let mut names = ProductNumbers::default();
        let mut ends: Vec<(u32, u32, Relation)> = Vec::new();
        for entry in &manifest.files {
            hashes.verify(&folder, entry)?;
            let path = folder.join(&entry.name);
            for rows in open_graph_edges(&path)?.read::<GraphEdgeRows>(1 << 14) {
                for edge in rows?.iter() {
                    let edge = edge.map_err(|source| ShardError::Edge { path: path.clone(), source })?;
                    ends.push((names.number(edge.product_a), names.number(edge.product_b), edge.relation));
                }
            }
        }
        Ok(Self::new(names, ends))
    }

    fn new(names: ProductNumbers, mut edges: Vec<(u32, u32, Relation)>) -> Self {
        // Numbers in the order of names, so that they do not depend on the order of edges.
        let mut order: Vec<(String, u32)> = names.numbers.into_iter().collect();
        order.sort_unstable();
        let mut renumbered = vec![0; order.len()];
        for (number, (_, first)) in order.iter().enumerate() {
            renumbered[*first as usize] = number as u32;
        }
        let products: Vec<String> = order.into_iter().map(|(name, _)| name).collect();
        for (a, b, _) in &mut edges {
            (*a, *b) = (renumbered[*a as usize], renumbered[*b as usize]);
        }
        let mut both: Vec<(u32, u32)> = edges.iter().flat_map(|&(a, b, _)| [(a, b), (b, a)]).collect();
        both.sort_unstable();
        both.dedup();
        let mut starts = vec![0; products.len() + 1];
        for (from, _) in &both {
            starts[*from as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Self { products, edges, starts, neighbors: both.into_iter().map(|(_, to)| to).collect() }
    }

    fn neighbors(&self, product: u32) -> &[u32] {
        let product = product as usize;
        &self.neighbors[self.starts[product] as usize..self.starts[product + 1] as usize]
    }

    fn neighbors_with_tokens(&self, product: u32, texts: &FirstSegments) -> usize {
        self.neighbors(product).iter().filter(|&&neighbor| !texts.get(neighbor).is_empty()).count()
    }

    /// The draws of an edge: keyed by its products and relation, not by its number.
    fn draws(&self, edge: u32, seed: u64, purpose: &str, draw: u32) -> Draws {
        let (a, b, relation) = self.edges[edge as usize];
        let (a, b) = (&self.products[a as usize], &self.products[b as usize]);
        Draws::new(seed, purpose, format!("{a}\0{b}\0{relation}\0{draw}").as_bytes())
    }

    /// Anchor and neighbor of an edge.
    fn directed(&self, edge: u32, seed: u64) -> (u32, u32) {
        let (a, b, _) = self.edges[edge as usize];
        if self.draws(edge, seed, "direction", 0).below(2) == 0 { (a, b) } else { (b, a) }
    }

    /// A product that has tokens and is neither the anchor nor one of its neighbors.
    fn negative(&self, edge: u32, draw: u32, seed: u64, texts: &FirstSegments) -> Option<u32> {
        let (anchor, _) = self.directed(edge, seed);
        let neighbors = self.neighbors(anchor);
        let possible = |p: u32| p != anchor && neighbors.binary_search(&p).is_err() && !texts.get(p).is_empty();
        let mut draws = self.draws(edge, seed, "negative", draw);
        let all = self.products.len() as u64;
        // Nearly always the first try is one. An anchor with very many neighbors is worth a full look.
        for _ in 0..32 {
            let product = draws.below(all) as u32;
            if possible(product) {
                return Some(product);
            }
        }
        let candidates: Vec<u32> = (0..all as u32).filter(|&p| possible(p)).collect();
        (!candidates.is_empty()).then(|| candidates[draws.below(candidates.len() as u64) as usize])
    }
}

/// Token ids of segment 0 of each product of the graph.
struct FirstSegments {
    ids: Vec<u16>,
    places: Vec<(u64, u16)>,
}

impl FirstSegments {
    fn load(folder: &Path, shards: &[encode::PlannedShard], graph: &Graph) -> Result<Self, ShardError> {
        let number: HashMap<&str, u32> =
            graph.products.iter().enumerate().map(|(i, p)| (p.as_str(), i as u32)).collect();
        let mut texts = Self { ids: Vec::new(), places: vec![(0, 0); graph.products.len()] };
        for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
            let table = open_segments(&folder.join(&shard.name))?;
            for rows in table.read::<SegmentTokenRows>(1 << 14) {
                for row in rows?.iter().filter(|row| row.segment == 0) {
                    if let Some(&product) = row.product.and_then(|product| number.get(product)) {
                        texts.places[product as usize] = (texts.ids.len() as u64, row.input_ids.len() as u16);
                        texts.ids.extend_from_slice(row.input_ids);
                    }
                }
            }
        }
        Ok(texts)
    }

    fn get(&self, product: u32) -> &[u16] {
        let (start, length) = self.places[product as usize];
        &self.ids[start as usize..start as usize + usize::from(length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(edges: &[(&str, &str)]) -> Graph {
        let mut names = ProductNumbers::default();
        let ends = edges.iter().map(|(a, b)| (names.number(a), names.number(b), Relation::Substitute)).collect();
        Graph::new(names, ends)
    }

    fn texts_of(graph: &Graph) -> FirstSegments {
        let n = graph.products.len();
        FirstSegments { ids: vec![7; n], places: (0..n as u64).map(|i| (i, 1)).collect() }
    }

    #[test]
    fn a_negative_is_never_a_neighbor_and_none_is_none() {
        // A star: the center has no possible negative, each leaf has all other leaves.
        let names: Vec<String> = (0..200).map(|i| format!("leaf{i:03}")).collect();
        let star = graph_of(&names.iter().map(|n| ("center", n.as_str())).collect::<Vec<_>>());
        let texts = texts_of(&star);
        for edge in 0..200 {
            let (anchor, _) = star.directed(edge, 1);
            match star.negative(edge, 0, 1, &texts) {
                None => assert_eq!(star.products[anchor as usize], "center"),
                Some(negative) => {
                    assert_ne!(negative, anchor);
                    assert!(!star.neighbors(anchor).contains(&negative));
                }
            }
        }
    }

    #[test]
    fn a_product_with_nearly_only_neighbors_still_finds_the_rest() {
        let names: Vec<String> = (0..500).map(|i| format!("n{i:03}")).collect();
        let mut edges: Vec<(&str, &str)> = names.iter().map(|n| ("a", n.as_str())).collect();
        edges.push(("n000", "stranger"));
        let graph = graph_of(&edges);
        let texts = texts_of(&graph);
        let found: Vec<&str> = (0..500)
            .filter(|&e| graph.products[graph.directed(e, 3).0 as usize] == "a")
            .filter_map(|e| graph.negative(e, 0, 3, &texts))
            .map(|p| graph.products[p as usize].as_str())
            .collect();
        assert!(found.len() > 100 && found.iter().all(|&p| p == "stranger"));
    }

    #[test]
    fn a_hub_takes_part_in_a_bounded_number_of_rows() {
        let names: Vec<String> = (0..50).map(|i| format!("n{i:02}")).collect();
        let graph = graph_of(&names.iter().map(|n| ("hub", n.as_str())).collect::<Vec<_>>());
        let options = ShardOptions { nouns: false, tagger: None, max_per_product: 8, draws: 3 };
        let mut texts = texts_of(&graph);
        let dropped = |texts: &FirstSegments| {
            let (rows, dropped) = choose(&graph, texts, 0, &options);
            assert!(rows.iter().all(|row| graph.negative(row.edge, row.draw, 0, texts).is_some()));
            assert_eq!(rows.len() as u64 + dropped.values().sum::<u64>(), 150);
            (rows.len(), dropped)
        };
        // Edges whose anchor is the hub have no possible negative: all others are its neighbors.
        let (rows, reasons) = dropped(&texts);
        let from_hub = (0..50).filter(|&e| graph.products[graph.directed(e, 0).0 as usize] == "hub").count() as u64;
        assert_eq!((rows, reasons["no_negative"]), (24, 3 * from_hub));
        // Products without tokens do not use up the hub's places.
        for place in &mut texts.places[1..=30] {
            place.1 = 0;
        }
        let (rows, reasons) = dropped(&texts);
        assert_eq!(rows, 24, "{reasons:?}");
        assert_eq!(reasons["without_tokens"], 90);
    }
}
