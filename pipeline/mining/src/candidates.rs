//! Candidates: the word sequences that occur often enough (section B of the algorithm).
//!
//! Level by level: an occurrence of a frequent n-gram is extended by its right neighbour, and those (n+1)-grams stay that occur
//! often enough. One number is kept for each place of the text, the n-gram that starts there; an (n+1)-gram is that number and the
//! next word, in one 64-bit key. Keys are sorted and counted for a range of n-grams at a time, so that memory for them is bounded.
use std::ops::Range;

use rayon::prelude::*;

use super::tokens::Word;
use ebert_prefetch::prefetch;

/// No candidate.
pub const NONE: u32 = u32::MAX;

/// The candidates as a trie. Words are the nodes 0 to the number of types; longer ones follow, by length, then by what they extend,
/// then by their last word. So the extensions of a node lie in a row.
#[derive(Debug, Default)]
pub struct Candidates {
    types: u32,
    /// For each node the first of its extensions; one more than there are nodes.
    first_child: Vec<u32>,
    /// Of each longer candidate.
    last: Vec<u32>,
    parent: Vec<u32>,
    suffix: Vec<u32>,
    /// First node of each length from 1, and the number of nodes.
    lengths: Vec<u32>,
    /// Occurrences of each node: of a word all, of a longer candidate those that its tags allow.
    pub counts: Vec<u64>,
    /// Occurrences of each word whose tag allows it to start a candidate.
    pub starts: Vec<u64>,
    min_support: u64,
}

/// Keys of a range that are held at a time, at least: 8 MiB.
const LEAST_KEYS: usize = 1 << 20;

impl Candidates {
    /// Counts the word sequences of at most `longest` words that occur `min_support` times or more.
    pub fn count(words: &[Word], types: usize, min_support: u64, longest: usize) -> Self {
        // The text is gone through once for each range, so ranges are large: all threads together hold keys for an eighth of the words.
        let keys = words.len() / (8 * rayon::current_num_threads());
        Self::count_in(words, types, min_support, longest, keys.max(LEAST_KEYS))
    }

    fn count_in(words: &[Word], types: usize, min_support: u64, longest: usize, most_keys: usize) -> Self {
        let (counts, starts) = count_words(words, types);
        let frequent: Vec<bool> = starts.iter().map(|&n| n >= min_support).collect();
        let mut candidates = Self {
            types: types as u32,
            lengths: vec![0, types as u32],
            counts,
            starts,
            min_support,
            ..Self::default()
        };
        // The n-gram that starts at each place, by its number among those of its length.
        let mut grams: Vec<u32> = words
            .par_iter()
            .map(|word| if word.may_start() && frequent[word.kind() as usize] { word.kind() } else { NONE })
            .collect();
        let mut weights: Vec<u64> = candidates.starts.iter().map(|&n| if n >= min_support { n } else { 0 }).collect();
        for length in 1..longest {
            let next = |place: usize| -> Option<u32> {
                let word = *words.get(place + length)?;
                let joined = !words[place + length - 1].ends_segment();
                (joined && word.may_extend() && frequent[word.kind() as usize]).then_some(word.kind())
            };
            let found: Vec<Vec<(u64, u64)>> = ranges(&weights, most_keys as u64)
                .into_par_iter()
                .map(|range| {
                    let mut keys = Keys::new(most_keys);
                    for (place, &gram) in grams.iter().enumerate() {
                        if range.contains(&gram)
                            && let Some(word) = next(place)
                        {
                            keys.push(u64::from(gram) << 32 | u64::from(word));
                        }
                    }
                    keys.finish(min_support)
                })
                .collect();
            let found: Vec<(u64, u64)> = found.into_iter().flatten().collect();
            candidates.add_level(&found, weights.len());
            if found.is_empty() {
                break;
            }
            // Ranges are in order and keys sorted, so a key's place is the number of its n-gram.
            let mut first_of: Vec<u32> = vec![0; weights.len() + 1];
            found.iter().for_each(|(key, _)| first_of[(key >> 32) as usize + 1] += 1);
            (1..first_of.len()).for_each(|i| first_of[i] += first_of[i - 1]);
            grams.par_iter_mut().enumerate().for_each(|(place, gram)| {
                if *gram == NONE {
                    return;
                }
                let first = first_of[*gram as usize];
                let extensions = &found[first as usize..first_of[*gram as usize + 1] as usize];
                *gram = next(place)
                    .filter(|_| !extensions.is_empty())
                    .and_then(|word| extensions.binary_search_by_key(&word, |(key, _)| *key as u32).ok())
                    .map_or(NONE, |at| first + at as u32);
            });
            weights = found.into_iter().map(|(_, n)| n).collect();
        }
        candidates.finish();
        candidates
    }

    /// Adds the candidates of the next length: keys of (number among those of the last length, word), sorted, with their counts.
    fn add_level(&mut self, found: &[(u64, u64)], last_level: usize) {
        let end = self.lengths[self.lengths.len() - 1];
        let start = end - last_level as u32;
        assert!(u64::from(end) + (found.len() as u64) < u64::from(NONE), "more candidates than fit their number");
        self.lengths.push(end + found.len() as u32);
        for &(key, count) in found {
            self.parent.push(start + (key >> 32) as u32);
            self.last.push(key as u32);
            self.counts.push(count);
        }
    }

