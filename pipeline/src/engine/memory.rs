//! The allocator's memory.

/// Gives freed memory back to the system, when a step that used much is done and the next one needs little.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only looks at the allocator's own lists, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
