//! A text in a file, so that one process reads it and another mines it.
//!
//! ```text
//! five numbers | distinct words | length and counts of each | words | annotations | checksum
//! ```
//!
//! The numbers are of documents, tags (a bit for each), distinct words, their bytes, and words. All numbers have their
//! lowest byte first. Words have numbers of this text, by their first occurrence.
use std::io::{self, Read, Write};

use xxhash_rust::xxh3::Xxh3;

use super::{Annotation, Tokens, Word};
use crate::{
    error::MineError,
    ids::WordId,
    spill::{Item, Number},
    vocabulary::WordCounts,
};

/// Items that are written or read at a time.
const BLOCK: usize = 1 << 14;

impl Tokens {
    /// Writes the text for [`Self::append_stored`]: 6 bytes per word, and its distinct words with 28 bytes each.
    ///
    /// # Errors
    /// [`MineError::Stored`] if `into` cannot be written, and [`MineError::Spill`] if a temporary file cannot be read.
    pub fn store(&self, into: &mut impl Write) -> Result<(), MineError> {
        let mut into = Checked { inner: into, sum: Xxh3::new() };
        let vocabulary = &self.vocabulary;
        let bytes: u64 = vocabulary.words().map(|word| vocabulary.text(word).len() as u64).sum();
        into.numbers(&[self.documents, self.tags, vocabulary.len() as u64, bytes, self.len() as u64])?;
        for word in vocabulary.words() {
            into.put(vocabulary.text(word).as_bytes())?;
        }
        for word in vocabulary.words() {
            let WordCounts { all, starts, documents } = *vocabulary.counts(word);
            into.put(&(vocabulary.text(word).len() as u32).to_le_bytes())?;
            into.numbers(&[all, starts, documents])?;
        }
        let (mut words, mut annotations, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let blocks = || (0..self.len()).step_by(BLOCK).map(|start| start..self.len().min(start + BLOCK));
        for block in blocks() {
            into.items(self.words(block, &mut words)?, &mut bytes)?;
        }
        for block in blocks() {
            into.items(self.annotations(block, &mut annotations)?, &mut bytes)?;
        }
        let Checked { inner, sum } = into;
        inner.write_all(&sum.digest().to_le_bytes()).map_err(MineError::Stored)
    }

    /// Appends the documents of a text that [`Self::store`] wrote. Appending the parts of a text in order gives the
    /// text: the same numbers of words, counts and chunks.
    ///
    /// # Errors
    /// [`MineError::Stored`] if `from` cannot be read or holds anything else, [`MineError::TooManyWords`] above 2²⁹
    /// distinct words, and [`MineError::Spill`] if a temporary file cannot be written. The text is not to be used then.
    pub fn append_stored(&mut self, from: &mut impl Read) -> Result<(), MineError> {
        let mut from = Checked { inner: from, sum: Xxh3::new() };
        let [documents, tags, distinct, bytes, count] = from.take_numbers()?;
        let text = from.take_text(bytes)?;
        let (mut ids, mut at) = (Vec::new(), 0);
        for _ in 0..distinct {
            let length = u32::from_le_bytes(from.take()?) as usize;
            let [all, starts, documents] = from.take_numbers()?;
            let word = text.get(at..at + length).ok_or_else(damaged)?;
            at += length;
            let id = self.vocabulary.intern(word)?;
            self.vocabulary.add(id, &WordCounts { all, starts, documents });
            ids.push(id);
        }
        let first = self.len();
        let count = usize::try_from(count).map_err(|_| damaged())?;
        let blocks = || (0..count).step_by(BLOCK).map(|start| (start, BLOCK.min(count - start)));
        for (start, length) in blocks() {
            let mut words: Vec<Word> = from.take_items(length)?;
            for word in &mut words {
                let id: WordId = *ids.get(word.id().index()).ok_or_else(damaged)?;
                *word = word.with_id(id);
            }
            self.words.append(&words)?;
            self.of_segments.extend(first + start, &words, |word| word.ends_segment());
        }
        for (start, length) in blocks() {
            let annotations: Vec<Annotation> = from.take_items(length)?;
            self.annotations.append(&annotations)?;
            let ends_document = |annotation: &Annotation| annotation.has(Annotation::ENDS_DOCUMENT);
            self.of_documents.extend(first + start, &annotations, ends_document);
        }
        self.documents += documents;
        self.tags |= tags;
        let wanted = from.sum.digest();
        if u64::from_le_bytes(from.take()?) == wanted { Ok(()) } else { Err(damaged()) }
    }
}

fn damaged() -> MineError {
    MineError::Stored(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
}

/// A file, with the checksum of what has been written or read.
struct Checked<'f, F> {
    inner: &'f mut F,
    sum: Xxh3,
}

impl<F: Write> Checked<'_, F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), MineError> {
        self.sum.update(bytes);
        self.inner.write_all(bytes).map_err(MineError::Stored)
    }

    fn numbers(&mut self, numbers: &[u64]) -> Result<(), MineError> {
        numbers.iter().try_for_each(|number| self.put(&number.to_le_bytes()))
    }

    /// `bytes` is a buffer.
    fn items<T: Item>(&mut self, items: &[T], bytes: &mut Vec<u8>) -> Result<(), MineError> {
        T::Number::encode(items, bytes);
        self.put(bytes)
    }
}

