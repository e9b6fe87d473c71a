//! BERT, as `transformers` has it: the same configuration, names of weights and numbers.
//!
//! [`BertForMaskedLm`] is the encoder with the masked-LM head. Sequences are packed in one row ([`Packed`]); no token is
//! padding. [`weights`] reads and writes Hugging Face folders.
mod attention;
mod bert;
mod config;
pub mod weights;

pub use attention::{Packed, Waste, indices};
pub use bert::{BertForMaskedLm, Parameters, Phase};
pub use config::{BertConfig, ConfigError};
