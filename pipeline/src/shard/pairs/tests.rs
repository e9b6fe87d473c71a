use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{TextId, manifest::Copies};

use super::{
    categories::Tree,
    graph::{DirectedEdge, Ends, GraphBuilder},
    negatives::{DrawnFrom, Negative, NegativesOf},
    rows::DrawnRow,
    texts::{FirstSegmentsBuilder, Place},
    *,
};
use crate::graph::products::ProductRank;

/// A graph and what is next to it in memory.
struct Example {
    graph: Graph,
    edges: Vec<DirectedEdge>,
    neighbors: BTreeMap<ProductRank, Vec<ProductRank>>,
    folder: tempfile::TempDir,
}

impl Example {
    /// The directions of edges are those of a seed.
    fn new(edges: &[(&str, &str)], seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let next_to = folder.path().join("rows");
        let mut builder = GraphBuilder::new(SortSpace { next_to: &next_to, memory: 100 }).unwrap();
        for &(a, b) in edges {
            builder.push([a, b], Relation::Substitute, None).unwrap();
        }
        let graph = builder.finish().unwrap();
        let edges: Vec<DirectedEdge> = graph
            .edges()
            .unwrap()
            .map(|edge| {
                let (number, edge) = edge.unwrap();
                graph.directed(number, edge, seed).unwrap()
            })
            .collect();
        let mut found = graph.neighbors().unwrap();
        let neighbors = graph.product_ranks().map(|of| (of, found.of(of).unwrap().to_vec())).collect();
        Self { graph, edges, neighbors, folder }
    }

    fn of<'a>(&'a self, negatives: Negatives<'a>, edge: DirectedEdge) -> NegativesOf<'a> {
        NegativesOf { negatives, ends: edge.ends(), neighbors: &self.neighbors[&edge.anchor] }
    }

    fn draw(&self, negatives: Negatives<'_>, edge: DirectedEdge, draw: u32, seed: u64) -> Option<Negative> {
        self.of(negatives, edge).draw(&mut self.graph.draws(edge.edge, seed, "negative", draw).unwrap())
    }

    /// The rows, with sorters that hold few of them.
    fn rows(&self, texts: &FirstSegments, seed: u64, options: &ShardOptions) -> (Vec<DrawnRow>, Counts) {
        let space = SortSpace { next_to: &self.folder.path().join("rows"), memory: 200 };
        let negatives = Negatives { texts, categories: None };
        let DrawnRows { rows, dropped, .. } = rows::draw(&self.graph, negatives, seed, options, space).unwrap();
        (rows.map(|row| row.unwrap()).collect(), dropped)
    }

    fn products(&self) -> impl Iterator<Item = ProductRank> + use<> {
        self.graph.product_ranks()
    }

    fn id(&self, product: ProductRank) -> String {
        let mut id = String::new();
        self.graph.products.push_id(product, &mut id).unwrap();
        id
    }
}

fn options(max_per_product: u64, draws: u64) -> ShardOptions {
    let (negatives, copies) = (manifest::Negatives::Random, Copies::Remove);
    ShardOptions { nouns: false, language: None, tagger: None, max_per_product, draws, negatives, copies }
}

/// First segments with these texts and ids.
fn segments<'a>(products: impl ExactSizeIterator<Item = (u64, &'a [u16])>) -> FirstSegments {
    let mut segments = FirstSegmentsBuilder::new(products.len());
    for (product, (text, ids)) in (0..).map(ProductRank).zip(products) {
        segments.set(product, TextId::new(text), ids, Place { start: 0, length: ids.len() as u32 });
    }
    segments.finish()
}

/// All texts are different. Those of products that `is_empty` have no tokens.
fn different(example: &Example, is_empty: impl Fn(u16) -> bool) -> FirstSegments {
    let ids: Vec<u16> = (0..example.graph.products.len() as u16).collect();
    segments(
        ids.iter()
            .map(|&n| (u64::from(n), if is_empty(n) { &[][..] } else { std::slice::from_ref(&ids[usize::from(n)]) })),
    )
}

#[test]
fn a_negative_is_never_a_neighbor_and_none_is_none() {
    // A star: the center has no possible negative, each leaf has all other leaves.
    let names: Vec<String> = (0..200).map(|i| format!("leaf{i:03}")).collect();
    let star = Example::new(&names.iter().map(|n| ("center", n.as_str())).collect::<Vec<_>>(), 1);
    let texts = different(&star, |_| false);
    let negatives = Negatives { texts: &texts, categories: None };
    for &edge in &star.edges {
        match star.draw(negatives, edge, 0, 1) {
            None => assert_eq!(star.id(edge.anchor), "center"),
            Some(Negative { product: negative, .. }) => {
                assert_ne!(negative, edge.anchor);
                assert!(!star.neighbors[&edge.anchor].contains(&negative));
            }
        }
    }
}

