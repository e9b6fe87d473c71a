//! `pipeline mine`: a text to scored phrases.
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use schemas::{StoreError, store};

use super::{List, Lists, MineError, Mined, Options, StopWords, mine, read, summary};
use crate::{progress::Progress, stage::Threads};

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
    /// Workers.
    pub threads: Threads,
    /// Where the phrases go; standard output by default.
    pub output: Option<&'a Path>,
}

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing can be mined.
    #[error(transparent)]
    Mine(#[from] MineError),
    /// The file of phrases.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The phrases cannot be written.
    #[error("cannot write the phrases")]
    Write(#[from] io::Error),
}

/// Mines a text and writes `score<TAB>phrase` lines, best first; tells of it on standard error.
pub fn run(request: &Request<'_>, progress: &Progress) -> Result<(), CommandError> {
    let mined = mine_text(request, progress)?;
    let mut lines = Vec::new();
    for phrase in &mined.phrases {
        writeln!(lines, "{:.10}\t{}", phrase.score, phrase.text)?;
    }
    summary::write(&mined, (0.5, 0.8), &mut io::stderr().lock())?;
    match request.output {
        Some(path) => drop(store::write_file(path, &lines)?),
        None => io::stdout().lock().write_all(&lines)?,
    }
    Ok(())
}

fn mine_text(request: &Request<'_>, progress: &Progress) -> Result<Mined, MineError> {
    let own_stop_words = request.stop_words.as_deref().map(StopWords::read).transpose()?;
    let lists = Lists {
        quality: request.quality_list.clone().map_or(List::Names(Vec::new()), List::File),
        entities: request.entity_list.clone().map(List::File),
        stop_words: own_stop_words.as_ref().unwrap_or(StopWords::english()),
    };
    let text = read::lines(request.text, request.threads, progress)?;
    let workers = rayon::ThreadPoolBuilder::new().num_threads(request.threads.get()).build()?;
    let steps = progress.spinner("mining");
    let mined = workers.install(|| mine(&text.tokens, &lists, &request.options, &|what| steps.set_message(what.to_owned())));
    steps.finish_and_clear();
    mined
}
