//! `pipeline report overlap`: which pool phrases are also noun phrases (the paper's Figure 6).
//!
//! A category's pool phrases are those that occur in its products; its noun phrases, of which only those matter that are pool phrases,
//! are the spans that were found as both. The cell of two categories is the share of the first one's pool phrases that are noun
//! phrases of the second one. A product's category is the first that its record names.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use arrow::array::{Array, AsArray};
use schemas::{
    DocumentId, Manifest, ManifestError, SegmentRows, SpanOutside, StoreError, columns,
    manifest::{CorpusBody, ShardsBody},
    open_segments,
    store::{self, TableReader},
};

use crate::{REMAKE, progress::thousands};

/// The figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum OverlapError {
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row.
    #[error("shard `{}` is not what its manifest promises", path.display())]
    Row {
        /// The shard.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SpanOutside,
    },
    /// Noun phrases were not looked for.
    #[error("the shards in `{}` have no noun phrases\nhint: make them with NOUNS=on", folder.display())]
    NoNouns {
        /// The folder.
        folder: PathBuf,
    },
    /// The shards are of another corpus.
    #[error("the shards were made from another corpus than `{}`\nhint: run `{REMAKE}` to make them from this one", folder.display())]
    OtherCorpus {
        /// The folder.
        folder: PathBuf,
    },
    /// No product names a category.
    #[error(
        "no product of the corpus names a category, so there is nothing to compare\nhint: metadata files of the dumps have `category` or `categories`"
    )]
    NoCategories,
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
    let (corpus_folder, shards_folder) = (out.join("corpus"), out.join("shards"));
    let shards = Manifest::<ShardsBody>::read(&shards_folder, REMAKE)?;
    let corpus = Manifest::<CorpusBody>::read(&corpus_folder, REMAKE)?;
    if !shards.body.options.nouns {
        return Err(OverlapError::NoNouns { folder: shards_folder });
    }
    if shards.body.corpus.blake3 != corpus.data_blake3() {
        return Err(OverlapError::OtherCorpus { folder: corpus_folder });
    }
    let mut categories: BTreeMap<String, Category> = BTreeMap::new();
    for entry in shards.files.iter().filter(|f| f.name.starts_with("products-")) {
        let Some(table) = corpus.files.iter().find(|f| f.name == entry.name) else { continue };
        let of = categories_of(&store::verify_file(&corpus_folder, table, REMAKE)?)?;
        let path = store::verify_file(&shards_folder, entry, REMAKE)?;
        for name in of.values() {
            categories.entry(name.clone()).or_default().products += 1;
        }
        for batch in open_segments(&path)?.batches(1 << 12, None) {
            let mut rows = SegmentRows::new(&batch?);
            for row in 0..rows.len() {
                let segment = rows.get(row).map_err(|source| OverlapError::Row { path: path.clone(), source })?;
                let Some(name) = of.get(&segment.document) else { continue };
                let category = categories.entry(name.clone()).or_default();
                let nouns: HashSet<_> = segment.noun_phrases.iter().map(|noun| noun.tokens()).collect();
                for span in segment.phrases {
                    category.phrases.insert(span.phrase.get());
                    if nouns.contains(&span.tokens.tokens()) {
                        category.nouns.insert(span.phrase.get());
                    }
                }
            }
        }
    }
    let mut largest: Vec<(String, Category)> = categories.into_iter().filter(|c| !c.1.phrases.is_empty()).collect();
    largest.sort_by_key(|(name, category)| (std::cmp::Reverse(category.products), name.clone()));
    largest.truncate(most);
    if largest.is_empty() {
        return Err(OverlapError::NoCategories);
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

/// The category of each product of a table.
fn categories_of(table: &Path) -> Result<HashMap<DocumentId, String>, StoreError> {
    let table = TableReader::open(table, &columns::corpus_products())?;
    let mut of = HashMap::new();
    for batch in table.batches(1 << 12, Some(&["product_id", "categories"])) {
        let batch = batch?;
        let (ids, lists) = (batch.column(0).as_string::<i32>(), batch.column(1).as_list::<i32>());
        for row in 0..batch.num_rows() {
            let list = lists.value(row);
            let list = list.as_string::<i32>();
            if !list.is_empty() {
                of.insert(DocumentId::of_product(ids.value(row)), list.value(0).to_owned());
            }
        }
    }
    Ok(of)
}

/// The share of one category's pool phrases that are noun phrases of another one.
fn share(of: &Category, in_: &Category) -> f64 {
    of.phrases.intersection(&in_.nouns).count() as f64 / of.phrases.len().max(1) as f64
}

fn csv(categories: &[(String, Category)]) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut text = String::from("category,products,pool_phrases");
    categories.iter().for_each(|(name, _)| text += &format!(",{}", quote(name)));
    text.push('\n');
    for (name, row) in categories {
        let _ = write!(text, "{},{},{}", quote(name), row.products, row.phrases.len());
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