#[test]
fn a_product_with_nearly_only_neighbors_still_finds_the_rest() {
    let names: Vec<String> = (0..500).map(|i| format!("n{i:03}")).collect();
    let mut edges: Vec<(&str, &str)> = names.iter().map(|n| ("a", n.as_str())).collect();
    edges.push(("n000", "stranger"));
    let graph = Example::new(&edges, 3);
    let texts = different(&graph, |_| false);
    let found: Vec<String> = graph
        .edges
        .iter()
        .filter(|edge| graph.id(edge.anchor) == "a")
        .filter_map(|&edge| graph.draw(Negatives { texts: &texts, categories: None }, edge, 0, 3))
        .map(|negative| graph.id(negative.product))
        .collect();
    assert!(found.len() > 100 && found.iter().all(|p| p == "stranger"));
}

#[test]
fn a_hub_takes_part_in_a_bounded_number_of_rows() {
    let names: Vec<String> = (0..50).map(|i| format!("n{i:02}")).collect();
    let graph = Example::new(&names.iter().map(|n| ("hub", n.as_str())).collect::<Vec<_>>(), 0);
    let options = options(8, 3);
    let dropped = |texts: &FirstSegments| {
        let (rows, dropped) = graph.rows(texts, 0, &options);
        assert_eq!(rows.len() as u64 + dropped.values().sum::<u64>(), 150);
        (rows.len(), dropped)
    };
    // Edges whose anchor is the hub have no possible negative: all others are its neighbors.
    let (rows, reasons) = dropped(&different(&graph, |_| false));
    let from_hub = graph.edges.iter().filter(|edge| graph.id(edge.anchor) == "hub").count() as u64;
    assert_eq!((rows, reasons["no_negative"]), (24, 3 * from_hub));
    // Products without tokens do not use up the quota of the hub.
    let (rows, reasons) = dropped(&different(&graph, |n| (1..=30).contains(&n)));
    assert_eq!(rows, 24, "{reasons:?}");
    assert_eq!(reasons["without_tokens"], 90);
}

#[test]
fn a_category_is_the_path_that_leads_to_it() {
    let names = ["camera", "dress", "frock", "lens", "strap"];
    let graph = Example::new(&[("camera", "lens"), ("dress", "frock"), ("frock", "strap")], 0);
    let mut tree = Tree::default();
    let paths: [&[&str]; 5] = [
        &["Electronics", "Cameras"],
        &["Clothing", "Women", "Dresses"],
        &["Clothing", "Women", "Dresses"],
        &["Electronics", "Cameras", "Accessories"],
        &["Clothing", "Accessories"],
    ];
    for product in graph.products() {
        tree.add(product, paths[product.index()].iter().copied());
    }
    let categories = tree.finish(&different(&graph, |_| false));
    let of = |name: &str| -> Vec<Vec<String>> {
        let product = ProductRank(names.iter().position(|known| *known == name).unwrap() as u32);
        categories.of(product).map(|products| products.iter().map(|&product| graph.id(product)).collect()).collect()
    };
    assert_eq!(of("lens"), [vec!["lens"], vec!["camera", "lens"], vec!["camera", "lens"]]);
    assert_eq!(of("camera"), [["camera", "lens"], ["camera", "lens"]]);
    assert_eq!(of("strap"), [vec!["strap"], vec!["strap", "dress", "frock"]]);
    assert_eq!(of("dress"), [vec!["dress", "frock"], vec!["dress", "frock"], vec!["strap", "dress", "frock"]]);
}

/// Edges between different products, the smaller name first.
fn named(names: &[String], edges: &[(usize, usize)]) -> Vec<(String, String)> {
    let of = |n: usize| names[n].clone();
    edges.iter().filter(|(a, b)| a != b).map(|&(a, b)| (of(a.min(b)), of(a.max(b)))).collect()
}

