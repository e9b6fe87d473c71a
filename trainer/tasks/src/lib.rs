//! The four tasks that a BERT is fine-tuned for (section 4 of the paper), and the grid that makes
//! its Table 2.
//!
//! A task's file is read as [`Example`]s ([`squad`], [`semeval`], [`products`]). [`split`] selects
//! which of them are trained on. [`tokens`](ebert_bert::tokens) and [`sequence`] turn them into
//! token ids. [`heads`] puts a task's head on the encoder, and [`finetune`] is the loop. [`decode`]
//! makes predictions of logits. [`metrics`] scores them, and [`bootstrap`] compares models.
//! [`evaluate`] scores a file of predictions. [`request`] is the input of one fine-tuning, [`cell`]
//! its folder, [`identity`] what decides its numbers. [`grid`] is a file that names many of them,
//! [`cells`] makes them, and [`table`] and [`figures`] show their scores. [`contamination`] finds
//! test texts that a model was post-trained on. [`apply`] is for finished models: masks, embeddings
//! and similar products.
//!
//! ```
//! use ebert_tasks::Task;
//! assert_eq!(Task::Rqa.score_names(), ["precision", "recall", "f1", "exact_match"]);
//! ```
pub mod apply;
pub mod bootstrap;
pub mod cell;
pub mod cells;
pub mod claims;
pub mod contamination;
pub mod cross_attention;
pub mod decode;
pub mod evaluate;
pub mod figures;
pub mod finetune;
pub mod grid;
pub mod heads;
pub mod identity;
pub mod metrics;
pub mod options;
mod origin;
pub mod paper_order;
pub mod predictions;
pub mod probe;
pub mod products;
pub mod request;
pub mod semeval;
pub mod sequence;
pub mod split;
pub mod squad;
pub mod table;
pub mod trained;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    path::{Path, PathBuf},
};

use ebert_bert::Pointer;
pub use ebert_bert::tokens::Span;
use schemas::quoted;
use serde::{Deserialize, Serialize};

/// A task of the paper's Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Review question answering: a span of the review answers a question (SQuAD 1.1 JSON)
    Rqa,
    /// Product classification: a title to the categories that it is in (JSON lines of `ebert
    /// titles`)
    Pc,
    /// Review aspect extraction: which words of a sentence name an aspect (SemEval 2014 Task 4 XML)
    Ae,
    /// Review aspect sentiment classification: how a sentence speaks of an aspect (the same file)
    Asc,
}

impl Task {
    /// In the order of the paper's Table 2.
    pub const ALL: [Self; 4] = [Self::Rqa, Self::Pc, Self::Ae, Self::Asc];

