//! How well masked words and phrases of held-out documents are filled in, with masks that never
//! change.
//!
//! These are the measures of training, [`trainer::cloze`], on up to [`SEGMENTS`] segments.
use std::{collections::BTreeMap, sync::Arc};

use ebert_batches::{HeldOut, Shards, masking::MaskMode};
use schemas::DocumentId;
use serde_json::{Value, json};
use trainer::{
    cloze::{Cloze, Predicted},
    init::{Candidate, Head},
    log::{Measured, MeasuredPart},
};

use super::{
    Probe, ProbeError, Probing,
    record::{Outcome, Score, short},
};

/// Segments at most.
pub const SEGMENTS: usize = 2_048;
/// Segments that go through the model at once.
const AT_ONCE: usize = 32;

/// Held-out documents, masked.
#[derive(Debug)]
pub struct HeldOutCloze {
    shards: Arc<Shards>,
    held_out: HeldOut,
    /// In the order of the results.
    documents: Vec<DocumentId>,
}

impl HeldOutCloze {
    /// Of the held-out segments of shards; `None` without one.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn load(shards: &Arc<Shards>) -> Result<Option<Self>, ProbeError> {
        let held_out = HeldOut::load(shards, SEGMENTS, AT_ONCE)?;
        let sets = held_out.sets.iter();
        let all = sets.flat_map(|set| (0..set.batches.len()).flat_map(|batch| set.documents(batch)));
        let mut documents: Vec<DocumentId> = all.map(|(document, _)| document).collect();
        documents.sort_unstable();
        documents.dedup();
        Ok((!documents.is_empty()).then(|| Self { shards: shards.clone(), held_out, documents }))
    }
}

/// A part of the masked tokens, and its name in the table and in the file.
type NamedPart = (&'static str, fn(&Measured) -> Option<MeasuredPart>);

fn whole(measured: &Measured) -> Option<MeasuredPart> {
    let Measured { loss, accuracy, tokens, whole, units, .. } = *measured;
    Some(MeasuredPart { loss, accuracy, tokens, whole, units })
}

/// The parts of a mode.
fn parts(mode: MaskMode) -> Vec<NamedPart> {
    match mode {
        MaskMode::Phrase => vec![
            ("pool phrases", |measured| measured.pool_phrases),
            ("rare pool phrases", |measured| measured.rare_phrases),
            ("frequent pool phrases", |measured| measured.frequent_phrases),
            ("noun phrases", |measured| measured.noun_phrases),
        ],
        _ => vec![("words", whole)],
    }
}

impl Probe for HeldOutCloze {
    fn name(&self) -> String {
        "cloze".to_owned()
    }

    fn items(&self) -> Value {
        json!({"document": self.documents.iter().map(ToString::to_string).collect::<Vec<_>>()})
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let candidate = Candidate::read(probing.folder)?;
        if candidate.head() == Head::Fresh {
            return Ok(Outcome::left_out("the model has no masked-LM head".to_owned()));
        }
        if let Err(error) = candidate.fits(&self.shards) {
            let what = error.to_string();
            return Ok(Outcome::left_out(what.lines().next().unwrap_or_default().to_owned()));
        }
        let longest = candidate.config().longest_sequence();
        let wanted = usize::from(self.shards.manifest().body.max_tokens) + 2;
        if longest < wanted {
            let why = format!("the model has {longest} positions, and the segments of the shards need {wanted}");
            return Ok(Outcome::left_out(why));
        }
        let (mut scores, mut results) = (Vec::new(), serde_json::Map::new());
        for set in &self.held_out.sets {
            let (mut all, mut each) = (Cloze::default(), BTreeMap::<DocumentId, Cloze>::new());
            for batch in 0..set.batches.len() {
                let Some(predicted) = Predicted::of(probing.frozen.model(), set, batch)? else { continue };
                for (document, selected) in set.documents(batch) {
                    all.add(set, batch, &predicted, selected.clone());
                    each.entry(document).or_default().add(set, batch, &predicted, selected);
                }
            }
            let Some(measured) = all.finish(set.mode) else { continue };
            let of_documents: Vec<Option<Measured>> =
                self.documents.iter().map(|document| each.get(document)?.finish(set.mode)).collect();
            for (name, part) in parts(set.mode) {
                let Some(of_all) = part(&measured) else { continue };
                scores.extend([
                    Score::nats(format!("{name}, loss"), of_all.loss),
                    Score::ratio(format!("{name}, tokens right"), of_all.accuracy),
                    Score::ratio(format!("{name}, whole"), of_all.whole),
                ]);
                let of_documents: Vec<Option<MeasuredPart>> =
                    of_documents.iter().map(|measured| part(measured.as_ref()?)).collect();
                results.insert(name.to_owned(), in_columns(&of_documents));
            }
        }
        Ok(Outcome::new(scores, results.into()))
    }
}

/// For each document the sum of losses, tokens, tokens right, units and units right.
fn in_columns(parts: &[Option<MeasuredPart>]) -> Value {
    let column = |value: &dyn Fn(&MeasuredPart) -> f64| -> Vec<f64> {
        parts.iter().map(|part| part.as_ref().map_or(0.0, value)).collect()
    };
    let count = |value: &dyn Fn(&MeasuredPart) -> f64| -> Vec<u64> {
        column(value).into_iter().map(|count| count.round() as u64).collect()
    };
    json!({
        "loss": column(&|part| short(part.loss * part.tokens as f64)),
        "tokens": count(&|part| part.tokens as f64),
        "right": count(&|part| part.accuracy * part.tokens as f64),
        "units": count(&|part| part.units as f64),
        "whole": count(&|part| part.whole * part.units as f64),
    })
}
