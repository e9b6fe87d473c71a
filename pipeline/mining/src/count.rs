//! Counting candidates: the word sequences that occur often enough (section B of the
//! specification).
//!
//! Level by level, an occurrence of a frequent n-gram is extended by the next word, and the
//! (n+1)-grams that occur often enough are kept. An (n+1)-gram is a 64-bit [`Key`]: the node of the
//! n-gram, and the next word. A pass over the text writes the keys of all occurrences to partitions
//! by node, and notes the occurrences that it could extend. Then each partition is sorted and
//! counted. The next pass reads the noted occurrences alone.
//!
//! Keys and occurrences are in [`Memory`] or in temporary files. Counts are sums of integers. So
//! neither the memory nor the order of the threads changes them.
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rayon::prelude::*;

use crate::{
    candidates::{Candidates, Extension},
    error::{MineError, SpillError},
    ids::{NodeId, WordId},
    parallel,
    spill::{Item, Memory, SpillFile},
    tokens::{Tokens, Word},
    vocabulary::WordCounts,
};

/// How many occurrences ahead of use the children of a node are prefetched.
const AHEAD: usize = 8;

/// A text in chunks of whole segments.
pub(crate) trait WordChunks: Sync {
    fn chunks(&self) -> Vec<Range<usize>>;

    /// The words of a chunk. `buffer` holds those that are not in memory.
    fn read<'a>(&'a self, chunk: Range<usize>, buffer: &'a mut Vec<Word>) -> Result<&'a [Word], SpillError>;
}

impl WordChunks for Tokens {
    fn chunks(&self) -> Vec<Range<usize>> {
        self.chunks_of_segments()
    }

    fn read<'a>(&'a self, chunk: Range<usize>, buffer: &'a mut Vec<Word>) -> Result<&'a [Word], SpillError> {
        self.words(chunk, buffer)
    }
}

/// Counts the sequences of at most `max_words` words that occur `min_support` times or more, in a text whose words have
/// these counts.
pub(crate) fn count_candidates(
    text: &impl WordChunks,
    counts: &[WordCounts],
    min_support: u64,
    max_words: usize,
    memory: &Memory,
) -> Result<Candidates, MineError> {
    count_in(text, counts, min_support, max_words, memory, PARTITION)
}

fn count_in(
    text: &impl WordChunks,
    counts: &[WordCounts],
    min_support: u64,
    max_words: usize,
    memory: &Memory,
    partition: usize,
) -> Result<Candidates, MineError> {
    let mut candidates = Candidates::of_words(counts, min_support);
    let chunks = text.chunks();
    let occurrences = Occurrences::new(&chunks, memory)?;
    for length in 1..max_words {
        // At most as many keys as occurrences of the n-gram.
        let weights: Vec<u64> = match length {
            1 => counts.iter().map(|counts| if counts.starts >= min_support { counts.starts } else { 0 }).collect(),
            _ => candidates.counts()[candidates.last_level()].to_vec(),
        };
        let partitions = Partitions::new(candidates.last_level().start, &weights, partition, memory)?;
        drop(weights);
        parallel::for_each(
            chunks.len(),
            || Worker::new(&partitions),
            |Worker { words, shorter, extended, keys }, number| {
                let words = text.read(chunks[number].clone(), words)?;
                extended.clear();
                let mut extend = |place: usize, node: NodeId| -> Result<(), SpillError> {
                    let Some(next) = words.get(place + length).filter(|_| !words[place + length - 1].ends_segment())
                    else {
                        return Ok(());
                    };
                    if next.may_extend() && candidates.starts_candidates(next.id()) {
                        extended.push(Occurrence { place: place as u32, node });
                        keys.push(Key::new(node, next.id()))?;
                    }
                    Ok(())
                };
                if length == 1 {
                    for (place, word) in words.iter().enumerate() {
                        if word.may_start() && candidates.starts_candidates(word.id()) {
                            extend(place, word.id().into())?;
                        }
                    }
                } else {
                    occurrences.take(number, shorter)?;
                    for (at, &Occurrence { place, node }) in shorter.iter().enumerate() {
                        if let Some(ahead) = shorter.get(at + 2 * AHEAD) {
                            candidates.prefetch_children(ahead.node);
                        }
                        if let Some(ahead) = shorter.get(at + AHEAD) {
                            candidates.prefetch_words_of_children(ahead.node);
                        }
                        let place = place as usize;
                        if let Some(child) = candidates.child(node, words[place + length - 1].id()) {
                            extend(place, child)?;
                        }
                    }
                }
                // The longest are not extended.
                if length + 1 < max_words { occurrences.note(number, extended) } else { Ok(()) }
            },
            |worker| worker.keys.flush(),
        )?;
        let found = partitions.count(min_support)?;
        if found.iter().all(Vec::is_empty) {
            break;
        }
        candidates.add_level(found.iter().flatten().map(Counted::extension))?;
    }
    candidates.link();
    Ok(candidates)
}

