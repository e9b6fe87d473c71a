//! L2-regularized logistic regression on frozen features, as
//! `sklearn.linear_model.LogisticRegression` defines it.
//!
//! The objective is C * (sum of the losses) + |weights|^2 / 2. The bias is not penalized. Features
//! are standardized first, so that C means the same for every model.
//!
//! The optimum is that of the objective, but the way to it differs. Features are whitened, and each
//! output is scaled by the standard deviation of its labels, so that Hessians are near the
//! identity. Labels are independent problems, and [`minimize`] ends each one alone.
use tch::{Device, Kind, Tensor};

use super::{
    ProbeError,
    minimize::{Evaluated, Limits, Problems, minimize},
};

/// What is predicted from the features.
#[derive(Debug)]
pub enum Targets {
    /// One class per row: `[n]` int64. A softmax over `classes`.
    Classes {
        /// The class of each row.
        of: Tensor,
        /// Number of classes.
        classes: i64,
    },
    /// Any number of labels per row: `[n, labels]` float64 of 0 and 1. Independent binary
    /// regressions.
    Labels(Tensor),
}

impl Targets {
    /// Classes by number.
    pub fn classes(of: &[usize], classes: usize) -> Self {
        let of: Vec<i64> = of.iter().map(|&class| class as i64).collect();
        Self::Classes { of: Tensor::from_slice(&of), classes: classes as i64 }
    }

    /// One label: true or false.
    pub fn binary(of: &[bool]) -> Self {
        let of: Vec<f64> = of.iter().map(|&is| f64::from(u8::from(is))).collect();
        Self::Labels(Tensor::from_slice(&of).view([-1, 1]))
    }

    fn rows(&self) -> i64 {
        match self {
            Self::Classes { of, .. } => of.size()[0],
            Self::Labels(labels) => labels.size()[0],
        }
    }
}

/// A fitted regression.
#[derive(Debug)]
pub struct Logistic {
    mean: Tensor,
    scale: Tensor,
    /// `[d + 1, outputs]`, float64; the last row is the bias.
    weights: Tensor,
    /// Iterations of the slowest problem.
    pub iterations: usize,
}

/// When the whitened problem ends: the gradient is that of the mean loss.
const LIMITS: Limits = Limits { gradient: 1e-4, iterations: 500 };
/// The least standard deviation that a feature is divided by.
const LEAST_DEVIATION: f64 = 1e-8;
/// Rows that are computed at once, so that what is between stays in the cache.
const AT_ONCE: i64 = 512;

/// The mean loss plus the penalty, by variables V `[d + 1, outputs]`: the weights are `transform V
/// scale`.
struct Whitened<'a> {
    /// Features with a last column of 1, times `transform`: `[n, d + 1]`.
    features: Tensor,
    targets: &'a Targets,
    /// `[d + 1, d + 1]`, upper triangular.
    transform: Tensor,
    /// Of each output: `[outputs]`.
    scale: Tensor,
    /// The penalty of an output is `scale^2 V^T metric V / 2`: `[d + 1, d + 1]`.
    metric: Tensor,
}

impl<'a> Whitened<'a> {
    /// Of standardized features `[n, d]`.
    fn new(features: &Tensor, targets: &'a Targets, c: f64) -> Self {
        let (rows, width) = (features.size()[0] as f64, features.size()[1]);
        let penalty = 1.0 / (c * rows);
        let double = (Kind::Double, Device::Cpu);
        let eye = Tensor::eye(width, double);
        // Four times the Hessian of the objective where all labels are as likely as not.
        let curvature = features.tr().matmul(features) / rows + &eye * (4.0 * penalty + 1e-9);
        let inverse = curvature.linalg_cholesky(true).linalg_solve_triangular(&eye, true, true, false);
        let transform = Tensor::eye(width + 1, double);
        transform.narrow(0, 0, width).narrow(1, 0, width).copy_(&inverse);
        let metric = Tensor::zeros([width + 1, width + 1], double);
        metric.narrow(0, 0, width).narrow(1, 0, width).copy_(&(inverse.tr().matmul(&inverse) * penalty));
        let features = with_bias(features).matmul(&transform);
        let means = targets.means();
        let variances: Tensor = &means * (1.0 - &means);
        let scale = variances.rsqrt();
        Self { features, targets, transform, scale, metric }
    }

    /// The variables of weights `[d + 1, outputs]`.
    fn variables(&self, weights: &Tensor) -> Tensor {
        self.transform.linalg_solve_triangular(&(weights / &self.scale), true, true, false)
    }

