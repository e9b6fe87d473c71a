//! Numbers of words and of trie nodes: 4 bytes each, since arrays have one per word of the text.
use crate::{error::MineError, spill::Item};

/// The number of a distinct word, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct WordId(u32);

impl WordId {
    /// Numbers are below this. `Word` needs the three upper bits for flags.
    pub(crate) const LIMIT: u32 = 1 << 29;

    pub(crate) const fn new(number: u32) -> Self {
        debug_assert!(number < Self::LIMIT);
        Self(number)
    }

    /// The word at an index of an array with one entry per distinct word.
    pub(crate) fn from_index(index: usize) -> Self {
        Self::new(index as u32)
    }

    /// Like [`Self::from_index`], for an index that may be too large.
    pub(crate) fn try_from_index(index: usize) -> Result<Self, MineError> {
        if index < Self::LIMIT as usize { Ok(Self(index as u32)) } else { Err(MineError::TooManyWords) }
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a node of the candidate trie, counted from 0. The first nodes are the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// Marks the absence of a node.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn from_index(index: usize) -> Self {
        debug_assert!(index < Self::NONE.index());
        Self(index as u32)
    }

    /// Like [`Self::from_index`], for an index that may be too large.
    pub(crate) fn try_from_index(index: usize) -> Result<Self, MineError> {
        if index < Self::NONE.index() { Ok(Self(index as u32)) } else { Err(MineError::TooManyCandidates) }
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Item for NodeId {
    type Number = u32;

    fn number(self) -> u32 {
        self.0
    }

    fn of_number(number: u32) -> Self {
        Self(number)
    }
}

impl From<WordId> for NodeId {
    fn from(word: WordId) -> Self {
        Self(word.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_errors() {
        assert_eq!(WordId::try_from_index((1 << 29) - 1).unwrap().index(), (1 << 29) - 1);
        assert!(matches!(WordId::try_from_index(1 << 29), Err(MineError::TooManyWords)));
        assert_eq!(NodeId::try_from_index((1 << 32) - 2).unwrap().index(), (1 << 32) - 2);
        assert!(matches!(NodeId::try_from_index((1 << 32) - 1), Err(MineError::TooManyCandidates)));
    }
}
