//! The encoder.
use tch::{Device, Tensor};

use ebert_kernels::{
    TorchError,
    fused::{CAST, FusedKernels, LayerCall, cast},
};

use crate::{
    config::BertConfig,
    family::Family,
    layer::{Layer, LayerNorm, Phase},
    modern::ModernLayers,
    packed::Packed,
    parameters::Builder,
    path::Decision,
};

/// An encoder without a head.
#[derive(Debug)]
pub struct Encoder {
    config: BertConfig,
    device: Device,
    decision: Decision,
    words: Tensor,
    body: Body,
    /// On the fused path.
    kernels: Option<FusedKernels>,
}

/// All but the word embeddings.
#[derive(Debug)]
enum Body {
    /// Of a BERT or RoBERTa (Devlin et al. 2019).
    Bert { positions: Tensor, types: Tensor, embedding_norm: LayerNorm, layers: Vec<Layer> },
    /// Of a ModernBERT.
    Modern(ModernLayers),
}

impl Body {
    /// Adds the weights of a BERT or RoBERTa.
    fn bert(b: &mut Builder<'_>) -> Self {
        let config = b.config().clone();
        let prefix = config.family.encoder_prefix();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embedding = |b: &mut Builder<'_>, name: &str, rows| {
            b.embedding(&format!("{prefix}embeddings.{name}_embeddings.weight"), rows, hidden)
        };
        let positions = embedding(b, "position", config.max_position_embeddings);
        let types = embedding(b, "token_type", config.type_vocab_size);
        let embedding_norm = b.norm(&format!("{prefix}embeddings.LayerNorm"));
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("{prefix}encoder.layer.{i}.{part}");
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
        Self::Bert { positions, types, embedding_norm, layers }
    }
}

impl Encoder {
    /// A fresh encoder, which computes as decided. The weights are float32.
    pub fn new(b: &mut Builder<'_>, mut decision: Decision) -> Self {
        let config = b.config().clone();
        let names = config.family.names();
        let words = b.embedding(&format!("{}{}", names.encoder, names.words), config.vocab_size, config.hidden_size);
        let body = match &config.family {
            Family::Bert | Family::Roberta { .. } => Body::bert(b),
            Family::ModernBert(shape) => Body::Modern(ModernLayers::new(b, shape)),
        };
        let kernels = decision.kernels(&config, b.device());
        Self { device: b.device(), decision, words, body, kernels, config }
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
        let words = rows(&self.words, packed.ids());
        let Decision { path, kind, .. } = self.decision;
        let (positions, types, embedding_norm, layers) = match &self.body {
            Body::Bert { positions, types, embedding_norm, layers } => (positions, types, embedding_norm, layers),
            Body::Modern(layers) => return layers.forward(&words, packed, &self.config, phase, (path, kind)),
        };
        let positions = match self.config.family.first_position() {
            0 => rows(positions, packed.positions()),
            first => rows(positions, &(packed.positions() + first)),
        };
        let types = packed.types().map_or_else(|| types.select(0, 0), |ids| rows(types, ids));
        let sum = words + positions + types;
        let x = self.dropout(embedding_norm.forward(&sum), phase).to_kind(kind);
        match &self.kernels {
            Some(kernels) => self.fused(kernels, layers, x, packed, phase).unwrap_or_else(|error| panic!("{error}")),
            None => layers.iter().fold(x, |x, layer| layer.forward(&x, packed, &self.config, phase, path)),
        }
    }

    /// Drops hidden states in training.
    pub fn dropout(&self, x: Tensor, phase: Phase) -> Tensor {
        phase.dropout(x, self.config.hidden_dropout_prob, self.decision.path)
    }

    /// The last hidden states by fused layers, which add the gradients of their parameters
    /// themselves: [`Parameters::gradients`](crate::Parameters::gradients) must have made these before.
    fn fused(
        &self,
        kernels: &FusedKernels,
        layers: &[Layer],
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
        let seeds = ebert_kernels::seeds(2 * layers.len() as i64)?;
        let clone = |tensors: &[&Tensor]| -> Vec<Tensor> { tensors.iter().map(|t| t.shallow_clone()).collect() };
        let mut halves = cast(&layers.iter().flat_map(|l| clone(&l.parameters()[..CAST])).collect::<Vec<_>>())?;
        for (layer, seeds) in layers.iter().zip(seeds.as_chunks::<2>().0) {
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
