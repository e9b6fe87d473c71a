//! Locks of workers. All share the lock of `OUT`, which a run of all steps has alone. In addition, each has that of the
//! folder that its step writes: together with others if the step has several tasks, alone if it has one, and alone to
//! write a manifest.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use schemas::{Attempt, Lock, Lockable, StoreError, store};

use crate::engine::progress::{Facts, Progress};

/// The lock of one folder of `OUT`. Its file is `OUT/.made/FOLDER/.lock`, until the folder is sealed.
pub(super) struct FolderLock {
    path: PathBuf,
    name: &'static str,
}

impl FolderLock {
    pub(super) fn of(out: &Path, name: &'static str) -> Self {
        Self { path: out.join(".made").join(name), name }
    }

    fn open(&self) -> Result<Lockable, StoreError> {
        loop {
            match fs::create_dir_all(&self.path) {
                // Another worker has just removed the folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !self.path.exists() => continue,
                other => other.map_err(StoreError::io("create", &self.path))?,
            }
            match Lockable::within(&self.path) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
    }

    /// Together with other workers. Waits for one that has it alone.
    pub(super) fn shared(&self, progress: &Progress) -> Result<Lock, StoreError> {
        self.waited(Lockable::shared, Lockable::wait_shared, progress)
    }

    /// Alone. Waits for all others.
    pub(super) fn alone(&self, progress: &Progress) -> Result<Lock, StoreError> {
        self.waited(Lockable::alone, Lockable::wait, progress)
    }

    /// Tries to lock, or waits. Again if the file was removed meanwhile.
    fn waited(
        &self,
        attempt: fn(Lockable) -> Result<Attempt, StoreError>,
        wait: fn(Lockable) -> Result<Lock, StoreError>,
        progress: &Progress,
    ) -> Result<Lock, StoreError> {
        loop {
            let lock = match attempt(self.open()?)? {
                Attempt::Locked(lock) => lock,
                Attempt::Taken(busy) => {
                    self.print_waiting(progress)?;
                    wait(busy)?
                }
            };
            if lock.is_of(&self.path) {
                return Ok(lock);
            }
        }
    }

    /// Alone, if no other worker has it.
    pub(super) fn try_alone(&self) -> Result<Option<Lock>, StoreError> {
        loop {
            match self.open()?.alone()? {
                Attempt::Locked(lock) if lock.is_of(&self.path) => return Ok(Some(lock)),
                Attempt::Locked(_) => {}
                Attempt::Taken(_) => return Ok(None),
            }
        }
    }

    /// Removes the file, once the folder is sealed. A worker that waited for it then locks its successor.
    pub(super) fn remove(&self, _alone: Lock) -> Result<(), StoreError> {
        store::remove(&self.path.join(Lockable::NAME))?;
        // It stays if it has records of tables.
        let _ = fs::remove_dir(&self.path);
        Ok(())
    }

    fn print_waiting(&self, progress: &Progress) -> Result<(), StoreError> {
        let name = self.name;
        let text = format!("another worker has the folder `{name}`; this one continues when it is done");
        let facts = Facts::new("waiting", text).with("folder", name);
        progress.note("waiting", &facts).map_err(StoreError::io("lock", &self.path))
    }
}
