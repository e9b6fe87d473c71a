//! A text as arrays: one entry per word.
mod stored;

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::{
    error::{MineError, SpillError},
    ids::WordId,
    spill::{Item, Memory, SpillArray},
    vocabulary::{Vocabulary, WordCounts},
};

/// An occurrence of a word: its number, and what candidates may do here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(u32);

impl Item for Word {
    type Number = u32;

    fn number(self) -> u32 {
        self.0
    }

    fn of_number(number: u32) -> Self {
        Self(number)
    }
}

impl Word {
    const ENDS_SEGMENT: u32 = 1 << 31;
    const NO_START: u32 = 1 << 30;
    const NO_EXTENSION: u32 = 1 << 29;
    const ID: u32 = WordId::LIMIT - 1;

    pub(crate) fn new(id: WordId, pruning: Pruning) -> Self {
        let flags = match pruning {
            Pruning::Free => 0,
            Pruning::StartOnly => Self::NO_EXTENSION,
            Pruning::Excluded => Self::NO_EXTENSION | Self::NO_START,
        };
        Self(id.number() | flags)
    }

    /// The same flags with another number.
    fn with_id(self, id: WordId) -> Self {
        Self(self.0 & !Self::ID | id.number())
    }

    #[inline]
    pub(crate) fn id(self) -> WordId {
        WordId::new(self.0 & Self::ID)
    }

    /// Whether a segment ends after it.
    #[inline]
    pub(crate) fn ends_segment(self) -> bool {
        self.0 & Self::ENDS_SEGMENT != 0
    }

    /// Whether a candidate may start here.
    #[inline]
    pub(crate) fn may_start(self) -> bool {
        self.0 & Self::NO_START == 0
    }

    /// Whether a candidate may be extended onto this word.
    #[inline]
    pub(crate) fn may_extend(self) -> bool {
        self.0 & Self::NO_EXTENSION == 0
    }

    pub(crate) fn end_segment(&mut self) {
        self.0 |= Self::ENDS_SEGMENT;
    }
}

/// Where in a candidate a word may stand, by its part of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pruning {
    Free,
    /// Determiners.
    StartOnly,
    /// Pronouns, forms of be, have and do, modals, wh-words.
    Excluded,
}

/// What is known of an occurrence of a word in addition to the word: its tag, its capitals, and the
/// punctuation next to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Annotation(u16);

impl Item for Annotation {
    type Number = u16;

    fn number(self) -> u16 {
        self.0
    }

    fn of_number(number: u16) -> Self {
        Self(number)
    }
}

impl Annotation {
    const TAG: u16 = TAGS as u16 - 1;
    /// Its first letter is a capital.
    pub(crate) const CAPITALISED: Self = Self(1 << 6);
    /// All of its letters are capitals.
    pub(crate) const CAPITALS: Self = Self(1 << 7);
    pub(crate) const DASH_AFTER: Self = Self(1 << 8);
    pub(crate) const QUOTE_BEFORE: Self = Self(1 << 9);
    pub(crate) const QUOTE_AFTER: Self = Self(1 << 10);
    pub(crate) const BRACKET_BEFORE: Self = Self(1 << 11);
    pub(crate) const BRACKET_AFTER: Self = Self(1 << 12);
    /// The document ends after it.
    pub(crate) const ENDS_DOCUMENT: Self = Self(1 << 13);

    /// Only a tag, by its number below [`TAGS`].
    pub(crate) fn of_tag(tag: u8) -> Self {
        debug_assert!(usize::from(tag) < TAGS);
        Self(u16::from(tag))
    }

    #[inline]
    pub(crate) fn tag(self) -> usize {
        usize::from(self.0 & Self::TAG)
    }

