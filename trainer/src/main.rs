//! The command line of the trainer. So far it reads shards and their manifest and says what it would train on.
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use trainer::data::{self, Selection};

/// Training shards to an E-BERT checkpoint.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pre-train on the shards of OUT
    Pretrain {
        /// The folder that `make shards` made
        #[arg(long, default_value = "data/work")]
        out: PathBuf,
        /// The share of documents that is kept from training, to measure on
        #[arg(long, default_value_t = 0.01)]
        held_out: f64,
        /// Say what would be trained on, and stop. Training itself is not built yet, so this is needed
        #[arg(long, required = true)]
        dry_run: bool,
    },
}

fn main() -> ExitCode {
    let Command::Pretrain { out, held_out, .. } = Cli::parse().command;
    let selection = Selection { held_out };
    let report = data::survey(&out.join("shards"), selection)
        .map_err(anyhow::Error::from)
        .and_then(|survey| Ok(write!(io::stdout(), "{survey}")?));
    match report {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
