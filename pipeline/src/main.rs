//! The command line of the pipeline.
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ebert_english::train::Epochs;
use pipeline::{
    engine::{
        progress::{Log, NEW, Outcome, Progress, Stdout, short},
        stage::Threads,
    },
    look::{
        inspect::{Look, inspect},
        overlap, phrases, titles,
        verify::verify,
    },
    run::{self, Options, Run, RunError},
    shard::{ShardError, task},
};
use schemas::Task;

mod program;

use program::{mine, tagger as tag};

/// Raw Amazon dumps to training shards for E-BERT.
///
/// `pipeline run` does everything that is not up to date; it is what `make shards` calls. The steps can
/// also be run one by one: corpus, pool, graph, shards, pairs, seal.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All steps that are not up to date: raw dumps to sealed shards
    Run(Steps),
    /// Raw dumps to clean documents: OUT/corpus
    Corpus(Steps),
    /// Mine the phrase pool from the corpus, or import one: OUT/pool
    Pool(Steps),
    /// Associations among the products of the corpus: OUT/graph
    Graph(Steps),
    /// Documents to segments with token ids and phrase spans: OUT/shards
    ///
    /// As task i of n, makes the buckets b with b mod n = i, so that n machines can share a folder. A Slurm
    /// array says by itself which task a process is; a Kubernetes indexed Job does with --tasks n; by hand it is
    /// --task i/n.
    Shards {
        #[command(flatten)]
        steps: Steps,
        /// A share of the buckets, such as 0/4 [default: what the scheduler says, or all]
        #[arg(long, value_name = "I/N", conflicts_with = "tasks")]
        task: Option<Task>,
        /// Number of tasks; the scheduler says which one this is
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tasks: Option<u32>,
    },
    /// Draw pairs of associated products, each with a negative: OUT/shards/pairs-*.parquet
    Pairs(Steps),
    /// Check that all shards are there and write their manifest
    Seal {
        #[command(flatten)]
        steps: Steps,
        /// Number of tasks that made the shards: those that did not finish are then named
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tasks: Option<u32>,
    },
    /// Check every file below OUT against its manifest
    Verify {
        /// The folder of everything made
        #[arg(default_value = "data/work")]
        out: PathBuf,
    },
    /// Show what is in the shards: counts, lengths, phrases, rejected records, some rows
    Inspect {
        /// The folder of everything made
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
    },
    /// Draw a figure, or make a table, from the shards
    #[command(subcommand)]
    Report(Figure),
    /// Write the products of the corpus as examples of product classification: id, title, categories, one JSON object a line
    ///
    /// `trainer finetune --task pc` learns to tell the categories of a title from such a file.
    Titles {
        /// The folder of everything made
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// The file [default: OUT/titles.jsonl]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Mine scored phrases from any English text: AutoPhrase, deterministic
    ///
    /// Writes `score<TAB>phrase` lines, best first; POOL= of `make shards` takes such a file. What a good phrase is, is learnt from a
    /// list of names that need not be of the same field: titles of an encyclopedia, for one.
    Mine {
        /// One document a line, plain, gz or zst
        text: PathBuf,
        /// Where the phrases go [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        mining: Mining,
        /// Score from which the summary counts a phrase of several words
        #[arg(long, default_value_t = 0.5, value_parser = score, allow_negative_numbers = true)]
        min_score: f64,
        /// As --min-score, of one word
        #[arg(long, default_value_t = 0.8, value_parser = score, allow_negative_numbers = true)]
        min_score_single: f64,
        /// Seed of every random draw
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Workers [default: one for each core]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// For whom the run talks
        #[arg(long, value_enum, default_value_t)]
        log: Log,
    },
    /// Train the tagger and the noun-phrase chunker on treebanks; the same bytes every time
    ///
    /// A treebank has one token a line, `word tag chunk` as in CoNLL-2000 or `word<TAB>tag`, and a blank line between
    /// sentences. The tagger learns from all, the chunker from those with chunks.
    TrainTagger {
        /// Treebanks, plain, gz or zst
        #[arg(required = true)]
        treebanks: Vec<PathBuf>,
        /// Where to write the model
        #[arg(long, default_value = "pipeline/english/models/english.bin")]
        model: PathBuf,
        /// Rounds over the sentences for the tagger
        #[arg(long, default_value_t = Epochs::default().tagger)]
        tagger_epochs: u32,
        /// Rounds over the sentences for the chunker
        #[arg(long, default_value_t = Epochs::default().chunker)]
        chunker_epochs: u32,
    },
    /// Score the tagger and chunker on a treebank: right tags, exact noun phrases
    EvaluateTagger {
        /// Treebanks, plain, gz or zst
        #[arg(required = true)]
        treebanks: Vec<PathBuf>,
        /// A model of `train-tagger` [default: the one that is part of this program]
        #[arg(long)]
        model: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Figure {
    /// The phrases that tell categories apart, on screen and in OUT/report/phrases.csv: the paper's Table 1
    Phrases {
        /// The folder of everything made
        #[arg(default_value = "data/work")]
        out: PathBuf,
        /// Categories to show: those with the most products
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
        categories: u32,
        /// Phrases of each
        #[arg(long, default_value_t = 12)]
        phrases: usize,
    },
    /// Which pool phrases are noun phrases, by category: OUT/report/overlap.svg and .csv
    ///
    /// A cell is the share of one category's pool phrases that are noun phrases of another: the paper's Figure 6.
    Overlap {
        /// The folder of everything made
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

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Nouns {
    /// Faster; for recipes that mask no noun phrases
    Off,
    #[default]
    On,
}

#[derive(Args)]
struct Steps {
    /// Folder of raw dumps, walked recursively: products and reviews of the 2014, 2018 or 2023 generation, plain, gz or zst
    #[arg(long, default_value = SAMPLE)]
    corpus: PathBuf,
    /// Phrase pool to import, `score<TAB>phrase` lines, plain, gz or zst, instead of mining it from the corpus
    #[arg(long, conflicts_with_all = ["quality_list", "entity_list", "stop_words"])]
    pool: Option<PathBuf>,
    #[command(flatten)]
    mining: Mining,
    /// `vocab.txt` of an uncased BERT, or `tokenizer.json` with a WordPiece model
    #[arg(long, default_value = "data/sample/tokenizer.json")]
    tokenizer: PathBuf,
    /// Folder of everything made
    #[arg(long, default_value = "data/work")]
    out: PathBuf,
    /// Least score of a phrase with several words, from 0 to 1; higher keeps fewer
    #[arg(long, default_value_t = 0.5, value_parser = score, allow_negative_numbers = true)]
    min_score: f64,
    /// Least score of a phrase with one word
    #[arg(long, default_value_t = 0.8, value_parser = score, allow_negative_numbers = true)]
    min_score_single: f64,
    /// Longest segment in tokens; the trainer adds [CLS] and [SEP]
    #[arg(long, default_value_t = 254, value_parser = clap::value_parser!(u16).range(1..=510))]
    max_tokens: u16,
    /// Seed of every random draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Workers [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Whether to find noun phrases; they take most of the time of the shards step
    #[arg(long, value_enum, default_value_t)]
    nouns: Nouns,
    /// MiB of raw files for one bucket, that is for one file of products and one of reviews; compressed files count four-fold. Fewer MiB
    /// give more files, which more machines can share
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    bucket_mib: u64,
    /// The share of records, and of lines of a --pool, that may be unreadable: 0.01 is 1%. Above it the run stops
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    max_unreadable: f64,
    /// Go on when raw files are cut short or corrupt; what is before the damage is used
    #[arg(long)]
    allow_damaged: bool,
    /// The most associations of one product that become pairs
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    max_per_product: u64,
    /// How often each pair is written, each time with another negative
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    draws: u64,
    /// For whom the run talks
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

#[derive(Args)]
struct Mining {
    /// Good phrases to learn from, one a line, plain, gz or zst. Over a corpus the default is its categories, brands and attributes; `pipeline
    /// mine` needs a list
    #[arg(long, value_name = "FILE")]
    quality_list: Option<PathBuf>,
    /// Names of things, good phrases or not, one a line: they are not learnt from as bad phrases
    #[arg(long, value_name = "FILE")]
    entity_list: Option<PathBuf>,
    /// Words that say little by themselves, one a line [default: English ones]
    #[arg(long, value_name = "FILE")]
    stop_words: Option<PathBuf>,
    /// Least number of times that a mined phrase occurs; lower it for less than a million words of text
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    min_support: u64,
    /// The most words of a mined phrase
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=16))]
    max_words: u64,
}

impl Mining {
    fn resolve(self, seed: u64) -> run::Mining {
        let options = ebert_mining::Options { min_support: self.min_support, longest: self.max_words as usize, seed };
        let Self { quality_list, entity_list, stop_words, .. } = self;
        run::Mining { quality_list, entity_list, stop_words, options }
    }
}

const SAMPLE: &str = "data/sample";

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("wanted a share from 0 to 1, such as 0.01".to_owned()),
    }
}

