//! Treebanks: one token a line, a blank line between sentences.
//!
//! Two formats: `word tag chunk`, separated by a space (CoNLL-2000, Tjong Kim Sang and Buchholz 2000), and `word<TAB>tag` (as exported from
//! the English Web Treebank). Plain, gz or zst.
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::source::open;

/// A sentence with its tags and, where the file has them, its noun phrases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The tokens.
    pub words: Vec<String>,
    /// Penn tag of each.
    pub tags: Vec<String>,
    /// Where each token is in noun phrases.
    pub chunks: Option<Vec<Chunk>>,
}

/// Where a token is in noun phrases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Chunk {
    /// It begins one.
    Begin,
    /// It goes on with one.
    Inside,
    /// It is in none.
    #[default]
    Outside,
}

impl Chunk {
    /// All, by number.
    pub const ALL: [Self; 3] = [Self::Begin, Self::Inside, Self::Outside];
}

/// A file is no treebank.
#[derive(Debug, thiserror::Error)]
pub enum TreebankError {
    /// It cannot be read.
    #[error("cannot read the treebank `{}`\nhint: a treebank is a file of lines `word tag chunk`, as those of CoNLL-2000 are", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A line has other columns.
    #[error(
        "`{}` line {line}: found `{found}`, wanted a word and a tag\n\
         hint: a line is `word tag chunk` as in CoNLL-2000, or `word<TAB>tag`; a blank line ends a sentence",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// There is no sentence.
    #[error("`{}` holds no sentence", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a treebank.
pub fn read(path: &Path) -> Result<Vec<Sentence>, TreebankError> {
    let error = |source| TreebankError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    open(path, Arc::default()).map_err(error)?.bytes.read_to_end(&mut bytes).map_err(error)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut sentences = Vec::new();
    let mut sentence = Sentence::default();
    for (number, line) in text.lines().chain([""]).enumerate() {
        if line.trim().is_empty() {
            if !sentence.words.is_empty() {
                sentences.push(std::mem::take(&mut sentence));
            }
            continue;
        }
        let malformed = || TreebankError::Malformed { path: path.to_owned(), line: number + 1, found: line.to_owned() };
        let separator = if line.contains('\t') { '\t' } else { ' ' };
        let mut columns = line.split(separator);
        let (Some(word), Some(tag)) = (columns.next(), columns.next().filter(|tag| !tag.is_empty())) else {
            return Err(malformed());
        };
        // A text of sentences is none: of a word, its tag and its chunk there is nothing more.
        if separator == ' ' && columns.clone().filter(|column| !column.is_empty()).count() > 1 {
            return Err(malformed());
        }
        sentence.words.push(word.to_owned());
        sentence.tags.push(penn(tag).to_owned());
        if let Some(chunk) = columns.next() {
            let chunk = match chunk {
                "B-NP" => Chunk::Begin,
                "I-NP" => Chunk::Inside,
                _ => Chunk::Outside,
            };
            sentence.chunks.get_or_insert_default().push(chunk);
        }
        if sentence.chunks.as_ref().is_some_and(|chunks| chunks.len() != sentence.words.len()) {
            return Err(malformed());
        }
    }
    if sentences.is_empty() {
        return Err(TreebankError::Empty { path: path.to_owned() });
    }
    Ok(sentences)
}

/// The Penn Treebank's own name of a tag: brackets are written in two ways.
fn penn(tag: &str) -> &str {
    match tag {
        "-LRB-" => "(",
        "-RRB-" => ")",
        tag => tag,
    }
}

/// Noun phrases as ranges of tokens.
pub fn spans(chunks: &[Chunk]) -> Vec<std::ops::Range<usize>> {
    let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        match chunk {
            Chunk::Begin => spans.push(i..i + 1),
            Chunk::Inside => match spans.last_mut().filter(|span| span.end == i) {
                Some(span) => span.end += 1,
                None => spans.push(i..i + 1),
            },
            Chunk::Outside => {}
        }
    }
    spans
}