    /// Finds where the extensions of each node begin, and each candidate's suffix.
    fn finish(&mut self) {
        if let [.., before, end] = self.lengths[..]
            && before == end
            && self.lengths.len() > 2
        {
            self.lengths.pop();
        }
        let nodes = self.len();
        self.first_child = vec![0; nodes + 1];
        for &parent in &self.parent {
            self.first_child[parent as usize + 1] += 1;
        }
        self.first_child[0] = self.types;
        for node in 0..nodes {
            self.first_child[node + 1] += self.first_child[node];
        }
        for at in 0..self.last.len() {
            let (parent, last) = (self.parent[at], self.last[at]);
            let suffix = match parent.checked_sub(self.types) {
                None => Some(last),
                Some(longer) => self.child(self.suffix[longer as usize], last),
            };
            // Where a candidate occurs, so does all of it but the first word.
            debug_assert!(suffix.is_some());
            self.suffix.push(suffix.unwrap_or(last));
        }
    }

    /// How many nodes there are, words included.
    pub fn len(&self) -> usize {
        self.lengths.last().map_or(0, |n| *n as usize)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many words there are: the first nodes.
    pub fn types(&self) -> usize {
        self.types as usize
    }

    /// The candidates of several words.
    pub fn longer(&self) -> Range<u32> {
        self.types..self.len() as u32
    }

    /// The nodes by length: those of one word, of two words, and so on.
    pub fn by_length(&self) -> impl Iterator<Item = Range<u32>> {
        self.lengths.windows(2).map(|ends| ends[0]..ends[1])
    }

    /// Whether a word occurs often enough to be a phrase by itself.
    pub fn is_frequent_word(&self, word: u32) -> bool {
        self.counts[word as usize] >= self.min_support
    }

    /// Whether places of a word are looked at: where its tags allow it to start a candidate, often enough.
    pub fn starts_candidates(&self, word: u32) -> bool {
        self.starts[word as usize] >= self.min_support
    }

    /// The candidate that is `node` and one more word.
    #[inline]
    pub fn child(&self, node: u32, word: u32) -> Option<u32> {
        let (first, end) = (self.first_child[node as usize], self.first_child[node as usize + 1]);
        let words = &self.last[(first - self.types) as usize..(end - self.types) as usize];
        words.binary_search(&word).ok().map(|at| first + at as u32)
    }

    /// The candidates that are `node` and one more word, with that word.
    pub fn children(&self, node: u32) -> impl Iterator<Item = (u32, u32)> {
        let children = self.first_child[node as usize]..self.first_child[node as usize + 1];
        children.map(|child| (self.last[(child - self.types) as usize], child))
    }

    /// Has what [`Self::parent`] of a node looks at on its way from memory.
    #[inline]
    pub fn prefetch(&self, node: u32) {
        if let Some(parent) = node.checked_sub(self.types).and_then(|at| self.parent.get(at as usize)) {
            prefetch(parent);
        }
    }

    /// The candidate without its last word; `None` for a word.
    #[inline]
    pub fn parent(&self, node: u32) -> Option<u32> {
        node.checked_sub(self.types).map(|at| self.parent[at as usize])
    }

    /// The candidate without its first word; `None` for a word.
    pub fn suffix(&self, node: u32) -> Option<u32> {
        node.checked_sub(self.types).map(|at| self.suffix[at as usize])
    }

    /// The last word of a node.
    pub fn last(&self, node: u32) -> u32 {
        node.checked_sub(self.types).map_or(node, |at| self.last[at as usize])
    }

    /// The words of a node.
    pub fn words(&self, node: u32, into: &mut Vec<u32>) {
        into.clear();
        let mut at = Some(node);
        while let Some(node) = at {
            into.push(self.last(node));
            at = self.parent(node);
        }
        into.reverse();
    }

    /// The node of these words.
    pub fn find(&self, words: &[u32]) -> Option<u32> {
        let (&first, rest) = words.split_first()?;
        rest.iter().try_fold(first, |node, &word| self.child(node, word))
    }
}

/// Counts all occurrences of each word, and those that may start a candidate.
fn count_words(words: &[Word], types: usize) -> (Vec<u64>, Vec<u64>) {
    // Each worker has tables of its own, so a few of them must do.
    let chunk = words.len().div_ceil(rayon::current_num_threads().min(8)).max(1);
    let none = || (vec![0u64; types], vec![0u64; types]);
    words
        .par_chunks(chunk)
        .map(|words| {
            let (mut all, mut starts) = none();
            for word in words {
                all[word.kind() as usize] += 1;
                starts[word.kind() as usize] += u64::from(word.may_start());
            }
            (all, starts)
        })
        .reduce(none, |mut a, b| {
            a.0.iter_mut().zip(b.0).for_each(|(a, b)| *a += b);
            a.1.iter_mut().zip(b.1).for_each(|(a, b)| *a += b);
            a
        })
}

/// Cuts numbers into ranges of at most this weight together; one that is heavier is alone.
fn ranges(weights: &[u64], most: u64) -> Vec<Range<u32>> {
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, &weight) in weights.iter().enumerate() {
        if sum > 0 && sum + weight > most {
            ranges.push(start as u32..at as u32);
            (start, sum) = (at, 0);
        }
        sum += weight;
    }
    if sum > 0 {
        ranges.push(start as u32..weights.len() as u32);
    }
    ranges
}

