use proptest::prelude::*;
use schemas::{Relation, TextId, manifest::Copies};

use super::{
    categories::Tree,
    graph::{Edge, EdgeNumber, ProductNumbers},
    negatives::DrawnFrom,
    texts::IdSpan,
    *,
};

fn graph_of(edges: &[(&str, &str)]) -> Graph {
    let mut names = ProductNumbers::default();
    let edge = |(a, b): &(&str, &str)| Edge {
        a: names.number(a),
        b: names.number(b),
        relation: Relation::Substitute,
        weight: None,
    };
    let edges = edges.iter().map(edge).collect();
    Graph::new(names, edges)
}

fn options(max_per_product: u64, draws: u64) -> ShardOptions {
    let (negatives, copies) = (manifest::Negatives::Random, Copies::Remove);
    ShardOptions { nouns: false, language: None, tagger: None, max_per_product, draws, negatives, copies }
}

fn texts_of(graph: &Graph) -> FirstSegments<u16> {
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
    let negatives = Negatives { graph: &star, texts: &texts, categories: None };
    for edge in star.edge_numbers() {
        let anchor = star.directed(edge, 1).anchor;
        match negatives.draw(edge, 0, 1) {
            None => assert_eq!(star.product(anchor), "center"),
            Some(Negative { product: negative, .. }) => {
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
        .filter_map(|edge| Negatives { graph: &graph, texts: &texts, categories: None }.draw(edge, 0, 3))
        .map(|negative| graph.product(negative.product))
        .collect();
    assert!(found.len() > 100 && found.iter().all(|&p| p == "stranger"));
}

#[test]
fn a_hub_takes_part_in_a_bounded_number_of_rows() {
    let names: Vec<String> = (0..50).map(|i| format!("n{i:02}")).collect();
    let graph = graph_of(&names.iter().map(|n| ("hub", n.as_str())).collect::<Vec<_>>());
    let options = options(8, 3);
    let mut texts = texts_of(&graph);
    let dropped = |texts: &FirstSegments<u16>| {
        let negatives = Negatives { graph: &graph, texts, categories: None };
        let (rows, dropped) = choose(negatives, 0, &options);
        assert!(rows.iter().all(|row| negatives.draw(row.edge, row.draw, 0).is_some()));
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

#[test]
fn a_category_is_the_path_that_leads_to_it() {
    let names = ["camera", "dress", "frock", "lens", "strap"];
    let graph = graph_of(&[("camera", "lens"), ("dress", "frock"), ("frock", "strap")]);
    let mut tree = Tree::default();
    let paths: [&[&str]; 5] = [
        &["Electronics", "Cameras"],
        &["Clothing", "Women", "Dresses"],
        &["Clothing", "Women", "Dresses"],
        &["Electronics", "Cameras", "Accessories"],
        &["Clothing", "Accessories"],
    ];
    for number in graph.product_numbers() {
        tree.add(number, paths[number.index()].iter().copied());
    }
    let categories = tree.finish(&texts_of(&graph));
    let of = |name: &str| -> Vec<Vec<&str>> {
        let number = ProductNumber(names.iter().position(|known| *known == name).unwrap() as u32);
        categories.of(number).map(|products| products.iter().map(|&product| graph.product(product)).collect()).collect()
    };
    assert_eq!(of("lens"), [vec!["lens"], vec!["camera", "lens"], vec!["camera", "lens"]]);
    assert_eq!(of("camera"), [["camera", "lens"], ["camera", "lens"]]);
    assert_eq!(of("strap"), [vec!["strap"], vec!["strap", "dress", "frock"]]);
    assert_eq!(of("dress"), [vec!["dress", "frock"], vec!["dress", "frock"], vec!["strap", "dress", "frock"]]);
}

proptest! {
    /// A slow version looks for the first category of the anchor with enough possible products, by comparing the paths
    /// of all products.
    #[test]
    fn negatives_of_a_category_are_those_that_comparing_all_paths_finds(
        edges in prop::collection::vec((0usize..60, 0usize..60), 1..60),
        products in prop::collection::vec((0u64..50, 0u16..2, prop::collection::vec(0usize..3, 0..4)), 60),
        seed: u64,
    ) {
        let names: Vec<String> = (0..60).map(|i| format!("p{i:02}")).collect();
        let edges: Vec<(&str, &str)> = edges
            .iter()
            .filter(|(a, b)| a != b)
            .map(|&(a, b)| (names[a.min(b)].as_str(), names[a.max(b)].as_str()))
            .collect();
        let graph = graph_of(&edges);
        let products = &products[..graph.products.len()];
        let spans = products.iter().map(|(id, length, _)| IdSpan { start: *id, length: length + u16::from(*id > 9) });
        let ids = products.iter().map(|&(text, ..)| TextId::new(text)).collect();
        let texts = FirstSegments::<u16>::new((0..60).collect(), spans.collect(), ids);
        let path = |product: ProductNumber| products[product.index()].2.iter().map(|&n| ["b", "a", "c"][n]);
        let tree = |numbers: &mut dyn Iterator<Item = ProductNumber>| {
            let mut tree = Tree::default();
            numbers.for_each(|number| tree.add(number, path(number)));
            tree.finish(&texts)
        };
        let categories = tree(&mut graph.product_numbers());
        let backwards: Vec<ProductNumber> = graph.product_numbers().collect();
        let backwards = tree(&mut backwards.into_iter().rev());
        let of = |categories| Negatives { graph: &graph, texts: &texts, categories: Some(categories) };
        let negatives = of(&categories);
        for edge in graph.edge_numbers() {
            let ends = graph.directed(edge, seed);
            let possible = |depth: usize| -> Vec<ProductNumber> {
                let above: Vec<&str> = path(ends.anchor).take(depth).collect();
                let begins = |&product: &ProductNumber| path(product).take(depth).eq(above.iter().copied());
                graph.product_numbers().filter(begins).filter(|&n| negatives.is_possible(n, ends)).collect()
            };
            let depth = products[ends.anchor.index()].2.len();
            let enough = (1..=depth).rev().find(|&depth| possible(depth).len() >= FEWEST);
            let from = enough.map_or(DrawnFrom::All, |found| DrawnFrom::Category { levels_up: depth - found });
            let wanted = possible(enough.unwrap_or(0));
            let drawn: Vec<Option<Negative>> = (0..400).map(|draw| negatives.draw(edge, draw, seed)).collect();
            prop_assert!(drawn.iter().flatten().all(|negative| negative.from == from));
            prop_assert!(drawn.iter().eq((0..400).map(|draw| of(&backwards).draw(edge, draw, seed)).collect::<Vec<_>>().iter()));
            let mut found: Vec<ProductNumber> = drawn.into_iter().flatten().map(|negative| negative.product).collect();
            found.sort_unstable();
            found.dedup();
            // 400 draws from at most 60 products hardly ever miss more than three.
            prop_assert!(found.iter().all(|product| wanted.contains(product)) && found.len() + 3 >= wanted.len());
        }
    }

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
        let texts = FirstSegments::<u16>::new(vec![1, 1, 2, 2, 3], spans.collect(), ids);
        let options = options(64, 1);
        let negatives = Negatives { graph: &graph, texts: &texts, categories: None };
        let (rows, dropped) = choose(negatives, 0, &options);
        prop_assert_eq!(rows.len() as u64 + dropped.values().sum::<u64>(), graph.edges.len() as u64);
        let mut wanted = Counts::new();
        for edge in graph.edge_numbers() {
            let ends = graph.directed(edge, 0);
            let [a, b] = [ends.anchor, ends.neighbor].map(|product| texts.get(product));
            let negative = graph.product_numbers().find(|&product| negatives.is_possible(product, ends));
            let reason = match negative {
                _ if a.is_empty() || b.is_empty() => "without_tokens",
                _ if a == b => "same_text",
                None => "no_negative",
                Some(_) => {
                    let drawn = negatives.draw(edge, 0, 0).unwrap().product;
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
