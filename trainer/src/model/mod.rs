//! BERT, as `transformers` has it: the same configuration, names of weights and numbers.
//!
//! [`Encoder`] is BERT without a head, [`BertForMaskedLm`] has the masked-LM head. Sequences are packed in one row
//! ([`Packed`]); no token is padding. [`weights`] reads and writes Hugging Face folders.
mod attention;
mod attention_trial;
mod config;
mod encoder;
mod masked_lm;
pub mod weights;

pub use attention::{Attention, Layout, Packed, indices, upload};
pub use attention_trial::VARIABLE as ATTENTION_VARIABLE;
pub use config::{Activation, BertConfig, ConfigError};
pub use encoder::{Builder, Encoder, LayerNorm, Linear, Parameters, Phase};
pub use masked_lm::{BertForMaskedLm, cross_entropy};