    /// A bias that gives each label its frequency: `[d + 1, outputs]`.
    fn start(&self) -> Tensor {
        let means = self.targets.means();
        let bias = match self.targets {
            Targets::Classes { .. } => means.log(),
            Targets::Labels(_) => means.logit(None::<f64>),
        };
        let start = Tensor::zeros([self.features.size()[1], means.size()[0]], (Kind::Double, Device::Cpu));
        start.get(-1).copy_(&(bias / &self.scale));
        start
    }
}

impl Problems for Whitened<'_> {
    /// A problem is a label, or the only one is all classes.
    fn at(&self, variables: &Tensor, problems: &Tensor) -> Evaluated {
        let (rows, width) = self.features.size2().unwrap_or_default();
        let scale = match self.targets {
            Targets::Classes { .. } => self.scale.shallow_clone(),
            Targets::Labels(_) => self.scale.index_select(0, problems),
        };
        let scaled = variables.view([width, -1]) * &scale;
        let penalised = self.metric.matmul(&scaled);
        let mut gradients = Tensor::zeros_like(&scaled);
        let mut values = (&penalised * &scaled).sum_dim_intlist([0i64].as_slice(), false, Kind::Double) / 2.0;
        if matches!(self.targets, Targets::Classes { .. }) {
            values = values.sum(Kind::Double).view([1]);
        }
        for start in (0..rows).step_by(AT_ONCE as usize) {
            let count = AT_ONCE.min(rows - start);
            let features = self.features.narrow(0, start, count);
            let (losses, errors) = self.targets.losses(&features.matmul(&scaled), (start, count), problems);
            values += losses / rows as f64;
            gradients += features.tr().matmul(&errors);
        }
        let gradients = (gradients / rows as f64 + penalised) * &scale;
        Evaluated { values, gradients: gradients.view_as(variables) }
    }
}

impl Targets {
    /// How frequent each output is, never 0 or 1: `[outputs]`.
    fn means(&self) -> Tensor {
        let counts = match self {
            Self::Classes { of, classes } => of.bincount::<Tensor>(None, *classes).to_kind(Kind::Double),
            Self::Labels(labels) => labels.sum_dim_intlist([0i64].as_slice(), false, Kind::Double),
        };
        (counts + 1.0) / (self.rows() as f64 + 2.0)
    }

    /// Of some rows the sum of the losses of each problem, `[problems]`, and its gradient by their
    /// logits.
    fn losses(&self, logits: &Tensor, (start, count): (i64, i64), problems: &Tensor) -> (Tensor, Tensor) {
        match self {
            Self::Classes { of, classes } => {
                let of = of.narrow(0, start, count);
                let log = logits.log_softmax(-1, Kind::Double);
                let loss = -log.gather(1, &of.unsqueeze(1), false).sum(Kind::Double).view([1]);
                (loss, log.exp() - of.one_hot(*classes).to_kind(Kind::Double))
            }
            Self::Labels(labels) => {
                let all = labels.narrow(0, start, count);
                let some = problems.size()[0] < labels.size()[1];
                let labels = if some { all.index_select(1, problems) } else { all };
                // log(1 + exp(x)) and 1 / (1 + exp(-x)), exact for large x.
                let small = (-logits.abs()).exp();
                let softplus = logits.clamp_min(0.0) + small.log1p();
                let losses = (softplus - logits * &labels).sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
                let inverse = (&small + 1.0).reciprocal();
                let probabilities = inverse.where_self(&logits.ge(0.0), &(&small * &inverse));
                (losses, probabilities - labels)
            }
        }
    }
}

impl Logistic {
    /// Fits features `[n, d]` with the inverse strength `c` of the penalty.
    ///
    /// # Errors
    /// On features that are not finite, and where the optimum is not reached.
    pub fn fit(features: &Tensor, targets: &Targets, c: f64) -> Result<Self, ProbeError> {
        Self::fit_from(None, features, targets, c)
    }

    /// As [`Logistic::fit`], from the optimum for similar rows, such as those of another fold. The
    /// optimum is the same.
    ///
    /// # Errors
    /// As there.
    pub fn fit_from(start: Option<&Self>, features: &Tensor, targets: &Targets, c: f64) -> Result<Self, ProbeError> {
        let _guard = tch::no_grad_guard();
        let features = features.to_kind(Kind::Double);
        if features.isfinite().all().int64_value(&[]) == 0 {
            return Err(ProbeError::NotFinite);
        }
        let mean = features.mean_dim([0i64].as_slice(), true, Kind::Double);
        let scale = features.std_dim([0i64].as_slice(), false, true).clamp_min(LEAST_DEVIATION);
        let whitened = Whitened::new(&((features - &mean) / &scale), targets, c);
        let width = whitened.features.size()[1];
        let shape = match targets {
            Targets::Classes { classes, .. } => [width * classes, 1],
            Targets::Labels(labels) => [width, labels.size()[1]],
        };
        let start = start.map_or_else(|| whitened.start(), |start| whitened.variables(&start.weights));
        let found = minimize(&whitened, &start.reshape(shape), LIMITS);
        if found.unfinished > 0 {
            return Err(ProbeError::Unfinished { problems: found.unfinished, iterations: found.iterations });
        }
        let weights = whitened.transform.matmul(&found.variables.view([width, -1])) * &whitened.scale;
        Ok(Self { mean, scale, weights, iterations: found.iterations })
    }

