//! `ebert titles`: the products of the corpus as examples of product classification (the paper's
//! fourth task).
//!
//! A line is `{"id", "labels", "title"}`: product id, all categories that the product's record
//! names, and title. Products without a title or a category are left out and counted. Lines are in
//! the order of the corpus, that is of hashed ids.
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use polars::prelude::*;
use schemas::{Manifest, ManifestError, StoreError, columns, manifest::CorpusBody, store::Output};

use crate::{
    engine::{
        frames::{FrameError, KeyCounts, filter_text, read_sealed, semi_join},
        progress::thousands,
    },
    hint::Hint,
};

/// The titles cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TitlesError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot join the titles of products with their categories")]
    Query(#[from] PolarsError),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error(
        "no product in `{}` has a title and a category\nhint: metadata files of the dumps have `title` and `category` or `categories`",
        folder.display()
    )]
    NoExamples { folder: PathBuf },
    #[error("cannot write the summary")]
    Report(#[from] io::Error),
}

/// Writes the titles of `out/corpus` to `file`, and a summary to `report`.
///
/// # Errors
/// If the corpus cannot be read, no product has a title and a category, or a result cannot be
/// written.
pub fn titles(out: &Path, file: &Path, report: &mut dyn io::Write) -> Result<(), TitlesError> {
    let folder = out.join("corpus");
    let corpus = Manifest::<CorpusBody>::read(&folder)?;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    }
    let mut lines = Output::at(file)?.create()?;
    let (mut written, mut no_title, mut no_label) = (0, 0, 0);
    let mut labels = KeyCounts::new([Field::new("categories".into(), DataType::String)]);
    for entry in corpus.files.iter().filter(|entry| entry.name.starts_with("products-")) {
        let columns = ["product_id", "title", "categories"];
        let products = read_sealed(&folder, entry, &columns::corpus_products(), &columns)?;
        let examples = Examples::new(products)?;
        for example in json_lines(&examples.labels)? {
            writeln!(lines, "{example}").map_err(StoreError::io("write", file))?;
            written += 1;
        }
        labels.add(&examples.labels)?;
        no_title += examples.no_title;
        no_label += examples.no_label;
    }
    if written == 0 {
        return Err(TitlesError::NoExamples { folder });
    }
    lines.commit()?;
    let labels = labels.finish()?.height();
    writeln!(
        report,
        "titles    {} products   {} labels   {}",
        thousands(written),
        thousands(labels as u64),
        file.display()
    )?;
    if no_title + no_label > 0 {
        let (no_title, no_label) = (thousands(no_title as u64), thousands(no_label as u64));
        writeln!(report, "left out  {no_title} without a title, {no_label} without a category")?;
    }
    Ok(())
}

/// The examples of a table of products.
struct Examples {
    /// One row per label of a product with a title: `row` of the product, `product_id`, `title`,
    /// and the label as `categories`.
    labels: DataFrame,
    /// Products without a title.
    no_title: usize,
    /// Products with a title, but without a label.
    no_label: usize,
}

impl Examples {
    fn new(products: DataFrame) -> PolarsResult<Self> {
        let products = products.with_row_index("row".into(), None)?;
        let titled = filter_text(&products, "title", |title| !title.trim().is_empty())?;
        let options = ExplodeOptions { empty_as_null: false, keep_nulls: false };
        let categories = products.explode(["categories"], options)?;
        let labels = filter_text(&categories, "categories", |category| !category.trim().is_empty())?;
        let labels = semi_join(&labels, &titled, &["row"])?;
        let labeled = labels.column("row")?.n_unique()?;
        let (no_title, no_label) = (products.height() - titled.height(), titled.height() - labeled);
        Ok(Self { labels, no_title, no_label })
    }
}

/// One JSON object per product, from the rows of [`Examples::labels`].
fn json_lines(labels: &DataFrame) -> PolarsResult<Vec<serde_json::Value>> {
    let (rows, names) = (labels.column("row")?.idx()?, labels.column("categories")?.str()?);
    let (ids, titles) = (labels.column("product_id")?.str()?, labels.column("title")?.str()?);
    let mut lines = Vec::new();
    let mut from = 0;
    let rows: Vec<IdxSize> = rows.iter().flatten().collect();
    for of_product in rows.chunk_by(|a, b| a == b) {
        let labels: Vec<_> = (from..from + of_product.len()).map(|i| names.get(i)).collect();
        lines.push(serde_json::json!({"id": ids.get(from), "title": titles.get(from), "labels": labels}));
        from += of_product.len();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_become_examples_or_are_counted() {
        let lists: [&[&str]; 6] = [&["Food", "Tea"], &["Food"], &[" "], &[], &["Tea", "Tea"], &[]];
        let lists = lists.map(|list| Series::new("".into(), list));
        let products = df!(
            "product_id" => ["B1", "B2", "B3", "B4", "B5", "B6"], "title" => ["Green \"tea\"", "  ", "A", "B", "C", ""],
            "categories" => Series::new("categories".into(), lists),
        )
        .unwrap();
        let examples = Examples::new(products).unwrap();
        assert_eq!((examples.no_title, examples.no_label), (2, 2));
        let lines: Vec<String> = json_lines(&examples.labels).unwrap().iter().map(ToString::to_string).collect();
        let wanted = [
            r#"{"id":"B1","labels":["Food","Tea"],"title":"Green \"tea\""}"#,
            r#"{"id":"B5","labels":["Tea","Tea"],"title":"C"}"#,
        ];
        assert_eq!(lines, wanted);
    }
}
