//! Commands of the trainer.
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use schemas::Task;

use crate::{
    WORK,
    apply::{EmbedArgs, FillMaskArgs, SimilarArgs},
    finetune::FinetuneOptions,
    shared::{Compute, Console, LogOption},
    values,
};

/// Commands of the trainer.
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Pre-train on shards. The result is a folder that `transformers` loads
    ///
    /// The same command resumes an interrupted run from its last checkpoint.
    Pretrain(Box<PretrainArgs>),
    /// Fine-tune a BERT for one of the paper's four tasks, and score it
    ///
    /// Documents are split 7 : 1 : 2 into training, validation and test by key, unless the test has a file of its own.
    /// The result is a folder with scores, predictions, and a model that `transformers` loads.
    Finetune(Box<FinetuneArgs>),
    /// Fine-tune many models, tasks and seeds, and write the paper's Table 2
    ///
    /// A grid is a .toml file: models, tasks and seeds. trainer/grids/table2.toml has every key. Missing results are
    /// fine-tuned, so an interrupted grid resumes. Then table2.csv, table2.md and table2.html are written.
    ///
    /// With --part i/n, n processes can share a grid. Each fine-tunes the cells c (counted from 0) with c mod n = i,
    /// and writes no table. When all are done, the command without --part writes the tables.
    Grid(GridArgs),
    /// Measure training speed: tokens/s, model FLOP utilization, time per part of a step
    ///
    /// `make bench-train` compares it with Hugging Face `transformers` on the same documents.
    Bench(BenchArgs),
    /// Check libtorch, CUDA and GPUs, and suggest fixes
    Doctor(LogOption),
    /// Fill in `[MASK]`: the most probable entries of the vocabulary, with probabilities
    ///
    /// For example: `ebert fill-mask --model data/work/runs/sample "A cedar [MASK] for tea"`. Several masks of a text
    /// are filled in one at a time, each without knowing the others. Without TEXT, each line of standard input is a
    /// text.
    FillMask(FillMaskArgs),
    /// Write embeddings of titles to Parquet or .npy
    ///
    /// A row for each title, in the order of the input. Lines of a text file have their number as id, from 1. Titles
    /// are read twice, so INPUT cannot be a pipe. docs/use.md finds neighbors in the result with DuckDB and numpy.
    Embed(EmbedArgs),
    /// Find the products that are most similar to a title
    ///
    /// Two lists: by cosine of mean hidden states, where 1 is the highest, and by the distance of Neighbor Product
    /// Reconstruction, where 0 is the nearest. Products with the same tokens as the title are left out.
    Similar(SimilarArgs),
    /// Score what models know without fine-tuning: a table with a column for each model
    ///
    /// Weights stay as they are. The shards have three probes. Cloze: masked words and phrases of held-out documents.
    /// Retrieval: the rank of a held-out product's neighbor among 1,000 products. Its baselines are word overlap,
    /// tf-idf and BM25. Relations: substitute or complement. Files have three more: categories of titles, matching
    /// offers, and aspects. Linear models on hidden states learn these, cross-validated by document or on the files'
    /// own parts.
    ///
    /// A model like BERT-tiny takes minutes on one core. docs/probe.md explains every score and the file that is
    /// written.
    Probe(Box<ProbeArgs>),
    /// Test claims about recipes on records of `ebert probe`
    ///
    /// A file of claims is a .toml file: records, arms (a recipe with its replicates), and claims that one arm has
    /// higher scores than another. docs/results/proof/claims.toml is one. A bootstrap of replicates and documents
    /// gives the intervals, and Holm's correction covers all claims. Writes FILE.md, FILE.csv and FILE.svg next to the
    /// file.
    Claims(ClaimsArgs),
    /// Score predictions from any model
    ///
    /// A line is {"id": …, "prediction": …}. A prediction is the text of an answer (rqa), a list of spans [[from, to],
    /// …] in characters (ae), a class (asc), or a list of labels (pc). Ids of asc are sentence#from-to. Examples
    /// without a prediction are counted and skipped.
    Evaluate(EvaluateArgs),
    /// Draw how the tokens of two titles attend to each other (Figure 8 of the paper)
    ///
    /// A cell is the weight of the second title's token when Neighbor Product Reconstruction rebuilds the first
    /// title's.
    Attention(AttentionArgs),
    /// Draw the curves of training runs in one page (Figure 7 of the paper)
    ///
    /// Losses, held-out curves, alpha and eta, learning rate and speed. Several runs in one page compare recipes. A
    /// run draws its own page when it ends.
    Curves(CurvesArgs),
}

