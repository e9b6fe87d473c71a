//! The streaming stage: corpus tables to shards of segments.
//!
//! The reader takes row groups of corpus tables, workers encode them, the writer appends to the shard of
//! the table's bucket. All workers share the row groups of the buckets in work.
use std::iter;

use arrow_array::RecordBatch;
use schemas::{
    CorpusText, CorpusTextRows, Manifest, PhraseSpan, Rules, Segment, SegmentBuilder, StoreError, Task, TokenRange,
    create_segments,
    manifest::{CorpusBody, MANIFEST, SegmentCounts},
    store::{self, TableWriter},
};

use super::ShardError;
use crate::{
    corpus::tables::{DocumentReader, Item, Table, tables},
    engine::{
        hashes::Hashes,
        ledger::{FinishedTable, Ledger},
        progress::Progress,
        stage,
    },
    phrase::{
        matcher::{Matcher, Occurrence, Scratch},
        pool,
    },
    settings::StepSettings,
    text::{
        self, Document, Encoder, Tokenizer,
        nouns::{NounFinder, NounPhrase},
        segment::{MOST_SEGMENTS, cut},
    },
};
use ebert_english::Model;

/// Counts the tokens of a segment that its spans cover.
fn cover(counts: &mut SegmentCounts, phrases: &[PhraseSpan], nouns: &[TokenRange]) {
    // Both are sorted by start; `covered` is up to where phrases have covered the segment so far.
    let (mut covered, mut next) = (0, 0);
    let mut last_begun = 0;
    for noun in nouns {
        let tokens = noun.tokens();
        while let Some(span) = phrases.get(next).filter(|s| s.tokens.tokens().start < tokens.end) {
            last_begun = last_begun.max(span.tokens.tokens().end);
            next += 1;
        }
        counts.noun_phrase_tokens += tokens.len() as u64;
        // A phrase that began before its end and ends after its start shares a token with it.
        if last_begun <= tokens.start {
            counts.clean_noun_phrase_tokens += tokens.len() as u64;
        }
    }
    for span in phrases {
        let tokens = span.tokens.tokens();
        counts.phrase_tokens += tokens.end.saturating_sub(tokens.start.max(covered)) as u64;
        covered = covered.max(tokens.end);
    }
    counts.noun_phrases += nouns.len() as u64;
}

/// A shard that is to be there: its name, the corpus table that it is made from, and the hash of all that
/// decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedShard {
    /// Name in `shards/` and in `corpus/`.
    pub name: String,
    /// Bucket.
    pub bucket: u32,
    table: Table,
    /// Hash of all that decides its content.
    pub made_from: String,
}

impl PlannedShard {
    /// The record of the shard, if it is there, made from the same.
    pub(crate) fn finished(
        &self,
        ledger: &Ledger,
        hashes: &mut Hashes,
    ) -> Result<Option<FinishedTable<SegmentCounts>>, StoreError> {
        ledger.finished(&self.name, &self.made_from, hashes)
    }
}

/// Raised whenever documents are cut elsewhere, or other spans are found, for the same words and pool.
pub const RULES: u32 = 1;

/// The code that decides segments.
pub(crate) fn rules(nouns: bool) -> Rules {
    let rules = Rules::of([("cut", RULES), ("words", text::RULES)]);
    if nouns { rules.and(Rules::of([("english", ebert_english::RULES), ("nouns", text::nouns::RULES)])) } else { rules }
}

/// The shards of a corpus, products first.
pub fn plan(
    corpus: &Manifest<CorpusBody>,
    pool_blake3: &str,
    tokenizer: &Tokenizer,
    (max_tokens, nouns): (u16, bool),
) -> Vec<PlannedShard> {
    let mut planned = Vec::new();
    let rules = rules(nouns).key();
    let nouns = if nouns { Model::embedded_blake3() } else { "off" };
    let tokenizer = tokenizer.blake3();
    for table in tables(corpus) {
        let of = format!(
            "segments {} {max_tokens}\n{}\n{pool_blake3}\n{tokenizer}\nnouns {nouns}\n{rules}",
            schemas::FORMAT,
            table.entry.blake3
        );
        let made_from = blake3::hash(of.as_bytes()).to_hex().to_string();
        planned.push(PlannedShard { name: table.entry.name.clone(), bucket: table.bucket, table, made_from });
    }
    planned
}

