//! What [`inspect`](super::inspect) prints, and the queries that compute it.
use std::ops::{Range, RangeInclusive};

use polars::prelude::*;
use schemas::{
    DocumentId, Draws, PhraseId,
    manifest::{CorpusBody, GraphBody, ShardsBody},
};

use super::pairs::PairSummary;
use crate::{
    engine::frames::{COUNT, KeyCounts},
    look::segments::{SpanColumn, spans},
    phrase::pool::Phrase,
};

/// What the shards contain.
pub(super) struct Summary {
    pub shards: ShardsBody,
    pub corpus: Option<CorpusBody>,
    pub graph: Option<GraphBody>,
    pub pairs: Option<PairSummary>,
    /// The size of all shards.
    pub disk_bytes: u64,
    pub all_shards: usize,
    /// The number of shards that the remaining fields are of.
    pub shards_read: usize,
    pub lengths: Lengths,
    pub frequent_phrases: Vec<FrequentPhrase>,
    pub examples: Vec<Example>,
}

/// The lengths of segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    pub segments: u64,
    pub tokens: u64,
    pub bars: Vec<LengthBar>,
}

/// A bar of the histogram of lengths.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LengthBar {
    /// In tokens.
    pub lengths: RangeInclusive<usize>,
    pub segments: u64,
}

/// A pool phrase and the number of its occurrences.
pub(super) struct FrequentPhrase {
    pub phrase: Phrase,
    pub spans: u64,
}

/// A segment that is printed as an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Its keyed draw. The examples are the segments with the smallest draws, so that they are a
    /// random sample and the same in every run.
    pub draw: u64,
    /// The product, or the document where there is none.
    pub name: String,
    pub segment: u32,
    pub input_ids: Vec<u32>,
    /// Tokens that start a word. `None` where the vocabulary marks them.
    pub word_starts: Option<Vec<usize>>,
    pub phrases: Vec<Range<usize>>,
    pub noun_phrases: Vec<Range<usize>>,
}

/// Bars of the histogram of lengths.
const BARS: u16 = 10;

/// Counts over the segments of several shards.
pub(super) struct SegmentCounter {
    max_tokens: u16,
    tokens: u64,
    bars: KeyCounts,
    phrases: KeyCounts,
}

/// What a [`SegmentCounter`] has counted.
pub(super) struct SegmentCounts {
    pub lengths: Lengths,
    /// The most frequent phrases, the most frequent first.
    pub frequent: Vec<PhraseCount>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PhraseCount {
    pub phrase: PhraseId,
    pub spans: u64,
}

impl SegmentCounter {
    /// `max_tokens` is the length of the longest segment.
    pub(super) fn new(max_tokens: u16) -> Self {
        let key = |name: &str| KeyCounts::new([Field::new(name.into(), DataType::UInt32)]);
        Self { max_tokens, tokens: 0, bars: key("bar"), phrases: key("phrase_id") }
    }

    /// Tokens per bar.
    fn width(&self) -> u32 {
        u32::from(self.max_tokens.div_ceil(BARS).max(1))
    }

    /// Adds the segments of a shard, with the columns `tokens` and `phrases`.
    pub(super) fn add(&mut self, segments: &DataFrame) -> PolarsResult<()> {
        let tokens = segments.column("tokens")?.u32()?;
        self.tokens += tokens.iter().flatten().map(u64::from).sum::<u64>();
        let (width, last) = (self.width(), u32::from(BARS) - 1);
        let bars = tokens.apply_values(|tokens| (tokens.saturating_sub(1) / width).min(last));
        self.bars.add(&bars.with_name("bar".into()).into_column().into_frame())?;
        self.phrases.add(&spans(segments, SpanColumn::Phrases, &[])?)
    }

