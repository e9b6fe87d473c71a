//! `ebert mine`: scored phrases of a text.
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use schemas::{StoreError, quoted, store::Output};

use ebert_mining::{Lists, Memory, Mined, Options, QualityList};
use pipeline::{
    engine::{progress::Progress, stage::Threads},
    phrase::mine::{
        self, MiningError,
        read::{self, Lines, Text},
        summary::{self, Thresholds},
    },
    settings::LanguageOption,
    text::language::Language,
};

/// The options of the command.
pub(crate) struct MineCommand<'a> {
    /// One document per line.
    pub text: &'a Path,
    /// Good phrases, instead of the built-in ones of English.
    pub quality_list: Option<PathBuf>,
    /// Names of things, good phrases or not.
    pub entity_list: Option<PathBuf>,
    /// Replace the stop words of the language.
    pub stop_words: Option<PathBuf>,
    /// The language, or that it is detected.
    pub language: LanguageOption,
    pub options: Options,
    /// MiB of memory for the text.
    pub mining_mib: u64,
    /// Scores from which the summary counts a phrase as kept.
    pub thresholds: Thresholds,
    pub threads: Threads,
    /// A file for the phrases, instead of standard output.
    pub output: Option<&'a Path>,
    /// Whether to print warnings alone.
    pub quiet: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// No quality list is given, and the language has no built-in one.
    #[error(
        "the text is in {language}, and no list of good phrases is given, so there is nothing to learn from\n\
         hint: `--quality-list FILE` names a file of some, one per line, such as titles of an encyclopedia. \
         `ebert shards` learns from the categories and brands of its corpus. Use `--language en` if the text is English"
    )]
    NoList {
        /// The language.
        language: Language,
    },
    /// The language puts no spaces between words.
    #[error(
        "the text is in {language}, which puts no spaces between words, so it has no phrases to mine\n\
         hint: `--language en` or `--language other` is for a text with spaces"
    )]
    Unspaced {
        /// The language.
        language: Language,
    },
    /// The phrases would replace an input.
    #[error(
        "`--out {}` is {what} of this command, so the phrases would replace it\n\
         hint: choose another file, such as `--out {}`",
        quoted(path), quoted(&path.with_extension("phrases.txt"))
    )]
    OverInput {
        /// The file.
        path: PathBuf,
        /// What it is, such as `the text`.
        what: &'static str,
    },
    /// The text or a list.
    #[error(transparent)]
    Mine(#[from] MiningError),
    /// The output file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Standard output.
    #[error("cannot write the phrases")]
    Write(#[from] io::Error),
}

impl CommandError {
    /// Whether the command line is wrong, rather than a file.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoList { .. } | Self::OverInput { .. })
    }
}

/// Fails if the phrases would replace the text or a list.
fn check_output(command: &MineCommand<'_>) -> Result<(), CommandError> {
    // A device or pipe is not replaced.
    let Some(path) = command.output.filter(|path| path.is_file()) else { return Ok(()) };
    let Ok(out) = path.canonicalize() else { return Ok(()) };
    let inputs = [
        (Some(command.text), "the text"),
        (command.quality_list.as_deref(), "the list of good phrases"),
        (command.entity_list.as_deref(), "the list of names"),
        (command.stop_words.as_deref(), "the list of stop words"),
    ];
    for (input, what) in inputs {
        if input.is_some_and(|input| input.canonicalize().is_ok_and(|input| input == out)) {
            return Err(CommandError::OverInput { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// Mines a text and writes lines of `score<TAB>phrase`, best first. Prints a summary to standard
/// error.
pub(crate) fn run(command: &MineCommand<'_>, progress: &Progress) -> Result<(), CommandError> {
    check_output(command)?;
    let output = command.output.map(Output::at).transpose()?;
    let memory = match output.as_ref().and_then(Output::file) {
        Some(file) => Memory::new(command.mining_mib, file),
        None => Memory::new(command.mining_mib, std::env::temp_dir().join("ebert-mine")),
    };
    let (text, mined) = mine_text(command, memory, progress)?;
    let mut lines = Vec::new();
    for phrase in &mined.phrases {
        writeln!(lines, "{:.10}\t{}", phrase.score, phrase.text)?;
    }
    match output {
        Some(output) => output.write(&lines)?,
        None => io::stdout().lock().write_all(&lines)?,
    }
    let summary = summary::lines(&mined, text.left_out, command.thresholds);
    // The phrases are written, so a closed standard error is not a failure.
    for (heading, facts) in summary.into_iter().filter(|_| !command.quiet) {
        let _ = writeln!(io::stderr(), "{}", progress.line("", heading, &facts));
    }
    if let Some(warning) = summary::warning(&mined) {
        let _ = writeln!(io::stderr(), "{}", progress.warning(warning));
    }
    Ok(())
}

fn mine_text(command: &MineCommand<'_>, memory: Memory, progress: &Progress) -> Result<(Text, Mined), CommandError> {
    // All that can be refused is refused before the whole text is read.
    let own_stop_words = command.stop_words.as_deref().map(mine::read_stop_words).transpose()?;
    let quality = command.quality_list.as_deref().map(mine::read_list).transpose()?;
    let entities = command.entity_list.as_deref().map(mine::read_list).transpose()?;
    let lines = Lines::open(command.text, command.language)?;
    let language = lines.language;
    let quality = match (quality, read::common(language)) {
        _ if matches!(language, Language::Unspaced(_)) => return Err(CommandError::Unspaced { language }),
        (Some(quality), _) => QualityList::Phrases(quality),
        (None, Some(common)) => QualityList::common(common),
        (None, None) => return Err(CommandError::NoList { language }),
    };
    let text = lines.read(command.threads, memory, progress)?;
    let stop_words = &mine::stop_words(own_stop_words, language, &text);
    let lists = Lists { quality, entities, stop_words };
    let mined = mine::mine(&text, &lists, &command.options, command.threads, progress);
    let mined = mined.map_err(|error| error.of_quality_list(command.quality_list.as_deref()))?;
    Ok((text, mined))
}
