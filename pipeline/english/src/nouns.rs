//! Noun phrases of a text.
//!
//! A noun phrase is a chunk without its function words. It loses a leading determiner or possessive
//! with the words before it (`only a` of `only a few weeks`), a leading conjunction, and signs at
//! both ends. A lone pronoun is left out. A long chunk keeps its last [`MOST_WORDS`] words, which
//! include the head. Tags decide, except for the most common words. There the spelling decides,
//! because titles in capitals mislead the tagger.
use std::ops::Range;

use crate::{
    chunker::{Chunk, ChunkScorer, spans},
    model::Model,
    tagging::Tagging,
};

/// The most words of a noun phrase.
pub const MOST_WORDS: usize = 6;

/// Finds noun phrases.
///
/// It holds buffers and caches: create one per thread and reuse it.
pub struct NounPhrases<'m> {
    /// The role of each of the model's tags.
    roles: Vec<Role>,
    tagging: Tagging<'m>,
    chunks: Vec<Chunk>,
    chunker: ChunkScorer<'m>,
}

/// The role of a tag in a noun phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A noun: a phrase needs one.
    Noun,
    /// A determiner or possessive: neither at the start nor before the first noun.
    Determiner,
    /// A conjunction: not at the start.
    Conjunction,
    /// Anything else.
    Other,
}

impl<'m> NounPhrases<'m> {
    /// Creates one for this model.
    pub fn new(model: &'m Model) -> Self {
        let role = |tag: &String| match tag.as_str() {
            "NN" | "NNS" | "NNP" | "NNPS" | "FW" => Role::Noun,
            "DT" | "PDT" | "PRP$" | "WP$" | "WDT" | "POS" | "PRP" | "WP" | "EX" => Role::Determiner,
            "CC" => Role::Conjunction,
            _ => Role::Other,
        };
        Self {
            roles: model.tagger.tags().iter().map(role).collect(),
            tagging: Tagging::new(&model.tagger),
            chunks: Vec::new(),
            chunker: ChunkScorer::new(&model.chunker),
        }
    }

    /// The noun phrases of a text as byte ranges, sorted, without overlaps. A word is a run of
    /// letters and digits.
    ///
    /// # Panics
    /// If the text has 4 GiB or more.
    pub fn find(&mut self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let words =
            |range: Range<usize>| text[range].split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).count();
        self.find_with(text, words, &mut found);
        found
    }

    /// Like [`find`](Self::find), for callers with their own definition of a word. `count_words`
    /// returns the number of words that begin in a byte range. It is called with ranges in ascending
    /// order of their starts and ends. A phrase without a word is left out, and one of more than [`MOST_WORDS`]
    /// loses its first tokens. `found` is cleared first.
    ///
    /// # Panics
    /// If the text has 4 GiB or more.
    pub fn find_with(
        &mut self,
        text: &str,
        mut count_words: impl FnMut(Range<usize>) -> usize,
        found: &mut Vec<Range<usize>>,
    ) {
        found.clear();
        let Self { roles, tagging, chunks, chunker } = self;
        tagging.each_with_forms(text, |tokens, forms, tags| {
            chunker.chunk(forms, tags, chunks);
            for chunk in spans(chunks) {
                let role = |i: usize| match is_determiner(tokens[i].of(text)) {
                    true => Role::Determiner,
                    false => roles[usize::from(tags[i])],
                };
                let is_word = |i: usize| tokens[i].of(text).chars().any(char::is_alphanumeric);
                let (mut first, mut last) = (chunk.start, chunk.end);
                // The last determiner before the first noun.
                let noun = (first..last).find(|&i| role(i) == Role::Noun).unwrap_or(last);
                first = (first..noun).rev().find(|&i| role(i) == Role::Determiner).map_or(first, |i| i + 1);
                loop {
                    let may_not_lead = |i| matches!(role(i), Role::Determiner | Role::Conjunction) || !is_word(i);
                    while first < last && may_not_lead(first) {
                        first += 1;
                    }
                    while first < last && !is_word(last - 1) {
                        last -= 1;
                    }
                    if first == last {
                        break;
                    }
                    let range = tokens[first].start as usize..tokens[last - 1].end as usize;
                    let words = count_words(range.clone());
                    if words > MOST_WORDS {
                        // The head is at the end.
                        first += 1;
                        continue;
                    }
                    let pronoun = last - first == 1 && is_pronoun(tokens[first].of(text));
                    if words > 0 && !pronoun && (first..last).any(|i| role(i) == Role::Noun) {
                        found.push(range);
                    }
                    break;
                }
            }
        });
    }
}

/// Determiners and possessives, whatever their tag.
const DETERMINERS: [&str; 16] = [
    "a", "an", "the", "this", "that", "these", "those", "every", "each", "my", "your", "his", "her", "its", "our",
    "their",
];
/// Words that are pronouns if they stand alone, whatever their tag.
const PRONOUNS: [&str; 28] = [
    "i",
    "me",
    "you",
    "he",
    "him",
    "she",
    "her",
    "it",
    "we",
    "us",
    "they",
    "them",
    "one",
    "ones",
    "other",
    "others",
    "something",
    "someone",
    "somebody",
    "anything",
    "anyone",
    "anybody",
    "everything",
    "everyone",
    "everybody",
    "nothing",
    "nobody",
    "none",
];

fn is_determiner(word: &str) -> bool {
    word.len() <= 5 && DETERMINERS.iter().any(|determiner| determiner.eq_ignore_ascii_case(word))
}

fn is_pronoun(word: &str) -> bool {
    // In capitals, these are other words.
    !["US", "IT"].contains(&word) && PRONOUNS.iter().any(|pronoun| pronoun.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nouns_of(text: &str) -> Vec<&str> {
        let mut last = 0;
        let found = NounPhrases::new(crate::test_model()).find(text);
        found
            .into_iter()
            .map(|range| {
                assert!(last <= range.start && range.start < range.end, "sorted, not overlapping, not empty");
                last = range.end;
                &text[range]
            })
            .collect()
    }

    #[test]
    fn noun_phrases_are_what_a_reader_marks() {
        for (text, wanted) in [
            ("I bought this stainless steel kettle for my mother.", "stainless steel kettle|mother"),
            ("It broke after two weeks and they sent me a new one.", "two weeks|new one"),
            ("The battery life is great, but the sound quality isn't.", "battery life|sound quality"),
            ("Don't waste your money!", "money"),
            ("", ""),
            ("she was there", ""),
            ("It worked for only a few weeks, such a good kettle.", "few weeks|good kettle"),
            ("It is a soft and comfortable fabric.", "soft and comfortable fabric"),
            ("Made in the US for us. Others like it.", "US"),
            ("An adjustable waistband.The straps are soft.", "adjustable waistband|straps"),
            ("a one two three four five six seven eight kettle", "four five six seven eight kettle"),
        ] {
            assert_eq!(nouns_of(text).join("|"), wanted, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_gives_sorted_ranges(
            text in "([A-Za-z]{1,9}|the |a |of |n't|'s|[ .,!?()\n-]|\\PC|[0-9]{1,3}|\u{301}\u{316}){0,60}"
        ) {
            nouns_of(&text);
        }
    }
}
