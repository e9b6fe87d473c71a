//! The edges of a trie over words, as numbers: one table in which an edge is found with one look into memory.
//!
//! A pool and the candidates of a miner have millions of edges, which fit no cache. What waits for one may fetch the next ones first.
use ebert_prefetch::prefetch;

/// An edge of a trie. A slot whose word is 0 is empty.
#[derive(Clone, Copy, Default)]
#[repr(C, align(16))]
pub struct Edge<V> {
    /// The node that it leads from.
    pub parent: u32,
    /// The word along it.
    pub word: u32,
    /// What is known of where it leads.
    pub value: V,
}

/// What the edge from a node along a word is found by.
#[inline]
pub fn key_of(parent: u32, word: u32) -> u64 {
    u64::from(parent) << 32 | u64::from(word)
}

/// Edges by (parent, word): open addressing, linear probing, at most three quarters full.
pub struct Edges<V> {
    slots: Vec<Edge<V>>,
    shift: u32,
}

impl<V: Copy + Default> Edges<V> {
    /// An empty table with room for so many.
    pub fn with_room_for(edges: usize) -> Self {
        let slots = (4 * edges / 3 + 1).next_power_of_two().max(16);
        Self { slots: vec![Edge::default(); slots], shift: 64 - slots.trailing_zeros() }
    }

    /// The slot at which the search for a key begins: the product's high bits (Fibonacci hashing).
    fn home(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The place of an edge, which stays as it is; one that is not there is added with this value. No edge is along 0.
    pub fn find_or_insert(&mut self, parent: u32, word: u32, value: impl FnOnce() -> V) -> u32 {
        debug_assert_ne!(word, 0);
        let mut at = self.home(key_of(parent, word));
        loop {
            let slot = &mut self.slots[at];
            if slot.word == 0 {
                *slot = Edge { parent, word, value: value() };
                return at as u32;
            }
            if (slot.parent, slot.word) == (parent, word) {
                return at as u32;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The edge from a node along a word, and its place.
    #[inline]
    pub fn find(&self, parent: u32, word: u32) -> Option<(u32, V)> {
        let mut at = self.home(key_of(parent, word));
        loop {
            let slot = &self.slots[at];
            if slot.word == 0 || word == 0 {
                return None;
            }
            if (slot.parent, slot.word) == (parent, word) {
                return Some((at as u32, slot.value));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// What is known of the edge at a place.
    pub fn value_mut(&mut self, place: u32) -> &mut V {
        &mut self.slots[place as usize].value
    }

    /// All edges, in any order.
    pub fn iter(&self) -> impl Iterator<Item = &Edge<V>> {
        self.slots.iter().filter(|edge| edge.word != 0)
    }

    /// Has the slot of a key on its way from memory.
    #[inline]
    pub fn prefetch(&self, key: u64) {
        prefetch(&self.slots[self.home(key)]);
    }

    /// Memory of the table, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_are_a_map(keys in prop::collection::vec((0u32..40, 1u32..40), 0..500)) {
            let mut edges = Edges::with_room_for(keys.len());
            let mut oracle: HashMap<(u32, u32), usize> = HashMap::new();
            for (number, &(parent, word)) in keys.iter().enumerate() {
                let at = edges.find_or_insert(parent, word, || number);
                prop_assert_eq!(*edges.value_mut(at), *oracle.entry((parent, word)).or_insert(number));
            }
            prop_assert_eq!(edges.iter().map(|e| ((e.parent, e.word), e.value)).collect::<HashMap<_, _>>(), oracle.clone());
            for (parent, word) in (0..41).flat_map(|parent| (0..41).map(move |word| (parent, word))) {
                let found = edges.find(parent, word);
                prop_assert_eq!(found.map(|f| f.1), oracle.get(&(parent, word)).copied());
                if let Some((at, value)) = found {
                    prop_assert_eq!(*edges.value_mut(at), value);
                }
            }
        }
    }
}
