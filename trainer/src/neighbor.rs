//! Neighbor Product Reconstruction (section 3.3 of the paper, eqs. 8-12).
//!
//! The content of a product is rebuilt from that of its neighbor, and worse from that of a product that is none:
//!
//! ```text
//! e_ij = w_i . o_j          alpha_ij = softmax over j          beta_ji = softmax over i
//! w'_i = sum_j alpha_ij o_j          o'_j = sum_i beta_ji w_i
//! <a, b> = sum_i |w_i - w'_i|^2 + sum_j |o_j - o'_j|^2
//! L = max(0, margin + <a, b> - <a, b->)
//! ```
//!
//! w_i and o_j are the last hidden states at the content tokens of both, special tokens left out.
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::data::starts;
use ebert_bert::upload;

/// How distances add up over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// As printed: over hundreds of tokens and hidden units, beside which a margin of 1 is nothing.
    #[default]
    Sum,
    /// The mean over the tokens of both products and the hidden units.
    Mean,
}

/// What e_ij is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", value(rename_all = "snake_case"))]
pub enum Scale {
    /// Nothing, as printed.
    #[default]
    None,
    /// The root of the hidden size, as in attention.
    SqrtD,
}

/// The recipe's part of Neighbor Product Reconstruction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeighborOptions {
    /// How distances add up.
    pub reduction: Reduction,
    /// What e_ij is divided by.
    pub scale: Scale,
    /// Of the loss, beside the masked-LM loss.
    pub weight: f64,
    /// By how much a neighbor shall be nearer.
    pub margin: f64,
    /// Pairs in a step.
    pub pairs: usize,
}

impl Default for NeighborOptions {
    fn default() -> Self {
        Self { reduction: Reduction::Sum, scale: Scale::None, weight: 1.0, margin: 1.0, pairs: 32 }
    }
}

impl NeighborOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return Err(("neighbor.weight", "a number of at least 0"));
        }
        if !self.margin.is_finite() {
            return Err(("neighbor.margin", "a number"));
        }
        if !(1..=65_536).contains(&self.pairs) {
            return Err(("neighbor.pairs", "a number from 1 to 65,536"));
        }
        Ok(())
    }
}

/// The loss of a batch of pairs: its mean over them, unweighted.
///
/// `hidden` `[T, d]` are the hidden states of all sequences in one row, `lengths` tokens each, `[CLS]` and `[SEP]` at the
/// ends; `pairs` says which of them are anchor, neighbor and negative. A GPU computes all pairs at once, as rectangles whose places of no
/// token weigh nothing; a CPU one after another. A pair's loss depends on its three sequences alone.
///
/// # Panics
/// When there is no pair, or a sequence has no content.
pub fn loss(hidden: &Tensor, lengths: &[usize], pairs: &[[usize; 3]], options: &NeighborOptions) -> Tensor {
    let losses = if hidden.device().is_cuda() {
        losses(hidden, lengths, pairs, options)
    } else {
        // Rectangles cost a CPU several times what they hold. The row is cut at once, as each cut by itself would make its backward pass
        // add a row of zeros.
        let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
        let sequences = hidden.split_with_sizes(&lengths, 0);
        let contents = |pair: &[usize; 3]| pair.map(|sequence| Contents::alone(&sequences[sequence]));
        let losses: Vec<Tensor> = pairs.iter().map(|pair| hinge(contents(pair), options)).collect();
        Tensor::cat(&losses, 0)
    };
    losses.mean(None)
}

/// The loss of each pair, `[pairs]`, all at once.
fn losses(hidden: &Tensor, lengths: &[usize], pairs: &[[usize; 3]], options: &NeighborOptions) -> Tensor {
    let starts = starts(lengths);
    let contents = [0, 1, 2].map(|side| {
        let sequences = pairs.iter().map(|pair| (starts[pair[side]] + 1, lengths[pair[side]] - 2));
        Contents::beside(hidden, &sequences.collect::<Vec<_>>())
    });
    hinge(contents, options)
}

