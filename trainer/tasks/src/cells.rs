//! Makes the cells of a [`Grid`], and then the tables.
//!
//! A cell is finished when its `metrics.json` was made from the same model, data, options and
//! rules. So a grid that was stopped resumes, and one whose data changed remakes what they change.
//! Several processes may make cells of one grid at once: each has a [`Share`] of them, and waits
//! for a cell that another process is making. Paths are relative to the working directory.
//!
//! Cells of the grid's [`records`](super::records) are finished too, as far as their options and rules
//! are those of the grid. A record counts whether or not its model and data are there.
use std::{collections::BTreeSet, fmt, fs, path::PathBuf, time::Instant};

use ebert_batches::Shards;
use ebert_bert::tokens;
use ebert_kernels::device::Wish;
use schemas::{StoreError, Task as Share};
use serde_json::{Value, json};
use trainer::{init::folder_of, log, provenance::brief_path};

use crate::{
    TaskFileError,
    bootstrap::Replicate,
    cell::{self, Metrics, Outcome, PREDICTIONS},
    contamination::{self, Contamination, ContaminationError},
    cross_attention::CrossAttention,
    finetune::Voice,
    grid::{Cell, Grid, TestEntry, TrainingText},
    identity::{self, Identity, Rules},
    origin,
    predictions::{self, PredictionsError},
    read, read_all,
    records::{Records, RecordsError},
    request::{CellError, Keep, Other, Request},
    table::{self, Results, Table, TableError, TestResults},
};

/// The name of a grid's [`records`](super::records).
pub const RECORDS: &str = "records.jsonl";

/// A grid cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// A file that its page draws is not there.
    #[error("the page of the grid draws `{}`, which is not there\nhint: run = names a pre-training run, and figures what `ebert report` wrote", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file of a task.
    #[error(transparent)]
    File(#[from] TaskFileError),
    /// A cell.
    #[error("{cell}: {source}")]
    Cell {
        /// Which.
        cell: String,
        /// Why not.
        source: Box<CellError>,
    },
    /// A cell's predictions.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// Records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The training text.
    #[error(transparent)]
    Contamination(#[from] ContaminationError),
    /// The tables.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of the results.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where and how to compute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// The device.
    pub device: Wish,
    /// Threads of the CPU.
    pub threads: Option<u16>,
}

/// What there is to report of a grid. `Display` is for a person.
pub enum Report<'a> {
    /// A cell is there.
    Cell {
        /// From 1.
        number: usize,
        /// All cells of the grid.
        all: usize,
        /// Characters of the longest name.
        widest: usize,
        /// The cell.
        cell: &'a Cell<'a>,
        /// What came of it.
        outcome: &'a Outcome,
    },
    /// All cells of the grid, or of this process, are there.
    Cells {
        /// Computed now.
        made: usize,
        /// Computed before.
        up_to_date: usize,
        /// How long it took.
        seconds: f64,
    },
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell { number, all, widest, cell, outcome } => {
                let scores = outcome.metrics().test.describe(cell.test.task);
                write!(f, "{number:3}/{all}   {:widest$}   {scores}   ", cell.to_string())?;
                match outcome {
                    Outcome::Made(metrics) => write!(f, "{:.1} s", metrics.seconds),
                    Outcome::UpToDate(_) => f.write_str("up to date"),
                }
            }
            Self::Cells { made, up_to_date, seconds } => {
                write!(f, "cells     {made} computed, {up_to_date} up to date   {seconds:.1} s")
            }
        }
    }
}

impl Report<'_> {
    /// Numbers and names for a program.
    pub fn facts(&self) -> Value {
        match self {
            Self::Cell { number, all, cell, outcome, .. } => {
                let Cell { model, replicate, test, limit, split_seed, seed } = cell;
                let mut facts = outcome.facts();
                let of_cell = json!({
                    "event": "cell", "number": number, "cells": all, "model": model.name, "replicate": replicate,
                    "test_set": test.name, "task": test.task, "limit": limit, "split_seed": split_seed, "seed": seed,
                });
                if let (Some(facts), Value::Object(of_cell)) = (facts.as_object_mut(), of_cell) {
                    facts.extend(of_cell);
                }
                facts
            }
            Self::Cells { made, up_to_date, seconds } => {
                json!({"event": "cells", "made": made, "up_to_date": up_to_date, "seconds": seconds})
            }
        }
    }
}

