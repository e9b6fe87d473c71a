//! Training of the tagger.
use hashbrown::HashMap;

use super::{Shuffle, TrainError, perceptron::AveragedPerceptron};
use crate::{
    features::WordForm,
    tagger::{Tagger, TagsBefore, features, first_of_largest},
    weights::MOST_LABELS,
};

/// Occurrences from which on a word can be in the dictionary.
const FREQUENT: u32 = 12;
/// And the ratio of them that must have the same tag.
const CERTAIN: f64 = 0.995;
/// Averages below this are left out. With 0.08 there are twice as many features, and the tags are
/// no better.
const LEAST: f64 = 1.0;

/// A sentence with its tags, as indices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaggedSentence<'s> {
    pub forms: &'s [WordForm],
    pub tags: &'s [u8],
}

/// Trains on sentences for `epochs` rounds.
pub(crate) fn train_tagger(
    tags: Vec<String>,
    sentences: &[TaggedSentence],
    epochs: u32,
    shuffle: Shuffle,
) -> Result<Tagger, TrainError> {
    let dictionary = dictionary_of(sentences);
    let mut perceptron = AveragedPerceptron::default();
    let (mut given, mut active): (Vec<u8>, Vec<_>) = (Vec::new(), Vec::new());
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    for epoch in 0..epochs {
        shuffle.apply(epoch, &mut order);
        for &at in &order {
            let TaggedSentence { forms, tags: wanted } = sentences[at];
            given.clear();
            for i in 0..forms.len() {
                if let Some(&tag) = dictionary.get(&forms[i].word) {
                    given.push(tag);
                    continue;
                }
                active.clear();
                active.extend(features(forms, i, TagsBefore::new(&given)));
                let mut scores = [0.0; MOST_LABELS];
                active.iter().for_each(|f| perceptron.score(*f, &mut scores));
                let best = first_of_largest(&scores[..tags.len()]);
                perceptron.step();
                if best != wanted[i] {
                    for &feature in &active {
                        perceptron.update(feature, wanted[i], 1.0);
                        perceptron.update(feature, best, -1.0);
                    }
                }
                given.push(best);
            }
        }
    }
    let weights = perceptron.finish(LEAST).ok_or(TrainError::TooManyWeights)?;
    Ok(Tagger { tags, dictionary, weights })
}

/// The tags of frequent words that nearly always have the same one.
fn dictionary_of(sentences: &[TaggedSentence]) -> HashMap<u32, u8> {
    let mut counts: HashMap<u32, HashMap<u8, u32>> = HashMap::new();
    for sentence in sentences {
        for (form, tag) in sentence.forms.iter().zip(sentence.tags) {
            *counts.entry(form.word).or_default().entry(*tag).or_default() += 1;
        }
    }
    let certain = |tags: &HashMap<u8, u32>| {
        let total: u32 = tags.values().sum();
        let (&tag, &most) = tags.iter().max_by_key(|(tag, n)| (**n, std::cmp::Reverse(**tag)))?;
        (total >= FREQUENT && f64::from(most) >= CERTAIN * f64::from(total)).then_some(tag)
    };
    counts.iter().filter_map(|(&word, tags)| Some((word, certain(tags)?))).collect()
}
