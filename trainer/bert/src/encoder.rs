//! The encoder (Devlin et al. 2019), and the parts that it and the heads are built of.
use tch::{Device, Kind, Tensor};

use ebert_kernels::{
    TorchError,
    fused::{CAST, FusedKernels, LayerCall, cast},
};

use crate::{
    config::BertConfig,
    layer::{Layer, LayerNorm, Linear, Phase},
    packed::Packed,
    path::Decision,
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
            bias: self.bias(&format!("{name}.bias"), output),
        }
    }

    /// A layer norm over hidden states.
    pub fn norm(&mut self, name: &str) -> LayerNorm {
        let width = self.config.hidden_size;
        LayerNorm {
            weight: self.tensor(&format!("{name}.weight"), &[width], Start::Ones),
            bias: self.bias(&format!("{name}.bias"), width),
            epsilon: self.config.layer_norm_eps,
        }
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

/// BERT without a head.
#[derive(Debug)]
pub struct Encoder {
    config: BertConfig,
    device: Device,
    decision: Decision,
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    /// On the fused path.
    kernels: Option<FusedKernels>,
}

impl Encoder {
    /// A fresh encoder, which computes as decided. The weights are float32.
    pub fn new(b: &mut Builder<'_>, mut decision: Decision) -> Self {
        let config = b.config.clone();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embedding = |b: &mut Builder<'_>, name: &str, rows| {
            b.embedding(&format!("bert.embeddings.{name}_embeddings.weight"), rows, hidden)
        };
        let words = embedding(b, "word", config.vocab_size);
        let positions = embedding(b, "position", config.max_position_embeddings);
        let types = embedding(b, "token_type", config.type_vocab_size);
        let embedding_norm = b.norm("bert.embeddings.LayerNorm");
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("bert.encoder.layer.{i}.{part}");
                Layer {
                    query: b.linear(&name("attention.self.query"), hidden, hidden),
                    key: b.linear(&name("attention.self.key"), hidden, hidden),
                    value: b.linear(&name("attention.self.value"), hidden, hidden),
                    attention_output: b.linear(&name("attention.output.dense"), hidden, hidden),
                    attention_norm: b.norm(&name("attention.output.LayerNorm")),
                    intermediate: b.linear(&name("intermediate.dense"), hidden, inner),
                    output: b.linear(&name("output.dense"), inner, hidden),
                    output_norm: b.norm(&name("output.LayerNorm")),
                }
            })
            .collect();
        let kernels = decision.kernels(&config, b.device);
        Self { device: b.device, decision, words, positions, types, embedding_norm, layers, kernels, config }
    }

    /// The shape.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How it computes.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn kernels(&self) -> Option<&FusedKernels> {
        self.kernels.as_ref()
    }

    /// The word embedding, `[vocab_size, hidden_size]`.
    pub fn words(&self) -> &Tensor {
        &self.words
    }

    /// The last hidden states of all tokens, `[T, hidden_size]`.
    ///
    /// # Panics
    /// If libtorch refuses, as tch does.
    pub fn encode(&self, packed: &Packed, phase: Phase) -> Tensor {
        let rows = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, false);
        let types = packed.types().map_or_else(|| self.types.select(0, 0), |types| rows(&self.types, types));
        let sum = rows(&self.words, packed.ids()) + rows(&self.positions, packed.positions()) + types;
        let x = self.dropout(self.embedding_norm.forward(&sum), phase).to_kind(self.decision.kind);
        match &self.kernels {
            Some(kernels) => self.fused(kernels, x, packed, phase).unwrap_or_else(|error| panic!("{error}")),
            None => self
                .layers
                .iter()
                .fold(x, |x, layer| layer.forward(&x, packed, &self.config, phase, self.decision.path)),
        }
    }

    /// Drops hidden states in training.
    pub fn dropout(&self, x: Tensor, phase: Phase) -> Tensor {
        phase.dropout(x, self.config.hidden_dropout_prob, self.decision.path)
    }

    /// The last hidden states by fused layers, which add the gradients of their parameters
    /// themselves: [`Parameters::gradients`] must have made these before.
    fn fused(
        &self,
        kernels: &FusedKernels,
        mut x: Tensor,
        packed: &Packed,
        phase: Phase,
    ) -> Result<Tensor, TorchError> {
        let call = LayerCall {
            sequences: packed.sequences(),
            dropout: phase.probability(self.config.hidden_dropout_prob),
            attention_dropout: phase.probability(self.config.attention_probs_dropout_prob),
            epsilon: self.config.layer_norm_eps,
        };
        let seeds = ebert_kernels::seeds(2 * self.layers.len() as i64)?;
        let clone = |tensors: &[&Tensor]| -> Vec<Tensor> { tensors.iter().map(|t| t.shallow_clone()).collect() };
        let mut halves = cast(&self.layers.iter().flat_map(|l| clone(&l.parameters()[..CAST])).collect::<Vec<_>>())?;
        for (layer, seeds) in self.layers.iter().zip(seeds.as_chunks::<2>().0) {
            let parameters = layer.parameters();
            let mut weights: Vec<Tensor> = halves.drain(..CAST).collect();
            weights.extend(clone(&parameters[CAST..]));
            let gradients = match x.requires_grad() {
                true => parameters.map(Tensor::grad).into(),
                false => Vec::new(),
            };
            x = kernels.layer(&x, &weights, &gradients, call, *seeds)?;
        }
        Ok(x)
    }
}
