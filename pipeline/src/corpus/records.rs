//! A batch of raw lines to frames: parses records, cleans their text, computes ids, and rejects
//! unusable records.
use std::collections::{BTreeMap, HashSet};

use ebert_dumps::{
    DocumentBuilder, DumpFile, Kind, Line, LineBatch, MAX_LINE, MalformedRecord, ProductDocument, Rating, RatingTable,
    Record, Removals,
};
use schemas::{DocumentId, ReviewerId, TextId, manifest::Place};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Reason,
    checkpoint::{FileDamage, SpillFileId, SpillLayout, Stream, Tally},
    frame::{Frame, FrameKey, GroupId, InteractionFields, Position, ProductFields, ReviewFields, VariantFields},
};
use crate::{settings::StepSettings, text::Words};

/// Consecutive lines of one raw file.
pub(crate) struct RawBatch {
    /// Number of the raw file.
    pub(crate) file: u32,
    /// Number of the range that is read, from whose first line lines are counted; 0 if all of the file is read.
    pub(crate) range: u32,
    pub(crate) lines: LineBatch,
    /// Lines up to this one are in the spill files already. A resumed run may cut the file into other
    /// batches: one read from the system can return fewer bytes than another.
    pub(crate) skip_lines: u64,
}

impl RawBatch {
    /// The lines that are not in the spill files, with their numbers.
    pub(crate) fn new_lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines.iter().filter(|line| line.number > self.skip_lines)
    }

    /// As [`RawBatch::new_lines`]: numbers of the records that their format does not allow, with the reason.
    pub(crate) fn new_malformed(&self) -> impl Iterator<Item = &(u64, String)> {
        self.lines.malformed.iter().filter(|(line, _)| *line > self.skip_lines)
    }

    /// As [`RawBatch::new_lines`]: numbers of the lines that are too long to be read.
    pub(crate) fn new_too_long(&self) -> impl Iterator<Item = u64> {
        self.lines.too_long.iter().copied().filter(|line| *line > self.skip_lines)
    }
}

/// The frames of a batch by spill file, and its counts.
#[derive(Default)]
pub(crate) struct BatchFrames {
    pub(crate) frames: BTreeMap<SpillFileId, Vec<u8>>,
    pub(crate) tally: Tally,
    /// Number of the raw file.
    pub(crate) file: u32,
    pub(crate) last_line: u64,
    /// The raw file ends with this batch.
    pub(crate) last: bool,
    /// Hashes of the variants and parents in `frames`, which many records name.
    variants: HashSet<u64>,
}

impl BatchFrames {
    fn add(&mut self, layout: SpillLayout, stream: Stream, key: FrameKey, write: impl FnOnce(&mut Vec<u8>)) {
        Frame::write(self.frames.entry(layout.file_of(stream, key.group)).or_default(), key, write);
    }
}

/// Sorts the records of batches into spill files. Every worker has one.
pub(crate) struct RecordSorter<'a> {
    files: &'a [DumpFile],
    words: Words<'a>,
    layout: SpillLayout,
    /// Whether interactions are written.
    interactions: bool,
    documents: DocumentBuilder,
    /// What was removed from the records of the current batch.
    removals: Removals,
}

impl<'a> RecordSorter<'a> {
    pub(crate) fn new(files: &'a [DumpFile], settings: StepSettings<'a>, layout: SpillLayout) -> Self {
        Self {
            files,
            words: Words::new(settings.tokenizer),
            layout,
            interactions: settings.interactions,
            documents: DocumentBuilder::default(),
            removals: Removals::default(),
        }
    }

