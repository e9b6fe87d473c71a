//! The adaptive switch: how likely a step is in word mode (eqs. 2-5).
//!
//! At step t the mode is word if r < alpha_t, else phrase. Until the end of the warm-up (T1) alpha_t = alpha_0; then
//!
//! ```text
//! eta_m = [L_m(prev) - L_m(now)]_+ / (L_m(first) - L_m(now))      m in {word, phrase}
//! alpha = tanh(eta_word / eta_phrase)
//! ```
//!
//! Taken literally with the losses of single batches, a mode that got no better once is never drawn again, and so
//! can never get better: see [`Rule::Literal`]. [`Rule::Smoothed`] compares two moving averages of each mode's loss,
//! and keeps both modes observable.
use schemas::Draws;
use serde::{Deserialize, Serialize};

use super::MaskMode;

/// How losses become alpha.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Moving averages, and alpha kept away from its ends.
    #[default]
    Smoothed,
    /// The equations as printed, for study. Where a loss has not fallen below its first (by 1e-12) its eta is 0; where only
    /// eta_phrase is 0, alpha is 1; where both are, alpha stays.
    Literal,
}

/// The recipe's part of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchOptions {
    /// How losses become alpha.
    pub rule: Rule,
    /// alpha_0: the probability of word mode during the warm-up.
    pub alpha0: f64,
    /// T1, in epochs of the first stage.
    pub warmup_epochs: f64,
    /// Decay of the fast moving average, counted in updates of its mode.
    pub fast: f64,
    /// Decay of the slow moving average.
    pub slow: f64,
    /// Updates of a mode after which its fast average is its first loss.
    pub first_after: u64,
    /// The fall of a mode's loss, as a share of its first, below which its eta stays as it is.
    pub least_fall: f64,
    /// Bounds of alpha.
    pub floor: f64,
}

impl Default for SwitchOptions {
    fn default() -> Self {
        Self {
            rule: Rule::Smoothed,
            alpha0: 0.75,
            warmup_epochs: 1.0,
            fast: 0.99,
            slow: 0.999,
            first_after: 50,
            least_fall: 0.05,
            floor: 0.05,
        }
    }
}

impl SwitchOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(0.0..=1.0).contains(&self.alpha0) {
            return Err(("switch.alpha0", "a probability"));
        }
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs.is_finite()) {
            return Err(("switch.warmup_epochs", "a number of epochs, 0 or more"));
        }
        if !(self.fast > 0.0 && self.fast < self.slow && self.slow < 1.0) {
            return Err(("switch.fast, switch.slow", "0 < fast < slow < 1"));
        }
        if self.first_after == 0 {
            return Err(("switch.first_after", "at least 1"));
        }
        if !(0.0..1.0).contains(&self.least_fall) {
            return Err(("switch.least_fall", "a share below 1"));
        }
        if !(0.0..0.5).contains(&self.floor) {
            return Err(("switch.floor", "a number from 0 to below 0.5"));
        }
        Ok(())
    }
}

/// The least eta, so that the ratio of both stays finite.
const LEAST_ETA: f64 = 1e-3;
/// The least that is divided by, in the literal rule.
const LEAST_FALL: f64 = 1e-12;

/// Decides the mode of each step, and learns from the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    options: SwitchOptions,
    /// T1, in steps.
    warmup_steps: u64,
    word: Fitting,
    phrase: Fitting,
    alpha: f64,
    /// Losses that are known, but that no step has learnt yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<Told>,
}

/// The loss of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    step: u64,
    mode: MaskMode,
    loss: f64,
}

/// How far one mode is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fitting {
    updates: u64,
    /// Moving averages before the correction for their start at zero.
    fast: f64,
    slow: f64,
    first: f64,
    last: f64,
    eta: f64,
}

impl Fitting {
    const NEW: Self = Self { updates: 0, fast: 0.0, slow: 0.0, first: 0.0, last: 0.0, eta: 1.0 };

