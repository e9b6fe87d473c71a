use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use proptest::prelude::*;

use super::*;

/// Ends and bits of the weight.
type Edges = BTreeMap<(u32, u32), u32>;

/// Lists in memory.
struct Listed {
    pairs: RunSorter<ListedPair>,
    lists: Vec<u32>,
}

impl ListSink for Listed {
    fn listed(&mut self, product: ProductRank) -> Result<(), StoreError> {
        self.lists[product.index()] += 1;
        Ok(())
    }

    fn pair(&mut self, pair: ListedPair) -> Result<(), StoreError> {
        self.pairs.push(pair)
    }
}

/// What [`PairsOfLists`] gives in `memory` bytes.
fn counted(lists: &[Vec<u32>], products: usize, is_order: bool, memory: usize) -> Edges {
    let folder = tempfile::tempdir().unwrap();
    let next_to = &folder.path().join("associations.parquet");
    let mut listed = Listed { pairs: RunSorter::new(next_to, memory), lists: vec![0; products] };
    for list in lists {
        let list: Vec<ProductRank> = list.iter().copied().map(ProductRank).collect();
        if is_order { add_order(&list, &mut listed) } else { add_list(&list, &mut listed) }.unwrap();
    }
    let mut edges = RunSorter::new(next_to, memory);
    let pairs = PairsOfLists { pairs: listed.pairs.finish().unwrap(), lists: listed.lists, next_to, memory };
    pairs.derive(Relation::CoReviewed, &mut edges).unwrap();
    let edges = edges.finish().unwrap().map(|edge| edge.unwrap().numbers());
    let all: Vec<_> = edges.collect();
    let unique: Edges = all.iter().copied().collect();
    assert_eq!(unique.len(), all.len(), "an edge comes twice");
    unique
}

/// The same from maps that hold everything, and from the definition in the module's text.
fn expected(lists: &[Vec<u32>], is_order: bool) -> Edges {
    let mut users: BTreeMap<u32, f64> = BTreeMap::new();
    let mut pairs: BTreeMap<(u32, u32), (u32, u64)> = BTreeMap::new();
    for list in lists {
        for (i, &one) in list.iter().enumerate() {
            *users.entry(one).or_default() += 1.0;
            for (j, &other) in list.iter().enumerate().filter(|&(j, _)| j > i) {
                let distance = if is_order { 1 } else { j - i };
                if is_order || distance <= 10 {
                    let pair = pairs.entry((one.min(other), one.max(other))).or_default();
                    pair.0 += 1;
                    let share = 1.0 / ((distance as f64).sqrt() * list.len() as f64);
                    pair.1 += (share * 2f64.powi(32)).round() as u64;
                }
            }
        }
    }
    let evidence: BTreeMap<(u32, u32), f32> = pairs
        .into_iter()
        .filter(|(_, (supporting, _))| *supporting >= 2)
        .map(|((a, b), (_, sum))| ((a, b), (sum as f64 / 2f64.powi(32) / (users[&a] * users[&b]).sqrt()) as f32))
        .collect();
    // All pairs of each product, the best first.
    let ranked = |weights: &BTreeMap<(u32, u32), f32>| {
        let mut ranked: BTreeMap<u32, Vec<(f32, u32)>> = BTreeMap::new();
        for (&(a, b), &weight) in weights {
            ranked.entry(a).or_default().push((weight, b));
            ranked.entry(b).or_default().push((weight, a));
        }
        ranked.values_mut().for_each(|pairs| pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1))));
        ranked
    };
    let strength: BTreeMap<u32, f32> = ranked(&evidence)
        .into_iter()
        .map(|(of, pairs)| (of, pairs.iter().take(8).fold(0.0, |sum, (evidence, _)| sum + evidence)))
        .collect();
    let weights: BTreeMap<(u32, u32), f32> = evidence
        .iter()
        .map(|(&(a, b), &evidence)| {
            let both = f64::from(strength[&a]) * f64::from(strength[&b]);
            ((a, b), (f64::from(evidence) * both.sqrt()) as f32)
        })
        .collect();
    let mut kept = BTreeSet::new();
    for (of, pairs) in ranked(&weights) {
        kept.extend(pairs.iter().take(32).map(|&(_, other)| (of.min(other), of.max(other))));
    }
    weights.into_iter().filter(|(pair, _)| kept.contains(pair)).map(|(pair, weight)| (pair, weight.to_bits())).collect()
}

#[test]
fn edges_of_real_lists_are_those_of_the_definition() {
    let shared = std::env::var_os("EBERT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), std::path::PathBuf::from);
    let Ok(file) = std::fs::File::open(shared.join("data/baskets/beauty_sequences.txt.gz")) else {
        eprintln!("skipped: `{}` has no lists", shared.display());
        return;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut numbers = BTreeMap::new();
    let lists: Vec<Vec<u32>> = text
        .lines()
        .map(|line| {
            let ids = line.split(' ').skip(1);
            ids.map(|id| {
                let next = numbers.len() as u32;
                *numbers.entry(id).or_insert(next)
            })
            .collect()
        })
        .collect();
    let wanted = expected(&lists, false);
    assert!(wanted.len() > 40_000);
    assert!(counted(&lists, numbers.len(), false, 1 << 18) == wanted);
}

/// Lists of distinct products, some of them hubs.
fn lists() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let product = prop_oneof![0u32..4, 0u32..90];
    let list = prop::collection::vec(product, 0..25).prop_map(|list| {
        let mut seen = BTreeSet::new();
        list.into_iter().filter(|product| seen.insert(*product)).collect::<Vec<u32>>()
    });
    prop::collection::vec(list, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn edges_are_those_of_the_definition_in_any_memory_and_order(
        lists in lists(),
        is_order in any::<bool>(),
        memory in prop_oneof![Just(1 << 20), 0usize..4_000],
    ) {
        let wanted = expected(&lists, is_order);
        prop_assert_eq!(&counted(&lists, 90, is_order, memory), &wanted);
        let reversed: Vec<Vec<u32>> = lists.iter().rev().cloned().collect();
        prop_assert_eq!(&counted(&reversed, 90, is_order, memory), &wanted);
    }
}

#[test]
fn a_pair_needs_two_users_and_a_window() {
    // Twelve products apart is too far. One user is not enough.
    let far: Vec<u32> = (0..13).collect();
    let edges = counted(&[far.clone(), far, vec![20, 21]], 30, false, 1 << 20);
    assert!(edges.contains_key(&(0, 10)) && !edges.contains_key(&(0, 11)) && !edges.contains_key(&(20, 21)));
    // In an order nothing is far.
    let order: Vec<u32> = (0..13).collect();
    assert!(counted(&[order.clone(), order], 30, true, 1 << 20).contains_key(&(0, 12)));
}

#[test]
fn ties_of_weight_are_broken_by_id() {
    // A hub with 40 neighbors of the same weight, each of which has 32 better ones of its own.
    let mut lists = Vec::new();
    for neighbor in 1..=40u32 {
        let own = (0..32).map(|i| 100 + neighbor * 32 + i);
        lists.extend(own.flat_map(|other| std::iter::repeat_n(vec![neighbor, other], 2)));
        lists.extend(std::iter::repeat_n(vec![0, neighbor], 2));
    }
    let edges = counted(&lists, 2_000, false, 1 << 16);
    let of_hub: Vec<u32> = edges.keys().filter(|(a, _)| *a == 0).map(|&(_, b)| b).collect();
    assert_eq!(of_hub, (1..=32).collect::<Vec<_>>());
}
