//! The masked-LM head.
use tch::{Device, Kind, Reduction, Tensor};

use super::{
    attention::{Packed, indices, upload},
    config::BertConfig,
    encoder::{Builder, Encoder, LayerNorm, Linear, Parameters, Phase},
};

/// BERT with a masked-LM head whose decoder is the word embedding.
#[derive(Debug)]
pub struct BertForMaskedLm {
    encoder: Encoder,
    transform: Linear,
    transform_norm: LayerNorm,
    decoder_bias: Tensor,
    parameters: Parameters,
}

impl BertForMaskedLm {
    /// A fresh model, drawn from `seed`. It computes in `compute`; the weights stay float32.
    pub fn new(config: &BertConfig, seed: u64, device: Device, compute: Kind) -> Self {
        let mut parameters = Parameters::default();
        let b = &mut Builder::new(&mut parameters, config, seed, device);
        let encoder = Encoder::new(b, compute);
        let decoder_bias = b.bias("cls.predictions.bias", config.vocab_size);
        let transform = b.linear("cls.predictions.transform.dense", config.hidden_size, config.hidden_size);
        let transform_norm = b.norm("cls.predictions.transform.LayerNorm");
        Self { encoder, transform, transform_norm, decoder_bias, parameters }
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Computes its layers operator by operator from now on, also on a GPU: for comparison.
    pub fn unfuse(&mut self) {
        self.encoder.unfuse();
    }

    /// The weights, the encoder's first.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Scores of every token of the vocabulary for these hidden states `[N, hidden_size]`, in their kind: `[N, vocab_size]`. In half precision on a
    /// GPU the vocabulary is filled up to a multiple of 8 with scores of minus infinity, without which the product takes thrice as long.
    fn scores(&self, hidden: &Tensor) -> Tensor {
        let activation = self.encoder.config().hidden_act;
        let x = self.transform_norm.forward(&activation.of(&self.transform.forward(hidden)));
        let kind = x.kind();
        let [mut words, mut bias] = [self.encoder.words(), &self.decoder_bias].map(|t| t.to_kind(kind));
        let filling = (8 - self.encoder.config().vocab_size % 8) % 8;
        if filling > 0 && kind != Kind::Float && self.encoder.device().is_cuda() {
            words = words.constant_pad_nd([0, 0, 0, filling]);
            bias = bias.pad([0, filling], "constant", f64::NEG_INFINITY);
        }
        x.linear(&words, Some(&bias))
    }

    /// The hidden states of some tokens of the row: the head works at these alone, since it costs as much as several layers.
    fn hidden_at(&self, packed: &Packed, selected: &[u32], phase: Phase) -> Tensor {
        let hidden = self.encoder.encode(packed, phase);
        hidden.index_select(0, &indices(selected, self.encoder.device()))
    }

    /// Scores in float32 at some tokens of the row: `[N, vocab_size]`, or on a GPU more columns of minus infinity.
    pub fn predict_at(&self, packed: &Packed, selected: &[u32], phase: Phase) -> Tensor {
        self.scores(&self.hidden_at(packed, selected, phase)).to_kind(Kind::Float)
    }

    /// The sum of the cross entropies at some tokens of the row with their labels, in nats, a scalar.
    pub fn loss_at(&self, packed: &Packed, selected: &[u32], labels: &[u16], phase: Phase) -> Tensor {
        let scores = self.scores(&self.hidden_at(packed, selected, phase));
        let labels: Vec<i32> = labels.iter().map(|&id| i32::from(id)).collect();
        let labels = upload(&labels, self.encoder.device());
        match self.encoder.kernels() {
            // What libtorch refuses is a panic, as it is in tch.
            Some(kernels) => kernels.cross_entropy(&scores, &labels).unwrap_or_else(|error| panic!("{error}")),
            None => cross_entropy(&scores.to_kind(Kind::Float), &labels.to_kind(Kind::Int64)),
        }
    }
}

/// Sum of the cross entropies of scores `[N, vocab_size]` with labels `[N]`, in nats.
pub fn cross_entropy(scores: &Tensor, labels: &Tensor) -> Tensor {
    scores.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0)
}
