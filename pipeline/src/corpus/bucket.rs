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
    sort::{SortLimits, sort},
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

/// Writes the tables of a bucket from its spill file.
pub(crate) fn write(
    spill: &Path,
    ledger: &Ledger,
    id: BucketId,
    made_from: &str,
    limits: SortLimits,
) -> Result<FinishedBucket, StoreError> {
    let mut frames = sort(spill, limits)?;
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
