//! What a file holds, from its first lines.
use std::{
    fs,
    io::{self, Cursor, Read},
    path::PathBuf,
    sync::Arc,
};

use super::{
    super::{
        lines::{LineReader, MAX_LINE},
        open::open,
        record::{Kind, Record, RecordType, parse},
    },
    DumpFile, FindError, LINES_TRIED, RatingTable, RelativePath, SkipReason, Skipped,
    other::{self, Lacks, Start},
};

/// Bytes at the start of a file that identify it if it is not a dump.
const START: usize = 1 << 16;

/// The largest number of bytes among which a record must be recognized. It has room for a line that is
/// too long and one behind it.
const MOST_READ: usize = 3 * MAX_LINE;

/// What a file holds.
pub(super) enum Content {
    /// Records, or damage before the first.
    Records(DumpFile),
    /// Anything else.
    Other(Skipped),
}

pub(super) fn recognise(name: RelativePath, path: PathBuf) -> Result<Content, FindError> {
    let bytes = fs::metadata(&path).map_err(FindError::read(&path))?.len();
    let file = open(&path, Arc::default()).map_err(FindError::read(&path))?;
    let compression = file.compression;
    let FirstRecords { holds, ratings, damage, other } =
        FirstRecords::of(file.bytes).map_err(FindError::read(&path))?;
    Ok(match other {
        Some(reason) => Content::Other(Skipped { name, path, compression, reason }),
        None => {
            Content::Records(DumpFile { name, path, bytes, compressed: compression.is_some(), holds, ratings, damage })
        }
    })
}

/// What the first lines of a stream are.
pub(super) struct FirstRecords {
    /// The most frequent type; the first of equally frequent ones.
    holds: Option<RecordType>,
    /// How they are read, if they are ratings.
    ratings: Option<RatingTable>,
    /// How the lines are damaged.
    damage: Option<String>,
    /// Why they are not to be read.
    pub(super) other: Option<SkipReason>,
}

impl FirstRecords {
    /// Reads the first lines of a stream.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(super) fn of(mut stream: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut start = Vec::new();
        let error = stream.by_ref().take(START as u64).read_to_end(&mut start).err();
        let whole = error.is_none() && start.len() < START;
        let skipped = |reason| Ok(Self { holds: None, ratings: None, damage: None, other: Some(reason) });
        if let Some(reason) = other::format(&start) {
            return skipped(reason);
        }
        let rest = AfterError { error, rest: stream };
        let bounded = Cursor::new(start.clone()).chain(rest).take(MOST_READ as u64);
        let mut lines = LineReader::of_records(Box::new(bounded));
        let mut types: Vec<(RecordType, u32)> = Vec::new();
        let (mut tried, mut damage, mut malformed) = (0, None, None);
        let (mut has_ids, mut has_text) = (false, false);
        while tried < LINES_TRIED {
            let Some(mut batch) = lines.next_batch(START) else { break };
            for line in batch.iter().take(LINES_TRIED - tried) {
                tried += 1;
                let look = |record: &Record<'_>| {
                    has_ids |= record.product_id().is_some();
                    let product = record.title.iter().chain(record.features()).chain(record.description.iter());
                    has_text |= product.chain(record.review_pieces()).next().is_some();
                    record.record_type()
                };
                match parse(line.bytes, look) {
                    Ok(Some(found)) => match types.iter_mut().find(|(known, _)| *known == found) {
                        Some((_, n)) => *n += 1,
                        None => types.push((found, 1)),
                    },
                    Ok(None) => {}
                    Err(error) => malformed = malformed.or_else(|| Some((line.number, error.to_string()))),
                }
            }
            tried += batch.too_long.len();
            if let Some(error) = batch.take_disk_error() {
                return Err(error);
            }
            damage = batch.damage.map(|damage| damage.error.to_string());
        }
        let holds = types.iter().rev().max_by_key(|(_, n)| *n).map(|(found, _)| *found);
        let only_products = types.iter().all(|(found, _)| found.kind == Kind::Product);
        let lacks = Lacks { ids: !has_ids, ids_of_products: !has_ids && only_products, text: !has_text };
        if let Some(reason) = holds.and_then(|_| other::lacking(&start, lacks)) {
            return skipped(reason);
        }
        if holds.is_none() && damage.is_none() {
            let start = Start { bytes: &start, whole, malformed };
            let other = other::name(&start);
            let ratings = (other == SkipReason::Ratings).then(|| other::ratings(&start)).flatten();
            return Ok(Self { holds, damage, other: ratings.is_none().then_some(other), ratings });
        }
        Ok(Self { holds, ratings: None, damage, other: None })
    }
}

/// The rest of a stream behind an error that its start ended with.
struct AfterError {
    error: Option<io::Error>,
    rest: Box<dyn Read + Send>,
}

impl Read for AfterError {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.rest.read(into),
        }
    }
}
