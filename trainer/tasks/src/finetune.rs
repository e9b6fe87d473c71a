//! The fine-tuning loop: epoch, batch, loss, step; measure after each epoch, keep the best.
//!
//! As in pre-training, nothing in a step waits for the device: what a step gave is read while the
//! next is under way.
use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::Draws;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Tensor;

use super::{
    Example,
    decode::{Decoding, decode},
    heads::TaskModel,
    metrics::{Scores, score},
    options::Options,
    predictions::{Judged, judged},
    sequence::{Sequence, Target},
};
use ebert_bert::Phase;
use ebert_kernels::TorchError;
use trainer::{
    pretrain::MOST_SKIPPED,
    session::{Pending, Session, StepError},
    world::World,
};

/// Version of all from examples to predictions: [`split`](crate::split),
/// [`sequence`](crate::sequence), [`heads`](crate::heads), this loop and [`decode`](crate::decode).
/// Raised when the same examples get other predictions.
pub const RULES: u32 = 1;

/// Examples and their sequences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Examples.
    pub examples: Vec<Example>,
    /// Their sequences.
    pub sequences: Vec<Sequence>,
}

/// What a model learns and is measured on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Sequences with targets.
    pub train: Part,
    /// What decides.
    pub validation: Part,
    /// What is reported.
    pub test: Part,
    /// Names of classes or labels, by number.
    pub classes: Vec<String>,
}

/// A model after some epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Epochs done.
    pub epoch: u32,
    /// Mean loss of the epoch, dropout applied. `null` in a file where it is not finite.
    #[serde(deserialize_with = "trainer::log::or_not_finite")]
    pub loss: f64,
    /// On the validation part.
    pub scores: Scores,
}

/// What came of it. The model's weights are those of the best trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// Every epoch of every learning rate.
    pub trials: Vec<Trial>,
    /// Which of them is kept.
    pub best: usize,
    /// Steps whose gradient was not finite.
    pub skipped: u64,
}

/// A model cannot be fine-tuned.
#[derive(Debug, thiserror::Error)]
pub enum FinetuneError {
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Gradients stay infinite.
    #[error(
        "no finite gradient in the last steps up to step {step} of learning rate {learning_rate}; the last batch held {}\n\
         hint: try a smaller `--learning-rate`; are the weights of the model finite?",
        examples.join(", ")
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The highest learning rate.
        learning_rate: f64,
        /// Some examples of its batch.
        examples: Vec<String>,
    },
}

/// To whom a fine-tuning talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A person who waits for this one.
    Full,
    /// A person who waits for many: a bar, no lines.
    Bar,
    /// A program: one JSON object per line.
    Json,
}

impl Voice {
    /// Prints a line. Continues if nobody reads the output anymore.
    pub fn say(self, line: &str) {
        if self == Self::Full {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    /// Prints an event: a JSON object whose numbers and names are for a program.
    pub fn event(self, event: &Value) {
        if self == Self::Json {
            let _ = writeln!(io::stdout(), "{event}");
        }
    }

    fn bar(self, steps: u64) -> ProgressBar {
        if self == Self::Json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4));
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} steps  {msg}  {eta} left") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        bar
    }
}

/// The weights of a model, kept aside.
struct Kept(Vec<Tensor>);

impl Kept {
    fn of(model: &TaskModel) -> Self {
        Self(model.parameters().iter().map(|(_, tensor)| tensor.detach().copy()).collect())
    }

    fn restore(&self, model: &TaskModel) {
        for ((_, parameter), kept) in model.parameters().iter().zip(&self.0) {
            tch::no_grad(|| parameter.shallow_clone().copy_(kept));
        }
    }
}

