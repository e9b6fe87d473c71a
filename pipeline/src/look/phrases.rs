//! `ebert report phrases`: the phrases that distinguish categories (the paper's Table 1).
//!
//! Of a category's pool phrases of several words, those come first that are frequent there and rare
//! elsewhere. They are ranked by sqrt(n) ln((n / N) / (m / M)), where n of the category's N products
//! have the phrase, and m of all M. By n instead of its root, phrases such as `high quality` come
//! first in half of all categories.
use std::{fmt::Write as _, io, path::Path};

use polars::prelude::*;
use schemas::{StoreError, store};

use super::{
    categories::{CategorySize, Products, ProductsError, count_category_phrases, quoted},
    segments::{SpanColumn, spans},
};
use crate::{
    engine::{
        frames::{COUNT, sum_by},
        progress::thousands,
    },
    hint::Hint,
    phrase::pool::{self, Phrase, Pool},
};

/// The table of phrases cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PhrasesError {
    #[error(transparent)]
    Products(#[from] ProductsError),
    #[error("cannot count the phrases of categories")]
    Query(#[from] PolarsError),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pool(#[from] pool::PoolOfShardsError),
    #[error("cannot write the table")]
    Report(#[from] io::Error),
}

/// The phrases that distinguish a category, best first.
struct TypicalPhrases<'a> {
    category: CategorySize,
    phrases: Vec<TypicalPhrase<'a>>,
}

struct TypicalPhrase<'a> {
    phrase: &'a Phrase,
    /// Products of the category that have the phrase.
    products: u64,
}

/// Writes the `most` phrases of the `categories` with the most products, to `report` and to
/// `out/report/phrases.csv`.
///
/// # Errors
/// If the shards, the corpus or the pool cannot be read or do not fit together, or a result cannot
/// be written. Also if no product names a category.
pub fn phrases(out: &Path, categories: usize, most: usize, report: &mut dyn io::Write) -> Result<(), PhrasesError> {
    let products = Products::open(out)?;
    let pool = pool::of_shards(out, products.shards())?;
    let mut having = count_category_phrases();
    // All segments of a product are in one shard.
    let columns = ["document_id", "phrases"];
    let sizes = products.for_each_shard(&columns, |segments| having.add(&phrases_of_products(segments)?))?;
    let table = typical(&having.finish()?, &sizes, categories, most, &pool)?;

    let mut csv = String::from("category,products,phrase,score,products_with_phrase\n");
    for TypicalPhrases { category, phrases } in &table {
        let texts: Vec<&str> = phrases.iter().map(|typical| typical.phrase.text.as_str()).collect();
        let CategorySize { name, products } = category;
        writeln!(report, "{name}   {} products\n          {}", thousands(*products), texts.join(" · "))?;
        for TypicalPhrase { phrase, products: having } in phrases {
            let (name, text) = (quoted(name), quoted(&phrase.text));
            let _ = writeln!(csv, "{name},{products},{text},{:.4},{having}", phrase.score);
        }
    }
    let folder = out.join("report");
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let path = folder.join("phrases.csv");
    store::write_file(&path, csv.as_bytes())?;
    writeln!(report, "table     {}", path.display())?;
    Ok(())
}

/// One row per product and phrase that it has: `category` and `phrase_id`.
fn phrases_of_products(segments: &DataFrame) -> PolarsResult<DataFrame> {
    let spans = spans(segments, SpanColumn::Phrases, &["document_id", "category"])?;
    let key = ["document_id".to_owned(), "phrase_id".to_owned()];
    spans.unique::<(), ()>(Some(&key), UniqueKeepStrategy::Any, None)?.select(["category", "phrase_id"])
}

