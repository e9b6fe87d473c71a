//! Files of titles: one title per line, or JSON lines with `id` and `title`, as `ebert titles`
//! writes them.
use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Lines, Read},
    path::{Path, PathBuf},
};

use schemas::quoted;
use serde::{Deserialize, Serialize};

use super::ApplyError;
use crate::files;

/// Titles in memory at once.
pub const BATCH: usize = 1024;

/// Bytes that show what kind of file it is.
const START: u64 = 1 << 16;

/// The character with which some programs begin a UTF-8 file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A product by its title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// Its id; the number of its line, from 1, in a text file.
    pub id: String,
    /// Its title, which may be empty.
    pub title: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    JsonLines,
}

/// A file of titles, each line of which has been checked.
#[derive(Clone, Debug)]
pub struct TitleFile {
    path: PathBuf,
    form: Form,
    titles: u64,
}

impl TitleFile {
    /// Reads a file once. It has JSON lines if the first line that is not blank starts with `{`. In
    /// a text file a blank line is an empty title, so that rows of results are lines of the file.
    ///
    /// # Errors
    /// When it is not a file of UTF-8 text, is an array or a table, has no title, or a line has another shape.
    pub fn open(path: &Path) -> Result<Self, ApplyError> {
        let io = |source| ApplyError::Io { path: path.to_owned(), source };
        if !path.metadata().map_err(io)?.is_file() {
            return Err(ApplyError::NoFile { path: path.to_owned() });
        }
        let mut start = Vec::new();
        File::open(path).map_err(io)?.take(START).read_to_end(&mut start).map_err(io)?;
        if start.starts_with(b"PAR1") {
            let hint = "write its columns `id` and `title` as JSON lines".to_owned();
            return Err(ApplyError::NotTitles { path: path.to_owned(), found: "a Parquet file", hint });
        }
        files::refuse_another_form(path, &start)?;
        let mut file = Self { path: path.to_owned(), form: Form::Text, titles: 0 };
        for line in BufReader::new(File::open(path).map_err(io)?).lines() {
            // What cannot be read is reported below.
            let Ok(line) = line else { break };
            let line = line.trim_start_matches(BYTE_ORDER_MARK).trim();
            if !line.is_empty() {
                refuse_first_line(path, line)?;
                file.form = if line.starts_with('{') { Form::JsonLines } else { Form::Text };
                break;
            }
        }
        let (mut has_title, mut titles) = (false, 0);
        for title in file.read()? {
            has_title |= !title?.title.trim().is_empty();
            titles += 1;
        }
        file.titles = titles;
        if has_title { Ok(file) } else { Err(ApplyError::Empty { path: path.to_owned() }) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many titles it has.
    pub fn titles(&self) -> u64 {
        self.titles
    }

    /// Passes its titles to `take`, at most [`BATCH`] at once.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it was; those of `take`.
    pub fn each_batch(&self, mut take: impl FnMut(&[Title]) -> Result<(), ApplyError>) -> Result<(), ApplyError> {
        let (mut reader, mut found) = (self.read()?, 0);
        loop {
            let batch = reader.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
            found += batch.len() as u64;
            if batch.is_empty() || found > self.titles {
                break;
            }
            take(&batch)?;
        }
        if found == self.titles {
            return Ok(());
        }
        Err(ApplyError::Changed { path: self.path.clone(), found, wanted: self.titles })
    }

    fn read(&self) -> Result<Reader<'_>, ApplyError> {
        let file = File::open(&self.path).map_err(|source| ApplyError::Io { path: self.path.clone(), source })?;
        Ok(Reader { file: self, lines: BufReader::new(file).lines(), line: 0 })
    }
}

struct Reader<'a> {
    file: &'a TitleFile,
    lines: Lines<BufReader<File>>,
    line: u64,
}

impl Iterator for Reader<'_> {
    type Item = Result<Title, ApplyError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.lines.next()?;
            self.line += 1;
            let shape = |found: String| ApplyError::Shape { path: self.file.path.clone(), line: self.line, found };
            let path = &self.file.path;
            let line = match line {
                Ok(line) if self.line == 1 => line.trim_start_matches(BYTE_ORDER_MARK).to_owned(),
                Ok(line) => line,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Some(Err(files::not_utf8(path, &[]).into()));
                }
                Err(source) => return Some(Err(ApplyError::Io { path: path.clone(), source })),
            };
            return match self.file.form {
                Form::Text => Some(Ok(Title { id: self.line.to_string(), title: line })),
                Form::JsonLines if line.trim().is_empty() => continue,
                Form::JsonLines => Some(serde_json::from_str(&line).map_err(|error| {
                    // The error calls each line its first.
                    let found = error.to_string().replace(" at line 1 column ", " at column ");
                    shape(found)
                })),
            };
        }
    }
}

