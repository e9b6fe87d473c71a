//! The edges of a trie in one hash table: one memory access per look-up, which can be prefetched.
use ebert_prefetch::prefetch;

use crate::ids::{NodeId, WordId};

/// Edges by (parent, word): open addressing with linear probing, at most three quarters full.
pub(crate) struct Edges {
    slots: Vec<Edge>,
}

/// 16 bytes, so that a slot never crosses a cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(16))]
struct Edge {
    parent: NodeId,
    word: WordId,
    /// Node 0 in an empty slot: it is a word, and a word is never a child.
    child: NodeId,
}

impl Edge {
    fn is_empty(&self) -> bool {
        self.child == NodeId::default()
    }

    fn is(&self, parent: NodeId, word: WordId) -> bool {
        (self.parent, self.word) == (parent, word)
    }
}

impl Edges {
    /// An empty table with room for this many edges.
    pub(crate) fn with_capacity(edges: usize) -> Self {
        Self { slots: vec![Edge::default(); 4 * edges / 3 + 1] }
    }

    /// The slot where the search for an edge begins: a hash (Fibonacci hashing) as a fraction of the slots.
    fn home(&self, parent: NodeId, word: WordId) -> usize {
        let key = u64::from(parent.number()) << 32 | u64::from(word.number());
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    /// The next slot.
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Adds an edge that is not in the table.
    pub(crate) fn insert(&mut self, parent: NodeId, word: WordId, child: NodeId) {
        debug_assert_ne!(child, NodeId::default());
        let mut at = self.home(parent, word);
        while !self.slots[at].is_empty() {
            debug_assert!(!self.slots[at].is(parent, word));
            at = self.after(at);
        }
        self.slots[at] = Edge { parent, word, child };
    }

    #[inline]
    pub(crate) fn find(&self, parent: NodeId, word: WordId) -> Option<NodeId> {
        let mut at = self.home(parent, word);
        loop {
            let edge = &self.slots[at];
            if edge.is_empty() {
                return None;
            }
            if edge.is(parent, word) {
                return Some(edge.child);
            }
            at = self.after(at);
        }
    }

    /// Prefetches the slot where [`Self::find`] begins.
    #[inline]
    pub(crate) fn prefetch(&self, parent: NodeId, word: WordId) {
        prefetch(&self.slots[self.home(parent, word)]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_are_a_map(keys in prop::collection::hash_set((0usize..40, 0u32..40), 0..500)) {
            let keys = keys.into_iter().map(|(parent, word)| (NodeId::from_index(parent), WordId::new(word)));
            let oracle: HashMap<(NodeId, WordId), NodeId> = keys.zip((1..).map(NodeId::from_index)).collect();
            let mut edges = Edges::with_capacity(oracle.len());
            oracle.iter().for_each(|(&(parent, word), &child)| edges.insert(parent, word, child));
            for (parent, word) in (0..41).flat_map(|parent| (0..41).map(move |word| (parent, word))) {
                let (parent, word) = (NodeId::from_index(parent), WordId::new(word));
                prop_assert_eq!(edges.find(parent, word), oracle.get(&(parent, word)).copied());
            }
        }
    }
}
