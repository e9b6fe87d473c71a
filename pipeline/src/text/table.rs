//! The word table: normalised word to WordPiece ids and number in the phrase trie.
//!
//! Nearly all words of a text have at most 16 bytes and 4 ids. Such a word lies in one 32-byte slot, so
//! that finding it costs one cache line; the rest are kept aside.
use hashbrown::HashMap;

use ebert_prefetch::prefetch;

/// What the table knows of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// WordPiece ids.
    pub ids: &'a [u16],
    /// Number of the word among the words of the pool, from 1; 0 for a word of no phrase.
    pub pool_word: u32,
}

/// The longest word, in bytes, that fits a slot.
const SHORT: usize = 16;

/// The most ids that fit a slot.
pub(super) const FEW: usize = 4;

/// A short word of few ids.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Slot {
    key: [u64; 2],
    /// Number of the word among the words of the pool, from 1; 0 for a word of no phrase.
    pub pool_word: u32,
    /// 0 in an empty slot.
    length: u8,
    /// How many ids it has.
    pub id_count: u8,
    /// These, and others that mean nothing.
    pub ids: [u16; FEW],
}

const EMPTY: Slot = Slot { key: [0; 2], pool_word: 0, length: 0, id_count: 0, ids: [0; FEW] };

/// A word that fits no slot.
#[derive(Clone)]
struct Other {
    ids: Box<[u16]>,
    pool_word: u32,
}

/// A growing table with open addressing and linear probing, at most half full.
#[derive(Clone)]
pub(super) struct WordTable {
    slots: Vec<Slot>,
    short: usize,
    /// Words that are long, or have more ids than a slot.
    others: HashMap<Box<[u8]>, Other>,
}

/// A word ready to be looked up.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    word: &'a [u8],
    packed: [u64; 2],
    hash: u64,
}

impl<'a> Key<'a> {
    /// Of no word.
    pub(super) const EMPTY: Self = Self { word: &[], packed: [0; 2], hash: 0 };

    /// The word at `start..end` of a text that has at least 16 more bytes after the word's start.
    pub(super) fn new(padded: &'a [u8], start: usize, end: usize) -> Self {
        let word = &padded[start..end];
        let length = word.len();
        if length > SHORT {
            return Self { word, packed: [0; 2], hash: 0 };
        }
        let load = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&padded[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let keep = |bytes: usize| if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        let packed = [load(start) & keep(length), load(start + 8) & keep(length.saturating_sub(8))];
        // Both halves of a 128-bit product, as in wyhash; the constants are odd and random.
        let wide = u128::from(packed[0] ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(packed[1] ^ 0xd6e8_feb8_6659_fd93 ^ length as u64);
        Self { word, packed, hash: (wide as u64) ^ (wide >> 64) as u64 }
    }

    /// The word.
    pub(super) fn word(&self) -> &'a [u8] {
        self.word
    }
}

impl WordTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: vec![EMPTY; (2 * capacity).next_power_of_two().max(64)], short: 0, others: HashMap::new() }
    }

    /// Words in it.
    pub(super) fn len(&self) -> usize {
        self.short + self.others.len()
    }

    /// A word's slot, if it lies in one.
    #[inline]
    pub(super) fn slot(&self, key: &Key<'_>) -> Option<&Slot> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.key == key.packed && usize::from(slot.length) == key.word.len() {
                return Some(slot);
            }
            if slot.length == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// A word's entry, if the table has it.
    pub(super) fn get(&self, key: &Key<'_>) -> Option<Entry<'_>> {
        if let Some(slot) = self.slot(key) {
            return Some(Entry { ids: &slot.ids[..usize::from(slot.id_count)], pool_word: slot.pool_word });
        }
        self.other(key)
    }

    /// The entry of a word that lies in no slot, if the table has it.
    pub(super) fn other(&self, key: &Key<'_>) -> Option<Entry<'_>> {
        let other = self.others.get(key.word)?;
        Some(Entry { ids: &other.ids, pool_word: other.pool_word })
    }

    /// Has a word's slot on its way from memory.
    #[inline]
    pub(super) fn prefetch(&self, key: &Key<'_>) {
        prefetch(&self.slots[key.hash as usize & (self.slots.len() - 1)]);
    }

    /// Adds a word that the table does not have.
    pub(super) fn insert(&mut self, key: &Key<'_>, entry: Entry<'_>) {
        if key.word.len() > SHORT || entry.ids.len() > FEW {
            let other = Other { ids: entry.ids.into(), pool_word: entry.pool_word };
            self.others.insert(key.word.into(), other);
            return;
        }
        if 2 * (self.short + 1) > self.slots.len() {
            self.grow();
        }
        let mut slot = Slot {
            key: key.packed,
            pool_word: entry.pool_word,
            length: key.word.len() as u8,
            id_count: entry.ids.len() as u8,
            ids: [0; FEW],
        };
        slot.ids[..entry.ids.len()].copy_from_slice(entry.ids);
        self.place(slot, key.hash);
        self.short += 1;
    }

    fn place(&mut self, slot: Slot, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].length != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.length != 0 {
                let mut bytes = [0; SHORT];
                bytes[..8].copy_from_slice(&slot.key[0].to_le_bytes());
                bytes[8..].copy_from_slice(&slot.key[1].to_le_bytes());
                let hash = Key::new(&bytes, 0, usize::from(slot.length)).hash;
                self.place(slot, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap as Oracle;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_is_half_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 32);
    }

    proptest! {
        #[test]
        fn the_table_is_a_map(words in prop::collection::vec(("[a-c]{1,20}", prop::collection::vec(any::<u16>(), 1..7)), 0..400)) {
            let mut table = WordTable::new(1);
            let mut oracle: Oracle<String, Vec<u16>> = Oracle::new();
            let padded = |word: &str| [word.as_bytes(), b"garbage garbage!"].concat();
            for (word, ids) in &words {
                let bytes = padded(word);
                let key = Key::new(&bytes, 0, word.len());
                let entry = Entry { ids, pool_word: ids.len() as u32 };
                prop_assert_eq!(table.get(&key).is_some(), oracle.contains_key(word));
                if oracle.insert(word.clone(), ids.clone()).is_none() {
                    table.insert(&key, entry);
                } else {
                    oracle.insert(word.clone(), table.get(&key).unwrap().ids.to_vec());
                }
            }
            prop_assert_eq!(table.len(), oracle.len());
            for (word, ids) in &oracle {
                let bytes = padded(word);
                let found = table.get(&Key::new(&bytes, 0, word.len())).unwrap();
                prop_assert_eq!(found, Entry { ids, pool_word: ids.len() as u32 });
            }
        }
    }
}
