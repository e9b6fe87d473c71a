//! AdamW with warm-up, linear decay and clipping, and its state.
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::{
    model::Parameters,
    native::{self, AdamW, TorchError},
};

/// The recipe's part of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerOptions {
    /// The highest step size.
    pub learning_rate: f64,
    /// Sequences in a step.
    pub sequences: usize,
    /// Of weights, but not of biases and layer norms.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Decay of the moving averages of gradients and their squares.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Added to the root.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// The share of steps over which the step size rises.
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
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(("optimizer.learning_rate", "a number above 0"));
        }
        if !(1..=65_536).contains(&self.sequences) {
            return Err(("optimizer.sequences", "a number from 1 to 65,536"));
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
            return Err(("optimizer.warmup", "a share"));
        }
        if !(self.clip >= 0.0 && self.clip.is_finite()) {
            return Err(("optimizer.clip", "a number of at least 0"));
        }
        Ok(())
    }

    /// The step size of a step, counted from 0, of so many: a linear rise, then a linear fall towards 0.
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let rising = (self.warmup * steps as f64).ceil() as u64;
        let share = if step < rising {
            (step + 1) as f64 / rising as f64
        } else {
            (steps - step) as f64 / (steps - rising).max(1) as f64
        };
        self.learning_rate * share
    }
}

/// AdamW over the parameters of a model.
#[derive(Debug)]
pub struct Optimizer {
    options: OptimizerOptions,
    groups: [Group; 2],
    steps: u64,
    device: Device,
}

/// Parameters with the same weight decay.
#[derive(Debug)]
struct Group {
    weight_decay: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    averages: Vec<Tensor>,
    squares: Vec<Tensor>,
}

/// The state does not fit the model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the state of the optimiser {what} {name}")]
pub struct StateMismatch {
    what: &'static str,
    name: String,
}

impl Optimizer {
    /// An optimiser at its start.
    pub fn new(parameters: &Parameters, options: OptimizerOptions, device: Device) -> Self {
        let group = |decayed: bool| {
            let plain = |name: &str| name.ends_with(".bias") || name.contains("LayerNorm");
            let (names, parameters): (Vec<_>, Vec<_>) = parameters
                .iter()
                .filter(|(name, _)| plain(name) != decayed)
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .unzip();
            let zeros = || parameters.iter().map(|p: &Tensor| p.detach().zeros_like()).collect();
            Group {
                weight_decay: if decayed { options.weight_decay } else { 0.0 },
                averages: zeros(),
                squares: zeros(),
                names,
                parameters,
            }
        };
        Self { options, groups: [group(true), group(false)], steps: 0, device }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The gradient of every parameter, zero where there is none.
    fn gradients(&self, group: usize) -> Vec<Tensor> {
        let gradient = |parameter: &Tensor| {
            let gradient = parameter.grad();
            if gradient.defined() { gradient } else { parameter.detach().zeros_like() }
        };
        self.groups[group].parameters.iter().map(gradient).collect()
    }

    /// A copy of the gradients as they stand: as many numbers as the model has weights.
    pub fn snapshot(&self) -> Vec<Tensor> {
        [0, 1].iter().flat_map(|&g| self.gradients(g)).map(|g| g.copy()).collect()
    }

    /// The 2-norms of the gradients at a snapshot, and of all that was added since, in this order; `None` without a snapshot.
    pub fn norms_around(&self, snapshot: Option<&[Tensor]>) -> Result<[Option<f64>; 2], TorchError> {
        let Some(snapshot) = snapshot else { return Ok([None; 2]) };
        let now = [0, 1].iter().flat_map(|&g| self.gradients(g));
        let added: Vec<Tensor> = now.zip(snapshot).map(|(now, then)| now - then).collect();
        Ok([Some(native::clip_gradients(snapshot, 0.0)?), Some(native::clip_gradients(&added, 0.0)?)])
    }

    /// Clips the gradients, takes a step against them, and forgets them. Returns their norm before clipping; where that
    /// is not a number no step is taken.
    pub fn step(&mut self, learning_rate: f64) -> Result<f64, TorchError> {
        let gradients = [self.gradients(0), self.gradients(1)];
        let all: Vec<Tensor> = gradients.iter().flatten().map(Tensor::shallow_clone).collect();
        let norm = native::clip_gradients(&all, self.options.clip)?;
        if norm.is_finite() {
            self.steps += 1;
            let number = Tensor::from(self.steps as f32).to_device(self.device);
            for (group, gradients) in self.groups.iter().zip(&gradients) {
                let constants = AdamW {
                    learning_rate,
                    betas: self.options.betas,
                    weight_decay: group.weight_decay,
                    epsilon: self.options.epsilon,
                };
                native::fused_adamw(&group.parameters, gradients, &group.averages, &group.squares, &number, constants)?;
            }
        }
        for mut gradient in all {
            let _ = gradient.zero_();
        }
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
    pub fn restore(&mut self, state: Vec<(String, Tensor)>, steps: u64) -> Result<(), StateMismatch> {
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
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> OptimizerOptions {
        OptimizerOptions {
            learning_rate: 0.1,
            sequences: 1,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            warmup: 0.1,
            clip: 1.0,
        }
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..10).map(|step| options().learning_rate_at(step, 10)).collect();
        assert_eq!(rates[0], 0.1);
        assert!((rates[1] - 0.1).abs() < 1e-12 && rates.windows(2).skip(1).all(|w| w[1] < w[0]) && rates[9] > 0.0);
        assert_eq!(OptimizerOptions { warmup: 0.0, ..options() }.learning_rate_at(0, 10), 0.1);
        assert_eq!(OptimizerOptions { warmup: 1.0, ..options() }.learning_rate_at(4, 10), 0.05);
    }
}