    /// Whether all flags of `other` are set.
    #[inline]
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The number of tags. A tag takes 6 bits of an [`Annotation`].
pub(crate) const TAGS: usize = 64;

/// A text as arrays, with one entry per word: 6 bytes, in [`Memory`] or in temporary files.
///
/// [`Tokens::from_documents`] reads one on the calling thread. For several threads, give each a
/// [`Reader`](crate::Reader) and [append](Tokens::append) their batches in the order of the
/// documents.
#[derive(Debug)]
pub struct Tokens {
    words: SpillArray<Word>,
    annotations: SpillArray<Annotation>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) documents: u64,
    of_segments: Chunks,
    of_documents: Chunks,
    /// A bit for each tag that occurs.
    tags: u64,
    memory: Memory,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new(Memory::default())
    }
}

impl Tokens {
    /// A text without words.
    pub fn new(memory: Memory) -> Self {
        Self::with_chunks(memory, CHUNK)
    }

    /// A text in chunks of at least `chunk` words.
    pub(crate) fn with_chunks(memory: Memory, chunk: usize) -> Self {
        Self {
            words: SpillArray::new(&memory),
            annotations: SpillArray::new(&memory),
            vocabulary: Vocabulary::default(),
            documents: 0,
            of_segments: Chunks::new(chunk),
            of_documents: Chunks::new(chunk),
            tags: 0,
            memory,
        }
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the documents of a batch.
    ///
    /// # Errors
    /// [`MineError::TooManyWords`] above 2²⁹ distinct words, and [`MineError::Spill`] if a temporary file cannot be
    /// written. The text is not to be used then.
    pub fn append(&mut self, batch: &Batch) -> Result<(), MineError> {
        let ids = batch.spans.iter().map(|span| self.vocabulary.intern(&batch.text[span.clone()]));
        let ids: Vec<WordId> = ids.collect::<Result<_, _>>()?;
        ids.iter().zip(&batch.counts).for_each(|(&word, counts)| self.vocabulary.add(word, counts));
        let first = self.len();
        let words: Vec<Word> = batch.words.iter().map(|word| word.with_id(ids[word.id().index()])).collect();
        self.words.append(&words)?;
        self.annotations.append(&batch.annotations)?;
        let ends_document = |annotation: &Annotation| annotation.has(Annotation::ENDS_DOCUMENT);
        self.of_segments.extend(first, &words, |word| word.ends_segment());
        self.of_documents.extend(first, &batch.annotations, ends_document);
        self.tags |= batch.tags;
        self.documents += batch.documents;
        Ok(())
    }

    /// Frees memory that is needed only to append.
    pub fn shrink_to_fit(&mut self) {
        self.words.shrink_to_fit();
        self.annotations.shrink_to_fit();
    }

    /// Words that occur more often before `'t` than as words, such as `don`. Where text is split at
    /// apostrophes, as by BERT's tokenizers, most occurrences of such a word are a part of `don't`.
    pub(crate) fn contraction_stems(&self) -> HashSet<WordId> {
        let vocabulary = &self.vocabulary;
        let mut in_contractions: HashMap<&str, u64> = HashMap::new();
        for word in vocabulary.words() {
            let text = vocabulary.text(word);
            if let Some(stem) = text.strip_suffix("'t").or_else(|| text.strip_suffix("\u{2019}t")) {
                *in_contractions.entry(stem).or_default() += vocabulary.counts(word).all;
            }
        }
        let is_stem = |word: &WordId| {
            in_contractions.get(vocabulary.text(*word)).is_some_and(|n| *n > vocabulary.counts(*word).all)
        };
        vocabulary.words().filter(is_stem).collect()
    }

    /// Some words. `buffer` holds those that are not in memory.
    pub(crate) fn words<'a>(
        &'a self,
        range: Range<usize>,
        buffer: &'a mut Vec<Word>,
    ) -> Result<&'a [Word], SpillError> {
        self.words.read(range, buffer)
    }

    /// The annotations of some words.
    pub(crate) fn annotations<'a>(
        &'a self,
        range: Range<usize>,
        buffer: &'a mut Vec<Annotation>,
    ) -> Result<&'a [Annotation], SpillError> {
        self.annotations.read(range, buffer)
    }

    /// The text in chunks of whole segments, one per task of a worker.
    pub(crate) fn chunks_of_segments(&self) -> Vec<Range<usize>> {
        self.of_segments.ranges(self.len())
    }

    /// The text in chunks of whole documents, one per task of a worker.
    pub(crate) fn chunks_of_documents(&self) -> Vec<Range<usize>> {
        self.of_documents.ranges(self.len())
    }

    /// The number of different tags.
    pub(crate) fn distinct_tags(&self) -> u32 {
        self.tags.count_ones()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// Words of a chunk, at least. Chunks do not depend on the number of threads, so neither do sums
/// over them.
const CHUNK: usize = 1 << 18;

/// Where the chunks of a text end that grows: at the first possible place after at least `least` words.
#[derive(Debug)]
struct Chunks {
    least: usize,
    ends: Vec<usize>,
}

impl Chunks {
    fn new(least: usize) -> Self {
        Self { least, ends: Vec::new() }
    }

    /// Adds the words from `first` on. A chunk may end after a word for which `ends` holds.
    fn extend<T>(&mut self, first: usize, words: &[T], ends: impl Fn(&T) -> bool) {
        loop {
            let start = self.ends.last().copied().unwrap_or(0);
            let shortest = (start + self.least - 1).saturating_sub(first);
            let Some(after) = words.get(shortest..).and_then(|words| words.iter().position(&ends)) else { return };
            self.ends.push(first + shortest + after + 1);
        }
    }

    /// The chunks of a text of this many words.
    fn ranges(&self, words: usize) -> Vec<Range<usize>> {
        let ends = self.ends.iter().copied();
        let starts = std::iter::once(0).chain(ends.clone());
        let ranges = starts.zip(ends.chain(std::iter::once(words))).map(|(start, end)| start..end);
        ranges.filter(|range| !range.is_empty()).collect()
    }
}

/// Some documents as arrays, with word numbers of their own. [`Tokens::append`] takes them.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) words: Vec<Word>,
    pub(crate) annotations: Vec<Annotation>,
    /// The distinct words in lower case, concatenated.
    pub(crate) text: String,
    /// Where each distinct word lies in `text`.
    pub(crate) spans: Vec<Range<usize>>,
    /// Of each distinct word.
    counts: Vec<WordCounts>,
    /// A bit for each tag that occurs.
    tags: u64,
    pub(crate) documents: u64,
}

