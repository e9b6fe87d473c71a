//! Writes the sample corpus: a small invented shop in the format of the 2018 Amazon dumps.
//!
//! `catalog/` lists what the shop sells, and `templates/` the sentences about it. [`products`] draws
//! products and their associations, [`listings`] and [`reviews`] write about them, and [`records`]
//! puts the text into the fields of the dumps. [`noise`] adds the faults of real dumps. No real
//! product, brand or person is meant.
//!
//! Every draw is keyed by the seed, a purpose and an id, and picks from a list by position. A new
//! entry or another order in a list therefore changes the files.
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Parser;
use flate2::{Compression, GzBuilder};
use serde::Serialize;

mod catalog;
mod english;
mod listings;
mod noise;
mod products;
mod records;
mod reviews;
mod template;
mod voice;

#[cfg(test)]
mod tests;

use catalog::Catalog;
use products::Shop;

const PRODUCTS: usize = 2_000;
const REVIEWS: usize = 8_000;

/// Write the sample corpus: meta_sample.json.gz and Sample_5.json.gz
#[derive(Parser)]
struct Cli {
    /// Folder of the two files
    #[arg(long, value_name = "DIR", default_value = "data/sample")]
    out: PathBuf,
    /// Seed of every random draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let Cli { out, seed } = Cli::parse();
    let catalog = Catalog::load().context("cannot read the catalog")?;
    let shop = Shop::new(&catalog, PRODUCTS, seed);
    let products = records::product_records(&shop);
    let reviews = records::review_records(&shop, &reviews::reviews(&shop, REVIEWS));

    fs::create_dir_all(&out).with_context(|| format!("cannot create `{}`", out.display()))?;
    write_lines(&out.join("meta_sample.json.gz"), &products)?;
    write_lines(&out.join("Sample_5.json.gz"), &reviews)?;
    println!("{} products and {} reviews in {}", products.len(), reviews.len(), out.display());
    Ok(())
}

/// Writes one JSON object per line. Without a time in the header, equal records give equal bytes.
fn write_lines<T: Serialize>(path: &Path, records: &[T]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let mut lines = GzBuilder::new().mtime(0).write(BufWriter::new(File::create(path)?), Compression::best());
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.write_all(b"\n")?;
        }
        Ok(lines.finish()?.flush()?)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
