//! The trie of all pieces: the candidates, and listed phrases that are not candidates (section F of
//! the specification).
use hashbrown::HashMap;

use crate::{
    candidates::Candidates,
    edges::Edges,
    error::{MineError, SpillError},
    ids::{NodeId, WordId},
    spill::SpillArray,
    tokens::{Tokens, Word},
};

/// The candidates, and the phrases of the quality list that consist of words of the text but are
/// not candidates. The nodes of such phrases follow those of the candidates.
pub(crate) struct Trie<'c> {
    candidates: &'c Candidates,
    /// The nodes that are not candidates, by parent and last word.
    extra: HashMap<(NodeId, WordId), NodeId>,
    /// Their parents, in order.
    extra_parents: Vec<NodeId>,
    /// Whether a node has such children.
    has_extra: Vec<bool>,
    /// The nodes of listed phrases, in the order of the list.
    listed: Vec<NodeId>,
}

/// Listed phrases of more words are ignored.
const MAX_LISTED_WORDS: usize = 16;
/// Occurrences that go down the trie together, so that their edges are prefetched together.
const LANES: usize = 64;
/// How many words ahead of use a node is prefetched.
pub(crate) const PREFETCH_DISTANCE: usize = 12;

impl<'c> Trie<'c> {
    /// A trie of the candidates and of the listed phrases of two words or more.
    pub(crate) fn new<'w>(
        candidates: &'c Candidates,
        listed: impl Iterator<Item = &'w [WordId]>,
    ) -> Result<Self, MineError> {
        let mut trie = Self {
            candidates,
            extra: HashMap::new(),
            extra_parents: Vec::new(),
            has_extra: vec![false; candidates.len()],
            listed: Vec::new(),
        };
        for phrase in listed.filter(|p| (2..=MAX_LISTED_WORDS).contains(&p.len())) {
            let mut node = phrase[0].into();
            for &word in &phrase[1..] {
                node = match trie.child(node, word) {
                    Some(child) => child,
                    None => trie.add(node, word)?,
                };
            }
            trie.listed.push(node);
        }
        Ok(trie)
    }

    fn add(&mut self, parent: NodeId, word: WordId) -> Result<NodeId, MineError> {
        let child = NodeId::try_from_index(self.len())?;
        self.extra.insert((parent, word), child);
        self.extra_parents.push(parent);
        self.has_extra[parent.index()] = true;
        self.has_extra.push(false);
        Ok(child)
    }

    pub(crate) fn child(&self, node: NodeId, word: WordId) -> Option<NodeId> {
        let candidate = if self.is_candidate(node) { self.candidates.child(node, word) } else { None };
        candidate.or_else(|| self.has_extra[node.index()].then(|| self.extra.get(&(node, word)).copied()).flatten())
    }

    /// The node without its last word. `None` for a word.
    #[inline]
    pub(crate) fn parent(&self, node: NodeId) -> Option<NodeId> {
        match node.index().checked_sub(self.candidates.len()) {
            None => self.candidates.parent(node),
            Some(extra) => Some(self.extra_parents[extra]),
        }
    }

    #[inline]
    pub(crate) fn is_candidate(&self, node: NodeId) -> bool {
        node.index() < self.candidates.len()
    }

    pub(crate) fn candidates(&self) -> &'c Candidates {
        self.candidates
    }

    pub(crate) fn listed(&self) -> &[NodeId] {
        &self.listed
    }

    /// The number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.has_extra.len()
    }

    /// A node, its parent, and so on, up to a word.
    #[inline]
    pub(crate) fn prefixes(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(node), |&node| self.parent(node))
    }

    /// Prefetches what [`Self::prefixes`] of a candidate reads first.
    #[inline]
    pub(crate) fn prefetch(&self, node: NodeId) {
        self.candidates.prefetch(node);
    }

    /// The longest node that starts at each word of the text, within its segment. All nodes that
    /// start there are its prefixes.
    pub(crate) fn longest_nodes(&self, tokens: &Tokens) -> Result<SpillArray<NodeId>, SpillError> {
        let edges = self.edges();
        SpillArray::by_chunk(tokens.memory(), &tokens.chunks_of_segments(), Vec::new, |buffer, chunk, longest| {
            let words = tokens.words(chunk, buffer)?;
            for (start, longest) in (0..).step_by(LANES).zip(longest.chunks_mut(LANES)) {
                walk_down(&edges, words, start, longest);
            }
            Ok(())
        })
    }

    fn edges(&self) -> Edges {
        let candidates = self.candidates;
        let mut edges = Edges::with_capacity(self.len() - candidates.words());
        for node in (0..candidates.len()).map(NodeId::from_index) {
            for (word, child) in candidates.children(node) {
                edges.insert(node, word, child);
            }
        }
        for (&(node, word), &child) in &self.extra {
            edges.insert(node, word, child);
        }
        edges
    }
}

/// Finds the longest node that starts at each word from `start` on.
fn walk_down(edges: &Edges, words: &[Word], start: usize, longest: &mut [NodeId]) {
    longest.iter_mut().zip(&words[start..]).for_each(|(node, word)| *node = word.id().into());
    // The lanes that have not yet ended, in the first `count` entries.
    let mut active = [0; LANES];
    let mut count = longest.len();
    (0..count).for_each(|lane| active[lane] = lane);
    for depth in 0.. {
        let next = |lane: usize| words[start + lane + depth + 1].id();
        let mut within_segment = 0;
        for i in 0..count {
            let lane = active[i];
            if !words[start + lane + depth].ends_segment() {
                edges.prefetch(longest[lane], next(lane));
                active[within_segment] = lane;
                within_segment += 1;
            }
        }
        count = 0;
        for i in 0..within_segment {
            let lane = active[i];
            if let Some(child) = edges.find(longest[lane], next(lane)) {
                longest[lane] = child;
                active[count] = lane;
                count += 1;
            }
        }
        if count == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{candidates_of, random_text, words_of};

    proptest! {
        #[test]
        fn the_longest_node_is_where_a_walk_ends(tokens in random_text(300)) {
            let candidates = candidates_of(&tokens, 2, 5);
            let listed: [&[u32]; 3] = [&[0, 1, 2, 0], &[3, 3], &[1, 0]];
            let listed = listed.map(|phrase| phrase.iter().map(|&id| WordId::new(id)).collect::<Vec<_>>());
            let trie = Trie::new(&candidates, listed.iter().map(Vec::as_slice)).unwrap();
            let (words, longest) = (words_of(&tokens), trie.longest_nodes(&tokens).unwrap());
            let longest = longest.read(0..words.len(), &mut Vec::new()).unwrap().to_vec();
            for (place, longest) in longest.into_iter().enumerate() {
                let within = words[place..].iter().position(|word| word.ends_segment()).unwrap();
                let mut node = words[place].id().into();
                for word in &words[place + 1..=place + within] {
                    let Some(child) = trie.child(node, word.id()) else { break };
                    node = child;
                }
                prop_assert_eq!(longest, node);
            }
        }
    }
}
