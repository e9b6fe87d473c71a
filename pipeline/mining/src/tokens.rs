//! Text to arrays: each word a number, and what stands around it.
//!
//! Words are those of Unicode's UAX #29, in lower case: apostrophes stay inside, hyphens and colons split, `1,000` is one. What is between
//! words is marks. Some of them end a segment, which no phrase crosses; others are noted at the words beside them.
use std::collections::{HashMap, HashSet};

use ebert_english::{Tagger, Tagging};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::types::{self, Types};
/// A word of the text: the number of its type, and what may be done at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u32);

impl Word {
    const ENDS: u32 = 1 << 31;
    const NO_START: u32 = 1 << 30;
    const NO_EXTENSION: u32 = 1 << 29;
    /// Types are numbers below this.
    pub const MOST_TYPES: u32 = 1 << 29;

    /// A word of this type.
    pub fn new(kind: u32, pruning: Pruning) -> Self {
        debug_assert!(kind < Self::MOST_TYPES);
        Self(
            kind | match pruning {
                Pruning::Free => 0,
                Pruning::NoExtension => Self::NO_EXTENSION,
                Pruning::Outside => Self::NO_EXTENSION | Self::NO_START,
            },
        )
    }

    /// The number of its type.
    #[inline]
    pub fn kind(self) -> u32 {
        self.0 & (Self::MOST_TYPES - 1)
    }

    /// Whether a segment ends after it.
    #[inline]
    pub fn ends_segment(self) -> bool {
        self.0 & Self::ENDS != 0
    }

    /// Whether a candidate may start here.
    #[inline]
    pub fn may_start(self) -> bool {
        self.0 & Self::NO_START == 0
    }

    /// Whether a candidate may be extended onto this word.
    #[inline]
    pub fn may_extend(self) -> bool {
        self.0 & Self::NO_EXTENSION == 0
    }

    /// Ends the segment after this word.
    pub fn end_segment(&mut self) {
        self.0 |= Self::ENDS;
    }
}

/// What the tag of a word allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruning {
    /// It may be anywhere in a candidate.
    #[default]
    Free,
    /// It may only start one: determiners.
    NoExtension,
    /// It is in none: pronouns, forms of be, have and do, modals, wh-words.
    Outside,
}

/// What stands around a word, and its tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    const TAG: u16 = (1 << 6) - 1;
    /// Its first letter is a capital.
    pub const CAPITALISED: Self = Self(1 << 6);
    /// All of it is capitals.
    pub const CAPITALS: Self = Self(1 << 7);
    /// A dash follows.
    pub const DASH_AFTER: Self = Self(1 << 8);
    /// A quotation mark precedes.
    pub const QUOTE_BEFORE: Self = Self(1 << 9);
    /// A quotation mark follows.
    pub const QUOTE_AFTER: Self = Self(1 << 10);
    /// `(` precedes.
    pub const OPEN_BEFORE: Self = Self(1 << 11);
    /// `)` follows.
    pub const CLOSE_AFTER: Self = Self(1 << 12);
    /// The document ends after it.
    pub const ENDS_DOCUMENT: Self = Self(1 << 13);

    /// The number of its tag, below [`TAGS`].
    #[inline]
    pub fn tag(self) -> usize {
        usize::from(self.0 & Self::TAG)
    }

    /// Whether all of `other` is noted.
    #[inline]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn note(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Tags are numbers below this.
pub const TAGS: usize = 64;

/// A corpus as arrays, one entry a word.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Types and segments.
    pub words: Vec<Word>,
    /// What stands around them.
    pub marks: Vec<Marks>,
    /// The distinct words.
    pub types: Types,
    /// How many documents there are.
    pub documents: u64,
}

impl Tokens {
    /// Appends what a reader made of some documents.
    pub fn append(&mut self, batch: &Batch) {
        let kinds: Vec<u32> =
            batch.words_of.iter().map(|range| self.types.intern(&batch.text[range.clone()])).collect();
        grow(&mut self.words, batch.words.len());
        grow(&mut self.marks, batch.marks.len());
        let mut document = self.documents + 1;
        for (word, marks) in batch.words.iter().zip(&batch.marks) {
            let kind = kinds[word.kind() as usize];
            self.words.push(Word(word.0 & !(Word::MOST_TYPES - 1) | kind));
            self.types.note(kind, document);
            document += u64::from(marks.has(Marks::ENDS_DOCUMENT));
        }
        self.marks.extend_from_slice(&batch.marks);
        self.documents += batch.documents;
    }

