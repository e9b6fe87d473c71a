//! The layers of ModernBERT (Warner et al. 2024), operator by operator.
use tch::{Kind, Tensor};

use crate::{
    config::BertConfig,
    family::ModernBert,
    layer::{LayerNorm, Linear, Phase, attention},
    packed::Packed,
    parameters::Builder,
    path::Path,
};

/// The layers, and the norms around them.
#[derive(Debug)]
pub(crate) struct ModernLayers {
    shape: ModernBert,
    embedding_norm: LayerNorm,
    layers: Vec<ModernLayer>,
    final_norm: LayerNorm,
}

#[derive(Debug)]
struct ModernLayer {
    /// The first layer has none: the embeddings are normalized already.
    attention_norm: Option<LayerNorm>,
    /// Queries, keys and values.
    projections: Linear,
    attention_output: Linear,
    feed_forward_norm: LayerNorm,
    /// What is activated, and its gate.
    intermediate: Linear,
    output: Linear,
    is_global: bool,
}

/// Cosines and sines by token, `[T, 1, size of a head]`.
struct Rotation {
    cosines: Tensor,
    sines: Tensor,
}

impl Rotation {
    /// Of positions `[T]`: the numbers i and i + size / 2 of a head turn by position * theta^(-2i / size).
    fn new(positions: &Tensor, theta: f64, size: i64) -> Self {
        let exponents = Tensor::arange_start_step(0, size, 2, (Kind::Float, positions.device())) / size as f64;
        let frequencies =
            Tensor::from(theta).to_kind(Kind::Float).to_device(positions.device()).pow(&exponents).reciprocal();
        let angles = positions.to_kind(Kind::Float).unsqueeze(1) * frequencies.unsqueeze(0);
        let angles = Tensor::cat(&[&angles, &angles], 1).unsqueeze(1);
        Self { cosines: angles.cos(), sines: angles.sin() }
    }

    /// Turns queries or keys, `[T, heads * size]`, in float32.
    fn turn(&self, x: &Tensor, heads: i64) -> Tensor {
        let (tokens, width) = (x.size()[0], x.size()[1]);
        let heads = x.view([tokens, heads, width / heads]).to_kind(Kind::Float);
        let [first, second]: [Tensor; 2] = match <[Tensor; 2]>::try_from(heads.chunk(2, 2)) {
            Ok(halves) => halves,
            Err(_) => panic!("a head has an even number of numbers"),
        };
        let turned = Tensor::cat(&[&second.neg(), &first], 2);
        (heads * &self.cosines + turned * &self.sines).to_kind(x.kind()).view([tokens, width])
    }
}

impl ModernLayers {
    /// Adds the weights of all layers.
    pub(crate) fn new(b: &mut Builder<'_>, shape: &ModernBert) -> Self {
        let config = b.config().clone();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embedding_norm = b.norm_without_bias("model.embeddings.norm");
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("model.layers.{i}.{part}");
                ModernLayer {
                    attention_norm: (i > 0).then(|| b.norm_without_bias(&name("attn_norm"))),
                    projections: b.projection(&name("attn.Wqkv"), hidden, 3 * hidden),
                    attention_output: b.projection(&name("attn.Wo"), hidden, hidden),
                    feed_forward_norm: b.norm_without_bias(&name("mlp_norm")),
                    intermediate: b.projection(&name("mlp.Wi"), hidden, 2 * inner),
                    output: b.projection(&name("mlp.Wo"), inner, hidden),
                    is_global: shape.is_global(i),
                }
            })
            .collect();
        let final_norm = b.norm_without_bias("model.final_norm");
        Self { shape: shape.clone(), embedding_norm, layers, final_norm }
    }

    /// The last hidden states, of the word embeddings of all tokens, `[T, hidden_size]`.
    pub(crate) fn forward(
        &self,
        embeddings: &Tensor,
        packed: &Packed,
        config: &BertConfig,
        phase: Phase,
        (path, kind): (Path, Kind),
    ) -> Tensor {
        let heads = config.num_attention_heads;
        let size = config.hidden_size / heads;
        let [global, local] = [self.shape.global_rope_theta, self.shape.local_rope_theta]
            .map(|theta| Rotation::new(packed.positions(), theta, size));
        let hidden_dropout = |x: Tensor| phase.dropout(x, config.hidden_dropout_prob, path);
        let mut x = hidden_dropout(self.embedding_norm.forward(embeddings)).to_kind(kind);
        for layer in &self.layers {
            let (rotation, window) =
                if layer.is_global { (&global, None) } else { (&local, Some(self.shape.local_attention as usize / 2)) };
            let normed = layer.attention_norm.as_ref().map(|norm| norm.forward(&x));
            let projected = layer.projections.forward(normed.as_ref().unwrap_or(&x));
            let part = |number: i64| projected.narrow(1, number * config.hidden_size, config.hidden_size).contiguous();
            let (q, k, v) = (rotation.turn(&part(0), heads), rotation.turn(&part(1), heads), part(2));
            let seen = attention([&q, &k, &v], window, packed, config, phase, path);
            let output = layer.attention_output.forward(&seen);
            let attended = x + phase.dropout(output, config.attention_probs_dropout_prob, path);
            let widened = layer.intermediate.forward(&layer.feed_forward_norm.forward(&attended));
            let half = |number: i64| widened.narrow(1, number * config.intermediate_size, config.intermediate_size);
            let inner = hidden_dropout(config.hidden_act.of(&half(0)) * half(1));
            x = attended + layer.output.forward(&inner);
        }
        self.final_norm.forward(&x)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{BertForMaskedLm, Decision, Family};

    fn model(decision: Decision) -> BertForMaskedLm {
        let shape = ModernBert { local_attention: 4, ..ModernBert::default() };
        let config = serde_json::json!({"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4,
            "num_attention_heads": 2, "intermediate_size": 24, "initializer_range": 0.4});
        let config = serde_json::from_value::<BertConfig>(config).unwrap();
        BertForMaskedLm::new(&BertConfig { family: Family::ModernBert(shape), ..config }, 3, Device::Cpu, decision)
    }

    #[test]
    fn a_sequence_is_encoded_as_if_it_were_alone() {
        let _alone = ebert_kernels::generator();
        let sequences: [&[u32]; 3] = [&[4, 9, 3, 30, 7, 8, 44, 12, 5, 6, 21], &[11, 12, 13, 14, 15, 16, 17], &[40, 41]];
        let (fast, plain) = (model(Decision::on_cpu()), model(Decision::plain(Kind::Float)));
        let encode = |model: &BertForMaskedLm, sequences: &[&[u32]]| {
            let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
            model.encoder().encode(&Packed::new(&sequences.concat(), &lengths, Device::Cpu), Phase::Evaluate)
        };
        let together = encode(&fast, &sequences);
        let apart = Tensor::cat(&sequences.map(|sequence| encode(&fast, &[sequence])), 0);
        for other in [apart, encode(&plain, &sequences)] {
            let difference = (&together - other).abs().max().double_value(&[]);
            assert!(difference < 1e-4, "{difference}");
        }
    }
}
