//! Corpus tables to shards of segments, as a stream.
//!
//! The reader takes row groups of corpus tables, workers encode them, and the writer appends to the shard of the
//! table's bucket. The workers share the row groups of a bucket.
use std::{marker::PhantomData, path::Path};

use arrow_array::RecordBatch;
use schemas::{
    CorpusText, CorpusTextRows, FileEntry, Manifest, PhraseSpan, Rules, SegmentBuilderOf, SegmentOf, StoreError, Task,
    TokenId, TokenRange, create_segments_of,
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
        pool::{self, Pool},
    },
    settings::StepSettings,
    text::{
        self, DocumentOf, Encoder, Tokenizer,
        nouns::{NounFinder, NounPhrase},
        segment::cut,
    },
};
use ebert_english::Model;

/// Adds the tokens of a segment that its spans cover to `counts`.
fn count_covered(counts: &mut SegmentCounts, phrases: &[PhraseSpan], nouns: &[TokenRange]) {
    // Both are sorted by start. Phrases cover everything counted so far up to `covered`.
    let (mut covered, mut next) = (0, 0);
    let mut phrase_end = 0;
    for noun in nouns {
        let tokens = noun.tokens();
        while let Some(span) = phrases.get(next).filter(|s| s.tokens.tokens().start < tokens.end) {
            phrase_end = phrase_end.max(span.tokens.tokens().end);
            next += 1;
        }
        counts.noun_phrase_tokens += tokens.len() as u64;
        // A phrase that began before its end and ends after its start shares a token with it.
        if phrase_end <= tokens.start {
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

/// A shard of the plan: its name, its corpus table, and the hash of everything that decides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedShard {
    /// Name in `shards/` and in `corpus/`.
    pub name: String,
    pub bucket: u32,
    table: Table,
    /// Hash of everything that decides its content.
    pub made_from: String,
}

impl PlannedShard {
    /// Its table in `corpus/`.
    pub(crate) fn corpus_table(&self) -> &FileEntry {
        &self.table.entry
    }

    /// The record of the shard in the ledger, if it exists with the same content.
    pub(crate) fn finished(
        &self,
        ledger: &Ledger,
        hashes: &mut Hashes,
    ) -> Result<Option<FinishedTable<SegmentCounts>>, StoreError> {
        ledger.finished(&self.name, &self.made_from, hashes)
    }
}

/// Version of cutting and of finding spans. Raise it whenever the same words and pool give other segments.
pub const RULES: u32 = 2;

/// Versions of the code that decides segments.
pub(crate) fn rules(tokenizer: &Tokenizer, nouns: bool) -> Rules {
    let mut rules = Rules::of([("cut", RULES), ("words", text::RULES)]);
    if !tokenizer.is_uncased() {
        rules = rules.and(Rules::of([("tokens", text::TOKEN_RULES)]));
    }
    if nouns { rules.and(Rules::of([("english", ebert_english::RULES), ("nouns", text::nouns::RULES)])) } else { rules }
}

/// The shards of a corpus, products first.
pub fn plan(settings: StepSettings<'_>, corpus: &Manifest<CorpusBody>, pool_blake3: &str) -> Vec<PlannedShard> {
    let mut planned = Vec::new();
    let max_tokens = settings.max_tokens;
    let rules = rules(settings.tokenizer, settings.finds_nouns()).key();
    let nouns = if settings.finds_nouns() { Model::embedded_blake3() } else { "off" };
    let tokenizer = settings.tokenizer.blake3();
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

/// Encodes the planned shards that are missing.
///
/// # Errors
/// If the pool or a table cannot be read, the pool is too large to search for, or a shard cannot be
/// written.
pub fn encode(
    settings: StepSettings<'_>,
    task: Task,
    corpus: &Manifest<CorpusBody>,
    pool_manifest: &Manifest<schemas::manifest::PoolBody>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<Encoded, ShardError> {
    let folder = settings.out.join("shards");
    let pool_blake3 = pool_manifest.data_blake3();
    let ledger = Ledger::open(&settings.out, "shards")?;
    let mut missing: Vec<PlannedShard> = Vec::new();
    for planned in plan(settings, corpus, &pool_blake3) {
        if task.has(u64::from(planned.bucket)) && planned.finished(&ledger, hashes)?.is_none() {
            missing.push(planned);
        }
    }
    if missing.is_empty() {
        return Ok(Encoded::default());
    }
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;

    let pool = pool::load(&settings.out, pool_manifest)?;
    let work = Work { settings, folder: &folder, missing: &missing, pool: &pool, ledger: &ledger };
    if settings.tokenizer.has_wide_ids() {
        work.encode::<u32>(hashes, progress)
    } else {
        work.encode::<u16>(hashes, progress)
    }
}

/// What is to be encoded.
struct Work<'a> {
    settings: StepSettings<'a>,
    folder: &'a Path,
    missing: &'a [PlannedShard],
    pool: &'a Pool,
    ledger: &'a Ledger,
}

impl Work<'_> {
    /// Encodes all, with ids of this width.
    fn encode<I: TokenId>(&self, hashes: &mut Hashes, progress: &Progress) -> Result<Encoded, ShardError> {
        let Self { settings, folder, missing, pool, ledger } = *self;
        let (matcher, lexicon) = Matcher::new::<I>(pool, settings.tokenizer).map_err(ShardError::Matcher)?;
        // A dense array of scores fits the cache; the phrases with their texts do not.
        let scores: Vec<f32> = pool.phrases.iter().map(|phrase| phrase.score).collect();
        let rows = missing.iter().map(|p| p.table.entry.rows).sum();
        let bar = progress.count("encoding", rows);
        let corpus_folder = settings.out.join("corpus");
        let mut reader = DocumentReader::new(&corpus_folder, missing.iter().map(|p| &p.table), hashes);
        let mut writer = Writer::<I> { missing, ledger, open: None, made: Vec::new(), ids: PhantomData };
        stage::run(
            settings.threads(),
            || Ok(reader.next().transpose()?),
            || Worker {
                encoder: Encoder::new(&lexicon),
                matcher: &matcher,
                scores: &scores,
                max_tokens: usize::from(settings.max_tokens),
                document: DocumentOf::default(),
                marks_words: settings.tokenizer.marks_words(),
                word_starts: Vec::new(),
                scratch: Scratch::default(),
                found: Vec::new(),
                spans: Vec::new(),
                nouns: settings.finds_nouns().then(|| NounFinder::new(Model::embedded())),
                found_nouns: Vec::new(),
                noun_spans: Vec::new(),
            },
            |worker, item| match item {
                Item::Rows { table: unit, rows } => worker.encode(&rows).map(|batch| Done::Rows { unit, batch }),
                Item::End { table: unit } => Ok(Done::End { unit }),
            },
            |done| {
                if let Done::Rows { batch, .. } = &done {
                    bar.inc(batch.counts.documents);
                }
                writer.write(done)
            },
        )?;
        bar.finish_and_clear();
        let mut encoded = Encoded { shards: writer.made.len(), ..Encoded::default() };
        for shard in &writer.made {
            hashes.remember(&folder.join(&shard.file.name), &shard.file.blake3)?;
            encoded.counts.add(&shard.counts);
        }
        Ok(encoded)
    }
}

/// What [`encode`] has written.
#[derive(Default)]
pub struct Encoded {
    pub shards: usize,
    pub counts: SegmentCounts,
}

enum Done {
    Rows { unit: usize, batch: Batch },
    End { unit: usize },
}

struct Batch {
    rows: RecordBatch,
    counts: SegmentCounts,
}

struct Worker<'a, I> {
    encoder: Encoder<'a, I>,
    matcher: &'a Matcher,
    scores: &'a [f32],
    max_tokens: usize,
    document: DocumentOf<I>,
    /// Whether the vocabulary marks the tokens that start a word.
    marks_words: bool,
    /// Of the segment that is added.
    word_starts: Vec<u16>,
    scratch: Scratch,
    found: Vec<Occurrence>,
    spans: Vec<PhraseSpan>,
    nouns: Option<NounFinder<'a>>,
    found_nouns: Vec<NounPhrase>,
    noun_spans: Vec<TokenRange>,
}

impl<I: TokenId> Worker<'_, I> {
    fn encode(&mut self, rows: &CorpusTextRows) -> Result<Batch, ShardError> {
        let mut segments = SegmentBuilderOf::default();
        let mut counts = SegmentCounts { documents: rows.len() as u64, ..Default::default() };
        for row in rows.iter() {
            self.add(row, &mut segments, &mut counts);
        }
        counts.segments = segments.len() as u64;
        Ok(Batch { rows: segments.finish().map_err(ShardError::Rows)?, counts })
    }

    fn add(&mut self, row: CorpusText<'_>, segments: &mut SegmentBuilderOf<I>, counts: &mut SegmentCounts) {
        let CorpusText { document, text_id, product_id, text } = row;
        self.encoder.encode(text, &mut self.document);
        counts.spans_sharing_tokens += self.matcher.find(&self.document, &mut self.scratch, &mut self.found);
        let spans = self.found.iter().map(|span| span.start..span.end);
        let pieces = cut(&self.document.word_starts, spans, self.max_tokens);
        if let Some(nouns) = &mut self.nouns {
            counts.noun_phrases_sharing_tokens += nouns.find(text, &self.document, &mut self.found_nouns);
        }
        counts.tokens += self.document.ids.len() as u64;
        let (mut next, mut next_noun, mut next_word) = (0, 0, 0);
        for (number, tokens) in pieces.iter().enumerate() {
            if !self.marks_words {
                let starts = &self.document.word_starts[next_word..];
                let inside = starts.iter().take_while(|start| (**start as usize) < tokens.end);
                self.word_starts.clear();
                self.word_starts.extend(inside.map(|start| (*start as usize - tokens.start) as u16));
                next_word += self.word_starts.len();
                counts.cut_words += u64::from(number > 0 && self.word_starts.first() != Some(&0));
            }
            self.spans.clear();
            while let Some(span) = self.found.get(next).filter(|s| (s.start as usize) < tokens.end) {
                next += 1;
                // It continues in the next segment, so the cut destroys it.
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
            count_covered(counts, &self.spans, &self.noun_spans);
            let segment = SegmentOf {
                document,
                text_id,
                product: product_id,
                segment: number as u32,
                input_ids: &self.document.ids[tokens.clone()],
                phrases: &self.spans,
                noun_phrases: &self.noun_spans,
            };
            segments.push_with_words(&segment, (!self.marks_words).then_some(&self.word_starts[..]));
        }
    }
}

/// The shard that is being written.
struct Writer<'a, I> {
    missing: &'a [PlannedShard],
    ledger: &'a Ledger,
    open: Option<(TableWriter, SegmentCounts)>,
    made: Vec<FinishedTable<SegmentCounts>>,
    ids: PhantomData<I>,
}

impl<I: TokenId> Writer<'_, I> {
    fn write(&mut self, done: Done) -> Result<(), ShardError> {
        let unit = match &done {
            Done::Rows { unit, .. } | Done::End { unit } => *unit,
        };
        let path = self.ledger.folder().join(&self.missing[unit].name);
        let (mut table, mut counts) = match self.open.take() {
            Some(open) => open,
            None => (create_segments_of::<I>(&path)?, SegmentCounts::default()),
        };
        match done {
            Done::Rows { batch, .. } => {
                table.write(&batch.rows)?;
                counts.add(&batch.counts);
                self.open = Some((table, counts));
            }
            Done::End { unit } => {
                self.made.push(self.ledger.commit(table, &self.missing[unit].made_from, counts)?);
            }
        }
        Ok(())
    }
}
