//! Many smooth convex problems of one shape, minimized side by side with L-BFGS (Nocedal 1980).
//!
//! Each problem is a column with its own curvature, step and end. So one that is hard does not hold
//! up the others, and those that have ended are no longer computed.
use std::collections::VecDeque;

use tch::{Kind, Tensor};

/// Problems, by number.
pub(super) trait Problems {
    /// The values `[problems]` and gradients `[d, problems]` of these problems at `variables` `[d,
    /// problems]`, in float64.
    fn at(&self, variables: &Tensor, problems: &Tensor) -> Evaluated;
}

/// Values and gradients.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub(super) values: Tensor,
    pub(super) gradients: Tensor,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Norm of a problem's gradient at which it ends.
    pub(super) gradient: f64,
    /// Iterations at most.
    pub(super) iterations: usize,
}

/// Where all problems ended.
#[derive(Debug)]
pub(super) struct Minimum {
    /// `[d, problems]`.
    pub(super) variables: Tensor,
    /// Iterations of the slowest.
    pub(super) iterations: usize,
    /// Problems whose gradient is still larger than wanted.
    pub(super) unfinished: usize,
}

/// Pairs of steps that are remembered.
const MEMORY: usize = 10;
/// How often a step is halved at most.
const HALVINGS: usize = 30;
/// The part of the promised decrease that a step must reach (Armijo).
const DECREASE: f64 = 1e-4;

/// A step, how the gradient changed over it, and 1 / their product: `[d, problems]` and
/// `[problems]`.
struct Pair {
    step: Tensor,
    change: Tensor,
    inverse: Tensor,
}

impl Pair {
    fn of(step: Tensor, change: Tensor) -> Self {
        let product = dot(&step, &change);
        // Without positive curvature a pair says nothing.
        let is_curved = product.gt_tensor(&(dot(&change, &change) * 1e-12));
        let inverse = product.where_self(&is_curved, &product.ones_like()).reciprocal() * is_curved;
        Self { step, change, inverse }
    }

    fn only(&self, columns: &Tensor) -> Self {
        let [step, change] = [&self.step, &self.change].map(|of| of.index_select(1, columns));
        Self { step, change, inverse: self.inverse.index_select(0, columns) }
    }
}

/// Minimizes all problems from `start`, `[d, problems]`.
pub(super) fn minimize(problems: &impl Problems, start: &Tensor, limits: Limits) -> Minimum {
    let all = start.copy();
    let mut active = Tensor::arange(start.size()[1], (Kind::Int64, start.device()));
    let mut x = start.copy();
    let mut now = problems.at(&x, &active);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    let mut iterations = 0;
    loop {
        let keep = dot(&now.gradients, &now.gradients).sqrt().gt(limits.gradient).nonzero().view([-1]);
        let _ = all.shallow_clone().index_copy_(1, &active, &x);
        let unfinished = keep.size()[0] as usize;
        if unfinished == 0 || iterations == limits.iterations {
            return Minimum { variables: all, iterations, unfinished };
        }
        if unfinished < active.size()[0] as usize {
            active = active.index_select(0, &keep);
            x = x.index_select(1, &keep);
            now = now.only(&keep);
            pairs = pairs.iter().map(|pair| pair.only(&keep)).collect();
        }
        let direction = direction(&now.gradients, &pairs);
        let (next_x, next) = step(problems, &active, (&x, &now), &direction);
        pairs.push_back(Pair::of(&next_x - &x, &next.gradients - &now.gradients));
        if pairs.len() > MEMORY {
            pairs.pop_front();
        }
        (x, now) = (next_x, next);
        iterations += 1;
    }
}

