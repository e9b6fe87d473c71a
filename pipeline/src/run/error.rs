//! Why a run fails.
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use ebert_dumps::FindError;
use schemas::{ManifestError, StoreError, manifest::AssociationSource, quoted};

use crate::{
    corpus::CorpusError, engine::progress::listed, graph::GraphError, hint::Hint, phrase::pool::PoolError,
    shard::ShardError, text::TokenizerError,
};

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The tokenizer file.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The corpus folder.
    #[error("{error}{}", super::left_out::hint(error))]
    Find {
        /// The error of the search.
        #[from]
        error: FindError,
    },
    /// The corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The shards or pairs.
    #[error(transparent)]
    Shards(#[from] ShardError),
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// The manifest of an earlier step is missing or unreadable.
    #[error("{source}{}", source.hint_of(command))]
    EarlierStep {
        /// The command of that step.
        command: &'static str,
        /// The cause.
        source: ManifestError,
    },
    /// Tasks of an earlier step are missing.
    #[error("{}", unfinished(step, tasks, *of))]
    Unfinished {
        /// The step.
        step: &'static str,
        /// Numbers of the tasks.
        tasks: BTreeSet<u32>,
        /// Number of tasks of the step.
        of: u32,
    },
    /// A file.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// Segments that no word fits.
    #[error(
        "`--max-tokens` is {max_tokens}, expected at least {least}: a word of this tokenizer can have that many tokens, and words are never cut"
    )]
    ShortSegments {
        /// The option.
        max_tokens: u16,
        /// The least value that is possible.
        least: usize,
    },
    /// The output would be read as raw files.
    #[error("the raw files and the output are both in `{}`\nhint: choose another output folder, such as `--out {}`", folder.display(), quoted(&folder.join("work")))]
    SameFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// No tokenizer is named.
    #[error(
        "no tokenizer is named for the corpus `{corpus}`\n\
         hint: `--init MODEL` names the BERT that you will start from, and its tokenizer is used. \
         Or name a `vocab.txt` (uncased) or `tokenizer.json` with `--tokenizer FILE`"
    )]
    NoTokenizer {
        /// The raw files as they were given.
        corpus: String,
    },
    /// The start model has no tokenizer.
    #[error(
        "the start model `{}` has neither `tokenizer.json` nor `vocab.txt`\n\
         hint: `--init` names a folder that `save_pretrained` wrote or `hf download` fetched, with its tokenizer",
        model.display()
    )]
    NoStartTokenizer {
        /// The folder of the model.
        model: PathBuf,
    },
    /// The start model has a `vocab.txt` alone, and its texts are not those of an uncased BERT.
    #[error(
        "`{}` has `{key}: false`, and a vocab.txt is read as that of an uncased BERT\n\
         hint: in Python, AutoTokenizer.from_pretrained({1:?}).save_pretrained({1:?}) writes its tokenizer.json",
        model.join("tokenizer_config.json").display(), model.display().to_string()
    )]
    StartTokenizerConfig {
        /// The folder of the model.
        model: PathBuf,
        /// A key of its configuration.
        key: &'static str,
    },
    /// The start model is not here.
    #[error(
        "the start model `{}` is not a folder\nhint: {}",
        model.display(), folder_of(model)
    )]
    NoStartModel {
        /// The folder, or an id on the hub.
        model: PathBuf,
    },
    /// The tokenizer that is named is not that of the start model.
    #[error(
        "`{}` is not the tokenizer of the start model `{}`: {difference}\n\
         hint: omit `--tokenizer`, and the model's own is used",
        tokenizer.display(), model.display()
    )]
    OtherTokenizer {
        /// The tokenizer.
        tokenizer: PathBuf,
        /// The folder of the model.
        model: PathBuf,
        /// How they differ.
        difference: String,
    },
    /// A source, or the output folder, on another machine cannot be read or written.
    #[error(transparent)]
    Remote(Box<dyn std::error::Error + Send + Sync>),
    /// The address of an output folder is not one.
    #[error(transparent)]
    OutAddress(Box<dyn std::error::Error + Send + Sync>),
    /// A command that writes next to its data, which is in an object store.
    #[error(
        "`ebert {command}` does not read object stores: it writes its result next to `{address}`\n\
         hint: fetch the folder with a program of the store, such as `aws s3 cp --recursive {address} DIR`, and name DIR"
    )]
    OnlyLocal {
        /// The command.
        command: &'static str,
        /// The output folder.
        address: String,
    },
    /// The hub has no such file.
    #[error("the hub has no file `{address}`\nhint: `hf://datasets/OWNER/NAME/PATH` names a file of a data set")]
    NoFile {
        /// The source.
        address: String,
    },
    /// This program cannot fetch.
    #[error(
        "`{address}` is on another machine, and this `ebert` was built without access to any\n\
         hint: `cargo build --release -p pipeline --features remote`, or name files and folders of this machine"
    )]
    NoRemote {
        /// The source.
        address: String,
    },
    /// The sources in a file of `--config` cannot be read.
    #[error("`{}` is not a configuration: {what}\nhint: docs/own-data.md has an example", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and what is expected.
        what: String,
    },
    /// Raw files lie in an output folder.
    #[error("the corpus `{}` is in `{}`, which is an output folder of this program\nhint: move the raw files elsewhere, or choose another output folder with `--out DIR`", corpus.display(), folder.display())]
    InsideOut {
        /// The folder of raw files.
        corpus: PathBuf,
        /// The folder of a step.
        folder: PathBuf,
    },
    /// A file and another source of associations.
    #[error("`--associations` names a file, but `--association-source` is {}\nhint: omit one of them", wanted.as_str())]
    Associations {
        /// The option.
        wanted: AssociationSource,
    },
    /// The pool was mined in another language than this step works in.
    #[error(
        "the pool in `{}` was mined in {}, and this step works in {}\n\
         hint: give the pool's language, `--language {}`, or mine it again: `ebert pool --out {} --language {}` with the options \
         of the other steps",
        out.join("pool").display(), named(found), named(wanted), option(found), quoted(out), option(wanted)
    )]
    PoolLanguage {
        /// Output folder of all steps.
        out: PathBuf,
        /// The pool's language, as manifests have it.
        found: Option<String>,
        /// The language of this step.
        wanted: Option<String>,
    },
    /// Another run works in the same folder.
    #[error("another run is working in `{}`\nhint: wait for it, or choose another output folder with `--out DIR`", out.display())]
    Busy {
        /// The folder.
        out: PathBuf,
    },
    /// The summary cannot be written.
    #[error("cannot write the summary")]
    Report(#[from] io::Error),
}

