//! Candidates as a trie.
use std::ops::Range;

use ebert_prefetch::prefetch;

use crate::{
    error::MineError,
    ids::{NodeId, WordId},
    vocabulary::WordCounts,
};

/// The candidates as a trie.
///
/// Words are the first nodes, by their number. Longer candidates follow, by length, then by the
/// candidate that they extend, then by their last word. So the children of a node are neighbors,
/// and the trie needs no pointers to them: 16 bytes per candidate without its count.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The number of distinct words.
    words: usize,
    /// For each node the first of its children, and the number of nodes. While levels are added: for each node of the
    /// levels but the last, and the number of nodes.
    first_child: Vec<u32>,
    // Of each longer candidate: its last word, the candidate without it, the candidate without the
    // first word.
    last_word: Vec<WordId>,
    parent: Vec<NodeId>,
    suffix: Vec<NodeId>,
    /// The first node of each length from 1, and the number of nodes.
    lengths: Vec<usize>,
    /// Occurrences of each node. Words: all of them; longer candidates: those that part-of-speech
    /// pruning allows.
    counts: Vec<u64>,
    /// Whether each word occurs often enough where its tag allows it to start a candidate.
    starts: Vec<bool>,
    min_support: u64,
}

/// A candidate of the next length.
pub(crate) struct Extension {
    pub(crate) parent: NodeId,
    pub(crate) word: WordId,
    pub(crate) count: u64,
}

impl Candidates {
    /// Single words with their counts.
    pub(crate) fn of_words(counts: &[WordCounts], min_support: u64) -> Self {
        Self {
            words: counts.len(),
            lengths: vec![0, counts.len()],
            first_child: vec![counts.len() as u32],
            counts: counts.iter().map(|counts| counts.all).collect(),
            starts: counts.iter().map(|counts| counts.starts >= min_support).collect(),
            min_support,
            ..Self::default()
        }
    }

    /// Adds the candidates of the next length, sorted by parent and word.
    pub(crate) fn add_level(&mut self, extensions: impl Iterator<Item = Extension> + Clone) -> Result<(), MineError> {
        let nodes = self.len() + extensions.clone().count();
        NodeId::try_from_index(nodes.saturating_sub(1))?;
        let more = nodes - self.len();
        self.parent.reserve_exact(more);
        self.last_word.reserve_exact(more);
        self.counts.reserve_exact(more);
        let parents = self.last_level();
        self.first_child.truncate(parents.start);
        self.first_child.reserve_exact(parents.len() + 1);
        for Extension { parent, word, count } in extensions {
            // The first child of each parent up to this one.
            while self.first_child.len() <= parent.index() {
                self.first_child.push(self.counts.len() as u32);
            }
            self.parent.push(parent);
            self.last_word.push(word);
            self.counts.push(count);
        }
        self.first_child.resize(parents.end + 1, nodes as u32);
        self.lengths.push(nodes);
        Ok(())
    }

    /// Finds the suffix of each node, when all levels have been added.
    pub(crate) fn link(&mut self) {
        let nodes = self.len();
        // The longest have no children.
        self.first_child.resize(nodes + 1, nodes as u32);
        self.suffix.reserve_exact(self.last_word.len());
        for at in 0..self.last_word.len() {
            let (parent, last) = (self.parent[at], self.last_word[at]);
            let suffix = match parent.index().checked_sub(self.words) {
                None => Some(last.into()),
                Some(longer) => self.child(self.suffix[longer], last),
            };
            // A candidate's suffix occurs wherever the candidate does, so it is a candidate.
            debug_assert!(suffix.is_some());
            self.suffix.push(suffix.unwrap_or(last.into()));
        }
    }

    /// The number of nodes, words included.
    pub(crate) fn len(&self) -> usize {
        self.lengths.last().map_or(0, |n| *n)
    }

