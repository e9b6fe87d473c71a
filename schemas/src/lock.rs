//! Locks between processes that write one folder.
//!
//! The lock is `flock` on the file `.lock` in the folder, opened for reading and writing. NFS passes
//! such a lock on to other machines. It does so neither for a folder nor for a file that is open for
//! reading only. The file stays when the lock ends: removing it would let one process lock the
//! removed file while another locks its successor.
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// "No locks available", which has no [`ErrorKind`] of its own.
const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };

/// A folder that processes lock, not locked yet.
///
/// ```
/// use schemas::{Attempt, Lockable};
///
/// let folder = std::env::temp_dir();
/// match Lockable::within(&folder)?.alone()? {
///     Attempt::Locked(lock) => {
///         if let Some(why) = lock.unsupported() {
///             println!("other processes do not see the lock: {why}");
///         }
///         // Write into the folder while `lock` lives.
///     }
///     Attempt::Taken(_) => println!("another process has it"),
/// }
/// # Ok::<(), schemas::StoreError>(())
/// ```
#[derive(Debug)]
pub struct Lockable {
    path: PathBuf,
    /// The file, or why this process can neither create nor open one.
    file: io::Result<File>,
}

/// What came of an attempt to lock a folder.
#[derive(Debug)]
pub enum Attempt {
    /// This process has the lock.
    Locked(Lock),
    /// Another process has it.
    Taken(Lockable),
}

/// How the file is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// And created, where there is none.
    ReadWrite,
    Read,
}

impl Access {
    fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Self::ReadWrite => OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path),
            Self::Read => File::open(path),
        }
    }
}

/// A lock. It ends with this value or with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    file: Option<File>,
    unsupported: Option<io::Error>,
}

impl Lock {
    /// Whether processes that lock this folder now see this lock. They do not if its file was removed meanwhile.
    pub fn is_of(&self, folder: &Path) -> bool {
        let Some(file) = &self.file else { return true };
        let identity = |about: fs::Metadata| (about.dev(), about.ino());
        let there = fs::metadata(folder.join(Lockable::NAME)).map(identity).ok();
        there.is_some() && there == file.metadata().map(identity).ok()
    }

    /// Why other processes do not see this lock: the file system has no locks, or the folder is
    /// read-only. `None` if they see it.
    pub fn unsupported(&self) -> Option<&io::Error> {
        self.unsupported.as_ref()
    }
}

impl Lockable {
    /// Name of the file that is locked.
    pub const NAME: &str = ".lock";

    /// The lock of a folder, for which an empty file `.lock` is created there.
    ///
    /// # Errors
    /// When the file can neither be opened nor created, unless the folder is read-only.
    pub fn within(folder: &Path) -> Result<Self, StoreError> {
        Self::open(folder, Access::open)
    }

    /// `open` stands for the system call, so that tests can let it fail.
    fn open(folder: &Path, open: impl Fn(Access, &Path) -> io::Result<File>) -> Result<Self, StoreError> {
        let path = folder.join(Self::NAME);
        let file = match open(Access::ReadWrite, &path) {
            Err(error) if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) => {
                open(Access::Read, &path).map_err(|_| error)
            }
            other => Ok(other.map_err(StoreError::io("create", &path))?),
        };
        Ok(Self { path, file })
    }

    /// Locks the folder for this process alone, if no other process has it.
    ///
    /// # Errors
    /// When the system refuses for another reason than a file system without locks.
    pub fn alone(self) -> Result<Attempt, StoreError> {
        self.attempt(File::try_lock)
    }

    /// Locks the folder together with other processes that share it, if none has it alone.
    ///
    /// # Errors
    /// When the system refuses for another reason than a file system without locks.
    pub fn shared(self) -> Result<Attempt, StoreError> {
        self.attempt(File::try_lock_shared)
    }

    /// Waits until no other process has the folder, then locks it for this process alone.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait(self) -> Result<Lock, StoreError> {
        self.wait_for(File::lock)
    }

    /// Waits until no other process has the folder alone, then locks it together with those that share it.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait_shared(self) -> Result<Lock, StoreError> {
        self.wait_for(File::lock_shared)
    }

    fn wait_for(self, lock: impl FnOnce(&File) -> io::Result<()>) -> Result<Lock, StoreError> {
        match self.attempt(|file| lock(file).map_err(TryLockError::Error))? {
            Attempt::Locked(lock) => Ok(lock),
            Attempt::Taken(Self { path, .. }) => Err(StoreError::io("lock", &path)(ErrorKind::WouldBlock.into())),
        }
    }

    /// `lock` stands for the system call, so that tests can let it fail.
    fn attempt(self, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<Attempt, StoreError> {
        let Self { path, file } = self;
        let file = match file {
            Ok(file) => file,
            Err(error) => return Ok(Attempt::Locked(Lock { file: None, unsupported: Some(error) })),
        };
        match lock(&file) {
            Ok(()) => Ok(Attempt::Locked(Lock { file: Some(file), unsupported: None })),
            Err(TryLockError::WouldBlock) => Ok(Attempt::Taken(Self { path, file: Ok(file) })),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                Ok(Attempt::Locked(Lock { file: None, unsupported: Some(error) }))
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
        }
    }
}

