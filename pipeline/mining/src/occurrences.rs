//! Sums over the occurrences of candidates, from which features are computed (section D of the
//! specification).
use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::{
    error::SpillError,
    ids::{NodeId, WordId},
    parallel,
    passages::{Passage, PassageBuffer, Passages},
    tokens::{Annotation, Word},
    trie::{PREFETCH_DISTANCE, Trie},
    word_properties::WordProperties,
};

/// Finds occurrences of trie nodes in a segment.
pub(crate) trait FindOccurrences: Sync {
    /// Buffers that are kept between segments; one per thread.
    type Workspace: Default;

    /// Calls back with each occurrence: its words and its node.
    fn find(
        &self,
        passage: &Passage<'_>,
        segment: Range<usize>,
        workspace: &mut Self::Workspace,
        on_occurrence: impl FnMut(Range<usize>, NodeId),
    );
}

/// Finds all occurrences of candidates and of frequent words that part-of-speech pruning allows.
pub(crate) struct AllOccurrences<'a> {
    pub(crate) trie: &'a Trie<'a>,
}

impl FindOccurrences for AllOccurrences<'_> {
    /// The nodes that start at a word, from the longest.
    type Workspace = Vec<NodeId>;

    fn find(
        &self,
        Passage { words, longest, .. }: &Passage<'_>,
        segment: Range<usize>,
        nodes: &mut Self::Workspace,
        mut on_occurrence: impl FnMut(Range<usize>, NodeId),
    ) {
        let Self { trie } = self;
        for start in segment {
            if let Some(&ahead) = longest.get(start + PREFETCH_DISTANCE) {
                trie.prefetch(ahead);
            }
            let first = words[start];
            if !first.may_start() || !trie.candidates().starts_candidates(first.id()) {
                continue;
            }
            nodes.clear();
            nodes.extend(trie.prefixes(longest[start]));
            for (length, &node) in (1..).zip(nodes.iter().rev()) {
                if !trie.is_candidate(node) || (length > 1 && !words[start + length - 1].may_extend()) {
                    break;
                }
                on_occurrence(start..start + length, node);
            }
        }
    }
}

/// Sums over the occurrences of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeSums {
    /// All occurrences.
    pub(crate) count: u64,
    // Occurrences with a property.
    pub(crate) quoted: u64,
    pub(crate) dashed: u64,
    pub(crate) bracketed: u64,
    pub(crate) capitalised: u64,
    pub(crate) capitals: u64,
    /// Further uses of the words nearby, weighted by idf, in units of 1 / [`IDF_SCALE`].
    outside: u64,
}

/// Fractions are summed as integers, so that the order does not matter.
const IDF_SCALE: f64 = 65536.0;

impl NodeSums {
    /// Sum of the further uses of the node's words nearby, weighted by idf.
    pub(crate) fn outside(&self) -> f64 {
        self.outside as f64 / IDF_SCALE
    }
}

/// A field of [`NodeSums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sum {
    Count,
    Quoted,
    Dashed,
    Bracketed,
    Capitalised,
    Capitals,
    Outside,
}

/// The lower halves of the sums of a node: half a cache line, since most nodes are not in the cache.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(crate) struct LowSums {
    low: [AtomicU32; 7],
    /// 1 if one of them has an upper half.
    has_high: AtomicU32,
}

/// The sums of all candidates.
pub(crate) struct OccurrenceSums {
    nodes: Vec<LowSums>,
    /// The upper halves that are not 0. Few sums reach 2³².
    high: Mutex<HashMap<(NodeId, Sum), u64>>,
}

impl OccurrenceSums {
    /// Sums over the occurrences of the first `nodes` nodes.
    pub(crate) fn collect(
        passages: &Passages<'_>,
        properties: &WordProperties,
        nodes: usize,
        finder: &impl FindOccurrences,
    ) -> Result<Self, SpillError> {
        let sums = Self { nodes: (0..nodes).map(|_| LowSums::default()).collect(), high: Mutex::default() };
        let scaled_idf: Vec<u64> =
            properties.idfs().iter().map(|idf| (idf.max(0.0) * IDF_SCALE).round() as u64).collect();
        let chunks = passages.tokens().chunks_of_documents();
        let state = || (PassageBuffer::default(), Default::default(), Window::new(scaled_idf.len()));
        parallel::for_each(
            chunks.len(),
            state,
            |(buffer, workspace, window), number| {
                let passage = passages.read(chunks[number].clone(), buffer)?;
                each_segment(&passage, window, |segment, window| {
                    finder.find(&passage, segment, workspace, |place, node| {
                        if node.index() < nodes {
                            let (words, annotations) = (&passage.words[place.clone()], &passage.annotations[place]);
                            sums.add_occurrence(node, words, annotations, window, &scaled_idf);
                        }
                    });
                });
                Ok(())
            },
            |_| Ok(()),
        )?;
        Ok(sums)
    }

