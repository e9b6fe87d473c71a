//! What the models see of a token.
//!
//! Each token is hashed once into a [`WordForm`]. A [`Feature`] is the hash of a template's number
//! and of one or two parts of word forms or tags.
use xxhash_rust::xxh3::xxh3_64;

/// A feature of a token in its context. Collisions are rare and harmless: training has them, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Feature(pub u32);

impl Feature {
    /// The feature of a template with the values `a` and `b`.
    #[inline]
    pub(crate) fn new(template: u32, a: u32, b: u32) -> Self {
        let mixed = (u64::from(a) << 32 | u64::from(b)) ^ (u64::from(template) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self((mixed >> 32) as u32)
    }
}

/// The form of a token, as hashes. Digits count as zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WordForm {
    /// The spelling.
    pub word: u32,
    /// The spelling in lower case.
    pub lower: u32,
    /// The first one to four bytes.
    pub prefixes: [u32; 4],
    /// The last one to four bytes, in lower case.
    pub suffixes: [u32; 4],
    /// The pattern of letters, digits and signs: `Xx`, `d,d`, `x-x`.
    pub shape: u32,
}

/// Bytes of a shape; longer ones are cut.
const SHAPE_BYTES: usize = 12;

impl WordForm {
    /// What precedes and follows a sentence.
    pub(crate) const OUTSIDE: Self = Self { word: 1, lower: 1, prefixes: [1; 4], suffixes: [1; 4], shape: 1 };

    /// The form of a token. Tokens of a sentence in capitals are read in lower case.
    fn new(token: &str, in_capitals: bool, buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend(token.bytes().map(|b| match b {
            b'0'..=b'9' => b'0',
            b if in_capitals => b.to_ascii_lowercase(),
            b => b,
        }));
        let (word, shape) = (hash(buffer), shape(buffer));
        let affix = |bytes: &[u8]| {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            u32::from_le_bytes(four)
        };
        let length = buffer.len();
        let prefixes = [1, 2, 3, 4].map(|n| affix(&buffer[..n.min(length)]));
        buffer.make_ascii_lowercase();
        let suffixes = [1, 2, 3, 4].map(|n| affix(&buffer[length - n.min(length)..]));
        Self { word, lower: hash(buffer), prefixes, suffixes, shape }
    }
}

/// The hash of a token's shape. Equal classes in a row count once.
fn shape(token: &[u8]) -> u32 {
    let mut shape = [0u8; SHAPE_BYTES];
    let mut length = 0;
    for &byte in token {
        let class = match byte {
            b'A'..=b'Z' => b'X',
            b'a'..=b'z' => b'x',
            b'0'..=b'9' => b'd',
            0x80.. => b'u',
            other => other,
        };
        if (length == 0 || shape[length - 1] != class) && length < shape.len() {
            shape[length] = class;
            length += 1;
        }
    }
    hash(&shape[..length])
}

fn hash(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

/// The form of the token at `i + offset`, which may be outside the sentence.
pub(crate) fn form_at(forms: &[WordForm], i: usize, offset: isize) -> &WordForm {
    i.checked_add_signed(offset).and_then(|at| forms.get(at)).unwrap_or(&WordForm::OUTSIDE)
}

/// The number that stands for the tag of a token outside the sentence.
pub(crate) const NO_TAG: u8 = 255;

/// The tag of the token at `i + offset`, which may be outside the sentence.
pub(crate) fn tag_at(tags: &[u8], i: usize, offset: isize) -> u8 {
    i.checked_add_signed(offset).and_then(|at| tags.get(at)).copied().unwrap_or(NO_TAG)
}

/// Whether a sentence is in capitals: several words, hardly a small letter.
fn is_in_capitals<'t>(tokens: impl Iterator<Item = &'t str>) -> bool {
    let (mut upper, mut lower, mut words) = (0, 0, 0);
    for token in tokens {
        let capitals = token.bytes().filter(u8::is_ascii_uppercase).count();
        upper += capitals;
        lower += token.bytes().filter(u8::is_ascii_lowercase).count();
        words += usize::from(capitals > 1);
    }
    words > 2 && upper > 6 * lower
}

/// Replaces `forms` by the forms of a sentence's tokens.
pub(crate) fn forms_of<'t>(
    tokens: impl Iterator<Item = &'t str> + Clone,
    forms: &mut Vec<WordForm>,
    buffer: &mut Vec<u8>,
) {
    let in_capitals = is_in_capitals(tokens.clone());
    forms.clear();
    forms.extend(tokens.map(|token| WordForm::new(token, in_capitals, buffer)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(sentence: &str) -> Vec<WordForm> {
        let mut forms = Vec::new();
        forms_of(sentence.split(' '), &mut forms, &mut Vec::new());
        forms
    }

    #[test]
    fn forms_have_what_their_features_need() {
        let [kettle, capitals, plural] = forms("kettle Kettle kettles")[..] else { unreachable!() };
        assert_eq!((kettle.lower, kettle.prefixes), (capitals.lower, plural.prefixes));
        assert_ne!(kettle.word, capitals.word);
        assert_ne!(kettle.shape, capitals.shape);
        assert_eq!(forms("2,500 7,100")[0], forms("2,500 7,199")[1], "digits are equal");
        assert_eq!(forms("BEST KETTLE EVER"), forms("best kettle ever"), "capitals say nothing here");
    }
}
