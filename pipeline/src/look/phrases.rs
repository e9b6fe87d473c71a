//! `pipeline report phrases`: the phrases that tell categories apart (the paper's Table 1).
//!
//! Of a category's pool phrases of several words, those come first that are frequent there and rare elsewhere: by
//! sqrt(n) ln((n / N) / (m / M)), where n of the category's N products have the phrase, and m of all M. (By n alone instead of its
//! root, phrases such as `high quality` come first in half of all categories.)
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io,
    path::Path,
};

use schemas::{DocumentId, StoreError, store};

use super::categories::{Products, ProductsError, quoted};
use crate::{engine::progress::thousands, phrase::pool};

/// The table cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PhrasesError {
    /// What was made.
    #[error(transparent)]
    Products(#[from] ProductsError),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] pool::PoolOfShardsError),
    /// The table cannot be written.
    #[error("cannot write the table")]
    Report(#[from] io::Error),
}

/// A phrase in a category.
struct Entry {
    phrase: u32,
    /// Products of the category that have it.
    products: u64,
    weight: f64,
}

/// Writes the `most` phrases of the `categories` with the most products, and all of it to `out/report/phrases.csv`.
pub fn phrases(out: &Path, categories: usize, most: usize, report: &mut impl io::Write) -> Result<(), PhrasesError> {
    let products = Products::open(out)?;
    let pool = pool::of_shards(out, &products.shards().body)?;
    // Products of a category that have a phrase; a product's segments follow one another.
    let mut having: HashMap<String, HashMap<u32, (u64, Option<DocumentId>)>> = HashMap::new();
    let of = products.each_segment(|name, segment| {
        if !having.contains_key(name) {
            having.insert(name.to_owned(), HashMap::new());
        }
        let Some(having) = having.get_mut(name) else { return };
        for span in segment.phrases {
            let (count, last) = having.entry(span.phrase.get()).or_default();
            if *last != Some(segment.document) {
                (*count, *last) = (*count + 1, Some(segment.document));
            }
        }
    })?;
    let all: u64 = of.values().sum();
    let mut everywhere: HashMap<u32, u64> = HashMap::new();
    for phrases in having.values() {
        phrases.iter().for_each(|(phrase, (count, _))| *everywhere.entry(*phrase).or_default() += count);
    }
    let mut largest: Vec<(&String, u64)> = of.iter().map(|(name, count)| (name, *count)).collect();
    largest.sort_by_key(|(name, count)| (Reverse(*count), *name));
    largest.truncate(categories);
    let mut csv = String::from("category,products,phrase,score,products_with_phrase\n");
    let mut table: BTreeMap<&String, Vec<Entry>> = BTreeMap::new();
    for (name, count) in &largest {
        let empty = HashMap::new();
        let entries = having.get(*name).unwrap_or(&empty).iter();
        let mut entries: Vec<Entry> = entries
            .filter(|(phrase, _)| pool.phrases.get(**phrase as usize).is_some_and(|p| p.words > 1))
            .map(|(&phrase, &(products, _))| {
                let here = products as f64 / *count as f64;
                let elsewhere = everywhere[&phrase] as f64 / all as f64;
                Entry { phrase, products, weight: (products as f64).sqrt() * (here / elsewhere).ln() }
            })
            .collect();
        entries.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.phrase.cmp(&b.phrase)));
        entries.truncate(most);
        table.insert(name, entries);
    }
    for (name, count) in &largest {
        let texts: Vec<&str> = table[*name].iter().map(|e| pool.phrases[e.phrase as usize].text.as_str()).collect();
        writeln!(report, "{name}   {} products\n          {}", thousands(*count), texts.join(" · "))?;
        for entry in &table[*name] {
            let phrase = &pool.phrases[entry.phrase as usize];
            let _ = writeln!(
                csv,
                "{},{count},{},{:.4},{}",
                quoted(name),
                quoted(&phrase.text),
                phrase.score,
                entry.products
            );
        }
    }
    let folder = out.join("report");
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let path = folder.join("phrases.csv");
    store::write_file(&path, csv.as_bytes())?;
    writeln!(report, "table     {}", path.display())?;
    Ok(())
}
