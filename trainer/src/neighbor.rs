//! Neighbor Product Reconstruction (section 3.3 of the paper, eqs. 8-12).
//!
//! The content of a product is rebuilt from that of its neighbor, and worse from that of a product
//! that is none:
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
//! With a margin that is never met, the hinge pulls forever. The cheapest way to follow is to make
//! all tokens of a title alike. [`Spread`] shows it: the part of the variance of the hidden states
//! that lies within titles.
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use ebert_batches::{PairBatch, starts};
use ebert_bert::upload;

/// How distances add up over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// As printed: over hundreds of tokens and hidden units. Compared with such a sum, a margin of
    /// 1 is nothing.
    #[default]
    Sum,
    /// The mean over the tokens of both products, and of raw states over the hidden units, too.
    Mean,
}

/// What e_ij is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Which products are the negatives of an anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// The negative of its row, as in the paper.
    #[default]
    Pairs,
    /// That, and the neighbors of the other pairs of its group. Left out is a product that a row of
    /// the same step associates with the anchor. So is one with the product id, text id or tokens
    /// of such a product or of the anchor.
    InBatch,
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
    /// Of the loss, relative to the masked-LM loss.
    pub weight: f64,
    /// How much nearer than the negative a neighbor must be.
    pub margin: f64,
    /// Pairs in a step.
    pub pairs: usize,
    /// Which products are negatives. The loss of a pair is its mean over them.
    pub negatives: Negatives,
    /// Whether a linear layer is between the encoder and the states that are compared. With it, the
    /// states that the masked-LM head reads need not become alike. It starts as the identity, is
    /// trained with the model, and is not a part of the result.
    pub projection: bool,
    /// Pairs in a group of `in_batch`, by the order of rows in a step; the last group may be
    /// smaller. A group is never split over processes or micro-batches, so that its negatives are
    /// the same for any number of them.
    pub group: usize,
}

impl Default for NeighborOptions {
    fn default() -> Self {
        let (reduction, scale, states) = (Reduction::Sum, Scale::None, States::Raw);
        let (negatives, group) = (Negatives::Pairs, 8);
        Self { reduction, scale, states, weight: 1.0, margin: 1.0, pairs: 32, negatives, projection: false, group }
    }
}

impl NeighborOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    ///
    /// # Errors
    /// If an option is out of range.
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
        if !(2..=65_536).contains(&self.group) {
            return Err(("neighbor.group", "a number of pairs from 2 to 65,536"));
        }
        Ok(())
    }
}

/// Hidden states of a batch of pairs.
///
/// A GPU computes all distances at once, as rectangles whose places of no token weigh nothing; a
/// CPU one after another. A distance depends on its two sequences alone.
#[derive(Clone, Copy, Debug)]
pub struct PairStates<'a> {
    /// The states of all sequences in one row, `[T, d]`: those of the encoder, or their projection.
    pub hidden: &'a Tensor,
    /// Tokens of each sequence, `[CLS]` and `[SEP]` at the ends counted. Each has content.
    pub lengths: &'a [usize],
    /// For each pair, which sequences its anchor, neighbor and negative are. There is at least one
    /// pair.
    pub pairs: &'a [[usize; 3]],
    /// For each pair, other pairs whose neighbors are further negatives of its anchor. May be
    /// empty.
    pub further_negatives: &'a [Vec<usize>],
}

/// The projection of hidden states `[T, d]` by weights `[d, d]`: `h + h W^T`, in float32. So
/// weights of zero are the identity.
pub fn project(hidden: &Tensor, weights: &Tensor) -> Tensor {
    let hidden = hidden.to_kind(Kind::Float);
    hidden.linear::<Tensor>(weights, None) + hidden
}

/// How far products are from their neighbors and from their negatives.
#[derive(Debug)]
pub struct Distances {
    /// <a, b> of each pair, `[pairs]`.
    pub near: Tensor,
    /// <a, b-> of each pair and its own negative, `[pairs]`.
    pub far: Tensor,
    /// <a, b-> of further negatives, `[n]`, and the pair of each, if there are any.
    further: Option<(Tensor, Vec<i32>)>,
}

