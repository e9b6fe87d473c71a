//! Which words of a sentence name an aspect, from the hidden state of each word's first token: a
//! linear B/I/O tagger, cross-validated by sentence.
use std::path::Path;

use serde_json::{Value, json};
use tch::Tensor;

use super::{
    Probe, ProbeError, Probing,
    folds::{FOLDS, are_filled, fold_of, rows_of},
    logistic::{Logistic, Targets},
    record::{Outcome, Score},
};
use crate::{
    Example, Gold, Tally, Task,
    decode::{Decoding, decode},
    metrics::score,
    predictions::{Judged, Prediction, judged},
    read,
    sequence::{Lengths, Purpose, Sequence, TAGS, Tag, Target, sequences},
};

/// The inverse strength of the penalty.
const C: f64 = 1.0;

/// Sentences with their aspects.
#[derive(Debug)]
pub struct Aspects {
    name: String,
    examples: Vec<Example>,
    seed: u64,
}

/// A word that is tagged.
#[derive(Clone, Copy, Debug)]
struct Word {
    sequence: usize,
    /// Its first token, counted without `[CLS]`.
    token: i64,
    tag: Tag,
}

impl Aspects {
    /// Reads a file of SemEval 2014's form; the data set gets its name.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn read(file: &Path, seed: u64) -> Result<Self, ProbeError> {
        let name = format!("aspects {}", file.file_stem().unwrap_or_default().to_string_lossy());
        let examples = read(Task::Ae, file)?.examples;
        let folds: Vec<usize> = examples.iter().map(|example| fold_of(seed, &example.document)).collect();
        if !are_filled(&folds) {
            let what = "sentences".to_owned();
            return Err(ProbeError::TooFew { path: file.to_owned(), found: examples.len(), what });
        }
        Ok(Self { name, examples, seed })
    }
}

impl Probe for Aspects {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn items(&self) -> Value {
        let ids: Vec<&String> = self.examples.iter().map(|example| &example.id).collect();
        let gold = self.examples.iter().map(|example| match &example.gold {
            Gold::Aspects(aspects) => aspects.len(),
            _ => 0,
        });
        json!({"id": ids, "gold": gold.collect::<Vec<_>>()})
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let (examples, frozen) = (&self.examples, probing.frozen);
        let most = frozen.most_tokens();
        let lengths = Lengths { max_tokens: most, stride: most, second_type: false };
        let what: (&[String], _) = (&[], Purpose::Train);
        let sequences = sequences(Task::Ae, examples, frozen.tokens(), lengths, what, &mut Tally::default())?;
        let words: Vec<Vec<Word>> =
            sequences.iter().enumerate().map(|(number, sequence)| words_of(number, sequence)).collect();
        let texts: Vec<Vec<u32>> = sequences.iter().map(|s| s.ids[1..s.ids.len() - 1].to_vec()).collect();
        let wanted: Vec<Vec<i64>> = words.iter().map(|words| words.iter().map(|word| word.token).collect()).collect();
        let features = frozen.states(&texts, &wanted);
        let words = words.concat();
        let folds: Vec<usize> = sequences.iter().map(|s| fold_of(self.seed, &examples[s.example].document)).collect();
        let folds: Vec<usize> = words.iter().map(|word| folds[word.sequence]).collect();
        let mut scores: Vec<Vec<f32>> = sequences.iter().map(|s| vec![0.0; TAGS.len() * s.ids.len()]).collect();
        let mut all_logits = vec![0.0; TAGS.len() * words.len()];
        let mut before = None;
        for fold in 0..FOLDS {
            let (test, training) = rows_of(&folds, fold);
            let rows = |rows: &[i64]| features.index_select(0, &Tensor::from_slice(rows));
            let tags: Vec<usize> = training.iter().map(|&row| words[row as usize].tag as usize).collect();
            let targets = Targets::classes(&tags, TAGS.len());
            let fitted = Logistic::fit_from(before.as_ref(), &rows(&training), &targets, C)?;
            let logits: Vec<f64> = Vec::try_from(fitted.logits(&rows(&test)).view([-1]))?;
            for (&row, logits) in test.iter().zip(logits.chunks_exact(TAGS.len())) {
                let Word { sequence, token, .. } = words[row as usize];
                let at = TAGS.len() * (token as usize + 1);
                scores[sequence].iter_mut().skip(at).zip(logits).for_each(|(score, logit)| *score = *logit as f32);
                all_logits[TAGS.len() * row as usize..][..TAGS.len()].copy_from_slice(logits);
            }
            before = Some(fitted);
        }
        let numbers = |of: &dyn Fn(usize) -> usize| {
            Tensor::from_slice(&(0..words.len()).map(|word| of(word) as i64).collect::<Vec<_>>())
        };
        probing.export(
            &self.name,
            &[
                ("features", &features),
                ("tags", &numbers(&|word| words[word].tag as usize)),
                ("folds", &numbers(&|word| folds[word])),
                ("sentences", &numbers(&|word| sequences[words[word].sequence].example)),
                ("c", &Tensor::from_slice(&[C])),
                ("logits", &Tensor::from_slice(&all_logits).view([-1, TAGS.len() as i64])),
            ],
        )?;
        let decoding = Decoding { max_answer: 0, threshold: 0.5 };
        let judged = judged(examples, decode(Task::Ae, examples, (&sequences, &scores), &[], decoding));
        let values = score(Task::Ae, &judged).values(Task::Ae);
        let named = ["precision", "recall", "F1"].into_iter().zip(values);
        let scores = named.map(|(name, value)| Score::ratio(name, value)).collect();
        Ok(Outcome::new(scores, of_sentences(&judged)))
    }
}

/// For each sentence how many aspects are right, and how many are predicted.
fn of_sentences(judged: &[Judged]) -> Value {
    let counts = judged.iter().map(|one| match (&one.prediction, &one.gold) {
        (Prediction::Aspects(predicted), Gold::Aspects(gold)) => {
            (predicted.iter().filter(|aspect| gold.contains(aspect)).count(), predicted.len())
        }
        _ => (0, 0),
    });
    let (right, predicted): (Vec<usize>, Vec<usize>) = counts.unzip();
    json!({"right": right, "predicted": predicted})
}

/// The words of a sentence.
fn words_of(number: usize, sequence: &Sequence) -> Vec<Word> {
    let Target::Tags(tags) = &sequence.target else { return Vec::new() };
    let content = tags.iter().skip(1).enumerate().filter(|(_, tag)| **tag != Tag::Skipped);
    content.map(|(token, tag)| Word { sequence: number, token: token as i64, tag: *tag }).collect()
}