    /// Types of words that stand before `'t` more often than by themselves, such as `don`: where text is taken apart at apostrophes, as
    /// BERT's tokenizers do, most of what looks like them is a piece of `don't`.
    pub fn contracted(&self) -> HashSet<u32> {
        let mut counts = vec![0u64; self.types.len()];
        self.words.iter().for_each(|word| counts[word.kind() as usize] += 1);
        let mut pieces: HashMap<&str, u64> = HashMap::new();
        for (kind, count) in (0..).zip(&counts) {
            let text = self.types.text(kind);
            if let Some(stem) = text.strip_suffix("'t").or_else(|| text.strip_suffix("\u{2019}t")) {
                *pieces.entry(stem).or_default() += count;
            }
        }
        let is_piece = |kind: &u32| pieces.get(self.types.text(*kind)).is_some_and(|n| *n > counts[*kind as usize]);
        (0..counts.len() as u32).filter(is_piece).collect()
    }

    /// Frees what only reading needs.
    pub fn finish(&mut self) {
        self.types.finish();
        self.words.shrink_to_fit();
        self.marks.shrink_to_fit();
    }
}

/// Makes room in steps of an eighth: these are the largest arrays, and doubling them would need half as much memory again.
fn grow<T>(array: &mut Vec<T>, more: usize) {
    if array.capacity() - array.len() < more {
        array.reserve_exact(more.max(array.len() / 8));
    }
}

/// Some documents, with numbers of their own for the words.
#[derive(Debug, Default)]
pub struct Batch {
    words: Vec<Word>,
    marks: Vec<Marks>,
    /// The distinct words in lower case, one after another.
    text: String,
    words_of: Vec<std::ops::Range<usize>>,
    documents: u64,
}

/// Makes batches of documents; one for each thread.
pub struct Reader<'m> {
    tagging: Tagging<'m>,
    /// What each tag allows, and the tag of the same verb as an auxiliary.
    roles: Vec<Role>,
    /// End and tag of each token of a text.
    tags: Vec<(u32, u8)>,
    /// As they are written, to the number in the batch and the capitals.
    written: HashTable<Written>,
    lower: HashTable<u32>,
}

struct Written {
    hash: u64,
    start: usize,
    end: usize,
    kind: u32,
    capitals: Marks,
}

#[derive(Clone, Copy, Debug)]
struct Role {
    pruning: Pruning,
    /// A tag of verbs; the number that forms of be, have and do get instead.
    auxiliary: Option<u8>,
}

/// Forms of be, have and do, as Penn tokens.
const AUXILIARIES: [&str; 26] = [
    "be", "am", "is", "are", "was", "were", "been", "being", "'s", "'re", "'m", "’s", "’re", "’m", "do", "does", "did",
    "done", "doing", "have", "has", "had", "having", "'ve", "’ve", "'d",
];

impl<'m> Reader<'m> {
    /// With this tagger.
    pub fn new(tagger: &'m Tagger) -> Self {
        let names = tagger.tags();
        let mut next = names.len() as u8;
        let roles = names.iter().map(|name| {
            let pruning = match name.as_str() {
                "DT" | "$" => Pruning::NoExtension,
                "EX" | "LS" | "MD" | "PRP" | "PRP$" | "UH" | "WDT" | "WP" | "WP$" | "WRB" | "," | "." | ":" | "''" => {
                    Pruning::Outside
                }
                _ => Pruning::Free,
            };
            let auxiliary = name.starts_with("VB").then(|| {
                next += 1;
                next - 1
            });
            Role { pruning, auxiliary }
        });
        let roles = roles.collect();
        assert!(usize::from(next) <= TAGS, "more tags than fit their number");
        Self {
            tagging: Tagging::new(tagger),
            roles,
            tags: Vec::new(),
            written: HashTable::new(),
            lower: HashTable::new(),
        }
    }

