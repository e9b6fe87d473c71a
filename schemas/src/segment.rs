//! Segments: the rows of `shards/products-*.parquet` and `shards/reviews-*.parquet`.
use std::{marker::PhantomData, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Float32Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray, UInt16Array, UInt32Array, UInt64Array,
    builder::StringBuilder,
    cast::AsArray,
    types::{Float32Type, UInt16Type, UInt32Type, UInt64Type},
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use crate::{
    DocumentId, PhraseId, TextId, TokenId, TokenRange,
    fields::{element, list, schema},
    rows::{Rows, column, optional, texts},
    store::{Layout, StoreError, TableReader, TableWriter},
};

/// A pool phrase that occurs in a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhraseSpan {
    /// Its tokens.
    pub tokens: TokenRange,
    /// The phrase.
    pub phrase: PhraseId,
    /// Its score in the pool.
    pub score: f32,
}

/// A segment of a vocabulary whose ids have 16 bits.
pub type Segment<'a> = SegmentOf<'a, u16>;

/// One segment of a document: a row of a shard. `I` is the width of its ids.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentOf<'a, I> {
    /// The document.
    pub document: DocumentId,
    /// The id of the document's whole text.
    pub text_id: TextId,
    /// The product, or the product that a review is of.
    pub product: Option<&'a str>,
    /// Number within the document, from 0.
    pub segment: u32,
    /// The tokenizer's ids, no special tokens.
    pub input_ids: &'a [I],
    /// Every occurrence of a pool phrase, overlaps included, sorted by start, then length.
    pub phrases: &'a [PhraseSpan],
    /// Noun phrases, not overlapping, sorted.
    pub noun_phrases: &'a [TokenRange],
}

/// The fields of one element of `phrases`.
pub fn phrase_span() -> Fields {
    Fields::from(vec![
        Field::new("start", DataType::UInt16, false),
        Field::new("length", DataType::UInt16, false),
        Field::new("phrase_id", DataType::UInt32, false),
        Field::new("score", DataType::Float32, false),
    ])
}

/// The fields of one element of `noun_phrases`.
pub fn noun_phrase() -> Fields {
    Fields::from(vec![Field::new("start", DataType::UInt16, false), Field::new("length", DataType::UInt16, false)])
}

/// `shards/products-*.parquet` and `shards/reviews-*.parquet`: one row per segment.
pub fn columns() -> SchemaRef {
    columns_of::<u16>()
}

/// [`columns`] with ids of any width.
pub fn columns_of<I: TokenId>() -> SchemaRef {
    schema(vec![
        Field::new("document_id", DataType::UInt64, false),
        Field::new("text_id", DataType::UInt64, false),
        Field::new("product_id", DataType::Utf8, true),
        Field::new("segment", DataType::UInt32, false),
        Field::new("input_ids", list(I::Column::DATA_TYPE), false),
        Field::new("phrases", list(DataType::Struct(phrase_span())), false),
        Field::new("noun_phrases", list(DataType::Struct(noun_phrase())), false),
        // Null where the vocabulary marks them, as WordPiece does.
        Field::new("word_starts", list(DataType::UInt16), true),
    ])
}

const LAYOUT: Layout = Layout {
    byte_streams: &[
        "input_ids.list.element",
        "phrases.list.element.start",
        "phrases.list.element.phrase_id",
        "noun_phrases.list.element.start",
    ],
    plain: &["document_id", "text_id"],
    // 2 bytes per token and 12 per span: about 4 M tokens.
    row_group_bytes: 16 << 20,
};

/// Starts a shard of segments at `path`.
///
/// # Errors
/// When the file cannot be created.
pub fn create_segments(path: &Path) -> Result<TableWriter, StoreError> {
    create_segments_of::<u16>(path)
}

/// [`create_segments`] with ids of any width.
///
/// # Errors
/// When the file cannot be created.
pub fn create_segments_of<I: TokenId>(path: &Path) -> Result<TableWriter, StoreError> {
    TableWriter::create(path, columns_of::<I>(), &LAYOUT)
}

