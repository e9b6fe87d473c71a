//! The tables of a corpus, and their rows one after another.
use std::path::Path;

use arrow::record_batch::RecordBatch;
use schemas::{FileEntry, Manifest, StoreError, columns, manifest::CorpusBody, store::TableReader};

use crate::{REMAKE, engine::hashes::Hashes};
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

/// Rows of a table, or its end.
pub enum Item {
    /// Some rows of the table with this number.
    Rows {
        /// Number of the table.
        table: usize,
        /// The columns that were asked for.
        rows: RecordBatch,
    },
    /// Nothing follows in this table.
    End {
        /// Number of the table.
        table: usize,
    },
}

/// Reads tables, one after another, by row groups; each is checked against its hash before it is opened.
pub struct Rows<'a> {
    folder: &'a Path,
    tables: Vec<&'a Table>,
    columns: fn(Kind) -> &'static [&'static str],
    hashes: &'a mut Hashes,
    at: usize,
    open: Option<OpenTable>,
}

/// A table: its row groups so far, and what was read of the last one.
struct OpenTable {
    table: TableReader,
    groups: usize,
    batches: std::vec::IntoIter<RecordBatch>,
}

impl<'a> Rows<'a> {
    /// Reads these columns of these tables of the folder `corpus/`.
    pub fn new(
        folder: &'a Path,
        tables: impl Iterator<Item = &'a Table>,
        columns: fn(Kind) -> &'static [&'static str],
        hashes: &'a mut Hashes,
    ) -> Self {
        Self { folder, tables: tables.collect(), columns, hashes, at: 0, open: None }
    }

    fn read(&mut self) -> Result<Option<Item>, StoreError> {
        let Some(table) = self.tables.get(self.at) else { return Ok(None) };
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let schema = match table.kind {
                    Kind::Product => columns::corpus_products(),
                    Kind::Review => columns::corpus_reviews(),
                };
                self.hashes.verify(self.folder, &table.entry, REMAKE)?;
                let table = TableReader::open(&self.folder.join(&table.entry.name), &schema)?;
                none.insert(OpenTable { table, groups: 0, batches: Vec::new().into_iter() })
            }
        };
        loop {
            if let Some(rows) = open.batches.next() {
                return Ok(Some(Item::Rows { table: self.at, rows }));
            }
            if open.groups == open.table.row_groups() {
                self.open = None;
                self.at += 1;
                return Ok(Some(Item::End { table: self.at - 1 }));
            }
            let rows = open.table.row_group(open.groups, usize::MAX >> 1, Some((self.columns)(table.kind)))?;
            open.batches = rows.collect::<Result<Vec<_>, _>>()?.into_iter();
            open.groups += 1;
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Item, StoreError>;

    /// The next rows, or that a table has ended.
    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
