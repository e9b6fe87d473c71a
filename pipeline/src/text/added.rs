//! Added tokens: strings that byte-level tokenizers take out of a text whole, before anything else.
//!
//! ModernBERT has them for runs of spaces and for placeholders such as `|||EMAIL_ADDRESS|||`.
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

/// Finds added tokens in a text.
pub(super) struct AddedTokens {
    automaton: AhoCorasick,
    /// For each string: its token, or `None` if it is special. Those are ordinary text here, but
    /// hide what overlaps with them, as in the library.
    tokens: Vec<Option<u32>>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) bytes: Range<usize>,
    /// The added token that it is, or `None` for ordinary text.
    pub(super) token: Option<u32>,
}

impl AddedTokens {
    /// `None` if no string is a token.
    pub(super) fn new(strings: &[(String, Option<u32>)]) -> Result<Option<Self>, BuildError> {
        if strings.iter().all(|(_, token)| token.is_none()) {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(strings.iter().map(|(string, _)| string))?;
        Ok(Some(Self { automaton, tokens: strings.iter().map(|(_, token)| *token).collect() }))
    }

    /// The parts of a text, without empty ones.
    pub(super) fn parts<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Part> + 't {
        let found = self.automaton.find_iter(text);
        let found = found.filter_map(|found| Some((found.range(), self.tokens[found.pattern().as_usize()]?)));
        let mut last = 0;
        let with_text = found.map(Some).chain([None]).flat_map(move |found| {
            let (bytes, token) = match found {
                Some((bytes, token)) => (bytes, Some(token)),
                None => (text.len()..text.len(), None),
            };
            let before = Part { bytes: last..bytes.start, token: None };
            last = bytes.end;
            [before, Part { bytes, token }]
        });
        with_text.filter(|part| !part.bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_string_is_taken_and_special_ones_hide_what_they_overlap() {
        let strings = [("  ", Some(1)), ("   ", Some(2)), ("<s> ", None)].map(|(s, token)| (s.to_owned(), token));
        let added = AddedTokens::new(&strings).unwrap().unwrap();
        let parts =
            |text: &'static str| -> Vec<_> { added.parts(text).map(|part| (&text[part.bytes], part.token)).collect() };
        assert_eq!(parts("a  b"), [("a", None), ("  ", Some(1)), ("b", None)]);
        assert_eq!(parts("     "), [("   ", Some(2)), ("  ", Some(1))]);
        assert_eq!(parts("<s>  x"), [("<s>  x", None)]);
        assert!(parts("").is_empty());
        assert!(AddedTokens::new(&strings[2..]).unwrap().is_none());
    }
}
