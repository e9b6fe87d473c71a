//! `OUT/shards/pairs-*.parquet`: associated products, each with a product that is not a neighbor.
//!
//! There is one row per association and draw. All draws are keyed by the association: its direction, its position in
//! the order, which rows of a hub stay, and its negative. Memory holds the edges ([`BYTES_PER_EDGE`] bytes each, and
//! 40 per further draw), the ids of their products, and the first segments of these (2 bytes per token, and 48 per
//! product).
use std::{collections::HashMap, fs, path::Path, time::Instant};

use schemas::{
    Counts, Draws, FileEntry, GraphEdgeRows, Manifest, Pair, PairBuilder, PairProduct, Relation, Rules,
    SegmentTokenRows, StoreError, TextId, create_pairs,
    manifest::{GraphBody, MANIFEST, ShardOptions},
    open_graph_edges, open_segments, store,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{NEW, Outcome, Progress},
    },
    settings::Settings,
    shard::{ShardError, encode},
};

/// Memory of an edge: itself (12), its two entries in the neighbor lists (16, and 8 to keep), its key (16), its row
/// (16 and 16).
pub const BYTES_PER_EDGE: u64 = 84;

/// Rows of one file.
const ROWS_PER_FILE: usize = 1 << 16;

/// The key of the pairs that some inputs and options give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPairs {
    made_from: String,
}

/// Counts of the pairs.
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

/// Version of drawing. Raise it whenever the same graph and segments give other pairs.
pub const RULES: u32 = 2;

/// Versions of the code that decides pairs.
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

/// The files of finished pairs and their counts, if all of them exist with the planned content.
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
    let drawn: Vec<DrawnPair> = rows
        .iter()
        .filter_map(|row| {
            let ends = graph.directed(row.edge, seed);
            let negative = graph.negative(row.edge, row.draw, seed, &texts)?;
            Some(DrawnPair { relation: graph.edge(row.edge).relation, ends, negative })
        })
        .collect();
    let counts =
        PairCounts { files: drawn.len().div_ceil(ROWS_PER_FILE).max(1) as u32, rows: drawn.len() as u64, dropped };
    let bar = progress.count("pairs", counts.rows);
    for file in 0..counts.files {
        let path = folder.join(name_of(file));
        let mut table = create_pairs(&path)?;
        let from = file as usize * ROWS_PER_FILE;
        for chunk in drawn[from..drawn.len().min(from + ROWS_PER_FILE)].chunks(1 << 11) {
            let mut batch = PairBuilder::default();
            for &DrawnPair { relation, ends: Ends { anchor, neighbor }, negative } in chunk {
                let side = |number| PairProduct {
                    product: graph.product(number),
                    text_id: texts.text_id(number),
                    input_ids: texts.get(number),
                };
                let (anchor, neighbor, negative) = (side(anchor), side(neighbor), side(negative));
                batch.push(&Pair { relation, anchor, neighbor, negative });
            }
            table.write_result(batch.finish())?;
            bar.inc(chunk.len() as u64);
        }
        let made = ledger.commit(table, &planned.made_from, counts.clone())?;
        hashes.remember(&path, &made.file.blake3)?;
    }
    bar.finish_and_clear();
    Ok((counts, Outcome::made(since, NEW.to_owned())))
}

/// A row of the output: an edge, and the number of its draw.
struct Row {
    key: u64,
    edge: EdgeNumber,
    draw: u32,
}

/// A row with its draws.
struct DrawnPair {
    relation: Relation,
    ends: Ends,
    negative: ProductNumber,
}

/// A product of the graph: its rank among the product ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ProductNumber(u32);

