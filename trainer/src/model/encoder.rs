//! The encoder (Devlin et al. 2019), and the parts that it and the heads are built of.
use tch::{Device, Kind, Tensor};

use super::{
    attention::{Attention, Layout, Packed},
    attention_trial,
    config::{Activation, BertConfig},
};
use crate::native::{
    self, TorchError,
    fused::{CAST, FusedKernels, LayerCall, PARAMETERS, Sequences, cast},
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
    /// Names and tensors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.named.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many numbers there are.
    pub fn count(&self) -> i64 {
        self.named.iter().map(|(_, tensor)| tensor.numel() as i64).sum()
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

/// A fully connected layer.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `x` `[.., in]` to `[.., out]`, in the kind of `x`: the weights are cast, and stay as they are.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        x.linear(&self.weight.to_kind(kind), Some(&self.bias.to_kind(kind)))
    }
}

/// Layer normalisation over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// `x` `[.., width]`, normalised, in its kind.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let [weight, bias] = [&self.weight, &self.bias].map(|t| t.to_kind(kind));
        x.layer_norm([x.size()[x.dim() - 1]], Some(&weight), Some(&bias), self.epsilon, true)
    }
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    /// Its parameters in the order of [`FusedKernels::layer`].
    fn parameters(&self) -> [&Tensor; PARAMETERS] {
        let [q, k, v, mix] = [&self.query, &self.key, &self.value, &self.attention_output];
        let (widen, narrow, first, second) =
            (&self.intermediate, &self.output, &self.attention_norm, &self.output_norm);
        [
            &q.weight,
            &k.weight,
            &v.weight,
            &mix.weight,
            &widen.weight,
            &narrow.weight,
            &q.bias,
            &k.bias,
            &v.bias,
            &mix.bias,
            &first.weight,
            &first.bias,
            &widen.bias,
            &narrow.bias,
            &second.weight,
            &second.bias,
        ]
    }
}

/// Whether dropout is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Yes: numbers differ from call to call.
    Train,
    /// No.
    Evaluate,
}

impl Phase {
    /// The share that dropout drops.
    fn share(self, dropout: f64) -> f64 {
        if self == Self::Train { dropout } else { 0.0 }
    }

    /// Drops a share of numbers.
    pub fn dropout(self, x: Tensor, share: f64) -> Tensor {
        match (self.share(share), x.device(), x.kind()) {
            (0.0, ..) => x,
            // What libtorch refuses is a panic, as it is in tch.
            (share, Device::Cpu, Kind::Float | Kind::Double) => {
                native::cpu::dropout(&x, share).unwrap_or_else(|error| panic!("{error}"))
            }
            (share, ..) => x.dropout(share, true),
        }
    }
}

/// Adds the parts of a model to its parameters, fresh: normal weights, zero biases, as `transformers` starts them.
#[derive(Debug)]
pub struct Builder<'a> {
    parameters: &'a mut Parameters,
    config: &'a BertConfig,
    device: Device,
}

impl<'a> Builder<'a> {
    /// Draws all that it adds from `seed`.
    pub fn new(parameters: &'a mut Parameters, config: &'a BertConfig, seed: u64, device: Device) -> Self {
        tch::manual_seed(seed as i64);
        Self { parameters, config, device }
    }

    /// The shape of the model.
    pub fn config(&self) -> &BertConfig {
        self.config
    }

    /// A bias of zeros.
    pub fn bias(&mut self, name: &str, width: i64) -> Tensor {
        self.tensor(name, &[width], Start::Zeros)
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
        self.parameters.add(name.to_owned(), shape, start, self.config, self.device)
    }
}

/// BERT without a head.
#[derive(Debug)]
pub struct Encoder {
    config: BertConfig,
    device: Device,
    compute: Kind,
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    fused: Option<Fused>,
    /// Why layers are not fused on a GPU.
    plain: Option<String>,
}

impl Encoder {
    /// A fresh encoder. It computes in `compute`; the weights stay float32.
    pub fn new(b: &mut Builder<'_>, compute: Kind) -> Self {
        let config = b.config.clone();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embedding = |b: &mut Builder<'_>, name: &str, rows| {
            b.tensor(&format!("bert.embeddings.{name}_embeddings.weight"), &[rows, hidden], Start::Normal)
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
        let (fused, plain) = match fused_layers(&config, b.device, compute) {
            Ok(fused) => (fused, None),
            Err(why) => (None, Some(why)),
        };
        Self { device: b.device, compute, words, positions, types, embedding_norm, layers, fused, plain, config }
    }

    /// Fused code for a GPU, if that is how it computes.
    pub fn kernels(&self) -> Option<&FusedKernels> {
        self.fused.as_ref().map(|fused| &fused.kernels)
    }

    /// Computes its layers operator by operator from now on, also on a GPU: for comparison.
    pub fn unfuse(&mut self) {
        self.fused = None;
    }