/// Eq. 12 of anchors, neighbors and negatives, `[pairs]`.
fn hinge([anchor, neighbor, negative]: [Contents; 3], options: &NeighborOptions) -> Tensor {
    let near = distance(&anchor, &neighbor, options);
    let far = distance(&anchor, &negative, options);
    (near - far + options.margin).relu()
}

/// The hidden states of one product of each pair.
struct Contents {
    /// `[pairs, longest, d]`, float32: the distances need more than 8 bits of mantissa.
    states: Tensor,
    /// 1 where a token stands, else 0, `[pairs, longest, 1]`.
    here: Tensor,
    /// Tokens of each, `[pairs]`.
    tokens: Tensor,
}

impl Contents {
    /// Of one sequence, `[tokens, d]`.
    fn alone(sequence: &Tensor) -> Self {
        let tokens = sequence.size()[0] - 2;
        assert!(tokens > 0, "a product has content");
        let device = sequence.device();
        Self {
            states: sequence.narrow(0, 1, tokens).unsqueeze(0).to_kind(Kind::Float),
            here: Tensor::ones([1, tokens, 1], (Kind::Float, device)),
            tokens: upload(&[tokens as i32], device),
        }
    }

    /// Of sequences that start there in the row and have so many tokens.
    fn beside(hidden: &Tensor, sequences: &[(usize, usize)]) -> Self {
        let longest = sequences.iter().map(|&(_, length)| length).max().unwrap_or(0);
        let (mut places, mut here) = (Vec::new(), Vec::new());
        for &(start, length) in sequences {
            assert!(length > 0, "a product has content");
            // Places of no token repeat the first.
            places.extend((0..longest).map(|i| (start + if i < length { i } else { 0 }) as i32));
            here.extend((0..longest).map(|i| i32::from(i < length)));
        }
        let (device, shape) = (hidden.device(), [sequences.len() as i64, longest as i64, -1]);
        let tokens: Vec<i32> = sequences.iter().map(|&(_, length)| length as i32).collect();
        Self {
            states: hidden.index_select(0, &upload(&places, device)).view(shape).to_kind(Kind::Float),
            here: upload(&here, device).view(shape).to_kind(Kind::Float),
            tokens: upload(&tokens, device),
        }
    }
}

