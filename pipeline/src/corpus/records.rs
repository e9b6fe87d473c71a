//! A batch of raw lines to frames: parses records, cleans their text, computes ids, and rejects
//! unusable records.
use std::collections::BTreeMap;

use ebert_dumps::{
    DumpFile, Kind, Line, LineBatch, MAX_LINE, MalformedRecord, Record,
    clean::{clean, clean_line, is_script},
    parse,
};
use hashbrown::HashTable;
use schemas::{DocumentId, manifest::Place};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Reason,
    checkpoint::{SpillFileId, SpillLayout, Tally},
    frame::{Frame, Position, ProductFields, ReviewFields},
    limits::may_have_too_many_segments,
    plan::RawInput,
};
use crate::settings::StepSettings;
use crate::text::{
    Document, Encoder, Lexicon, Words,
    segment::{MOST_SEGMENTS, cut},
};

/// Consecutive lines of one raw file.
pub(crate) struct RawBatch {
    /// Number of the raw file.
    pub(crate) file: u32,
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
}

/// Sorts the records of batches into spill files. Every worker has one.
pub(crate) struct RecordSorter<'a> {
    inputs: &'a [RawInput<'a>],
    words: Words<'a>,
    lexicon: &'a Lexicon<'a>,
    /// Created for the first text that is so long that its segments must be counted.
    encoder: Option<Encoder<'a>>,
    layout: SpillLayout,
    max_tokens: u16,
    longest_word: usize,
    buffers: RecordBuffers,
}

impl<'a> RecordSorter<'a> {
    pub(crate) fn new(
        inputs: &'a [RawInput<'a>],
        settings: StepSettings<'a>,
        lexicon: &'a Lexicon<'a>,
        layout: SpillLayout,
    ) -> Self {
        Self {
            inputs,
            words: Words::new(settings.tokenizer),
            lexicon,
            encoder: None,
            layout,
            max_tokens: settings.max_tokens,
            longest_word: settings.tokenizer.longest_word(),
            buffers: RecordBuffers::default(),
        }
    }

    pub(crate) fn sort(&mut self, batch: &RawBatch) -> BatchFrames {
        let RawBatch { file, lines, .. } = batch;
        let source = SourceFile { file: *file, found: self.inputs[*file as usize].found };
        let mut sorted =
            BatchFrames { file: *file, last_line: lines.last_line, last: lines.last, ..Default::default() };
        let mut records = 0;
        for Line { number: line, bytes } in batch.new_lines() {
            records += 1;
            let at = source.line(line);
            if let Err(error) = parse(bytes, |record| self.sort_record(record, at, &mut sorted)) {
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
        if let Some(damage) = &lines.damage {
            sorted.tally.damage.insert(*file, format!("after line {}: {}", damage.after_line, damage.error));
        }
        sorted.tally.records = records;
        sorted.tally.records_of.insert(*file, records);
        sorted
    }

    fn sort_record(&mut self, record: &Record<'_>, at: RecordLine<'_>, sorted: &mut BatchFrames) {
        // A record that does not show its kind is of the kind of its file.
        let kind = record.record_type().or(at.source.found.holds).map_or(Kind::Product, |found| found.kind);
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.text.clear();
        match kind {
            Kind::Product => match record.product_id() {
                None => {
                    sorted.tally.reject(Reason::NoProductId, || at.place("neither asin nor parent_asin".to_owned()))
                }
                Some(product_id) => {
                    buffers.fill_product(record);
                    let empty = !self.accept(&buffers.text, at, &mut sorted.tally);
                    if !empty || !record.associations.is_empty() {
                        let fields = buffers.product(record, product_id, empty);
                        let document = DocumentId::of_product(product_id);
                        let frames = sorted.frames.entry(self.layout.file_of(kind, document)).or_default();
                        Frame::write(frames, document, at.position(), |into| fields.write(into));
                    }
                }
            },
            Kind::Review => {
                for piece in record.review_pieces() {
                    add_lines(piece, &mut buffers.text);
                }
                if self.accept(&buffers.text, at, &mut sorted.tally) {
                    let product_id = record.product_id();
                    let reviewer = record.reviewer().unwrap_or_default();
                    let time = record.time().unwrap_or_default();
                    let document = DocumentId::of_review(product_id.unwrap_or_default(), reviewer, time, &buffers.text);
                    let fields = ReviewFields { product_id, text: &buffers.text, rating: record.rating() };
                    let frames = sorted.frames.entry(self.layout.file_of(kind, document)).or_default();
                    Frame::write(frames, document, at.position(), |into| fields.write(into));
                }
            }
        }
        self.buffers = buffers;
    }

    /// Whether a text can be a document. If not, it is counted as rejected.
    fn accept(&mut self, text: &str, at: RecordLine<'_>, tally: &mut Tally) -> bool {
        tally.longest_text = tally.longest_text.max(text.len() as u64);
        if !self.words.any(text) {
            tally.reject(Reason::Empty, || at.place(String::new()));
            return false;
        }
        if may_have_too_many_segments(text.len(), self.max_tokens, self.longest_word) {
            let encoder = self.encoder.get_or_insert_with(|| Encoder::new(self.lexicon));
            let mut document = Document::default();
            encoder.encode(text, &mut document);
            let segments = cut(&document.first_tokens, std::iter::empty(), usize::from(self.max_tokens)).len();
            if segments > MOST_SEGMENTS {
                tally.reject(Reason::TooManySegments, || at.place(format!("{segments} segments")));
                return false;
            }
        }
        true
    }
}

/// A raw file, with its number.
#[derive(Clone, Copy)]
struct SourceFile<'a> {
    file: u32,
    found: &'a DumpFile,
}

