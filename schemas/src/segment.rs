//! Segments: the rows of `shards/products-*.parquet` and `shards/reviews-*.parquet`. Writer,
//! serializer and reader of one stored thing.
use std::{path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float32Array, ListArray, StringArray, StringBuilder, StructArray, UInt16Array,
        UInt32Array, UInt64Array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Float32Type, UInt16Type, UInt32Type, UInt64Type},
    record_batch::RecordBatch,
};

use crate::{
    DocumentId, PhraseId, TokenRange, columns,
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A pool phrase that occurs in a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhraseSpan {
    /// Where.
    pub tokens: TokenRange,
    /// Which.
    pub phrase: PhraseId,
    /// Its score in the pool.
    pub score: f32,
}

/// One segment of a document: a row of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment<'a> {
    /// The document.
    pub document: DocumentId,
    /// The product, or the product that a review is of.
    pub product: Option<&'a str>,
    /// Number within the document, from 0.
    pub segment: u16,
    /// WordPiece ids, no special tokens.
    pub input_ids: &'a [u16],
    /// Every occurrence of a pool phrase, overlaps included, sorted by start, then length.
    pub phrases: &'a [PhraseSpan],
    /// Noun phrases, not overlapping, sorted.
    pub noun_phrases: &'a [TokenRange],
}

const LAYOUT: Layout = Layout {
    byte_streams: &[
        "input_ids.list.element",
        "phrases.list.element.start",
        "phrases.list.element.phrase_id",
        "noun_phrases.list.element.start",
    ],
    plain: &["document_id"],
    // 2 bytes a token and 12 a span; about 4 M tokens.
    row_group_bytes: 16 << 20,
};

/// Starts a shard of segments at `path`.
pub fn create_segments(path: &Path) -> Result<TableWriter, StoreError> {
    TableWriter::create(path, columns::segments(), &LAYOUT)
}

/// Opens a shard of segments.
pub fn open_segments(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns::segments())
}

/// The names (document and number within it) of the segments of one row group, without what is in them.
pub fn segment_names(table: &TableReader, group: usize) -> Result<Vec<(DocumentId, u16)>, StoreError> {
    let mut names = Vec::new();
    for batch in table.row_group(group, 1 << 16, Some(&["document_id", "segment"]))? {
        let batch = batch?;
        let documents = batch.column(0).as_primitive::<UInt64Type>();
        let segments = batch.column(1).as_primitive::<UInt16Type>();
        names.extend(documents.values().iter().zip(segments.values()).map(|(d, s)| (DocumentId::new(*d), *s)));
    }
    Ok(names)
}

/// Collects segments into a record batch.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    documents: Vec<u64>,
    products: StringBuilder,
    segments: Vec<u16>,
    input_ids: Vec<u16>,
    id_ends: Vec<i32>,
    phrase_starts: Vec<u16>,
    phrase_lengths: Vec<u16>,
    phrase_ids: Vec<u32>,
    phrase_scores: Vec<f32>,
    phrase_ends: Vec<i32>,
    noun_starts: Vec<u16>,
    noun_lengths: Vec<u16>,
    noun_ends: Vec<i32>,
}

