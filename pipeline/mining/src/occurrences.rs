//! Sums over the occurrences of candidates, from which features are computed (section D of the
//! specification).
use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::prelude::*;

use crate::{
    ids::{NodeId, WordId},
    tokens::{Annotation, Tokens, Word},
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
        segment: Range<usize>,
        workspace: &mut Self::Workspace,
        on_occurrence: impl FnMut(Range<usize>, NodeId),
    );
}

/// Finds all occurrences of candidates and of frequent words that part-of-speech pruning allows.
pub(crate) struct AllOccurrences<'a> {
    pub(crate) tokens: &'a Tokens,
    pub(crate) trie: &'a Trie<'a>,
    /// The longest node that starts at each word.
    pub(crate) longest: &'a [NodeId],
}

impl FindOccurrences for AllOccurrences<'_> {
    /// The nodes that start at a word, from the longest.
    type Workspace = Vec<NodeId>;

    fn find(
        &self,
        segment: Range<usize>,
        nodes: &mut Self::Workspace,
        mut on_occurrence: impl FnMut(Range<usize>, NodeId),
    ) {
        let Self { tokens, trie, longest } = self;
        for start in segment {
            if let Some(&ahead) = longest.get(start + PREFETCH_DISTANCE) {
                trie.prefetch(ahead);
            }
            let first = tokens.words[start];
            if !first.may_start() || !trie.candidates().starts_candidates(first.id()) {
                continue;
            }
            nodes.clear();
            nodes.extend(trie.prefixes(longest[start]));
            for (length, &node) in (1..).zip(nodes.iter().rev()) {
                if !trie.is_candidate(node) || (length > 1 && !tokens.words[start + length - 1].may_extend()) {
                    break;
                }
                on_occurrence(start..start + length, node);
            }
        }
    }
}

/// Sums over the occurrences of a node: one cache line, since most nodes are not in the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct NodeSums<N = u64> {
    /// All occurrences.
    pub(crate) count: N,
    // Occurrences with a property.
    pub(crate) quoted: N,
    pub(crate) dashed: N,
    pub(crate) bracketed: N,
    pub(crate) capitalised: N,
    pub(crate) capitals: N,
    /// Further uses of the words nearby, weighted by idf, in units of 1 / [`IDF_SCALE`].
    outside: N,
}

/// Fractions are summed as integers, so that the order does not matter.
const IDF_SCALE: f64 = 65536.0;

impl NodeSums {
    /// Sum of the further uses of the node's words nearby, weighted by idf.
    pub(crate) fn outside(&self) -> f64 {
        self.outside as f64 / IDF_SCALE
    }
}

impl NodeSums<AtomicU64> {
    fn into_inner(self) -> NodeSums {
        NodeSums {
            count: self.count.into_inner(),
            quoted: self.quoted.into_inner(),
            dashed: self.dashed.into_inner(),
            bracketed: self.bracketed.into_inner(),
            capitalised: self.capitalised.into_inner(),
            capitals: self.capitals.into_inner(),
            outside: self.outside.into_inner(),
        }
    }
}

/// The sums of all candidates.
pub(crate) struct OccurrenceSums(Vec<NodeSums>);

impl OccurrenceSums {
    /// Sums over the occurrences of the first `nodes` nodes.
    pub(crate) fn collect(
        tokens: &Tokens,
        properties: &WordProperties,
        nodes: usize,
        finder: &impl FindOccurrences,
    ) -> Self {
        let sums: Vec<NodeSums<AtomicU64>> = (0..nodes).map(|_| NodeSums::default()).collect();
        let scaled_idf: Vec<u64> =
            properties.idfs().iter().map(|idf| (idf.max(0.0) * IDF_SCALE).round() as u64).collect();
        let workspace = || (Default::default(), Window::new(tokens.vocabulary.len()));
        tokens.chunks_of_documents().par_iter().for_each_init(workspace, |(workspace, window), chunk| {
            each_segment(tokens, chunk.clone(), window, |segment, window| {
                finder.find(segment, workspace, |place, node| {
                    if let Some(sums) = sums.get(node.index()) {
                        add(sums, &tokens.words[place.clone()], &tokens.annotations[place], window, &scaled_idf);
                    }
                });
            });
        });
        Self(sums.into_iter().map(NodeSums::into_inner).collect())
    }

