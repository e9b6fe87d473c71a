//! Mining with `ebert-mining`: reads its texts and lists, shows progress, and adds hints to its
//! errors.
use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_dumps::{Compression, LineReader, NotText, OpenFile, SkipReason, open};
use ebert_mining::{List, Lists, MineError, Mined, Options, SpillError, StopWords};
use schemas::{Rules, StoreError, quoted};

use crate::{
    engine::{
        progress::{Progress, count_of},
        stage::Threads,
    },
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
    /// A text that is another kind of file.
    #[error(
        "the text `{}` is not read: found {}, expected text in UTF-8 with one document per line\nhint: {}",
        path.display(), found.reason,
        found.hint.as_deref().unwrap_or("name a file of text, plain, .gz or .zst")
    )]
    NotAText {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: NotText,
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
    #[error(
        "the list `{}` has no entries, expected one per line\nhint: omit the option for no list, or the built-in one",
        path.display()
    )]
    EmptyList {
        /// The file.
        path: PathBuf,
    },
    /// A list that is a table.
    #[error(
        "the list `{}` is not read: line {line} has tabs, as most others, expected one entry per line\n\
         hint: keep the column with the entries, such as {command}",
        path.display()
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// The number of the first line with a tab.
        line: u64,
        /// A command that keeps one column.
        command: String,
    },
    /// A list of good phrases names nothing in the text.
    #[error(
        "the list `{}` of {} names none of the {} of several words, so there is nothing to learn from\n\
         hint: good phrases are in the text's language, one per line, such as titles of an encyclopedia; \
         without `--quality-list` a text in English learns from a built-in list",
        path.display(), count_of(*entries, "entry", "entries"), count_of(*candidates, "candidate", "candidates")
    )]
    NothingNamed {
        /// The list.
        path: PathBuf,
        /// Its entries.
        entries: u64,
        /// Sequences of several words that occur often enough.
        candidates: u64,
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
        let Self::Mine { error } = self else {
            return matches!(self, Self::NoText { .. } | Self::NothingNamed { .. });
        };
        matches!(error, NoText | NothingFrequent { .. } | NoPositives { .. } | NoNegatives { .. })
    }

    /// With the file of the quality list, if one was given and names nothing.
    pub fn of_quality_list(self, list: Option<&Path>) -> Self {
        match (self, list) {
            (Self::Mine { error: MineError::NoPositives { candidates, entries } }, Some(path)) => {
                Self::NothingNamed { path: path.to_owned(), entries, candidates }
            }
            (error, _) => error,
        }
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
/// If it does not exist, is not a regular file of text, is empty, or cannot be opened.
pub fn check_list(path: &Path) -> Result<(), MiningError> {
    check_file(path).map_err(|source| MiningError::Read { path: path.to_owned(), source })?;
    refuse_another_file(path)
}

/// Fails for a file that is empty or not text.
fn refuse_another_file(path: &Path) -> Result<(), MiningError> {
    let found = NotText::of(path).map_err(|source| MiningError::Read { path: path.to_owned(), source })?;
    match found {
        Some(NotText { reason: SkipReason::Empty, .. }) => Err(MiningError::EmptyList { path: path.to_owned() }),
        Some(found) => Err(MiningError::NotAList { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

/// The entries of a file, one per line.
///
/// # Errors
/// If the file cannot be read, is not text in UTF-8, is a table, or has no entries.
pub fn read_list(path: &Path) -> Result<List, MiningError> {
    lines_of(path).map(|text| List::from_lines(with_spaces(text)))
}

/// Entries with spaces for `_`, unless one of them has a space. Wikipedia writes titles so, as in `Cast_iron`.
fn with_spaces(text: String) -> String {
    if text.contains(' ') {
        return text;
    }
    let is_inside = |c: Option<char>| c.is_some_and(|c| !matches!(c, '_' | '\n'));
    let mut spaced = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let is_space = c == '_' && is_inside(before) && is_inside(chars.peek().copied());
        spaced.push(if is_space { ' ' } else { c });
        before = Some(c);
    }
    spaced
}

/// Stop words from a file, one per line.
///
/// # Errors
/// As [`read_list`].
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
    let OpenFile { bytes, compression } = open(path, Arc::default()).map_err(read)?;
    let mut lines = LineReader::new(bytes);
    let mut text = String::new();
    let (mut entries, mut with_tabs) = (0u64, 0u64);
    // The first line with a tab, and its column that has the entries.
    let mut first = None;
    while let Some(batch) = lines.next_batch(1 << 18) {
        for line in batch.iter() {
            let wrong = |found| MiningError::NotALine { path: path.to_owned(), line: line.number, found };
            let entry = std::str::from_utf8(line.bytes).map_err(|_| wrong("bytes of another encoding"))?;
            if entry.contains('\0') {
                return Err(wrong("a byte that is zero"));
            }
            entries += 1;
            if let Some((start, _)) = entry.split_once('\t') {
                with_tabs += 1;
                let column = if start.parse::<f64>().is_ok() { 2 } else { 1 };
                first.get_or_insert((line.number, column));
            }
            text.push_str(entry);
            text.push('\n');
        }
        if let Some(damage) = batch.damage {
            return Err(read(damage.error));
        }
    }
    match first {
        Some((line, column)) if with_tabs * 2 > entries => {
            let command = cut_command(path, compression, column);
            Err(MiningError::Columns { path: path.to_owned(), line, command })
        }
        _ if text.is_empty() => Err(MiningError::EmptyList { path: path.to_owned() }),
        _ => Ok(text),
    }
}

/// The command that keeps one column of a table.
fn cut_command(path: &Path, compression: Option<Compression>, column: u32) -> String {
    let (file, to) = (quoted(path), quoted(&path.with_added_extension("column")));
    match compression {
        None => format!("`cut -f {column} < {file} > {to}`"),
        Some(compression) => format!("`{} -dc {file} | cut -f {column} > {to}`", compression.program()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_of_dumps_have_spaces() {
        for (entries, wanted) in [
            ("Cast_iron\nSt._John's_wort\n_a__b_\ntea\n", "Cast iron\nSt. John's wort\n_a__b_\ntea\n"),
            ("cast iron\nsnake_case\n", "cast iron\nsnake_case\n"),
        ] {
            assert_eq!(with_spaces(entries.to_owned()), wanted);
        }
    }
}
