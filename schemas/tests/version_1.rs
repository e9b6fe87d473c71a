//! Files of format 1, as they were once written: they must stay readable for ever.
use std::path::{Path, PathBuf};

use schemas::{
    DocumentId, Manifest, PairRows, PhraseId, PhraseSpan, Relation, SegmentRows, TokenRange, manifest::ShardsBody,
    open_pairs, open_segments, store::verify_file,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/v1")
}

#[test]
fn the_manifest_and_its_files_are_read() {
    let manifest = Manifest::<ShardsBody>::read(&folder()).unwrap();
    let body = &manifest.body;
    assert_eq!((body.max_tokens, body.seed, body.pool.phrases, body.counts.of_segments.tokens), (254, 0, 2, 24));
    let continues = body.tokenizer.continuations().unwrap();
    assert_eq!(continues.len(), 6_000);
    // No text of this fixture is split into pieces.
    assert!([973usize, 727, 1845].iter().all(|&id| !continues[id]));
    let names: Vec<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["pairs-00000.parquet", "products-00000.parquet", "reviews-00000.parquet"]);
    for file in &manifest.files {
        verify_file(&folder(), file).unwrap();
    }
}

#[test]
fn segments_are_read() {
    let table = open_segments(&folder().join("reviews-00000.parquet")).unwrap();
    let batch = table.batches(10, None).next().unwrap().unwrap();
    let mut rows = SegmentRows::new(&batch);
    assert_eq!(rows.len(), 1);
    let segment = rows.get(0).unwrap();
    let text = "Good\nA good kettle of stainless-steel";
    assert_eq!(segment.document, DocumentId::of_review("B01", "A1", "1472688000", text));
    assert_eq!((segment.product, segment.segment), (Some("B01"), 0));
    assert_eq!(segment.input_ids, [297, 31, 297, 1845, 154, 973, 15, 727]);
    let span = |tokens: std::ops::Range<usize>, phrase, score| PhraseSpan {
        tokens: TokenRange::new(tokens).unwrap(),
        phrase: PhraseId::new(phrase),
        score,
    };
    assert_eq!(segment.phrases, [span(3..4, 0, 0.95), span(5..8, 1, 0.9)]);
    assert!(segment.noun_phrases.is_empty());
}

#[test]
fn pairs_are_read() {
    let table = open_pairs(&folder().join("pairs-00000.parquet")).unwrap();
    let batch = table.batches(10, None).next().unwrap().unwrap();
    let rows = PairRows::new(&batch);
    assert_eq!(rows.len(), 2);
    let pair = rows.get(1).unwrap();
    assert_eq!(pair.relation, Relation::Complement);
    assert_eq!([pair.anchor.product, pair.neighbor.product, pair.negative.product], ["B02", "B01", "B03"]);
    assert_eq!(pair.neighbor.input_ids, [973, 727, 1845]);
}
