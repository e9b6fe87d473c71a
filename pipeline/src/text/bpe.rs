//! Byte-pair encoding: joins the bytes of a word, pair by pair, to the tokens of the vocabulary.
//!
//! The pair that was learned first is joined first, and of equal pairs the leftmost. The library
//! does the same, but allocates a token with text and offsets per token. A test compares the two.
use std::{cmp::Reverse, collections::BinaryHeap};

use hashbrown::HashMap;
use schemas::TokenId;
use serde::Deserialize;
use tokenizers::{Model, models::bpe};

/// A vocabulary, indexed for joining bytes.
pub(super) struct Bpe {
    /// The token of each byte.
    bytes: [u32; 256],
    /// By the two tokens that are joined.
    merges: HashMap<(u32, u32), Merge>,
    /// Words that are one token whatever the merges say, if the model has `ignore_merges`.
    whole: HashMap<Box<[u8]>, u32>,
    /// Bytes of each token, by id.
    lengths: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Merge {
    /// Its position in the list: lower ones are joined first.
    rank: u32,
    token: u32,
}

/// A token of a word that is being joined, with its neighbors.
#[derive(Clone, Copy)]
struct Symbol {
    token: u32,
    before: u32,
    after: u32,
}

/// No neighbor, or a symbol that is now a part of the one before it.
const NONE: u32 = u32::MAX;

/// How byte-level vocabularies write a byte: as itself where that is a printable character, and
/// else as a character from U+0100 on, in the order of the bytes.
pub(super) fn byte_characters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| match byte as u8 {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte as u8),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap_or_default()
        }
    })
}

impl Bpe {
    /// The vocabulary of a model without prefixes, suffixes and dropout. An error is a byte that its
    /// vocabulary does not have.
    pub(super) fn new(model: &bpe::BPE) -> Result<Self, u8> {
        let characters = byte_characters();
        let mut bytes = [0; 256];
        for (byte, character) in (0..=u8::MAX).zip(characters) {
            bytes[usize::from(byte)] = model.token_to_id(character.encode_utf8(&mut [0; 4])).ok_or(byte)?;
        }
        let vocabulary = model.get_vocab();
        let mut lengths = vec![0; vocabulary.values().max().map_or(0, |&id| id as usize + 1)];
        for (entry, &id) in &vocabulary {
            lengths[id as usize] = entry.chars().count() as u32;
        }
        let byte_of: HashMap<char, u8> = characters.into_iter().zip(0..=u8::MAX).collect();
        let in_bytes = |entry: &str| entry.chars().map(|c| byte_of.get(&c).copied()).collect::<Option<Box<[u8]>>>();
        let whole = match model.ignore_merges {
            true => vocabulary.iter().filter_map(|(entry, &id)| Some((in_bytes(entry)?, id))).collect(),
            false => HashMap::new(),
        };
        Ok(Self { bytes, merges: merges(model, &vocabulary), whole, lengths })
    }

    /// Number of bytes of a token.
    #[inline]
    pub(super) fn length(&self, token: u32) -> u32 {
        self.lengths[token as usize]
    }

