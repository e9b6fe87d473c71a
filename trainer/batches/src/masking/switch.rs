//! The adaptive switch: the probability alpha that a step is in word mode (eqs. 2-5).
//!
//! At step t the mode is word if r < alpha_t, else phrase. During the warm-up (T1 steps)
//! alpha_t = alpha_0. After it
//!
//! ```text
//! eta_m = [L_m(prev) - L_m(now)]_+ / (L_m(first) - L_m(now))      m in {word, phrase}
//! alpha = tanh(eta_word / eta_phrase)
//! ```
//!
//! With the losses of single batches, a mode that did not improve once is never drawn again: see
//! [`Rule::Literal`]. [`Rule::Smoothed`] compares two moving averages of each mode's loss. Their
//! windows grow with the mode's updates, because the fall between them shrinks as training
//! continues, and the noise must shrink with it. `docs/switch.md` has the reasons and a table.
use schemas::Draws;
use serde::{Deserialize, Serialize};

use super::MaskMode;

/// How losses become alpha.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Moving averages of the training losses over windows that grow.
    #[default]
    Smoothed,
    /// The equations applied to the held-out losses of both modes, at each measurement. Guards
    /// against division by zero are those of [`Rule::Literal`].
    Measured,
    /// The equations as printed, for study. Where a loss has not fallen below its first (by 1e-12)
    /// its eta is 0. Where only eta_phrase is 0, alpha is 1; where both are, alpha stays.
    Literal,
}

/// The recipe's part of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchOptions {
    /// How losses become alpha.
    pub rule: Rule,
    /// alpha_0: the probability of word mode during the warm-up. With `scheme = "mixed"` it is
    /// the probability at every step.
    pub alpha0: f64,
    /// T1, in epochs of the first stage. Where that stage is given in steps, an epoch counts as at
    /// most a tenth of all steps of the plan.
    pub warmup_epochs: f64,
    /// alpha is kept within floor and 1 - floor. Without a value it is 0.05, or 0 for the literal
    /// rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
}

impl Default for SwitchOptions {
    fn default() -> Self {
        Self { rule: Rule::Smoothed, alpha0: 0.75, warmup_epochs: 1.0, floor: None }
    }
}

impl SwitchOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(0.0..=1.0).contains(&self.alpha0) {
            return Err(("switch.alpha0", "a probability"));
        }
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs.is_finite()) {
            return Err(("switch.warmup_epochs", "a number of epochs, 0 or more"));
        }
        if !(0.0..0.5).contains(&self.floor()) {
            return Err(("switch.floor", "a number from 0 to below 0.5"));
        }
        Ok(())
    }

    fn floor(&self) -> f64 {
        self.floor.unwrap_or(if self.rule == Rule::Literal { 0.0 } else { 0.05 })
    }
}

/// The slow average covers this part of a mode's updates.
const SLOW: f64 = 1.0 / 3.0;
/// The fast average covers this part of a mode's updates, but at least [`LEAST_FAST`].
const FAST: f64 = 1.0 / 30.0;
/// The least window of the fast average, as soon as the slow one covers twice as many updates.
const LEAST_FAST: f64 = 100.0;
/// A loss that has fallen by less than this part of its first counts as if it had fallen by that.
const LEAST_PART: f64 = 0.01;
/// Added to both etas, so that alpha goes to tanh(1) where both modes have stopped improving,
/// instead of following the ratio of two noises.
const PRIOR: f64 = 0.025;
/// alpha moves by at most this much per [`Switch::span`] steps.
const MOST_MOVED: f64 = 0.1;
/// The longest [`Switch::span`].
const LONGEST_SPAN: u64 = 1_000;
/// The least that is divided by, in the literal rule.
const LEAST_FALL: f64 = 1e-12;

/// Decides the mode of each step, and learns from the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    #[serde(default, rename = "settings")]
    options: SwitchOptions,
    /// T1, in steps.
    warmup_steps: u64,
    /// A twentieth of the stage's steps, at most [`LONGEST_SPAN`]: updates that a mode needs before
    /// it has an eta.
    #[serde(default = "longest_span")]
    span: u64,
    word: Fitting,
    phrase: Fitting,
    alpha: f64,
    /// The held-out losses that the measured rule compares, word before phrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_out: Option<[HeldOutLoss; 2]>,
    /// Losses that are known, but that no step has applied yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<Told>,
}

fn longest_span() -> u64 {
    LONGEST_SPAN
}

/// The loss of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    step: u64,
    mode: MaskMode,
    loss: f64,
}

/// The first and the last measured loss of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct HeldOutLoss {
    first: f64,
    last: f64,
}

/// How far one mode is fitted, since the corpora changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fitting {
    updates: u64,
    fast: f64,
    slow: f64,
    first: f64,
    last: f64,
    /// None before there are enough updates.
    eta: Option<f64>,
}

impl Fitting {
    const NEW: Self = Self { updates: 0, fast: 0.0, slow: 0.0, first: 0.0, last: 0.0, eta: None };

    /// Each average moves to a loss by 1 / window, and the first window is 1. So its start has no
    /// weight, and no correction for it is needed.
    fn update_smoothed(&mut self, loss: f64, span: u64) {
        self.updates += 1;
        self.last = loss;
        let n = self.updates as f64;
        let slow = n * SLOW;
        let fast = (n * FAST).max(LEAST_FAST.min(slow / 2.0));
        self.slow += (loss - self.slow) / slow.max(1.0);
        self.fast += (loss - self.fast) / fast.max(1.0);
        // A stage with the same losses and a longer span keeps the first loss of an earlier stage.
        let has_first = self.eta.is_some();
        if !has_first && self.updates <= span {
            self.first += (loss - self.first) / n;
        }
        if has_first || self.updates >= span {
            let fall = (self.first - self.fast).max(LEAST_PART * self.first);
            self.eta = (fall > 0.0).then(|| ((self.slow - self.fast) / fall).clamp(0.0, 1.0));
        }
    }

