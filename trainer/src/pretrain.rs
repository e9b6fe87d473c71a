//! The pre-training loop: batch, mode, loss, step, log, measure, save.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use schemas::{DocumentId, Draws};
use tch::{Kind, Reduction, Tensor};

use crate::{
    checkpoint::Best,
    data::{MaskedBatch, PairBatch, pair_batches, segment_batches},
    log::{HeldOutRecord, Measured, StepRecord},
    masking::MaskMode,
    model::{BertForMaskedLm, Packed, Phase, Waste},
    neighbor::{self, NeighborOptions},
    recipe::Scheme,
    run::{Run, RunError},
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// It was told to stop, and has saved.
    Stopped,
}

/// Steps in a row without a finite gradient after which a run ends.
pub const MOST_SKIPPED: u32 = 10;

/// Trains until the schedule ends or `stop` is set; what is done so far is then saved.
///
/// # Errors
/// When data cannot be read, a checkpoint or the metrics cannot be written, libtorch refuses, or gradients are not finite
/// for [`MOST_SKIPPED`] steps in a row. The checkpoints before stay as they are.
pub fn pretrain(run: &mut Run, stop: &AtomicBool) -> Result<Ended, RunError> {
    if run.state.step == 0 {
        measure(run)?;
    }
    let (recipe, total, mut skipped) = (run.recipe.clone(), run.schedule.steps(), 0);
    for stage in run.schedule.stages.clone() {
        if run.state.step >= stage.steps.end {
            continue;
        }
        if run.state.step == stage.steps.start {
            run.state.segments = Default::default();
            if stage.other_corpora {
                run.state.switch.rebase();
            }
        }
        let mut segments = segment_batches(&run.shards, &run.masking, stage.segment_plan(&recipe), run.state.segments)?;
        let mut pairs = match stage.neighbor {
            true => {
                Some(pair_batches(&run.shards, recipe.seed, recipe.data.mix, recipe.neighbor.pairs, run.state.pairs)?)
            }
            false => None,
        };
        for step in run.state.step..stage.steps.end {
            let started = Instant::now();
            tch::manual_seed(Draws::new(recipe.seed, "dropout", &step.to_le_bytes()).next_u64() as i64);

            // Batch and mode.
            let batch = segments.next_batch()?;
            let adaptive = recipe.scheme == Scheme::Adaptive;
            let alpha = adaptive.then(|| run.state.switch.alpha(step));
            let eta = |mode| adaptive.then(|| run.state.switch.eta(mode));
            let (eta_word, eta_phrase) = (eta(MaskMode::Word), eta(MaskMode::Phrase));
            let masked = match adaptive {
                true => batch.in_mode(run.state.switch.draw(recipe.seed, step)),
                false => &batch.masked[0],
            };

            // Losses. Gradients add up, so that the masked-LM graph is freed before the pairs' is made.
            let loss = masked_loss(&run.model, masked, &batch.lengths, Phase::Train);
            if let Some(loss) = &loss {
                loss.backward();
            }
            let pairs = pairs.as_mut().map(|pairs| pairs.next_batch()).transpose()?;
            let before = pairs.as_ref().map(|_| run.optimizer.snapshot());
            let neighbor_loss = pairs.as_ref().map(|pairs| neighbor_loss(&run.model, pairs, &recipe.neighbor));
            if let Some(loss) = &neighbor_loss {
                (loss * recipe.neighbor.weight).backward();
            }
            let [masked_norm, neighbor_norm] = run.optimizer.norms_around(before.as_deref())?;

            // Step.
            let learning_rate = recipe.optimizer.learning_rate_at(step, total);
            let gradient_norm = run.optimizer.step(learning_rate)?;
            let loss = loss.map(|loss| loss.double_value(&[]));
            skipped = if gradient_norm.is_finite() { 0 } else { skipped + 1 };
            run.state.skipped += u64::from(skipped > 0);
            if skipped == MOST_SKIPPED {
                return Err(RunError::NotFinite {
                    step,
                    documents: batch.documents[..8.min(batch.documents.len())].to_vec(),
                });
            }
            if let Some(loss) = loss.filter(|loss| adaptive && loss.is_finite()) {
                run.state.switch.update(masked.mode, loss);
            }
            let tokens = (masked.input_ids.len() + pairs.as_ref().map_or(0, |p| p.input_ids.len())) as u64;
            run.state.advance(step + 1, tokens, run.optimizer.steps(), batch.after, pairs.map(|p| p.after));

            // Log.
            let record = StepRecord {
                step: step + 1,
                stage: stage.number,
                epoch: batch.epoch,
                mode: masked.mode,
                loss,
                neighbor_loss: neighbor_loss.map(|loss| loss.double_value(&[])),
                alpha,
                word_loss: run.state.switch.last_loss(MaskMode::Word),
                phrase_loss: run.state.switch.last_loss(MaskMode::Phrase),
                eta_word,
                eta_phrase,
                learning_rate,
                gradient_norm,
                masked_gradient_norm: masked_norm,
                neighbor_gradient_norm: neighbor_norm,
                masked_share: masked.selected.len() as f64 / batch.content_tokens().max(1) as f64,
                tokens: run.state.tokens,
                skipped: run.state.skipped,
                seconds: started.elapsed().as_secs_f64(),
            };
            run.journal.step(&record, tokens)?;

            // Measure and save.
            let (last, stopped) = (step + 1 == total, stop.load(Ordering::Relaxed));
            let best = (last || due(run.recipe.measure.every, step + 1)) && measure(run)?;
            if best || last || stopped || due(run.recipe.checkpoint.every, step + 1) {
                run.save()?;
            }
            if stopped && !last {
                return Ok(Ended::Stopped);
            }
        }
    }
    if total == 0 {
        // Nothing is trained: the run's model is what it started from.
        run.save()?;
    }
    run.journal.finish()?;
    Ok(Ended::Finished)
}

