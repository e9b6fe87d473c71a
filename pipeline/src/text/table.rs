//! The word table: from a word to its WordPiece ids and its number among the words of the pool.
//!
//! Nearly all words of a text have at most 16 bytes and 4 ids. Such a word lies in a slot of 32
//! bytes, so that a look-up reads no other memory for key and value. (64 bytes where ids have 32
//! bits.) The other words are in a map of their own.
//!
//! The parts that byte-level tokenizers split a text into are looked up in such a table, too.
use std::ops::Range;

use hashbrown::HashMap;
use schemas::TokenId;

/// Bytes after a text whose words are looked up. They may be read, so that a short word can be loaded
/// with one read. Their values mean nothing.
pub(super) const SLACK: usize = 16;

/// What the table knows of a word.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a, I> {
    /// The ids of its tokens.
    pub(super) ids: &'a [I],
    /// Number of the word among the words of the pool, from 1. 0 if no phrase has the word.
    pub(super) pool_word: u32,
}

/// The longest word, in bytes, that fits in a slot.
const SHORT: usize = 16;

/// The most ids that fit in a slot.
const FEW: usize = 4;

// `Key::new` loads so many bytes from a word's first one on.
const _: () = assert!(SLACK >= SHORT);

/// A short word with few ids. Aligned, so that it lies in one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot<I> {
    packed: u128,
    pool_word: u32,
    length: u8,
    id_count: u8,
    ids: [I; FEW],
}

impl<I: TokenId> Slot<I> {
    /// No word has length 0.
    fn empty() -> Self {
        Self { packed: 0, pool_word: 0, length: 0, id_count: 0, ids: [I::default(); FEW] }
    }

    fn new(key: &Key<'_>, entry: Entry<'_, I>) -> Option<Self> {
        if key.word.len() > SHORT || entry.ids.len() > FEW {
            return None;
        }
        let mut ids = [I::default(); FEW];
        ids[..entry.ids.len()].copy_from_slice(entry.ids);
        let (length, id_count) = (key.word.len() as u8, entry.ids.len() as u8);
        Some(Self { packed: key.packed, pool_word: entry.pool_word, length, id_count, ids })
    }

    #[inline]
    fn is(&self, key: &Key<'_>) -> bool {
        // In halves: the key was just written in halves, and the processor cannot forward two writes
        // to one read. Comparing `u128` made encoding a quarter slower.
        let [low, high] = [0, 64].map(|shift| (self.packed >> shift) as u64 ^ (key.packed >> shift) as u64);
        low | high == 0 && usize::from(self.length) == key.word.len()
    }
}

/// A word that does not fit in a slot.
#[derive(Clone)]
struct LargeEntry<I> {
    ids: Box<[I]>,
    pool_word: u32,
}

/// A word ready to be looked up.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    word: &'a [u8],
    /// The bytes of the word, then zeros; 0 for a word that is not short.
    packed: u128,
    hash: u64,
}

impl<'a> Key<'a> {
    /// The word at `range` of a text that has at least [`SLACK`] bytes from the word's start on.
    #[inline]
    pub(super) fn new(padded: &'a [u8], range: Range<usize>) -> Self {
        let word = &padded[range.clone()];
        let packed = match padded[range.start..].first_chunk::<SHORT>() {
            Some(bytes) if (1..=SHORT).contains(&word.len()) => {
                u128::from_le_bytes(*bytes) & (u128::MAX >> (8 * (SHORT - word.len())))
            }
            _ => 0,
        };
        Self { word, packed, hash: hash(packed, word.len()) }
    }

    pub(super) fn word(&self) -> &'a [u8] {
        self.word
    }
}

/// Both halves of a 128-bit product, as in wyhash. The constants are odd and random.
fn hash(packed: u128, length: usize) -> u64 {
    let (low, high) = (packed as u64, (packed >> 64) as u64);
    let product = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93 ^ length as u64);
    (product as u64) ^ (product >> 64) as u64
}

