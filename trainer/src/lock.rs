//! The warning where a folder cannot be locked.
use std::{
    io::{self, Write},
    path::Path,
    sync::Once,
};

use schemas::Lock;

/// Warns, once per process, that other processes do not see the lock of a folder.
pub fn warn(lock: &Lock, folder: &Path) {
    static WARNED: Once = Once::new();
    if let Some(why) = lock.unsupported() {
        WARNED.call_once(|| {
            // Continue if nobody reads the output anymore.
            let _ = writeln!(
                io::stderr(),
                "warning   cannot lock `{}` ({why}): start nothing twice that writes there",
                folder.display()
            );
        });
    }
}
