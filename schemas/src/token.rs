//! Token ids: 16 bits where all ids of a vocabulary fit, else 32.
use arrow_array::{
    ArrowPrimitiveType,
    types::{UInt16Type, UInt32Type},
};
use arrow_buffer::ArrowNativeType;

/// The id of a token as it is stored: `u16` for vocabularies of at most 65,536 entries, else `u32`.
pub trait TokenId: ArrowNativeType + Ord {
    /// The type of the elements of `input_ids`.
    type Column: ArrowPrimitiveType<Native = Self>;

    /// The most entries of a vocabulary whose ids fit.
    const MOST_ENTRIES: u64;

    /// The id with this number, which must fit.
    fn of(id: u32) -> Self;

    /// Its number.
    fn get(self) -> u32;
}

impl TokenId for u16 {
    type Column = UInt16Type;
    const MOST_ENTRIES: u64 = 1 << 16;

    fn of(id: u32) -> Self {
        id as Self
    }

    fn get(self) -> u32 {
        u32::from(self)
    }
}

impl TokenId for u32 {
    type Column = UInt32Type;
    const MOST_ENTRIES: u64 = 1 << 32;

    fn of(id: u32) -> Self {
        id
    }

    fn get(self) -> u32 {
        self
    }
}
