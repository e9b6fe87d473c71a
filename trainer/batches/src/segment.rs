//! Segments as they are trained on, and many of them in memory.
use schemas::{DocumentId, PhraseSpan, SegmentName, TextId, TokenRange};

/// One segment of a document, whatever the width of its ids in the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment<'a> {
    /// The document.
    pub document: DocumentId,
    /// The id of the document's whole text.
    pub text_id: TextId,
    /// Number within the document, from 0.
    pub segment: u32,
    /// The tokenizer's ids, no special tokens.
    pub input_ids: &'a [u32],
    /// The tokens that start a word, in order. The first token does.
    pub word_starts: &'a [u16],
    /// Every occurrence of a pool phrase, overlaps included, sorted by start, then length.
    pub phrases: &'a [PhraseSpan],
    /// Noun phrases, not overlapping, sorted.
    pub noun_phrases: &'a [TokenRange],
}

/// Segments in flat arrays.
#[derive(Debug, Default)]
pub(crate) struct SegmentBlock {
    names: Vec<SegmentName>,
    ids: Flat<u32>,
    word_starts: Flat<u16>,
    phrases: Flat<PhraseSpan>,
    nouns: Flat<TokenRange>,
}

impl SegmentBlock {
    pub(crate) fn push(&mut self, segment: &Segment<'_>) {
        let &Segment { document, text_id, segment: number, .. } = segment;
        self.names.push(SegmentName { document, text_id, segment: number });
        self.ids.push(segment.input_ids);
        self.word_starts.push(segment.word_starts);
        self.phrases.push(segment.phrases);
        self.nouns.push(segment.noun_phrases);
    }

    pub(crate) fn get(&self, row: usize) -> Segment<'_> {
        let SegmentName { document, text_id, segment } = self.names[row];
        Segment {
            document,
            text_id,
            segment,
            input_ids: self.ids.get(row),
            word_starts: self.word_starts.get(row),
            phrases: self.phrases.get(row),
            noun_phrases: self.nouns.get(row),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

/// Lists one after another.
#[derive(Debug)]
pub(crate) struct Flat<T> {
    values: Vec<T>,
    ends: Vec<usize>,
}

impl<T> Default for Flat<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Flat<T> {
    pub(crate) fn push(&mut self, list: &[T]) {
        self.values.extend_from_slice(list);
        self.ends.push(self.values.len());
    }

    pub(crate) fn get(&self, list: usize) -> &[T] {
        let start = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.values[start..self.ends[list]]
    }
}