    /// Its short name, which commands and folders use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rqa => "rqa",
            Self::Pc => "pc",
            Self::Ae => "ae",
            Self::Asc => "asc",
        }
    }

    /// What it is.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rqa => "review question answering",
            Self::Pc => "product classification",
            Self::Ae => "review aspect extraction",
            Self::Asc => "review aspect sentiment",
        }
    }

    /// What an example of it is called, many of them.
    pub const fn examples(self) -> &'static str {
        match self {
            Self::Rqa => "questions",
            Self::Pc => "titles",
            Self::Ae => "sentences",
            Self::Asc => "aspects",
        }
    }

    /// What is never split between training and test.
    pub const fn documents(self) -> &'static str {
        match self {
            Self::Rqa => "entries of reviews",
            Self::Pc => "different titles",
            Self::Ae | Self::Asc => "different sentences",
        }
    }

    /// The scores of the paper's Table 2, in its order.
    pub const fn score_names(self) -> &'static [&'static str] {
        match self {
            Self::Rqa => &["precision", "recall", "f1", "exact_match"],
            Self::Pc => &["accuracy", "micro_f1", "macro_f1"],
            Self::Ae => &["precision", "recall", "f1"],
            Self::Asc => &["accuracy", "macro_f1"],
        }
    }

    /// How Table 2 heads their columns.
    pub const fn score_heads(self) -> &'static [&'static str] {
        match self {
            Self::Rqa => &["P", "R", "F1", "EM"],
            Self::Pc => &["Acc", "MiF1", "MaF1"],
            Self::Ae => &["P", "R", "F1"],
            Self::Asc => &["Acc", "MaF1"],
        }
    }

    /// Which of the scores decides on the validation part. The paper does not say; these are the
    /// ones by which the tasks are known.
    pub const fn deciding(self) -> usize {
        match self {
            Self::Rqa | Self::Ae => 2,
            Self::Pc => 1,
            Self::Asc => 0,
        }
    }

    /// Where a file for it is found, for a message.
    pub const fn where_found(self) -> &'static str {
        match self {
            Self::Rqa => {
                "any SQuAD 1.1 file; the paper's kind of data is SQuADShifts' amazon_reviews_v1.0.json \
                 (Miller et al. 2020, modestyachts.github.io/squadshifts-website)"
            }
            Self::Pc => "`ebert titles DIR` writes one from the corpus that `ebert shards` built",
            Self::Ae | Self::Asc => {
                "SemEval 2014 Task 4, laptops: Laptop_Train_v2.xml, and Laptops_Test_Gold.xml as the test \
                 (Pontiki et al. 2014, alt.qcri.org/semeval2014/task4)"
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One text.
    Text(String),
    /// Two: a question and a review, or a sentence and its aspect.
    Pair(String, String),
}

impl Input {
    /// The longer text: of a question and a review the review, of a sentence and an aspect the
    /// sentence.
    pub fn longest(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Pair(first, second) => {
                if first.len() > second.len() {
                    first
                } else {
                    second
                }
            }
        }
    }
}

/// What is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// Any of these texts; the first that stands in the review is trained on.
    Answers {
        /// Their texts.
        texts: Vec<String>,
        /// Where in the review an answer to train on is, if one is where its file says.
        at: Option<Span>,
    },
    /// All of these places, sorted.
    Aspects(Vec<Span>),
    /// This class.
    Class(String),
    /// All of these labels, sorted.
    Labels(Vec<String>),
}

/// One example of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its name in predictions, unique in its file.
    pub id: String,
    /// What it belongs to: examples with an equal one are never split between training and test.
    pub document: String,
    /// What is given.
    pub input: Input,
    /// What is right.
    pub gold: Gold,
}

/// What was found in a file that a person should know: for each reason how often, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, (u64, String)>);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, reason: &'static str, place: &str) {
        self.0.entry(reason).or_insert_with(|| (0, place.to_owned())).0 += 1;
    }

    /// Adds those of another.
    pub fn join(&mut self, other: Self) {
        for (reason, (count, place)) in other.0 {
            self.0.entry(reason).or_insert((0, place)).0 += count;
        }
    }

    /// Reasons, counts, and the first place of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        self.0.iter().map(|(reason, (count, place))| (*reason, *count, place.as_str()))
    }

    /// A line for each reason, as messages list them.
    pub fn lines(&self) -> String {
        self.iter().map(|(reason, count, place)| format!("\n  {count} {reason}, first {place}")).collect()
    }

    /// The counts by reason.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.iter().map(|(reason, count, _)| (reason.to_owned(), count)).collect()
    }
}

/// A file of a task, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Its examples, in the file's order.
    pub examples: Vec<Example>,
    /// Ids of what is not part of the task, though others may predict it.
    pub left_out: Vec<String>,
    /// What was left out or is treated in a special way.
    pub tally: Tally,
    /// Whether some ids are numbers in the file, as it has none.
    pub numbered: bool,
}

impl Read {
    /// Puts the name of the file before each id of a file that numbers them, as other files have
    /// the same numbers.
    pub(crate) fn name_after(&mut self, path: &Path) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let ids = self.examples.iter_mut().map(|example| &mut example.id).chain(&mut self.left_out);
        ids.for_each(|id| id.insert_str(0, &format!("{name}:")));
    }
}

