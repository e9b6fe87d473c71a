//! Shards as training data: what there is, and what of it is held out.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use schemas::{
    DocumentId, Manifest, ManifestError, PairRows, SegmentRows, SpanOutside, StoreError, UnknownRelation,
    manifest::ShardsBody, open_pairs, open_segments, store::verify_file,
};

/// What is kept from training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// The share of documents, 0 to 1.
    pub held_out: f64,
}

/// What shards hold, for training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    folder: PathBuf,
    files: usize,
    vocabulary: u32,
    max_tokens: u16,
    products: Split,
    reviews: Split,
    pairs: u64,
    pairs_left_out: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Split {
    segments: u64,
    tokens: u64,
    phrases: u64,
    held_out: u64,
}

/// The shards cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A span.
    #[error("shard `{}`: {source}", path.display())]
    Span {
        /// The shard.
        path: PathBuf,
        /// Where.
        #[source]
        source: SpanOutside,
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
}

/// Rows read at a time.
const ROWS: usize = 1 << 12;

/// Reads every shard of a sealed folder, each after a check of its hash.
pub fn survey(folder: &Path, selection: Selection) -> Result<Survey, DataError> {
    let manifest = Manifest::<ShardsBody>::read(folder, "make shards")?;
    let body = &manifest.body;
    let held_out = |id: DocumentId| id.is_held_out(body.seed, selection.held_out);
    let mut survey = Survey {
        folder: folder.to_owned(),
        files: manifest.files.len(),
        vocabulary: body.tokenizer.vocab_size,
        max_tokens: body.max_tokens,
        ..Default::default()
    };
    for entry in &manifest.files {
        let path = verify_file(folder, entry, "make shards")?;
        if entry.name.starts_with("pairs-") {
            for batch in open_pairs(&path)?.batches(ROWS, None) {
                let pairs = PairRows::new(&batch?);
                for row in 0..pairs.len() {
                    let pair = pairs.get(row).map_err(|source| DataError::Relation { path: path.clone(), source })?;
                    let products = [pair.anchor, pair.neighbor, pair.negative];
                    if products.iter().any(|p| held_out(DocumentId::of_product(p.product))) {
                        survey.pairs_left_out += 1;
                    } else {
                        survey.pairs += 1;
                    }
                }
            }
            continue;
        }
        let split = if entry.name.starts_with("products-") { &mut survey.products } else { &mut survey.reviews };
        for batch in open_segments(&path)?.batches(ROWS, None) {
            let mut segments = SegmentRows::new(&batch?);
            for row in 0..segments.len() {
                let segment = segments.get(row).map_err(|source| DataError::Span { path: path.clone(), source })?;
                if held_out(segment.document) {
                    split.held_out += 1;
                } else {
                    split.segments += 1;
                    split.tokens += segment.input_ids.len() as u64;
                    split.phrases += segment.phrases.len() as u64;
                }
            }
        }
    }
    Ok(survey)
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} shards in {}: ids below {}, at most {} tokens a segment and [CLS] and [SEP]",
            self.files,
            self.folder.display(),
            self.vocabulary,
            self.max_tokens
        )?;
        writeln!(f, "{:10} {:>12} {:>14} {:>14} {:>10}", "", "segments", "tokens", "phrase spans", "held out")?;
        for (name, split) in [("products", self.products), ("reviews", self.reviews)] {
            writeln!(
                f,
                "{name:10} {:>12} {:>14} {:>14} {:>10}",
                split.segments, split.tokens, split.phrases, split.held_out
            )?;
        }
        writeln!(f, "{:10} {:>12} {:>40}", "pairs", self.pairs, self.pairs_left_out)
    }
}
