//! The command line of the trainer.
mod bench;
mod failure;
mod options;
mod probe;

use std::{
    io::{self, IsTerminal, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context;
use clap::{CommandFactory, Parser, error::ErrorKind};
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
    request::{CellError, Keep, Other, Request as TaskRequest},
};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use options::{Bench, Cli, Command, Finetune, Pretrain};
use tch::Device;
use trainer::{
    data::Shards,
    estimate::Estimate,
    init::folder_of,
    log::{SILENCE, Talk, brief, describe, describe_pairs},
    pretrain::{Ended, pretrain},
    recipe::Scheme,
    report,
    run::{Opened, Plan, Request, Run, RunError},
    world::Ranks,
};

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
        Command::Probe(options) => probe::probe(options),
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
            let head_steps = stage.head_until - stage.steps.start;
            serde_json::json!({"corpora": corpora, "neighbor": stage.neighbor, "steps": steps, "head_steps": head_steps, "steps_per_epoch": stage.steps_per_epoch})
        });
        let (name, stages): (String, Vec<_>) = (plan.name().to_string(), stages.collect());
        let mut line = serde_json::json!({"event": "dry run", "name": name, "recipe": plan.recipe, "stages": stages});
        if plan.recipe.scheme == Scheme::Adaptive {
            line["switch_warmup_steps"] = plan.schedule.warmup_steps.into();
        }
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
            let head = if stage.head_until == stage.steps.end { " of the head alone" } else { "" };
            format!("{} steps{head} on {}{neighbor} ({epochs:.2} epochs)", HumanCount(steps), corpora.join(", "))
        });
        let stages: Vec<String> = stages.collect();
        let stages =
            if stages.is_empty() { "no step: the model stays as it is".to_owned() } else { stages.join(", then ") };
        writeln!(out, "recipe    {}: {stages}", plan.name())?;
        let schedule = &plan.schedule;
        for text in [schedule.about_head(&plan.recipe), schedule.about_switch(&plan.recipe)].into_iter().flatten() {
            writeln!(out, "{text}")?;
        }
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
        TaskModel::architecture(task, request.options.pooling)
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

/// What a run did, where its result is, and what to type next.
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
        if let (Some(first), Some(last)) = (run.state.first_measured_pairs, run.state.last_measured_pairs) {
            writeln!(out, "          {}   at first", describe_pairs(&first))?;
            writeln!(out, "          {}   at last", describe_pairs(&last))?;
        }
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
