//! Figures and tables of what was made.
mod categories;
pub mod overlap;
pub mod phrases;
pub mod titles;