impl Batch {
    /// Counts words and tags, when all documents have been added.
    pub(crate) fn count(&mut self) {
        self.counts = vec![WordCounts::default(); self.spans.len()];
        // The last document of each word, counted from 1.
        let mut last_document = vec![0u64; self.spans.len()];
        let mut document = 1;
        for (word, annotation) in self.words.iter().zip(&self.annotations) {
            let (counts, last) = (&mut self.counts[word.id().index()], &mut last_document[word.id().index()]);
            counts.all += 1;
            counts.starts += u64::from(word.may_start());
            counts.documents += u64::from(*last != document);
            *last = document;
            document += u64::from(annotation.has(Annotation::ENDS_DOCUMENT));
            self.tags |= 1 << annotation.tag();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_end_at_the_first_place_after_enough_words(
            ends in prop::collection::vec(prop::bool::weighted(0.2), 0..200),
            least in 1usize..20,
            batch in 1usize..30,
        ) {
            let mut chunks = Chunks::new(least);
            for (number, batch_of) in ends.chunks(batch).enumerate() {
                chunks.extend(number * batch, batch_of, |ends| *ends);
            }
            let mut wanted = Vec::new();
            let mut start = 0;
            for end in 1..=ends.len() {
                if end == ends.len() || (end - start >= least && ends[end - 1]) {
                    wanted.push(start..end);
                    start = end;
                }
            }
            prop_assert_eq!(chunks.ranges(ends.len()), wanted);
        }
    }
}
