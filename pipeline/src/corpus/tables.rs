//! The tables of a corpus, and their rows one after another.
use std::path::Path;

use schemas::{
    CorpusTextRows, FileEntry, Manifest, Rows, StoreError, manifest::CorpusBody, open_corpus_products,
    open_corpus_reviews, store::TableReader,
};

use crate::engine::hashes::Hashes;
use ebert_dumps::Kind;

/// A table of documents: one kind of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Products or reviews.
    pub kind: Kind,
    /// Bucket.
    pub bucket: u32,
    /// Its file in `corpus/`.
    pub entry: FileEntry,
}

/// The tables of documents, products first, by bucket.
pub fn tables(corpus: &Manifest<CorpusBody>) -> Vec<Table> {
    let mut tables = Vec::new();
    for kind in [Kind::Product, Kind::Review] {
        let prefix = format!("{}-", kind.stem());
        for entry in corpus.files.iter().filter(|f| f.name.starts_with(&prefix)) {
            let number = entry.name[prefix.len()..].strip_suffix(".parquet").and_then(|number| number.parse().ok());
            let bucket =
                number.expect("a sealed manifest names tables as the corpus step does: products-00007.parquet");
            tables.push(Table { kind, bucket, entry: entry.clone() });
        }
    }
    tables
}

/// The texts of some documents: the first of some tables, evenly spread. Documents are sorted by
/// their ids, which are hashes, so these are a random sample that depends on the corpus alone.
///
/// # Errors
/// If a table is missing or damaged.
pub fn sample(folder: &Path, corpus: &Manifest<CorpusBody>, hashes: &mut Hashes) -> Result<Vec<String>, StoreError> {
    const DOCUMENTS: usize = 512;
    let tables = tables(corpus);
    let of_each = DOCUMENTS / tables.len().clamp(1, SAMPLED);
    let mut texts = Vec::new();
    for table in sampled(&tables) {
        hashes.verify(folder, &table.entry)?;
        let first = table.open(folder)?.read::<CorpusTextRows>(of_each).next().transpose()?;
        texts.extend(first.iter().flat_map(CorpusTextRows::iter).map(|row| row.text.to_owned()));
    }
    Ok(texts)
}

/// The most tables of a [`sample`].
const SAMPLED: usize = 16;

/// The tables that a [`sample`] reads.
pub(crate) fn sampled(tables: &[Table]) -> impl Iterator<Item = &Table> {
    tables.iter().step_by(tables.len().div_ceil(SAMPLED).max(1))
}

impl Table {
    fn open(&self, folder: &Path) -> Result<TableReader, StoreError> {
        let path = folder.join(&self.entry.name);
        match self.kind {
            Kind::Product => open_corpus_products(&path),
            Kind::Review => open_corpus_reviews(&path),
        }
    }
}

/// Rows of a table, or its end.
pub enum Item<R> {
    /// Some rows of the table with this number.
    Rows {
        /// Number of the table.
        table: usize,
        /// The rows.
        rows: R,
    },
    /// The table has no further rows.
    End {
        /// Number of the table.
        table: usize,
    },
}

/// Reads tables one after another, by row groups. Checks the hash of each before it opens it.
pub struct DocumentReader<'a, R> {
    folder: &'a Path,
    tables: Vec<&'a Table>,
    hashes: &'a mut Hashes,
    at: usize,
    open: Option<OpenTable<R>>,
}

/// An open table: how many of its row groups were read, and what is left of the last one.
struct OpenTable<R> {
    table: TableReader,
    groups: usize,
    pieces: std::vec::IntoIter<R>,
}

impl<'a, R: Rows> DocumentReader<'a, R> {
    /// Reads these tables of the folder `corpus/`.
    pub fn new(folder: &'a Path, tables: impl Iterator<Item = &'a Table>, hashes: &'a mut Hashes) -> Self {
        Self { folder, tables: tables.collect(), hashes, at: 0, open: None }
    }

    fn read(&mut self) -> Result<Option<Item<R>>, StoreError> {
        let Some(table) = self.tables.get(self.at) else { return Ok(None) };
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                self.hashes.verify(self.folder, &table.entry)?;
                none.insert(OpenTable { table: table.open(self.folder)?, groups: 0, pieces: Vec::new().into_iter() })
            }
        };
        loop {
            if let Some(rows) = open.pieces.next() {
                return Ok(Some(Item::Rows { table: self.at, rows }));
            }
            if open.groups == open.table.row_groups() {
                self.open = None;
                self.at += 1;
                return Ok(Some(Item::End { table: self.at - 1 }));
            }
            let pieces = open.table.read_group(open.groups, usize::MAX >> 1)?;
            open.pieces = pieces.collect::<Result<Vec<_>, _>>()?.into_iter();
            open.groups += 1;
        }
    }
}

impl<R: Rows> Iterator for DocumentReader<'_, R> {
    type Item = Result<Item<R>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