/// A task's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TaskFileError {
    /// It cannot be read.
    #[error("cannot read the {task} file `{}`\nhint: {}", path.display(), task.where_found())]
    Io {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Git LFS has not fetched it.
    #[error(transparent)]
    Pointer(#[from] Pointer),
    /// It is compressed.
    #[error(
        "`{}` is compressed, expected a plain file\nhint: `{program} -dc {} > {}`",
        path.display(), quoted(path), quoted(&plain(path))
    )]
    Compressed {
        /// The file.
        path: PathBuf,
        /// What decompresses it.
        program: &'static str,
    },
    /// It is not text that can be read.
    #[error("`{}` is not UTF-8 text\nhint: `iconv -f {encoding} -t UTF-8 < {1} > {1}.utf8`", path.display(), quoted(path))]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Its encoding, as far as one can tell.
        encoding: String,
    },
    /// A server sent it in place of the file.
    #[error("`{}` is a web page, expected a file of {}\nhint: {}", path.display(), task.title(), task.where_found())]
    WebPage {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
    },
    /// It has another shape.
    #[error("`{}` is not a file of {}: {found}\n  expected {wanted}\nhint: {}", path.display(), task.title(), task.where_found())]
    Shape {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
        /// What stands there, and where.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// Two examples have one id.
    #[error("`{}` has two {} with the id `{id}`\nhint: ids name predictions, so they must differ", path.display(), task.examples())]
    Twice {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// Two files have an id in common.
    #[error("`{}` and `{}` both have the id `{id}`\nhint: ids of {} name predictions, so they must differ", first.display(), path.display(), task.examples())]
    TwiceAcross {
        /// The task.
        task: Task,
        /// The file that is read first.
        first: PathBuf,
        /// The other one.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// Nothing in it is right.
    #[error("`{}` has {examples} {}, and not one aspectTerm in them that can be used{}\nhint: {}", path.display(), task.examples(), left_out.lines(), task.where_found())]
    NoAspects {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
        /// How many sentences.
        examples: usize,
        /// What was left out.
        left_out: Tally,
    },
    /// There is nothing in it.
    #[error("`{}` holds no {} that can be used{}\nhint: {}", path.display(), task.examples(), left_out.lines(), task.where_found())]
    Empty {
        /// The task.
        task: Task,
        /// The file.
        path: PathBuf,
        /// What was left out.
        left_out: Tally,
    },
}

/// First bytes of compressed files, and what decompresses them.
const COMPRESSED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz")];

/// The name of a compressed file once it is plain.
fn plain(path: &Path) -> PathBuf {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz" | "zst" | "bz2" | "xz") => path.with_extension(""),
        _ => path.with_added_extension("plain"),
    }
}

/// The text of a file of a task.
fn text_of(task: Task, path: &Path) -> Result<String, TaskFileError> {
    let path_owned = || path.to_owned();
    let encoding = |bytes: &[u8]| TaskFileError::Encoding { path: path_owned(), encoding: encoding_of(bytes) };
    let bytes = std::fs::read(path).map_err(|source| TaskFileError::Io { task, path: path_owned(), source })?;
    Pointer::refuse(path)?;
    if let Some(&(_, program)) = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(TaskFileError::Compressed { path: path_owned(), program });
    }
    let text = String::from_utf8(bytes).map_err(|error| encoding(error.as_bytes()))?;
    // UTF-16 has zeros between letters.
    if text.contains('\0') {
        return Err(encoding(text.as_bytes()));
    }
    let start: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(14).collect();
    if ["<!doctype html", "<html"].iter().any(|tag| start.to_ascii_lowercase().starts_with(tag)) {
        return Err(TaskFileError::WebPage { task, path: path_owned() });
    }
    Ok(text)
}

