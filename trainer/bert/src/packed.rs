//! Sequences of several lengths in one row of tokens.
use std::cell::OnceCell;

use ebert_kernels::fused::Sequences;
use tch::{Device, Kind, Tensor};

/// Sequences packed in one row: no token is padding. Everything but attention works on the row as
/// it is.
#[derive(Debug)]
pub struct Packed {
    /// Token ids, `[T]`.
    ids: Tensor,
    /// Position of each token in its sequence, `[T]`.
    positions: Tensor,
    /// Token type of each token, `[T]`; `None` if all are 0.
    types: Option<Tensor>,
    lengths: Vec<usize>,
    device: Device,
    rectangle: OnceCell<Rectangle>,
    sequences: OnceCell<Sequences>,
}

impl Packed {
    /// Packs a row of ids, the sequences of which have these lengths.
    ///
    /// # Panics
    /// If the lengths do not add up to the row.
    pub fn new(ids: &[u32], lengths: &[usize], device: Device) -> Self {
        assert_eq!(lengths.iter().sum::<usize>(), ids.len(), "lengths add up to the row");
        let row: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let positions: Vec<i32> = lengths.iter().flat_map(|&length| 0..length as i32).collect();
        Self {
            ids: upload(&row, device),
            positions: upload(&positions, device),
            types: None,
            lengths: lengths.to_vec(),
            device,
            rectangle: OnceCell::new(),
            sequences: OnceCell::new(),
        }
    }

    /// Sets the token type of each token of the row: 0 for a first text, 1 for a second one.
    ///
    /// # Panics
    /// If there are not as many as tokens.
    pub fn with_types(mut self, types: &[u8]) -> Self {
        assert_eq!(types.len() as i64, self.ids.size()[0], "a type for each token");
        let types: Vec<i32> = types.iter().map(|&t| i32::from(t)).collect();
        self.types = Some(upload(&types, self.device));
        self
    }

    /// Token ids, `[T]`.
    pub fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// Positions, `[T]`.
    pub fn positions(&self) -> &Tensor {
        &self.positions
    }

    /// Token types, `[T]`, if not all are 0.
    pub fn types(&self) -> Option<&Tensor> {
        self.types.as_ref()
    }

    /// Tokens of each sequence.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The sequences as rows of a matrix, padded to the longest.
    pub(crate) fn rectangle(&self) -> &Rectangle {
        self.rectangle.get_or_init(|| Rectangle::new(&self.lengths, self.device))
    }

    /// Where the sequences lie, on a GPU.
    ///
    /// # Panics
    /// If libtorch refuses, or the row is not on a GPU.
    pub(crate) fn sequences(&self) -> &Sequences {
        self.sequences.get_or_init(|| {
            let Device::Cuda(gpu) = self.device else { panic!("the row is on {:?}", self.device) };
            Sequences::new(&self.lengths, gpu).unwrap_or_else(|error| panic!("{error}"))
        })
    }
}

/// Sequences of several lengths as a rectangle, and as a row again.
#[derive(Debug)]
pub(crate) struct Rectangle {
    sequences: i64,
    /// The longest.
    length: i64,
    /// For each place of the rectangle, which token of the row stands there, `[sequences *
    /// length]`. Places of no token repeat the sequence's first one.
    spread: Tensor,
    /// For each token, its place in the rectangle, `[tokens]`.
    gather: Tensor,
    /// Which places hold a token, `[sequences, 1, 1, length]`.
    mask: Tensor,
    /// For a window, which place sees which, `[sequences, 1, length, length]`.
    in_window: OnceCell<(usize, Tensor)>,
}

impl Rectangle {
    fn new(lengths: &[usize], device: Device) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let (mut spread, mut gather, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (sequence, &length) in lengths.iter().enumerate() {
            spread.extend((0..longest).map(|i| (if i < length { first + i } else { first }) as i32));
            gather.extend((0..length).map(|i| (sequence * longest + i) as i32));
            mask.extend((0..longest).map(|i| i < length));
            first += length;
        }
        let (sequences, length) = (lengths.len() as i64, longest as i64);
        Self {
            sequences,
            length,
            spread: upload(&spread, device),
            gather: upload(&gather, device),
            mask: Tensor::from_slice(&mask).view([sequences, 1, 1, length]).to_device(device),
            in_window: OnceCell::new(),
        }
    }

