//! The order of rows in an epoch.
//!
//! The row groups of all files are shuffled, with products and reviews spread evenly. Consecutive
//! row groups make a block, and the rows of a block are shuffled. So a [`Position`] is a few
//! numbers, and a resumed run reads one block to restore its position. What comes when depends on
//! (seed, epoch, block) alone.
use std::sync::Arc;

use schemas::Draws;
use serde::{Deserialize, Serialize};

use crate::{
    error::DataError,
    segment::SegmentBlock,
    shards::{Chunk, Corpus, Shards},
};

/// How much a step holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSize {
    /// So many sequences.
    Sequences(usize),
    /// So many tokens, special tokens counted.
    Tokens(usize),
}

/// Special tokens of a sequence: `[CLS]` and `[SEP]`.
pub(crate) const SPECIAL: usize = 2;

/// Where a stream of rows is: the next row to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Times that the data were gone through.
    pub epoch: u32,
    /// Block of the epoch.
    pub block: u32,
    /// Row of the block.
    pub row: u32,
    /// Tokens by which the last step, counted in tokens, went over: they are part of the next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub over: u32,
}

fn is_zero(tokens: &u32) -> bool {
    *tokens == 0
}

/// Puts row groups in the order of an epoch, and cuts them into blocks.
#[derive(Clone, Debug)]
pub struct Order {
    /// Row groups, by corpus.
    kinds: Vec<Vec<Chunk>>,
    seed: u64,
    /// Row groups in a block.
    mix: usize,
}

impl Order {
    /// The order of the segments of these corpora. `mix` row groups are shuffled together.
    pub fn of_segments(shards: &Shards, corpora: &[Corpus], seed: u64, mix: usize) -> Self {
        Self { kinds: corpora.iter().map(|&c| shards.chunks(c).to_vec()).collect(), seed, mix: mix.max(1) }
    }

    /// The order of the pairs.
    pub fn of_pairs(shards: &Shards, seed: u64, mix: usize) -> Self {
        Self { kinds: vec![shards.pair_chunks().to_vec()], seed, mix: mix.max(1) }
    }

    /// The row groups of an epoch, in order.
    fn epoch(&self, epoch: u32) -> Vec<Chunk> {
        let mut keyed = Vec::new();
        for (kind, chunks) in self.kinds.iter().enumerate() {
            let mut chunks = chunks.clone();
            let id = [epoch.to_le_bytes(), (kind as u32).to_le_bytes()].concat();
            Draws::new(self.seed, "row groups", &id).shuffle(&mut chunks);
            let many = chunks.len() as f64;
            // The i-th of n stands at (i + 1/2) / n of the epoch, so that every block holds both
            // kinds in proportion.
            keyed.extend(chunks.into_iter().enumerate().map(|(i, chunk)| ((i as f64 + 0.5) / many, kind, chunk)));
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        keyed.into_iter().map(|(_, _, chunk)| chunk).collect()
    }

    /// A permutation of the rows of a block.
    fn rows(&self, epoch: u32, block: u32, rows: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..rows as u32).collect();
        let id = [epoch.to_le_bytes(), block.to_le_bytes()].concat();
        Draws::new(self.seed, "rows", &id).shuffle(&mut order);
        order
    }
}

/// The rows of a block, in memory.
pub(crate) trait Block: Default {
    /// Adds the rows of a row group that are trained on.
    fn load(&mut self, shards: &Shards, chunk: Chunk) -> Result<(), DataError>;
    /// Rows so far.
    fn rows(&self) -> usize;
    /// Tokens of a row, where steps count them.
    fn tokens(&self, row: usize) -> usize;
}

impl Block for SegmentBlock {
    fn load(&mut self, shards: &Shards, chunk: Chunk) -> Result<(), DataError> {
        shards.each_segment(chunk, |_, segment| {
            if !shards.is_held_out(segment.text_id) {
                self.push(segment);
            }
        })
    }

    fn rows(&self) -> usize {
        self.len()
    }

    fn tokens(&self, row: usize) -> usize {
        self.get(row).input_ids.len() + SPECIAL
    }
}

/// Returns the rows of one epoch after another, from a position on.
pub(crate) struct Cursor<B> {
    shards: Arc<Shards>,
    order: Order,
    position: Position,
    /// The row groups of the epoch.
    chunks: Vec<Chunk>,
    block: B,
    rows: Vec<u32>,
    /// Which block is in memory.
    loaded: Option<(u32, u32)>,
}

impl<B: Block> Cursor<B> {
    pub(crate) fn new(shards: Arc<Shards>, order: Order, position: Position) -> Self {
        let chunks = order.epoch(position.epoch);
        Self { shards, order, position, chunks, block: B::default(), rows: Vec::new(), loaded: None }
    }

    /// Where the next row is.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Passes the rows of a step, all of one epoch, to `visit`, and returns the epoch.
    ///
    /// A step of tokens has the rows that begin in it. The last row of an epoch may begin in one
    /// step and end in the next. It is then a step alone. So the number of steps of an epoch
    /// follows from its tokens, rounded up, whatever its last row is.
    ///
    /// The shards must hold something to train on.
    pub(crate) fn take(&mut self, size: StepSize, mut visit: impl FnMut(&B, usize)) -> Result<u32, DataError> {
        // Rows, and tokens: what went over before counts.
        let (mut taken, mut tokens) = (0, self.position.over as usize);
        let full = |taken: usize, tokens: usize| match size {
            StepSize::Sequences(most) => taken >= most,
            StepSize::Tokens(most) => tokens >= most,
        };
        loop {
            let Position { epoch, block, row, .. } = self.position;
            let first = block as usize * self.order.mix;
            if first >= self.chunks.len() {
                self.position = Position { epoch: epoch + 1, ..Position::default() };
                tokens = 0;
                self.chunks = self.order.epoch(epoch + 1);
                if taken > 0 {
                    return Ok(epoch);
                }
                continue;
            }
            if self.loaded != Some((epoch, block)) {
                self.block = B::default();
                for &chunk in &self.chunks[first..(first + self.order.mix).min(self.chunks.len())] {
                    self.block.load(&self.shards, chunk)?;
                }
                self.rows = self.order.rows(epoch, block, self.block.rows());
                self.loaded = Some((epoch, block));
            }
            let last_block = first + self.order.mix >= self.chunks.len();
            for &row in self.rows.get(row as usize..).unwrap_or_default() {
                let more = self.block.tokens(row as usize);
                let last = last_block && self.position.row as usize + 1 == self.rows.len();
                if last && taken > 0 && matches!(size, StepSize::Tokens(most) if tokens + more > most) {
                    self.position.over = 0;
                    return Ok(epoch);
                }
                visit(&self.block, row as usize);
                tokens += more;
                taken += 1;
                self.position.row += 1;
                if full(taken, tokens) {
                    break;
                }
            }
            if self.position.row as usize >= self.rows.len() {
                self.position = Position { epoch, block: block + 1, ..Position::default() };
            }
            if full(taken, tokens) {
                if let StepSize::Tokens(most) = size {
                    self.position.over = (tokens - most) as u32;
                }
                return Ok(epoch);
            }
        }
    }
}
