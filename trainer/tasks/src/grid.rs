//! The file of a grid: models and their replicates, tests, seeds and splits. Each combination is a
//! cell.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer};

use crate::{
    Task,
    options::{Options, one_or_more},
};

/// A grid's file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// What it is for, in one line.
    #[serde(default)]
    pub summary: String,
    /// The output folder.
    pub results: PathBuf,
    /// Fine-tuning seeds: the head, the order, dropout. What is trained and tested on is the same
    /// for all.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// Whether the fine-tuned models are kept.
    #[serde(default)]
    pub keep_models: bool,
    /// The models, in the table's order; the others are compared with the first.
    pub model: Vec<ModelEntry>,
    /// The tests, in the order of Table 2's tasks, then of their names.
    #[serde(rename = "task", deserialize_with = "tests")]
    pub tests: Vec<TestEntry>,
    /// The training text, in which the texts of the tests are looked for.
    #[serde(default)]
    pub contamination: Option<TrainingText>,
    /// Files of [`records`](crate::records), whose cells need neither models nor data.
    #[serde(default)]
    pub records: Vec<PathBuf>,
    /// Further content of the page.
    #[serde(default)]
    pub figures: Figures,
}

/// The text that the models were post-trained on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingText {
    /// The folder of the shards.
    pub shards: PathBuf,
    /// The ratio of documents that were held out: `data.held_out` of the recipe.
    pub held_out: f64,
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
    /// Its replicates: for each post-training run, a Hugging Face folder, a run's folder, or an id
    /// on the hub.
    #[serde(rename = "folder", alias = "folders", deserialize_with = "one_or_more")]
    pub folders: Vec<PathBuf>,
    /// The pre-training run whose curves are drawn.
    #[serde(default)]
    pub run: Option<PathBuf>,
}

/// A test of a grid: a task with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEntry {
    /// Its name: the key of its table.
    pub name: String,
    /// The task: the name, unless the table says otherwise.
    pub task: Task,
    /// Its files.
    pub data: Vec<PathBuf>,
    /// The test part, if it has a file of its own.
    pub test: Option<PathBuf>,
    /// Seeds of splits into parts: one cell for each.
    pub split_seeds: Vec<u64>,
    /// The most examples to train on, ascending: one cell for each. `None`, the last, is all of
    /// them.
    pub limits: Vec<Option<usize>>,
    /// How to fine-tune: the options of the command, with underscores. Seeds and limit are those of
    /// a cell.
    pub options: Options,
}

/// A cell of a grid.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'g> {
    /// The model.
    pub model: &'g ModelEntry,
    /// Number of its replicate, from 0.
    pub replicate: usize,
    /// The test.
    pub test: &'g TestEntry,
    /// The most examples to train on.
    pub limit: Option<usize>,
    /// Seed of the split.
    pub split_seed: u64,
    /// Seed of the fine-tuning.
    pub seed: u64,
}

impl fmt::Display for Cell<'_> {
    /// `E-BERT, ae, seed 0`, with what is not the first or the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, seed {}", self.model.name, self.test.name, self.seed)?;
        if self.model.folders.len() > 1 {
            write!(f, ", replicate {}", self.replicate + 1)?;
        }
        if self.split_seed > 0 {
            write!(f, ", split {}", self.split_seed)?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit {limit}"))
    }
}

impl TestEntry {
    fn parse(name: String, mut table: toml::Table) -> Result<Self, String> {
        let text = |error: toml::de::Error| error.message().to_owned();
        if name.is_empty() || name.contains(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')) {
            return Err(format!("`{name}`: a test is named by lower-case letters, digits and `-`"));
        }
        let task = match table.remove("task") {
            Some(task) => task.try_into().map_err(text)?,
            None => Task::ALL.into_iter().find(|task| task.as_str() == name).ok_or_else(|| {
                format!("no task is called `{name}`\nhint: add task = \"ae\" (or rqa, pc, asc) to [task.{name}]")
            })?,
        };
        let data = table.remove("data").ok_or("missing field `data`")?.try_into().map_err(text)?;
        let test = table.remove("test").map(toml::Value::try_into).transpose().map_err(text)?;
        if table.contains_key("seed") {
            return Err(
                "`seed` is not a key of a test; `seeds` at the top of the grid are those of all cells".to_owned()
            );
        }
        let limits = table.remove("limit").map(one_or_more::<_, usize>).transpose().map_err(text)?;
        let splits = table.remove("split_seeds").map(toml::Value::try_into).transpose().map_err(text)?;
        if splits.is_some() && table.contains_key("split_seed") {
            return Err("`split_seed` and `split_seeds` are both there".to_owned());
        }
        let options: Options = table.try_into().map_err(text)?;
        // 0 is all examples, which is more than any number.
        let limits = limits.unwrap_or_else(|| vec![0]).into_iter().map(|limit| (limit == 0, limit));
        let limits = limits.collect::<BTreeSet<_>>().into_iter().map(|(all, limit)| (!all).then_some(limit)).collect();
        let split_seeds = splits.unwrap_or_else(|| vec![options.split_seed]);
        Ok(Self { name, task, data, test, split_seeds, limits, options })
    }

