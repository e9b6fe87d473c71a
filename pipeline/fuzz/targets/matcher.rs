//! The matcher compared with a naive one: a pool and a text over few words, every length tried everywhere.
#![no_main]
use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use pipeline::{
    phrase::{
        matcher::{Matcher, Scratch},
        pool::{Phrase, Pool},
    },
    text::{Document, Encoder},
};

mod oracle;
use oracle::{TOKENIZER, words_of};

/// Words of phrases; some are several tokens, the last ones are in no phrase of most pools.
const WORDS: [&str; 14] =
    ["a", "b", "c", "wi", "fi", "stainless", "steel", "-", "é", "中", "unforeseeable", "x1", "q", "zz"];

fuzz_target!(|data: &[u8]| {
    // The phrases of the pool, separated by 255, then 254, then the text.
    let end = data.iter().position(|b| *b == 254).unwrap_or(data.len());
    let mut phrases: BTreeMap<String, u8> = BTreeMap::new();
    for phrase in data[..end].split(|b| *b == 255) {
        let words: Vec<&str> = phrase.iter().take(12).map(|b| WORDS[usize::from(*b) % 12]).collect();
        if !words.is_empty() {
            let text = words.join(" ").replace('é', "e");
            phrases.insert(text, words.len() as u8);
        }
    }
    let pool = Pool {
        phrases: phrases.into_iter().map(|(text, words)| Phrase { text, score: 0.5, words, frequency: None }).collect(),
    };
    let mut text = String::new();
    for byte in data[end..].iter().skip(1) {
        text.push_str(WORDS[usize::from(byte & 15).min(13)]);
        text.push_str(["", " ", "\n", "-"][usize::from(byte >> 6)]);
    }

    let (matcher, lexicon) = Matcher::new(&pool, &TOKENIZER).expect("a small pool");
    let (mut document, mut found) = (Document::default(), Vec::new());
    Encoder::new(&lexicon).encode(&text, &mut document);
    matcher.find(&document, &mut Scratch::default(), &mut found);
    assert!(found.is_sorted());
    let got: Vec<_> = found.iter().map(|o| (o.start, o.end, o.phrase.get())).collect();

    // Which word each is comes from the library: those that match are compared by text.
    let words = words_of(&text);
    let visible: Vec<usize> =
        (0..document.words()).filter(|&w| document.pool_words[w] != Document::TRANSPARENT).collect();
    let ids: BTreeMap<&str, u32> = pool.phrases.iter().enumerate().map(|(i, p)| (p.text.as_str(), i as u32)).collect();
    assert_eq!(words.len(), document.words());
    let mut wanted = BTreeSet::new();
    for from in 0..visible.len() {
        for to in from + 1..=visible.len().min(from + 12) {
            let row: Vec<&str> = visible[from..to].iter().map(|&w| words[w].0.as_str()).collect();
            if let Some(id) = ids.get(row.join(" ").as_str()) {
                wanted.insert((document.word_starts[visible[from]], document.word_starts[visible[to - 1] + 1], *id));
            }
        }
    }
    assert_eq!(got, wanted.into_iter().collect::<Vec<_>>(), "{text:?}");
});
