//! The commands of the trainer and their options.
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ebert_kernels::device::Wish;
use ebert_tasks::{Task, options::Options as TaskOptions};
use schemas::Task as Share;
use trainer::{log::Talk, neighbor::Scale};

/// Training shards to an E-BERT checkpoint.
#[derive(Parser)]
#[command(name = "trainer", bin_name = "trainer", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what was found of libtorch, CUDA and GPUs, and how to mend it
    Doctor,
    /// Pre-train on the shards of OUT: the result is a folder that `transformers` loads
    ///
    /// A run that was stopped goes on from its last checkpoint when the same command is given again.
    Pretrain(Pretrain),
    /// Measure how fast training is, and what bounds it: tokens a second, model FLOP utilisation, where a step's time goes
    ///
    /// `make bench-train` runs it beside Hugging Face `transformers` on the same documents.
    Bench(Bench),
    /// Draw how the tokens of two titles attend to each other, as the paper's Figure 8
    ///
    /// A cell is the share of the second title's token with which Neighbor Product Reconstruction rebuilds the first title's.
    Attention {
        /// A Hugging Face folder, the folder of a run, or an id on the hub
        model: PathBuf,
        /// The title whose tokens are rebuilt: rows
        first: String,
        /// The title that they are rebuilt from: columns
        second: String,
        /// What scores are divided by before the softmax; give it when models are compared [default: as in the model's recipe.toml; none
        /// without one]
        #[arg(long, value_enum)]
        scale: Option<Scale>,
        /// The figure
        #[arg(long, short, default_value = "attention.svg")]
        output: PathBuf,
    },
    /// Fine-tune a BERT for one of the paper's four tasks, and score it
    ///
    /// Documents are split 7 : 1 : 2 into training, validation and test by key, unless the test has a file of its own. The result
    /// is a folder with scores, predictions, and a model that `transformers` loads.
    Finetune(Finetune),
    /// Score what models know without fine-tuning: a table with a column for each model
    ///
    /// Weights stay as they are. From OUT: masked words and phrases of held-out documents (cloze), the rank of a held-out
    /// product's neighbor among 1,000 products (retrieval, with word overlap, tf-idf and BM25 as baselines), and substitute
    /// or complement (relations). From files: categories of titles, matching offers, and aspects, by linear models on
    /// hidden states, cross-validated by document or on the files' own parts.
    ///
    /// A model like BERT-tiny takes minutes on one core. docs/probe.md explains every score and the file that is written.
    Probe(crate::probe::Probe),
    /// Score a file of predictions, whoever made it
    ///
    /// A line is {"id": …, "prediction": …}: the text of an answer (rqa), places [[from, to], …] in characters (ae), a class (asc;
    /// ids are sentence#from-to) or labels (pc). Examples without a prediction do not count; how many they are is said.
    Evaluate {
        /// The task
        #[arg(long, value_enum)]
        task: Task,
        /// The file that says what is right. Several files are read as one
        #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
        data: Vec<PathBuf>,
        /// The predictions
        #[arg(long)]
        predictions: PathBuf,
        /// pc: the least number of titles of a label, in the whole data; rarer labels are no part of the task
        #[arg(long, default_value_t = TaskOptions::default().min_titles)]
        min_titles: usize,
        /// pc: where to count them, if not in the data: what was trained on, where the test had a file of its own
        #[arg(long, num_args = 1.., value_name = "FILE")]
        trained_on: Vec<PathBuf>,
    },
    /// Draw runs as one page, or make a grid of fine-tunings and the paper's Table 2
    ///
    /// Folders of runs: losses, held-out curves, alpha and etas, learning rate, speed. Several in one page compare recipes, as the paper's
    /// Figure 7 does. A run draws its own page when it ends.
    ///
    /// A file that ends in .toml is a grid: models, tasks and seeds. What is missing of it is fine-tuned, so a grid that was killed goes on;
    /// then table2.csv, table2.md and table2.html are written. trainer/grids/table2.toml has every key.
    ///
    /// As task i of n, makes the cells c (counted from 0) with c mod n = i and no table, so that n processes can share a grid. When
    /// all are done, the command without --task makes the tables.
    Report {
        /// Folders of runs, such as data/work/runs/sample, or one grid, such as trainer/grids/table2.toml
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The page of runs [default: report.html in the first run's folder]
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// A share of a grid's cells, such as 0/4 [default: all]
        #[arg(long, value_name = "I/N", conflicts_with = "output")]
        task: Option<Share>,
        /// Where a grid computes
        #[arg(long, value_enum, default_value_t)]
        device: Wish,
        /// Threads of the CPU for a grid [default: one for each core]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
    },
}

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// The folder that `make shards` made
    #[arg(long, default_value = "data/work")]
    pub(crate) out: PathBuf,
    /// The recipe whose steps are measured, in word mode
    #[arg(long, default_value = "e-bert")]
    pub(crate) recipe: String,
    /// The shape of the model, with fresh weights
    #[arg(long, value_enum, default_value_t)]
    pub(crate) shape: Shape,
    /// A model to measure instead: a Hugging Face folder, or an id on the hub
    #[arg(long, conflicts_with = "shape")]
    pub(crate) init: Option<PathBuf>,
    /// Change a value of the recipe, such as optimizer.tokens=65536
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Steps that are measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) steps: u32,
    /// Steps before them
    #[arg(long, default_value_t = 5)]
    pub(crate) warm: u32,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Write the batches and the model's configuration here, for others to train on the same
    #[arg(long)]
    pub(crate) export: Option<PathBuf>,
    /// For whom it talks
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log: Talk,
}

