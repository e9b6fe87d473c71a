//! Associations from lists of products: what a user reviewed, in order of time, or what an order holds.
//!
//! Two products of a user's list are a pair if at most [`WINDOW`] steps apart. The evidence of a pair is
//!
//! ```text
//!               Σ over users of 1 / (√distance × length of the list)
//! evidence  =  ──────────────────────────────────────────────────────
//!                        √(users of a × users of b)
//!
//! strength of a product  =  sum of its STRONGEST largest pieces of evidence
//!
//! weight  =  evidence × √(strength of a × strength of b)
//! ```
//!
//! Pairs of fewer than [`LEAST_USERS`] users are left out, and of the others those stay that are among the [`BEST`] of
//! either product. The weight uses counts only. `docs/associations.md` has its precision and what else was tried.
//!
//! The products of an order have no order: all pairs have the distance 1, and an order counts as a user.
//!
//! Pairs, the best of each product, and the edges go through sorted runs on disk. Memory holds two numbers per
//! product. A contribution is a whole number of 2⁻³² units, and all else is square roots and quotients. So the result
//! depends neither on the order of additions nor on the machine.
use std::{cmp::Reverse, path::Path};

use schemas::{Relation, StoreError};

use super::{edges::Edge, products::ProductRank};
use crate::engine::runs::{FixedRecord, RunSorter, SortedRecords, long_number, number};

/// The most steps between the products of a pair: neighbors in a list are one step apart.
pub const WINDOW: usize = 10;

/// The fewest users of a pair.
pub const LEAST_USERS: u32 = 2;

/// The pairs that make the strength of a product.
pub const STRONGEST: usize = 8;

/// The most pairs of a product that it keeps; as one of the best of the other product, a pair stays as well.
pub const BEST: usize = 32;

/// The most products of a user's list. A longer one is not of a single person, and would hardly count.
pub const LONGEST_LIST: usize = 1 << 16;

/// The most products of an order. All of them are pairs, and each would hardly count in a longer one.
pub const LONGEST_ORDER: usize = 256;

/// Units of a weight.
const UNIT: f64 = 4_294_967_296.0;

/// What one user adds to a pair, in units of 2⁻³².
fn contribution(distance: usize, length: usize) -> u64 {
    (UNIT / ((distance as f64).sqrt() * length as f64)).round() as u64
}

/// Where what lists hold goes.
pub(crate) trait ListSink {
    /// A product is in one more list.
    fn listed(&mut self, product: ProductRank) -> Result<(), StoreError>;

    /// Two products are in one more list.
    fn pair(&mut self, pair: ListedPair) -> Result<(), StoreError>;
}

/// How often and how closely two products are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListedPair {
    pub(crate) a: ProductRank,
    b: ProductRank,
    pub(crate) users: u32,
    /// Sum of contributions.
    sum: u64,
}

impl ListedPair {
    fn once(one: ProductRank, other: ProductRank, sum: u64) -> Self {
        Self { a: one.min(other), b: one.max(other), users: 1, sum }
    }
}

impl FixedRecord for ListedPair {
    const BYTES: usize = 20;

    fn write(&self, into: &mut Vec<u8>) {
        for number in [self.a.0, self.b.0, self.users] {
            into.extend(number.to_le_bytes());
        }
        into.extend(self.sum.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self {
            a: ProductRank(number(&from[0..4])),
            b: ProductRank(number(&from[4..8])),
            users: number(&from[8..12]),
            sum: long_number(&from[12..20]),
        }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        let same = (self.a, self.b) == (other.a, other.b);
        if same {
            self.users += other.users;
            self.sum += other.sum;
        }
        same
    }
}

/// A pair with its evidence, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SupportedPair {
    a: ProductRank,
    b: ProductRank,
    /// Bits of the evidence.
    evidence: u32,
}

impl FixedRecord for SupportedPair {
    const BYTES: usize = 12;

    fn write(&self, into: &mut Vec<u8>) {
        write_numbers([self.a.0, self.b.0, self.evidence], into);
    }

    fn read(from: &[u8]) -> Self {
        let [a, b, evidence] = read_numbers(from);
        Self { a: ProductRank(a), b: ProductRank(b), evidence }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

/// A pair as one of its products ranks it: the largest number first, then the lowest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RankedPair {
    of: ProductRank,
    /// Bits of the evidence or weight. Positive floats are ordered as their bits.
    by: Reverse<u32>,
    other: ProductRank,
}

impl FixedRecord for RankedPair {
    const BYTES: usize = 12;

    fn write(&self, into: &mut Vec<u8>) {
        write_numbers([self.of.0, self.by.0, self.other.0], into);
    }

