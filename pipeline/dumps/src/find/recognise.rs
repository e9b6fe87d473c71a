//! What a file holds, from its first records.
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Cursor, Read},
    path::PathBuf,
    sync::Arc,
};

use super::{
    super::{
        layout::Layout,
        lines::{LineReader, MAX_LINE, RecordReader},
        mapping::{self, Fields, Mapping},
        record::{Generation, Kind, Record, RecordType, is_field, parse},
    },
    Format, Given, LINES_TRIED, RatingTable, SkipReason,
    json::{self, add_keys},
    layouts,
    other::{self, Lacks, Start},
    parse_mapped,
};

/// Bytes at the start of a file that identify it if it is not a dump.
pub(super) const START: usize = 1 << 16;

/// The largest number of bytes among which a record must be recognized. It has room for a line that is
/// too long and one behind it.
const MOST_READ: usize = 3 * MAX_LINE;

/// Records whose fields are named.
const NAMED: usize = 20;

/// The first bytes of a stream, and the error that ends it before their number.
pub(super) fn start_of(mut stream: impl Read, most: usize) -> (Vec<u8>, Option<io::Error>) {
    let mut start = Vec::new();
    let error = stream.by_ref().take(most as u64).read_to_end(&mut start).err();
    (start, error)
}

/// The bytes of a file, decompressed.
pub(super) struct Bytes<'b> {
    /// Opens them.
    pub(super) open: &'b dyn Fn() -> io::Result<Box<dyn Read + Send>>,
    /// The file, if they are its own.
    pub(super) file: Option<&'b PathBuf>,
}

/// What a file is, as far as its first records tell.
pub(super) enum Recognised {
    /// Records, or damage before the first: once for each mapping, and for each array of records.
    Records(Vec<ReadAs>),
    /// Anything else.
    Other(SkipReason),
}

/// How records are read.
pub(super) struct ReadAs {
    pub(super) layout: Layout,
    pub(super) mapping: Option<Arc<Mapping>>,
    /// The most frequent type; the first of equally frequent ones.
    pub(super) holds: Option<RecordType>,
    /// How lines are read, if they are ratings.
    pub(super) ratings: Option<RatingTable>,
    /// How the records are damaged.
    pub(super) damage: Option<String>,
}

impl ReadAs {
    fn of(layout: Layout) -> Self {
        Self { layout, mapping: None, holds: None, ratings: None, damage: None }
    }
}

impl Recognised {
    fn mapped(layout: Layout, mappings: Vec<Arc<Mapping>>, damage: Option<String>) -> Self {
        let read_as = |mapping: Arc<Mapping>| ReadAs {
            layout: layout.clone(),
            holds: Some(RecordType { kind: mapping.kind(), generation: Generation::Y2023 }),
            mapping: Some(mapping),
            ratings: None,
            damage: damage.clone(),
        };
        Self::Records(mappings.into_iter().map(read_as).collect())
    }

    fn damaged(layout: Layout, damage: String) -> Self {
        Self::Records(vec![ReadAs { damage: Some(damage), ..ReadAs::of(layout) }])
    }
}

