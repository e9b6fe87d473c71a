//! The occurrences of n-grams that the next word can extend, in memory or in a file.
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::{
    error::SpillError,
    ids::NodeId,
    spill::{Item, Memory, SpillFile},
};

/// Where an n-gram occurs that the next word can extend. The place is counted from the start of the chunk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occurrence {
    pub(super) place: u32,
    pub(super) node: NodeId,
}

impl Item for Occurrence {
    type Number = u64;

    fn number(self) -> u64 {
        u64::from(self.node.number()) << 32 | u64::from(self.place)
    }

    fn of_number(number: u64) -> Self {
        Self { place: number as u32, node: NodeId::of_number((number >> 32) as u32) }
    }
}

/// The occurrences of the n-grams of the present length, by chunk.
pub(super) struct Occurrences {
    chunks: Vec<NotedChunk>,
    /// Of the chunks that are not in memory.
    file: Option<SpillFile>,
}

struct NotedChunk {
    /// Where its occurrences begin in the file. There is room for one per word.
    first: u64,
    noted: Mutex<Noted>,
}

enum Noted {
    InMemory(Vec<Occurrence>),
    /// This many.
    InFile(usize),
}

impl Occurrences {
    pub(super) fn new(chunks: &[Range<usize>], memory: &Memory) -> Result<Self, SpillError> {
        let chunks = chunks.iter().map(|chunk| {
            let near = chunk.end <= memory.words();
            let noted = if near { Noted::InMemory(Vec::new()) } else { Noted::InFile(0) };
            NotedChunk { first: chunk.start as u64, noted: Mutex::new(noted) }
        });
        let mut occurrences = Self { chunks: chunks.collect(), file: None };
        let is_far = |chunk: &mut NotedChunk| matches!(chunk.noted.get_mut(), Ok(Noted::InFile(_)));
        if occurrences.chunks.last_mut().is_some_and(is_far) {
            occurrences.file = Some(memory.file()?);
        }
        Ok(occurrences)
    }

    /// Moves the occurrences of a chunk to `into`.
    pub(super) fn take(&self, chunk: usize, into: &mut Vec<Occurrence>) -> Result<(), SpillError> {
        let NotedChunk { first, noted } = &self.chunks[chunk];
        into.clear();
        match (&mut *noted.lock().unwrap_or_else(PoisonError::into_inner), &self.file) {
            (Noted::InFile(count), Some(file)) => file.read(*first, *count, into),
            (Noted::InFile(_), None) => unreachable!("occurrences in a file have a file"),
            (Noted::InMemory(occurrences), _) => {
                *into = std::mem::take(occurrences);
                Ok(())
            }
        }
    }

    pub(super) fn note(&self, chunk: usize, found: &[Occurrence]) -> Result<(), SpillError> {
        let NotedChunk { first, noted } = &self.chunks[chunk];
        let noted = &mut *noted.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*noted, &self.file) {
            (Noted::InFile(_), Some(file)) => {
                file.write(found, *first)?;
                *noted = Noted::InFile(found.len());
            }
            _ => *noted = Noted::InMemory(found.to_vec()),
        }
        Ok(())
    }
}