/// Whether the file system knows no locks, as some network folders and FUSE file systems do not.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

#[cfg(test)]
mod tests {
    use std::{env, process, sync::Mutex};

    use super::*;

    fn locked(attempt: Attempt) -> Lock {
        match attempt {
            Attempt::Locked(lock) => lock,
            Attempt::Taken(of) => panic!("`{}` is taken", of.path.display()),
        }
    }

    fn is_taken(attempt: Attempt) -> bool {
        matches!(attempt, Attempt::Taken(_))
    }

    /// A process that a test starts has the open files of all of them until its program begins, and so their locks.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn one_alone_or_several_that_share() {
        let _alone = ONE_AT_A_TIME.lock();
        let folder = tempfile::tempdir().unwrap();
        let of = || Lockable::within(folder.path()).unwrap();
        let alone = locked(of().alone().unwrap());
        assert!(alone.unsupported().is_none());
        assert!(is_taken(of().alone().unwrap()) && is_taken(of().shared().unwrap()));
        drop(alone);
        let shared = [0; 2].map(|_| locked(of().shared().unwrap()));
        assert!(is_taken(of().alone().unwrap()));
        let Attempt::Taken(busy) = of().alone().unwrap() else { panic!("two processes share it") };
        let waiting = std::thread::spawn(|| busy.wait().map(drop));
        drop(shared);
        waiting.join().unwrap().unwrap();
        let alone = locked(of().alone().unwrap());
        let Attempt::Taken(busy) = of().shared().unwrap() else { panic!("another has it alone") };
        let waiting = std::thread::spawn(|| busy.wait_shared().map(drop));
        drop(alone);
        waiting.join().unwrap().unwrap();
        assert!(folder.path().join(Lockable::NAME).is_file(), "the file stays");
        let alone = locked(of().alone().unwrap());
        assert!(alone.is_of(folder.path()));
        fs::remove_file(folder.path().join(Lockable::NAME)).unwrap();
        assert!(!alone.is_of(folder.path()));
        let next = locked(of().alone().unwrap());
        assert!(next.is_of(folder.path()) && !alone.is_of(folder.path()));
    }

    #[test]
    fn another_process_sees_the_lock() {
        const FOLDER: &str = "SCHEMAS_LOCK_TEST";
        const TAKEN: i32 = 7;
        const FREE: i32 = 8;
        if let Some(folder) = env::var_os(FOLDER) {
            let attempt = Lockable::within(Path::new(&folder)).unwrap().alone().unwrap();
            process::exit(if is_taken(attempt) { TAKEN } else { FREE });
        }
        let _alone = ONE_AT_A_TIME.lock();
        let folder = tempfile::tempdir().unwrap();
        let other = || {
            let mut command = process::Command::new(env::current_exe().unwrap());
            command.args(["--exact", "lock::tests::another_process_sees_the_lock"]).env(FOLDER, folder.path());
            command.output().unwrap().status.code().unwrap()
        };
        let lock = locked(Lockable::within(folder.path()).unwrap().shared().unwrap());
        assert_eq!(other(), TAKEN);
        drop(lock);
        assert_eq!(other(), FREE);
    }

    #[test]
    fn a_file_system_without_locks_is_not_a_taken_lock() {
        let folder = tempfile::tempdir().unwrap();
        let refuse = |code| {
            let of = Lockable::within(folder.path()).unwrap();
            of.attempt(|_| Err(TryLockError::Error(io::Error::from_raw_os_error(code))))
        };
        // ENOLCK, ENOSYS, EOPNOTSUPP of Linux.
        for code in [37, 38, 95] {
            let lock = locked(refuse(code).unwrap());
            assert_eq!(lock.unsupported().and_then(io::Error::raw_os_error), Some(code));
        }
        // EIO, EBADF, EINTR.
        for code in [5, 9, 4] {
            let error = refuse(code).unwrap_err().to_string();
            assert!(error.starts_with("cannot lock `") && error.contains(".lock"), "{error}");
        }
    }

    #[test]
    fn a_read_only_folder_is_locked_by_the_file_that_is_there_or_not_at_all() {
        let _alone = ONE_AT_A_TIME.lock();
        let folder = tempfile::tempdir().unwrap();
        let open = |code| {
            Lockable::open(folder.path(), move |access, path| match access {
                Access::ReadWrite => Err(io::Error::from_raw_os_error(code)),
                Access::Read => access.open(path),
            })
        };
        // EACCES, EROFS.
        for code in [13, 30] {
            let lock = locked(open(code).unwrap().alone().unwrap());
            assert_eq!(lock.unsupported().and_then(io::Error::raw_os_error), Some(code), "there is no file");
        }
        let writer = locked(Lockable::within(folder.path()).unwrap().alone().unwrap());
        assert!(is_taken(open(30).unwrap().alone().unwrap()), "the file can be read");
        drop(writer);
        assert!(locked(open(30).unwrap().alone().unwrap()).unsupported().is_none());
        // ENOSPC.
        assert!(open(28).unwrap_err().to_string().starts_with("cannot create `"));
    }
}