/// Recognizes bytes.
///
/// # Errors
/// If the disk cannot be read.
pub(super) fn recognised(bytes: &Bytes<'_>, given: Option<&Given>) -> io::Result<Recognised> {
    let mut stream = (bytes.open)()?;
    let (start, error) = start_of(&mut stream, START);
    let whole = error.is_none() && start.len() < START;
    if let Some(layout) = Layout::of_magic(&start).filter(|layout| bytes.file.is_some() || !layout.seeks()) {
        return of_columns(layout, bytes, given);
    }
    if let Some(format) = Format::of(&start) {
        return Ok(Recognised::Other(SkipReason::Format(format)));
    }
    let rest = AfterError { error, rest: stream };
    let bounded = Cursor::new(start.clone()).chain(rest).take(MOST_READ as u64);
    let mapping = given.map(|given| &*given.mapping);
    let lines = Seen::of(&mut LineReader::of_records(Box::new(bounded)), mapping)?;
    // Objects over several lines may have others inside that are on one.
    if lines.begins_malformed && given_or_typed(&lines, given) {
        let start = Start { bytes: &start, whole, malformed: None };
        if let Ok(found) = in_layouts(bytes, &start, given, true)? {
            return Ok(found);
        }
    }
    let (malformed, damage) = (lines.malformed.clone(), lines.damage.clone());
    // Answers of a server may have the name of a field, such as `features`, next to the array of their records.
    let is_answer =
        |lines: &Seen| !lines.has_ids && other::is_around_array(&Start { bytes: &start, whole, malformed: None });
    let has_types = given.is_none() && !lines.types.is_empty() && !is_answer(&lines);
    let mut reason = match lines.accepted(Layout::Lines, &start, given) {
        Ok(found) => return Ok(found),
        Err(why) => why,
    };
    let start = Start { bytes: &start, whole, malformed };
    if !has_types {
        match in_layouts(bytes, &start, given, false)? {
            Ok(found) => return Ok(found),
            Err(why) => reason = reason.or(why),
        }
        if let Some(damage) = damage {
            return Ok(Recognised::damaged(Layout::Lines, damage));
        }
    }
    let named = other::name(&start);
    let reason = match (reason, named) {
        (None, named) => named,
        // Objects that are not records may be something else.
        (Some(SkipReason::OtherFields { .. }), named) if named.is_known_json() => named,
        (Some(reason), _) => return Ok(Recognised::Other(reason)),
    };
    match (given, &reason) {
        (None, SkipReason::Ratings) => {
            let ratings = other::ratings(&start);
            let read_as = ratings.map(|ratings| ReadAs { ratings: Some(ratings), ..ReadAs::of(Layout::Lines) });
            Ok(read_as.map_or(Recognised::Other(reason), |read_as| Recognised::Records(vec![read_as])))
        }
        (Some(given), SkipReason::Table { columns: found, .. } | SkipReason::OtherFields { found }) => {
            Ok(Recognised::Other(not_as_given(found, given)))
        }
        _ => Ok(Recognised::Other(reason)),
    }
}

/// Recognizes bytes whose lines are not records; otherwise why they are not read, where that is known. With `flawless`,
/// only JSON is recognized whose first values can all be read.
///
/// # Errors
/// If the disk cannot be read.
fn in_layouts(
    bytes: &Bytes<'_>,
    start: &Start<'_>,
    given: Option<&Given>,
    flawless: bool,
) -> io::Result<Result<Recognised, Option<SkipReason>>> {
    // An object may hold products and reviews.
    let (mut arrays, mut most_known, mut reason) = (Vec::new(), 0, None);
    let layouts = match layouts::is_cut_in_object(start) {
        true => layouts::of_values(json::skeleton((bytes.open)()?, START)?.trim_ascii_start()),
        false => layouts::of(start, given),
    };
    for layout in layouts {
        let is_array = matches!(&layout, Layout::Values { path } if !path.is_empty());
        let is_table = matches!(layout, Layout::Delimited(_));
        if !arrays.is_empty() && !is_array || flawless && !matches!(layout, Layout::Values { .. }) {
            continue;
        }
        let bounded = Box::new((bytes.open)()?.take(MOST_READ as u64));
        let mut seen = Seen::of(&mut *layout.read(bounded, &|_| true)?, given.map(|given| &*given.mapping))?;
        // What ends it may be the bound. Damage is found again when it is read.
        let damage = seen.damage.take();
        if flawless && (damage.is_some() || seen.malformed.is_some()) {
            continue;
        }
        let has_fields = !seen.keys.is_empty();
        // A column may be empty in the first rows.
        if let Layout::Delimited(table) = &layout {
            seen.keys.clone_from(&table.columns);
        }
        if is_table && !has_fields {
            let why = damage.or_else(|| seen.malformed.map(|(line, why)| format!("line {line}: {why}")));
            reason = reason.or(Some(SkipReason::NoRows { why }));
            continue;
        }
        let known = seen.keys.iter().filter(|name| given.is_some_and(|given| given.mapping.reads(name))).count();
        match seen.accepted(layout, start.bytes, given) {
            Ok(Recognised::Records(found)) if is_array => {
                // Of arrays whose fields are named, the one that has most of them.
                if given.is_none() {
                    arrays.extend(found);
                } else if known > most_known {
                    (arrays, most_known) = (found, known);
                }
            }
            Ok(found) => return Ok(Ok(found)),
            // Of a table, all columns are known.
            Err(why) if has_fields && !is_table => reason = reason.or(why),
            Err(_) => {}
        }
    }
    Ok(if arrays.is_empty() { Err(reason) } else { Ok(Recognised::Records(arrays)) })
}

