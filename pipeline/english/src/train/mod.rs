//! Training: from treebanks to a [`Model`]. The same sentences in the same order give the same
//! model.
//!
//! The tagger learns from all sentences, the chunker from those with noun phrases. The chunker sees
//! the tags of a tagger that was not trained on the sentence, because it will meet such tags in use.
//! This is jack-knifing with five folds.
//!
//! ```
//! use ebert_english::{NounPhrases, train::{Epochs, train}, treebank};
//!
//! let text = "The DT B-NP\nkettle NN I-NP\nboils VBZ O\nwater NN B-NP\n. . O\n";
//! let model = train(&treebank::parse(text)?, Epochs::default())?;
//! assert_eq!(NounPhrases::new(&model).find("The kettle boils water."), [4..10, 17..22]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod chunker;
mod perceptron;
mod tagger;

use std::thread;

use schemas::Draws;

use self::{
    chunker::{ChunkedSentence, train_chunker},
    tagger::{TaggedSentence, train_tagger},
};
use crate::{
    chunker::Chunk,
    features::{WordForm, forms_of},
    model::Model,
    tagger::{TagScorer, Tagger},
    treebank::Sentence,
    weights::MOST_CELLS,
};

pub use crate::tagger::MOST_TAGS;

/// Rounds over the sentences.
#[derive(Clone, Copy, Debug)]
pub struct Epochs {
    /// Rounds for the tagger.
    pub tagger: u32,
    /// Rounds for the chunker.
    pub chunker: u32,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { tagger: 10, chunker: 30 }
    }
}

/// A model cannot be trained on these sentences.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// There are no sentences, or only empty ones.
    #[error("there are no sentences to train on")]
    NoSentences,
    /// A sentence does not have one tag, and one chunk if any, per word.
    #[error("sentence {number} has {words} words, but another number of tags or chunks")]
    Uneven {
        /// The position of the sentence, from 1.
        number: usize,
        /// Its words.
        words: usize,
    },
    /// A model has at most [`MOST_TAGS`] tags.
    #[error("the sentences have {found} different tags, more than {MOST_TAGS}")]
    TooManyTags {
        /// Different tags of the sentences.
        found: usize,
    },
    /// The index of a weight has 24 bits.
    #[error("the trained model has more than {MOST_CELLS} weights")]
    TooManyWeights,
}

const FOLDS: usize = 5;

/// A sentence as the models see it.
struct Prepared {
    forms: Vec<WordForm>,
    tags: Vec<u8>,
    chunks: Option<Vec<Chunk>>,
}

/// The order of the sentences in each epoch.
#[derive(Clone, Copy, Debug)]
struct Shuffle(&'static str);

impl Shuffle {
    fn apply(self, epoch: u32, order: &mut [usize]) {
        Draws::new(0, self.0, &epoch.to_le_bytes()).shuffle(order);
    }
}

/// Trains a model.
///
/// Without sentences that have chunks, the chunker has no weights and finds no noun phrases.
///
/// # Errors
/// If the sentences are inconsistent, or exceed the limits of a model.
pub fn train(sentences: &[Sentence], epochs: Epochs) -> Result<Model, TrainError> {
    let names = tag_names(sentences)?;
    let prepared = prepare(sentences, &names);
    // Without the chunked sentences of a fold; fold FOLDS is empty.
    let tagger_without = |fold: usize| {
        let kept = prepared.iter().enumerate().filter(|(i, s)| s.chunks.is_none() || i % FOLDS != fold);
        let kept: Vec<_> = kept.map(|(_, s)| TaggedSentence { forms: &s.forms, tags: &s.tags }).collect();
        train_tagger(names.clone(), &kept, epochs.tagger, Shuffle("tagger"))
    };
    let has_chunks = prepared.iter().any(|s| s.chunks.is_some());
    let (tagger, fold_taggers) = thread::scope(|scope| {
        let tagger_without = &tagger_without;
        let folds = if has_chunks { 0..FOLDS } else { 0..0 };
        let running: Vec<_> = folds.map(|fold| scope.spawn(move || tagger_without(fold))).collect();
        let tagger = tagger_without(FOLDS)?;
        let finished = running.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok((tagger, finished.collect::<Result<Vec<Tagger>, TrainError>>()?))
    })?;
    let mut scorers: Vec<_> = fold_taggers.iter().map(TagScorer::new).collect();
    let mut tags_given = Vec::new();
    for (i, sentence) in prepared.iter().enumerate().filter(|(_, s)| s.chunks.is_some()) {
        let mut tags = Vec::new();
        scorers[i % FOLDS].tag(&sentence.forms, &mut tags);
        tags_given.push(tags);
    }
    let chunked = prepared.iter().filter_map(|s| Some((&s.forms, s.chunks.as_ref()?))).zip(&tags_given);
    let chunked: Vec<_> = chunked.map(|((forms, chunks), tags)| ChunkedSentence { forms, tags, chunks }).collect();
    let chunker = train_chunker(&chunked, epochs.chunker, Shuffle("chunker"))?;
    Ok(Model { tagger, chunker })
}

/// The distinct tags, sorted.
fn tag_names(sentences: &[Sentence]) -> Result<Vec<String>, TrainError> {
    for (i, Sentence { words, tags, chunks }) in sentences.iter().enumerate() {
        let uneven = |length: usize| length != words.len();
        if uneven(tags.len()) || chunks.as_ref().is_some_and(|chunks| uneven(chunks.len())) {
            return Err(TrainError::Uneven { number: i + 1, words: words.len() });
        }
    }
    let mut names: Vec<String> = sentences.iter().flat_map(|s| s.tags.iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Err(TrainError::NoSentences),
        found if found > MOST_TAGS => Err(TrainError::TooManyTags { found }),
        _ => Ok(names),
    }
}

/// `names` has all tags of the sentences, sorted.
fn prepare(sentences: &[Sentence], names: &[String]) -> Vec<Prepared> {
    let mut buffer = Vec::new();
    let prepare = |sentence: &Sentence| {
        let mut forms = Vec::new();
        forms_of(sentence.words.iter().map(String::as_str), &mut forms, &mut buffer);
        let tag = |name: &String| names.partition_point(|other| other < name) as u8;
        Prepared { forms, tags: sentence.tags.iter().map(tag).collect(), chunks: sentence.chunks.clone() }
    };
    sentences.iter().map(prepare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(tags: &[&str]) -> Sentence {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Sentence { words: tags.clone(), tags, chunks: None }
    }

    #[test]
    fn sentences_that_cannot_be_trained_on_are_refused() {
        let error = |sentences: &[Sentence]| train(sentences, Epochs::default()).unwrap_err();
        assert_eq!(error(&[]), TrainError::NoSentences);
        assert_eq!(error(&[sentence(&[])]), TrainError::NoSentences);
        let many: Vec<String> = (0..=MOST_TAGS).map(|tag| tag.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(error(&[sentence(&many)]), TrainError::TooManyTags { found: MOST_TAGS + 1 });
        let missing_tag = Sentence { words: vec!["kettle".into(); 2], ..sentence(&["NN"]) };
        assert_eq!(error(&[sentence(&["NN"]), missing_tag]), TrainError::Uneven { number: 2, words: 2 });
        let missing_chunk = Sentence { chunks: Some(Vec::new()), ..sentence(&["NN"]) };
        assert_eq!(error(&[missing_chunk]), TrainError::Uneven { number: 1, words: 1 });
    }
}
