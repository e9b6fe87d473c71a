//! The edges of a trie over words, as numbers: one table in which an edge is found with one look into memory.
//!
//! A pool and the candidates of a miner have millions of edges, which fit no cache. What waits for one may fetch the next ones first.
use crate::memory::fetch;

/// An edge of a trie. A slot whose word is 0 is empty.
#[derive(Clone, Copy, Default)]
#[repr(C, align(16))]
pub struct Edge {
    /// The node that it leads from.
    pub parent: u32,
    /// The word along it.
    pub word: u32,
    /// The node that it leads to; after [`Edges::finish`], 0 when nothing follows.
    pub child: u32,
    /// The phrase that ends there, counted from 1; 0 when none does.
    pub phrase: u32,
}

impl Edge {
    /// What it is found by.
    pub fn key(&self) -> u64 {
        key_of(self.parent, self.word)
    }
}

/// What the edge from a node along a word is found by.
#[inline]
pub fn key_of(parent: u32, word: u32) -> u64 {
    u64::from(parent) << 32 | u64::from(word)
}

/// Edges by (parent, word): open addressing, linear probing, at most three quarters full.
pub struct Edges {
    /// All slots, the empty ones too.
    pub slots: Vec<Edge>,
    shift: u32,
    count: usize,
}

impl Edges {
    /// An empty table with room for so many.
    pub fn with_room_for(edges: usize) -> Self {
        let slots = (4 * edges / 3 + 1).next_power_of_two().max(16);
        Self { slots: vec![Edge::default(); slots], shift: 64 - slots.trailing_zeros(), count: 0 }
    }

    /// The slot at which the search for a key begins: the product's high bits (Fibonacci hashing).
    fn home(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The slot of an edge; one that is not there is added, and leads to `child`.
    pub fn find_or_insert(&mut self, parent: u32, word: u32, child: impl FnOnce() -> u32) -> usize {
        let mut at = self.home(key_of(parent, word));
        loop {
            let slot = &mut self.slots[at];
            if slot.word == 0 {
                *slot = Edge { parent, word, child: child(), phrase: 0 };
                self.count += 1;
                return at;
            }
            if (slot.parent, slot.word) == (parent, word) {
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The same edges in a table of their own size, those from which nothing follows marked.
    pub fn finish(self) -> Self {
        let mut inner: Vec<u32> = self.slots.iter().filter(|e| e.word != 0).map(|e| e.parent).collect();
        inner.sort_unstable();
        inner.dedup();
        let mut whole = Self::with_room_for(self.count);
        for edge in self.slots.iter().filter(|e| e.word != 0) {
            let child = if inner.binary_search(&edge.child).is_ok() { edge.child } else { 0 };
            let at = whole.find_or_insert(edge.parent, edge.word, || child);
            whole.slots[at].phrase = edge.phrase;
        }
        whole
    }

    /// The edge from a node along a word. No edge is along 0.
    #[inline]
    pub fn get(&self, parent: u32, word: u32) -> Option<&Edge> {
        let mut at = self.home(key_of(parent, word));
        loop {
            let slot = &self.slots[at];
            if slot.word == 0 || word == 0 {
                return None;
            }
            if (slot.parent, slot.word) == (parent, word) {
                return Some(slot);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Has the slot of a key on its way from memory.
    #[inline]
    pub fn fetch(&self, key: u64) {
        fetch(&self.slots[self.home(key)]);
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
            let mut oracle: HashMap<(u32, u32), u32> = HashMap::new();
            for (parent, word) in keys {
                // Some lead to nodes that others lead on from.
                let next = 20 + oracle.len() as u32;
                let at = edges.find_or_insert(parent, word, || next);
                prop_assert_eq!(edges.slots[at].child, *oracle.entry((parent, word)).or_insert(next));
            }
            let child = |edges: &Edges, parent, word| edges.get(parent, word).map(|edge| edge.child);
            let all = || (0..41).flat_map(|parent| (0..41).map(move |word| (parent, word)));
            for (parent, word) in all() {
                prop_assert_eq!(child(&edges, parent, word), oracle.get(&(parent, word)).copied());
            }
            let edges = edges.finish();
            for (parent, word) in all() {
                let goes_on = |node: &u32| oracle.keys().any(|(parent, _)| parent == node);
                let wanted = oracle.get(&(parent, word)).map(|node| if goes_on(node) { *node } else { 0 });
                prop_assert_eq!(child(&edges, parent, word), wanted);
            }
        }
    }
}
