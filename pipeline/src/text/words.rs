//! Finds the words of a text: BERT's pre-tokens of the normalised text.
//!
//! BERT's normaliser works character by character, with one exception: canonical reordering of
//! combining marks that accent stripping leaves. So a table asks Hugging Face's normaliser once what
//! each character becomes by itself, and a run that holds a character which takes part in reordering
//! goes to the library whole. ASCII is looked at in blocks of 64 bytes, whose words are found in bit masks.
use std::ops::Range;

use hashbrown::HashMap;
use tokenizers::normalizer::Range as NormalizedRange;
use unicode_normalization_alignments::char::canonical_combining_class;

use super::Tokenizer;

/// A word: a byte range of the normalised text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordRange {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// First byte in the text as it was given.
    pub origin: u32,
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
    /// What is done to ASCII is what [`Block`] does.
    blocks: bool,
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
            blocks: Block::does(&ascii),
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
            None => find_by_library(self.tokenizer, raw, 0, &mut self.text, &mut self.ranges),
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
        let Self { tokenizer, others, text, ranges, blocks, .. } = self;
        let bytes = raw.as_bytes();
        let class_of = |byte: u8| ascii[usize::from(byte)].1;
        text.reserve(bytes.len() + Block::BYTES + SLACK);
        let mut word: Option<Open> = None;
        // Where the run since the last ASCII space began: in the raw text, the normalised text, and the words.
        let mut run = (0, 0, 0);
        let mut at = 0;
        loop {
            if *blocks {
                let block = Block::of(&bytes[at..]);
                if let Some((space, words)) =
                    block.last_space(ranges.len() + usize::from(word.is_some()), word.is_some())
                {
                    run = (at + space + 1, text.len() + space + 1, words);
                }
                at += block.find(at, &mut word, text, ranges);
                if block.length == Block::BYTES {
                    continue;
                }
            }
            let Some(&byte) = bytes.get(at) else { break };
            let (becomes, class) = ascii[usize::from(byte)];
            match class {
                Class::Letter => {
                    let letters = bytes[at..].iter().take_while(|&&b| class_of(b) == Class::Letter).count();
                    word.get_or_insert(Open { start: text.len() as u32, origin: at as u32 });
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
                    ranges.push(WordRange { start, end: start + 1, origin: at as u32 });
                    at += 1;
                }
                Class::Gone => at += 1,
                Class::Other => {
                    let Some(c) = raw[at..].chars().next() else { break };
                    let origin = at as u32;
                    at += c.len_utf8();
                    let normalized = others.entry(c).or_insert_with(|| look_up(tokenizer, c));
                    if normalized.reorders {
                        let (from, text_before, words_before) = run;
                        text.truncate(text_before);
                        ranges.truncate(words_before);
                        word = None;
                        let space = bytes[at..].iter().position(|&b| class_of(b) == Class::Space);
                        at += space.unwrap_or(bytes.len() - at);
                        find_by_library(tokenizer, &raw[from..at], from, text, ranges);
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
                                word.get_or_insert(Open { start, origin });
                            }
                            Class::Punctuation => {
                                ranges.push(WordRange { start, end: text.len() as u32, origin });
                            }
                            Class::Space | Class::Gone | Class::Other => {}
                        }
                    }
                }
            }
        }
        end_word(&mut word, text, ranges);
    }
}

/// The first bytes of a text, at most 64, up to the first that is no printable ASCII or white space: what they
/// become, and which are what, one bit each.
struct Block {
    text: [u8; Self::BYTES],
    letters: u64,
    spaces: u64,
    punctuation: u64,
    length: usize,
}

impl Block {
    const BYTES: usize = 64;

    /// Whether a table says of each byte what a block does with it.
    fn does(ascii: &Bytes) -> bool {
        (0..128u8).all(|byte| {
            let block = Self::of(&[byte]);
            let class = match (block.length, block.letters, block.spaces) {
                (0, ..) => Class::Gone,
                (_, 1, _) => Class::Letter,
                (_, _, 1) => Class::Space,
                _ => Class::Punctuation,
            };
            let (becomes, wanted) = ascii[usize::from(byte)];
            class == wanted && (class == Class::Gone || becomes == block.text[0])
        })
    }

