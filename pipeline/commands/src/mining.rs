//! Commands on text and treebanks alone.
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    shared::{Console, LanguageOption, SeedOptions},
    values,
};

/// Commands on text and treebanks alone.
#[derive(Debug, Subcommand)]
pub enum TextCommand {
    /// Mine scored phrases from any text (AutoPhrase, deterministic)
    ///
    /// Writes `score<TAB>phrase` lines, best first. `ebert shards --pool FILE` imports such a file. The miner learns
    /// what a good phrase is from a built-in list of English nouns, or from --quality-list, whose names can come from
    /// another field, such as titles of an encyclopedia. A text gives no names, so other languages than English need
    /// that list.
    Mine(MineArgs),
    /// Train the tagger and the noun-phrase chunker on treebanks (deterministic)
    ///
    /// A treebank has one token per line, `word tag chunk` as in CoNLL-2000 or `word<TAB>tag`, and a blank line between
    /// sentences. The tagger learns from all treebanks, the chunker from those with chunks.
    TrainTagger(TrainTaggerArgs),
    /// Score the tagger and chunker on a treebank: tag accuracy and exact noun phrases
    EvaluateTagger(EvaluateTaggerArgs),
}

/// Options of phrase mining.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Phrases")]
pub struct MiningOptions {
    /// Good phrases to learn from, one per line, plain, gz or zst [default: a built-in list of English nouns. With a
    /// corpus also its brands, and in other languages its categories and attributes]
    #[arg(long, value_name = "FILE")]
    pub quality_list: Option<PathBuf>,
    /// Names of things, one per line. None of them becomes a negative example
    #[arg(long, value_name = "FILE")]
    pub entity_list: Option<PathBuf>,
    /// Words with little meaning of their own, one per line [default: English ones, or the text's most common words]
    #[arg(long, value_name = "FILE")]
    pub stop_words: Option<PathBuf>,
    /// Minimum number of occurrences of a mined phrase. Lower it for less than a million words of text
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    pub min_support: u64,
    /// Maximum number of words of a mined phrase
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub max_words: u64,
    /// MiB of memory for the text that is mined. The rest of a larger text is in temporary files, which take up to
    /// four times as much as the text
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub mining_mib: u64,
}

/// Options of `ebert mine`.
#[derive(Args, Clone, Debug)]
pub struct MineArgs {
    /// One document per line, plain, gz or zst
    #[arg(value_name = "TEXT")]
    pub text: PathBuf,
    /// File for the phrases [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The language.
    #[command(flatten)]
    pub language: LanguageOption,
    /// How phrases are mined.
    #[command(flatten)]
    pub mining: MiningOptions,
    /// Minimum score of a phrase with several words that the summary counts
    #[arg(long, value_name = "SCORE", default_value_t = 0.5, value_parser = values::score, allow_negative_numbers = true)]
    pub min_score: f64,
    /// Minimum score of a phrase with one word that the summary counts
    #[arg(long, value_name = "SCORE", default_value_t = 0.8, value_parser = values::score, allow_negative_numbers = true)]
    pub min_score_single: f64,
    /// The seed.
    #[command(flatten)]
    pub seed: SeedOptions,
    /// Worker threads [default: one per core]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Run")]
    pub threads: Option<u16>,
    /// What it prints.
    #[command(flatten)]
    pub console: Console,
}

/// Options of `ebert train-tagger`.
#[derive(Args, Clone, Debug)]
pub struct TrainTaggerArgs {
    /// Treebanks, plain, gz or zst
    #[arg(required = true, value_name = "TREEBANK")]
    pub treebanks: Vec<PathBuf>,
    /// File for the model
    #[arg(long, short, value_name = "FILE", default_value = "pipeline/english/models/english.bin")]
    pub out: PathBuf,
    /// Epochs of the tagger
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub tagger_epochs: u32,
    /// Epochs of the chunker
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub chunker_epochs: u32,
}

/// Options of `ebert evaluate-tagger`.
#[derive(Args, Clone, Debug)]
pub struct EvaluateTaggerArgs {
    /// Treebanks, plain, gz or zst
    #[arg(required = true, value_name = "TREEBANK")]
    pub treebanks: Vec<PathBuf>,
    /// A model of `ebert train-tagger` [default: the embedded one]
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}
