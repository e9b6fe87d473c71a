//! The pre-training loop: batch, mode, losses, step, log, measure, save.
//!
//! Nothing in a step waits for the device: what a step gave is read while the next is under way, and so the switch learns it one
//! step late, on every device alike.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use schemas::{DocumentId, Draws};
use tch::{Kind, Tensor};

use crate::{
    checkpoint::Best,
    data::{Batch, pair_batches, segment_batches},
    log::{HeldOutRecord, Measured, StepRecord},
    masking::MaskMode,
    recipe::Scheme,
    run::{Run, RunError},
    schedule::PlannedStage,
    step::{masked_gradients, neighbor_gradients, predict},
};
use ebert_bert::{cross_entropy, upload};
use ebert_kernels::Reading;

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
/// When data cannot be read, a checkpoint or the metrics cannot be written, libtorch refuses, another process is lost, or gradients are not
/// finite for [`MOST_SKIPPED`] steps in a row. The checkpoints before stay as they are.
pub fn pretrain(run: &mut Run, stop: &AtomicBool) -> Result<Ended, RunError> {
    if run.state.step == 0 {
        measure(run)?;
    }
    let (recipe, total, at_once) = (run.recipe.clone(), run.schedule.steps(), run.recipe.optimizer.tokens_at_once);
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
        // The step that the device may still be at.
        let mut before: Option<Launched> = None;
        for step in run.state.step..stage.steps.end {
            let started = Instant::now();
            run.seed_dropout(step);

            // Batch and mode.
            let batch = segments.next_batch()?;
            let pairs = pairs.as_mut().map(|pairs| pairs.next_batch()).transpose()?;
            let waited = started.elapsed();
            let drawn = Drawn::of(run, step);

            // Losses. Gradients add up, so that the masked-LM graph is freed before the pairs' is made.
            let loss = masked_gradients(&run.model, (&batch, drawn.mode), at_once, &run.world);
            let aside = pairs.as_ref().map(|_| run.optimizer.set_aside()).transpose()?;
            let neighbor = |pairs| neighbor_gradients(&run.model, pairs, &recipe.neighbor, at_once, &run.world);
            let neighbor_loss = pairs.as_ref().map(neighbor);

            // Step.
            let losses = [loss.as_ref(), neighbor_loss.as_ref()];
            let told = run.gather(losses, stop.load(Ordering::Relaxed), aside.as_deref())?;
            let norms = run.norms(aside.as_deref())?;
            let learning_rate = recipe.optimizer.learning_rate_at(step, total);
            let norm = run.optimizer.step(learning_rate)?;
            let reading = Reading::start(&Tensor::cat(&[told, norms, norm.view([1])], 0))?;

            // Log: the step before, which is done by now.
            let tokens = batch.in_mode(drawn.mode).input_ids.len() + pairs.as_ref().map_or(0, |p| p.input_ids.len());
            run.state.advance(step + 1, tokens as u64, batch.after, pairs.as_ref().map(|p| p.after));
            let there = [loss.is_some(), neighbor_loss.is_some()];
            let launched = Launched::new(run, &stage, batch, drawn, (learning_rate, tokens, there), reading);
            let mut stopped = before.take().map_or(Ok(false), |before| before.note(run))?;
            let launched = Launched { waited, seconds: started.elapsed(), ..launched };

            // Measure and save.
            let last = step + 1 == total;
            let measured = last || due(recipe.measure.every, step + 1);
            let saved = last || stopped || due(recipe.checkpoint.every, step + 1);
            if !measured && !saved && step + 1 < stage.steps.end {
                before = Some(launched);
                continue;
            }
            stopped |= launched.note(run)?;
            let best = measured && measure(run)?;
            if best || saved || stopped {
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
    run.finish()?;
    Ok(Ended::Finished)
}

fn due(every: u64, done: u64) -> bool {
    every > 0 && done.is_multiple_of(every)
}

/// What the switch says for a step.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    mode: MaskMode,
    /// Of an adaptive scheme: alpha, and eta of words and of phrases.
    adaptive: Option<[f64; 3]>,
}

impl Drawn {
    fn of(run: &mut Run, step: u64) -> Self {
        let scheme = run.recipe.scheme;
        let switch = &mut run.state.switch;
        switch.learn_for(step);
        let etas = [MaskMode::Word, MaskMode::Phrase].map(|mode| switch.eta(mode));
        match (scheme, scheme.modes().first()) {
            (Scheme::Adaptive, _) | (_, None) => Self {
                mode: switch.draw(run.recipe.seed, step),
                adaptive: Some([switch.alpha(step), etas[0], etas[1]]),
            },
            (_, Some(&mode)) => Self { mode, adaptive: None },
        }
    }
}

/// Numbers that a step gives: both losses, how many processes were told to stop, the norms of both gradients, and that of their sum.
const NUMBERS: usize = 6;

/// A step that the device was asked for.
struct Launched {
    record: StepRecord,
    adaptive: bool,
    documents: Vec<DocumentId>,
    tokens: u64,
    reading: Reading<NUMBERS>,
    waited: Duration,
    seconds: Duration,
}

impl Launched {
    fn new(
        run: &Run,
        stage: &PlannedStage,
        batch: Batch,
        drawn: Drawn,
        (learning_rate, tokens, there): (f64, usize, [bool; 2]),
        reading: Reading<NUMBERS>,
    ) -> Self {
        let of = |index: usize| drawn.adaptive.map(|adaptive| adaptive[index]);
        // What is there is read when the device is done.
        let later = |there: bool| there.then_some(f64::NAN);
        let record = StepRecord {
            step: run.state.step,
            stage: stage.number,
            epoch: batch.epoch,
            mode: drawn.mode,
            loss: later(there[0]),
            neighbor_loss: later(there[1]),
            alpha: of(0),
            word_loss: None,
            phrase_loss: None,
            eta_word: of(1),
            eta_phrase: of(2),
            learning_rate,
            gradient_norm: f64::NAN,
            masked_gradient_norm: later(there[1]),
            neighbor_gradient_norm: later(there[1]),
            masked_share: batch.in_mode(drawn.mode).selected.len() as f64 / batch.content_tokens().max(1) as f64,
            tokens: run.state.tokens,
            skipped: 0,
            waited: 0.0,
            seconds: 0.0,
        };
        Self {
            record,
            adaptive: drawn.adaptive.is_some(),
            documents: batch.documents,
            tokens: tokens as u64,
            reading,
            waited: Duration::ZERO,
            seconds: Duration::ZERO,
        }
    }

    /// Waits for the step, lets the switch hear of it, and notes it. Gives whether some process was told to stop.
    fn note(self, run: &mut Run) -> Result<bool, RunError> {
        let mut record = self.record;
        let [loss, neighbor_loss, stopped, masked_norm, neighbor_norm, norm] = self.reading.finish()?;
        let fill = |place: &mut Option<f64>, number: f64| {
            if let Some(place) = place {
                *place = number;
            }
        };
        fill(&mut record.loss, loss);
        fill(&mut record.neighbor_loss, neighbor_loss);
        fill(&mut record.masked_gradient_norm, masked_norm);
        fill(&mut record.neighbor_gradient_norm, neighbor_norm);
        record.gradient_norm = norm;
        run.skipped_in_a_row = if norm.is_finite() { 0 } else { run.skipped_in_a_row + 1 };
        run.state.skipped += u64::from(run.skipped_in_a_row > 0);
        if run.skipped_in_a_row == MOST_SKIPPED {
            let documents = self.documents[..8.min(self.documents.len())].to_vec();
            return Err(RunError::NotFinite { step: record.step - 1, documents });
        }
        let switch = &mut run.state.switch;
        if let Some(loss) = record.loss.filter(|loss| self.adaptive && loss.is_finite()) {
            switch.tell(record.step - 1, record.mode, loss);
        }
        record.word_loss = switch.last_loss(MaskMode::Word);
        record.phrase_loss = switch.last_loss(MaskMode::Phrase);
        record.skipped = run.state.skipped;
        [record.waited, record.seconds] = [self.waited, self.seconds].map(|time| time.as_secs_f64());
        run.note(&record, self.tokens)?;
        Ok(stopped > 0.0)
    }
}

/// Measures on the held-out documents, and notes it. Gives whether the mean of the losses is the lowest so far after training.
fn measure(run: &mut Run) -> Result<bool, RunError> {
    let mut measured = Vec::new();
    for set in &run.held_out.sets {
        // Loss, tokens, tokens that are right, words or phrases, those that are right as a whole.
        let mut sums = [0.0; 5];
        for batch in run.world.share(set.batches.len()) {
            let (lengths, batch) = &set.batches[batch];
            let predicted = tch::no_grad(|| predict(&run.model, batch, lengths));
            let Some((scores, labels)) = predicted else { continue };
            let hits = scores.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Int64);
            let hits: Vec<i64> = Vec::try_from(hits.to_device(tch::Device::Cpu)).unwrap_or_default();
            let (units, whole) = whole_units(&batch.units, &hits);
            let right = hits.iter().sum::<i64>();
            let more = [cross_entropy(&scores, &labels).double_value(&[]), hits.len() as f64, right as f64];
            let more = more.into_iter().chain([units as f64, whole as f64]);
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        let device = run.model.encoder().device();
        let all = Tensor::from_slice(&sums).to_device(device);
        run.world.sum(&[all.shallow_clone()], "measured held-out documents")?;
        let [loss, tokens, right, units, whole] = Reading::<5>::start(&all)?.finish()?;
        if tokens > 0.0 {
            measured.push(Measured {
                mode: set.mode,
                loss: loss / tokens,
                accuracy: right / tokens,
                tokens: tokens as u64,
                whole: whole / units.max(1.0),
                units: units as u64,
            });
        }
    }
    let mean = measured.iter().map(|m| m.loss).sum::<f64>() / measured.len().max(1) as f64;
    let step = run.state.step;
    let best =
        step > 0 && !measured.is_empty() && mean.is_finite() && run.state.best.is_none_or(|best| mean < best.loss);
    if best {
        run.state.best = Some(Best { step, loss: mean });
    }
    if step == 0 {
        run.state.first_measured = measured.clone();
    }
    run.state.last_measured = measured.clone();
    run.note_held_out(&HeldOutRecord { step, held_out: measured })?;
    Ok(best)
}

impl Run {
    /// Dropout is drawn by the step, and on each process by itself.
    fn seed_dropout(&self, step: u64) {
        let id = [step.to_le_bytes(), (self.world.ranks().rank as u64).to_le_bytes()].concat();
        let id = if self.world.leads() { &id[..8] } else { &id };
        tch::manual_seed(Draws::new(self.recipe.seed, "dropout", id).next_u64() as i64);
    }

    /// Sums over the processes: gradients (those that were put `aside`, too), both losses, and whether to stop. Gives the last three.
    fn gather(&self, losses: [Option<&Tensor>; 2], stop: bool, aside: Option<&[Tensor]>) -> Result<Tensor, RunError> {
        let device = self.model.encoder().device();
        let stop = upload(&[i32::from(stop)], device).to_kind(Kind::Float);
        let loss = |loss: Option<&Tensor>| loss.map_or_else(|| stop.zeros_like(), |loss| loss.view([1]));
        let told = Tensor::cat(&[loss(losses[0]), loss(losses[1]), stop.shallow_clone()], 0);
        let mut all = self.optimizer.gradients();
        all.extend(aside.unwrap_or_default().iter().map(Tensor::shallow_clone));
        all.push(told.shallow_clone());
        self.world.sum(&all, "added up gradients")?;
        Ok(told)
    }

    /// The norms of the masked-LM gradient, which was put `aside`, and of the neighbor gradient, `[2]`; zeros where there is one gradient
    /// alone. After it the gradients are the sum of both.
    fn norms(&self, aside: Option<&[Tensor]>) -> Result<Tensor, RunError> {
        let Some(aside) = aside else {
            return Ok(Tensor::zeros([2], (Kind::Float, self.model.encoder().device())));
        };
        let gradients = self.optimizer.gradients();
        let norms = Tensor::stack(&[ebert_kernels::norm(aside)?, ebert_kernels::norm(&gradients)?], 0);
        ebert_kernels::add(&gradients, aside)?;
        Ok(norms)
    }
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
