//! `ebert pretrain`.
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context;
use ebert_batches::{Shards, masking::Scheme};
use ebert_commands::{PretrainArgs, fetched_shards, is_address};
use ebert_report::report;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use trainer::{
    estimate::Estimate,
    log::{Talk, brief, describe, describe_pairs},
    pretrain::{Ended, pretrain},
    run::{Opened, Plan, Request, Run},
    world::Ranks,
};

use crate::{arguments, words};

/// A run's own page.
pub(crate) const PAGE: &str = "report.html";

/// Trains, or prints what would be trained.
pub(crate) fn train(options: PretrainArgs) -> anyhow::Result<ExitCode> {
    let shards = Shards::folder_of(&fetched_shards(&options.shards));
    let request = Request {
        recipe: arguments::recipe(options.recipe, &shards)?,
        overrides: options.overrides,
        init: options.init,
        made_for: arguments::made_for(&shards),
        datasets: arguments::hub_datasets(&shards),
        shards,
        address: is_address(&options.shards).then(|| options.shards.display().to_string()),
        run: options.out,
        resume: options.resume,
        extend: options.extend,
        device: arguments::device(options.compute.device),
        threads: options.compute.threads,
        talk: arguments::talk(options.console),
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
        let mut line = serde_json::json!({"event": "dry_run", "name": name, "recipe": plan.recipe, "stages": stages});
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
    if is_main && (request.talk.is_for_person() || options.dry_run) {
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
                Talk::Text | Talk::Verbose => {
                    writeln!(out, "up to date: this run is finished\nresult    {}", result.display())?
                }
                Talk::Json => writeln!(out, "{}", serde_json::json!({"event": "up_to_date", "result": result}))?,
                Talk::Quiet => {}
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    // A second Ctrl-C ends the program at once; a second SIGTERM does nothing, since schedulers and
    // make may send it twice.
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 1, stop.clone())
        .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone()))
        .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone()))
        .context("cannot listen for signals")?;
    let (started, before) = (Instant::now(), run.state.tokens);
    let ended = pretrain(&mut run, &stop)?;
    if is_main {
        let page = run.folder.join(PAGE);
        if let Err(error) = report(std::slice::from_ref(&run.folder), &page) {
            // The model is saved, so the run has not failed.
            writeln!(io::stderr(), "warning   cannot write `{}`: {error}", page.display())?;
        }
    }
    let (seconds, tokens) = (started.elapsed().as_secs_f64(), run.state.tokens - before);
    if is_main && request.talk.is_for_person() {
        summary(&run, ended, seconds, tokens)?;
    } else if is_main && request.talk == Talk::Json {
        let event = if ended == Ended::Finished { "finished" } else { "stopped" };
        let (step, steps, result) = (run.state.step, run.state.steps, run.result());
        let line = serde_json::json!({"event": event, "step": step, "steps": steps, "tokens": tokens, "seconds": seconds, "result": result});
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(if ended == Ended::Finished { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
}

/// A bar over the bytes of the shards, which are checked before anything is made.
pub(crate) fn checking_bar(request: &Request) -> ProgressBar {
    if !request.talk.is_for_person() || !request.ranks.is_main() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let total = Shards::bytes(&request.shards).unwrap_or(0);
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
    if let Ok(style) = ProgressStyle::with_template("check     {bar:24} {bytes} of {total_bytes}  {eta} left") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
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
                std::env::args().skip(1).map(|argument| format!(" {}", schemas::quoted(argument.as_ref()))).collect();
            let command = words(&format!("`ebert{arguments}`"));
            writeln!(out, "next      {}\n          resumes from step {}", command.trim_matches('`'), HumanCount(step))
        }
    }
}
