//! Raw files to spill files: parses records, cleans text, gives ids, rejects what cannot be used.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hashbrown::HashTable;
use indicatif::ProgressBar;
use schemas::{DocumentId, StoreError, manifest::Place};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    CorpusError, Reason,
    spill::{Checkpoint, Frame, Plan, Position, ProductFields, ReviewFields, Spill, Tally},
};
use crate::{
    engine::stage::{self, Threads},
    shard::segment::{MOST_SEGMENTS, cut},
    text::{Document, Encoder, Lexicon, Tokenizer, Words},
};
use ebert_dumps::{
    DumpFile, Kind, LineBatch, LineReader, MAX_LINE, MalformedRecord, Record,
    clean::{clean, clean_line, is_script},
    open, parse,
};

/// Raw bytes that one worker takes at a time.
const BATCH: usize = 1 << 20;

/// Batches between two checkpoints: about a gigabyte of raw text.
const BATCHES_PER_CHECKPOINT: u64 = 1024;

/// Places of unreadable records that are kept for each reason.
const PLACES: usize = 5;

struct Batch {
    file: u32,
    lines: LineBatch,
}

/// What a worker made of a batch.
#[derive(Default)]
struct Sorted {
    frames: BTreeMap<(Kind, u32), Vec<u8>>,
    tally: Tally,
    file: u32,
    last_line: u64,
    last: bool,
}

/// Fills the spill files from the raw files, from where `checkpoint` stands to their end.
pub fn read(
    files: &[DumpFile],
    tokenizer: &Tokenizer,
    max_tokens: u16,
    threads: Threads,
    spill: &mut Spill,
    checkpoint: &mut Checkpoint,
    bar: &ProgressBar,
) -> Result<(), CorpusError> {
    let plan = spill.plan();
    let lexicon = Lexicon::new(tokenizer, std::iter::empty());
    let mut file = checkpoint.files_done;
    let mut skip = checkpoint.lines_done;
    let from_disk = Arc::new(AtomicU64::new(files.iter().take(file as usize).map(|f| f.bytes).sum()));
    let mut lines: Option<LineReader> = None;
    let next = || -> Result<Option<Batch>, CorpusError> {
        loop {
            let Some(found) = files.get(file as usize) else { return Ok(None) };
            bar.set_position(from_disk.load(Ordering::Relaxed));
            let reader = match &mut lines {
                Some(reader) => reader,
                none => {
                    let opened = open(&found.path, from_disk.clone()).map_err(StoreError::io("open", &found.path))?;
                    none.insert(LineReader::new(opened.bytes))
                }
            };
            match reader.next_batch(BATCH) {
                None => {
                    (lines, skip) = (None, 0);
                    file += 1;
                }
                // What a stopped run has read is read again, but not parsed.
                Some(batch) if batch.last_line <= skip && !batch.last => {}
                Some(mut lines) => {
                    return match lines.take_disk_error() {
                        Some(source) => Err(StoreError::io("read", &found.path)(source).into()),
                        None => Ok(Some(Batch { file, lines })),
                    };
                }
            }
        }
    };
    let done_before = (checkpoint.files_done, checkpoint.lines_done);
    let new_worker = || Worker {
        words: Words::new(tokenizer),
        lexicon: &lexicon,
        encoder: None,
        names: files,
        plan,
        max_tokens,
        longest_word: tokenizer.longest_word(),
        scratch: Scratch::default(),
    };
    let work = |worker: &mut Worker<'_>, batch: Batch| {
        let skip = if batch.file == done_before.0 { done_before.1 } else { 0 };
        Ok(worker.sort(&batch, skip))
    };
    let mut batches = 0;
    let write = |sorted: Sorted| -> Result<(), CorpusError> {
        for ((kind, number), frames) in &sorted.frames {
            spill.append(*kind, *number, frames)?;
        }
        checkpoint.tally.add(sorted.tally);
        (checkpoint.files_done, checkpoint.lines_done) =
            if sorted.last { (sorted.file + 1, 0) } else { (sorted.file, sorted.last_line) };
        batches += 1;
        if batches % BATCHES_PER_CHECKPOINT == 0 {
            spill.checkpoint(checkpoint)?;
        }
        Ok(())
    };
    stage::run(threads, next, new_worker, work, write)?;
    checkpoint.finished = true;
    spill.checkpoint(checkpoint)?;
    bar.finish_and_clear();
    Ok(())
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        for (file, n) in other.records_of {
            *self.records_of.entry(file).or_default() += n;
        }
        for (reason, n) in other.rejected {
            *self.rejected.entry(reason).or_default() += n;
        }
        for (reason, places) in other.places {
            let kept = self.places.entry(reason).or_default();
            kept.extend(places);
            kept.truncate(PLACES);
        }
        self.damage.extend(other.damage);
        self.longest_text = self.longest_text.max(other.longest_text);
    }

    fn reject(&mut self, reason: Reason, file: &DumpFile, line: u64, found: impl FnOnce() -> String) {
        *self.rejected.entry(reason.as_str().to_owned()).or_default() += 1;
        if reason.is_unreadable() {
            let places = self.places.entry(reason.as_str().to_owned()).or_default();
            if places.len() < PLACES {
                places.push(Place { path: file.name.to_string(), line, found: found() });
            }
        }
    }
}

