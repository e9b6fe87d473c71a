//! BERT, RoBERTa and ModernBERT, as `transformers` has them: the same configuration, names of
//! weights and numbers.
//!
//! [`Encoder`] is a model without a head, [`BertForMaskedLm`] has the masked-LM head. Sequences are
//! packed in one row ([`Packed`]); no token is padding. [`weights`] reads and writes Hugging Face
//! folders.
//!
//! [`Decision`] names how a model computes. Layers exist twice: plain, as operators of libtorch on
//! any device, and fast, in `ebert_kernels`. Nothing outside this crate knows which of them runs.
#![forbid(unsafe_code)]

mod activation;
mod config;
mod encoder;
mod family;
mod layer;
mod masked_lm;
mod modern;
mod packed;
mod parameters;
mod path;
mod pointer;
pub mod tokens;
mod transform;
pub mod weights;

pub use activation::Activation;
pub use config::{BertConfig, ConfigError};
pub use encoder::Encoder;
pub use family::{Family, ModernBert, Refusal, is_of_masked_lm_head};
pub use layer::{LayerNorm, Linear, Phase};
pub use masked_lm::{BertForMaskedLm, cross_entropy};
pub use packed::{Packed, indices, upload};
pub use parameters::{Builder, Parameters};
pub use path::{CannotCompute, Compute, Decision, DeviceFacts, Path};
pub use pointer::Pointer;
pub use transform::Transform;
