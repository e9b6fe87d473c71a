//! Texts for tests.
use std::collections::HashMap;

use proptest::prelude::*;

use crate::{
    candidates::Candidates,
    count::count_candidates,
    ids::WordId,
    spill::Memory,
    tokens::{Annotation, Batch, Pruning, Tokens, Word},
};

/// The candidates of a text.
pub(crate) fn candidates_of(tokens: &Tokens, min_support: u64, max_words: usize) -> Candidates {
    count_candidates(tokens, tokens.vocabulary.all_counts(), min_support, max_words, tokens.memory()).unwrap()
}

/// All words of a text.
pub(crate) fn words_of(tokens: &Tokens) -> Vec<Word> {
    tokens.words(0..tokens.len(), &mut Vec::new()).unwrap().to_vec()
}

/// All annotations of a text.
pub(crate) fn annotations_of(tokens: &Tokens) -> Vec<Annotation> {
    tokens.annotations(0..tokens.len(), &mut Vec::new()).unwrap().to_vec()
}

/// Memory of any size, often for a few words alone.
pub(crate) fn any_memory() -> impl Strategy<Value = Memory> {
    prop_oneof![Just(0), 0usize..1_000, Just(1 << 20)]
        .prop_map(|bytes| Memory::of_bytes(bytes, std::env::temp_dir().join("ebert-mining")))
}

/// Adds a distinct word to a batch.
fn name(batch: &mut Batch, word: &str) -> WordId {
    let start = batch.text.len();
    batch.text.push_str(word);
    batch.spans.push(start..batch.text.len());
    WordId::from_index(batch.spans.len() - 1)
}

pub(crate) fn pruning() -> impl Strategy<Value = Pruning> {
    prop_oneof![1 => Just(Pruning::Excluded), 1 => Just(Pruning::StartOnly), 8 => Just(Pruning::Free)]
}

/// A text of fewer than `limit` words, of which five are distinct, with random annotations, in chunks and memory of any
/// size.
pub(crate) fn random_text(limit: usize) -> impl Strategy<Value = Tokens> {
    (random_batch(limit), any_memory(), 1usize..100).prop_map(|(batch, memory, chunk)| {
        let mut tokens = Tokens::with_chunks(memory, chunk);
        tokens.append(&batch).unwrap();
        tokens
    })
}

/// Documents of fewer than `limit` words, of which five are distinct, with random annotations.
pub(crate) fn random_batch(limit: usize) -> impl Strategy<Value = Batch> {
    let word = (0u32..5, 0u8..4, 0u8..128, pruning(), 0u8..12);
    (prop::collection::vec(word, 1..limit), Just(["a", "b", "c", "d", "e"]).prop_shuffle()).prop_map(
        |(words, names)| {
            let mut batch = Batch::default();
            for word in names {
                name(&mut batch, word);
            }
            let last = words.len() - 1;
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
                if ends < 2 || at == last {
                    word.end_segment();
                }
                if ends == 0 || at == last {
                    annotation.add(Annotation::ENDS_DOCUMENT);
                    batch.documents += 1;
                }
                batch.words.push(word);
                batch.annotations.push(annotation);
            }
            batch.count();
            batch
        },
    )
}

/// A text of words separated by spaces and documents separated by full stops, without tags.
pub(crate) fn plain_text(text: &str) -> Tokens {
    plain_text_in(text, Memory::default())
}

/// As [`plain_text`], within some memory.
pub(crate) fn plain_text_in(text: &str, memory: Memory) -> Tokens {
    let mut batch = Batch::default();
    let mut ids: HashMap<&str, WordId> = HashMap::new();
    for document in text.split(" . ") {
        batch.documents += 1;
        for text in document.split(' ') {
            let id = *ids.entry(text).or_insert_with(|| name(&mut batch, text));
            batch.words.push(Word::new(id, Pruning::Free));
            batch.annotations.push(Annotation::default());
        }
        batch.words.last_mut().into_iter().for_each(Word::end_segment);
        batch.annotations.last_mut().into_iter().for_each(|last| last.add(Annotation::ENDS_DOCUMENT));
    }
    batch.count();
    let mut tokens = Tokens::new(memory);
    tokens.append(&batch).unwrap();
    tokens
}
