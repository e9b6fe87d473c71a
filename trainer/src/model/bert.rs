//! The encoder and the masked-LM head (Devlin et al. 2019).
use tch::{Device, Kind, Tensor};

use super::{
    attention::{Packed, indices},
    config::{Activation, BertConfig},
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

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `x` `[.., in]` to `[.., out]`, in the kind of `x`: the weights are cast, and stay as they are.
    fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        x.linear(&self.weight.to_kind(kind), Some(&self.bias.to_kind(kind)))
    }
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
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

/// BERT with a masked-LM head whose decoder is the word embedding.
#[derive(Debug)]
pub struct BertForMaskedLm {
    config: BertConfig,
    device: Device,
    compute: Kind,
    parameters: Parameters,
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    transform: Linear,
    transform_norm: LayerNorm,
    decoder_bias: Tensor,
}

/// Whether dropout is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Yes: numbers differ from call to call.
    Train,
    /// No.
    Evaluate,
}

/// Adds the parts of a model to its parameters.
struct Builder<'a> {
    parameters: &'a mut Parameters,
    config: &'a BertConfig,
    device: Device,
}

impl Builder<'_> {
    fn tensor(&mut self, name: &str, shape: &[i64], start: Start) -> Tensor {
        self.parameters.add(name.to_owned(), shape, start, self.config, self.device)
    }

    fn linear(&mut self, name: &str, input: i64, output: i64) -> Linear {
        Linear {
            weight: self.tensor(&format!("{name}.weight"), &[output, input], Start::Normal),
            bias: self.tensor(&format!("{name}.bias"), &[output], Start::Zeros),
        }
    }

    fn norm(&mut self, name: &str) -> LayerNorm {
        let width = self.config.hidden_size;
        LayerNorm {
            weight: self.tensor(&format!("{name}.weight"), &[width], Start::Ones),
            bias: self.tensor(&format!("{name}.bias"), &[width], Start::Zeros),
            epsilon: self.config.layer_norm_eps,
        }
    }
}

impl BertForMaskedLm {
    /// A fresh model, drawn from `seed`: normal weights, zero biases, as `transformers` starts them.
    pub fn new(config: BertConfig, seed: u64, device: Device) -> Self {
        tch::manual_seed(seed as i64);
        let mut parameters = Parameters::default();
        let mut b = Builder { parameters: &mut parameters, config: &config, device };
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embedding = |b: &mut Builder<'_>, name: &str, rows| {
            b.tensor(&format!("bert.embeddings.{name}_embeddings.weight"), &[rows, hidden], Start::Normal)
        };
        let words = embedding(&mut b, "word", config.vocab_size);
        let positions = embedding(&mut b, "position", config.max_position_embeddings);
        let types = embedding(&mut b, "token_type", config.type_vocab_size);
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
        let decoder_bias = b.tensor("cls.predictions.bias", &[config.vocab_size], Start::Zeros);
        let transform = b.linear("cls.predictions.transform.dense", hidden, hidden);
        let transform_norm = b.norm("cls.predictions.transform.LayerNorm");
        Self {
            device,
            compute: Kind::Float,
            words,
            positions,
            types,
            embedding_norm,
            layers,
            transform,
            transform_norm,
            decoder_bias,
            parameters,
            config,
        }
    }

    /// Computes in this kind; the weights stay float32.
    pub fn computing_in(mut self, compute: Kind) -> Self {
        self.compute = compute;
        self
    }

    /// The shape.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The last hidden states of all tokens, `[T, hidden_size]`.
    pub fn encode(&self, packed: &Packed, phase: Phase) -> Tensor {
        let train = phase == Phase::Train;
        let dropout = |x: Tensor| x.dropout(self.config.hidden_dropout_prob, train);
        let attention_dropout = if train { self.config.attention_probs_dropout_prob } else { 0.0 };
        let rows = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, false);
        // Token type 0 throughout.
        let sum = rows(&self.words, packed.ids()) + rows(&self.positions, packed.positions()) + self.types.select(0, 0);
        let mut x = dropout(self.embedding_norm.forward(&sum)).to_kind(self.compute);
        for layer in &self.layers {
            let qkv = [&layer.query, &layer.key, &layer.value].map(|projection| projection.forward(&x));
            let heads = self.config.num_attention_heads;
            let seen = packed.attention([&qkv[0], &qkv[1], &qkv[2]], heads, attention_dropout);
            x = layer.attention_norm.forward(&(dropout(layer.attention_output.forward(&seen)) + x));
            let inner = self.activate(layer.intermediate.forward(&x));
            x = layer.output_norm.forward(&(dropout(layer.output.forward(&inner)) + x));
        }
        x
    }

    /// Scores of every token of the vocabulary, `[N, vocab_size]` in float32, for these hidden states `[N, hidden_size]`.
    pub fn predict(&self, hidden: &Tensor) -> Tensor {
        let x = self.transform_norm.forward(&self.activate(self.transform.forward(hidden)));
        let kind = x.kind();
        x.linear(&self.words.to_kind(kind), Some(&self.decoder_bias.to_kind(kind))).to_kind(Kind::Float)
    }

    /// Scores at some tokens of the row alone, `[N, vocab_size]`: the head costs as much as several layers.
    pub fn predict_at(&self, packed: &Packed, selected: &[u32], phase: Phase) -> Tensor {
        let hidden = self.encode(packed, phase);
        self.predict(&hidden.index_select(0, &indices(selected, self.device)))
    }

    fn activate(&self, x: Tensor) -> Tensor {
        match self.config.hidden_act {
            Activation::Gelu => x.gelu("none"),
            Activation::GeluTanh => x.gelu("tanh"),
            Activation::Relu => x.relu(),
        }
    }
}