/// Whether some lines are records.
fn given_or_typed(lines: &Seen, given: Option<&Given>) -> bool {
    if given.is_some() { !lines.keys.is_empty() } else { !lines.types.is_empty() }
}

/// Recognizes a table with columns.
fn of_columns(layout: Layout, bytes: &Bytes<'_>, given: Option<&Given>) -> io::Result<Recognised> {
    let names = RefCell::new(Vec::new());
    let reads = |column: &str| given.map_or_else(|| is_field(column), |given| given.mapping.reads(column));
    let wanted = |column: &str| {
        names.borrow_mut().push(column.to_owned());
        reads(column)
    };
    let reader = match bytes.file {
        Some(path) if layout.seeks() => layout.read_file(File::open(path)?, Arc::default(), &wanted),
        _ => layout.read((bytes.open)()?, &wanted),
    };
    let damaged = |error: &io::Error| Recognised::damaged(layout.clone(), error.to_string());
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) if error.raw_os_error().is_some() => return Err(error),
        Err(error) => return Ok(damaged(&error)),
    };
    let seen = Seen::of(&mut *reader, given.map(|given| &*given.mapping))?;
    if seen.keys.is_empty()
        && let Some(damage) = seen.damage
    {
        return Ok(Recognised::damaged(layout, damage));
    }
    let keys = names.into_inner();
    // Of columns that are not read, rows are not counted.
    if seen.records == 0 && keys.iter().any(|column| reads(column)) {
        return Ok(Recognised::Other(SkipReason::NoRows { why: None }));
    }
    let seen = Seen { keys: keys.clone(), ..seen };
    match seen.accepted(layout.clone(), &[], given) {
        Ok(found) => Ok(found),
        Err(why) => Ok(Recognised::Other(why.unwrap_or(SkipReason::OtherFields { found: keys }))),
    }
}

fn not_as_given(found: &[String], given: &Given) -> SkipReason {
    let expected = given.mapping.names().into_iter().map(str::to_owned).collect();
    SkipReason::NotAsGiven { found: found.to_vec(), expected }
}

/// The first records of a file.
#[derive(Default)]
struct Seen {
    /// How many there are, with those that cannot be read.
    records: usize,
    /// How many are of each type.
    types: Vec<(RecordType, u32)>,
    has_ids: bool,
    has_text: bool,
    /// The fields of the first few.
    keys: Vec<String>,
    /// The first that cannot be read.
    malformed: Option<(u64, String)>,
    /// Whether the first record cannot be read.
    begins_malformed: bool,
    damage: Option<String>,
}

