//! A bucket of the corpus: sorts its records, leaves out duplicates, writes its tables.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use schemas::{
    CorpusAssociation, CorpusProduct, CorpusReview, DocumentId, FileEntry, StoreError, create_corpus_associations,
    create_corpus_products, create_corpus_reviews, store::TableWriter,
};
use serde::{Deserialize, Serialize};

use super::spill::{Frame, FrameReader, Position, ProductFields, ReviewFields, malformed};
use crate::engine::{hashes::Hashes, ledger::Ledger};
use ebert_dumps::Kind;
use ebert_prefetch::prefetch;

/// Bytes of a bucket that are sorted in memory; a larger bucket is sorted on disk.
pub const IN_MEMORY: usize = 1 << 30;

/// What was counted while a bucket was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCounts {
    /// Documents.
    pub rows: u64,
    /// Records left out because an earlier one has the same id.
    pub duplicates: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// Associations.
    pub associations: u64,
}

/// The tables of one bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The files: products have two tables.
    pub files: Vec<FileEntry>,
    /// What is in them.
    pub counts: BucketCounts,
}

/// Names of the tables of a bucket; the last one is written last.
pub fn tables(kind: Kind, bucket: u32) -> Vec<String> {
    match kind {
        Kind::Product => vec![format!("associations-{bucket:05}.parquet"), format!("products-{bucket:05}.parquet")],
        Kind::Review => vec![format!("reviews-{bucket:05}.parquet")],
    }
}

/// A finished bucket, if all its tables are there, made from the same.
pub fn finished(
    ledger: &Ledger,
    kind: Kind,
    bucket: u32,
    made_from: &str,
    hashes: &mut Hashes,
) -> Result<Option<Bucket>, StoreError> {
    let mut found = Bucket { files: Vec::new(), counts: BucketCounts::default() };
    for name in tables(kind, bucket) {
        let Some(made) = ledger.finished::<BucketCounts>(&name, made_from, hashes)? else { return Ok(None) };
        found.files.push(made.file);
        found.counts = made.counts;
    }
    Ok(Some(found))
}

/// Writes the tables of a bucket from its spill file. `scratch` is where a bucket over `in_memory` bytes is
/// sorted.
pub fn write(
    spill: &Path,
    ledger: &Ledger,
    (kind, bucket): (Kind, u32),
    made_from: &str,
    (scratch, in_memory): (&Path, usize),
) -> Result<Bucket, StoreError> {
    let mut frames = Sorted::open(spill, scratch, in_memory)?;
    let folder = ledger.folder();
    let names = tables(kind, bucket);
    let (files, counts) = match kind {
        Kind::Product => {
            let mut associations = create_corpus_associations(&folder.join(&names[0]))?;
            let mut products = create_corpus_products(&folder.join(&names[1]))?;
            let mut counts = BucketCounts::default();
            let mut written = None;
            while let Some(bytes) = frames.next_frame()? {
                let (document, product) = read_product(bytes).ok_or_else(|| malformed(spill))?;
                for &(relation, other) in &product.associations {
                    associations.push(&CorpusAssociation { product: product.product_id, other, relation })?;
                    counts.associations += 1;
                }
                if product.empty {
                    continue;
                }
                if written == Some(document) {
                    counts.duplicates += 1;
                    continue;
                }
                written = Some(document);
                counts.rows += 1;
                counts.text_bytes += product.text.len() as u64;
                products.push(&row_of_product(product))?;
            }
            let tables = [associations.finish()?, products.finish()?];
            (commit(ledger, tables, made_from, counts)?, counts)
        }
        Kind::Review => {
            let mut reviews = create_corpus_reviews(&folder.join(&names[0]))?;
            let mut counts = BucketCounts::default();
            let mut written = None;
            while let Some(bytes) = frames.next_frame()? {
                let (document, review) = read_review(bytes).ok_or_else(|| malformed(spill))?;
                if written == Some(document) {
                    counts.duplicates += 1;
                    continue;
                }
                written = Some(document);
                counts.rows += 1;
                counts.text_bytes += review.text.len() as u64;
                let ReviewFields { product_id, text, rating } = review;
                reviews.push(&CorpusReview { review: document, product_id, text, rating })?;
            }
            (commit(ledger, [reviews.finish()?], made_from, counts)?, counts)
        }
    };
    Ok(Bucket { files, counts })
}

fn commit(
    ledger: &Ledger,
    tables: impl IntoIterator<Item = TableWriter>,
    made_from: &str,
    counts: BucketCounts,
) -> Result<Vec<FileEntry>, StoreError> {
    tables.into_iter().map(|table| Ok(ledger.commit(table, made_from, counts)?.file)).collect()
}

fn read_product(bytes: &[u8]) -> Option<(DocumentId, ProductFields<'_>)> {
    let frame = Frame::read_again(bytes)?;
    Some((frame.document, ProductFields::read(frame.fields)?))
}

fn read_review(bytes: &[u8]) -> Option<(DocumentId, ReviewFields<'_>)> {
    let frame = Frame::read_again(bytes)?;
    Some((frame.document, ReviewFields::read(frame.fields)?))
}

