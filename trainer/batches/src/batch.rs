//! Batches: sequences in one row, without padding, with their masks. They are made on a thread, a
//! few ahead.
use std::{sync::Arc, thread};

use crossbeam_channel::{Receiver, bounded};
use schemas::DocumentId;

use crate::{
    error::DataError,
    format::SequenceFormat,
    masking::{MaskKey, MaskMode, Masking, Masks, TakenAs},
    order::{Block, Cursor, Order, Position, SPECIAL, StepSize},
    pairs::{KnownNeighbors, PairBlock},
    segment::{Segment, SegmentBlock},
    shards::{Corpus, Shards},
    text_pair::TextPairs,
    vocabulary::SpecialIds,
};

/// Sequences to train on.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Tokens of each sequence, `[CLS]` and `[SEP]` counted, longest first. The tokens of all of
    /// them are one row.
    pub lengths: Vec<usize>,
    /// The document of each sequence.
    pub documents: Vec<DocumentId>,
    /// Sequences of two texts.
    pub text_pairs: usize,
    /// How these are written.
    pub format: SequenceFormat,
    /// What is hidden, for each mode that the step may be in.
    pub masked: Vec<MaskedBatch>,
    /// Times that the data were gone through before.
    pub epoch: u32,
    /// Where the stream is after this batch.
    pub after: Position,
}

/// The input of a batch in one mode.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedBatch {
    /// The mode.
    pub mode: MaskMode,
    /// The row of tokens, the selected ones replaced.
    pub input_ids: Vec<u32>,
    /// The token type of each; empty where all are 0.
    pub types: Vec<u8>,
    /// Where in the row the selected tokens are.
    pub selected: Vec<u32>,
    /// What they were.
    pub labels: Vec<u32>,
    /// The number, within the batch, of the word or phrase that each was taken with (a word of a
    /// span alone). `None` for words that top up phrases.
    pub units: Vec<Option<u32>>,
    /// What each was taken as.
    pub taken_as: Vec<TakenAs>,
}

/// Pairs of products, each with a negative.
#[derive(Clone, Debug, PartialEq)]
pub struct PairBatch {
    /// The row of tokens of all sequences.
    pub input_ids: Vec<u32>,
    /// Tokens of each sequence, `[CLS]` and `[SEP]` counted, longest first.
    pub lengths: Vec<usize>,
    /// For each pair, which sequences its anchor, neighbor and negative are.
    pub pairs: Vec<[usize; 3]>,
    /// For each pair, the pairs of its group whose neighbors are further negatives of its anchor.
    /// Empty if groups are single pairs.
    pub further_negatives: Vec<Vec<usize>>,
    /// Pairs of a group: a group is never split.
    group: usize,
    special: SpecialIds,
    /// Times that the pairs were gone through before.
    pub epoch: u32,
    /// Where the stream is after this batch.
    pub after: Position,
}

impl Batch {
    /// The input in one of its modes.
    ///
    /// # Panics
    /// When the batch was not made for this mode.
    pub fn in_mode(&self, mode: MaskMode) -> &MaskedBatch {
        match self.masked.iter().find(|masked| masked.mode == mode) {
            Some(masked) => masked,
            None => panic!("a batch is masked in every mode of its plan"),
        }
    }

    /// Tokens, special tokens not counted.
    pub fn content_tokens(&self) -> usize {
        self.lengths.iter().map(|length| length - SPECIAL).sum::<usize>() - self.text_pairs * self.format.separators()
    }

    /// The input in a mode, cut into what goes through the model at once: the sequences of `share`,
    /// at most `tokens` of them at once (0: any number). A longer sequence goes alone. With each
    /// part come the lengths of its sequences.
    pub fn parts(
        &self,
        mode: MaskMode,
        share: impl Iterator<Item = usize>,
        tokens: usize,
    ) -> Vec<(Vec<usize>, MaskedBatch)> {
        let masked = self.in_mode(mode);
        let starts = starts(&self.lengths);
        let parts = micro_batches(share, tokens, |sequence| self.lengths[sequence]).into_iter().map(|sequences| {
            let lengths = sequences.iter().map(|&sequence| self.lengths[sequence]).collect();
            (lengths, masked.only(&sequences, &starts, &self.lengths))
        });
        parts.collect()
    }
}

