//! Why a model's tokenizer cannot be used.
use std::{io, path::PathBuf};

use crate::pointer::Pointer;

/// A model's tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("`{}` has no tokenizer that can be read: {what}\nhint: a Hugging Face folder has tokenizer.json or vocab.txt", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file of it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that Git LFS has not fetched.
    #[error(transparent)]
    Pointer(#[from] Pointer),
    /// It has tokens that the model has not.
    #[error(
        "the tokenizer of `{}` has {found} tokens, and the model {wanted} word embeddings\nhint: do config.json and the tokenizer belong together?",
        folder.display()
    )]
    Size {
        /// The folder.
        folder: PathBuf,
        /// Its tokens.
        found: usize,
        /// Rows of the model.
        wanted: i64,
    },
    /// A text cannot be encoded.
    #[error("`{text}` cannot be encoded: {what}")]
    Encode {
        /// The text.
        text: String,
        /// Why not.
        what: String,
    },
}
