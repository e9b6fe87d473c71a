//! Prefetch: ask for a value's cache lines before they are needed.
//!
//! A loop over a table that exceeds the cache waits for memory at every look-up. If the loop knows its next
//! look-ups, it can start them early and wait once for many.
//!
//! ```
//! use ebert_prefetch::prefetch;
//!
//! let table = vec![7u64; 1 << 16];
//! let places = [40_000, 3, 12_345];
//! places.iter().for_each(|&at| prefetch(&table[at]));
//! assert_eq!(places.iter().map(|&at| table[at]).sum::<u64>(), 21);
//! ```
//!
//! Prefetching never changes a result. On processors other than x86-64 it does nothing.
#![warn(missing_docs)]

/// Starts loading all cache lines of a value.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of::<T>().max(1)).step_by(CACHE_LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and the address lies in the value.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *value).cast::<i8>().add(offset)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
