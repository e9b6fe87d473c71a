//! Keys of (n+1)-grams, written to partitions by node, and counted partition by partition.
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rayon::prelude::*;

use crate::{
    candidates::Extension,
    error::SpillError,
    ids::{NodeId, WordId},
    spill::{Item, Memory, SpillFile},
};

/// An (n+1)-gram: the node of the n-gram that it extends, and its last word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn new(node: NodeId, word: WordId) -> Self {
        Self(u64::from(node.number()) << 32 | u64::from(word.number()))
    }

    fn node(self) -> NodeId {
        NodeId::from_index((self.0 >> 32) as usize)
    }

    fn word(self) -> WordId {
        WordId::new(self.0 as u32)
    }
}

impl Item for Key {
    type Number = u64;

    fn number(self) -> u64 {
        self.0
    }

    fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// A key with its number of occurrences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    key: Key,
    count: u64,
}

impl Counted {
    pub(super) fn extension(&self) -> Extension {
        Extension { parent: self.key.node(), word: self.key.word(), count: self.count }
    }
}

/// Keys of a partition, about: 8 MiB.
pub(super) const PARTITION: usize = 1 << 20;
/// The most partitions, about. Of a text with more than 4 G occurrences, each has more keys, and a thread that counts
/// one holds its distinct ones twice, 16 bytes each.
const MAX_PARTITIONS: u64 = 1 << 12;
/// Keys that all threads collect for all partitions, about: 32 MiB.
const COLLECTED: usize = 1 << 22;

/// The keys of all occurrences, in partitions by node.
pub(super) struct Partitions {
    /// The first node with keys.
    first: usize,
    /// The partition of each node from there on.
    of: Vec<u16>,
    parts: Vec<Mutex<Vec<Block>>>,
    /// Keys that are sorted at a time.
    keys: usize,
    /// Keys of a block, at most.
    block: usize,
    /// The most keys that stay in memory, and how many there are.
    max_in_memory: usize,
    in_memory: AtomicUsize,
    /// Of the other keys. None if all fit.
    file: Option<SpillFile>,
    in_file: AtomicU64,
}

/// Some keys of a partition.
enum Block {
    InMemory(Vec<Key>),
    InFile { first: u64, count: usize },
}

impl Partitions {
    /// No keys yet. Each node from `first` on will have at most as many as its weight. A partition has about `keys`.
    pub(super) fn new(first: usize, weights: &[u64], keys: usize, memory: &Memory) -> Result<Self, SpillError> {
        let all: u64 = weights.iter().sum();
        let ranges = ranges(weights, (keys as u64).max(all / MAX_PARTITIONS));
        let mut of = vec![0; weights.len()];
        for (number, range) in (0..).zip(&ranges) {
            of[range.clone()].fill(number);
        }
        let max_in_memory = memory.keys() / size_of::<Key>();
        Ok(Self {
            first,
            of,
            keys,
            block: (COLLECTED / rayon::current_num_threads() / ranges.len().max(1)).clamp(1 << 9, 1 << 13).min(keys),
            parts: ranges.iter().map(|_| Mutex::default()).collect(),
            max_in_memory,
            in_memory: AtomicUsize::new(0),
            file: if all > max_in_memory as u64 { Some(memory.file()?) } else { None },
            in_file: AtomicU64::new(0),
        })
    }

    /// Adds keys of a partition and empties `keys`.
    pub(super) fn add(&self, part: usize, keys: &mut Vec<Key>) -> Result<(), SpillError> {
        let count = keys.len();
        let block = match &self.file {
            Some(file) if self.in_memory.fetch_add(count, Relaxed) + count > self.max_in_memory => {
                let first = self.in_file.fetch_add(count as u64, Relaxed);
                file.write(keys, first)?;
                keys.clear();
                Block::InFile { first, count }
            }
            _ => Block::InMemory(std::mem::take(keys)),
        };
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner).push(block);
        Ok(())
    }

    /// The keys that occur `min_support` times or more, in order.
    pub(super) fn count(self, min_support: u64) -> Result<Vec<Vec<Counted>>, SpillError> {
        let Self { parts, file, keys, .. } = &self;
        let counted = parts.par_iter().map_init(Vec::<Key>::new, |buffer, part| {
            let mut counter = KeyCounter::new(*keys);
            for block in std::mem::take(&mut *part.lock().unwrap_or_else(PoisonError::into_inner)) {
                match (block, file) {
                    (Block::InMemory(keys), _) => counter.add(&keys),
                    (Block::InFile { first, count }, Some(file)) => {
                        buffer.clear();
                        file.read(first, count, buffer)?;
                        counter.add(buffer);
                    }
                    (Block::InFile { .. }, None) => unreachable!("a block in a file has a file"),
                }
            }
            Ok::<_, SpillError>(counter.finish(min_support))
        });
        counted.collect()
    }
}

