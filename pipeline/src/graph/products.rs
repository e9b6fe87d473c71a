//! The products of the corpus, by their rank among the ids.
use std::{collections::HashMap, ops::Range};

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::runs::{FixedRecord, long_number, number};

/// A product of the corpus: its rank among the product ids, so ranks are in the order of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProductRank(pub(crate) u32);

impl ProductRank {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The product ids, sorted: 12 bytes per product, and its id.
pub(crate) struct ProductTable {
    /// Each id after its length, in the order in which they were added.
    ids: Vec<u8>,
    /// Where each id begins in `ids`, in the order of ids.
    starts: Vec<u64>,
}

/// Bytes of a length in [`ProductTable::ids`].
const LENGTH: usize = 4;

/// Collects the products of a corpus.
#[derive(Default)]
pub(crate) struct ProductTableBuilder {
    ids: Vec<u8>,
    starts: Vec<u64>,
}

impl ProductTableBuilder {
    pub(crate) fn push(&mut self, id: &str) {
        self.starts.push(self.ids.len() as u64);
        self.ids.extend((id.len() as u32).to_le_bytes());
        self.ids.extend(id.as_bytes());
    }

    pub(crate) fn finish(self) -> ProductTable {
        let Self { ids, mut starts } = self;
        starts.sort_unstable_by(|&a, &b| id_at(&ids, a).cmp(id_at(&ids, b)));
        starts.dedup_by(|a, b| id_at(&ids, *a) == id_at(&ids, *b));
        ProductTable { ids, starts }
    }
}

/// Numbers ids in the order in which they come first.
#[derive(Default)]
pub(crate) struct ProductNumbers {
    builder: ProductTableBuilder,
    /// By the hash of an id. Where hashes are equal, the later id gets a new number each time.
    numbers: HashMap<u64, u32>,
}

impl ProductNumbers {
    /// A number of the id.
    pub(crate) fn number(&mut self, id: &str) -> u32 {
        let builder = &mut self.builder;
        let next = builder.starts.len() as u32;
        let number = *self.numbers.entry(xxh3_64(id.as_bytes())).or_insert(next);
        if number < next && id_at(&builder.ids, builder.starts[number as usize]) == id.as_bytes() {
            return number;
        }
        builder.push(id);
        next
    }

    /// The ids, and the rank of each number.
    pub(crate) fn finish(self) -> (ProductTable, Vec<ProductRank>) {
        let ProductTableBuilder { ids, starts } = self.builder;
        let id = |number: u32| id_at(&ids, starts[number as usize]);
        let mut order: Vec<u32> = (0..starts.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| id(a).cmp(id(b)));
        let mut ranks = vec![ProductRank(0); starts.len()];
        let mut sorted: Vec<u64> = Vec::with_capacity(starts.len());
        let mut previous = None;
        for number in order {
            if previous != Some(id(number)) {
                previous = Some(id(number));
                sorted.push(starts[number as usize]);
            }
            ranks[number as usize] = ProductRank(sorted.len() as u32 - 1);
        }
        (ProductTable { ids, starts: sorted }, ranks)
    }
}

fn id_at(ids: &[u8], start: u64) -> &[u8] {
    let start = start as usize;
    let length = number(&ids[start..start + LENGTH]) as usize;
    &ids[start + LENGTH..start + LENGTH + length]
}

impl ProductTable {
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn id(&self, product: ProductRank) -> &str {
        std::str::from_utf8(id_at(&self.ids, self.starts[product.index()])).unwrap_or_default()
    }

    /// The product with this id, if it is in the corpus.
    pub(crate) fn rank(&self, id: &str) -> Option<ProductRank> {
        let found = self.starts.binary_search_by(|&start| id_at(&self.ids, start).cmp(id.as_bytes()));
        found.ok().map(|rank| ProductRank(rank as u32))
    }

    /// As [`ProductTable::rank`], of an id from a file that other programs may have written. A spreadsheet drops the
    /// leading zeros of ten-digit ids.
    pub(crate) fn rank_of_given(&self, id: &str) -> Option<ProductRank> {
        const DIGITS: usize = 10;
        let is_short = || !id.is_empty() && id.len() < DIGITS && id.bytes().all(|byte| byte.is_ascii_digit());
        self.rank(id).or_else(|| is_short().then(|| self.rank(&format!("{id:0>DIGITS$}")))?)
    }
}

/// The hash of an id that is not in the corpus, to count the distinct ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnknownProduct(u64);

impl UnknownProduct {
    pub(crate) fn new(id: &str) -> Self {
        Self(xxh3_64(id.as_bytes()))
    }
}

impl FixedRecord for ProductRank {
    const BYTES: usize = 4;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.0.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self(number(from))
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

/// Ranges of ranks, and of the hashes of unknown products, that are worked on apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partitions {
    pub(crate) count: u32,
    /// Of the corpus.
    pub(crate) products: u64,
}

impl Partitions {
    /// The partition of a product.
    pub(crate) fn of(self, product: ProductRank) -> usize {
        (u64::from(product.0) * u64::from(self.count) / self.products.max(1)) as usize
    }

    /// The partition of an id that is not in the corpus.
    pub(crate) fn of_unknown(self, UnknownProduct(hash): UnknownProduct) -> usize {
        (u128::from(hash) * u128::from(self.count) >> 64) as usize
    }

    /// The ranks of a partition.
    pub(crate) fn ranks(self, partition: u64) -> Range<usize> {
        let start = |partition: u64| (partition * self.products).div_ceil(u64::from(self.count)) as usize;
        start(partition)..start(partition + 1)
    }
}

impl FixedRecord for UnknownProduct {
    const BYTES: usize = 8;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.0.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self(long_number(from))
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_by_their_ids() {
        let mut builder = ProductTableBuilder::default();
        let ids = ["B2", "", "B10", "ä", "B1", "B2"];
        ids.into_iter().for_each(|id| builder.push(id));
        let table = builder.finish();
        let sorted = ["", "B1", "B10", "B2", "ä"];
        assert_eq!(table.len(), sorted.len());
        for (rank, id) in (0..).map(ProductRank).zip(sorted) {
            assert_eq!((table.id(rank), table.rank(id)), (id, Some(rank)));
        }
        assert_eq!(["A", "B", "B11", "z"].map(|id| table.rank(id)), [None; 4]);
    }
    #[test]
    fn numbers_have_the_ranks_of_their_ids() {
        let mut numbers = ProductNumbers::default();
        let ids = ["B2", "A", "B10", "A", "B2", "C"];
        let found = ids.map(|id| numbers.number(id));
        assert_eq!(found, [0, 1, 2, 1, 0, 3]);
        let (table, ranks) = numbers.finish();
        assert_eq!(table.len(), 4);
        for (id, number) in ids.into_iter().zip(found) {
            assert_eq!(table.rank(id), Some(ranks[number as usize]));
        }
    }

    #[test]
    fn partitions_share_all_products_in_order() {
        for (count, products) in [(1, 0), (1, 7), (3, 2), (4, 10), (7, 7), (256, 1_000)] {
            let partitions = Partitions { count, products };
            let shared: Vec<(usize, usize)> = (0..u64::from(count))
                .flat_map(|of| partitions.ranks(of).map(move |rank| (of as usize, rank)))
                .collect();
            assert!(shared.iter().map(|&(_, rank)| rank as u64).eq(0..products));
            assert!(shared.iter().all(|&(of, rank)| partitions.of(ProductRank(rank as u32)) == of));
            assert!(partitions.of_unknown(UnknownProduct(u64::MAX)) < count as usize);
        }
    }
}
