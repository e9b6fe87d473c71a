//! The cells of a [`Grid`], and what they come to.
//!
//! `trainer report GRID.toml` makes the cells that are not there, and then the tables. A cell is there when its
//! `metrics.json` says that it was made from the same model, data and options; so a grid that was killed goes on, and one whose data
//! change makes again what they change. Several processes may make cells of one grid at once: each has a [`Share`] of them, and a cell that
//! another process is making is waited for. Paths are relative to where the command runs.
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_bert::{BertConfig, BertForMaskedLm, weights};
use ebert_kernels::device::Wish;
use schemas::{StoreError, Task as Share};
use trainer::{init::folder_of, log};

use crate::{
    Task, TaskFileError,
    cell::{self, Outcome, PREDICTIONS},
    cross_attention::CrossAttention,
    finetune::Voice,
    grid::{Grid, ModelEntry, TaskEntry},
    identity::{self, Identity},
    options::Options,
    predictions::{self, PredictionsError},
    read, read_all,
    request::{CellError, Keep, Other, Request},
    table::{self, Cells, TableError},
};

/// A grid cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// A file that its page draws is not there.
    #[error("the page of the grid draws `{}`, which is not there\nhint: run = names a pre-training run, and figures what `pipeline report` wrote", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file of a task.
    #[error(transparent)]
    File(#[from] TaskFileError),
    /// A cell.
    #[error("{model}, {task}, seed {seed}: {source}")]
    Cell {
        /// The model.
        model: String,
        /// The task.
        task: Task,
        /// The seed.
        seed: u64,
        /// Why not.
        source: Box<CellError>,
    },
    /// A cell's predictions.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
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

/// The models of a grid, each with its folder and the hash of what is in it.
type Models<'a> = Vec<(&'a ModelEntry, PathBuf, String)>;

/// Makes the cells of a grid that are not there, and then its tables; gives the table as text. `say` hears of each cell.
///
/// # Errors
/// When a cell cannot be made; those before it are kept.
pub fn run(grid: &Grid, place: Place, say: impl Fn(&str)) -> Result<String, GridError> {
    let models = make(grid, |_| true, place, say)?;
    let cells = read_cells(grid)?;
    let table = table::Table::of(&cells)?;
    fs::create_dir_all(&grid.results).map_err(StoreError::io("create", &grid.results))?;
    let markdown = table.markdown();
    let folders: Vec<(String, PathBuf)> =
        models.into_iter().map(|(model, folder, _)| (model.name.clone(), folder)).collect();
    let page = table::page(grid, &table, &folders)?;
    for (name, text) in [("table2.csv", &table.csv()), ("table2.md", &markdown), ("table2.html", &page)] {
        schemas::store::write_file(&grid.results.join(name), text.as_bytes())?;
    }
    Ok(markdown)
}

/// Makes the cells of a share of a grid that are not there, and no table. `say` hears of each cell.
///
/// # Errors
/// When a cell cannot be made; those before it are kept.
pub fn run_share(grid: &Grid, share: Share, place: Place, say: impl Fn(&str)) -> Result<(), GridError> {
    make(grid, |cell| share.has(cell as u64), place, say).map(drop)
}

