//! Commands that show what there is.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::{WORK, shared::LogOption, values};

/// Commands that show what there is.
#[derive(Debug, Subcommand)]
pub enum LookCommand {
    /// Show what is in the shards: counts, lengths, phrases, rejected records, some rows
    Inspect(InspectArgs),
    /// Compare every file of an output folder with its manifest
    Verify {
        /// Output folder of `ebert shards`
        #[arg(value_name = "DIR", default_value = WORK)]
        folder: PathBuf,
        /// What it prints.
        #[command(flatten)]
        log: LogOption,
    },
    /// Draw a figure or write a table about the shards
    #[command(subcommand)]
    Report(Figure),
}

/// Options of `ebert inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// Output folder of `ebert shards`
    #[arg(value_name = "DIR", default_value = WORK)]
    pub folder: PathBuf,
    /// Rows to show of products and of reviews
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub rows: usize,
    /// Shards to read of products and of reviews. Each is a random sample
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub shards: usize,
    /// Whether to use colors
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Instead, count the held-out documents with a near duplicate in training
    ///
    /// Near duplicates share 90% of their three-word shingles (Jaccard similarity). Reads the whole corpus twice.
    #[arg(long)]
    pub leaks: bool,
    /// With --leaks: the ratio of texts that the recipe holds out
    #[arg(long, value_name = "RATIO", default_value_t = 0.01, value_parser = values::ratio, requires = "leaks")]
    pub held_out: f64,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Whether output has colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Yes
    Always,
    /// No
    Never,
}

/// A figure or a table.
#[derive(Debug, Subcommand)]
pub enum Figure {
    /// How many associations products have, of which relation, by category: DIR/report/associations.svg and .csv
    Associations(Categories),
    /// The most characteristic phrases of each category, also in DIR/report/phrases.csv (Table 1 of the paper)
    Phrases {
        /// The folder and the categories.
        #[command(flatten)]
        categories: Categories,
        /// Phrases per category
        #[arg(long, value_name = "N", default_value_t = 12)]
        phrases: usize,
    },
    /// Which pool phrases are noun phrases, by category: DIR/report/overlap.svg and .csv
    ///
    /// A cell is the ratio of one category's pool phrases that are noun phrases in another (Figure 6 of the paper).
    Overlap(Categories),
}

/// A folder, and how many of its categories to show.
#[derive(Args, Clone, Debug)]
pub struct Categories {
    /// Output folder of `ebert shards`
    #[arg(value_name = "DIR", default_value = WORK)]
    pub folder: PathBuf,
    /// Categories to show: those with the most products
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    pub categories: u32,
}
