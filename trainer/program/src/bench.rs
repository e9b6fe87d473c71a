//! How fast training is, and what bounds it: `ebert bench`, which `make bench-train` compares with
//! `transformers`.
//!
//! The lower bound of a step's time is that of its matrix products. They run at the rate of one
//! large product on the same device, measured in the same run. All else in a step (softmax, norms,
//! activations, dropout, the optimizer) is bound by memory and counts as loss.
use std::{
    fmt,
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use ebert_commands::{BenchArgs, Console};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::StoreError;
use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor};

use ebert_batches::{
    Batch, DataError, Position, SegmentPlan, Shards,
    masking::{MaskMode, Masking},
    segment_batches,
};
use ebert_bert::{BertConfig, BertForMaskedLm, Family, Packed, Phase};
use ebert_kernels::device::Machine;
use trainer::{
    estimate::peak_memory,
    log::{Talk, brief},
    model::PretrainingModel,
    optimizer::Optimizer,
    run::{Plan, Request, RunError},
    session::{self, Pending, Session},
    step::masked_gradients,
    world::{Ranks, World},
};

use crate::{arguments, pretrain::checking_bar};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure<'a> {
    /// Steps that are measured.
    pub steps: usize,
    /// Steps before them.
    pub warm: usize,
    /// Where to write the batches, for others to train on the same.
    pub export: Option<&'a Path>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// `cpu` or `cuda`.
    pub device: String,
    /// Kind of number of the layers.
    pub compute: String,
    /// Name of the GPU, if that is the device.
    pub gpu: Option<String>,
    /// Version of libtorch, if it is known.
    pub torch: Option<String>,
    /// The most tokens of a segment, special tokens not counted.
    pub max_tokens: u16,
    /// Threads of the CPU.
    pub threads: i32,
    /// Steps that were measured.
    pub steps: usize,
    /// Sequences of a step, on average.
    pub sequences: f64,
    /// Tokens of a step, special tokens counted, on average.
    pub tokens: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// Share of the time that went by until a batch was there: the most that the device can have
    /// waited for data.
    pub waited: f64,
    /// FLOP a second of one large matrix product.
    pub matrix_rate: f64,
    /// FLOP of the matrix products of a token, forward and backward.
    pub flop_per_token: f64,
    /// Model FLOP utilization: the ratio of the steps' rate to the matrix rate.
    pub utilisation: f64,
    /// Most memory of the process in bytes; on a GPU, memory of the GPU.
    pub memory: Option<u64>,
    /// Where the time of one step goes, each part waited for.
    pub parts: Vec<Part>,
}

/// A part of a step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    /// What it is.
    pub name: &'static str,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of its matrix products at the matrix rate. For the optimizer, seconds of the memory
    /// that it reads and writes, at the rate of a copy.
    pub floor: f64,
}

/// FLOP of the matrix products of one forward pass: of the encoder over sequences of these lengths,
/// and of the head at so many tokens.
fn forward_flop(config: &BertConfig, lengths: &[usize], selected: usize) -> [f64; 2] {
    let [h, inner, layers] = [config.hidden_size, config.intermediate_size, config.num_hidden_layers].map(|n| n as f64);
    let tokens: f64 = lengths.iter().map(|&n| n as f64).sum();
    let squares: f64 = lengths.iter().map(|&n| (n as f64).powi(2)).sum();
    // A gated feed-forward layer has three matrices, others two.
    let feed_forward = if matches!(config.family, Family::ModernBert(_)) { 6.0 } else { 4.0 };
    // Four projections and the feed-forward layer, 2 FLOP per weight; scores and their use, 2 h each
    // for a pair of tokens. Windows are computed in full.
    let encoder = layers * (tokens * (8.0 * h * h + feed_forward * h * inner) + 4.0 * h * squares);
    [encoder, selected as f64 * (2.0 * h * h + 2.0 * h * config.vocab_size as f64)]
}