/// The two loops of L-BFGS, or the gradient where they do not give a descent.
fn direction(gradients: &Tensor, pairs: &VecDeque<Pair>) -> Tensor {
    let mut q = gradients.copy();
    let mut parts = Vec::new();
    for Pair { step, change, inverse } in pairs.iter().rev() {
        let part = inverse * dot(step, &q);
        q -= change * &part;
        parts.push(part);
    }
    if let Some(Pair { change, inverse, .. }) = pairs.back() {
        let scale = (inverse * dot(change, change)).reciprocal();
        q *= scale.where_self(&inverse.gt(0.0), &scale.ones_like());
    } else {
        // The first step has no scale from an earlier one: at most 1.
        q /= dot(&q, &q).sqrt().clamp_min(1.0);
    }
    for (Pair { step, change, inverse }, part) in pairs.iter().zip(parts.iter().rev()) {
        q += step * (part - inverse * dot(change, &q));
    }
    let is_descent = dot(&q, gradients).gt(0.0);
    -q.where_self(&is_descent, gradients)
}

/// Goes along a direction, half as far for each problem that does not decrease enough, until all
/// do.
fn step(
    problems: &impl Problems,
    active: &Tensor,
    (x, now): (&Tensor, &Evaluated),
    direction: &Tensor,
) -> (Tensor, Evaluated) {
    let slope = dot(direction, &now.gradients);
    let length = slope.ones_like();
    let next_x = x + direction;
    let next = problems.at(&next_x, active);
    for _ in 0..HALVINGS {
        // Rounding may hide the decrease.
        let most = &now.values + &length * &slope * DECREASE + now.values.abs() * 1e-14;
        let failed = next.values.le_tensor(&most).logical_not().nonzero().view([-1]);
        if failed.size()[0] == 0 {
            break;
        }
        let shorter = length.index_select(0, &failed) / 2.0;
        let nearer = x.index_select(1, &failed) + direction.index_select(1, &failed) * &shorter;
        let again = problems.at(&nearer, &active.index_select(0, &failed));
        let _ = length.shallow_clone().index_copy_(0, &failed, &shorter);
        let _ = next_x.shallow_clone().index_copy_(1, &failed, &nearer);
        let _ = next.values.shallow_clone().index_copy_(0, &failed, &again.values);
        let _ = next.gradients.shallow_clone().index_copy_(1, &failed, &again.gradients);
    }
    (next_x, next)
}

impl Evaluated {
    fn only(&self, columns: &Tensor) -> Self {
        Self { values: self.values.index_select(0, columns), gradients: self.gradients.index_select(1, columns) }
    }
}

/// The scalar product of each column of `[d, problems]`: `[problems]`.
fn dot(a: &Tensor, b: &Tensor) -> Tensor {
    (a * b).sum_dim_intlist([0i64].as_slice(), false, Kind::Double)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// (x - number)^T diag(1, 4, .., d^2) (x - number) / 2 + sum of (x - number)^4.
    struct Bowls;

    impl Problems for Bowls {
        fn at(&self, variables: &Tensor, problems: &Tensor) -> Evaluated {
            let x = variables - problems.to_kind(Kind::Double);
            let curvature = Tensor::arange_start(1, variables.size()[0] + 1, (Kind::Double, Device::Cpu)).square();
            let gradients = &x * curvature.unsqueeze(1) + x.pow_tensor_scalar(3) * 4.0;
            let values = (x.square() * curvature.unsqueeze(1) / 2.0 + x.pow_tensor_scalar(4)).sum_dim_intlist(
                [0i64].as_slice(),
                false,
                Kind::Double,
            );
            Evaluated { values, gradients }
        }
    }

    #[test]
    fn each_problem_ends_at_its_own_minimum() {
        let limits = Limits { gradient: 1e-9, iterations: 200 };
        let found = minimize(&Bowls, &Tensor::zeros([6, 5], (Kind::Double, Device::Cpu)), limits);
        let wanted = Tensor::arange(5, (Kind::Double, Device::Cpu)).expand([6, 5], false);
        assert!((&found.variables - wanted).abs().max().double_value(&[]) < 1e-8, "{:?}", found);
        assert!(found.unfinished == 0 && found.iterations < 60, "{found:?}");
        let cut =
            minimize(&Bowls, &Tensor::zeros([6, 5], (Kind::Double, Device::Cpu)), Limits { iterations: 2, ..limits });
        // The first starts at its minimum.
        assert_eq!((cut.iterations, cut.unfinished), (2, 4));
    }
}
