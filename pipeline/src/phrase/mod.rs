//! Scored phrases: [`mine`] reads the text for `ebert-mining`, [`pool`] holds the phrases, [`matcher`] finds them.
pub mod matcher;
pub mod mine;
pub mod pool;
