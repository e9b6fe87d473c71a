//! What a sealed folder holds and what it was made from.
//!
//! A manifest is written last: a folder without one is no data set. It holds only what decides the
//! data: no paths of a machine, no times, threads or host names. So equal inputs and options give
//! equal manifests.
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Rules,
    store::{self, FileEntry, StoreError},
};

/// The version of all stored tables and manifests.
pub const FORMAT: u32 = 1;

/// Name of a manifest in its folder.
pub const MANIFEST: &str = "manifest.json";

/// A manifest: what is common to all of them, around a body that differs by folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest<B> {
    /// [`FORMAT`].
    pub format: u32,
    /// What is particular to the folder.
    #[serde(flatten)]
    pub body: B,
    /// Every file, sorted by name.
    pub files: Vec<FileEntry>,
    /// Hash of the manifest's bytes with this value empty.
    pub self_blake3: String,
}

/// A manifest cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("`{}` has no manifest, so it is not a finished data set", folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not a manifest.
    #[error("`{}` cannot be read as a manifest: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version of the format.
    #[error("`{}` has format {found}, this build reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It was changed after it was written.
    #[error("`{}` was changed after it was written\n  blake3 found {found}, wanted {wanted}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Hash of the file.
        found: String,
        /// The hash that it states.
        wanted: String,
    },
    /// The file itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<B: Serialize + DeserializeOwned> Manifest<B> {
    /// The manifest of these files.
    pub fn new(body: B, mut files: Vec<FileEntry>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Self { format: FORMAT, body, files, self_blake3: String::new() }
    }

    /// Writes it into its folder, last of all, and returns its own hash.
    pub fn seal(mut self, folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        self.self_blake3.clear();
        let malformed = |source| ManifestError::Malformed { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(&self).map_err(malformed)? + "\n";
        self.self_blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        // The field is the last one; an equal key in the body would come earlier.
        if let Some(at) = text.rfind(EMPTY_HASH) {
            text.insert_str(at + EMPTY_HASH.len() - 1, &self.self_blake3);
        }
        store::write_file(&path, text.as_bytes())?;
        Ok(self)
    }

    /// Reads the manifest of a folder and checks its own hash.
    ///
    /// # Errors
    /// When there is none, or it is not what [`Manifest::seal`] wrote.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Absent { folder: folder.to_owned() });
            }
            other => other.map_err(StoreError::io("read", &path))?,
        };
        let malformed = |source| ManifestError::Malformed { path: path.clone(), source };
        #[derive(Deserialize)]
        struct Head {
            format: u64,
            self_blake3: String,
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(malformed)?;
        if head.format != u64::from(FORMAT) {
            return Err(ManifestError::Format { path, found: head.format });
        }
        let found = hash_without(&bytes, &head.self_blake3);
        if found != head.self_blake3 {
            return Err(ManifestError::Changed { path, found, wanted: head.self_blake3 });
        }
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    /// Hash of the data: the names and contents of the files, and nothing of how they came to be.
    /// What is made from a folder depends on this.
    pub fn data_blake3(&self) -> String {
        data_blake3(&self.files)
    }
}

const EMPTY_HASH: &str = "\"self_blake3\": \"\"";

/// Hash of the names and contents of files.
pub fn data_blake3(files: &[FileEntry]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(file.blake3.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

/// Hash of `bytes` with the last occurrence of `stated` left out.
fn hash_without(bytes: &[u8], stated: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let at = if stated.is_empty() { None } else { bytes.windows(stated.len()).rposition(|w| w == stated.as_bytes()) };
    match at {
        Some(at) => hasher.update(&bytes[..at]).update(&bytes[at + stated.len()..]),
        None => hasher.update(bytes),
    };
    hasher.finalize().to_hex().to_string()
}

/// Counts by reason or kind, in a stable order.
pub type Counts = BTreeMap<String, u64>;

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

/// A hash of something that data was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// In hex.
    pub blake3: String,
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
    /// Least score of an entry with several words.
    pub min_score: f64,
    /// Least score of an entry with one word.
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
    /// The tagger.
    pub tagger: Hash,
    /// Least number of occurrences of a phrase.
    pub min_support: u64,
    /// The most words of a phrase.
    pub max_words: u64,
}

/// The body of `graph/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// The corpus that it joins.
    pub corpus: Hash,
    /// Associations as found in the corpus.
    pub found: u64,
    /// Edges by relation.
    pub edges: Counts,
    /// Products with at least one edge.
    pub products: u64,
}