    /// The counts, with the `most` most frequent phrases.
    pub(super) fn finish(self, most: usize) -> PolarsResult<SegmentCounts> {
        let (width, max_tokens) = (self.width() as usize, usize::from(self.max_tokens));
        let counted = self.bars.finish()?;
        let mut segments = [0; BARS as usize];
        for (bar, count) in counted.column("bar")?.u32()?.iter().zip(counted.column(COUNT)?.u64()?.iter()) {
            segments[bar.unwrap_or_default() as usize] = count.unwrap_or_default();
        }
        let bar = |(i, &segments): (usize, &u64)| {
            let lengths = i * width + 1..=((i + 1) * width).min(max_tokens);
            LengthBar { lengths, segments }
        };
        let bars = segments.iter().enumerate().map(bar).filter(|bar| !bar.lengths.is_empty());
        let lengths = Lengths { segments: segments.iter().sum(), tokens: self.tokens, bars: bars.collect() };

        let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
        let frequent = self.phrases.finish()?.sort([COUNT, "phrase_id"], order)?.head(Some(most));
        let (ids, counts) = (frequent.column("phrase_id")?.u32()?, frequent.column(COUNT)?.u64()?);
        let frequent = ids.iter().flatten().zip(counts.iter().flatten());
        let frequent = frequent.map(|(id, spans)| PhraseCount { phrase: PhraseId::new(id), spans });
        Ok(SegmentCounts { lengths, frequent: frequent.collect() })
    }
}

/// The `most` segments of a shard with the smallest draws, smallest first.
pub(super) fn examples(segments: &DataFrame, seed: u64, most: usize) -> PolarsResult<Vec<Example>> {
    let names = segments.column("document_id")?.u64()?.iter().zip(segments.column("segment")?.u32()?.iter());
    let draws: UInt64Chunked = names.map(|(document, segment)| Some(draw(seed, document?, segment?))).collect();
    let smallest = draws.arg_sort(SortOptions::default()).slice(0, most);
    let chosen = segments.hstack(&[draws.with_name("draw".into()).into_column()])?.take(&smallest)?;
    let phrases = spans(&chosen, SpanColumn::Phrases, &["row"])?;
    let noun_phrases = spans(&chosen, SpanColumn::NounPhrases, &["row"])?;
    let (rows, draws) = (chosen.column("row")?.idx()?, chosen.column("draw")?.u64()?);
    let (documents, products) = (chosen.column("document_id")?.u64()?, chosen.column("product_id")?.str()?);
    let (numbers, input_ids) = (chosen.column("segment")?.u32()?, chosen.column("input_ids")?.list()?);
    let word_starts = chosen.column("word_starts")?.list()?;
    let example = |i: usize| {
        let document = || DocumentId::new(documents.get(i).unwrap_or_default()).to_string();
        let ids = input_ids.get_as_series(i).unwrap_or_default();
        Ok(Example {
            draw: draws.get(i).unwrap_or_default(),
            name: products.get(i).map_or_else(document, str::to_owned),
            segment: numbers.get(i).unwrap_or_default(),
            input_ids: ids.cast(&DataType::UInt32)?.u32()?.iter().flatten().collect(),
            word_starts: word_starts.get_as_series(i).map(|starts| positions(&starts)).transpose()?,
            phrases: ranges_of_row(&phrases, rows.get(i))?,
            noun_phrases: ranges_of_row(&noun_phrases, rows.get(i))?,
        })
    };
    (0..chosen.height()).map(example).collect()
}

/// Numbers of tokens.
fn positions(tokens: &Series) -> PolarsResult<Vec<usize>> {
    Ok(tokens.u16()?.iter().flatten().map(usize::from).collect())
}

/// The keyed draw of a segment.
fn draw(seed: u64, document: u64, segment: u32) -> u64 {
    let id = document ^ u64::from(segment).rotate_left(32);
    Draws::new(seed, "inspect", &id.to_le_bytes()).next_u64()
}

/// The tokens of the spans of one segment.
fn ranges_of_row(spans: &DataFrame, row: Option<IdxSize>) -> PolarsResult<Vec<Range<usize>>> {
    let of_row: BooleanChunked = spans.column("row")?.idx()?.iter().map(|other| other == row).collect();
    let of_row = spans.filter(&of_row)?;
    let (starts, lengths) = (of_row.column("start")?.u16()?, of_row.column("length")?.u16()?);
    let ranges = starts.iter().flatten().map(usize::from).zip(lengths.iter().flatten().map(usize::from));
    Ok(ranges.map(|(start, length)| start..start + length).collect())
}

#[cfg(test)]
mod tests {
    use std::{
        cmp::Reverse,
        collections::{BTreeMap, BTreeSet},
    };

    use schemas::{
        PhraseSpan, Segment, SegmentBuilder, SegmentRows, TextId, TokenRange, create_segments, open_segments,
    };

    use super::*;
    use crate::look::segments::read_checked_segments;

    const MAX_TOKENS: u16 = 25;

