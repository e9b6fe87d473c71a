//! The embedded sample: a small invented shop, written as a 2018 dump, so that every command runs without a download.
//!
//! [`write_sample`] makes the files of `data/sample/` from a seed alone. Products come from a
//! vocabulary ([`catalog`]) and templates ([`listing`], [`verdicts`]); associations follow the meaning of products
//! ([`products`]); reviews judge what their product is ([`reviews`]). [`dirt`] adds what real dumps suffer from. No real product, brand or person is meant.
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use schemas::{Draws, StoreError, store};
use serde::Serialize;

pub mod catalog;
pub mod dirt;
pub mod grammar;
pub mod listing;
pub mod products;
pub mod reviews;
mod tokenizer;
pub mod verdicts;
pub mod voice;

use catalog::pick;
use listing::Listing;
use products::Product;
use reviews::Review;

/// Products with an id of their own.
pub const PRODUCTS: usize = 2_000;
/// Reviews, duplicates not counted.
pub const REVIEWS: usize = 8_000;
/// Reviewers.
const REVIEWERS: u64 = 2_500;

/// What [`write_sample`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleSummary {
    /// Lines of `meta_sample.json.gz`, repeated ids included.
    pub products: usize,
    /// Lines of `Sample_5.json.gz`, repeated reviews included.
    pub reviews: usize,
    /// Ids in `also_buy` and `also_view`, unknown ones included.
    pub associations: usize,
    /// Bytes of both files.
    pub bytes: u64,
}

/// Why the sample could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The tokenizer cannot be trained.
    #[error("cannot make `{}`: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the library said.
        message: String,
    },
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A line of `meta_sample.json.gz`, in the fields of the 2018 dumps.
#[derive(Clone, Serialize)]
struct MetaRecord {
    category: Vec<String>,
    tech1: &'static str,
    description: Vec<String>,
    title: String,
    also_buy: Vec<String>,
    image: Vec<String>,
    brand: String,
    feature: Vec<String>,
    rank: String,
    also_view: Vec<String>,
    details: BTreeMap<String, String>,
    main_cat: String,
    price: String,
    asin: String,
}

/// A line of `Sample_5.json.gz`, in the fields of the 2018 dumps.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewRecord<'a> {
    overall: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vote: Option<String>,
    verified: bool,
    review_time: String,
    #[serde(rename = "reviewerID")]
    reviewer_id: String,
    asin: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    style: BTreeMap<&'static str, String>,
    reviewer_name: String,
    review_text: String,
    summary: String,
    unix_review_time: i64,
}

/// Writes `meta_sample.json.gz`, `Sample_5.json.gz` and `tokenizer.json` into `dir`, which is made if need be.
///
/// The bytes depend on `seed` alone, except those of the tokenizer, which is kept where there is one.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write_sample(dir: &Path, seed: u64) -> Result<SampleSummary, SampleError> {
    fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    let mut summary = SampleSummary::default();
    let products = products::products(PRODUCTS, seed);

    let mut records = Vec::with_capacity(PRODUCTS + PRODUCTS / 100);
    for product in &products {
        let first = |edges: &[usize]| edges.first().map(|&i| &products[i]);
        let page = listing::listing(product, first(&product.complements), first(&product.substitutes), seed);
        let record = meta_record(product, page, &products, seed);
        let mut draws = Draws::new(seed, "sample copy", product.asin.as_bytes());
        if draws.below(160) == 0 {
            let mut copy = record.clone();
            copy.also_buy = vec![products[draws.below(PRODUCTS as u64) as usize].asin.clone()];
            copy.also_view.truncate(2);
            copy.price = String::new();
            records.push(copy);
        }
        records.push(record);
    }
    summary.products = records.len();
    summary.associations = records.iter().map(|record| record.also_buy.len() + record.also_view.len()).sum();
    summary.bytes += write_file(&dir.join("meta_sample.json.gz"), |out| lines(out, &records))?;

    let reviews = reviews::reviews(&products, REVIEWS, seed);
    let mut records = Vec::with_capacity(REVIEWS + REVIEWS / 100);
    for (i, review) in reviews.iter().enumerate() {
        records.push(review_record(i, review, &products[review.product], seed));
        if Draws::new(seed, "sample repeat", &(i as u64).to_le_bytes()).below(140) == 0 {
            records.push(review_record(i, review, &products[review.product], seed));
        }
    }
    summary.reviews = records.len();
    summary.bytes += write_file(&dir.join("Sample_5.json.gz"), |out| lines(out, &records))?;

    // The library breaks ties of equal counts in random order, so a vocabulary is trained once and kept.
    if !dir.join("tokenizer.json").exists() {
        tokenizer::write_tokenizer(dir, &["meta_sample.json.gz", "Sample_5.json.gz"])?;
    }
    Ok(summary)
}