/// An (n+1)-gram: the node of the n-gram that it extends, and its last word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
struct Key(u64);

impl Key {
    fn new(node: NodeId, word: WordId) -> Self {
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
struct Counted {
    key: Key,
    count: u64,
}

impl Counted {
    fn extension(&self) -> Extension {
        Extension { parent: self.key.node(), word: self.key.word(), count: self.count }
    }
}

/// Where an n-gram occurs that the next word can extend. The place is counted from the start of the chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Occurrence {
    place: u32,
    node: NodeId,
}

impl Item for Occurrence {
    type Number = u64;

    fn number(self) -> u64 {
        u64::from(self.node.number()) << 32 | u64::from(self.place)
    }

    fn of_number(number: u64) -> Self {
        Self { place: number as u32, node: NodeId::of_number((number >> 32) as u32) }
    }
}

/// The occurrences of the n-grams of the present length, by chunk.
struct Occurrences {
    chunks: Vec<NotedChunk>,
    /// Of the chunks that are not in memory.
    file: Option<SpillFile>,
}

struct NotedChunk {
    /// Where its occurrences begin in the file. There is room for one per word.
    first: u64,
    noted: Mutex<Noted>,
}

enum Noted {
    InMemory(Vec<Occurrence>),
    /// This many.
    InFile(usize),
}

impl Occurrences {
    fn new(chunks: &[Range<usize>], memory: &Memory) -> Result<Self, SpillError> {
        let chunks = chunks.iter().map(|chunk| {
            let near = chunk.end <= memory.words();
            let noted = if near { Noted::InMemory(Vec::new()) } else { Noted::InFile(0) };
            NotedChunk { first: chunk.start as u64, noted: Mutex::new(noted) }
        });
        let mut occurrences = Self { chunks: chunks.collect(), file: None };
        let is_far = |chunk: &mut NotedChunk| matches!(chunk.noted.get_mut(), Ok(Noted::InFile(_)));
        if occurrences.chunks.last_mut().is_some_and(is_far) {
            occurrences.file = Some(memory.file()?);
        }
        Ok(occurrences)
    }

    /// Moves the occurrences of a chunk to `into`.
    fn take(&self, chunk: usize, into: &mut Vec<Occurrence>) -> Result<(), SpillError> {
        let NotedChunk { first, noted } = &self.chunks[chunk];
        into.clear();
        match (&mut *noted.lock().unwrap_or_else(PoisonError::into_inner), &self.file) {
            (Noted::InFile(count), Some(file)) => file.read(*first, *count, into),
            (Noted::InFile(_), None) => Ok(()),
            (Noted::InMemory(occurrences), _) => {
                *into = std::mem::take(occurrences);
                Ok(())
            }
        }
    }

    fn note(&self, chunk: usize, found: &[Occurrence]) -> Result<(), SpillError> {
        let NotedChunk { first, noted } = &self.chunks[chunk];
        let noted = &mut *noted.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*noted, &self.file) {
            (Noted::InFile(_), Some(file)) => {
                file.write(found, *first)?;
                *noted = Noted::InFile(found.len());
            }
            _ => *noted = Noted::InMemory(found.to_vec()),
        }
        Ok(())
    }
}

/// Keys of a partition, about: 8 MiB.
const PARTITION: usize = 1 << 20;
/// The most partitions, about. Of a larger text each has more keys.
const MAX_PARTITIONS: u64 = 1 << 10;
/// Keys that all threads collect for all partitions, about: 32 MiB.
const COLLECTED: usize = 1 << 22;

