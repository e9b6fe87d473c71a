//! The tables of one bucket: sorts its records, leaves out duplicates, writes the rest.
use std::path::Path;

use ebert_dumps::Kind;
use schemas::{
    CorpusAssociation, CorpusProduct, CorpusReview, DocumentId, FileEntry, StoreError, create_corpus_associations,
    create_corpus_products, create_corpus_reviews, store::TableWriter,
};
use serde::{Deserialize, Serialize};

use super::{
    checkpoint::BucketId,
    frame::{Frame, ProductFields, ReviewFields, malformed},
    sort::SortedFrames,
};
use crate::engine::{hashes::Hashes, ledger::Ledger};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketCounts {
    /// Documents.
    pub(crate) rows: u64,
    /// Records left out because an earlier one has the same id.
    pub(crate) duplicates: u64,
    /// Bytes of text.
    pub(crate) text_bytes: u64,
    pub(crate) associations: u64,
}

/// A bucket whose tables are complete.
#[derive(Clone, Debug)]
pub(crate) struct FinishedBucket {
    pub(crate) id: BucketId,
    /// The tables: a bucket of products has two.
    pub(crate) files: Vec<FileEntry>,
    pub(crate) counts: BucketCounts,
}

/// Names of the tables of a bucket, in the order in which they are finished.
fn tables(id: BucketId) -> Vec<String> {
    let BucketId { kind, number } = id;
    match kind {
        Kind::Product => vec![format!("associations-{number:05}.parquet"), format!("products-{number:05}.parquet")],
        Kind::Review => vec![format!("reviews-{number:05}.parquet")],
    }
}

/// The bucket, if all its tables are complete and were made from the same.
pub(crate) fn finished(
    ledger: &Ledger,
    id: BucketId,
    made_from: &str,
    hashes: &mut Hashes,
) -> Result<Option<FinishedBucket>, StoreError> {
    let mut found = FinishedBucket { id, files: Vec::new(), counts: BucketCounts::default() };
    for name in tables(id) {
        let Some(made) = ledger.finished::<BucketCounts>(&name, made_from, hashes)? else { return Ok(None) };
        found.files.push(made.file);
        found.counts = made.counts;
    }
    Ok(Some(found))
}

/// Writes the tables of a bucket from its spill file. One over `in_memory` bytes is sorted on disk.
pub(crate) fn write(
    spill: &Path,
    ledger: &Ledger,
    id: BucketId,
    made_from: &str,
    in_memory: usize,
) -> Result<FinishedBucket, StoreError> {
    let mut frames = SortedFrames::open(spill, in_memory)?;
    let folder = ledger.folder();
    let names = tables(id);
    let mut counts = BucketCounts::default();
    let mut written = None;
    let files = match id.kind {
        Kind::Product => {
            let mut associations = create_corpus_associations(&folder.join(&names[0]))?;
            let mut products = create_corpus_products(&folder.join(&names[1]))?;
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
            commit(ledger, [associations.finish()?, products.finish()?], made_from, counts)?
        }
        Kind::Review => {
            let mut reviews = create_corpus_reviews(&folder.join(&names[0]))?;
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
            commit(ledger, [reviews.finish()?], made_from, counts)?
        }
    };
    Ok(FinishedBucket { id, files, counts })
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
    let frame = Frame::read_verified(bytes)?;
    Some((frame.document, ProductFields::read(frame.fields)?))
}

fn read_review(bytes: &[u8]) -> Option<(DocumentId, ReviewFields<'_>)> {
    let frame = Frame::read_verified(bytes)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use schemas::{Draws, Relation};

    use super::*;
    use crate::corpus::frame::Position;

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
            write(&spill, &ledger, BucketId { kind: Kind::Product, number: 0 }, "test", in_memory).unwrap()
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