    /// Writes a shard of segments of 1 to 25 tokens, with 0 to 3 phrases and 0 to 2 noun phrases.
    fn write_shard(folder: &std::path::Path, name: &str, segments: u64) -> schemas::FileEntry {
        let mut table = create_segments(&folder.join(name)).unwrap();
        let mut rows = SegmentBuilder::default();
        for i in 0..segments {
            let mut draws = Draws::new(1, name, &i.to_le_bytes());
            let ids: Vec<u16> = (0..=draws.below(u64::from(MAX_TOKENS))).map(|t| (i + t) as u16).collect();
            let mut range = || {
                let start = draws.below(ids.len() as u64) as usize;
                TokenRange::new(start..start + 1 + draws.below((ids.len() - start) as u64) as usize).unwrap()
            };
            let phrases: Vec<PhraseSpan> = (0..i % 4)
                .map(|p| PhraseSpan { tokens: range(), phrase: PhraseId::new((p * i % 7) as u32), score: 0.5 })
                .collect();
            let noun_phrases: Vec<TokenRange> = (0..i % 3).map(|_| range()).collect();
            let product = format!("B{i}");
            rows.push(&Segment {
                document: DocumentId::new(i / 2),
                text_id: TextId::new(i / 2),
                product: (i % 5 > 0).then_some(&product),
                segment: (i % 2) as u32,
                input_ids: &ids,
                phrases: &phrases,
                noun_phrases: &noun_phrases,
            });
        }
        table.write_result(rows.finish()).unwrap();
        table.commit().unwrap()
    }

    /// The segments of a shard through the reader of the trainer.
    fn each_segment(path: &std::path::Path, mut each: impl FnMut(&Segment<'_>)) {
        for batch in open_segments(path).unwrap().batches(7, None) {
            let mut rows = SegmentRows::new(&batch.unwrap());
            (0..rows.len()).for_each(|row| each(&rows.get(row).unwrap()));
        }
    }

    #[test]
    fn counts_and_examples_are_those_of_a_plain_loop() {
        let folder = tempfile::tempdir().unwrap();
        let shards = [("a.parquet", 200), ("b.parquet", 0), ("c.parquet", 31)];
        let mut counter = SegmentCounter::new(MAX_TOKENS);
        let (mut lengths, mut tokens) = (BTreeMap::<usize, u64>::new(), 0);
        let mut phrases = BTreeMap::<u32, u64>::new();
        for (name, segments) in shards {
            let shard = write_shard(folder.path(), name, segments);
            let frame = read_checked_segments(folder.path(), &shard).unwrap();
            counter.add(&frame).unwrap();
            let mut wanted = BTreeMap::new();
            each_segment(&folder.path().join(name), |segment| {
                *lengths.entry(segment.input_ids.len()).or_default() += 1;
                tokens += segment.input_ids.len() as u64;
                segment.phrases.iter().for_each(|span| *phrases.entry(span.phrase.get()).or_default() += 1);
                let draw = draw(7, segment.document.get(), segment.segment);
                let example = Example {
                    draw,
                    name: segment.product.map_or_else(|| segment.document.to_string(), str::to_owned),
                    segment: segment.segment,
                    input_ids: segment.input_ids.iter().map(|&id| u32::from(id)).collect(),
                    word_starts: None,
                    phrases: segment.phrases.iter().map(|span| span.tokens.tokens()).collect(),
                    noun_phrases: segment.noun_phrases.iter().map(|range| range.tokens()).collect(),
                };
                wanted.insert(draw, example);
            });
            let wanted: Vec<Example> = wanted.into_values().take(5).collect();
            assert_eq!(examples(&frame, 7, 5).unwrap(), wanted, "{name}");
            assert_eq!(examples(&frame, 7, 0).unwrap(), []);
        }
        let found = counter.finish(3).unwrap();

        // 25 tokens in 10 bars: 3 per bar, so that 9 bars are left.
        let bar = |i: usize| {
            let of_bar = 3 * i + 1..=(3 * i + 3).min(25);
            LengthBar { segments: lengths.range(of_bar.clone()).map(|(_, n)| n).sum(), lengths: of_bar }
        };
        assert_eq!(found.lengths, Lengths { segments: 231, tokens, bars: (0..9).map(bar).collect() });
        let by_count: BTreeSet<_> = phrases.iter().map(|(phrase, spans)| (Reverse(*spans), *phrase)).collect();
        let wanted = by_count.iter().map(|&(Reverse(spans), id)| PhraseCount { phrase: PhraseId::new(id), spans });
        assert_eq!(found.frequent, wanted.take(3).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_counted_without_shards() {
        let found = SegmentCounter::new(10).finish(3).unwrap();
        assert_eq!((found.lengths.segments, found.lengths.tokens, found.lengths.bars.len()), (0, 0, 10));
        assert_eq!(found.frequent, []);
    }
}
