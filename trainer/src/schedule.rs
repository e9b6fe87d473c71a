//! Continual multi-task learning: the stages of a recipe, in steps.
use std::{collections::BTreeSet, ops::Range};

use crate::{
    init::Head,
    model::sequence_format,
    optimizer::Trains,
    recipe::{Recipe, Stage},
};
use ebert_batches::{Corpus, DataError, SegmentPlan, Shards, StepSize, masking::Scheme};
use ebert_bert::Family;

/// The stages of a run over some shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In order, without gaps.
    pub stages: Vec<PlannedStage>,
    /// T1: steps before the switch follows the losses; [`u64::MAX`] where alpha is constant.
    pub warmup_steps: u64,
}

/// A stage, in steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStage {
    /// Number of the stage, from 1.
    pub number: usize,
    /// Its steps among those of the run.
    pub steps: Range<u64>,
    /// Before this step the masked-LM head trains alone.
    pub head_until: u64,
    /// Steps in which its segments are gone through once.
    pub steps_per_epoch: u64,
    /// Whose segments are masked.
    pub corpora: Vec<Corpus>,
    /// Whether the stage before had other corpora or another budget, so that losses have another level.
    pub other_losses: bool,
    /// Whether every step also reconstructs neighbors.
    pub neighbor: bool,
    /// The part of tokens to select, if it is not the recipe's `masking.budget`.
    pub budget: Option<f64>,
    /// Epochs of earlier stages, begun ones counted whole.
    pub epochs_before: u32,
}

impl PlannedStage {
    /// Which weights a step of the stage changes.
    pub fn trains_at(&self, step: u64) -> Trains {
        if step < self.head_until { Trains::Head } else { Trains::All }
    }

    /// What the batches of its segments hold, for a model of this family.
    pub fn segment_plan(&self, recipe: &Recipe, family: &Family) -> SegmentPlan {
        SegmentPlan {
            corpora: self.corpora.clone(),
            size: recipe.optimizer.step_size(),
            mix: recipe.data.mix,
            modes: recipe.scheme.modes(),
            seed: recipe.seed,
            text_pairs: recipe.data.text_pairs,
            format: sequence_format(family),
            epochs_before: self.epochs_before,
        }
    }
}

impl Schedule {
    /// The schedule of a recipe over shards, from a model with this head.
    ///
    /// # Errors
    /// When steps are counted in tokens, and these cannot be read.
    pub fn new(recipe: &Recipe, shards: &Shards, head: Head) -> Result<Self, DataError> {
        let amounts: Result<Vec<u64>, DataError> = recipe
            .stage
            .iter()
            .map(|stage| match recipe.optimizer.step_size() {
                StepSize::Sequences(_) => Ok(stage.corpora.iter().map(|&c| shards.split(c).trained).sum()),
                StepSize::Tokens(_) => stage.corpora.iter().map(|&c| shards.trained_tokens(c)).sum(),
            })
            .collect();
        Ok(Self::of(recipe, &amounts?, head))
    }

    /// The schedule over so many sequences, or tokens, for each stage.
    fn of(recipe: &Recipe, amounts: &[u64], head: Head) -> Self {
        let (mut stages, mut first, mut epochs_before) = (Vec::new(), 0, 0);
        // What decides the level of a loss, next to the model.
        let level = |stage: &Stage| (set_of(stage), stage.budget.unwrap_or(recipe.masking.budget));
        let (StepSize::Sequences(in_step) | StepSize::Tokens(in_step)) = recipe.optimizer.step_size();
        for (index, (stage, amount)) in recipe.stage.iter().zip(amounts).enumerate() {
            let steps_per_epoch = amount.div_ceil(in_step as u64).max(1);
            let steps = match (stage.steps, stage.epochs) {
                (Some(steps), _) => steps,
                (None, epochs) => ((epochs.unwrap_or(1.0) * steps_per_epoch as f64).round() as u64).max(1),
            };
            let head_steps = match (stage.trains, head) {
                (Trains::Head, _) => steps,
                (Trains::All, Head::Fresh) if index == 0 => steps.min(recipe.fresh_head_steps),
                (Trains::All, _) => 0,
            };
            stages.push(PlannedStage {
                number: index + 1,
                steps: first..first + steps,
                head_until: first + head_steps,
                steps_per_epoch,
                corpora: stage.corpora.clone(),
                other_losses: index > 0 && level(&recipe.stage[index - 1]) != level(stage),
                neighbor: stage.neighbor,
                budget: stage.budget,
                epochs_before,
            });
            first += steps;
            let epochs = u32::try_from(steps.div_ceil(steps_per_epoch)).unwrap_or(u32::MAX);
            epochs_before = u32::saturating_add(epochs_before, epochs);
        }
        let epoch = stages.first().map_or(1, |s: &PlannedStage| s.steps_per_epoch);
        // A stage given in steps may be shorter than an epoch. The paper's T1 is one epoch of ten.
        let epoch = match recipe.stage.first() {
            Some(Stage { steps: Some(_), .. }) => epoch.min((first / 10).max(1)),
            _ => epoch,
        };
        let warmup_steps = match recipe.scheme {
            Scheme::Mixed => u64::MAX,
            _ => (recipe.switch.warmup_epochs * epoch as f64).round() as u64,
        };
        Self { stages, warmup_steps }
    }

