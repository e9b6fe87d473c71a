//! Activations of feed-forward layers and heads.
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// What stands between the halves of a feed-forward layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// x times the normal distribution function.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// The same by tanh.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// max(0, x).
    #[serde(rename = "relu")]
    Relu,
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
