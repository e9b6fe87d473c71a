//! Finds the words of a text: pre-tokens of the normalized text, by default those of uncased BERT.
//!
//! [`Words`] normalizes a text and lists its words as [`WordRange`]s. Hugging Face's `tokenizers`
//! decides what a character becomes and which characters make a word. It is slow, so it is asked as
//! seldom as possible. There are three ways, the fastest first:
//!
//! 1. Printable ASCII goes through in blocks of 64 bytes ([`Block`]).
//! 2. Other characters are looked up in a table that asks the library once per character. This is
//!    exact because BERT's normalizer works character by character, with one exception: canonical
//!    reordering of the combining marks that accent stripping leaves.
//! 3. A *run* (the text between two ASCII spaces) with such a mark goes to the library as a whole,
//!    and so does any text under rules that are not BERT's.
use std::ops::Range;

use hashbrown::HashMap;
use tokenizers::normalizer::Range as NormalizedRange;
use unicode_normalization_alignments::char::canonical_combining_class;

use super::{
    Tokenizer,
    block::{Block, BlockByte},
    rules::WordRules,
    table::SLACK,
};

/// A word: a byte range of the normalized text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordRange {
    pub(super) start: u32,
    pub(super) end: u32,
    /// First byte of the word in the raw text.
    pub origin: u32,
}

impl WordRange {
    /// The bytes of the normalized text.
    pub(super) fn bytes(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Normalizes texts and finds their words. Each thread needs its own. Buffers are reused from text
/// to text.
pub struct Words<'t> {
    rules: &'t WordRules,
    /// `None` if all text goes to the library.
    ascii: Option<Box<AsciiTable>>,
    /// Characters that are not ASCII and have been seen.
    others: HashMap<char, Normalized>,
    found: Found,
}

impl<'t> Words<'t> {
    /// Finds the words that phrases are made of: in lower case and without accents, whatever the
    /// tokenizer keeps.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self::by(tokenizer.text_rules())
    }

    /// Finds the words that some rules make.
    pub(super) fn by(rules: &'t WordRules) -> Self {
        Self { rules, ascii: AsciiTable::new(rules), others: HashMap::new(), found: Found::default() }
    }

    /// Normalizes a text and finds its words. Those of the last text are dropped.
    pub fn find(&mut self, raw: &str) {
        let Self { rules, ascii, others, found } = self;
        found.clear();
        match ascii {
            Some(ascii) => Scan { rules, ascii, others, found, raw, at: 0 }.run(),
            None => found.push_by_library(rules, raw, 0),
        }
        found.text.extend_from_slice(&[0; SLACK]);
    }

    /// Whether a text has any word. Nearly always decided by its first 64 bytes.
    pub fn any(&mut self, raw: &str) -> bool {
        let class_of = |byte: u8| self.ascii.as_ref().map_or(Class::Other, |ascii| ascii.class(byte));
        if raw.bytes().take(64).any(|byte| matches!(class_of(byte), Class::Letter | Class::Punctuation)) {
            return true;
        }
        self.find(raw);
        !self.found.ranges.is_empty()
    }

    /// The words of the last text, in order.
    pub fn ranges(&self) -> &[WordRange] {
        &self.found.ranges
    }

    /// The normalized text, followed by [`SLACK`] more bytes.
    pub(super) fn padded(&self) -> &[u8] {
        &self.found.text
    }

    /// A word of the last text.
    pub fn word(&self, range: WordRange) -> &str {
        std::str::from_utf8(&self.found.text[range.bytes()]).expect("text is pushed as whole characters")
    }

    /// The bytes of a word in the raw text, which the last text was found in. Characters after the
    /// word that normalizing removes belong to it.
    pub(super) fn raw_bytes(&self, raw: &str, word: usize) -> Range<u32> {
        let ranges = &self.found.ranges;
        let start = ranges[word].origin;
        let next = ranges.get(word + 1).map_or(raw.len(), |next| next.origin as usize);
        let between = &raw.as_bytes()[start as usize..next];
        // One space, or nothing, is after nearly all words.
        let end = match between {
            [.., last] if last.is_ascii_graphic() => next,
            [.., last, b' '] if last.is_ascii_graphic() => next - 1,
            _ => {
                let spaces = raw[start as usize..next].char_indices().find(|(_, c)| self.is_space(*c));
                spaces.map_or(next, |(at, _)| start as usize + at)
            }
        };
        start..end as u32
    }