/// Cuts a share into parts whose sizes add up to at most `most` (0: any), or that are single.
fn micro_batches(share: impl Iterator<Item = usize>, most: usize, size: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut held = 0;
    for item in share {
        match parts.last_mut() {
            Some(part) if most == 0 || held + size(item) <= most => {
                part.push(item);
                held += size(item);
            }
            _ => {
                parts.push(vec![item]);
                held = size(item);
            }
        }
    }
    parts
}

/// Where sequences of these lengths start in their row.
pub fn starts(lengths: &[usize]) -> Vec<usize> {
    lengths.iter().scan(0, |end, length| Some(std::mem::replace(end, *end + length))).collect()
}

impl PairBatch {
    /// Packs pairs: anchor, neighbor and negative of the first, and so on. Each pair is a group.
    pub(crate) fn of(sides: &[&[u32]], special: SpecialIds, after: Position) -> Self {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        order.sort_by_key(|&side| std::cmp::Reverse(sides[side].len()));
        let mut place = vec![0; sides.len()];
        order.iter().enumerate().for_each(|(at, &side)| place[side] = at);
        let (input_ids, lengths) = pack(order.iter().map(|&side| sides[side]), [special.cls, special.sep]);
        let pairs = place.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
        Self { input_ids, lengths, pairs, further_negatives: Vec::new(), group: 1, special, epoch: 0, after }
    }

    /// Cuts the pairs into groups of this size, in their order. Within a group, neighbors of other
    /// pairs become negatives of an anchor, except where a row of the batch relates them.
    fn grouped(self, group: usize, rows: &PairBlock) -> Self {
        if group == 1 {
            return self;
        }
        let known = KnownNeighbors::of(rows);
        let many = self.pairs.len();
        let group_of = |pair: usize| pair / group * group..(pair / group * group + group).min(many);
        let further_negatives = (0..many).map(|pair| known.unrelated(pair, group_of(pair))).collect();
        Self { further_negatives, group, ..self }
    }

    /// Number of groups of pairs.
    pub fn groups(&self) -> usize {
        self.pairs.len().div_ceil(self.group)
    }

    /// The groups of `share`, cut into what goes through the model at once: at most `tokens` (0:
    /// any number; a larger group goes alone).
    pub fn parts(&self, share: impl Iterator<Item = usize>, tokens: usize) -> Vec<Self> {
        let starts = starts(&self.lengths);
        let pairs_of = |group: usize| group * self.group..((group + 1) * self.group).min(self.pairs.len());
        let size = |group| self.pairs[pairs_of(group)].iter().flatten().map(|&side| self.lengths[side]).sum();
        let parts = micro_batches(share, tokens, size).into_iter().map(|groups| {
            let content = |side: usize| &self.input_ids[starts[side] + 1..starts[side] + self.lengths[side] - 1];
            let (mut sides, mut further_negatives): (Vec<&[u32]>, Vec<Vec<usize>>) = Default::default();
            for pairs in groups.into_iter().map(pairs_of) {
                // By how much a group moves: groups are whole, and their pairs stay in order.
                let (from, to) = (pairs.start, sides.len() / 3);
                let moved = |negatives: &Vec<usize>| negatives.iter().map(|&pair| pair - from + to).collect();
                further_negatives.extend(pairs.clone().filter_map(|pair| self.further_negatives.get(pair)).map(moved));
                sides.extend(pairs.flat_map(|pair| self.pairs[pair].map(content)));
            }
            let (group, epoch) = (self.group, self.epoch);
            Self { further_negatives, group, epoch, ..Self::of(&sides, self.special, self.after) }
        });
        parts.collect()
    }
}

/// How many batches wait for the step.
const AHEAD: usize = 8;

/// Batches from a thread.
#[derive(Debug)]
pub struct Batches<T> {
    receiver: Receiver<Result<T, DataError>>,
}

impl<T: Send + 'static> Batches<T> {
    /// Calls `make` again and again on a thread; it ends when this is dropped, or with the first
    /// error.
    fn start(mut make: impl FnMut() -> Result<T, DataError> + Send + 'static) -> Self {
        let (sender, receiver) = bounded(AHEAD);
        thread::spawn(move || {
            loop {
                let batch = make();
                let over = batch.is_err();
                if sender.send(batch).is_err() || over {
                    break;
                }
            }
        });
        Self { receiver }
    }

    /// The next batch. There is always one: after the last row of an epoch comes the next epoch.
    ///
    /// # Errors
    /// If a shard cannot be read. After that, there are no more batches.
    pub fn next_batch(&mut self) -> Result<T, DataError> {
        self.receiver.recv().unwrap_or(Err(DataError::Stopped))
    }
}

