//! The masked-LM head.
use tch::{Device, Kind, Reduction, Tensor};

use crate::{
    config::BertConfig,
    encoder::Encoder,
    layer::Phase,
    packed::{Packed, indices, upload},
    parameters::{Builder, Parameters},
    path::{Decision, Path},
    transform::Transform,
};

/// An encoder with a masked-LM head whose decoder is the word embedding.
#[derive(Debug)]
pub struct BertForMaskedLm {
    encoder: Encoder,
    transform: Transform,
    decoder_bias: Tensor,
    parameters: Parameters,
}

impl BertForMaskedLm {
    /// A fresh model, drawn from `seed`, which computes as decided. The weights are float32.
    pub fn new(config: &BertConfig, seed: u64, device: Device, decision: Decision) -> Self {
        let mut parameters = Parameters::default();
        let mut model = Self::build(&mut Builder::new(&mut parameters, config, seed, device), decision);
        model.parameters = parameters;
        model
    }

    /// The names and shapes of the weights of such a model, without the model.
    pub fn outline(config: &BertConfig) -> Parameters {
        let mut parameters = Parameters::default();
        Self::build(&mut Builder::outline(&mut parameters, config), Decision::on_cpu());
        parameters
    }

    /// The parts of a model, whose parameters the builder has.
    fn build(b: &mut Builder<'_>, decision: Decision) -> Self {
        let encoder = Encoder::new(b, decision);
        let config = encoder.config();
        let decoder_bias = b.bias(config.family.names().decoder_bias, config.vocab_size);
        let transform = Transform::new(b);
        Self { encoder, transform, decoder_bias, parameters: Parameters::default() }
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The weights, the encoder's first.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Logits of every token of the vocabulary for these hidden states `[N, hidden_size]`, in their
    /// kind: `[N, vocab_size]`.
    fn logits(&self, hidden: &Tensor) -> Tensor {
        self.decode(&self.transform.forward(hidden), &self.decoder_bias)
    }

    /// The products of states `[N, hidden_size]` with the word embeddings, and a bias
    /// `[vocab_size]`. On the fused path the vocabulary is padded to a multiple of 8 with logits of
    /// minus infinity. Otherwise the product takes three times as long.
    fn decode(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        let kind = x.kind();
        let [mut words, mut bias] = [self.encoder.words(), bias].map(|t| t.to_kind(kind));
        let padding = (8 - self.encoder.config().vocab_size % 8) % 8;
        if padding > 0 && self.encoder.decision().path == Path::Fused {
            words = words.constant_pad_nd([0, 0, 0, padding]);
            bias = bias.pad([0, padding], "constant", f64::NEG_INFINITY);
        }
        x.linear(&words, Some(&bias))
    }

    /// The hidden states of some tokens of the row: the head works at these alone, since it costs
    /// as much as several layers.
    fn at(&self, hidden: &Tensor, selected: &[u32]) -> Tensor {
        hidden.index_select(0, &indices(selected, self.encoder.device()))
    }

    /// Logits in float32 at some tokens of the row, `[N, vocab_size]`.
    pub fn predict_at(&self, packed: &Packed, selected: &[u32], phase: Phase) -> Tensor {
        let logits = self.logits(&self.at(&self.encoder.encode(packed, phase), selected));
        logits.narrow(1, 0, self.encoder.config().vocab_size).to_kind(Kind::Float)
    }

    /// The sum of the cross entropies at some tokens of the row with their labels, in nats, a
    /// scalar.
    pub fn loss_at(&self, packed: &Packed, selected: &[u32], labels: &[u32], phase: Phase) -> Tensor {
        self.loss_of(&self.encoder.encode(packed, phase), selected, labels)
    }

    /// The same, of the last hidden states of all tokens of the row, `[T, hidden_size]`.
    pub fn loss_of(&self, hidden: &Tensor, selected: &[u32], labels: &[u32]) -> Tensor {
        self.sum_of_losses(&self.logits(&self.at(hidden, selected)), labels)
    }

    /// The same, of states `[N, hidden_size]` that another head made, with its bias `[vocab_size]`.
    pub fn decoded_loss(&self, x: &Tensor, bias: &Tensor, labels: &[u32]) -> Tensor {
        self.sum_of_losses(&self.decode(x, bias), labels)
    }

    fn sum_of_losses(&self, logits: &Tensor, labels: &[u32]) -> Tensor {
        match self.encoder.kernels() {
            Some(kernels) => kernels.cross_entropy(logits, labels).unwrap_or_else(|error| panic!("{error}")),
            None => {
                let labels: Vec<i32> = labels.iter().map(|&id| id as i32).collect();
                let labels = upload(&labels, self.encoder.device()).to_kind(Kind::Int64);
                cross_entropy(&logits.to_kind(Kind::Float), &labels)
            }
        }
    }
}

/// Sum of the cross entropies of logits `[N, vocab_size]` with labels `[N]`, in nats.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0)
}
