//! Names of temporary files, and files without a name.
use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Ending of the names of temporary files. They are never read, and the next run removes them.
pub const TEMPORARY: &str = ".tmp";

/// A random number of this process for temporary names. Two processes that write the same file, on
/// one machine or on two that share the folder, write to different temporary files.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// A temporary name of this process for a file, in its folder. Each number gives another one.
pub(crate) fn temporary(path: &Path, number: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}{TEMPORARY}", PROCESS.wrapping_add(number)));
    path.with_file_name(name)
}

/// The final name of a temporary file. `None` if this program never gives such a temporary name.
pub fn file_of_temporary(name: &str) -> Option<&str> {
    let (file, process) = name.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    (process.len() == 16 && process.bytes().all(|b| b.is_ascii_hexdigit())).then_some(file)
}

/// Creates a file for data that does not fit in memory, in the folder of `next_to`. It has no name once it is open, so
/// nothing is left when the process ends.
///
/// # Errors
/// When it cannot be created.
pub fn unnamed_file(next_to: &Path) -> io::Result<File> {
    // Complete files have 0.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // If the process is killed between the next two calls, an empty file stays. A step removes those of its folder.
    let path = temporary(next_to, NEXT.fetch_add(1, Ordering::Relaxed));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn files_without_a_name_are_independent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        let files = [(); 2].map(|()| unnamed_file(&path).unwrap());
        for (file, byte) in files.iter().zip([b"a", b"b"]) {
            file.write_all_at(byte, 0).unwrap();
        }
        for (file, wanted) in files.iter().zip([b"a", b"b"]) {
            let mut found = [0];
            file.read_exact_at(&mut found, 0).unwrap();
            assert_eq!(&found, wanted);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_temporary_name_leads_to_the_final_one() {
        for number in [0, 1] {
            let path = temporary(Path::new("out/pool.parquet"), number);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(path.parent(), Some(Path::new("out")));
            assert_eq!(file_of_temporary(name), Some("pool.parquet"));
        }
        assert_eq!(file_of_temporary("notes.tmp"), None);
    }
}