    pub(crate) fn sort(&mut self, batch: &RawBatch) -> BatchFrames {
        let RawBatch { file, lines, .. } = batch;
        let source = SourceFile { file: *file, range: batch.range, found: &self.files[*file as usize] };
        let mut sorted =
            BatchFrames { file: *file, last_line: lines.last_line, last: lines.last, ..Default::default() };
        let mut records = 0;
        for Line { number: line, bytes } in batch.new_lines() {
            let at = source.line(line);
            if let Some(ratings) = &source.found.ratings {
                records += u64::from(!at.is_header(ratings));
                self.sort_rating(ratings, bytes, at, &mut sorted);
                continue;
            }
            records += 1;
            if let Err(error) = source.found.parse(bytes, |record| self.sort_record(record, at, &mut sorted)) {
                let reason = match error {
                    MalformedRecord::InvalidUtf8(_) => Reason::InvalidUtf8,
                    MalformedRecord::Malformed(_) => Reason::Malformed,
                };
                sorted.tally.reject(reason, || at.place(error.to_string()));
            }
        }
        for line in batch.new_too_long() {
            records += 1;
            let place = || source.line(line).place(format!("more than {} MiB", MAX_LINE >> 20));
            sorted.tally.reject(Reason::LineTooLong, place);
        }
        for (line, why) in batch.new_malformed() {
            records += 1;
            sorted.tally.reject(Reason::Malformed, || source.line(*line).place(why.clone()));
        }
        if let Some(damage) = &lines.damage {
            let damage = FileDamage { after_line: damage.after_line, error: damage.error.to_string() };
            sorted.tally.damage.insert(*file, damage);
        }
        sorted.tally.add_removals(&std::mem::take(&mut self.removals));
        sorted.tally.records = records;
        sorted.tally.records_of.insert(*file, records);
        sorted
    }

    fn sort_record(&mut self, record: &Record<'_>, at: RecordLine<'_>, sorted: &mut BatchFrames) {
        // A record that does not show its kind is of the kind of its file.
        let kind = record.record_type().or(at.source.found.holds).map_or(Kind::Product, |found| found.kind);
        let mut documents = std::mem::take(&mut self.documents);
        match kind {
            Kind::Product => self.sort_product(record, at, &mut documents, sorted),
            Kind::Review => self.sort_review(record, at, &mut documents, sorted),
        }
        self.documents = documents;
        self.add_variant(record, at, sorted);
        sorted.tally.add_unread(&record.unread);
    }

    fn sort_product(
        &mut self,
        record: &Record<'_>,
        at: RecordLine<'_>,
        documents: &mut DocumentBuilder,
        sorted: &mut BatchFrames,
    ) {
        let Some(product_id) = record.product_id() else {
            let field = at.source.found.mapping.as_ref().and_then(|mapping| mapping.id());
            let missing =
                || field.map_or_else(|| "neither asin nor parent_asin".to_owned(), |name| format!("no {name}"));
            sorted.tally.reject(Reason::NoProductId, || at.place(missing()));
            return;
        };
        let product = documents.product(record);
        self.removals.add(product.removed);
        let empty = !self.accept(product.text, at, &mut sorted.tally);
        if !empty || !record.associations.is_empty() {
            let fields = product_fields(record, &product, product_id, empty);
            let document = DocumentId::of_product(product_id);
            let key = FrameKey { group: document.into(), document, position: at.position() };
            sorted.add(self.layout, Stream::Products, key, |into| fields.write(into));
        }
    }

    fn sort_review(
        &mut self,
        record: &Record<'_>,
        at: RecordLine<'_>,
        documents: &mut DocumentBuilder,
        sorted: &mut BatchFrames,
    ) {
        let review = documents.review(record);
        self.removals.add(review.removed);
        let text = review.text;
        let (product_id, reviewer) = (record.product_id(), record.reviewer());
        if self.accept(text, at, &mut sorted.tally) {
            let time = record.time().unwrap_or_default();
            let document =
                DocumentId::of_review(product_id.unwrap_or_default(), reviewer.unwrap_or_default(), time, text);
            let key = FrameKey { group: TextId::of(text).into(), document, position: at.position() };
            let fields = ReviewFields { product_id, text, rating: record.rating() };
            sorted.add(self.layout, Stream::Reviews, key, |into| fields.write(into));
        }
        if !self.interactions {
            return;
        }
        match (product_id, reviewer) {
            (Some(product_id), Some(reviewer)) => {
                let (may_be_variant, time) = (record.may_be_variant(), record.seconds());
                let fields = InteractionFields { product_id, may_be_variant, time };
                self.add_interaction(reviewer, fields, at, sorted);
            }
            (None, _) => sorted.tally.no_interaction("no_product"),
            (_, None) => sorted.tally.no_interaction("no_reviewer"),
        }
    }

