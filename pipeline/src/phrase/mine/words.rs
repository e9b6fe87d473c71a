//! The words of a corpus in tasks, so that many processes can tag it and one mines it.
//!
//! Each task reads the documents of some buckets, and leaves a file per bucket with their words, tags and names.
//! [`WordTasks::read`] puts these files together. The text is the same as that of [`read::corpus`]. What a file holds
//! depends on the corpus and the language alone, so finished files are kept, and a task may run twice at the same time.
//!
//! Memory: the words of one bucket, once within [`Memory`] and once in a [`SectionWriter`], and 16 bytes per product of
//! the corpus for [`OncePerText`].
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_dumps::Kind;
use ebert_english::Model;
use ebert_mining::{Memory, MineError, QualityList, Tokens};
use schemas::{FORMAT, Manifest, StoreError, Task, manifest::CorpusBody};
use serde::{Deserialize, Serialize};

use super::{
    MiningError,
    once::OncePerText,
    read::{self, LeftOut, Names, Reading, Text},
    rules,
};
use crate::{
    corpus::tables::{Table, tables},
    engine::{
        hashes::Hashes,
        progress::{Done, Progress},
        sections::{PartFolder, SectionWriter, Sections},
    },
    text::language::Language,
};

/// Sections of a file: the words of products and of reviews, and the names that products give.
const SECTIONS: usize = 3;
/// The section of names.
const NAMES: usize = 2;

/// The section of words.
fn section(kind: Kind) -> usize {
    match kind {
        Kind::Product => 0,
        Kind::Review => 1,
    }
}

/// What a file was made from.
#[derive(Debug, Serialize, Deserialize)]
struct Notes {
    made_from: String,
}

/// The words of a corpus, and their parts.
pub struct WordTasks {
    corpus: PathBuf,
    /// By bucket, products first.
    tables: BTreeMap<u64, Vec<Table>>,
    files: PartFolder,
    language: Language,
    made_from: String,
}

impl WordTasks {
    /// The parts of the words of a corpus in `out`.
    pub fn new(out: &Path, corpus: &Manifest<CorpusBody>, language: Language) -> Self {
        let mut by_bucket: BTreeMap<u64, Vec<Table>> = BTreeMap::new();
        for table in tables(corpus) {
            by_bucket.entry(u64::from(table.bucket)).or_default().push(table);
        }
        let tagger = if language.has_tags() { Model::embedded_blake3() } else { "no tags" };
        let of = format!("words {FORMAT} {}\n{}\n{tagger}\n", rules().key(), corpus.data_blake3());
        Self {
            corpus: out.join("corpus"),
            tables: by_bucket,
            files: PartFolder::within(&out.join("pool")),
            language,
            made_from: blake3::hash(of.as_bytes()).to_hex().to_string(),
        }
    }

    /// How many parts there are. Part p belongs to task p mod n of n.
    pub fn parts(&self) -> u64 {
        match self.language {
            // Nothing is mined.
            Language::Unspaced(_) => 0,
            _ => self.tables.len() as u64,
        }
    }

    /// The files that some parts read: their tables, and all tables of products, for their texts are read once.
    pub fn inputs(&self, own: &[u64]) -> Vec<PathBuf> {
        let is_read = |(part, table): &(&u64, &Table)| table.kind == Kind::Product || own.contains(part);
        let tables = self.tables.iter().flat_map(|(part, tables)| tables.iter().map(move |table| (part, table)));
        tables.filter(is_read).map(|(_, table)| self.corpus.join(&table.entry.name)).collect()
    }

    /// The file that a part writes.
    pub fn output(&self, part: u64) -> PathBuf {
        self.files.file("words", part)
    }

    fn open(&self, part: u64) -> Result<Option<Sections<Notes>>, StoreError> {
        let sections = Sections::<Notes>::open(&self.output(part), SECTIONS)?;
        Ok(sections.filter(|sections| sections.notes.made_from == self.made_from))
    }