/// Fails if the first line with text is that of a JSON array or of a table.
fn refuse_first_line(path: &Path, first: &str) -> Result<(), ApplyError> {
    let refused = |found, hint| Err(ApplyError::NotTitles { path: path.to_owned(), found, hint });
    let file = quoted(path);
    let inside = first.strip_prefix('[').map(str::trim_start);
    if inside.is_some_and(|inside| inside.is_empty() || inside.starts_with('{')) {
        return refused("a JSON array", format!("`jq -c '.[]' < {file} > {file}.jsonl`"));
    }
    for (delimiter, typed) in [(',', ","), ('\t', "\\t")] {
        let has = |wanted| first.split(delimiter).any(|name| name.trim().trim_matches('"') == wanted);
        if has("id") && has("title") {
            let rows = format!("csv.DictReader(open(0, encoding=\"utf-8-sig\", newline=\"\"), delimiter=\"{typed}\")");
            let program = format!("import csv, json; [print(json.dumps(row)) for row in {rows}]");
            return refused("a table", format!("`python3 -c '{program}' < {file} > {file}.jsonl`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, ApplyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("titles");
        std::fs::write(&path, text).unwrap();
        let (file, mut all) = (TitleFile::open(&path)?, Vec::new());
        file.each_batch(|batch| {
            all.extend(batch.iter().map(|title| (title.id.clone(), title.title.clone())));
            Ok(())
        })?;
        assert_eq!(file.titles(), all.len() as u64);
        Ok(all)
    }

    #[test]
    fn lines_and_json_lines_are_titles() {
        let pairs = |some: &[(&str, &str)]| {
            some.iter().map(|(id, title)| ((*id).to_owned(), (*title).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(read("Tea pot\n\nCup\r\n").unwrap(), pairs(&[("1", "Tea pot"), ("2", ""), ("3", "Cup")]));
        let json =
            "\n{\"id\": \"B1\", \"title\": \"Tea pot\", \"labels\": [\"Tea\"]}\n\n{\"title\": \"\", \"id\": \"B2\"}";
        assert_eq!(read(json).unwrap(), pairs(&[("B1", "Tea pot"), ("B2", "")]));
        let many: String = (0..3000).map(|number| format!("title {number}\n")).collect();
        assert_eq!(read(&many).unwrap().len(), 3000);
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_a_title() {
        let json = "{\"id\": \"B1\", \"title\": \"Tea pot\"}";
        for (text, wanted) in [("Tea pot", "1"), (json, "B1")] {
            assert_eq!(read(&format!("\u{feff}{text}\n")).unwrap(), [(wanted.to_owned(), "Tea pot".to_owned())]);
        }
    }

    #[test]
    fn files_of_another_form_are_refused_with_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("titles");
        for (bytes, wanted) in [
            (&b"\x1f\x8b\x08\0\0"[..], "is compressed, expected a plain file\nhint: `gzip -dc"),
            (b"\x28\xb5\x2f\xfd\0", "is compressed, expected a plain file\nhint: `zstd -dc"),
            (b"\xff\xfeT\0e\0a\0", "is not UTF-8 text\nhint: `iconv -f UTF-16 -t UTF-8 <"),
            (b"Tea\ncaf\xe9\n", "is not UTF-8 text\nhint: `iconv -f WINDOWS-1252 -t UTF-8 <"),
            (b"PAR1\x15\0", "is a Parquet file"),
            (b"[{\"id\": \"B1\"}]", "is a JSON array, expected one title per line, or"),
            (b"[\n  {\"id\": \"B1\"}]", "hint: `jq -c '.[]' <"),
            (b"\xef\xbb\xbf\"id\",\"title\"\nB1,Tea\n", "is a table, expected one title per line, or"),
            (b"id\ttitle\nB1\tTea\n", "delimiter=\"\\t\")]' <"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = TitleFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_is_not_a_title_is_named_with_its_line() {
        assert!(matches!(read("\n \n"), Err(ApplyError::Empty { .. })));
        assert!(matches!(read("{\"id\": \"B1\", \"title\": \"\"}\n"), Err(ApplyError::Empty { .. })));
        let wrong = read("{\"id\": \"B1\", \"title\": \"a\"}\nTea pot\n").unwrap_err();
        assert!(matches!(wrong, ApplyError::Shape { line: 2, .. }), "{wrong}");
        assert!(matches!(TitleFile::open("/".as_ref()), Err(ApplyError::NoFile { .. })));
    }
}
