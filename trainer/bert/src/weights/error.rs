//! Why weights cannot be read or written.
use std::{io, path::PathBuf};

use schemas::StoreError;

use super::{format::Foreign, names::Names};
use crate::pointer::Pointer;

/// Weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There are none in a format that is read.
    #[error(
        "`{}` has no weights that can be read: found {}, expected model.safetensors or model.safetensors.index.json\nhint: {}",
        folder.display(),
        foreign.as_ref().map_or_else(|| "neither".to_owned(), ToString::to_string),
        foreign.as_ref().map_or_else(|| "is it the right folder?".to_owned(), |foreign| foreign.hint(folder))
    )]
    Absent {
        /// The folder.
        folder: PathBuf,
        /// What it has instead.
        foreign: Option<Foreign>,
    },
    /// A file that Git LFS has not fetched.
    #[error(transparent)]
    Pointer(#[from] Pointer),
    /// Files that the list of weights names are not there.
    #[error(
        "`{}` names {parts} files, and {missing} of them {} missing, {first} first\nhint: fetch it into the same folder",
        index.display(),
        if *missing == 1 { "is" } else { "are" }
    )]
    Part {
        /// The list.
        index: PathBuf,
        /// How many files it names.
        parts: usize,
        /// How many of them are missing.
        missing: usize,
        /// The first of these.
        first: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` is not a safetensors file, or is damaged", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// It ends too early, or has bytes after the tensors that it lists.
    #[error(
        "`{}` is damaged: it has {found} bytes, and its header says {wanted}\nhint: fetch or copy it again",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length that its header gives.
        wanted: u64,
    },
    /// The list of files cannot be understood.
    #[error("`{}` is not a list of weights", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A tensor of a kind that weights do not have.
    #[error("`{}`: {name} is stored as {found}, expected F32, F16, BF16 or F64", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its kind.
        found: String,
    },
    /// A tensor with values that are not numbers.
    #[error(
        "`{}`: {name} holds NaN or infinite values, expected finite ones\n\
         hint: name another checkpoint; the training of this one has diverged, or its weights were damaged",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor, as the file names it.
        name: String,
    },
    /// Two stored tensors are the same weight of the model.
    #[error("`{}`: {first} and {second} are both {name}\nhint: save the model again, with save_pretrained", folder.display())]
    Twice {
        /// The folder.
        folder: PathBuf,
        /// The weight.
        name: String,
        /// Its first name in the folder.
        first: String,
        /// Its other name.
        second: String,
    },
    /// A tensor of another shape than the configuration says.
    #[error("`{}`: {name} has shape {found:?}, expected {wanted:?}\nhint: do config.json and the weights belong together?", path.display())]
    Shape {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape that the configuration gives.
        wanted: Vec<i64>,
    },
    /// Weights of the encoder are missing.
    #[error("`{}` lacks {missing} of the weights of a BERT, {first} first: {names}", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// How many.
        missing: usize,
        /// The first of them.
        first: String,
        /// What there is.
        names: Names,
    },
    /// A decoder with weights of its own.
    #[error("`{}` has a decoder that differs from the word embedding\nhint: only models with tied embeddings can be trained", path.display())]
    Untied {
        /// The folder.
        path: PathBuf,
    },
    /// Writing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing, in the library.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: safetensors::SafeTensorError,
    },
}
