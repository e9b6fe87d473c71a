//! Looking at what is there: [`inspect`](inspect::inspect) the shards, [`verify`](verify::verify) every file, draw
//! figures, export titles.
pub mod categories;
pub mod inspect;
pub mod overlap;
pub mod phrases;
pub mod titles;
pub mod verify;
