//! Phrases: the scored pool ([`pool`]), mining it from text ([`miner`]), and where its phrases occur ([`matcher`]).
mod edges;
pub mod matcher;
pub mod miner;
pub mod pool;
