use std::{io, path::PathBuf};

use ebert_batches::DataError;
use ebert_bert::{CannotCompute, ConfigError, tokens::TokensError, weights::WeightsError};
use ebert_kernels::TorchError;
use schemas::{StoreError, UnknownRelation};
use tch::TchError;
use trainer::init::InitError;

use crate::{TaskFileError, trained::RecipeError};

/// A probe cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A model's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model's weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A model's tokenizer, or a text.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A model's files.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The device.
    #[error(transparent)]
    Compute(#[from] CannotCompute),
    /// A task's file.
    #[error(transparent)]
    Task(#[from] TaskFileError),
    /// The shards.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A table of the corpus or the graph.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] TchError),
    /// libtorch, by way of the kernels.
    #[error(transparent)]
    Kernels(#[from] TorchError),
    /// Hidden states are not numbers.
    #[error(
        "the model's hidden states are not finite\nhint: did its training diverge? `ebert curves` draws its losses"
    )]
    NotFinite,
    /// A regression.
    #[error(
        "{problems} logistic regressions did not converge in {iterations} iterations\nhint: report this with the model's config.json"
    )]
    Unfinished {
        /// Regressions.
        problems: usize,
        /// Iterations.
        iterations: usize,
    },
    /// A relation that this version does not know.
    #[error("`{}` has a relation that this version does not know\nhint: rebuild it with `ebert shards`", path.display())]
    Relation {
        /// The graph.
        path: PathBuf,
        /// Which.
        #[source]
        source: UnknownRelation,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`\nhint: `ebert probe --help` lists the files that it takes", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A data set is too small for cross-validation.
    #[error("`{}` has {found} {what}, too few for five folds\nhint: name a larger file", path.display())]
    TooFew {
        /// The file.
        path: PathBuf,
        /// How many.
        found: usize,
        /// Of what.
        what: String,
    },
    /// Two data sets have one name.
    #[error(
        "two data sets are called `{name}`\nhint: they are named by their file, for matching that of the test: rename or link one"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// The recipe next to a model.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A file of pairs of offers has another shape.
    #[error(
        "`{}`, line {line}: found no two offers with 0 or 1\n  expected `COL name VAL text …`, a tab, the other offer, \
         a tab, and 0 or 1\nhint: the ER-Magellan data sets of Ditto have this form; unpack .gz files first",
        path.display()
    )]
    Matching {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// A file of pairs of offers has one class alone.
    #[error(
        "`{}` has {same} matching pairs among {all}, expected some of both classes\nhint: name Ditto's files in the order \
         train.txt valid.txt test.txt",
        path.display()
    )]
    OneClass {
        /// The file.
        path: PathBuf,
        /// Pairs that are one product.
        same: usize,
        /// Pairs.
        all: usize,
    },
}
