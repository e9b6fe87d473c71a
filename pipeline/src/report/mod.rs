//! Figures from the user's own data.
pub mod overlap;
