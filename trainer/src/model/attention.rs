//! Sequences in one row, and attention within each of them.
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::native::{self, fused::Sequences};

/// Sequences packed in one row: no token is padding.
///
/// Everything but attention works on the row as it is.
#[derive(Debug)]
pub struct Packed {
    /// Token ids, `[T]`.
    ids: Tensor,
    /// Position of each token in its sequence, `[T]`.
    positions: Tensor,
    /// Token type of each token, `[T]`; 0 throughout where there are none.
    types: Option<Tensor>,
    boundaries: Boundaries,
    device: Device,
}

/// Where sequences begin and end, as attention wants it.
#[derive(Debug)]
enum Boundaries {
    /// Sequences of like length laid beside one another.
    Rectangles(Vec<Group>),
    /// All at once.
    Flash(Sequences),
}

/// How sequences are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    /// Where they are.
    pub device: Device,
    /// How attention finds them.
    pub attention: Attention,
}

/// How attention treats sequences of several lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attention {
    /// Sequences of like length are laid beside one another as a rectangle, the places of which may exceed its tokens by this share.
    Rectangles(f64),
    /// Flash attention over the row, with cumulative lengths (Dao 2023): on a GPU, in half precision.
    Flash,
}

impl Layout {
    /// What suits a device and a kind of number: flash attention where there is one. A CPU gains nothing from larger rectangles;
    /// a GPU pays for each of them.
    pub fn suiting(device: Device, compute: Kind) -> Self {
        let attention = match (device, compute) {
            (Device::Cpu, _) => Attention::Rectangles(0.0),
            (_, Kind::BFloat16 | Kind::Half) => Attention::Flash,
            _ => Attention::Rectangles(f64::INFINITY),
        };
        Self { device, attention }
    }
}

impl Packed {
    /// Packs a row of ids, the sequences of which have these lengths. Sorted lengths waste least.
    ///
    /// # Panics
    /// When the lengths do not add up to the row.
    pub fn new(ids: &[u16], lengths: &[usize], layout: Layout) -> Self {
        assert_eq!(lengths.iter().sum::<usize>(), ids.len(), "lengths add up to the row");
        let device = layout.device;
        let row: Vec<i32> = ids.iter().map(|&id| i32::from(id)).collect();
        let positions: Vec<i32> = lengths.iter().flat_map(|&length| 0..length as i32).collect();
        let boundaries = match layout.attention {
            Attention::Rectangles(waste) => Boundaries::Rectangles(
                groups(lengths, waste).into_iter().map(|range| Group::new(lengths, range, device)).collect(),
            ),
            Attention::Flash => Boundaries::Flash(Sequences::new(lengths, |numbers| upload(numbers, device))),
        };
        Self { ids: upload(&row, device), positions: upload(&positions, device), types: None, boundaries, device }
    }

    /// Gives each token of the row a token type: 0 for a first text, 1 for a second one.
    ///
    /// # Panics
    /// When there are not as many as tokens.
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

    /// Token types, `[T]`, if not 0 throughout.
    pub fn types(&self) -> Option<&Tensor> {
        self.types.as_ref()
    }

    /// Where flash attention is used: where its sequences lie.
    pub fn sequences(&self) -> Option<&Sequences> {
        match &self.boundaries {
            Boundaries::Flash(sequences) => Some(sequences),
            Boundaries::Rectangles(_) => None,
        }
    }

