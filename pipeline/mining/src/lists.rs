//! Lists of names to learn good phrases from, and stop words.
use std::{cmp::Reverse, collections::HashSet, sync::LazyLock};

use crate::tokens::Tokens;

/// Names, one per line of one string: an encyclopedia has hundreds of thousands.
#[derive(Clone, Debug, Default)]
pub struct List(String);

impl List {
    /// The lines of a text. Blank lines are skipped.
    pub fn from_lines(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.lines().filter(|line| !line.trim().is_empty())
    }
}

impl<S: AsRef<str>> FromIterator<S> for List {
    /// Line breaks inside an entry become spaces.
    fn from_iter<I: IntoIterator<Item = S>>(entries: I) -> Self {
        let mut text = String::new();
        for entry in entries {
            text.extend(entry.as_ref().chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
            text.push('\n');
        }
        Self(text)
    }
}

/// Good phrases, to learn from.
#[derive(Clone, Debug)]
pub enum QualityList {
    /// Any good phrases, as in AutoPhrase. Most candidates that the list does not name are not
    /// phrases.
    Phrases(List),
    /// What the products of a corpus name.
    ///
    /// Phrases are learned from the phrases of the language, things and names with equal weight. The
    /// names of the corpus are then neither good nor bad: they would put product lines first. They
    /// teach phrases if there are no phrases of the language, or if the text has none of them.
    ///
    /// Single words are learned from brands alone, against frequent words of which half are stop
    /// words: names of kinds are common words (`Shirts`), and would teach that common words are good.
    Products {
        /// Names of kinds of products and of their attributes.
        kinds: List,
        /// Names of brands.
        brands: List,
        /// Good phrases of the language.
        common: Option<CommonPhrases>,
    },
}

/// Good phrases of a language that any text may contain.
#[derive(Clone, Debug)]
pub struct CommonPhrases {
    /// Common nouns of several words, such as `cutting board`.
    pub things: List,
    /// Names of several words, such as `North Dakota`.
    pub names: List,
}

impl CommonPhrases {
    /// The nouns of WordNet 3.1 with several words, without names of species. `lists/NOTICE.md` has
    /// the license.
    pub fn english() -> Self {
        const COMPRESSED: &[u8] = include_bytes!("../lists/english_nouns.txt.zst");
        let text = zstd::decode_all(COMPRESSED).expect("the embedded list is complete");
        let text = String::from_utf8(text).expect("the embedded list is UTF-8");
        let is_name = |phrase: &&str| phrase.contains(char::is_uppercase);
        let (names, things): (Vec<&str>, Vec<&str>) = text.lines().partition(is_name);
        Self { things: things.into_iter().collect(), names: names.into_iter().collect() }
    }
}

impl QualityList {
    /// The phrases of a language alone.
    pub fn common(common: CommonPhrases) -> Self {
        Self::Products { kinds: List::default(), brands: List::default(), common: Some(common) }
    }
}

/// What distinguishes good phrases from other word sequences.
#[derive(Clone, Debug)]
pub struct Lists<'a> {
    /// Good phrases.
    pub quality: QualityList,
    /// Names of things, whether good phrases or not. Candidates that it names are not used as
    /// negatives.
    pub entities: Option<List>,
    /// Words with little meaning of their own.
    pub stop_words: &'a StopWords,
}

/// The file behind [`StopWords::english`]: sections that start with `# ` and a heading.
pub const ENGLISH_STOP_WORDS: &str = include_str!("stop_words.txt");

/// Sections of the English stop words that never start or end a complete name.
const CLOSED_CLASS: [&str; 6] = ["Articles", "Pronouns", "Conjunctions", "Prepositions", "Be, have, do", "Adverbs"];

/// The words of a section, whose first line is its heading.
fn words_of_section(section: &str) -> impl Iterator<Item = &str> {
    section.lines().skip(1).flat_map(str::split_whitespace)
}

/// Whether a word in lower case is an article, a pronoun, a preposition or the like.
pub(crate) fn is_closed_class(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let sections = ENGLISH_STOP_WORDS.split("# ").filter(|s| CLOSED_CLASS.iter().any(|name| s.starts_with(name)));
        sections.flat_map(words_of_section).collect()
    });
    WORDS.contains(word) || (word.contains('’') && WORDS.contains(word.replace('’', "'").as_str()))
}

/// Words with little meaning of their own, such as `the` and `new`.
#[derive(Clone, Debug)]
pub struct StopWords(HashSet<String>);

impl StopWords {
    /// The built-in English stop words.
    pub fn english() -> &'static Self {
        static ENGLISH: LazyLock<StopWords> = LazyLock::new(|| {
            let sections = ENGLISH_STOP_WORDS.split("# ");
            StopWords(sections.flat_map(words_of_section).map(str::to_owned).collect())
        });
        &ENGLISH
    }

    /// These words, in any case. Spaces around them are removed.
    pub fn new<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self(words.into_iter().map(|word| word.trim().to_lowercase()).collect())
    }

    /// The most common words of a text: in most languages they are articles, prepositions, pronouns and
    /// the like. At most 100, and at most a twentieth of the distinct words.
    pub fn most_common(tokens: &Tokens) -> Self {
        const MOST: usize = 100;
        let vocabulary = &tokens.vocabulary;
        let mut words: Vec<_> = vocabulary.words().filter(|&word| !vocabulary.is_numeric(word)).collect();
        words.sort_by_key(|&word| Reverse(vocabulary.counts(word).documents));
        words.truncate(MOST.min(vocabulary.len() / 20));
        Self(words.into_iter().map(|word| vocabulary.text(word).to_owned()).collect())
    }

    /// Whether a word in lower case is a stop word. Curly and straight apostrophes are equal.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word) || (word.contains('’') && self.0.contains(&word.replace('’', "'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_the_stop_words_are_found_by_name() {
        for name in CLOSED_CLASS {
            assert!(ENGLISH_STOP_WORDS.split("# ").any(|section| section.starts_with(name)), "{name}");
        }
        for word in ["the", "for", "and", "herself", "doesn't", "only"] {
            assert!(is_closed_class(word) && StopWords::english().contains(word), "{word}");
        }
        for word in ["new", "best", "x", "coffee", "articles"] {
            assert!(!is_closed_class(word), "{word}");
        }
        assert!(StopWords::english().contains("new") && !StopWords::english().contains("coffee"));
    }

    #[test]
    fn the_embedded_phrases_are_those_of_the_notice() {
        let CommonPhrases { things, names } = CommonPhrases::english();
        let [things, names] = [&things, &names].map(|list| list.entries().collect::<Vec<_>>());
        assert_eq!((things.len(), names.len()), (35_298, 11_873));
        for list in [&things, &names] {
            assert!(list.is_sorted_by(|a, b| a < b) && list.iter().all(|phrase| phrase.contains(' ')));
        }
        for thing in ["cutting board", "water bottle", "point of view"] {
            assert!(things.contains(&thing), "{thing}");
        }
        for name in ["North Dakota", "Jane Austen", "Christmas tree"] {
            assert!(names.contains(&name), "{name}");
        }
        assert!(!names.contains(&"genus Quercus") && !things.contains(&"bottle"));
        // The license requires it.
        let notice = include_str!("../lists/NOTICE.md");
        assert!(notice.contains("WordNet 3.1 Copyright 2011 by Princeton University.  All rights reserved."));
    }

    #[test]
    fn an_entry_with_line_breaks_stays_one_entry() {
        let list: List = ["cast\niron", "", "pan"].into_iter().collect();
        assert_eq!(list.entries().collect::<Vec<_>>(), ["cast iron", "pan"]);
    }
}
