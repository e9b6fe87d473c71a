//! `OUT/graph/associations.parquet`: undirected edges among products of the corpus.
//!
//! Edges are what a dump states, what follows from the reviews ([`lists`](super::lists)), or what a file of the user's
//! states ([`given`]). They have both ends in the corpus, the smaller id first, no loops and no
//! repetitions. One process makes all [`tasks`](super::tasks), and [`options`](super::options) has its memory. The step
//! also counts which ids name no product.
use std::{fs, path::Path, time::Instant};

use schemas::{
    Manifest, Previous, Task,
    manifest::{CorpusBody, GraphBody},
};

use super::{
    GraphError, given,
    options::{AssociationOptions, rules},
    tasks::GraphTasks,
};
use crate::engine::{
    hashes::{Hashes, check_files},
    memory,
    progress::{NEW, Outcome, Progress, older_format},
};

/// Makes the graph, or finds that it is up to date.
///
/// # Errors
/// If a table or the user's file cannot be read, or the graph cannot be written. Also if
/// associations are to follow from reviews, and the corpus has no interactions.
pub fn make(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(Manifest<GraphBody>, Outcome), GraphError> {
    let since = Instant::now();
    let folder = out.join("graph");
    let file = file_hash(options, hashes)?;
    let tasks = GraphTasks::new(out, corpus, options, file.clone())?;
    let why = match Manifest::<GraphBody>::read_previous(&folder)? {
        Previous::None => NEW.to_owned(),
        Previous::OlderFormat(found) => older_format(found),
        Previous::Sealed(old) => match changed(&old.body, corpus, options, file.as_deref()) {
            Some(why) => why,
            None => match check_files(&folder, &old, hashes)? {
                None => {
                    // A process may have been killed while it removed the parts.
                    tasks.clear()?;
                    return Ok((*old, Outcome::UpToDate));
                }
                Some(missing) => missing,
            },
        },
    };
    tasks.edges(Task::ALL, hashes, progress)?;
    tasks.graph(Task::ALL, hashes, progress)?;
    let manifest = tasks.seal(progress)?.ok_or_else(|| GraphError::Changed { folder: folder.clone() })?;
    drop(tasks);
    memory::give_back();
    Ok((manifest, Outcome::made(since, why)))
}

/// The hash of the user's file, if there is one.
pub(crate) fn file_hash(options: AssociationOptions<'_>, hashes: &mut Hashes) -> Result<Option<String>, GraphError> {
    let Some(file) = options.file else { return Ok(None) };
    given::check_readable(file)?;
    Ok(Some(hashes.blake3(file)?))
}

/// The graph, if it is up to date. The size of its table is checked, and not its hash.
///
/// # Errors
/// If its manifest is there and cannot be read, or the user's file cannot be read.
pub fn current(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    hashes: &mut Hashes,
) -> Result<Option<Manifest<GraphBody>>, GraphError> {
    let Some(old) = Manifest::<GraphBody>::read_previous(&out.join("graph"))?.sealed() else { return Ok(None) };
    let file = file_hash(options, hashes)?;
    let size = |name: &str| fs::metadata(out.join("graph").join(name)).map(|about| about.len()).ok();
    let is_there = old.files.iter().all(|file| size(&file.name) == Some(file.bytes));
    Ok((is_there && changed(&old.body, corpus, options, file.as_deref()).is_none()).then_some(old))
}

/// What differs between a graph and the one that the settings ask for.
fn changed(
    old: &GraphBody,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    file: Option<&str>,
) -> Option<String> {
    if old.corpus.blake3 != corpus.data_blake3() {
        return Some("the corpus has changed".to_owned());
    }
    if let Some(why) = rules().changed_since(&old.rules) {
        return Some(why);
    }
    if let Some(was) = &old.file
        && was.unreadable as f64 > options.max_unreadable * was.rows as f64
    {
        return Some(format!("it has more unreadable rows than `--max-unreadable {}`", options.max_unreadable));
    }
    match (old.file.as_ref().map(|file| file.blake3.as_str()), file) {
        (None, None) if old.source != options.source => {
            let (was, is) = (old.source.as_str(), options.source.as_str());
            Some(format!("`--association-source` was {was} and is {is}"))
        }
        (was, is) if was != is => Some("the file of associations has changed".to_owned()),
        _ => None,
    }
}