    /// Attention of each sequence to itself. Queries, keys and values are `[T, heads * size]`; so is the result.
    pub fn attention(&self, [q, k, v]: [&Tensor; 3], heads: i64, dropout: f64) -> Tensor {
        let groups = match &self.boundaries {
            Boundaries::Rectangles(groups) => groups,
            Boundaries::Flash(sequences) => {
                // What libtorch refuses is a panic, as it is in tch.
                return native::flash_attention([q, k, v], sequences, heads, dropout).unwrap_or_else(|e| panic!("{e}"));
            }
        };
        let seen: Vec<Tensor> = groups.iter().map(|group| group.attention([q, k, v], heads, dropout)).collect();
        if let [only] = seen.as_slice() { only.shallow_clone() } else { Tensor::cat(&seen, 0) }
    }
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

/// Neighboring sequences, in groups whose rectangles waste at most this share of their tokens.
fn groups(lengths: &[usize], waste: f64) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < lengths.len() {
        let (mut end, mut tokens, mut longest) = (start, 0, 0);
        while end < lengths.len() {
            let (tokens_with, longest_with) = (tokens + lengths[end], longest.max(lengths[end]));
            let places = longest_with * (end + 1 - start);
            if end > start && (places - tokens_with) as f64 > waste * tokens_with as f64 {
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
                spread.extend((0..longest).map(|i| (if i < length { first + i } else { first }) as i32));
                gather.extend((0..length).map(|i| (sequence * longest + i) as i32));
                mask.extend((0..longest).map(|i| i < length));
                first += length;
            }
            Padding {
                spread: upload(&spread, device),
                gather: upload(&gather, device),
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
    let positions: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
    upload(&positions, device)
}

/// Small numbers on a device, int32. Nothing waits for the copy to a GPU.
pub fn upload(numbers: &[i32], device: Device) -> Tensor {
    match device {
        // What libtorch refuses is a panic, as it is in tch.
        Device::Cuda(gpu) => native::upload(numbers, gpu).unwrap_or_else(|error| panic!("{error}")),
        device => Tensor::from_slice(numbers).to_device(device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_waste_no_more_than_they_may() {
        assert_eq!(groups(&[7, 7, 5, 5, 5, 2], 0.0), [0..2, 2..5, 5..6]);
        assert_eq!(groups(&[7, 7, 5, 5, 5, 2], f64::INFINITY), vec![0..6; 1]);
        assert_eq!(groups(&[10, 9, 9, 5], 0.1), [0..3, 3..4]);
        assert_eq!(groups(&[], 0.0), Vec::<Range<usize>>::new());
    }

    #[test]
    fn flash_attention_is_attention() {
        if crate::device::Machine::look().usable == 0 {
            println!("skipped: attention over a row needs a GPU");
            return;
        }
        let (lengths, device) = ([200, 129, 64, 33, 7, 1], Device::Cuda(0));
        let tokens = lengths.iter().sum::<usize>();
        let packed = |attention| Packed::new(&vec![0; tokens], &lengths, Layout { device, attention });
        let result = |attention: &dyn Fn([&Tensor; 3]) -> Tensor| {
            let qkv = [1, 2, 3].map(|seed| {
                tch::manual_seed(seed);
                let x = Tensor::randn([tokens as i64, 128], (Kind::Float, Device::Cpu));
                x.to_device(device).to_kind(Kind::BFloat16).set_requires_grad(true)
            });
            let seen = attention([&qkv[0], &qkv[1], &qkv[2]]).to_kind(Kind::Float);
            seen.square().sum(Kind::Float).backward();
            let mut all = vec![seen.detach()];
            all.extend(qkv.map(|x| x.grad().to_kind(Kind::Float)));
            all
        };
        let (plain, flash) = (packed(Attention::Rectangles(f64::INFINITY)), packed(Attention::Flash));
        // Heads of 64 and 32 numbers have code of ours besides.
        for heads in [2, 4] {
            let wanted = result(&|qkv| plain.attention(qkv, heads, 0.0));
            let kernels = native::fused::FusedKernels::compile(128, 256, heads, 0).unwrap();
            let sequences = flash.sequences().unwrap();
            let found = [
                result(&|qkv| flash.attention(qkv, heads, 0.0)),
                result(&|qkv| kernels.attention(qkv, sequences, 0.0, 0).unwrap()),
            ];
            for (found, wanted) in found.iter().flat_map(|found| found.iter().zip(&wanted)) {
                let error = (found - wanted).abs().max().double_value(&[]);
                assert!(error < 0.02 * wanted.abs().max().double_value(&[]), "{error}");
            }
        }
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
            let layout = Layout { device: Device::Cpu, attention: Attention::Rectangles(waste) };
            let packed = Packed::new(&ids, &lengths, layout);
            let found = packed.attention([&qkv[0], &qkv[1], &qkv[2]], 2, 0.0);
            let error = (&found - &wanted).abs().max().double_value(&[]);
            assert!(error < 1e-12, "{waste}: {error}");
        }
    }
}
