//! The trained tensors of a model, and how its parts add them.
use tch::{Device, Kind, Tensor};

use crate::{
    config::BertConfig,
    layer::{LayerNorm, Linear},
};

/// The trained tensors of a model, by the names of `transformers`, in a fixed order.
#[derive(Debug, Default)]
pub struct Parameters {
    named: Vec<(String, Tensor)>,
}

/// How a fresh parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    /// Normal with the configuration's standard deviation.
    Normal,
    Zeros,
    Ones,
}

impl Parameters {
    /// Those of several parts, one part after another.
    pub fn joined(parts: &[&Self]) -> Self {
        let all = parts.iter().flat_map(|part| part.iter());
        Self { named: all.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect() }
    }

    /// Names and tensors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.named.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many numbers there are.
    pub fn count(&self) -> i64 {
        self.named.iter().map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    /// Lets backward passes give gradients to some of the parameters alone; the others keep theirs
    /// as they are.
    pub fn require_gradients(&self, of: impl Fn(&str) -> bool) {
        for (name, parameter) in self.iter() {
            let _ = parameter.set_requires_grad(of(name));
        }
    }

    /// The gradient of each parameter, in order. Parameters without one get zeros.
    pub fn gradients(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.iter().map(|(name, parameter)| (name, gradient(parameter)))
    }

    /// Adds a fresh parameter. The generator must have been seeded.
    fn add(&mut self, name: String, shape: &[i64], start: Start, config: &BertConfig, device: Device) -> Tensor {
        // Drawn on the CPU, so that every device starts from the same numbers.
        let options = (Kind::Float, Device::Cpu);
        let tensor = match start {
            Start::Normal => Tensor::randn(shape, options) * config.initializer_range,
            Start::Zeros => Tensor::zeros(shape, options),
            Start::Ones => Tensor::ones(shape, options),
        };
        let tensor = tensor.to_device(device).set_requires_grad(true);
        self.named.push((name, tensor.shallow_clone()));
        tensor
    }
}

/// The gradient of a parameter. A parameter without one gets zeros.
fn gradient(parameter: &Tensor) -> Tensor {
    if !parameter.grad().defined() {
        // Only a backward pass makes one.
        (parameter.sum(Kind::Float) * 0.0).backward();
        let _ = parameter.grad().zero_();
    }
    parameter.grad()
}

/// Adds the parts of a model to its parameters, fresh: normal weights, zero biases, as
/// `transformers` starts them.
#[derive(Debug)]
pub struct Builder<'a> {
    parameters: &'a mut Parameters,
    config: &'a BertConfig,
    device: Device,
    drawing: Drawing,
}

/// Whether parameters get numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawing {
    Fresh,
    /// Shapes alone, which need no memory.
    Outline,
}

impl<'a> Builder<'a> {
    /// Draws all that it adds from `seed`.
    pub fn new(parameters: &'a mut Parameters, config: &'a BertConfig, seed: u64, device: Device) -> Self {
        tch::manual_seed(seed as i64);
        Self { parameters, config, device, drawing: Drawing::Fresh }
    }

    /// Adds names and shapes alone: all numbers are one zero in memory.
    pub(crate) fn outline(parameters: &'a mut Parameters, config: &'a BertConfig) -> Self {
        Self { parameters, config, device: Device::Cpu, drawing: Drawing::Outline }
    }

    /// The shape of the model.
    pub fn config(&self) -> &BertConfig {
        self.config
    }

    /// Where the weights are.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// A bias of zeros.
    pub fn bias(&mut self, name: &str, width: i64) -> Tensor {
        self.zeros(name, &[width])
    }

    /// A table of embeddings, `[rows, width]`.
    pub fn embedding(&mut self, name: &str, rows: i64, width: i64) -> Tensor {
        self.tensor(name, &[rows, width], Start::Normal)
    }

    /// A parameter that starts at zero.
    pub fn zeros(&mut self, name: &str, shape: &[i64]) -> Tensor {
        self.tensor(name, shape, Start::Zeros)
    }

    /// A fully connected layer: `name.weight` and `name.bias`.
    pub fn linear(&mut self, name: &str, input: i64, output: i64) -> Linear {
        Linear {
            weight: self.tensor(&format!("{name}.weight"), &[output, input], Start::Normal),
            bias: Some(self.bias(&format!("{name}.bias"), output)),
        }
    }

    /// The same without a bias.
    pub(crate) fn projection(&mut self, name: &str, input: i64, output: i64) -> Linear {
        Linear { weight: self.tensor(&format!("{name}.weight"), &[output, input], Start::Normal), bias: None }
    }

    /// A layer norm over hidden states.
    pub fn norm(&mut self, name: &str) -> LayerNorm {
        let norm = self.norm_without_bias(name);
        LayerNorm { bias: Some(self.bias(&format!("{name}.bias"), self.config.hidden_size)), ..norm }
    }

    /// The same without a bias.
    pub(crate) fn norm_without_bias(&mut self, name: &str) -> LayerNorm {
        let weight = self.tensor(&format!("{name}.weight"), &[self.config.hidden_size], Start::Ones);
        LayerNorm { weight, bias: None, epsilon: self.config.layer_norm_eps }
    }

    fn tensor(&mut self, name: &str, shape: &[i64], start: Start) -> Tensor {
        match self.drawing {
            Drawing::Fresh => self.parameters.add(name.to_owned(), shape, start, self.config, self.device),
            Drawing::Outline => {
                let tensor = Tensor::zeros([1], (Kind::Float, self.device)).expand(shape, false);
                self.parameters.named.push((name.to_owned(), tensor.shallow_clone()));
                tensor
            }
        }
    }
}