    fn of(bytes: &[u8]) -> Self {
        let mut padded = [0; Self::BYTES];
        let raw = bytes.first_chunk().unwrap_or_else(|| {
            padded[..bytes.len()].copy_from_slice(bytes);
            &padded
        });
        let (mut text, mut letters, mut spaces, mut others) = ([0; 64], [0; 64], [0; 64], [0; 64]);
        // Without branches, so that the compiler makes vector instructions of it.
        for i in 0..Self::BYTES {
            let byte = raw[i];
            let lower = byte | u8::from(byte.is_ascii_uppercase()) << 5;
            let space = u8::from((byte == b' ') | (byte == b'\t') | (byte == b'\n') | (byte == b'\r'));
            text[i] = if space == 1 { b' ' } else { lower };
            letters[i] = u8::from(lower.is_ascii_lowercase() | byte.is_ascii_digit());
            spaces[i] = space;
            others[i] = u8::from(!(b' '..0x7f).contains(&byte)) & !space;
        }
        let length = mask(&others).trailing_zeros();
        let keep = if length == 64 { u64::MAX } else { (1 << length) - 1 };
        let (letters, spaces) = (mask(&letters) & keep, mask(&spaces) & keep);
        Self { text, letters, spaces, punctuation: keep & !letters & !spaces, length: length as usize }
    }

    /// Where words begin, one bit each. `inside` says whether the first letter goes on with a word.
    fn starts(&self, inside: bool) -> u64 {
        self.letters & !(self.letters << 1 | u64::from(inside)) | self.punctuation
    }

    /// The last space, and the words before it when there are `words` before the block.
    fn last_space(&self, words: usize, inside: bool) -> Option<(usize, usize)> {
        let space = self.spaces.checked_ilog2()?;
        let before = self.starts(inside) & ((1 << space) - 1);
        Some((space as usize, words + before.count_ones() as usize))
    }

    /// Appends the text and words of the block at byte `at`, and gives its length. `word` is the one that the text so far
    /// ends in, and then the one that the block ends in.
    fn find(&self, at: usize, word: &mut Option<Open>, text: &mut Vec<u8>, ranges: &mut Vec<WordRange>) -> usize {
        let base = text.len() as u32;
        text.extend_from_slice(&self.text);
        text.truncate(base as usize + self.length);
        let mut starts = self.starts(word.is_some());
        if let Some(open) = *word {
            let goes_on = self.letters.trailing_ones();
            if goes_on as usize == self.length {
                return self.length;
            }
            ranges.push(open.until(base + goes_on));
            *word = None;
        }
        while starts != 0 {
            let start = starts.trailing_zeros();
            starts &= starts - 1;
            // A punctuation character is no run of letters.
            let length = (self.letters >> start).trailing_ones().max(1);
            ranges.push(WordRange { start: base + start, end: base + start + length, origin: at as u32 + start });
        }
        if self.length > 0 && self.letters >> (self.length - 1) & 1 == 1 {
            *word = ranges.pop().map(|open| Open { start: open.start, origin: open.origin });
        }
        self.length
    }
}

/// One bit for each byte, which is 0 or 1.
fn mask(flags: &[u8; 64]) -> u64 {
    let mut mask = 0;
    for (i, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Moves the lowest bit of byte k to bit 56 + k; no two bits meet.
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    mask
}

/// A word that has not ended: its first byte in the normalised text, and in the text as it was given.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: u32,
    origin: u32,
}

impl Open {
    fn until(self, end: u32) -> WordRange {
        WordRange { start: self.start, end, origin: self.origin }
    }
}

fn end_word(word: &mut Option<Open>, text: &[u8], ranges: &mut Vec<WordRange>) {
    if let Some(open) = word.take() {
        ranges.push(open.until(text.len() as u32));
    }
}

/// Words as the library finds them in `raw`, which begins at byte `at` of the whole text.
fn find_by_library(tokenizer: &Tokenizer, raw: &str, at: usize, text: &mut Vec<u8>, ranges: &mut Vec<WordRange>) {
    let normalized = tokenizer.normalize(raw);
    let mut words = Vec::new();
    tokenizer.pre_tokenize(normalized.get(), text, &mut words);
    let mut origin = at;
    ranges.extend(words.iter().map(|&(start, end, from)| {
        let original = normalized.convert_offsets(NormalizedRange::Normalized(from..from + 1));
        // Canonical reordering may move a character before its neighbor; words stay in order.
        origin = original.map_or(origin, |range| origin.max(at + range.start));
        WordRange { start: start as u32, end: end as u32, origin: origin as u32 }
    }));
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
        reorders: normalized.get().chars().any(|c| canonical_combining_class(c) != 0),
        characters: normalized.get().chars().map(|c| (c, classify(c))).collect(),
    }
}
