//! Hashes of ranges of a file, from which the hash of the file follows.
//!
//! BLAKE3 hashes a file as a binary tree of pieces of 1,024 bytes. Its left half is as large as a power of two of
//! pieces can be ([BLAKE3](https://github.com/BLAKE3-team/BLAKE3-specs/blob/master/blake3.pdf), section 2.1). So if a
//! file is cut into ranges of one power of two, each range is a node of the tree. Nodes are merged pair by pair up to
//! the root, without another look at the file.
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use blake3::{
    Hash, Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use schemas::StoreError;

/// The node of a range, in hex. Ranges of a file have one length, a power of two from 1,024 on. The last may be
/// shorter.
///
/// # Errors
/// If the file cannot be read, or ends before the range does.
pub(crate) fn of_range(path: &Path, bytes: &Range<u64>) -> Result<String, StoreError> {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(bytes.start);
    update(&mut hasher, path, bytes)?;
    Ok(Hash::from_bytes(hasher.finalize_non_root()).to_hex().to_string())
}

/// The hash of some bytes of a file, in hex.
///
/// # Errors
/// If the file cannot be read, or ends before they do.
pub(crate) fn of_bytes(path: &Path, bytes: &Range<u64>) -> Result<String, StoreError> {
    let mut hasher = Hasher::new();
    update(&mut hasher, path, bytes)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Adds some bytes of a file to what is hashed.
fn update(hasher: &mut Hasher, path: &Path, bytes: &Range<u64>) -> Result<(), StoreError> {
    let mut read = || -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(bytes.start))?;
        let (mut left, mut piece) = (bytes.end - bytes.start, vec![0; 1 << 18]);
        while left > 0 {
            let most = left.min(piece.len() as u64) as usize;
            match file.read(&mut piece[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    hasher.update(&piece[..length]);
                    left -= length as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    };
    read().map_err(StoreError::io("read", path))
}

/// The hash of a file, in hex, from the nodes of its ranges. `None` unless there are several, all of them hashes.
pub(crate) fn of_file(ranges: &[String]) -> Option<String> {
    let nodes: Option<Vec<ChainingValue>> =
        ranges.iter().map(|node| Hash::from_hex(node).ok().map(|hash| *hash.as_bytes())).collect();
    let nodes = nodes.filter(|nodes| nodes.len() > 1)?;
    let (left, right) = halves(&nodes);
    Some(merge_subtrees_root(&node(left), &node(right), Mode::Hash).to_hex().to_string())
}

/// The left half of a tree is as large as a power of two can be that leaves something.
fn halves(nodes: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    nodes.split_at(nodes.len().next_power_of_two() / 2)
}

fn node(nodes: &[ChainingValue]) -> ChainingValue {
    if let [only] = nodes {
        return *only;
    }
    let (left, right) = halves(nodes);
    merge_subtrees_non_root(&node(left), &node(right), Mode::Hash)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ranges_have_the_hash_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in [1 << 10, 1 << 12] {
            for bytes in [length + 1, 2 * length - 1, 2 * length, 2 * length + 1, 5 * length, 13 * length + 700] {
                let text: Vec<u8> = (0..bytes).map(|n| (n * 7919 % 251) as u8).collect();
                fs::write(file.path(), &text).unwrap();
                let starts = (0..bytes).step_by(length as usize);
                let ranges = starts.map(|start| start..(start + length).min(bytes));
                let nodes: Vec<String> = ranges.map(|range| of_range(file.path(), &range).unwrap()).collect();
                assert_eq!(of_file(&nodes), Some(blake3::hash(&text).to_string()), "{bytes} bytes by {length}");
                assert_eq!(of_bytes(file.path(), &(1..bytes)).unwrap(), blake3::hash(&text[1..]).to_string());
                assert!(of_range(file.path(), &(0..bytes + 1)).is_err(), "shorter than it was");
            }
        }
        assert_eq!((of_file(&[]), of_file(&["0".to_owned(), "1".to_owned()])), (None, None));
    }
}
