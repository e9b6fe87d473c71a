//! Finds every occurrence of every pool phrase: Aho-Corasick over words.
//!
//! [`Matcher`] holds the phrases of a pool and is shared by all threads. It comes with a
//! [`Lexicon`], which gives each word of a text its number. [`Matcher::find`]
//! searches these numbers and returns [`Occurrence`]s in tokens. Matches may overlap and nest, and
//! all of them are found.
//!
//! A phrase of one word is a table look-up. Longer phrases are found by the `aho-corasick` crate.
//! Each word is written as a *code* of one to five bytes, and a phrase is the codes of its words in
//! a row. The first byte of a code is 128 or more and determines its length; the other bytes are
//! smaller. So the codes are self-synchronising: a match starts and ends at words, and needs no
//! test for word boundaries.
//!
//! Leftmost-longest search over text, followed by such a test, is not exact: `gift card holder`
//! inside `gift card holders` would hide `gift card`.
//!
//! Most of a text never reaches the automaton: a Bloom filter excludes nearly all pairs of words
//! that begin no phrase. `pipeline/DESIGN.md` gives the numbers.
//!
//! ```
//! use pipeline::phrase::{matcher::{Matcher, Scratch}, pool::{Phrase, Pool}};
//! use pipeline::text::{Document, Encoder, Tokenizer};
//!
//! let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/sample/tokenizer.json");
//! let tokenizer = Tokenizer::load(file.as_ref())?;
//! let phrase = |text: &str, words| Phrase { text: text.to_owned(), score: 0.9, words, frequency: None };
//! let pool = Pool { phrases: vec![phrase("gift card", 2), phrase("gift card holder", 3)] };
//! let (matcher, lexicon) = Matcher::new(&pool, &tokenizer)?;
//!
//! let (mut document, mut scratch, mut found) = (Document::default(), Scratch::default(), Vec::new());
//! Encoder::new(&lexicon).encode("Two gift-card holders and a gift card holder", &mut document);
//! matcher.find(&document, &mut scratch, &mut found);
//! let ids: Vec<u32> = found.iter().map(|occurrence| occurrence.phrase.get()).collect();
//! assert_eq!(ids, [0, 0, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
use std::{cmp::Reverse, collections::HashMap};

use aho_corasick::{
    Anchored, BuildError,
    automaton::{Automaton, StateID},
    nfa::{contiguous, noncontiguous},
};
use schemas::{PhraseId, TokenId};

use super::pool::Pool;
use crate::text::{Document, DocumentOf, Lexicon, Tokenizer};

/// An occurrence of a pool phrase: tokens `start..end` of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// First token.
    pub start: u32,
    /// One past the last token.
    pub end: u32,
    pub phrase: PhraseId,
}

/// The phrases of a pool, indexed for matching. All threads share it.
pub struct Matcher {
    /// By word number; 0 is a word of no phrase.
    words: Vec<PoolWord>,
    /// Phrases of two words or more, as sequences of codes.
    automaton: contiguous::NFA,
    /// The start state of the automaton.
    start: StateID,
    /// The phrases of the automaton, by pattern.
    longer: Vec<Longer>,
    /// First two words of all phrases of two words or more.
    first_pairs: BloomFilter,
}

/// What the matcher knows of a word.
#[derive(Clone, Copy)]
struct PoolWord {
    /// The state after the word, read from the start state.
    state: StateID,
    /// The phrase that is this word alone.
    single: Option<PhraseId>,
    /// Whether a longer phrase starts with the word.
    starts_phrases: bool,
}

/// A phrase of two words or more.
#[derive(Clone, Copy)]
struct Longer {
    phrase: PhraseId,
    words: u32,
}

/// Buffers of [`Matcher::find`], reused from document to document.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Numbers of the words that are not transparent, and a 0 at the end.
    numbers: Vec<u32>,
    /// For each of these numbers, the index of the word in the document.
    words: Vec<u32>,
}

