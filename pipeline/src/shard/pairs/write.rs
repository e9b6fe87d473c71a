//! Writes the files of pairs from their rows and the texts of their products.
use std::{fs::File, os::unix::fs::FileExt};

use schemas::{FileEntry, Pair, PairBuilderOf, PairProduct, StoreError, TokenId, create_pairs_of, store::TableWriter};

use super::{
    PlannedPairs, Rows, name_of,
    rows::PlacedRow,
    texts::{PairText, PairTexts, Place},
};
use crate::{
    engine::{ledger::Ledger, sections::Section},
    shard::ShardError,
};

/// Files that are written at a time. Their texts are read together, in the order in which they are stored.
pub(super) const FILES_AT_A_TIME: usize = 4;

/// Texts with at most so many bytes between them are read at once.
const GAP: u64 = 1 << 14;

/// The most bytes that are read at once.
const LONGEST_READ: u64 = 1 << 22;

/// Writes some files of pairs.
pub(super) fn write<I: TokenId>(
    files: &[u32],
    rows: &Rows,
    planned: &PlannedPairs,
    ledger: &Ledger,
    mut each: impl FnMut(&FileEntry) -> Result<(), StoreError>,
) -> Result<(), ShardError> {
    let of_files = files.iter().map(|&file| rows.of_file(file)).collect::<Result<Vec<_>, _>>()?;
    let texts = read_texts::<I>(rows.texts()?, of_files.iter().flatten())?;
    for (&file, of_file) in files.iter().zip(of_files) {
        let mut table = create_pairs_of::<I>(&ledger.folder().join(name_of(file)))?;
        for chunk in of_file.chunks(1 << 11) {
            write_rows(chunk, &texts, rows, &mut table)?;
        }
        let made = ledger.commit(table, &planned.made_from, rows.counts().clone())?;
        each(&made.file)?;
    }
    Ok(())
}

fn write_rows<I: TokenId>(
    chunk: &[PlacedRow],
    texts: &PairTexts<I>,
    rows: &Rows,
    table: &mut TableWriter,
) -> Result<(), ShardError> {
    let side = |place: Place| {
        let PairText { product, text_id, input_ids } =
            texts.get(place).ok_or_else(|| StoreError::DamagedPart { path: rows.path.clone() })?;
        Ok::<_, StoreError>(PairProduct { product, text_id, input_ids })
    };
    let mut batch = PairBuilderOf::default();
    for row in chunk {
        let (anchor, neighbor, negative) = (side(row.anchor)?, side(row.neighbor)?, side(row.negative)?);
        batch.push(&Pair { relation: row.relation(), weight: row.weight(), anchor, neighbor, negative });
    }
    Ok(table.write_result(batch.finish())?)
}

/// The texts of the products of some rows. Reads go forward through the section.
fn read_texts<'a, I: TokenId>(
    section: Section,
    rows: impl Iterator<Item = &'a PlacedRow>,
) -> Result<PairTexts<I>, ShardError> {
    let Section { path, bytes: within, .. } = section;
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let mut places: Vec<Place> = rows.flat_map(PlacedRow::places).collect();
    places.sort_unstable();
    places.dedup();
    let end = |place: &Place| place.start + u64::from(place.length);
    let (mut texts, mut bytes) = (PairTexts::new(), Vec::new());
    let mut rest = &places[..];
    while let Some(first) = rest.first() {
        let is_near = |pair: &[Place]| {
            pair[1].start.saturating_sub(end(&pair[0])) <= GAP && end(&pair[1]) - first.start <= LONGEST_READ
        };
        let together = 1 + rest.windows(2).take_while(|pair| is_near(pair)).count();
        let (now, later) = rest.split_at(together);
        bytes.resize((end(&now[together - 1]) - first.start) as usize, 0);
        file.read_exact_at(&mut bytes, within.start + first.start).map_err(StoreError::io("read", &path))?;
        for place in now {
            let from = (place.start - first.start) as usize;
            let text = &bytes[from..from + place.length as usize];
            texts.push(place.start, text).ok_or_else(|| StoreError::DamagedPart { path: path.clone() })?;
        }
        rest = later;
    }
    Ok(texts)
}
