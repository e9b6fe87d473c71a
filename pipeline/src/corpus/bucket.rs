//! The tables of one bucket: sorts its records, leaves out duplicates and copies, writes the rest.
use std::path::Path;

use schemas::{
    CorpusAssociation, CorpusInteraction, CorpusProduct, CorpusReview, Counts, DocumentId, FileEntry, ReviewerId,
    StoreError, TextId, create_corpus_associations, create_corpus_interactions, create_corpus_products,
    create_corpus_reviews, manifest::Copies, store::TableWriter,
};
use serde::{Deserialize, Serialize};

use super::{
    Reason,
    checkpoint::{BucketId, Stream},
    frame::{Frame, FrameKey, GroupId, InteractionFields, ProductFields, ReviewFields, SpilledFrames, malformed},
    sort::{SortBy, SortLimits, SortedFrames, Sorter, sort},
    variants::{Parent, Variants},
};
use crate::engine::{hashes::Hashes, ledger::Ledger};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketCounts {
    /// Documents or interactions.
    pub(crate) rows: u64,
    /// Records that are left out, by reason.
    pub(crate) rejected: Counts,
    /// Bytes of text.
    pub(crate) text_bytes: u64,
    pub(crate) associations: u64,
}

impl BucketCounts {
    fn reject(&mut self, reason: Reason) {
        *self.rejected.entry(reason.as_str().to_owned()).or_default() += 1;
    }
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
pub(crate) fn tables(id: BucketId) -> Vec<String> {
    let BucketId { stream, number } = id;
    let mut stems = vec![stream.stem()];
    if stream == Stream::Products {
        stems.insert(0, "associations");
    }
    stems.into_iter().map(|stem| format!("{stem}-{number:05}.parquet")).collect()
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

/// As [`finished`], from the records alone: whether the tables hold what they say is not checked.
pub(crate) fn recorded(ledger: &Ledger, id: BucketId, made_from: &str) -> Result<bool, StoreError> {
    for name in tables(id) {
        if !ledger.recorded(&name, made_from)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How buckets are written.
#[derive(Clone, Copy)]
pub(crate) struct BucketOptions<'a> {
    pub(crate) copies: Copies,
    pub(crate) variants: &'a Variants,
    pub(crate) limits: SortLimits,
}

/// Writes the tables of a bucket from its frames.
pub(crate) fn write(
    spill: &SpilledFrames,
    ledger: &Ledger,
    id: BucketId,
    made_from: &str,
    options: BucketOptions<'_>,
) -> Result<FinishedBucket, StoreError> {
    let folder = ledger.folder();
    let names = tables(id);
    let mut counts = BucketCounts::default();
    let files = match id.stream {
        Stream::Products => {
            let [associations, products] = [&names[0], &names[1]].map(|name| folder.join(name));
            write_products(spill, &associations, &products, &mut counts, options.limits)?
        }
        Stream::Reviews => vec![write_reviews(spill, &folder.join(&names[0]), &mut counts, options)?],
        Stream::Interactions => vec![write_interactions(spill, &folder.join(&names[0]), &mut counts, options)?],
        Stream::Variants => unreachable!("variants are in no table"),
    };
    let commit = |table| Ok(ledger.commit(table, made_from, counts.clone())?.file);
    let files = files.into_iter().map(commit).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(FinishedBucket { id, files, counts })
}

/// Writes the first record of each product that is not empty, and the associations of all.
fn write_products(
    spill: &SpilledFrames,
    associations: &Path,
    products: &Path,
    counts: &mut BucketCounts,
    limits: SortLimits,
) -> Result<Vec<TableWriter>, StoreError> {
    let mut frames = sort(spill, SortBy::Document, limits)?;
    let (mut associations, mut products) =
        (create_corpus_associations(associations)?, create_corpus_products(products)?);
    let mut written = None;
    while let Some(bytes) = frames.next_frame()? {
        let frame = Frame::read_verified(bytes).ok_or_else(|| malformed(&spill.name))?;
        let product = ProductFields::read(frame.fields).ok_or_else(|| malformed(&spill.name))?;
        for &(relation, other) in &product.associations {
            associations.push(&CorpusAssociation { product: product.product_id, other, relation })?;
            counts.associations += 1;
        }
        if product.empty {
            continue;
        }
        if written == Some(frame.key.document) {
            counts.reject(Reason::Duplicate);
            continue;
        }
        written = Some(frame.key.document);
        counts.rows += 1;
        counts.text_bytes += product.text.len() as u64;
        products.push(&row_of_product(product))?;
    }
    Ok(vec![associations.finish()?, products.finish()?])
}

fn row_of_product(fields: ProductFields<'_>) -> CorpusProduct<'_> {
    CorpusProduct {
        product_id: fields.product_id,
        title: fields.title,
        text: fields.text,
        categories: fields.categories,
        brand: Some(fields.brand).filter(|brand| !brand.is_empty()),
        attributes: fields.attributes,
        text_id: fields.text_id,
    }
}

/// Writes one review per text, or one per review id if copies are kept.
fn write_reviews(
    spill: &SpilledFrames,
    path: &Path,
    counts: &mut BucketCounts,
    options: BucketOptions<'_>,
) -> Result<TableWriter, StoreError> {
    let mut reviews = create_corpus_reviews(path)?;
    let mut frames = distinct_reviews(spill, counts, options)?;
    while let Some(bytes) = frames.next_frame()? {
        let Frame { key, fields, .. } = Frame::read_verified(bytes).ok_or_else(|| malformed(&spill.name))?;
        let ReviewFields { product_id, text, rating } =
            ReviewFields::read(fields).ok_or_else(|| malformed(&spill.name))?;
        counts.rows += 1;
        counts.text_bytes += text.len() as u64;
        let text_id = TextId::new(key.group.get());
        reviews.push(&CorpusReview { review: key.document, text_id, product_id, text, rating })?;
    }
    reviews.finish()
}

/// The reviews that stay, sorted by their ids.
fn distinct_reviews(
    spill: &SpilledFrames,
    counts: &mut BucketCounts,
    BucketOptions { copies, limits, .. }: BucketOptions<'_>,
) -> Result<Box<dyn SortedFrames>, StoreError> {
    // Two sorts share the memory.
    let limits = SortLimits { memory: limits.memory / 2, ..limits };
    let mut by_text = sort(spill, SortBy::Group, limits)?;
    let kept = spill.name.with_extension("kept");
    let mut by_id = Sorter::new(&kept, SortBy::Document, limits);
    // The reviews of one text follow one another, and so do records of one review in it, the first
    // record of a review first.
    let mut group: Option<(GroupId, DocumentId)> = None;
    // Of the current text, the first record of all: its bytes.
    let (mut first, mut first_key) = (Vec::new(), None::<FrameKey>);
    while let Some(bytes) = by_text.next_frame()? {
        let frame = Frame::read_verified(bytes).ok_or_else(|| malformed(&spill.name))?;
        let FrameKey { group: text, document, position } = frame.key;
        let same_text = group.is_some_and(|(known, _)| known == text);
        if group == Some((text, document)) {
            counts.reject(Reason::Duplicate);
            continue;
        }
        group = Some((text, document));
        match copies {
            Copies::Keep => by_id.push(&frame)?,
            Copies::Remove if same_text => {
                counts.reject(Reason::Copy);
                if first_key.is_some_and(|first| position < first.position) {
                    replace(&mut first, bytes);
                    first_key = Some(frame.key);
                }
            }
            Copies::Remove => {
                push_first(&mut by_id, &first, spill)?;
                replace(&mut first, bytes);
                first_key = Some(frame.key);
            }
        }
    }
    push_first(&mut by_id, &first, spill)?;
    drop(by_text);
    by_id.finish()
}

fn replace(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.clear();
    kept.extend_from_slice(bytes);
}

fn push_first(into: &mut Sorter<'_>, first: &[u8], spill: &SpilledFrames) -> Result<(), StoreError> {
    if first.is_empty() {
        return Ok(());
    }
    into.push(&Frame::read_verified(first).ok_or_else(|| malformed(&spill.name))?)
}

/// Writes one interaction per reviewer and product, with the earliest time.
fn write_interactions(
    spill: &SpilledFrames,
    path: &Path,
    counts: &mut BucketCounts,
    BucketOptions { variants, limits, .. }: BucketOptions<'_>,
) -> Result<TableWriter, StoreError> {
    let resolved = spill.name.with_extension("resolved");
    let mut sorter = Sorter::new(&resolved, SortBy::Group, limits);
    let mut reader = spill.read()?;
    let mut rewritten = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        let interaction = InteractionFields::read(frame.fields).ok_or_else(|| malformed(&spill.name))?;
        let parent = match interaction.may_be_variant {
            true => variants.parent(interaction.product_id),
            false => Parent::None,
        };
        match parent {
            Parent::None => sorter.push(&frame)?,
            Parent::Ambiguous => counts.reject(Reason::AmbiguousVariant),
            Parent::One(product_id) => {
                rewritten.clear();
                let key = FrameKey { document: DocumentId::of_product(product_id), ..frame.key };
                let fields = InteractionFields { product_id, ..interaction };
                Frame::write(&mut rewritten, key, |into| fields.write(into));
                sorter.push(&Frame::read_verified(&rewritten).ok_or_else(|| malformed(&spill.name))?)?;
            }
        }
    }
    let mut interactions = create_corpus_interactions(path)?;
    let mut frames = sorter.finish()?;
    let mut row: Option<Interaction> = None;
    while let Some(bytes) = frames.next_frame()? {
        let Frame { key, fields, .. } = Frame::read_verified(bytes).ok_or_else(|| malformed(&spill.name))?;
        let fields = InteractionFields::read(fields).ok_or_else(|| malformed(&spill.name))?;
        match &mut row {
            Some(row) if (row.key.group, row.key.document) == (key.group, key.document) => row.add_time(fields.time),
            _ => {
                let next = Interaction { key, product_id: fields.product_id.to_owned(), time: fields.time };
                if let Some(row) = row.replace(next) {
                    interactions.push(&row.row())?;
                    counts.rows += 1;
                }
            }
        }
    }
    if let Some(row) = row {
        interactions.push(&row.row())?;
        counts.rows += 1;
    }
    interactions.finish()
}

/// The interaction of a reviewer with a product.
struct Interaction {
    key: FrameKey,
    product_id: String,
    time: Option<i64>,
}

impl Interaction {
    /// Another record of the same interaction: the earlier time counts.
    fn add_time(&mut self, time: Option<i64>) {
        self.time = [self.time, time].into_iter().flatten().min();
    }

    fn row(&self) -> CorpusInteraction<'_> {
        let reviewer = ReviewerId::new(self.key.group.get());
        CorpusInteraction { reviewer, product_id: &self.product_id, time: self.time }
    }
}
