//! The masked-LM head.
use tch::{Device, Kind, Tensor};

use super::{
    attention::{Packed, indices},
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

    /// The weights, the encoder's first.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Scores of every token of the vocabulary, `[N, vocab_size]` in float32, for these hidden states `[N, hidden_size]`.
    pub fn predict(&self, hidden: &Tensor) -> Tensor {
        let activation = self.encoder.config().hidden_act;
        let x = self.transform_norm.forward(&activation.of(&self.transform.forward(hidden)));
        let kind = x.kind();
        x.linear(&self.encoder.words().to_kind(kind), Some(&self.decoder_bias.to_kind(kind))).to_kind(Kind::Float)
    }

    /// Scores at some tokens of the row alone, `[N, vocab_size]`: the head costs as much as several layers.
    pub fn predict_at(&self, packed: &Packed, selected: &[u32], phase: Phase) -> Tensor {
        let hidden = self.encoder.encode(packed, phase);
        self.predict(&hidden.index_select(0, &indices(selected, self.encoder.device())))
    }
}