/// The encoding that a text declares as XML does, or is likely to be in. It is not UTF-8.
fn encoding_of(bytes: &[u8]) -> String {
    const LONGEST_DECLARATION: usize = 200;
    if bytes.contains(&0) {
        return "UTF-16".to_owned();
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_DECLARATION)]).into_owned();
    let declared = || {
        let (_, behind) = start.split_once("?>")?.0.split_once("encoding=")?;
        let name = behind.trim_start_matches(['"', '\'']).split(['"', '\'']).next()?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (is_name && !name.eq_ignore_ascii_case("utf-8")).then(|| name.to_owned())
    };
    declared().unwrap_or_else(|| "WINDOWS-1252".to_owned())
}

/// Reads a file of a task.
///
/// # Errors
/// When it cannot be read, has another shape, holds an id twice, or nothing that can be used.
pub fn read(task: Task, path: &Path) -> Result<Read, TaskFileError> {
    let text = text_of(task, path)?;
    // A byte order mark is not part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let shape = |(found, wanted)| TaskFileError::Shape { task, path: path.to_owned(), found, wanted };
    let read = match task {
        Task::Rqa => squad::read(text),
        Task::Pc => products::read(text),
        Task::Ae => semeval::read_aspects(text),
        Task::Asc => semeval::read_sentiment(text),
    };
    let read = read.map_err(shape)?;
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = read.examples.iter().find(|example| !seen.insert(&example.id)) {
        return Err(TaskFileError::Twice { task, path: path.to_owned(), id: twice.id.clone() });
    }
    if read.examples.is_empty() {
        return Err(TaskFileError::Empty { task, path: path.to_owned(), left_out: read.tally });
    }
    if read.examples.iter().all(|example| example.gold == Gold::Aspects(Vec::new())) {
        let (examples, left_out) = (read.examples.len(), read.tally);
        return Err(TaskFileError::NoAspects { task, path: path.to_owned(), examples, left_out });
    }
    Ok(read)
}

/// Reads files of a task as one. If several of them number their sentences, ids begin with the
/// names of the files.
///
/// # Errors
/// As [`read()`], and when two files have an id in common.
pub fn read_all(task: Task, paths: &[PathBuf]) -> Result<Read, TaskFileError> {
    let (mut files, mut all) = (Vec::new(), Read::default());
    let mut reads = paths.iter().map(|path| read(task, path)).collect::<Result<Vec<_>, _>>()?;
    rename_numbered(paths, &mut reads);
    for read in reads {
        all.numbered |= read.numbered;
        files.push(read.examples);
        all.left_out.extend(read.left_out);
        all.tally.join(read.tally);
    }
    differing(task, paths, &files)?;
    all.examples = files.into_iter().flatten().collect();
    Ok(all)
}

/// Makes the ids of files that number their sentences differ, if there are several.
pub(crate) fn rename_numbered(paths: &[PathBuf], reads: &mut [Read]) {
    if reads.iter().filter(|read| read.numbered).count() > 1 {
        for (read, path) in reads.iter_mut().zip(paths).filter(|(read, _)| read.numbered) {
            read.name_after(path);
        }
    }
}

/// Whether the examples of several files differ in their ids.
///
/// # Errors
/// When they do not.
pub fn differing(task: Task, paths: &[PathBuf], files: &[Vec<Example>]) -> Result<(), TaskFileError> {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for (file, examples) in files.iter().enumerate() {
        for example in examples {
            if let Some(first) = first_of.insert(&example.id, file) {
                let (first, path) = (paths[first].clone(), paths[file].clone());
                return Err(TaskFileError::TwiceAcross { task, first, path, id: example.id.clone() });
            }
        }
    }
    Ok(())
}