    /// Makes a batch of documents.
    pub fn read<'t>(&mut self, documents: impl Iterator<Item = &'t str>) -> Batch {
        let mut batch = Batch::default();
        self.written.clear();
        self.lower.clear();
        // Words as they are written, of this batch.
        let mut raw = String::new();
        for document in documents {
            self.document(document, &mut batch, &mut raw);
        }
        batch
    }

    fn document(&mut self, text: &str, batch: &mut Batch, raw: &mut String) {
        self.tags.clear();
        let Self { tagging, roles, tags, .. } = self;
        tagging.each_sentence(text, |tokens, numbers| {
            for (token, &tag) in tokens.iter().zip(numbers) {
                let word = token.of(text);
                let auxiliary = roles[usize::from(tag)]
                    .auxiliary
                    .filter(|_| word.len() <= 8 && AUXILIARIES.iter().any(|form| form.eq_ignore_ascii_case(word)));
                tags.push((token.end, auxiliary.unwrap_or(tag)));
            }
        });
        let first = batch.words.len();
        let (mut at, mut token) = (0, 0);
        for (start, word) in types::words(text) {
            let before = marks_between(&text[at..start], batch, first);
            at = start + word.len();
            while token < self.tags.len() && self.tags[token].0 as usize <= start {
                token += 1;
            }
            // Every word is in a token.
            let tag = self.tags.get(token).map_or(0, |t| t.1);
            let (kind, capitals) = self.intern(word, batch, raw);
            let that = word.eq_ignore_ascii_case("that") && self.is_preposition(tag);
            let pruning = if that { Pruning::Outside } else { self.pruning(tag) };
            let mut marks = Marks(u16::from(tag));
            marks.note(capitals);
            match before {
                Some(Mark::Quote) => marks.note(Marks::QUOTE_BEFORE),
                Some(Mark::Open) => marks.note(Marks::OPEN_BEFORE),
                _ => {}
            }
            batch.words.push(Word::new(kind, pruning));
            batch.marks.push(marks);
        }
        marks_between(&text[at..], batch, first);
        if let Some(last) = batch.words[first..].last_mut() {
            last.end_segment();
            if let Some(marks) = batch.marks.last_mut() {
                marks.note(Marks::ENDS_DOCUMENT);
            }
            batch.documents += 1;
        }
    }

    fn pruning(&self, tag: u8) -> Pruning {
        // Numbers after those of the tagger are auxiliaries.
        self.roles.get(usize::from(tag)).map_or(Pruning::Outside, |role| role.pruning)
    }

    fn is_preposition(&self, tag: u8) -> bool {
        self.tagging.tags().get(usize::from(tag)).is_some_and(|name| name == "IN")
    }

    /// The number of a word in the batch, and its capitals.
    fn intern(&mut self, word: &str, batch: &mut Batch, raw: &mut String) -> (u32, Marks) {
        let hash = xxh3_64(word.as_bytes());
        if let Some(known) = self.written.find(hash, |w| raw[w.start..w.end] == *word) {
            return (known.kind, known.capitals);
        }
        let mut capitals = Marks::default();
        if word.chars().next().is_some_and(char::is_uppercase) {
            capitals.note(Marks::CAPITALISED);
            if word.chars().all(char::is_uppercase) {
                capitals.note(Marks::CAPITALS);
            }
        }
        let lower = word.to_lowercase();
        let Batch { text, words_of, .. } = batch;
        let lower_hash = xxh3_64(lower.as_bytes());
        let kind = match self.lower.find(lower_hash, |&kind| text[words_of[kind as usize].clone()] == lower) {
            Some(&kind) => kind,
            None => {
                let kind = words_of.len() as u32;
                words_of.push(text.len()..text.len() + lower.len());
                text.push_str(&lower);
                self.lower
                    .insert_unique(lower_hash, kind, |&kind| xxh3_64(text[words_of[kind as usize].clone()].as_bytes()));
                kind
            }
        };
        let start = raw.len();
        raw.push_str(word);
        self.written.insert_unique(hash, Written { hash, start, end: raw.len(), kind, capitals }, |w| w.hash);
        (kind, capitals)
    }
}

/// What a character between words means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Dash,
    Quote,
    Open,
    Close,
    /// Ends a segment: sentence punctuation, and signs that are no punctuation at all.
    Stop,
    /// Is passed over.
    Other,
}

