//! The products of the corpus, by their rank among the ids.
use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs::File,
    io::{self, BufRead, BufWriter, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_dumps::bare_product_id;
use schemas::{StoreError, temporary::unnamed_file};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::{
    runs::{FixedRecord, long_number, number},
    sections::Section,
};

/// A product of the corpus: its rank among the product ids, so ranks are in the order of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProductRank(pub(crate) u32);

impl ProductRank {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Products of a block.
const BLOCK: usize = 64;

/// The most blocks in memory. With ids of ten characters, each takes 1.5 kB.
const MOST_BLOCKS: usize = 1 << 15;

/// Bytes of ids that are sorted in memory.
const MEMORY: usize = 64 << 20;

/// Ids one after another.
#[derive(Default)]
struct Ids {
    /// Each id after its length.
    bytes: Vec<u8>,
    /// Where each id begins in `bytes`.
    starts: Vec<u64>,
}

/// Bytes of a length in [`Ids::bytes`].
const LENGTH: usize = 4;

impl Ids {
    fn len(&self) -> usize {
        self.starts.len()
    }

    fn memory(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<u64>()
    }

    fn push(&mut self, id: &[u8]) {
        self.starts.push(self.bytes.len() as u64);
        write_id(id, &mut self.bytes);
    }

    fn get(&self, number: usize) -> &[u8] {
        let start = self.starts[number] as usize;
        let length = number_at(&self.bytes, start);
        &self.bytes[start + LENGTH..start + LENGTH + length]
    }

    /// The number of ids that are at most this one. The ids are sorted.
    fn up_to(&self, id: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle) <= id { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The numbers of the ids, in the order of ids.
    fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.get(a as usize).cmp(self.get(b as usize)));
        order
    }
}

fn number_at(bytes: &[u8], start: usize) -> usize {
    number(&bytes[start..start + LENGTH]) as usize
}

fn write_id(id: &[u8], into: &mut Vec<u8>) {
    into.extend((id.len() as u32).to_le_bytes());
    into.extend(id);
}

/// The product ids, sorted, in a file without a name. Memory holds the first id of each [`BLOCK`], and at most
/// [`MOST_BLOCKS`] of these.
pub(crate) struct ProductTable {
    /// For messages.
    next_to: PathBuf,
    file: File,
    len: usize,
    firsts: Ids,
    /// Where each block begins in the file, and where the last one ends.
    offsets: Vec<u64>,
    /// A block has one place, which it shares with others.
    blocks: RefCell<Vec<Option<Block>>>,
}

struct Block {
    number: usize,
    ids: Ids,
}

impl ProductTable {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Calls `each` with the ids of a block.
    fn with_block<T>(&self, number: usize, each: impl FnOnce(&Ids) -> T) -> Result<T, StoreError> {
        let mut blocks = self.blocks.borrow_mut();
        let place = number % blocks.len();
        let block = match blocks[place].take().filter(|block| block.number == number) {
            Some(block) => block,
            None => self.read_block(number)?,
        };
        Ok(each(&blocks[place].insert(block).ids))
    }

    fn read_block(&self, number: usize) -> Result<Block, StoreError> {
        let (start, end) = (self.offsets[number], self.offsets[number + 1]);
        let mut ids = Ids { bytes: vec![0; (end - start) as usize], starts: Vec::with_capacity(BLOCK) };
        self.file.read_exact_at(&mut ids.bytes, start).map_err(StoreError::io("read", &self.next_to))?;
        let mut at = 0;
        while at < ids.bytes.len() {
            ids.starts.push(at as u64);
            at += LENGTH + number_at(&ids.bytes, at);
        }
        Ok(Block { number, ids })
    }

    /// Appends the id of a product.
    pub(crate) fn push_id(&self, product: ProductRank, into: &mut String) -> Result<(), StoreError> {
        let (block, at) = (product.index() / BLOCK, product.index() % BLOCK);
        self.with_block(block, |ids| into.push_str(std::str::from_utf8(ids.get(at)).unwrap_or_default()))
    }

    /// The product with this id, if it is in the corpus.
    pub(crate) fn rank(&self, id: &str) -> Result<Option<ProductRank>, StoreError> {
        let Some(block) = self.firsts.up_to(id.as_bytes()).checked_sub(1) else { return Ok(None) };
        self.with_block(block, |ids| {
            let at = ids.up_to(id.as_bytes()).checked_sub(1)?;
            (ids.get(at) == id.as_bytes()).then_some(ProductRank((block * BLOCK + at) as u32))
        })
    }

    /// As [`ProductTable::rank`], of an id from a file that other programs may have written. What the corpus removes
    /// around an id is removed, and the formula that marks text in a spreadsheet: `="0000031852"`. A spreadsheet drops
    /// the leading zeros of ten-digit ids, and pandas writes `5.0` if some ids are missing.
    pub(crate) fn rank_of_given(&self, id: &str) -> Result<Option<ProductRank>, StoreError> {
        const DIGITS: usize = 10;
        let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let formula = id.trim().strip_prefix("=\"").and_then(|text| text.strip_suffix('"'));
        let id = bare_product_id(formula.filter(|text| !text.contains('"')).unwrap_or(id));
        for id in [Some(id), id.strip_suffix(".0").filter(|whole| is_number(whole))].into_iter().flatten() {
            let found = match self.rank(id)? {
                None if is_number(id) && id.len() < DIGITS => self.rank(&format!("{id:0>DIGITS$}"))?,
                found => found,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether such an id is a product's.
    pub(crate) fn has_given(&self, id: &str) -> bool {
        self.rank_of_given(id).is_ok_and(|found| found.is_some())
    }
}

/// Collects the products of a corpus. What does not fit in memory is sorted on disk.
pub(crate) struct ProductTableBuilder {
    /// Temporary files are created next to this one.
    next_to: PathBuf,
    memory: usize,
    ids: Ids,
    runs: Vec<Section>,
}

impl ProductTableBuilder {
    pub(crate) fn new(next_to: &Path) -> Self {
        Self { next_to: next_to.to_owned(), memory: MEMORY, ids: Ids::default(), runs: Vec::new() }
    }

    pub(crate) fn push(&mut self, id: &str) -> Result<(), StoreError> {
        if self.ids.memory() >= self.memory {
            self.write_run()?;
        }
        self.ids.push(id.as_bytes());
        Ok(())
    }

    /// Moves the ids in memory to a file of their own, sorted.
    fn write_run(&mut self) -> Result<(), StoreError> {
        let mut run = IdWriter::new(&self.next_to)?;
        self.ids.sorted().into_iter().try_for_each(|number| run.push(self.ids.get(number as usize)))?;
        let (file, bytes) = run.finish()?;
        self.runs.push(Section { path: self.next_to.clone(), file: Some(Arc::new(file)), bytes: 0..bytes });
        self.ids = Ids::default();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<ProductTable, StoreError> {
        let mut table = TableWriter::new(&self.next_to)?;
        if self.runs.is_empty() {
            self.ids.sorted().into_iter().try_for_each(|number| table.push(self.ids.get(number as usize)).map(drop))?;
            return table.finish();
        }
        self.write_run()?;
        let (runs, mut readers) = (self.runs.len(), Vec::new());
        for run in self.runs {
            readers.push(run.open()?);
        }
        let mut heads = BinaryHeap::new();
        let mut next = |run: usize, heads: &mut BinaryHeap<_>| {
            let error = StoreError::io("read a temporary file next to", &self.next_to);
            let id = read_id(&mut readers[run]).map_err(error)?;
            heads.extend(id.map(|id| Reverse((id, run))));
            Ok::<_, StoreError>(())
        };
        (0..runs).try_for_each(|run| next(run, &mut heads))?;
        while let Some(Reverse((id, run))) = heads.pop() {
            table.push(&id)?;
            next(run, &mut heads)?;
        }
        table.finish()
    }
}

/// The next id of a run. `None` at its end.
fn read_id(run: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    if run.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; LENGTH];
    run.read_exact(&mut length)?;
    let mut id = vec![0; number_at(&length, 0)];
    run.read_exact(&mut id)?;
    Ok(Some(id))
}

/// Writes ids into a file without a name.
struct IdWriter {
    /// For messages.
    next_to: PathBuf,
    writer: BufWriter<File>,
    bytes: Vec<u8>,
    length: u64,
}

impl IdWriter {
    fn new(next_to: &Path) -> Result<Self, StoreError> {
        let file = unnamed_file(next_to).map_err(StoreError::io("create a temporary file next to", next_to))?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { next_to: next_to.to_owned(), writer, bytes: Vec::new(), length: 0 })
    }

    fn push(&mut self, id: &[u8]) -> Result<(), StoreError> {
        self.bytes.clear();
        write_id(id, &mut self.bytes);
        self.length += self.bytes.len() as u64;
        self.writer.write_all(&self.bytes).map_err(StoreError::io("write a temporary file next to", &self.next_to))
    }

    /// The file and its length.
    fn finish(self) -> Result<(File, u64), StoreError> {
        let error = |e: io::IntoInnerError<_>| StoreError::io("write", &self.next_to)(e.into_error());
        Ok((self.writer.into_inner().map_err(error)?, self.length))
    }
}

/// Writes a table from sorted ids.
struct TableWriter {
    ids: IdWriter,
    len: usize,
    last: Vec<u8>,
    firsts: Ids,
    offsets: Vec<u64>,
}

impl TableWriter {
    fn new(next_to: &Path) -> Result<Self, StoreError> {
        let ids = IdWriter::new(next_to)?;
        Ok(Self { ids, len: 0, last: Vec::new(), firsts: Ids::default(), offsets: Vec::new() })
    }

    /// Adds an id, unless it is the last one again. Returns its rank.
    fn push(&mut self, id: &[u8]) -> Result<ProductRank, StoreError> {
        if self.len == 0 || self.last != id {
            if self.len.is_multiple_of(BLOCK) {
                self.firsts.push(id);
                self.offsets.push(self.ids.length);
            }
            self.ids.push(id)?;
            self.last.clear();
            self.last.extend(id);
            self.len += 1;
        }
        Ok(ProductRank(self.len as u32 - 1))
    }

    fn finish(self) -> Result<ProductTable, StoreError> {
        let Self { ids, len, firsts, mut offsets, .. } = self;
        let next_to = ids.next_to.clone();
        let (file, length) = ids.finish()?;
        offsets.push(length);
        let places = firsts.len().clamp(1, MOST_BLOCKS);
        let blocks = RefCell::new((0..places).map(|_| None).collect());
        Ok(ProductTable { next_to, file, len, firsts, offsets, blocks })
    }
}

/// Numbers ids in the order in which they come first: about 60 bytes per product.
#[derive(Default)]
pub(crate) struct ProductNumbers {
    ids: Ids,
    /// By the hash of an id. Where hashes are equal, the later id gets a new number each time.
    numbers: HashMap<u64, u32>,
}

impl ProductNumbers {
    /// A number of the id.
    pub(crate) fn number(&mut self, id: &str) -> u32 {
        let next = self.ids.len() as u32;
        let number = *self.numbers.entry(xxh3_64(id.as_bytes())).or_insert(next);
        if number < next && self.ids.get(number as usize) == id.as_bytes() {
            return number;
        }
        self.ids.push(id.as_bytes());
        next
    }

    /// The ids, and the rank of each number.
    pub(crate) fn finish(self, next_to: &Path) -> Result<(ProductTable, Vec<ProductRank>), StoreError> {
        let Self { ids, numbers } = self;
        drop(numbers);
        let mut ranks = vec![ProductRank(0); ids.len()];
        let mut table = TableWriter::new(next_to)?;
        for number in ids.sorted() {
            ranks[number as usize] = table.push(ids.get(number as usize))?;
        }
        Ok((table.finish()?, ranks))
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
        ((u128::from(hash) * u128::from(self.count)) >> 64) as usize
    }

    /// The ranks of a partition.
    pub(crate) fn ranks(self, partition: u64) -> Range<usize> {
        let start = |partition: u64| (partition * self.products).div_ceil(u64::from(self.count)) as usize;
        start(partition)..start(partition + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(table: &ProductTable, product: ProductRank) -> String {
        let mut id = String::new();
        table.push_id(product, &mut id).unwrap();
        id
    }

    #[test]
    fn products_are_found_by_their_ids_in_any_memory() {
        let folder = tempfile::tempdir().unwrap();
        let next_to = folder.path().join("associations.parquet");
        let mut ids = ["B2", "", "B10", "ä", "B1", "B2"].map(str::to_owned).to_vec();
        ids.extend((0..1_000).map(|n| format!("P{}", n * 7 % 501)));
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        for (memory, places) in [(MEMORY, MOST_BLOCKS), (1_000, 3), (0, 1)] {
            let mut builder = ProductTableBuilder { memory, ..ProductTableBuilder::new(&next_to) };
            ids.iter().for_each(|id| builder.push(id).unwrap());
            let mut table = builder.finish().unwrap();
            table.blocks.get_mut().truncate(places);
            assert_eq!(table.len(), sorted.len());
            for (rank, wanted) in (0..).map(ProductRank).zip(&sorted) {
                assert_eq!((&id(&table, rank), table.rank(wanted).unwrap()), (wanted, Some(rank)));
            }
            assert_eq!(["A", "B", "B11", "z", "P501"].map(|id| table.rank(id).unwrap()), [None; 5]);
        }
        let empty = ProductTableBuilder::new(&next_to).finish().unwrap();
        assert_eq!((empty.len(), empty.rank("").unwrap()), (0, None));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the files have no names");
    }

    #[test]
    fn numbers_have_the_ranks_of_their_ids() {
        let mut numbers = ProductNumbers::default();
        let ids = ["B2", "A", "B10", "A", "B2", "C"];
        let found = ids.map(|id| numbers.number(id));
        assert_eq!(found, [0, 1, 2, 1, 0, 3]);
        let folder = tempfile::tempdir().unwrap();
        let (table, ranks) = numbers.finish(&folder.path().join("rows")).unwrap();
        assert_eq!(table.len(), 4);
        for (id, number) in ids.into_iter().zip(found) {
            assert_eq!(table.rank(id).unwrap(), Some(ranks[number as usize]));
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
