//! What is measured on held-out documents and pairs, with fixed masks, and noted.
use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::{
    data::{Frequency, MaskedSet, Retrieval},
    log::{HeldOutRecord, Measured, MeasuredPairs, MeasuredPart, MeasuredRetrieval},
    masking::{MaskMode, TakenAs},
    neighbor::{Spread, pooled},
    run::{Run, RunError},
    session::Trainable,
    state::Best,
    step::predict,
};
use ebert_bert::{Packed, Phase, cross_entropy, indices};
use ebert_kernels::{Reading, TorchError};

/// Measures on the held-out documents and pairs, and notes it. Gives whether the mean of the masked-LM losses is the
/// lowest so far in the last stage.
pub(crate) fn measure(run: &mut Run) -> Result<bool, RunError> {
    let mut measured = Vec::new();
    for set in &run.held_out.sets {
        let mut sums = [[0.0; Sums::FIELDS]; Sums::PARTS.len()];
        for number in run.session.world.indices_of_rank(set.batches.len()) {
            let (lengths, batch) = &set.batches[number];
            let predicted = tch::no_grad(|| predict(&run.session.model.bert, batch, lengths));
            let Some((scores, labels)) = predicted else { continue };
            let hits = scores.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Int64);
            let hits = Vec::<i64>::try_from(hits.to_device(tch::Device::Cpu)).map_err(|e| TorchError(e.to_string()))?;
            for (sums, part) in sums.iter_mut().zip(Sums::PARTS) {
                Sums::add(sums, part.of(set, number), &batch.units, &scores, &labels, &hits);
            }
        }
        let device = run.session.model.device();
        let all = Tensor::from_slice(sums.as_flattened()).to_device(device);
        run.session.world.all_reduce(&[all.shallow_clone()], "measured held-out documents")?;
        let all = Reading::<{ Sums::FIELDS * Sums::PARTS.len() }>::start(&all)?.finish()?;
        let (all, _) = all.as_chunks::<{ Sums::FIELDS }>();
        if let Some(MeasuredPart { loss, accuracy, tokens, whole, units }) = Sums::finish(all[0]) {
            let part = |part: usize| if set.mode == MaskMode::Phrase { Sums::finish(all[part]) } else { None };
            measured.push(Measured {
                mode: set.mode,
                loss,
                accuracy,
                tokens,
                whole,
                units,
                pool_phrases: part(1),
                noun_phrases: part(2),
                rare_phrases: part(3),
                frequent_phrases: part(4),
            });
        }
    }
    let mean = measured.iter().map(|m| m.loss).sum::<f64>() / measured.len().max(1) as f64;
    let step = run.state.step;
    // What counts is the best of the last stage: earlier ones train on other data.
    let last_stage = run.schedule.stages.last().map_or(0, |stage| stage.steps.start);
    let is_comparable = step > last_stage && !measured.is_empty() && mean.is_finite();
    let best = is_comparable && run.state.best.is_none_or(|best| mean < best.loss);
    if best {
        run.state.best = Some(Best { step, loss: mean });
    }
    if step == 0 {
        run.state.first_measured = measured.clone();
    }
    let loss_in = |mode| measured.iter().find(|m| m.mode == mode).map_or(f64::NAN, |m| m.loss);
    run.state.switch.learn_measured(loss_in(MaskMode::Word), loss_in(MaskMode::Phrase));
    run.state.last_measured = measured.clone();
    let held_out_pairs = measure_pairs(run)?;
    if step == 0 {
        run.state.first_measured_pairs = held_out_pairs;
    }
    run.state.last_measured_pairs = held_out_pairs;
    run.note_held_out(&HeldOutRecord { step, held_out: measured, held_out_pairs })?;
    Ok(best)
}

/// Some of the tokens of a held-out batch.
#[derive(Clone, Copy, Debug)]
enum Part {
    All,
    TakenAs(TakenAs),
    Frequency(Frequency),
}

impl Part {
    /// Which of the selected tokens of a batch belong to it.
    fn of(self, set: &MaskedSet, batch: usize) -> Vec<usize> {
        let (_, masked) = &set.batches[batch];
        let frequency = |index: usize| set.frequencies.get(batch).and_then(|batch| batch[index]);
        let belongs = |&index: &usize| match self {
            Self::All => true,
            Self::TakenAs(taken_as) => masked.taken_as[index] == taken_as,
            Self::Frequency(wanted) => frequency(index) == Some(wanted),
        };
        (0..masked.selected.len()).filter(belongs).collect()
    }
}

/// Sums over held-out tokens: loss, tokens, tokens that are right, words or phrases, those that are right as a whole.
struct Sums;

impl Sums {
    const FIELDS: usize = 5;
    /// What is measured, in the order of the fields of [`Measured`].
    const PARTS: [Part; 5] = [
        Part::All,
        Part::TakenAs(TakenAs::PoolPhrase),
        Part::TakenAs(TakenAs::NounPhrase),
        Part::Frequency(Frequency::Rare),
        Part::Frequency(Frequency::Frequent),
    ];

    /// Adds some of the selected tokens of a batch. `hits` is 1 for each token that is right.
    fn add(
        sums: &mut [f64; Self::FIELDS],
        indices: Vec<usize>,
        units: &[Option<u32>],
        scores: &Tensor,
        labels: &Tensor,
        hits: &[i64],
    ) {
        if indices.is_empty() {
            return;
        }
        let loss = if indices.len() == hits.len() {
            cross_entropy(scores, labels)
        } else {
            let rows = Tensor::from_slice(&indices.iter().map(|&index| index as i64).collect::<Vec<_>>());
            let rows = rows.to_device(scores.device());
            cross_entropy(&scores.index_select(0, &rows), &labels.index_select(0, &rows))
        };
        let units: Vec<Option<u32>> = indices.iter().map(|&index| units[index]).collect();
        let hits: Vec<i64> = indices.iter().map(|&index| hits[index]).collect();
        let (units, whole) = whole_units(&units, &hits);
        let right = hits.iter().sum::<i64>();
        let more = [loss.double_value(&[]), hits.len() as f64, right as f64, units as f64, whole as f64];
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }

