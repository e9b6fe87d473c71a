//! What a text gives by Hugging Face's `tokenizers` alone: ids, words, and the tokens of each word.
use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use pipeline::text::Tokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// A word of the text: a pre-token of uncased BERT.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Its bytes in the normalized text.
    pub(crate) normalized: Range<usize>,
    /// The tokens that share a byte of the raw text with it.
    pub(crate) tokens: Range<u32>,
}

/// An encoded text.
#[derive(Debug)]
pub(crate) struct ByLibrary {
    pub(crate) ids: Vec<u16>,
    pub(crate) words: Vec<Word>,
}

/// First token, one past the last token, phrase.
pub(crate) type Spans = BTreeSet<(u32, u32, u32)>;

/// Ids of a text.
pub(crate) fn ids_by_library(tokenizer: &Tokenizer, text: &str) -> Vec<u16> {
    tokenizer.oracle().encode(text, false).unwrap().get_ids().iter().map(|&id| id as u16).collect()
}

fn uncased(text: &str) -> NormalizedString {
    let mut normalized = NormalizedString::from(text);
    BertNormalizer::new(true, true, None, true).normalize(&mut normalized).unwrap();
    normalized
}

/// Words, with their bytes in the normalized and in the raw text.
pub(crate) fn words_by_library(text: &str) -> Vec<(String, Range<usize>, Range<usize>)> {
    let normalized = uncased(text);
    let split = |of: PreTokenizedString| {
        let mut split = of;
        BertPreTokenizer.pre_tokenize(&mut split).unwrap();
        let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
        words.into_iter().map(|(word, (start, end), _)| (word.to_owned(), start..end)).collect::<Vec<_>>()
    };
    let in_normalized = split(PreTokenizedString::from(normalized.get()));
    let in_raw = split(PreTokenizedString::from(normalized));
    assert_eq!(in_normalized.len(), in_raw.len());
    in_normalized.into_iter().zip(in_raw).map(|((word, normalized), (_, raw))| (word, normalized, raw)).collect()
}

/// A text encoded by the library, and the tokens of each word by comparing all bytes.
pub(crate) fn by_library(tokenizer: &Tokenizer, text: &str) -> ByLibrary {
    let encoding = tokenizer.oracle().encode(text, false).unwrap();
    let ids = encoding.get_ids();
    // The bytes of all pieces of a word, for a vocabulary that marks them.
    let mut bytes: Vec<Range<usize>> = Vec::new();
    let mut group_of = Vec::new();
    for (&id, &(start, end)) in ids.iter().zip(encoding.get_offsets()) {
        let continues = tokenizer.marks_words() && tokenizer.vocabulary()[id as usize].starts_with("##");
        match bytes.last_mut() {
            Some(last) if continues => last.end = end,
            _ => bytes.push(start..end),
        }
        group_of.push(bytes.len() - 1);
    }
    let vanishes = |c: char| uncased(&c.to_string()).get().is_empty();
    let words = words_by_library(text).into_iter().map(|(word, normalized, raw)| {
        let after: usize = text[raw.end..].chars().take_while(|&c| vanishes(c)).map(char::len_utf8).sum();
        let end = raw.end + after;
        let shares = |token: &usize| {
            let token = &bytes[group_of[*token]];
            raw.start.max(token.start) < end.min(token.end)
        };
        let first = (0..ids.len()).find(shares).unwrap_or(0);
        let count = (first..ids.len()).take_while(shares).count();
        Word { text: word, normalized, tokens: first as u32..(first + count) as u32 }
    });
    let words = words.collect();
    ByLibrary { ids: ids.iter().map(|&id| id as u16).collect(), words }
}

impl ByLibrary {
    /// The words that count for matching, with their number in the text.
    pub(crate) fn visible(&self) -> Vec<(&str, usize)> {
        let words = &self.words;
        let joins = |i: usize| {
            i > 0
                && i + 1 < words.len()
                && words[i].text == "-"
                && words[i - 1].normalized.end == words[i].normalized.start
                && words[i].normalized.end == words[i + 1].normalized.start
                && words[i - 1].text != "-"
                && words[i + 1].text != "-"
        };
        (0..words.len()).filter(|&i| !joins(i)).map(|i| (words[i].text.as_str(), i)).collect()
    }

    /// The tokens of some words, unless a word outside of them shares one.
    pub(crate) fn tokens(&self, words: Range<usize>) -> Option<Range<u32>> {
        let tokens = self.words[words.start].tokens.start..self.words[words.end - 1].tokens.end;
        let mut others = self.words[..words.start].iter().chain(&self.words[words.end..]);
        let is_shared = others.any(|word| word.tokens.clone().any(|token| tokens.contains(&token)));
        (!is_shared).then_some(tokens)
    }

    /// Tokens that a word begins with, and that no word has which begins earlier.
    pub(crate) fn word_starts(&self) -> Vec<u32> {
        let mut starts: Vec<u32> = self.words.iter().map(|word| word.tokens.start).collect();
        starts.dedup();
        let inside = |token: &u32| self.words.iter().any(|w| w.tokens.contains(token) && w.tokens.start < *token);
        starts.retain(|token| !inside(token));
        starts
    }

    /// Occurrences of phrases, by trying every length everywhere, and how many share a token with a
    /// word outside of them.
    pub(crate) fn spans(&self, index: &HashMap<Vec<&str>, u32>) -> (Spans, u64) {
        let longest = index.keys().map(Vec::len).max().unwrap_or(0);
        let visible = self.visible();
        let (mut found, mut sharing) = (BTreeSet::new(), 0);
        for i in 0..visible.len() {
            for n in 1..=longest.min(visible.len() - i) {
                let key: Vec<&str> = visible[i..i + n].iter().map(|v| v.0).collect();
                let Some(&phrase) = index.get(&key) else { continue };
                match self.tokens(visible[i].1..visible[i + n - 1].1 + 1) {
                    Some(tokens) => drop(found.insert((tokens.start, tokens.end, phrase))),
                    None => sharing += 1,
                }
            }
        }
        (found, sharing)
    }
}