    /// Which place sees which, where a place sees others at most `window` away. Places of no token
    /// see all tokens: a row that sees nothing would have no softmax.
    fn in_window(&self, window: usize) -> Tensor {
        let make = || {
            let device = self.mask.device();
            let at = Tensor::arange(self.length, (Kind::Int64, device));
            let near = (at.unsqueeze(0) - at.unsqueeze(1)).abs().le(window as i64);
            let no_token = self.mask.transpose(2, 3).logical_not();
            (window, near.logical_or(&no_token).logical_and(&self.mask))
        };
        let (known, mask) = self.in_window.get_or_init(make);
        if *known == window { mask.shallow_clone() } else { make().1 }
    }

    /// Attention of each sequence to itself by libtorch. Queries, keys and values are `[T, heads *
    /// size]`; so is the result. With a window, a token sees those at most so many positions away.
    pub(crate) fn attention(&self, qkv: [&Tensor; 3], window: Option<usize>, heads: i64, dropout: f64) -> Tensor {
        let width = qkv[0].size()[1];
        let [q, k, v] = qkv.map(|x| {
            let rows = x.index_select(0, &self.spread);
            rows.view([self.sequences, self.length, heads, width / heads]).transpose(1, 2)
        });
        let mask = window.map_or_else(|| self.mask.shallow_clone(), |window| self.in_window(window));
        let seen = Tensor::scaled_dot_product_attention(&q, &k, &v, Some(&mask), dropout, false, None, false);
        let rows = seen.transpose(1, 2).reshape([self.sequences * self.length, width]);
        rows.index_select(0, &self.gather)
    }
}

/// A list of token positions on a device.
pub fn indices(positions: &[u32], device: Device) -> Tensor {
    let positions: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
    upload(&positions, device)
}

/// Small numbers on a device, int32. Nothing waits for the copy to a GPU.
pub fn upload(numbers: &[i32], device: Device) -> Tensor {
    match device {
        // What libtorch refuses is a panic, as it is in tch.
        Device::Cuda(gpu) => ebert_kernels::upload(numbers, gpu).unwrap_or_else(|error| panic!("{error}")),
        device => Tensor::from_slice(numbers).to_device(device),
    }
}

#[cfg(test)]
mod tests {
    use ebert_kernels::cpu;

    use super::*;

    /// How far the forward pass and the two backward passes of some attention are from dropping the
    /// same probabilities, relative to their size. For O = P V and the sum of O's squares, <dO, O> = <dV,
    /// V>. <dQ, Q> and <dK, K> are both the sum of all logits times their gradients.
    fn unlike_both_ways([q, k, v]: &[Tensor; 3], [seen, dq, dk, dv]: &[Tensor; 4]) -> f64 {
        let product = |a: &Tensor, b: &Tensor| (a.to_kind(Kind::Double) * b.to_kind(Kind::Double)).sum(Kind::Double);
        let apart = |[a, b]: [Tensor; 2]| {
            let [a, b] = [a, b].map(|product| product.double_value(&[]));
            (a - b).abs() / a.abs().max(b.abs())
        };
        let values = apart([product(seen, seen) * 2.0, product(dv, v)]);
        values.max(apart([product(dq, q), product(dk, k)]))
    }

    #[test]
    fn attention_on_a_cpu_drops_the_same_both_ways() {
        let _alone = ebert_kernels::generator();
        let qkv = drawn(96, Kind::Double);
        let lengths = [60, 30, 6];
        // Each pass draws for itself.
        let [first, second] =
            [0, 1].map(|_| with_gradients(&qkv, |qkv| cpu::attention(qkv, &lengths, 2, 0.5).unwrap()));
        assert!(unlike_both_ways(&qkv, &first) < 1e-10);
        let [seen, ..] = second;
        let [_, dq, dk, dv] = first;
        assert!(unlike_both_ways(&qkv, &[seen, dq, dk, dv]) > 0.02);
    }

    /// Queries, keys and values of a row, `[tokens, 8]`.
    fn drawn(tokens: i64, kind: Kind) -> [Tensor; 3] {
        [1, 2, 3].map(|seed| {
            tch::manual_seed(seed);
            Tensor::randn([tokens, 8], (Kind::Double, Device::Cpu)).to_kind(kind).set_requires_grad(true)
        })
    }

    /// What is seen, and the gradients of its squares' sum.
    fn with_gradients(qkv: &[Tensor; 3], attention: impl Fn([&Tensor; 3]) -> Tensor) -> [Tensor; 4] {
        let seen = attention(qkv.each_ref());
        let sum = seen.square().sum(Kind::Double);
        let [dq, dk, dv] = Tensor::run_backward(&[sum], qkv, false, false).try_into().unwrap();
        [seen.detach(), dq, dk, dv]
    }