/// A folder of a grid's models.
struct Folder {
    path: PathBuf,
    /// The hash of its content; `None` if it is not there.
    blake3: Option<String>,
}

/// The cells of a grid that a command needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All: a model that is not there is an error.
    All,
    /// Those that are finished.
    Finished,
}

/// For each model, its replicates.
type Folders = Vec<Vec<Folder>>;

/// Makes the cells of a grid that are not finished, and then its tables; returns the table.
/// `say` gets a report for each cell.
///
/// # Errors
/// When a cell cannot be made; those before it are kept.
pub fn run(grid: &Grid, place: Place, say: impl Fn(&Report<'_>)) -> Result<Table, GridError> {
    // First, so that wrong shards are found before hours are spent.
    let contamination = contamination_of(grid)?;
    let (folders, records) = make(grid, |_| true, place, say)?;
    write_tables(grid, &folders, records, place, contamination)
}

/// Makes the unfinished cells of a part of a grid, and no table. `say` gets a report for each cell.
///
/// # Errors
/// When a cell cannot be made; those before it are kept.
pub fn run_share(grid: &Grid, share: Share, place: Place, say: impl Fn(&Report<'_>)) -> Result<(), GridError> {
    make(grid, |cell| share.has(cell as u64), place, say).map(drop)
}

/// Makes the tables of the cells that are finished, and returns the table, with the missing cells.
///
/// # Errors
/// When a file of the grid cannot be used.
pub fn tables(grid: &Grid, place: Place) -> Result<Table, GridError> {
    let records = records_of(grid)?;
    let folders = check(grid, &records, place, Wanted::Finished)?;
    let contamination = contamination_of(grid)?;
    write_tables(grid, &folders, records, place, contamination)
}

fn write_tables(
    grid: &Grid,
    folders: &Folders,
    mut records: Records,
    place: Place,
    contamination: Vec<(String, Contamination)>,
) -> Result<Table, GridError> {
    let results = Results { contamination, ..results(grid, folders, &mut records, place)? };
    let table = Table::of(&results)?;
    fs::create_dir_all(&grid.results).map_err(StoreError::io("create", &grid.results))?;
    let origin = origin(grid, folders, &records);
    let first = folders.iter().filter_map(|replicates| replicates.first());
    let folders: Vec<(String, PathBuf)> =
        grid.model.iter().zip(first).map(|(model, folder)| (model.name.clone(), folder.path.clone())).collect();
    let page = table::page(grid, &table, &folders, &origin)?;
    let tables = [
        ("table2.csv", table.csv()),
        ("table2.md", table.markdown()),
        ("table2.html", page),
        (RECORDS, records.to_text()),
    ];
    for (name, text) in tables.into_iter().chain(table.figures()) {
        schemas::store::write_file(&grid.results.join(name), text.as_bytes())?;
    }
    Ok(table)
}

/// Where the numbers of a grid come from, for its page.
fn origin(grid: &Grid, folders: &Folders, records: &Records) -> String {
    let models = grid.model.iter().zip(folders).map(|(model, folders)| {
        let named = model.folders.iter().zip(folders);
        let named = named.map(|(name, folder)| (brief_path(name), folder.blake3.clone())).collect();
        (model.name.clone(), named)
    });
    let mut tests: Vec<(String, Vec<Metrics>)> = Vec::new();
    for test in &grid.tests {
        let cells = grid.cells().into_iter().filter(|cell| cell.test.name == test.name);
        let finished = cells.filter_map(|cell| records.metrics(&cell).cloned());
        tests.push((test.name.clone(), finished.collect()));
    }
    origin::html(models.collect(), &tests)
}

/// The records of a grid's cells that have its options and rules.
fn records_of(grid: &Grid) -> Result<Records, RecordsError> {
    let mut records = Records::read(&grid.records)?;
    let is_of_grid = |cell: &Cell<'_>| {
        let options = cell.test.options_of(cell.limit, cell.split_seed, cell.seed);
        let expected = (cell.test.task, &options, Rules::of(cell.test.task));
        let identity = records.metrics(cell).map(|metrics| &metrics.identity);
        identity.is_some_and(|identity| (identity.task, &identity.options, identity.rules) == expected)
    };
    let cells: Vec<Cell<'_>> = grid.cells().into_iter().filter(is_of_grid).collect();
    records.keep(&cells);
    Ok(records)
}

/// Checks all that can be wrong, before hours are spent.
fn check(grid: &Grid, records: &Records, place: Place, wanted: Wanted) -> Result<Folders, GridError> {
    let failed = |cell: String| move |source: CellError| GridError::Cell { cell, source: Box::new(source) };
    let folder = |path: &PathBuf| -> Result<Folder, CellError> {
        let path = folder_of(path, true).map_err(CellError::from)?;
        identity::check_model(&path)?;
        let blake3 = identity::hash_of_model(&path)?;
        Ok(Folder { path, blake3: Some(blake3) })
    };
    let cells = grid.cells();
    // The hash of a model of which only records are needed.
    let only_recorded = |name: &str, replicate: usize| {
        let of_model = || cells.iter().filter(|cell| cell.model.name == name && cell.replicate == replicate);
        let metrics: Option<Vec<_>> = of_model().map(|cell| records.metrics(cell)).collect();
        Some(metrics?.first()?.identity.model_blake3.clone())
    };
    let mut folders = Folders::new();
    for model in &grid.model {
        let each =
            model.folders.iter().enumerate().map(|(replicate, path)| match only_recorded(&model.name, replicate) {
                Some(blake3) => Ok(Folder { path: path.clone(), blake3: Some(blake3) }),
                None => match folder(path) {
                    Err(_) if wanted == Wanted::Finished && !path.exists() => {
                        Ok(Folder { path: path.clone(), blake3: None })
                    }
                    found => found.map_err(failed(model.name.clone())),
                },
            });
        folders.push(each.collect::<Result<_, _>>()?);
    }
    let is_needed =
        |cell: &Cell<'_>| records.metrics(cell).is_none() && folder_of_cell(grid, &folders, cell).blake3.is_some();
    let unfinished = |test: &&TestEntry| cells.iter().any(|cell| cell.test.name == test.name && is_needed(cell));
    for test in grid.tests.iter().filter(unfinished) {
        let cell = Cell { model: &grid.model[0], replicate: 0, test, limit: None, split_seed: 0, seed: 0 };
        Identity::of(&request(grid, &cell, place), String::new()).map_err(failed(format!("task.{}", test.name)))?;
        read_all(test.task, &test.data)?;
        test.test.as_ref().map(|file| read(test.task, file)).transpose()?;
    }
    let runs = grid.model.iter().filter_map(|model| model.run.as_ref()).map(|run| run.join(log::METRICS));
    let files = [&grid.figures.overlap, &grid.figures.phrases].into_iter().flatten().cloned();
    if let Some(path) = runs.chain(files).find(|path| !path.is_file()) {
        return Err(GridError::Missing { path });
    }
    for [first, second] in &grid.figures.titles {
        let ends: Vec<&Folder> = folders.iter().filter_map(|replicates| replicates.first()).collect();
        for folder in table::drawn(&ends) {
            CrossAttention::check(&folder.path, [first, second]).map_err(TableError::from)?;
        }
    }
    Ok(folders)
}

/// Makes the cells of those numbers, counted from 0, for which `has` is true.
fn make(
    grid: &Grid,
    has: impl Fn(usize) -> bool,
    place: Place,
    say: impl Fn(&Report<'_>),
) -> Result<(Folders, Records), GridError> {
    let records = records_of(grid)?;
    let folders = check(grid, &records, place, Wanted::All)?;
    let cells = grid.cells();
    let all = cells.len();
    let (mut made, mut up_to_date) = (0, 0);
    let names = cells.iter().map(|cell| cell.to_string());
    let widest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let started = Instant::now();
    for (number, cell) in cells.iter().enumerate().filter(|(number, _)| has(*number)) {
        let outcome = if let Some(metrics) = records.metrics(cell) {
            Outcome::UpToDate(metrics.clone())
        } else {
            let folder = folder_of_cell(grid, &folders, cell);
            let model = (folder.path.as_path(), folder.blake3.as_deref().unwrap_or_default());
            let outcome = cell::run(&request(grid, cell, place), model);
            outcome.map_err(|source| GridError::Cell { cell: cell.to_string(), source: Box::new(source) })?
        };
        match outcome {
            Outcome::Made(_) => made += 1,
            Outcome::UpToDate(_) => up_to_date += 1,
        }
        say(&Report::Cell { number: number + 1, all, widest, cell, outcome: &outcome });
    }
    say(&Report::Cells { made, up_to_date, seconds: started.elapsed().as_secs_f64() });
    Ok((folders, records))
}

fn folder_of_cell<'f>(grid: &Grid, folders: &'f Folders, cell: &Cell<'_>) -> &'f Folder {
    let model = grid.model.iter().position(|model| model.name == cell.model.name).unwrap_or(0);
    &folders[model][cell.replicate]
}

fn request(grid: &Grid, cell: &Cell<'_>, place: Place) -> Request {
    Request {
        model: cell.model.folders[cell.replicate].clone(),
        task: cell.test.task,
        data: cell.test.data.clone(),
        test: cell.test.test.clone(),
        run: grid.folder(cell),
        options: cell.test.options_of(cell.limit, cell.split_seed, cell.seed),
        device: place.device,
        threads: place.threads,
        weights: if grid.keep_models { Keep::Model } else { Keep::Scores },
        other: Other::Replace,
        voice: Voice::Bar,
    }
}

/// The predictions of all finished cells. A replicate counts when all of its cells of a test are
/// finished. They are added to the records.
fn results(grid: &Grid, folders: &Folders, records: &mut Records, place: Place) -> Result<Results, GridError> {
    let mut missing = Vec::new();
    for cell in &grid.cells() {
        if records.metrics(cell).is_some() {
            continue;
        }
        let failed = |source| GridError::Cell { cell: cell.to_string(), source: Box::new(source) };
        let Folder { path, blake3 } = folder_of_cell(grid, folders, cell);
        let Some(blake3) = blake3 else {
            missing.push(format!("{cell} ({} is not there)", path.display()));
            continue;
        };
        match cell::finished(&request(grid, cell, place), blake3).map_err(failed)? {
            Some(metrics) => {
                let judged = predictions::read(cell.test.task, &grid.folder(cell).join(PREDICTIONS))?;
                records.add(cell, metrics, &judged)?;
            }
            None => missing.push(cell.to_string()),
        }
    }
    let records = &*records;
    let mut tests = Vec::new();
    for (test, limit) in grid.tests.iter().flat_map(|test| test.limits.iter().map(move |limit| (test, *limit))) {
        let (mut models, mut train) = (Vec::new(), None);
        for model in &grid.model {
            let mut replicates = Vec::new();
            for replicate in 0..model.folders.len() {
                let cells: Vec<Cell<'_>> = test
                    .split_seeds
                    .iter()
                    .flat_map(|&split_seed| grid.seeds.iter().map(move |&seed| (split_seed, seed)))
                    .map(|(split_seed, seed)| Cell { model, replicate, test, limit, split_seed, seed })
                    .collect();
                let judged = |cell: &Cell<'_>| records.judged(cell);
                let splits = cells.chunks(grid.seeds.len()).map(|split| split.iter().map(judged).collect());
                let judged: Option<Replicate> = splits.collect();
                if judged.is_some() {
                    train = train.or_else(|| Some(records.metrics(cells.first()?)?.sizes.train));
                }
                replicates.push(judged);
            }
            models.push(replicates);
        }
        let (name, task, train) = (test.name.clone(), test.task, train.unwrap_or(0));
        tests.push(TestResults { name, task, limit, train, models });
    }
    let models = grid.model.iter().map(|model| model.name.clone()).collect();
    Ok(Results { models, tests, missing, contamination: Vec::new() })
}

/// The texts of each test that occur in the training text, where the grid names it. Of a test that
/// has no file of its own, these are all texts: some split tests on each.
fn contamination_of(grid: &Grid) -> Result<Vec<(String, Contamination)>, GridError> {
    let Some(TrainingText { shards, held_out }) = &grid.contamination else { return Ok(Vec::new()) };
    let shards = Shards::open(shards, *held_out, |_| {}).map_err(ContaminationError::from)?;
    let tokenizer = tokens::tokenizer(shards.folder()).map_err(ContaminationError::from)?;
    let mut texts = Vec::new();
    for test in &grid.tests {
        let files = test.test.as_ref().map_or(&test.data[..], std::slice::from_ref);
        let examples = read_all(test.task, files)?.examples;
        let distinct: BTreeSet<&str> = examples.iter().map(|example| example.input.longest()).collect();
        let encode = |text: &str| {
            let encoding = tokenizer.encode(text, false).map_err(|source| ContaminationError::Encode { source })?;
            Ok(encoding.get_ids().to_vec())
        };
        texts.push(distinct.into_iter().map(encode).collect::<Result<Vec<_>, ContaminationError>>()?);
    }
    let found = contamination::contamination(&shards, &texts).map_err(ContaminationError::from)?;
    Ok(grid.tests.iter().map(|test| test.name.clone()).zip(found).collect())
}
