//! Words and tokens of a text that were found apart from each other, and which of them touch.
use std::ops::Range;

/// Tokens that are read as one: a token of a vocabulary that does not mark where words start, or
/// else a token with those that continue it. `start..end` are its bytes in the raw text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) end: u32,
    /// First token.
    pub(super) token: u32,
}

impl Piece {
    #[inline]
    pub(super) fn new(bytes: Range<usize>, token: usize) -> Self {
        Self { start: bytes.start as u32, end: bytes.end as u32, token: token as u32 }
    }
}

/// Finds the tokens that each word touches. `words` are byte ranges of the raw text, in order, that
/// do not overlap. Neither starts nor ends of pieces descend. `tokens` is the number of tokens.
pub(super) fn touch(words: impl Iterator<Item = Range<u32>>, pieces: &[Piece], tokens: u32, touched: &mut Touched) {
    let Touched { first_tokens, end_tokens, word_starts } = touched;
    let token_of = |piece: usize| pieces.get(piece).map_or(tokens, |piece| piece.token);
    // No word before touches a piece from `free` on.
    let (mut first, mut free) = (0, 0);
    for word in words {
        while pieces.get(first).is_some_and(|piece| piece.end <= word.start) {
            first += 1;
        }
        let mut end = first;
        while pieces.get(end).is_some_and(|piece| piece.start < word.end) {
            end += 1;
        }
        first_tokens.push(token_of(first));
        end_tokens.push(token_of(end));
        if first >= free && first < end {
            word_starts.push(token_of(first));
        }
        free = free.max(end);
    }
}

/// The tokens of words. `first_tokens` and `end_tokens` have an entry per word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// First token.
    pub(super) first_tokens: Vec<u32>,
    /// One past the last token.
    pub(super) end_tokens: Vec<u32>,
    /// Tokens that start a word, and that no word before touches.
    pub(super) word_starts: Vec<u32>,
}

impl Touched {
    pub(super) fn clear(&mut self) {
        let Self { first_tokens, end_tokens, word_starts } = self;
        [first_tokens, end_tokens, word_starts].into_iter().for_each(Vec::clear);
    }

    /// The tokens of some words. `None` if a word outside of them touches one of these tokens.
    #[inline]
    pub(super) fn tokens(&self, words: Range<usize>) -> Option<Range<u32>> {
        let tokens = self.first_tokens[words.start]..self.end_tokens[words.end - 1];
        let before = words.start.checked_sub(1).map_or(0, |before| self.end_tokens[before]);
        let after = self.first_tokens.get(words.end).copied().unwrap_or(u32::MAX);
        (before <= tokens.start && tokens.end <= after).then_some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges of these lengths with these gaps between them, and where the last one ends.
    fn ranges(of: &[(u32, u32)]) -> Vec<Range<u32>> {
        let mut at = 0;
        let next = |&(gap, length): &(u32, u32)| {
            let start = at + gap;
            at = start + length;
            start..at
        };
        of.iter().map(next).collect()
    }

    proptest! {
        #[test]
        fn tokens_are_those_that_share_a_byte_with_a_word(
            words in prop::collection::vec((0u32..4, 1u32..6), 0..20),
            pieces in prop::collection::vec(0u32..5, 0..60),
            some in (0usize..20, 1usize..5),
        ) {
            let words = ranges(&words);
            let bytes = ranges(&pieces.iter().map(|&length| (0, length)).collect::<Vec<_>>());
            // The text ends with its last token.
            let text = bytes.last().map_or(0, |piece| piece.end);
            let words: Vec<Range<u32>> = words.into_iter().filter(|word| word.end <= text).collect();
            let pieces: Vec<Piece> =
                bytes.iter().enumerate().map(|(token, b)| Piece { start: b.start, end: b.end, token: token as u32 }).collect();
            let mut touched = Touched::default();
            touch(words.iter().cloned(), &pieces, pieces.len() as u32, &mut touched);
            let shares = |word: &Range<u32>, token: usize| word.start.max(bytes[token].start) < word.end.min(bytes[token].end);
            let of = |word: &Range<u32>| (0..bytes.len()).filter(|&token| shares(word, token)).collect::<Vec<_>>();
            for (number, word) in words.iter().enumerate() {
                let wanted = of(word);
                let found = touched.first_tokens[number] as usize..touched.end_tokens[number] as usize;
                prop_assert_eq!(found.start, wanted[0]);
                prop_assert_eq!(found.end, wanted[wanted.len() - 1] + 1);
            }
            // A token starts a word if a word has its first token there, and no word began in an earlier one.
            let starts = |token: usize| {
                words.iter().any(|word| of(word)[0] == token)
                    && !words.iter().any(|word| of(word).contains(&token) && of(word)[0] < token)
            };
            let wanted: Vec<u32> = (0..bytes.len()).filter(|&token| starts(token)).map(|token| token as u32).collect();
            prop_assert_eq!(&touched.word_starts, &wanted);
            // Tokens of some words, unless another word shares one.
            let (first, end) = (some.0, some.0 + some.1);
            if end <= words.len() {
                let tokens = of(&words[first])[0]..of(&words[end - 1]).last().unwrap() + 1;
                let mut others = words[..first].iter().chain(&words[end..]);
                let is_shared = others.any(|word| tokens.clone().any(|token| shares(word, token)));
                let wanted = (!is_shared).then_some(tokens.start as u32..tokens.end as u32);
                prop_assert_eq!(touched.tokens(first..end), wanted);
            }
        }
    }
}
