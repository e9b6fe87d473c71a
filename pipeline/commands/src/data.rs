//! Commands from raw files to shards.
use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemas::Task;

use crate::{
    mining::MiningOptions,
    shared::{LanguageOption, LimitOptions, SeedOptions, TokenizerOption, Work},
    values::{self, AssociationSource, Copies, Negatives, Nouns, WorkerStep},
};

/// Commands from raw files to shards.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show how raw files are read, with three records of each
    ///
    /// It names the fields that are not used and the values that are missing. It reads the first records only, and
    /// writes nothing.
    Check(CheckArgs),
    /// Build training shards from raw data (runs every step that is out of date)
    ///
    /// Finished steps are skipped. If an input or option changes, only the affected steps run again. Interrupted runs
    /// resume.
    Shards(Box<ShardsArgs>),
    /// Step 1: read raw files into clean documents, in OUT/corpus
    Corpus(CorpusArgs),
    /// Step 2: mine the phrase pool from the corpus, or import one, in OUT/pool
    Pool(PoolArgs),
    /// Step 3: collect the associations among products, in OUT/graph
    Graph(GraphArgs),
    /// Step 4: encode documents into segments: token ids and phrase spans, in OUT/shards
    ///
    /// Several machines can share the work in one folder: part i of n encodes the buckets b with b mod n = i. In a
    /// Slurm array the part is known. In a Kubernetes indexed Job, add --parts n. By hand, use --part i/n.
    Encode(EncodeArgs),
    /// Step 5: draw pairs of associated products, each with a negative, in OUT/shards
    Pairs(PairsArgs),
    /// Step 6: check that all shards exist and write their manifest
    Seal(SealArgs),
    /// Print the steps of `ebert shards` as tasks for many machines, and which are done
    ///
    /// Each step is a number of tasks, which run at the same time. A step begins when those that it needs are finished.
    /// It prints a table, or with --log json one object per task, with its command, inputs and outputs. It writes the
    /// options to OUT/ebert.toml, which workers read with --config. It runs nothing.
    Plan(Box<PlanArgs>),
    /// Run one task of one step, in a folder that many machines share
    ///
    /// Any engine can start tasks: xargs, a Slurm array, a Kubernetes indexed Job. Finished tasks are kept. A task may
    /// be killed and started again, or run twice at the same time. The bytes are those of `ebert shards`, for any
    /// number of tasks. The last task of a step seals it. A task that starts too early names the tasks that are
    /// missing.
    ///
    /// For example: seq -f %g/16 0 15 | xargs -P 4 -n 1 ebert worker read --config OUT/ebert.toml --threads 2
    Worker(Box<WorkerArgs>),
    /// Write the products of the corpus as data for product classification
    ///
    /// A line is a JSON object with `id`, `title` and `labels`, the categories. `ebert finetune --task pc` learns to
    /// predict the categories of a title from it.
    Titles {
        /// Output folder of `ebert shards`
        #[arg(value_name = "DIR", default_value = crate::WORK)]
        folder: PathBuf,
        /// The file to write [default: DIR/titles.jsonl]
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Options of `ebert check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Raw files, as those of --corpus [default: those of the file of --config]
    #[arg(value_name = "PATH")]
    pub corpus: Vec<PathBuf>,
    /// File that names your sources and their fields
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Records to show of each file
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub records: usize,
}

/// Options of `ebert shards`.
#[derive(Args, Clone, Debug)]
pub struct ShardsArgs {
    /// Raw files.
    #[command(flatten)]
    pub input: InputOptions,
    /// The tokenizer.
    #[command(flatten)]
    pub tokenizer: TokenizerOption,
    /// The language.
    #[command(flatten)]
    pub language: LanguageOption,
    /// Step 1.
    #[command(flatten)]
    pub corpus: CorpusOptions,
    /// Step 2.
    #[command(flatten)]
    pub pool: PoolOptions,
    /// Step 3.
    #[command(flatten)]
    pub graph: GraphOptions,
    /// Step 4.
    #[command(flatten)]
    pub encode: EncodeOptions,
    /// Step 5.
    #[command(flatten)]
    pub pairs: PairOptions,
    /// Flaws that are accepted.
    #[command(flatten)]
    pub limits: LimitOptions,
    /// The seed.
    #[command(flatten)]
    pub seed: SeedOptions,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Maximum number of tasks per step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Run")]
    pub tasks: u32,
    /// Those of all steps.
    #[command(flatten)]
    pub options: ShardsArgs,
}

/// Options of `ebert worker`.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// The step
    #[arg(value_enum)]
    pub step: WorkerStep,
    /// Which task, such as 0/4 [default: the task of the scheduler, or all]
    #[arg(value_name = "I/N", conflicts_with = "parts")]
    pub task: Option<Task>,
    /// Number of tasks. The scheduler decides which one this is
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Run")]
    pub parts: Option<u32>,
    /// Those of all steps.
    #[command(flatten)]
    pub options: ShardsArgs,
}

/// Options of `ebert corpus`.
#[derive(Args, Clone, Debug)]
pub struct CorpusArgs {
    /// Raw files.
    #[command(flatten)]
    pub input: InputOptions,
    /// The tokenizer, which decides what an empty record is.
    #[command(flatten)]
    pub tokenizer: TokenizerOption,
    /// How records are read.
    #[command(flatten)]
    pub corpus: CorpusOptions,
    /// Flaws that are accepted.
    #[command(flatten)]
    pub limits: LimitOptions,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert pool`.
#[derive(Args, Clone, Debug)]
pub struct PoolArgs {
    /// The tokenizer, which phrases must fit.
    #[command(flatten)]
    pub tokenizer: TokenizerOption,
    /// The language.
    #[command(flatten)]
    pub language: LanguageOption,
    /// Where phrases come from.
    #[command(flatten)]
    pub pool: PoolOptions,
    /// Flaws that are accepted.
    #[command(flatten)]
    pub limits: LimitOptions,
    /// The seed.
    #[command(flatten)]
    pub seed: SeedOptions,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert graph`.
#[derive(Args, Clone, Debug)]
pub struct GraphArgs {
    /// Where associations come from.
    #[command(flatten)]
    pub graph: GraphOptions,
    /// Flaws that are accepted.
    #[command(flatten)]
    pub limits: LimitOptions,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert encode`.
#[derive(Args, Clone, Debug)]
pub struct EncodeArgs {
    /// The tokenizer.
    #[command(flatten)]
    pub tokenizer: TokenizerOption,
    /// The language.
    #[command(flatten)]
    pub language: LanguageOption,
    /// How documents are encoded.
    #[command(flatten)]
    pub encode: EncodeOptions,
    /// Which part of the buckets to encode, such as 0/4 [default: the part of the scheduler, or all]
    #[arg(long, value_name = "I/N", conflicts_with = "parts", help_heading = "Run")]
    pub part: Option<Task>,
    /// Number of parts. The scheduler decides which one this is
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Run")]
    pub parts: Option<u32>,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert pairs`.
#[derive(Args, Clone, Debug)]
pub struct PairsArgs {
    /// The tokenizer.
    #[command(flatten)]
    pub tokenizer: TokenizerOption,
    /// The language, which decides whether shards have noun phrases.
    #[command(flatten)]
    pub language: LanguageOption,
    /// How the shards were encoded.
    #[command(flatten)]
    pub encode: EncodeOptions,
    /// How pairs are drawn.
    #[command(flatten)]
    pub pairs: PairOptions,
    /// The seed.
    #[command(flatten)]
    pub seed: SeedOptions,
    /// The folder.
    #[command(flatten)]
    pub work: Work,
}

/// Options of `ebert seal`.
#[derive(Args, Clone, Debug)]
pub struct SealArgs {
    /// Those of the pairs, which the seal checks.
    #[command(flatten)]
    pub pairs: PairsArgs,
    /// Number of parts that encoded the shards. An error then names those that did not finish
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Run")]
    pub parts: Option<u32>,
}

/// Where raw files are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub struct InputOptions {
    /// Raw files: a folder (searched recursively), a file, or a pattern such as 'dumps/*.csv'. May be given several
    /// times. Amazon's dumps and several public data sets are recognized. Other files need --config. `ebert check`
    /// shows what is read [default: the sources of --config, or data/sample]
    #[arg(long, value_name = "PATH")]
    pub corpus: Vec<PathBuf>,
    /// Replace the corpus in the output folder, even if it was built from other raw files
    #[arg(long)]
    pub force: bool,
}

/// How records are read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Corpus")]
pub struct CorpusOptions {
    /// MiB of raw files per bucket, that is per file of products and per file of reviews. Compressed files count
    /// four-fold. Fewer MiB give more files, which more machines can share
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub bucket_mib: u64,
    /// Reviews with the text of an earlier review, such as one under the ids of all variants of a product. Either way
    /// all or none of them are held out from training
    #[arg(long, value_enum, default_value_t)]
    pub copies: Copies,
    /// Omit the table of interactions: who reviewed which product when. Reviewers are hashed, but anyone who knows
    /// their ids can compute the hashes
    #[arg(long)]
    pub no_interactions: bool,
    /// Continue past truncated or corrupt files, using the records before the damage
    #[arg(long)]
    pub allow_damaged: bool,
    /// MiB of raw text between two checkpoints. Tests lower it
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30), hide = true)]
    pub checkpoint_mib: u64,
}

/// Where phrases come from, and which are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Phrases")]
pub struct PoolOptions {
    /// Phrase pool to import, `score<TAB>phrase` lines, plain, gz or zst, instead of mining it from the corpus
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quality_list", "entity_list", "stop_words"])]
    pub pool: Option<PathBuf>,
    /// How they are mined.
    #[command(flatten)]
    pub mining: MiningOptions,
    /// Minimum score of a phrase with several words, from 0 to 1
    #[arg(long, value_name = "SCORE", default_value_t = 0.5, value_parser = values::score, allow_negative_numbers = true)]
    pub min_score: f64,
    /// Minimum score of a phrase with one word
    #[arg(long, value_name = "SCORE", default_value_t = 0.8, value_parser = values::score, allow_negative_numbers = true)]
    pub min_score_single: f64,
}

/// Where associations come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Associations")]
pub struct GraphOptions {
    /// Which associations of products become pairs
    #[arg(long, value_enum, default_value_t, value_name = "SOURCE")]
    pub association_source: AssociationSource,
    /// Your own associations instead: a table with two product ids and a relation, rows of order and product, or one
    /// order per row. CSV or other text (plain, gz or zst), or Parquet. Examples are in docs/associations.md
    #[arg(long, value_name = "FILE")]
    pub associations: Option<PathBuf>,
}

/// How documents are encoded.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Segments")]
pub struct EncodeOptions {
    /// Longest segment in tokens. The trainer adds `[CLS]` and `[SEP]`
    #[arg(long, value_name = "N", default_value_t = 254, value_parser = clap::value_parser!(u16).range(1..=510))]
    pub max_tokens: u16,
    /// Whether to find noun phrases, which take most of the time of this step
    #[arg(long, value_enum, default_value_t)]
    pub nouns: Nouns,
}

/// How pairs are drawn.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pairs")]
pub struct PairOptions {
    /// Maximum number of associations per product that become pairs
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_per_product: u64,
    /// Negatives per pair
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub draws: u64,
    /// Which products the negative of a pair is drawn from
    #[arg(long, value_enum, default_value_t, value_name = "FROM")]
    pub negatives: Negatives,
}