/// Opens a shard of segments whose ids have 16 bits.
///
/// # Errors
/// When the file is not a table of segments, or its ids are wider.
pub fn open_segments(path: &Path) -> Result<TableReader, StoreError> {
    open_segments_of::<u16>(path)
}

/// [`open_segments`] with ids of any width.
///
/// # Errors
/// When the file is not a table of segments, or its ids have another width.
pub fn open_segments_of<I: TokenId>(path: &Path) -> Result<TableReader, StoreError> {
    TableReader::open(path, &columns_of::<I>())
}

/// Which segment a row is, without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// The document.
    pub document: DocumentId,
    /// The id of the document's whole text.
    pub text_id: TextId,
    /// Number within the document, from 0.
    pub segment: u32,
}

/// The names of the segments of one row group, without their contents.
///
/// # Errors
/// When the file cannot be read.
pub fn segment_names(table: &TableReader, group: usize) -> Result<Vec<SegmentName>, StoreError> {
    let mut names = Vec::new();
    for rows in table.read_group::<SegmentNameRows>(group, 1 << 16)? {
        let SegmentNameRows { documents, text_ids, segments } = rows?;
        names.extend((0..documents.len()).map(|row| SegmentName {
            document: DocumentId::new(documents.value(row)),
            text_id: TextId::new(text_ids.value(row)),
            segment: segments.value(row),
        }));
    }
    Ok(names)
}

struct SegmentNameRows {
    documents: UInt64Array,
    text_ids: UInt64Array,
    segments: UInt32Array,
}

impl Rows for SegmentNameRows {
    const COLUMNS: &'static [&'static str] = &["document_id", "text_id", "segment"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            documents: column(batch, "document_id").as_primitive::<UInt64Type>().clone(),
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
            segments: column(batch, "segment").as_primitive::<UInt32Type>().clone(),
        }
    }
}

/// The pool phrases that occur in one row group, one entry per occurrence.
///
/// # Errors
/// When the file cannot be read.
pub fn segment_phrases(table: &TableReader, group: usize) -> Result<Vec<PhraseId>, StoreError> {
    let mut phrases = Vec::new();
    for rows in table.read_group::<SegmentPhraseRows>(group, 1 << 16)? {
        phrases.extend(rows?.phrase_ids.values().iter().copied().map(PhraseId::new));
    }
    Ok(phrases)
}

struct SegmentPhraseRows {
    phrase_ids: UInt32Array,
}

impl Rows for SegmentPhraseRows {
    const COLUMNS: &'static [&'static str] = &["phrases"];

    fn new(batch: &RecordBatch) -> Self {
        // Flattened, and without the rows that the batch does not have.
        let spans = column(batch, "phrases").as_list::<i32>();
        let (first, last) = (spans.value_offsets()[0] as usize, spans.value_offsets()[spans.len()] as usize);
        let spans = spans.values().slice(first, last - first);
        Self { phrase_ids: spans.as_struct().column(2).as_primitive::<UInt32Type>().clone() }
    }
}

/// Collects segments whose ids have 16 bits.
pub type SegmentBuilder = SegmentBuilderOf<u16>;

/// Collects segments into a record batch.
#[derive(Debug, Default)]
pub struct SegmentBuilderOf<I> {
    documents: Vec<u64>,
    text_ids: Vec<u64>,
    products: StringBuilder,
    segments: Vec<u32>,
    input_ids: Vec<I>,
    id_ends: Vec<i32>,
    phrase_starts: Vec<u16>,
    phrase_lengths: Vec<u16>,
    phrase_ids: Vec<u32>,
    phrase_scores: Vec<f32>,
    phrase_ends: Vec<i32>,
    noun_starts: Vec<u16>,
    noun_lengths: Vec<u16>,
    noun_ends: Vec<i32>,
    word_starts: Vec<u16>,
    word_ends: Vec<i32>,
    words_are_known: Vec<bool>,
}

