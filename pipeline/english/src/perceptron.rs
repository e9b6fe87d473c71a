//! Averaged perceptrons over hashed features (Freund and Schapire 1999; Collins 2002).
//!
//! A feature has a weight for each label, most of them zero: rows are sparse, in training and after it. Training averages
//! the weights over all its steps; what is kept is rounded to 8 bits.
use hashbrown::HashMap;

use ebert_prefetch::prefetch;

/// Most labels of a model: scores are kept in an array of this length.
pub(super) const MOST_LABELS: usize = 64;

/// Most cells of a model: their places have 24 bits.
pub(super) const MOST_CELLS: usize = 1 << 24;

/// Sums of weights, a label each: a hundred features weigh less than 2^15.
pub(super) type Scores = [i16; MOST_LABELS];

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
/// What costs time is waiting for memory: so slots, and then cells, can be fetched ahead, and the cells of a short row lie in its slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Weights {
    /// At the end there is one that is always empty.
    slots: Vec<Slot>,
    cells: Vec<(u8, i8)>,
    shift: u32,
    /// A bit is set where a feature has a row: most have none, and need not wait for a slot.
    bits: Vec<u64>,
    bits_shift: u32,
}

/// Where the row of a feature is. An empty slot has the row of no cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    feature: u32,
    row: Row,
}

/// A feature that is looked for, and the slot at which that begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sought {
    feature: u32,
    at: u32,
}

/// The cells of a feature. As most features have few, up to two lie here themselves: from the lowest bit on two for where they are,
/// two labels of seven bits and two weights of eight, 0 for what is not there. Three may, too, where they are of the labels 0, 1 and 2.
/// Of more there is their number, in six bits, and the place of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row(u32);

/// Where a row's cells are: in the row, any two or those of the first three labels, or elsewhere.
const TWO: u32 = 0;
const FIRST_THREE: u32 = 1;
const MORE: u32 = 2;

impl Row {
    /// No cells.
    pub const NONE: Self = Self(TWO);

    fn new(row: &[(u8, i8)], cells: &mut Vec<(u8, i8)>) -> Self {
        let weight = |weight: i8, at: u32| u32::from(weight as u8) << at;
        match *row {
            [] => Self::NONE,
            [(a, of_a)] => Self(TWO | u32::from(a) << 2 | weight(of_a, 16)),
            [(a, of_a), (b, of_b)] => {
                Self(TWO | u32::from(a) << 2 | u32::from(b) << 9 | weight(of_a, 16) | weight(of_b, 24))
            }
            [(0, first), (1, second), (2, third)] => {
                Self(FIRST_THREE | weight(first, 8) | weight(second, 16) | weight(third, 24))
            }
            _ => {
                let place = cells.len() as u32;
                cells.extend_from_slice(row);
                Self(MORE | (row.len() as u32) << 2 | place << 8)
            }
        }
    }

    /// Where the cells are that do not lie here, and how many.
    fn elsewhere(self) -> Option<(usize, usize)> {
        (self.0 & 3 == MORE).then_some(((self.0 >> 8) as usize, (self.0 >> 2 & 63) as usize))
    }
}

impl Weights {
    /// Weights of these rows; no feature twice, each with at most 63 cells.
    pub fn new(rows: Vec<(u32, Vec<(u8, i8)>)>) -> Self {
        let size = (4 * rows.len() / 3 + 1).next_power_of_two().max(16);
        let words = size / 8;
        let mut weights = Self {
            slots: vec![Slot::default(); size + 1],
            cells: Vec::new(),
            shift: 64 - size.trailing_zeros(),
            bits: vec![0; words],
            bits_shift: 32 - (64 * words).trailing_zeros(),
        };
        for (feature, row) in rows {
            let (word, bit) = weights.bit(feature);
            weights.bits[word] |= bit;
            let mut at = weights.home(feature);
            while weights.slots[at].row != Row::NONE {
                at = (at + 1) & (size - 1);
            }
            weights.slots[at] = Slot { feature, row: Row::new(&row, &mut weights.cells) };
        }
        weights
    }

    /// The rows, by feature.
    pub fn rows(&self) -> Vec<(u32, Vec<(u8, i8)>)> {
        let filled = self.slots.iter().filter(|s| s.row != Row::NONE);
        let mut rows: Vec<_> = filled
            .map(|s| {
                let mut row = Vec::new();
                self.each(s.row, |label, weight| row.extend((weight != 0).then_some((label, weight))));
                (s.feature, row)
            })
            .collect();
        rows.sort_by_key(|row| row.0);
        rows
    }

    /// Calls `cell` with the labels and weights of a row; some weights may be 0.
    #[inline]
    pub fn each(&self, row: Row, mut cell: impl FnMut(u8, i8)) {
        let Row(bits) = row;
        if bits & 3 == TWO {
            cell((bits >> 2 & 127) as u8, (bits >> 16) as i8);
            cell((bits >> 9 & 127) as u8, (bits >> 24) as i8);
        } else if let Some((place, count)) = row.elsewhere() {
            for &(label, weight) in &self.cells[place..place + count] {
                cell(label, weight);
            }
        } else {
            [8, 16, 24].into_iter().zip(0..).for_each(|(at, label)| cell(label, (bits >> at) as i8));
        }
    }

    fn home(&self, feature: u32) -> usize {
        (u64::from(feature).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    fn bit(&self, feature: u32) -> (usize, u64) {
        let at = feature >> self.bits_shift;
        ((at / 64) as usize, 1 << (at % 64))
    }

    /// Begins to look for a feature: has its slot on its way from memory.
    #[inline]
    pub fn seek(&self, feature: u32) -> Sought {
        let (word, bit) = self.bit(feature);
        let at = if self.bits[word] & bit != 0 { self.home(feature) } else { self.slots.len() - 1 };
        prefetch(&self.slots[at]);
        Sought { feature, at: at as u32 }
    }

    /// Finds the row of a feature, and has its cells on their way from memory.
    #[inline]
    pub fn find(&self, Sought { feature, at }: Sought) -> Row {
        let mut at = at as usize;
        loop {
            let slot = self.slots[at];
            if slot.feature == feature || slot.row == Row::NONE {
                if let Some((place, _)) = slot.row.elsewhere() {
                    prefetch(&self.cells[place]);
                }
                return slot.row;
            }
            at = (at + 1) & (self.slots.len() - 2);
        }
    }

    /// Finds the rows of features, all on their way at once.
    #[inline]
    pub fn find_all<const N: usize>(&self, features: [u32; N]) -> [Row; N] {
        features.map(|feature| self.seek(feature)).map(|sought| self.find(sought))
    }

    /// Adds the weights of a row to the scores.
    #[inline]
    pub fn add(&self, row: Row, scores: &mut Scores) {
        self.each(row, |label, weight| scores[usize::from(label) & (MOST_LABELS - 1)] += i16::from(weight));
    }
}
