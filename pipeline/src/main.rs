//! The command line of the pipeline.
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::{Parser, Subcommand, ValueEnum};
use ebert_english::train::Epochs;
use pipeline::{
    engine::progress::{Log, NEW, Outcome, Progress, Stdout, count_of, short},
    look::{
        associations,
        inspect::{InspectOptions, inspect},
        leaks::leaks,
        overlap, phrases, titles,
        verify::verify,
    },
    phrase::mine::summary::Thresholds,
    run::{Run, RunError},
    settings::{self, MiningSettings, Settings},
    shard::{ShardError, encode::Encoded, task},
};
use schemas::Task;

mod program;

use program::{mine, tagger as tag};

/// Raw Amazon dumps to training shards for E-BERT.
///
/// `pipeline run` runs the steps that are not up to date; `make shards` calls it. Each step is also a command:
/// corpus, pool, graph, shards, pairs, seal.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All steps that are not up to date: raw dumps to sealed shards
    Run(Settings),
    /// Raw dumps to clean documents: OUT/corpus
    Corpus(Settings),
    /// Mine the phrase pool from the corpus, or import one: OUT/pool
    Pool(Settings),
    /// Associations among the products of the corpus: OUT/graph
    Graph(Settings),
    /// Documents to segments with token ids and phrase spans: OUT/shards
    ///
    /// Several machines can share the work in one folder: task i of n encodes the buckets b with b mod n = i. In a
    /// Slurm array the task is known. In a Kubernetes indexed Job, add --tasks n. By hand, use --task i/n.
    Shards {
        #[command(flatten)]
        steps: Settings,
        /// Which part of the buckets, such as 0/4 [default: the task of the scheduler, or all]
        #[arg(long, value_name = "I/N", conflicts_with = "tasks")]
        task: Option<Task>,
        /// Number of tasks; the scheduler tells which one this is
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tasks: Option<u32>,
    },
    /// Draw pairs of associated products, each with a negative: OUT/shards/pairs-*.parquet
    Pairs(Settings),
    /// Check that all shards are there and write their manifest
    Seal {
        #[command(flatten)]
        steps: Settings,
        /// Number of tasks that encoded the shards; an error then names those that did not finish
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tasks: Option<u32>,
    },
    /// Check every file below OUT against its manifest
    Verify {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
    },
    /// Show what is in the shards: counts, lengths, phrases, rejected records, some rows
    Inspect {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// Rows to show of products and of reviews
        #[arg(long, default_value_t = 4)]
        rows: usize,
        /// Shards to read of products and of reviews; each is a random sample
        #[arg(long, default_value_t = 16)]
        shards: usize,
        /// Whether to use colours
        #[arg(long, value_enum, default_value_t)]
        color: Color,
        /// Instead, count the held-out documents with a near duplicate in training
        ///
        /// Near duplicates share 90% of their three-word shingles (Jaccard similarity). Reads the whole corpus twice.
        #[arg(long)]
        leaks: bool,
        /// With --leaks: the ratio of texts that the recipe holds out
        #[arg(long, default_value_t = 0.01, value_parser = settings::ratio, requires = "leaks")]
        held_out: f64,
    },
    /// Write a figure or a table about the shards
    #[command(subcommand)]
    Report(Figure),
    /// Write the products of the corpus as data for product classification: id, title and categories as JSON lines
    ///
    /// `trainer finetune --task pc` reads such a file and learns to predict the categories of a title.
    Titles {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// The file [default: OUT/titles.jsonl]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Mine scored phrases from any English text: AutoPhrase, deterministic
    ///
    /// Writes `score<TAB>phrase` lines, best first. `make shards POOL=file` imports such a file. The miner learns what a
    /// good phrase is from --quality-list, whose names can come from another field, such as titles of an encyclopedia.
    Mine {
        /// One document per line, plain, gz or zst
        text: PathBuf,
        /// File for the phrases [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        mining: MiningSettings,
        /// Least score of a phrase with several words that the summary counts
        #[arg(long, default_value_t = 0.5, value_parser = settings::score, allow_negative_numbers = true)]
        min_score: f64,
        /// As --min-score, for single words
        #[arg(long, default_value_t = 0.8, value_parser = settings::score, allow_negative_numbers = true)]
        min_score_single: f64,
        /// Seed of every random draw
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Workers [default: one per core]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// Format of the progress output
        #[arg(long, value_enum, default_value_t)]
        log: Log,
    },
    /// Train the tagger and the noun-phrase chunker on treebanks; the same bytes every time
    ///
    /// A treebank has one token per line, `word tag chunk` as in CoNLL-2000 or `word<TAB>tag`, and a blank line between
    /// sentences. The tagger learns from all treebanks, the chunker from those with chunks.
    TrainTagger {
        /// Treebanks, plain, gz or zst
        #[arg(required = true)]
        treebanks: Vec<PathBuf>,
        /// File for the model
        #[arg(long, default_value = "pipeline/english/models/english.bin")]
        model: PathBuf,
        /// Epochs of the tagger
        #[arg(long, default_value_t = Epochs::default().tagger)]
        tagger_epochs: u32,
        /// Epochs of the chunker
        #[arg(long, default_value_t = Epochs::default().chunker)]
        chunker_epochs: u32,
    },
    /// Score the tagger and chunker on a treebank: right tags, exact noun phrases
    EvaluateTagger {
        /// Treebanks, plain, gz or zst
        #[arg(required = true)]
        treebanks: Vec<PathBuf>,
        /// A model of `train-tagger` [default: the embedded one]
        #[arg(long)]
        model: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Figure {
    /// How many associations products have, of which relation, by category: OUT/report/associations.svg and .csv
    Associations {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// Categories to show: those with the most products
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
        categories: u32,
    },
    /// The most characteristic phrases of each category, also in OUT/report/phrases.csv (Table 1 of the paper)
    Phrases {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// Categories to show: those with the most products
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
        categories: u32,
        /// Phrases per category
        #[arg(long, default_value_t = 12)]
        phrases: usize,
    },
    /// Which pool phrases are noun phrases, by category: OUT/report/overlap.svg and .csv
    ///
    /// A cell is the ratio of one category's pool phrases that are noun phrases in another (Figure 6 of the paper).
    Overlap {
        /// Output folder of all steps
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// Categories to show: those with the most products
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
        categories: u32,
    },
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Color {
    /// On a terminal
    #[default]
    Auto,
    Always,
    Never,
}

/// Sets the thread count and creates the progress output.
fn prepare(settings: &Settings) -> Progress {
    // polars starts its own threads, as many as this says when it is first used.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("POLARS_MAX_THREADS", settings.threads().get().to_string()) };
    Progress::new(settings.log)
}

fn main() -> ExitCode {
    // Exceeding a file-size limit becomes a write error, as for a full disk, instead of ending the process.
    // SAFETY: no other thread runs yet, and ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    raise_open_files();
    keep_memory();
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of `inspect`, or of `mine` without a file, has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = write!(io::stderr(), "{}", schemas::explain(error.as_ref()));
            let usage = error.downcast_ref().is_some_and(RunError::is_usage)
                || error.downcast_ref().is_some_and(mine::CommandError::is_usage);
            if usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Raises the limit of open files to the most that this user may have. The usual default is 1,024.
fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or fill the struct that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Lets the allocator keep freed memory for the next batch. Returning it costs a page fault and a cleared page for
/// each reuse: 5% of all CPU time of the default command.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no other thread runs yet; the calls set numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
        libc::mallopt(libc::M_TOP_PAD, 4 << 20);
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(steps) => {
            let progress = prepare(&steps);
            Ok(Run::new(&steps, progress, None)?.all()?)
        }
        Command::Corpus(steps) => {
            let progress = prepare(&steps);
            let mut run = Run::new(&steps, progress, None)?;
            let corpus = run.corpus()?;
            run.left_out_of_corpus(&corpus)?;
            Ok(run.say_next("pipeline pool and pipeline graph")?)
        }
        Command::Pool(steps) => {
            let progress = prepare(&steps);
            let mut run = Run::new(&steps, progress, None)?;
            let pool = run.pool()?;
            run.left_out_of_pool(&pool)?;
            Ok(run.say_next("pipeline graph, then pipeline shards")?)
        }
        Command::Graph(steps) => {
            let progress = prepare(&steps);
            let mut run = Run::new(&steps, progress, None)?;
            let corpus = run.corpus_made()?;
            run.graph(&corpus)?;
            Ok(run.say_next("pipeline shards, once there is a pool")?)
        }
        Command::Shards { steps, task, tasks } => {
            let progress = prepare(&steps);
            let task = match task {
                Some(task) => Some(task),
                None => task::of_scheduler(tasks, |name| std::env::var(name).ok())
                    .map_err(|error| RunError::Shards(ShardError::Task(error)))?,
            };
            let mut run = Run::new(&steps, progress, task)?;
            let corpus = run.corpus_made()?;
            let pool = run.pool_made(&corpus)?;
            let since = Instant::now();
            let encoded = run.encode(&corpus, &pool)?;
            let outcome = if encoded.shards == 0 { Outcome::UpToDate } else { Outcome::made(since, NEW.to_owned()) };
            let counts = &encoded.counts;
            let holds =
                format!("{}   {} tokens", count_of(encoded.shards as u64, "file", "files"), short(counts.tokens));
            let place = steps.out.join("shards").display().to_string();
            progress.step("shards", &holds, &place, &outcome)?;
            Ok(run.say_next(&match task.map(Task::of) {
                Some(of) => format!("pipeline pairs when all {of} tasks are done, then pipeline seal --tasks {of}"),
                None => "pipeline pairs, then pipeline seal".to_owned(),
            })?)
        }
        Command::Pairs(steps) => {
            let progress = prepare(&steps);
            let mut run = Run::new(&steps, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            run.draw_pairs(&corpus, &pool, &graph)?;
            Ok(run.say_next("pipeline seal")?)
        }
        Command::Seal { steps, tasks } => {
            let progress = prepare(&steps);
            let mut run = Run::new(&steps, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            let (sealed, outcome) = run.seal(&corpus, &pool, &graph, tasks)?;
            run.report_shards(&sealed, &Encoded::default(), &outcome)?;
            Ok(run.say_inspect()?)
        }
        Command::Verify { out } => Ok(verify(&out, &mut Stdout)?),
        Command::Inspect { out, leaks: true, held_out, .. } => {
            leaks(&out, held_out, &Progress::new(Log::Text), &mut io::stdout().lock())?;
            Ok(())
        }
        Command::Inspect { out, rows, shards, color, .. } => {
            let colour = match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            };
            let mut report = io::BufWriter::new(io::stdout().lock());
            inspect(&out, InspectOptions { rows, shards, colour }, &mut report)?;
            Ok(report.flush()?)
        }
        Command::Report(Figure::Associations { out, categories }) => {
            Ok(associations::associations(&out, categories as usize, &mut Stdout)?)
        }
        Command::Report(Figure::Phrases { out, categories, phrases: most }) => {
            Ok(phrases::phrases(&out, categories as usize, most, &mut Stdout)?)
        }
        Command::Report(Figure::Overlap { out, categories }) => {
            Ok(overlap::overlap(&out, categories as usize, &mut Stdout)?)
        }
        Command::Titles { out, output } => {
            let file = output.unwrap_or_else(|| out.join("titles.jsonl"));
            Ok(titles::titles(&out, &file, &mut Stdout)?)
        }
        Command::Mine { text, output, mining, min_score, min_score_single, seed, threads, log } => {
            let command = mine::MineCommand {
                text: &text,
                options: mining.options(seed),
                quality_list: mining.quality_list,
                entity_list: mining.entity_list,
                stop_words: mining.stop_words,
                thresholds: Thresholds { phrases: min_score, words: min_score_single },
                threads: settings::threads(threads),
                output: output.as_deref(),
            };
            Ok(mine::run(&command, &Progress::new(log))?)
        }
        Command::TrainTagger { treebanks, model, tagger_epochs, chunker_epochs } => {
            let epochs = Epochs { tagger: tagger_epochs, chunker: chunker_epochs };
            Ok(tag::train(&treebanks, &model, epochs, &mut Stdout)?)
        }
        Command::EvaluateTagger { treebanks, model } => Ok(tag::evaluate(&treebanks, model.as_deref(), &mut Stdout)?),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
