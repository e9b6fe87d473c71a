//! The settings of a run: every option of the steps, in one place.
use std::{ops::Deref, path::PathBuf};

use clap::{Args, Command, FromArgMatches, ValueEnum};
use ebert_english::Model;
use ebert_mining::Options;
use schemas::manifest::{self, Hash, ShardOptions};

use crate::{
    engine::{progress::Log, stage::Threads},
    graph::associations::AssociationOptions,
    text::Tokenizer,
};

/// The options of all steps, as the command line gives them. [`Settings::default`] has the defaults.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Folder of raw dumps, walked recursively: products and reviews of the 2014, 2018 or 2023 generation, plain, gz or zst
    #[arg(long, default_value = "data/sample")]
    pub corpus: PathBuf,
    /// Phrase pool to import, `score<TAB>phrase` lines, plain, gz or zst, instead of mining it from the corpus
    #[arg(long, conflicts_with_all = ["quality_list", "entity_list", "stop_words"])]
    pub pool: Option<PathBuf>,
    #[command(flatten)]
    pub mining: MiningSettings,
    /// `vocab.txt` of an uncased BERT, or `tokenizer.json` with a WordPiece model
    #[arg(long, default_value = "data/sample/tokenizer.json")]
    pub tokenizer: PathBuf,
    /// Output folder of all steps
    #[arg(long, default_value = "data/work")]
    pub out: PathBuf,
    /// Least score of a phrase with several words, from 0 to 1; higher keeps fewer
    #[arg(long, default_value_t = 0.5, value_parser = score, allow_negative_numbers = true)]
    pub min_score: f64,
    /// Least score of a phrase with one word
    #[arg(long, default_value_t = 0.8, value_parser = score, allow_negative_numbers = true)]
    pub min_score_single: f64,
    /// Longest segment in tokens; the trainer adds `[CLS]` and `[SEP]`
    #[arg(long, default_value_t = 254, value_parser = clap::value_parser!(u16).range(1..=510))]
    pub max_tokens: u16,
    /// Seed of every random draw
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Workers [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Whether to find noun phrases; they take most of the time of the shards step
    #[arg(long, value_enum, default_value_t)]
    pub nouns: Nouns,
    /// Which associations of products become pairs: `dump` has those that the products name, `reviews` those of
    /// products that the same users reviewed one soon after the other, `both` has both. `auto` is `dump` if any of
    /// its associations joins two products of the corpus, and otherwise `reviews`
    #[arg(long, value_enum, default_value_t)]
    pub association_source: AssociationSource,
    /// Your own associations instead: a table with two product ids and a relation, rows of order and product, or one
    /// order per row. CSV or other text (plain, gz or zst), or Parquet; docs/associations.md has examples
    #[arg(long, value_name = "FILE")]
    pub associations: Option<PathBuf>,
    /// MiB of raw files per bucket, that is per file of products and per file of reviews; compressed files count four-fold.
    /// Fewer MiB give more files, which more machines can share
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub bucket_mib: u64,
    /// Reviews with the text of an earlier review, such as one under the ids of all variants of a product: `remove`
    /// keeps the first, `keep` keeps all. Either way all or none of them are held out from training
    #[arg(long, value_enum, default_value_t)]
    pub copies: Copies,
    /// Omit the table of interactions: who reviewed which product when. Reviewers are hashed, but whoever knows
    /// their ids can compute the hashes
    #[arg(long)]
    pub no_interactions: bool,
    /// The ratio of records, and of lines of a --pool, that may be unreadable: 0.01 is 1%. Above it the run stops
    #[arg(long, default_value_t = 0.01, value_parser = ratio)]
    pub max_unreadable: f64,
    /// Continue if raw files are cut short or corrupt; the records before the damage are used
    #[arg(long)]
    pub allow_damaged: bool,
    /// The most associations of one product that become pairs
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_per_product: u64,
    /// How often each pair is written, each time with another negative
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub draws: u64,
    /// Which products the negative of a pair is drawn from: `random`, all with an association; `category`, those in the
    /// anchor's most specific category with at least 8 that are possible, and all if no category has as many
    #[arg(long, value_enum, default_value_t)]
    pub negatives: Negatives,
    /// MiB of raw text between two checkpoints of the corpus step; tests lower it
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30), hide = true)]
    pub checkpoint_mib: u64,
    /// Format of the progress output
    #[arg(long, value_enum, default_value_t)]
    pub log: Log,
}

