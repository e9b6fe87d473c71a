//! What all steps run on: the streaming [`stage`], the [`ledger`] of finished tables, [`hashes`] of
//! files, tables as data [`frames`], sorting on disk in `runs`, and [`progress`].
pub mod frames;
pub mod hashes;
pub mod ledger;
pub(crate) mod memory;
pub mod progress;
pub(crate) mod runs;
pub mod stage;