    #[test]
    fn a_sequence_does_not_see_what_is_beside_it() {
        let _alone = ebert_kernels::generator();
        let lengths = [6, 40, 4, 3, 1];
        let tokens: usize = lengths.iter().sum();
        let apart = |qkv: [&Tensor; 3]| {
            let seen: Vec<Tensor> = (0..lengths.len())
                .map(|i| {
                    let start = lengths[..i].iter().sum::<usize>() as i64;
                    let [q, k, v] = qkv.map(|x| x.narrow(0, start, lengths[i] as i64).view([-1, 2, 4]).transpose(0, 1));
                    let weights = (q.matmul(&k.transpose(1, 2)) / 2.0).softmax(-1, Kind::Double);
                    weights.matmul(&v).transpose(0, 1).reshape([-1, 8])
                })
                .collect();
            Tensor::cat(&seen, 0)
        };
        // Scores of some units, and of thousands, where a probability is next to 1 or to 0 and no
        // sum is exact: as far off as libtorch's at most.
        for (size, exact) in [(1.0, true), (40.0, false)] {
            let drawn = |kind| {
                let [q, k, v] = drawn(tokens as i64, kind);
                [q.detach() * size, k.detach() * size, v.detach()].map(|x| x.set_requires_grad(true))
            };
            let wanted = with_gradients(&drawn(Kind::Double), apart);
            for (kind, digits) in [(Kind::Double, 1e-13), (Kind::Float, 1e-6)] {
                let errors = |attention: &dyn Fn([&Tensor; 3]) -> Tensor| {
                    let found = with_gradients(&drawn(kind), attention);
                    [0, 1, 2, 3].map(|number: usize| {
                        let wanted = &wanted[number];
                        let error = (found[number].to_kind(Kind::Double) - wanted).abs().max().double_value(&[]);
                        error / wanted.abs().max().double_value(&[])
                    })
                };
                let packed = Packed::new(&vec![0; tokens], &lengths, Device::Cpu);
                let own = |qkv: [&Tensor; 3]| cpu::attention(qkv, &lengths.map(|n| n as i64), 2, 0.0).unwrap();
                let plain = |qkv: [&Tensor; 3]| packed.rectangle().attention(qkv, None, 2, 0.0);
                let (ours, libtorch) = (errors(&own), errors(&plain));
                for (ours, libtorch) in ours.iter().zip(&libtorch) {
                    assert!(*ours < 3.0 * libtorch + digits, "{kind:?}, {size}: {ours} {libtorch}");
                    assert!(*libtorch < 10.0 * digits || !exact, "{kind:?}, {size}: {libtorch}");
                }
            }
        }
    }

    #[test]
    fn dropped_attention_has_the_gradient_of_what_it_kept() {
        let _alone = ebert_kernels::generator();
        let (lengths, share) = ([70, 3, 1], 0.3);
        let attention = |qkv: [&Tensor; 3]| {
            tch::manual_seed(5);
            cpu::attention(qkv, &lengths, 2, share).unwrap()
        };
        let qkv = drawn(74, Kind::Double);
        let gradients = with_gradients(&qkv, attention);
        // Along a direction the function changes as its gradient says.
        for (i, gradient) in gradients[1..].iter().enumerate() {
            let direction = Tensor::randn([74, 8], (Kind::Double, Device::Cpu));
            let moved = |step: f64| {
                let mut qkv = qkv.each_ref().map(Tensor::detach);
                qkv[i] = &qkv[i] + &direction * step;
                attention(qkv.each_ref()).square().sum(Kind::Double).double_value(&[])
            };
            let (found, step) = ((gradient * &direction).sum(Kind::Double).double_value(&[]), 1e-6);
            let wanted = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{i}: {found} {wanted}");
        }
        // With values of one each query sees what is kept of its attention: one on average, and
        // nothing that is not kept.
        let ones = Tensor::ones([74, 8], (Kind::Double, Device::Cpu));
        let kept = attention([&qkv[0].detach(), &qkv[1].detach(), &ones]);
        assert!((kept.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.1, "{kept}");
        let last = f64::try_from(kept.get(73).get(0)).unwrap();
        assert!([0.0, 1.0 / (1.0 - share)].iter().any(|wanted| (last - wanted).abs() < 1e-4), "{last}");
    }
}