fn borrowed(edges: &[(String, String)]) -> Vec<(&str, &str)> {
    edges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A slow version looks for the first category of the anchor with enough possible products, by comparing the paths
    /// of all products.
    #[test]
    fn negatives_of_a_category_are_those_that_comparing_all_paths_finds(
        edges in prop::collection::vec((0usize..60, 0usize..60), 1..60),
        // No text has the id of a product without tokens, which is 0.
        products in prop::collection::vec((1u64..50, 0u16..2, prop::collection::vec(0usize..3, 0..4)), 60),
        seed: u64,
    ) {
        let names: Vec<String> = (0..60).map(|i| format!("p{i:02}")).collect();
        let graph = Example::new(&borrowed(&named(&names, &edges)), seed);
        let products = &products[..graph.graph.products.len()];
        let ids: Vec<u16> = (0..60).collect();
        let texts = segments(products.iter().map(|&(text, length, _)| {
            let length = usize::from(length + u16::from(text > 9));
            (text, &ids[text as usize..text as usize + length])
        }));
        let path = |product: ProductRank| products[product.index()].2.iter().map(|&n| ["b", "a", "c"][n]);
        let tree = |numbers: &mut dyn Iterator<Item = ProductRank>| {
            let mut tree = Tree::default();
            numbers.for_each(|number| tree.add(number, path(number)));
            tree.finish(&texts)
        };
        let categories = tree(&mut graph.products());
        let backwards: Vec<ProductRank> = graph.products().collect();
        let backwards = tree(&mut backwards.into_iter().rev());
        let negatives = Negatives { texts: &texts, categories: Some(&categories) };
        let of_backwards = Negatives { texts: &texts, categories: Some(&backwards) };
        for &edge in &graph.edges {
            let of = graph.of(negatives, edge);
            let possible = |depth: usize| -> Vec<ProductRank> {
                let above: Vec<&str> = path(edge.anchor).take(depth).collect();
                let begins = |&product: &ProductRank| path(product).take(depth).eq(above.iter().copied());
                graph.products().filter(begins).filter(|&n| of.is_possible(n)).collect()
            };
            let depth = products[edge.anchor.index()].2.len();
            let enough = (1..=depth).rev().find(|&depth| possible(depth).len() >= FEWEST);
            let from = enough.map_or(DrawnFrom::All, |found| DrawnFrom::Category { levels_up: depth - found });
            let wanted = possible(enough.unwrap_or(0));
            let drawn: Vec<Option<Negative>> = (0..400).map(|draw| graph.draw(negatives, edge, draw, seed)).collect();
            prop_assert!(drawn.iter().flatten().all(|negative| negative.from == from));
            let again: Vec<_> = (0..400).map(|draw| graph.draw(of_backwards, edge, draw, seed)).collect();
            prop_assert_eq!(&drawn, &again);
            let mut found: Vec<ProductRank> = drawn.into_iter().flatten().map(|negative| negative.product).collect();
            found.sort_unstable();
            found.dedup();
            // 400 draws from at most 60 products hardly ever miss more than three.
            prop_assert!(found.iter().all(|product| wanted.contains(product)) && found.len() + 3 >= wanted.len());
        }
    }

    #[test]
    fn negatives_have_another_text_and_an_edge_without_one_is_dropped(
        edges in prop::collection::vec((0usize..8, 0usize..8), 1..12),
        texts in prop::collection::vec((0u64..4, 0usize..4, 0usize..2), 8),
    ) {
        let names: Vec<String> = (0..8).map(|i| format!("p{i}")).collect();
        let graph = Example::new(&borrowed(&named(&names, &edges)), 0);
        let ids = [1, 1, 2, 2, 3];
        let texts_of: Vec<(u64, &[u16])> = texts[..graph.graph.products.len()]
            .iter()
            .map(|&(text, start, length)| (text, &ids[start..(start + length * 2).min(ids.len())]))
            .collect();
        let texts = segments(texts_of.iter().copied());
        let (rows, dropped) = graph.rows(&texts, 0, &options(64, 1));
        prop_assert_eq!(rows.len() + dropped.values().sum::<u64>() as usize, graph.edges.len());
        prop_assert!(rows.is_sorted());
        let mut wanted = Counts::new();
        for &edge in &graph.edges {
            let Ends { anchor, neighbor } = edge.ends();
            let of = graph.of(Negatives { texts: &texts, categories: None }, edge);
            let text = |product: ProductRank| texts_of[product.index()];
            let reason = match graph.products().find(|&product| of.is_possible(product)) {
                _ if text(anchor).1.is_empty() || text(neighbor).1.is_empty() => "without_tokens",
                _ if text(anchor).1 == text(neighbor).1 => "same_text",
                None => "no_negative",
                Some(_) => {
                    let drawn = rows.iter().find(|row| row.directed == edge).unwrap().negative;
                    for end in [anchor, neighbor] {
                        prop_assert!(text(drawn).0 != text(end).0 && text(drawn).1 != text(end).1);
                    }
                    prop_assert!(!text(drawn).1.is_empty() && !graph.neighbors[&anchor].contains(&drawn));
                    continue;
                }
            };
            *wanted.entry(reason.to_owned()).or_default() += 1;
        }
        prop_assert_eq!(dropped, wanted);
    }
}
