//! Files that change between being hashed and being read.
use std::path::Path;

use schemas::manifest::{Hash, PoolSource};

use super::{PoolError, Source};
use crate::engine::hashes::Hashes;

impl Source<'_> {
    /// Fails if a pool file or list is not the one that `described` has the hash of. To be called when
    /// they have been read.
    pub(super) fn check_unchanged(&self, described: &PoolSource, hashes: &mut Hashes) -> Result<(), PoolError> {
        match (self, described) {
            (Self::Import(file), PoolSource::Import { blake3, .. }) => check(file, blake3, hashes),
            (Self::Mine(mining), PoolSource::Mined(mined)) => {
                let lists = &mining.settings.mining;
                let lists: [(Option<&Path>, &Option<Hash>); 3] = [
                    (lists.quality_list.as_deref(), &mined.quality_list),
                    (lists.entity_list.as_deref(), &mined.entity_list),
                    (lists.stop_words.as_deref(), &mined.stop_words),
                ];
                for (file, hash) in lists {
                    if let (Some(file), Some(hash)) = (file, hash) {
                        check(file, &hash.blake3, hashes)?;
                    }
                }
                Ok(())
            }
            (Self::Import(_), PoolSource::Mined(_)) | (Self::Mine(_), PoolSource::Import { .. }) => {
                unreachable!("a source describes itself")
            }
        }
    }
}

/// Costs a look at the file's size, times and inode, unless they have changed.
fn check(file: &Path, blake3: &str, hashes: &mut Hashes) -> Result<(), PoolError> {
    if hashes.blake3(file)? == blake3 { Ok(()) } else { Err(PoolError::Changed { path: file.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_pool_file_that_changes_after_it_was_hashed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pool.txt");
        fs::write(&file, "0.9\tgreen tea\n").unwrap();
        let (source, mut hashes) = (Source::Import(&file), Hashes::load(folder.path()));
        let described = source.describe(&mut hashes).unwrap();
        source.check_unchanged(&described, &mut hashes).unwrap();
        // The same bytes, at another time, under another inode.
        fs::write(folder.path().join("new"), "0.9\tgreen tea\n").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        source.check_unchanged(&described, &mut hashes).unwrap();
        fs::write(&file, "0.9\tgreen tea\n0.8\tblack tea\n").unwrap();
        let error = source.check_unchanged(&described, &mut hashes).unwrap_err().to_string();
        assert!(error.contains("pool.txt` changed while it was being read") && error.contains("hint:"), "{error}");
    }
}