/// Options of phrase mining.
#[derive(Args, Clone, Debug)]
pub struct MiningSettings {
    /// Good phrases to learn from, one per line, plain, gz or zst. For a corpus the default is its categories, brands and
    /// attributes; `pipeline mine` needs a list
    #[arg(long, value_name = "FILE")]
    pub quality_list: Option<PathBuf>,
    /// Names of things, one per line; none of them becomes a negative example
    #[arg(long, value_name = "FILE")]
    pub entity_list: Option<PathBuf>,
    /// Words with little meaning of their own, one per line [default: English ones]
    #[arg(long, value_name = "FILE")]
    pub stop_words: Option<PathBuf>,
    /// Least number of occurrences of a mined phrase; lower it for less than a million words of text
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    pub min_support: u64,
    /// The most words of a mined phrase
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub max_words: u64,
}

/// Whether noun phrases are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Nouns {
    /// Faster; for recipes that mask no noun phrases
    Off,
    #[default]
    On,
}

/// Which associations of products become pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AssociationSource {
    #[default]
    Auto,
    Dump,
    Reviews,
    Both,
}

impl From<AssociationSource> for manifest::AssociationSource {
    fn from(source: AssociationSource) -> Self {
        match source {
            AssociationSource::Auto => Self::Auto,
            AssociationSource::Dump => Self::Dump,
            AssociationSource::Reviews => Self::Reviews,
            AssociationSource::Both => Self::Both,
        }
    }
}

/// What becomes of reviews with the text of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Copies {
    #[default]
    Remove,
    Keep,
}

/// Which products negatives are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Negatives {
    #[default]
    Random,
    Category,
}

impl From<Negatives> for manifest::Negatives {
    fn from(negatives: Negatives) -> Self {
        match negatives {
            Negatives::Random => Self::Random,
            Negatives::Category => Self::Category,
        }
    }
}

impl From<Copies> for manifest::Copies {
    fn from(copies: Copies) -> Self {
        match copies {
            Copies::Remove => Self::Remove,
            Copies::Keep => Self::Keep,
        }
    }
}

impl Settings {
    pub fn threads(&self) -> Threads {
        threads(self.threads)
    }

    pub fn finds_nouns(&self) -> bool {
        self.nouns == Nouns::On
    }

    /// Whether the corpus has a table of interactions.
    pub fn interactions(&self) -> bool {
        !self.no_interactions
    }

    /// Which associations the graph has.
    pub(crate) fn association_options(&self) -> AssociationOptions<'_> {
        let (source, max_unreadable) = (self.association_source.into(), self.max_unreadable);
        AssociationOptions { source, file: self.associations.as_deref(), max_unreadable }
    }

    /// The options that the shards' manifest states.
    pub(crate) fn shard_options(&self) -> ShardOptions {
        let nouns = self.finds_nouns();
        let tagger = nouns.then(|| Hash { blake3: Model::embedded_blake3().to_owned() });
        let (max_per_product, draws) = (self.max_per_product, self.draws);
        let (negatives, copies) = (self.negatives.into(), self.copies.into());
        ShardOptions { nouns, tagger, max_per_product, draws, negatives, copies }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let defaults = Self::augment_args(Command::new("pipeline")).get_matches_from(["pipeline"]);
        Self::from_arg_matches(&defaults).expect("every option has a default or is optional")
    }
}

impl MiningSettings {
    pub fn options(&self, seed: u64) -> Options {
        Options { min_support: self.min_support, max_words: self.max_words as usize, seed }
    }
}

/// The settings of a run with its tokenizer loaded. Steps get this.
#[derive(Clone, Copy)]
pub struct StepSettings<'a> {
    pub settings: &'a Settings,
    pub tokenizer: &'a Tokenizer,
}

impl Deref for StepSettings<'_> {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        self.settings
    }
}

/// As many workers as given, or one per core.
pub fn threads(given: Option<u16>) -> Threads {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Threads::new(given.map_or(cores, usize::from))
}

/// Parses a ratio of the command line.
///
/// # Errors
/// If it is not a number from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a ratio from 0 to 1, such as 0.01".to_owned()),
    }
}

/// Parses a score of the command line.
///
/// # Errors
/// If it is not a finite number.
pub fn score(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(score) if f64::is_finite(score) => Ok(score),
        _ => Err("expected a number, such as 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_command_line() {
        let settings = Settings::default();
        assert_eq!((settings.max_tokens, settings.bucket_mib, settings.min_score), (254, 32, 0.5));
        assert!(settings.finds_nouns());
    }
}
