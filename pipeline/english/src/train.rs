//! Training: treebanks to a [`Model`], the same one every time.
//!
//! The tagger learns from all treebanks. The chunker learns from those with noun phrases, over the tags that it will see: those of
//! taggers that have not learnt from the sentence (jack-knifing, five folds).
use std::thread;

use schemas::Draws;

use super::{
    chunker::Chunker,
    features::{Record, records_of},
    model::Model,
    perceptron::MOST_LABELS,
    tagger::{self, Tagger},
    treebank::{Chunk, Sentence},
};

/// Rounds over the sentences.
#[derive(Clone, Copy, Debug)]
pub struct Epochs {
    /// Of the tagger.
    pub tagger: u32,
    /// Of the chunker.
    pub chunker: u32,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { tagger: 10, chunker: 30 }
    }
}

/// The most tags that a model can have: their numbers have six bits, and one of them is none.
pub const MOST_TAGS: usize = MOST_LABELS - 1;

const FOLDS: usize = 5;

/// Sentences as the models see them.
struct Prepared {
    records: Vec<Record>,
    tags: Vec<u8>,
    chunks: Option<Vec<Chunk>>,
}

/// Trains a model on sentences; those with chunks teach the chunker.
pub fn train(sentences: &[Sentence], epochs: Epochs) -> Model {
    let mut names: Vec<String> = sentences.iter().flat_map(|s| s.tags.iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    let mut scratch = Vec::new();
    let prepared: Vec<Prepared> = sentences
        .iter()
        .map(|s| {
            let mut records = Vec::new();
            records_of(s.words.iter().map(String::as_str), &mut records, &mut scratch);
            let number = |tag: &String| names.binary_search(tag).unwrap_or_default() as u8;
            Prepared { records, tags: s.tags.iter().map(number).collect(), chunks: s.chunks.clone() }
        })
        .collect();
    let order = |purpose: &'static str| {
        move |epoch: u32, places: &mut Vec<usize>| {
            Draws::new(0, purpose, &epoch.to_le_bytes()).shuffle(places);
        }
    };
    // Fold FOLDS is all sentences: the tagger itself.
    let tagger_without = |fold: usize| {
        let kept = prepared.iter().enumerate().filter(|(i, s)| s.chunks.is_none() || i % FOLDS != fold);
        let kept: Vec<_> = kept.map(|(_, s)| (s.records.as_slice(), s.tags.as_slice())).collect();
        Tagger::train(names.clone(), &kept, epochs.tagger, order("tagger"))
    };
    let chunked: Vec<(usize, &Prepared)> = prepared.iter().enumerate().filter(|(_, s)| s.chunks.is_some()).collect();
    let mut taggers: Vec<Tagger> = thread::scope(|scope| {
        let folds = if chunked.is_empty() { FOLDS } else { 0 };
        let tagger_without = &tagger_without;
        let running: Vec<_> = (folds..=FOLDS).map(|fold| scope.spawn(move || tagger_without(fold))).collect();
        running.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let tagger = taggers.pop().unwrap_or_default();
    let mut lessons: Vec<(&[Record], Vec<u8>, &[Chunk])> = Vec::new();
    let mut scorers: Vec<_> = taggers.iter().map(tagger::Scorer::new).collect();
    for (i, sentence) in &chunked {
        let mut tags = Vec::new();
        scorers[i % FOLDS].tag(&sentence.records, &mut tags);
        lessons.push((&sentence.records, tags, sentence.chunks.as_deref().unwrap_or_default()));
    }
    let lessons: Vec<_> = lessons.iter().map(|l| (l.0, l.1.as_slice(), l.2)).collect();
    Model { tagger, chunker: Chunker::train(&lessons, epochs.chunker, order("chunker")) }
}