    /// Whether a character separates words and is in none.
    fn is_space(&self, c: char) -> bool {
        match (&self.ascii, self.others.get(&c)) {
            (Some(ascii), _) if c.is_ascii() => ascii.class(c as u8) == Class::Space,
            (_, Some(normalized)) => matches!(normalized.characters[..], [(_, Class::Space)]),
            _ => c.is_whitespace(),
        }
    }

    /// Whether a word is a transparent hyphen: a `-` that touches a word other than `-` on both
    /// sides. Matching skips it, so `wi-fi` is an occurrence of `wi fi`.
    pub fn is_transparent(&self, word: usize) -> bool {
        let Found { text, ranges, .. } = &self.found;
        let here = ranges[word];
        let is_hyphen = |r: WordRange| r.end - r.start == 1 && text[r.start as usize] == b'-';
        is_hyphen(here)
            && word > 0
            && ranges.get(word + 1).is_some_and(|next| next.start == here.end && !is_hyphen(*next))
            && ranges[word - 1].end == here.start
            && !is_hyphen(ranges[word - 1])
    }
}

/// What a character of normalized text does to words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Belongs to a word.
    Letter,
    /// Ends a word.
    Space,
    /// Is a word alone.
    Punctuation,
    /// Normalizing removes it.
    Removed,
    /// Not ASCII: has to be looked up as a character.
    Other,
}

/// What normalizing makes of ASCII, by byte.
struct AsciiTable {
    bytes: [AsciiByte; 256],
    /// Whether a [`Block`] does the same.
    blockwise: bool,
}

#[derive(Clone, Copy)]
struct AsciiByte {
    becomes: u8,
    class: Class,
}

impl AsciiTable {
    /// `None` if the rules do not work character by character, or do not keep ASCII ASCII.
    fn new(rules: &WordRules) -> Option<Box<Self>> {
        rules.bert()?;
        let mut bytes = [AsciiByte { becomes: 0, class: Class::Other }; 256];
        for byte in 0..128u8 {
            bytes[usize::from(byte)] = match look_up(rules, char::from(byte)).characters[..] {
                [] => AsciiByte { becomes: 0, class: Class::Removed },
                [(c, class)] if c.is_ascii() => AsciiByte { becomes: c as u8, class },
                _ => return None,
            };
        }
        let blockwise = (0..128u8).all(|byte| {
            let AsciiByte { becomes, class } = bytes[usize::from(byte)];
            Block::of_byte(byte)
                == match class {
                    Class::Letter => BlockByte::Letter(becomes),
                    Class::Space => BlockByte::Space(becomes),
                    Class::Punctuation => BlockByte::Punctuation(becomes),
                    // A block stops before it, and the byte is then looked up here.
                    Class::Removed | Class::Other => BlockByte::Unreadable,
                }
        });
        Some(Box::new(Self { bytes, blockwise }))
    }

    fn class(&self, byte: u8) -> Class {
        self.bytes[usize::from(byte)].class
    }
}

/// What normalizing makes of one character.
struct Normalized {
    characters: Vec<(char, Class)>,
    /// Takes part in canonical reordering, so the result depends on its neighbors.
    reorders: bool,
}

/// What the library makes of one character alone.
fn look_up(rules: &WordRules, c: char) -> Normalized {
    let normalized = rules.normalize(c.encode_utf8(&mut [0; 4]));
    // Between two letters a letter joins them, white space separates them, and punctuation adds a
    // word.
    let classify = |c: char| {
        let mut words = Vec::new();
        rules.pre_tokenize(&format!("a{c}a"), &mut Vec::new(), &mut words);
        match words.len() {
            1 => Class::Letter,
            2 => Class::Space,
            _ => Class::Punctuation,
        }
    };
    Normalized {
        reorders: normalized.get().chars().any(|c| canonical_combining_class(c) != 0),
        characters: normalized.get().chars().map(|c| (c, classify(c))).collect(),
    }
}