    /// The logits of features `[n, d]`: `[n, outputs]`, float64.
    pub fn logits(&self, features: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        with_bias(&((features.to_kind(Kind::Double) - &self.mean) / &self.scale)).matmul(&self.weights)
    }
}

fn with_bias(features: &Tensor) -> Tensor {
    Tensor::cat(&[features, &Tensor::ones([features.size()[0], 1], (Kind::Double, Device::Cpu))], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: i64, width: i64) -> Tensor {
        tch::manual_seed(3);
        Tensor::randn([rows, width], (Kind::Double, Device::Cpu)) * 2.0 + 1.0
    }

    /// The objective as it is written, with weights `[d + 1, outputs]` of standardized features.
    fn objective(x: &Tensor, targets: &Targets, c: f64, weights: &Tensor) -> f64 {
        let logits = with_bias(x).matmul(weights);
        let loss = match targets {
            Targets::Classes { of, .. } => {
                logits.cross_entropy_loss::<Tensor>(of, None, tch::Reduction::Sum, -100, 0.0)
            }
            Targets::Labels(labels) => {
                logits.binary_cross_entropy_with_logits::<Tensor>(labels, None, None, tch::Reduction::Sum)
            }
        };
        let penalty = weights.narrow(0, 0, weights.size()[0] - 1).square().sum(Kind::Double) / 2.0;
        (loss * c + penalty).double_value(&[])
    }

    fn some_of(targets: &Targets, rows: i64) -> Targets {
        match targets {
            Targets::Classes { of, classes } => Targets::Classes { of: of.narrow(0, 0, rows), classes: *classes },
            Targets::Labels(labels) => Targets::Labels(labels.narrow(0, 0, rows)),
        }
    }

    /// At the optimum of a convex objective no weight can be changed to its advantage.
    #[test]
    fn the_fit_is_the_optimum() {
        let _alone = ebert_kernels::generator();
        // More rows than are computed at once.
        let x = features(700, 5);
        let sum: Vec<f64> = Vec::try_from(x.sum_dim_intlist([1i64].as_slice(), false, Kind::Double)).unwrap();
        let classes: Vec<usize> = sum.iter().map(|&s| if s < 0.0 { 0 } else { 1 + usize::from(s > 8.0) }).collect();
        let labels = sum.iter().flat_map(|&s| [s > 3.0, s < 6.0, s > 14.0]).map(f64::from);
        let labels = Tensor::from_slice(&labels.collect::<Vec<_>>()).view([700, 3]);
        for targets in [Targets::classes(&classes, 3), Targets::Labels(labels)] {
            for c in [0.01, 1.0] {
                let fitted = Logistic::fit(&x, &targets, c).unwrap();
                let standardised = (&x - &fitted.mean) / &fitted.scale;
                let value = |weights: &Tensor| objective(&standardised, &targets, c, weights);
                let lowest = value(&fitted.weights);
                // From elsewhere it is the same.
                let other = Logistic::fit(&x.narrow(0, 0, 500), &some_of(&targets, 500), c).unwrap();
                let again = Logistic::fit_from(Some(&other), &x, &targets, c).unwrap();
                assert!((value(&again.weights) - lowest).abs() < 1e-6 * lowest);
                for row in 0..fitted.weights.size()[0] {
                    for output in 0..fitted.weights.size()[1] {
                        for step in [-1e-2, 1e-2] {
                            let other = fitted.weights.copy();
                            let mut weight = other.get(row).get(output);
                            let _ = weight.g_add_scalar_(step);
                            assert!(value(&other) > lowest, "{targets:?} {c} {row} {output}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_constant_feature_does_no_harm() {
        let x = Tensor::from_slice(&[1.0, 7.0, 2.0, 7.0, 3.0, 7.0, 4.0, 7.0]).view([4, 2]);
        let fitted = Logistic::fit(&x, &Targets::binary(&[false, false, true, true]), 100.0).unwrap();
        let logits: Vec<f64> = Vec::try_from(fitted.logits(&x).view([-1])).unwrap();
        assert!(logits[0] < 0.0 && logits[1] < 0.0 && logits[2] > 0.0 && logits[3] > 0.0, "{logits:?}");
    }
}