impl ProductNumber {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// An edge of the graph: its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EdgeNumber(u32);

#[derive(Clone, Copy)]
struct Edge {
    a: ProductNumber,
    b: ProductNumber,
    relation: Relation,
}

/// The ends of an edge in the direction that was drawn.
#[derive(Clone, Copy)]
struct Ends {
    anchor: ProductNumber,
    neighbor: ProductNumber,
}

/// The rows to draw, and the number of dropped ones by reason.
///
/// Rows that cannot be drawn are dropped first, so that they do not use up the quota of a hub.
fn choose(graph: &Graph, texts: &FirstSegments, seed: u64, options: &ShardOptions) -> (Vec<Row>, Counts) {
    let mut order: Vec<(u64, EdgeNumber)> =
        graph.edge_numbers().map(|edge| (graph.draws(edge, seed, "hub", 0).next_u64(), edge)).collect();
    order.sort_unstable();
    let mut possible = PossibleNegatives::new(graph, texts);
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

/// Whether edges have a possible negative. It is asked for each edge, and a hub has many, so what
/// depends on the anchor alone is counted once.
struct PossibleNegatives<'a> {
    graph: &'a Graph,
    texts: &'a FirstSegments,
    with_tokens: usize,
    /// The products that are possible as far as the anchor alone decides.
    of_anchor: Vec<Option<usize>>,
}

impl<'a> PossibleNegatives<'a> {
    fn new(graph: &'a Graph, texts: &'a FirstSegments) -> Self {
        let with_tokens = graph.product_numbers().filter(|&product| !texts.get(product).is_empty()).count();
        Self { graph, texts, with_tokens, of_anchor: vec![None; graph.products.len()] }
    }

    fn any(&mut self, ends: Ends) -> bool {
        let Self { graph, texts, with_tokens, of_anchor } = self;
        let of_anchor = *of_anchor[ends.anchor.index()].get_or_insert_with(|| {
            let mut excluded: Vec<ProductNumber> = texts.alike(ends.anchor).collect();
            excluded.extend(graph.neighbors(ends.anchor).iter().filter(|&&product| !texts.get(product).is_empty()));
            excluded.sort_unstable();
            excluded.dedup();
            *with_tokens - excluded.len()
        });
        // Nearly always more products are left than have the neighbor's text.
        of_anchor > texts.alike(ends.neighbor).count()
            || of_anchor > 0 && graph.product_numbers().any(|product| graph.is_negative(product, ends, texts))
    }
}

/// Numbers product ids in the order in which they first appear.
#[derive(Default)]
struct ProductNumbers {
    numbers: HashMap<String, ProductNumber>,
}

impl ProductNumbers {
    fn number(&mut self, name: &str) -> ProductNumber {
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
struct Graph {
    products: Vec<String>,
    edges: Vec<Edge>,
    /// Neighbors of each product by any relation, sorted; `starts` has one more entry than `products`.
    starts: Vec<u32>,
    neighbors: Vec<ProductNumber>,
}

impl Graph {
    fn load(out: &Path, manifest: &Manifest<GraphBody>, hashes: &mut Hashes) -> Result<Self, ShardError> {
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
                    edges.push(Edge { a, b, relation: edge.relation });
                }
            }
        }
        Ok(Self::new(names, edges))
    }

