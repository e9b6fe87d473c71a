//! What all steps run on: the streaming [`stage`], the ledger of finished tables, [`hashes`] of
//! files, and [`progress`] for whoever watches.
pub mod hashes;
pub mod ledger;
pub(crate) mod memory;
pub mod progress;
pub mod stage;