    /// Appends the ids of a word.
    pub(super) fn encode<I: TokenId>(&self, word: &[u8], ids: &mut Vec<I>) {
        if let Some(&id) = self.whole.get(word) {
            ids.push(I::of(id));
            return;
        }
        let mut symbols: Vec<Symbol> = (0..)
            .zip(word)
            .map(|(at, &byte): (u32, _)| Symbol {
                token: self.bytes[usize::from(byte)],
                before: at.checked_sub(1).unwrap_or(NONE),
                after: at + 1,
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.after = NONE;
        }
        // Pairs that can be joined, the first to join on top. Those of symbols that have changed since
        // stay in the queue and are skipped.
        let mut queue = BinaryHeap::with_capacity(symbols.len());
        for at in 1..symbols.len() as u32 {
            queue.extend(self.pair(&symbols, at - 1));
        }
        while let Some(Reverse((rank, at))) = queue.pop() {
            let Some(merge) = self.merge_at(&symbols, at).filter(|merge| merge.rank == rank) else { continue };
            let left = symbols[at as usize];
            let right = std::mem::replace(&mut symbols[left.after as usize].token, NONE);
            debug_assert_ne!(right, NONE, "a neighbor is not joined yet");
            let after = symbols[left.after as usize].after;
            symbols[at as usize] = Symbol { token: merge.token, after, ..left };
            if let Some(next) = symbols.get_mut(after as usize) {
                next.before = at;
            }
            queue.extend(self.pair(&symbols, at));
            queue.extend((left.before != NONE).then(|| self.pair(&symbols, left.before)).flatten());
        }
        ids.extend(symbols.iter().filter(|symbol| symbol.token != NONE).map(|symbol| I::of(symbol.token)));
    }

    /// How a symbol is joined with the one after it, if it can be.
    fn merge_at(&self, symbols: &[Symbol], at: u32) -> Option<Merge> {
        let left = symbols[at as usize];
        let right = symbols.get(left.after as usize)?;
        self.merges.get(&(left.token, right.token)).copied()
    }

    fn pair(&self, symbols: &[Symbol], at: u32) -> Option<Reverse<(u32, u32)>> {
        Some(Reverse((self.merge_at(symbols, at)?.rank, at)))
    }
}

/// The merges of a model, as the library has read them.
fn merges(model: &bpe::BPE, vocabulary: &std::collections::HashMap<String, u32>) -> HashMap<(u32, u32), Merge> {
    #[derive(Deserialize)]
    struct Written {
        merges: Vec<(String, String)>,
    }
    // The library gives them in this form only. It has checked that all tokens are in the vocabulary.
    let written: Written = serde_json::to_vec(model)
        .and_then(|json| serde_json::from_slice(&json))
        .expect("the library writes a list of pairs");
    let id = |token: &str| vocabulary.get(token).copied();
    let merges = (0..).zip(&written.merges).filter_map(|(rank, (left, right))| {
        let token = id(&format!("{left}{right}"))?;
        Some(((id(left)?, id(right)?), Merge { rank, token }))
    });
    merges.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn bytes_are_written_as_the_library_writes_them() {
        let characters = byte_characters();
        let alphabet = ByteLevel::alphabet();
        assert!(characters.iter().all(|c| alphabet.contains(c)) && alphabet.len() == 256);
        assert_eq!(
            [b' ', b'\n', b'a', 0xad, 0xff].map(|byte| characters[usize::from(byte)]),
            ['Ġ', 'Ċ', 'a', 'Ń', 'ÿ']
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Random merges of few letters, so that pairs overlap, repeat and exclude each other.
        #[test]
        fn words_are_joined_as_the_library_joins_them(
            pairs in prop::collection::vec((0usize..40, 0usize..40), 0..40),
            words in prop::collection::vec("[abc]{1,40}", 1..20),
            ignore_merges in any::<bool>(),
        ) {
            let mut entries: Vec<String> = byte_characters().iter().map(char::to_string).collect();
            let mut tokens: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
            let mut merges = Vec::new();
            for (left, right) in pairs {
                let (left, right) = (tokens[left % tokens.len()].clone(), tokens[right % tokens.len()].clone());
                let joined = format!("{left}{right}");
                // Two merges may give one token.
                if !merges.contains(&(left.clone(), right.clone())) && joined.len() < 30 {
                    merges.push((left, right));
                    if !entries.contains(&joined) {
                        entries.push(joined.clone());
                    }
                    tokens.push(joined);
                }
            }
            let vocabulary: std::collections::HashMap<String, u32> = entries.into_iter().zip(0..).collect();
            let json = serde_json::json!({
                "type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": ignore_merges
            });
            let model: bpe::BPE = serde_json::from_str(&json.to_string()).unwrap();
            let ours = Bpe::new(&model).unwrap();
            for word in &words {
                let wanted: Vec<u32> = model.tokenize(word).unwrap().iter().map(|token| token.id).collect();
                let mut found = vec![7];
                ours.encode(word.as_bytes(), &mut found);
                prop_assert_eq!(&found[1..], &wanted, "{}", word);
                prop_assert_eq!(wanted.iter().map(|&id| ours.length(id)).sum::<u32>() as usize, word.len());
            }
        }
    }
}
