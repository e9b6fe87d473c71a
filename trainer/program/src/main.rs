//! The program `ebert-trainer-libtorch`: the commands of `ebert` that need libtorch.
mod apply;
mod arguments;
mod bench;
mod failure;
mod pretrain;
mod probe;

use std::{
    io::{self, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
};

use ebert_bert::{BertConfig, Compute, Decision, DeviceFacts};
use ebert_commands::{
    AttentionArgs, ClaimsArgs, CurvesArgs, EvaluateArgs, FinetuneArgs, GridArgs, TrainCommand, Wording,
};
use ebert_kernels::device::{Machine, TORCH_VERSION, Wish};
use ebert_report::report;
use ebert_tasks::{
    apply::ApplyError,
    cell::{self, Outcome},
    cells::{self, Place, Report},
    claims::Claims,
    cross_attention::{AttentionError, CrossAttention, scale_of},
    finetune::Voice,
    grid::Grid,
    heads::TaskModel,
    identity,
    request::{CellError, Keep, Other, Request as TaskRequest},
};
use indicatif::HumanCount;
use serde_json::{Value, json};
use tch::Device;
use trainer::{init::folder_of, provenance::brief_path, run::RunError};

use crate::pretrain::PAGE;

/// oneDNN keeps compiled code for this many shapes, if the environment does not say. Rows of tokens
/// differ in length from step to step: with its default of 1,024 a process grows by a gigabyte, and
/// is no faster.
const ONEDNN_SHAPES: &str = "8";

/// The words for whoever ran this program.
static WORDING: std::sync::OnceLock<Wording> = std::sync::OnceLock::new();

/// A message with commands as its reader would type them.
pub(crate) fn words(text: &str) -> String {
    WORDING.get().map_or_else(|| text.to_owned(), |wording| wording.text(text).into_owned())
}

fn main() -> ExitCode {
    if std::env::var_os("ONEDNN_PRIMITIVE_CACHE_CAPACITY").is_none() {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var("ONEDNN_PRIMITIVE_CACHE_CAPACITY", ONEDNN_SHAPES) };
    }
    let command = ebert_commands::parse_trainer();
    WORDING.get_or_init(|| Wording::of(command.name()));
    failure::collect_panics(command.name());
    let outcome = panic::catch_unwind(|| match command {
        TrainCommand::Doctor(log) => doctor(arguments::is_json(log)),
        TrainCommand::Pretrain(options) => pretrain::train(*options),
        TrainCommand::Bench(options) => bench::measure(options),
        TrainCommand::Finetune(options) => finetune(*options),
        TrainCommand::Probe(options) => probe::probe(*options),
        TrainCommand::FillMask(options) => apply::fill_mask(&options),
        TrainCommand::Embed(options) => apply::embed(&options),
        TrainCommand::Similar(options) => apply::nearest(&options),
        TrainCommand::Grid(options) => grid(&options),
        TrainCommand::Evaluate(options) => evaluate(&options),
        TrainCommand::Attention(options) => attention(&options),
        TrainCommand::Curves(options) => curves(options),
        TrainCommand::Claims(options) => claims(&options),
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
        || error.downcast_ref().is_some_and(ApplyError::is_usage)
        || error.is::<arguments::NoRecipe>()
}

fn doctor(json: bool) -> anyhow::Result<ExitCode> {
    let machine = Machine::look();
    arguments::event(json, &facts_of(&machine))?;
    if !json {
        write!(io::stdout(), "{}", words(&machine.to_string()))?;
    }
    let base = BertConfig::base(30_522);
    let devices = (0..machine.usable as usize).map(|gpu| (format!("GPU {gpu}"), Device::Cuda(gpu)));
    for (name, device) in devices.chain([("CPU".to_owned(), Device::Cpu)]) {
        let facts = DeviceFacts::of(device);
        let capability = match &facts {
            DeviceFacts::Gpu(Ok(capability)) => Some(capability.to_string()),
            _ => None,
        };
        let decision = Decision::of(Compute::Auto, &facts, &base)?;
        let facts = json!({
            "event": "compute", "device": name, "capability": capability, "number": decision.kind_name(),
            "path": decision.path_name(), "reason": decision.reason,
        });
        arguments::event(json, &facts)?;
        if !json {
            let capability = capability.map(|it| format!(", compute capability {it}")).unwrap_or_default();
            writeln!(io::stdout(), "compute   {name}{capability}: a BERT-base in {decision}")?;
        }
    }
    if machine.device(Wish::Auto, 0).is_err() {
        return Ok(ExitCode::FAILURE);
    }
    if !json {
        writeln!(io::stdout(), "next      ebert pretrain --help")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a machine has, for a program.
fn facts_of(machine: &Machine) -> Value {
    let Machine { torch, torch_file, gpus, driver, cuda, usable, threads } = machine;
    json!({
        "event": "machine", "libtorch": torch, "libtorch_expected": TORCH_VERSION, "libtorch_file": torch_file,
        "threads": threads, "gpus": gpus, "driver": driver, "gpus_usable": usable, "cuda": cuda.is_ok(), "cuda_reason": cuda.as_ref().err(),
    })
}

fn attention(options: &AttentionArgs) -> anyhow::Result<ExitCode> {
    let AttentionArgs { model, first, second, scale, out: file } = options;
    let folder = folder_of(model, true)?;
    let scale = scale.map_or_else(|| scale_of(&folder), |scale| Ok(arguments::scale(scale)))?;
    let map = CrossAttention::of(&folder, [first, second], scale)?;
    schemas::store::Output::at(file)?.write(map.svg(&brief_path(model)).as_bytes())?;
    let mut out = io::stdout().lock();
    for (from, to, share) in map.strongest() {
        writeln!(out, "{from:>16}  {to:16} {:5.1}%", 100.0 * share)?;
    }
    writeln!(out, "figure    {}", file.display())?;
    Ok(ExitCode::SUCCESS)
}

fn grid(options: &GridArgs) -> anyhow::Result<ExitCode> {
    let grid = Grid::read(&options.grid)?;
    let place = Place { device: arguments::device(options.compute.device), threads: options.compute.threads };
    let json = arguments::is_json(options.log);
    let say = |report: &Report<'_>| {
        // A reader that has gone is not a reason to stop.
        let _ = if json { writeln!(io::stdout(), "{}", report.facts()) } else { writeln!(io::stdout(), "{report}") };
    };
    if let Some(part) = options.part {
        cells::run_share(&grid, part, place, say)?;
        let command = format!("ebert grid {}", schemas::quoted(&options.grid));
        if json {
            arguments::event(json, &json!({"event": "next", "commands": [command]}))?;
            return Ok(ExitCode::SUCCESS);
        }
        let command = words(&format!("`{command}`"));
        writeln!(io::stdout(), "next      when all parts are done: {}", command.trim_matches('`'))?;
        return Ok(ExitCode::SUCCESS);
    }
    let table = if options.finished { cells::tables(&grid, place)? } else { cells::run(&grid, place, say)? };
    table.facts().iter().try_for_each(|facts| arguments::event(json, facts))?;
    arguments::event(json, &json!({"event": "tables", "place": grid.results}))?;
    if !json {
        let (table, results) = (table.markdown(), grid.results.display());
        writeln!(
            io::stdout(),
            "\n{table}\ntables    {results}/table2.html, table2.md, table2.csv\nrecords   {results}/records.jsonl"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn claims(ClaimsArgs { claims, log }: &ClaimsArgs) -> anyhow::Result<ExitCode> {
    let json = arguments::is_json(*log);
    let findings = Claims::read(claims)?.test()?;
    let markdown = findings.markdown();
    for (ending, text) in [("md", &markdown), ("csv", &findings.csv()), ("svg", &findings.svg())] {
        schemas::store::write_file(&claims.with_extension(ending), text.as_bytes())?;
    }
    findings.facts().iter().try_for_each(|facts| arguments::event(json, facts))?;
    let files = ["md", "csv", "svg"].map(|ending| claims.with_extension(ending));
    arguments::event(json, &json!({"event": "written", "files": files}))?;
    if !json {
        let files = files.map(|file| file.display().to_string()).join(", ");
        writeln!(io::stdout(), "{markdown}\nwritten   {files}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn curves(CurvesArgs { runs, out }: CurvesArgs) -> anyhow::Result<ExitCode> {
    let page = out.unwrap_or_else(|| runs[0].join(PAGE));
    report(&runs, &page)?;
    writeln!(io::stdout(), "page      {}", page.display())?;
    Ok(ExitCode::SUCCESS)
}

fn finetune(options: FinetuneArgs) -> anyhow::Result<ExitCode> {
    let FinetuneArgs { model, task, data, test, out, quiet, options, compute, log } = options;
    let json = arguments::is_json(log);
    let (task, options) = (arguments::task(task), arguments::finetune(&options));
    let run = out.unwrap_or_else(|| {
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
        device: arguments::device(compute.device),
        threads: compute.threads,
        weights: Keep::Model,
        other: Other::Refuse,
        voice: match (quiet, json) {
            (true, _) => Voice::Bar,
            (false, true) => Voice::Json,
            (false, false) => Voice::Full,
        },
    };
    let folder = folder_of(&request.model, true)?;
    let hash = identity::hash_of_model(&folder)?;
    let outcome = cell::run(&request, (&folder, &hash))?;
    if json {
        let mut facts = outcome.facts();
        facts["event"] = "result".into();
        facts["task"] = json!(task);
        facts["place"] = json!(request.run);
        arguments::event(json, &facts)?;
        return Ok(ExitCode::SUCCESS);
    }
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
    let family = BertConfig::read(&folder)?.family;
    writeln!(
        out,
        "next      in Python: from transformers import {0}\n          model = {0}.from_pretrained(\"{run}/model\")",
        TaskModel::class(task, &family, request.options.pooling)
    )?;
    Ok(ExitCode::SUCCESS)
}

fn evaluate(options: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let EvaluateArgs { data, predictions: file, min_titles, trained_on, .. } = options;
    let task = arguments::task(options.task);
    let found = ebert_tasks::evaluate::evaluate(task, data, file, (*min_titles, trained_on))?;
    let mut out = io::stdout().lock();
    let files: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
    writeln!(out, "data      {} {} in {}", HumanCount(found.examples as u64), task.examples(), files.join(", "))?;
    for (number, (reason, count, place)) in found.notes.iter().enumerate() {
        writeln!(out, "{:10}{count} {reason} (first {place})", if number == 0 { "notes" } else { "" })?;
    }
    writeln!(
        out,
        "scored    {} predictions in {}; {} {} have none, and do not count",
        HumanCount(found.scored as u64),
        file.display(),
        HumanCount(found.without as u64),
        task.examples()
    )?;
    writeln!(out, "scores    {}", found.scores.describe(task))?;
    Ok(ExitCode::SUCCESS)
}
