//! Noun phrases of a document, as ranges of its tokens.
//!
//! A phrase for masking is what a chunk means: a leading determiner or possessive goes, with what stands before it (`only a few
//! weeks`); a leading conjunction goes, as do signs at the ends; a chunk that is a pronoun is none; of a long one the last [`MOST_WORDS`] words stay, which have its head.
//! Tags decide, and for the commonest words their spelling, as titles in capitals mislead the tagger.
use super::{
    chunker,
    model::Model,
    sentence::Token,
    tagging::Tagging,
    treebank::{Chunk, spans},
};
use crate::text::Document;

/// The most words of a noun phrase; hyphens that matching passes over do not count.
pub const MOST_WORDS: usize = 6;

/// A noun phrase in a document, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NounPhrase {
    /// First token.
    pub start: u32,
    /// One past the last token.
    pub end: u32,
}

/// Finds noun phrases; one for each thread.
pub struct Nouns<'m> {
    /// Which of the model's tags do what.
    roles: Vec<Role>,
    tagging: Tagging<'m>,
    chunks: Vec<Chunk>,
    chunker: chunker::Scorer<'m>,
}

/// What a tag means for a noun phrase.
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

impl<'m> Nouns<'m> {
    /// With this model.
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
            chunker: chunker::Scorer::new(&model.chunker),
        }
    }

    /// Finds the noun phrases of an encoded text: sorted, not overlapping, of whole words. `found` is dropped.
    pub fn find(&mut self, text: &str, document: &Document, found: &mut Vec<NounPhrase>) {
        found.clear();
        let Self { roles, tagging, chunks, chunker } = self;
        let mut word = 0;
        tagging.each(text, |tokens, records, tags| {
            chunker.chunk(records, tags, chunks);
            for chunk in spans(chunks) {
                let role = |i: usize| match is_determiner(tokens[i].of(text)) {
                    true => Role::Determiner,
                    false => roles[usize::from(tags[i])],
                };
                let says = |i: usize| tokens[i].of(text).chars().any(char::is_alphanumeric);
                let (mut first, mut last) = (chunk.start, chunk.end);
                // The last determiner that no noun stands before.
                let noun = (first..last).find(|&i| role(i) == Role::Noun).unwrap_or(last);
                first = (first..noun).rev().find(|&i| role(i) == Role::Determiner).map_or(first, |i| i + 1);
                loop {
                    while first < last && (matches!(role(first), Role::Determiner | Role::Conjunction) || !says(first))
                    {
                        first += 1;
                    }
                    while first < last && !says(last - 1) {
                        last -= 1;
                    }
                    if first == last {
                        break;
                    }
                    let says_word = |w: usize| {
                        let end = document.origins.get(w + 1).map_or(text.len(), |end| *end as usize);
                        text[document.origins[w] as usize..end].chars().any(char::is_alphanumeric)
                    };
                    let mut words = words_of(&tokens[first..last], document, &mut word);
                    while !words.is_empty() && !says_word(words.start) {
                        words.start += 1;
                    }
                    while !words.is_empty() && !says_word(words.end - 1) {
                        words.end -= 1;
                    }
                    let visible = words.clone().filter(|&w| document.pool_words[w] != Document::TRANSPARENT).count();
                    if visible > MOST_WORDS {
                        // The head is at the end.
                        first += 1;
                        continue;
                    }
                    let pronoun = last - first == 1 && is_pronoun(tokens[first].of(text));
                    if visible > 0 && !pronoun && (first..last).any(|i| role(i) == Role::Noun) {
                        let (start, end) = (document.first_tokens[words.start], document.first_tokens[words.end]);
                        if start < end {
                            found.push(NounPhrase { start, end });
                        }
                    }
                    break;
                }
            }
        });
    }
}

/// Determiners and possessives whatever their tag.
const DETERMINERS: [&str; 16] = [
    "a", "an", "the", "this", "that", "these", "those", "every", "each", "my", "your", "his", "her", "its", "our",
    "their",
];
/// Words that by themselves are pronouns whatever their tag.
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
    // Capitals make other words of these.
    !["US", "IT"].contains(&word) && PRONOUNS.iter().any(|pronoun| pronoun.eq_ignore_ascii_case(word))
}

/// The words of a document that begin in these tokens. `from` is a word at or before the first of them, and moves on.
fn words_of(tokens: &[Token], document: &Document, from: &mut usize) -> std::ops::Range<usize> {
    let (start, end) = (tokens[0].start, tokens[tokens.len() - 1].end);
    let origins = &document.origins;
    while *from < origins.len() && origins[*from] < start {
        *from += 1;
    }
    let length = origins[*from..].iter().take_while(|origin| **origin < end).count();
    *from..*from + length
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::text::{Encoder, Lexicon, Tokenizer};

    fn tokenizer() -> Tokenizer {
        Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample/tokenizer.json")).unwrap()
    }

    /// Noun phrases of a text, as they are written there.
    fn nouns_of<'t>(tokenizer: &Tokenizer, text: &'t str) -> Vec<&'t str> {
        let lexicon = Lexicon::new(tokenizer, std::iter::empty());
        let (mut document, mut found) = (Document::default(), Vec::new());
        Encoder::new(&lexicon).encode(text, &mut document);
        Nouns::new(Model::embedded()).find(text, &document, &mut found);
        let word = |token: u32| document.first_tokens.partition_point(|first| *first < token);
        let mut last = 0;
        found
            .iter()
            .map(|noun| {
                assert!(last <= noun.start && noun.start < noun.end, "sorted, not overlapping, not empty");
                last = noun.end;
                let (first, next) = (word(noun.start), word(noun.end));
                assert_eq!(
                    (document.first_tokens[first], document.first_tokens[next]),
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
