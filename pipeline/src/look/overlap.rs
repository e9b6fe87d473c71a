//! `ebert report overlap`: which pool phrases are also noun phrases (the paper's Figure 6).
//!
//! A category's pool phrases are those that occur in its products. Its noun phrases are the spans
//! that were found as both a pool phrase and a noun phrase; other noun phrases do not matter here.
//! The cell of two categories is the share of the first one's pool phrases that are noun phrases of
//! the second one.
use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use polars::prelude::*;
use schemas::{StoreError, store};

use super::{
    categories::{CategorySize, Products, ProductsError, count_category_phrases, quoted},
    figure,
    segments::{SpanColumn, spans},
};
use crate::engine::{
    frames::{COUNT, count_by, semi_join},
    progress::thousands,
};
use crate::hint::Hint;

/// The figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum OverlapError {
    #[error(transparent)]
    Products(#[from] ProductsError),
    #[error("cannot compare the phrases of categories")]
    Query(#[from] PolarsError),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error("the shards in `{}` have no noun phrases\nhint: run `ebert shards --nouns on` with all other options as before", folder.display())]
    NoNouns { folder: PathBuf },
    #[error(
        "no product that names a category has a phrase of the pool, so there is nothing to draw\nhint: run `ebert shards` without a pool, so that one is mined, or with `ebert shards --pool FILE`, a pool of this corpus"
    )]
    NoPhrases,
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// A category, as a row and a column of the figure.
#[derive(Clone, Debug, PartialEq)]
struct Overlap {
    category: CategorySize,
    pool_phrases: u64,
    /// For each category of the figure, the share of the pool phrases that are its noun phrases.
    shares: Vec<f64>,
}

/// Draws the figure of the `most` categories with the most products into `out/report`.
///
/// # Errors
/// If the shards or the corpus cannot be read or do not fit together, or a result cannot be
/// written. Also if there are no noun phrases, no categories, or no pool phrases in them.
pub fn overlap(out: &Path, most: usize, report: &mut dyn io::Write) -> Result<(), OverlapError> {
    let products = Products::open(out)?;
    if !products.shards().options.nouns {
        return Err(OverlapError::NoNouns { folder: out.join("shards") });
    }
    let (mut phrases, mut nouns) = (count_category_phrases(), count_category_phrases());
    let sizes = products.for_each_shard(&["phrases", "noun_phrases"], |segments| {
        let found = spans(segments, SpanColumn::Phrases, &["row", "category"])?;
        phrases.add(&found)?;
        nouns.add(&same_spans(&found, segments)?)
    })?;
    let table = overlaps(&phrases.finish()?, &nouns.finish()?, sizes, most)?;
    if table.is_empty() {
        return Err(OverlapError::NoPhrases);
    }

    let folder = out.join("report");
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let (csv_path, svg_path) = (folder.join("overlap.csv"), folder.join("overlap.svg"));
    store::write_file(&csv_path, csv(&table).as_bytes())?;
    store::write_file(&svg_path, svg(&table, &products.origin()).as_bytes())?;
    for (i, row) in table.iter().enumerate() {
        writeln!(
            report,
            "{:32} {:>9} products {:>8} pool phrases   {:5.1}% are noun phrases of the category",
            row.category.name,
            thousands(row.category.products),
            thousands(row.pool_phrases),
            100.0 * row.shares[i]
        )?;
    }
    writeln!(report, "figure    {}\ntable     {}", svg_path.display(), csv_path.display())?;
    Ok(())
}

/// The phrase spans that are also noun phrases of their segments.
fn same_spans(phrases: &DataFrame, segments: &DataFrame) -> PolarsResult<DataFrame> {
    semi_join(phrases, &spans(segments, SpanColumn::NounPhrases, &["row"])?, &["row", "start", "length"])
}