impl Distances {
    /// Eq. 12 of each pair, `[pairs]`: the mean over its negatives.
    pub fn hinge(&self, margin: f64) -> Tensor {
        let own = self.own_hinge(margin);
        let Some((far, pairs)) = &self.further else { return own };
        let pairs = upload(pairs, far.device());
        let hinges = (self.near.index_select(0, &pairs) - far + margin).relu();
        let negatives = own.ones_like().index_add(0, &pairs, &hinges.ones_like());
        own.index_add(0, &pairs, &hinges) / negatives
    }

    /// Eq. 12 of each pair and its own negative alone, `[pairs]`.
    fn own_hinge(&self, margin: f64) -> Tensor {
        (&self.near - &self.far + margin).relu()
    }
}

impl PairStates<'_> {
    /// The loss of the pairs: its mean over them, unweighted.
    pub fn loss(&self, options: &NeighborOptions) -> Tensor {
        self.distances(options).hinge(options.margin).mean(None)
    }

    /// How far the anchors are from the others.
    pub fn distances(&self, options: &NeighborOptions) -> Distances {
        if self.hidden.device().is_cuda() { self.distances_at_once(options) } else { self.distances_in_turn(options) }
    }

    /// For each further negative, the sequences of the anchor and of the negative.
    fn further(&self) -> Vec<(i32, [usize; 2])> {
        let of_pair = |(pair, others): (usize, &Vec<usize>)| -> Vec<(i32, [usize; 2])> {
            others.iter().map(|&other| (pair as i32, [self.pairs[pair][0], self.pairs[other][1]])).collect()
        };
        self.further_negatives.iter().enumerate().flat_map(of_pair).collect()
    }

    /// One distance after another: rectangles cost a CPU several times what they hold.
    fn distances_in_turn(&self, options: &NeighborOptions) -> Distances {
        // The row is cut in one call. If each part were cut alone, its backward pass would add a
        // row of zeros.
        let lengths: Vec<i64> = self.lengths.iter().map(|&length| length as i64).collect();
        let sequences = self.hidden.split_with_sizes(&lengths, 0);
        let contents: Vec<Contents> =
            sequences.iter().map(|sequence| Contents::alone(sequence, options.states)).collect();
        let all = |of: &mut dyn Iterator<Item = [usize; 2]>| {
            let each = of.map(|[a, b]| distance(&contents[a], &contents[b], options));
            Tensor::cat(&each.collect::<Vec<_>>(), 0)
        };
        self.all_distances(all)
    }

    /// All distances of a kind at once, as rectangles.
    fn distances_at_once(&self, options: &NeighborOptions) -> Distances {
        let starts = starts(self.lengths);
        let contents = |sequences: &[usize]| {
            let places = sequences.iter().map(|&s| (starts[s] + 1, self.lengths[s] - 2));
            Contents::beside(self.hidden, &places.collect::<Vec<_>>(), options.states)
        };
        let all = |of: &mut dyn Iterator<Item = [usize; 2]>| {
            let (anchors, others): (Vec<usize>, Vec<usize>) = of.map(|[a, b]| (a, b)).unzip();
            distance(&contents(&anchors), &contents(&others), options)
        };
        self.all_distances(all)
    }

    /// The distances, by a function that gives those of some pairs of sequences.
    fn all_distances(&self, distances: impl Fn(&mut dyn Iterator<Item = [usize; 2]>) -> Tensor) -> Distances {
        let further = self.further();
        let (of, sequences): (Vec<i32>, Vec<[usize; 2]>) = further.into_iter().unzip();
        Distances {
            near: distances(&mut self.pairs.iter().map(|&[anchor, neighbor, _]| [anchor, neighbor])),
            far: distances(&mut self.pairs.iter().map(|&[anchor, _, negative]| [anchor, negative])),
            further: (!of.is_empty()).then(|| (distances(&mut sequences.into_iter()), of)),
        }
    }
}

