//! Files of a task: what is read as examples, and why a file cannot be used.
use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use ebert_bert::Pointer;
use schemas::quoted;

use crate::{Example, Gold, Read, Tally, Task, products, semeval, squad};

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
    let bytes = std::fs::read(path).map_err(|source| TaskFileError::Io { task, path: path.to_owned(), source })?;
    refuse_another_form(path, &bytes)?;
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(path, error.as_bytes()))?;
    let start: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(14).collect();
    if ["<!doctype html", "<html"].iter().any(|tag| start.to_ascii_lowercase().starts_with(tag)) {
        return Err(TaskFileError::WebPage { task, path: path.to_owned() });
    }
    Ok(text)
}

/// Fails for a pointer, a compressed file, and UTF-16. `start` are the first bytes of the file.
pub(crate) fn refuse_another_form(path: &Path, start: &[u8]) -> Result<(), TaskFileError> {
    Pointer::refuse(path)?;
    if let Some(&(_, program)) = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(TaskFileError::Compressed { path: path.to_owned(), program });
    }
    // UTF-16 has zeros between letters.
    if start.contains(&0) { Err(not_utf8(path, start)) } else { Ok(()) }
}

/// The error for a text in another encoding than UTF-8.
pub(crate) fn not_utf8(path: &Path, bytes: &[u8]) -> TaskFileError {
    TaskFileError::Encoding { path: path.to_owned(), encoding: encoding_of(bytes) }
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
    let mut seen = HashSet::new();
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

#[cfg(test)]
mod tests {
    use super::*;

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
