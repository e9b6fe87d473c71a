//! Noun phrases of any text: no panic, whole words, sorted, not overlapping, not longer than they may be.
#![no_main]
use std::{cell::RefCell, sync::LazyLock};

use ebert_english::{MOST_WORDS, Model};
use libfuzzer_sys::fuzz_target;
use pipeline::text::{
    Document, Encoder, Lexicon,
    nouns::{NounFinder, NounPhrase},
};

mod oracle;
use oracle::TOKENIZER;

static LEXICON: LazyLock<Lexicon<'static>> = LazyLock::new(|| Lexicon::new(&TOKENIZER, std::iter::empty()));

struct State {
    encoder: Encoder<'static>,
    nouns: NounFinder<'static>,
    document: Document,
    found: Vec<NounPhrase>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State {
        encoder: Encoder::new(&LEXICON),
        nouns: NounFinder::new(Model::embedded()),
        document: Document::default(),
        found: Vec::new(),
    });
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    STATE.with_borrow_mut(|State { encoder, nouns, document, found }| {
        encoder.encode(&text, document);
        nouns.find(&text, document, found);
        assert!(document.origins.is_sorted());
        let mut last = 0;
        for noun in found.iter() {
            assert!(last <= noun.start && noun.start < noun.end);
            last = noun.end;
            let word =
                |token: u32| document.word_starts.binary_search(&token).expect("a noun phrase is of whole words");
            let words = word(noun.start)..word(noun.end);
            let visible = document.pool_words[words].iter().filter(|w| **w != Document::TRANSPARENT).count();
            assert!((1..=MOST_WORDS).contains(&visible));
        }
    });
});
