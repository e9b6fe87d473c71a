//! Texts for tests.
use proptest::prelude::*;

use crate::{
    ids::WordId,
    tokens::{Annotation, Pruning, Tokens, Word},
};

pub(crate) fn pruning() -> impl Strategy<Value = Pruning> {
    prop_oneof![1 => Just(Pruning::Excluded), 1 => Just(Pruning::StartOnly), 8 => Just(Pruning::Free)]
}

/// A text of fewer than `limit` words, of which five are distinct, with random annotations.
pub(crate) fn random_text(limit: usize) -> impl Strategy<Value = Tokens> {
    let word = (0u32..5, 0u8..4, 0u8..128, pruning(), 0u8..12);
    prop::collection::vec(word, 1..limit).prop_map(|words| {
        let mut tokens = Tokens::default();
        for name in ["a", "b", "c", "d", "e"] {
            tokens.vocabulary.intern(name).unwrap();
        }
        let last = words.len() - 1;
        tokens.documents = 1;
        for (at, (id, tag, flags, pruning, ends)) in words.into_iter().enumerate() {
            let mut word = Word::new(WordId::new(id), pruning);
            let mut annotation = Annotation::of_tag(tag);
            let all = [
                Annotation::CAPITALISED,
                Annotation::CAPITALS,
                Annotation::DASH_AFTER,
                Annotation::QUOTE_BEFORE,
                Annotation::QUOTE_AFTER,
                Annotation::BRACKET_BEFORE,
                Annotation::BRACKET_AFTER,
            ];
            for (bit, flag) in all.into_iter().enumerate() {
                if flags >> bit & 1 == 1 {
                    annotation.add(flag);
                }
            }
            if annotation.has(Annotation::CAPITALS) {
                annotation.add(Annotation::CAPITALISED);
            }
            tokens.vocabulary.count_documents([(word.id(), tokens.documents)].into_iter());
            if ends < 2 || at == last {
                word.end_segment();
            }
            if ends == 0 || at == last {
                annotation.add(Annotation::ENDS_DOCUMENT);
                tokens.documents += u64::from(at < last);
            }
            tokens.words.push(word);
            tokens.annotations.push(annotation);
        }
        tokens
    })
}

/// A text of words separated by spaces and documents separated by full stops, without tags.
pub(crate) fn plain_text(text: &str) -> Tokens {
    let mut tokens = Tokens::default();
    for document in text.split(" . ") {
        tokens.documents += 1;
        for text in document.split(' ') {
            let id = tokens.vocabulary.intern(text).unwrap();
            tokens.vocabulary.count_documents([(id, tokens.documents)].into_iter());
            tokens.words.push(Word::new(id, Pruning::Free));
            tokens.annotations.push(Annotation::default());
        }
        tokens.words.last_mut().into_iter().for_each(Word::end_segment);
        tokens.annotations.last_mut().into_iter().for_each(|last| last.add(Annotation::ENDS_DOCUMENT));
    }
    tokens
}