impl Matcher {
    /// The matcher of a pool, and the lexicon of its words.
    ///
    /// # Errors
    /// If the pool exceeds the size of an automaton, 2 GiB.
    pub fn new<'t, I: TokenId>(pool: &Pool, tokenizer: &'t Tokenizer) -> Result<(Self, Lexicon<'t, I>), BuildError> {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for word in pool.phrases.iter().flat_map(|phrase| phrase.text.split(' ')) {
            *counts.entry(word).or_default() += 1;
        }
        // The most frequent words get the shortest codes.
        let mut texts: Vec<(&str, u32)> = counts.into_iter().collect();
        texts.sort_unstable_by_key(|&(word, count)| (Reverse(count), word));
        let lexicon = Lexicon::new(tokenizer, texts.iter().map(|(word, _)| *word));
        let numbers: HashMap<&str, u32> = (1..).zip(&texts).map(|(number, (word, _))| (*word, number)).collect();

        let mut singles = vec![None; texts.len() + 1];
        let mut starts_phrases = vec![false; texts.len() + 1];
        let (mut longer, mut patterns, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (id, phrase) in (0..).map(PhraseId::new).zip(&pool.phrases) {
            let words: Vec<u32> = phrase.text.split(' ').map(|word| numbers[word]).collect();
            match words[..] {
                [word] => singles[word as usize] = Some(id),
                [first, second, ..] => {
                    starts_phrases[first as usize] = true;
                    pairs.push(pair_of(first, second));
                    longer.push(Longer { phrase: id, words: words.len() as u32 });
                    patterns.push(words.iter().flat_map(|word| Code::of(*word)).collect::<Vec<u8>>());
                }
                [] => {}
            }
        }
        // Dense rows for the start state only. More of them make the automaton larger but not
        // faster.
        let trie = noncontiguous::Builder::new().prefilter(false).dense_depth(1).build(&patterns)?;
        let automaton = contiguous::Builder::new().dense_depth(1).build_from_noncontiguous(&trie)?;
        let Ok(start) = automaton.start_state(Anchored::No) else {
            unreachable!("every kind of search may start anywhere")
        };
        let mut matcher = Self { words: Vec::new(), automaton, start, longer, first_pairs: BloomFilter::of(&pairs) };
        matcher.words = (0..)
            .zip(singles)
            .zip(starts_phrases)
            .map(|((number, single), starts_phrases)| {
                let state = if starts_phrases { matcher.read(start, number) } else { start };
                PoolWord { state, single, starts_phrases }
            })
            .collect();
        Ok((matcher, lexicon))
    }

    /// Finds every occurrence in a document, sorted by start, end and phrase. `found` is cleared
    /// first. Returns how many are left out because they share a token with a word outside of them.
    pub fn find<I>(&self, document: &DocumentOf<I>, scratch: &mut Scratch, found: &mut Vec<Occurrence>) -> u64 {
        found.clear();
        let mut sharing = 0;
        let Scratch { numbers, words } = scratch;
        numbers.clear();
        words.clear();
        for (word, &number) in (0..).zip(&document.pool_words) {
            if number != Document::TRANSPARENT {
                numbers.push(number);
                words.push(word);
            }
        }
        numbers.push(0);
        let mut push = |first: usize, last: usize, phrase| match document
            .tokens(words[first] as usize..words[last] as usize + 1)
        {
            Some(tokens) => found.push(Occurrence { start: tokens.start, end: tokens.end, phrase }),
            None => sharing += 1,
        };
        let mut state = self.start;
        for (word, pair) in numbers.windows(2).enumerate() {
            let known = self.words[pair[0] as usize];
            if let Some(phrase) = known.single {
                push(word, word, phrase);
            }
            if state != self.start {
                // Inside a phrase: report the phrases that end with this word.
                state = if pair[0] == 0 { self.start } else { self.read(state, pair[0]) };
                if self.automaton.is_match(state) {
                    for i in 0..self.automaton.match_len(state) {
                        let Longer { phrase, words } = self.longer[self.automaton.match_pattern(state, i).as_usize()];
                        let first = word + 1 - words as usize;
                        push(first, word, phrase);
                    }
                }
                if state != known.state {
                    continue;
                }
            }
            // The automaton is in the state after this word alone, or in the start state. Continue
            // only if this word and the next one may start a phrase.
            let may_start = known.starts_phrases && self.first_pairs.may_contain(pair_of(pair[0], pair[1]));
            state = if may_start { known.state } else { self.start };
        }
        found.sort_unstable();
        sharing
    }

    /// The state after another word.
    fn read(&self, state: StateID, number: u32) -> StateID {
        Code::of(number).into_iter().fold(state, |state, byte| self.automaton.next_state(Anchored::No, state, byte))
    }

    /// Memory of the tables and of the automaton, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
            + size_of_val(self.longer.as_slice())
            + size_of_val(self.first_pairs.bits.as_slice())
            + self.automaton.memory_usage()
    }
}

/// The bytes of a word in patterns and in the text that is searched. The first byte is 128 or more
/// and determines their number. The others are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code {
    bytes: [u8; 5],
    length: u8,
}

impl Code {
    /// First bytes of codes of one, two, three and five bytes: 128-187, 188-247, 248-253 and 254.
    const FIRST: [u8; 4] = [128, 188, 248, 254];
    /// How many words have codes of one, two and three bytes.
    const WORDS: [u32; 3] = [60, 60 << 7, 6 << 14];

    /// The code of the word with this number, from 1.
    #[inline]
    fn of(number: u32) -> Self {
        let part = |n: u32, shift: u32| (n >> shift) as u8 & 0x7f;
        let mut n = number - 1;
        if n < Self::WORDS[0] {
            return Self { bytes: [Self::FIRST[0] + n as u8, 0, 0, 0, 0], length: 1 };
        }
        n -= Self::WORDS[0];
        if n < Self::WORDS[1] {
            return Self { bytes: [Self::FIRST[1] + part(n, 7), part(n, 0), 0, 0, 0], length: 2 };
        }
        n -= Self::WORDS[1];
        if n < Self::WORDS[2] {
            return Self { bytes: [Self::FIRST[2] + part(n, 14), part(n, 7), part(n, 0), 0, 0], length: 3 };
        }
        n -= Self::WORDS[2];
        assert!(n < 1 << 28, "more words than an automaton has states");
        Self { bytes: [Self::FIRST[3], part(n, 21), part(n, 14), part(n, 7), part(n, 0)], length: 5 }
    }
}

