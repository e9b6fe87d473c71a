//! Mining with `ebert-mining`: reads its texts and lists, shows progress, and adds hints to its
//! errors.
use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_dumps::{LineReader, NotText, SkipReason, open};
use ebert_mining::{List, Lists, MineError, Mined, Options, SpillError, StopWords};
use schemas::{Rules, StoreError};

use crate::{
    engine::{progress::Progress, stage::Threads},
    hint::{Hint, check_file, from_latin, unreadable},
    text::language::Language,
};

mod once;
pub mod read;
pub mod summary;
pub mod words;

use read::{LeftOut, Text};

/// The version of how names are taken from a corpus. It is raised whenever they change.
pub const RULES: u32 = 3;

/// The versions of all code that decides mined phrases.
pub fn rules() -> Rules {
    Rules::of([("english", ebert_english::RULES), ("mine", ebert_mining::RULES), ("names", RULES)])
}

/// Why mining failed.
#[derive(Debug, thiserror::Error)]
pub enum MiningError {
    /// A text or list.
    #[error(
        "cannot read `{}`\nhint: {}",
        path.display(),
        unreadable(source, "a text or list is a file that is plain, .gz or .zst, one entry per line")
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A list that is another kind of file.
    #[error(
        "the list `{}` is not read: found {}, expected text in UTF-8 with one entry per line\nhint: {}",
        path.display(), found.reason,
        found.hint.as_deref().unwrap_or("name a file of phrases or words, plain, .gz or .zst")
    )]
    NotAList {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: NotText,
    },
    /// A line of a list.
    #[error(
        "the list `{}` is not read: line {line} has {found}, expected text in UTF-8\n\
         hint: {}",
        path.display(), from_latin(path, "the list")
    )]
    NotALine {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: u64,
        /// What it has.
        found: &'static str,
    },
    /// A list without entries.
    #[error("the list `{}` has no entries, expected one per line\nhint: omit the option for no list", path.display())]
    EmptyList {
        /// The file.
        path: PathBuf,
    },
    /// No text.
    #[error(
        "found no document with a word{}\nhint: a text has one document of at most 16 MiB per line, in UTF-8, plain, gz or zst",
        if *left_out == LeftOut::default() { String::new() } else { format!("; skipped {left_out}") }
    )]
    NoText {
        /// Lines that were left out.
        left_out: LeftOut,
    },
    /// The text cannot be mined with these lists.
    #[error("{error}{}", hint(error))]
    Mine {
        /// The fact, without a hint.
        error: MineError,
    },
    /// A table of the corpus, or a temporary file.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// No thread can be started.
    #[error("cannot start the threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl From<MineError> for MiningError {
    fn from(error: MineError) -> Self {
        match error {
            // With its hint for a full disk.
            MineError::Spill(SpillError { what, path, source }) => Self::Store(StoreError::Io { what, path, source }),
            error => Self::Mine { error },
        }
    }
}

impl MiningError {
    /// Whether there is nothing to mine or to learn from, rather than a fault.
    pub fn is_nothing_learnt(&self) -> bool {
        use MineError::{NoNegatives, NoPositives, NoText, NothingFrequent};
        let Self::Mine { error } = self else { return matches!(self, Self::NoText { .. }) };
        matches!(error, NoText | NothingFrequent { .. } | NoPositives { .. } | NoNegatives { .. })
    }
}

/// The given stop words, or those of the language: the English ones, or the most common words of the
/// text.
pub fn stop_words(given: Option<StopWords>, language: Language, text: &Text) -> Cow<'static, StopWords> {
    match given {
        Some(given) => Cow::Owned(given),
        None if language.has_tags() => Cow::Borrowed(StopWords::english()),
        None => Cow::Owned(StopWords::most_common(&text.tokens)),
    }
}

fn hint(error: &MineError) -> &'static str {
    match error {
        MineError::NothingFrequent { .. } => {
            "\nhint: phrases are mined from millions of words; for less, lower `--min-support`"
        }
        MineError::NoPositives { .. } => {
            "\nhint: `--quality-list` names a file of good phrases in the text's language, one per line, such as titles of an encyclopedia. \
             Without it they are a built-in list of English, and the categories, brands and attributes of the corpus' products. \
             `--pool` imports a pool instead"
        }
        MineError::NoNegatives { .. } => {
            "\nhint: `--quality-list` and `--entity-list` name some phrases; most sequences of words are in neither"
        }
        MineError::TooManyWords => "\nhint: a text in a natural language has far fewer; check that the file is text",
        MineError::TooManyCandidates => "\nhint: raise `--min-support`",
        _ => "",
    }
}

/// Mines the phrases of a text.
///
/// # Errors
/// If there is nothing to mine or to learn from, the text is too large, or a temporary file fails.
/// Also if no thread can be started.
pub fn mine(
    text: &Text,
    lists: &Lists<'_>,
    options: &Options,
    threads: Threads,
    progress: &Progress,
) -> Result<Mined, MiningError> {
    let workers = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build()?;
    let steps = progress.spinner("mining");
    let mined = workers
        .install(|| ebert_mining::mine(&text.tokens, lists, options, |step| steps.set_message(step.to_string())));
    steps.finish_and_clear();
    mined.map_err(|error| match error {
        MineError::NoText => MiningError::NoText { left_out: text.left_out },
        error => error.into(),
    })
}

/// Checks that a list is text and can be read twice: it is hashed first.
///
/// # Errors
/// If it does not exist, is not a regular file of text, or cannot be opened.
pub fn check_list(path: &Path) -> Result<(), MiningError> {
    check_file(path).map_err(|source| MiningError::Read { path: path.to_owned(), source })?;
    refuse_another_file(path)
}

/// Fails for a file that is not text. An empty one names nothing, which one may want of stop words.
fn refuse_another_file(path: &Path) -> Result<(), MiningError> {
    let found = NotText::of(path).map_err(|source| MiningError::Read { path: path.to_owned(), source })?;
    match found.filter(|found| found.reason != SkipReason::Empty) {
        Some(found) => Err(MiningError::NotAList { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

/// The entries of a file, one per line.
///
/// # Errors
/// If the file cannot be read, is not text in UTF-8, or has no entries.
pub fn read_list(path: &Path) -> Result<List, MiningError> {
    match lines_of(path)? {
        text if text.is_empty() => Err(MiningError::EmptyList { path: path.to_owned() }),
        text => Ok(List::from_lines(text)),
    }
}

/// Stop words from a file, one per line.
///
/// # Errors
/// If the file cannot be read, or is not text in UTF-8.
pub fn read_stop_words(path: &Path) -> Result<StopWords, MiningError> {
    lines_of(path).map(|text| StopWords::new(text.lines()))
}

/// The lines of a file that are not blank.
fn lines_of(path: &Path) -> Result<String, MiningError> {
    // A pipe can be read only once.
    if path.is_file() {
        refuse_another_file(path)?;
    }
    let read = |source| MiningError::Read { path: path.to_owned(), source };
    let mut lines = LineReader::new(open(path, Arc::default()).map_err(read)?.bytes);
    let mut text = String::new();
    while let Some(batch) = lines.next_batch(1 << 18) {
        for line in batch.iter() {
            let wrong = |found| MiningError::NotALine { path: path.to_owned(), line: line.number, found };
            let entry = std::str::from_utf8(line.bytes).map_err(|_| wrong("bytes of another encoding"))?;
            if entry.contains('\0') {
                return Err(wrong("a byte that is zero"));
            }
            text.push_str(entry);
            text.push('\n');
        }
        if let Some(damage) = batch.damage {
            return Err(read(damage.error));
        }
    }
    Ok(text)
}
