//! Files of titles: one title per line, or JSON lines with `id` and `title`, as `ebert titles`
//! writes them.
use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::ApplyError;

/// Titles in memory at once.
pub const BATCH: usize = 1024;

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
    /// When it is not a file, has no title, or a line has another shape.
    pub fn open(path: &Path) -> Result<Self, ApplyError> {
        let io = |source| ApplyError::Io { path: path.to_owned(), source };
        if !path.metadata().map_err(io)?.is_file() {
            return Err(ApplyError::NoFile { path: path.to_owned() });
        }
        let mut file = Self { path: path.to_owned(), form: Form::Text, titles: 0 };
        for line in BufReader::new(File::open(path).map_err(io)?).lines() {
            // What cannot be read is reported with its line below.
            let Ok(line) = line else { break };
            if !line.trim().is_empty() {
                file.form = if line.trim_start().starts_with('{') { Form::JsonLines } else { Form::Text };
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
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(shape(error.to_string()))),
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
    fn what_is_not_a_title_is_named_with_its_line() {
        assert!(matches!(read("\n \n"), Err(ApplyError::Empty { .. })));
        assert!(matches!(read("{\"id\": \"B1\", \"title\": \"\"}\n"), Err(ApplyError::Empty { .. })));
        let wrong = read("{\"id\": \"B1\", \"title\": \"a\"}\nTea pot\n").unwrap_err();
        assert!(matches!(wrong, ApplyError::Shape { line: 2, .. }), "{wrong}");
        assert!(matches!(TitleFile::open("/".as_ref()), Err(ApplyError::NoFile { .. })));
    }
}