/// The beginning of a text, of at most that many characters, for a message or a label.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_characters() {
        let text = "a “tea” cup";
        assert_eq!(Span::new(3, 6).unwrap().of(text), Some("tea"));
        assert_eq!(Span::new(8, 11).unwrap().of(text), Some("cup"));
        assert_eq!(Span::new(8, 12).unwrap().of(text), None);
        assert_eq!(Span::new(20, 21).unwrap().of(text), None);
        assert_eq!(Span::new(2, 2), None);
        let overlaps =
            |a: (usize, usize), b: (usize, usize)| Span::new(a.0, a.1).unwrap().overlaps(Span::new(b.0, b.1).unwrap());
        assert!(overlaps((0, 3), (2, 4)) && !overlaps((0, 3), (3, 4)) && overlaps((1, 2), (0, 9)));
    }

    #[test]
    fn numbered_sentences_of_several_files_differ() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.xml", "b.xml"].map(|name| folder.path().join(name));
        let aspect = r#"<aspectTerms><aspectTerm term="tea" from="0" to="3"/></aspectTerms>"#;
        for path in &paths {
            let text = format!("<sentences><sentence><text>tea</text>{aspect}</sentence></sentences>");
            std::fs::write(path, text).unwrap();
        }
        let ids = |paths: &[PathBuf]| -> Vec<String> {
            read_all(Task::Ae, paths).unwrap().examples.into_iter().map(|example| example.id).collect()
        };
        assert_eq!(ids(&paths[..1]), ["1"]);
        assert_eq!(ids(&paths), ["a:1", "b:1"]);
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let error = |task, text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            read(task, &path).unwrap_err().to_string().replace(&path.display().to_string(), "DATA")
        };
        let text = error(Task::Rqa, None);
        assert!(text.starts_with("cannot read the rqa file `DATA`") && text.contains("SQuADShifts"), "{text}");
        let text = error(Task::Rqa, Some(r#"{"data": []}"#));
        assert!(text.starts_with("`DATA` holds no questions that can be used"), "{text}");
        let line = "{\"id\":\"A\",\"title\":\"tea\",\"labels\":[\"x\"]}\n";
        let text = error(Task::Pc, Some(&line.repeat(2)));
        assert!(text.starts_with("`DATA` has two titles with the id `A`"), "{text}");
        let bytes = |task, bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(task, &path).unwrap_err().to_string().replace(&folder.path().display().to_string(), "DIR")
        };
        let declared = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><sentences/>caf";
        for (task, file, wanted) in [
            (
                Task::Rqa,
                &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..],
                "`DIR/data` is a Git LFS pointer, not the file itself\nhint: git -C DIR lfs pull",
            ),
            (Task::Rqa, b"\n<!DOCTYPE html><p>Sign in", "`DIR/data` is a web page, expected a file of review question"),
            (Task::Ae, b"<html>", "`DIR/data` is a web page, expected a file of review aspect"),
            (
                Task::Pc,
                b"\x1f\x8b\x08\0\0",
                "`DIR/data` is compressed, expected a plain file\nhint: `gzip -dc DIR/data > DIR/data.plain`",
            ),
            (
                Task::Ae,
                &[declared.as_bytes(), b"\xe9"].concat(),
                "`DIR/data` is not UTF-8 text\nhint: `iconv -f ISO-8859-1 -t UTF-8 < DIR/data > DIR/data.utf8`",
            ),
            (
                Task::Pc,
                b"{\"id\": \"caf\xe9\"}",
                "`DIR/data` is not UTF-8 text\nhint: `iconv -f WINDOWS-1252 -t UTF-8 <",
            ),
            (Task::Rqa, b"\xff\xfe{\0}\0", "`DIR/data` is not UTF-8 text\nhint: `iconv -f UTF-16 -t UTF-8 <"),
        ] {
            let found = bytes(task, file);
            assert!(found.starts_with(wanted), "{found}");
        }
        assert_eq!(plain(Path::new("a/b.json.gz")), Path::new("a/b.json"));
        let text = error(Task::Ae, Some(line));
        assert!(text.contains("is not a file of review aspect extraction") && text.contains("SemEval 2014"), "{text}");
    }
}