/// The `most` largest categories that have phrases, by name. `phrases` and `nouns` have one row per
/// category and phrase; `sizes` has all categories, the largest first.
fn overlaps(
    phrases: &DataFrame,
    nouns: &DataFrame,
    sizes: Vec<CategorySize>,
    most: usize,
) -> PolarsResult<Vec<Overlap>> {
    let of_category = |name: &str| phrases.filter(&phrases.column("category")?.str()?.equal(name));
    let mut largest: Vec<(CategorySize, DataFrame)> = Vec::new();
    for category in sizes {
        if largest.len() == most {
            break;
        }
        let phrases = of_category(&category.name)?;
        if phrases.height() > 0 {
            largest.push((category, phrases));
        }
    }
    largest.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let rows = largest.iter().map(|(category, phrases)| {
        let common = count_by(&semi_join(nouns, phrases, &["phrase_id"])?, &["category"])?;
        let (names, counts) = (common.column("category")?.str()?, common.column(COUNT)?.u64()?);
        let common: HashMap<&str, u64> = names.iter().flatten().zip(counts.iter().flatten()).collect();
        let share = |column: &CategorySize| {
            common.get(column.name.as_str()).copied().unwrap_or(0) as f64 / phrases.height() as f64
        };
        Ok(Overlap {
            category: category.clone(),
            pool_phrases: phrases.height() as u64,
            shares: largest.iter().map(|(column, _)| share(column)).collect(),
        })
    });
    rows.collect()
}

fn csv(table: &[Overlap]) -> String {
    let mut text = String::from("category,products,pool_phrases");
    table.iter().for_each(|column| text += &format!(",{}", quoted(&column.category.name)));
    text.push('\n');
    for row in table {
        let _ = write!(text, "{},{},{}", quoted(&row.category.name), row.category.products, row.pool_phrases);
        row.shares.iter().for_each(|share| text += &format!(",{share:.4}"));
        text.push('\n');
    }
    text
}

/// A heat map: a row for the pool phrases of each category, a column for the noun phrases of each.
fn svg(table: &[Overlap], origin: &str) -> String {
    const CELL: usize = 52;
    const TITLE: &str = "Ratio of a category's pool phrases (rows) that are noun phrases of a category (columns)";
    let n = table.len();
    let left = figure::widest(table.iter().map(|row| row.category.name.as_str())) + 8;
    // Names of columns rise to the right, by the same length in both directions.
    let top = left * 71 / 100 + 12;
    let mut svg = String::new();
    for (i, row) in table.iter().enumerate() {
        let middle = i * CELL + CELL / 2;
        let (x, y) = (left + middle, top + middle + 4);
        let name = figure::name(&row.category.name);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>", left - 8);
        let at = top - 8;
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{at}\" transform=\"rotate(-45 {x} {at})\">{name}</text>");
    }
    for (i, row) in table.iter().enumerate() {
        for (j, share) in row.shares.iter().enumerate() {
            figure::cell(&mut svg, (left + j * CELL, top + i * CELL), (CELL, CELL), *share);
        }
    }
    figure::framed(TITLE, origin, (left + n * CELL + left * 71 / 100, top + n * CELL), &svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_rows_phrases() {
        let phrases = df!(
            "category" => ["b", "b", "b", "b", "a", "a", "c", "d"], "phrase_id" => [0u32, 1, 2, 3, 1, 9, 5, 0],
            COUNT => [1u64; 8],
        )
        .unwrap();
        let nouns = df!(
            "category" => ["b", "b", "a", "d"], "phrase_id" => [0u32, 1, 1, 0], COUNT => [1u64; 4],
        )
        .unwrap();
        let size = |name: &str, products| CategorySize { name: name.to_owned(), products };
        let sizes = || vec![size("none", 99), size("c", 5), size("b", 4), size("a", 3), size("d", 1)];
        let found = overlaps(&phrases, &nouns, sizes(), 3).unwrap();
        let row =
            |category, pool_phrases, shares: [f64; 3]| Overlap { category, pool_phrases, shares: shares.to_vec() };
        // Of a: {1, 9}; of b: {0, 1, 2, 3}; of c: {5}. `none` has no phrases, and d is too small.
        let wanted = [
            row(size("a", 3), 2, [0.5, 0.5, 0.0]),
            row(size("b", 4), 4, [0.25, 0.5, 0.0]),
            row(size("c", 5), 1, [0.0, 0.0, 0.0]),
        ];
        assert_eq!(found, wanted);
        assert!(overlaps(&phrases.clear(), &nouns, sizes(), 3).unwrap().is_empty());
    }
}
