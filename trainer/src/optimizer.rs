//! AdamW with warm-up, linear decay and clipping, and its state.
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use ebert_batches::StepSize;
use ebert_bert::{Parameters, is_of_masked_lm_head};
use ebert_kernels::{AdamW, Gate, TorchError};

use crate::boundary::SPAN_BOUNDARY;

/// Which weights a step changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trains {
    /// All of them.
    #[default]
    All,
    /// Those of the masked-LM head alone, and of the span boundary objective. The encoder and its
    /// embeddings stay as they are, to the bit.
    Head,
}

/// Whether a weight is of a head: the masked-LM head, or that of the span boundary objective, which
/// always starts fresh.
pub(crate) fn is_of_head(name: &str) -> bool {
    is_of_masked_lm_head(name) || name.starts_with(SPAN_BOUNDARY)
}

impl Trains {
    /// Whether a weight is trained.
    pub(crate) fn includes(self, name: &str) -> bool {
        self == Self::All || is_of_head(name)
    }

    /// Whether it is the default.
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// The recipe's part of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerOptions {
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Sequences in a step. Either this or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<usize>,
    /// Tokens in a step, special tokens counted: a sequence belongs to the step in which its first
    /// token falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// The most tokens that go through the model at once, if no sequence has more. The gradients of
    /// the parts of a step add up. It bounds the memory. Without dropout it changes no more than
    /// rounding. With dropout, each part draws its own. 0: the whole step.
    #[serde(default)]
    #[serde(alias = "tokens_at_once")]
    pub micro_batch_tokens: usize,
    /// Of weights, but not of biases and layer norms.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Decay of the moving averages of gradients and their squares.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Added to the root.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// The ratio of all steps in which the learning rate rises.
    #[serde(default = "warmup")]
    pub warmup: f64,
    /// The largest norm of the gradient; 0 for any.
    #[serde(default = "clip")]
    pub clip: f64,
}

fn weight_decay() -> f64 {
    0.01
}
fn betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn epsilon() -> f64 {
    1e-8
}
fn warmup() -> f64 {
    0.01
}
fn clip() -> f64 {
    1.0
}

impl OptimizerOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    ///
    /// # Errors
    /// If an option is out of range, or both or neither of `sequences` and `tokens` are given.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(("optimizer.learning_rate", "a number above 0"));
        }
        match (self.sequences, self.tokens) {
            (Some(sequences), None) if (1..=65_536).contains(&sequences) => {}
            (Some(_), None) => return Err(("optimizer.sequences", "a number from 1 to 65,536")),
            (None, Some(tokens)) if (1024..=1 << 26).contains(&tokens) => {}
            (None, Some(_)) => return Err(("optimizer.tokens", "a number from 1,024 to 67,108,864")),
            _ => return Err(("optimizer.sequences, optimizer.tokens", "one of the two, not both")),
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(("optimizer.weight_decay", "a number of at least 0"));
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            return Err(("optimizer.betas", "two numbers from 0 to below 1"));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(("optimizer.epsilon", "a number above 0"));
        }
        if !(0.0..=1.0).contains(&self.warmup) {
            return Err(("optimizer.warmup", "a ratio from 0 to 1"));
        }
        if !(self.clip >= 0.0 && self.clip.is_finite()) {
            return Err(("optimizer.clip", "a number of at least 0"));
        }
        Ok(())
    }

    /// How much a step holds.
    pub fn step_size(&self) -> StepSize {
        match (self.sequences, self.tokens) {
            (_, Some(tokens)) => StepSize::Tokens(tokens),
            (sequences, None) => StepSize::Sequences(sequences.unwrap_or(1)),
        }
    }

    /// The learning rate of a step, counted from 0, of so many: a linear rise, then a linear fall
    /// toward 0. The rise begins at `rises_from`: 0, or the step in which the encoder starts to
    /// train.
    pub fn learning_rate_at(&self, step: u64, steps: u64, rises_from: u64) -> f64 {
        let rising = (self.warmup * steps as f64).ceil() as u64;
        let rise = (step - rises_from + 1) as f64 / rising.max(1) as f64;
        let fall = (steps - step) as f64 / (steps - rising).max(1) as f64;
        self.learning_rate * rise.min(1.0) * fall.min(1.0)
    }
}

