//! Ids of documents, texts, reviewers and phrases, and token ranges within a segment.
use std::{fmt, ops::Range};

use xxhash_rust::xxh3::xxh3_64;

use crate::Draws;

/// Identifies a document: xxh3-64 of its kind, a zero byte, and its key within the kind.
///
/// Ids are hashes, so documents sorted by id are in random order, and each bucket is a random sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct DocumentId(u64);

impl DocumentId {
    /// The id that a file stores.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id of the product document of a product.
    pub fn of_product(product_id: &str) -> Self {
        Self(hash_fields("product", &[product_id]))
    }

    /// The id of a review. A missing field is the empty string; `time` is the dump's number in
    /// decimal; `text` is the cleaned text.
    pub fn of_review(product_id: &str, reviewer: &str, time: &str, text: &str) -> Self {
        Self(hash_fields("review", &[product_id, reviewer, time, text]))
    }

    /// The number that a file stores.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies a text: documents with the same letters and digits have the same text id.
///
/// The same review often stands under the ids of all variants of a product, with other punctuation.
/// The text id decides which documents are copies, and which are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct TextId(u64);

impl TextId {
    /// The id that a file stores.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id of a text: xxh3-64 of its lower-case letters and digits. A text without any is hashed
    /// as it is.
    ///
    /// ```
    /// use schemas::TextId;
    ///
    /// assert_eq!(TextId::of("Fits well!"), TextId::of("fits\nWELL"));
    /// assert_ne!(TextId::of(":-)"), TextId::of(":-("));
    /// ```
    pub fn of(text: &str) -> Self {
        let plain = letters_and_digits(text);
        Self(xxh3_64(if plain.is_empty() { text.as_bytes() } else { &plain }))
    }

    /// The number that a file stores.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the text is held out: never trained on, but measured on. `ratio` of all texts (0 to 1)
    /// are. `seed` is the seed of the shards, so that all runs over them hold out the same.
    pub fn is_held_out(self, seed: u64, ratio: f64) -> bool {
        Draws::new(seed, "held-out", &self.0.to_le_bytes()).unit() < ratio
    }
}

/// The letters and digits of a text in lower case: what `str::to_lowercase` gives, without all
/// characters that are not `char::is_alphanumeric`.
fn letters_and_digits(text: &str) -> Vec<u8> {
    // The only character whose lower case depends on its neighbors.
    if text.contains('Σ') {
        return text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>().into_bytes();
    }
    let bytes = text.as_bytes();
    // Lower case is at most half as long again.
    let mut plain = vec![0; bytes.len() + bytes.len() / 2 + 4];
    let (mut from, mut to) = (0, 0);
    loop {
        let run = ascii_run(&bytes[from..]);
        for &byte in &bytes[from..from + run] {
            // Written always, and kept or overwritten: no branch that depends on the text.
            plain[to] = LOWER[usize::from(byte)];
            to += usize::from(LOWER[usize::from(byte)] != 0);
        }
        from += run;
        let Some(c) = text[from..].chars().next() else { break };
        from += c.len_utf8();
        for lower in c.to_lowercase().filter(|c| c.is_alphanumeric()) {
            to += lower.encode_utf8(&mut plain[to..]).len();
        }
    }
    plain.truncate(to);
    plain
}

/// The number of ASCII bytes at the start.
fn ascii_run(bytes: &[u8]) -> usize {
    // `is_ascii` of a block is vectorized, and most text has few other bytes.
    const BLOCK: usize = 64;
    let blocks = bytes.chunks_exact(BLOCK).take_while(|block| block.is_ascii()).count() * BLOCK;
    let rest = &bytes[blocks..];
    blocks + rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len())
}

/// The lower case of ASCII letters, digits as they are, and 0 for all else.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

impl fmt::Display for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Stands for a reviewer: a hash of the dump's id.
///
/// It hides no one: whoever knows an id of the dump can compute its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct ReviewerId(u64);

impl ReviewerId {
    /// The id that a file stores.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id of a reviewer of a dump.
    pub fn of(reviewer: &str) -> Self {
        Self(hash_fields("reviewer", &[reviewer]))
    }

    /// The number that a file stores.
    pub const fn get(self) -> u64 {
        self.0
    }
}

