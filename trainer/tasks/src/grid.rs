//! A grid: every model for every task with every seed, as one TOML file; and what it comes to.
//!
//! `trainer report GRID.toml` makes the cells that are not there, and then the tables. A cell is there when its
//! `metrics.json` says that it was made from the same model, data and options; so a grid that was killed goes on, and one whose data
//! change makes again what they change. Several processes may make cells of one grid at once: each has a [`Share`] of them, and a cell that
//! another process is making is waited for. Paths are relative to where the command runs.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use schemas::{StoreError, Task as Share};
use serde::Deserialize;

use super::{
    Task, TaskFileError,
    cell::{self, Outcome, PREDICTIONS},
    finetune::Voice,
    identity::{self, Identity},
    options::Options,
    predictions::{self, PredictionsError},
    read, read_all,
    request::{CellError, Keep, Other, Request},
    table::{self, Cells, TableError},
};
use crate::cross_attention::CrossAttention;
use ebert_bert::{BertConfig, BertForMaskedLm, weights};
use ebert_kernels::device::Wish;
use trainer::{init::folder_of, log};

/// A grid's file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// What it is for, in a line.
    #[serde(default)]
    pub summary: String,
    /// The folder of everything made.
    pub results: PathBuf,
    /// Seeds of each cell: the head, the order, dropout. What is trained and tested on is the same for all.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// Whether the fine-tuned models are kept, as large as they are.
    #[serde(default)]
    pub keep_models: bool,
    /// The models, in the table's order; the first is what the others are compared with.
    pub model: Vec<ModelEntry>,
    /// The tasks.
    pub task: Tasks,
    /// What else the page shows.
    #[serde(default)]
    pub figures: Figures,
}

fn seeds() -> Vec<u64> {
    vec![0]
}

/// A model of a grid.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Its row in the table.
    pub name: String,
    /// A Hugging Face folder, a run's folder, or an id on the hub.
    pub folder: PathBuf,
    /// The pre-training run that made it, whose curves are drawn.
    #[serde(default)]
    pub run: Option<PathBuf>,
}

/// The tasks of a grid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tasks {
    /// Review question answering.
    pub rqa: Option<TaskEntry>,
    /// Product classification.
    pub pc: Option<TaskEntry>,
    /// Review aspect extraction.
    pub ae: Option<TaskEntry>,
    /// Review aspect sentiment.
    pub asc: Option<TaskEntry>,
}

impl Tasks {
    /// Those that are there, in the order of Table 2.
    pub fn iter(&self) -> impl Iterator<Item = (Task, &TaskEntry)> {
        let entries = [&self.rqa, &self.pc, &self.ae, &self.asc];
        Task::ALL.into_iter().zip(entries).filter_map(|(task, entry)| Some((task, entry.as_ref()?)))
    }
}

/// A task of a grid.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct TaskEntry {
    /// Its files.
    pub data: Vec<PathBuf>,
    /// The test, if it has a file of its own.
    pub test: Option<PathBuf>,
    /// How to fine-tune: the options of `trainer finetune`, with underscores.
    pub options: Options,
}

impl TryFrom<toml::Table> for TaskEntry {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let text = |error: toml::de::Error| error.message().to_owned();
        let data = table.remove("data").ok_or("missing field `data`")?.try_into().map_err(text)?;
        let test = table.remove("test").map(toml::Value::try_into).transpose().map_err(text)?;
        if table.contains_key("seed") {
            return Err("`seed` is no key of a task; `seeds` at the top of the grid are those of all cells".to_owned());
        }
        Ok(Self { data, test, options: table.try_into().map_err(text)? })
    }
}

/// What a grid's page shows besides the table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Figures {
    /// Pairs of titles: how their tokens attend to each other, by the first and the last model (the paper's Figure 8).
    pub titles: Vec<[String; 2]>,
    /// The figure of `pipeline report overlap` (Figure 6).
    pub overlap: Option<PathBuf>,
    /// The table of `pipeline report phrases` (Table 1).
    pub phrases: Option<PathBuf>,
}

/// A grid cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// Its file cannot be read.
    #[error("cannot read the grid `{}`\nhint: name a .toml file that is there; trainer/grids/table2.toml has every key", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no grid.
    #[error("`{}` is not a grid: {}\nhint: trainer/grids/table2.toml has every key", path.display(), what.trim_end())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        what: String,
    },
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