/// The keys of all occurrences, in partitions by node.
struct Partitions {
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
    fn new(first: usize, weights: &[u64], keys: usize, memory: &Memory) -> Result<Self, SpillError> {
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
    fn add(&self, part: usize, keys: &mut Vec<Key>) -> Result<(), SpillError> {
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
    fn count(self, min_support: u64) -> Result<Vec<Vec<Counted>>, SpillError> {
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
                    (Block::InFile { .. }, None) => {}
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

/// The state of a thread.
struct Worker<'p> {
    words: Vec<Word>,
    /// Occurrences of the n-grams that were extended by one word.
    shorter: Vec<Occurrence>,
    /// Occurrences of the n-grams that have a key now.
    extended: Vec<Occurrence>,
    keys: KeyWriter<'p>,
}

impl<'p> Worker<'p> {
    fn new(partitions: &'p Partitions) -> Self {
        let keys = KeyWriter { partitions, blocks: partitions.parts.iter().map(|_| Vec::new()).collect() };
        Self { words: Vec::new(), shorter: Vec::new(), extended: Vec::new(), keys }
    }
}

/// Collects keys of one thread into blocks.
struct KeyWriter<'p> {
    partitions: &'p Partitions,
    /// The next block of each partition.
    blocks: Vec<Vec<Key>>,
}

impl KeyWriter<'_> {
    #[inline]
    fn push(&mut self, key: Key) -> Result<(), SpillError> {
        let part = usize::from(self.partitions.of[key.node().index() - self.partitions.first]);
        let block = &mut self.blocks[part];
        if block.capacity() == 0 {
            block.reserve_exact(self.partitions.block);
        }
        block.push(key);
        if block.len() == self.partitions.block { self.partitions.add(part, block) } else { Ok(()) }
    }

    fn flush(mut self) -> Result<(), SpillError> {
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{testing, tokens::Pruning};

    /// Words in chunks of some length, as a text that ends where its last chunk does.
    struct Chunked<'w> {
        words: &'w [Word],
        chunks: Vec<Range<usize>>,
    }

    impl<'w> Chunked<'w> {
        fn new(words: &'w [Word], least: usize) -> Self {
            let mut chunks: Vec<Range<usize>> = Vec::new();
            let mut start = 0;
            for end in 1..=words.len() {
                if end == words.len() || (end - start >= least && words[end - 1].ends_segment()) {
                    chunks.push(start..end);
                    start = end;
                }
            }
            Self { words, chunks }
        }
    }

    impl WordChunks for Chunked<'_> {
        fn chunks(&self) -> Vec<Range<usize>> {
            self.chunks.clone()
        }

        fn read<'a>(&'a self, chunk: Range<usize>, _: &'a mut Vec<Word>) -> Result<&'a [Word], SpillError> {
            Ok(&self.words[chunk])
        }
    }

    fn word_counts(words: &[Word], distinct: usize) -> Vec<WordCounts> {
        let mut counts = vec![WordCounts::default(); distinct];
        for word in words {
            let counts = &mut counts[word.id().index()];
            counts.all += 1;
            counts.starts += u64::from(word.may_start());
        }
        counts
    }

    /// All candidates, by a map over word sequences.
    fn oracle(words: &[Word], min_support: u64, max_words: usize) -> BTreeMap<Vec<WordId>, u64> {
        let mut starts: BTreeMap<WordId, u64> = BTreeMap::new();
        words.iter().filter(|w| w.may_start()).for_each(|w| *starts.entry(w.id()).or_default() += 1);
        let frequent = |word: &Word| starts.get(&word.id()).is_some_and(|n| *n >= min_support);
        let mut counts: BTreeMap<Vec<WordId>, u64> = BTreeMap::new();
        for start in 0..words.len() {
            if !words[start].may_start() || !frequent(&words[start]) {
                continue;
            }
            for end in start + 2..=(start + max_words).min(words.len()) {
                let (before, word) = (words[end - 2], words[end - 1]);
                if before.ends_segment() || !word.may_extend() || !frequent(&word) {
                    break;
                }
                *counts.entry(words[start..end].iter().map(|w| w.id()).collect()).or_default() += 1;
            }
        }
        counts.retain(|_, n| *n >= min_support);
        counts
    }

    fn a_word() -> impl Strategy<Value = Word> {
        (0u32..6, testing::pruning(), prop::bool::weighted(0.1)).prop_map(|(id, pruning, ends)| {
            let mut word = Word::new(WordId::new(id), pruning);
            if ends {
                word.end_segment();
            }
            word
        })
    }

