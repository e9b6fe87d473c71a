//! The program: options as settings, commands on text and treebanks alone, and the way to the trainer.
use std::sync::OnceLock;

use ebert_commands::Wording;

pub(crate) mod arguments;
pub(crate) mod config;
pub(crate) mod mine;
pub(crate) mod pages;
pub(crate) mod remote;
pub(crate) mod stored;
pub(crate) mod tagger;
pub(crate) mod trainer;

/// The words for whoever ran this program.
pub(crate) static WORDING: OnceLock<Wording> = OnceLock::new();

/// A message with commands and places as its reader would type them.
pub(crate) fn words(text: &str) -> String {
    stored::with_address(WORDING.get().map_or_else(|| text.to_owned(), |wording| wording.text(text).into_owned()))
}
