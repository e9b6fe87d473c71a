//! Continual multi-task learning: the stages of a recipe, in steps.
use std::{collections::BTreeSet, ops::Range};

use crate::{
    data::{Corpus, DataError, SegmentPlan, Shards, StepSize},
    recipe::{Recipe, Stage},
};

/// The stages of a run over some shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In order, without gaps.
    pub stages: Vec<PlannedStage>,
    /// T1: steps before the switch follows the losses.
    pub warmup_steps: u64,
}

/// A stage, in steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStage {
    /// Number of the stage, from 1.
    pub number: usize,
    /// Its steps among those of the run.
    pub steps: Range<u64>,
    /// Steps in which its segments are gone through once.
    pub steps_per_epoch: u64,
    /// Whose segments are masked.
    pub corpora: Vec<Corpus>,
    /// Whether the stage before had others.
    pub other_corpora: bool,
    /// Whether every step also reconstructs neighbors.
    pub neighbor: bool,
    /// Epochs of earlier stages, begun ones counted whole.
    pub epochs_before: u32,
}

impl PlannedStage {
    /// What the batches of its segments hold.
    pub fn segment_plan(&self, recipe: &Recipe) -> SegmentPlan {
        SegmentPlan {
            corpora: self.corpora.clone(),
            size: recipe.optimizer.step_size(),
            mix: recipe.data.mix,
            modes: recipe.scheme.modes(),
            seed: recipe.seed,
            epochs_before: self.epochs_before,
        }
    }
}

impl Schedule {
    /// The schedule of a recipe over shards.
    ///
    /// # Errors
    /// When steps are counted in tokens, and these cannot be read.
    pub fn new(recipe: &Recipe, shards: &Shards) -> Result<Self, DataError> {
        let amounts: Result<Vec<u64>, DataError> = recipe
            .stage
            .iter()
            .map(|stage| match recipe.optimizer.step_size() {
                StepSize::Sequences(_) => Ok(stage.corpora.iter().map(|&c| shards.split(c).trained).sum()),
                StepSize::Tokens(_) => stage.corpora.iter().map(|&c| shards.trained_tokens(c)).sum(),
            })
            .collect();
        Ok(Self::of(recipe, &amounts?))
    }

    /// The schedule over so many sequences, or tokens, for each stage.
    fn of(recipe: &Recipe, amounts: &[u64]) -> Self {
        let (mut stages, mut first, mut epochs_before) = (Vec::new(), 0, 0);
        let (StepSize::Sequences(in_step) | StepSize::Tokens(in_step)) = recipe.optimizer.step_size();
        for (index, (stage, amount)) in recipe.stage.iter().zip(amounts).enumerate() {
            let steps_per_epoch = amount.div_ceil(in_step as u64).max(1);
            let steps = match (stage.steps, stage.epochs) {
                (Some(steps), _) => steps,
                (None, epochs) => ((epochs.unwrap_or(1.0) * steps_per_epoch as f64).round() as u64).max(1),
            };
            stages.push(PlannedStage {
                number: index + 1,
                steps: first..first + steps,
                steps_per_epoch,
                corpora: stage.corpora.clone(),
                other_corpora: index > 0 && set_of(&recipe.stage[index - 1]) != set_of(stage),
                neighbor: stage.neighbor,
                epochs_before,
            });
            first += steps;
            let epochs = u32::try_from(steps.div_ceil(steps_per_epoch)).unwrap_or(u32::MAX);
            epochs_before = u32::saturating_add(epochs_before, epochs);
        }
        let epoch = stages.first().map_or(1, |s: &PlannedStage| s.steps_per_epoch);
        let warmup_steps = (recipe.switch.warmup_epochs * epoch as f64).round() as u64;
        Self { stages, warmup_steps }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.steps.end)
    }
}

/// The corpora of a stage; their order says nothing.
fn set_of(stage: &Stage) -> BTreeSet<Corpus> {
    stage.corpora.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_become_steps() {
        let recipe = Recipe::load("e-bert", &["stage.1.epochs=2.5".into()]).unwrap();
        let schedule = Schedule::of(&recipe, &[200, 100]);
        let [first, second] = schedule.stages.as_slice() else { panic!("two stages") };
        assert_eq!((first.steps.clone(), first.steps_per_epoch, first.epochs_before), (0..35, 7, 0));
        assert_eq!((second.steps.clone(), second.steps_per_epoch, second.epochs_before), (35..45, 4, 5));
        assert_eq!((schedule.steps(), schedule.warmup_steps), (45, 7));
    }
}
