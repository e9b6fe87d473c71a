//! Sums of weights that are asked for again and again.
//!
//! Many features follow from one thing that recurs: a word, whatever stands around it, or a few tags in a row. What they weigh together
//! is kept for the most frequent of these, in a table with one place for a hash.
use ebert_prefetch::prefetch;

/// A table of values that follow from their keys.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    places: Vec<Kept<K, V>>,
}

/// In this order in memory: what comes first in a large value is fetched with its key.
#[derive(Clone, Debug)]
#[repr(C)]
struct Kept<K, V> {
    key: K,
    /// How often it was asked for, less how often another key was that has the same place; at 0 the place is free.
    uses: u8,
    value: V,
}

/// A key that was asked for more often than this goes as soon as one that was asked for so often.
const MOST_USES: u8 = 31;

impl<K: Copy + Default + Eq, V: Clone> Memo<K, V> {
    /// An empty table; `places` is a power of two, `blank` is any value.
    pub fn new(places: usize, blank: V) -> Self {
        debug_assert!(places.is_power_of_two());
        Self { places: vec![Kept { key: K::default(), uses: 0, value: blank }; places] }
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    /// Has a hash's place on its way from memory.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        prefetch(&self.places[self.place(hash)]);
    }

    /// The value of a key, made where its place is free; none where a more frequent key has the place.
    #[inline]
    pub fn get(&mut self, hash: u32, key: K, make: impl FnOnce() -> V) -> Option<&V> {
        let place = self.place(hash);
        let kept = &mut self.places[place];
        if kept.uses == 0 {
            *kept = Kept { key, uses: 1, value: make() };
        } else if kept.key == key {
            kept.uses = MOST_USES.min(kept.uses + 1);
        } else {
            kept.uses -= 1;
            return None;
        }
        Some(&kept.value)
    }
}
