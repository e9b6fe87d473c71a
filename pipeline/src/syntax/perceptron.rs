//! Averaged perceptrons over hashed features (Freund and Schapire 1999; Collins 2002).
//!
//! A feature has a weight for each label, most of them zero: rows are sparse, in training and after it. Training averages
//! the weights over all its steps; what is kept is rounded to 8 bits.
use hashbrown::HashMap;

use crate::memory::fetch;

/// Most labels of a model: scores are kept in an array of this length.
pub(super) const MOST_LABELS: usize = 64;

/// A model of more features than this leaves its small weights out.
const LARGE: usize = 50_000;

/// Weights that are being trained.
#[derive(Debug, Default)]
pub(super) struct Training {
    rows: HashMap<u32, Vec<Cell>>,
    step: u32,
}

/// A label's weight in a row, and what is needed for its average.
#[derive(Clone, Copy, Debug)]
struct Cell {
    label: u8,
    weight: f32,
    /// Sum of the weight over the steps up to `since`.
    sum: f64,
    since: u32,
}

impl Training {
    /// Counts a step, after which the weights enter the average once more.
    pub fn step(&mut self) {
        self.step += 1;
    }

    /// Adds the weights of a feature to the scores.
    pub fn score(&self, feature: u32, scores: &mut [f32; MOST_LABELS]) {
        if let Some(row) = self.rows.get(&feature) {
            for cell in row {
                scores[usize::from(cell.label)] += cell.weight;
            }
        }
    }

    /// Moves a weight.
    pub fn update(&mut self, feature: u32, label: u8, by: f32) {
        let step = self.step;
        let row = self.rows.entry(feature).or_default();
        match row.iter_mut().find(|cell| cell.label == label) {
            Some(cell) => {
                cell.sum += f64::from(cell.weight) * f64::from(step - cell.since);
                cell.since = step;
                cell.weight += by;
            }
            None => row.push(Cell { label, weight: by, sum: 0.0, since: step }),
        }
    }

    /// The averaged weights, rounded so that the largest are 127. From a large model, those under `least` are left out.
    pub fn finish(self, least: f64) -> Weights {
        let steps = f64::from(self.step.max(1));
        let least = if self.rows.len() > LARGE { least } else { 0.0 };
        let mut rows: Vec<(u32, Vec<(u8, f64)>)> = Vec::new();
        for (feature, cells) in self.rows {
            let mut row: Vec<(u8, f64)> = cells
                .iter()
                .map(|c| (c.label, (c.sum + f64::from(c.weight) * f64::from(self.step - c.since)) / steps))
                .filter(|(_, weight)| weight.abs() >= least)
                .collect();
            if !row.is_empty() {
                row.sort_by_key(|cell| cell.0);
                rows.push((feature, row));
            }
        }
        rows.sort_by_key(|row| row.0);
        // A few weights are far larger than all others; they are cut, so that the others keep their digits.
        let mut sizes: Vec<f64> = rows.iter().flat_map(|r| r.1.iter().map(|c| c.1.abs())).collect();
        sizes.sort_by(f64::total_cmp);
        let largest = sizes.get(sizes.len().saturating_sub(1 + sizes.len() / 1000)).copied().unwrap_or(1.0);
        let round = |weight: f64| (weight / largest * 127.0).round().clamp(-127.0, 127.0) as i8;
        let rows = rows.into_iter().filter_map(|(feature, row)| {
            let row: Vec<(u8, i8)> = row.into_iter().map(|(l, w)| (l, round(w))).filter(|c| c.1 != 0).collect();
            (!row.is_empty()).then_some((feature, row))
        });
        Weights::new(rows.collect())
    }
}

/// Trained weights: rows found by open addressing.
///
/// What costs time is waiting for memory: so slots, and then cells, can be fetched ahead, and a row of one cell lies in its slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Weights {
    slots: Vec<Slot>,
    cells: Vec<(u8, i8)>,
    shift: u32,
}

/// Where the row of a feature is. An empty slot has the row of no cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    feature: u32,
    row: Row,
}

/// The lowest six bits are the number of cells; above them is the place of the first, or the only cell itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row(u32);

impl Row {
    fn new(row: &[(u8, i8)], cells: &mut Vec<(u8, i8)>) -> Self {
        if let &[(label, weight)] = row {
            return Self(u32::from(weight as u8) << 16 | u32::from(label) << 8 | 1);
        }
        let place = cells.len() as u32;
        cells.extend_from_slice(row);
        Self(place << 6 | row.len() as u32)
    }
}

impl Weights {
    /// Weights of these rows; no feature twice, each with at most 63 cells.
    pub fn new(rows: Vec<(u32, Vec<(u8, i8)>)>) -> Self {
        // At most half full, so that a feature without weights is mostly seen at once.
        let size = (2 * rows.len() + 1).next_power_of_two().max(16);
        let mut weights =
            Self { slots: vec![Slot::default(); size], cells: Vec::new(), shift: 64 - size.trailing_zeros() };
        for (feature, row) in rows {
            let mut at = weights.home(feature);
            while weights.slots[at].row != Row::default() {
                at = (at + 1) & (size - 1);
            }
            weights.slots[at] = Slot { feature, row: Row::new(&row, &mut weights.cells) };
        }
        weights
    }

    /// The rows, by feature.
    pub fn rows(&self) -> Vec<(u32, Vec<(u8, i8)>)> {
        let filled = self.slots.iter().filter(|s| s.row != Row::default());
        let mut rows: Vec<_> = filled
            .map(|s| {
                let mut row = Vec::new();
                self.cells_of(s.row, |label, weight| row.push((label, weight)));
                (s.feature, row)
            })
            .collect();
        rows.sort_by_key(|row| row.0);
        rows
    }

    #[inline]
    fn cells_of(&self, Row(row): Row, mut each: impl FnMut(u8, i8)) {
        let (place, count) = ((row >> 6) as usize, (row & 63) as usize);
        if count == 1 {
            return each((row >> 8) as u8, (row >> 16) as i8);
        }
        for &(label, weight) in &self.cells[place..place + count] {
            each(label, weight);
        }
    }

    fn home(&self, feature: u32) -> usize {
        (u64::from(feature).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// Has the slot of a feature on its way from memory.
    #[inline]
    pub fn fetch(&self, feature: u32) {
        fetch(&self.slots[self.home(feature)]);
    }

    /// Finds the row of a feature, and has its cells on their way from memory.
    #[inline]
    pub fn find(&self, feature: u32) -> Row {
        let mut at = self.home(feature);
        loop {
            let slot = self.slots[at];
            if slot.feature == feature || slot.row == Row::default() {
                if slot.row.0 & 63 > 1 {
                    fetch(&self.cells[(slot.row.0 >> 6) as usize]);
                }
                return slot.row;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds the weights of a row to the scores.
    #[inline]
    pub fn add(&self, row: Row, scores: &mut [i32; MOST_LABELS]) {
        self.cells_of(row, |label, weight| scores[usize::from(label) & (MOST_LABELS - 1)] += i32::from(weight));
    }

    /// Adds the weights of a feature to the scores.
    #[inline]
    pub fn score(&self, feature: u32, scores: &mut [i32; MOST_LABELS]) {
        self.add(self.find(feature), scores);
    }
}
