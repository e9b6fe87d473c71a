//! The records of the two files, in the fields of the 2018 dumps.
use std::collections::BTreeMap;

use schemas::Draws;
use serde::Serialize;

use crate::{
    catalog::draw_from,
    listings::{Listing, listing},
    noise,
    products::{Product, ProductIndex, Shop, draw_asin},
    reviews::Review,
    template::expand,
    voice::Voice,
};

const REVIEWERS: u64 = 2_500;

const FIRST_NAMES: [&str; 20] = [
    "Avery", "Blake", "Casey", "Dana", "Eli", "Frankie", "Gale", "Harper", "Imani", "Jules", "Kai", "Logan", "Marisol",
    "Noor", "Olu", "Priya", "Quinn", "Remy", "Sasha", "Tomás",
];

/// A line of `meta_sample.json.gz`.
#[derive(Clone, Serialize)]
pub(crate) struct ProductRecord {
    pub(crate) category: Vec<String>,
    pub(crate) tech1: &'static str,
    pub(crate) description: Vec<String>,
    pub(crate) title: String,
    pub(crate) also_buy: Vec<String>,
    pub(crate) image: Vec<String>,
    pub(crate) brand: String,
    pub(crate) feature: Vec<String>,
    pub(crate) rank: String,
    pub(crate) also_view: Vec<String>,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) main_cat: String,
    pub(crate) price: String,
    pub(crate) asin: String,
}

/// A line of `Sample_5.json.gz`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewRecord<'s> {
    pub(crate) overall: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vote: Option<String>,
    pub(crate) verified: bool,
    pub(crate) review_time: String,
    #[serde(rename = "reviewerID")]
    pub(crate) reviewer_id: String,
    pub(crate) asin: &'s str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) style: BTreeMap<&'static str, String>,
    pub(crate) reviewer_name: String,
    pub(crate) review_text: String,
    pub(crate) summary: String,
    pub(crate) unix_review_time: i64,
}

/// The records of all products. Before about one in 160, an outdated record has the same id.
pub(crate) fn product_records(shop: &Shop) -> Vec<ProductRecord> {
    let mut records = Vec::new();
    for product in &shop.products {
        let record = product_record(shop, product, listing(shop, product));
        let mut draws = Draws::new(shop.seed, "sample copy", product.asin.as_bytes());
        if draws.below(160) == 0 {
            let mut outdated = record.clone();
            let other = draws.below(shop.products.len() as u64) as usize;
            outdated.also_buy = vec![shop.products[other].asin.clone()];
            outdated.also_view.truncate(2);
            outdated.price = String::new();
            records.push(outdated);
        }
        records.push(record);
    }
    records
}

/// The records of `reviews`. About one in 140 is repeated.
pub(crate) fn review_records<'s>(shop: &'s Shop, reviews: &[Review]) -> Vec<ReviewRecord<'s>> {
    let mut records = Vec::new();
    for (i, review) in reviews.iter().enumerate() {
        let id = (i as u64).to_le_bytes();
        let record = review_record(shop, review, &mut Draws::new(shop.seed, "sample envelope", &id));
        if Draws::new(shop.seed, "sample repeat", &id).below(140) == 0 {
            records.push(record.clone());
        }
        records.push(record);
    }
    records
}

