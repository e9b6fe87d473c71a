//! Locks between processes that write one folder.
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use crate::StoreError;

/// A file or folder on which processes wait for one another, open but not locked yet.
#[derive(Debug)]
pub struct Lockable {
    file: File,
    path: PathBuf,
}

/// A lock. It ends with this value, or with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lockable {
    /// An empty file in `folder` that is there for the lock alone.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn within(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(".lock");
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        Ok(Self { file, path })
    }

    /// A folder itself, in which nothing is written.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn folder(folder: &Path) -> Result<Self, StoreError> {
        let file = File::open(folder).map_err(StoreError::io("open", folder))?;
        Ok(Self { file, path: folder.to_owned() })
    }

    /// For this process alone; the argument back while another one has it.
    pub fn alone(self) -> Result<Lock, Self> {
        let taken = self.file.try_lock();
        self.taken(taken)
    }

    /// Beside others that share it; the argument back while another process has it alone.
    pub fn shared(self) -> Result<Lock, Self> {
        let taken = self.file.try_lock_shared();
        self.taken(taken)
    }

    /// For this process alone, as soon as no other one has it.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    pub fn wait(self) -> Result<Lock, StoreError> {
        self.file.lock().map_err(StoreError::io("lock", &self.path))?;
        Ok(Lock { _file: self.file })
    }

    fn taken(self, taken: Result<(), TryLockError>) -> Result<Lock, Self> {
        match taken {
            Err(TryLockError::WouldBlock) => Err(self),
            // Some network folders know no locks, which is no reason not to work.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Lock { _file: self.file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_several_that_share() {
        let folder = tempfile::tempdir().unwrap();
        let of = || Lockable::folder(folder.path()).unwrap();
        let alone = of().alone().unwrap();
        of().alone().unwrap_err();
        of().shared().unwrap_err();
        drop(alone);
        let shared = [of().shared().unwrap(), of().shared().unwrap()];
        of().alone().unwrap_err();
        drop(shared);
        let file = Lockable::within(folder.path()).unwrap().alone().unwrap();
        // The file is not the folder.
        of().alone().unwrap();
        let waiting = std::thread::spawn({
            let busy = Lockable::within(folder.path()).unwrap().alone().unwrap_err();
            move || busy.wait().map(drop)
        });
        drop(file);
        waiting.join().unwrap().unwrap();
    }
}