    #[inline]
    fn add(&self, node: NodeId, sum: Sum, amount: u64) {
        let LowSums { low, has_high } = &self.nodes[node.index()];
        let before = low[sum as usize].fetch_add(amount as u32, Relaxed);
        let high = (amount >> 32) + u64::from(before.checked_add(amount as u32).is_none());
        if high > 0 {
            has_high.store(1, Relaxed);
            *self.high.lock().unwrap_or_else(PoisonError::into_inner).entry((node, sum)).or_default() += high;
        }
    }

    /// Adds an occurrence of these words.
    #[inline]
    fn add_occurrence(
        &self,
        node: NodeId,
        words: &[Word],
        annotations: &[Annotation],
        window: &Window,
        scaled_idf: &[u64],
    ) {
        let ([first, ..], [inner @ .., last]) = (annotations, annotations) else { return };
        self.add(node, Sum::Count, 1);
        if first.has(Annotation::QUOTE_BEFORE) && last.has(Annotation::QUOTE_AFTER) {
            self.add(node, Sum::Quoted, 1);
        }
        if first.has(Annotation::BRACKET_BEFORE) && last.has(Annotation::BRACKET_AFTER) {
            self.add(node, Sum::Bracketed, 1);
        }
        if first.has(Annotation::CAPITALISED) {
            if annotations.iter().all(|a| a.has(Annotation::CAPITALISED)) {
                self.add(node, Sum::Capitalised, 1);
            }
            if annotations.iter().all(|a| a.has(Annotation::CAPITALS)) {
                self.add(node, Sum::Capitals, 1);
            }
        }
        if words.len() > 1 {
            if inner.iter().any(|a| a.has(Annotation::DASH_AFTER)) {
                self.add(node, Sum::Dashed, 1);
            }
            let further_uses = |word: &Word| -> u64 {
                let near = window.count(word.id());
                if near == 1 {
                    return 0;
                }
                let own = words.iter().filter(|w| w.id() == word.id()).count() as u32;
                u64::from(near - own) * scaled_idf[word.id().index()]
            };
            let outside: u64 = words.iter().map(further_uses).sum();
            if outside > 0 {
                self.add(node, Sum::Outside, outside);
            }
        }
    }

    /// The sums of a node.
    pub(crate) fn of(&self, node: NodeId) -> NodeSums {
        let LowSums { low, has_high } = &self.nodes[node.index()];
        let high = (has_high.load(Relaxed) > 0).then(|| self.high.lock().unwrap_or_else(PoisonError::into_inner));
        let sum = |sum: Sum| -> u64 {
            let high = high.as_ref().and_then(|high| high.get(&(node, sum))).copied().unwrap_or(0);
            high << 32 | u64::from(low[sum as usize].load(Relaxed))
        };
        NodeSums {
            count: sum(Sum::Count),
            quoted: sum(Sum::Quoted),
            dashed: sum(Sum::Dashed),
            bracketed: sum(Sum::Bracketed),
            capitalised: sum(Sum::Capitalised),
            capitals: sum(Sum::Capitals),
            outside: sum(Sum::Outside),
        }
    }

    /// The number of occurrences of each node.
    pub(crate) fn counts(&self) -> Vec<u64> {
        (0..self.nodes.len()).map(|node| self.of(NodeId::from_index(node)).count).collect()
    }
}

/// How often each word occurs in some segments.
struct Window {
    counts: Vec<u32>,
}

impl Window {
    fn new(distinct_words: usize) -> Self {
        Self { counts: vec![0; distinct_words] }
    }

    fn enter(&mut self, segment: &[Word]) {
        segment.iter().for_each(|word| self.counts[word.id().index()] += 1);
    }

    fn leave(&mut self, segment: &[Word]) {
        segment.iter().for_each(|word| self.counts[word.id().index()] -= 1);
    }

    #[inline]
    fn count(&self, word: WordId) -> u32 {
        self.counts[word.index()]
    }
}