    /// `None` without a token.
    fn finish([loss, tokens, right, units, whole]: [f64; Self::FIELDS]) -> Option<MeasuredPart> {
        (tokens > 0.0).then(|| MeasuredPart {
            loss: loss / tokens,
            accuracy: right / tokens,
            tokens: tokens as u64,
            whole: whole / units.max(1.0),
            units: units as u64,
        })
    }
}

/// Measures on pairs whose anchor is held out; `None` if there are none.
fn measure_pairs(run: &Run) -> Result<Option<MeasuredPairs>, RunError> {
    if run.held_out_pairs.is_empty() {
        return Ok(None);
    }
    let (encoder, options) = (run.session.model.bert.encoder(), &run.recipe.neighbor);
    let device = encoder.device();
    let width = encoder.config().hidden_size;
    // Hinge, near, far, pairs whose neighbor is nearer, pairs; then the sums of the spread. And the mean state of every product.
    let means = Tensor::zeros([3 * run.held_out_pairs.len() as i64, width], (Kind::Float, device));
    let sums = tch::no_grad(|| {
        let mut sums = Tensor::zeros([5 + width + 3], (Kind::Double, device));
        for number in run.session.world.indices_of_rank(run.held_out_pairs.batches.len()) {
            let batch = &run.held_out_pairs.batches[number];
            let hidden = encoder.encode(&Packed::new(&batch.input_ids, &batch.lengths, device), Phase::Evaluate);
            let distances = batch.with_states(&run.session.model.neighbor_states(&hidden)).distances(options);
            let total = |of: Tensor| of.sum(Kind::Double).view([1]);
            let count = Tensor::full([1], batch.pairs.len() as i64, (Kind::Double, device));
            let of_pairs = [
                total(distances.hinge(options.margin)),
                total(distances.near.shallow_clone()),
                total(distances.far.shallow_clone()),
                total(distances.near.lt_tensor(&distances.far)),
                count,
            ];
            let sides: Vec<u32> = batch.pairs.as_flattened().iter().map(|&side| side as u32).collect();
            let before: usize = run.held_out_pairs.batches[..number].iter().map(|batch| 3 * batch.pairs.len()).sum();
            let of_batch = pooled(&hidden, &batch.lengths).index_select(0, &indices(&sides, device));
            means.narrow(0, before as i64, sides.len() as i64).copy_(&of_batch);
            let anchors = batch.pairs.iter().map(|[anchor, ..]| *anchor);
            let spread = Spread::of(&hidden, &batch.lengths, anchors).sums;
            sums += Tensor::cat(&[Tensor::cat(&of_pairs, 0), spread], 0);
        }
        sums
    });
    run.session.world.all_reduce(&[sums.shallow_clone()], "measured held-out pairs")?;
    run.session.world.all_reduce(&[means.shallow_clone()], "measured held-out pairs")?;
    let sums = sums.to_device(tch::Device::Cpu);
    let sums = Vec::<f64>::try_from(&sums).map_err(|e| TorchError(e.to_string()))?;
    let pairs = sums[4];
    Ok(Some(MeasuredPairs {
        loss: sums[0] / pairs,
        near: sums[1] / pairs,
        far: sums[2] / pairs,
        nearer: sums[3] / pairs,
        within: Spread::within(&sums[5..]),
        pairs: pairs as u64,
        retrieval: Some(measure_retrieval(&run.held_out_pairs.retrieval, &means)?),
    }))
}

/// How well neighbors are found by the cosine of the mean states of all held-out products, `[products, d]`.
fn measure_retrieval(retrieval: &Retrieval, means: &Tensor) -> Result<MeasuredRetrieval, RunError> {
    let lengths = means.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
    let means = means / lengths.clamp_min(1e-12);
    let of = |sides: &[usize]| {
        let sides: Vec<u32> = sides.iter().map(|&side| side as u32).collect();
        means.index_select(0, &indices(&sides, means.device()))
    };
    let cosines = of(&retrieval.anchors()).matmul(&of(retrieval.candidates()).transpose(0, 1));
    let cosines = cosines.to_device(tch::Device::Cpu).contiguous().view([-1]);
    let cosines = Vec::<f32>::try_from(&cosines).map_err(|e| TorchError(e.to_string()))?;
    Ok(MeasuredRetrieval {
        model: retrieval.ranks(&cosines),
        word_overlap: retrieval.word_overlap,
        tf_idf: retrieval.tf_idf,
        candidates: retrieval.candidates().len() as u64,
    })
}

/// How many words or phrases there are, and of how many every token was hit (1, not 0).
fn whole_units(units: &[Option<u32>], hits: &[i64]) -> (u64, u64) {
    let mut of: BTreeMap<u32, bool> = BTreeMap::new();
    for (unit, hit) in units.iter().zip(hits) {
        if let Some(unit) = unit {
            *of.entry(*unit).or_insert(true) &= *hit == 1;
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
        assert_eq!(whole_units(&units, &[1, 1, 0, 0, 1, 0]), (3, 1));
        assert_eq!(whole_units(&units, &[1, 1, 0, 1, 1, 1]), (3, 3));
        assert_eq!(whole_units(&[], &[]), (0, 0));
    }
}
