//! `ebert train-tagger` and `ebert evaluate-tagger`.
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ebert_dumps::open;
use schemas::{StoreError, quoted, store::Output};

use ebert_english::{
    Model, ModelError, evaluate as score,
    train::{self, Epochs, TrainError},
    treebank::{self, Sentence, TreebankError},
};
use pipeline::engine::progress::thousands;

/// Training or scoring failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaggerError {
    /// A treebank cannot be read.
    #[error("cannot read the treebank `{}`\nhint: a treebank is a file of lines `word tag chunk`, as those of CoNLL-2000 are", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is not a treebank.
    #[error(
        "`{}` {source}\n\
         hint: a line is `word tag chunk` as in CoNLL-2000, or `word<TAB>tag`; a blank line ends a sentence",
        path.display()
    )]
    Treebank {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TreebankError,
    },
    /// More tags than a model can have.
    #[error("{0}\nhint: is the tag the second column of each line? A tag set such as the Penn Treebank's has about 45")]
    Tags(TrainError),
    /// No model can be trained on these treebanks.
    #[error(transparent)]
    Train(TrainError),
    /// The model's file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in the model's file.
    #[error("`{}` cannot be read as a tagger: {source}\nhint: make it with `ebert train-tagger`", path.display())]
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

/// Trains on treebanks and writes the model.
pub(crate) fn train(
    treebanks: &[PathBuf],
    model: &Path,
    epochs: Epochs,
    report: &mut dyn io::Write,
) -> Result<(), TaggerError> {
    let since = Instant::now();
    let output = Output::at(model)?;
    let mut sentences = Vec::new();
    for path in treebanks {
        let read = read_treebank(path)?;
        let chunks = if read.iter().any(|s| s.chunks.is_some()) { "tags and chunks" } else { "tags" };
        writeln!(report, "read      {} sentences   {chunks}   {}", thousands(read.len() as u64), path.display())?;
        sentences.extend(read);
    }
    let trained = train::train(&sentences, epochs).map_err(|error| match error {
        TrainError::TooManyTags { .. } => TaggerError::Tags(error),
        _ => TaggerError::Train(error),
    })?;
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
    writeln!(report, "next      ebert evaluate-tagger --model {} TREEBANK", quoted(model))?;
    Ok(())
}

/// Scores a model, or the one of the project, on treebanks.
pub(crate) fn evaluate(
    treebanks: &[PathBuf],
    model: Option<&Path>,
    report: &mut dyn io::Write,
) -> Result<(), TaggerError> {
    let read = |path: &Path| {
        let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
        Model::from_bytes(&bytes).map_err(|source| TaggerError::Model { path: path.to_owned(), source })
    };
    let given = model.map(read).transpose()?;
    let model = given.as_ref().unwrap_or_else(|| Model::embedded());
    for path in treebanks {
        let scores = score::evaluate(model, &read_treebank(path)?);
        let (sentences, tokens) = (thousands(scores.sentences), thousands(scores.tokens));
        writeln!(report, "{}   {sentences} sentences   {tokens} tokens", path.display())?;
        writeln!(report, "  tags          {:.2}% right", scores.accuracy())?;
        if scores.wanted > 0 {
            let (f1, precision, recall) = (scores.f1(), scores.precision(), scores.recall());
            writeln!(report, "  noun phrases  F1 {f1:.2}   precision {precision:.2}   recall {recall:.2}")?;
        }
        let mut confused: Vec<_> = scores.confused.iter().collect();
        confused.sort_by_key(|(confusion, n)| (std::cmp::Reverse(**n), *confusion));
        let most: Vec<String> =
            confused.iter().take(6).map(|(c, n)| format!("{} as {} {n}", c.wanted, c.given)).collect();
        writeln!(report, "  confused      {}", most.join(", "))?;
    }
    Ok(())
}

fn read_treebank(path: &Path) -> Result<Vec<Sentence>, TaggerError> {
    let error = |source| TaggerError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    open(path, Arc::default()).map_err(error)?.bytes.read_to_end(&mut bytes).map_err(error)?;
    treebank::parse(&String::from_utf8_lossy(&bytes))
        .map_err(|source| TaggerError::Treebank { path: path.to_owned(), source })
}