/// How to name the folder of a start model, of which a file or an id on the hub was named.
fn folder_of(model: &Path) -> String {
    let parent = model.parent().filter(|_| model.is_file());
    match parent.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        Some(folder) => format!("name its folder: `--init {}`", quoted(folder)),
        None => format!(
            "fetch it with `hf download {} --local-dir {}`, and name that folder",
            model.display(),
            quoted(Path::new(model.file_name().unwrap_or_default()))
        ),
    }
}

/// A language of a manifest in words.
fn named(code: &Option<String>) -> &str {
    match code.as_deref() {
        None => "English",
        Some("other") => "a language other than English",
        Some(code) => code,
    }
}

/// The value of `--language` that gives it.
fn option(code: &Option<String>) -> &'static str {
    match code.as_deref() {
        None => "en",
        Some("other") => "other",
        Some(_) => "auto",
    }
}

/// The tasks that are missing, and the command that runs the first of them.
fn unfinished(step: &str, tasks: &BTreeSet<u32>, of: u32) -> String {
    let (noun, verb, others) = match tasks.len() {
        1 => ("task", "is", ""),
        _ => ("tasks", "are", ", and the others likewise"),
    };
    format!(
        "the step `{step}` is not finished: {noun} {} of {of} {verb} missing\n\
         hint: run `ebert worker {step} {}/{of}` with the options of this command{others}; finished tasks are kept, and \
         `ebert plan` lists all",
        listed(tasks),
        tasks.first().unwrap_or(&0),
    )
}

impl RunError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::ShortSegments { .. }
                | Self::NoTokenizer { .. }
                | Self::NoStartTokenizer { .. }
                | Self::NoStartModel { .. }
                | Self::StartTokenizerConfig { .. }
                | Self::OtherTokenizer { .. }
                | Self::Config { .. }
                | Self::NoRemote { .. }
                | Self::OnlyLocal { .. }
                | Self::OutAddress(_)
                | Self::Corpus(CorpusError::Other { .. })
                | Self::SameFolder { .. }
                | Self::InsideOut { .. }
                | Self::Associations { .. }
                | Self::PoolLanguage { .. }
                | Self::Shards(ShardError::Task(_))
        )
    }
}