/// Words with their entries. The slots are an open-addressing table with linear probing, at most
/// half full. `HashTable` of `hashbrown` is as fast for a pool of 25,000 words. It needs two reads
/// per look-up, and is a quarter slower for 500,000 words.
#[derive(Clone)]
pub(super) struct WordTable<I> {
    /// A power of two.
    slots: Vec<Slot<I>>,
    /// Slots in use.
    used: usize,
    large: HashMap<Box<[u8]>, LargeEntry<I>>,
}

impl<I: TokenId> WordTable<I> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: vec![Slot::empty(); (2 * capacity).next_power_of_two().max(64)], used: 0, large: HashMap::new() }
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.used + self.large.len()
    }

    /// Appends the ids of a word to `ids` and returns its number in the pool. `None` if the table
    /// does not have the word.
    #[inline(always)]
    pub(super) fn append_ids(&self, key: &Key<'_>, ids: &mut Vec<I>) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.is(key) {
                // Copying all 8 bytes is faster than copying the ids that count.
                let end = ids.len() + usize::from(slot.id_count);
                ids.extend_from_slice(&slot.ids);
                ids.truncate(end);
                return Some(slot.pool_word);
            }
            if slot.length == 0 {
                let large = self.large.get(key.word)?;
                ids.extend_from_slice(&large.ids);
                return Some(large.pool_word);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a word in the pool. `None` if the table does not have the word.
    #[inline]
    pub(super) fn pool_word(&self, key: &Key<'_>) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.is(key) {
                return Some(slot.pool_word);
            }
            if slot.length == 0 {
                return if self.large.is_empty() { None } else { Some(self.large.get(key.word)?.pool_word) };
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a word that the table does not have.
    pub(super) fn insert(&mut self, key: &Key<'_>, entry: Entry<'_, I>) {
        match Slot::new(key, entry) {
            Some(slot) => {
                self.used += 1;
                if 2 * self.used > self.slots.len() {
                    let larger = vec![Slot::empty(); 2 * self.slots.len()];
                    let slots = std::mem::replace(&mut self.slots, larger);
                    slots.into_iter().filter(|slot| slot.length != 0).for_each(|slot| self.place(slot));
                }
                self.place(slot);
            }
            None => {
                let large = LargeEntry { ids: entry.ids.into(), pool_word: entry.pool_word };
                self.large.insert(key.word.into(), large);
            }
        }
    }

    /// Puts a slot where [`WordTable::append_ids`] finds it.
    fn place(&mut self, slot: Slot<I>) {
        let mask = self.slots.len() - 1;
        let mut at = hash(slot.packed, usize::from(slot.length)) as usize & mask;
        while self.slots[at].length != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_is_half_a_cache_line_or_a_whole_one() {
        assert_eq!([size_of::<Slot<u16>>(), size_of::<Slot<u32>>()], [32, 64]);
    }

    proptest! {
        #[test]
        fn the_table_is_a_map(words in prop::collection::vec(("[a-c]{1,20}", prop::collection::vec(any::<u16>(), 1..7)), 0..400)) {
            let mut table = WordTable::new(1);
            let mut oracle: HashMap<String, Vec<u16>> = HashMap::new();
            let padded = |word: &str| [word.as_bytes(), b"garbage garbage!"].concat();
            let find = |table: &WordTable<u16>, word: &str| {
                let mut ids = vec![7];
                let (padded, word) = (padded(word), 0..word.len());
                let pool_word = table.append_ids(&Key::new(&padded, word.clone()), &mut ids);
                assert_eq!(table.pool_word(&Key::new(&padded, word)), pool_word);
                let pool_word = pool_word?;
                Some((pool_word, ids.split_off(1)))
            };
            for (word, ids) in words {
                prop_assert_eq!(find(&table, &word).is_some(), oracle.contains_key(&word));
                if !oracle.contains_key(&word) {
                    let entry = Entry { ids: &ids, pool_word: ids.len() as u32 };
                    table.insert(&Key::new(&padded(&word), 0..word.len()), entry);
                    oracle.insert(word, ids);
                }
            }
            prop_assert_eq!(table.len(), oracle.len());
            for (word, ids) in oracle {
                prop_assert_eq!(find(&table, &word), Some((ids.len() as u32, ids)));
            }
        }
    }
}