impl<I: TokenId> SegmentBuilderOf<I> {
    /// Appends a row of a vocabulary that marks the tokens that start a word.
    pub fn push(&mut self, row: &SegmentOf<'_, I>) {
        self.push_with_words(row, None);
    }

    /// Appends a row with the tokens that start a word, in order. `None` where the vocabulary marks them.
    pub fn push_with_words(&mut self, row: &SegmentOf<'_, I>, word_starts: Option<&[u16]>) {
        self.word_starts.extend_from_slice(word_starts.unwrap_or_default());
        self.word_ends.push(self.word_starts.len() as i32);
        self.words_are_known.push(word_starts.is_some());
        self.documents.push(row.document.get());
        self.text_ids.push(row.text_id.get());
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

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether it has no rows yet.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The rows as a batch of [`columns::segments`](crate::columns::segments).
    ///
    /// # Errors
    /// When Arrow refuses the rows.
    pub fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let struct_list = |fields: Fields, children: Vec<ArrayRef>, ends: Vec<i32>| {
            let structs = StructArray::try_new(fields.clone(), children, None)?;
            ListArray::try_new(element(DataType::Struct(fields)), offsets(ends), Arc::new(structs), None)
        };
        let phrases = struct_list(
            phrase_span(),
            vec![
                Arc::new(UInt16Array::from(self.phrase_starts)),
                Arc::new(UInt16Array::from(self.phrase_lengths)),
                Arc::new(UInt32Array::from(self.phrase_ids)),
                Arc::new(Float32Array::from(self.phrase_scores)),
            ],
            self.phrase_ends,
        )?;
        let nouns = struct_list(
            noun_phrase(),
            vec![Arc::new(UInt16Array::from(self.noun_starts)), Arc::new(UInt16Array::from(self.noun_lengths))],
            self.noun_ends,
        )?;
        let word_starts = ListArray::try_new(
            element(DataType::UInt16),
            offsets(self.word_ends),
            Arc::new(UInt16Array::from(self.word_starts)),
            Some(NullBuffer::from(self.words_are_known)),
        )?;
        RecordBatch::try_new(
            columns_of::<I>(),
            vec![
                Arc::new(UInt64Array::from(self.documents)),
                Arc::new(UInt64Array::from(self.text_ids)),
                Arc::new(self.products.finish()),
                Arc::new(UInt32Array::from(self.segments)),
                Arc::new(id_lists(self.input_ids, self.id_ends)?),
                Arc::new(phrases),
                Arc::new(nouns),
                Arc::new(word_starts),
            ],
        )
    }
}

/// Lists of token ids from their concatenation and the end of each.
pub(crate) fn id_lists<I: TokenId>(ids: Vec<I>, ends: Vec<i32>) -> Result<ListArray, ArrowError> {
    let ids = PrimitiveArray::<I::Column>::new(ids.into(), None);
    ListArray::try_new(element(I::Column::DATA_TYPE), offsets(ends), Arc::new(ids), None)
}

fn offsets(mut ends: Vec<i32>) -> OffsetBuffer<i32> {
    ends.insert(0, 0);
    OffsetBuffer::new(ends.into())
}

/// The segments of a batch whose ids have 16 bits.
pub type SegmentRows = SegmentRowsOf<u16>;

/// The segments of a batch.
#[derive(Debug)]
pub struct SegmentRowsOf<I> {
    documents: UInt64Array,
    text_ids: UInt64Array,
    products: StringArray,
    segments: UInt32Array,
    input_ids: ListArray,
    phrases: ListArray,
    nouns: ListArray,
    word_starts: ListArray,
    spans: Vec<PhraseSpan>,
    noun_ranges: Vec<TokenRange>,
    ids: PhantomData<I>,
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
    pub segment: u32,
    /// First token of the span.
    pub start: u16,
    /// Its tokens.
    pub length: u16,
    /// The tokens of the segment.
    pub tokens: usize,
}

