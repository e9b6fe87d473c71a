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
//!
//! With a margin that is never met, the hinge pulls for ever, and the cheapest way to follow is to make all tokens of a title
//! alike. [`Spread`] shows it: the part of the variance of the hidden states that lies within titles.
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
    /// The mean over the tokens of both products, and of raw states over the hidden units, too.
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

/// The hidden states that distances compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum States {
    /// As the encoder gives them.
    #[default]
    Raw,
    /// Each divided by its length, so that a squared distance is from 0 to 4.
    Normalized,
}

/// The recipe's part of Neighbor Product Reconstruction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeighborOptions {
    /// How distances add up.
    pub reduction: Reduction,
    /// What e_ij is divided by.
    pub scale: Scale,
    /// Which states are compared.
    pub states: States,
    /// Of the loss, beside the masked-LM loss.
    pub weight: f64,
    /// By how much a neighbor shall be nearer.
    pub margin: f64,
    /// Pairs in a step.
    pub pairs: usize,
}

impl Default for NeighborOptions {
    fn default() -> Self {
        let (reduction, scale, states) = (Reduction::Sum, Scale::None, States::Raw);
        Self { reduction, scale, states, weight: 1.0, margin: 1.0, pairs: 32 }
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
    distances(hidden, lengths, pairs, options).hinge(options.margin).mean(None)
}

/// How far products are from their neighbors and from their negatives.
#[derive(Debug)]
pub struct Distances {
    /// <a, b> of each pair, `[pairs]`.
    pub near: Tensor,
    /// <a, b-> of each pair, `[pairs]`.
    pub far: Tensor,
}

impl Distances {
    /// Eq. 12 of each pair, `[pairs]`.
    pub fn hinge(&self, margin: f64) -> Tensor {
        (&self.near - &self.far + margin).relu()
    }

    fn of([anchor, neighbor, negative]: [Contents; 3], options: &NeighborOptions) -> Self {
        Self { near: distance(&anchor, &neighbor, options), far: distance(&anchor, &negative, options) }
    }
}

/// The distances of a batch of pairs; the arguments are those of [`loss`].
///
/// # Panics
/// As [`loss`].
pub fn distances(hidden: &Tensor, lengths: &[usize], pairs: &[[usize; 3]], options: &NeighborOptions) -> Distances {
    if hidden.device().is_cuda() {
        return distances_at_once(hidden, lengths, pairs, options);
    }
    // Rectangles cost a CPU several times what they hold. The row is cut at once, as each cut by itself would make its backward pass
    // add a row of zeros.
    let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
    let sequences = hidden.split_with_sizes(&lengths, 0);
    let contents = |pair: &[usize; 3]| pair.map(|sequence| Contents::alone(&sequences[sequence], options.states));
    let each: Vec<Distances> = pairs.iter().map(|pair| Distances::of(contents(pair), options)).collect();
    let all = |side: fn(&Distances) -> &Tensor| Tensor::cat(&each.iter().map(side).collect::<Vec<_>>(), 0);
    Distances { near: all(|pair| &pair.near), far: all(|pair| &pair.far) }
}

/// The distances of all pairs at once, as rectangles.
fn distances_at_once(hidden: &Tensor, lengths: &[usize], pairs: &[[usize; 3]], options: &NeighborOptions) -> Distances {
    let starts = starts(lengths);
    let contents = [0, 1, 2].map(|side| {
        let sequences = pairs.iter().map(|pair| (starts[pair[side]] + 1, lengths[pair[side]] - 2));
        Contents::beside(hidden, &sequences.collect::<Vec<_>>(), options.states)
    });
    Distances::of(contents, options)
}

/// Sums over the tokens of some titles, from which the spread of their hidden states follows. Sums of several batches add up.
#[derive(Debug)]
pub struct Spread {
    /// `[d + 3]`, float64: the sum of all states; then the number of tokens, the sum of the squared lengths of states, and that
    /// of |sum of a title's states|^2 / tokens of the title.
    pub sums: Tensor,
}

impl Spread {
    /// Of the content of some sequences of a row.
    pub fn of(hidden: &Tensor, lengths: &[usize], sequences: impl Iterator<Item = usize>) -> Self {
        let starts = starts(lengths);
        let width = hidden.size()[1];
        let mut sums = Tensor::zeros([width + 3], (Kind::Double, hidden.device()));
        for sequence in sequences {
            let (start, tokens) = (starts[sequence] as i64 + 1, lengths[sequence] as i64 - 2);
            let states = hidden.narrow(0, start, tokens).to_kind(Kind::Double);
            let sum = states.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
            let squares = states.square().sum(Kind::Double).view([1]);
            let of_title = (sum.square().sum(Kind::Double) / tokens as f64).view([1]);
            let count = Tensor::full([1], tokens, (Kind::Double, hidden.device()));
            sums += Tensor::cat(&[sum, count, squares, of_title], 0);
        }
        Self { sums }
    }

