//! Masks over shards of the sample with byte-level tokenizers. What is masked as words is compared with the words that
//! Hugging Face's `tokenizers` alone finds in the text.
mod support;

use std::{collections::HashMap, fs, ops::Range, path::Path};

use ebert_batches::{
    Corpus, Segment, Shards,
    masking::{MaskKey, MaskMode, Masking, MaskingOptions},
};
use pipeline::text::Tokenizer;
use schemas::{CorpusTextRows, DocumentId, Manifest, manifest::CorpusBody, open_corpus_products, open_corpus_reviews};
use support::{
    ebert,
    library::by_library,
    succeed,
    trained::{self, Like},
};

/// The text of every document.
fn texts(out: &Path) -> HashMap<DocumentId, String> {
    let mut texts = HashMap::new();
    for entry in Manifest::<CorpusBody>::read(&out.join("corpus")).unwrap().files {
        let open = match &*entry.name {
            name if name.starts_with("products-") => open_corpus_products,
            name if name.starts_with("reviews-") => open_corpus_reviews,
            _ => continue,
        };
        for rows in open(&out.join("corpus").join(&entry.name)).unwrap().read::<CorpusTextRows>(1000) {
            texts.extend(rows.unwrap().iter().map(|row| (row.document, row.text.to_owned())));
        }
    }
    texts
}

/// Runs of tokens that must be masked together: the tokens of a word. Words that share a token count as one.
fn together(tokenizer: &Tokenizer, text: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for word in by_library(tokenizer, text).words.iter().filter(|word| !word.tokens.is_empty()) {
        let tokens = word.tokens.start as usize..word.tokens.end as usize;
        match runs.last_mut() {
            Some(last) if tokens.start < last.end => last.end = last.end.max(tokens.end),
            _ => runs.push(tokens),
        }
    }
    runs
}

/// How often several tokens were masked together.
fn check(out: &Path, documents: usize) -> usize {
    let shards = Shards::open(&out.join("shards"), 0.01, |_| ()).unwrap();
    let tokenizer = Tokenizer::load(&out.join("shards/tokenizer.json")).unwrap();
    let texts = texts(out);
    let special = {
        let ids = shards.vocabulary().special;
        [ids.pad, ids.cls, ids.sep, ids.mask]
    };
    let maskings = [0.15, 0.3].map(|budget| {
        let options = MaskingOptions { budget, ..MaskingOptions::default() };
        Masking::new(options, shards.vocabulary().clone(), shards.manifest().body.pool.lowest_score)
    });
    let (mut whole, mut seen) = (0, 0);
    for corpus in [Corpus::Products, Corpus::Reviews] {
        // The document of the last segment, its runs, and where the segment begins.
        let mut last: Option<(DocumentId, Vec<Range<usize>>, usize)> = None;
        let mut visit = |segment: &Segment<'_>| {
            if last.as_ref().is_none_or(|(document, ..)| *document != segment.document) {
                seen += 1;
                last = Some((segment.document, together(&tokenizer, &texts[&segment.document]), 0));
            }
            let Some((_, runs, begin)) = &mut last else { return };
            let tokens = *begin..*begin + segment.input_ids.len();
            let inside = runs.iter().filter(|run| run.start < tokens.end && tokens.start < run.end);
            let inside: Vec<Range<usize>> = inside
                .map(|run| run.start.max(tokens.start) - tokens.start..run.end.min(tokens.end) - tokens.start)
                .collect();
            for mode in [MaskMode::Word, MaskMode::Phrase, MaskMode::Span, MaskMode::Noun, MaskMode::Token] {
                for masking in &maskings {
                    let masks = masking.mask(mode, segment, MaskKey { seed: 1, epoch: 0 });
                    let is_masked = |token: usize| masks.positions.contains(&(token as u16));
                    assert!(!masks.positions.is_empty());
                    for (&at, input) in masks.positions.iter().zip(&masks.inputs) {
                        let same = segment.input_ids[usize::from(at)] == *input;
                        assert!(*input == special[3] || same || !special.contains(input), "{input}");
                    }
                    for run in inside.iter().filter(|_| mode != MaskMode::Token) {
                        let masked = run.clone().filter(|&token| is_masked(token)).count();
                        assert!(masked == 0 || masked == run.len(), "{mode:?} {run:?} {masks:?} {}", segment.document);
                        whole += usize::from(masked > 1);
                    }
                }
            }
            *begin = tokens.end;
        };
        let mut left = documents + 1;
        let visited = shards.each_trained_segment(corpus, |segment| {
            // Whole documents: their segments follow one another.
            left = left.saturating_sub(usize::from(segment.segment == 0));
            if left > 0 {
                visit(segment);
            }
        });
        visited.unwrap();
    }
    assert_eq!(seen, 2 * documents);
    whole
}

#[test]
fn every_scheme_masks_whole_words_of_the_text() {
    for like in [Like::RoBerta, Like::ModernBert] {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (folder.path().join("tokenizer.json"), folder.path().join("out"));
        fs::write(&file, trained::byte_level(like)).unwrap();
        // Short segments, so that many end near a word.
        succeed(ebert(["shards", "--max-tokens", "64", "--tokenizer"]).arg(&file).arg("--out").arg(&out));
        let whole = check(&out, 200);
        assert!(whole > 5_000, "{like:?}: {whole}");
    }
}
