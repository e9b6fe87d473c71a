//! A text as arrays: one entry per word.
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::{error::MineError, ids::WordId, vocabulary::Vocabulary};

/// An occurrence of a word: its number, and what candidates may do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(u32);

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

/// A text as arrays, with one entry per word: 6 bytes.
///
/// [`Tokens::from_documents`] reads one on the calling thread. For several threads, give each a
/// [`Reader`](crate::Reader) and [append](Tokens::append) their batches in the order of the
/// documents.
#[derive(Debug, Default)]
pub struct Tokens {
    pub(crate) words: Vec<Word>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) documents: u64,
}

impl Tokens {
    /// The number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Appends the documents of a batch.
    ///
    /// # Errors
    /// [`MineError::TooManyWords`] above 2²⁹ distinct words. The batch is not appended then.
    pub fn append(&mut self, batch: &Batch) -> Result<(), MineError> {
        let ids = batch.spans.iter().map(|span| self.vocabulary.intern(&batch.text[span.clone()]));
        let ids: Vec<WordId> = ids.collect::<Result<_, _>>()?;
        grow(&mut self.words, batch.words.len());
        grow(&mut self.annotations, batch.annotations.len());
        let first = self.words.len();
        self.words.extend(batch.words.iter().map(|word| word.with_id(ids[word.id().index()])));
        self.annotations.extend_from_slice(&batch.annotations);
        let mut document = self.documents + 1;
        self.vocabulary.count_documents(self.words[first..].iter().zip(&batch.annotations).map(
            |(word, annotation)| {
                let of = document;
                document += u64::from(annotation.has(Annotation::ENDS_DOCUMENT));
                (word.id(), of)
            },
        ));
        self.documents += batch.documents;
        Ok(())
    }

    /// Frees memory that is needed only to append.
    pub fn shrink_to_fit(&mut self) {
        self.vocabulary.shrink_to_fit();
        self.words.shrink_to_fit();
        self.annotations.shrink_to_fit();
    }

    /// Words that occur more often before `'t` than as words, such as `don`. Where text is split at
    /// apostrophes, as by BERT's tokenizers, most occurrences of such a word are a part of `don't`.
    pub(crate) fn contraction_stems(&self) -> HashSet<WordId> {
        let mut counts = vec![0u64; self.vocabulary.len()];
        self.words.iter().for_each(|word| counts[word.id().index()] += 1);
        let mut in_contractions: HashMap<&str, u64> = HashMap::new();
        for word in self.vocabulary.words() {
            let text = self.vocabulary.text(word);
            if let Some(stem) = text.strip_suffix("'t").or_else(|| text.strip_suffix("\u{2019}t")) {
                *in_contractions.entry(stem).or_default() += counts[word.index()];
            }
        }
        let is_stem =
            |word: &WordId| in_contractions.get(self.vocabulary.text(*word)).is_some_and(|n| *n > counts[word.index()]);
        self.vocabulary.words().filter(is_stem).collect()
    }

    /// The segments of a range of words. The range starts and ends at segment boundaries.
    pub(crate) fn segments(&self, within: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = within.start;
        std::iter::from_fn(move || {
            let length = self.words[start..within.end].iter().position(|word| word.ends_segment())?;
            let segment = start..start + length + 1;
            start = segment.end;
            Some(segment)
        })
    }

    /// The text in chunks of whole segments, one per task of a worker.
    pub(crate) fn chunks_of_segments(&self) -> Vec<Range<usize>> {
        chunks(self.len(), |place| self.words[place].ends_segment())
    }

    /// The text in chunks of whole documents, one per task of a worker.
    pub(crate) fn chunks_of_documents(&self) -> Vec<Range<usize>> {
        chunks(self.len(), |place| self.annotations[place].has(Annotation::ENDS_DOCUMENT))
    }

    /// The tags of the word at a place and of the next word, as an index below `TAGS * TAGS`.
    #[inline]
    pub(crate) fn tag_pair(&self, place: usize) -> usize {
        self.annotations[place].tag() * TAGS + self.annotations[place + 1].tag()
    }
}

/// Words of a chunk, at least. Chunks do not depend on the number of threads, so neither do sums
/// over them.
const CHUNK: usize = 1 << 18;

/// Ranges of about [`CHUNK`] words that end where `ends` is true.
fn chunks(words: usize, ends: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < words {
        let mut last = (start + CHUNK).min(words) - 1;
        while last + 1 < words && !ends(last) {
            last += 1;
        }
        chunks.push(start..last + 1);
        start = last + 1;
    }
    chunks
}

/// Grows by an eighth: these are the largest arrays, and doubling would need half as much memory
/// again.
fn grow<T>(array: &mut Vec<T>, more: usize) {
    if array.capacity() - array.len() < more {
        array.reserve_exact(more.max(array.len() / 8));
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
    pub(crate) documents: u64,
}