    /// Options of a cell.
    pub fn options_of(&self, limit: Option<usize>, split_seed: u64, seed: u64) -> Options {
        Options { limit, split_seed, seed, ..self.options.clone() }
    }
}

/// The tests of a file, in order.
fn tests<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<TestEntry>, D::Error> {
    let tables = BTreeMap::<String, toml::Table>::deserialize(from)?;
    let parse = |(name, table): (String, toml::Table)| {
        let key = format!("task.{name}: ");
        TestEntry::parse(name, table).map_err(|error| serde::de::Error::custom(key + &error))
    };
    let mut tests = tables.into_iter().map(parse).collect::<Result<Vec<_>, D::Error>>()?;
    tests.sort_by_key(|test| test.task);
    Ok(tests)
}

/// What a grid's page shows in addition to the table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Figures {
    /// Pairs of titles: how their tokens attend to each other, by the first and the last model (the
    /// paper's Figure 8).
    pub titles: Vec<[String; 2]>,
    /// The figure of `ebert report overlap` (Figure 6).
    pub overlap: Option<PathBuf>,
    /// The table of `ebert report phrases` (Table 1).
    pub phrases: Option<PathBuf>,
}

/// The file of a grid cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GridFileError {
    /// Its file cannot be read.
    #[error("cannot read the grid `{}`\nhint: name a .toml file that is there; trainer/grids/table2.toml has every key", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not a grid.
    #[error("`{}` is not a grid: {}\nhint: trainer/grids/table2.toml has every key", path.display(), what.trim_end())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        what: String,
    },
}

impl Grid {
    /// Reads and checks a grid.
    ///
    /// # Errors
    /// When it cannot be read, a key is unknown, or a value cannot be.
    pub fn read(file: &Path) -> Result<Self, GridFileError> {
        let text = fs::read_to_string(file).map_err(|source| GridFileError::Io { path: file.to_owned(), source })?;
        let malformed = |what: String| GridFileError::Malformed { path: file.to_owned(), what };
        let grid: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if grid.model.is_empty() || grid.seeds.is_empty() || grid.tests.is_empty() {
            return Err(malformed("at least one model, one task and one seed are required".to_owned()));
        }
        if let Some(seed) = twice(&grid.seeds) {
            return Err(malformed(format!("seed {seed} is there twice")));
        }
        if grid.figures.titles.iter().flatten().any(|title| title.trim().is_empty()) {
            return Err(malformed("figures.titles: a title is empty".to_owned()));
        }
        if let Some(text) = grid.contamination.as_ref().filter(|text| !(0.0..1.0).contains(&text.held_out)) {
            return Err(malformed(format!("contamination.held_out is {}, expected from 0 to below 1", text.held_out)));
        }
        let mut slugs = BTreeSet::new();
        for model in &grid.model {
            if !slugs.insert(slug(&model.name)) {
                return Err(malformed(format!("two models are called `{}`, or nearly so", model.name)));
            }
            if model.folders.is_empty() {
                return Err(malformed(format!("model `{}`: folder is empty", model.name)));
            }
            if let Some(folder) = twice(&model.folders) {
                let text = format!("model `{}`: `{}` is there twice", model.name, folder.display());
                return Err(malformed(text));
            }
        }
        for test in &grid.tests {
            let bad = |what: String| Err(malformed(format!("task.{}: {what}", test.name)));
            if let Err(error) = test.options.check() {
                return bad(error.to_string());
            }
            if test.data.is_empty() {
                return bad(format!("data is empty, expected {}", test.task.where_found()));
            }
            if test.split_seeds.is_empty() || test.limits.is_empty() {
                return bad("split_seeds and limit need one value or more".to_owned());
            }
            if let Some(seed) = twice(&test.split_seeds) {
                return bad(format!("split seed {seed} is there twice"));
            }
        }
        Ok(grid)
    }

    /// The cells, in the order in which they are made. All models with one seed come before the
    /// next seed, so that a table of fewer seeds is there early.
    pub fn cells(&self) -> Vec<Cell<'_>> {
        let most = |counts: &mut dyn Iterator<Item = usize>| counts.max().unwrap_or(0);
        let replicates = most(&mut self.model.iter().map(|model| model.folders.len()));
        let splits = most(&mut self.tests.iter().map(|test| test.split_seeds.len()));
        let mut cells = Vec::new();
        for &seed in &self.seeds {
            for (replicate, split) in (0..replicates).flat_map(|replicate| (0..splits).map(move |s| (replicate, s))) {
                for test in &self.tests {
                    let Some(&split_seed) = test.split_seeds.get(split) else { continue };
                    for &limit in &test.limits {
                        let models = self.model.iter().filter(|model| replicate < model.folders.len());
                        cells.extend(models.map(|model| Cell { model, replicate, test, limit, split_seed, seed }));
                    }
                }
            }
        }
        cells
    }

    /// The folder of a cell: what is not the first or the default is part of its name.
    pub fn folder(&self, cell: &Cell<'_>) -> PathBuf {
        let mut name = format!("seed-{}", cell.seed);
        if cell.replicate > 0 {
            name += &format!("-replicate-{}", cell.replicate + 1);
        }
        if cell.split_seed > 0 {
            name += &format!("-split-{}", cell.split_seed);
        }
        if let Some(limit) = cell.limit {
            name += &format!("-limit-{limit}");
        }
        self.results.join("cells").join(slug(&cell.model.name)).join(&cell.test.name).join(name)
    }
}

