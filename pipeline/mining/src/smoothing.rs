//! The small number that keeps divisions and logarithms finite.

/// As in AutoPhrase.
pub(crate) const EPSILON: f64 = 1e-8;

/// Natural logarithm of a number of at least 0; finite at 0.
pub(crate) fn ln(x: f64) -> f64 {
    (x + EPSILON).ln()
}
