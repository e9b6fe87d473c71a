//! `OUT/shards/pairs-*.parquet`: associated products, each with a product that is not a neighbor.
//!
//! There is one row per association and draw. All draws are keyed by the association: its direction, its position in
//! the order, which rows of a hub stay, and its negative.
//!
//! 1. [`PairTasks::choose`]: one process decides which associations become rows and draws their negatives (`rows`). It
//!    leaves a file with the texts of all products of the graph, and the rows in their order.
//! 2. [`PairTasks::write`]: any number of processes write the files of pairs, each with some rows and the texts of
//!    their products.
//!
//! The quota of a hub depends on all associations before, so the first step has one task. Its memory holds
//! [`BYTES_PER_PRODUCT`] bytes per product with an association, and [`SORT_MEMORY`] for each of at most three sorters.
//! Associations are on disk. Drawing negatives from categories takes 16 more bytes per product, and about 150 per
//! category.
mod categories;
mod graph;
mod negatives;
mod rows;
mod texts;
mod write;

use std::{collections::BTreeSet, path::PathBuf, time::Instant};

use schemas::{
    Counts, FileEntry, Manifest, Relation, Rules, StoreError, Task, TokenId,
    manifest::{self, GraphBody, MANIFEST, ShardOptions},
    store,
};
use serde::{Deserialize, Serialize};

use self::{
    categories::Categories,
    graph::{Graph, SortSpace},
    negatives::{FEWEST, Negatives},
    rows::{DrawnRows, PlacedRow},
    texts::FirstSegments,
};
use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        memory,
        progress::{Done, Facts, NEW, Outcome, Progress, thousands},
        sections::{PartFolder, Section, SectionWriter, Sections},
    },
    settings::StepSettings,
    shard::{ShardError, encode},
};

/// Bytes of memory of a product: two hashes (16), where its text is (12), and two counts (8). While ids are numbered
/// before, about 60.
pub const BYTES_PER_PRODUCT: u64 = 36;

/// Memory of one sorter.
pub const SORT_MEMORY: usize = 96 << 20;

/// Rows of one file.
const ROWS_PER_FILE: u64 = 1 << 16;

/// The key of the pairs that some inputs and options give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPairs {
    made_from: String,
}

/// Counts of the pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Number of files.
    pub files: u32,
    /// Rows of all of them.
    pub rows: u64,
    /// Rows of each relation.
    #[serde(default)]
    pub relations: Counts,
    /// Rows left out, by reason.
    pub dropped: Counts,
    /// Rows by the category that their negative is from, if negatives are drawn from categories.
    #[serde(default)]
    pub negatives: Counts,
}

impl PairCounts {
    /// One line for the summary.
    pub(crate) fn described(&self) -> Facts {
        let pairs = format!("{} pairs", thousands(self.rows));
        let dropped = self.dropped.iter().map(|(reason, n)| format!("{} left out ({reason})", thousands(*n)));
        let mut parts: Vec<String> = std::iter::once(pairs).chain(dropped).collect();
        if !self.negatives.is_empty() {
            let counts = self.negatives.iter().map(|(from, n)| format!("{from} {}", thousands(*n)));
            parts.push(format!("negatives {}", counts.collect::<Vec<_>>().join(", ")));
        }
        Facts::new("step", parts.join("   "))
            .with("pairs", self.rows)
            .with("left_out", serde_json::json!(self.dropped))
            .with("negatives", serde_json::json!(self.negatives))
    }
}

/// Name of a file of pairs.
pub fn name_of(file: u32) -> String {
    format!("pairs-{file:05}.parquet")
}

/// Version of drawing. Raise it whenever the same graph and segments give other pairs.
pub const RULES: u32 = 3;

/// Versions of the code that decides pairs.
pub(crate) fn rules() -> Rules {
    Rules::of([("pairs", RULES)])
}

/// The pairs of these shards, graph, seed and options.
pub fn plan(shards: &[encode::PlannedShard], graph_blake3: &str, seed: u64, options: &ShardOptions) -> PlannedPairs {
    let mut hasher = blake3::Hasher::new();
    let (most, draws) = (options.max_per_product, options.draws);
    hasher.update(
        format!("pairs {} {seed} {most} {draws}\n{graph_blake3}\n{}\n", schemas::FORMAT, rules().key()).as_bytes(),
    );
    if options.negatives == manifest::Negatives::Category {
        hasher.update(format!("negatives category {FEWEST}\n").as_bytes());
    }
    for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
        hasher.update(shard.made_from.as_bytes());
    }
    PlannedPairs { made_from: hasher.finalize().to_hex().to_string() }
}

/// The files of finished pairs and their counts, if all of them exist with the planned content.
pub(crate) fn finished(
    ledger: &Ledger,
    planned: &PlannedPairs,
    hashes: &mut Hashes,
) -> Result<Option<(Vec<FileEntry>, PairCounts)>, StoreError> {
    let mut files = Vec::new();
    loop {
        let name = name_of(files.len() as u32);
        let Some(made) = ledger.finished::<PairCounts>(&name, &planned.made_from, hashes)? else { return Ok(None) };
        files.push(made.file);
        if files.len() >= made.counts.files as usize {
            return Ok(Some((files, made.counts)));
        }
    }
}