struct Worker<'a> {
    words: Words<'a>,
    lexicon: &'a Lexicon<'a>,
    /// Made when a text is so long that its segments must be counted.
    encoder: Option<Encoder<'a>>,
    names: &'a [DumpFile],
    plan: Plan,
    max_tokens: u16,
    longest_word: usize,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    text: String,
    title: String,
    brand: String,
    categories: Strings,
    attributes: Strings,
}

/// Some short strings, without an allocation for each.
#[derive(Default)]
struct Strings {
    text: String,
    ends: Vec<usize>,
    /// Numbers of the strings, by hash and by themselves: a record may have very many.
    known: HashTable<u32>,
}

impl Strings {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.known.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// Adds a clean string unless it is empty or there already.
    fn add_new(&mut self, raw: &str, trim: impl Fn(&str) -> &str) {
        let start = self.text.len();
        clean_line(raw, &mut self.text);
        let kept = trim(&self.text[start..]).len();
        self.text.truncate(start + kept);
        let Self { text, ends, known } = self;
        let of = |number: u32| {
            let number = number as usize;
            &text[if number == 0 { 0 } else { ends[number - 1] }..ends[number]]
        };
        let (new, hash) = (&text[start..], xxh3_64(&text.as_bytes()[start..]));
        if new.is_empty() || known.find(hash, |&n| of(n) == new).is_some() {
            text.truncate(start);
        } else {
            known.insert_unique(hash, ends.len() as u32, |&n| xxh3_64(of(n).as_bytes()));
            ends.push(text.len());
        }
    }
}

