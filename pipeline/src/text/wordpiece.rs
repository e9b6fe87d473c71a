//! WordPiece: cuts a word, from its start on, into the longest pieces that the vocabulary has.
//!
//! The library does the same, but allocates a token with text and offsets for each piece. A test
//! compares the two.
use hashbrown::HashMap;
use schemas::TokenId;
use tokenizers::{Model, models::wordpiece};

/// Prefix of vocabulary entries that continue a word.
pub(super) const CONTINUATION: &str = "##";

/// A vocabulary, indexed for cutting words.
pub(super) struct WordPiece {
    /// Ids of pieces that begin a word.
    first: HashMap<Box<str>, u32>,
    /// Ids of pieces that continue a word, by their text without `##`.
    continuing: HashMap<Box<str>, u32>,
    /// Length of the longest entry, in bytes.
    longest: usize,
    /// Words of more characters than this are unknown.
    pub(super) longest_word: usize,
    /// Id of an unknown word.
    unknown: u32,
}

impl WordPiece {
    /// The vocabulary of a model whose continuation prefix is `##`.
    /// `None` if its unknown token is not in the vocabulary.
    pub(super) fn new(model: &wordpiece::WordPiece) -> Option<Self> {
        let mut pieces = Self {
            first: HashMap::new(),
            continuing: HashMap::new(),
            longest: 0,
            longest_word: model.max_input_chars_per_word,
            unknown: model.token_to_id(&model.unk_token)?,
        };
        for (entry, id) in model.get_vocab() {
            pieces.longest = pieces.longest.max(entry.len());
            match entry.strip_prefix(CONTINUATION) {
                Some(piece) => pieces.continuing.insert(piece.into(), id),
                None => pieces.first.insert(entry.into(), id),
            };
        }
        Some(pieces)
    }

    /// Appends the ids of a word's pieces, or of the unknown token if the word is too long or cannot
    /// be cut into pieces. The word must not begin with `##`.
    pub(super) fn encode<I: TokenId>(&self, word: &str, ids: &mut Vec<I>) {
        let before = ids.len();
        let mut rest = word;
        if word.len() > self.longest_word && word.chars().count() > self.longest_word {
            ids.push(I::of(self.unknown));
            return;
        }
        while !rest.is_empty() {
            let pieces = if rest.len() == word.len() { &self.first } else { &self.continuing };
            let ends = (1..=rest.len().min(self.longest)).rev().filter(|&end| rest.is_char_boundary(end));
            let Some((id, end)) = ends.filter_map(|end| Some((*pieces.get(&rest[..end])?, end))).next() else {
                ids.truncate(before);
                ids.push(I::of(self.unknown));
                return;
            };
            ids.push(I::of(id));
            rest = &rest[end..];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_cut_as_the_library_cuts_them(
            entries in prop::collection::hash_set("(##)?[ab#é中]{1,4}", 0..40),
            words in prop::collection::vec("[ab#é中]{0,12}", 1..40),
            longest_word in 1usize..14,
        ) {
            let lines = entries.iter().fold("[UNK]".to_owned(), |lines, entry| lines + "\n" + entry);
            let vocabulary = wordpiece::WordPiece::read_bytes(lines.as_bytes()).unwrap();
            let model = wordpiece::WordPiece::builder().vocab(vocabulary).max_input_chars_per_word(longest_word);
            let model = model.build().unwrap();
            let pieces = WordPiece::new(&model).unwrap();
            // No word begins with `##`.
            for word in words.iter().filter(|word| !word.starts_with(CONTINUATION)) {
                let wanted: Vec<u16> = model.tokenize(word).unwrap().iter().map(|token| token.id as u16).collect();
                let mut found = vec![7];
                pieces.encode(word, &mut found);
                prop_assert_eq!(&found[1..], &wanted, "{}", word);
            }
        }
    }
}