/// AdamW over the parameters of a model. Its numbers stay on the device: nothing waits for a step.
#[derive(Debug)]
pub struct Optimizer {
    options: OptimizerOptions,
    groups: [Group; 4],
    trains: Trains,
    steps: Steps<Tensor>,
}

/// Steps that were taken. Adam corrects its moving averages by their number, which is smaller for
/// weights that were frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps<N> {
    /// Of the heads.
    pub head: N,
    /// Of all other weights.
    pub others: N,
}

/// Parameters with the same weight decay, of the head or of the rest.
#[derive(Debug)]
struct Group {
    is_head: bool,
    weight_decay: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    gradients: Vec<Tensor>,
    averages: Vec<Tensor>,
    squares: Vec<Tensor>,
}

/// The state does not fit the model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the state of the optimizer {what} {name}")]
pub struct StateMismatch {
    what: &'static str,
    name: String,
}

impl Optimizer {
    /// An optimizer at its start. Every parameter has a gradient from then on.
    pub fn new(parameters: &Parameters, options: OptimizerOptions, device: Device) -> Self {
        let group = |decayed: bool, is_head: bool| {
            let plain = |name: &str| ["bias", "LayerNorm.weight", "norm.weight"].iter().any(|end| name.ends_with(end));
            let of_group = |name: &str| plain(name) != decayed && is_of_head(name) == is_head;
            let (names, gradients): (Vec<_>, Vec<_>) = parameters
                .gradients()
                .filter(|(name, _)| of_group(name))
                .map(|(name, gradient)| (name.to_owned(), gradient))
                .unzip();
            let parameters: Vec<Tensor> = parameters
                .iter()
                .filter(|(name, _)| of_group(name))
                .map(|(_, parameter)| parameter.shallow_clone())
                .collect();
            let zeros = || parameters.iter().map(|p: &Tensor| p.detach().zeros_like()).collect();
            Group {
                is_head,
                weight_decay: if decayed { options.weight_decay } else { 0.0 },
                gradients,
                averages: zeros(),
                squares: zeros(),
                names,
                parameters,
            }
        };
        let none = || Tensor::zeros([], (Kind::Float, device));
        Self {
            options,
            groups: [group(true, false), group(true, true), group(false, false), group(false, true)],
            trains: Trains::All,
            steps: Steps { head: none(), others: none() },
        }
    }

    /// Which weights steps change.
    pub fn trains(&self) -> Trains {
        self.trains
    }

    /// Which weights the next steps change. Gradients of the others are left alone, and must be
    /// zero.
    pub fn set_trains(&mut self, trains: Trains) {
        self.trains = trains;
    }

    /// Steps taken. Waits for the device.
    pub fn steps(&self) -> Steps<u64> {
        let number = |steps: &Tensor| steps.double_value(&[]) as u64;
        Steps { head: number(&self.steps.head), others: number(&self.steps.others) }
    }

