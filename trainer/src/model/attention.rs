//! Sequences in one row, and attention within each of them.
use std::ops::Range;

use tch::{Device, Kind, Tensor};

/// Sequences packed in one row: no token is padding.
///
/// Everything but attention works on the row as it is. For attention, sequences of like length are laid beside one
/// another as a rectangle.
#[derive(Debug)]
pub struct Packed {
    /// Token ids, `[T]`.
    ids: Tensor,
    /// Position of each token in its sequence, `[T]`.
    positions: Tensor,
    groups: Vec<Group>,
}

/// Sequences that attention treats at once.
#[derive(Debug)]
struct Group {
    /// First token in the row.
    start: i64,
    /// All tokens in the row.
    tokens: i64,
    sequences: i64,
    /// The longest.
    length: i64,
    /// `None` where all have this length.
    padding: Option<Padding>,
}

/// How sequences of several lengths become a rectangle and a row again.
#[derive(Debug)]
struct Padding {
    /// For each place of the rectangle, which token of the group stands there, `[sequences * length]`. Places of no token
    /// repeat the sequence's first one.
    spread: Tensor,
    /// For each token, its place in the rectangle, `[tokens]`.
    gather: Tensor,
    /// Which places hold a token, `[sequences, 1, 1, length]`.
    mask: Tensor,
}

/// How the places of a rectangle may exceed its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waste(pub f64);

impl Waste {
    /// What suits a device: a CPU gains nothing from larger groups, a GPU pays for each of them.
    pub fn for_device(device: Device) -> Self {
        if device == Device::Cpu { Self(0.0) } else { Self(f64::INFINITY) }
    }
}

impl Packed {
    /// Packs a row of ids, the sequences of which have these lengths. Sorted lengths waste least.
    ///
    /// # Panics
    /// When the lengths do not add up to the row.
    pub fn new(ids: &[u16], lengths: &[usize], device: Device, waste: Waste) -> Self {
        assert_eq!(lengths.iter().sum::<usize>(), ids.len(), "lengths add up to the row");
        let row: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let positions: Vec<i64> = lengths.iter().flat_map(|&length| 0..length as i64).collect();
        Self {
            ids: Tensor::from_slice(&row).to_device(device),
            positions: Tensor::from_slice(&positions).to_device(device),
            groups: groups(lengths, waste).into_iter().map(|range| Group::new(lengths, range, device)).collect(),
        }
    }

    /// Token ids, `[T]`.
    pub fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// Positions, `[T]`.
    pub fn positions(&self) -> &Tensor {
        &self.positions
    }

    /// Attention of each sequence to itself. Queries, keys and values are `[T, heads * size]`; so is the result.
    pub fn attention(&self, [q, k, v]: [&Tensor; 3], heads: i64, dropout: f64) -> Tensor {
        let groups: Vec<Tensor> = self.groups.iter().map(|group| group.attention([q, k, v], heads, dropout)).collect();
        if let [only] = groups.as_slice() { only.shallow_clone() } else { Tensor::cat(&groups, 0) }
    }
}

/// Neighboring sequences, in groups whose rectangles waste at most this share of their tokens.
fn groups(lengths: &[usize], waste: Waste) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < lengths.len() {
        let (mut end, mut tokens, mut longest) = (start, 0, 0);
        while end < lengths.len() {
            let (tokens_with, longest_with) = (tokens + lengths[end], longest.max(lengths[end]));
            let places = longest_with * (end + 1 - start);
            if end > start && (places - tokens_with) as f64 > waste.0 * tokens_with as f64 {
                break;
            }
            (tokens, longest, end) = (tokens_with, longest_with, end + 1);
        }
        groups.push(start..end);
        start = end;
    }
    groups
}