/// What segment batches hold.
#[derive(Clone, Debug)]
pub struct SegmentPlan {
    /// The corpora.
    pub corpora: Vec<Corpus>,
    /// How much a batch holds.
    pub size: StepSize,
    /// Row groups that are shuffled together.
    pub mix: usize,
    /// Modes that a step may be in.
    pub modes: Vec<MaskMode>,
    /// Seed of the run.
    pub seed: u64,
    /// The fraction of segments that are cut into two texts.
    pub text_pairs: f64,
    /// How the model takes these.
    pub format: SequenceFormat,
    /// Added to the epoch in the key of the masks, so that a later stage draws new ones.
    pub epochs_before: u32,
}

/// Batches of segments, from a position on.
///
/// # Errors
/// When no segment is left to train on.
pub fn segment_batches(
    shards: &Arc<Shards>,
    masking: &Arc<Masking>,
    plan: SegmentPlan,
    from: Position,
) -> Result<Batches<Batch>, DataError> {
    shards.require_segments(&plan.corpora)?;
    // Each stage has an order of its own.
    let seed = plan.seed.wrapping_add(u64::from(plan.epochs_before) << 32);
    let order = Order::of_segments(shards, &plan.corpora, seed, plan.mix);
    let mut cursor = Cursor::<SegmentBlock>::new(shards.clone(), order, from);
    let (masking, special, format) = (masking.clone(), shards.vocabulary().special, plan.format);
    let longest = usize::from(shards.manifest().body.max_tokens) + SPECIAL;
    let text_pairs = TextPairs { fraction: plan.text_pairs, longest, format };
    Ok(Batches::start(move || {
        let mut segments = SegmentBlock::default();
        let epoch = cursor.take(plan.size, |block, row| {
            let segment = block.get(row);
            segments.push(&segment);
        })?;
        let key = MaskKey { seed: plan.seed, epoch: plan.epochs_before + epoch };
        let texts = (0..segments.rows()).map(|row| {
            let segment = segments.get(row);
            Texts { cut: text_pairs.cut(&segment, key), format, segment }
        });
        let mut sorted: Vec<Texts<'_>> = texts.collect();
        sorted.sort_by_key(|texts| std::cmp::Reverse(texts.length()));
        Ok(Batch {
            lengths: sorted.iter().map(Texts::length).collect(),
            documents: sorted.iter().map(|texts| texts.segment.document).collect(),
            text_pairs: sorted.iter().filter(|texts| texts.cut.is_some()).count(),
            format,
            masked: plan.modes.iter().map(|&mode| MaskedBatch::of(&sorted, mode, &masking, key, special)).collect(),
            epoch,
            after: cursor.position(),
        })
    }))
}

/// What batches of pairs hold.
#[derive(Clone, Copy, Debug)]
pub struct PairPlan {
    /// The most pairs of a batch.
    pub pairs: usize,
    /// Pairs whose neighbors are negatives of one another's anchors; 1 for none. The last group of
    /// a batch may be smaller.
    pub group: usize,
    /// Row groups that are shuffled together.
    pub mix: usize,
    /// Seed of the run.
    pub seed: u64,
}

/// Batches of pairs, from a position on.
///
/// # Errors
/// When no pair is left to train on.
pub fn pair_batches(shards: &Arc<Shards>, plan: PairPlan, from: Position) -> Result<Batches<PairBatch>, DataError> {
    shards.require_pairs()?;
    let mut cursor = Cursor::<PairBlock>::new(shards.clone(), Order::of_pairs(shards, plan.seed, plan.mix), from);
    let special = shards.vocabulary().special;
    Ok(Batches::start(move || {
        let mut pairs = PairBlock::default();
        let epoch = cursor.take(StepSize::Sequences(plan.pairs), |block, row| pairs.push(block.get(row)))?;
        let sides: Vec<&[u32]> = pairs.sides().map(|side| side.input_ids).collect();
        let batch = PairBatch { epoch, ..PairBatch::of(&sides, special, cursor.position()) };
        Ok(batch.grouped(plan.group, &pairs))
    }))
}

/// Sequences in one row, each between `[CLS]` and `[SEP]`, and their lengths.
pub fn pack<'a>(sequences: impl Iterator<Item = &'a [u32]>, [cls, sep]: [u32; 2]) -> (Vec<u32>, Vec<usize>) {
    let (mut row, mut lengths) = (Vec::new(), Vec::new());
    for ids in sequences {
        row.push(cls);
        row.extend_from_slice(ids);
        row.push(sep);
        lengths.push(ids.len() + SPECIAL);
    }
    (row, lengths)
}