impl<F: Read> Checked<'_, F> {
    fn take<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], MineError> {
        let mut bytes = [0; BYTES];
        self.inner.read_exact(&mut bytes).map_err(MineError::Stored)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn take_numbers<const NUMBERS: usize>(&mut self) -> Result<[u64; NUMBERS], MineError> {
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = u64::from_le_bytes(self.take()?);
        }
        Ok(numbers)
    }

    fn take_text(&mut self, bytes: u64) -> Result<String, MineError> {
        let mut text = Vec::new();
        self.inner.take(bytes).read_to_end(&mut text).map_err(MineError::Stored)?;
        self.sum.update(&text);
        String::from_utf8(text).map_err(|_| damaged())
    }

    fn take_items<T: Item>(&mut self, count: usize) -> Result<Vec<T>, MineError> {
        let mut bytes = vec![0; count * T::Number::BYTES];
        self.inner.read_exact(&mut bytes).map_err(MineError::Stored)?;
        self.sum.update(&bytes);
        let mut items = Vec::with_capacity(count);
        T::Number::decode(&bytes, &mut items);
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        spill::Memory,
        testing::{annotations_of, any_memory, random_batch, words_of},
    };

    proptest! {
        #[test]
        fn stored_parts_are_the_text(
            batches in prop::collection::vec(random_batch(60), 1..6),
            parts in 1usize..5,
            memory in any_memory(),
            chunk in 1usize..50,
        ) {
            let mut whole = Tokens::with_chunks(Memory::default(), chunk);
            let mut of_parts = Tokens::with_chunks(memory.clone(), chunk);
            for part in batches.chunks(batches.len().div_ceil(parts)) {
                let mut own = Tokens::new(memory.clone());
                for batch in part {
                    whole.append(batch).unwrap();
                    own.append(batch).unwrap();
                }
                let mut file = Vec::new();
                own.store(&mut file).unwrap();
                of_parts.append_stored(&mut file.as_slice()).unwrap();
                // A changed byte is noticed, and so is a missing end.
                for at in (0..file.len()).step_by(1 + file.len() / 40) {
                    let mut damaged = file.clone();
                    damaged[at] ^= 0x10;
                    prop_assert!(Tokens::default().append_stored(&mut damaged.as_slice()).is_err());
                    prop_assert!(Tokens::default().append_stored(&mut &file[..at]).is_err());
                }
            }
            prop_assert_eq!(words_of(&of_parts), words_of(&whole));
            prop_assert_eq!(annotations_of(&of_parts), annotations_of(&whole));
            prop_assert_eq!(of_parts.vocabulary.all_counts(), whole.vocabulary.all_counts());
            let texts = |tokens: &Tokens| -> Vec<String> {
                tokens.vocabulary.words().map(|word| tokens.vocabulary.text(word).to_owned()).collect()
            };
            prop_assert_eq!(texts(&of_parts), texts(&whole));
            prop_assert_eq!(of_parts.chunks_of_segments(), whole.chunks_of_segments());
            prop_assert_eq!(of_parts.chunks_of_documents(), whole.chunks_of_documents());
            prop_assert_eq!((of_parts.documents, of_parts.tags), (whole.documents, whole.tags));
        }
    }

    #[test]
    fn a_text_without_words_is_stored() {
        let mut file = Vec::new();
        Tokens::default().store(&mut file).unwrap();
        let mut tokens = Tokens::default();
        tokens.append_stored(&mut file.as_slice()).unwrap();
        assert!(tokens.is_empty());
    }
}
