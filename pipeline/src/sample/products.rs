//! The products of the sample shop and how they are associated.
//!
//! Substitutes (`also_view`) are near products of the same type; complements (`also_buy`) are products of the types
//! that go with it. Ten or so products are hubs with all the edges their shelves offer.
use std::collections::{BTreeMap, BTreeSet};

use schemas::Draws;

use super::catalog::{CATEGORIES, Category, Feature, ProductType, pick};

/// One product before anything is written about it.
pub struct Product {
    /// The product id: `B0` and eight letters and digits.
    pub asin: String,
    /// Index into [`CATEGORIES`].
    pub category_index: usize,
    /// Its category.
    pub category: &'static Category,
    /// Its type.
    pub kind_of: &'static ProductType,
    /// Its invented brand.
    pub brand: &'static str,
    /// Its model line.
    pub line: &'static str,
    /// Its variant.
    pub kind: &'static str,
    /// Its material.
    pub material: &'static str,
    /// Its size or count.
    pub size: &'static str,
    /// Its color, scent or flavor.
    pub color: &'static str,
    /// A part number such as `KX-4410B`.
    pub part: String,
    /// The price in cents.
    pub cents: u64,
    /// The price within its type, from 0 to 1.
    pub tier: f64,
    /// How well it is made, from 0 to 1: its reviews follow.
    pub quality: f64,
    /// How many reviews and edges it attracts; 1 is usual.
    pub popularity: f64,
    /// Three to six selling points.
    pub features: Vec<Feature>,
    /// Complements, as indices of products.
    pub complements: Vec<usize>,
    /// Substitutes, as indices of products.
    pub substitutes: Vec<usize>,
}

/// `count` products, the types in turn, with their associations.
pub fn products(count: usize, seed: u64) -> Vec<Product> {
    let mut taken = BTreeSet::new();
    let types: Vec<(usize, &'static ProductType)> =
        CATEGORIES.iter().enumerate().flat_map(|(i, category)| category.types.iter().map(move |t| (i, t))).collect();
    let mut products: Vec<Product> = (0..count)
        .map(|i| {
            let mut draws = Draws::new(seed, "sample product", &(i as u64).to_le_bytes());
            let (category_index, kind_of) = types[i % types.len()];
            let mut asin = asin(&mut draws);
            while !taken.insert(asin.clone()) {
                asin = self::asin(&mut draws);
            }
            product(asin, category_index, kind_of, &mut draws)
        })
        .collect();
    associate(&mut products, seed);
    products
}

/// A fresh id: `B0` and eight of [0-9A-Z].
pub fn asin(draws: &mut Draws) -> String {
    let mut id = String::from("B0");
    for _ in 0..8 {
        id.push(char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[draws.below(36) as usize]));
    }
    id
}

fn product(asin: String, category_index: usize, kind_of: &'static ProductType, draws: &mut Draws) -> Product {
    let category = CATEGORIES[category_index];
    let tier = draws.unit();
    let (low, high) = kind_of.price;
    let dollars = u64::from(low) + (tier * f64::from(high - low)) as u64;
    let mut features = kind_of.features.to_vec();
    draws.shuffle(&mut features);
    features.truncate(3 + draws.below(4) as usize);
    Product {
        asin,
        category_index,
        category,
        kind_of,
        brand: pick(category.brands, draws),
        line: pick(category.lines, draws),
        kind: pick(kind_of.kinds, draws),
        material: pick(kind_of.materials, draws),
        size: pick(kind_of.sizes, draws),
        color: pick(category.colors, draws),
        part: part_number(draws),
        cents: dollars * 100 + [99, 95, 0, 49][draws.below(4) as usize],
        tier,
        quality: (0.25 * tier + 0.35 + 0.5 * draws.unit()).min(1.0),
        popularity: (0.35 / (draws.unit() + 0.02)).min(15.0),
        features,
        complements: Vec::new(),
        substitutes: Vec::new(),
    }
}

fn part_number(draws: &mut Draws) -> String {
    let mut part = String::new();
    for _ in 0..2 {
        part.push(char::from(b'A' + draws.below(26) as u8));
    }
    let tail = ["", "B", "-2", "XL", "-BLK"][draws.below(5) as usize];
    format!("{part}-{}{tail}", 100 + draws.below(9900))
}

/// Draws the edges of all products.
fn associate(products: &mut [Product], seed: u64) {
    let mut shelves: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    for (i, product) in products.iter().enumerate() {
        shelves.entry(product.kind_of.name).or_default().push(i);
    }
    for i in 0..products.len() {
        let mut draws = Draws::new(seed, "sample edges", products[i].asin.as_bytes());
        let hub = products[i].popularity > 14.0;
        let views = if hub { 100 } else { [0, 0, 1, 2, 3, 4, 5, 6, 8, 10][draws.below(10) as usize] };
        let buys = if hub { 90 } else { [0, 0, 1, 1, 2, 3, 3, 4, 5, 7][draws.below(10) as usize] };
        let kind_of = products[i].kind_of;
        let same = shelves.get(kind_of.name).cloned().unwrap_or_default();
        let goes: Vec<usize> =
            kind_of.goes_with.split('|').filter_map(|name| shelves.get(name)).flatten().copied().collect();
        products[i].substitutes = nearest(products, i, same, views, &mut draws);
        products[i].complements = nearest(products, i, goes, buys, &mut draws);
    }
}

/// The `count` candidates that shoppers of product `of` would meet first.
fn nearest(products: &[Product], of: usize, candidates: Vec<usize>, count: usize, draws: &mut Draws) -> Vec<usize> {
    let here = &products[of];
    let mut ranked: Vec<(f64, usize)> = candidates
        .into_iter()
        .filter(|&other| other != of)
        .map(|other| {
            let there = &products[other];
            let unlike = |differs: bool, weight: f64| if differs { weight } else { 0.0 };
            let distance = 2.0 * (here.tier - there.tier).abs()
                + unlike(here.kind != there.kind, 0.5)
                + unlike(here.material != there.material, 0.3)
                + unlike(here.brand != there.brand, 0.4)
                + 0.5 * draws.unit()
                - 0.05 * there.popularity;
            (distance, other)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(count).map(|(_, other)| other).collect()
}
