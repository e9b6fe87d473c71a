//! The segments of a shard as data frames.
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;
use polars::prelude::*;
use schemas::{DocumentId, FileEntry, SpanOutside, StoreError, columns, store::TableReader};

use crate::engine::frames::{FrameError, read_sealed};

/// A shard cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentsError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot take the spans of a shard apart")]
    Query(#[from] PolarsError),
    #[error("shard `{}` is not what its manifest promises", path.display())]
    Span {
        path: PathBuf,
        #[source]
        source: SpanOutside,
    },
}

/// A column of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanColumn {
    Phrases,
    NounPhrases,
}

impl SpanColumn {
    const fn name(self) -> &'static str {
        match self {
            Self::Phrases => "phrases",
            Self::NounPhrases => "noun_phrases",
        }
    }
}

/// Reads some columns of [`columns::segments`] of a sealed shard, and `row` (from 0).
pub(super) fn read_segments(folder: &Path, entry: &FileEntry, names: &[&str]) -> Result<DataFrame, SegmentsError> {
    let schema = schema_of(&folder.join(&entry.name)).map_err(FrameError::from)?;
    Ok(read_sealed(folder, entry, &schema, names)?.with_row_index("row".into(), None)?)
}

/// [`columns::segments`], with ids as wide as those of a shard.
fn schema_of(path: &Path) -> Result<SchemaRef, StoreError> {
    let wide = columns::segments_of::<u32>();
    let is_wide = TableReader::open_any(path)?.columns().fields() == wide.fields();
    Ok(if is_wide { wide } else { columns::segments() })
}

/// Reads all columns of a sealed shard, `row` (from 0) and `tokens` (the length of `input_ids`).
/// Checks that all spans are inside their segments.
pub(super) fn read_checked_segments(folder: &Path, entry: &FileEntry) -> Result<DataFrame, SegmentsError> {
    let schema = columns::segments();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut segments = read_segments(folder, entry, &names)?;
    let tokens = segments.column("input_ids")?.list()?.lst_lengths().with_name("tokens".into());
    segments.with_column(tokens.into_column())?;
    for column in [SpanColumn::Phrases, SpanColumn::NounPhrases] {
        if let Some(source) = first_outside(&segments, column)? {
            return Err(SegmentsError::Span { path: folder.join(&entry.name), source });
        }
    }
    Ok(segments)
}

/// The spans of segments, one per row: the fields of a span, and the columns `keep` of its segment.
pub(super) fn spans(segments: &DataFrame, column: SpanColumn, keep: &[&str]) -> PolarsResult<DataFrame> {
    // Segments without spans have no row.
    let options = ExplodeOptions { empty_as_null: false, keep_nulls: false };
    let columns = keep.iter().copied().chain([column.name()]);
    segments.select(columns)?.explode([column.name()], options)?.unnest([column.name()], None)
}

/// The first span that is empty or leaves its segment.
fn first_outside(segments: &DataFrame, column: SpanColumn) -> PolarsResult<Option<SpanOutside>> {
    let spans = spans(segments, column, &["document_id", "segment", "tokens"])?;
    // A sum of two u16 may not fit one.
    let wide = |name: &str| spans.column(name)?.cast(&DataType::UInt32);
    let (start, length, tokens) = (wide("start")?, wide("length")?, wide("tokens")?);
    let past_end = (start + length.clone())?.gt(&tokens)?;
    let empty = length.u32()?.equal(0);
    let outside = spans.filter(&(past_end | empty))?;
    if outside.height() == 0 {
        return Ok(None);
    }
    let number = |name: &str| outside.column(name)?.get(0)?.try_extract::<u64>();
    Ok(Some(SpanOutside {
        document: DocumentId::new(number("document_id")?),
        segment: number("segment")? as u32,
        start: number("start")? as u16,
        length: number("length")? as u16,
        tokens: number("tokens")? as usize,
    }))
}

#[cfg(test)]
mod tests {
    use schemas::{
        PhraseId, PhraseSpan, Segment, SegmentBuilder, SegmentRows, TextId, TokenRange, create_segments, open_segments,
    };

    use super::*;

    /// Writes a shard of two segments; the second one has four tokens, a phrase and a noun phrase.
    fn write_shard(folder: &Path, phrase: std::ops::Range<usize>, noun: std::ops::Range<usize>) -> FileEntry {
        let mut rows = SegmentBuilder::default();
        let mut segment = Segment {
            document: DocumentId::new(7),
            text_id: TextId::new(8),
            product: Some("B1"),
            segment: 0,
            input_ids: &[5, 6],
            phrases: &[],
            noun_phrases: &[],
        };
        rows.push(&segment);
        let phrase = PhraseSpan { tokens: TokenRange::new(phrase).unwrap(), phrase: PhraseId::new(3), score: 0.75 };
        let noun_phrase = TokenRange::new(noun).unwrap();
        (segment.segment, segment.input_ids) = (1, &[7, 8, 9, 10]);
        (segment.phrases, segment.noun_phrases) = (std::slice::from_ref(&phrase), std::slice::from_ref(&noun_phrase));
        rows.push(&segment);
        let mut table = create_segments(&folder.join("products-00000.parquet")).unwrap();
        table.write_result(rows.finish()).unwrap();
        table.commit().unwrap()
    }

    #[test]
    fn spans_are_rows_with_columns_of_their_segments() {
        let folder = tempfile::tempdir().unwrap();
        let shard = write_shard(folder.path(), 1..4, 0..1);
        let segments = read_checked_segments(folder.path(), &shard).unwrap();
        let lengths = df!("row" => [0u32, 1], "tokens" => [2u32, 4]).unwrap();
        assert!(segments.select(["row", "tokens"]).unwrap().equals(&lengths), "{segments:?}");
        let phrases = spans(&segments, SpanColumn::Phrases, &["row"]).unwrap();
        let wanted = df!(
            "row" => [1u32], "start" => [1u16], "length" => [3u16], "phrase_id" => [3u32], "score" => [0.75f32],
        );
        assert!(phrases.equals(&wanted.unwrap()), "{phrases:?}");
        let noun_phrases = spans(&segments, SpanColumn::NounPhrases, &[]).unwrap();
        assert!(noun_phrases.equals(&df!("start" => [0u16], "length" => [1u16]).unwrap()), "{noun_phrases:?}");
    }

    #[test]
    fn spans_outside_their_segment_are_refused_as_the_row_reader_does() {
        let folder = tempfile::tempdir().unwrap();
        for (phrase, noun) in [(1..5, 0..1), (1..4, 4..5), (65_000..65_535, 0..1)] {
            let shard = write_shard(folder.path(), phrase, noun);
            let Err(SegmentsError::Span { path, source }) = read_checked_segments(folder.path(), &shard) else {
                panic!("not refused")
            };
            let batch = open_segments(&path).unwrap().batches(9, None).next().unwrap().unwrap();
            assert_eq!(SegmentRows::new(&batch).get(1), Err(source));
        }
    }
}