/// Measures and prints.
pub(crate) fn measure(options: BenchArgs) -> anyhow::Result<ExitCode> {
    let shape = if options.init.is_some() { Vec::new() } else { arguments::shape(options.shape) };
    let request = Request {
        shards: Shards::folder_of(&ebert_commands::fetched_shards(&options.shards)),
        recipe: options.recipe,
        overrides: [shape, options.overrides].concat(),
        init: options.init,
        made_for: None,
        datasets: Vec::new(),
        address: None,
        run: None,
        resume: false,
        extend: false,
        device: arguments::device(options.compute.device),
        threads: options.compute.threads,
        talk: arguments::talk(Console { log: options.log.log, ..Console::default() }),
        ranks: Ranks::alone(),
    };
    let bar = checking_bar(&request);
    let mut plan = Plan::make(&request, |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    let what =
        Measure { steps: options.steps as usize, warm: options.warm as usize, export: options.export.as_deref() };
    let steps = u64::from(options.warm + options.steps);
    let bar = match request.talk {
        _ if request.talk.is_for_person() => {
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4))
        }
        _ => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("measure   {bar:24} {pos}/{len}  {eta} left") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.tick();
    let mut said = Instant::now();
    let measured = bench(&mut plan, &request, what, |step| {
        bar.set_position(step as u64);
        // Without a bar, print a line now and then.
        if request.talk.is_for_person() && bar.is_hidden() && said.elapsed() > request.talk.silence() {
            said = Instant::now();
            let _ = writeln!(io::stderr(), "measure   step {step} of {steps}");
        }
    })?;
    bar.finish_and_clear();
    match request.talk {
        Talk::Text | Talk::Verbose | Talk::Quiet => write!(io::stdout(), "{measured}")?,
        Talk::Json => writeln!(io::stdout(), "{}", serde_json::to_string(&measured)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures training in word mode on the batches that a run would have. Calls `done` after each
/// step, also after those before the measured ones.
///
/// # Errors
/// As training: when data or weights cannot be read, or libtorch refuses; and when the batches
/// cannot be written.
pub(crate) fn bench(
    plan: &mut Plan,
    request: &Request,
    measure: Measure<'_>,
    mut done: impl FnMut(usize),
) -> Result<Measured, RunError> {
    let recipe = plan.recipe.clone();
    let device = session::prepare(request.device, 0, request.threads)?;
    let machine = Machine::look();
    let lowest_score = plan.shards.manifest().body.pool.lowest_score;
    let masking = Arc::new(Masking::new(recipe.masking, plan.shards.vocabulary().clone(), lowest_score));
    let Some(stage) = plan.schedule.stages.first() else {
        return Err(RunError::NothingToMeasure);
    };
    let segments =
        SegmentPlan { modes: vec![MaskMode::Word], ..stage.segment_plan(&recipe, &plan.start.config.family) };
    let shards = plan.shards.clone();
    let stream = || segment_batches(&shards, &masking, segments.clone(), Position::default());
    let many = measure.warm + measure.steps;
    if let Some(folder) = measure.export {
        let mut batches = stream()?;
        let told: Result<Vec<Batch>, DataError> = (0..many).map(|_| batches.next_batch()).collect();
        export(folder, &plan.start.training_config(), &told?)?;
    }

    let model = plan.start.model(recipe.seed, device, recipe.compute)?;
    let decision = model.encoder().decision().clone();
    let matrix_rate = matrix_rate(device, decision.kind);
    let copy_rate = copy_rate(device);
    let config = model.encoder().config().clone();
    let mut session = Session::new(PretrainingModel::new(model, &recipe), recipe.optimizer, World::alone());
    let micro_batch = recipe.optimizer.micro_batch_tokens;
    let (mut since, mut waited) = (Instant::now(), Duration::ZERO);
    let (mut tokens, mut sequences, mut flop) = (0, 0, 0.0);
    let mut last = None;
    let mut batches = stream()?;
    // As in training, a step is launched while the device is at work on the one before.
    let mut launched: Option<Pending> = None;
    for step in 0..many {
        if step == measure.warm {
            wait_for(device);
            (since, waited) = (Instant::now(), Duration::ZERO);
        }
        let asked = Instant::now();
        let batch = batches.next_batch()?;
        waited += asked.elapsed();
        let masked = |model: &_, world: &_| masked_gradients(model, &batch, MaskMode::Word, micro_batch, world);
        let pending = session.step(Box::new(masked), None, recipe.optimizer.learning_rate, false)?;
        if let Some(before) = launched.replace(pending) {
            before.finish()?;
        }
        if step >= measure.warm {
            tokens += batch.lengths.iter().sum::<usize>();
            sequences += batch.lengths.len();
            let forward = forward_flop(&config, &batch.lengths, batch.masked[0].selected.len());
            flop += 3.0 * (forward[0] + forward[1]);
        }
        last = Some(batch);
        done(step + 1);
    }
    drop(launched);
    wait_for(device);
    let seconds = since.elapsed().as_secs_f64();
    let memory = if device.is_cuda() { gpu_memory() } else { peak_memory() };
    let parts = match &last {
        Some(batch) => parts(&session.model.bert, &mut session.optimizer, batch, [matrix_rate, copy_rate])?,
        None => Vec::new(),
    };
    let each = |n: usize| n as f64 / measure.steps.max(1) as f64;
    Ok(Measured {
        device: if device.is_cuda() { "cuda" } else { "cpu" }.to_owned(),
        compute: decision.to_string(),
        gpu: machine.gpus.first().filter(|_| device.is_cuda()).cloned(),
        torch: machine.torch,
        max_tokens: shards.manifest().body.max_tokens,
        threads: tch::get_num_threads(),
        steps: measure.steps,
        sequences: each(sequences),
        tokens: each(tokens),
        tokens_per_second: tokens as f64 / seconds,
        waited: waited.as_secs_f64() / seconds,
        matrix_rate,
        flop_per_token: flop / tokens.max(1) as f64,
        utilisation: flop / seconds / matrix_rate,
        memory,
        parts,
    })
}

/// Takes a step apart: what each part takes when it is waited for.
fn parts(
    model: &BertForMaskedLm,
    optimizer: &mut Optimizer,
    batch: &Batch,
    [matrix_rate, copy_rate]: [f64; 2],
) -> Result<Vec<Part>, RunError> {
    let device = model.encoder().device();
    let masked = &batch.masked[0];
    let [encoder, head] = forward_flop(model.encoder().config(), &batch.lengths, masked.selected.len());
    let mut parts = Vec::new();
    let mut timed = |name: &'static str, floor: f64, since: Instant| {
        wait_for(device);
        parts.push(Part { name, seconds: since.elapsed().as_secs_f64(), floor });
    };
    wait_for(device);
    let since = Instant::now();
    let packed = Packed::new(&masked.input_ids, &batch.lengths, model.encoder().device());
    timed("batch to the device", 0.0, since);
    let since = Instant::now();
    let _ = tch::no_grad(|| model.encoder().encode(&packed, Phase::Train));
    timed("encoder, forward", encoder / matrix_rate, since);
    let since = Instant::now();
    let loss = (!masked.selected.is_empty())
        .then(|| model.loss_at(&packed, &masked.selected, &masked.labels, Phase::Train) / masked.selected.len() as f64);
    timed("all, forward", (encoder + head) / matrix_rate, since);
    let since = Instant::now();
    if let Some(loss) = loss {
        loss.backward();
    }
    timed("all, backward", 2.0 * (encoder + head) / matrix_rate, since);
    let since = Instant::now();
    let _ = optimizer.step(0.0)?;
    // Weights, gradients and two averages are read, and all but the gradients written; the
    // gradients are set to zero, and their norm read.
    let bytes = 4.0 * model.parameters().count() as f64 * 9.0;
    timed("optimizer", bytes / copy_rate, since);
    Ok(parts)
}

/// Waits until the device is done.
fn wait_for(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// The best time of some calls of `work`, in seconds.
fn best_of(device: Device, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begun = Instant::now();
    for round in 0..20 {
        wait_for(device);
        let since = Instant::now();
        work();
        wait_for(device);
        // The first call warms up.
        if round > 0 {
            best = best.min(since.elapsed().as_secs_f64());
        }
        if round > 2 && begun.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    best
}

/// FLOP a second of one large matrix product.
fn matrix_rate(device: Device, compute: Kind) -> f64 {
    let n: i64 = if device.is_cuda() { 8192 } else { 2048 };
    let [a, b] = [0, 1].map(|_| Tensor::randn([n, n], (Kind::Float, device)).to_kind(compute));
    let seconds = best_of(device, || {
        let _ = a.matmul(&b);
    });
    2.0 * (n as f64).powi(3) / seconds
}

/// Bytes per second that a large copy reads and writes.
fn copy_rate(device: Device) -> f64 {
    let n: i64 = if device.is_cuda() { 1 << 28 } else { 1 << 25 };
    let from = Tensor::zeros([n], (Kind::Float, device));
    let mut to = from.zeros_like();
    2.0 * 4.0 * n as f64 / best_of(device, || to.copy_(&from))
}

/// Memory of the GPU that is in use, as its driver says, in bytes.
fn gpu_memory() -> Option<u64> {
    let asked = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
    let output = std::process::Command::new("nvidia-smi").args(asked).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().parse::<u64>().ok()? << 20)
}

/// Writes the batches as lines of JSON, and the shape of the model.
fn export(folder: &Path, config: &BertConfig, batches: &[Batch]) -> Result<(), RunError> {
    std::fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    let path = folder.join("batches.jsonl");
    let file = std::fs::File::create(&path).map_err(StoreError::io("create", &path))?;
    let mut file = BufWriter::new(file);
    for batch in batches {
        let masked = &batch.masked[0];
        let line = serde_json::json!({
            "ids": masked.input_ids, "lengths": batch.lengths, "selected": masked.selected, "labels": masked.labels,
        });
        writeln!(file, "{line}").map_err(StoreError::io("write", &path))?;
    }
    file.flush().map_err(StoreError::io("write", &path))?;
    let text = config.to_json(0).unwrap_or_default();
    Ok(schemas::store::write_file(&folder.join("config.json"), text.as_bytes()).map(|_| ())?)
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: f64| format!("{:.1}%", 100.0 * part);
        writeln!(f, "device    {} with {} threads, computes in {}", self.device, self.threads, self.compute)?;
        writeln!(f, "steps     {} of {} tokens in {:.0} sequences", self.steps, brief(self.tokens), self.sequences)?;
        writeln!(f, "rate      {} tokens/s", brief(self.tokens_per_second))?;
        writeln!(
            f,
            "bound     {} tokens/s: {} FLOP per token at {} FLOP/s of one large matrix product",
            brief(self.matrix_rate / self.flop_per_token),
            brief(self.flop_per_token),
            brief(self.matrix_rate)
        )?;
        writeln!(f, "reached   {} of it (model FLOP utilization)", share(self.utilisation))?;
        writeln!(f, "data      waited for in {} of the time at most", share(self.waited))?;
        if let Some(memory) = self.memory {
            writeln!(f, "memory    {:.2} GB", memory as f64 / 1e9)?;
        }
        writeln!(f, "one step, each part waited for      ms    bound")?;
        for part in &self.parts {
            writeln!(f, "          {:22} {:10.1} {:8.1}", part.name, 1e3 * part.seconds, 1e3 * part.floor)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flop_of_bert_base_are_those_of_its_weights() {
        let text = r#"{"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            "intermediate_size": 3072}"#;
        let config: BertConfig = serde_json::from_str(text).unwrap();
        let [encoder, head] = forward_flop(&config, &[128; 10], 0);
        // 85 M weights in matrices, 2 FLOP each, and 12 x 4 x 768 x 128 for attention.
        assert_eq!((encoder / 1280.0, head), (2.0 * 84_934_656.0 + 12.0 * 4.0 * 768.0 * 128.0, 0.0));
        let [_, head] = forward_flop(&config, &[128], 19);
        assert_eq!(head, 19.0 * 2.0 * 768.0 * (768.0 + 30_522.0));
    }
}