impl TrainCommand {
    /// The name of the command.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretrain",
            Self::Finetune(_) => "finetune",
            Self::Grid(_) => "grid",
            Self::Bench(_) => "bench",
            Self::Doctor(_) => "doctor",
            Self::FillMask(_) => "fill-mask",
            Self::Embed(_) => "embed",
            Self::Similar(_) => "similar",
            Self::Probe(_) => "probe",
            Self::Claims(_) => "claims",
            Self::Evaluate(_) => "evaluate",
            Self::Attention(_) => "attention",
            Self::Curves(_) => "curves",
        }
    }

    /// The shards that it reads.
    pub fn shards(&self) -> Option<&Path> {
        match self {
            Self::Pretrain(args) => Some(&args.shards),
            Self::Bench(args) => Some(&args.shards),
            Self::Probe(args) => args.shards.as_deref(),
            _ => None,
        }
    }
}

/// A task of the paper's Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NlpTask {
    /// Review question answering: a span of the review answers a question (SQuAD 1.1 JSON)
    Rqa,
    /// Product classification: the categories of a title (JSON lines of `ebert titles`)
    Pc,
    /// Review aspect extraction: which words of a sentence name an aspect (SemEval 2014 Task 4 XML)
    Ae,
    /// Review aspect sentiment classification: the polarity of a sentence about an aspect (the same file)
    Asc,
}

/// What the logits of an attention are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scale {
    /// Nothing, as the paper has it
    None,
    /// The root of the hidden size
    SqrtD,
}

/// Shapes of BERTs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// 12 layers of 768
    #[default]
    BertBase,
    /// 6 layers of 384, as all-MiniLM-L6-v2
    MiniLm,
    /// 2 layers of 128, as the recipe of the sample
    Sample,
}

/// Options of `ebert pretrain`.
#[derive(Args, Clone, Debug)]
pub struct PretrainArgs {
    /// Output folder of `ebert shards`, or its folder `shards`. One in an object store (s3://, gs:// or az://) is
    /// fetched to the cache first
    #[arg(long, value_name = "DIR", default_value = WORK, help_heading = "Input")]
    pub shards: PathBuf,
    /// A recipe of the project (bert-raw, bert, bert-np, spanbert, e-bert-dp, e-bert-ahm, e-bert-products, e-bert,
    /// e-bert-modern, sample) or a .toml file [default for the shards of the sample: sample]
    #[arg(long, value_name = "RECIPE", help_heading = "Input")]
    pub recipe: Option<String>,
    /// A BERT, RoBERTa or ModernBERT to start from: a Hugging Face folder, the folder of a run, or an id on the hub
    /// such as bert-base-uncased
    #[arg(long, value_name = "MODEL", help_heading = "Input")]
    pub init: Option<PathBuf>,
    /// Change a value of the recipe, such as optimizer.learning_rate=5e-5 or stage.0.epochs=1. May be given several
    /// times. docs/recipes.md lists the keys
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Input")]
    pub overrides: Vec<String>,
    /// Folder of the run [default: runs/RECIPE next to the shards, or in the current folder if these are in an object
    /// store]
    #[arg(long, short, value_name = "RUN", help_heading = "Run")]
    pub out: Option<PathBuf>,
    /// Fail if the folder of the run has no run to resume. Interrupted runs resume without this, too
    #[arg(long, help_heading = "Run")]
    pub resume: bool,
    /// Continue a run, also a finished one, with another number of epochs or steps. The learning rate of the remaining
    /// steps follows the new schedule. T1 of the adaptive switch stays
    #[arg(long, help_heading = "Run")]
    pub extend: bool,
    /// Print the resolved recipe and an estimate of time and memory, then exit
    #[arg(long, help_heading = "Run")]
    pub dry_run: bool,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub console: Console,
}

