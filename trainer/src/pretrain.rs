//! The pre-training loop: batch, mode, losses, step, log, measure, save.
//!
//! Nothing in a step waits for the device: what a step gave is read while the next is under way, and so the switch learns it one
//! step late, on every device alike.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use schemas::Draws;
use tch::{Kind, Tensor};

use crate::{
    data::{Batch, MaskedBatch, pair_batches, segment_batches},
    log::{HeldOutRecord, Measured, MeasuredPairs, MeasuredPart, StepRecord},
    masking::{MaskMode, TakenAs},
    neighbor::{self, Spread},
    optimizer::Trains,
    recipe::Scheme,
    run::{Run, RunError},
    schedule::PlannedStage,
    session::{Objective, Pending},
    state::Best,
    step::{masked_gradients, neighbor_gradients, predict},
};
use ebert_bert::{Packed, Phase, cross_entropy};
use ebert_kernels::{Reading, TorchError};

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

/// Trains until the schedule ends or `stop` is set; the state is saved either way.
///
/// # Errors
/// If data cannot be read, a checkpoint or the metrics cannot be written, libtorch refuses, another process is lost, or gradients
/// are not finite for [`MOST_SKIPPED`] steps in a row. Earlier checkpoints stay as they are.
pub fn pretrain(run: &mut Run, stop: &AtomicBool) -> Result<Ended, RunError> {
    if run.state.step == 0 {
        measure(run)?;
    }
    let mut ended = Ended::Finished;
    for stage in run.schedule.stages.clone() {
        if run.state.step < stage.steps.end && ended == Ended::Finished {
            ended = train_stage(run, &stage, stop)?;
        }
    }
    if run.schedule.steps() == 0 {
        // Nothing is trained: the run's model is the start model.
        run.save()?;
    }
    run.finish()?;
    Ok(ended)
}

/// Trains to the end of a stage, or until a process is asked to stop.
fn train_stage(run: &mut Run, stage: &PlannedStage, stop: &AtomicBool) -> Result<Ended, RunError> {
    run.begin(stage);
    let (recipe, total) = (run.recipe.clone(), run.schedule.steps());
    let micro_batch = recipe.optimizer.micro_batch_tokens;
    let mut segments = segment_batches(
        &run.shards,
        &run.masking.with_budget(stage.budget),
        stage.segment_plan(&recipe),
        run.state.segments,
    )?;
    let mut pairs = stage
        .neighbor
        .then(|| pair_batches(&run.shards, recipe.seed, recipe.data.mix, recipe.neighbor.pairs, run.state.pairs));
    let mut pairs = pairs.take().transpose()?;
    // The step that the device may still be at.
    let mut launched: VecDeque<Launched> = VecDeque::new();
    for step in run.state.step..stage.steps.end {
        // Batch.
        let started = Instant::now();
        let batch = segments.next_batch()?;
        let trains = stage.trains_at(step);
        // The head has no part in pairs.
        let pairs = pairs.as_mut().filter(|_| trains == Trains::All).map(|pairs| pairs.next_batch()).transpose()?;
        let waited = started.elapsed();

        // Mode.
        let drawn = Drawn::of(run, step);

        // Losses and step.
        run.seed_dropout(step);
        let masked = |model: &_, world: &_| masked_gradients(model, &batch, drawn.mode, micro_batch, world);
        let neighbor = pairs.as_ref().map(|pairs| -> Objective<'_, _> {
            Box::new(|model, world| Some(neighbor_gradients(model, pairs, &recipe.neighbor, micro_batch, world)))
        });
        run.session.train(trains);
        let learning_rate = recipe.optimizer.learning_rate_at(step, total, run.schedule.rises_from(step));
        let pending = run.session.step(Box::new(masked), neighbor, learning_rate, stop.load(Ordering::Relaxed))?;

        // Log: the step before, which is done by now.
        let mut stopped = false;
        let tokens = batch.in_mode(drawn.mode).input_ids.len() + pairs.as_ref().map_or(0, |p| p.input_ids.len());
        run.state.advance(step + 1, tokens as u64, batch.after, pairs.as_ref().map(|p| p.after));
        let record = drawn.record(run, stage, &batch, learning_rate);
        while let Some(before) = launched.pop_front() {
            stopped |= before.note(run)?;
        }
        let times = [waited, started.elapsed()];
        launched.push_back(Launched { record, adaptive: drawn.adaptive.is_some(), batch, tokens, pending, times });

        // Measure and save.
        let last = step + 1 == total;
        let measured = last || due(recipe.measure.every, step + 1);
        let saved = last || stopped || due(recipe.checkpoint.every, step + 1);
        if !measured && !saved && step + 1 < stage.steps.end {
            continue;
        }
        while let Some(now) = launched.pop_front() {
            stopped |= now.note(run)?;
        }
        let best = measured && measure(run)?;
        if best || saved || stopped {
            run.save()?;
        }
        if stopped && !last {
            return Ok(Ended::Stopped);
        }
    }
    Ok(Ended::Finished)
}