/// A text being read. All before byte `at`, where a character begins, is in `found`.
struct Scan<'a> {
    rules: &'a WordRules,
    ascii: &'a AsciiTable,
    others: &'a mut HashMap<char, Normalized>,
    found: &'a mut Found,
    raw: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn run(mut self) {
        self.found.text.reserve(self.raw.len() + Block::BYTES + SLACK);
        loop {
            if self.ascii.blockwise {
                self.blocks();
            }
            let Some(&byte) = self.raw.as_bytes().get(self.at) else { break };
            let AsciiByte { becomes, class } = self.ascii.bytes[usize::from(byte)];
            match class {
                Class::Letter => self.letter_run(),
                Class::Space => self.space(becomes),
                Class::Punctuation => self.punctuation(becomes),
                Class::Removed => self.at += 1,
                Class::Other => self.character(),
            }
        }
        self.found.end_word();
    }

    /// Reads blocks up to a character that no block can read, or the end of the text.
    #[inline]
    fn blocks(&mut self) {
        loop {
            let block = Block::of(&self.raw.as_bytes()[self.at..]);
            self.found.push_block(&block, self.at);
            self.at += block.length;
            if block.length < Block::BYTES {
                return;
            }
        }
    }

    /// Reads the ASCII letters up to the next other byte.
    fn letter_run(&mut self) {
        let bytes = &self.raw.as_bytes()[self.at..];
        let letters = bytes.iter().take_while(|&&b| self.ascii.class(b) == Class::Letter).count();
        self.found.begin_word(self.at);
        self.found.text.extend(bytes[..letters].iter().map(|&b| self.ascii.bytes[usize::from(b)].becomes));
        self.at += letters;
    }

    fn space(&mut self, becomes: u8) {
        self.found.end_word();
        self.found.text.push(becomes);
        self.at += 1;
    }

    fn punctuation(&mut self, becomes: u8) {
        self.found.push(char::from(becomes), Class::Punctuation, self.at);
        self.at += 1;
    }

    /// Reads a character that is not ASCII.
    fn character(&mut self) {
        let c = self.raw[self.at..].chars().next().expect("the scan is not at the end");
        let normalized = self.others.entry(c).or_insert_with(|| look_up(self.rules, c));
        if normalized.reorders {
            return self.fall_back();
        }
        for &(becomes, class) in &normalized.characters {
            self.found.push(becomes, class, self.at);
        }
        self.at += c.len_utf8();
    }

    /// Takes back what has been read of the run around `at`, and gives the run to the library.
    fn fall_back(&mut self) {
        let is_space = |byte: &u8| self.ascii.class(*byte) == Class::Space;
        let (before, after) = self.raw.as_bytes().split_at(self.at);
        let start = before.iter().rposition(is_space).map_or(0, |space| space + 1);
        let end = after.iter().position(is_space).map_or(self.raw.len(), |space| self.at + space);
        self.found.rewind(start);
        self.found.push_by_library(self.rules, &self.raw[start..end], start);
        self.at = end;
    }
}

/// Normalized text and its words so far.
///
/// `ranges` are in order, do not overlap, and have ascending origins. Only whole characters are
/// pushed to `text`, so words begin and end at characters. Between two words that do not touch,
/// `text` has at least one byte; what it is does not matter.
#[derive(Default)]
struct Found {
    text: Vec<u8>,
    ranges: Vec<WordRange>,
    /// The word that `text` ends in, if letters may still continue it.
    open: Option<OpenWord>,
}

#[derive(Clone, Copy)]
struct OpenWord {
    start: u32,
    origin: u32,
}

impl OpenWord {
    fn until(self, end: u32) -> WordRange {
        WordRange { start: self.start, end, origin: self.origin }
    }
}

impl Found {
    fn clear(&mut self) {
        self.text.clear();
        self.ranges.clear();
        self.open = None;
    }

    /// Begins a word at the end of `text`, unless one is open.
    fn begin_word(&mut self, origin: usize) {
        self.open.get_or_insert(OpenWord { start: self.text.len() as u32, origin: origin as u32 });
    }

    fn end_word(&mut self) {
        if let Some(open) = self.open.take() {
            self.ranges.push(open.until(self.text.len() as u32));
        }
    }

