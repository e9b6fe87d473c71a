//! The command line of `ebert`: commands, options and the words that messages use for them.
//!
//! Two programs share it. `ebert` parses every command, so help, completions and man pages need no libtorch. It runs
//! the commands of [`DataCommand`] and replaces itself with `ebert-trainer` for those of [`TrainCommand`].
//!
//! This crate has plain types only. The programs convert them to the types of their libraries.
//!
//! # Examples
//!
//! ```
//! use ebert_commands::{Command, DataCommand, parse_from};
//!
//! let command = parse_from(["ebert", "shards", "--corpus", "amazon", "-o", "real"])?;
//! let Command::Data(DataCommand::Shards(shards)) = command else { panic!("another command") };
//! assert_eq!((shards.input.corpus[0].to_str(), shards.work.out.to_str()), (Some("amazon"), Some("real")));
//! # Ok::<(), clap::Error>(())
//! ```
#![warn(missing_docs)]
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

mod apply;
mod config;
mod data;
mod finetune;
mod help;
mod inspect;
mod mining;
#[cfg(test)]
mod reference;
mod shared;
mod train;
mod values;
mod wording;

pub use apply::{EmbedArgs, FillMaskArgs, SimilarArgs, TextPooling};
pub use data::{
    CheckArgs, CorpusArgs, CorpusOptions, DataCommand, EncodeArgs, EncodeOptions, GraphArgs, GraphOptions,
    InputOptions, PairOptions, PairsArgs, PlanArgs, PoolArgs, PoolOptions, SealArgs, ShardsArgs, WorkerArgs,
};
pub use finetune::{FinetuneOptions, Pooling};
pub use inspect::{Categories, Color, Figure, InspectArgs, LookCommand};
pub use mining::{EvaluateTaggerArgs, MineArgs, MiningOptions, TextCommand, TrainTaggerArgs};
pub use shared::{
    Compute, Console, Device, LanguageOption, LimitOptions, LogFormat, LogOption, SeedOptions, TokenizerOption, Work,
};
pub use train::{
    AttentionArgs, BenchArgs, ClaimsArgs, CurvesArgs, EvaluateArgs, FinetuneArgs, GridArgs, NlpTask, PretrainArgs,
    ProbeArgs, Scale, Shape, TrainCommand,
};
pub use values::{AssociationSource, Copies, Language, Negatives, Nouns, WorkerStep};
pub use wording::Wording;

/// The folder that commands work in unless they are given another.
pub const WORK: &str = "data/work";
/// The corpus of the repository.
pub const SAMPLE: &str = "data/sample";
/// The recipe for it, which is the default for its shards alone.
pub const SAMPLE_RECIPE: &str = "sample";
/// The raw files of the sample.
pub const SAMPLE_FILES: [&str; 2] = ["Sample_5.json.gz", "meta_sample.json.gz"];

/// The options of a run in its output folder, in the form that `--config` reads.
pub const OPTIONS_FILE: &str = "ebert.toml";

/// The version of both programs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The variable in which `ebert` gives its version to `ebert-trainer`.
pub const VERSION_VARIABLE: &str = "EBERT_VERSION";

/// E-BERT: turn product catalogs and reviews into training data, and train a BERT on them
///
/// Start with `ebert shards`, which runs over a sample without any option, then `ebert inspect` and `ebert pretrain`.
#[derive(Debug, Parser)]
#[command(name = "ebert", bin_name = "ebert", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command of `ebert`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// From raw files to shards.
    #[command(flatten)]
    Data(DataCommand),
    /// Training. `ebert-trainer` runs these.
    #[command(flatten)]
    Train(TrainCommand),
    /// What there is.
    #[command(flatten)]
    Look(LookCommand),
    /// Text and treebanks alone.
    #[command(flatten)]
    Text(TextCommand),
    /// Print a completion script for a shell
    ///
    /// For bash: ebert completions bash > ~/.local/share/bash-completion/completions/ebert
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write one page per command to a folder
    Man {
        /// Folder for the pages
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// A shell that completion scripts are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// The commands of `ebert-trainer`, which has no others.
#[derive(Debug, Parser)]
#[command(name = "ebert-trainer", bin_name = "ebert", version, max_term_width = 100, about = "The trainer of `ebert`")]
struct TrainerCli {
    #[command(subcommand)]
    command: TrainCommand,
}

/// The whole command line of `ebert`, with commands in groups.
pub fn ebert() -> clap::Command {
    help::grouped(Cli::command())
}

/// Parses the command line of `ebert`. A wrong one ends the process with status 2.
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses a command line of `ebert`, the program's name included. The options in the file of `--config` become options
/// of the command.
///
/// # Errors
/// If it is wrong, or asks for help.
pub fn parse_from<T: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Result<Command, clap::Error> {
    let program = ebert();
    let arguments = config::expanded(&program, arguments.into_iter().map(Into::into).collect())?;
    Ok(Cli::from_arg_matches(&program.try_get_matches_from(arguments)?)?.command)
}

/// Parses the command line of `ebert-trainer`. A wrong one ends the process with status 2.
pub fn parse_trainer() -> TrainCommand {
    TrainerCli::parse().command
}

/// Reports a wrong use of the trainer's options and ends the process with status 2.
pub fn refuse(what: &str) -> ! {
    TrainerCli::command().error(clap::error::ErrorKind::ArgumentConflict, what).exit()
}

/// Whether a path is the address of a place on another machine, such as `s3://bucket/folder`.
pub fn is_address(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
}

/// The variable in which `ebert` gives the folder to `ebert-trainer` to which it has fetched shards.
pub const FETCHED_VARIABLE: &str = "EBERT_FETCHED";

/// The output folder of `--shards` on this machine. `ebert` has fetched that of an address.
pub fn fetched_shards(shards: &Path) -> PathBuf {
    let fetched = std::env::var_os(FETCHED_VARIABLE).filter(|_| is_address(shards));
    fetched.map_or_else(|| shards.to_owned(), PathBuf::from)
}

/// Whether a corpus with these raw files is the sample's.
pub fn is_sample<'a>(files: impl IntoIterator<Item = &'a str>) -> bool {
    let mut files: Vec<&str> = files.into_iter().collect();
    files.sort_unstable();
    files == SAMPLE_FILES
}