    /// What to tell about alpha and T1: nothing for schemes with one mode.
    pub fn about_switch(&self, recipe: &Recipe) -> Option<String> {
        let (alpha0, t1, steps) = (recipe.switch.alpha0, self.warmup_steps, self.steps());
        match recipe.scheme {
            Scheme::Mixed => Some(format!("switch    alpha is {alpha0} at every step")),
            Scheme::Adaptive if t1 >= steps => Some(format!(
                "warning   alpha stays {alpha0}: T1 is {t1} steps, and the run has {steps}\n\
                 hint: lower switch.warmup_epochs, or set scheme = \"mixed\" for a constant alpha"
            )),
            Scheme::Adaptive => Some(format!("switch    alpha is {alpha0} for {t1} of {steps} steps (T1)")),
            _ => None,
        }
    }

    /// The step from which the learning rate of a step rises: 0, or the last one at which the
    /// encoder started to train.
    pub fn rises_from(&self, step: u64) -> u64 {
        let starts = self.stages.iter().filter(|stage| stage.head_until > stage.steps.start).map(|s| s.head_until);
        starts.filter(|&start| start <= step).max().unwrap_or(0)
    }

    /// What to tell about steps that nobody asked for: those of a fresh head alone.
    pub fn about_head(&self, recipe: &Recipe) -> Option<String> {
        let stage = self.stages.first().filter(|s| s.head_until > 0 && recipe.stage[0].trains == Trains::All)?;
        let (steps, all) = (stage.head_until, self.steps());
        Some(format!(
            "head      the masked-LM head starts fresh, and trains alone for {steps} of {all} steps; \
             `--set fresh_head_steps=0` turns this off"
        ))
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
        let schedule = Schedule::of(&recipe, &[200, 100], Head::Loaded);
        let [first, second] = schedule.stages.as_slice() else { panic!("two stages") };
        assert_eq!((first.steps.clone(), first.steps_per_epoch, first.epochs_before), (0..35, 7, 0));
        assert_eq!((second.steps.clone(), second.steps_per_epoch, second.epochs_before), (35..45, 4, 5));
        assert_eq!((schedule.steps(), schedule.warmup_steps), (45, 7));
    }

    #[test]
    fn a_fresh_head_trains_alone_at_first() {
        let plan = |overrides: &[&str], head| {
            let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
            let recipe = Recipe::load("e-bert", &overrides).unwrap();
            let schedule = Schedule::of(&recipe, &[3_200, 320], head);
            let printed = schedule.about_head(&recipe);
            (schedule.stages.iter().map(|stage| stage.head_until).collect::<Vec<_>>(), printed, schedule)
        };
        let (until, printed, schedule) = plan(&[], Head::Fresh);
        assert_eq!(until, [100, 500]);
        assert!(printed.unwrap().contains("trains alone for 100 of 550 steps"));
        let [first, second] = schedule.stages.as_slice() else { panic!("two stages") };
        assert_eq!([99, 100].map(|step| first.trains_at(step)), [Trains::Head, Trains::All]);
        assert_eq!(second.trains_at(500), Trains::All);
        assert_eq!([0, 99, 100, 549].map(|step| schedule.rises_from(step)), [0, 0, 100, 100]);
        assert_eq!(plan(&["stage.0.steps=30"], Head::Fresh).0, [30, 30]);
        for (overrides, head) in [(&[][..], Head::Loaded), (&["fresh_head_steps=0"], Head::Fresh)] {
            let (until, printed, schedule) = plan(overrides, head);
            assert_eq!((until, printed, schedule.rises_from(549)), (vec![0, 500], None, 0), "{overrides:?}");
        }
        // A stage that the recipe names is as long as it says, and stands for itself.
        let (until, printed, schedule) = plan(&["stage.0.trains=head", "stage.0.steps=40"], Head::Fresh);
        assert_eq!((until, printed, schedule.rises_from(40)), (vec![40, 40], None, 40));
    }

    #[test]
    fn a_stage_with_other_corpora_or_another_budget_has_other_losses() {
        let other = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
            let recipe = Recipe::load("e-bert", &overrides).unwrap();
            let stages = Schedule::of(&recipe, &[200, 100], Head::Loaded).stages;
            stages.iter().map(|stage| stage.other_losses).collect::<Vec<_>>()
        };
        let same = "stage.1.corpora=[\"reviews\", \"products\"]";
        assert_eq!(other(&[]), [false, true]);
        assert_eq!(other(&[same]), [false, false]);
        assert_eq!(other(&[same, "stage.1.budget=0.3"]), [false, true]);
        assert_eq!(other(&[same, "stage.1.budget=0.15"]), [false, false]);
    }

    #[test]
    fn the_warm_up_ends_in_a_stage_given_in_steps() {
        let schedule = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
            let recipe = Recipe::load("e-bert", &overrides).unwrap();
            let schedule = Schedule::of(&recipe, &[32_000, 100], Head::Loaded);
            (schedule.warmup_steps, schedule.about_switch(&recipe).unwrap_or_default())
        };
        let short = ["stage.0.steps=400", "stage.1.steps=200"];
        assert_eq!(schedule(&short), (60, "switch    alpha is 0.75 for 60 of 600 steps (T1)".to_owned()));
        let (t1, printed) = schedule(&[short[0], short[1], "switch.warmup_epochs=20"]);
        assert!(t1 == 1_200 && printed.starts_with("warning   alpha stays 0.75: T1 is 1200 steps"), "{printed}");
        assert_eq!(schedule(&["stage.0.steps=40000"]).0, 1_000);
        assert!(schedule(&["stage.0.epochs=0.5"]).1.starts_with("warning"));
        assert_eq!(schedule(&["scheme=mixed"]), (u64::MAX, "switch    alpha is 0.75 at every step".to_owned()));
        assert_eq!(schedule(&["scheme=word"]).1, "");
    }
}