    proptest! {
        #[test]
        fn counts_are_those_of_all_sequences(
            words in prop::collection::vec(a_word(), 0..400),
            min_support in 1u64..5,
            max_words in 1usize..7,
            chunk in 1usize..100,
            memory in testing::any_memory(),
            partition in 1usize..64,
        ) {
            let mut words = words;
            words.last_mut().into_iter().for_each(Word::end_segment);
            let text = Chunked::new(&words, chunk);
            let candidates =
                count_in(&text, &word_counts(&words, 6), min_support, max_words, &memory, partition).unwrap();
            let mut found = BTreeMap::new();
            let mut of = Vec::new();
            for node in candidates.longer().map(NodeId::from_index) {
                candidates.words_of(node, &mut of);
                prop_assert_eq!(candidates.find(&of), Some(node));
                prop_assert_eq!(candidates.suffix(node), candidates.find(&of[1..]));
                found.insert(of.clone(), candidates.count(node));
            }
            prop_assert_eq!(found, oracle(&words, min_support, max_words));
            for word in (0..6).map(WordId::new) {
                let all = words.iter().filter(|w| w.id() == word).count() as u64;
                prop_assert_eq!(candidates.count(word.into()), all);
            }
        }
    }

    /// A text of any length that repeats one chunk.
    struct Repeated {
        chunk: Vec<Word>,
        times: usize,
    }

    impl WordChunks for Repeated {
        fn chunks(&self) -> Vec<Range<usize>> {
            let length = self.chunk.len();
            (0..self.times).map(|number| number * length..(number + 1) * length).collect()
        }

        fn read<'a>(&'a self, _: Range<usize>, _: &'a mut Vec<Word>) -> Result<&'a [Word], SpillError> {
            Ok(&self.chunk)
        }
    }

    impl Repeated {
        fn counts(&self, distinct: usize) -> Vec<WordCounts> {
            let mut counts = word_counts(&self.chunk, distinct);
            for counts in &mut counts {
                counts.all *= self.times as u64;
                counts.starts *= self.times as u64;
            }
            counts
        }
    }

    fn free(id: u32) -> Word {
        Word::new(WordId::new(id), Pruning::Free)
    }

    /// More places than 31 bits can number, on disk but for a few words. Most words are where no candidate starts, which
    /// keeps the test short.
    #[test]
    fn more_places_than_31_bits_are_counted_in_little_memory() {
        let mut chunk = vec![Word::new(WordId::new(0), Pruning::Excluded); 1 << 18];
        let phrase = [free(1), free(2), free(3)];
        let phrases = 1 << 8;
        for number in 0..phrases {
            chunk[number << 10..][..3].copy_from_slice(&phrase);
        }
        chunk.last_mut().unwrap().end_segment();
        let text = Repeated { chunk, times: (1 << 13) + (1 << 6) };
        let memory = Memory::of_bytes(1 << 16, std::env::temp_dir().join("ebert-mining"));
        let counts = text.counts(4);
        let candidates = count_in(&text, &counts, 10, 3, &memory, 1 << 16).unwrap();
        let wanted = (text.times * phrases) as u64;
        assert!(candidates.count(NodeId::from_index(0)) > 1 << 31);
        for words in [&[1, 2][..], &[2, 3], &[1, 2, 3]] {
            let words: Vec<WordId> = words.iter().map(|&id| WordId::new(id)).collect();
            assert_eq!(candidates.find(&words).map(|node| candidates.count(node)), Some(wanted));
        }
        assert_eq!(candidates.longer().len(), 3);
    }

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

    /// As the tests above, where every word may be in a candidate.
    #[test]
    #[ignore = "takes minutes, and 40 GB of disk"]
    fn more_places_than_31_bits_are_counted_exactly() {
        const LONGEST: usize = 3;
        let mut draws = schemas::Draws::new(0, "test", b"");
        // Of four words the first is the most frequent.
        let word = |bits: u64| (bits & 3).min(bits >> 2 & 3) as u32;
        let mut chunk: Vec<Word> = (0..1 << 18).map(|_| free(word(draws.next_u64()))).collect();
        chunk.last_mut().unwrap().end_segment();
        let text = Repeated { chunk, times: (1 << 13) + 1 };
        let mut wanted = oracle(&text.chunk, 1, LONGEST);
        wanted.values_mut().for_each(|count| *count *= text.times as u64);
        let memory = Memory::of_bytes(1 << 26, std::env::temp_dir().join("ebert-mining"));
        let candidates = count_candidates(&text, &text.counts(4), 10, LONGEST, &memory).unwrap();
        assert_eq!(candidates.longer().len(), wanted.len());
        for (words, count) in wanted {
            assert_eq!(candidates.find(&words).map(|node| candidates.count(node)), Some(count), "{words:?}");
        }
    }
}