fn product_record(shop: &Shop, product: &Product, page: Listing) -> ProductRecord {
    let mut draws = Draws::new(shop.seed, "sample record", product.asin.as_bytes());
    let draws = &mut draws;
    let also_buy = associated_ids(shop, &product.complements, draws);
    let also_view = associated_ids(shop, &product.substitutes, draws);
    let department = product.department;
    let mut voice = Voice::new(shop.catalog, product, None, None, draws);
    let mut details = BTreeMap::new();
    for detail in &department.details {
        if draws.below(4) != 0 {
            let has_spaces = draws.below(6) == 0;
            let key = if has_spaces { format!("\n    {}\n    ", detail.key) } else { detail.key.clone() };
            details.insert(key, expand(&detail.value, &mut voice, draws));
        }
    }
    details.insert("ASIN: ".to_owned(), product.asin.clone());
    let image = (0..draws.below(2)).map(|i| format!("https://images.example.com/{}.{i}.jpg", product.asin)).collect();
    // The fields draw in this order.
    ProductRecord {
        category: vec![
            department.name.replace('&', "&amp;"),
            department.aisles.draw(draws).to_owned(),
            product.product_type.shelf.clone(),
        ],
        tech1: "",
        description: noise::description(&page.paragraphs, draws),
        title: noise::line(&page.title, draws).trim_start_matches("✔ ").to_owned(),
        also_buy,
        image,
        brand: if draws.below(12) == 0 { String::new() } else { product.brand.to_owned() },
        feature: page.bullets.iter().map(|bullet| noise::line(bullet, draws)).collect(),
        rank: format!("{} in {} (", 100 + draws.below(900_000), department.name),
        also_view,
        details,
        main_cat: department.name.clone(),
        price: if draws.below(4) == 0 {
            String::new()
        } else {
            format!("${}.{:02}", product.cents / 100, product.cents % 100)
        },
        asin: product.asin.clone(),
    }
}

/// The ids of `products`. One list in three also has ids that are not in the corpus.
fn associated_ids(shop: &Shop, products: &[ProductIndex], draws: &mut Draws) -> Vec<String> {
    let mut ids: Vec<String> = products.iter().map(|&i| shop.products[i].asin.clone()).collect();
    if draws.below(3) == 0 {
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(ids.len() as u64 + 1) as usize;
            ids.insert(at, draw_asin(draws));
        }
    }
    ids
}

fn review_record<'s>(shop: &'s Shop, review: &Review, draws: &mut Draws) -> ReviewRecord<'s> {
    let product = &shop.products[review.product];
    let reviewer = draws.below(REVIEWERS);
    let (reviewer_id, reviewer_name) = reviewer_id_and_name(shop.seed, reviewer);
    let day = 14_610 + draws.below(3_200) as i64;
    let (year, month, date) = calendar_date(day);
    let mut style = BTreeMap::new();
    match draws.below(5) {
        0 => drop(style.insert("Color:", format!(" {}", product.color))),
        1 => drop(style.insert("Size:", format!(" {}", product.size))),
        _ => {}
    }
    let text = noise::hyphenate(&review.text, draws);
    // The fields draw in this order.
    ReviewRecord {
        overall: f64::from(review.stars),
        vote: (draws.below(10) == 0).then(|| (2 + draws.below(30)).to_string()),
        verified: draws.below(10) != 0,
        review_time: format!("{month:02} {date}, {year}"),
        reviewer_id,
        asin: &product.asin,
        style,
        reviewer_name,
        review_text: if draws.below(25) == 0 { text.replace('\'', "&#39;").replace('&', "&amp;") } else { text },
        summary: review.summary.clone(),
        unix_review_time: day * 86_400,
    }
}

fn reviewer_id_and_name(seed: u64, reviewer: u64) -> (String, String) {
    let mut draws = Draws::new(seed, "sample person", &reviewer.to_le_bytes());
    let draws = &mut draws;
    let mut id = draw_asin(draws).replacen("B0", "A", 1);
    id.push_str(&draw_asin(draws)[5..]);
    let kind = draws.below(6);
    if kind == 0 {
        return (id, "A. Customer".to_owned());
    }
    let first = draw_from(&FIRST_NAMES, draws).copied().unwrap_or_default();
    let name = match kind {
        1 => format!("{first} & family"),
        2 => format!("{}{}", first.to_lowercase(), draws.below(1000)),
        _ => format!("{first} {}.", char::from(b'A' + draws.below(26) as u8)),
    };
    (id, name)
}

/// Year, month and date of a day since 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn calendar_date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_calendar_dates() {
        for (day, date) in [(0, (1970, 1, 1)), (16_861, (2016, 3, 1)), (17_696, (2018, 6, 14))] {
            assert_eq!(calendar_date(day), date);
        }
    }
}