/// Makes the cells of those numbers, counted from 0, that `has` says.
fn make(grid: &Grid, has: impl Fn(usize) -> bool, place: Place, say: impl Fn(&str)) -> Result<Models<'_>, GridError> {
    let failed = |model: &ModelEntry, task, seed| {
        let model = model.name.clone();
        move |source: CellError| GridError::Cell { model, task, seed, source: Box::new(source) }
    };
    let (first, first_seed) = (grid.task.iter().next().map_or(Task::Rqa, |(task, _)| task), grid.seeds[0]);
    // All that can be wrong is found before hours are spent.
    let mut models = Models::new();
    for model in &grid.model {
        let there = folder_of(&model.folder, true).map_err(CellError::from);
        let folder = there.map_err(failed(model, first, first_seed))?;
        check(&folder).map_err(failed(model, first, first_seed))?;
        let hash = identity::hash_of_model(&folder).map_err(failed(model, first, first_seed))?;
        models.push((model, folder, hash));
    }
    for (task, entry) in grid.task.iter() {
        let request = request(grid, &grid.model[0], (task, entry), first_seed, place);
        Identity::of(&request, String::new()).map_err(failed(&grid.model[0], task, first_seed))?;
        read_all(task, &entry.data)?;
        entry.test.as_ref().map(|test| read(task, test)).transpose()?;
    }
    let runs = grid.model.iter().filter_map(|model| model.run.as_ref()).map(|run| run.join(log::METRICS));
    let files = [&grid.figures.overlap, &grid.figures.phrases].into_iter().flatten().cloned();
    if let Some(path) = runs.chain(files).find(|path| !path.is_file()) {
        return Err(GridError::Missing { path });
    }
    for [first, second] in &grid.figures.titles {
        for (_, folder, _) in table::drawn(&models) {
            CrossAttention::check(folder, [first, second]).map_err(TableError::from)?;
        }
    }
    let all = grid.seeds.len() * grid.task.iter().count() * models.len();
    let (mut number, mut made, mut there) = (0, 0, 0);
    let widest = grid.model.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
    let started = Instant::now();
    // All models with one seed before the next seed: a table of fewer seeds is there early.
    for &seed in &grid.seeds {
        for (task, entry) in grid.task.iter() {
            for (model, folder, hash) in &models {
                number += 1;
                if !has(number - 1) {
                    continue;
                }
                let request = request(grid, model, (task, entry), seed, place);
                let outcome = cell::run(&request, (folder, hash)).map_err(failed(model, task, seed))?;
                let metrics = outcome.metrics();
                let how = match outcome {
                    Outcome::Made(_) => {
                        made += 1;
                        format!("{:.1} s", metrics.seconds)
                    }
                    Outcome::UpToDate(_) => {
                        there += 1;
                        "up to date".to_owned()
                    }
                };
                say(&format!(
                    "{number:3}/{all}   {task:4} {:widest$}   seed {seed}   {}   {how}",
                    model.name,
                    metrics.test.describe(task)
                ));
            }
        }
    }
    say(&format!("cells     {made} made, {there} up to date   {:.1} s", started.elapsed().as_secs_f64()));
    Ok(models)
}

/// Checks a model's configuration, and the names and shapes of its weights.
fn check(folder: &Path) -> Result<(), CellError> {
    let config = BertConfig::read(folder)?;
    Ok(weights::check(folder, &BertForMaskedLm::outline(&config)).map(drop)?)
}

fn request(grid: &Grid, model: &ModelEntry, (task, entry): (Task, &TaskEntry), seed: u64, place: Place) -> Request {
    Request {
        model: model.folder.clone(),
        task,
        data: entry.data.clone(),
        test: entry.test.clone(),
        run: grid.cell(model, task, seed),
        options: Options { seed, ..entry.options },
        device: place.device,
        threads: place.threads,
        weights: if grid.keep_models { Keep::Model } else { Keep::Scores },
        other: Other::Replace,
        voice: Voice::Bar,
    }
}

/// The predictions of all cells.
fn read_cells(grid: &Grid) -> Result<Cells, GridError> {
    let models: Vec<String> = grid.model.iter().map(|model| model.name.clone()).collect();
    let mut cells = Cells { models, tasks: Vec::new() };
    for (task, _) in grid.task.iter() {
        let of = |model: &ModelEntry| {
            let each =
                grid.seeds.iter().map(|&seed| predictions::read(task, &grid.cell(model, task, seed).join(PREDICTIONS)));
            each.collect::<Result<Vec<_>, _>>()
        };
        cells.tasks.push((task, grid.model.iter().map(of).collect::<Result<_, _>>()?));
    }
    Ok(cells)
}
