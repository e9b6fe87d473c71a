//! BERT, as `transformers` has it: the same configuration, names of weights and numbers.
//!
//! [`Encoder`] is BERT without a head, [`BertForMaskedLm`] has the masked-LM head. Sequences are
//! packed in one row ([`Packed`]); no token is padding. [`weights`] reads and writes Hugging Face
//! folders.
//!
//! [`Decision`] names how a model computes. Layers exist twice: plain, as operators of libtorch on
//! any device, and fast, in `ebert_kernels`. Nothing outside this crate knows which of them runs.
#![forbid(unsafe_code)]

mod config;
mod encoder;
mod layer;
mod masked_lm;
mod packed;
mod path;
mod pointer;
pub mod tokens;
pub mod weights;

pub use config::{Activation, BertConfig, ConfigError};
pub use encoder::{Builder, Encoder, Parameters};
pub use layer::{LayerNorm, Linear, Phase};
pub use masked_lm::{BertForMaskedLm, MASKED_LM_HEAD, cross_entropy};
pub use packed::{Packed, indices, upload};
pub use path::{CannotCompute, Compute, Decision, DeviceFacts, Path};
pub use pointer::Pointer;