    /// Appends a normalized character that comes from byte `origin` of the raw text.
    fn push(&mut self, c: char, class: Class, origin: usize) {
        match class {
            Class::Letter => self.begin_word(origin),
            _ => self.end_word(),
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        if class == Class::Punctuation {
            self.ranges.push(WordRange { start, end: self.text.len() as u32, origin: origin as u32 });
        }
    }

    /// Appends the text and the words of the block at byte `origin` of the raw text.
    #[inline]
    fn push_block(&mut self, block: &Block, origin: usize) {
        let base = self.text.len();
        // Copying all 64 bytes is faster than copying `length`.
        self.text.extend_from_slice(&block.text);
        self.text.truncate(base + block.length);
        let inside_word = self.open.is_some();
        if let Some(open) = self.open {
            let letters = block.leading_letters();
            if letters == block.length {
                return;
            }
            self.ranges.push(open.until((base + letters) as u32));
            self.open = None;
        }
        let (base, origin) = (base as u32, origin as u32);
        self.ranges.extend(block.words(inside_word).map(|word| WordRange {
            start: base + word.start,
            end: base + word.start + word.length,
            origin: origin + word.start,
        }));
        if block.ends_in_letter() {
            self.open = self.ranges.pop().map(|word| OpenWord { start: word.start, origin: word.origin });
        }
    }

    /// Appends the words that the library finds in `raw`, which begins at byte `at` of the whole
    /// text.
    fn push_by_library(&mut self, rules: &WordRules, raw: &str, at: usize) {
        let normalized = rules.normalize(raw);
        let mut words = Vec::new();
        rules.pre_tokenize(normalized.get(), &mut self.text, &mut words);
        let mut origin = at;
        self.ranges.extend(words.iter().map(|word| {
            let first_byte = word.normalized_start..word.normalized_start + 1;
            let original = normalized.convert_offsets(NormalizedRange::Normalized(first_byte));
            // Canonical reordering may move a character before its neighbor. Origins stay in
            // order.
            origin = original.map_or(origin, |range| origin.max(at + range.start));
            WordRange { start: word.start as u32, end: word.end as u32, origin: origin as u32 }
        }));
    }

    /// Drops all words from byte `origin` of the raw text on, where a run begins.
    fn rewind(&mut self, origin: usize) {
        self.open = None;
        self.ranges.truncate(self.ranges.partition_point(|word| (word.origin as usize) < origin));
        self.text.truncate(self.ranges.last().map_or(0, |word| word.end as usize));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Text, origin and transparency of each word.
    fn words_of(words: &mut Words<'_>, text: &str) -> Vec<(String, u32, bool)> {
        words.find(text);
        let ranges = words.ranges().iter().enumerate();
        ranges.map(|(i, &range)| (words.word(range).to_owned(), range.origin, words.is_transparent(i))).collect()
    }

    proptest! {
        #[test]
        fn blocks_bytes_and_the_library_find_the_same_words(
            text in "([A-Za-z0-9]{1,9}|[ -~]{1,9}|[ \t\n\r-]|wi-fi|[\u{e9}\u{130}\u{4e2d}\u{2019}\u{a0}\u{2003}]|[\u{0}\u{ad}\u{200b}]|\u{301}|\u{302e}|\u{1d165}\u{1d16d}|\u{1d16d}\u{1d165}){0,60}"
        ) {
            thread_local!(static TOKENIZER: Tokenizer =
                Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample/tokenizer.json")).unwrap());
            TOKENIZER.with(|tokenizer| {
                let [mut by_block, mut by_byte, mut by_library] = [0; 3].map(|_| Words::new(tokenizer));
                prop_assert!(by_block.ascii.as_ref().unwrap().blockwise, "BERT's uncased normalizer");
                by_byte.ascii.as_mut().unwrap().blockwise = false;
                by_library.ascii = None;
                let found = words_of(&mut by_block, &text);
                prop_assert_eq!(&found, &words_of(&mut by_byte, &text));
                let library = words_of(&mut by_library, &text);
                let without_origins = |words: &[(String, u32, bool)]| -> Vec<_> {
                    words.iter().map(|(word, _, transparent)| (word.clone(), *transparent)).collect()
                };
                prop_assert_eq!(without_origins(&found), without_origins(&library));
                prop_assert_eq!(by_block.any(&text), !found.is_empty());
                Ok(())
            })?;
        }
    }
}
