//! Noun phrases of a document, as ranges of its tokens.
//!
//! `ebert-english` finds noun phrases as byte ranges of a text. [`NounFinder`] turns them into
//! ranges of whole words, and these into tokens.
use std::ops::Range;

use ebert_english::{Model, NounPhrases};

use super::{Document, DocumentOf};

/// Version of the step from byte ranges to tokens. Raised whenever a text gives other ones.
pub const RULES: u32 = 1;

/// A noun phrase in a document: tokens `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NounPhrase {
    /// First token.
    pub start: u32,
    /// One past the last token.
    pub end: u32,
}

/// Finds noun phrases of encoded documents. Each thread needs its own.
pub struct NounFinder<'m> {
    phrases: NounPhrases<'m>,
    ranges: Vec<Range<usize>>,
}

impl<'m> NounFinder<'m> {
    /// Finds noun phrases as this model does.
    pub fn new(model: &'m Model) -> Self {
        Self { phrases: NounPhrases::new(model), ranges: Vec::new() }
    }

    /// Finds the noun phrases of `text`, which `document` encodes. They are sorted, do not overlap,
    /// and consist of whole words. Transparent hyphens do not count as words. `found` is cleared
    /// first. Returns how many are left out because they share a token with another word.
    pub fn find<I>(&mut self, text: &str, document: &DocumentOf<I>, found: &mut Vec<NounPhrase>) -> u64 {
        found.clear();
        let Self { phrases, ranges } = self;
        let origins = &document.origins[..];
        let mut words = WordsWithin { text, origins, first: 0 };
        let visible = |words: Range<usize>| words.filter(|&w| document.pool_words[w] != Document::TRANSPARENT).count();
        phrases.find_with(text, |bytes| visible(words.find(bytes)), ranges);
        let mut words = WordsWithin { text, origins, first: 0 };
        let mut sharing = 0;
        for bytes in ranges.drain(..) {
            let words = words.find(bytes);
            match document.tokens(words.clone()) {
                Some(tokens) if tokens.is_empty() => {}
                Some(Range { start, end }) => found.push(NounPhrase { start, end }),
                None => sharing += 1,
            }
        }
        sharing
    }
}

/// Looks up the words of byte ranges. The ranges must come in ascending order of their starts.
struct WordsWithin<'d> {
    text: &'d str,
    /// First byte of each word.
    origins: &'d [u32],
    /// First word of the last range.
    first: usize,
}

impl WordsWithin<'_> {
    /// The words that begin in a byte range, without words of punctuation at both ends.
    fn find(&mut self, bytes: Range<usize>) -> Range<usize> {
        let origins = self.origins;
        while origins.get(self.first).is_some_and(|origin| (*origin as usize) < bytes.start) {
            self.first += 1;
        }
        let within = origins[self.first..].iter().take_while(|origin| (**origin as usize) < bytes.end).count();
        let mut words = self.first..self.first + within;
        while !words.is_empty() && self.is_punctuation(words.start) {
            words.start += 1;
        }
        while !words.is_empty() && self.is_punctuation(words.end - 1) {
            words.end -= 1;
        }
        words
    }

    /// Whether a word has neither letters nor digits.
    fn is_punctuation(&self, word: usize) -> bool {
        let origins = self.origins;
        let end = origins.get(word + 1).map_or(self.text.len(), |end| *end as usize);
        !self.text[origins[word] as usize..end].chars().any(char::is_alphanumeric)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ebert_english::MOST_WORDS;
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Encoder, Lexicon, Tokenizer};

    fn tokenizer() -> Tokenizer {
        Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample/tokenizer.json")).unwrap()
    }

    /// Noun phrases of a text, as written there.
    fn nouns_of<'t>(tokenizer: &Tokenizer, text: &'t str) -> Vec<&'t str> {
        let lexicon = Lexicon::new(tokenizer, std::iter::empty());
        let (mut document, mut found) = (Document::default(), Vec::new());
        Encoder::new(&lexicon).encode(text, &mut document);
        NounFinder::new(Model::embedded()).find(text, &document, &mut found);
        let word = |token: u32| document.word_starts.partition_point(|first| *first < token);
        let mut last = 0;
        found
            .iter()
            .map(|noun| {
                assert!(last <= noun.start && noun.start < noun.end, "sorted, not overlapping, not empty");
                last = noun.end;
                let (first, next) = (word(noun.start), word(noun.end));
                assert_eq!(
                    (document.word_starts[first], document.word_starts[next]),
                    (noun.start, noun.end),
                    "whole words"
                );
                let visible = document.pool_words[first..next].iter().filter(|w| **w != Document::TRANSPARENT).count();
                assert!((1..=MOST_WORDS).contains(&visible));
                let end = document.origins.get(next).map_or(text.len(), |end| *end as usize);
                text[document.origins[first] as usize..end].trim()
            })
            .collect()
    }

    #[test]
    fn noun_phrases_are_what_a_reader_marks() {
        let tokenizer = tokenizer();
        for (text, wanted) in [
            ("I bought this stainless steel kettle for my mother.", "stainless steel kettle|mother"),
            ("It broke after two weeks and they sent me a new one.", "two weeks|new one"),
            ("The battery life is great, but the sound quality isn't.", "battery life|sound quality"),
            ("Don't waste your money!", "money"),
            ("My wi-fi router's signal is weak.", "wi-fi router|signal"),
            ("", ""),
            ("she was there", ""),
            ("It worked for only a few weeks, such a good kettle.", "few weeks|good kettle"),
            ("Everything arrived and OUR MISSION is something else.", "MISSION"),
            ("It is a soft and comfortable fabric.", "soft and comfortable fabric"),
            ("Made in the US for us. Others like it.", "US"),
            ("An adjustable waistband.The straps are soft.", "adjustable waistband|straps"),
            ("Net weight 12 oz. and a thriller.\"--Readers", "Net weight|12 oz|thriller|Readers"),
            ("It fits 13261 ,197257 ,408714 ,435111 ,rock digger", "408714 ,435111 ,rock digger"),
        ] {
            assert_eq!(nouns_of(&tokenizer, text).join("|"), wanted, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_gives_whole_words_that_do_not_overlap(
            text in "([A-Za-z]{1,9}|the |a |of |n't|'s|[ .,!?()\n-]|\\PC|[0-9]{1,3}|\u{301}\u{316}){0,60}"
        ) {
            thread_local!(static TOKENIZER: Tokenizer = tokenizer());
            TOKENIZER.with(|tokenizer| nouns_of(tokenizer, &text).len());
        }
    }
}
