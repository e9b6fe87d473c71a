//! How well a model fills in the masked tokens of held-out documents: in training, and in probes.
use std::{collections::BTreeMap, ops::Range};

use ebert_bert::BertForMaskedLm;
use ebert_kernels::TorchError;
use tch::{Device, Kind, Tensor};

use crate::{
    log::{Measured, MeasuredPart},
    step::predict,
};
use ebert_batches::{
    Frequency, MaskedSet,
    masking::{MaskMode, TakenAs},
};

/// How each selected token of a batch is predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Cross entropy, in nats.
    losses: Vec<f32>,
    /// Whether the token has the highest logit.
    hits: Vec<bool>,
}

impl Predicted {
    /// Of a batch of a set; `None` if nothing is masked in it.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn of(model: &BertForMaskedLm, set: &MaskedSet, batch: usize) -> Result<Option<Self>, TorchError> {
        let (lengths, masked) = &set.batches[batch];
        let Some((logits, labels)) = tch::no_grad(|| predict(model, masked, lengths)) else { return Ok(None) };
        let hits = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Float);
        let losses = logits.cross_entropy_loss::<Tensor>(&labels, None, tch::Reduction::None, -100, 0.0);
        let both = Tensor::stack(&[losses.to_kind(Kind::Float), hits], 0).to_device(Device::Cpu).view([-1]);
        let mut losses = Vec::<f32>::try_from(&both).map_err(|e| TorchError(e.to_string()))?;
        let hits = losses.split_off(losses.len() / 2).into_iter().map(|hit| hit > 0.5).collect();
        Ok(Some(Self { losses, hits }))
    }

    /// All selected tokens.
    pub fn all(&self) -> Range<usize> {
        0..self.hits.len()
    }
}

/// Some of the tokens of a held-out batch.
#[derive(Clone, Copy, Debug)]
enum Part {
    All,
    TakenAs(TakenAs),
    Frequency(Frequency),
}

impl Part {
    /// Which of these selected tokens of a batch belong to it.
    fn of(self, set: &MaskedSet, batch: usize, selected: Range<usize>) -> Vec<usize> {
        let (_, masked) = &set.batches[batch];
        let frequency = |index: usize| set.frequencies.get(batch).and_then(|batch| batch[index]);
        let belongs = |&index: &usize| match self {
            Self::All => true,
            Self::TakenAs(taken_as) => masked.taken_as[index] == taken_as,
            Self::Frequency(wanted) => frequency(index) == Some(wanted),
        };
        selected.filter(belongs).collect()
    }
}

/// Sums over masked tokens, for each part that [`Measured`] has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cloze([[f64; Cloze::FIELDS]; Cloze::PARTS.len()]);

impl Cloze {
    /// Loss, tokens, tokens that are right, words or phrases, those that are right as a whole.
    const FIELDS: usize = 5;
    /// What is measured, in the order of the fields of [`Measured`].
    const PARTS: [Part; 5] = [
        Part::All,
        Part::TakenAs(TakenAs::PoolPhrase),
        Part::TakenAs(TakenAs::NounPhrase),
        Part::Frequency(Frequency::Rare),
        Part::Frequency(Frequency::Frequent),
    ];
    /// Numbers in all.
    pub(crate) const NUMBERS: usize = Self::FIELDS * Self::PARTS.len();

    pub(crate) fn sums(&self) -> &[[f64; Self::FIELDS]] {
        &self.0
    }

    pub(crate) fn of_flattened(numbers: &[f64; Self::NUMBERS]) -> Self {
        let (sums, _) = numbers.as_chunks();
        let mut cloze = Self::default();
        cloze.0.copy_from_slice(sums);
        cloze
    }

    /// Adds these of the selected tokens of a batch. A word or phrase is never split over two
    /// calls.
    pub fn add(&mut self, set: &MaskedSet, batch: usize, predicted: &Predicted, selected: Range<usize>) {
        let (_, masked) = &set.batches[batch];
        for (sums, part) in self.0.iter_mut().zip(Self::PARTS) {
            let indices = part.of(set, batch, selected.clone());
            let loss = indices.iter().map(|&index| f64::from(predicted.losses[index])).sum::<f64>();
            let units: Vec<Option<u32>> = indices.iter().map(|&index| masked.units[index]).collect();
            let hits: Vec<bool> = indices.iter().map(|&index| predicted.hits[index]).collect();
            let (units, whole) = whole_units(&units, &hits);
            let right = hits.iter().filter(|hit| **hit).count();
            let more = [loss, hits.len() as f64, right as f64, units as f64, whole as f64];
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// What was measured in a mode; `None` without a token.
    pub fn finish(&self, mode: MaskMode) -> Option<Measured> {
        let MeasuredPart { loss, accuracy, tokens, whole, units } = part_of(self.0[0])?;
        let part = |part: usize| if mode == MaskMode::Phrase { part_of(self.0[part]) } else { None };
        Some(Measured {
            mode,
            loss,
            accuracy,
            tokens,
            whole,
            units,
            pool_phrases: part(1),
            noun_phrases: part(2),
            rare_phrases: part(3),
            frequent_phrases: part(4),
        })
    }
}

/// `None` without a token.
fn part_of([loss, tokens, right, units, whole]: [f64; Cloze::FIELDS]) -> Option<MeasuredPart> {
    (tokens > 0.0).then(|| MeasuredPart {
        loss: loss / tokens,
        accuracy: right / tokens,
        tokens: tokens as u64,
        whole: whole / units.max(1.0),
        units: units as u64,
    })
}

/// How many words or phrases there are, and of how many every token was hit.
fn whole_units(units: &[Option<u32>], hits: &[bool]) -> (u64, u64) {
    let mut of: BTreeMap<u32, bool> = BTreeMap::new();
    for (unit, hit) in units.iter().zip(hits) {
        if let Some(unit) = unit {
            *of.entry(*unit).or_insert(true) &= *hit;
        }
    }
    (of.len() as u64, of.values().filter(|whole| **whole).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_right_when_all_of_it_is() {
        let units = [Some(0), Some(0), None, Some(4), Some(9), Some(9)];
        let whole = |hits: [u8; 6]| whole_units(&units, &hits.map(|hit| hit == 1));
        assert_eq!(whole([1, 1, 0, 0, 1, 0]), (3, 1));
        assert_eq!(whole([1, 1, 0, 1, 1, 1]), (3, 3));
        assert_eq!(whole_units(&[], &[]), (0, 0));
    }
}