fn lines<T: Serialize>(out: &mut dyn Write, records: &[T]) -> io::Result<()> {
    for record in records {
        serde_json::to_writer(&mut *out, record)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Compresses what `fill` writes; the file appears under its name when it is whole. Gives its size in bytes.
fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u64, SampleError> {
    let mut gz = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let bytes = fill(&mut gz).and_then(|()| gz.finish()).map_err(StoreError::io("write", path))?;
    Ok(store::write_file(path, &bytes)?.bytes)
}

fn meta_record(product: &Product, page: Listing, products: &[Product], seed: u64) -> MetaRecord {
    let mut draws = Draws::new(seed, "sample record", product.asin.as_bytes());
    let draws = &mut draws;
    let mut ids = |edges: &[usize]| {
        let mut ids: Vec<String> = edges.iter().map(|&i| products[i].asin.clone()).collect();
        if draws.below(3) == 0 {
            for _ in 0..1 + draws.below(3) {
                let at = draws.below(ids.len() as u64 + 1) as usize;
                ids.insert(at, products::asin(draws));
            }
        }
        ids
    };
    let (also_buy, also_view) = (ids(&product.complements), ids(&product.substitutes));
    let mut voice = voice::Voice::new(product, None, None, draws);
    let mut details = BTreeMap::new();
    for (key, value) in product.category.attributes {
        if draws.below(4) != 0 {
            let key = if draws.below(6) == 0 { format!("\n    {key}\n    ") } else { (*key).to_owned() };
            details.insert(key, grammar::expand(value, &mut voice, draws));
        }
    }
    details.insert("ASIN: ".to_owned(), product.asin.clone());
    let category = product.category;
    let shelf = product.kind_of.shelf;
    let image = (0..draws.below(2)).map(|i| format!("https://images.example.com/{}.{i}.jpg", product.asin)).collect();
    MetaRecord {
        category: vec![category.name.replace('&', "&amp;"), pick(category.aisle, draws).to_owned(), shelf.to_owned()],
        tech1: "",
        description: dirt::description(&page.description, draws),
        title: dirt::line(&page.title, draws).trim_start_matches("✔ ").to_owned(),
        also_buy,
        image,
        brand: if draws.below(12) == 0 { String::new() } else { product.brand.to_owned() },
        feature: page.features.iter().map(|feature| dirt::line(feature, draws)).collect(),
        rank: format!("{} in {} (", 100 + draws.below(900_000), category.name),
        also_view,
        details,
        main_cat: category.name.to_owned(),
        price: if draws.below(4) == 0 {
            String::new()
        } else {
            format!("${}.{:02}", product.cents / 100, product.cents % 100)
        },
        asin: product.asin.clone(),
    }
}

fn review_record<'a>(index: usize, review: &Review, product: &'a Product, seed: u64) -> ReviewRecord<'a> {
    let mut draws = Draws::new(seed, "sample envelope", &(index as u64).to_le_bytes());
    let draws = &mut draws;
    let reviewer = draws.below(REVIEWERS);
    let mut person = Draws::new(seed, "sample person", &reviewer.to_le_bytes());
    let mut reviewer_id = products::asin(&mut person).replacen("B0", "A", 1);
    reviewer_id.push_str(&products::asin(&mut person)[5..]);
    let names = "Avery|Blake|Casey|Dana|Eli|Frankie|Gale|Harper|Imani|Jules|Kai|Logan|Marisol|Noor|Olu|Priya|Quinn|Remy|Sasha|Tomás";
    let reviewer_name = match person.below(6) {
        0 => "A. Customer".to_owned(),
        1 => format!("{} & family", pick(names, &mut person)),
        2 => format!("{}{}", pick(names, &mut person).to_lowercase(), person.below(1000)),
        _ => format!("{} {}.", pick(names, &mut person), char::from(b'A' + person.below(26) as u8)),
    };
    let day = 14_610 + draws.below(3_200) as i64;
    let (year, month, date) = civil(day);
    let mut style = BTreeMap::new();
    match draws.below(5) {
        0 => drop(style.insert("Color:", format!(" {}", product.color))),
        1 => drop(style.insert("Size:", format!(" {}", product.size))),
        _ => {}
    }
    let hyphens = dirt::hyphenate(&review.text, draws);
    ReviewRecord {
        overall: f64::from(review.stars),
        vote: (draws.below(10) == 0).then(|| (2 + draws.below(30)).to_string()),
        verified: draws.below(10) != 0,
        review_time: format!("{month:02} {date}, {year}"),
        reviewer_id,
        asin: &product.asin,
        style,
        reviewer_name,
        review_text: if draws.below(25) == 0 { hyphens.replace('\'', "&#39;").replace('&', "&amp;") } else { hyphens },
        summary: review.summary.clone(),
        unix_review_time: day * 86_400,
    }
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests;
