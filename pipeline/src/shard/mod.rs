//! Shards: the plan, the streaming stage ([`encode`]), where documents are cut ([`segment`]), and the seal.
use std::path::PathBuf;

use schemas::{ManifestError, StoreError};

pub mod encode;
pub mod seal;
pub mod segment;

/// Making or sealing shards failed.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Rows that do not fit their columns.
    #[error("a batch of rows cannot be built")]
    Rows(#[source] arrow::error::ArrowError),
    /// Options that cannot be written.
    #[error("the options cannot be written as TOML")]
    Options(#[source] toml::ser::Error),
    /// Another tokenizer made what is there.
    #[error(
        "`{}` was made with another tokenizer\n  blake3 found {found}, wanted {wanted}\n\
         hint: give the same TOKENIZER= to every step, or run `make shards`, which makes again what has changed",
        folder.display()
    )]
    Tokenizer {
        /// The folder.
        folder: PathBuf,
        /// Hash of its tokenizer.
        found: String,
        /// Hash of the given tokenizer.
        wanted: String,
    },
    /// Shards are missing at the seal.
    #[error(
        "{missing} of {planned} shards are not there yet, the first is `{first}`\nhint: run `pipeline shards` (every task of it), then `pipeline pairs`, then seal"
    )]
    Unfinished {
        /// How many.
        missing: usize,
        /// Of how many.
        planned: usize,
        /// Name of the first.
        first: String,
    },
    /// A file of ours, or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}