/// <a, b> of eqs. 8-11 for the contents of two products of each pair, `[pairs]`.
fn distance(w: &Contents, o: &Contents, options: &NeighborOptions) -> Tensor {
    let width = w.states.size()[2];
    let mut e = w.states.bmm(&o.states.transpose(1, 2));
    if options.scale == Scale::SqrtD {
        e /= (width as f64).sqrt();
    }
    // What is not there gets no share.
    let share = |here: &Tensor, over: i64| (&e + (here - 1.0) * 1e30).softmax(over, Kind::Float);
    let rebuilt_w = share(&o.here.transpose(1, 2), 2).bmm(&o.states);
    let rebuilt_o = share(&w.here, 1).transpose(1, 2).bmm(&w.states);
    let sum = |of: &Contents, rebuilt: &Tensor| {
        ((&of.states - rebuilt).square() * &of.here).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)
    };
    let distance = sum(w, &rebuilt_w) + sum(o, &rebuilt_o);
    match options.reduction {
        Reduction::Sum => distance,
        Reduction::Mean => distance / ((&w.tokens + &o.tokens) * width),
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    type Matrix = Vec<Vec<f64>>;

    /// The equations once more, plainly, in float64.
    fn plain_distance(w: &Matrix, o: &Matrix, options: &NeighborOptions) -> f64 {
        let width = w[0].len();
        let scale = if options.scale == Scale::SqrtD { (width as f64).sqrt() } else { 1.0 };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / scale;
        let rebuild = |from: &Matrix, to: &[f64]| -> Vec<f64> {
            let scores: Vec<f64> = from.iter().map(|x| dot(to, x)).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
            (0..width).map(|k| from.iter().zip(&scores).map(|(x, s)| (s - most).exp() / sum * x[k]).sum()).collect()
        };
        let apart = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let total = w.iter().map(|x| apart(x, &rebuild(o, x))).sum::<f64>()
            + o.iter().map(|x| apart(x, &rebuild(w, x))).sum::<f64>();
        match options.reduction {
            Reduction::Sum => total,
            Reduction::Mean => total / ((w.len() + o.len()) * width) as f64,
        }
    }

    fn hidden(rows: i64, width: i64) -> Tensor {
        tch::manual_seed(5);
        Tensor::randn([rows, width], (Kind::Float, Device::Cpu)) * 0.7
    }

    fn rows(hidden: &Tensor, from: usize, to: usize) -> Matrix {
        (from..to).map(|row| Vec::<f64>::try_from(hidden.get(row as i64).to_kind(Kind::Double)).unwrap()).collect()
    }

    #[test]
    fn ragged_pairs_have_the_loss_of_the_equations() {
        let _alone = ebert_kernels::generator();
        let lengths = [9, 7, 7, 5, 4, 3];
        let pairs = [[0, 3, 5], [4, 1, 2], [5, 0, 4]];
        let hidden = hidden(35, 6);
        let starts = [0, 9, 16, 23, 28, 32];
        let content = |s: usize| rows(&hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
        for reduction in [Reduction::Sum, Reduction::Mean] {
            for scale in [Scale::None, Scale::SqrtD] {
                let options = NeighborOptions { reduction, scale, margin: 5.0, ..Default::default() };
                let wanted: f64 = pairs
                    .iter()
                    .map(|&[a, b, c]| {
                        let near = plain_distance(&content(a), &content(b), &options);
                        (near - plain_distance(&content(a), &content(c), &options) + options.margin).max(0.0)
                    })
                    .sum::<f64>()
                    / 3.0;
                for found in [loss(&hidden, &lengths, &pairs, &options), losses(&hidden, &lengths, &pairs, &options)] {
                    let found = found.mean(None).double_value(&[]);
                    assert!(
                        (found - wanted).abs() < 1e-5 * wanted.max(1.0),
                        "{reduction:?} {scale:?} {found} {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pair_does_not_depend_on_what_is_beside_it() {
        let _alone = ebert_kernels::generator();
        let lengths = [9, 7, 7, 5, 4, 3];
        let hidden = hidden(35, 6);
        let options = NeighborOptions { margin: 50.0, ..Default::default() };
        let alone = |pair| loss(&hidden, &lengths, &[pair], &options).double_value(&[]);
        let together = losses(&hidden, &lengths, &[[0, 3, 5], [4, 1, 2]], &options).mean(None).double_value(&[]);
        assert!((together - (alone([0, 3, 5]) + alone([4, 1, 2])) / 2.0).abs() < 1e-4);
    }

    #[test]
    fn gradients_are_those_of_small_steps() {
        let _alone = ebert_kernels::generator();
        let lengths = [6, 5, 4];
        let options = NeighborOptions { scale: Scale::SqrtD, reduction: Reduction::Mean, ..Default::default() };
        let hidden = hidden(15, 4).set_requires_grad(true);
        loss(&hidden, &lengths, &[[0, 1, 2]], &options).backward();
        let gradient = hidden.grad();
        let starts = [0, 6, 11];
        let plain = |hidden: &Tensor| {
            let content = |s: usize| rows(hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
            let near = plain_distance(&content(0), &content(1), &options);
            (near - plain_distance(&content(0), &content(2), &options) + 1.0).max(0.0)
        };
        for row in 0..15 {
            for column in 0..4 {
                let moved = |by: f64| {
                    let moved = hidden.detach().to_kind(Kind::Double).copy();
                    let _ = moved.get(row).get(column).g_add_scalar_(by);
                    plain(&moved)
                };
                let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let found = gradient.double_value(&[row, column]);
                assert!((found - wanted).abs() < 1e-5, "{row} {column}: {found} {wanted}");
            }
        }
    }
}
