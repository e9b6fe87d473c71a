//! The weights of a trained perceptron: sparse rows of 8-bit weights, found by feature.
//!
//! A look-up mostly waits for memory. It therefore has two steps: [`Weights::probe`] prefetches
//! the slot of a feature, and [`Weights::row`] reads it and prefetches the cells of a long row.
//! Callers start many look-ups before they finish the first. `DESIGN.md` describes the table.
use ebert_prefetch::prefetch;

use crate::features::Feature;

/// The most labels of a model: the length of [`LabelScores`].
pub(crate) const MOST_LABELS: usize = 64;

/// The most cells of a model: the index of a cell has 24 bits.
pub(crate) const MOST_CELLS: usize = 1 << 24;

/// A score for each label. At most 30 features with weights up to 128 add up: 16 bits suffice.
pub(crate) type LabelScores = [i16; MOST_LABELS];

/// The weight of a feature for a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub label: u8,
    pub weight: i8,
}

/// The weights of a feature, in ascending order of their labels. Other labels have weight zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeatureRow {
    pub feature: Feature,
    pub cells: Vec<Cell>,
}

/// The rows of all features: a hash table with open addressing and linear probing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// A power of two, and one more slot at the end that is always empty.
    slots: Vec<Slot>,
    /// The cells of rows that do not fit a slot.
    cells: Vec<Cell>,
    /// Shifts a hash of 64 bits to the index of a slot.
    shift: u32,
    /// A bit is set if a feature that maps to it has a row. Most features have none.
    has_row: Vec<u64>,
    /// Shifts a feature to the index of its bit.
    has_row_shift: u32,
}

/// A feature and its row. An empty slot has an empty row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    feature: Feature,
    row: Row,
}

/// A look-up in progress: the slot at which it starts has been prefetched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe {
    feature: Feature,
    slot: u32,
}

/// The cells of a feature in 32 bits. The two lowest bits name the layout:
///
/// ```text
///           31      24 23      16 15     9 8      2 1 0
/// INLINE_2 | weight b | weight a | label b| label a| 0 |   up to two cells, any labels
///
///           31      24 23      16 15      8 7     2 1 0
/// INLINE_3 | weight 2 | weight 1 | weight 0|   -   | 1 |   the labels 0, 1 and 2
///
///           31                            8 7     2 1 0
/// SPILLED  | index of the first cell       | count | 2 |   3 to 63 cells in `Weights::cells`
/// ```
///
/// A missing cell of `INLINE_2` has label 0 and weight 0. The empty row is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Row(u32);

const INLINE_2: u32 = 0;
const INLINE_3: u32 = 1;
const SPILLED: u32 = 2;

impl Row {
    pub(crate) const EMPTY: Self = Self(INLINE_2);

    /// Packs cells; those that do not fit are appended to `spilled`.
    fn pack(row: &[Cell], spilled: &mut Vec<Cell>) -> Self {
        let label = |cell: Cell, bit: u32| u32::from(cell.label) << bit;
        let weight = |cell: Cell, bit: u32| u32::from(cell.weight as u8) << bit;
        match *row {
            [] => Self::EMPTY,
            [a] => Self(INLINE_2 | label(a, 2) | weight(a, 16)),
            [a, b] => Self(INLINE_2 | label(a, 2) | label(b, 9) | weight(a, 16) | weight(b, 24)),
            [a @ Cell { label: 0, .. }, b @ Cell { label: 1, .. }, c @ Cell { label: 2, .. }] => {
                Self(INLINE_3 | weight(a, 8) | weight(b, 16) | weight(c, 24))
            }
            _ => {
                let index = spilled.len() as u32;
                spilled.extend_from_slice(row);
                Self(SPILLED | (row.len() as u32) << 2 | index << 8)
            }
        }
    }

    fn layout(self) -> u32 {
        self.0 & 3
    }

    /// Index of the first cell and number of cells, if the layout is `SPILLED`.
    fn spilled(self) -> Option<(usize, usize)> {
        (self.layout() == SPILLED).then_some(((self.0 >> 8) as usize, (self.0 >> 2 & 63) as usize))
    }
}

impl Weights {
    /// Builds the table. Features are distinct, and so are the labels of a row; labels are below
    /// [`MOST_LABELS`] - 1. Returns `None` if there are more than [`MOST_CELLS`] cells.
    pub(crate) fn new(rows: &[FeatureRow]) -> Option<Self> {
        if rows.iter().map(|row| row.cells.len()).sum::<usize>() > MOST_CELLS {
            return None;
        }
        let size = (4 * rows.len() / 3 + 1).next_power_of_two().max(16);
        let words = size / 8;
        let mut weights = Self {
            slots: vec![Slot::default(); size + 1],
            cells: Vec::new(),
            shift: 64 - size.trailing_zeros(),
            has_row: vec![0; words],
            has_row_shift: 32 - (64 * words).trailing_zeros(),
        };
        for FeatureRow { feature, cells } in rows {
            let (word, bit) = weights.has_row_bit(*feature);
            weights.has_row[word] |= bit;
            let mut slot = weights.home(*feature);
            while weights.slots[slot].row != Row::EMPTY {
                slot = (slot + 1) & (size - 1);
            }
            weights.slots[slot] = Slot { feature: *feature, row: Row::pack(cells, &mut weights.cells) };
        }
        Some(weights)
    }