/// The body of `shards/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardsBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// Longest segment in tokens, without special tokens.
    pub max_tokens: u16,
    /// Seed of every draw, the held-out share's key included.
    pub seed: u64,
    /// The tokenizer that gave the ids.
    pub tokenizer: TokenizerEntry,
    /// The pool that the spans refer to.
    pub pool: PoolEntry,
    /// Hash of the corpus.
    pub corpus: Hash,
    /// Hash of the association graph.
    pub graph: Hash,
    /// The other options that decide the shards.
    pub options: ShardOptions,
    /// The options as they stand beside the shards: those that decide them, bucket size and least scores included.
    pub resolved: Resolved,
    /// What is in the shards.
    pub counts: ShardCounts,
    /// Shares of the tokens.
    #[serde(default)]
    pub shares: Shares,
}

/// The tokenizer of the shards; a copy stands beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerEntry {
    /// Name of the copy.
    pub file: String,
    /// Entries in the vocabulary.
    pub vocab_size: u32,
    /// Hash of the copy.
    pub blake3: String,
    /// Which ids continue a word (their entry begins with `##`): one bit an id, in bytes whose lowest
    /// bit comes first, as hex.
    pub continuation_ids: String,
}

impl TokenizerEntry {
    /// Whether each id continues a word; `None` when the table does not fit the vocabulary.
    pub fn continuations(&self) -> Option<Vec<bool>> {
        let size = self.vocab_size as usize;
        let hex = self.continuation_ids.as_bytes();
        if hex.len() != 2 * size.div_ceil(8) {
            return None;
        }
        let digit = |d: u8| (d as char).to_digit(16);
        let bytes: Option<Vec<u32>> = hex.chunks(2).map(|pair| Some(16 * digit(pair[0])? + digit(pair[1])?)).collect();
        Some(bytes?.iter().flat_map(|b| (0..8).map(move |i| b >> i & 1 == 1)).take(size).collect())
    }

    /// The table of `continuations`, as it is stored.
    pub fn encode_continuations(continues: &[bool]) -> String {
        continues.chunks(8).fold(String::new(), |hex, bits| {
            hex + &format!("{:02x}", bits.iter().rev().fold(0u8, |byte, &bit| byte << 1 | u8::from(bit)))
        })
    }
}

/// The pool, as the shards' manifest names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolEntry {
    /// Phrases in it.
    pub phrases: u64,
    /// The lowest score.
    pub lowest_score: f32,
    /// Hash of the pool.
    pub blake3: String,
}

/// Options of the shards and pairs steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardOptions {
    /// Whether noun phrases were looked for.
    pub nouns: bool,
    /// The most pairs that one product takes part in.
    pub max_per_product: u64,
    /// How often the pairs are repeated, with new negatives.
    pub draws: u64,
    /// The tagger and chunker that looked for noun phrases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagger: Option<Hash>,
}

/// The file of resolved options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Name of the file.
    pub file: String,
    /// Hash of its bytes.
    pub blake3: String,
}

/// Shares of all tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// In pool phrases.
    pub phrases: f64,
    /// In noun phrases.
    pub noun_phrases: f64,
    /// In noun phrases that share no token with a pool phrase.
    pub clean_noun_phrases: f64,
}