/// <a, b> of the contents of a product and of each of many others, `[others]`: `[tokens, d]` each,
/// special tokens left out. Others go through at once by similar length.
pub fn distances_from(anchor: &Tensor, others: &[Tensor], options: &NeighborOptions) -> Tensor {
    const AT_ONCE: usize = 64;
    let anchor = Contents::whole(anchor, options.states);
    let mut order: Vec<usize> = (0..others.len()).collect();
    order.sort_by_key(|&other| others[other].size()[0]);
    let distances = Tensor::zeros([others.len() as i64], (Kind::Float, anchor.states.device()));
    for at_once in order.chunks(AT_ONCE) {
        let row = Tensor::cat(&at_once.iter().map(|&other| &others[other]).collect::<Vec<_>>(), 0);
        let lengths: Vec<usize> = at_once.iter().map(|&other| others[other].size()[0] as usize).collect();
        let places: Vec<(usize, usize)> = starts(&lengths).into_iter().zip(lengths).collect();
        let found =
            distance(&anchor.repeated(at_once.len()), &Contents::beside(&row, &places, options.states), options);
        let rows: Vec<i64> = at_once.iter().map(|&other| other as i64).collect();
        let _ = distances.shallow_clone().index_copy_(0, &Tensor::from_slice(&rows).to_device(found.device()), &found);
    }
    distances
}

impl<'a> PairStates<'a> {
    /// The pairs of a batch, with the states of its row that are compared, `[T, d]`.
    pub fn of(batch: &'a PairBatch, states: &'a Tensor) -> Self {
        let PairBatch { lengths, pairs, further_negatives, .. } = batch;
        Self { hidden: states, lengths, pairs, further_negatives }
    }
}

/// The mean of the states of each sequence's content, `[sequences, d]`, in float32.
pub fn pooled(hidden: &Tensor, lengths: &[usize]) -> Tensor {
    let of_sequence = |(start, &length): (usize, &usize)| {
        let content = hidden.narrow(0, start as i64 + 1, length as i64 - 2);
        content.mean_dim([0i64].as_slice(), false, Kind::Float)
    };
    Tensor::stack(&starts(lengths).into_iter().zip(lengths).map(of_sequence).collect::<Vec<_>>(), 0)
}

/// Sums over the tokens of some titles, from which the spread of their hidden states follows. Sums
/// of several batches add up.
#[derive(Debug)]
pub struct Spread {
    /// `[d + 3]`, float64: the sum of all states, the number of tokens, the sum of the squared
    /// lengths of states, and that of |sum of a title's states|^2 / tokens of the title.
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

    /// The part of the variance of the states that lies within titles: 0 where all tokens of a
    /// title are alike, 1 where titles have the same mean.
    pub fn within(sums: &[f64]) -> f64 {
        let (sum, rest) = sums.split_at(sums.len() - 3);
        let [tokens, squares, of_titles] = [rest[0], rest[1], rest[2]];
        let of_all = sum.iter().map(|x| x * x).sum::<f64>() / tokens;
        (squares - of_titles) / (squares - of_all)
    }
}

impl States {
    /// The states that are compared, `[.., d]`.
    pub fn of(self, states: Tensor) -> Tensor {
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
    /// Of one sequence, `[tokens, d]`, special tokens counted.
    fn alone(sequence: &Tensor, states: States) -> Self {
        Self::whole(&sequence.narrow(0, 1, sequence.size()[0] - 2), states)
    }

    /// Of the content of one sequence, `[tokens, d]`.
    fn whole(content: &Tensor, states: States) -> Self {
        let tokens = content.size()[0];
        assert!(tokens > 0, "a product has content");
        let device = content.device();
        Self {
            states: states.of(content.unsqueeze(0).to_kind(Kind::Float)),
            here: Tensor::ones([1, tokens, 1], (Kind::Float, device)),
            tokens: upload(&[tokens as i32], device),
        }
    }

    /// The same product in several pairs.
    fn repeated(&self, pairs: usize) -> Self {
        let expand = |of: &Tensor| of.expand([&[pairs as i64], &of.size()[1..]].concat(), false);
        Self { states: expand(&self.states), here: expand(&self.here), tokens: expand(&self.tokens) }
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
mod tests;