/// Draws the pairs, or finds that they are up to date.
///
/// # Errors
/// If a shard or the graph cannot be read, or the pairs cannot be written.
pub fn make(
    settings: StepSettings<'_>,
    shards: &[encode::PlannedShard],
    graph: &Manifest<GraphBody>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(PairCounts, Outcome), ShardError> {
    let since = Instant::now();
    let pairs = PairTasks::new(settings, shards, graph)?;
    if let Some((_, counts)) = finished(&pairs.ledger, &pairs.planned, hashes)? {
        // A process may have been killed before it removed the rows.
        pairs.clear()?;
        return Ok((counts, Outcome::UpToDate));
    }
    pairs.choose(hashes, progress)?;
    let gone = || ShardError::RowsGone { folder: pairs.ledger.folder().to_owned() };
    pairs.write(Task::ALL, hashes, progress)?.ok_or_else(gone)?;
    let (_, counts) = finished(&pairs.ledger, &pairs.planned, hashes)?.ok_or_else(gone)?;
    pairs.clear()?;
    Ok((counts, Outcome::made(since, NEW.to_owned())))
}

/// The pairs of some shards and a graph, and their parts: files of pairs.
pub struct PairTasks<'a> {
    settings: StepSettings<'a>,
    shards: &'a [encode::PlannedShard],
    graph: &'a Manifest<GraphBody>,
    planned: PlannedPairs,
    ledger: Ledger,
    files: PartFolder,
}

/// The section of the texts, in the file of rows.
const TEXTS: usize = 0;

/// The section of the rows of a file of pairs.
const fn rows_of(file: u64) -> usize {
    1 + file as usize
}

/// What the rows were made from, and what their pairs count.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RowNotes {
    made_from: String,
    counts: PairCounts,
}

/// The rows of all pairs, and the texts of their products.
struct Rows {
    path: PathBuf,
    sections: Sections<RowNotes>,
}

impl Rows {
    fn counts(&self) -> &PairCounts {
        &self.sections.notes.counts
    }

    /// Where the texts are. Each has a checksum of its own.
    fn texts(&self) -> Result<Section, StoreError> {
        self.sections.section(TEXTS)
    }

    /// The rows of a file of pairs.
    fn of_file(&self, file: u32) -> Result<Vec<PlacedRow>, StoreError> {
        self.sections.records(rows_of(u64::from(file)))?.collect()
    }
}

impl<'a> PairTasks<'a> {
    /// The pairs of these shards and this graph.
    ///
    /// # Errors
    /// If the folder of the records of tables cannot be created.
    pub fn new(
        settings: StepSettings<'a>,
        shards: &'a [encode::PlannedShard],
        graph: &'a Manifest<GraphBody>,
    ) -> Result<Self, StoreError> {
        let planned = plan(shards, &graph.data_blake3(), settings.seed, &settings.shard_options());
        let ledger = Ledger::open(&settings.out, "shards")?;
        let files = PartFolder::within(ledger.folder());
        Ok(Self { settings, shards, graph, planned, ledger, files })
    }

    /// The file of rows.
    fn path(&self) -> PathBuf {
        self.files.file("rows", 0)
    }

    /// Sections of the file of rows.
    fn sections(&self) -> usize {
        rows_of(most_files(self.graph, self.settings.draws))
    }

    fn rows(&self) -> Result<Option<Rows>, StoreError> {
        let path = self.path();
        let sections = Sections::<RowNotes>::open(&path, self.sections())?;
        let same = sections.filter(|rows| rows.notes.made_from == self.planned.made_from);
        Ok(same.map(|sections| Rows { path, sections }))
    }

