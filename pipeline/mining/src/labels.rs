//! Labels without anyone labelling: lists of names tell good candidates (section C, distant supervision).
use std::{collections::HashSet, sync::LazyLock};

use super::{
    candidates::Candidates,
    features::Lexical,
    types::{Types, types_of},
};

/// What good phrases are learnt from.
#[derive(Clone, Debug)]
pub enum Quality {
    /// A list, as AutoPhrase does: what it does not name is mostly no phrase.
    List(List),
    /// What products of a corpus name. Phrases are learnt from both lists alike. Words are learnt from brands, against frequent words
    /// alone, half of them stop words: names of kinds are common words (`Shirts`), and would teach that common words are good.
    Corpus {
        /// What kinds of products and their attributes are called.
        kinds: List,
        /// Brands.
        brands: List,
    },
}

/// Names, in one text: the lists of an encyclopedia have hundreds of thousands.
#[derive(Clone, Debug, Default)]
pub struct List(String);

/// Candidates to learn from, by number from the first of their kind; each group counts as much as the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Examples {
    /// Good ones.
    pub positives: Vec<Vec<u32>>,
    /// Most of them are not good.
    pub negatives: Vec<Vec<u32>>,
}

impl Examples {
    /// Whether one side is missing.
    pub fn is_one_sided(&self) -> bool {
        let none = |groups: &[Vec<u32>]| groups.iter().all(Vec::is_empty);
        none(&self.positives) || none(&self.negatives)
    }
}

impl List {
    /// The entries of a text, one per line.
    pub fn of_lines(text: String) -> Self {
        Self(text)
    }

    /// The entries that are not blank.
    fn entries(&self) -> impl Iterator<Item = &str> {
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

/// The English stop words, in sections that start with `# ` and a heading.
pub const ENGLISH_STOP_WORDS: &str = include_str!("stop_words.txt");

/// Sections of the English stop words whose words make no name of a thing complete.
const CLOSED_CLASS: [&str; 6] = ["Articles", "Pronouns", "Conjunctions", "Prepositions", "Be, have, do", "Adverbs"];

/// The words of a section, whose first line is its heading.
fn words_of_section(section: &str) -> impl Iterator<Item = &str> {
    section.lines().skip(1).flat_map(str::split_whitespace)
}

/// Whether a word in lower case is an article, a pronoun, a preposition or the like.
fn is_closed_class(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let sections = ENGLISH_STOP_WORDS.split("# ").filter(|s| CLOSED_CLASS.iter().any(|name| s.starts_with(name)));
        sections.flat_map(words_of_section).collect()
    });
    WORDS.contains(word) || (word.contains('’') && WORDS.contains(word.replace('’', "'").as_str()))
}

/// Words that say little by themselves.
#[derive(Clone, Debug)]
pub struct StopWords(HashSet<String>);

impl StopWords {
    /// English ones, which are part of the program.
    pub fn english() -> &'static Self {
        static ENGLISH: LazyLock<StopWords> = LazyLock::new(|| {
            let sections = ENGLISH_STOP_WORDS.split("# ");
            StopWords(sections.flat_map(words_of_section).map(str::to_owned).collect())
        });
        &ENGLISH
    }

    /// These words.
    pub fn of<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self(words.into_iter().map(|word| word.trim().to_lowercase()).collect())
    }

    /// Whether a word in lower case is one. A curly apostrophe is as good as a straight one.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word) || (word.contains('’') && self.0.contains(&word.replace('’', "'")))
    }
}

/// Phrases of the quality lists that are made of words of the text, and are no candidates; there may be equal ones.
#[derive(Debug, Default)]
struct Rare {
    words: Vec<u32>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// What the lists say of the candidates.
#[derive(Debug, Default)]
pub struct Labels {
    of: Vec<Label>,
    rare: Rare,
    /// Entries of the quality lists.
    pub entries: u64,
    of_corpus: bool,
}

/// What the lists say of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Label {
    /// It is in no list: most of them are no phrases.
    #[default]
    Negative,
    /// It names something, good or not: in no training.
    Unknown,
    /// A good phrase, of the list with this number.
    Positive(u8),
}

