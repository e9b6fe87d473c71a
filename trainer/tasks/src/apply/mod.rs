//! A finished model applied to texts of a user.
//!
//! | module | command | result |
//! |---|---|---|
//! | [`fill_mask`] | `ebert fill-mask` | the most probable entries for each `[MASK]` |
//! | [`embed`] | `ebert embed` | an embedding of each title, as Parquet or `.npy` |
//! | [`similar`] | `ebert similar` | the products of a catalog that are nearest to a title |
//!
//! The model is [`Frozen`](crate::probe::features::Frozen), as in probes, so commands and probes
//! see the same states. [`title_file`] reads titles.
pub mod embed;
mod error;
pub mod fill_mask;
mod npy;
pub mod similar;
pub mod title_file;

pub use error::ApplyError;

/// How a mask is written, in texts and in vocabularies.
pub const MASK: &str = "[MASK]";