    /// What the pairs will count, if rows are chosen or pairs are written.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn counts(&self) -> Result<Option<PairCounts>, StoreError> {
        if let Some(rows) = self.rows()? {
            return Ok(Some(rows.counts().clone()));
        }
        self.ledger.recorded_counts(&name_of(0), &self.planned.made_from)
    }

    /// How many files of pairs there are. Part p belongs to task p mod n of n. Before rows are chosen, this is the most
    /// that may follow from the graph.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn parts(&self) -> Result<u64, StoreError> {
        Ok(match self.counts()? {
            Some(counts) => u64::from(counts.files),
            None => most_files(self.graph, self.settings.draws),
        })
    }

    /// The files of pairs that are missing, by their records. All of them, if rows are not chosen.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn missing(&self) -> Result<BTreeSet<u64>, StoreError> {
        let mut missing = BTreeSet::new();
        for file in 0..self.parts()? {
            if !self.ledger.recorded(&name_of(file as u32), &self.planned.made_from)? {
                missing.insert(file);
            }
        }
        Ok(missing)
    }

    /// Whether rows are chosen, and not yet removed.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn has_rows(&self) -> Result<bool, StoreError> {
        Ok(self.rows()?.is_some())
    }

    /// Whether all files of pairs are there, by their records. In a sealed folder, records that are missing are
    /// restored.
    ///
    /// # Errors
    /// If a stored file cannot be read, or a sealed one is damaged.
    pub fn is_written(&self, is_sealed: bool, hashes: &mut Hashes) -> Result<bool, StoreError> {
        let by_records = self.counts()?.is_some() && self.missing()?.is_empty();
        Ok(by_records || is_sealed && finished(&self.ledger, &self.planned, hashes)?.is_some())
    }

    /// Chooses the rows and draws their negatives, unless that is done.
    ///
    /// # Errors
    /// If the graph or a shard cannot be read.
    pub fn choose(&self, hashes: &mut Hashes, progress: &Progress) -> Result<Outcome, ShardError> {
        let since = Instant::now();
        if self.rows()?.is_some() {
            return Ok(Outcome::UpToDate);
        }
        store::remove(&self.ledger.folder().join(MANIFEST))?;
        self.files.create()?;
        let spinner = progress.spinner("rows");
        if self.settings.tokenizer.has_wide_ids() {
            self.choose_of::<u32>(hashes)?;
        } else {
            self.choose_of::<u16>(hashes)?;
        }
        spinner.finish_and_clear();
        memory::give_back();
        Ok(Outcome::made(since, NEW.to_owned()))
    }

    fn choose_of<I: TokenId>(&self, hashes: &mut Hashes) -> Result<(), ShardError> {
        let (settings, path) = (self.settings, self.path());
        let (out, options) = (&settings.out, &settings.shard_options());
        let space = SortSpace { next_to: &path, memory: SORT_MEMORY };
        let graph = Graph::load(out, self.graph, space, hashes)?;
        let mut file = SectionWriter::new(path.clone(), self.sections());
        let texts = FirstSegments::load::<I>(self.ledger.folder(), self.shards, &graph.products, &mut file, TEXTS)?;
        let categories = match options.negatives {
            manifest::Negatives::Random => None,
            manifest::Negatives::Category => {
                Some(Categories::load(&out.join("corpus"), self.shards, &graph.products, &texts, hashes)?)
            }
        };
        let negatives = Negatives { texts: &texts, categories: categories.as_ref() };
        let DrawnRows { rows, dropped, drawn_from } = rows::draw(&graph, negatives, settings.seed, options, space)?;
        let (mut count, mut of_relation) = (0, [0; Relation::ALL.len()]);
        for row in rows {
            let row = PlacedRow::new(row?, |product| texts.place(product));
            of_relation[row.relation() as usize] += 1;
            file.push(rows_of(count / ROWS_PER_FILE), row)?;
            count += 1;
        }
        let relations = Relation::ALL.into_iter().zip(of_relation).filter(|(_, rows)| *rows > 0);
        let counts = PairCounts {
            files: files_of(count) as u32,
            rows: count,
            relations: relations.map(|(relation, rows)| (relation.to_string(), rows)).collect(),
            dropped,
            negatives: drawn_from,
        };
        let notes = RowNotes { made_from: self.planned.made_from.clone(), counts };
        Ok(file.commit(&notes, || self.rows().is_ok_and(|rows| rows.is_some()))?)
    }

    /// Writes the files of pairs of a task that are missing. `None` if rows are not chosen.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn write(&self, task: Task, hashes: &mut Hashes, progress: &Progress) -> Result<Option<Done>, ShardError> {
        let since = Instant::now();
        let Some(rows) = self.rows()? else { return Ok(None) };
        let own: Vec<u32> = (0..rows.counts().files).filter(|&file| task.has(u64::from(file))).collect();
        let mut missing = Vec::new();
        for &file in &own {
            let finished = self.ledger.finished::<PairCounts>(&name_of(file), &self.planned.made_from, hashes)?;
            missing.extend(finished.is_none().then_some(file));
        }
        let folder = self.ledger.folder();
        if !missing.is_empty() {
            store::remove(&folder.join(MANIFEST))?;
        }
        let bar = progress.count("pairs", missing.len() as u64);
        let mut each = |file: &FileEntry| {
            bar.inc(1);
            hashes.remember(&folder.join(&file.name), &file.blake3)
        };
        for files in missing.chunks(write::FILES_AT_A_TIME) {
            if self.settings.tokenizer.has_wide_ids() {
                write::write::<u32>(files, &rows, &self.planned, &self.ledger, &mut each)?;
            } else {
                write::write::<u16>(files, &rows, &self.planned, &self.ledger, &mut each)?;
            }
        }
        bar.finish_and_clear();
        Ok(Some(Done::new(since, own.len() as u64, missing.len() as u64)))
    }

    /// Removes the rows of finished pairs. No other process may write pairs meanwhile.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.files.clear()
    }
}

/// Number of files of some rows.
fn files_of(rows: u64) -> u64 {
    rows.div_ceil(ROWS_PER_FILE).max(1)
}

/// The most files of pairs that may follow from a graph.
pub(crate) fn most_files(graph: &Manifest<GraphBody>, draws: u64) -> u64 {
    files_of(graph.body.edges.values().sum::<u64>() * draws)
}

#[cfg(test)]
mod tests;
