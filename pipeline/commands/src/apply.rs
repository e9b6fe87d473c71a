//! Options of the commands that apply a trained model to texts.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::shared::{Compute, LogOption};

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextPooling {
    /// The mean over the tokens of the text, special tokens left out
    #[default]
    Mean,
    /// The hidden state of `[CLS]`
    Cls,
}

/// Options of `ebert fill-mask`.
#[derive(Args, Clone, Debug)]
pub struct FillMaskArgs {
    /// Texts with one or more `[MASK]` [default: lines of standard input]
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,
    /// A BERT with a masked-LM head: a Hugging Face folder, the folder of a run, or an id on the hub
    #[arg(long, value_name = "MODEL", help_heading = "Input")]
    pub model: PathBuf,
    /// Entries per mask
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Output")]
    pub top: u32,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert embed`.
#[derive(Args, Clone, Debug)]
pub struct EmbedArgs {
    /// Text file with one title per line, or JSON lines with `id` and `title`, as `ebert titles` writes them
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// A Hugging Face folder, the folder of a run, or an id on the hub
    #[arg(long, value_name = "MODEL", help_heading = "Input")]
    pub model: PathBuf,
    /// File for the result: .parquet has columns id, text and embedding, and .npy has the embeddings alone
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// How hidden states become one vector
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub pooling: TextPooling,
    /// Divide each embedding by its length, so that dot products are cosines
    #[arg(long, help_heading = "Output")]
    pub normalize: bool,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert similar`.
#[derive(Args, Clone, Debug)]
pub struct SimilarArgs {
    /// The title whose neighbors are searched. Of several, each gets a table of its own
    #[arg(value_name = "TITLE", required = true)]
    pub titles: Vec<String>,
    /// A Hugging Face folder, the folder of a run, or an id on the hub
    #[arg(long, value_name = "MODEL", help_heading = "Input")]
    pub model: PathBuf,
    /// The products to search: a text file with one title per line, or JSON lines with `id` and `title`
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub catalog: PathBuf,
    /// Products per title
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Output")]
    pub top: u32,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}
