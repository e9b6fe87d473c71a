//! Phrases: the scored pool ([`pool`]) and where its phrases occur ([`matcher`]).
pub mod matcher;
pub mod pool;