/// The phrases that distinguish the largest categories. `having` counts products by category and
/// phrase. `sizes` has all categories, the largest first.
fn typical<'a>(
    having: &DataFrame,
    sizes: &[CategorySize],
    categories: usize,
    most: usize,
    pool: &'a Pool,
) -> PolarsResult<Vec<TypicalPhrases<'a>>> {
    let mut everywhere = sum_by(having, &["phrase_id"])?;
    everywhere.rename(COUNT, "everywhere".into())?;
    let having = having.join(&everywhere, ["phrase_id"], ["phrase_id"], JoinArgs::new(JoinType::Inner), None)?;
    let several_words: BooleanChunked = (having.column("phrase_id")?.u32()?.iter())
        .map(|phrase| phrase_of(pool, phrase).is_some_and(|phrase| phrase.words > 1))
        .collect();
    let having = having.filter(&several_words)?;
    let all: u64 = sizes.iter().map(|category| category.products).sum();
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let largest = sizes.iter().take(categories).map(|category| {
        let mut here = having.filter(&having.column("category")?.str()?.equal(category.name.as_str()))?;
        let counts = here.column(COUNT)?.u64()?.iter().zip(here.column("everywhere")?.u64()?.iter());
        let weights: Float64Chunked = counts
            .map(|(n, m)| {
                let (n, m) = (n? as f64, m? as f64);
                Some(n.sqrt() * ((n / category.products as f64) / (m / all as f64)).ln())
            })
            .collect();
        here.with_column(weights.with_name("weight".into()).into_column())?;
        let best = here.sort(["weight", "phrase_id"], order.clone())?.head(Some(most));
        let (ids, counts) = (best.column("phrase_id")?.u32()?, best.column(COUNT)?.u64()?);
        let phrases = ids
            .iter()
            .zip(counts.iter().flatten())
            .filter_map(|(id, products)| phrase_of(pool, id).map(|phrase| TypicalPhrase { phrase, products }));
        Ok(TypicalPhrases { category: category.clone(), phrases: phrases.collect() })
    });
    largest.collect()
}

fn phrase_of(pool: &Pool, id: Option<u32>) -> Option<&Phrase> {
    pool.phrases.get(id? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(words: &[u8]) -> Pool {
        let phrase =
            |(i, &words): (usize, &u8)| Phrase { text: format!("phrase {i}"), score: 0.5, words, frequency: None };
        Pool { phrases: words.iter().enumerate().map(phrase).collect() }
    }

    fn texts(table: &[TypicalPhrases<'_>]) -> Vec<(String, Vec<(String, u64)>)> {
        let of = |phrases: &[TypicalPhrase<'_>]| phrases.iter().map(|p| (p.phrase.text.clone(), p.products)).collect();
        table.iter().map(|row| (row.category.name.clone(), of(&row.phrases))).collect()
    }

    #[test]
    fn a_product_counts_once_for_each_of_its_phrases() {
        let spans = df!(
            "start" => [0u16, 4, 0, 2], "length" => [1u16, 1, 1, 1], "phrase_id" => [7u32, 7, 7, 8],
            "score" => [0.5f32, 0.5, 0.5, 0.6],
        )
        .unwrap();
        let spans = spans.into_struct("phrases".into()).into_series();
        // The first product has two segments.
        let lists = [spans.slice(0, 2), spans.slice(2, 2), spans.slice(1, 1), spans.slice(0, 0)];
        let segments = df!(
            "document_id" => [1u64, 1, 2, 3], "category" => ["Tea", "Tea", "Tea", "Cups"],
            "phrases" => Series::new("phrases".into(), lists),
        )
        .unwrap();
        let found =
            phrases_of_products(&segments).unwrap().sort(["phrase_id"], SortMultipleOptions::default()).unwrap();
        let wanted = df!("category" => ["Tea"; 3], "phrase_id" => [7u32, 7, 8]).unwrap();
        assert!(found.equals(&wanted), "{found:?}");
    }

    #[test]
    fn phrases_that_are_rare_elsewhere_come_first() {
        // Phrase 0 is in all products, 1 in those of tea alone, 2 is one word, 3 in one product of each.
        let having = df!(
            "category" => ["Tea", "Cups", "Tea", "Tea", "Tea", "Cups"],
            "phrase_id" => [0u32, 0, 1, 2, 3, 3],
            COUNT => [4u64, 2, 4, 4, 1, 1],
        )
        .unwrap();
        let size = |name: &str, products| CategorySize { name: name.to_owned(), products };
        let (sizes, pool) = ([size("Tea", 4), size("Cups", 2), size("None", 1)], pool(&[2, 2, 1, 3]));
        let table = typical(&having, &sizes, 3, 2, &pool).unwrap();
        let entry = |i, products| (format!("phrase {i}"), products);
        let wanted = vec![
            // sqrt(4) ln((4/4) / (4/7)) = 1.1; sqrt(4) ln((4/4) / (6/7)) = 0.3; ln((1/4) / (2/7)) = -0.1.
            ("Tea".to_owned(), vec![entry(1, 4), entry(0, 4)]),
            // ln((1/2) / (2/7)) = 0.6; sqrt(2) ln((2/2) / (6/7)) = 0.2.
            ("Cups".to_owned(), vec![entry(3, 1), entry(0, 2)]),
            ("None".to_owned(), vec![]),
        ];
        assert_eq!(texts(&table), wanted);
        assert_eq!(texts(&typical(&having, &sizes, 1, 9, &pool).unwrap())[0].1.len(), 3);
    }
}
