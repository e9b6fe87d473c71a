//! WordPiece beside Hugging Face's `tokenizers`: the same ids and the same words for any text.
#![no_main]
use std::{path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use pipeline::text::{Document, Encoder, Lexicon, Tokenizer};
use tokenizers::{NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample/tokenizer.json");
    Tokenizer::load(&file).expect("the sample's tokenizer")
});
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
    let oracle = TOKENIZER.oracle();
    let wanted = oracle.encode(text.as_str(), false).expect("plain text");
    assert!(wanted.get_ids().iter().copied().eq(document.ids.iter().map(|id| u32::from(*id))), "{text:?}");

    let mut normalized = NormalizedString::from(text.as_str());
    oracle.get_normalizer().expect("BERT's").normalize(&mut normalized).expect("plain text");
    let mut split = PreTokenizedString::from(normalized.get());
    oracle.get_pre_tokenizer().expect("BERT's").pre_tokenize(&mut split).expect("plain text");
    let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    assert_eq!(document.words(), words.len(), "{text:?}");
    for (i, (word, (start, end), _)) in words.iter().enumerate() {
        let neighbor = |j: usize, touches: &dyn Fn(usize, usize) -> bool| {
            words.get(j).is_some_and(|(word, (from, to), _)| *word != "-" && touches(*from, *to))
        };
        let transparent =
            *word == "-" && i > 0 && neighbor(i - 1, &|_, to| to == *start) && neighbor(i + 1, &|from, _| from == *end);
        assert_eq!(document.pool_words[i] == Document::TRANSPARENT, transparent, "{text:?}");
    }
});