impl<I: TokenId> Rows for SegmentRowsOf<I> {
    const COLUMNS: &'static [&'static str] =
        &["document_id", "text_id", "product_id", "segment", "input_ids", "phrases", "noun_phrases", "word_starts"];

    fn new(batch: &RecordBatch) -> Self {
        let lists = |name| column(batch, name).as_list::<i32>().clone();
        Self {
            documents: column(batch, "document_id").as_primitive::<UInt64Type>().clone(),
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
            products: texts(batch, "product_id"),
            segments: column(batch, "segment").as_primitive::<UInt32Type>().clone(),
            input_ids: lists("input_ids"),
            phrases: lists("phrases"),
            nouns: lists("noun_phrases"),
            word_starts: lists("word_starts"),
            spans: Vec::new(),
            noun_ranges: Vec::new(),
            ids: PhantomData,
        }
    }
}

impl<I: TokenId> SegmentRowsOf<I> {
    /// Reads a batch that [`open_segments`] gave.
    ///
    /// # Panics
    /// If the batch comes from a table of other columns.
    pub fn new(batch: &RecordBatch) -> Self {
        Rows::new(batch)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The tokens of a row that start a word, in order. `None` where the vocabulary marks them.
    pub fn word_starts(&self, row: usize) -> Option<&[u16]> {
        self.word_starts.is_valid(row).then(|| slice_of(&self.word_starts, row))
    }

    /// One row.
    ///
    /// # Errors
    /// When a span is empty or leaves the segment.
    pub fn get(&mut self, row: usize) -> Result<SegmentOf<'_, I>, SpanOutside> {
        let document = DocumentId::new(self.documents.value(row));
        let segment = self.segments.value(row);
        let input_ids: &[I] = slice_of(&self.input_ids, row);
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
        Ok(SegmentOf {
            document,
            text_id: TextId::new(self.text_ids.value(row)),
            product: optional(&self.products, row),
            segment,
            input_ids,
            phrases: &self.spans,
            noun_phrases: &self.noun_ranges,
        })
    }
}

/// What [`SegmentTokenRows`] reads of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentTokens<'a, I = u16> {
    /// The id of the document's whole text.
    pub text_id: TextId,
    /// The product, or the product that a review is of.
    pub product: Option<&'a str>,
    /// Number within the document, from 0.
    pub segment: u32,
    /// The tokenizer's ids, no special tokens.
    pub input_ids: &'a [I],
}

/// The tokens of a batch of segments whose ids have 16 bits, without spans.
pub type SegmentTokenRows = SegmentTokenRowsOf<u16>;

/// The tokens of a batch of segments, without spans.
#[derive(Debug)]
pub struct SegmentTokenRowsOf<I> {
    text_ids: UInt64Array,
    products: StringArray,
    segments: UInt32Array,
    input_ids: ListArray,
    ids: PhantomData<I>,
}

impl<I: TokenId> Rows for SegmentTokenRowsOf<I> {
    const COLUMNS: &'static [&'static str] = &["text_id", "product_id", "segment", "input_ids"];

    fn new(batch: &RecordBatch) -> Self {
        Self {
            text_ids: column(batch, "text_id").as_primitive::<UInt64Type>().clone(),
            products: texts(batch, "product_id"),
            segments: column(batch, "segment").as_primitive::<UInt32Type>().clone(),
            input_ids: column(batch, "input_ids").as_list::<i32>().clone(),
            ids: PhantomData,
        }
    }
}

impl<I: TokenId> SegmentTokenRowsOf<I> {
    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = SegmentTokens<'_, I>> {
        (0..self.segments.len()).map(|row| SegmentTokens {
            text_id: TextId::new(self.text_ids.value(row)),
            product: optional(&self.products, row),
            segment: self.segments.value(row),
            input_ids: slice_of(&self.input_ids, row),
        })
    }
}

/// The numbers of one list.
pub(crate) fn slice_of<I: TokenId>(lists: &ListArray, row: usize) -> &[I] {
    let offsets = lists.value_offsets();
    &lists.values().as_primitive::<I::Column>().values()[offsets[row] as usize..offsets[row + 1] as usize]
}
