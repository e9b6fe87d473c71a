//! A direct-mapped cache of score sums.
//!
//! Many features follow from one key that recurs: a word, whatever its context, or a few tags in a
//! row. [`ScoreCache`] keeps the sum of their weights for the most frequent keys. `DESIGN.md` has
//! what that saves.
use ebert_prefetch::prefetch;

/// Maps keys to values that are computed from the keys alone. Each hash has one entry.
#[derive(Debug)]
pub(crate) struct ScoreCache<K, V> {
    entries: Vec<Entry<K, V>>,
}

/// The order of the fields in memory matters: the first part of a large value shares a cache line
/// with the key.
#[derive(Clone, Debug)]
#[repr(C)]
struct Entry<K, V> {
    key: K,
    /// Look-ups of this key minus look-ups of other keys with the same entry, at most
    /// [`MOST_CREDIT`]. At 0 the entry is free.
    credit: u8,
    value: V,
}

/// Bounds how long a key that is no longer in use occupies its entry.
const MOST_CREDIT: u8 = 31;

impl<K: Copy + Default + Eq, V: Clone> ScoreCache<K, V> {
    /// An empty cache. `entries` is a power of two; `blank` fills entries that are free.
    pub(crate) fn new(entries: usize, blank: V) -> Self {
        debug_assert!(entries.is_power_of_two());
        Self { entries: vec![Entry { key: K::default(), credit: 0, value: blank }; entries] }
    }

    fn index(&self, hash: u32) -> usize {
        hash as usize & (self.entries.len() - 1)
    }

    /// Prefetches the entry of a hash.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch(&self.entries[self.index(hash)]);
    }

    /// The value of a key, computed and stored if its entry is free. Returns `None` if a more
    /// frequent key occupies the entry.
    #[inline]
    pub(crate) fn get(&mut self, hash: u32, key: K, compute: impl FnOnce() -> V) -> Option<&V> {
        let index = self.index(hash);
        let entry = &mut self.entries[index];
        if entry.credit == 0 {
            *entry = Entry { key, credit: 1, value: compute() };
        } else if entry.key == key {
            entry.credit = MOST_CREDIT.min(entry.credit + 1);
        } else {
            entry.credit -= 1;
            return None;
        }
        Some(&entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequent_key_keeps_its_entry_until_its_credit_is_spent() {
        let mut cache = ScoreCache::new(1, 0);
        let mut get = |key: u32| cache.get(key, key, || 10 * key).copied();
        assert_eq!([get(1), get(1), get(1)], [Some(10); 3]);
        assert_eq!([get(2), get(2), get(2)], [None; 3]);
        assert_eq!([get(2), get(1), get(1)], [Some(20), None, Some(10)]);
    }
}