fn hash_fields(kind: &str, fields: &[&str]) -> u64 {
    let mut bytes = Vec::with_capacity(kind.len() + fields.iter().map(|f| f.len() + 1).sum::<usize>());
    bytes.extend_from_slice(kind.as_bytes());
    for field in fields {
        bytes.push(0);
        bytes.extend_from_slice(field.as_bytes());
    }
    xxh3_64(&bytes)
}

/// Index of a phrase in the pool: dense from 0, so it is also the row of `pool/phrases.parquet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PhraseId(u32);

impl PhraseId {
    /// The id of the phrase in this row of the pool.
    pub const fn new(row: u32) -> Self {
        Self(row)
    }

    /// The row.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PhraseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phrase #{}", self.0)
    }
}

/// A non-empty half-open range of token positions within one segment. Special tokens do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenRange {
    start: u16,
    length: u16,
}

impl TokenRange {
    /// The range, or `None` when it is empty or ends past the 65,535th token.
    pub fn new(tokens: Range<usize>) -> Option<Self> {
        let length = tokens.end.checked_sub(tokens.start)?;
        if length == 0 || tokens.end > usize::from(u16::MAX) {
            return None;
        }
        Some(Self { start: tokens.start as u16, length: length as u16 })
    }

    /// First token.
    pub const fn start(self) -> u16 {
        self.start
    }

    /// Number of tokens, at least 1.
    pub const fn length(self) -> u16 {
        self.length
    }

    /// The positions, for indexing.
    pub fn tokens(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.start) + usize::from(self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_the_hash_that_the_contract_names() {
        assert_eq!(DocumentId::of_product("B0").get(), xxh3_64(b"product\0B0"));
        assert_eq!(DocumentId::of_review("B0", "A1", "17", "good").get(), xxh3_64(b"review\0B0\0A1\x0017\0good"));
        assert_eq!(DocumentId::of_review("", "", "", "good").get(), xxh3_64(b"review\0\0\0\0good"));
    }

    #[test]
    fn a_text_is_its_letters_and_digits() {
        let plain = |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
        for (text, same, is_same) in [
            ("Loose strap\nbroke !", "loose strap broke.", true),
            ("Café No. 3", "CAFÉ NO 3", true),
            ("ΟΔΟΣ", "οδος", true),
            ("ΟΔΟΣ ΑΒ", "οδοσ αβ", false),
            ("cafe", "café", false),
            ("...", "!!!", false),
            ("...", "...", true),
            ("a1", "a2", false),
            ("İ", "i\u{307}", true),
        ] {
            assert_eq!(TextId::of(text) == TextId::of(same), is_same, "{text} {same}");
        }
        assert_eq!(TextId::of("Good!").get(), xxh3_64(b"good"));
        assert_eq!(TextId::of("İ x²").get(), xxh3_64(plain("İ x²").as_bytes()));
        assert_eq!(TextId::of("!?").get(), xxh3_64(b"!?"));
    }

    #[test]
    fn every_character_is_lowered_by_the_rule() {
        for c in '\0'..=char::MAX {
            let text = format!("a{c}b");
            let plain: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            assert_eq!(letters_and_digits(&text), plain.as_bytes(), "{c:?}");
            assert_eq!(letters_and_digits(&text[1..1 + c.len_utf8()]).len(), plain.len() - 2, "{c:?}");
        }
    }

    #[test]
    fn about_the_ratio_is_held_out() {
        let held = (0..100_000).filter(|&i| TextId::new(i).is_held_out(0, 0.01)).count();
        assert!((880..1120).contains(&held), "{held}");
        assert!(!(0..1000).any(|i| TextId::new(i).is_held_out(0, 0.0)));
        assert!((0..1000).all(|i| TextId::new(i).is_held_out(0, 1.0)));
    }

    proptest! {
        #[test]
        fn texts_are_hashed_by_the_rule(text in prop_oneof!["[ -~]{0,40}", any::<String>(), "[ÄΣßİȺa-c., ]{0,20}"]) {
            let plain: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            let hashed = if plain.is_empty() { &text } else { &plain };
            prop_assert_eq!(TextId::of(&text).get(), xxh3_64(hashed.as_bytes()));
        }

        #[test]
        fn ranges_keep_their_tokens(start in 0usize..70_000, length in 0usize..70_000) {
            match TokenRange::new(start..start + length) {
                Some(range) => prop_assert_eq!(range.tokens(), start..start + length),
                None => prop_assert!(length == 0 || start + length > 65_535),
            }
        }
    }
}