/// Cuts indices into ranges of a weight of at most `most`. An index of more is a range of its own.
fn ranges(weights: &[u64], most: u64) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, &weight) in weights.iter().enumerate() {
        if sum > 0 && sum + weight > most {
            ranges.push(start..at);
            (start, sum) = (at, 0);
        }
        sum += weight;
    }
    if sum > 0 {
        ranges.push(start..weights.len());
    }
    ranges
}

/// Collects keys of one thread into blocks.
pub(super) struct KeyWriter<'p> {
    partitions: &'p Partitions,
    /// The next block of each partition.
    blocks: Vec<Vec<Key>>,
}

impl<'p> KeyWriter<'p> {
    pub(super) fn new(partitions: &'p Partitions) -> Self {
        Self { partitions, blocks: partitions.parts.iter().map(|_| Vec::new()).collect() }
    }

    #[inline]
    pub(super) fn push(&mut self, key: Key) -> Result<(), SpillError> {
        let part = usize::from(self.partitions.of[key.node().index() - self.partitions.first]);
        let block = &mut self.blocks[part];
        if block.capacity() == 0 {
            block.reserve_exact(self.partitions.block);
        }
        block.push(key);
        if block.len() == self.partitions.block { self.partitions.add(part, block) } else { Ok(()) }
    }

    pub(super) fn flush(mut self) -> Result<(), SpillError> {
        for (part, block) in self.blocks.iter_mut().enumerate().filter(|(_, block)| !block.is_empty()) {
            block.shrink_to_fit();
            self.partitions.add(part, block)?;
        }
        Ok(())
    }
}

/// Counts keys. Beyond `max_keys` its memory grows with the number of distinct keys only.
struct KeyCounter {
    keys: Vec<Key>,
    max_keys: usize,
    /// Sorted by key.
    counted: Vec<Counted>,
}

impl KeyCounter {
    fn new(max_keys: usize) -> Self {
        Self { keys: Vec::new(), max_keys, counted: Vec::new() }
    }

    fn add(&mut self, mut keys: &[Key]) {
        while !keys.is_empty() {
            if self.keys.len() == self.max_keys {
                self.compact(0);
            }
            let (now, later) = keys.split_at(keys.len().min(self.max_keys - self.keys.len()));
            self.keys.extend_from_slice(now);
            keys = later;
        }
    }

    /// Merges `keys` into `counted`. Drops what occurred less often than `least`.
    fn compact(&mut self, least: u64) {
        self.keys.sort_unstable();
        let mut old = std::mem::take(&mut self.counted).into_iter().peekable();
        let mut push = |counted: Counted| {
            if counted.count >= least {
                self.counted.push(counted);
            }
        };
        for run in self.keys.chunk_by(|a, b| a == b) {
            while let Some(before) = old.next_if(|counted| counted.key < run[0]) {
                push(before);
            }
            let same = old.next_if(|counted| counted.key == run[0]).map_or(0, |counted| counted.count);
            push(Counted { key: run[0], count: same + run.len() as u64 });
        }
        old.for_each(push);
        self.keys.clear();
    }

    /// The keys that occurred `min_support` times or more, sorted.
    fn finish(mut self, min_support: u64) -> Vec<Counted> {
        self.compact(min_support);
        self.counted.shrink_to_fit();
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More occurrences of one sequence than 32 bits can number.
    #[test]
    fn more_keys_than_32_bits_are_counted_in_little_memory() {
        let key = |word| Key::new(NodeId::from_index(7), WordId::new(word));
        let mut keys = vec![key(1); 1 << 16];
        keys[0] = key(0);
        let mut counter = KeyCounter::new(1 << 16);
        let times = (1 << 16) + 5;
        for _ in 0..times {
            counter.add(&keys);
            assert!(counter.keys.capacity() == 1 << 16 && counter.counted.capacity() < 8);
        }
        let counted = counter.finish(10);
        let found: Vec<(Key, u64)> = counted.iter().map(|counted| (counted.key, counted.count)).collect();
        assert_eq!(found, [(key(0), times), (key(1), times * ((1 << 16) - 1))]);
        assert!(counted[1].count > 1 << 32);
    }
}