    fn corrected(average: f64, beta: f64, updates: u64) -> f64 {
        average / (1.0 - beta.powf(updates as f64))
    }

    fn update_smoothed(&mut self, loss: f64, options: &SwitchOptions) {
        self.updates += 1;
        self.last = loss;
        self.fast = options.fast * self.fast + (1.0 - options.fast) * loss;
        self.slow = options.slow * self.slow + (1.0 - options.slow) * loss;
        let fast = Self::corrected(self.fast, options.fast, self.updates);
        let slow = Self::corrected(self.slow, options.slow, self.updates);
        if self.updates <= options.first_after {
            self.first = fast;
        }
        let fall = self.first - fast;
        if fall > options.least_fall * self.first {
            self.eta = ((slow - fast) / fall).clamp(LEAST_ETA, 1.0);
        }
    }

    /// The reduction of a mode that was drawn (with its loss) or was not (without): then nothing was reduced.
    fn update_literal(&mut self, loss: Option<f64>) {
        let Some(loss) = loss else {
            self.eta = 0.0;
            return;
        };
        self.updates += 1;
        if self.updates == 1 {
            (self.first, self.last) = (loss, loss);
        }
        let (reduced, fall) = ((self.last - loss).max(0.0), self.first - loss);
        self.eta = if fall > LEAST_FALL { reduced / fall } else { 0.0 };
        self.last = loss;
    }
}

impl Switch {
    /// A switch whose warm-up, T1, takes this many steps.
    pub fn new(options: SwitchOptions, warmup_steps: u64) -> Self {
        Self { options, warmup_steps, word: Fitting::NEW, phrase: Fitting::NEW, alpha: options.alpha0, told: vec![] }
    }

    /// The probability of word mode at a step, counted from 0.
    pub fn alpha(&self, step: u64) -> f64 {
        if step < self.warmup_steps { self.options.alpha0 } else { self.alpha }
    }

    /// eta of a mode: the share of its fall that is recent.
    pub fn eta(&self, mode: MaskMode) -> f64 {
        match mode {
            MaskMode::Word => self.word.eta,
            _ => self.phrase.eta,
        }
    }

    /// The last loss of a mode, if it was drawn since the data changed.
    pub fn last_loss(&self, mode: MaskMode) -> Option<f64> {
        if let Some(told) = self.told.iter().rfind(|told| told.mode == mode) {
            return Some(told.loss);
        }
        let fitting = match mode {
            MaskMode::Word => &self.word,
            _ => &self.phrase,
        };
        (fitting.updates > 0).then_some(fitting.last)
    }

    /// The mode of a step: word or phrase.
    pub fn draw(&self, seed: u64, step: u64) -> MaskMode {
        let r = Draws::new(seed, "mode", &step.to_le_bytes()).unit();
        if r < self.alpha(step) { MaskMode::Word } else { MaskMode::Phrase }
    }

    /// Hears the loss of a step, which counts from the second step after it on: the device is still at work on a step
    /// when the mode of the next is drawn.
    pub fn tell(&mut self, step: u64, mode: MaskMode, loss: f64) {
        self.told.push(Told { step, mode, loss });
    }

    /// Learns what counts for the draw of a step.
    pub fn learn_for(&mut self, step: u64) {
        let told = std::mem::take(&mut self.told);
        let (known, later): (Vec<Told>, Vec<Told>) = told.into_iter().partition(|told| told.step + 2 <= step);
        self.told = later;
        known.into_iter().for_each(|told| self.update(told.mode, told.loss));
    }

    /// Starts the averages anew, as the data change and with them the level of the losses: a mode whose loss has jumped would
    /// seem to unlearn, be drawn hardly ever, and so seem to for very long. The etas stay until there is something to say.
    pub fn rebase(&mut self) {
        self.learn_for(u64::MAX);
        if self.options.rule == Rule::Smoothed {
            for fitting in [&mut self.word, &mut self.phrase] {
                *fitting = Fitting { eta: fitting.eta, ..Fitting::NEW };
            }
        }
    }