impl Shares {
    /// The shares that counts give, to four digits.
    pub fn of(counts: &SegmentCounts) -> Self {
        let share = |n: u64| (1e4 * n as f64 / counts.tokens.max(1) as f64).round() / 1e4;
        Self {
            phrases: share(counts.phrase_tokens),
            noun_phrases: share(counts.noun_phrase_tokens),
            clean_noun_phrases: share(counts.clean_noun_phrase_tokens),
        }
    }
}

/// Counts of segments: of a shard, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCounts {
    /// Documents, each with at least one segment.
    pub documents: u64,
    /// Segments: rows of products and reviews.
    pub segments: u64,
    /// Tokens in all segments.
    pub tokens: u64,
    /// Phrase spans in all segments.
    pub phrase_spans: u64,
    /// Phrase occurrences that a segment boundary cut, and that are not stored.
    pub cut_spans: u64,
    /// Tokens in at least one phrase span.
    #[serde(default)]
    pub phrase_tokens: u64,
    /// Noun phrases in all segments.
    pub noun_phrases: u64,
    /// Noun phrases that a segment boundary cut, and that are not stored.
    #[serde(default)]
    pub cut_noun_phrases: u64,
    /// Tokens in noun phrases.
    #[serde(default)]
    pub noun_phrase_tokens: u64,
    /// Tokens in clean noun phrases: those that share no token with a phrase span.
    #[serde(default)]
    pub clean_noun_phrase_tokens: u64,
}

impl SegmentCounts {
    /// Adds another table's self.
    pub fn add(&mut self, other: &Self) {
        let Self {
            documents,
            segments,
            tokens,
            phrase_spans,
            cut_spans,
            phrase_tokens,
            noun_phrases,
            cut_noun_phrases,
            noun_phrase_tokens,
            clean_noun_phrase_tokens,
        } = other;
        self.documents += documents;
        self.segments += segments;
        self.tokens += tokens;
        self.phrase_spans += phrase_spans;
        self.cut_spans += cut_spans;
        self.phrase_tokens += phrase_tokens;
        self.noun_phrases += noun_phrases;
        self.cut_noun_phrases += cut_noun_phrases;
        self.noun_phrase_tokens += noun_phrase_tokens;
        self.clean_noun_phrase_tokens += clean_noun_phrase_tokens;
    }
}

/// Counts of the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// Of the segments of products and reviews.
    #[serde(flatten)]
    pub of_segments: SegmentCounts,
    /// Rows of pairs.
    pub pairs: u64,
    /// Associations that gave no pair, by reason.
    pub pairs_dropped: Counts,
    /// Records of the corpus step that are not in the corpus, by reason.
    pub rejected: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Manifest<GraphBody> {
        let body = GraphBody {
            rules: Rules::of([("graph", 1)]),
            corpus: Hash { blake3: "c0".into() },
            found: 7,
            edges: Counts::from([("substitute".into(), 3)]),
            products: 4,
        };
        let entry = |name: &str| FileEntry { name: name.into(), rows: 1, bytes: 2, blake3: "ab".into() };
        Manifest::new(body, vec![entry("b"), entry("a")])
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = graph().seal(folder.path()).unwrap();
        assert_eq!(sealed.files[0].name, "a");
        assert_eq!(Manifest::<GraphBody>::read(folder.path()).unwrap(), sealed);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        graph().seal(folder.path()).unwrap();
        let path = folder.path().join(MANIFEST);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(Manifest::<GraphBody>::read(folder.path()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        graph().seal(folder.path()).unwrap();
        let path = folder.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 9");
        fs::write(&path, text).unwrap();
        let error = Manifest::<GraphBody>::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("has format 9, this build reads format 1"), "{error}");
    }

    #[test]
    fn continuations_survive_the_table() {
        for size in [1usize, 7, 8, 9, 300] {
            let table: Vec<bool> = (0..size).map(|i| i % 3 == 1).collect();
            let entry = TokenizerEntry {
                file: String::new(),
                vocab_size: size as u32,
                blake3: String::new(),
                continuation_ids: TokenizerEntry::encode_continuations(&table),
            };
            assert_eq!(entry.continuations(), Some(table));
        }
    }
}