    /// The parts that are missing.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn missing(&self) -> Result<BTreeSet<u64>, StoreError> {
        let mut missing = BTreeSet::new();
        for part in 0..self.parts() {
            if self.open(part)?.is_none() {
                missing.insert(part);
            }
        }
        Ok(missing)
    }

    /// Makes the parts of a task that are missing.
    ///
    /// # Errors
    /// If a table cannot be read, or a file cannot be written.
    pub fn make(&self, task: Task, reading: &Reading<'_>, hashes: &mut Hashes) -> Result<Done, MiningError> {
        let since = Instant::now();
        self.files.create()?;
        let own: Vec<u64> = (0..self.parts()).filter(|&part| task.has(part)).collect();
        let mut missing = Vec::new();
        for &part in &own {
            if self.open(part)?.is_none() {
                missing.push(part);
            }
        }
        let made = missing.len() as u64;
        if made > 0 {
            let mut once = OncePerText::new(&self.corpus, self.tables.values().flatten())?;
            let tables = |part: &u64| self.tables.get(part).into_iter().flatten();
            let bar = reading.progress.count("reading", missing.iter().flat_map(tables).map(|t| t.entry.rows).sum());
            for part in missing {
                self.make_part(part, &mut once, reading, hashes, |rows| bar.inc(rows))?;
            }
            bar.finish_and_clear();
        }
        Ok(Done::new(since, own.len() as u64, made))
    }

    fn make_part(
        &self,
        part: u64,
        once: &mut OncePerText,
        reading: &Reading<'_>,
        hashes: &mut Hashes,
        on_rows: impl Fn(u64),
    ) -> Result<(), MiningError> {
        let path = self.output(part);
        let mut sections = SectionWriter::new(path.clone(), SECTIONS);
        let mut names = Names::default();
        for kind in [Kind::Product, Kind::Review] {
            let tables: Vec<Table> =
                self.tables.get(&part).into_iter().flatten().filter(|table| table.kind == kind).cloned().collect();
            let (tokens, mut named) = read::read_tables(&self.corpus, &tables, once, reading, hashes, &on_rows)?;
            names.append(&mut named);
            let mut into = Output { sections: &mut sections, section: section(kind) };
            tokens.store(&mut into).map_err(|error| at(&path, error))?;
        }
        let names = serde_json::to_vec(&names).map_err(|e| StoreError::io("write", &path)(e.into()))?;
        sections.append(NAMES, &names)?;
        let notes = Notes { made_from: self.made_from.clone() };
        Ok(sections.commit(&notes, || self.open(part).is_ok_and(|part| part.is_some()))?)
    }

    /// The text of all parts, and the names that products give. `None` if a part is missing.
    ///
    /// # Errors
    /// If a file cannot be read, or a temporary file cannot be written.
    pub fn read(&self, memory: Memory, progress: &Progress) -> Result<Option<(Text, QualityList)>, MiningError> {
        let mut parts = Vec::new();
        for part in 0..self.parts() {
            let Some(sections) = self.open(part)? else { return Ok(None) };
            parts.push((self.output(part), sections));
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let bar = progress.count("reading", 2 * parts.len() as u64);
        let mut tokens = Tokens::new(memory);
        // In the order of the tables.
        for kind in [Kind::Product, Kind::Review] {
            for (path, sections) in &parts {
                // It has a checksum of its own.
                let mut stored = sections.section(section(kind))?.open()?;
                tokens.append_stored(&mut stored).map_err(|error| at(path, error))?;
                bar.inc(1);
            }
        }
        let mut names = Names::default();
        for (path, sections) in &parts {
            let read = |error: io::Error| MiningError::from(StoreError::io("read", path)(error));
            let mut bytes = Vec::new();
            sections.checked(NAMES)?.open()?.read_to_end(&mut bytes).map_err(read)?;
            let mut named = serde_json::from_slice(&bytes).map_err(|error| read(error.into()))?;
            names.append(&mut named);
        }
        bar.finish_and_clear();
        let text = Text { tokens, left_out: LeftOut::default() };
        Ok(Some((text, names.into_list(self.language))))
    }

    /// Removes the parts, when the pool is sealed. No other process may write the pool meanwhile.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.files.clear()
    }
}

/// A section that is written.
struct Output<'s> {
    sections: &'s mut SectionWriter,
    section: usize,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sections.append(self.section, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error with the file where it occurred.
fn at(path: &Path, error: MineError) -> MiningError {
    match error {
        MineError::Stored(source)
            if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::DamagedPart { path: path.to_owned() }.into()
        }
        MineError::Stored(source) => match source.downcast::<StoreError>() {
            Ok(error) => error.into(),
            Err(source) => StoreError::io("read", path)(source).into(),
        },
        error => error.into(),
    }
}
