//! The manifest of `pool/`.
use serde::{Deserialize, Serialize};

use super::{Counts, Hash};
use crate::Rules;

/// The body of `pool/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// What the pool was made from.
    pub source: PoolSource,
    /// Hash of the tokenizer, which decides what a word is.
    pub tokenizer: Hash,
    /// Minimum score of an entry with several words.
    pub min_score: f64,
    /// Minimum score of an entry with one word.
    pub min_score_single: f64,
    /// Phrases in the pool.
    pub phrases: u64,
    /// The lowest score in the pool; what a noun phrase counts as.
    pub lowest_score: f32,
    /// Entries that are not in the pool, by reason.
    pub rejected: Counts,
}

/// Where a phrase pool came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolSource {
    /// A file of `score<TAB>phrase` lines.
    Import {
        /// Hash of the file's bytes on disk.
        blake3: String,
        /// Lines in it.
        entries: u64,
    },
    /// The corpus.
    Mined(MinedPool),
}

/// What decides a pool that was mined from the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinedPool {
    /// The corpus.
    pub corpus: Hash,
    /// Good phrases, where they are not those that the corpus names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_list: Option<Hash>,
    /// Names of things, good phrases or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_list: Option<Hash>,
    /// Stop words: a list, or the English ones of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_words: Option<Hash>,
    /// The tagger, if the language has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagger: Option<Hash>,
    /// The language of the corpus, if it is not English: a code of ISO 639-3, or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Least number of occurrences of a phrase.
    pub min_support: u64,
    /// The most words of a phrase.
    pub max_words: u64,
}
