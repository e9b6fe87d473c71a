//! What all steps run on: the streaming [`stage`], the [`ledger`] of finished tables, [`hashes`] of
//! files and in `tree_hash` of their ranges, tables as data [`frames`], sorting on disk in `runs`, files of `sections`
//! that tasks leave for one another, and [`progress`].
pub mod frames;
pub mod hashes;
pub mod ledger;
pub(crate) mod memory;
pub mod progress;
pub(crate) mod runs;
pub(crate) mod sections;
pub mod stage;
pub(crate) mod tree_hash;
