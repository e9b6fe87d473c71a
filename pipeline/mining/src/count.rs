//! Counting candidates: the word sequences that occur often enough (section B of the
//! specification).
//!
//! Level by level, an occurrence of a frequent n-gram is extended by the next word, and the
//! (n+1)-grams that occur often enough are kept. One number per word of the text is held: the
//! n-gram that starts there. An (n+1)-gram is that number and the next word, in one 64-bit key.
//! Keys are sorted and counted for a range of n-grams at a time, which bounds their memory.
use std::ops::Range;

use rayon::prelude::*;

use crate::{
    candidates::{Candidates, Extension},
    error::MineError,
    ids::{NodeId, WordId},
    tokens::Word,
};

/// The number of an n-gram among the frequent ones of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
struct Gram(u32);

impl Gram {
    const NONE: Self = Self(u32::MAX);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// An (n+1)-gram: the n-gram that it extends, and its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
struct Key(u64);

impl Key {
    fn new(gram: Gram, word: WordId) -> Self {
        Self(u64::from(gram.0) << 32 | u64::from(word.number()))
    }

    fn gram(self) -> Gram {
        Gram((self.0 >> 32) as u32)
    }

    fn word(self) -> WordId {
        WordId::new(self.0 as u32)
    }
}

/// A key with its number of occurrences.
#[derive(Clone, Copy, Debug)]
struct Counted {
    key: Key,
    count: u64,
}

/// Keys that a thread holds at a time, at least: 8 MiB.
const MIN_KEYS: usize = 1 << 20;

/// Counts the sequences of at most `max_words` words that occur `min_support` times or more.
/// `distinct` is the number of distinct words.
pub(crate) fn count_candidates(
    words: &[Word],
    distinct: usize,
    min_support: u64,
    max_words: usize,
) -> Result<Candidates, MineError> {
    // Each range costs a pass over the text, so ranges are large: all threads together hold keys
    // for an eighth of it.
    let keys = words.len() / (8 * rayon::current_num_threads());
    count_in(words, distinct, min_support, max_words, keys.max(MIN_KEYS))
}

fn count_in(
    words: &[Word],
    distinct: usize,
    min_support: u64,
    max_words: usize,
    max_keys: usize,
) -> Result<Candidates, MineError> {
    let WordCounts { all, starts } = count_words(words, distinct);
    let frequent: Vec<bool> = starts.iter().map(|&n| n >= min_support).collect();
    // Occurrences of each n-gram of the present length. At first these are the words, by their
    // number.
    let mut weights: Vec<u64> = starts.iter().map(|&n| if n >= min_support { n } else { 0 }).collect();
    let mut candidates = Candidates::of_words(all, starts, min_support);
    // The n-gram that starts at each place.
    let start = |word: &Word| {
        if word.may_start() && frequent[word.id().index()] { Gram(word.id().number()) } else { Gram::NONE }
    };
    let mut grams: Vec<Gram> = words.par_iter().map(start).collect();
    for length in 1..max_words {
        let next_word = |place: usize| -> Option<WordId> {
            let word = *words.get(place + length)?;
            let joined = !words[place + length - 1].ends_segment();
            (joined && word.may_extend() && frequent[word.id().index()]).then_some(word.id())
        };
        let found: Vec<Vec<Counted>> = ranges(&weights, max_keys as u64)
            .into_par_iter()
            .map(|range| {
                let mut counter = KeyCounter::new(max_keys);
                for (place, &gram) in grams.iter().enumerate() {
                    if range.contains(&gram)
                        && let Some(word) = next_word(place)
                    {
                        counter.push(Key::new(gram, word));
                    }
                }
                counter.finish(min_support)
            })
            .collect();
        let found: Vec<Counted> = found.into_iter().flatten().collect();
        if found.is_empty() {
            break;
        }
        let level = candidates.last_level().start;
        candidates.add_level(found.iter().map(|&Counted { key, count }| Extension {
            parent: NodeId::from_index(level + key.gram().index()),
            word: key.word(),
            count,
        }))?;
        // Ranges are in order and their keys sorted, so a key's place is the number of its n-gram.
        let mut first_of: Vec<u32> = vec![0; weights.len() + 1];
        found.iter().for_each(|counted| first_of[counted.key.gram().index() + 1] += 1);
        (1..first_of.len()).for_each(|i| first_of[i] += first_of[i - 1]);
        grams.par_iter_mut().enumerate().for_each(|(place, gram)| {
            if *gram == Gram::NONE {
                return;
            }
            let first = first_of[gram.index()];
            let extensions = &found[first as usize..first_of[gram.index() + 1] as usize];
            *gram = next_word(place)
                .filter(|_| !extensions.is_empty())
                .and_then(|word| extensions.binary_search_by_key(&word, |counted| counted.key.word()).ok())
                .map_or(Gram::NONE, |at| Gram(first + at as u32));
        });
        weights = found.into_iter().map(|counted| counted.count).collect();
    }
    candidates.link();
    Ok(candidates)
}

struct WordCounts {
    all: Vec<u64>,
    /// Occurrences whose tag allows them to start a candidate.
    starts: Vec<u64>,
}

fn count_words(words: &[Word], distinct: usize) -> WordCounts {
    // Each chunk has its own tables of all distinct words, so there are at most eight.
    let chunk = words.len().div_ceil(rayon::current_num_threads().min(8)).max(1);
    let zero = || WordCounts { all: vec![0; distinct], starts: vec![0; distinct] };
    let add = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    words
        .par_chunks(chunk)
        .map(|words| {
            let mut counts = zero();
            for word in words {
                counts.all[word.id().index()] += 1;
                counts.starts[word.id().index()] += u64::from(word.may_start());
            }
            counts
        })
        .reduce(zero, |mut a, b| {
            add(&mut a.all, &b.all);
            add(&mut a.starts, &b.starts);
            a
        })
}

/// Cuts n-grams into ranges of at most `most` occurrences each. An n-gram with more is a range of
/// its own.
fn ranges(weights: &[u64], most: u64) -> Vec<Range<Gram>> {
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, &weight) in weights.iter().enumerate() {
        if sum > 0 && sum + weight > most {
            ranges.push(Gram(start as u32)..Gram(at as u32));
            (start, sum) = (at, 0);
        }
        sum += weight;
    }
    if sum > 0 {
        ranges.push(Gram(start as u32)..Gram(weights.len() as u32));
    }
    ranges
}