fn due(every: u64, done: u64) -> bool {
    every > 0 && done.is_multiple_of(every)
}

/// Mean cross entropy over the selected tokens (eq. 6), in nats, a scalar; `None` when there are none. `lengths` are the
/// tokens of each sequence, `[CLS]` and `[SEP]` counted.
pub fn masked_loss(model: &BertForMaskedLm, batch: &MaskedBatch, lengths: &[usize], phase: Phase) -> Option<Tensor> {
    let (logits, labels) = predict(model, batch, lengths, phase)?;
    Some(logits.cross_entropy_for_logits(&labels))
}

/// Scores at the selected tokens, and what they were.
fn predict(model: &BertForMaskedLm, batch: &MaskedBatch, lengths: &[usize], phase: Phase) -> Option<(Tensor, Tensor)> {
    if batch.selected.is_empty() {
        return None;
    }
    let device = model.device();
    let packed = Packed::new(&batch.input_ids, lengths, device, Waste::for_device(device));
    let labels: Vec<i64> = batch.labels.iter().map(|&id| i64::from(id)).collect();
    Some((model.predict_at(&packed, &batch.selected, phase), Tensor::from_slice(&labels).to_device(device)))
}

/// Neighbor Product Reconstruction of a batch of pairs, unweighted.
pub fn neighbor_loss(model: &BertForMaskedLm, batch: &PairBatch, options: &NeighborOptions) -> Tensor {
    let device = model.device();
    let packed = Packed::new(&batch.input_ids, &batch.lengths, device, Waste::for_device(device));
    neighbor::loss(&model.encode(&packed, Phase::Train), &batch.lengths, &batch.pairs, options)
}

/// Measures on the held-out documents, and notes it. Gives whether the mean of the losses is the lowest so far after training.
fn measure(run: &mut Run) -> Result<bool, RunError> {
    let measured: Vec<Measured> = run
        .held_out
        .sets
        .iter()
        .filter_map(|set| {
            let (mut loss, mut right, mut tokens, mut whole, mut units) = (0.0, 0, 0, 0, 0);
            for (lengths, batch) in &set.batches {
                let predicted = tch::no_grad(|| predict(&run.model, batch, lengths, Phase::Evaluate));
                let Some((logits, labels)) = predicted else { continue };
                loss += logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0).double_value(&[]);
                let hits = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Int64);
                let hits: Vec<i64> = Vec::try_from(hits.to_device(tch::Device::Cpu)).unwrap_or_default();
                right += hits.iter().sum::<i64>();
                tokens += hits.len() as u64;
                let (all, found) = whole_units(&batch.units, &hits);
                (whole, units) = (whole + found, units + all);
            }
            let share = |n: f64, of: u64| n / of.max(1) as f64;
            (tokens > 0).then(|| Measured {
                mode: set.mode,
                loss: share(loss, tokens),
                accuracy: share(right as f64, tokens),
                tokens,
                whole: share(whole as f64, units),
                units,
            })
        })
        .collect();
    let mean = measured.iter().map(|m| m.loss).sum::<f64>() / measured.len().max(1) as f64;
    let step = run.state.step;
    let best = step > 0 && !measured.is_empty() && run.state.best.is_none_or(|best| mean < best.loss);
    if best {
        run.state.best = Some(Best { step, loss: mean });
    }
    if step == 0 {
        run.state.first_measured = measured.clone();
    }
    run.last_measured = measured.clone();
    run.journal.held_out(&HeldOutRecord { step, held_out: measured })?;
    Ok(best)
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

/// Documents by id, as a message lists them.
pub fn list(documents: &[DocumentId]) -> String {
    documents.iter().map(DocumentId::to_string).collect::<Vec<_>>().join(", ")
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