impl SegmentBuilder {
    /// Appends a row.
    pub fn push(&mut self, row: &Segment<'_>) {
        self.documents.push(row.document.get());
        self.products.append_option(row.product);
        self.segments.push(row.segment);
        self.input_ids.extend_from_slice(row.input_ids);
        self.id_ends.push(self.input_ids.len() as i32);
        for span in row.phrases {
            self.phrase_starts.push(span.tokens.start());
            self.phrase_lengths.push(span.tokens.length());
            self.phrase_ids.push(span.phrase.get());
            self.phrase_scores.push(span.score);
        }
        self.phrase_ends.push(self.phrase_ids.len() as i32);
        for range in row.noun_phrases {
            self.noun_starts.push(range.start());
            self.noun_lengths.push(range.length());
        }
        self.noun_ends.push(self.noun_starts.len() as i32);
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The rows as a batch of [`columns::segments`].
    pub fn finish(mut self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let struct_list = |fields: arrow::datatypes::Fields, children: Vec<ArrayRef>, ends: Vec<i32>| {
            let structs = StructArray::try_new(fields.clone(), children, None)?;
            ListArray::try_new(columns::element(DataType::Struct(fields)), offsets(ends), Arc::new(structs), None)
        };
        let phrases = struct_list(
            columns::phrase_span(),
            vec![
                Arc::new(UInt16Array::from(self.phrase_starts)),
                Arc::new(UInt16Array::from(self.phrase_lengths)),
                Arc::new(UInt32Array::from(self.phrase_ids)),
                Arc::new(Float32Array::from(self.phrase_scores)),
            ],
            self.phrase_ends,
        )?;
        let nouns = struct_list(
            columns::noun_phrase(),
            vec![Arc::new(UInt16Array::from(self.noun_starts)), Arc::new(UInt16Array::from(self.noun_lengths))],
            self.noun_ends,
        )?;
        RecordBatch::try_new(
            columns::segments(),
            vec![
                Arc::new(UInt64Array::from(self.documents)),
                Arc::new(self.products.finish()),
                Arc::new(UInt16Array::from(self.segments)),
                Arc::new(id_lists(self.input_ids, self.id_ends)?),
                Arc::new(phrases),
                Arc::new(nouns),
            ],
        )
    }
}

/// Lists of token ids from their concatenation and the end of each.
pub(crate) fn id_lists(ids: Vec<u16>, ends: Vec<i32>) -> Result<ListArray, arrow::error::ArrowError> {
    ListArray::try_new(columns::element(DataType::UInt16), offsets(ends), Arc::new(UInt16Array::from(ids)), None)
}

fn offsets(mut ends: Vec<i32>) -> OffsetBuffer<i32> {
    ends.insert(0, 0);
    OffsetBuffer::new(ends.into())
}

/// The rows of a batch of [`columns::segments`].
#[derive(Debug)]
pub struct SegmentRows {
    documents: UInt64Array,
    products: StringArray,
    segments: UInt16Array,
    input_ids: ListArray,
    phrases: ListArray,
    nouns: ListArray,
    spans: Vec<PhraseSpan>,
    noun_ranges: Vec<TokenRange>,
}

/// A span of a stored segment is empty or leaves its segment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "segment {segment} of document {document} holds a span at token {start} of length {length}, past its {tokens} tokens"
)]
pub struct SpanOutside {
    /// The document.
    pub document: DocumentId,
    /// The segment.
    pub segment: u16,
    /// First token of the span.
    pub start: u16,
    /// Its tokens.
    pub length: u16,
    /// The tokens of the segment.
    pub tokens: usize,
}

impl SegmentRows {
    /// Reads a batch that [`open_segments`] gave.
    pub fn new(batch: &RecordBatch) -> Self {
        Self {
            documents: batch.column(0).as_primitive::<UInt64Type>().clone(),
            products: batch.column(1).as_string::<i32>().clone(),
            segments: batch.column(2).as_primitive::<UInt16Type>().clone(),
            input_ids: batch.column(3).as_list::<i32>().clone(),
            phrases: batch.column(4).as_list::<i32>().clone(),
            nouns: batch.column(5).as_list::<i32>().clone(),
            spans: Vec::new(),
            noun_ranges: Vec::new(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// One row.
    ///
    /// # Errors
    /// When a span is empty or leaves the segment.
    pub fn get(&mut self, row: usize) -> Result<Segment<'_>, SpanOutside> {
        let document = DocumentId::new(self.documents.value(row));
        let segment = self.segments.value(row);
        let input_ids = slice_of(&self.input_ids, row);
        let range = |start: u16, length: u16| {
            let (from, to) = (usize::from(start), usize::from(start) + usize::from(length));
            let outside = SpanOutside { document, segment, start, length, tokens: input_ids.len() };
            TokenRange::new(from..to).filter(|_| to <= input_ids.len()).ok_or(outside)
        };
        let u16s = |list: &StructArray, column: usize| list.column(column).as_primitive::<UInt16Type>().clone();
        let spans = self.phrases.value(row);
        let spans = spans.as_struct();
        let (starts, lengths) = (u16s(spans, 0), u16s(spans, 1));
        let ids = spans.column(2).as_primitive::<UInt32Type>();
        let scores = spans.column(3).as_primitive::<Float32Type>();
        self.spans.clear();
        for i in 0..spans.len() {
            self.spans.push(PhraseSpan {
                tokens: range(starts.value(i), lengths.value(i))?,
                phrase: PhraseId::new(ids.value(i)),
                score: scores.value(i),
            });
        }
        let nouns = self.nouns.value(row);
        let nouns = nouns.as_struct();
        let (starts, lengths) = (u16s(nouns, 0), u16s(nouns, 1));
        self.noun_ranges.clear();
        for i in 0..nouns.len() {
            self.noun_ranges.push(range(starts.value(i), lengths.value(i))?);
        }
        let product = self.products.is_valid(row).then(|| self.products.value(row));
        Ok(Segment { document, product, segment, input_ids, phrases: &self.spans, noun_phrases: &self.noun_ranges })
    }
}

/// The ids of one list.
pub(crate) fn slice_of(lists: &ListArray, row: usize) -> &[u16] {
    let offsets = lists.value_offsets();
    &lists.values().as_primitive::<UInt16Type>().values()[offsets[row] as usize..offsets[row + 1] as usize]
}
