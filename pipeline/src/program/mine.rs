//! `pipeline mine`: a text to scored phrases.
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use schemas::{StoreError, store::Output};

use ebert_mining::{Lists, Mined, Options, Quality, StopWords};
use pipeline::{
    engine::{progress::Progress, stage::Threads},
    phrase::mine::{self, MiningError, read, read::Text, summary},
};

/// What is to be mined, and how.
pub struct Request<'a> {
    /// One document a line.
    pub text: &'a Path,
    /// Good phrases.
    pub quality_list: Option<PathBuf>,
    /// Names of things, good phrases or not.
    pub entity_list: Option<PathBuf>,
    /// Words that say little by themselves, instead of the English ones.
    pub stop_words: Option<PathBuf>,
    /// What decides the phrases.
    pub options: Options,
    /// Score that the summary counts as a phrase of several words, and as one of one word.
    pub min_score: f64,
    /// As `min_score`, of one word.
    pub min_score_single: f64,
    /// Workers.
    pub threads: Threads,
    /// Where the phrases go; standard output by default.
    pub output: Option<&'a Path>,
}

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing to learn from.
    #[error(
        "no list of good phrases is given, so there is nothing to learn from\n\
         hint: --quality-list names a file of some, one a line, such as titles of an encyclopedia; \
         `make shards` learns from the categories and brands of its corpus instead"
    )]
    NoList,
    /// Nothing can be mined.
    #[error(transparent)]
    Mine(#[from] MiningError),
    /// The file of phrases.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The phrases cannot be written.
    #[error("cannot write the phrases")]
    Write(#[from] io::Error),
}

impl CommandError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoList)
    }
}

/// Mines a text and writes `score<TAB>phrase` lines, best first; tells of it on standard error.
pub fn run(request: &Request<'_>, progress: &Progress) -> Result<(), CommandError> {
    let output = request.output.map(Output::at).transpose()?;
    let (text, mined) = mine_text(request, progress)?;
    let mut lines = Vec::new();
    for phrase in &mined.phrases {
        writeln!(lines, "{:.10}\t{}", phrase.score, phrase.text)?;
    }
    match output {
        Some(output) => output.write(&lines)?,
        None => io::stdout().lock().write_all(&lines)?,
    }
    let summary = summary::lines(&mined, text.left_out, (request.min_score, request.min_score_single));
    for (heading, text) in summary {
        // The phrases are written: that nobody reads of them is no failure.
        let _ = writeln!(io::stderr(), "{}", progress.line("", &heading, &text));
    }
    Ok(())
}

fn mine_text(request: &Request<'_>, progress: &Progress) -> Result<(Text, Mined), CommandError> {
    let Some(quality) = &request.quality_list else { return Err(CommandError::NoList) };
    // A missing file is reported before the work, not after.
    for path in [Some(quality), request.entity_list.as_ref()].into_iter().flatten() {
        let read = |source| MiningError::Read { path: path.clone(), source };
        // Opening a pipe would take from it.
        if fs::metadata(path).map_err(read)?.is_dir() {
            return Err(read(io::ErrorKind::IsADirectory.into()).into());
        }
    }
    let own_stop_words = request.stop_words.as_deref().map(mine::read_stop_words).transpose()?;
    let lists = Lists {
        quality: Quality::List(mine::read_list(quality)?),
        entities: request.entity_list.as_deref().map(mine::read_list).transpose()?,
        stop_words: own_stop_words.as_ref().unwrap_or(StopWords::english()),
    };
    let text = read::lines(request.text, request.threads, progress)?;
    let mined = mine::mine(&text, &lists, &request.options, request.threads, progress)?;
    Ok((text, mined))
}
