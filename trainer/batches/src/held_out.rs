//! The documents that are never trained on, with masks that never change.
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use schemas::{DocumentId, Draws, PhraseId, SegmentName};

use crate::{
    batch::{MaskedBatch, PairBatch, Texts, starts},
    error::DataError,
    masking::{MaskKey, MaskMode, Masking, MaskingOptions, TakenAs},
    order::Position,
    pairs::{KnownNeighbors, PairBlock, PairSide, Related},
    retrieval::Retrieval,
    segment::{Segment, SegmentBlock},
    shards::{Chunk, HeldOutSegment, Shards},
};

/// Held-out segments, masked, in batches.
///
/// They depend only on the shards, the held-out ratio and the number of segments, never on how a
/// recipe masks. So the numbers of recipes that are equal in these two can be compared.
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
    /// For each batch, how frequent the pool phrase is that each selected token was taken with;
    /// `None` if it was not taken with one.
    pub frequencies: Vec<Vec<Option<Frequency>>>,
    /// For each batch, the document of each sequence.
    documents: Vec<Vec<DocumentId>>,
}

impl MaskedSet {
    /// The document of each sequence of a batch, and which of the selected tokens are in it.
    pub fn documents(&self, batch: usize) -> impl Iterator<Item = (DocumentId, Range<usize>)> {
        let (lengths, masked) = &self.batches[batch];
        let up_to = |token: usize| masked.selected.partition_point(|&at| (at as usize) < token);
        let of_sequence = move |((start, length), document): ((usize, &usize), &DocumentId)| {
            (*document, up_to(start)..up_to(start + length))
        };
        starts(lengths).into_iter().zip(lengths).zip(&self.documents[batch]).map(of_sequence)
    }
}

/// How often a pool phrase occurs in the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Less often than the median over the tokens that were masked with a phrase.
    Rare,
    /// As often, or more often.
    Frequent,
}

/// Modes that are measured.
const MODES: [MaskMode; 2] = [MaskMode::Word, MaskMode::Phrase];

impl HeldOut {
    /// At most `segments` of the held-out segments, drawn by key, `sequences` in a batch.
    ///
    /// # Errors
    /// When a shard cannot be read, or its rows are not valid.
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
        let counts = if block.len() > 0 { shards.phrase_counts()? } else { Vec::new() };
        let mut rows: Vec<Segment<'_>> = (0..block.len()).map(|row| block.get(row)).collect();
        rows.sort_by_key(|s| (std::cmp::Reverse(s.input_ids.len()), s.document, s.segment));
        let rows: Vec<Texts<'_>> = rows.into_iter().map(Texts::one).collect();
        let special = shards.vocabulary().special;
        let sets = MODES.map(|mode| {
            let batch = |rows: &[Texts<'_>]| {
                let lengths = rows.iter().map(Texts::length).collect();
                (lengths, MaskedBatch::of(rows, mode, &masking, key, special))
            };
            let batches: Vec<_> = rows.chunks(sequences.max(1)).map(batch).collect();
            let taken =
                || rows.chunks(sequences.max(1)).zip(&batches).map(|(rows, (_, batch))| phrases_taken(rows, batch));
            let phrases: Vec<Vec<Option<PhraseId>>> =
                if mode == MaskMode::Phrase { taken().collect() } else { Vec::new() };
            let documents = rows.chunks(sequences.max(1)).map(|rows| rows.iter().map(|t| t.segment.document).collect());
            MaskedSet { mode, batches, frequencies: frequencies(&phrases, &counts), documents: documents.collect() }
        });
        Ok(Self { sets: sets.into(), segments: block.len() })
    }
}