    fn read(from: &[u8]) -> Self {
        let [of, by, other] = read_numbers(from);
        Self { of: ProductRank(of), by: Reverse(by), other: ProductRank(other) }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

fn write_numbers(numbers: [u32; 3], into: &mut Vec<u8>) {
    into.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
}

fn read_numbers(from: &[u8]) -> [u32; 3] {
    [0, 4, 8].map(|at| number(&from[at..at + 4]))
}

/// The number of lists that a product is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProductLists {
    pub(crate) product: ProductRank,
    pub(crate) lists: u32,
}

impl FixedRecord for ProductLists {
    const BYTES: usize = 8;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.product.0.to_le_bytes());
        into.extend(self.lists.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self { product: ProductRank(number(&from[0..4])), lists: number(&from[4..8]) }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        let same = self.product == other.product;
        self.lists += if same { other.lists } else { 0 };
        same
    }
}

/// Adds what a user reviewed, in order of time, without repetitions.
pub(crate) fn add_list(list: &[ProductRank], into: &mut impl ListSink) -> Result<(), StoreError> {
    for (at, &one) in list.iter().enumerate() {
        into.listed(one)?;
        for (distance, &other) in (1..=WINDOW).zip(&list[at + 1..]) {
            into.pair(ListedPair::once(one, other, contribution(distance, list.len())))?;
        }
    }
    Ok(())
}

/// Adds what an order holds, without repetitions.
pub(crate) fn add_order(order: &[ProductRank], into: &mut impl ListSink) -> Result<(), StoreError> {
    for (at, &one) in order.iter().enumerate() {
        into.listed(one)?;
        for &other in &order[at + 1..] {
            into.pair(ListedPair::once(one, other, contribution(1, order.len())))?;
        }
    }
    Ok(())
}

/// All pairs of some lists, each once.
pub(crate) struct PairsOfLists<'a, P> {
    /// In order of their products. Those of fewer than [`LEAST_USERS`] users may be missing.
    pub(crate) pairs: P,
    /// Lists with each product.
    pub(crate) lists: Vec<u32>,
    /// Temporary files are created next to this one.
    pub(crate) next_to: &'a Path,
    /// Bytes of memory of a sorter. At most two hold that much, in addition to that of the edges.
    pub(crate) memory: usize,
}

impl<P: Iterator<Item = Result<ListedPair, StoreError>>> PairsOfLists<'_, P> {
    /// Adds the edges that follow to `edges`.
    pub(crate) fn derive(self, relation: Relation, edges: &mut RunSorter<Edge>) -> Result<(), StoreError> {
        let Self { pairs, lists, next_to, memory } = self;
        let mut supported = RunSorter::new(next_to, memory);
        let mut ranked = RunSorter::new(next_to, memory);
        for pair in pairs {
            let ListedPair { a, b, users, sum } = pair?;
            if users < LEAST_USERS {
                continue;
            }
            let both = f64::from(lists[a.index()]) * f64::from(lists[b.index()]);
            let evidence = ((sum as f64 / UNIT / both.sqrt()) as f32).to_bits();
            supported.push(SupportedPair { a, b, evidence })?;
            push_both(&mut ranked, a, b, evidence)?;
        }
        let mut strength = vec![0f32; lists.len()];
        drop(lists);
        for_each_best(ranked.finish()?, STRONGEST, |pair| {
            strength[pair.of.index()] += f32::from_bits(pair.by.0);
            Ok(())
        })?;
        let mut ranked = RunSorter::new(next_to, memory);
        for pair in supported.finish()? {
            let SupportedPair { a, b, evidence } = pair?;
            let both = f64::from(strength[a.index()]) * f64::from(strength[b.index()]);
            let weight = (f64::from(f32::from_bits(evidence)) * both.sqrt()) as f32;
            push_both(&mut ranked, a, b, weight.to_bits())?;
        }
        for_each_best(ranked.finish()?, BEST, |pair| {
            let weight = Some(f32::from_bits(pair.by.0));
            Edge::new(pair.of, pair.other, relation, weight).map_or(Ok(()), |edge| edges.push(edge))
        })
    }
}

fn push_both(ranked: &mut RunSorter<RankedPair>, a: ProductRank, b: ProductRank, bits: u32) -> Result<(), StoreError> {
    ranked.push(RankedPair { of: a, by: Reverse(bits), other: b })?;
    ranked.push(RankedPair { of: b, by: Reverse(bits), other: a })
}

/// Calls `each` with the first `most` pairs of each product.
fn for_each_best(
    ranked: SortedRecords<RankedPair>,
    most: usize,
    mut each: impl FnMut(RankedPair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut of, mut taken) = (None, 0);
    for pair in ranked {
        let pair = pair?;
        if of != Some(pair.of) {
            (of, taken) = (Some(pair.of), 0);
        }
        if taken < most {
            each(pair)?;
        }
        taken += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