/// Makes the planned shards that are not there. Gives how many it made, and their counts.
pub fn encode(
    settings: StepSettings<'_>,
    task: Task,
    corpus: &Manifest<CorpusBody>,
    pool_manifest: &Manifest<schemas::manifest::PoolBody>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(usize, SegmentCounts), ShardError> {
    let folder = settings.out.join("shards");
    let pool_blake3 = pool_manifest.data_blake3();
    let ledger = Ledger::open(&settings.out, "shards")?;
    let mut missing: Vec<PlannedShard> = Vec::new();
    for planned in plan(corpus, &pool_blake3, settings.tokenizer, (settings.max_tokens, settings.finds_nouns())) {
        if task.has(u64::from(planned.bucket)) && planned.finished(&ledger, hashes)?.is_none() {
            missing.push(planned);
        }
    }
    if missing.is_empty() {
        return Ok((0, SegmentCounts::default()));
    }
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;

    let pool = pool::load(&settings.out, pool_manifest)?;
    let (matcher, lexicon) = Matcher::new(&pool, settings.tokenizer).map_err(ShardError::Matcher)?;
    // Apart from the phrases' texts, they fit the cache.
    let scores: Vec<f32> = pool.phrases.iter().map(|phrase| phrase.score).collect();
    let rows = missing.iter().map(|p| p.table.entry.rows).sum();
    let bar = progress.count("encoding", rows);
    let corpus_folder = settings.out.join("corpus");
    let mut reader = DocumentReader::new(&corpus_folder, missing.iter().map(|p| &p.table), hashes);
    let mut writer = Writer { missing: &missing, ledger: &ledger, open: None, made: Vec::new() };
    stage::run(
        settings.threads(),
        || Ok(reader.next().transpose()?),
        || Worker {
            encoder: Encoder::new(&lexicon),
            matcher: &matcher,
            scores: &scores,
            max_tokens: usize::from(settings.max_tokens),
            document: Document::default(),
            scratch: Scratch::default(),
            found: Vec::new(),
            spans: Vec::new(),
            nouns: settings.finds_nouns().then(|| NounFinder::new(Model::embedded())),
            found_nouns: Vec::new(),
            noun_spans: Vec::new(),
        },
        |worker, item| match item {
            Item::Rows { table: unit, rows } => worker.encode(&rows).map(|done| Done::Rows { unit, done }),
            Item::End { table: unit } => Ok(Done::End { unit }),
        },
        |done| {
            if let Done::Rows { done, .. } = &done {
                bar.inc(done.counts.documents);
            }
            writer.write(done)
        },
    )?;
    bar.finish_and_clear();
    let made = writer.made;
    let mut total = SegmentCounts::default();
    for made in &made {
        hashes.remember(&folder.join(&made.file.name), &made.file.blake3)?;
        total.add(&made.counts);
    }
    Ok((made.len(), total))
}

enum Done {
    Rows { unit: usize, done: Encoded },
    End { unit: usize },
}

struct Encoded {
    rows: RecordBatch,
    counts: SegmentCounts,
}

struct Worker<'a> {
    encoder: Encoder<'a>,
    matcher: &'a Matcher,
    scores: &'a [f32],
    max_tokens: usize,
    document: Document,
    scratch: Scratch,
    found: Vec<Occurrence>,
    spans: Vec<PhraseSpan>,
    nouns: Option<NounFinder<'a>>,
    found_nouns: Vec<NounPhrase>,
    noun_spans: Vec<TokenRange>,
}