/// The first value that a list has twice.
pub(crate) fn twice<T: Ord>(values: &[T]) -> Option<&T> {
    let mut seen = BTreeSet::new();
    values.iter().find(|value| !seen.insert(*value))
}

/// A name as a folder.
fn slug(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    letters.collect::<String>().trim_matches('-').to_owned()
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
        assert_eq!(grid.tests.iter().map(|test| test.task).collect::<Vec<_>>(), Task::ALL);
    }

    /// Writes and reads a grid.
    fn load(text: &str) -> Result<Grid, GridFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.toml");
        fs::write(&path, text).unwrap();
        Grid::read(&path)
    }

    #[test]
    fn a_grid_is_read_and_its_mistakes_are_named() {
        let grid = load(TEXT).unwrap();
        let tests: Vec<_> =
            grid.tests.iter().map(|test| (test.task, &test.options.epochs[..], &test.limits[..])).collect();
        assert_eq!(tests, [(Task::Rqa, &[3][..], &[None][..]), (Task::Ae, &[4], &[Some(500)])]);
        let error = |text: &str| load(text).unwrap_err().to_string();
        assert!(error(&TEXT.replace("epochs", "epoch")).contains("unknown field `epoch`"));
        assert!(error(&TEXT.replace("epochs = 4", "seed = 4")).contains("`seed` is not a key of a test"));
        assert!(error(&TEXT.replace("data = [\"a.json\"]", "")).contains("task.rqa: missing field `data`"));
        assert!(
            error(&TEXT.replace("epochs = 4", "epochs = 0")).contains("task.ae: epochs is [0], expected at least 1")
        );
        assert!(error(&TEXT.replace("E-BERT (ours)", "bert raw")).contains("two models are called `bert raw`"));
        assert!(error(&TEXT.replacen('\n', "\nseeds = [1, 2, 1]\n", 1)).contains("seed 1 is there twice"));
        assert!(error(&TEXT.replace("limit = 500", "split_seeds = [3, 3]")).contains("split seed 3 is there twice"));
        let both = TEXT.replace("limit = 500", "split_seeds = [3]\nsplit_seed = 3");
        assert!(error(&both).contains("are both there"));
        let folders = TEXT.replace("folder = \"bert\"", "folder = [\"bert\", \"bert\"]");
        assert!(error(&folders).contains("model `BERT-Raw`: `bert` is there twice"));
        assert!(error(&TEXT.replace("task.ae", "task.laptops")).contains("add task = \"ae\""));
        assert!(error(&format!("{TEXT}[figures]\ntitles = [[\"tea\", \" \"]]\n")).contains("a title is empty"));
        assert!(error("results = \"out\"\nmodel = []\n[task]\n").contains("at least one model"));
        let none = Grid::read(Path::new("none.toml")).unwrap_err().to_string();
        assert!(none.contains("trainer/grids/table2.toml"));
    }

    #[test]
    fn every_combination_is_a_cell_with_a_folder_of_its_own() {
        let text = TEXT
            .replace("folder = \"runs/e-bert\"", "folder = [\"runs/1\", \"runs/2\", \"runs/3\"]")
            .replace("[task.ae]", "seeds = [0, 5]\n[task.laptops]\ntask = \"ae\"\nsplit_seeds = [0, 1]")
            .replace("limit = 500", "limit = [0, 64, 256]")
            .replace("seeds = [0, 5]\n", "");
        let grid = load(&text.replacen('\n', "\nseeds = [0, 5]\n", 1)).unwrap();
        assert_eq!(grid.tests[1].limits, [Some(64), Some(256), None]);
        let cells = grid.cells();
        // Seeds. Then replicates of both models. Then one cell of rqa, two splits and three limits
        // of laptops.
        assert_eq!(cells.len(), 2 * 4 * (1 + 2 * 3));
        let folders: BTreeSet<PathBuf> = cells.iter().map(|cell| grid.folder(cell)).collect();
        assert_eq!(folders.len(), cells.len());
        assert_eq!(grid.folder(&cells[0]), Path::new("out/cells/bert-raw/rqa/seed-0"));
        assert!(folders.contains(Path::new("out/cells/e-bert--ours/laptops/seed-5-replicate-3-split-1-limit-64")));
        let cell = cells.iter().find(|cell| cell.limit == Some(64) && cell.split_seed == 1).unwrap();
        let options = cell.test.options_of(cell.limit, cell.split_seed, cell.seed);
        assert_eq!((options.limit, options.split_seed, options.epochs), (Some(64), 1, vec![4]));
    }
}
