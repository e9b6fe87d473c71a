//! How well a model does on a treebank: shares of tags that are right, and noun phrases as exact spans.
use std::{collections::BTreeMap, collections::HashSet};

use super::{
    chunker,
    features::records_of,
    model::Model,
    tagger,
    treebank::{Sentence, spans},
};

/// Scores on one treebank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Sentences.
    pub sentences: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens whose tag is right.
    pub right: u64,
    /// Noun phrases that the treebank has; none where it has no chunks.
    pub wanted: u64,
    /// Noun phrases that were found.
    pub found: u64,
    /// Of these, those that the treebank has.
    pub both: u64,
    /// Tags taken for others, by how often: (wanted, given).
    pub confused: BTreeMap<(String, String), u64>,
}

impl Scores {
    /// Share of tags that are right, in percent.
    pub fn accuracy(&self) -> f64 {
        percent(self.right, self.tokens)
    }

    /// Share of the noun phrases found that are right, in percent.
    pub fn precision(&self) -> f64 {
        percent(self.both, self.found)
    }

    /// Share of the treebank's noun phrases that were found, in percent.
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

/// Scores a model on sentences, with its own tags.
pub fn evaluate(model: &Model, sentences: &[Sentence]) -> Scores {
    let mut scores = Scores::default();
    let (mut records, mut bytes, mut tags, mut chunks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut tagger, mut chunker) = (tagger::Scorer::new(&model.tagger), chunker::Scorer::new(&model.chunker));
    for sentence in sentences {
        records_of(sentence.words.iter().map(String::as_str), &mut records, &mut bytes);
        tagger.tag(&records, &mut tags);
        scores.sentences += 1;
        scores.tokens += tags.len() as u64;
        for (given, wanted) in tags.iter().zip(&sentence.tags) {
            let given = &model.tagger.tags()[usize::from(*given)];
            if given == wanted {
                scores.right += 1;
            } else {
                *scores.confused.entry((wanted.clone(), given.clone())).or_default() += 1;
            }
        }
        if let Some(wanted) = &sentence.chunks {
            chunker.chunk(&records, &tags, &mut chunks);
            let (wanted, found): (HashSet<_>, HashSet<_>) =
                (spans(wanted).into_iter().collect(), spans(&chunks).into_iter().collect());
            scores.wanted += wanted.len() as u64;
            scores.found += found.len() as u64;
            scores.both += wanted.intersection(&found).count() as u64;
        }
    }
    scores
}
