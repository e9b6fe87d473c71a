//! What can go wrong in the graph step.
use std::path::PathBuf;

use schemas::{ManifestError, StoreError, UnknownRelation, manifest::AssociationSource};

use super::given::GivenError;
use crate::hint::Hint;

/// The graph cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// A relation that the corpus does not have.
    #[error("an association of the corpus `{}` cannot be read", folder.display())]
    Relation {
        folder: PathBuf,
        #[source]
        source: UnknownRelation,
    },
    /// Reviews cannot be read without interactions.
    #[error(
        "`--association-source` is {}, but the corpus `{}` has no table of interactions\n\
         hint: run all steps without `--no-interactions`, or with `--association-source dump`",
        wanted.as_str(),
        folder.display()
    )]
    NoInteractions { folder: PathBuf, wanted: AssociationSource },
    /// Files of this step went while it ran.
    #[error("files of the graph in `{}` are missing: another program removed them\nhint: run the command again", folder.display())]
    Changed { folder: PathBuf },
    #[error(transparent)]
    Given(#[from] GivenError),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
}