    /// All rows, in ascending order of their features.
    pub(crate) fn rows(&self) -> Vec<FeatureRow> {
        let filled = self.slots.iter().filter(|slot| slot.row != Row::EMPTY);
        let mut rows: Vec<_> = filled
            .map(|slot| {
                let mut cells = Vec::new();
                self.each_cell(slot.row, |label, weight| {
                    cells.extend((weight != 0).then_some(Cell { label, weight }));
                });
                FeatureRow { feature: slot.feature, cells }
            })
            .collect();
        rows.sort_by_key(|row| row.feature);
        rows
    }

    /// Calls `visit` with the label and weight of each cell of a row. Some weights may be 0.
    #[inline]
    pub(crate) fn each_cell(&self, row: Row, mut visit: impl FnMut(u8, i8)) {
        let Row(bits) = row;
        if row.layout() == INLINE_2 {
            visit((bits >> 2 & 127) as u8, (bits >> 16) as i8);
            visit((bits >> 9 & 127) as u8, (bits >> 24) as i8);
        } else if let Some((first, count)) = row.spilled() {
            for cell in &self.cells[first..first + count] {
                visit(cell.label, cell.weight);
            }
        } else {
            [8, 16, 24].into_iter().zip(0..).for_each(|(bit, label)| visit(label, (bits >> bit) as i8));
        }
    }

    /// The slot at which the search for a feature starts.
    fn home(&self, feature: Feature) -> usize {
        (u64::from(feature.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The word and the bit of [`Self::has_row`] that a feature maps to.
    fn has_row_bit(&self, feature: Feature) -> (usize, u64) {
        let index = feature.0 >> self.has_row_shift;
        ((index / 64) as usize, 1 << (index % 64))
    }

    /// Starts a look-up: prefetches the slot of a feature.
    #[inline]
    pub(crate) fn probe(&self, feature: Feature) -> Probe {
        let (word, bit) = self.has_row_bit(feature);
        let slot = if self.has_row[word] & bit != 0 { self.home(feature) } else { self.slots.len() - 1 };
        prefetch(&self.slots[slot]);
        Probe { feature, slot: slot as u32 }
    }

    /// Finishes a look-up: returns the row, and prefetches its cells if they are elsewhere.
    #[inline]
    pub(crate) fn row(&self, Probe { feature, slot }: Probe) -> Row {
        let mut at = slot as usize;
        loop {
            let slot = self.slots[at];
            if slot.feature == feature || slot.row == Row::EMPTY {
                if let Some((first, _)) = slot.row.spilled() {
                    prefetch(&self.cells[first]);
                }
                return slot.row;
            }
            at = (at + 1) & (self.slots.len() - 2);
        }
    }

    /// The rows of several features, which are looked up together.
    #[inline]
    pub(crate) fn find_all<const N: usize>(&self, features: [Feature; N]) -> [Row; N] {
        features.map(|feature| self.probe(feature)).map(|probe| self.row(probe))
    }

    /// Adds the weights of a row to the scores.
    #[inline]
    pub(crate) fn add(&self, row: Row, scores: &mut LabelScores) {
        // The mask changes no label; it saves the bounds check.
        self.each_cell(row, |label, weight| scores[usize::from(label) & (MOST_LABELS - 1)] += i16::from(weight));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Rows of all layouts, in few features, so that they collide.
    fn rows() -> impl Strategy<Value = Vec<FeatureRow>> {
        let weight = prop_oneof![-127i8..0, 1i8..=127];
        let any = prop::collection::btree_map(0u8..63, weight.clone(), 1..64);
        let first_three = prop::collection::btree_map(0u8..3, weight, 1..=3);
        let cells = prop_oneof![any, first_three];
        let feature = prop_oneof![0u32..50, (0u32..50).prop_map(|n| n << 26)];
        let rows = prop::collection::btree_map(feature, cells, 0..60);
        rows.prop_map(|rows: BTreeMap<u32, BTreeMap<u8, i8>>| {
            let cells = |row: BTreeMap<u8, i8>| row.into_iter().map(|(label, weight)| Cell { label, weight }).collect();
            rows.into_iter().map(|(feature, row)| FeatureRow { feature: Feature(feature), cells: cells(row) }).collect()
        })
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(rows in rows()) {
            let weights = Weights::new(&rows).unwrap();
            prop_assert_eq!(&weights.rows(), &rows);
            let map: BTreeMap<Feature, &Vec<Cell>> = rows.iter().map(|row| (row.feature, &row.cells)).collect();
            for feature in (0..64).flat_map(|n| [Feature(n), Feature(n << 26)]) {
                let mut wanted = [0; MOST_LABELS];
                for cell in map.get(&feature).into_iter().flat_map(|cells| cells.iter()) {
                    wanted[usize::from(cell.label)] = i16::from(cell.weight);
                }
                let mut found = [0; MOST_LABELS];
                weights.add(weights.row(weights.probe(feature)), &mut found);
                prop_assert_eq!(found, wanted);
            }
        }
    }
}