/// Fine-tunes a model. With several epochs or learning rates, keeps the one with the highest
/// deciding score on the validation part, of equal ones the first.
///
/// # Errors
/// When libtorch refuses, or gradients are not finite for [`MOST_SKIPPED`] steps in a row.
pub fn finetune(model: &TaskModel, data: &Data, options: &Options, voice: Voice) -> Result<Tuned, FinetuneError> {
    let train: Vec<&Sequence> = data.train.sequences.iter().filter(|s| s.target != Target::None).collect();
    let (learning_rates, epochs) = options.trials();
    let steps_per_epoch = train.len().div_ceil(options.sequences);
    let total = steps_per_epoch as u64 * u64::from(epochs);
    let start = (learning_rates.len() > 1).then(|| Kept::of(model));
    let bar = voice.bar(total * learning_rates.len() as u64);
    let mut tuned = Tuned { trials: Vec::new(), best: 0, skipped: 0 };
    let mut kept: Option<Kept> = None;
    let names = model.task().score_names().iter().map(|name| name.replace('_', " ")).collect::<Vec<_>>().join("   ");
    voice.say(&format!("validate  epoch  learning rate     loss   {names}"));
    for learning_rate in learning_rates {
        if let Some(start) = &start {
            start.restore(model);
        }
        let schedule = options.optimizer(learning_rate);
        let mut session = Session::new(model, schedule, World::alone());
        let (mut step, mut in_a_row) = (0, 0);
        for epoch in 1..=epochs {
            let mut losses = Vec::with_capacity(steps_per_epoch);
            let mut note = |launched: Launched| {
                let numbers = launched.pending.finish()?;
                in_a_row = if numbers.gradient_norm.is_finite() { 0 } else { in_a_row + 1 };
                tuned.skipped += u64::from(in_a_row > 0);
                if in_a_row == MOST_SKIPPED {
                    let some = launched.batch.iter().take(4);
                    let examples = some.map(|s| data.train.examples[s.example].id.clone()).collect();
                    return Err(FinetuneError::NotFinite { step: launched.step, learning_rate, examples });
                }
                let loss = numbers.losses[0].unwrap_or(0.0);
                losses.push(loss);
                bar.inc(1);
                bar.set_message(format!("epoch {epoch}  loss {loss:.3}"));
                Ok(())
            };
            // The step that the device may still be at.
            let mut launched: VecDeque<Launched> = VecDeque::new();
            for batch in batches(&train, options, epoch) {
                tch::manual_seed(Draws::new(options.seed, "task-dropout", &u64::to_le_bytes(step)).next_u64() as i64);
                let objective = |model: &&TaskModel, _: &World| {
                    let loss = model.loss(&batch, Phase::Train);
                    loss.backward();
                    Some(loss.detach().into())
                };
                let pending =
                    session.step(Box::new(objective), None, schedule.learning_rate_at(step, total, 0), false)?;
                step += 1;
                launched.drain(..).try_for_each(&mut note)?;
                launched.push_back(Launched { batch, step, pending });
            }
            launched.drain(..).try_for_each(&mut note)?;
            let loss = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
            let scores = score(model.task(), &predict(model, &data.validation, &data.classes, options));
            let values = scores.values(model.task());
            let text: Vec<String> = values.iter().map(|value| format!("{:6.2}", 100.0 * value)).collect();
            bar.suspend(|| {
                voice.say(&format!("          {epoch:5}  {learning_rate:13e}  {loss:7.4}   {}", text.join("   ")));
            });
            voice.event(&json!({
                "event": "epoch", "learning_rate": learning_rate, "epoch": epoch, "loss": loss, "validation": scores,
            }));
            tuned.trials.push(Trial { learning_rate, epoch, loss, scores });
            let now = tuned.trials.len() - 1;
            let score_of = |trial: usize| tuned.trials[trial].scores.deciding(model.task());
            if options.may_end_after().contains(&epoch) && (kept.is_none() || score_of(now) > score_of(tuned.best)) {
                tuned.best = now;
                kept = Some(Kept::of(model));
            }
        }
    }
    bar.finish_and_clear();
    if let Some(kept) = kept {
        kept.restore(model);
    }
    Ok(tuned)
}

/// A step that the device was asked for.
struct Launched<'a> {
    batch: Vec<&'a Sequence>,
    step: u64,
    pending: Pending,
}

/// The batches of an epoch: in an order keyed by (seed, epoch, sequence), each longest first.
fn batches<'a>(train: &[&'a Sequence], options: &Options, epoch: u32) -> Vec<Vec<&'a Sequence>> {
    let draw = |number: usize| {
        let key = [epoch.to_le_bytes().as_slice(), &(number as u64).to_le_bytes()].concat();
        Draws::new(options.seed, "task-order", &key).next_u64()
    };
    let mut order: Vec<(u64, usize)> = (0..train.len()).map(|number| (draw(number), number)).collect();
    order.sort_unstable();
    let batch = |some: &[(u64, usize)]| {
        let mut batch: Vec<&Sequence> = some.iter().map(|(_, number)| train[*number]).collect();
        batch.sort_by_key(|sequence| std::cmp::Reverse(sequence.ids.len()));
        batch
    };
    order.chunks(options.sequences).map(batch).collect()
}

/// Tokens and sequences that are predicted at once on a CPU: more are no faster, and take memory.
const AT_ONCE: (usize, usize) = (4096, 64);
/// On a GPU, which waits between batches.
const AT_ONCE_ON_GPU: (usize, usize) = (32_768, 512);

/// What the model says of a part.
pub fn predict(model: &TaskModel, part: &Part, classes: &[String], options: &Options) -> Vec<Judged> {
    let sequences = &part.sequences;
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&number| std::cmp::Reverse(sequences[number].ids.len()));
    let mut scores: Vec<Vec<f32>> = vec![Vec::new(); sequences.len()];
    let mut rest = order.as_slice();
    let (tokens, most) = if model.encoder().device().is_cuda() { AT_ONCE_ON_GPU } else { AT_ONCE };
    while let Some(&longest) = rest.first() {
        let count = (tokens / sequences[longest].ids.len()).clamp(1, most).min(rest.len());
        let batch: Vec<&Sequence> = rest[..count].iter().map(|&number| &sequences[number]).collect();
        for (&number, scored) in rest.iter().zip(model.predict(&batch)) {
            scores[number] = scored;
        }
        rest = &rest[count..];
    }
    let decoding = Decoding { max_answer: options.max_answer, threshold: options.threshold };
    judged(&part.examples, decode(model.task(), &part.examples, (sequences, &scores), classes, decoding))
}
