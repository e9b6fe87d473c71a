//! Sums of weights that are asked for again and again.
//!
//! Many features follow from one thing that recurs: a word, whatever stands around it, or a few tags in a row. What they weigh together
//! is kept for the most frequent of these, in a table with one place for a hash.
use crate::memory::fetch;

/// A table of values that follow from their keys.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    places: Vec<Option<Kept<K, V>>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    key: K,
    /// How often it was asked for, less how often another key was that has the same place.
    uses: u8,
    value: V,
}

impl<K: Copy + Eq, V> Memo<K, V> {
    /// An empty table; `places` is a power of two.
    pub fn with_places(places: usize) -> Self {
        debug_assert!(places.is_power_of_two());
        Self { places: std::iter::repeat_with(|| None).take(places).collect() }
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    /// Has a hash's place on its way from memory.
    #[inline]
    pub fn fetch(&self, hash: u32) {
        fetch(&self.places[self.place(hash)]);
    }

    /// The value of a key, made where its place is free; none where a more frequent key has the place.
    #[inline]
    pub fn get(&mut self, hash: u32, key: K, make: impl FnOnce() -> V) -> Option<&V> {
        let place = self.place(hash);
        let place = &mut self.places[place];
        match place {
            Some(kept) if kept.key == key => kept.uses = kept.uses.saturating_add(1).min(MOST_USES),
            Some(kept) if kept.uses > 0 => {
                kept.uses -= 1;
                return None;
            }
            _ => *place = Some(Kept { key, uses: 1, value: make() }),
        }
        place.as_ref().map(|kept| &kept.value)
    }
}

/// A key that was asked for more often than this goes as soon as one that was asked for so often.
const MOST_USES: u8 = 31;
