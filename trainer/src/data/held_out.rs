//! The documents that are never trained on, with masks that never change.
use std::collections::{BTreeMap, BTreeSet};

use schemas::{Draws, Segment, SegmentName};

use super::{
    batch::{MaskedBatch, PairBatch, Texts},
    order::Position,
    shards::{Chunk, DataError, HeldOutSegment, SegmentBlock, Shards},
};
use crate::masking::{MaskKey, MaskMode, Masking, MaskingOptions};

/// Held-out segments, masked, in batches.
///
/// They depend on the shards, the held-out share and the number of segments alone, never on how a recipe masks, so that the
/// numbers of recipes that are equal in these two compare.
#[derive(Debug)]
pub struct HeldOut {
    /// The same segments, masked in each mode.
    pub sets: Vec<MaskedSet>,
    /// Segments in it.
    pub segments: usize,
}

/// Segments that are masked in one mode.
#[derive(Debug)]
pub struct MaskedSet {
    /// The mode.
    pub mode: MaskMode,
    /// Batches: the lengths of the sequences, and the input.
    pub batches: Vec<(Vec<usize>, MaskedBatch)>,
}

/// Modes that are measured.
const MODES: [MaskMode; 2] = [MaskMode::Word, MaskMode::Phrase];

impl HeldOut {
    /// At most `segments` of the held-out segments, drawn by key, `sequences` in a batch.
    pub fn load(shards: &Shards, segments: usize, sequences: usize) -> Result<Self, DataError> {
        let body = &shards.manifest().body;
        let mut drawn: Vec<_> = shards.held_out_segments().iter().collect();
        drawn.sort_by_cached_key(|held_out| {
            let SegmentName { document, segment, .. } = held_out.name;
            let id = [document.get().to_le_bytes().as_slice(), &segment.to_le_bytes()].concat();
            (Draws::new(body.seed, "measured", &id).next_u64(), document, segment)
        });
        drawn.truncate(segments);
        let mut wanted: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for HeldOutSegment { chunk, row, .. } in drawn {
            wanted.entry(*chunk).or_default().insert(*row);
        }
        let mut block = SegmentBlock::default();
        for (chunk, rows) in wanted {
            shards.each_segment(chunk, |row, segment| {
                if rows.contains(&(row as u32)) {
                    block.push(segment);
                }
            })?;
        }
        let masking = Masking::new(MaskingOptions::default(), shards.vocabulary().clone(), body.pool.lowest_score);
        let key = MaskKey { seed: body.seed, epoch: MaskKey::FIXED };
        let mut rows: Vec<Segment<'_>> = (0..block.len()).map(|row| block.get(row)).collect();
        rows.sort_by_key(|s| (std::cmp::Reverse(s.input_ids.len()), s.document, s.segment));
        let rows: Vec<Texts<'_>> = rows.into_iter().map(Texts::one).collect();
        let special = shards.vocabulary().special;
        let sets = MODES.map(|mode| {
            let batch = |rows: &[Texts<'_>]| {
                let lengths = rows.iter().map(Texts::length).collect();
                (lengths, MaskedBatch::of(rows, mode, &masking, key, special))
            };
            MaskedSet { mode, batches: rows.chunks(sequences.max(1)).map(batch).collect() }
        });
        Ok(Self { sets: sets.into(), segments: block.len() })
    }
}

/// Pairs whose anchor is held out, in batches. As [`HeldOut`], they depend on the shards, the held-out ratio and their number
/// alone.
#[derive(Debug)]
pub struct HeldOutPairs {
    /// Batches.
    pub batches: Vec<PairBatch>,
}

impl HeldOutPairs {
    /// At most `most` of the pairs, drawn by key, `pairs` in a batch.
    pub fn load(shards: &Shards, most: usize, pairs: usize) -> Result<Self, DataError> {
        let body = &shards.manifest().body;
        let mut drawn = shards.held_out_pairs().to_vec();
        drawn.sort_by_cached_key(|&(Chunk { file, group }, row)| {
            let id = [file.to_le_bytes(), group.to_le_bytes(), row.to_le_bytes()].concat();
            Draws::new(body.seed, "measured pairs", &id).next_u64()
        });
        drawn.truncate(most);
        let mut wanted: BTreeMap<Chunk, BTreeSet<u32>> = BTreeMap::new();
        for (chunk, row) in drawn {
            wanted.entry(chunk).or_default().insert(row);
        }
        let mut sides: Vec<Vec<u16>> = Vec::new();
        for (chunk, rows) in wanted {
            shards.each_pair(chunk, |row, ids, _| {
                if rows.contains(&row) {
                    sides.extend(ids.map(<[u16]>::to_vec));
                }
            })?;
        }
        let sides: Vec<&[u16]> = sides.iter().map(Vec::as_slice).collect();
        let special = shards.vocabulary().special;
        let batch = |sides: &[&[u16]]| PairBatch::of(sides, special, Position::default());
        Ok(Self { batches: sides.chunks(3 * pairs.max(1)).map(batch).collect() })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.pairs.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}