fn due(every: u64, done: u64) -> bool {
    every > 0 && done.is_multiple_of(every)
}

/// The mode of a step, as the switch drew it.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    mode: MaskMode,
    adaptive: Option<Adaptive>,
}

/// The numbers that a scheme with two modes drew by.
#[derive(Clone, Copy, Debug)]
struct Adaptive {
    alpha: f64,
    eta_word: Option<f64>,
    eta_phrase: Option<f64>,
}

impl Drawn {
    fn of(run: &mut Run, step: u64) -> Self {
        let scheme = run.recipe.scheme;
        let switch = &mut run.state.switch;
        switch.learn_for(step);
        match (scheme, scheme.modes().first()) {
            (Scheme::Adaptive | Scheme::Mixed, _) | (_, None) => Self {
                mode: switch.draw(run.recipe.seed, step),
                adaptive: Some(Adaptive {
                    alpha: switch.alpha(step),
                    eta_word: switch.eta(MaskMode::Word),
                    eta_phrase: switch.eta(MaskMode::Phrase),
                }),
            },
            (_, Some(&mode)) => Self { mode, adaptive: None },
        }
    }

    /// In phrase mode, the part of the selected tokens that was taken as this.
    fn of_phrases(&self, batch: &Batch, taken_as: TakenAs) -> Option<f64> {
        (self.mode == MaskMode::Phrase).then(|| batch.in_mode(self.mode).part_taken_as(taken_as))
    }

    /// The record of the step, without the numbers that the device still owes.
    fn record(&self, run: &Run, stage: &PlannedStage, batch: &Batch, learning_rate: f64) -> StepRecord {
        StepRecord {
            step: run.state.step,
            stage: stage.number,
            trains: stage.trains_at(run.state.step - 1),
            epoch: batch.epoch,
            mode: self.mode,
            loss: None,
            neighbor_loss: None,
            alpha: self.adaptive.map(|adaptive| adaptive.alpha),
            word_loss: None,
            phrase_loss: None,
            eta_word: self.adaptive.and_then(|adaptive| adaptive.eta_word),
            eta_phrase: self.adaptive.and_then(|adaptive| adaptive.eta_phrase),
            learning_rate,
            gradient_norm: f64::NAN,
            masked_gradient_norm: None,
            neighbor_gradient_norm: None,
            in_pool_phrases: self.of_phrases(batch, TakenAs::PoolPhrase),
            in_noun_phrases: self.of_phrases(batch, TakenAs::NounPhrase),
            masked_share: batch.in_mode(self.mode).selected.len() as f64 / batch.content_tokens().max(1) as f64,
            tokens: run.state.tokens,
            skipped: 0,
            waited: 0.0,
            seconds: 0.0,
        }
    }
}

/// A step that the device was asked for.
struct Launched {
    record: StepRecord,
    adaptive: bool,
    batch: Batch,
    tokens: usize,
    pending: Pending,
    /// Spent waiting for the batch, and in all.
    times: [Duration; 2],
}

impl Launched {
    /// Waits for the step, tells the switch its loss, and logs it. Gives whether some process was asked to stop.
    fn note(self, run: &mut Run) -> Result<bool, RunError> {
        let mut record = self.record;
        let numbers = self.pending.finish()?;
        [record.loss, record.neighbor_loss] = numbers.losses;
        [record.masked_gradient_norm, record.neighbor_gradient_norm] =
            numbers.norms.map_or([None; 2], |norms| norms.map(Some));
        record.gradient_norm = numbers.gradient_norm;
        run.skipped_in_a_row = if record.gradient_norm.is_finite() { 0 } else { run.skipped_in_a_row + 1 };
        run.state.skipped += u64::from(run.skipped_in_a_row > 0);
        if run.skipped_in_a_row == MOST_SKIPPED {
            let documents = self.batch.documents[..8.min(self.batch.documents.len())].to_vec();
            return Err(RunError::NotFinite { step: record.step - 1, documents });
        }
        let switch = &mut run.state.switch;
        if let Some(loss) = record.loss.filter(|loss| self.adaptive && loss.is_finite()) {
            switch.tell(record.step - 1, record.mode, loss);
        }
        record.word_loss = switch.last_loss(MaskMode::Word);
        record.phrase_loss = switch.last_loss(MaskMode::Phrase);
        record.skipped = run.state.skipped;
        [record.waited, record.seconds] = self.times.map(|time| time.as_secs_f64());
        run.note(&record, self.tokens as u64)?;
        Ok(numbers.stopped)
    }
}