impl Labels {
    /// Looks the entries of all lists up. Every stop word is a negative.
    pub fn new(
        types: &Types,
        candidates: &Candidates,
        lexical: &Lexical,
        quality: &Quality,
        entities: Option<&List>,
    ) -> Self {
        let mut labels = Self { of: vec![Label::Negative; candidates.len()], ..Self::default() };
        let mut words = Vec::new();
        if let Some(entities) = entities {
            for entry in entities.entries() {
                if types_of(types, entry, &mut words)
                    && let Some(node) = candidates.find(&words)
                {
                    labels.of[node as usize] = Label::Unknown;
                }
            }
        }
        let mut rare = Rare::default();
        let mut entries = 0;
        let lists = match quality {
            Quality::List(list) => vec![list],
            Quality::Corpus { kinds, brands } => vec![kinds, brands],
        };
        let of_corpus = matches!(quality, Quality::Corpus { .. });
        // `For Women`, `Sold Out`, though also `The North Face`: they would teach that such words begin and end phrases, and an encyclopedia has
        // hardly any.
        let is_cut = |words: &[u32]| {
            let [first, .., last] = words else { return false };
            of_corpus && [first, last].iter().any(|&&word| is_closed_class(types.text(word)))
        };
        for (number, list) in (0u8..).zip(lists) {
            for entry in list.entries() {
                entries += 1;
                if types_of(types, entry, &mut words) {
                    match candidates.find(&words) {
                        // Of several lists the first one counts.
                        Some(node) => {
                            let label = &mut labels.of[node as usize];
                            if is_cut(&words) {
                                *label = Label::Unknown;
                            } else if !matches!(label, Label::Positive(_)) {
                                *label = Label::Positive(number);
                            }
                        }
                        None => {
                            rare.words.extend_from_slice(&words);
                            rare.ends.push(rare.words.len());
                        }
                    }
                }
            }
        }
        labels.of_corpus = of_corpus;
        labels.entries = entries;
        labels.rare = rare;
        for word in 0..candidates.types() as u32 {
            if lexical.is_stop_word(word) {
                labels.of[word as usize] = Label::Negative;
            }
        }
        labels
    }

    /// Phrases of the quality lists that are made of words of the text, and are no candidates.
    pub fn rare(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.rare.ends.iter().copied());
        starts.zip(&self.rare.ends).map(|(start, &end)| &self.rare.words[start..end])
    }

    /// What the quality of longer candidates is learnt from.
    pub fn of_phrases(&self, candidates: &Candidates) -> Examples {
        let labels = &self.of[candidates.types()..];
        let positives = [0, 1].map(|list| numbers(labels, Label::Positive(list)));
        Examples { positives: positives.into(), negatives: vec![numbers(labels, Label::Negative)] }
    }

    /// What the quality of words is learnt from.
    pub fn of_words(&self, candidates: &Candidates, lexical: &Lexical) -> Examples {
        let labels = &self.of[..candidates.types()];
        let negatives = numbers(labels, Label::Negative);
        if !self.of_corpus {
            return Examples { positives: vec![numbers(labels, Label::Positive(0))], negatives: vec![negatives] };
        }
        let frequent = |words: Vec<u32>| words.into_iter().filter(|w| candidates.is_frequent_word(*w));
        let (stop, other) = frequent(negatives).partition(|w| lexical.is_stop_word(*w));
        let brands = frequent(numbers(labels, Label::Positive(1))).collect();
        Examples { positives: vec![brands], negatives: vec![stop, other] }
    }

    /// Takes back positives that were never cut out as a piece.
    pub fn drop_unused(&mut self, counts: &[u64]) {
        for (label, &count) in self.of.iter_mut().zip(counts) {
            if matches!(label, Label::Positive(_)) && count == 0 {
                *label = Label::Unknown;
            }
        }
    }
}

/// The places of a label.
fn numbers(labels: &[Label], wanted: Label) -> Vec<u32> {
    (0u32..).zip(labels).filter(|(_, label)| **label == wanted).map(|(at, _)| at).collect()
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
}