impl Worker<'_> {
    /// Sorts the records of a batch into buckets; lines up to `skip` were sorted before.
    fn sort(&mut self, batch: &Batch, skip: u64) -> Sorted {
        let found = &self.names[batch.file as usize];
        let lines = &batch.lines;
        let mut sorted =
            Sorted { file: batch.file, last_line: lines.last_line, last: lines.last, ..Default::default() };
        let mut records = 0;
        for line in lines.iter().filter(|line| line.number > skip) {
            records += 1;
            let position = Position { file: batch.file, line: line.number };
            match parse(line.bytes, |record| self.sort_record(record, found, position, &mut sorted)) {
                Ok(()) => {}
                Err(error) => {
                    let reason = match error {
                        MalformedRecord::InvalidUtf8(_) => Reason::InvalidUtf8,
                        MalformedRecord::Malformed(_) => Reason::Malformed,
                    };
                    sorted.tally.reject(reason, found, line.number, || error.to_string());
                }
            }
        }
        for &line in lines.too_long.iter().filter(|line| **line > skip) {
            records += 1;
            sorted.tally.reject(Reason::LineTooLong, found, line, || format!("more than {} MiB", MAX_LINE >> 20));
        }
        if let Some(damage) = &lines.damage {
            sorted.tally.damage.insert(batch.file, format!("after line {}: {}", damage.after_line, damage.error));
        }
        sorted.tally.records = records;
        sorted.tally.records_of.insert(batch.file, records);
        sorted
    }

    fn sort_record(&mut self, record: &Record<'_>, found: &DumpFile, position: Position, sorted: &mut Sorted) {
        // A record that does not tell what it is counts as what its file holds.
        let kind = record.record_type().or(found.holds).map_or(Kind::Product, |found| found.kind);
        let line = position.line;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.text.clear();
        match kind {
            Kind::Product => match record.product_id() {
                None => sorted.tally.reject(Reason::NoProductId, found, line, || "neither asin nor parent_asin".into()),
                Some(product_id) => {
                    let empty = self.fill_product(record, &mut scratch, found, line, &mut sorted.tally);
                    if !empty || !record.associations.is_empty() {
                        let fields = scratch.product(record, product_id, empty);
                        let document = DocumentId::of_product(product_id);
                        let frames = sorted.frames.entry((kind, self.plan.file_of(document))).or_default();
                        Frame::write(frames, document, position, |into| fields.write(into));
                    }
                }
            },
            Kind::Review => {
                for piece in record.review_pieces() {
                    add_lines(piece, &mut scratch.text);
                }
                if self.accept(&scratch.text, found, line, &mut sorted.tally) {
                    let product_id = record.product_id();
                    let reviewer = record.reviewer().unwrap_or_default();
                    let time = record.time().unwrap_or_default();
                    let document = DocumentId::of_review(product_id.unwrap_or_default(), reviewer, time, &scratch.text);
                    let fields = ReviewFields { product_id, text: &scratch.text, rating: record.rating() };
                    let frames = sorted.frames.entry((kind, self.plan.file_of(document))).or_default();
                    Frame::write(frames, document, position, |into| fields.write(into));
                }
            }
        }
        self.scratch = scratch;
    }

    /// Cleans a product's fields; returns whether its text is empty or was rejected.
    fn fill_product(
        &mut self,
        record: &Record<'_>,
        scratch: &mut Scratch,
        found: &DumpFile,
        line: u64,
        tally: &mut Tally,
    ) -> bool {
        for clear in [&mut scratch.title, &mut scratch.brand] {
            clear.clear();
        }
        scratch.categories.clear();
        scratch.attributes.clear();
        for piece in record.title.iter().filter(|piece| !is_script(piece)) {
            let before = scratch.title.len();
            if before > 0 {
                scratch.title.push(' ');
            }
            let start = scratch.title.len();
            clean_line(piece, &mut scratch.title);
            if scratch.title.len() == start {
                scratch.title.truncate(before);
            }
        }
        scratch.text.push_str(&scratch.title);
        for piece in record.features().chain(record.description.iter()) {
            add_lines(piece, &mut scratch.text);
        }
        if let Some(brand) = record.brand() {
            clean_line(brand, &mut scratch.brand);
        }
        for category in record.categories() {
            scratch.categories.add_new(category, |c| c);
        }
        for key in &record.attributes {
            // Keys of the 2018 dump end with a colon: `Shipping Weight:`.
            scratch.attributes.add_new(key, |k| k.trim_end_matches([':', ' ']));
        }
        !self.accept(&scratch.text, found, line, tally)
    }

    /// Whether a text can be a document; if not, it is counted.
    fn accept(&mut self, text: &str, found: &DumpFile, line: u64, tally: &mut Tally) -> bool {
        tally.longest_text = tally.longest_text.max(text.len() as u64);
        if !self.words.any(text) {
            tally.reject(Reason::Empty, found, line, String::new);
            return false;
        }
        if may_have_too_many_segments(text.len(), self.max_tokens, self.longest_word) {
            let encoder = self.encoder.get_or_insert_with(|| Encoder::new(self.lexicon));
            let mut document = Document::default();
            encoder.encode(text, &mut document);
            let segments = cut(&document.first_tokens, &[], usize::from(self.max_tokens)).segments.len();
            if segments > MOST_SEGMENTS {
                tally.reject(Reason::TooManySegments, found, line, || format!("{segments} segments"));
                return false;
            }
        }
        true
    }
}

/// Whether a text of so many bytes might have more segments than a document may have: a token has at least
/// a byte, and a segment that is not the last has at least `max_tokens` less a word.
pub fn may_have_too_many_segments(bytes: usize, max_tokens: u16, longest_word: usize) -> bool {
    let least = (usize::from(max_tokens) + 1).saturating_sub(longest_word).max(1);
    bytes / least + 1 > MOST_SEGMENTS
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

impl Scratch {
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