/// Measures on the held-out documents and pairs, and notes it. Gives whether the mean of the masked-LM losses is the lowest so
/// far in the last stage.
fn measure(run: &mut Run) -> Result<bool, RunError> {
    let mut measured = Vec::new();
    for set in &run.held_out.sets {
        let mut sums = [[0.0; Sums::FIELDS]; Sums::PARTS.len()];
        for batch in run.session.world.indices_of_rank(set.batches.len()) {
            let (lengths, batch) = &set.batches[batch];
            let predicted = tch::no_grad(|| predict(&run.session.model, batch, lengths));
            let Some((scores, labels)) = predicted else { continue };
            let hits = scores.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Int64);
            let hits = Vec::<i64>::try_from(hits.to_device(tch::Device::Cpu)).map_err(|e| TorchError(e.to_string()))?;
            for (sums, part) in sums.iter_mut().zip(Sums::PARTS) {
                Sums::add(sums, part, batch, &scores, &labels, &hits);
            }
        }
        let device = run.session.model.encoder().device();
        let all = Tensor::from_slice(sums.as_flattened()).to_device(device);
        run.session.world.all_reduce(&[all.shallow_clone()], "measured held-out documents")?;
        let all = Reading::<{ Sums::FIELDS * Sums::PARTS.len() }>::start(&all)?.finish()?;
        let (all, _) = all.as_chunks::<{ Sums::FIELDS }>();
        if let Some(MeasuredPart { loss, accuracy, tokens, whole, units }) = Sums::finish(all[0]) {
            let part = |part: usize| if set.mode == MaskMode::Phrase { Sums::finish(all[part]) } else { None };
            let (pool_phrases, noun_phrases) = (part(1), part(2));
            let mode = set.mode;
            measured.push(Measured { mode, loss, accuracy, tokens, whole, units, pool_phrases, noun_phrases });
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

/// Sums over held-out tokens: loss, tokens, tokens that are right, words or phrases, those that are right as a whole.
struct Sums;

impl Sums {
    const FIELDS: usize = 5;
    /// All tokens, and those taken as one thing.
    const PARTS: [Option<TakenAs>; 3] = [None, Some(TakenAs::PoolPhrase), Some(TakenAs::NounPhrase)];

    /// Adds a part of a batch. `hits` is 1 for each token that is right.
    fn add(
        sums: &mut [f64; Self::FIELDS],
        part: Option<TakenAs>,
        batch: &MaskedBatch,
        scores: &Tensor,
        labels: &Tensor,
        hits: &[i64],
    ) {
        let is_of_part = |index: &usize| part.is_none_or(|part| batch.taken_as[*index] == part);
        let indices: Vec<usize> = (0..hits.len()).filter(is_of_part).collect();
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
        let units: Vec<Option<u32>> = indices.iter().map(|&index| batch.units[index]).collect();
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
    let (encoder, options) = (run.session.model.encoder(), &run.recipe.neighbor);
    let device = encoder.device();
    let width = encoder.config().hidden_size;
    // Hinge, near, far, pairs whose neighbor is nearer, pairs; then the sums of the spread.
    let sums = tch::no_grad(|| {
        let mut sums = Tensor::zeros([5 + width + 3], (Kind::Double, device));
        for batch in run.session.world.indices_of_rank(run.held_out_pairs.batches.len()) {
            let batch = &run.held_out_pairs.batches[batch];
            let hidden = encoder.encode(&Packed::new(&batch.input_ids, &batch.lengths, device), Phase::Evaluate);
            let distances = neighbor::distances(&hidden, &batch.lengths, &batch.pairs, options);
            let total = |of: Tensor| of.sum(Kind::Double).view([1]);
            let count = Tensor::full([1], batch.pairs.len() as i64, (Kind::Double, device));
            let of_pairs = [
                total(distances.hinge(options.margin)),
                total(distances.near.shallow_clone()),
                total(distances.far.shallow_clone()),
                total(distances.near.lt_tensor(&distances.far)),
                count,
            ];
            let anchors = batch.pairs.iter().map(|[anchor, ..]| *anchor);
            let spread = Spread::of(&hidden, &batch.lengths, anchors).sums;
            sums += Tensor::cat(&[Tensor::cat(&of_pairs, 0), spread], 0);
        }
        sums
    });
    run.session.world.all_reduce(&[sums.shallow_clone()], "measured held-out pairs")?;
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
    }))
}

impl Run {
    /// Begins a stage, unless it continues one.
    fn begin(&mut self, stage: &PlannedStage) {
        if self.state.step == stage.steps.start {
            self.state.segments = Default::default();
            self.state.switch.begin_stage(stage.steps.end - stage.steps.start, stage.other_corpora);
        }
    }

    /// Dropout is drawn by the step, and by each process for itself.
    fn seed_dropout(&self, step: u64) {
        let world = &self.session.world;
        let id = [step.to_le_bytes(), (world.ranks().rank as u64).to_le_bytes()].concat();
        let id = if world.is_main() { &id[..8] } else { &id };
        tch::manual_seed(Draws::new(self.recipe.seed, "dropout", id).next_u64() as i64);
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