/// Shapes of BERTs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 12 layers of 768
    #[default]
    BertBase,
    /// 6 layers of 384, as all-MiniLM-L6-v2
    MiniLm,
    /// 2 layers of 128, as the recipe of the sample
    Sample,
}

impl Shape {
    /// The recipe's values for it.
    pub(crate) fn overrides(self) -> Vec<String> {
        let [layers, hidden, heads] = match self {
            Self::BertBase => [12, 768, 12],
            Self::MiniLm => [6, 384, 12],
            Self::Sample => [2, 128, 2],
        };
        let values = [("layers", layers), ("hidden_size", hidden), ("heads", heads), ("intermediate_size", 4 * hidden)];
        values.map(|(key, value)| format!("model.{key}={value}")).into()
    }
}

#[derive(clap::Args)]
pub(crate) struct Pretrain {
    /// The folder that `make shards` made
    #[arg(long, default_value = "data/work")]
    pub(crate) out: PathBuf,
    /// A recipe of the project (bert-raw, bert, bert-np, spanbert, e-bert-dp, e-bert-ahm, e-bert-products, e-bert, sample) or the path of a .toml file
    #[arg(long, default_value = "sample")]
    pub(crate) recipe: String,
    /// A BERT to start from: a Hugging Face folder, or an id on the hub such as bert-base-uncased
    #[arg(long)]
    pub(crate) init: Option<PathBuf>,
    /// The run's folder [default: OUT/runs/NAME-OF-RECIPE]
    #[arg(long)]
    pub(crate) run: Option<PathBuf>,
    /// Fail if the run's folder holds no run to resume. (A stopped run resumes without this, too)
    #[arg(long)]
    pub(crate) resume: bool,
    /// Continue a run, also a finished one, with other numbers of epochs or steps than it began with. The learning rate of the
    /// steps to come follows the new schedule
    #[arg(long)]
    pub(crate) extend: bool,
    /// Change a value of the recipe, such as optimizer.learning_rate=5e-5 or stage.0.epochs=1; may be given several times. The keys are
    /// those of trainer/recipes/e-bert.toml
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Say what would be trained, with every value of the recipe, and what it takes (from a few steps that are not kept); then stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For whom the run talks
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log: Talk,
}

#[derive(clap::Args)]
pub(crate) struct Finetune {
    /// What to start from: a Hugging Face folder, the folder of a run, or an id on the hub such as bert-base-uncased
    #[arg(long)]
    pub(crate) model: PathBuf,
    /// The task
    #[arg(long, value_enum)]
    pub(crate) task: Task,
    /// Its file: SQuAD 1.1 JSON (rqa), SemEval 2014 XML (ae, asc), JSON lines of `pipeline titles` (pc). Several files are read as one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) data: Vec<PathBuf>,
    /// The test, where it has a file of its own; else a fifth of the documents is the test
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// The folder of the result [default: the path of MODEL with -TASK, such as real/runs/e-bert-pc]
    #[arg(long)]
    pub(crate) run: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: TaskOptions,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}
