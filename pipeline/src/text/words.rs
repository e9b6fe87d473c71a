//! Finds the words of a text: BERT's pre-tokens of the normalised text.
//!
//! BERT's normaliser works character by character, with one exception: canonical reordering of
//! combining marks that accent stripping leaves. So a table asks Hugging Face's normaliser once what
//! each character becomes by itself, and a run that holds a character which takes part in reordering
//! goes to the library whole. ASCII needs one look into a small table a byte.
use std::ops::Range;

use hashbrown::HashMap;
use unicode_normalization_alignments::char::canonical_combining_class;

use super::Tokenizer;

/// A word: a byte range of the normalised text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordRange {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl WordRange {
    /// The range, for indexing.
    pub fn bytes(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What a character of normalised text does to words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It belongs to a word.
    Letter,
    /// It ends a word.
    Space,
    /// It is a word by itself.
    Punctuation,
    /// Normalising removes it.
    Gone,
    /// It is no ASCII character: looked up by itself.
    Other,
}

/// What each byte becomes and does; bytes of other characters are [`Class::Other`].
type Bytes = [(u8, Class); 256];

/// What normalising makes of one character.
struct Normalized {
    characters: Vec<(char, Class)>,
    /// It may move past its neighbors in canonical order, so it cannot be looked up by itself.
    reorders: bool,
}

/// Normalised text and its words; one for each thread, reused from text to text.
pub struct Words<'t> {
    tokenizer: &'t Tokenizer,
    ascii: Option<Box<Bytes>>,
    others: HashMap<char, Normalized>,
    text: Vec<u8>,
    ranges: Vec<WordRange>,
}

/// Bytes after the normalised text that may be read (and mean nothing), so that a short word can be
/// loaded whole.
pub(super) const SLACK: usize = 16;

