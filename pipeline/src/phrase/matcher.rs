//! Finds every occurrence of every pool phrase: Aho-Corasick over words.
//!
//! Each word of the pool has a byte code in which no code is part of another, as UTF-8 has for
//! characters, and the automaton runs over the codes. So a match begins and ends at words by
//! construction, the text that is searched is a third of the bytes, and a word of no phrase resets the
//! automaton. (Leftmost-longest search over text followed by a word-boundary test is not exact:
//! `gift card holder` inside `gift card holders` hides `gift card`.)
use std::collections::HashMap;

use aho_corasick::{
    Anchored, BuildError, MatchKind,
    automaton::Automaton,
    nfa::contiguous::{Builder, NFA},
};
use schemas::PhraseId;

use super::pool::Pool;
use crate::text::{Document, Lexicon, Tokenizer};

/// Where a pool phrase occurs in a document, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// First token.
    pub start: u32,
    /// One past the last token.
    pub end: u32,
    /// The phrase.
    pub phrase: PhraseId,
}

/// The automaton of a pool; shared by all threads.
pub struct Matcher {
    automaton: Option<NFA>,
    /// Words of each phrase.
    lengths: Vec<u8>,
}

impl Matcher {
    /// The automaton of a pool, and the lexicon of its words.
    ///
    /// # Errors
    /// When the automaton would be larger than its ids allow.
    pub fn new<'t>(pool: &Pool, tokenizer: &'t Tokenizer) -> Result<(Self, Lexicon<'t>), BuildError> {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for phrase in &pool.phrases {
            for word in phrase.text.split(' ') {
                *counts.entry(word).or_default() += 1;
            }
        }
        // Frequent words get short codes.
        let mut words: Vec<(&str, u32)> = counts.into_iter().collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let lexicon = Lexicon::new(tokenizer, words.iter().map(|w| w.0));
        if pool.phrases.is_empty() {
            return Ok((Self { automaton: None, lengths: Vec::new() }, lexicon));
        }
        let numbers: HashMap<&str, u32> = words.iter().enumerate().map(|(i, w)| (w.0, i as u32 + 1)).collect();
        let mut lengths = Vec::with_capacity(pool.phrases.len());
        let patterns = pool.phrases.iter().map(|phrase| {
            let mut codes = Vec::with_capacity(16);
            for word in phrase.text.split(' ') {
                let (code, length) = code_of(numbers[word]);
                codes.extend_from_slice(&code[..length]);
            }
            lengths.push(phrase.words);
            codes
        });
        let patterns: Vec<Vec<u8>> = patterns.collect();
        let automaton = Builder::new().match_kind(MatchKind::Standard).prefilter(false).build(&patterns)?;
        Ok((Self { automaton: Some(automaton), lengths }, lexicon))
    }

    /// Finds every occurrence in a document, sorted by start, then end. `visible` is scratch space.
    pub fn find(&self, document: &Document, visible: &mut Vec<u32>, found: &mut Vec<Occurrence>) {
        found.clear();
        visible.clear();
        let Some(automaton) = &self.automaton else { return };
        // Starting is an error only for an anchored search in an automaton without anchors.
        let Ok(start) = automaton.start_state(Anchored::No) else { return };
        let mut state = start;
        for (word, &number) in document.pool_words.iter().enumerate() {
            match number {
                Document::TRANSPARENT => continue,
                0 => {
                    state = start;
                    visible.clear();
                    continue;
                }
                _ => {}
            }
            visible.push(word as u32);
            let (code, length) = code_of(number);
            for &byte in &code[..length] {
                state = automaton.next_state(Anchored::No, state, byte);
            }
            if !automaton.is_special(state) || !automaton.is_match(state) {
                continue;
            }
            for i in 0..automaton.match_len(state) {
                let phrase = automaton.match_pattern(state, i).as_usize();
                let first = visible[visible.len() - usize::from(self.lengths[phrase])];
                found.push(Occurrence {
                    start: document.first_tokens[first as usize],
                    end: document.first_tokens[word + 1],
                    phrase: PhraseId::new(phrase as u32),
                });
            }
        }
        found.sort_unstable();
    }
}

/// The code of a word's number: UTF-8's pattern, as first defined for 31 bits. A first byte tells the
/// length and is never a later byte.
fn code_of(number: u32) -> ([u8; 6], usize) {
    let mut code = [0; 6];
    if number < 0x80 {
        code[0] = number as u8;
        return (code, 1);
    }
    // n bytes hold 5n + 1 bits.
    let bits = 32 - number.leading_zeros() as usize;
    let length = (bits - 1).div_ceil(5).max(2);
    for (i, byte) in code[..length].iter_mut().enumerate() {
        *byte = 0x80 | (number >> (6 * (length - 1 - i)) & 0x3f) as u8;
    }
    code[0] |= !(0xffu8 >> length);
    (code, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_utf_8_where_it_is_defined() {
        for number in (1..0xd800u32).chain(0xe000..0x0011_0000) {
            let c = char::from_u32(number).unwrap();
            let (code, length) = code_of(number);
            assert_eq!(&code[..length], c.encode_utf8(&mut [0; 4]).as_bytes(), "{number:x}");
        }
        assert_eq!(code_of(0x7fff_ffff), ([0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf], 6));
        assert_eq!(code_of(0x0020_0000), ([0xf8, 0x88, 0x80, 0x80, 0x80, 0], 5));
    }
}
