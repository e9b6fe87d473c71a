use std::{io, path::PathBuf};

use ebert_bert::tokens::TokensError;
use schemas::StoreError;
use tch::TchError;
use trainer::init::InitError;

use super::MASK;
use crate::{TaskFileError, probe::ProbeError};

/// A model cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ProbeError),
    /// Its files.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Its tokenizer, or a text.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// It cannot fill in masks.
    #[error(
        "`{}` has no masked-LM head: found an encoder alone, expected weights named {weights}\n\
         hint: `ebert embed` and `ebert similar` need no head; `ebert pretrain --init {}` trains one",
        folder.display(), schemas::quoted(folder)
    )]
    NoHead {
        /// The model.
        folder: PathBuf,
        /// The names of the weights of such a head.
        weights: String,
    },
    /// Its vocabulary has no mask.
    #[error(
        "the vocabulary of `{}` has no {MASK}\nhint: name a model that was trained with masks, such as bert-base-uncased",
        folder.display()
    )]
    NoMaskToken {
        /// The model.
        folder: PathBuf,
    },
    /// A text has no mask.
    #[error(
        "found no {MASK} in `{text}`, expected one or more\n\
         hint: `ebert fill-mask --model MODEL \"A cedar {MASK} for tea\"`"
    )]
    NoMask {
        /// Its beginning.
        text: String,
    },
    /// A text is too long.
    #[error("found {tokens} tokens in `{text}`, expected at most {most}\nhint: shorten the text around its {MASK}")]
    TooLong {
        /// Its beginning.
        text: String,
        /// Its tokens, without special ones at the ends.
        tokens: usize,
        /// What the model takes.
        most: usize,
    },
    /// A title without tokens has no neighbors.
    #[error("found no token in the title `{title}`, expected at least one\nhint: name a title such as \"Cedar chest\"")]
    NoTokens {
        /// The title.
        title: String,
    },
    /// A text of several.
    #[error("line {line} of standard input cannot be used")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why not.
        #[source]
        source: Box<Self>,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`\nhint: name a text file with one title per line, or a file of `ebert titles`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is compressed, or in another encoding.
    #[error(transparent)]
    File(#[from] TaskFileError),
    /// It is not a file of titles.
    #[error("`{}` is {found}, expected one title per line, or the form of `ebert titles`\nhint: {hint}", path.display())]
    NotTitles {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// How to write one.
        hint: String,
    },
    /// It is not a regular file.
    #[error("`{}` is not a file: titles are read twice, so it cannot be a folder or a pipe\nhint: write the titles to a file first", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// A line has another shape.
    #[error(
        "`{}`, line {line}: {found}\n  expected {{\"id\": \"B000TBZHNK\", \"title\": \"…\"}} on each line\n\
         hint: `ebert titles` writes this form; in a text file of titles the first line must not start with {{",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong.
        found: String,
    },
    /// A file has no titles.
    #[error("`{}` has no titles\nhint: name a text file with one title per line, or a file of `ebert titles`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file was changed while it was read.
    #[error("`{}` changed while it was read: found {found} titles, expected {wanted}\nhint: run the same command again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Titles of the second reading.
        found: u64,
        /// Titles of the first.
        wanted: u64,
    },
    /// The name of a result does not have a known format.
    #[error("`{}` ends with neither .parquet nor .npy\nhint: `--out titles.parquet`", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// There is not a folder for a result.
    #[error("cannot write `{}`: its folder does not exist\nhint: `mkdir -p {}`", path.display(), schemas::quoted(path.parent().unwrap_or(path)))]
    NoPlace {
        /// The file.
        path: PathBuf,
    },
    /// A result.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl ApplyError {
    /// Whether another command line would do.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoMask { .. }
                | Self::TooLong { .. }
                | Self::NoTokens { .. }
                | Self::Ending { .. }
                | Self::NoPlace { .. }
        )
    }
}
