//! What a run reports about its steps, in bounded memory.
use ebert_batches::masking::MaskMode;
use trainer::log::StepRecord;

/// A line over steps. From [`Curve::MOST`] points on, adjacent ones are averaged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    /// Step and value: means of `together` points each.
    means: Vec<(f64, f64)>,
    together: u64,
    /// The sum of the points after them, and how many there are.
    sum: (f64, f64),
    count: u64,
}

impl Default for Curve {
    fn default() -> Self {
        Self { means: Vec::new(), together: 1, sum: (0.0, 0.0), count: 0 }
    }
}

impl Curve {
    const MOST: usize = 4096;

    fn push(&mut self, step: u64, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        self.sum = (self.sum.0 + step as f64, self.sum.1 + value);
        self.count += 1;
        if self.count < self.together {
            return;
        }
        self.means.extend(self.rest());
        (self.sum, self.count) = ((0.0, 0.0), 0);
        if self.means.len() == Self::MOST {
            let mean = |pair: &[(f64, f64)]| (f64::midpoint(pair[0].0, pair[1].0), f64::midpoint(pair[0].1, pair[1].1));
            self.means = self.means.chunks_exact(2).map(mean).collect();
            self.together *= 2;
        }
    }

    /// The mean of the points that are in no other mean yet.
    fn rest(&self) -> Option<(f64, f64)> {
        let count = self.count as f64;
        (self.count > 0).then(|| (self.sum.0 / count, self.sum.1 / count))
    }

    /// (step, value), by step.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        self.means.iter().copied().chain(self.rest()).collect()
    }
}

/// The steps of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Training {
    /// The last step and the tokens until then.
    pub(crate) last: Option<(u64, u64)>,
    /// Sum over all steps.
    pub(crate) seconds: f64,
    pub(crate) loss_of_words: Curve,
    /// The loss of phrases, noun phrases or spans.
    pub(crate) loss_of_others: Curve,
    pub(crate) boundary_loss: Curve,
    pub(crate) neighbor_loss: Curve,
    pub(crate) alpha: Curve,
    pub(crate) eta_word: Curve,
    pub(crate) eta_phrase: Curve,
    pub(crate) learning_rate: Curve,
    pub(crate) gradient_norm: Curve,
    pub(crate) tokens_per_second: Curve,
}

impl Training {
    /// Adds the next step.
    pub(crate) fn add(&mut self, record: &StepRecord) {
        let step = record.step;
        let is_word = record.mode == MaskMode::Word;
        self.loss_of_words.push(step, record.loss.filter(|_| is_word));
        self.loss_of_others.push(step, record.loss.filter(|_| !is_word));
        self.boundary_loss.push(step, record.boundary_loss);
        self.neighbor_loss.push(step, record.neighbor_loss);
        self.alpha.push(step, record.alpha);
        self.eta_word.push(step, record.eta_word);
        self.eta_phrase.push(step, record.eta_phrase);
        self.learning_rate.push(step, Some(record.learning_rate));
        self.gradient_norm.push(step, Some(record.gradient_norm));
        let new = self.last.and_then(|(_, tokens)| record.tokens.checked_sub(tokens)).filter(|&new| new > 0);
        let rate = new.filter(|_| record.seconds > 0.0).map(|new| new as f64 / record.seconds);
        self.tokens_per_second.push(step, rate);
        self.last = Some((step, record.tokens));
        self.seconds += record.seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(steps: u64) -> Curve {
        let mut curve = Curve::default();
        (1..=steps).for_each(|step| curve.push(step, (step % 7 > 0).then_some(2.0 * step as f64)));
        curve
    }

    #[test]
    fn a_short_line_has_its_points() {
        let wanted: Vec<(f64, f64)> = (1..100u32).filter(|n| n % 7 > 0).map(|n| (n.into(), f64::from(2 * n))).collect();
        assert_eq!(line(99).points(), wanted);
    }

    #[test]
    fn a_long_line_has_means_of_all_its_points() {
        for steps in [4_777, 10_000, 1_000_003] {
            let curve = line(steps);
            let points = curve.points();
            assert!((2_000..=Curve::MOST).contains(&points.len()), "{steps} steps: {} points", points.len());
            // On a straight line, means are on the line, too.
            assert!(points.iter().all(|(step, value)| (value - 2.0 * step).abs() < 1e-6), "{steps}");
            assert!(points.is_sorted_by(|a, b| a.0 < b.0), "{steps}");
            let of_all = points[..points.len() - 1].iter().map(|point| point.0).sum::<f64>() * curve.together as f64;
            let rest = points[points.len() - 1].0 * if curve.count == 0 { curve.together } else { curve.count } as f64;
            let wanted: u64 = (1..=steps).filter(|step| step % 7 > 0).sum();
            assert_eq!((of_all + rest).round() as u64, wanted, "{steps}");
        }
    }
}