/// Calls back with each segment of some documents. The window then holds the segment, the one
/// before and the one after, if they are of the same document. It is empty before and after the
/// call.
fn each_segment(passage: &Passage<'_>, window: &mut Window, mut each: impl FnMut(Range<usize>, &Window)) {
    let words = |segment: &Range<usize>| &passage.words[segment.clone()];
    let ends_document = |segment: &Range<usize>| passage.annotations[segment.end - 1].has(Annotation::ENDS_DOCUMENT);
    let mut segments = passage.segments().peekable();
    let mut before: Option<Range<usize>> = None;
    while let Some(segment) = segments.next() {
        if before.is_none() {
            // The first segment of a document. Later ones have entered as the one after.
            window.enter(words(&segment));
        }
        let last = ends_document(&segment);
        if let (Some(after), false) = (segments.peek(), last) {
            window.enter(words(after));
        }
        each(segment.clone(), window);
        if let Some(before) = before.take() {
            window.leave(words(&before));
        }
        if last {
            window.leave(words(&segment));
        } else {
            before = Some(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        lists::StopWords,
        testing::{annotations_of, candidates_of, random_text, words_of},
    };

    /// The sums of one node in the order of the fields, by looking at each occurrence alone.
    fn sums_by_definition(
        passage: &Passage<'_>,
        properties: &WordProperties,
        words: &[WordId],
        starts: &[usize],
    ) -> [f64; 7] {
        let segments: Vec<Range<usize>> = passage.segments().collect();
        let ends_document = |s: &Range<usize>| passage.annotations[s.end - 1].has(Annotation::ENDS_DOCUMENT);
        let mut sums = [0.0; 7];
        for &start in starts {
            let annotations = &passage.annotations[start..start + words.len()];
            let (first, last) = (annotations[0], annotations[words.len() - 1]);
            let mut add = |at: usize, holds: bool| sums[at] += f64::from(u8::from(holds));
            add(0, true);
            add(1, first.has(Annotation::QUOTE_BEFORE) && last.has(Annotation::QUOTE_AFTER));
            add(2, annotations[..words.len() - 1].iter().any(|a| a.has(Annotation::DASH_AFTER)));
            add(3, first.has(Annotation::BRACKET_BEFORE) && last.has(Annotation::BRACKET_AFTER));
            add(4, annotations.iter().all(|a| a.has(Annotation::CAPITALISED)));
            add(5, annotations.iter().all(|a| a.has(Annotation::CAPITALS)));
            let here = segments.iter().position(|s| s.contains(&start)).unwrap();
            let mut window = segments[here].clone();
            if here > 0 && !ends_document(&segments[here - 1]) {
                window.start = segments[here - 1].start;
            }
            if here + 1 < segments.len() && !ends_document(&segments[here]) {
                window.end = segments[here + 1].end;
            }
            if words.len() > 1 {
                for word in words {
                    let near = passage.words[window.clone()].iter().filter(|w| w.id() == *word).count();
                    let own = words.iter().filter(|w| *w == word).count();
                    sums[6] += (near - own) as f64 * properties.idf(*word);
                }
            }
        }
        sums
    }

    proptest! {
        #[test]
        fn sums_are_those_of_all_occurrences(tokens in random_text(150)) {
            let properties = WordProperties::new(&tokens, &StopWords::new(["a"]));
            let candidates = candidates_of(&tokens, 2, 4);
            let trie = Trie::new(&candidates, std::iter::empty()).unwrap();
            let passages = Passages::new(&tokens, trie.longest_nodes(&tokens).unwrap());
            let finder = AllOccurrences { trie: &trie };
            let sums = OccurrenceSums::collect(&passages, &properties, candidates.len(), &finder).unwrap();
            let (text, annotations) = (words_of(&tokens), annotations_of(&tokens));
            let passage = Passage { words: &text, annotations: &annotations, longest: &[] };
            // Where each candidate starts, by the rule for one place.
            let mut starts_of: HashMap<NodeId, Vec<usize>> = HashMap::new();
            let starts = |word: Word| word.may_start() && candidates.starts_candidates(word.id());
            let extends = |word: Word| word.may_extend() && candidates.starts_candidates(word.id());
            for start in (0..tokens.len()).filter(|&at| starts(text[at])) {
                let mut words = Vec::new();
                for at in start..tokens.len().min(start + 4) {
                    if at > start && (text[at - 1].ends_segment() || !extends(text[at])) {
                        break;
                    }
                    words.push(text[at].id());
                    let Some(node) = candidates.find(&words) else { break };
                    starts_of.entry(node).or_default().push(start);
                }
            }
            let mut words = Vec::new();
            for node in (0..candidates.len()).map(NodeId::from_index) {
                candidates.words_of(node, &mut words);
                let none = Vec::new();
                let wanted =
                    sums_by_definition(&passage, &properties, &words, starts_of.get(&node).unwrap_or(&none));
                let sums = sums.of(node);
                let exact = [sums.count, sums.quoted, sums.dashed, sums.bracketed, sums.capitalised, sums.capitals];
                for (sum, wanted) in exact.iter().zip(wanted) {
                    prop_assert_eq!(*sum as f64, wanted);
                }
                prop_assert!((sums.outside() - wanted[6]).abs() < 1e-2, "{} {}", sums.outside(), wanted[6]);
                if words.len() > 1 {
                    prop_assert_eq!(sums.count, candidates.count(node));
                }
            }
        }
    }

    #[test]
    fn sums_have_64_bits() {
        let sums = OccurrenceSums { nodes: vec![LowSums::default(), LowSums::default()], high: Mutex::default() };
        let node = NodeId::from_index(1);
        let amounts = [1, u64::from(u32::MAX), 1 << 32, (7 << 32) + 5, u64::from(u32::MAX), 3];
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        amounts.iter().for_each(|&amount| sums.add(node, Sum::Outside, amount));
                        sums.add(node, Sum::Count, 1);
                    }
                });
            }
        });
        let wanted = NodeSums { count: 2000, outside: 2000 * amounts.iter().sum::<u64>(), ..NodeSums::default() };
        assert_eq!(sums.of(node), wanted);
        assert_eq!(sums.of(NodeId::from_index(0)), NodeSums::default());
    }
}
