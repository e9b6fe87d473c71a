//! A layer of the encoder, operator by operator, and what layers and heads are built of.
use ebert_kernels::{cpu, fused::PARAMETERS};
use tch::{Kind, Tensor};

use crate::{
    config::{Activation, BertConfig},
    packed::Packed,
    path::Path,
};

/// A fully connected layer.
#[derive(Debug)]
pub struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    /// `x` `[.., in]` to `[.., out]`, in the kind of `x`: the weights are cast, and stay as they
    /// are.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        x.linear(&self.weight.to_kind(kind), Some(&self.bias.to_kind(kind)))
    }
}

/// Layer normalization over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) epsilon: f64,
}

impl LayerNorm {
    /// `x` `[.., width]`, normalized, in its kind.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let [weight, bias] = [&self.weight, &self.bias].map(|t| t.to_kind(kind));
        x.layer_norm([x.size()[x.dim() - 1]], Some(&weight), Some(&bias), self.epsilon, true)
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
        let seen = attention([&q, &k, &v], packed, config, phase, path);
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

/// Attention of each sequence to itself. Queries, keys and values are `[T, hidden_size]`; so is the
/// result.
fn attention(qkv: [&Tensor; 3], packed: &Packed, config: &BertConfig, phase: Phase, path: Path) -> Tensor {
    let heads = config.num_attention_heads;
    let dropout = phase.probability(config.attention_probs_dropout_prob);
    match path {
        Path::FastCpu => {
            let lengths: Vec<i64> = packed.lengths().iter().map(|&length| length as i64).collect();
            cpu::attention(qkv, &lengths, heads, dropout).unwrap_or_else(|error| panic!("{error}"))
        }
        Path::Plain | Path::Fused => packed.rectangle().attention(qkv, heads, dropout),
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
