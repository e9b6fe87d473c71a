//! The file of a grid: every model for every task with every seed.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Task, options::Options};

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
    /// It is no grid.
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