    /// The number of distinct words, which are the first nodes.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Occurrences of all nodes.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub(crate) fn count(&self, node: NodeId) -> u64 {
        self.counts[node.index()]
    }

    /// Indices of the candidates of several words.
    pub(crate) fn longer(&self) -> Range<usize> {
        self.words..self.len()
    }

    /// Indices of the nodes of one word, of two words, and so on.
    pub(crate) fn by_length(&self) -> impl Iterator<Item = Range<usize>> {
        self.lengths.windows(2).map(|ends| ends[0]..ends[1])
    }

    /// Indices of the longest nodes that were added.
    pub(crate) fn last_level(&self) -> Range<usize> {
        self.by_length().last().unwrap_or(0..0)
    }

    /// Whether a word occurs often enough to be a phrase.
    pub(crate) fn is_frequent_word(&self, word: WordId) -> bool {
        self.counts[word.index()] >= self.min_support
    }

    /// Whether a word occurs often enough where its tag allows it to start a candidate.
    pub(crate) fn starts_candidates(&self, word: WordId) -> bool {
        self.starts[word.index()]
    }

    fn children_range(&self, node: NodeId) -> Range<usize> {
        self.first_child[node.index()] as usize..self.first_child[node.index() + 1] as usize
    }

    #[inline]
    pub(crate) fn child(&self, node: NodeId, word: WordId) -> Option<NodeId> {
        let Range { start, end } = self.children_range(node);
        let words = &self.last_word[start - self.words..end - self.words];
        words.binary_search(&word).ok().map(|at| NodeId::from_index(start + at))
    }

    /// The children of a node, each with its last word.
    pub(crate) fn children(&self, node: NodeId) -> impl Iterator<Item = (WordId, NodeId)> {
        self.children_range(node).map(|child| (self.last_word[child - self.words], NodeId::from_index(child)))
    }

    /// Prefetches what [`Self::child`] reads first.
    #[inline]
    pub(crate) fn prefetch_children(&self, node: NodeId) {
        if let Some(first) = self.first_child.get(node.index()) {
            prefetch(first);
        }
    }

    /// Prefetches what [`Self::child`] reads next.
    #[inline]
    pub(crate) fn prefetch_words_of_children(&self, node: NodeId) {
        let first = self.first_child.get(node.index()).and_then(|&first| (first as usize).checked_sub(self.words));
        if let Some(word) = first.and_then(|first| self.last_word.get(first)) {
            prefetch(word);
        }
    }

    /// Prefetches what [`Self::parent`] reads.
    #[inline]
    pub(crate) fn prefetch(&self, node: NodeId) {
        if let Some(parent) = node.index().checked_sub(self.words).and_then(|at| self.parent.get(at)) {
            prefetch(parent);
        }
    }

    /// The candidate without its last word. `None` for a word.
    #[inline]
    pub(crate) fn parent(&self, node: NodeId) -> Option<NodeId> {
        node.index().checked_sub(self.words).map(|at| self.parent[at])
    }

    /// The candidate without its first word. `None` for a word.
    pub(crate) fn suffix(&self, node: NodeId) -> Option<NodeId> {
        node.index().checked_sub(self.words).map(|at| self.suffix[at])
    }

    fn last_word(&self, node: NodeId) -> WordId {
        node.index().checked_sub(self.words).map_or_else(|| WordId::from_index(node.index()), |at| self.last_word[at])
    }

    /// Writes the words of a node to `into`.
    pub(crate) fn words_of(&self, node: NodeId, into: &mut Vec<WordId>) {
        into.clear();
        let mut at = Some(node);
        while let Some(node) = at {
            into.push(self.last_word(node));
            at = self.parent(node);
        }
        into.reverse();
    }

    pub(crate) fn find(&self, words: &[WordId]) -> Option<NodeId> {
        let (&first, rest) = words.split_first()?;
        rest.iter().try_fold(first.into(), |node, &word| self.child(node, word))
    }
}
