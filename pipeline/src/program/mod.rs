//! Commands that work on text and treebanks alone.
pub(crate) mod mine;
pub(crate) mod tagger;