impl Seen {
    /// Reads the first records.
    ///
    /// # Errors
    /// If the disk cannot be read.
    fn of(reader: &mut dyn RecordReader, mapping: Option<&Mapping>) -> io::Result<Self> {
        let mut seen = Self::default();
        while seen.records < LINES_TRIED {
            let Some(mut batch) = reader.next_batch(START) else { break };
            for line in batch.iter().take(LINES_TRIED - seen.records) {
                seen.records += 1;
                let look = |record: &Record<'_>| {
                    seen.has_ids |= record.product_id().is_some();
                    let product = record.title.iter().chain(record.features()).chain(record.description.iter());
                    seen.has_text |= product.chain(record.review_pieces()).next().is_some();
                    record.record_type()
                };
                let parsed = match mapping {
                    Some(mapping) => parse_mapped(line.bytes, mapping, look),
                    None => parse(line.bytes, look),
                };
                match parsed {
                    Ok(found) => {
                        if seen.records <= NAMED {
                            add_keys(&String::from_utf8_lossy(line.bytes), &mut seen.keys);
                        }
                        match found.map(|found| (found, seen.types.iter_mut().find(|(known, _)| *known == found))) {
                            Some((_, Some((_, n)))) => *n += 1,
                            Some((found, None)) => seen.types.push((found, 1)),
                            None => {}
                        }
                    }
                    Err(error) => {
                        // What the fields refuse, such as several reviews in a record, is a record with fields.
                        if mapping.is_some() && seen.records <= NAMED && parse(line.bytes, |_| ()).is_ok() {
                            add_keys(&String::from_utf8_lossy(line.bytes), &mut seen.keys);
                        }
                        seen.begins_malformed |= seen.records == 1;
                        seen.malformed.get_or_insert_with(|| (line.number, error.to_string()));
                    }
                }
            }
            seen.records += batch.too_long.len() + batch.malformed.len();
            if let Some(first) = batch.malformed.first() {
                seen.malformed.get_or_insert_with(|| first.clone());
            }
            if let Some(error) = batch.take_disk_error() {
                return Err(error);
            }
            seen.damage = batch.damage.map(|damage| damage.error.to_string());
        }
        Ok(seen)
    }

    fn holds(&self) -> Option<RecordType> {
        self.types.iter().rev().max_by_key(|(_, n)| *n).map(|(found, _)| *found)
    }

    /// How the file is read, if these are its records; otherwise why not, where that is known.
    fn accepted(self, layout: Layout, start: &[u8], given: Option<&Given>) -> Result<Recognised, Option<SkipReason>> {
        if let Some(given) = given {
            // The first records may have no values.
            let has_fields =
                |names: &[String]| names.iter().all(|name| self.keys.iter().any(|key| Mapping::leads(key, name)));
            let is_found = match &given.mapping.fields {
                Fields::Products(_) => self.has_ids,
                Fields::Reviews(fields) if fields.text.names.is_empty() => self.has_ids,
                Fields::Reviews(fields) => self.has_text || has_fields(&fields.text.names),
            };
            return match is_found {
                true => Ok(Recognised::mapped(layout, vec![given.mapping.clone()], self.damage)),
                false if self.keys.is_empty() => Err(None),
                false => Err(Some(not_as_given(&self.keys, given))),
            };
        }
        let only_products = self.types.iter().all(|(found, _)| found.kind == Kind::Product);
        let ids_of_products = !self.has_ids && only_products;
        let lacks = Lacks { ids: !self.has_ids, ids_of_products, text: !self.has_text };
        let holds = self.holds();
        let known = if self.has_ids { Vec::new() } else { mapping::of_fields(&self.keys) };
        let reason = match holds {
            Some(_) if known.is_empty() => match other::lacking(start, &self.keys, lacks) {
                None => {
                    return Ok(Recognised::Records(vec![ReadAs { holds, damage: self.damage, ..ReadAs::of(layout) }]));
                }
                reason => reason,
            },
            _ if layout == Layout::Lines => None,
            _ => Some(SkipReason::OtherFields { found: self.keys.clone() }),
        };
        if known.is_empty() { Err(reason) } else { Ok(Recognised::mapped(layout, known, self.damage)) }
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
