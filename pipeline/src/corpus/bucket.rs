//! The tables of one bucket: sorts its records, leaves out duplicates, writes the rest.
use std::{path::Path, sync::Arc};

use arrow::{
    array::{Float32Builder, ListBuilder, StringBuilder, UInt64Builder},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use ebert_dumps::Kind;
use schemas::{
    DocumentId, FileEntry, StoreError, columns,
    store::{Layout, TableWriter},
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
            let mut associations = Associations::create(&folder.join(&names[0]))?;
            let mut products = Products::create(&folder.join(&names[1]))?;
            while let Some(bytes) = frames.next_frame()? {
                let (document, product) = read_product(bytes).ok_or_else(|| malformed(spill))?;
                for &(relation, other) in &product.associations {
                    associations.push(product.product_id, other, relation.as_str())?;
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
                products.push(&product)?;
            }
            commit(ledger, [associations.finish()?, products.finish()?], made_from, counts)?
        }
        Kind::Review => {
            let mut reviews = Reviews::create(&folder.join(&names[0]))?;
            while let Some(bytes) = frames.next_frame()? {
                let (document, review) = read_review(bytes).ok_or_else(|| malformed(spill))?;
                if written == Some(document) {
                    counts.duplicates += 1;
                    continue;
                }
                written = Some(document);
                counts.rows += 1;
                counts.text_bytes += review.text.len() as u64;
                reviews.push(document, &review)?;
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

/// Bytes of text, or rows, after which a batch goes to its table.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 4096;

/// Row groups are what the streaming stage hands to a worker, so they are small.
const ROW_GROUP_BYTES: usize = 4 << 20;

struct Products {
    table: TableWriter,
    ids: StringBuilder,
    titles: StringBuilder,
    texts: StringBuilder,
    categories: ListBuilder<StringBuilder>,
    brands: StringBuilder,
    attributes: ListBuilder<StringBuilder>,
    rows: usize,
    bytes: usize,
}

fn text_lists() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(columns::element(DataType::Utf8))
}

impl Products {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let layout =
            Layout { byte_streams: &[], plain: &["product_id", "title", "text"], row_group_bytes: ROW_GROUP_BYTES };
        Ok(Self {
            table: TableWriter::create(path, columns::corpus_products(), &layout)?,
            ids: StringBuilder::new(),
            titles: StringBuilder::new(),
            texts: StringBuilder::new(),
            categories: text_lists(),
            brands: StringBuilder::new(),
            attributes: text_lists(),
            rows: 0,
            bytes: 0,
        })
    }

    fn push(&mut self, product: &ProductFields<'_>) -> Result<(), StoreError> {
        self.ids.append_value(product.product_id);
        self.titles.append_value(product.title);
        self.texts.append_value(product.text);
        for (list, values) in [(&mut self.categories, &product.categories), (&mut self.attributes, &product.attributes)]
        {
            values.iter().for_each(|v| list.values().append_value(v));
            list.append(true);
        }
        self.brands.append_option(Some(product.brand).filter(|b| !b.is_empty()));
        self.rows += 1;
        let lists = product.categories.iter().chain(&product.attributes).map(|v| v.len()).sum::<usize>();
        self.bytes += product.product_id.len() + product.title.len() + product.text.len() + product.brand.len() + lists;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(
            columns::corpus_products(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.titles.finish()),
                Arc::new(self.texts.finish()),
                Arc::new(self.categories.finish()),
                Arc::new(self.brands.finish()),
                Arc::new(self.attributes.finish()),
            ],
        );
        self.table.write_result(batch)
    }

    fn finish(mut self) -> Result<TableWriter, StoreError> {
        self.flush()?;
        Ok(self.table)
    }
}

struct Reviews {
    table: TableWriter,
    ids: UInt64Builder,
    products: StringBuilder,
    texts: StringBuilder,
    ratings: Float32Builder,
    rows: usize,
    bytes: usize,
}

impl Reviews {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let layout = Layout { byte_streams: &[], plain: &["review_id", "text"], row_group_bytes: ROW_GROUP_BYTES };
        Ok(Self {
            table: TableWriter::create(path, columns::corpus_reviews(), &layout)?,
            ids: UInt64Builder::new(),
            products: StringBuilder::new(),
            texts: StringBuilder::new(),
            ratings: Float32Builder::new(),
            rows: 0,
            bytes: 0,
        })
    }

    fn push(&mut self, document: DocumentId, review: &ReviewFields<'_>) -> Result<(), StoreError> {
        self.ids.append_value(document.get());
        self.products.append_option(review.product_id);
        self.texts.append_value(review.text);
        self.ratings.append_option(review.rating);
        self.rows += 1;
        self.bytes += review.product_id.map_or(0, str::len) + review.text.len();
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(
            columns::corpus_reviews(),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.products.finish()),
                Arc::new(self.texts.finish()),
                Arc::new(self.ratings.finish()),
            ],
        );
        self.table.write_result(batch)
    }

    fn finish(mut self) -> Result<TableWriter, StoreError> {
        self.flush()?;
        Ok(self.table)
    }
}

struct Associations {
    table: TableWriter,
    products: StringBuilder,
    others: StringBuilder,
    relations: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl Associations {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let layout = Layout { byte_streams: &[], plain: &["other"], row_group_bytes: ROW_GROUP_BYTES };
        Ok(Self {
            table: TableWriter::create(path, columns::corpus_associations(), &layout)?,
            products: StringBuilder::new(),
            others: StringBuilder::new(),
            relations: StringBuilder::new(),
            rows: 0,
            bytes: 0,
        })
    }

    fn push(&mut self, product: &str, other: &str, relation: &str) -> Result<(), StoreError> {
        self.products.append_value(product);
        self.others.append_value(other);
        self.relations.append_value(relation);
        self.rows += 1;
        self.bytes += product.len() + other.len();
        if self.rows >= 1 << 15 || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(
            columns::corpus_associations(),
            vec![Arc::new(self.products.finish()), Arc::new(self.others.finish()), Arc::new(self.relations.finish())],
        );
        self.table.write_result(batch)
    }

    fn finish(mut self) -> Result<TableWriter, StoreError> {
        self.flush()?;
        Ok(self.table)
    }
}