    fn sort_rating(&self, table: &RatingTable, line: &[u8], at: RecordLine<'_>, sorted: &mut BatchFrames) {
        if at.is_header(table) {
            return;
        }
        let Some(Rating { reviewer, product_id, seconds: time }) = table.parse(line) else {
            sorted.tally.reject(Reason::Malformed, || at.place("no row of a user and a product".to_owned()));
            return;
        };
        sorted.tally.ratings += 1;
        if !self.interactions {
            return;
        }
        match (product_id, reviewer) {
            (Some(product_id), Some(reviewer)) => {
                let may_be_variant = table.may_be_variants();
                let fields = InteractionFields { product_id: &product_id, may_be_variant, time };
                self.add_interaction(&reviewer, fields, at, sorted);
            }
            (None, _) => sorted.tally.no_interaction("no_product"),
            (_, None) => sorted.tally.no_interaction("no_reviewer"),
        }
    }

    fn add_interaction(
        &self,
        reviewer: &str,
        fields: InteractionFields<'_>,
        at: RecordLine<'_>,
        sorted: &mut BatchFrames,
    ) {
        let (group, document) = (ReviewerId::of(reviewer).into(), DocumentId::of_product(fields.product_id));
        let key = FrameKey { group, document, position: at.position() };
        sorted.tally.may_be_variants += u64::from(fields.may_be_variant);
        sorted.add(self.layout, Stream::Interactions, key, |into| fields.write(into));
    }

    /// Notes which product a variant belongs to, once per batch.
    fn add_variant(&self, record: &Record<'_>, at: RecordLine<'_>, sorted: &mut BatchFrames) {
        let (Some(variant), Some(parent), true) = (record.variant_id(), record.product_id(), self.interactions) else {
            return;
        };
        let fields = VariantFields { variant, parent };
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        if sorted.variants.insert(xxh3_64(&bytes)) {
            let document = DocumentId::of_product(variant);
            let key = FrameKey { group: GroupId::new(0), document, position: at.position() };
            sorted.add(self.layout, Stream::Variants, key, |into| into.extend_from_slice(&bytes));
        }
    }

    /// Whether a text can be a document. If not, it is counted as rejected.
    fn accept(&mut self, text: &str, at: RecordLine<'_>, tally: &mut Tally) -> bool {
        let has_words = self.words.any(text);
        if !has_words {
            tally.reject(Reason::Empty, || at.place(String::new()));
        }
        has_words
    }
}

/// A raw file, with its number and that of the range.
#[derive(Clone, Copy)]
struct SourceFile<'a> {
    file: u32,
    range: u32,
    found: &'a DumpFile,
}

impl<'a> SourceFile<'a> {
    fn line(self, line: u64) -> RecordLine<'a> {
        RecordLine { source: self, line }
    }
}

/// A line of a raw file or of a range of it, from 1.
#[derive(Clone, Copy)]
struct RecordLine<'a> {
    source: SourceFile<'a>,
    line: u64,
}

impl RecordLine<'_> {
    fn position(self) -> Position {
        Position::in_range(self.source.file, self.source.range, self.line)
    }

    /// Whether it has the names of the columns of a table of ratings.
    fn is_header(self, table: &RatingTable) -> bool {
        self.source.range == 0 && table.is_header(self.line)
    }

    /// As manifests and messages give it, with what was found there.
    fn place(self, found: String) -> Place {
        Place { path: self.source.found.name.to_string(), line: self.line, found }
    }
}

/// The fields of a product as its frame holds them.
fn product_fields<'a>(
    record: &'a Record<'_>,
    product: &ProductDocument<'a>,
    product_id: &'a str,
    empty: bool,
) -> ProductFields<'a> {
    ProductFields {
        empty,
        product_id,
        title: product.title,
        text: product.text,
        text_id: TextId::of(product.text),
        categories: product.categories().collect(),
        brand: product.brand.unwrap_or_default(),
        attributes: product.attributes().collect(),
        associations: record
            .associations
            .iter()
            .map(|association| (association.relation, association.other.trim()))
            .filter(|(_, other)| !other.is_empty())
            .collect(),
    }
}