    pub(crate) fn of(&self, node: NodeId) -> &NodeSums {
        &self.0[node.index()]
    }

    /// The number of occurrences of each node.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.0.iter().map(|sums| sums.count).collect()
    }
}

/// Adds an occurrence of these words.
#[inline]
fn add(sums: &NodeSums<AtomicU64>, words: &[Word], annotations: &[Annotation], window: &Window, scaled_idf: &[u64]) {
    let ([first, ..], [inner @ .., last]) = (annotations, annotations) else { return };
    sums.count.fetch_add(1, Relaxed);
    if first.has(Annotation::QUOTE_BEFORE) && last.has(Annotation::QUOTE_AFTER) {
        sums.quoted.fetch_add(1, Relaxed);
    }
    if first.has(Annotation::BRACKET_BEFORE) && last.has(Annotation::BRACKET_AFTER) {
        sums.bracketed.fetch_add(1, Relaxed);
    }
    if first.has(Annotation::CAPITALISED) {
        if annotations.iter().all(|a| a.has(Annotation::CAPITALISED)) {
            sums.capitalised.fetch_add(1, Relaxed);
        }
        if annotations.iter().all(|a| a.has(Annotation::CAPITALS)) {
            sums.capitals.fetch_add(1, Relaxed);
        }
    }
    if words.len() > 1 {
        if inner.iter().any(|a| a.has(Annotation::DASH_AFTER)) {
            sums.dashed.fetch_add(1, Relaxed);
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
            sums.outside.fetch_add(outside, Relaxed);
        }
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
fn each_segment(
    tokens: &Tokens,
    documents: Range<usize>,
    window: &mut Window,
    mut each: impl FnMut(Range<usize>, &Window),
) {
    let words = |segment: &Range<usize>| &tokens.words[segment.clone()];
    let ends_document = |segment: &Range<usize>| tokens.annotations[segment.end - 1].has(Annotation::ENDS_DOCUMENT);
    let mut segments = tokens.segments(documents).peekable();
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
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{count::count_candidates, lists::StopWords, testing::random_text};

    /// The sums of one node in the order of the fields, by looking at each occurrence alone.
    fn sums_by_definition(
        tokens: &Tokens,
        properties: &WordProperties,
        words: &[WordId],
        starts: &[usize],
    ) -> [f64; 7] {
        let segments: Vec<Range<usize>> = tokens.segments(0..tokens.len()).collect();
        let ends_document = |s: &Range<usize>| tokens.annotations[s.end - 1].has(Annotation::ENDS_DOCUMENT);
        let mut sums = [0.0; 7];
        for &start in starts {
            let annotations = &tokens.annotations[start..start + words.len()];
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
                    let near = tokens.words[window.clone()].iter().filter(|w| w.id() == *word).count();
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
            let candidates = count_candidates(&tokens.words, tokens.vocabulary.len(), 2, 4).unwrap();
            let trie = Trie::new(&candidates, std::iter::empty()).unwrap();
            let longest = trie.longest_nodes(&tokens);
            let finder = AllOccurrences { tokens: &tokens, trie: &trie, longest: &longest };
            let sums = OccurrenceSums::collect(&tokens, &properties, candidates.len(), &finder);
            // Where each candidate starts, by the rule for one place.
            let mut starts_of: HashMap<NodeId, Vec<usize>> = HashMap::new();
            let starts = |word: Word| word.may_start() && candidates.starts_candidates(word.id());
            let extends = |word: Word| word.may_extend() && candidates.starts_candidates(word.id());
            for start in (0..tokens.len()).filter(|&at| starts(tokens.words[at])) {
                let mut words = Vec::new();
                for at in start..tokens.len().min(start + 4) {
                    if at > start && (tokens.words[at - 1].ends_segment() || !extends(tokens.words[at])) {
                        break;
                    }
                    words.push(tokens.words[at].id());
                    let Some(node) = candidates.find(&words) else { break };
                    starts_of.entry(node).or_default().push(start);
                }
            }
            let mut words = Vec::new();
            for node in (0..candidates.len()).map(NodeId::from_index) {
                candidates.words_of(node, &mut words);
                let none = Vec::new();
                let wanted =
                    sums_by_definition(&tokens, &properties, &words, starts_of.get(&node).unwrap_or(&none));
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
}
