//! The command line of the trainer.
mod bench;
mod failure;

use std::{
    io::{self, IsTerminal, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use ebert_bert::{BertConfig, Compute, Decision, DeviceFacts};
use ebert_kernels::device::{Machine, Wish};
use ebert_tasks::{
    Task,
    cell::{self, Outcome},
    cells::{self, Place},
    cross_attention::{AttentionError, CrossAttention, scale_of},
    finetune::Voice,
    grid::Grid,
    heads::TaskModel,
    identity,
    options::Options as TaskOptions,
    request::{CellError, Keep, Other, Request as TaskRequest},
};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::Task as Share;
use tch::Device;
use trainer::{
    data::Shards,
    estimate::Estimate,
    init::folder_of,
    log::{SILENCE, Talk, brief, describe},
    neighbor::Scale,
    pretrain::{Ended, pretrain},
    report,
    run::{Opened, Plan, Request, Run, RunError},
    world::Ranks,
};

/// Training shards to an E-BERT checkpoint.
#[derive(Parser)]
#[command(name = "trainer", bin_name = "trainer", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
struct Bench {
    /// The folder that `make shards` made
    #[arg(long, default_value = "data/work")]
    out: PathBuf,
    /// The recipe whose steps are measured, in word mode
    #[arg(long, default_value = "e-bert")]
    recipe: String,
    /// The shape of the model, with fresh weights
    #[arg(long, value_enum, default_value_t)]
    shape: Shape,
    /// A model to measure instead: a Hugging Face folder, or an id on the hub
    #[arg(long, conflicts_with = "shape")]
    init: Option<PathBuf>,
    /// Change a value of the recipe, such as optimizer.tokens=65536
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Steps that are measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps before them
    #[arg(long, default_value_t = 5)]
    warm: u32,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write the batches and the model's configuration here, for others to train on the same
    #[arg(long)]
    export: Option<PathBuf>,
    /// For whom it talks
    #[arg(long, value_enum, default_value_t)]
    log: Talk,
}

/// Shapes of BERTs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
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
    fn overrides(self) -> Vec<String> {
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
struct Pretrain {
    /// The folder that `make shards` made
    #[arg(long, default_value = "data/work")]
    out: PathBuf,
    /// A recipe of the project (bert-raw, bert, bert-np, spanbert, e-bert-dp, e-bert-ahm, e-bert, sample) or the path of a .toml file
    #[arg(long, default_value = "sample")]
    recipe: String,
    /// A BERT to start from: a Hugging Face folder, or an id on the hub such as bert-base-uncased
    #[arg(long)]
    init: Option<PathBuf>,
    /// The run's folder [default: OUT/runs/NAME-OF-RECIPE]
    #[arg(long)]
    run: Option<PathBuf>,
    /// Fail if the run's folder holds no run to resume. (A stopped run resumes without this, too)
    #[arg(long)]
    resume: bool,
    /// Continue a run, also a finished one, with other numbers of epochs or steps than it began with. The learning rate of the
    /// steps to come follows the new schedule
    #[arg(long)]
    extend: bool,
    /// Change a value of the recipe, such as optimizer.learning_rate=5e-5 or stage.0.epochs=1; may be given several times. The keys are
    /// those of trainer/recipes/e-bert.toml
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Say what would be trained, with every value of the recipe, and what it takes (from a few steps that are not kept); then stop
    #[arg(long)]
    dry_run: bool,
    /// For whom the run talks
    #[arg(long, value_enum, default_value_t)]
    log: Talk,
}

#[derive(clap::Args)]
struct Finetune {
    /// What to start from: a Hugging Face folder, the folder of a run, or an id on the hub such as bert-base-uncased
    #[arg(long)]
    model: PathBuf,
    /// The task
    #[arg(long, value_enum)]
    task: Task,
    /// Its file: SQuAD 1.1 JSON (rqa), SemEval 2014 XML (ae, asc), JSON lines of `pipeline titles` (pc). Several files are read as one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The test, where it has a file of its own; else a fifth of the documents is the test
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// The folder of the result [default: the path of MODEL with -TASK, such as real/runs/e-bert-pc]
    #[arg(long)]
    run: Option<PathBuf>,
    #[command(flatten)]
    options: TaskOptions,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// A run's own page.
const PAGE: &str = "report.html";

/// oneDNN keeps compiled code for this many shapes, if the environment does not say. Rows of tokens differ in length from step
/// to step: with its default of 1,024 a process grows by a gigabyte, and is no faster.
const ONEDNN_SHAPES: &str = "8";

fn main() -> ExitCode {
    if std::env::var_os("ONEDNN_PRIMITIVE_CACHE_CAPACITY").is_none() {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var("ONEDNN_PRIMITIVE_CACHE_CAPACITY", ONEDNN_SHAPES) };
    }
    let command = Cli::parse().command;
    failure::collect_panics();
    let outcome = panic::catch_unwind(|| match command {
        Command::Doctor => doctor(),
        Command::Pretrain(options) => train(options),
        Command::Bench(options) => measure(options),
        Command::Attention { model, first, second, scale, output } => {
            let folder = folder_of(&model, true)?;
            let scale = scale.unwrap_or_else(|| scale_of(&folder));
            let map = CrossAttention::of(&folder, [&first, &second], scale)?;
            schemas::store::Output::at(&output)?.write(map.svg().as_bytes())?;
            let mut out = io::stdout().lock();
            for (from, to, share) in map.strongest() {
                writeln!(out, "{from:>16}  {to:16} {:5.1}%", 100.0 * share)?;
            }
            writeln!(out, "figure    {}", output.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Finetune(options) => finetune(options),
        Command::Evaluate { task, data, predictions, min_titles, trained_on } => {
            evaluate(task, &data, &predictions, (min_titles, &trained_on))
        }
        Command::Report { runs, output: Some(_), .. } if runs.len() == 1 && is_toml(&runs[0]) => {
            let what =
                "--output is the page of runs; the tables of a grid are in the folder that it names as `results`";
            Cli::command().error(ErrorKind::ArgumentConflict, what).exit()
        }
        Command::Report { runs, task, device, threads, .. } if runs.len() == 1 && is_toml(&runs[0]) => {
            let grid = Grid::read(&runs[0])?;
            let place = Place { device, threads };
            let say = |line: &str| {
                // A reader that has gone is no reason to stop.
                let _ = writeln!(io::stdout(), "{line}");
            };
            if let Some(task) = task {
                cells::run_share(&grid, task, place, say)?;
                let grid = runs[0].display();
                writeln!(io::stdout(), "next      when all tasks are done: make report GRID={grid}")?;
                return Ok(ExitCode::SUCCESS);
            }
            let table = cells::run(&grid, place, say)?;
            let results = grid.results.display();
            writeln!(io::stdout(), "\n{table}\ntables    {results}/table2.html, table2.md, table2.csv")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Report { task: Some(_), .. } => {
            let what = "--task is a share of a grid's cells: name one grid, such as trainer/grids/table2.toml";
            Cli::command().error(ErrorKind::ArgumentConflict, what).exit()
        }
        Command::Report { runs, output, .. } => {
            let page = output.unwrap_or_else(|| runs[0].join(PAGE));
            report::report(&runs, &page)?;
            writeln!(io::stdout(), "page      {}", page.display())?;
            Ok(ExitCode::SUCCESS)
        }
    });
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            failure::tell(&error);
            if is_usage(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
        Err(_) => {
            failure::tell(&failure::first_panic());
            ExitCode::FAILURE
        }
    }
}

/// Whether another command line would do.
fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(RunError::is_usage)
        || error.downcast_ref().is_some_and(CellError::is_usage)
        || error.downcast_ref().is_some_and(AttentionError::is_usage)
}

fn doctor() -> anyhow::Result<ExitCode> {
    let machine = Machine::look();
    write!(io::stdout(), "{machine}")?;
    let base = BertConfig::base(30_522);
    let devices = (0..machine.usable as usize).map(|gpu| (format!("GPU {gpu}"), Device::Cuda(gpu)));
    for (name, device) in devices.chain([("CPU".to_owned(), Device::Cpu)]) {
        let facts = DeviceFacts::of(device);
        let capability = match &facts {
            DeviceFacts::Gpu(Ok(capability)) => format!(", compute capability {capability}"),
            _ => String::new(),
        };
        let decision = Decision::of(Compute::Auto, &facts, &base)?;
        writeln!(io::stdout(), "compute   {name}{capability}: a BERT-base in {decision}")?;
    }
    if machine.device(Wish::Auto, 0).is_err() {
        return Ok(ExitCode::FAILURE);
    }
    writeln!(io::stdout(), "next      trainer pretrain --help")?;
    Ok(ExitCode::SUCCESS)
}

fn train(options: Pretrain) -> anyhow::Result<ExitCode> {
    let request = Request {
        out: options.out,
        recipe: options.recipe,
        overrides: options.overrides,
        init: options.init,
        run: options.run,
        resume: options.resume,
        extend: options.extend,
        device: options.device,
        threads: options.threads,
        talk: options.log,
        ranks: Ranks::from_environment()?,
    };
    let is_main = request.ranks.is_main();
    let bar = checking_bar(&request);
    let plan = Plan::make(&request, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let mut plan = plan?;
    if options.dry_run && !is_main {
        return Ok(ExitCode::SUCCESS);
    }
    if options.dry_run && request.talk == Talk::Json {
        let stages = plan.schedule.stages.iter().map(|stage| {
            let corpora: Vec<String> = stage.corpora.iter().map(ToString::to_string).collect();
            let steps = stage.steps.end - stage.steps.start;
            serde_json::json!({"corpora": corpora, "neighbor": stage.neighbor, "steps": steps, "steps_per_epoch": stage.steps_per_epoch})
        });
        let (name, stages): (String, Vec<_>) = (plan.name().to_string(), stages.collect());
        let mut line = serde_json::json!({"event": "dry run", "name": name, "recipe": plan.recipe, "stages": stages});
        if plan.schedule.steps() > 0 {
            let estimate = Estimate::of(&mut plan, &request)?;
            line["estimate"] = serde_json::json!({"tokens": estimate.tokens, "seconds": estimate.time.as_secs_f64(), "memory": estimate.memory});
        }
        writeln!(io::stdout(), "{line}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if is_main && (request.talk == Talk::Text || options.dry_run) {
        let mut out = io::stdout().lock();
        write!(out, "{}", plan.shards)?;
        let stages = plan.schedule.stages.iter().map(|stage| {
            let corpora: Vec<String> = stage.corpora.iter().map(ToString::to_string).collect();
            let neighbor = if stage.neighbor { " and pairs" } else { "" };
            let steps = stage.steps.end - stage.steps.start;
            let epochs = steps as f64 / stage.steps_per_epoch as f64;
            format!("{} steps on {}{neighbor} ({epochs:.2} epochs)", HumanCount(steps), corpora.join(", "))
        });
        let stages: Vec<String> = stages.collect();
        let stages =
            if stages.is_empty() { "no step: the model stays as it is".to_owned() } else { stages.join(", then ") };
        writeln!(out, "recipe    {}: {stages}", plan.name())?;
    }
    if options.dry_run {
        for note in &plan.start.notes {
            writeln!(io::stdout(), "note      {note}")?;
        }
        write!(
            io::stdout(),
            "{}",
            plan.recipe.to_toml().lines().fold(String::new(), |text, line| text + "  " + line + "\n")
        )?;
        if plan.schedule.steps() > 0 {
            writeln!(io::stdout(), "{}", Estimate::of(&mut plan, &request)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut run = match plan.open(&request)? {
        Opened::Ready(run) => run,
        Opened::Finished(result) => {
            let mut out = io::stdout();
            match request.talk {
                _ if !is_main => {}
                Talk::Text => writeln!(out, "up to date: this run is finished\nresult    {}", result.display())?,
                Talk::Json => writeln!(out, "{}", serde_json::json!({"event": "up to date", "result": result}))?,
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    // A second Ctrl-C ends the program at once; a second SIGTERM does nothing, since schedulers and make may send it twice.
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 1, stop.clone())
        .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone()))
        .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone()))
        .context("cannot listen for signals")?;
    let (started, before) = (Instant::now(), run.state.tokens);
    let ended = pretrain(&mut run, &stop)?;
    if is_main {
        report::report(std::slice::from_ref(&run.folder), &run.folder.join(PAGE))?;
    }
    if is_main && request.talk == Talk::Text {
        summary(&run, ended, started.elapsed().as_secs_f64(), run.state.tokens - before)?;
    }
    Ok(if ended == Ended::Finished { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
}

fn measure(options: Bench) -> anyhow::Result<ExitCode> {
    let shape = if options.init.is_some() { Vec::new() } else { options.shape.overrides() };
    let request = Request {
        out: options.out,
        recipe: options.recipe,
        overrides: [shape, options.overrides].concat(),
        init: options.init,
        run: None,
        resume: false,
        extend: false,
        device: options.device,
        threads: options.threads,
        talk: options.log,
        ranks: Ranks::alone(),
    };
    let bar = checking_bar(&request);
    let mut plan = Plan::make(&request, |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    let what = bench::Measure {
        steps: options.steps as usize,
        warm: options.warm as usize,
        export: options.export.as_deref(),
    };
    let steps = u64::from(options.warm + options.steps);
    let bar = match request.talk {
        Talk::Text => ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4)),
        Talk::Json => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("measure   {bar:24} {pos}/{len}  {eta} left") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.tick();
    let mut said = Instant::now();
    let measured = bench::bench(&mut plan, &request, what, |step| {
        bar.set_position(step as u64);
        // Where there is no bar, a line now and then.
        if request.talk == Talk::Text && bar.is_hidden() && said.elapsed() > SILENCE {
            said = Instant::now();
            let _ = writeln!(io::stderr(), "measure   step {step} of {steps}");
        }
    })?;
    bar.finish_and_clear();
    match request.talk {
        Talk::Text => write!(io::stdout(), "{measured}")?,
        Talk::Json => writeln!(io::stdout(), "{}", serde_json::to_string(&measured)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_toml(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn finetune(options: Finetune) -> anyhow::Result<ExitCode> {
    let Finetune { model, task, data, test, run, options, device, threads } = options;
    let run = run.unwrap_or_else(|| {
        // Without a slash at the end; a folder that is named `.` has its real name.
        let real = if model.file_name().is_none() { model.canonicalize().ok() } else { None };
        let mut name = real.as_deref().unwrap_or(&model).components().as_path().as_os_str().to_owned();
        name.push(format!("-{task}"));
        PathBuf::from(name)
    });
    let request = TaskRequest {
        model,
        task,
        data,
        test,
        run,
        options,
        device,
        threads,
        weights: Keep::Model,
        other: Other::Refuse,
        voice: Voice::Full,
    };
    let folder = folder_of(&request.model, true)?;
    let hash = identity::hash_of_model(&folder)?;
    let outcome = cell::run(&request, (&folder, &hash))?;
    let (metrics, run) = (outcome.metrics(), request.run.display());
    let mut out = io::stdout().lock();
    match &outcome {
        Outcome::UpToDate(_) => writeln!(out, "up to date: this fine-tuning is finished")?,
        Outcome::Made(_) => writeln!(
            out,
            "kept      learning rate {:e}, epoch {}   {:.1} s",
            metrics.learning_rate, metrics.epochs, metrics.seconds
        )?,
    }
    writeln!(out, "test      {}", metrics.test.describe(task))?;
    writeln!(out, "result    {run}/model   (metrics.json and predictions.jsonl in {run})")?;
    writeln!(
        out,
        "next      in Python: from transformers import {0}\n          model = {0}.from_pretrained(\"{run}/model\")",
        TaskModel::architecture(task)
    )?;
    Ok(ExitCode::SUCCESS)
}

fn evaluate(
    task: Task,
    data: &[PathBuf],
    file: &std::path::Path,
    of_labels: (usize, &[PathBuf]),
) -> anyhow::Result<ExitCode> {
    let found = ebert_tasks::evaluate::evaluate(task, data, file, of_labels)?;
    let mut out = io::stdout().lock();
    let files: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
    writeln!(out, "data      {} {} in {}", found.examples, task.examples(), files.join(", "))?;
    for (number, (reason, count, place)) in found.notes.iter().enumerate() {
        writeln!(out, "{:10}{count} {reason} (first {place})", if number == 0 { "notes" } else { "" })?;
    }
    writeln!(
        out,
        "scored    {} predictions in {}; {} {} have none, and do not count",
        found.scored,
        file.display(),
        found.without,
        task.examples()
    )?;
    writeln!(out, "scores    {}", found.scores.describe(task))?;
    Ok(ExitCode::SUCCESS)
}

/// A bar over the bytes of the shards, which are checked before anything is made.
fn checking_bar(request: &Request) -> ProgressBar {
    if request.talk == Talk::Json || !request.ranks.is_main() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let total = Shards::bytes(&request.out.join("shards")).unwrap_or(0);
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
    if let Ok(style) = ProgressStyle::with_template("check     {bar:24} {bytes} of {total_bytes}  {eta} left") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// Exit status of a run that a signal stopped, with all state saved.
const STOPPED: u8 = 75;

fn summary(run: &Run, ended: Ended, seconds: f64, tokens: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let rate = brief(tokens as f64 / seconds.max(1e-9));
    let (step, steps) = (run.state.step, run.state.steps);
    writeln!(
        out,
        "train     step {} of {}   {} tokens in {seconds:.1} s   {rate} tokens/s",
        HumanCount(step),
        HumanCount(steps),
        brief(tokens as f64)
    )?;
    if run.state.skipped > 0 {
        writeln!(out, "skipped   {} steps whose gradient was not finite", HumanCount(run.state.skipped))?;
    }
    if !run.state.last_measured.is_empty() && run.state.first_measured != run.state.last_measured {
        writeln!(out, "held out  {}   at first", describe(&run.state.first_measured))?;
        writeln!(out, "          {}   at last", describe(&run.state.last_measured))?;
    }
    let result = run.result();
    writeln!(out, "result    {}   (report.html, metrics and events in {})", result.display(), run.folder.display())?;
    match ended {
        Ended::Finished => writeln!(
            out,
            "next      in Python: from transformers import AutoModelForMaskedLM, AutoTokenizer\n          \
             model, tokenizer = [c.from_pretrained(\"{}\") for c in (AutoModelForMaskedLM, AutoTokenizer)]",
            result.display()
        ),
        Ended::Stopped => {
            let arguments: String =
                std::env::args().skip(1).map(|argument| format!(" {}", quoted(&argument))).collect();
            writeln!(out, "next      trainer{arguments}\n          resumes from step {}", HumanCount(step))
        }
    }
}
