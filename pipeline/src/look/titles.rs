//! `pipeline titles`: the products of the corpus as examples of product classification (the paper's fourth task).
//!
//! A line is `{"id", "title", "labels"}`: product id, title and all categories that the product's record names. Products
//! without a title or a category are left out and counted. Lines are in the order of the corpus, that is of hashed ids.
//!
//! Some records name whole sentences of the product's page among their categories (gift cards of the 2018 dump: `No expiration, no fees.`).
//! What ends as a sentence does is no label, and is counted.
use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use arrow::array::AsArray;
use schemas::{
    Manifest, ManifestError, StoreError, columns,
    manifest::CorpusBody,
    store::{self, Output, TableReader},
};

use crate::{
    engine::progress::{quoted, thousands},
    hint::Hint,
};

/// The titles cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TitlesError {
    /// The corpus.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// No product will do.
    #[error(
        "no product in `{}` has a title and a category\nhint: metadata files of the dumps have `title` and `category` or `categories`",
        folder.display()
    )]
    None {
        /// The corpus.
        folder: PathBuf,
    },
    /// The summary cannot be written.
    #[error("cannot write the summary")]
    Report(#[from] io::Error),
}

/// Writes the titles of `out/corpus` to a file, and a summary to `report`.
///
/// # Errors
/// When the corpus cannot be read, no product has a title and a category, or the file cannot be written.
pub fn titles(out: &Path, file: &Path, report: &mut impl io::Write) -> Result<(), TitlesError> {
    let folder = out.join("corpus");
    let corpus = Manifest::<CorpusBody>::read(&folder)?;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    }
    let mut lines = Output::at(file)?.create()?;
    let (mut written, mut no_title, mut no_label) = (0u64, 0u64, 0u64);
    let (mut labels, mut sentences) = (BTreeSet::new(), BTreeSet::new());
    for entry in corpus.files.iter().filter(|f| f.name.starts_with("products-")) {
        let path = store::verify_file(&folder, entry)?;
        let table = TableReader::open(&path, &columns::corpus_products())?;
        for batch in table.batches(1 << 12, Some(&["product_id", "title", "categories"])) {
            let batch = batch?;
            let (ids, titles) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            let lists = batch.column(2).as_list::<i32>();
            for row in 0..batch.num_rows() {
                let list = lists.value(row);
                let named = list.as_string::<i32>().iter().flatten().filter(|label| !label.trim().is_empty());
                let (no, of): (Vec<&str>, Vec<&str>) = named.partition(|label| is_sentence(label));
                sentences.extend(no.into_iter().map(str::to_owned));
                if titles.value(row).trim().is_empty() {
                    no_title += 1;
                } else if of.is_empty() {
                    no_label += 1;
                } else {
                    let line = serde_json::json!({"id": ids.value(row), "title": titles.value(row), "labels": of});
                    writeln!(lines, "{line}").map_err(StoreError::io("write", file))?;
                    labels.extend(of.into_iter().map(str::to_owned));
                    written += 1;
                }
            }
        }
    }
    if written == 0 {
        return Err(TitlesError::None { folder });
    }
    lines.commit()?;
    writeln!(
        report,
        "titles    {} products   {} labels   {}",
        thousands(written),
        thousands(labels.len() as u64),
        file.display()
    )?;
    if no_title + no_label > 0 {
        writeln!(
            report,
            "left out  {} without a title, {} without a category",
            thousands(no_title),
            thousands(no_label)
        )?;
    }
    if let Some(first) = sentences.first() {
        writeln!(
            report,
            "no labels {} categories that are sentences, such as `{first}`",
            thousands(sentences.len() as u64)
        )?;
    }
    let model = trained(out).map_or_else(|| "bert-base-uncased".to_owned(), |run| quoted(&run));
    writeln!(report, "next      make finetune TASK=pc DATA={} MODEL={model}", quoted(file))?;
    Ok(())
}

/// A run below `out` that has a model, if there is one.
fn trained(out: &Path) -> Option<PathBuf> {
    let runs = std::fs::read_dir(out.join("runs")).ok()?.flatten().map(|run| run.path());
    runs.filter(|run| run.join("model/config.json").is_file()).min()
}

/// Whether a category ends as a sentence does.
fn is_sentence(category: &str) -> bool {
    category.trim_end().ends_with(['.', '!', '?'])
}
