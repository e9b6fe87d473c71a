//! A share of a grid's cells, so that many processes can make the cells of one grid.
//!
//! `trainer report GRID --task i/n` says which share a process has, in the words of `pipeline shards --task i/n`. Shares do not overlap and
//! together are everything; nothing but the cells' numbers decides them, so a task can be started again at any time.
use std::{fmt, str::FromStr};

/// A share of the cells: those c, counted from 0 in the grid's order, with c mod `of` = `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    of: u32,
}

impl Share {
    /// Whether the task makes this cell.
    pub fn has(self, cell: usize) -> bool {
        cell % self.of as usize == self.index as usize
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is no task; wanted i/n with 0 <= i < n, such as 0/4");
        let (index, of) = text.split_once('/').ok_or_else(wanted)?;
        match (index.parse(), of.parse()) {
            (Ok(index), Ok(of)) if index < of => Ok(Self { index, of }),
            _ => Err(wanted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_share_all_cells() {
        for of in [1, 3, 7] {
            for cell in 0..30 {
                assert_eq!((0..of).filter(|&index| Share { index, of }.has(cell)).count(), 1);
            }
        }
    }

    #[test]
    fn what_is_no_task_is_refused() {
        assert_eq!("2/7".parse(), Ok(Share { index: 2, of: 7 }));
        for text in ["", "2", "7/7", "0/0", "-1/2", "a/b"] {
            assert!(text.parse::<Share>().is_err_and(|error| error.contains("wanted i/n")), "{text}");
        }
    }
}
