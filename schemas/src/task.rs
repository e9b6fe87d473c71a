//! One process's share of numbered items, so that many processes can write one folder.
use std::{fmt, str::FromStr};

/// Task `i` of `n`: its share of the items numbered from 0 are those with `number % n == i`.
///
/// Shares do not overlap, and together they hold every item. Only the numbers decide them, so a task
/// can be started again at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    index: u32,
    of: u32,
}

impl Task {
    /// The only task: its share is every item.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// Task `index` of `of`. `None` unless the index is below the number of tasks.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Its number, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Number of tasks.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether the item with this number belongs to the task.
    pub fn has(self, number: u64) -> bool {
        number % u64::from(self.of) == u64::from(self.index)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Self::new(index.parse().ok()?, of.parse().ok()?));
        numbers.ok_or_else(|| format!("`{text}` is not a part; expected i/n with 0 <= i < n, such as 0/4"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_share_everything() {
        for of in [1, 3, 7] {
            for number in 0..30 {
                assert_eq!((0..of).filter(|&index| Task { index, of }.has(number)).count(), 1);
            }
        }
    }

    #[test]
    fn what_is_no_task_is_refused() {
        assert_eq!("2/7".parse(), Ok(Task { index: 2, of: 7 }));
        assert_eq!(Task { index: 2, of: 7 }.to_string(), "2/7");
        for text in ["", "2", "7/7", "0/0", "-1/2", "a/b"] {
            assert!(text.parse::<Task>().is_err_and(|error| error.contains("expected i/n")), "{text}");
        }
    }
}
