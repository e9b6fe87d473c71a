//! `pipeline report overlap`: which pool phrases are also noun phrases (the paper's Figure 6).
//!
//! A category's pool phrases are those that occur in its products; its noun phrases, of which only those matter that are pool phrases,
//! are the spans that were found as both. The cell of two categories is the share of the first one's pool phrases that are noun
//! phrases of the second one. A product's category is the first that its record names.
use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use schemas::{StoreError, store};

use super::categories::{Products, ProductsError, quoted};
use crate::engine::progress::thousands;

/// The figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum OverlapError {
    /// What was made.
    #[error(transparent)]
    Products(#[from] ProductsError),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Noun phrases were not looked for.
    #[error("the shards in `{}` have no noun phrases\nhint: make them with NOUNS=on", folder.display())]
    NoNouns {
        /// The folder.
        folder: PathBuf,
    },
    /// No phrase is in a product with a category.
    #[error(
        "no product that names a category has a phrase of the pool, so there is nothing to draw\nhint: a pool of this corpus: POOL= of `make shards`, or none, so that it is mined"
    )]
    NoPhrases,
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// The phrases of a category's products.
#[derive(Clone, Debug, Default)]
struct Category {
    products: u64,
    /// Pool phrases that occur.
    phrases: HashSet<u32>,
    /// Those that occur as a noun phrase.
    nouns: HashSet<u32>,
}

/// Draws the figure of the `most` categories with the most products into `out/report`.
pub fn overlap(out: &Path, most: usize, report: &mut impl io::Write) -> Result<(), OverlapError> {
    let products = Products::open(out)?;
    if !products.shards().body.options.nouns {
        return Err(OverlapError::NoNouns { folder: out.join("shards") });
    }
    let mut categories: BTreeMap<String, Category> = BTreeMap::new();
    for (name, count) in products.each_segment(|name, segment| {
        let category = categories.entry(name.to_owned()).or_default();
        let nouns: HashSet<_> = segment.noun_phrases.iter().map(|noun| noun.tokens()).collect();
        for span in segment.phrases {
            category.phrases.insert(span.phrase.get());
            if nouns.contains(&span.tokens.tokens()) {
                category.nouns.insert(span.phrase.get());
            }
        }
    })? {
        categories.entry(name).or_default().products = count;
    }
    let mut largest: Vec<(String, Category)> = categories.into_iter().filter(|c| !c.1.phrases.is_empty()).collect();
    largest.sort_by_key(|(name, category)| (std::cmp::Reverse(category.products), name.clone()));
    largest.truncate(most);
    if largest.is_empty() {
        return Err(OverlapError::NoPhrases);
    }
    largest.sort_by(|a, b| a.0.cmp(&b.0));

    let folder = out.join("report");
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let (table, figure) = (folder.join("overlap.csv"), folder.join("overlap.svg"));
    store::write_file(&table, csv(&largest).as_bytes())?;
    store::write_file(&figure, svg(&largest).as_bytes())?;
    for (name, category) in &largest {
        let own = 100.0 * share(category, category);
        writeln!(
            report,
            "{name:32} {:>9} products {:>8} pool phrases   {own:5.1}% are noun phrases of the category",
            thousands(category.products),
            thousands(category.phrases.len() as u64)
        )?;
    }
    writeln!(report, "figure    {}\ntable     {}", figure.display(), table.display())?;
    Ok(())
}

/// The share of one category's pool phrases that are noun phrases of another one.
fn share(of: &Category, in_: &Category) -> f64 {
    of.phrases.intersection(&in_.nouns).count() as f64 / of.phrases.len().max(1) as f64
}

fn csv(categories: &[(String, Category)]) -> String {
    let mut text = String::from("category,products,pool_phrases");
    categories.iter().for_each(|(name, _)| text += &format!(",{}", quoted(name)));
    text.push('\n');
    for (name, row) in categories {
        let _ = write!(text, "{},{},{}", quoted(name), row.products, row.phrases.len());
        categories.iter().for_each(|(_, column)| text += &format!(",{:.4}", share(row, column)));
        text.push('\n');
    }
    text
}

/// A heat map: a row for the pool phrases of each category, a column for the noun phrases of each.
fn svg(categories: &[(String, Category)]) -> String {
    const CELL: usize = 52;
    const LEFT: usize = 230;
    const TOP: usize = 190;
    let n = categories.len();
    let (width, height) = (LEFT + n * CELL + 80, TOP + n * CELL + 30);
    let escape = |name: &str| {
        let short: String = name.chars().take(30).collect();
        short.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"14\">Share of a category's pool phrases (rows) that are noun phrases of a category (columns)</text>\n"
    );
    for (i, (name, _)) in categories.iter().enumerate() {
        let middle = i * CELL + CELL / 2;
        let (x, y) = (LEFT + middle, TOP + middle + 4);
        let name = escape(name);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>", LEFT - 8);
        let at = TOP - 8;
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{at}\" transform=\"rotate(-45 {x} {at})\">{name}</text>");
    }
    for (i, (_, row)) in categories.iter().enumerate() {
        for (j, (_, column)) in categories.iter().enumerate() {
            let share = share(row, column);
            // From white to a dark blue; the text turns white where the cell is dark.
            let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
            let fill = format!("#{:02x}{:02x}{:02x}", mix(247.0, 8.0), mix(251.0, 48.0), mix(255.0, 107.0));
            let ink = if share > 0.5 { "white" } else { "black" };
            let (x, y) = (LEFT + j * CELL, TOP + i * CELL);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{fill}\" stroke=\"white\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{:.0}%</text>",
                x + CELL / 2,
                y + CELL / 2 + 4,
                100.0 * share
            );
        }
    }
    svg + "</svg>\n"
}