    fn new(names: ProductNumbers, mut edges: Vec<Edge>) -> Self {
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

    fn product_numbers(&self) -> impl Iterator<Item = ProductNumber> {
        (0..self.products.len() as u32).map(ProductNumber)
    }

    fn edge_numbers(&self) -> impl Iterator<Item = EdgeNumber> {
        (0..self.edges.len() as u32).map(EdgeNumber)
    }

    fn product(&self, number: ProductNumber) -> &str {
        &self.products[number.index()]
    }

    fn edge(&self, number: EdgeNumber) -> Edge {
        self.edges[number.0 as usize]
    }

    fn neighbors(&self, product: ProductNumber) -> &[ProductNumber] {
        let product = product.index();
        &self.neighbors[self.starts[product] as usize..self.starts[product + 1] as usize]
    }

    /// The draws of an edge: keyed by its products and relation, not by its number.
    fn draws(&self, edge: EdgeNumber, seed: u64, purpose: &str, draw: u32) -> Draws {
        let Edge { a, b, relation } = self.edge(edge);
        let (a, b) = (self.product(a), self.product(b));
        Draws::new(seed, purpose, format!("{a}\0{b}\0{relation}\0{draw}").as_bytes())
    }

    fn directed(&self, edge: EdgeNumber, seed: u64) -> Ends {
        let Edge { a, b, .. } = self.edge(edge);
        let (anchor, neighbor) = if self.draws(edge, seed, "direction", 0).below(2) == 0 { (a, b) } else { (b, a) };
        Ends { anchor, neighbor }
    }

    /// Whether a product may be the negative: it has tokens, is neither the anchor nor one of its neighbors, and its
    /// text is neither that of the anchor nor that of the neighbor.
    fn is_negative(&self, product: ProductNumber, Ends { anchor, neighbor }: Ends, texts: &FirstSegments) -> bool {
        product != anchor
            && self.neighbors(anchor).binary_search(&product).is_err()
            && !texts.get(product).is_empty()
            && !texts.are_alike(product, anchor)
            && !texts.are_alike(product, neighbor)
    }

    /// A random product that may be the negative.
    fn negative(&self, edge: EdgeNumber, draw: u32, seed: u64, texts: &FirstSegments) -> Option<ProductNumber> {
        let ends = self.directed(edge, seed);
        let possible = |product| self.is_negative(product, ends, texts);
        let mut draws = self.draws(edge, seed, "negative", draw);
        let all = self.products.len() as u64;
        // The first try nearly always succeeds. For an anchor with very many neighbors, list all candidates.
        for _ in 0..32 {
            let product = ProductNumber(draws.below(all) as u32);
            if possible(product) {
                return Some(product);
            }
        }
        let candidates: Vec<ProductNumber> = self.product_numbers().filter(|&product| possible(product)).collect();
        (!candidates.is_empty()).then(|| candidates[draws.below(candidates.len() as u64) as usize])
    }
}

/// Token ids of segment 0 of each product of the graph, and the id of its whole text.
struct FirstSegments {
    ids: Vec<u16>,
    /// For each product: where its ids are in `ids`.
    spans: Vec<IdSpan>,
    /// For each product.
    text_ids: Vec<TextId>,
    /// The products with tokens, sorted by text, and by a hash of their ids.
    by_text: Vec<(TextId, ProductNumber)>,
    by_ids: Vec<(u64, ProductNumber)>,
}

#[derive(Clone, Copy, Default)]
struct IdSpan {
    start: u64,
    length: u16,
}

impl FirstSegments {
    fn load(folder: &Path, shards: &[encode::PlannedShard], graph: &Graph) -> Result<Self, ShardError> {
        let number: HashMap<&str, ProductNumber> =
            graph.product_numbers().map(|number| (graph.product(number), number)).collect();
        let mut ids = Vec::new();
        let mut spans = vec![IdSpan::default(); graph.products.len()];
        let mut text_ids = vec![TextId::new(0); graph.products.len()];
        for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
            let table = open_segments(&folder.join(&shard.name))?;
            for rows in table.read::<SegmentTokenRows>(1 << 14) {
                for row in rows?.iter().filter(|row| row.segment == 0) {
                    if let Some(&product) = row.product.and_then(|product| number.get(product)) {
                        text_ids[product.index()] = row.text_id;
                        spans[product.index()] = IdSpan { start: ids.len() as u64, length: row.input_ids.len() as u16 };
                        ids.extend_from_slice(row.input_ids);
                    }
                }
            }
        }
        Ok(Self::new(ids, spans, text_ids))
    }

