//! The manifest of `shards/`.
use serde::{Deserialize, Serialize};

use super::{Copies, Counts, Hash};
use crate::{Rules, TokenId};

/// The body of `shards/manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardsBody {
    /// The rules that it was made by.
    #[serde(default)]
    pub rules: Rules,
    /// Longest segment in tokens, without special tokens.
    pub max_tokens: u16,
    /// Seed of every draw, and of the documents that are held out.
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
    /// The file of all options that decide the shards, bucket size and minimum scores included.
    pub resolved: Resolved,
    /// What is in the shards.
    pub counts: ShardCounts,
    /// Parts of the tokens.
    #[serde(default)]
    pub shares: Shares,
}

/// The tokenizer of the shards. The folder holds a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerEntry {
    /// Name of the copy.
    pub file: String,
    /// Entries in the vocabulary.
    pub vocab_size: u32,
    /// Hash of the copy.
    pub blake3: String,
    /// Which ids continue a word (their entry begins with `##`): one bit per id, in bytes whose lowest
    /// bit comes first, as hex. Empty where the vocabulary does not mark them, as in byte-level BPE. The
    /// segments have `word_starts` then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub continuation_ids: String,
}

impl TokenizerEntry {
    /// Whether each id continues a word. `None` where the vocabulary does not mark them, or when the table
    /// does not fit it.
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

    /// Whether the ids of these shards have 32 bits.
    pub fn has_wide_ids(&self) -> bool {
        u64::from(self.vocab_size) > u16::MOST_ENTRIES
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
    /// Which products negatives are drawn from.
    #[serde(default)]
    pub negatives: Negatives,
    /// What became of reviews with the text of an earlier one.
    pub copies: Copies,
    /// The tagger and chunker that looked for noun phrases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagger: Option<Hash>,
    /// The language of the corpus, if it is not English: a code of ISO 639-3, or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// Which products the negative of a pair is drawn from. It is never the anchor, one of its neighbors,
/// or a product with the text of the anchor or the neighbor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// All products with an association.
    #[default]
    Random,
    /// Those of them in the anchor's most specific category that has enough.
    Category,
}

/// The file of resolved options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Name of the file.
    pub file: String,
    /// Hash of its bytes.
    pub blake3: String,
}

/// Parts of all tokens, from 0 to 1.
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
    /// The parts that counts give, to four digits.
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
    /// Phrase occurrences that share a token with a word outside of them, and that are not stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spans_sharing_tokens: u64,
    /// Tokens in at least one phrase span.
    #[serde(default)]
    pub phrase_tokens: u64,
    /// Noun phrases in all segments.
    pub noun_phrases: u64,
    /// Noun phrases that a segment boundary cut, and that are not stored.
    #[serde(default)]
    pub cut_noun_phrases: u64,
    /// Noun phrases that share a token with a word outside of them, and that are not stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noun_phrases_sharing_tokens: u64,
    /// Words longer than a segment, as often as a segment boundary cuts them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_words: u64,
    /// Tokens in noun phrases.
    #[serde(default)]
    pub noun_phrase_tokens: u64,
    /// Tokens in clean noun phrases: those that share no token with a phrase span.
    #[serde(default)]
    pub clean_noun_phrase_tokens: u64,
}

impl SegmentCounts {
    /// Adds the counts of another table.
    pub fn add(&mut self, other: &Self) {
        let Self {
            documents,
            segments,
            tokens,
            phrase_spans,
            cut_spans,
            spans_sharing_tokens,
            phrase_tokens,
            noun_phrases,
            cut_noun_phrases,
            noun_phrases_sharing_tokens,
            cut_words,
            noun_phrase_tokens,
            clean_noun_phrase_tokens,
        } = other;
        self.documents += documents;
        self.segments += segments;
        self.tokens += tokens;
        self.phrase_spans += phrase_spans;
        self.cut_spans += cut_spans;
        self.spans_sharing_tokens += spans_sharing_tokens;
        self.noun_phrases_sharing_tokens += noun_phrases_sharing_tokens;
        self.cut_words += cut_words;
        self.phrase_tokens += phrase_tokens;
        self.noun_phrases += noun_phrases;
        self.cut_noun_phrases += cut_noun_phrases;
        self.noun_phrase_tokens += noun_phrase_tokens;
        self.clean_noun_phrase_tokens += clean_noun_phrase_tokens;
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Counts of the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// Of the segments of products and reviews.
    #[serde(flatten)]
    pub of_segments: SegmentCounts,
    /// Rows of pairs.
    pub pairs: u64,
    /// Those of each relation.
    #[serde(default)]
    pub pairs_by_relation: Counts,
    /// Associations that gave no pair, by reason.
    pub pairs_dropped: Counts,
    /// With [`Negatives::Category`]: rows of pairs by the category that their negative was drawn from.
    /// `leaf` is the anchor's most specific one, `up_1` the one above it, and `random` is none.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub negatives: Counts,
    /// Records of the corpus step that are not in the corpus, by reason.
    pub rejected: Counts,
}