impl Grid {
    /// Reads and checks a grid.
    ///
    /// # Errors
    /// When it cannot be read, a key is unknown, or a value cannot be.
    pub fn read(file: &Path) -> Result<Self, GridError> {
        let text = fs::read_to_string(file).map_err(|source| GridError::Io { path: file.to_owned(), source })?;
        let malformed = |what: String| GridError::Malformed { path: file.to_owned(), what };
        let grid: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if grid.model.is_empty() || grid.seeds.is_empty() || grid.task.iter().next().is_none() {
            return Err(malformed("at least one model, one task and one seed are wanted".to_owned()));
        }
        let mut seeds = BTreeSet::new();
        if let Some(twice) = grid.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            return Err(malformed(format!("seed {twice} is there twice")));
        }
        if grid.figures.titles.iter().flatten().any(|title| title.trim().is_empty()) {
            return Err(malformed("figures.titles: a title is empty".to_owned()));
        }
        let mut slugs = BTreeSet::new();
        if let Some(twice) = grid.model.iter().find(|model| !slugs.insert(slug(&model.name))) {
            return Err(malformed(format!("two models are called `{}`, or nearly so", twice.name)));
        }
        for (task, entry) in grid.task.iter() {
            entry.options.check().map_err(|error| malformed(format!("task.{task}: {error}")))?;
            if entry.data.is_empty() {
                return Err(malformed(format!("task.{task}: data is wanted to be {}", task.where_found())));
            }
        }
        Ok(grid)
    }

    /// The folder of a cell.
    pub fn cell(&self, model: &ModelEntry, task: Task, seed: u64) -> PathBuf {
        self.results.join("cells").join(slug(&model.name)).join(task.as_str()).join(format!("seed-{seed}"))
    }
}

/// A name as a folder.
fn slug(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    letters.collect::<String>().trim_matches('-').to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
results = "out"
[[model]]
name = "BERT-Raw"
folder = "bert"
[[model]]
name = "E-BERT (ours)"
folder = "runs/e-bert"
run = "runs/e-bert"
[task.ae]
data = ["train.xml"]
test = "test.xml"
epochs = 4
limit = 500
[task.rqa]
data = ["a.json"]
"#;

    #[test]
    fn the_projects_grid_has_the_papers_rows() {
        let grid = Grid::read(Path::new("../grids/table2.toml")).unwrap();
        let names: Vec<&str> = grid.model.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["BERT-Raw", "BERT", "BERT-NP", "SpanBERT", "E-BERT-DP", "E-BERT-AHM", "E-BERT"]);
        assert_eq!(grid.task.iter().map(|(task, _)| task).collect::<Vec<_>>(), Task::ALL);
    }

    #[test]
    fn a_grid_is_read_and_its_mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.toml");
        let load = |text: &str| {
            fs::write(&path, text).unwrap();
            Grid::read(&path)
        };
        let grid = load(TEXT).unwrap();
        let tasks: Vec<_> =
            grid.task.iter().map(|(task, entry)| (task, entry.options.epochs, entry.options.limit)).collect();
        assert_eq!(tasks, [(Task::Rqa, 3, None), (Task::Ae, 4, Some(500))]);
        assert_eq!(grid.cell(&grid.model[1], Task::Ae, 2), Path::new("out/cells/e-bert--ours/ae/seed-2"));
        let error = |text: &str| load(text).unwrap_err().to_string();
        assert!(error(&TEXT.replace("epochs", "epoch")).contains("unknown field `epoch`"));
        assert!(error(&TEXT.replace("epochs = 4", "seed = 4")).contains("`seed` is no key of a task"));
        assert!(error(&TEXT.replace("data = [\"a.json\"]", "")).contains("missing field `data`"));
        assert!(error(&TEXT.replace("epochs = 4", "epochs = 0")).contains("task.ae: epochs is 0, wanted at least 1"));
        assert!(error(&TEXT.replace("E-BERT (ours)", "bert raw")).contains("two models are called `bert raw`"));
        assert!(error(&TEXT.replacen("\n", "\nseeds = [1, 2, 1]\n", 1)).contains("seed 1 is there twice"));
        assert!(error(&format!("{TEXT}[figures]\ntitles = [[\"tea\", \" \"]]\n")).contains("a title is empty"));
        assert!(error("results = \"out\"\nmodel = []\n[task]\n").contains("at least one model"));
        let path = folder.path().join("none.toml");
        assert!(Grid::read(&path).unwrap_err().to_string().contains("trainer/grids/table2.toml"));
    }
}