    /// Learns the loss of a step in one mode.
    pub fn update(&mut self, mode: MaskMode, loss: f64) {
        let (drawn, other) = match mode {
            MaskMode::Word => (&mut self.word, &mut self.phrase),
            _ => (&mut self.phrase, &mut self.word),
        };
        match self.options.rule {
            Rule::Smoothed => {
                drawn.update_smoothed(loss, &self.options);
                let alpha = (self.word.eta / self.phrase.eta).tanh();
                self.alpha = alpha.clamp(self.options.floor, 1.0 - self.options.floor);
            }
            Rule::Literal => {
                drawn.update_literal(Some(loss));
                other.update_literal(None);
                // Where neither got better the ratio says nothing.
                if self.phrase.eta > 0.0 {
                    self.alpha = (self.word.eta / self.phrase.eta).tanh();
                } else if self.word.eta > 0.0 {
                    self.alpha = 1.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that starts at `from` and falls by `by`, ever slower: after `pace` updates by 63%.
    #[derive(Clone, Copy)]
    struct Curve {
        from: f64,
        by: f64,
        pace: f64,
    }

    impl Curve {
        fn at(self, updates: f64) -> f64 {
            self.from - self.by * (1.0 - (-updates / self.pace).exp())
        }
    }

    const T1: u64 = 1_000;
    const STEPS: u64 = 10_000;

    /// Runs a switch over the curves with Gaussian noise; alpha at every step after T1.
    fn simulate(options: SwitchOptions, word: Curve, phrase: Curve, noise: f64, seed: u64) -> Vec<f64> {
        let mut switch = Switch::new(options, T1);
        let (mut word_steps, mut phrase_steps) = (0.0, 0.0);
        let mut path = Vec::new();
        let mut draws = Draws::new(seed, "noise", b"");
        for step in 0..STEPS {
            let mode = switch.draw(seed, step);
            let clean = if mode == MaskMode::Word { word.at(word_steps) } else { phrase.at(phrase_steps) };
            let gauss = (-2.0 * (1.0 - draws.unit()).ln()).sqrt() * (std::f64::consts::TAU * draws.unit()).cos();
            switch.update(mode, clean + noise * gauss);
            *(if mode == MaskMode::Word { &mut word_steps } else { &mut phrase_steps }) += 1.0;
            if step >= T1 {
                path.push(switch.alpha(step + 1));
            }
        }
        path
    }

    fn mean(path: &[f64]) -> f64 {
        path.iter().sum::<f64>() / path.len() as f64
    }

    const FAST: Curve = Curve { from: 6.0, by: 3.0, pace: 800.0 };
    const SLOW: Curve = Curve { from: 6.0, by: 3.0, pace: 4_000.0 };
    const STALLED: Curve = Curve { from: 6.0, by: 3.0, pace: 150.0 };

    #[test]
    fn noise_does_not_move_alpha() {
        let smoothed = SwitchOptions::default();
        for (name, word, phrase) in [
            ("word fits early", FAST, SLOW),
            ("both alike", SLOW, SLOW),
            ("phrase fits early", SLOW, FAST),
            ("phrase stalls", SLOW, STALLED),
            ("word stalls", STALLED, SLOW),
        ] {
            let clean = mean(&simulate(smoothed, word, phrase, 0.0, 1));
            for (noise, seed) in [(0.1, 2), (0.15, 3), (0.3, 4), (0.3, 5)] {
                let noisy = mean(&simulate(smoothed, word, phrase, noise, seed));
                assert!((noisy - clean).abs() < 0.15, "{name}: {clean:.3} without noise, {noisy:.3} with {noise}");
            }
        }
    }

    #[test]
    fn alpha_follows_the_mode_that_still_learns() {
        let alpha = |word, phrase| mean(&simulate(SwitchOptions::default(), word, phrase, 0.15, 1));
        let (word_early, alike, phrase_early) = (alpha(FAST, SLOW), alpha(SLOW, SLOW), alpha(SLOW, FAST));
        assert!(word_early + 0.1 < alike && alike + 0.1 < phrase_early, "{word_early} {alike} {phrase_early}");
    }

    #[test]
    fn both_modes_stay_observable() {
        for (word, phrase) in [(STALLED, SLOW), (SLOW, STALLED), (STALLED, STALLED)] {
            let path = simulate(SwitchOptions::default(), word, phrase, 0.3, 1);
            assert!(path.iter().all(|alpha| (0.05..=0.95).contains(alpha)));
        }
    }

    #[test]
    fn other_data_do_not_look_like_unlearning() {
        let share_of_words = |rebase: bool| {
            let mut switch = Switch::new(SwitchOptions::default(), T1);
            let mut updates = [0.0; 2];
            let mut alphas = 0.0;
            for step in 0..2 * STEPS {
                if rebase && step == STEPS {
                    switch.rebase();
                }
                let mode = switch.draw(1, step);
                let mine = usize::from(mode == MaskMode::Phrase);
                // Both are alike, but words of the second half's data are harder.
                let harder = if mine == 0 && step >= STEPS { 0.5 } else { 0.0 };
                switch.update(mode, SLOW.at(updates[mine]) + harder);
                updates[mine] += 1.0;
                alphas += if step >= STEPS { switch.alpha(step) } else { 0.0 };
            }
            alphas / STEPS as f64
        };
        let (with, without) = (share_of_words(true), share_of_words(false));
        assert!(with > 0.4 && without < 0.2, "{with} {without}");
    }

    #[test]
    fn the_literal_rule_is_absorbed() {
        let literal = SwitchOptions { rule: Rule::Literal, ..Default::default() };
        // Absorbing state: after a phrase step that got better, eta_word = 0, so alpha = 0, so word mode is over.
        let mut switch = Switch::new(literal, 0);
        for (mode, loss) in [(MaskMode::Word, 6.0), (MaskMode::Phrase, 6.0), (MaskMode::Phrase, 5.0)] {
            switch.update(mode, loss);
        }
        assert_eq!(switch.alpha(3), 0.0);
        // Undrawn mode: after a word step that got better, phrase mode has no reduction, so word mode stays.
        let mut switch = Switch::new(literal, 0);
        for (mode, loss) in [(MaskMode::Phrase, 6.0), (MaskMode::Word, 6.0), (MaskMode::Word, 5.0)] {
            switch.update(mode, loss);
        }
        assert_eq!(switch.alpha(3), 1.0);
        // In a run, whichever got better first after T1 stays for ever.
        for seed in 0..10 {
            let path = simulate(literal, SLOW, SLOW, 0.15, seed);
            let tail = &path[20..];
            assert!(tail.iter().all(|a| *a == 0.0) || tail.iter().all(|a| *a == 1.0), "seed {seed}");
        }
    }

    #[test]
    fn the_warm_up_keeps_alpha_0() {
        let mut switch = Switch::new(SwitchOptions::default(), 10);
        for step in 0..10 {
            assert_eq!(switch.alpha(step), 0.75);
            switch.update(MaskMode::Word, 6.0 - step as f64 / 10.0);
        }
        assert_ne!(switch.alpha(10), 0.75);
        let fresh = Switch::new(SwitchOptions::default(), u64::MAX);
        let words = (0..10_000).filter(|&step| fresh.draw(1, step) == MaskMode::Word).count();
        assert!((7_300..7_700).contains(&words), "{words}");
    }

    #[test]
    fn the_state_survives_a_checkpoint() {
        let mut switch = Switch::new(SwitchOptions::default(), 10);
        for step in 0..200 {
            switch.update(switch.draw(3, step), 6.0 / (step as f64 + 1.3).sqrt());
        }
        let text = serde_json::to_string(&switch).unwrap();
        assert_eq!(serde_json::from_str::<Switch>(&text).unwrap(), switch);
    }
}
