//! Text to ids of byte-level byte-pair encoding, as RoBERTa and ModernBERT have it.
//!
//! 1. Added tokens are taken out of the text ([`AddedTokens`]).
//! 2. ModernBERT composes characters (NFC). Nearly all text is composed, as a quick check shows.
//!    Other text goes to the library.
//! 3. RoBERTa may put a space before the text.
//! 4. A pattern splits the text ([`Pattern`]), and the bytes of each part are joined to tokens
//!    ([`Bpe`]). The ids of a part depend on nothing else, so they are remembered in a [`WordTable`].
use std::ops::Range;

use schemas::TokenId;
use tokenizers::{NormalizedString, normalizer::Range as NormalizedRange};
use unicode_normalization_alignments::{IsNormalized, is_nfc_quick};

use super::{
    added::AddedTokens,
    bpe::Bpe,
    pattern::Pattern,
    pieces::Piece,
    table::{Entry, Key, SLACK, WordTable},
};

/// A byte-level tokenizer. All threads share it.
pub(super) struct ByteLevel {
    pub(super) bpe: Bpe,
    /// Whether text that does not begin with a space gets one.
    pub(super) add_prefix_space: bool,
    /// Whether characters are composed (NFC).
    pub(super) composes: bool,
    /// Strings that are looked for in the raw text, and in the normalized one.
    pub(super) added_raw: Option<AddedTokens>,
    pub(super) added_normalized: Option<AddedTokens>,
}

/// How many parts an encoder remembers. When the limit is reached, they are dropped and learned
/// again.
const MOST_PARTS: usize = 1 << 16;

/// The longest part that is remembered, in bytes.
const LONGEST_PART: usize = 64;

/// Encodes texts. Each thread needs its own.
pub(super) struct ByteLevelEncoder<'t, I> {
    tokenizer: &'t ByteLevel,
    parts: Parts<'t, I>,
}

/// The parts of a text, and the tokens of each.
struct Parts<'t, I> {
    tokenizer: &'t ByteLevel,
    pattern: Pattern,
    table: WordTable<I>,
    /// The text that is split, and [`SLACK`] bytes more.
    text: String,
}

/// The tokens of a text: their ids, and the raw bytes of each.
struct Output<'o, I> {
    ids: &'o mut Vec<I>,
    pieces: &'o mut Vec<Piece>,
}

impl<I: TokenId> Output<'_, I> {
    fn push(&mut self, id: u32, bytes: Range<usize>) {
        self.pieces.push(Piece::new(bytes, self.ids.len()));
        self.ids.push(I::of(id));
    }
}

impl<'t, I: TokenId> ByteLevelEncoder<'t, I> {
    pub(super) fn new(tokenizer: &'t ByteLevel) -> Self {
        let table = WordTable::new(MOST_PARTS);
        Self { tokenizer, parts: Parts { tokenizer, pattern: Pattern::new(), table, text: String::new() } }
    }

    /// Appends the ids of a text, and the raw bytes of each token.
    pub(super) fn encode(&mut self, text: &str, ids: &mut Vec<I>, pieces: &mut Vec<Piece>) {
        let Self { tokenizer, parts } = self;
        let output = &mut Output { ids, pieces };
        let Some(added) = &tokenizer.added_raw else { return parts.normalize(text, 0, output) };
        for part in added.parts(text) {
            match part.token {
                Some(id) => output.push(id, part.bytes),
                None => parts.normalize(&text[part.bytes.clone()], part.bytes.start, output),
            }
        }
    }
}

impl<I: TokenId> Parts<'_, I> {
    /// Appends the tokens of text from byte `at` of the raw text on.
    fn normalize(&mut self, text: &str, at: usize, output: &mut Output<'_, I>) {
        if !self.tokenizer.composes || text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
            return self.take_out(text, |bytes| at + bytes.start..at + bytes.end, output);
        }
        let mut normalized = NormalizedString::from(text);
        normalized.nfc();
        let raw = |bytes: Range<usize>| {
            let raw = normalized.convert_offsets(NormalizedRange::Normalized(bytes)).unwrap_or_default();
            at + raw.start..at + raw.end
        };
        self.take_out(normalized.get(), raw, output);
    }

    /// Appends the tokens of normalized text. `raw` gives the bytes of the raw text.
    fn take_out(&mut self, text: &str, raw: impl Fn(Range<usize>) -> Range<usize>, output: &mut Output<'_, I>) {
        let Some(added) = &self.tokenizer.added_normalized else { return self.split(text, raw, output) };
        for part in added.parts(text) {
            match part.token {
                Some(id) => output.push(id, raw(part.bytes)),
                None => {
                    let start = part.bytes.start;
                    self.split(&text[part.bytes], |bytes| raw(start + bytes.start..start + bytes.end), output);
                }
            }
        }
    }

    /// Appends the tokens of normalized text without added tokens.
    #[inline]
    fn split(&mut self, text: &str, raw: impl Fn(Range<usize>) -> Range<usize>, output: &mut Output<'_, I>) {
        let Self { tokenizer, pattern, table, text: padded } = self;
        let Some(first_character) = text.chars().next() else { return };
        padded.clear();
        if tokenizer.add_prefix_space && !text.starts_with(' ') {
            padded.push(' ');
        }
        let prefix = padded.len();
        padded.push_str(text);
        let end = padded.len();
        padded.push_str(str::from_utf8(&[0; SLACK]).unwrap_or_default());
        let mut at = 0;
        while at < end {
            let part = at..pattern.end(&padded[..end], at);
            let key = Key::new(padded.as_bytes(), part.clone());
            let first = output.ids.len();
            if table.append_ids(&key, output.ids).is_none() {
                learn(&tokenizer.bpe, table, &key, output.ids);
            }
            for (number, id) in (first..).zip(&output.ids[first..]) {
                let next = at + tokenizer.bpe.length(id.get()) as usize;
                let bytes = if at < prefix {
                    // The space before the text comes from its first character, as in the library.
                    0..(next - prefix).max(first_character.len_utf8())
                } else {
                    at - prefix..next - prefix
                };
                output.pieces.push(Piece::new(raw(bytes), number));
                at = next;
            }
            debug_assert_eq!(at, part.end, "tokens cover their part");
        }
    }
}

/// Joins the bytes of a new part, appends the ids, and adds the part to the table.
#[cold]
fn learn<I: TokenId>(bpe: &Bpe, table: &mut WordTable<I>, key: &Key<'_>, ids: &mut Vec<I>) {
    let first = ids.len();
    bpe.encode(key.word(), ids);
    if key.word().len() > LONGEST_PART {
        return;
    }
    if table.len() >= MOST_PARTS {
        *table = WordTable::new(MOST_PARTS);
    }
    table.insert(key, Entry { ids: &ids[first..], pool_word: 0 });
}
