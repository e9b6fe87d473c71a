//! Hugging Face's `tokenizers` over the sample's vocabulary: what the targets compare with.
#![allow(dead_code, reason = "each target uses its own part")]
use std::{path::Path, sync::LazyLock};

use pipeline::text::Tokenizer;
use tokenizers::{NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

pub static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample/tokenizer.json");
    Tokenizer::load(&file).expect("the sample's tokenizer")
});

/// The words of a text by the library alone, each with its bytes in the normalized text.
pub fn words_of(text: &str) -> Vec<(String, usize, usize)> {
    let mut normalized = NormalizedString::from(text);
    TOKENIZER.oracle().get_normalizer().expect("BERT's").normalize(&mut normalized).expect("plain text");
    let mut split = PreTokenizedString::from(normalized.get());
    TOKENIZER.oracle().get_pre_tokenizer().expect("BERT's").pre_tokenize(&mut split).expect("plain text");
    let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    words.into_iter().map(|(word, (start, end), _)| (word.to_owned(), start, end)).collect()
}
