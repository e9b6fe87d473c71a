//! Training of the chunker.
use super::{Shuffle, TrainError, perceptron::AveragedPerceptron};
use crate::{
    chunker::{Chunk, Chunker, Viterbi, features, tags_at, transition, transition_features},
    features::WordForm,
    weights::MOST_LABELS,
};

/// Averages below this are left out.
const LEAST: f64 = 0.05;

/// A sentence with its noun phrases, and the tags that a tagger gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkedSentence<'s> {
    pub forms: &'s [WordForm],
    pub tags: &'s [u8],
    pub chunks: &'s [Chunk],
}

/// Trains on sentences for `epochs` rounds.
pub(crate) fn train_chunker(
    sentences: &[ChunkedSentence],
    epochs: u32,
    shuffle: Shuffle,
) -> Result<Chunker, TrainError> {
    let mut perceptron = AveragedPerceptron::default();
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    let (mut scores, mut viterbi) = (Vec::new(), Viterbi::default());
    for epoch in 0..epochs {
        shuffle.apply(epoch, &mut order);
        for &at in &order {
            let ChunkedSentence { forms, tags, chunks } = sentences[at];
            scores.clear();
            for i in 0..forms.len() {
                let mut token = [0.0; MOST_LABELS];
                let transitions = transition_features(tags_at(tags, i, 0));
                features(forms, tags, i).chain(transitions).for_each(|f| perceptron.score(f, &mut token));
                scores.push(std::array::from_fn(|label| token[label]));
            }
            let best = viterbi.search(&scores);
            perceptron.step();
            let (mut given_before, mut wanted_before) = (Chunk::Outside as usize, Chunk::Outside as usize);
            for i in 0..forms.len() {
                let (given, wanted) = (best[i], chunks[i] as usize);
                if given != wanted {
                    for feature in features(forms, tags, i) {
                        perceptron.update(feature, wanted as u8, 1.0);
                        perceptron.update(feature, given as u8, -1.0);
                    }
                }
                let (given_step, wanted_step) = (transition(given_before, given), transition(wanted_before, wanted));
                if given_step != wanted_step {
                    for feature in transition_features(tags_at(tags, i, 0)) {
                        perceptron.update(feature, wanted_step as u8, 1.0);
                        perceptron.update(feature, given_step as u8, -1.0);
                    }
                }
                (given_before, wanted_before) = (given, wanted);
            }
        }
    }
    let weights = perceptron.finish(LEAST).ok_or(TrainError::TooManyWeights)?;
    Ok(Chunker { weights })
}