/// Options of `ebert finetune`.
#[derive(Args, Clone, Debug)]
pub struct FinetuneArgs {
    /// Model to start from: a Hugging Face folder, the folder of a run, or an id on the hub such as bert-base-uncased
    #[arg(long, value_name = "MODEL", help_heading = "Input")]
    pub model: PathBuf,
    /// The task
    #[arg(long, value_enum, help_heading = "Input")]
    pub task: NlpTask,
    /// Its data: SQuAD 1.1 JSON (rqa), SemEval 2014 XML (ae, asc), JSON lines of `ebert titles` (pc). Several files
    /// are read as one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", help_heading = "Input")]
    pub data: Vec<PathBuf>,
    /// The test, if it has a file of its own [default: a fifth of the documents]
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub test: Option<PathBuf>,
    /// Folder of the result [default: MODEL-TASK, such as real/runs/e-bert-pc]
    #[arg(long, short, value_name = "DIR", help_heading = "Run")]
    pub out: Option<PathBuf>,
    /// Print the result only
    #[arg(long, short, help_heading = "Messages")]
    pub quiet: bool,
    /// How to fine-tune.
    #[command(flatten)]
    pub options: FinetuneOptions,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert grid`.
#[derive(Args, Clone, Debug)]
pub struct GridArgs {
    /// The grid, such as trainer/grids/table2.toml
    #[arg(value_name = "GRID")]
    pub grid: PathBuf,
    /// A part of the grid's cells, such as 0/4 [default: all]
    #[arg(long, value_name = "I/N")]
    pub part: Option<Task>,
    /// Fine-tune nothing: write the tables of the finished cells, and list the missing ones
    #[arg(long, conflicts_with = "part")]
    pub finished: bool,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Output folder of `ebert shards`, or its folder `shards`
    #[arg(long, value_name = "DIR", default_value = WORK, help_heading = "Input")]
    pub shards: PathBuf,
    /// The recipe whose steps are measured, in word mode
    #[arg(long, value_name = "RECIPE", default_value = "e-bert", help_heading = "Input")]
    pub recipe: String,
    /// Shape of the model, with fresh weights
    #[arg(long, value_enum, default_value_t, help_heading = "Input")]
    pub shape: Shape,
    /// A model to measure instead: a Hugging Face folder, or an id on the hub
    #[arg(long, value_name = "MODEL", conflicts_with = "shape", help_heading = "Input")]
    pub init: Option<PathBuf>,
    /// Change a value of the recipe, such as optimizer.tokens=65536
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Input")]
    pub overrides: Vec<String>,
    /// Steps to measure
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Run")]
    pub steps: u32,
    /// Steps before them
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Run")]
    pub warm: u32,
    /// Write the batches and the model's configuration to this folder, for a comparison on the same data
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub export: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert probe`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("probed").required(true).multiple(true)))]
#[command(override_usage = "ebert probe <MODEL>... <--shards|--titles|--matching|--aspects> <FILE>... [OPTIONS]")]
pub struct ProbeArgs {
    /// Models: Hugging Face folders, folders of runs, or ids on the hub. Each is a column of the table
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Output folder of `ebert shards`: its held-out documents for cloze, retrieval of neighbors, and relations
    #[arg(long, value_name = "DIR", group = "probed", help_heading = "Input")]
    pub shards: Option<PathBuf>,
    /// The ratio of texts that the models were not trained on: data.held_out of their recipe
    #[arg(long, value_name = "RATIO", default_value_t = 0.01, value_parser = values::ratio, help_heading = "Input")]
    pub held_out: f64,
    /// Titles with their categories, a file of `ebert titles`
    #[arg(long, value_name = "FILE", group = "probed", help_heading = "Input")]
    pub titles: Option<PathBuf>,
    /// Pairs of offers in the form that docs/probe.md shows: to fit, to validate and to test. May be given several times
    #[arg(long, num_args = 3, value_names = ["TRAIN", "VALID", "TEST"], group = "probed", help_heading = "Input")]
    pub matching: Vec<PathBuf>,
    /// Sentences with their aspects, SemEval 2014 XML. Each FILE is a data set
    #[arg(long, num_args = 1.., value_name = "FILE", group = "probed", help_heading = "Input")]
    pub aspects: Vec<PathBuf>,
    /// Seed of folds and draws
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Run")]
    pub seed: u64,
    /// File for scores and the result of each item
    #[arg(long, short, value_name = "FILE", default_value = "probe.json", help_heading = "Run")]
    pub out: PathBuf,
    /// Write features and predictions to this folder, one model's at a time, to check scores with other programs
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub export: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub compute: Compute,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert evaluate`.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// The task
    #[arg(long, value_enum)]
    pub task: NlpTask,
    /// The file with the right answers. Several files are read as one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// The predictions
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// pc: minimum number of titles of a label in the whole data. Rarer labels are not part of the task
    #[arg(long, value_name = "N", default_value_t = FinetuneOptions::MIN_TITLES)]
    pub min_titles: usize,
    /// pc: files in which the titles of a label are counted [default: those of --data]. Name the training data if
    /// --data is a separate test file
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub trained_on: Vec<PathBuf>,
}

/// Options of `ebert claims`.
#[derive(Args, Clone, Debug)]
pub struct ClaimsArgs {
    /// The file of claims
    #[arg(value_name = "FILE")]
    pub claims: PathBuf,
    /// What it prints.
    #[command(flatten)]
    pub log: LogOption,
}

/// Options of `ebert attention`.
#[derive(Args, Clone, Debug)]
pub struct AttentionArgs {
    /// A Hugging Face folder, the folder of a run, or an id on the hub
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The title whose tokens are rebuilt: rows
    #[arg(value_name = "TITLE")]
    pub first: String,
    /// The title that they are rebuilt from: columns
    #[arg(value_name = "OTHER TITLE")]
    pub second: String,
    /// What logits are divided by before the softmax. Set it to compare models [default: as in the model's
    /// recipe.toml; none without one]
    #[arg(long, value_enum)]
    pub scale: Option<Scale>,
    /// File for the figure
    #[arg(long, short, value_name = "FILE", default_value = "attention.svg")]
    pub out: PathBuf,
}

/// Options of `ebert curves`.
#[derive(Args, Clone, Debug)]
pub struct CurvesArgs {
    /// Folders of runs, such as data/work/runs/sample
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// File for the page [default: report.html in the first run's folder]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
