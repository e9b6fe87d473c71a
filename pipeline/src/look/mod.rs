//! [`check`](check::check) shows how raw files are read. The other commands read the output:
//!
//! * [`inspect`](inspect::inspect) prints what the shards contain,
//! * [`leaks`](leaks::leaks) looks for held-out documents that are nearly trained on,
//! * [`verify`](verify::verify) checks every file,
//! * [`phrases`](phrases::phrases) and [`overlap`](overlap::overlap) make the paper's Table 1 and
//!   Figure 6,
//! * [`associations`](associations::associations) plots degrees and relations,
//! * [`titles`](titles::titles) exports the products' titles.
//!
//! All but `check` know the sealed folders, and nothing of the steps that make them.
pub mod associations;
mod categories;
pub mod check;
mod figure;
pub mod inspect;
pub mod leaks;
pub mod overlap;
pub mod phrases;
mod segments;
pub mod titles;
pub mod verify;