impl<'a> SourceFile<'a> {
    fn line(self, line: u64) -> RecordLine<'a> {
        RecordLine { source: self, line }
    }
}

/// A line of a raw file, from 1.
#[derive(Clone, Copy)]
struct RecordLine<'a> {
    source: SourceFile<'a>,
    line: u64,
}

impl RecordLine<'_> {
    fn position(self) -> Position {
        Position { file: self.source.file, line: self.line }
    }

    /// As manifests and messages give it, with what was found there.
    fn place(self, found: String) -> Place {
        Place { path: self.source.found.name.to_string(), line: self.line, found }
    }
}

/// The cleaned fields of one record, reused for the next.
#[derive(Default)]
struct RecordBuffers {
    text: String,
    title: String,
    brand: String,
    categories: DistinctStrings,
    attributes: DistinctStrings,
}

impl RecordBuffers {
    fn fill_product(&mut self, record: &Record<'_>) {
        self.title.clear();
        self.brand.clear();
        self.categories.clear();
        self.attributes.clear();
        for piece in record.title.iter().filter(|piece| !is_script(piece)) {
            let before = self.title.len();
            if before > 0 {
                self.title.push(' ');
            }
            let start = self.title.len();
            clean_line(piece, &mut self.title);
            if self.title.len() == start {
                self.title.truncate(before);
            }
        }
        self.text.push_str(&self.title);
        for piece in record.features().chain(record.description.iter()) {
            add_lines(piece, &mut self.text);
        }
        if let Some(brand) = record.brand() {
            clean_line(brand, &mut self.brand);
        }
        for category in record.categories() {
            self.categories.insert_cleaned(category, |c| c);
        }
        for key in &record.attributes {
            // Keys of the 2018 dump end with a colon: `Shipping Weight:`.
            self.attributes.insert_cleaned(key, |k| k.trim_end_matches([':', ' ']));
        }
    }

    fn product<'a>(&'a self, record: &'a Record<'_>, product_id: &'a str, empty: bool) -> ProductFields<'a> {
        ProductFields {
            empty,
            product_id,
            title: &self.title,
            text: &self.text,
            categories: self.categories.iter().collect(),
            brand: &self.brand,
            attributes: self.attributes.iter().collect(),
            associations: record
                .associations
                .iter()
                .map(|association| (association.relation, association.other.trim()))
                .filter(|(_, other)| !other.is_empty())
                .collect(),
        }
    }
}

/// Appends the clean lines of a field, on lines of their own.
fn add_lines(raw: &str, text: &mut String) {
    let before = text.len();
    if before > 0 {
        text.push('\n');
    }
    let start = text.len();
    clean(raw, text);
    if text.len() == start {
        text.truncate(before);
    }
}

/// A set of short strings in order of insertion, in one allocation.
#[derive(Default)]
struct DistinctStrings {
    text: String,
    ends: Vec<usize>,
    /// Indices of the strings by their hash. A record may have many: a linear search would be quadratic.
    known: HashTable<u32>,
}

impl DistinctStrings {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.known.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// Cleans and trims a string and inserts it, unless it is empty or known.
    fn insert_cleaned(&mut self, raw: &str, trim: impl Fn(&str) -> &str) {
        let start = self.text.len();
        clean_line(raw, &mut self.text);
        let kept = trim(&self.text[start..]).len();
        self.text.truncate(start + kept);
        let Self { text, ends, known } = self;
        let of = |index: u32| {
            let index = index as usize;
            &text[if index == 0 { 0 } else { ends[index - 1] }..ends[index]]
        };
        let (new, hash) = (&text[start..], xxh3_64(&text.as_bytes()[start..]));
        if new.is_empty() || known.find(hash, |&index| of(index) == new).is_some() {
            text.truncate(start);
        } else {
            known.insert_unique(hash, ends.len() as u32, |&index| xxh3_64(of(index).as_bytes()));
            ends.push(text.len());
        }
    }
}