impl<'t> Words<'t> {
    /// Words as this tokenizer sees them.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        let mut ascii = Box::new([(0, Class::Other); 256]);
        let mut simple = tokenizer.by_character();
        for byte in 0..128u8 {
            let looked_up = look_up(tokenizer, char::from(byte));
            ascii[usize::from(byte)] = match looked_up.characters[..] {
                [] => (0, Class::Gone),
                [(c, class)] if c.is_ascii() => (c as u8, class),
                _ => {
                    simple = false;
                    (0, Class::Gone)
                }
            };
        }
        Self {
            tokenizer,
            ascii: simple.then_some(ascii),
            others: HashMap::new(),
            text: vec![0; SLACK],
            ranges: Vec::new(),
        }
    }

    /// Normalises a text and finds its words.
    pub fn find(&mut self, raw: &str) {
        self.text.clear();
        self.ranges.clear();
        match self.ascii.take() {
            Some(ascii) => {
                self.find_by_character(raw, &ascii);
                self.ascii = Some(ascii);
            }
            None => find_by_library(self.tokenizer, raw, &mut self.text, &mut self.ranges),
        }
        self.text.extend_from_slice(&[0; SLACK]);
    }

    /// Whether a text has any word. Stops at the first.
    pub fn any(&mut self, raw: &str) -> bool {
        let class_of = |byte: u8| self.ascii.as_ref().map_or(Class::Other, |ascii| ascii[usize::from(byte)].1);
        if raw.bytes().take(64).any(|byte| matches!(class_of(byte), Class::Letter | Class::Punctuation)) {
            return true;
        }
        self.find(raw);
        !self.ranges.is_empty()
    }

    /// The words, in order.
    pub fn ranges(&self) -> &[WordRange] {
        &self.ranges
    }

    /// The normalised text and [`SLACK`] more bytes.
    pub(super) fn padded(&self) -> &[u8] {
        &self.text
    }

    /// A word as text.
    pub fn word(&self, range: WordRange) -> &str {
        // Words begin and end at characters: bytes are pushed as whole characters.
        std::str::from_utf8(&self.text[range.bytes()]).unwrap_or_default()
    }

    /// Whether a word is a transparent hyphen: a `-` that touches a word other than `-` on both sides.
    /// `wi-fi` is an occurrence of `wi fi`.
    pub fn is_transparent(&self, word: usize) -> bool {
        let here = self.ranges[word];
        let hyphen = |r: WordRange| r.end - r.start == 1 && self.text[r.start as usize] == b'-';
        hyphen(here)
            && word > 0
            && self.ranges.get(word + 1).is_some_and(|next| next.start == here.end && !hyphen(*next))
            && self.ranges[word - 1].end == here.start
            && !hyphen(self.ranges[word - 1])
    }

    fn find_by_character(&mut self, raw: &str, ascii: &Bytes) {
        let Self { tokenizer, others, text, ranges, .. } = self;
        let bytes = raw.as_bytes();
        let class_of = |byte: u8| ascii[usize::from(byte)].1;
        text.reserve(bytes.len() + SLACK);
        let mut word: Option<u32> = None;
        // Where the run since the last ASCII space began: in the raw text, the normalised text, and the words.
        let mut run = (0, 0, 0);
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let (becomes, class) = ascii[usize::from(byte)];
            match class {
                Class::Letter => {
                    let letters = bytes[at..].iter().take_while(|&&b| class_of(b) == Class::Letter).count();
                    word.get_or_insert(text.len() as u32);
                    text.extend(bytes[at..at + letters].iter().map(|&b| ascii[usize::from(b)].0));
                    at += letters;
                }
                Class::Space => {
                    end_word(&mut word, text, ranges);
                    text.push(becomes);
                    at += 1;
                    run = (at, text.len(), ranges.len());
                }
                Class::Punctuation => {
                    end_word(&mut word, text, ranges);
                    let start = text.len() as u32;
                    text.push(becomes);
                    ranges.push(WordRange { start, end: start + 1 });
                    at += 1;
                }
                Class::Gone => at += 1,
                Class::Other => {
                    let Some(c) = raw[at..].chars().next() else { break };
                    at += c.len_utf8();
                    let normalized = others.entry(c).or_insert_with(|| look_up(tokenizer, c));
                    if normalized.reorders {
                        let (from, text_before, words_before) = run;
                        text.truncate(text_before);
                        ranges.truncate(words_before);
                        word = None;
                        let space = bytes[at..].iter().position(|&b| class_of(b) == Class::Space);
                        at += space.unwrap_or(bytes.len() - at);
                        find_by_library(tokenizer, &raw[from..at], text, ranges);
                        continue;
                    }
                    for &(becomes, class) in &normalized.characters {
                        if class != Class::Letter {
                            end_word(&mut word, text, ranges);
                        }
                        let start = text.len() as u32;
                        text.extend_from_slice(becomes.encode_utf8(&mut [0; 4]).as_bytes());
                        match class {
                            Class::Letter => {
                                word.get_or_insert(start);
                            }
                            Class::Punctuation => ranges.push(WordRange { start, end: text.len() as u32 }),
                            Class::Space | Class::Gone | Class::Other => {}
                        }
                    }
                }
            }
        }
        end_word(&mut word, text, ranges);
    }
}

fn end_word(word: &mut Option<u32>, text: &[u8], ranges: &mut Vec<WordRange>) {
    if let Some(start) = word.take() {
        ranges.push(WordRange { start, end: text.len() as u32 });
    }
}

fn find_by_library(tokenizer: &Tokenizer, raw: &str, text: &mut Vec<u8>, ranges: &mut Vec<WordRange>) {
    let normalized = tokenizer.normalize(raw);
    let mut words = Vec::new();
    tokenizer.pre_tokenize(&normalized, text, &mut words);
    ranges.extend(words.iter().map(|&(start, end)| WordRange { start: start as u32, end: end as u32 }));
}

/// What the library makes of one character by itself.
fn look_up(tokenizer: &Tokenizer, c: char) -> Normalized {
    let normalized = tokenizer.normalize(c.encode_utf8(&mut [0; 4]));
    let classify = |c: char| {
        let mut words = Vec::new();
        tokenizer.pre_tokenize(&format!("a{c}a"), &mut Vec::new(), &mut words);
        match words.len() {
            1 => Class::Letter,
            2 => Class::Space,
            _ => Class::Punctuation,
        }
    };
    Normalized {
        reorders: normalized.chars().any(|c| canonical_combining_class(c) != 0),
        characters: normalized.chars().map(|c| (c, classify(c))).collect(),
    }
}
