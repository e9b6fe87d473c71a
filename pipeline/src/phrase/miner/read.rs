//! Text to [`Tokens`], by several threads, in the order of the documents.
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use super::{
    MineError,
    tokens::{Reader, Tokens},
};
use crate::{
    progress::Progress,
    source::{LineReader, open},
    stage::{self, Threads},
    syntax::Model,
};

/// A text that was read.
pub struct Text {
    /// Its words.
    pub tokens: Tokens,
    /// Lines that are too long and were left out.
    pub too_long: u64,
}

/// Reads a text of one document a line.
pub fn lines(path: &Path, threads: Threads, progress: &Progress) -> Result<Text, MineError> {
    let read = |source| MineError::Read { path: path.to_owned(), source };
    let seen = Arc::default();
    let size = std::fs::metadata(path).map_err(read)?.len();
    let mut batches = LineReader::new(open(path, Arc::clone(&seen)).map_err(read)?.bytes);
    let bar = progress.bytes("reading", size);
    let mut text = Text { tokens: Tokens::default(), too_long: 0 };
    stage::run(
        threads,
        || match batches.next_batch(1 << 20) {
            Some(mut batch) => match batch.damage.take() {
                Some((_, source)) => Err(read(source)),
                None => Ok(Some(batch)),
            },
            None => Ok(None),
        },
        || Reader::new(&Model::embedded().tagger),
        |reader, batch| {
            let lines: Vec<_> = batch.iter().map(|(_, line)| String::from_utf8_lossy(line)).collect();
            Ok((reader.read(lines.iter().map(AsRef::as_ref)), batch.too_long.len()))
        },
        |(batch, too_long)| {
            text.tokens.append(&batch);
            text.too_long += too_long as u64;
            bar.set_position(seen.load(Ordering::Relaxed));
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    text.tokens.finish();
    if text.tokens.words.is_empty() {
        return Err(MineError::NoText { too_long: text.too_long });
    }
    Ok(text)
}