fn mark(c: char) -> Mark {
    match c {
        '-' | '—' | '•' => Mark::Dash,
        '"' | '“' | '”' | '„' | '‘' | '’' => Mark::Quote,
        '(' => Mark::Open,
        ')' => Mark::Close,
        '%' | '/' | '{' | '}' | '[' | ']' | '\'' | '<' | '>' | '«' | '»' => Mark::Other,
        _ => Mark::Stop,
    }
}

/// Notes what stands between two words at the word before, if the document has one. Gives the last mark.
fn marks_between(between: &str, batch: &mut Batch, first: usize) -> Option<Mark> {
    let mut last = None;
    if between == " " {
        return None;
    }
    for c in between.chars() {
        let mark = if c.is_whitespace() {
            // A line break ends a segment.
            if !matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}') {
                continue;
            }
            Mark::Stop
        } else {
            mark(c)
        };
        last = Some(mark);
        if batch.words.len() == first {
            continue;
        }
        if let (Some(word), Some(marks)) = (batch.words.last_mut(), batch.marks.last_mut()) {
            match mark {
                Mark::Dash => marks.note(Marks::DASH_AFTER),
                Mark::Quote => marks.note(Marks::QUOTE_AFTER),
                Mark::Close => marks.note(Marks::CLOSE_AFTER),
                _ => {}
            }
            if matches!(mark, Mark::Quote | Mark::Open | Mark::Close | Mark::Stop) {
                word.end_segment();
            }
        }
    }
    last
}

/// Texts for the tests of this folder.
#[cfg(test)]
pub mod test {
    use proptest::prelude::*;

    use super::*;

    /// A text of at most so many words, of few types, with marks around them.
    pub fn made_up(most: usize) -> impl Strategy<Value = Tokens> {
        let word = (0u32..5, 0u16..4, 0u16..256, 0u8..10, 0u8..12);
        prop::collection::vec(word, 1..most).prop_map(|words| {
            let mut tokens = Tokens::default();
            for name in ["a", "b", "c", "d", "e"] {
                tokens.types.intern(name);
            }
            let mut seen = [0u64; 5];
            let last = words.len() - 1;
            tokens.documents = 1;
            for (at, (kind, tag, flags, pruning, ends)) in words.into_iter().enumerate() {
                let pruning = match pruning {
                    0 => Pruning::Outside,
                    1 => Pruning::NoExtension,
                    _ => Pruning::Free,
                };
                let mut word = Word::new(kind, pruning);
                let mut marks = Marks(tag | (flags & 127) << 6);
                if marks.has(Marks::CAPITALS) {
                    marks.note(Marks::CAPITALISED);
                }
                if seen[kind as usize] != tokens.documents {
                    seen[kind as usize] = tokens.documents;
                    tokens.types.documents[kind as usize] += 1;
                }
                if ends < 2 || at == last {
                    word.end_segment();
                }
                if ends == 0 || at == last {
                    marks.note(Marks::ENDS_DOCUMENT);
                    tokens.documents += u64::from(at < last);
                }
                tokens.words.push(word);
                tokens.marks.push(marks);
            }
            tokens
        })
    }

    /// Words separated by spaces, in documents that end with a full stop; nothing is pruned.
    pub fn plain(text: &str) -> Tokens {
        let mut batch = Batch::default();
        for document in text.split(" . ") {
            for word in document.split(' ') {
                let known = batch.words_of.iter().position(|range| batch.text[range.clone()] == *word);
                let kind = known.unwrap_or_else(|| {
                    batch.words_of.push(batch.text.len()..batch.text.len() + word.len());
                    batch.text.push_str(word);
                    batch.words_of.len() - 1
                });
                batch.words.push(Word::new(kind as u32, Pruning::Free));
                batch.marks.push(Marks::default());
            }
            batch.words.last_mut().into_iter().for_each(Word::end_segment);
            batch.marks.last_mut().into_iter().for_each(|marks| marks.note(Marks::ENDS_DOCUMENT));
            batch.documents += 1;
        }
        let mut tokens = Tokens::default();
        tokens.append(&batch);
        tokens
    }
}

#[cfg(test)]
mod tests;