/// Counts keys. Its memory grows with the number of distinct keys only.
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

    #[inline]
    fn push(&mut self, key: Key) {
        if self.keys.len() == self.max_keys {
            self.compact();
        }
        self.keys.push(key);
    }

    /// Merges `keys` into `counted`.
    fn compact(&mut self) {
        self.keys.sort_unstable();
        let mut old = std::mem::take(&mut self.counted).into_iter().peekable();
        for run in self.keys.chunk_by(|a, b| a == b) {
            while let Some(before) = old.next_if(|counted| counted.key < run[0]) {
                self.counted.push(before);
            }
            let same = old.next_if(|counted| counted.key == run[0]).map_or(0, |counted| counted.count);
            self.counted.push(Counted { key: run[0], count: same + run.len() as u64 });
        }
        self.counted.extend(old);
        self.keys.clear();
    }

    /// The keys that occurred `min_support` times or more, sorted.
    fn finish(mut self, min_support: u64) -> Vec<Counted> {
        self.compact();
        self.counted.retain(|counted| counted.count >= min_support);
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
            max_keys in 1usize..64,
        ) {
            let mut words = words;
            words.last_mut().into_iter().for_each(Word::end_segment);
            let candidates = count_in(&words, 6, min_support, max_words, max_keys).unwrap();
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

    /// More places than 31 bits can number. Takes some minutes.
    #[test]
    #[ignore = "needs 18 GB of memory"]
    fn more_places_than_31_bits_are_counted_exactly() {
        const PLACES: usize = (1 << 31) + 12_345;
        const LONGEST: usize = 6;
        let mut draws = schemas::Draws::new(0, "test", b"");
        let mut words = Vec::with_capacity(PLACES);
        // The last words as one number, two bits each.
        let mut code = 0;
        let mut wanted = vec![0u64; 1 << (2 * LONGEST)];
        while words.len() < PLACES {
            let mut bits = draws.next_u64();
            for _ in 0..32.min(PLACES - words.len()) {
                // Of four words the first is the most frequent.
                let word = (bits & 3).min(bits >> 2 & 3) as usize;
                bits = bits.rotate_right(2);
                code = (code << 2 | word) & (wanted.len() - 1);
                words.push(Word::new(WordId::from_index(word), Pruning::Free));
                wanted[code] += u64::from(words.len() >= LONGEST);
            }
        }
        words[PLACES - 1].end_segment();
        let candidates = count_candidates(&words, 4, 10, LONGEST).unwrap();
        for (length, nodes) in candidates.by_length().enumerate() {
            let sum: u64 = candidates.counts()[nodes].iter().sum();
            assert_eq!(sum, (PLACES - length) as u64);
        }
        assert!(candidates.counts()[0] > 1 << 29);
        for (code, &wanted) in wanted.iter().enumerate() {
            let of: Vec<WordId> = (0..LONGEST).rev().map(|i| WordId::from_index(code >> (2 * i) & 3)).collect();
            let found = candidates.find(&of).map_or(0, |node| candidates.count(node));
            assert_eq!(found, wanted, "{of:?}");
        }
    }
}
