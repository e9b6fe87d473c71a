//! The sample as a whole: its counts, and that associations and texts mean something.
use std::collections::BTreeSet;

use super::*;

#[test]
fn records_have_the_faults_of_a_dump_and_no_templates() {
    let catalog = Catalog::load().unwrap();
    let shop = Shop::new(&catalog, PRODUCTS, 1);
    let products = records::product_records(&shop);
    let ids: BTreeSet<&str> = products.iter().map(|record| record.asin.as_str()).collect();
    assert_eq!(ids.len(), PRODUCTS);
    assert!(products.len() > PRODUCTS, "no id is there twice");
    let is_empty = |record: &&records::ProductRecord| {
        record.title.is_empty() && record.description.is_empty() && record.feature.is_empty()
    };
    assert!(products.iter().filter(is_empty).count() > 0, "no record is empty");

    let reviews = records::review_records(&shop, &reviews::reviews(&shop, REVIEWS));
    let (mut seen, mut repeats, mut blank, mut long) = (BTreeSet::new(), 0, 0, 0);
    for record in &reviews {
        let text = &record.review_text;
        assert!(ids.contains(record.asin));
        assert!(!text.contains(['{', '}', '[', ']', '|']), "a template was not filled: {text}");
        blank += usize::from(text.is_empty());
        long += usize::from(text.split_whitespace().count() > 400);
        repeats += usize::from(!seen.insert(serde_json::to_string(record).unwrap()));
    }
    assert!(repeats > 20 && blank > 20 && long > 20, "{repeats} repeats, {blank} blank, {long} long");
    assert_eq!(reviews.len(), REVIEWS + repeats);
}

#[test]
fn associations_follow_types() {
    let catalog = Catalog::load().unwrap();
    let shop = Shop::new(&catalog, PRODUCTS, 1);
    let mut hubs = 0;
    for product in &shop.products {
        let type_of = |other: &usize| shop.products[*other].product_type.name.as_str();
        let goes_with: Vec<&str> = product.product_type.goes_with.iter().collect();
        assert!(product.substitutes.iter().all(|other| type_of(other) == product.product_type.name));
        assert!(product.complements.iter().all(|other| goes_with.contains(&type_of(other))));
        hubs += usize::from(product.complements.len() + product.substitutes.len() > 60);
    }
    assert!(hubs >= 5, "{hubs} hubs");
}

#[test]
fn another_seed_gives_another_shop() {
    let catalog = Catalog::load().unwrap();
    let text = |seed| {
        let shop = Shop::new(&catalog, 20, seed);
        let reviews = records::review_records(&shop, &reviews::reviews(&shop, 20));
        serde_json::to_string(&(records::product_records(&shop), reviews)).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}
