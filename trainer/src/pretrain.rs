//! The pre-training loop: batch, mode, losses, step, log, measure, save.
//!
//! Nothing in a step waits for the device: what a step gave is read while the next is under way,
//! and so the switch learns it one step late, on every device alike.
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use schemas::Draws;

use crate::{
    log::StepRecord,
    measure::measure,
    optimizer::Trains,
    run::{Run, RunError},
    schedule::PlannedStage,
    session::{Objective, Pending},
    step::{masked_gradients, neighbor_gradients},
};
use ebert_batches::{
    Batch,
    masking::{MaskMode, Scheme, TakenAs},
    pair_batches, segment_batches,
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// It was asked to stop, and has saved.
    Stopped,
}

/// Steps in a row without a finite gradient after which a run ends.
pub const MOST_SKIPPED: u32 = 10;

/// Trains until the schedule ends or `stop` is set; the state is saved either way.
///
/// # Errors
/// If data cannot be read, a checkpoint or the metrics cannot be written, libtorch refuses, or
/// another process is lost. Also if gradients are not finite for [`MOST_SKIPPED`] steps in a row.
/// Earlier checkpoints stay as they are.
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
        stage.segment_plan(&recipe, &run.session.model.bert.encoder().config().family),
        run.state.segments,
    )?;
    let pairs = stage.neighbor.then(|| pair_batches(&run.shards, recipe.pair_plan(), run.state.pairs));
    let mut pairs = pairs.transpose()?;
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
            boundary_loss: None,
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
    /// Waits for the step, passes its loss to the switch, and logs it. Returns whether some process
    /// was asked to stop.
    fn note(self, run: &mut Run) -> Result<bool, RunError> {
        let mut record = self.record;
        let numbers = self.pending.finish()?;
        [record.loss, record.neighbor_loss] = numbers.losses;
        record.boundary_loss = numbers.auxiliary;
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
        // What a fresh head learns alone says nothing about the modes.
        let counts = self.adaptive && record.trains == Trains::All;
        if let Some(loss) = record.loss.filter(|loss| counts && loss.is_finite()) {
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

impl Run {
    /// Begins a stage, unless it continues one.
    fn begin(&mut self, stage: &PlannedStage) {
        if self.state.step == stage.steps.start {
            self.state.segments = Default::default();
            self.state.switch.begin_stage(stage.steps.end - stage.steps.start, stage.other_losses);
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
