//! What a masked-LM head does before its decoder.
use tch::Tensor;

use crate::{
    activation::Activation,
    family::Family,
    layer::{LayerNorm, Linear},
    parameters::Builder,
};

/// A linear layer, an activation and a layer norm, all of the width of the hidden states. Every
/// head of a ModernBERT begins with the one of its masked-LM head.
#[derive(Debug)]
pub struct Transform {
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
}

impl Transform {
    /// That of the builder's family.
    pub fn new(b: &mut Builder<'_>) -> Self {
        let config = b.config().clone();
        let hidden = config.hidden_size;
        match &config.family {
            Family::Bert => Self {
                dense: b.linear("cls.predictions.transform.dense", hidden, hidden),
                activation: config.hidden_act,
                norm: b.norm("cls.predictions.transform.LayerNorm"),
            },
            Family::Roberta { .. } => Self {
                dense: b.linear("lm_head.dense", hidden, hidden),
                activation: Activation::Gelu,
                norm: b.norm("lm_head.layer_norm"),
            },
            Family::ModernBert(shape) => Self {
                dense: b.projection("head.dense", hidden, hidden),
                activation: shape.classifier_activation,
                norm: b.norm_without_bias("head.norm"),
            },
        }
    }

    /// Of hidden states `[.., hidden_size]`, in their kind.
    pub fn forward(&self, hidden: &Tensor) -> Tensor {
        self.norm.forward(&self.activation.of(&self.dense.forward(hidden)))
    }
}