    /// The groups that steps change.
    fn trained(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| self.trains == Trains::All || group.is_head)
    }

    /// The gradients that steps use as they stand, in an order that does not change.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.trained().flat_map(|group| &group.gradients).map(Tensor::shallow_clone).collect()
    }

    /// Puts the gradients aside, and starts from zero: as many numbers as weights are trained.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn set_aside(&self) -> Result<Vec<Tensor>, TorchError> {
        let gradients = self.gradients();
        let aside = gradients.iter().map(Tensor::copy).collect();
        ebert_kernels::zero(&gradients)?;
        Ok(aside)
    }

    /// Clips the gradients, takes a step against them, and forgets them. Returns their norm before
    /// clipping, a scalar on the device; where that is not a number no step is taken.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn step(&mut self, learning_rate: f64) -> Result<Tensor, TorchError> {
        let _no_grad = tch::no_grad_guard();
        let gradients = self.gradients();
        let norm = ebert_kernels::norm(&gradients)?;
        let taken = norm.isfinite().to_kind(Kind::Float);
        self.steps.head += &taken;
        if self.trains == Trains::All {
            self.steps.others += &taken;
        }
        let divisor = match self.options.clip {
            0.0 => norm.ones_like(),
            clip => ((&norm + 1e-6) / clip).clamp_min(1.0),
        };
        let skip = taken.ones_like() - &taken;
        for group in self.trained() {
            let steps = if group.is_head { &self.steps.head } else { &self.steps.others };
            let [step, divisor, skip] = [steps, &divisor, &skip].map(Tensor::shallow_clone);
            let gate = Gate { step, divisor, skip };
            let constants = AdamW {
                learning_rate,
                betas: self.options.betas,
                weight_decay: group.weight_decay,
                epsilon: self.options.epsilon,
            };
            let Group { parameters, gradients, averages, squares, .. } = group;
            ebert_kernels::fused_adamw(parameters, gradients, averages, squares, &gate, constants)?;
        }
        ebert_kernels::zero(&gradients)?;
        Ok(norm)
    }

    /// The state, by name: both moving averages of every parameter.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.groups.iter().flat_map(|group| {
            let averages = group.names.iter().zip(&group.averages).map(|(n, t)| (format!("exp_avg.{n}"), t));
            averages.chain(group.names.iter().zip(&group.squares).map(|(n, t)| (format!("exp_avg_sq.{n}"), t)))
        })
    }

    /// Takes up a state after so many steps.
    ///
    /// # Errors
    /// If a moving average is missing or has another shape. Those before it are already replaced.
    pub fn restore(&mut self, state: Vec<(String, Tensor)>, steps: Steps<u64>) -> Result<(), StateMismatch> {
        let mut state: std::collections::HashMap<String, Tensor> = state.into_iter().collect();
        for group in &mut self.groups {
            for (kind, tensors) in [("exp_avg", &mut group.averages), ("exp_avg_sq", &mut group.squares)] {
                for (name, tensor) in group.names.iter().zip(tensors) {
                    let name = format!("{kind}.{name}");
                    match state.remove(&name) {
                        Some(stored) if stored.size() == tensor.size() => tensor.copy_(&stored),
                        Some(_) => return Err(StateMismatch { what: "has another shape for", name }),
                        None => return Err(StateMismatch { what: "lacks", name }),
                    }
                }
            }
        }
        let device = self.steps.head.device();
        let number = |steps: u64| Tensor::from(steps as f32).to_device(device);
        self.steps = Steps { head: number(steps.head), others: number(steps.others) };
        Ok(())
    }

    /// Every tensor that a step changes in addition to the weights, in an order that does not
    /// change.
    pub fn tensors(&self) -> Vec<Tensor> {
        let averages = self.groups.iter().flat_map(|group| group.averages.iter().chain(&group.squares));
        averages.chain([&self.steps.head, &self.steps.others]).map(Tensor::shallow_clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> OptimizerOptions {
        OptimizerOptions {
            learning_rate: 0.1,
            sequences: Some(1),
            tokens: None,
            micro_batch_tokens: 0,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            warmup: 0.1,
            clip: 1.0,
        }
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..10).map(|step| options().learning_rate_at(step, 10, 0)).collect();
        assert_eq!(rates[0], 0.1);
        assert!((rates[1] - 0.1).abs() < 1e-12 && rates.windows(2).skip(1).all(|w| w[1] < w[0]) && rates[9] > 0.0);
        assert_eq!(OptimizerOptions { warmup: 0.0, ..options() }.learning_rate_at(0, 10, 0), 0.1);
        assert_eq!(OptimizerOptions { warmup: 1.0, ..options() }.learning_rate_at(4, 10, 0), 0.05);
        // It rises again when the encoder starts to train.
        let slow = OptimizerOptions { warmup: 0.2, ..options() };
        assert_eq!([5, 6, 8].map(|step| slow.learning_rate_at(step, 10, 5) / 0.1), [0.3125, 0.5, 0.25]);
    }
}
