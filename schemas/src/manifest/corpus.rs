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
    /// The files that hold no recognizable record.
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
    /// What becomes of reviews with the text of an earlier one.
    pub copies: Copies,
    /// Whether there is a table of interactions.
    pub interactions: bool,
}

/// What becomes of reviews whose text an earlier review has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// One review per text stays; the others are counted as `copy`.
    #[default]
    Remove,
    /// All stay.
    Keep,
}

impl Copies {
    /// The name in manifests and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Keep => "keep",
        }
    }
}

/// A raw file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFile {
    /// Path below the corpus folder, with `/`.
    pub path: String,
    /// What it holds, such as `2018 products`.
    pub holds: String,
    /// The fields of its records as JSON, if they are not those of a dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
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

/// A raw file that holds no recognizable record in its first lines.
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

/// Counts of the corpus step. `records` = `products` + `reviews` + `ratings` + all of `rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusCounts {
    /// Lines that are not blank.
    pub records: u64,
    /// Products in the corpus.
    pub products: u64,
    /// Reviews in the corpus.
    pub reviews: u64,
    /// Ratings without a text. They are in the interactions only.
    #[serde(default)]
    pub ratings: u64,
    /// Associations found, ends unchecked.
    pub associations: u64,
    /// Reviewers and products, each pair once.
    pub interactions: u64,
    /// Reviews that give no interaction, by reason.
    pub without_interaction: Counts,
    /// Bytes of text in the corpus.
    pub text_bytes: u64,
    /// Records that are not in the corpus, by reason.
    pub rejected: Counts,
    /// Text of the shop's pages that was removed, by rule.
    pub removed: BTreeMap<String, RemovedText>,
    /// Values of known fields that could not be read, by field and reason.
    pub unread: BTreeMap<String, Counts>,
}

/// Text that a rule removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedText {
    /// Number of removals.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl RemovedText {
    /// Adds what was removed elsewhere.
    pub fn add(&mut self, more: Self) {
        self.pieces += more.pieces;
        self.bytes += more.bytes;
    }
}
