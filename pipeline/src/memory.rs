//! Memory that is asked for before it is needed.

/// Has the cache lines of a value on their way from memory. Where a loop would wait for one value after another, it can fetch
/// the next ones first.
#[inline]
pub fn fetch<T>(of: &T) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of::<T>().max(1)).step_by(CACHE_LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing; the address lies in the value besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *of).cast::<i8>().add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = of;
}

/// Bytes that come from memory at once.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Gives freed memory back to the system, when a step is done that used much and the next one needs little.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only looks at the allocator's own lists, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