impl Worker<'_> {
    fn encode(&mut self, rows: &CorpusTextRows) -> Result<Encoded, ShardError> {
        let mut segments = SegmentBuilder::default();
        let mut counts = SegmentCounts { documents: rows.len() as u64, ..Default::default() };
        for row in rows.iter() {
            self.add(row, &mut segments, &mut counts);
        }
        counts.segments = segments.len() as u64;
        Ok(Encoded { rows: segments.finish().map_err(ShardError::Rows)?, counts })
    }

    fn add(&mut self, row: CorpusText<'_>, segments: &mut SegmentBuilder, counts: &mut SegmentCounts) {
        let CorpusText { document, product_id, text } = row;
        self.encoder.encode(text, &mut self.document);
        self.matcher.find(&self.document, &mut self.scratch, &mut self.found);
        let spans = self.found.iter().map(|span| span.start..span.end);
        let mut pieces = cut(&self.document.first_tokens, spans, self.max_tokens);
        if pieces.len() > MOST_SEGMENTS {
            // The corpus holds only documents that fit when phrases may be cut.
            pieces = cut(&self.document.first_tokens, iter::empty(), self.max_tokens);
        }
        if let Some(nouns) = &mut self.nouns {
            nouns.find(text, &self.document, &mut self.found_nouns);
        }
        counts.tokens += self.document.ids.len() as u64;
        let (mut next, mut next_noun) = (0, 0);
        for (number, tokens) in pieces.iter().enumerate() {
            self.spans.clear();
            while let Some(span) = self.found.get(next).filter(|s| (s.start as usize) < tokens.end) {
                next += 1;
                // A span that begins in an earlier segment was cut; so is one that goes on into the next.
                if span.end as usize > tokens.end {
                    counts.cut_spans += 1;
                    continue;
                }
                let range = span.start as usize - tokens.start..span.end as usize - tokens.start;
                let Some(range) = TokenRange::new(range) else { continue };
                let score = self.scores[span.phrase.get() as usize];
                self.spans.push(PhraseSpan { tokens: range, phrase: span.phrase, score });
            }
            counts.phrase_spans += self.spans.len() as u64;
            self.noun_spans.clear();
            while let Some(noun) = self.found_nouns.get(next_noun).filter(|n| (n.start as usize) < tokens.end) {
                next_noun += 1;
                let range = noun.start as usize - tokens.start..noun.end as usize - tokens.start;
                match TokenRange::new(range).filter(|_| noun.end as usize <= tokens.end) {
                    Some(range) => self.noun_spans.push(range),
                    None => counts.cut_noun_phrases += 1,
                }
            }
            cover(counts, &self.spans, &self.noun_spans);
            segments.push(&Segment {
                document,
                product: product_id,
                segment: number as u16,
                input_ids: &self.document.ids[tokens.clone()],
                phrases: &self.spans,
                noun_phrases: &self.noun_spans,
            });
        }
    }
}

/// The shard that is being written.
struct Writer<'a> {
    missing: &'a [PlannedShard],
    ledger: &'a Ledger,
    open: Option<(TableWriter, SegmentCounts)>,
    made: Vec<FinishedTable<SegmentCounts>>,
}

impl Writer<'_> {
    fn write(&mut self, done: Done) -> Result<(), ShardError> {
        let unit = match &done {
            Done::Rows { unit, .. } | Done::End { unit } => *unit,
        };
        let path = self.ledger.folder().join(&self.missing[unit].name);
        let (mut table, mut counts) = match self.open.take() {
            Some(open) => open,
            None => (create_segments(&path)?, SegmentCounts::default()),
        };
        match done {
            Done::Rows { done, .. } => {
                table.write(&done.rows)?;
                counts.add(&done.counts);
                self.open = Some((table, counts));
            }
            Done::End { unit } => {
                self.made.push(self.ledger.commit(table, &self.missing[unit].made_from, counts)?);
            }
        }
        Ok(())
    }
}
