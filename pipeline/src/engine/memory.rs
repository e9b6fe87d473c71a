//! Memory that the allocator keeps.

/// Returns freed memory to the system. For the end of a step that used much more than the next one
/// needs.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only looks at the allocator's own lists, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
