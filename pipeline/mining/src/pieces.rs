//! What pieces of a segment cost (section F of the specification).
//!
//! A piece scores by how often it occurs among pieces of its length, and by its quality. Between
//! two words inside a piece their tags must belong together, and at its end they must not.
use ebert_prefetch::prefetch;

use crate::{ids::NodeId, smoothing, tokens::TAGS, trie::Trie};

/// A trie node as a piece, with all that segmentation reads of it, since most nodes are not in the
/// cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(crate) struct Piece {
    /// Its log score; negative infinity for a node that is not a piece.
    pub(crate) score: f64,
    /// The node without its last word; [`NodeId::NONE`] for a word.
    pub(crate) parent: NodeId,
    /// Its number of words.
    pub(crate) words: u32,
}

/// All trie nodes as pieces.
pub(crate) struct Pieces(Vec<Piece>);

impl Pieces {
    /// Scores nodes by how often each candidate is a piece, and by its quality.
    pub(crate) fn new(trie: &Trie<'_>, counts: &[u64], quality: &[f64]) -> Self {
        let mut pieces: Vec<Piece> = Vec::with_capacity(trie.len());
        for node in (0..trie.len()).map(NodeId::from_index) {
            let parent = trie.parent(node);
            let words = parent.map_or(1, |parent| pieces[parent.index()].words + 1);
            pieces.push(Piece { score: f64::NEG_INFINITY, parent: parent.unwrap_or(NodeId::NONE), words });
        }
        let mut largest_share: f64 = 0.0;
        for (nodes, length) in trie.candidates().by_length().zip(1..) {
            let total: u64 = counts[nodes.clone()].iter().sum();
            // A single word is always a piece, so that every segment can be cut.
            for node in nodes.filter(|&node| length == 1 || counts[node] > 0) {
                let share = counts[node] as f64 / total.max(1) as f64;
                largest_share = largest_share.max(share);
                pieces[node].score = smoothing::ln(share) + smoothing::ln(quality[node]);
            }
        }
        // A listed phrase that is not a candidate counts as the most frequent one, of quality 1.
        for node in trie.listed() {
            let score = &mut pieces[node.index()].score;
            if *score == f64::NEG_INFINITY {
                *score = smoothing::ln(largest_share);
            }
        }
        Self(pieces)
    }

    #[inline]
    pub(crate) fn get(&self, node: NodeId) -> &Piece {
        &self.0[node.index()]
    }

    /// Prefetches a piece. Does nothing for [`NodeId::NONE`].
    #[inline]
    pub(crate) fn prefetch(&self, node: NodeId) {
        if let Some(piece) = self.0.get(node.index()) {
            prefetch(piece);
        }
    }
}

/// δ in the specification: how likely two neighbors are in one piece, by their
/// [pair of tags](crate::passages::Passage::tag_pair).
pub(crate) struct Transitions(Vec<f64>);

impl Transitions {
    pub(crate) fn uniform(probability: f64) -> Self {
        Self(vec![probability; TAGS * TAGS])
    }

    /// Estimates probabilities by how often neighbors are in one piece. Pairs that do not occur
    /// keep theirs.
    pub(crate) fn update(&mut self, joined: &[u64], neighbors: &[u64]) {
        for ((transition, &joined), &all) in self.0.iter_mut().zip(joined).zip(neighbors) {
            if all > 0 {
                *transition = joined as f64 / all as f64;
            }
        }
    }
}

/// The logarithms that segmentation adds up.
pub(crate) struct Costs<'p> {
    pub(crate) pieces: &'p Pieces,
    /// Of two neighbors in one piece, by tag pair.
    pub(crate) inside: Vec<f64>,
    /// Of a piece that ends between them.
    pub(crate) end: Vec<f64>,
}

impl<'p> Costs<'p> {
    pub(crate) fn new(pieces: &'p Pieces, transitions: &Transitions) -> Self {
        Self {
            pieces,
            inside: transitions.0.iter().map(|&t| smoothing::ln(t)).collect(),
            end: transitions.0.iter().map(|&t| smoothing::ln(1.0 - t)).collect(),
        }
    }
}
