//! WordPiece compared with Hugging Face's `tokenizers`: the same ids and the same words for any text.
#![no_main]
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pipeline::text::{Document, Encoder, Lexicon};

mod oracle;
use oracle::{TOKENIZER, words_of};

static LEXICON: LazyLock<Lexicon<'static>> =
    LazyLock::new(|| Lexicon::new(&TOKENIZER, ["stainless", "steel", "wi", "fi"].into_iter()));

thread_local! {
    static ENCODER: std::cell::RefCell<Encoder<'static>> = std::cell::RefCell::new(Encoder::new(&LEXICON));
}

fuzz_target!(|data: &[u8]| {
    // Bytes as text; or, after a first 255, each three as a character, so that all scripts come up.
    let text: String = match data {
        [255, rest @ ..] => rest
            .chunks_exact(3)
            .filter_map(|c| char::from_u32(u32::from_le_bytes([c[0], c[1], c[2], 0]) & 0x1f_ffff))
            .collect(),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    let mut document = Document::default();
    ENCODER.with_borrow_mut(|encoder| encoder.encode(&text, &mut document));
    let wanted = TOKENIZER.oracle().encode(text.as_str(), false).expect("plain text");
    assert!(wanted.get_ids().iter().copied().eq(document.ids.iter().map(|id| u32::from(*id))), "{text:?}");

    let words = words_of(&text);
    assert_eq!(document.words(), words.len(), "{text:?}");
    for (i, (word, start, end)) in words.iter().enumerate() {
        let neighbor = |j: usize, touches: &dyn Fn(usize, usize) -> bool| {
            words.get(j).is_some_and(|(word, from, to)| word != "-" && touches(*from, *to))
        };
        let transparent =
            *word == "-" && i > 0 && neighbor(i - 1, &|_, to| to == *start) && neighbor(i + 1, &|from, _| from == *end);
        assert_eq!(document.pool_words[i] == Document::TRANSPARENT, transparent, "{text:?}");
    }
});