/// The pool phrase that each selected token of a batch of these segments, each of one text, was
/// taken with.
fn phrases_taken(texts: &[Texts<'_>], batch: &MaskedBatch) -> Vec<Option<PhraseId>> {
    let mut phrases = Vec::with_capacity(batch.selected.len());
    let (mut start, mut first) = (0, 0);
    for text in texts {
        let end = start + text.length();
        let last = batch.selected.partition_point(|&at| (at as usize) < end);
        let position = |index: usize| batch.selected[index] as usize - start - 1;
        // All tokens of a unit are selected, so that its ends are those of the phrase.
        let mut ends: BTreeMap<u32, Range<usize>> = BTreeMap::new();
        for index in first..last {
            if let Some(unit) = batch.units[index] {
                ends.entry(unit).or_insert(position(index)..0).end = position(index) + 1;
            }
        }
        phrases.extend((first..last).map(|index| {
            let tokens = ends.get(&batch.units[index].filter(|_| batch.taken_as[index] == TakenAs::PoolPhrase)?)?;
            let span = text.segment.phrases.iter().find(|span| span.tokens.tokens() == *tokens);
            span.map(|span| span.phrase)
        }));
        (start, first) = (end, last);
    }
    phrases
}

/// How frequent these phrases are, against the median over all tokens.
fn frequencies(phrases: &[Vec<Option<PhraseId>>], counts: &[u64]) -> Vec<Vec<Option<Frequency>>> {
    let count = |phrase: PhraseId| counts[phrase.get() as usize];
    let mut all: Vec<u64> = phrases.iter().flatten().flatten().map(|&phrase| count(phrase)).collect();
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or(0);
    let frequency = |phrase| if count(phrase) < median { Frequency::Rare } else { Frequency::Frequent };
    phrases.iter().map(|batch| batch.iter().map(|phrase| phrase.map(frequency)).collect()).collect()
}

/// Pairs whose anchor is held out, in batches. As [`HeldOut`], they depend on the shards, the
/// held-out ratio and their number alone.
#[derive(Debug)]
pub struct HeldOutPairs {
    /// Batches.
    pub batches: Vec<PairBatch>,
    /// Whose neighbors are to be found, and among which products.
    pub retrieval: Retrieval,
}

impl HeldOutPairs {
    /// At most `most` of the pairs, drawn by key, `pairs` in a batch.
    ///
    /// # Errors
    /// When a shard cannot be read, or its rows are not valid.
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
        let mut measured = PairBlock::default();
        for (chunk, rows) in wanted {
            shards.each_pair(chunk, |row, sides, _| {
                if rows.contains(&row) {
                    measured.push(sides.map(PairSide::of));
                }
            })?;
        }
        // Neighbors of the anchors, wherever they are.
        let anchors = Related::of(measured.sides().step_by(3));
        let mut known = PairBlock::default();
        for &chunk in shards.pair_chunks() {
            shards.each_pair(chunk, |_, sides, _| {
                let sides = sides.map(PairSide::of);
                if sides[..2].iter().any(|side| anchors.contains(*side)) {
                    known.push(sides);
                }
            })?;
        }
        let sides: Vec<&[u32]> = measured.sides().map(|side| side.input_ids).collect();
        let special = shards.vocabulary().special;
        let batch = |sides: &[&[u32]]| PairBatch::of(sides, special, Position::default());
        let batches = sides.chunks(3 * pairs.max(1)).map(batch).collect();
        Ok(Self { batches, retrieval: Retrieval::of(&measured, &KnownNeighbors::of(&known), shards.vocabulary()) })
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

#[cfg(test)]
mod tests {
    use schemas::{PhraseSpan, TextId, TokenRange};

    use super::*;
    use crate::vocabulary::tests::small;

    #[test]
    fn masked_phrases_are_told_by_their_tokens() {
        let range = |start, end| TokenRange::new(start..end).unwrap();
        let span = |tokens, phrase| PhraseSpan { tokens, phrase: PhraseId::new(phrase), score: 0.9 };
        // Overlapping phrases: only one of them is taken, whole.
        let phrases = [span(range(0, 2), 3), span(range(1, 3), 1), span(range(5, 6), 2)];
        let ids = [5, 6, 7, 9, 10, 11, 13, 14, 15, 17];
        let segment = |document| Segment {
            document: DocumentId::new(document),
            text_id: TextId::new(document),
            segment: 0,
            input_ids: &ids,
            word_starts: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            phrases: &phrases,
            noun_phrases: &[],
        };
        let segments: Vec<Texts<'_>> = (0..40).map(segment).map(Texts::one).collect();
        let vocabulary = small(20);
        let special = vocabulary.special;
        let options = MaskingOptions { budget: 0.3, ..Default::default() };
        let masking = Masking::new(options, vocabulary, 0.5);
        let key = MaskKey { seed: 1, epoch: 0 };
        let batch = MaskedBatch::of(&segments, MaskMode::Phrase, &masking, key, special);
        let taken = phrases_taken(&segments, &batch);
        assert_eq!(taken.len(), batch.selected.len());
        let mut seen = BTreeSet::new();
        for (index, phrase) in taken.iter().enumerate() {
            assert_eq!(phrase.is_some(), batch.taken_as[index] == TakenAs::PoolPhrase);
            let position = (batch.selected[index] as usize % segments[0].length()) - 1;
            if let Some(phrase) = phrase {
                let of_phrase = phrases.iter().find(|span| span.phrase == *phrase).unwrap();
                assert!(of_phrase.tokens.tokens().contains(&position));
                seen.insert(phrase.get());
            }
        }
        assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn phrases_below_the_median_count_are_rare() {
        let [a, b, c] = [0, 1, 2].map(|id| Some(PhraseId::new(id)));
        let found = frequencies(&[vec![a, None, b], vec![c, c]], &[2, 10, 30]);
        let (rare, frequent) = (Some(Frequency::Rare), Some(Frequency::Frequent));
        // Counts of the tokens are 2, 10, 30, 30.
        assert_eq!(found, [vec![rare, None, rare], vec![frequent, frequent]]);
        assert!(frequencies(&[], &[]).is_empty());
    }
}