    /// The part of the variance of the states that lies within titles: 0 where all tokens of a title are alike, 1 where titles
    /// have the same mean.
    pub fn within(sums: &[f64]) -> f64 {
        let (sum, rest) = sums.split_at(sums.len() - 3);
        let [tokens, squares, of_titles] = [rest[0], rest[1], rest[2]];
        let of_all = sum.iter().map(|x| x * x).sum::<f64>() / tokens;
        (squares - of_titles) / (squares - of_all)
    }
}

impl States {
    /// The states that are compared, `[.., d]`.
    fn of(self, states: Tensor) -> Tensor {
        match self {
            Self::Raw => states,
            Self::Normalized => {
                let length = states.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt();
                states / length.clamp_min(LEAST_LENGTH)
            }
        }
    }
}

/// The least length that a state is divided by.
const LEAST_LENGTH: f64 = 1e-6;

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
    fn alone(sequence: &Tensor, states: States) -> Self {
        let tokens = sequence.size()[0] - 2;
        assert!(tokens > 0, "a product has content");
        let device = sequence.device();
        Self {
            states: states.of(sequence.narrow(0, 1, tokens).unsqueeze(0).to_kind(Kind::Float)),
            here: Tensor::ones([1, tokens, 1], (Kind::Float, device)),
            tokens: upload(&[tokens as i32], device),
        }
    }

    /// Of sequences that start there in the row and have so many tokens.
    fn beside(hidden: &Tensor, sequences: &[(usize, usize)], states: States) -> Self {
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
            states: states.of(hidden.index_select(0, &upload(&places, device)).view(shape).to_kind(Kind::Float)),
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
        Reduction::Mean => {
            // A squared distance of normalized states is from 0 to 4, whatever their width.
            let units = if options.states == States::Raw { width } else { 1 };
            distance / ((&w.tokens + &o.tokens) * units)
        }
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
        let states = |rows: &Matrix| -> Matrix {
            let length = |row: &Vec<f64>| row.iter().map(|x| x * x).sum::<f64>().sqrt();
            match options.states {
                States::Raw => rows.clone(),
                States::Normalized => rows.iter().map(|row| row.iter().map(|x| x / length(row)).collect()).collect(),
            }
        };
        let (w, o) = (&states(w), &states(o));
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
            Reduction::Mean if options.states == States::Normalized => total / (w.len() + o.len()) as f64,
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
            for (scale, states) in
                [(Scale::None, States::Raw), (Scale::SqrtD, States::Raw), (Scale::None, States::Normalized)]
            {
                let options = NeighborOptions { reduction, scale, states, margin: 5.0, ..Default::default() };
                let wanted: f64 = pairs
                    .iter()
                    .map(|&[a, b, c]| {
                        let near = plain_distance(&content(a), &content(b), &options);
                        (near - plain_distance(&content(a), &content(c), &options) + options.margin).max(0.0)
                    })
                    .sum::<f64>()
                    / 3.0;
                for found in [
                    loss(&hidden, &lengths, &pairs, &options),
                    distances_at_once(&hidden, &lengths, &pairs, &options).hinge(options.margin),
                ] {
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
        let together = distances_at_once(&hidden, &lengths, &[[0, 3, 5], [4, 1, 2]], &options)
            .hinge(options.margin)
            .mean(None)
            .double_value(&[]);
        assert!((together - (alone([0, 3, 5]) + alone([4, 1, 2])) / 2.0).abs() < 1e-4);
    }

    #[test]
    fn gradients_are_those_of_small_steps() {
        for states in [States::Raw, States::Normalized] {
            check_gradients(states);
        }
    }

    #[test]
    fn the_spread_is_the_plain_ratio_of_variances() {
        let _alone = ebert_kernels::generator();
        let (lengths, titles) = ([9, 7, 5, 4], [0, 2, 3]);
        let hidden = hidden(25, 6);
        let starts = [0, 9, 16, 21];
        let content = |s: usize| rows(&hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
        let mean = |rows: &Matrix| -> Vec<f64> {
            (0..6).map(|k| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64).collect()
        };
        let from = |rows: &Matrix, mean: &[f64]| -> f64 {
            rows.iter().flat_map(|row| row.iter().zip(mean).map(|(x, m)| (x - m).powi(2))).sum()
        };
        let all: Matrix = titles.iter().flat_map(|&title| content(title)).collect();
        let within: f64 = titles.iter().map(|&title| from(&content(title), &mean(&content(title)))).sum();
        let wanted = within / from(&all, &mean(&all));
        // In two batches.
        let sums = [&titles[..1], &titles[1..]].map(|some| Spread::of(&hidden, &lengths, some.iter().copied()).sums);
        let sums = Vec::<f64>::try_from(&sums[0] + &sums[1]).unwrap();
        assert!((Spread::within(&sums) - wanted).abs() < 1e-6, "{wanted}");
        // Titles whose tokens are alike have none.
        let alike = Tensor::cat(&[hidden.narrow(0, 0, 1).repeat([9, 1]), hidden.narrow(0, 9, 1).repeat([7, 1])], 0);
        let sums = Vec::<f64>::try_from(Spread::of(&alike, &[9, 7], 0..2).sums).unwrap();
        assert!(Spread::within(&sums).abs() < 1e-9);
    }

    fn check_gradients(states: States) {
        let _alone = ebert_kernels::generator();
        let lengths = [6, 5, 4];
        let (scale, reduction) = (Scale::SqrtD, Reduction::Mean);
        let options = NeighborOptions { scale, reduction, states, ..Default::default() };
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
