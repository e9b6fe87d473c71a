//! Raw Amazon dumps: which files there are, opening them, their lines, their records.
//!
//! What a file holds is recognised from its records and how it is compressed from its first bytes; its
//! name says nothing. No file is ever read whole.

/// Raised whenever a raw file gives other records, or a text is cleaned differently.
pub const RULES: u32 = 1;

pub mod clean;
mod find;
mod lines;
mod open;
pub mod python;
mod record;

pub use find::{FindError, Found, RawFiles, Skipped, find, skipped_in_words};
pub use lines::{BYTE_ORDER_MARK, LineBatch, LineReader, MAX_LINE};
pub use open::{OpenFile, open};
pub use record::{Generation, Kind, MalformedRecord, Record, parse};
