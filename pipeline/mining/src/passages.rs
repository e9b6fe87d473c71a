//! Parts of the text that are in memory while a thread works on them.
use std::ops::Range;

use crate::{
    error::SpillError,
    ids::NodeId,
    spill::SpillArray,
    tokens::{Annotation, TAGS, Tokens, Word},
};

/// A text, with the longest trie node that starts at each of its words.
pub(crate) struct Passages<'t> {
    tokens: &'t Tokens,
    longest: SpillArray<NodeId>,
}

/// What [`Passages::read`] needs if a part is not in memory. Each thread has its own.
#[derive(Default)]
pub(crate) struct PassageBuffer {
    words: Vec<Word>,
    annotations: Vec<Annotation>,
    longest: Vec<NodeId>,
}

/// Some segments in a row. Places are counted from its first word.
#[derive(Clone, Copy)]
pub(crate) struct Passage<'a> {
    pub(crate) words: &'a [Word],
    pub(crate) annotations: &'a [Annotation],
    /// The longest node that starts at each word.
    pub(crate) longest: &'a [NodeId],
}

impl<'t> Passages<'t> {
    pub(crate) fn new(tokens: &'t Tokens, longest: SpillArray<NodeId>) -> Self {
        Self { tokens, longest }
    }

    pub(crate) fn tokens(&self) -> &'t Tokens {
        self.tokens
    }

    /// Reads a part of the text, which starts and ends at segment boundaries.
    pub(crate) fn read<'a>(
        &'a self,
        part: Range<usize>,
        buffer: &'a mut PassageBuffer,
    ) -> Result<Passage<'a>, SpillError> {
        Ok(Passage {
            words: self.tokens.words(part.clone(), &mut buffer.words)?,
            annotations: self.tokens.annotations(part.clone(), &mut buffer.annotations)?,
            longest: self.longest.read(part, &mut buffer.longest)?,
        })
    }
}

impl Passage<'_> {
    /// The words of each segment.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let length = self.words[start..].iter().position(|word| word.ends_segment())?;
            let segment = start..start + length + 1;
            start = segment.end;
            Some(segment)
        })
    }

    /// The tags of the word at a place and of the next word, as an index below `TAGS * TAGS`.
    #[inline]
    pub(crate) fn tag_pair(&self, place: usize) -> usize {
        self.annotations[place].tag() * TAGS + self.annotations[place + 1].tag()
    }
}
