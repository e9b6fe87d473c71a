//! Whether a checkpoint, or another process, is of the same run.
use std::fs;

use super::{Plan, RECIPE, RunError};
use crate::{
    checkpoint::Checkpoint,
    differences::{Difference, differences},
    init::Head,
    provenance::brief_hash,
    recipe::Recipe,
    schedule::Schedule,
    state::{Identity, TrainerState},
    world::{RankText, World},
};
use ebert_batches::masking::{Scheme, switch::Rule};

impl Plan {
    /// Checks that a checkpoint is of this run: everything that decided the steps done is the same.
    pub(super) fn require_same(
        &self,
        state: &TrainerState,
        checkpoint: &Checkpoint,
        extend: bool,
    ) -> Result<(), RunError> {
        let text = fs::read_to_string(checkpoint.model.join(RECIPE)).unwrap_or_default();
        let (lengths, others): (Vec<Difference>, Vec<Difference>) =
            self.differences(&state.identity, || text.clone()).into_iter().partition(is_length);
        let told = |differences: &[Difference]| differences.iter().map(ToString::to_string).collect();
        let run = self.folder.clone();
        if !others.is_empty() {
            return Err(RunError::Changed { run, differences: told(&[others, lengths].concat()) });
        }
        match (lengths.is_empty(), extend) {
            (true, _) => Ok(()),
            (false, true) => self.require_extension(state.step, checkpoint),
            (false, false) => Err(RunError::Lengths { run, differences: told(&lengths) }),
        }
    }

    /// Checks that a schedule with other lengths has the steps that are done where they were.
    fn require_extension(&self, step: u64, checkpoint: &Checkpoint) -> Result<(), RunError> {
        let recipe = Recipe::load(&checkpoint.model.join(RECIPE).to_string_lossy(), &[])?;
        let before = Schedule::new(&recipe, &self.shards, self.start.head)?;
        for (before, now) in before.stages.iter().zip(&self.schedule.stages) {
            let (number, before, now) = (now.number, before.steps.end, now.steps.end);
            if before != now && (now < step || before < step) {
                return Err(RunError::Extend { stage: number, step, before, now });
            }
        }
        Ok(())
    }

    /// Checks that all processes would train the same: gradients of different models, or of
    /// different batches, add up to nothing.
    pub(super) fn require_one_run(&self, world: &World) -> Result<(), RunError> {
        let said = serde_json::to_string(&(&self.identity, &self.recipe_text)).unwrap_or_default();
        let judgement = world.decide_on_main("run", &said, |others| {
            let differing = others.into_iter().find_map(|RankText { rank, text }| {
                let Ok((identity, recipe)) = serde_json::from_str::<(Identity, String)>(&text) else {
                    return Some((rank, vec!["the program has another version there".to_owned()]));
                };
                let found = self.differences(&identity, || recipe);
                let found = found.iter().map(|d| format!("{}: {} there, {} on rank 0", d.key, d.before, d.now));
                Some((rank, found.collect::<Vec<_>>())).filter(|(_, found)| !found.is_empty())
            });
            differing.and_then(|differing| serde_json::to_string(&differing).ok()).unwrap_or_default()
        })?;
        match serde_json::from_str(&judgement) {
            Ok((rank, differences)) => Err(RunError::Ranks { rank, differences }),
            Err(_) => Ok(()),
        }
    }

    /// What decides the numbers of another run and is not as in this one.
    fn differences(&self, found: &Identity, recipe: impl FnOnce() -> String) -> Vec<Difference> {
        let mut differences = Vec::new();
        if found.recipe_blake3 != self.identity.recipe_blake3 {
            // A head that was loaded has no steps of its own.
            let has_effect = |d: &Difference| {
                self.start.head == Head::Fresh || d.key.strip_prefix(RECIPE_KEY) != Some(FRESH_HEAD_STEPS)
            };
            let found = recipe_differences(&recipe(), &self.recipe_text).into_iter();
            differences.extend(found.filter(|difference| self.decides(difference)).filter(has_effect));
        }
        let shards = |of: &Identity| format!("manifest {}…", brief_hash(&of.shards_blake3));
        let init = |of: &Identity| {
            let hash = of.init_blake3.as_ref();
            hash.map_or("a fresh model".to_owned(), |hash| format!("weights {}…", brief_hash(hash)))
        };
        for (key, before, now) in
            [("shards", shards(found), shards(&self.identity)), ("INIT", init(found), init(&self.identity))]
        {
            if before != now {
                differences.push(Difference { key: key.to_owned(), before, now });
            }
        }
        differences
    }

    /// Whether a value of the recipe decides the numbers of a run. The others say when to measure
    /// and to save.
    fn decides(&self, difference: &Difference) -> bool {
        match difference.key.strip_prefix(RECIPE_KEY) {
            Some("checkpoint.every" | "checkpoint.keep") => false,
            // Alpha then follows what is measured.
            Some("measure.every") => {
                self.recipe.scheme == Scheme::Adaptive && self.recipe.switch.rule == Rule::Measured
            }
            _ => true,
        }
    }
}

/// Whether it is the length of a stage.
fn is_length(difference: &Difference) -> bool {
    let key = difference.key.strip_prefix(RECIPE_KEY).and_then(|key| key.strip_prefix("stage."));
    key.is_some_and(|key| key.ends_with(".epochs") || key.ends_with(".steps"))
}

/// What stands before a key of the recipe in a difference.
const RECIPE_KEY: &str = "recipe, ";
const FRESH_HEAD_STEPS: &str = "fresh_head_steps";

/// Values of recipes that differ.
fn recipe_differences(before: &str, now: &str) -> Vec<Difference> {
    let [before, now] = [before, now].map(|text| {
        // With today's names and defaults, if it is still a recipe.
        let text = toml::from_str::<Recipe>(text).map_or_else(
            |_| text.to_owned(),
            |mut recipe| {
                // A run whose recipe lacks the key trains all weights from its first step.
                if !text.contains(FRESH_HEAD_STEPS) {
                    recipe.fresh_head_steps = 0;
                }
                recipe.to_toml()
            },
        );
        let mut table: toml::Table = toml::from_str(&text).unwrap_or_default();
        table.remove("summary");
        serde_json::to_value(table).unwrap_or_default()
    });
    let all = differences(&before, &now).into_iter();
    all.map(|difference| Difference { key: format!("{RECIPE_KEY}{}", difference.key), ..difference }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_without_steps_of_a_fresh_head_trained_everything_from_the_start() {
        let now = Recipe::load("bert", &[]).unwrap().to_toml();
        let before = now.replacen("fresh_head_steps = 100\n", "", 1);
        assert_ne!(before, now);
        let found: Vec<String> = recipe_differences(&before, &now).iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].starts_with("recipe, fresh_head_steps"), "{found:?}");
        assert_eq!(recipe_differences(&now, &now), []);
    }
}
