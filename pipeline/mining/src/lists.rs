//! Lists of names to learn good phrases from, and stop words.
use std::{collections::HashSet, sync::LazyLock};

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
    /// Phrases are learned from both lists with equal weight. Single words are learned from brands
    /// alone, against frequent words of which half are stop words. Names of kinds are common words
    /// (`Shirts`), and would teach that common words are good.
    Products {
        /// Names of kinds of products and of their attributes.
        kinds: List,
        /// Names of brands.
        brands: List,
    },
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
    fn an_entry_with_line_breaks_stays_one_entry() {
        let list: List = ["cast\niron", "", "pan"].into_iter().collect();
        assert_eq!(list.entries().collect::<Vec<_>>(), ["cast iron", "pan"]);
    }
}
