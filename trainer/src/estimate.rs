//! What a run will take: `ebert pretrain --dry-run` does a step or two of each stage, keeps
//! nothing, and estimates from there.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    log::brief,
    model::PretrainingModel,
    optimizer::Trains,
    run::{Plan, Request, RunError},
    session::{self, Objective, Session},
    step::{masked_gradients, neighbor_gradients},
    world::World,
};
use ebert_batches::{Position, masking::Masking, pair_batches, segment_batches};

/// What a run is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Tokens trained on, special tokens and pairs counted.
    pub tokens: f64,
    /// Wall time of all steps.
    pub time: Duration,
    /// The most memory that the process had, in bytes, where the system reports it. It does not
    /// include a GPU's.
    pub memory: Option<u64>,
}

/// A first step that took longer is not repeated: it is warm enough.
const LONG: Duration = Duration::from_secs(5);
/// Steps that are averaged.
const STEPS: u32 = 3;

impl Estimate {
    /// Does some steps of each stage on the device of the request.
    ///
    /// # Errors
    /// As training: when data or weights cannot be read, or libtorch refuses.
    pub fn of(plan: &mut Plan, request: &Request) -> Result<Self, RunError> {
        let recipe = plan.recipe.clone();
        let device = session::prepare(request.device, 0, request.threads)?;
        let model = PretrainingModel::new(plan.start.model(recipe.seed, device, recipe.compute)?, &recipe);
        let mut session = Session::new(model, recipe.optimizer, World::alone());
        let lowest_score = plan.shards.manifest().body.pool.lowest_score;
        let masking = Arc::new(Masking::new(recipe.masking, plan.shards.vocabulary().clone(), lowest_score));
        let mut estimate = Self::default();
        for stage in &plan.schedule.stages {
            let mut segments = segment_batches(
                &plan.shards,
                &masking.with_budget(stage.budget),
                stage.segment_plan(&recipe, &plan.start.config.family),
                Position::default(),
            )?;
            let trains = stage.trains_at(stage.head_until.min(stage.steps.end - 1));
            // The head has no part in pairs.
            let mut pairs = match stage.neighbor && trains == Trains::All {
                true => Some(pair_batches(&plan.shards, recipe.pair_plan(), Position::default())?),
                false => None,
            };
            session.train(trains);
            let mut step = || -> Result<(usize, Duration), RunError> {
                let since = Instant::now();
                let batch = segments.next_batch()?;
                let pairs = pairs.as_mut().map(|pairs| pairs.next_batch()).transpose()?;
                let (mode, micro_batch) = (batch.masked[0].mode, recipe.optimizer.micro_batch_tokens);
                let masked = |model: &_, world: &_| masked_gradients(model, &batch, mode, micro_batch, world);
                let neighbor = pairs.as_ref().map(|pairs| -> Objective<'_, _> {
                    Box::new(|model, world| {
                        Some(neighbor_gradients(model, pairs, &recipe.neighbor, micro_batch, world))
                    })
                });
                // Reading the numbers waits for the device.
                session.step(Box::new(masked), neighbor, 0.0, false)?.finish()?;
                let tokens = batch.masked[0].input_ids.len() + pairs.as_ref().map_or(0, |p| p.input_ids.len());
                Ok((tokens, since.elapsed()))
            };
            let first = step()?;
            let (mut tokens, mut time, mut done) = (first.0, first.1, 1);
            if first.1 < LONG {
                (tokens, time) = (0, Duration::ZERO);
                for _ in 0..STEPS {
                    let (more, took) = step()?;
                    (tokens, time) = (tokens + more, time + took);
                }
                done = STEPS;
            }
            let steps = (stage.steps.end - stage.steps.start) as f64 / f64::from(done);
            estimate.tokens += steps * tokens as f64;
            estimate.time += time.mul_f64(steps);
        }
        estimate.memory = peak_memory();
        Ok(estimate)
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.tokens / self.time.as_secs_f64().max(1e-9);
        write!(
            f,
            "expect    {} tokens in {} at {} tokens/s",
            brief(self.tokens),
            indicatif::HumanDuration(self.time),
            brief(rate)
        )?;
        match self.memory {
            Some(bytes) => write!(f, "; these steps took {:.1} GB of memory", bytes as f64 / 1e9),
            None => Ok(()),
        }
    }
}

/// The most memory that this process has had, in bytes.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_reads_well() {
        let estimate = Estimate { tokens: 4.1e6, time: Duration::from_secs(137), memory: Some(812_000_000) };
        assert_eq!(
            estimate.to_string(),
            "expect    4.1 M tokens in 2 minutes at 29.9 K tokens/s; these steps took 0.8 GB of memory"
        );
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 20));
    }
}
