//! `pipeline train-tagger` and `pipeline evaluate-tagger`.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use schemas::{StoreError, store::Output};

use super::{
    evaluate as score,
    model::{Model, ModelError},
    perceptron::MOST_LABELS,
    train::{self, Epochs},
    treebank::{self, TreebankError},
};
use crate::progress::thousands;

/// Training or scoring failed.
#[derive(Debug, thiserror::Error)]
pub enum TaggerError {
    /// A treebank.
    #[error(transparent)]
    Treebank(#[from] TreebankError),
    /// More than a model can hold.
    #[error(
        "the treebanks have {found} different tags, more than {MOST_TAGS}\n\
         hint: is the tag the second column of each line? A tag set such as the Penn Treebank's has about 45"
    )]
    Tags {
        /// How many they have.
        found: usize,
    },
    /// The model's file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in the model's file.
    #[error("`{}` cannot be read as a tagger: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ModelError,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// Most tags of a model: a feature has a weight for each, and their number six bits.
const MOST_TAGS: usize = MOST_LABELS - 1;

/// Trains on treebanks and writes the model.
pub fn train(
    treebanks: &[PathBuf],
    model: &Path,
    epochs: Epochs,
    report: &mut impl io::Write,
) -> Result<(), TaggerError> {
    let since = Instant::now();
    let output = Output::at(model)?;
    let mut sentences = Vec::new();
    for path in treebanks {
        let read = treebank::read(path)?;
        let chunks = if read.iter().any(|s| s.chunks.is_some()) { "tags and chunks" } else { "tags" };
        writeln!(report, "read      {} sentences   {chunks}   {}", thousands(read.len() as u64), path.display())?;
        sentences.extend(read);
    }
    let tags: BTreeSet<&str> = sentences.iter().flat_map(|s| &s.tags).map(String::as_str).collect();
    if tags.len() > MOST_TAGS {
        return Err(TaggerError::Tags { found: tags.len() });
    }
    let trained = train::train(&sentences, epochs);
    let bytes = trained.to_bytes().map_err(StoreError::io("compress", model))?;
    output.write(&bytes)?;
    writeln!(report, "trained   {} tags   {:.1} s", trained.tagger.tags().len(), since.elapsed().as_secs_f64())?;
    if sentences.iter().all(|s| s.chunks.is_none()) {
        writeln!(report, "warning   no treebank has chunks (CoNLL-2000's has): this model finds no noun phrases")?;
    }
    writeln!(
        report,
        "model     {} bytes   blake3 {}   {}",
        thousands(bytes.len() as u64),
        &blake3::hash(&bytes).to_hex()[..16],
        model.display()
    )?;
    writeln!(report, "next      pipeline evaluate-tagger --model {} TREEBANK", model.display())?;
    Ok(())
}

/// Scores a model, or the one of the project, on treebanks.
pub fn evaluate(treebanks: &[PathBuf], model: Option<&Path>, report: &mut impl io::Write) -> Result<(), TaggerError> {
    let read = |path: &Path| {
        let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
        Model::from_bytes(&bytes).map_err(|source| TaggerError::Model { path: path.to_owned(), source })
    };
    let given = model.map(read).transpose()?;
    let model = given.as_ref().unwrap_or_else(|| Model::embedded());
    for path in treebanks {
        let scores = score::evaluate(model, &treebank::read(path)?);
        let (sentences, tokens) = (thousands(scores.sentences), thousands(scores.tokens));
        writeln!(report, "{}   {sentences} sentences   {tokens} tokens", path.display())?;
        writeln!(report, "  tags          {:.2}% right", scores.accuracy())?;
        if scores.wanted > 0 {
            let (f1, precision, recall) = (scores.f1(), scores.precision(), scores.recall());
            writeln!(report, "  noun phrases  F1 {f1:.2}   precision {precision:.2}   recall {recall:.2}")?;
        }
        let mut confused: Vec<_> = scores.confused.iter().collect();
        confused.sort_by_key(|(tags, n)| (std::cmp::Reverse(**n), *tags));
        let most: Vec<String> =
            confused.iter().take(6).map(|((wanted, given), n)| format!("{wanted} as {given} {n}")).collect();
        writeln!(report, "  confused      {}", most.join(", "))?;
    }
    Ok(())
}
