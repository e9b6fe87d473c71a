//! What the models see of a token: each is hashed once into a fixed record, and a feature is a template number mixed with one or
//! two of the record's parts.
use xxhash_rust::xxh3::xxh3_64;

/// A token as features see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The word as it is written, digits as zeros.
    pub word: u32,
    /// The word in lower case, digits as zeros.
    pub lower: u32,
    /// Its first one to four bytes.
    pub prefixes: [u32; 4],
    /// Its last one to four bytes, in lower case.
    pub suffixes: [u32; 4],
    /// Its shape: `Xx`, `d,d`, `x-x`.
    pub shape: u32,
}

impl Record {
    /// Outside the sentence.
    pub const OUTSIDE: Self = Self { word: 1, lower: 1, prefixes: [1; 4], suffixes: [1; 4], shape: 1 };

    /// The record of a token. `shouted` is a sentence in capitals, whose words are seen in lower case.
    pub fn new(token: &str, shouted: bool, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend(token.bytes().map(|b| match b {
            b'0'..=b'9' => b'0',
            b if shouted => b.to_ascii_lowercase(),
            b => b,
        }));
        let word = hash(scratch);
        let shape = {
            let mut shape = [0u8; 12];
            let mut length = 0;
            for &byte in scratch.iter() {
                let class = match byte {
                    b'A'..=b'Z' => b'X',
                    b'a'..=b'z' => b'x',
                    b'0'..=b'9' => b'd',
                    0x80.. => b'u',
                    other => other,
                };
                // Runs are one; long patterns are cut.
                if (length == 0 || shape[length - 1] != class) && length < shape.len() {
                    shape[length] = class;
                    length += 1;
                }
            }
            hash(&shape[..length])
        };
        let affix = |bytes: &[u8]| {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            u32::from_le_bytes(four)
        };
        let length = scratch.len();
        let prefixes = [1, 2, 3, 4].map(|n| affix(&scratch[..n.min(length)]));
        scratch.make_ascii_lowercase();
        let suffixes = [1, 2, 3, 4].map(|n| affix(&scratch[length - n.min(length)..]));
        Self { word, lower: hash(scratch), prefixes, suffixes, shape }
    }
}

fn hash(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

/// The record of a token, or of what is outside the sentence.
pub(super) fn near(records: &[Record], i: usize, by: isize) -> &Record {
    i.checked_add_signed(by).and_then(|at| records.get(at)).unwrap_or(&Record::OUTSIDE)
}

/// Whether a sentence is in capitals: several words, hardly a small letter.
pub(super) fn is_shouted<'t>(tokens: impl Iterator<Item = &'t str>) -> bool {
    let (mut upper, mut lower, mut words) = (0, 0, 0);
    for token in tokens {
        let capitals = token.bytes().filter(u8::is_ascii_uppercase).count();
        upper += capitals;
        lower += token.bytes().filter(u8::is_ascii_lowercase).count();
        words += usize::from(capitals > 1);
    }
    words > 2 && upper > 6 * lower
}

/// The hash of a feature.
#[inline]
pub(super) fn feature(template: u32, a: u32, b: u32) -> u32 {
    let mixed = (u64::from(a) << 32 | u64::from(b)) ^ (u64::from(template) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 32) as u32
}

/// Records of a sentence's tokens.
pub(super) fn records_of<'t>(
    tokens: impl Iterator<Item = &'t str> + Clone,
    into: &mut Vec<Record>,
    scratch: &mut Vec<u8>,
) {
    let shouted = is_shouted(tokens.clone());
    into.clear();
    into.extend(tokens.map(|token| Record::new(token, shouted, scratch)));
}