/// A segment as one text, or cut into two.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// The first token of the second text.
    pub cut: Option<usize>,
    /// How two texts are written.
    pub format: SequenceFormat,
}

impl<'a> Texts<'a> {
    /// A segment as one text.
    pub fn one(segment: Segment<'a>) -> Self {
        Self { segment, cut: None, format: SequenceFormat::default() }
    }

    /// Tokens of the sequence, special tokens counted.
    pub fn length(&self) -> usize {
        self.segment.input_ids.len() + SPECIAL + self.cut.map_or(0, |_| self.format.separators())
    }

    /// Where in the sequence a token of the segment stands.
    fn place(&self, token: usize) -> usize {
        1 + token + self.cut.filter(|cut| token >= *cut).map_or(0, |_| self.format.separators())
    }

    /// Appends the sequence to a row of tokens and their types.
    fn append(&self, row: &mut Vec<u32>, types: &mut Vec<u8>, special: SpecialIds) {
        let (first, second) = self.segment.input_ids.split_at(self.cut.unwrap_or(self.segment.input_ids.len()));
        row.push(special.cls);
        row.extend_from_slice(first);
        row.push(special.sep);
        types.resize(row.len(), 0);
        if self.cut.is_some() {
            row.extend(std::iter::repeat_n(special.sep, self.format.separators() - 1));
            row.extend_from_slice(second);
            row.push(special.sep);
            types.resize(row.len(), u8::from(self.format.has_types()));
        }
    }
}

impl MaskedBatch {
    /// A batch without sequences.
    pub fn empty(mode: MaskMode) -> Self {
        let (input_ids, types, selected, labels) = Default::default();
        Self { mode, input_ids, types, selected, labels, units: Vec::new(), taken_as: Vec::new() }
    }

    /// The part of the selected tokens that was taken as this.
    pub fn part_taken_as(&self, wanted: TakenAs) -> f64 {
        let taken = self.taken_as.iter().filter(|taken_as| **taken_as == wanted).count();
        taken as f64 / self.selected.len().max(1) as f64
    }

    /// Some of the sequences of a batch whose sequences have these starts and lengths.
    fn only(&self, sequences: &[usize], starts: &[usize], lengths: &[usize]) -> Self {
        let mut part = Self::empty(self.mode);
        for &sequence in sequences {
            let (start, end) = (starts[sequence], starts[sequence] + lengths[sequence]);
            let [first, last] = [start, end].map(|at| self.selected.partition_point(|&s| (s as usize) < at));
            let before = part.input_ids.len();
            part.selected.extend(self.selected[first..last].iter().map(|&at| (at as usize - start + before) as u32));
            part.labels.extend_from_slice(&self.labels[first..last]);
            part.units.extend_from_slice(&self.units[first..last]);
            part.taken_as.extend_from_slice(&self.taken_as[first..last]);
            part.input_ids.extend_from_slice(&self.input_ids[start..end]);
            part.types.extend_from_slice(self.types.get(start..end).unwrap_or_default());
        }
        part
    }

    /// Masks sequences and packs them.
    pub fn of(sequences: &[Texts<'_>], mode: MaskMode, masking: &Masking, key: MaskKey, special: SpecialIds) -> Self {
        let (mut input_ids, mut types) = (Vec::new(), Vec::new());
        let (mut selected, mut labels, mut units) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken_as = Vec::new();
        let mut before = 0;
        for texts in sequences {
            let start = input_ids.len();
            texts.append(&mut input_ids, &mut types, special);
            let masks = masking.mask_texts(mode, &texts.segment, texts.cut, key);
            for (&position, &input) in masks.positions.iter().zip(&masks.inputs) {
                let at = start + texts.place(usize::from(position));
                selected.push(at as u32);
                labels.push(std::mem::replace(&mut input_ids[at], input));
            }
            let numbered = masks.units.iter().map(|&unit| (unit != Masks::TOP_UP).then_some(before + u32::from(unit)));
            units.extend(numbered);
            taken_as.extend_from_slice(&masks.taken_as);
            before += texts.segment.input_ids.len() as u32;
        }
        if !types.contains(&1) {
            types.clear();
        }
        Self { mode, input_ids, types, selected, labels, units, taken_as }
    }
}
