//! The manifest of `corpus/`.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counts, Hash};
use crate::Rules;

/// The body of `corpus/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// The options that decide the corpus.
    pub options: CorpusOptions,
    /// Hash of the tokenizer, which decides what an empty record is.
    pub tokenizer: Hash,
    /// The raw files that were read, by relative path.
    pub inputs: Vec<RawFile>,
    /// The files that hold no recognisable record.
    pub skipped: Vec<SkippedFile>,
    /// What was found.
    pub counts: CorpusCounts,
    /// The first few places of unreadable records, by reason.
    pub places: BTreeMap<String, Vec<Place>>,
}

/// Options that decide the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusOptions {
    /// Raw bytes for one bucket, in MiB.
    pub bucket_mib: u64,
    /// Longest segment in tokens, where a text is so long that its number of segments decides whether it
    /// is a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u16>,
}

/// A raw file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFile {
    /// Path below the corpus folder, with `/`.
    pub path: String,
    /// What it holds, such as `2018 products`.
    pub holds: String,
    /// Size on disk.
    pub bytes: u64,
    /// Hash of its bytes on disk.
    pub blake3: String,
    /// Lines read as records.
    pub records: u64,
    /// Where and how it is damaged, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// A raw file that holds no recognisable record in its first lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// Path below the corpus folder, with `/`.
    pub path: String,
    /// Why it was skipped.
    pub why: String,
}

/// A line of a raw file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path below the corpus folder, with `/`.
    pub path: String,
    /// Line, from 1.
    pub line: u64,
    /// What was found there.
    pub found: String,
}

/// Counts of the corpus step. `records` = `products` + `reviews` + all of `rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusCounts {
    /// Lines that are not blank.
    pub records: u64,
    /// Products in the corpus.
    pub products: u64,
    /// Reviews in the corpus.
    pub reviews: u64,
    /// Associations found, ends unchecked.
    pub associations: u64,
    /// Bytes of text in the corpus.
    pub text_bytes: u64,
    /// Bytes of the longest text that was read.
    pub longest_text: u64,
    /// Records that are not in the corpus, by reason.
    pub rejected: Counts,
}
