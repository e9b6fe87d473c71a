//! The pattern that byte-level tokenizers split a text with: that of GPT-2, RoBERTa and ModernBERT.
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! A part is a contraction, or a run of letters, of numbers, or of other characters with the space
//! before it, or white space up to the last one. The library runs a regular expression; here each
//! character is looked up in a table of kinds, which asks the library once per character.
use hashbrown::HashMap;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, pre_tokenizers::byte_level::ByteLevel,
};

/// What the pattern takes a character for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// Finds the parts of a text.
pub(super) struct Pattern {
    ascii: [Kind; 128],
    /// Characters that are not ASCII and have been seen.
    others: HashMap<char, Kind>,
}

impl Pattern {
    pub(super) fn new() -> Self {
        Self { ascii: std::array::from_fn(|byte| look_up(char::from(byte as u8))), others: HashMap::new() }
    }

    /// Where the part that begins at byte `start` ends. `start` must be inside the text.
    #[inline]
    pub(super) fn end(&mut self, text: &str, start: usize) -> usize {
        let bytes = text.as_bytes();
        match bytes[start] {
            b'\'' => {
                let contraction = match bytes[start + 1..] {
                    [b's' | b't' | b'm' | b'd', ..] => 2,
                    [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => 3,
                    _ => return self.end_of_run(text, start + 1, Kind::Other),
                };
                start + contraction
            }
            b' ' => match self.at(text, start + 1) {
                None => start + 1,
                Some((Kind::Space, _)) => self.end_of_spaces(text, start),
                Some((kind, length)) => self.end_of_run(text, start + 1 + length, kind),
            },
            _ => match self.at(text, start) {
                None => start,
                Some((Kind::Space, _)) => self.end_of_spaces(text, start),
                Some((kind, length)) => self.end_of_run(text, start + length, kind),
            },
        }
    }

    /// The first place from `at` on where no character of this kind follows.
    #[inline]
    fn end_of_run(&mut self, text: &str, mut at: usize, kind: Kind) -> usize {
        while let Some((_, length)) = self.at(text, at).filter(|(other, _)| *other == kind) {
            at += length;
        }
        at
    }

    /// The end of white space: all of it before the end of the text, and else without its last
    /// character, which goes with what follows or is a part alone.
    fn end_of_spaces(&mut self, text: &str, start: usize) -> usize {
        let (mut last, mut at) = (start, start);
        while let Some((_, length)) = self.at(text, at).filter(|(kind, _)| *kind == Kind::Space) {
            (last, at) = (at, at + length);
        }
        if at == text.len() || last == start { at } else { last }
    }

    /// The kind and the bytes of the character at a place, if the text does not end there.
    #[inline]
    fn at(&mut self, text: &str, at: usize) -> Option<(Kind, usize)> {
        let byte = *text.as_bytes().get(at)?;
        if byte.is_ascii() {
            return Some((self.ascii[usize::from(byte)], 1));
        }
        let c = text[at..].chars().next()?;
        Some((*self.others.entry(c).or_insert_with(|| look_up(c)), c.len_utf8()))
    }
}

/// What the library takes a character for.
fn look_up(c: char) -> Kind {
    // A run of one kind is one part.
    let joins = |before: char| {
        let mut split = PreTokenizedString::from(format!("{before}{c}"));
        // The pattern fails on no text.
        let _ = ByteLevel::new(false, false, true).pre_tokenize(&mut split);
        split.get_splits(OffsetReferential::Original, OffsetType::Byte).len() == 1
    };
    match ['a', '1', '!'].map(joins) {
        [true, _, _] => Kind::Letter,
        [_, true, _] => Kind::Number,
        [_, _, true] => Kind::Other,
        _ => Kind::Space,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts_by_library(text: &str) -> Vec<usize> {
        let mut split = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut split).unwrap();
        split.get_splits(OffsetReferential::Original, OffsetType::Byte).iter().map(|part| part.1.1).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn parts_are_those_of_the_regular_expression(
            text in "([a-z]{1,3}|[0-9]|'(s|t|re|ve|m|ll|d|l|r|v|S)|[ '!.]|[ \t\n\r\u{b}\u{c}\u{1c}\u{85}\u{a0}\u{2028}\u{3000}]{1,3}|\\PC|[½²٣éİ中ー\u{301}\u{200b}\u{feff}]){0,30}"
        ) {
            let mut pattern = Pattern::new();
            let (mut at, mut ends) = (0, Vec::new());
            while at < text.len() {
                at = pattern.end(&text, at);
                ends.push(at);
            }
            prop_assert_eq!(ends, parts_by_library(&text));
        }
    }
}
