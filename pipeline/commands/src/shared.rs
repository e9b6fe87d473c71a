//! Options that several commands have.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    WORK,
    values::{self, Language},
};

/// The format of progress and results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person
    #[default]
    Text,
    /// For a program: one JSON object per line
    Json,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// A GPU if there is one
    #[default]
    Auto,
    /// The CPU
    Cpu,
    /// A GPU
    Cuda,
}

/// Where a command computes.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Machine")]
pub struct Compute {
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    pub device: Device,
    /// CPU threads [default: one per core]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// The format of what a command prints.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Messages")]
pub struct LogOption {
    /// Format of progress and results
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log: LogFormat,
}

/// What a command prints.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Messages")]
pub struct Console {
    /// Print warnings and errors only
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print complete lists, and progress every 2 seconds instead of 20
    #[arg(long, short)]
    pub verbose: bool,
    /// Format of progress and results
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log: LogFormat,
}

/// The folder that a step works in, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct Work {
    /// Output folder of all steps, also in an object store: s3://bucket/folder, gs:// or az://
    #[arg(long, short, value_name = "DIR", default_value = WORK)]
    pub out: PathBuf,
    /// File that names your sources and their fields, and has values of options. An option on the command line
    /// overrides it. docs/own-data.md has an example
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub config: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What it prints.
    #[command(flatten)]
    pub console: Console,
}

/// The tokenizer of a step.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub struct TokenizerOption {
    /// `vocab.txt` of an uncased BERT, or `tokenizer.json` with WordPiece or byte-level BPE [default for the sample:
    /// its own]
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// The BERT that training will start from, a Hugging Face folder. Its tokenizer is used, and `ebert pretrain`
    /// starts from it
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
}

/// The language of the text.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Input")]
pub struct LanguageOption {
    /// Language of the text
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    pub language: Language,
}

/// How many flaws of the input are accepted.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// The ratio of input lines that may be unreadable: 0.01 is 1%. Above it the run stops
    #[arg(long, value_name = "RATIO", default_value_t = 0.01, value_parser = values::ratio)]
    pub max_unreadable: f64,
}

/// The seed of a step.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct SeedOptions {
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}
