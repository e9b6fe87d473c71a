//! The products of the corpus, by their rank among the ids.
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
    /// leading zeros of ten-digit ids, and pandas writes `5.0` if some ids are missing.
    pub(crate) fn rank_of_given(&self, id: &str) -> Option<ProductRank> {
        const DIGITS: usize = 10;
        let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let padded =
            |id: &str| (is_number(id) && id.len() < DIGITS).then(|| self.rank(&format!("{id:0>DIGITS$}"))).flatten();
        let whole = || id.strip_suffix(".0").filter(|whole| is_number(whole));
        self.rank(id).or_else(|| padded(id)).or_else(|| whole().and_then(|id| self.rank(id).or_else(|| padded(id))))
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
}
