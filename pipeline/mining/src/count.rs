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
mod occurrences;
mod partitions;

use std::ops::Range;

use self::{
    occurrences::{Occurrence, Occurrences},
    partitions::{Counted, Key, KeyWriter, PARTITION, Partitions},
};
use crate::{
    candidates::Candidates,
    error::{MineError, SpillError},
    ids::NodeId,
    parallel,
    spill::Memory,
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
        Self { words: Vec::new(), shorter: Vec::new(), extended: Vec::new(), keys: KeyWriter::new(partitions) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{ids::WordId, testing, tokens::Pruning};

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

    /// More places than 31 bits can number, on disk but for a few words. Most words are where no candidate starts,
    /// which keeps the test short.
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

    /// As the test above, where every word may be in a candidate.
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