/// Counts keys in room that grows with the distinct keys, not with their number.
struct Keys {
    keys: Vec<u64>,
    most: usize,
    /// Sorted keys with their counts so far.
    counted: Vec<(u64, u64)>,
}

impl Keys {
    fn new(most: usize) -> Self {
        Self { keys: Vec::new(), most, counted: Vec::new() }
    }

    #[inline]
    fn push(&mut self, key: u64) {
        if self.keys.len() == self.most {
            self.compact();
        }
        self.keys.push(key);
    }

    fn compact(&mut self) {
        self.keys.sort_unstable();
        let mut old = std::mem::take(&mut self.counted).into_iter().peekable();
        for run in self.keys.chunk_by(|a, b| a == b) {
            while let Some(before) = old.next_if(|(key, _)| *key < run[0]) {
                self.counted.push(before);
            }
            let same = old.next_if(|(key, _)| *key == run[0]).map_or(0, |(_, n)| n);
            self.counted.push((run[0], same + run.len() as u64));
        }
        self.counted.extend(old);
        self.keys.clear();
    }

    fn finish(mut self, least: u64) -> Vec<(u64, u64)> {
        self.compact();
        self.counted.retain(|(_, n)| *n >= least);
        self.counted.shrink_to_fit();
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tokens::Pruning;

    /// All candidates by a map over word sequences.
    fn oracle(words: &[Word], min_support: u64, longest: usize) -> BTreeMap<Vec<u32>, u64> {
        let mut starts: BTreeMap<u32, u64> = BTreeMap::new();
        words.iter().filter(|w| w.may_start()).for_each(|w| *starts.entry(w.kind()).or_default() += 1);
        let frequent = |word: &Word| starts.get(&word.kind()).is_some_and(|n| *n >= min_support);
        let mut counts: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
        for start in 0..words.len() {
            if !words[start].may_start() || !frequent(&words[start]) {
                continue;
            }
            for end in start + 2..=(start + longest).min(words.len()) {
                let (before, word) = (words[end - 2], words[end - 1]);
                if before.ends_segment() || !word.may_extend() || !frequent(&word) {
                    break;
                }
                *counts.entry(words[start..end].iter().map(|w| w.kind()).collect()).or_default() += 1;
            }
        }
        counts.retain(|_, n| *n >= min_support);
        counts
    }

    fn a_word() -> impl Strategy<Value = Word> {
        (0u32..6, 0u8..12, prop::bool::weighted(0.1)).prop_map(|(kind, pruning, ends)| {
            let pruning = match pruning {
                0 => Pruning::Outside,
                1 => Pruning::NoExtension,
                _ => Pruning::Free,
            };
            let mut word = Word::new(kind, pruning);
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
            longest in 1usize..7,
            most_keys in 1usize..64,
        ) {
            let mut words = words;
            words.last_mut().into_iter().for_each(Word::end_segment);
            let candidates = Candidates::count_in(&words, 6, min_support, longest, most_keys);
            let mut found = BTreeMap::new();
            let mut of = Vec::new();
            for node in candidates.longer() {
                candidates.words(node, &mut of);
                prop_assert_eq!(candidates.find(&of), Some(node));
                prop_assert_eq!(candidates.suffix(node), candidates.find(&of[1..]));
                found.insert(of.clone(), candidates.counts[node as usize]);
            }
            prop_assert_eq!(found, oracle(&words, min_support, longest));
            for word in 0..6 {
                let all = words.iter().filter(|w| w.kind() == word).count() as u64;
                prop_assert_eq!(candidates.counts[word as usize], all);
            }
        }
    }

    /// More places than 31 bits can number: 17 GB of memory and some minutes, so it is run by name.
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
                words.push(Word::new(word as u32, Pruning::Free));
                wanted[code] += u64::from(words.len() >= LONGEST);
            }
        }
        words[PLACES - 1].end_segment();
        let candidates = Candidates::count(&words, 4, 10, LONGEST);
        for (length, nodes) in candidates.by_length().enumerate() {
            let sum: u64 = nodes.map(|node| candidates.counts[node as usize]).sum();
            assert_eq!(sum, (PLACES - length) as u64);
        }
        assert!(candidates.counts[0] > 1 << 29);
        for (code, &wanted) in wanted.iter().enumerate() {
            let of: Vec<u32> = (0..LONGEST).rev().map(|i| (code >> (2 * i) & 3) as u32).collect();
            let found = candidates.find(&of).map_or(0, |node| candidates.counts[node as usize]);
            assert_eq!(found, wanted, "{of:?}");
        }
    }
}
