//! Printable ASCII, 64 bytes at a time: lower case, and the words as bit masks.
//!
//! A [`Block`] does for 64 bytes what BERT's uncased normalizer and pre-tokenizer do for each of
//! them. Bit `i` of a mask is byte `i` of the block. `pipeline/DESIGN.md` explains why this is
//! fast.

/// The first bytes of a text, at most 64. A block ends before the first byte that is neither
/// printable ASCII nor white space.
pub(super) struct Block {
    /// Normalized bytes: letters in lower case, white space as `' '`. Only the first `length`
    /// count.
    pub(super) text: [u8; Self::BYTES],
    pub(super) length: usize,
    /// Letters and digits: bytes that continue a word.
    letters: u64,
    /// Bytes that are a word alone.
    punctuation: u64,
}

/// What a block does with one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockByte {
    Letter(u8),
    Space(u8),
    Punctuation(u8),
    /// The block ends before it.
    Unreadable,
}

impl Block {
    pub(super) const BYTES: usize = 64;

    /// The block at the start of `bytes`.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut padded = [0; Self::BYTES];
        let raw = bytes.first_chunk().unwrap_or_else(|| {
            padded[..bytes.len()].copy_from_slice(bytes);
            &padded
        });
        let (mut text, mut letters, mut spaces, mut others) = ([0; 64], [0; 64], [0; 64], [0; 64]);
        // No branches, so that the compiler vectorizes the loop.
        for i in 0..Self::BYTES {
            let byte = raw[i];
            let lower = byte | u8::from(byte.is_ascii_uppercase()) << 5;
            let space = u8::from((byte == b' ') | (byte == b'\t') | (byte == b'\n') | (byte == b'\r'));
            text[i] = if space == 1 { b' ' } else { lower };
            letters[i] = u8::from(lower.is_ascii_lowercase() | byte.is_ascii_digit());
            spaces[i] = space;
            others[i] = u8::from(!(b' '..0x7f).contains(&byte)) & !space;
        }
        let length = mask(&others).trailing_zeros();
        let readable = if length == 64 { u64::MAX } else { (1 << length) - 1 };
        let (letters, spaces) = (mask(&letters) & readable, mask(&spaces));
        Self { text, length: length as usize, letters, punctuation: readable & !letters & !spaces }
    }

    /// What a block does with this byte.
    pub(super) fn of_byte(byte: u8) -> BlockByte {
        let block = Self::of(&[byte]);
        let becomes = block.text[0];
        match (block.length, block.letters, block.punctuation) {
            (0, ..) => BlockByte::Unreadable,
            (_, 1, _) => BlockByte::Letter(becomes),
            (_, _, 1) => BlockByte::Punctuation(becomes),
            _ => BlockByte::Space(becomes),
        }
    }

    /// How many letters the block begins with.
    #[inline]
    pub(super) fn leading_letters(&self) -> usize {
        self.letters.trailing_ones() as usize
    }

    /// Whether the last byte is a letter, so that a word may continue after the block.
    #[inline]
    pub(super) fn ends_in_letter(&self) -> bool {
        self.length > 0 && self.letters >> (self.length - 1) & 1 == 1
    }

    /// The words that begin in the block: first byte and length. If the text before ends inside a
    /// word (`inside_word`), letters at the start of the block continue that word and begin none.
    #[inline]
    pub(super) fn words(&self, inside_word: bool) -> impl Iterator<Item = BlockWord> {
        let mut starts = self.letters & !(self.letters << 1 | u64::from(inside_word)) | self.punctuation;
        std::iter::from_fn(move || {
            let start = (starts != 0).then(|| starts.trailing_zeros())?;
            starts &= starts - 1;
            // Punctuation has no letters to count and is one byte.
            let length = (self.letters >> start).trailing_ones().max(1);
            Some(BlockWord { start, length })
        })
    }
}

/// A word in a block, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockWord {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// Bit `i` is byte `i`, which must be 0 or 1.
fn mask(flags: &[u8; 64]) -> u64 {
    let mut mask = 0;
    for (i, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // The product moves the lowest bit of byte k to bit 56 + k. No two bits meet.
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Length, text and words of a block, byte by byte.
    fn plain(bytes: &[u8], mut inside_word: bool) -> (Vec<u8>, Vec<BlockWord>) {
        let (mut text, mut words) = (Vec::new(), Vec::<BlockWord>::new());
        for &byte in bytes.iter().take(64) {
            let start = text.len() as u32;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    text.push(b' ');
                    inside_word = false;
                }
                _ if byte.is_ascii_alphanumeric() => {
                    text.push(byte.to_ascii_lowercase());
                    match words.last_mut().filter(|word| inside_word && word.start + word.length == start) {
                        Some(word) => word.length += 1,
                        None if !inside_word => words.push(BlockWord { start, length: 1 }),
                        None => {}
                    }
                    inside_word = true;
                }
                _ if byte.is_ascii_graphic() => {
                    text.push(byte);
                    words.push(BlockWord { start, length: 1 });
                    inside_word = false;
                }
                _ => break,
            }
        }
        (text, words)
    }

    proptest! {
        #[test]
        fn a_block_is_its_bytes_one_by_one(
            bytes in prop::collection::vec(prop_oneof![60 => 32u8..127, 9 => prop::sample::select(b" \t\n\r--az09".to_vec()), 1 => any::<u8>()], 0..90),
            inside_word in any::<bool>(),
        ) {
            let block = Block::of(&bytes);
            let (text, words) = plain(&bytes, inside_word);
            prop_assert_eq!(&block.text[..block.length], &text);
            prop_assert_eq!(block.words(inside_word).collect::<Vec<_>>(), words);
            prop_assert_eq!(block.leading_letters(), text.iter().take_while(|b| b.is_ascii_alphanumeric()).count());
            prop_assert_eq!(block.ends_in_letter(), text.last().is_some_and(u8::is_ascii_alphanumeric));
        }
    }
}
