//! Commands that work on text and treebanks alone.
pub mod mine;
pub mod tagger;
