//! The products of the shop and their associations.
//!
//! Substitutes (`also_view`) are near products of the same type. Complements (`also_buy`) are products
//! of the types that go with it. A few products are hubs, with up to 190 associations.
use std::collections::{BTreeMap, BTreeSet};

use schemas::Draws;

use crate::catalog::{Catalog, Department, Feature, ProductType};

/// A product's position in [`Shop::products`].
pub(crate) type ProductIndex = usize;

/// All products, before any text is written about them.
pub(crate) struct Shop<'c> {
    pub(crate) catalog: &'c Catalog,
    pub(crate) seed: u64,
    pub(crate) products: Vec<Product<'c>>,
}

pub(crate) struct Product<'c> {
    /// The product id: `B0` and eight letters and digits.
    pub(crate) asin: String,
    pub(crate) department: &'c Department,
    pub(crate) product_type: &'c ProductType,
    pub(crate) brand: &'c str,
    /// The model line.
    pub(crate) line: &'c str,
    /// The variant.
    pub(crate) kind: &'c str,
    pub(crate) material: &'c str,
    /// The size or count.
    pub(crate) size: &'c str,
    /// The color, scent or flavor.
    pub(crate) color: &'c str,
    /// A part number such as `KX-4410B`.
    pub(crate) part: String,
    pub(crate) cents: u64,
    /// The price within its type, from 0 to 1.
    pub(crate) tier: f64,
    /// The quality, from 0 to 1, which the stars of reviews follow.
    pub(crate) quality: f64,
    /// How many reviews and associations it attracts; about 1 for most products.
    pub(crate) popularity: f64,
    /// Three to six selling points.
    pub(crate) features: Vec<&'c Feature>,
    pub(crate) complements: Vec<ProductIndex>,
    pub(crate) substitutes: Vec<ProductIndex>,
}

impl<'c> Shop<'c> {
    /// `count` products, one of each type in turn, with their associations.
    pub(crate) fn new(catalog: &'c Catalog, count: usize, seed: u64) -> Self {
        let types: Vec<(&Department, &ProductType)> = catalog
            .departments
            .iter()
            .flat_map(|department| department.types.iter().map(move |product_type| (department, product_type)))
            .collect();
        let mut taken = BTreeSet::new();
        let mut products: Vec<Product> = (0..count)
            .map(|i| {
                let mut draws = Draws::new(seed, "sample product", &(i as u64).to_le_bytes());
                let (department, product_type) = types[i % types.len()];
                let mut asin = draw_asin(&mut draws);
                while !taken.insert(asin.clone()) {
                    asin = draw_asin(&mut draws);
                }
                Product::draw(asin, department, product_type, &mut draws)
            })
            .collect();
        associate(&mut products, seed);
        Self { catalog, seed, products }
    }
}

impl<'c> Product<'c> {
    /// Draws everything but the associations.
    fn draw(asin: String, department: &'c Department, product_type: &'c ProductType, draws: &mut Draws) -> Self {
        let tier = draws.unit();
        let price = &product_type.price;
        let dollars = u64::from(price.low) + (tier * f64::from(price.high - price.low)) as u64;
        let mut features: Vec<&Feature> = product_type.features.iter().collect();
        draws.shuffle(&mut features);
        features.truncate(3 + draws.below(4) as usize);
        // The fields draw in this order.
        Self {
            asin,
            department,
            product_type,
            brand: department.brands.draw(draws),
            line: department.lines.draw(draws),
            kind: product_type.kinds.draw(draws),
            material: product_type.materials.draw(draws),
            size: product_type.sizes.draw(draws),
            color: department.colors.draw(draws),
            part: draw_part_number(draws),
            cents: dollars * 100 + [99, 95, 0, 49][draws.below(4) as usize],
            tier,
            quality: (0.25 * tier + 0.35 + 0.5 * draws.unit()).min(1.0),
            popularity: (0.35 / (draws.unit() + 0.02)).min(15.0),
            features,
            complements: Vec::new(),
            substitutes: Vec::new(),
        }
    }
}

/// Draws the id of a product: `B0` and eight of `[0-9A-Z]`.
pub(crate) fn draw_asin(draws: &mut Draws) -> String {
    let mut id = String::from("B0");
    for _ in 0..8 {
        id.push(char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[draws.below(36) as usize]));
    }
    id
}

fn draw_part_number(draws: &mut Draws) -> String {
    let mut part = String::new();
    for _ in 0..2 {
        part.push(char::from(b'A' + draws.below(26) as u8));
    }
    let tail = ["", "B", "-2", "XL", "-BLK"][draws.below(5) as usize];
    format!("{part}-{}{tail}", 100 + draws.below(9900))
}

/// Draws the associations of all products.
fn associate(products: &mut [Product], seed: u64) {
    let mut of_type: BTreeMap<&str, Vec<ProductIndex>> = BTreeMap::new();
    for (i, product) in products.iter().enumerate() {
        of_type.entry(&product.product_type.name).or_default().push(i);
    }
    for i in 0..products.len() {
        let mut draws = Draws::new(seed, "sample edges", products[i].asin.as_bytes());
        let is_hub = products[i].popularity > 14.0;
        let substitutes = if is_hub { 100 } else { [0, 0, 1, 2, 3, 4, 5, 6, 8, 10][draws.below(10) as usize] };
        let complements = if is_hub { 90 } else { [0, 0, 1, 1, 2, 3, 3, 4, 5, 7][draws.below(10) as usize] };
        let product_type = products[i].product_type;
        let same_type = &of_type[product_type.name.as_str()];
        let going_with: Vec<ProductIndex> =
            product_type.goes_with.iter().filter_map(|name| of_type.get(name)).flatten().copied().collect();
        products[i].substitutes = nearest(products, i, same_type, substitutes, &mut draws);
        products[i].complements = nearest(products, i, &going_with, complements, &mut draws);
    }
}

/// The `count` candidates nearest to `product`, with some luck and a bonus for popular ones.
fn nearest(
    products: &[Product],
    product: ProductIndex,
    candidates: &[ProductIndex],
    count: usize,
    draws: &mut Draws,
) -> Vec<ProductIndex> {
    let this = &products[product];
    let mut ranked: Vec<(f64, ProductIndex)> = candidates
        .iter()
        .filter(|&&candidate| candidate != product)
        .map(|&candidate| {
            let that = &products[candidate];
            let penalty = |differs: bool, weight: f64| if differs { weight } else { 0.0 };
            let distance = 2.0 * (this.tier - that.tier).abs()
                + penalty(this.kind != that.kind, 0.5)
                + penalty(this.material != that.material, 0.3)
                + penalty(this.brand != that.brand, 0.4)
                + 0.5 * draws.unit()
                - 0.05 * that.popularity;
            (distance, candidate)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}