fn row_of_product(fields: ProductFields<'_>) -> CorpusProduct<'_> {
    CorpusProduct {
        product_id: fields.product_id,
        title: fields.title,
        text: fields.text,
        categories: fields.categories,
        brand: Some(fields.brand).filter(|brand| !brand.is_empty()),
        attributes: fields.attributes,
    }
}

type SortKey = (DocumentId, Position);

/// Frames lie in memory in another order than they are asked for; so many ahead, this much is fetched of one.
const AHEAD: usize = 4;
const FETCHED: usize = 256;

/// The frames of a spill file by document, then position; each is as it was written.
enum Sorted {
    Memory { bytes: Vec<u8>, order: std::vec::IntoIter<(SortKey, usize, usize)> },
    Disk(Merge),
}

impl Sorted {
    fn open(spill: &Path, scratch: &Path, in_memory: usize) -> Result<Self, StoreError> {
        let size = fs::metadata(spill).map_err(StoreError::io("read", spill))?.len() as usize;
        if size <= in_memory {
            let bytes = fs::read(spill).map_err(StoreError::io("read", spill))?;
            let order = order_of(&bytes).ok_or_else(|| malformed(spill))?.into_iter();
            return Ok(Self::Memory { bytes, order });
        }
        let mut frames = FrameReader::open(spill)?;
        let mut bytes = Vec::with_capacity(in_memory);
        let mut runs = Vec::new();
        while let Some(frame) = frames.next_frame()? {
            if !bytes.is_empty() && bytes.len() + frame.len() > in_memory {
                runs.push(write_run(&bytes, spill, scratch, runs.len())?);
                bytes.clear();
            }
            bytes.extend_from_slice(frame);
        }
        runs.push(write_run(&bytes, spill, scratch, runs.len())?);
        drop(bytes);
        Ok(Self::Disk(Merge::open(runs)?))
    }

    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        match self {
            Self::Memory { bytes, order } => {
                let next = order.next();
                let ahead = order.as_slice().get(AHEAD).map(|(_, start, _)| &bytes[*start..]);
                ahead.and_then(|ahead| ahead.first_chunk::<FETCHED>()).into_iter().for_each(prefetch);
                Ok(next.map(|(_, start, end)| &bytes[start..end]))
            }
            Self::Disk(merge) => merge.next_frame(),
        }
    }
}

/// Where each frame is, in the order of document, then position; `None` when the bytes are not whole frames.
fn order_of(bytes: &[u8]) -> Option<Vec<(SortKey, usize, usize)>> {
    let mut order = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (frame, length) = Frame::read(&bytes[at..])?;
        order.push(((frame.document, frame.position), at, at + length));
        at += length;
    }
    order.sort_unstable();
    Some(order)
}

fn write_run(bytes: &[u8], spill: &Path, scratch: &Path, number: usize) -> Result<PathBuf, StoreError> {
    let name = spill.file_name().unwrap_or_default().to_string_lossy();
    let path = scratch.join(format!("{name}.run{number}"));
    let error = |e| StoreError::io("write", &path)(e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(error)?);
    for (_, start, end) in order_of(bytes).ok_or_else(|| malformed(spill))? {
        file.write_all(&bytes[start..end]).map_err(error)?;
    }
    file.flush().map_err(error)?;
    Ok(path)
}

/// Sorted runs on disk, merged.
struct Merge {
    runs: Vec<FrameReader>,
    paths: Vec<PathBuf>,
    heads: BinaryHeap<Reverse<(SortKey, usize, Vec<u8>)>>,
    current: Vec<u8>,
}

impl Merge {
    fn open(paths: Vec<PathBuf>) -> Result<Self, StoreError> {
        let mut merge = Self { runs: Vec::new(), paths, heads: BinaryHeap::new(), current: Vec::new() };
        for number in 0..merge.paths.len() {
            merge.runs.push(FrameReader::open(&merge.paths[number])?);
            merge.refill(number)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> Result<(), StoreError> {
        if let Some(bytes) = self.runs[run].next_frame()? {
            let (frame, _) = Frame::read(bytes).ok_or_else(|| malformed(&self.paths[run]))?;
            self.heads.push(Reverse(((frame.document, frame.position), run, bytes.to_vec())));
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let Some(Reverse((_, run, bytes))) = self.heads.pop() else { return Ok(None) };
        self.current = bytes;
        self.refill(run)?;
        Ok(Some(&self.current))
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        for path in &self.paths {
            // Best effort: the folder goes away with the step.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Draws, Relation};

    use super::*;

    #[test]
    fn a_bucket_sorted_on_disk_is_the_bucket_sorted_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut draws = Draws::new(0, "test", b"bucket");
        let mut frames = Vec::new();
        for line in 0..3_000 {
            let id = format!("B{}", draws.below(1_000));
            let text = format!("copy {line} of {id}");
            let fields = ProductFields {
                empty: draws.below(10) == 0,
                product_id: &id,
                text: &text,
                associations: vec![(Relation::Substitute, "B7")],
                ..Default::default()
            };
            let position = Position { file: draws.below(3) as u32, line };
            Frame::write(&mut frames, DocumentId::of_product(&id), position, |into| fields.write(into));
        }
        let spill = folder.path().join("products-00000.spill");
        fs::write(&spill, &frames).unwrap();
        let made = [usize::MAX, 20_000, 1].map(|in_memory| {
            let ledger = Ledger::open(folder.path(), &in_memory.to_string()).unwrap();
            fs::create_dir(ledger.folder()).unwrap();
            write(&spill, &ledger, (Kind::Product, 0), "test", (folder.path(), in_memory)).unwrap()
        });
        assert!(made[0].counts.rows > 900 && made[0].counts.duplicates > 1_500);
        assert_eq!(made[0].counts.associations, 3_000);
        for other in &made[1..] {
            assert_eq!(made[0].files, other.files);
            assert_eq!(made[0].counts, other.counts);
        }
        let left =
            fs::read_dir(folder.path()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().contains("run"));
        assert_eq!(left.count(), 0, "sorted runs are removed");
    }
}
