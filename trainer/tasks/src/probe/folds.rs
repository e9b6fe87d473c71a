//! Cross-validation: each document is in one of five folds, by a keyed draw.
use schemas::Draws;

/// Number of folds.
pub const FOLDS: usize = 5;

/// The fold of a document. Adding documents moves none.
pub fn fold_of(seed: u64, document: &str) -> usize {
    Draws::new(seed, "probe-fold", document.as_bytes()).below(FOLDS as u64) as usize
}

/// Whether every fold has rows to test, and others to fit.
pub fn are_filled(folds: &[usize]) -> bool {
    (0..FOLDS).all(|fold| folds.contains(&fold))
}

/// The rows that are in a fold, and the others.
pub fn rows_of(folds: &[usize], fold: usize) -> (Vec<i64>, Vec<i64>) {
    (0..folds.len() as i64).partition(|&row| folds[row as usize] == fold)
}