    /// On a GPU in half precision: whether its layers are fused, or why not.
    pub fn layers_are(&self) -> Option<String> {
        match (&self.fused, &self.plain) {
            (Some(fused), _) => Some(format!("fused, {}", fused.attention)),
            (None, Some(why)) => Some(format!("operator by operator, which takes longer: {why}")),
            (None, None) => None,
        }
    }

    /// The shape.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How sequences are packed for it.
    pub fn layout(&self) -> Layout {
        Layout::suiting(self.device, self.compute)
    }

    /// The word embedding, `[vocab_size, hidden_size]`.
    pub fn words(&self) -> &Tensor {
        &self.words
    }

    /// The last hidden states of all tokens, `[T, hidden_size]`.
    pub fn encode(&self, packed: &Packed, phase: Phase) -> Tensor {
        let dropout = |x: Tensor| phase.dropout(x, self.config.hidden_dropout_prob);
        let attention_dropout = phase.share(self.config.attention_probs_dropout_prob);
        let rows = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, false);
        let types = packed.types().map_or_else(|| self.types.select(0, 0), |types| rows(&self.types, types));
        let sum = rows(&self.words, packed.ids()) + rows(&self.positions, packed.positions()) + types;
        let mut x = dropout(self.embedding_norm.forward(&sum)).to_kind(self.compute);
        if let (Some(fused), Some(sequences)) = (&self.fused, packed.sequences()) {
            // What libtorch refuses is a panic, as it is in tch.
            return self.fused(&fused.kernels, x, sequences, phase).unwrap_or_else(|error| panic!("{error}"));
        }
        for layer in &self.layers {
            let qkv = [&layer.query, &layer.key, &layer.value].map(|projection| projection.forward(&x));
            let heads = self.config.num_attention_heads;
            let seen = packed.attention([&qkv[0], &qkv[1], &qkv[2]], heads, attention_dropout);
            x = layer.attention_norm.forward(&(dropout(layer.attention_output.forward(&seen)) + x));
            let inner = self.config.hidden_act.of(&layer.intermediate.forward(&x));
            x = layer.output_norm.forward(&(dropout(layer.output.forward(&inner)) + x));
        }
        x
    }

    /// The last hidden states by fused layers. Where a graph is made, every parameter of a layer must have a gradient, as
    /// [`Optimizer`](crate::optimizer::Optimizer) sees to.
    fn fused(
        &self,
        kernels: &FusedKernels,
        mut x: Tensor,
        sequences: &Sequences,
        phase: Phase,
    ) -> Result<Tensor, TorchError> {
        let call = LayerCall {
            sequences,
            dropout: phase.share(self.config.hidden_dropout_prob),
            attention_dropout: phase.share(self.config.attention_probs_dropout_prob),
            epsilon: self.config.layer_norm_eps,
        };
        let many = self.layers.len();
        let seeds = native::seeds(3 * many as i64)?;
        let clone = |tensors: &[&Tensor]| -> Vec<Tensor> { tensors.iter().map(|t| t.shallow_clone()).collect() };
        let mut halves = cast(&self.layers.iter().flat_map(|l| clone(&l.parameters()[..CAST])).collect::<Vec<_>>())?;
        for (layer, seeds) in self.layers.iter().zip(seeds.as_chunks::<3>().0) {
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

/// How layers are fused.
#[derive(Debug)]
struct Fused {
    kernels: FusedKernels,
    /// Whose attention is used, and why.
    attention: String,
}

/// The code of fused layers, where a GPU computes in bfloat16; or why there is none.
fn fused_layers(config: &BertConfig, device: Device, compute: Kind) -> Result<Option<Fused>, String> {
    let Device::Cuda(gpu) = device else { return Ok(None) };
    if Layout::suiting(device, compute).attention != Attention::Flash || compute != Kind::BFloat16 {
        return Ok(None);
    }
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    if !FusedKernels::fit(hidden, inner) || config.hidden_act != Activation::Gelu {
        return Err(format!("there is no code for widths of {hidden} and {inner} with {:?}", config.hidden_act));
    }
    let first_line = |error: TorchError| error.to_string().lines().next().unwrap_or_default().to_owned();
    let compile = |attention| FusedKernels::compile([hidden, inner, config.num_attention_heads], attention, gpu);
    let (choice, unknown) = match attention_trial::Choice::of_environment() {
        Ok(choice) => (choice, String::new()),
        Err(what) => (attention_trial::Choice::default(), format!("; {what}")),
    };
    // Attention that cannot be compiled is no reason to do without the rest.
    let (kernels, attention) = match compile(choice.needs_own()) {
        Ok(mut kernels) => (kernels, attention_trial::choose(choice, &mut kernels, config, device)),
        Err(error) if choice.needs_own() => (compile(false).map_err(first_line)?, attention_trial::failed(&error)),
        Err(error) => return Err(first_line(error)),
    };
    Ok(Some(Fused { kernels, attention: attention + &unknown }))
}

impl Activation {
    /// Applies it to every number.
    pub fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
        }
    }
}
