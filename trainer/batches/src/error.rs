//! Why shards cannot be trained on.
use std::path::PathBuf;

use schemas::{DocumentId, ManifestError, SpanOutside, StoreError, UnknownRelation};

use crate::{hint, vocabulary::VocabularyError};

/// The shards cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The shards are not made, or not to the end.
    #[error(
        "`{}` has no manifest, so it is not a finished data set\n\
         hint: run `ebert shards --out {}` with the corpus and options that you want; finished files are kept",
        folder.display(),
        hint::out_of(folder)
    )]
    Unfinished {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest.
    #[error("{}{}", .0, hint::of_manifest(.0))]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error("{}{}", .0, hint::of_store(.0))]
    Store(#[from] StoreError),
    /// The vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// A span.
    #[error("shard `{}`: {source}", path.display())]
    Span {
        /// The shard.
        path: PathBuf,
        /// Where.
        #[source]
        source: SpanOutside,
    },
    /// The words of a segment.
    #[error("shard `{}`: document {document} has {what}\nhint: run `ebert shards` again", path.display())]
    Words {
        /// The shard.
        path: PathBuf,
        /// The document.
        document: DocumentId,
        /// What is wrong.
        what: &'static str,
    },
    /// A relation.
    #[error("shard `{}`: {source}", path.display())]
    Relation {
        /// The shard.
        path: PathBuf,
        /// Which.
        #[source]
        source: UnknownRelation,
    },
    /// An id that the vocabulary does not have.
    #[error("shard `{}` holds the token id {id}; the vocabulary has {size} tokens\nhint: run `ebert shards` again", path.display())]
    Id {
        /// The shard.
        path: PathBuf,
        /// The id.
        id: u32,
        /// Tokens in the vocabulary.
        size: usize,
    },
    /// More tokens than the manifest says.
    #[error("shard `{}` holds a text of {found} tokens; its manifest allows at most {most}\nhint: run `ebert shards` again", path.display())]
    Length {
        /// The shard.
        path: PathBuf,
        /// Tokens of the text.
        found: usize,
        /// The most that there may be.
        most: u16,
    },
    /// A product of a pair has no text.
    #[error("shard `{}` holds a pair with a product that has no tokens\nhint: run `ebert shards` again", path.display())]
    EmptyPair {
        /// The shard.
        path: PathBuf,
    },
    /// Batches have stopped with an error before.
    #[error("there are no more batches after an error\nhint: open the shards again")]
    Stopped,
    /// There is nothing to train on.
    #[error("`{}` has no {what} to train on ({held_out} are held out)\nhint: {hint}", folder.display())]
    Nothing {
        /// The shards.
        folder: PathBuf,
        /// What there is none of.
        what: &'static str,
        /// How many are held out.
        held_out: u64,
        /// What to do.
        hint: &'static str,
    },
}