    fn new(ids: Vec<u16>, spans: Vec<IdSpan>, text_ids: Vec<TextId>) -> Self {
        let mut texts = Self { ids, spans, text_ids, by_text: Vec::new(), by_ids: Vec::new() };
        let with_tokens: Vec<ProductNumber> = (0..texts.spans.len() as u32)
            .map(ProductNumber)
            .filter(|&product| !texts.get(product).is_empty())
            .collect();
        texts.by_text = with_tokens.iter().map(|&product| (texts.text_id(product), product)).collect();
        texts.by_ids = with_tokens.iter().map(|&product| (texts.ids_hash(product), product)).collect();
        texts.by_text.sort_unstable();
        texts.by_ids.sort_unstable();
        texts
    }

    fn text_id(&self, product: ProductNumber) -> TextId {
        self.text_ids[product.index()]
    }

    fn ids_hash(&self, product: ProductNumber) -> u64 {
        let bytes: Vec<u8> = self.get(product).iter().flat_map(|id| id.to_le_bytes()).collect();
        xxh3_64(&bytes)
    }

    /// Whether two products have the same text, or the same first segment.
    fn are_alike(&self, a: ProductNumber, b: ProductNumber) -> bool {
        self.text_id(a) == self.text_id(b) || self.get(a) == self.get(b)
    }

    /// The products with tokens that are alike to one of them, itself included. Some may come twice.
    fn alike(&self, product: ProductNumber) -> impl Iterator<Item = ProductNumber> {
        let (text, hash) = (self.text_id(product), self.ids_hash(product));
        let same_text = &self.by_text[self.by_text.partition_point(|(known, _)| *known < text)..];
        let same_ids = &self.by_ids[self.by_ids.partition_point(|(known, _)| *known < hash)..];
        let same_text = same_text.iter().take_while(move |(known, _)| *known == text).map(|&(_, other)| other);
        let same_ids = same_ids.iter().take_while(move |(known, _)| *known == hash).map(|&(_, other)| other);
        same_text.chain(same_ids.filter(move |&other| self.get(other) == self.get(product)))
    }