fn score(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(score) if f64::is_finite(score) => Ok(score),
        _ => Err("wanted a number, such as 0.5".to_owned()),
    }
}

/// As many workers as were asked for, or one for each core.
fn workers(threads: Option<u16>) -> Threads {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Threads::new(threads.map_or(cores, usize::from))
}

impl Steps {
    fn resolve(self) -> anyhow::Result<(Options, Progress)> {
        let threads = workers(self.threads);
        // The table library starts its own threads; it reads this once.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("POLARS_MAX_THREADS", threads.get().to_string()) };
        let options = Options {
            pool: self.pool,
            // The pool is the same for every seed: another one would make all shards again.
            mining: self.mining.resolve(0),
            corpus: self.corpus,
            tokenizer: self.tokenizer,
            out: self.out,
            min_score: self.min_score,
            min_score_single: self.min_score_single,
            max_tokens: self.max_tokens,
            nouns: self.nouns == Nouns::On,
            seed: self.seed,
            threads,
            bucket_mib: self.bucket_mib,
            max_unreadable: self.max_unreadable,
            allow_damaged: self.allow_damaged,
            max_per_product: self.max_per_product,
            draws: self.draws,
        };
        Ok((options, Progress::new(self.log)))
    }
}

fn main() -> ExitCode {
    // A file-size limit is an error of a write, as a full disk is; not the end of the process.
    // SAFETY: no other thread runs yet, and ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    raise_open_files();
    keep_memory();
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Of what is made for a reader: `inspect`, and `mine` without a file.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = write!(io::stderr(), "{}", schemas::explain(error.as_ref()));
            let usage = error.downcast_ref().is_some_and(RunError::is_usage)
                || error.downcast_ref().is_some_and(mine::CommandError::is_usage);
            if usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Takes as many open files as the system allows this user; the default of 1,024 is for shells.
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

/// Has the allocator keep what is freed for the next batch, instead of giving it back to the system and having it
/// cleared again: a stream frees as much as it takes. Measured: 5% of all CPU time.
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
            let (options, progress) = steps.resolve()?;
            Ok(Run::new(&options, progress, None)?.all()?)
        }
        Command::Corpus(steps) => {
            let (options, progress) = steps.resolve()?;
            let mut run = Run::new(&options, progress, None)?;
            let corpus = run.corpus()?;
            run.left_out_of_corpus(&corpus)?;
            Ok(run.say_next("pipeline pool and pipeline graph")?)
        }
        Command::Pool(steps) => {
            let (options, progress) = steps.resolve()?;
            let mut run = Run::new(&options, progress, None)?;
            let pool = run.pool()?;
            run.left_out_of_pool(&pool)?;
            Ok(run.say_next("pipeline graph, then pipeline shards")?)
        }
        Command::Graph(steps) => {
            let (options, progress) = steps.resolve()?;
            let mut run = Run::new(&options, progress, None)?;
            let corpus = run.corpus_made()?;
            run.graph(&corpus)?;
            Ok(run.say_next("pipeline shards, once there is a pool")?)
        }
        Command::Shards { steps, task, tasks } => {
            let (options, progress) = steps.resolve()?;
            let task = match task {
                Some(task) => Some(task),
                None => task::of_scheduler(tasks, |name| std::env::var(name).ok())
                    .map_err(|error| RunError::Shards(ShardError::Task(error)))?,
            };
            let mut run = Run::new(&options, progress, task)?;
            let corpus = run.corpus_made()?;
            let pool = run.pool_made(&corpus)?;
            let since = Instant::now();
            let (made, counts) = run.encode(&corpus, &pool)?;
            let outcome = if made == 0 { Outcome::UpToDate } else { Outcome::made(since, NEW.to_owned()) };
            let holds = format!("{made} files made   {} tokens", short(counts.tokens));
            let place = options.out.join("shards").display().to_string();
            progress.step("shards", &holds, &place, &outcome)?;
            Ok(run.say_next(&match task.map(Task::of) {
                Some(of) => format!("pipeline pairs when all {of} tasks are done, then pipeline seal --tasks {of}"),
                None => "pipeline pairs, then pipeline seal".to_owned(),
            })?)
        }
        Command::Pairs(steps) => {
            let (options, progress) = steps.resolve()?;
            let mut run = Run::new(&options, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            run.draw_pairs(&corpus, &pool, &graph)?;
            Ok(run.say_next("pipeline seal")?)
        }
        Command::Seal { steps, tasks } => {
            let (options, progress) = steps.resolve()?;
            let mut run = Run::new(&options, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            let (sealed, outcome) = run.seal(&corpus, &pool, &graph, tasks)?;
            run.report_shards(&sealed, 0, 0, &outcome)?;
            Ok(run.say_inspect()?)
        }
        Command::Verify { out } => Ok(verify(&out, &mut Stdout)?),
        Command::Inspect { out, rows, shards, color } => {
            let colour = match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            };
            let mut report = io::BufWriter::new(io::stdout().lock());
            inspect(&out, Look { rows, shards, colour }, &mut report)?;
            Ok(report.flush()?)
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
            let run::Mining { quality_list, entity_list, stop_words, options } = mining.resolve(seed);
            let request = mine::Request {
                text: &text,
                quality_list,
                entity_list,
                stop_words,
                options,
                min_score,
                min_score_single,
                threads: workers(threads),
                output: output.as_deref(),
            };
            Ok(mine::run(&request, &Progress::new(log))?)
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
