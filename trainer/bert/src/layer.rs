//! A layer of the encoder, operator by operator, and what layers and heads are built of.
use ebert_kernels::{cpu, fused::PARAMETERS};
use tch::{Kind, Tensor};

use crate::{config::BertConfig, packed::Packed, path::Path};

/// A fully connected layer.
#[derive(Debug)]
pub struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    /// `x` `[.., in]` to `[.., out]`, in the kind of `x`: the weights are cast, and stay as they
    /// are.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        x.linear(&self.weight.to_kind(kind), self.bias.as_ref().map(|bias| bias.to_kind(kind)).as_ref())
    }

    /// Sets its bias, `[out]`, if it has one. Without gradients alone.
    pub fn set_bias(&self, values: &Tensor) {
        if let Some(bias) = &self.bias {
            bias.shallow_clone().copy_(values);
        }
    }
}

/// Layer normalization over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) epsilon: f64,
}

impl LayerNorm {
    /// `x` `[.., width]`, normalized, in its kind.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let weight = self.weight.to_kind(kind);
        let bias = self.bias.as_ref().map(|bias| bias.to_kind(kind));
        x.layer_norm([x.size()[x.dim() - 1]], Some(&weight), bias.as_ref(), self.epsilon, true)
    }
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) attention_output: Linear,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) intermediate: Linear,
    pub(crate) output: Linear,
    pub(crate) output_norm: LayerNorm,
}

impl Layer {
    /// One layer over the hidden states `x` `[T, hidden_size]` of packed sequences, operator by
    /// operator (Devlin et al. 2019).
    pub(crate) fn forward(&self, x: &Tensor, packed: &Packed, config: &BertConfig, phase: Phase, path: Path) -> Tensor {
        let dropout = |x: Tensor| phase.dropout(x, config.hidden_dropout_prob, path);
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|projection| projection.forward(x));
        let seen = attention([&q, &k, &v], None, packed, config, phase, path);
        let x = self.attention_norm.forward(&(dropout(self.attention_output.forward(&seen)) + x));
        let inner = config.hidden_act.of(&self.intermediate.forward(&x));
        self.output_norm.forward(&(dropout(self.output.forward(&inner)) + x))
    }

    /// Its parameters in the order of
    /// [`FusedKernels::layer`](ebert_kernels::fused::FusedKernels::layer).
    pub(crate) fn parameters(&self) -> [&Tensor; PARAMETERS] {
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
            present(&q.bias),
            present(&k.bias),
            present(&v.bias),
            present(&mix.bias),
            &first.weight,
            present(&first.bias),
            present(&widen.bias),
            present(&narrow.bias),
            &second.weight,
            present(&second.bias),
        ]
    }
}

fn present(bias: &Option<Tensor>) -> &Tensor {
    bias.as_ref().unwrap_or_else(|| panic!("a layer of BERT has all biases"))
}

/// Attention of each sequence to itself. Queries, keys and values are `[T, hidden_size]`; so is the
/// result. With a window, a token sees those at most so many positions away.
pub(crate) fn attention(
    qkv: [&Tensor; 3],
    window: Option<usize>,
    packed: &Packed,
    config: &BertConfig,
    phase: Phase,
    path: Path,
) -> Tensor {
    let heads = config.num_attention_heads;
    let dropout = phase.probability(config.attention_probs_dropout_prob);
    // In short sequences, a window leaves nothing out.
    let window = window.filter(|window| packed.lengths().iter().any(|length| *length > window + 1));
    match path {
        Path::FastCpu if window.is_none() => {
            let lengths: Vec<i64> = packed.lengths().iter().map(|&length| length as i64).collect();
            cpu::attention(qkv, &lengths, heads, dropout).unwrap_or_else(|error| panic!("{error}"))
        }
        _ => packed.rectangle().attention(qkv, window, heads, dropout),
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
    /// The probability with which dropout drops.
    pub(crate) fn probability(self, dropout: f64) -> f64 {
        if self == Self::Train { dropout } else { 0.0 }
    }

    /// Drops numbers with a probability.
    pub(crate) fn dropout(self, x: Tensor, dropout: f64, path: Path) -> Tensor {
        match (self.probability(dropout), path, x.kind()) {
            (0.0, ..) => x,
            (probability, Path::FastCpu, Kind::Float | Kind::Double) => {
                cpu::dropout(&x, probability).unwrap_or_else(|error| panic!("{error}"))
            }
            (probability, ..) => x.dropout(probability, true),
        }
    }
}
