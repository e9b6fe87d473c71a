//! Scores of a model on a treebank: accuracy of tags, and F1 of noun phrases as exact spans.
use std::collections::{BTreeMap, HashSet};

use crate::{
    chunker::{ChunkScorer, spans},
    features::forms_of,
    model::Model,
    tagger::TagScorer,
    treebank::Sentence,
};

/// Counts on one treebank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Sentences.
    pub sentences: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens with the treebank's tag.
    pub right: u64,
    /// Noun phrases of the treebank, 0 if it has no chunks.
    pub wanted: u64,
    /// Noun phrases of the model.
    pub found: u64,
    /// Noun phrases of both.
    pub both: u64,
    /// How often each wrong tag was given.
    pub confused: BTreeMap<Confusion, u64>,
}

/// A tag that was given instead of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confusion {
    /// The treebank's tag.
    pub wanted: String,
    /// The model's tag.
    pub given: String,
}

impl Scores {
    /// Tokens with the treebank's tag, in percent.
    pub fn accuracy(&self) -> f64 {
        percent(self.right, self.tokens)
    }

    /// The model's noun phrases that the treebank has, in percent.
    pub fn precision(&self) -> f64 {
        percent(self.both, self.found)
    }

    /// The treebank's noun phrases that the model found, in percent.
    pub fn recall(&self) -> f64 {
        percent(self.both, self.wanted)
    }

    /// Harmonic mean of precision and recall, in percent.
    pub fn f1(&self) -> f64 {
        percent(2 * self.both, self.found + self.wanted)
    }
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

/// Scores a model. Its noun phrases follow from its own tags, not from the treebank's.
pub fn evaluate(model: &Model, sentences: &[Sentence]) -> Scores {
    let mut scores = Scores::default();
    let (mut forms, mut buffer, mut tags, mut chunks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut tagger, mut chunker) = (TagScorer::new(&model.tagger), ChunkScorer::new(&model.chunker));
    for sentence in sentences {
        forms_of(sentence.words.iter().map(String::as_str), &mut forms, &mut buffer);
        tagger.tag(&forms, &mut tags);
        scores.sentences += 1;
        scores.tokens += tags.len() as u64;
        for (given, wanted) in tags.iter().zip(&sentence.tags) {
            let given = &model.tagger.tags()[usize::from(*given)];
            if given == wanted {
                scores.right += 1;
            } else {
                let confusion = Confusion { wanted: wanted.clone(), given: given.clone() };
                *scores.confused.entry(confusion).or_default() += 1;
            }
        }
        if let Some(wanted) = &sentence.chunks {
            chunker.chunk(&forms, &tags, &mut chunks);
            let (wanted, found): (HashSet<_>, HashSet<_>) =
                (spans(wanted).into_iter().collect(), spans(&chunks).into_iter().collect());
            scores.wanted += wanted.len() as u64;
            scores.found += found.len() as u64;
            scores.both += wanted.intersection(&found).count() as u64;
        }
    }
    scores
}
