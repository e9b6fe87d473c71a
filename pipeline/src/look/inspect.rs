//! `ebert inspect`: prints what the shards contain.
mod json;
mod pairs;
mod print;
mod summary;

use std::{io, path::Path};

use polars::prelude::PolarsError;
use schemas::{
    Manifest, ManifestError, StoreError, UnknownRelation,
    manifest::{CorpusBody, GraphBody, Hash, ShardsBody},
};
use serde::{Serialize, de::DeserializeOwned};

use self::summary::{FrequentPhrase, SegmentCounter, Summary};
use super::segments::{SegmentsError, read_checked_segments};
use crate::{
    engine::{frames::FrameError, progress::Format},
    hint::Hint,
    phrase::pool,
    text::{Tokenizer, TokenizerError},
};

/// The shards cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    #[error("cannot count the segments of a shard")]
    Query(#[from] PolarsError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a pair cannot be read")]
    Relation(#[from] UnknownRelation),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Pool(#[from] pool::PoolOfShardsError),
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// Options of [`inspect`].
#[derive(Clone, Copy, Debug)]
pub struct InspectOptions {
    /// Segments to show of products and of reviews.
    pub rows: usize,
    /// Shards to read of products and of reviews. Each is a random sample of the whole.
    pub shards: usize,
    /// For whom the report is.
    pub format: Format,
    /// Whether to use colors.
    pub colour: bool,
}

/// The phrases to list.
const FREQUENT_PHRASES: usize = 20;

/// Prints what the shards of `out` contain to `report`.
///
/// # Errors
/// If the shards, their tokenizer or their pool cannot be read or do not fit together, or `report`
/// cannot be written.
pub fn inspect(out: &Path, options: InspectOptions, report: &mut dyn io::Write) -> Result<(), InspectError> {
    let manifest = Manifest::<ShardsBody>::read(&out.join("shards"))?;
    let pool = pool::of_shards(out, &manifest.body)?;
    let tokenizer = tokenizer_of_shards(out, &manifest.body)?;
    let summary = summarize(out, &manifest, &pool, options)?;
    match options.format {
        Format::Text => print::print(&summary, &tokenizer, print::Paint { on: options.colour }, report)?,
        Format::Json => json::print(&summary, &tokenizer, report)?,
    }
    Ok(())
}

/// Loads the copy of the tokenizer in the folder of the shards.
fn tokenizer_of_shards(out: &Path, shards: &ShardsBody) -> Result<Tokenizer, InspectError> {
    let path = out.join("shards").join(&shards.tokenizer.file);
    let tokenizer = Tokenizer::load(&path)?;
    let (found, wanted) = (tokenizer.blake3(), shards.tokenizer.blake3.clone());
    if found != wanted {
        return Err(StoreError::Damaged { path, found, wanted }.into());
    }
    Ok(tokenizer)
}

/// Reads the shards, one at a time.
fn summarize(
    out: &Path,
    manifest: &Manifest<ShardsBody>,
    pool: &pool::Pool,
    options: InspectOptions,
) -> Result<Summary, InspectError> {
    let shards: Vec<_> = manifest.files.iter().filter(|file| !file.name.starts_with("pairs")).collect();
    let mut counter = SegmentCounter::new(manifest.body.max_tokens);
    let (mut shards_read, mut examples) = (0, Vec::new());
    for kind in ["products", "reviews"] {
        let mut of_kind = Vec::new();
        for shard in shards.iter().filter(|file| file.name.starts_with(kind)).take(options.shards) {
            let segments = read_checked_segments(&out.join("shards"), shard)?;
            counter.add(&segments)?;
            of_kind.extend(summary::examples(&segments, manifest.body.seed, options.rows)?);
            of_kind.sort_by_key(|example| example.draw);
            of_kind.truncate(options.rows);
            shards_read += 1;
        }
        examples.extend(of_kind);
    }
    let counts = counter.finish(FREQUENT_PHRASES)?;
    let frequent_phrases = counts.frequent.iter().filter_map(|count| {
        let phrase = pool.phrases.get(count.phrase.get() as usize)?;
        Some(FrequentPhrase { phrase: phrase.clone(), spans: count.spans })
    });
    let corpus = made_from::<CorpusBody>(&out.join("corpus"), &manifest.body.corpus)?;
    let pairs = match &corpus {
        Some(corpus) => pairs::summarize(out, manifest, corpus, options.rows)?,
        None => None,
    };
    Ok(Summary {
        shards: manifest.body.clone(),
        corpus: corpus.map(|corpus| corpus.body),
        graph: made_from::<GraphBody>(&out.join("graph"), &manifest.body.graph)?.map(|graph| graph.body),
        pairs,
        disk_bytes: shards.iter().map(|file| file.bytes).sum(),
        all_shards: shards.len(),
        shards_read,
        lengths: counts.lengths,
        frequent_phrases: frequent_phrases.collect(),
        examples,
    })
}

/// The corpus or graph that the shards were made from. `None` where it is absent, unfinished or a later one.
fn made_from<B: Serialize + DeserializeOwned>(
    folder: &Path,
    wanted: &Hash,
) -> Result<Option<Manifest<B>>, InspectError> {
    match Manifest::<B>::read(folder) {
        Ok(manifest) => Ok((manifest.data_blake3() == wanted.blake3).then_some(manifest)),
        Err(ManifestError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