impl Group {
    fn new(lengths: &[usize], range: Range<usize>, device: Device) -> Self {
        let start = lengths[..range.start].iter().sum::<usize>() as i64;
        let lengths = &lengths[range];
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let tokens = lengths.iter().sum::<usize>();
        let padding = (tokens < longest * lengths.len()).then(|| {
            let (mut spread, mut gather, mut mask) = (Vec::new(), Vec::new(), Vec::new());
            let mut first = 0;
            for (sequence, &length) in lengths.iter().enumerate() {
                spread.extend((0..longest).map(|i| (if i < length { first + i } else { first }) as i64));
                gather.extend((0..length).map(|i| (sequence * longest + i) as i64));
                mask.extend((0..longest).map(|i| i < length));
                first += length;
            }
            Padding {
                spread: Tensor::from_slice(&spread).to_device(device),
                gather: Tensor::from_slice(&gather).to_device(device),
                mask: Tensor::from_slice(&mask).view([lengths.len() as i64, 1, 1, longest as i64]).to_device(device),
            }
        });
        let (tokens, sequences, length) = (tokens as i64, lengths.len() as i64, longest as i64);
        Self { start, tokens, sequences, length, padding }
    }

    fn attention(&self, qkv: [&Tensor; 3], heads: i64, dropout: f64) -> Tensor {
        let width = qkv[0].size()[1];
        let [q, k, v] = qkv.map(|x| {
            let rows = x.narrow(0, self.start, self.tokens);
            let rows = match &self.padding {
                Some(padding) => rows.index_select(0, &padding.spread),
                None => rows,
            };
            rows.view([self.sequences, self.length, heads, width / heads]).transpose(1, 2)
        });
        let mask = self.padding.as_ref().map(|p| &p.mask);
        let out = Tensor::scaled_dot_product_attention(&q, &k, &v, mask, dropout, false, None, false);
        let rows = out.transpose(1, 2).reshape([self.sequences * self.length, width]);
        match &self.padding {
            Some(padding) => rows.index_select(0, &padding.gather),
            None => rows,
        }
    }
}

/// A list of token positions on a device.
pub fn indices(positions: &[u32], device: Device) -> Tensor {
    let positions: Vec<i64> = positions.iter().map(|&p| i64::from(p)).collect();
    Tensor::from_slice(&positions).to_kind(Kind::Int64).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_waste_no_more_than_they_may() {
        assert_eq!(groups(&[7, 7, 5, 5, 5, 2], Waste(0.0)), [0..2, 2..5, 5..6]);
        assert_eq!(groups(&[7, 7, 5, 5, 5, 2], Waste(f64::INFINITY)), vec![0..6; 1]);
        assert_eq!(groups(&[10, 9, 9, 5], Waste(0.1)), [0..3, 3..4]);
        assert_eq!(groups(&[], Waste(0.0)), Vec::<Range<usize>>::new());
    }

    #[test]
    fn a_sequence_does_not_see_what_is_beside_it() {
        let lengths = [6, 6, 4, 3, 1];
        let ids = vec![0u16; 20];
        let qkv = [1, 2, 3].map(|seed| {
            tch::manual_seed(seed);
            Tensor::randn([20, 8], (Kind::Double, Device::Cpu))
        });
        let apart: Vec<Tensor> = (0..lengths.len())
            .map(|i| {
                let start = lengths[..i].iter().sum::<usize>() as i64;
                let [q, k, v] = [0, 1, 2]
                    .map(|x: usize| qkv[x].narrow(0, start, lengths[i] as i64).view([-1, 2, 4]).transpose(0, 1));
                let weights = (q.matmul(&k.transpose(1, 2)) / 2.0).softmax(-1, Kind::Double);
                weights.matmul(&v).transpose(0, 1).reshape([-1, 8])
            })
            .collect();
        let wanted = Tensor::cat(&apart, 0);
        for waste in [0.0, 0.3, f64::INFINITY] {
            let packed = Packed::new(&ids, &lengths, Device::Cpu, Waste(waste));
            let found = packed.attention([&qkv[0], &qkv[1], &qkv[2]], 2, 0.0);
            let error = (&found - &wanted).abs().max().double_value(&[]);
            assert!(error < 1e-12, "{waste}: {error}");
        }
    }
}