impl IntoIterator for Code {
    type Item = u8;
    type IntoIter = std::iter::Take<std::array::IntoIter<u8, 5>>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.bytes.into_iter().take(usize::from(self.length))
    }
}

/// The key of two consecutive words in the Bloom filter.
#[inline]
fn pair_of(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// A Bloom filter with one hash function and at least 8 bits per key, so at most an eighth of the
/// bits are set.
struct BloomFilter {
    bits: Vec<u64>,
    shift: u32,
}

impl BloomFilter {
    fn of(keys: &[u64]) -> Self {
        let size = (8 * keys.len()).next_power_of_two().max(64);
        let mut filter = Self { bits: vec![0; size / 64], shift: 64 - size.trailing_zeros() };
        for &key in keys {
            let bit = filter.bit(key);
            filter.bits[bit / 64] |= 1 << (bit % 64);
        }
        filter
    }

    fn bit(&self, key: u64) -> usize {
        (key.wrapping_mul(0xd6e8_feb8_6659_fd93) >> self.shift) as usize
    }

    #[inline]
    fn may_contain(&self, key: u64) -> bool {
        let bit = self.bit(key);
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use proptest::prelude::*;

    use super::*;
    use crate::phrase::pool::Phrase;

    #[test]
    fn codes_start_words_and_no_code_begins_another() {
        let edges = [0, 60, 60 + (60 << 7), 60 + (60 << 7) + (6 << 14), 1 << 28].map(|n: u32| n.max(3) - 2..n + 3);
        let mut seen = HashSet::new();
        for number in edges.into_iter().flatten().filter(|n| *n > 0) {
            let code: Vec<u8> = Code::of(number).into_iter().collect();
            assert!(code[0] >= 128 && code[0] < 255 && code[1..].iter().all(|byte| *byte < 128), "{number}");
            let length = 1 + Code::FIRST.iter().filter(|first| code[0] >= **first).count();
            assert_eq!(code.len(), if length == 5 { 5 } else { length - 1 }, "{number}: {code:?}");
            assert!(seen.insert(code), "{number}");
        }
    }

    /// All occurrences, by trying every phrase at every word.
    fn naive(pool: &Pool, text: &[&str]) -> Vec<Occurrence> {
        let mut found = Vec::new();
        for (id, phrase) in (0..).map(PhraseId::new).zip(&pool.phrases) {
            let words: Vec<&str> = phrase.text.split(' ').collect();
            for start in 0..text.len().saturating_sub(words.len() - 1) {
                if text[start..].starts_with(&words) {
                    found.push(Occurrence { start: start as u32, end: (start + words.len()) as u32, phrase: id });
                }
            }
        }
        found.sort_unstable();
        found
    }

    proptest! {
        /// Few words, so that phrases overlap, nest and end early everywhere. Codes have one or two
        /// bytes.
        #[test]
        fn occurrences_are_those_of_a_slow_search(
            phrases in prop::collection::hash_set(prop::collection::vec(0usize..7, 1..6), 1..40),
            filler in 0usize..2,
            text in prop::collection::vec(0usize..9, 0..60),
        ) {
            thread_local!(static TOKENIZER: Tokenizer =
                Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample/tokenizer.json")).unwrap());
            let word = |n: &usize| ["a", "b", "c", "d", "e", "f", "g", "h", "i"][*n];
            let phrase = |text: String| Phrase { words: text.split(' ').count() as u8, text, score: 0.9, frequency: None };
            let mut pool = Pool {
                phrases: phrases.iter().map(|p| phrase(p.iter().map(word).collect::<Vec<_>>().join(" "))).collect(),
            };
            // With these phrases the words above are rare and get longer codes.
            pool.phrases.extend((0..filler * 900).map(|n| phrase(format!("w{} w{}", n % 90, n % 89))));
            TOKENIZER.with(|tokenizer| {
                let (matcher, lexicon) = Matcher::new(&pool, tokenizer).unwrap();
                let words: Vec<&str> = text.iter().map(word).collect();
                let mut document = Document::default();
                crate::text::Encoder::new(&lexicon).encode(&words.join(" "), &mut document);
                prop_assume!(document.ids.len() == words.len());
                let mut found = Vec::new();
                matcher.find(&document, &mut Scratch::default(), &mut found);
                prop_assert_eq!(found, naive(&pool, &words));
                Ok(())
            })?;
        }

        #[test]
        fn the_filter_has_all_that_it_was_given(keys in prop::collection::vec((1u32..40, 1u32..40), 0..500)) {
            let keys: Vec<u64> = keys.into_iter().map(|(first, second)| pair_of(first, second)).collect();
            let filter = BloomFilter::of(&keys);
            prop_assert!(keys.iter().all(|&key| filter.may_contain(key)));
        }
    }
}