    /// The reduction of a mode that was drawn (with its loss) or was not (without): then nothing
    /// was reduced.
    fn update_literal(&mut self, loss: Option<f64>) {
        let Some(loss) = loss else {
            self.eta = Some(0.0);
            return;
        };
        self.updates += 1;
        if self.updates == 1 {
            (self.first, self.last) = (loss, loss);
        }
        self.eta = Some(printed_eta(self.first, self.last, loss));
        self.last = loss;
    }
}

/// eta of one mode, as printed.
fn printed_eta(first: f64, previous: f64, now: f64) -> f64 {
    let (reduced, fall) = ((previous - now).max(0.0), first - now);
    if fall > LEAST_FALL { reduced / fall } else { 0.0 }
}

impl Switch {
    /// A switch whose warm-up, T1, takes this many steps. [`Switch::begin_stage`] comes next.
    pub fn new(options: SwitchOptions, warmup_steps: u64) -> Self {
        let floor = options.floor();
        Self {
            options,
            warmup_steps,
            span: LONGEST_SPAN,
            word: Fitting::NEW,
            phrase: Fitting::NEW,
            // From 0 or 1, a mode that is never drawn would have no eta, and alpha would stay.
            alpha: options.alpha0.clamp(floor, 1.0 - floor),
            held_out: None,
            told: vec![],
        }
    }

    /// T1: the steps of the warm-up.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    /// The probability of word mode at a step, counted from 0.
    pub fn alpha(&self, step: u64) -> f64 {
        if step < self.warmup_steps { self.options.alpha0 } else { self.alpha }
    }

    /// eta of a mode: the part of its fall that is recent. None before there is one.
    pub fn eta(&self, mode: MaskMode) -> Option<f64> {
        match mode {
            MaskMode::Word => self.word.eta,
            _ => self.phrase.eta,
        }
    }

    /// The last loss of a mode, if it was drawn since the corpora or the budget changed.
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

    /// Takes note of the loss of a step, which counts from the second step after it on: the device
    /// is still at work on a step when the mode of the next is drawn.
    pub fn tell(&mut self, step: u64, mode: MaskMode, loss: f64) {
        self.told.push(Told { step, mode, loss });
    }

    /// Learns what counts for the draw of a step.
    pub fn learn_for(&mut self, step: u64) {
        let told = std::mem::take(&mut self.told);
        let (known, later): (Vec<Told>, Vec<Told>) = told.into_iter().partition(|told| told.step + 2 <= step);
        self.told = later;
        known.into_iter().for_each(|told| self.update(told.step, told.mode, told.loss));
    }

    /// Begins a stage of so many steps. Other corpora and another budget change the level of a loss,
    /// but not how fast it falls. The averages and the first losses restart, and alpha stays until both modes
    /// have an eta again.
    pub fn begin_stage(&mut self, steps: u64, other_losses: bool) {
        self.learn_for(u64::MAX);
        self.span = (steps / 20).clamp(1, LONGEST_SPAN);
        if other_losses && self.options.rule == Rule::Smoothed {
            (self.word, self.phrase) = (Fitting::NEW, Fitting::NEW);
        }
    }

    /// Learns the loss of a step in one mode.
    fn update(&mut self, step: u64, mode: MaskMode, loss: f64) {
        let (drawn, other) = match mode {
            MaskMode::Word => (&mut self.word, &mut self.phrase),
            _ => (&mut self.phrase, &mut self.word),
        };
        match self.options.rule {
            Rule::Smoothed => {
                drawn.update_smoothed(loss, self.span);
                if let (Some(word), Some(phrase)) = (self.word.eta, self.phrase.eta)
                    && step >= self.warmup_steps
                {
                    let wanted = self.bounded(((word + PRIOR) / (phrase + PRIOR)).tanh());
                    let most = MOST_MOVED / self.span as f64;
                    self.alpha += (wanted - self.alpha).clamp(-most, most);
                }
            }
            Rule::Measured => (drawn.updates, drawn.last) = (drawn.updates + 1, loss),
            Rule::Literal => {
                drawn.update_literal(Some(loss));
                other.update_literal(None);
                self.follow_printed();
            }
        }
    }

    /// Learns the held-out losses of both modes, if the rule is [`Rule::Measured`].
    pub fn learn_measured(&mut self, word: f64, phrase: f64) {
        if self.options.rule != Rule::Measured || !word.is_finite() || !phrase.is_finite() {
            return;
        }
        let Some(known) = &mut self.held_out else {
            self.held_out = Some([word, phrase].map(|loss| HeldOutLoss { first: loss, last: loss }));
            return;
        };
        let fittings = [&mut self.word, &mut self.phrase];
        for ((known, fitting), now) in known.iter_mut().zip(fittings).zip([word, phrase]) {
            fitting.eta = Some(printed_eta(known.first, known.last, now));
            known.last = now;
        }
        self.follow_printed();
    }

    /// alpha as printed. Where neither mode improved the ratio says nothing.
    fn follow_printed(&mut self) {
        let [word, phrase] = [self.word.eta, self.phrase.eta].map(Option::unwrap_or_default);
        if phrase > 0.0 {
            self.alpha = self.bounded((word / phrase).tanh());
        } else if word > 0.0 {
            self.alpha = self.bounded(1.0);
        }
    }

    fn bounded(&self, alpha: f64) -> f64 {
        let floor = self.options.floor();
        alpha.clamp(floor, 1.0 - floor)
    }
}

#[cfg(test)]
mod tests;