    fn get(&self, product: ProductNumber) -> &[u16] {
        let IdSpan { start, length } = self.spans[product.index()];
        &self.ids[start as usize..start as usize + usize::from(length)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::manifest::Copies;

    use super::*;

    fn graph_of(edges: &[(&str, &str)]) -> Graph {
        let mut names = ProductNumbers::default();
        let edge =
            |(a, b): &(&str, &str)| Edge { a: names.number(a), b: names.number(b), relation: Relation::Substitute };
        let edges = edges.iter().map(edge).collect();
        Graph::new(names, edges)
    }

    fn texts_of(graph: &Graph) -> FirstSegments {
        let n = graph.products.len();
        let spans = (0..n as u64).map(|start| IdSpan { start, length: 1 }).collect();
        FirstSegments::new((0..n as u16).collect(), spans, (0..n as u64).map(TextId::new).collect())
    }

    #[test]
    fn a_negative_is_never_a_neighbor_and_none_is_none() {
        // A star: the center has no possible negative, each leaf has all other leaves.
        let names: Vec<String> = (0..200).map(|i| format!("leaf{i:03}")).collect();
        let star = graph_of(&names.iter().map(|n| ("center", n.as_str())).collect::<Vec<_>>());
        let texts = texts_of(&star);
        for edge in star.edge_numbers() {
            let anchor = star.directed(edge, 1).anchor;
            match star.negative(edge, 0, 1, &texts) {
                None => assert_eq!(star.product(anchor), "center"),
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
        let found: Vec<&str> = graph
            .edge_numbers()
            .filter(|&edge| graph.product(graph.directed(edge, 3).anchor) == "a")
            .filter_map(|edge| graph.negative(edge, 0, 3, &texts))
            .map(|product| graph.product(product))
            .collect();
        assert!(found.len() > 100 && found.iter().all(|&p| p == "stranger"));
    }

    #[test]
    fn a_hub_takes_part_in_a_bounded_number_of_rows() {
        let names: Vec<String> = (0..50).map(|i| format!("n{i:02}")).collect();
        let graph = graph_of(&names.iter().map(|n| ("hub", n.as_str())).collect::<Vec<_>>());
        let options = ShardOptions { nouns: false, tagger: None, max_per_product: 8, draws: 3, copies: Copies::Remove };
        let mut texts = texts_of(&graph);
        let dropped = |texts: &FirstSegments| {
            let (rows, dropped) = choose(&graph, texts, 0, &options);
            assert!(rows.iter().all(|row| graph.negative(row.edge, row.draw, 0, texts).is_some()));
            assert_eq!(rows.len() as u64 + dropped.values().sum::<u64>(), 150);
            (rows.len(), dropped)
        };
        // Edges whose anchor is the hub have no possible negative: all others are its neighbors.
        let (rows, reasons) = dropped(&texts);
        let is_from_hub = |&edge: &EdgeNumber| graph.product(graph.directed(edge, 0).anchor) == "hub";
        let from_hub = graph.edge_numbers().filter(is_from_hub).count() as u64;
        assert_eq!((rows, reasons["no_negative"]), (24, 3 * from_hub));
        // Products without tokens do not use up the quota of the hub.
        let mut spans = texts.spans.clone();
        spans[1..=30].iter_mut().for_each(|span| span.length = 0);
        texts = FirstSegments::new(texts.ids, spans, texts.text_ids);
        let (rows, reasons) = dropped(&texts);
        assert_eq!(rows, 24, "{reasons:?}");
        assert_eq!(reasons["without_tokens"], 90);
    }

    proptest! {
        #[test]
        fn negatives_have_another_text_and_an_edge_without_one_is_dropped(
            edges in prop::collection::vec((0u8..8, 0u8..8), 1..12),
            texts in prop::collection::vec((0u64..4, 0u16..4, 0u16..2), 8),
        ) {
            let names: Vec<String> = (0..8).map(|i| format!("p{i}")).collect();
            let edges: Vec<(&str, &str)> = edges
                .iter()
                .filter(|(a, b)| a != b)
                .map(|&(a, b)| (names[usize::from(a.min(b))].as_str(), names[usize::from(a.max(b))].as_str()))
                .collect();
            let graph = graph_of(&edges);
            let n = graph.products.len();
            let spans = texts[..n].iter().map(|&(_, id, length)| IdSpan { start: u64::from(id), length: length * 2 });
            let ids = texts[..n].iter().map(|&(text, ..)| TextId::new(text)).collect();
            let texts = FirstSegments::new(vec![1, 1, 2, 2, 3], spans.collect(), ids);
            let options = ShardOptions { nouns: false, tagger: None, max_per_product: 64, draws: 1, copies: Copies::Keep };
            let (rows, dropped) = choose(&graph, &texts, 0, &options);
            prop_assert_eq!(rows.len() as u64 + dropped.values().sum::<u64>(), graph.edges.len() as u64);
            let mut wanted = Counts::new();
            for edge in graph.edge_numbers() {
                let ends = graph.directed(edge, 0);
                let [a, b] = [ends.anchor, ends.neighbor].map(|product| texts.get(product));
                let negative = graph.product_numbers().find(|&product| graph.is_negative(product, ends, &texts));
                let reason = match negative {
                    _ if a.is_empty() || b.is_empty() => "without_tokens",
                    _ if a == b => "same_text",
                    None => "no_negative",
                    Some(_) => {
                        let drawn = graph.negative(edge, 0, 0, &texts).unwrap();
                        prop_assert!(texts.text_id(drawn) != texts.text_id(ends.anchor));
                        prop_assert!(texts.text_id(drawn) != texts.text_id(ends.neighbor));
                        prop_assert!(texts.get(drawn) != a && texts.get(drawn) != b && !texts.get(drawn).is_empty());
                        prop_assert!(!graph.neighbors(ends.anchor).contains(&drawn));
                        continue;
                    }
                };
                *wanted.entry(reason.to_owned()).or_default() += 1;
            }
            prop_assert_eq!(dropped, wanted);
        }
    }
}
