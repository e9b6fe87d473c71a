//! The trainer's commands over a small sealed folder, made here by the writers of `schemas`.
use std::{fs, path::Path, process::Command};

use schemas::{
    Counts, DocumentId, Manifest, Pair, PairBuilder, PairProduct, PhraseId, PhraseSpan, Relation, Segment,
    SegmentBuilder, TokenRange, create_pairs, create_segments,
    manifest::{Hash, PoolEntry, Resolved, ShardCounts, ShardOptions, ShardsBody, TokenizerEntry},
};

fn seal_shards(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut files = Vec::new();
    for (kind, documents) in [("products", 200u64), ("reviews", 300)] {
        let mut rows = SegmentBuilder::default();
        let phrases = [PhraseSpan { tokens: TokenRange::new(1..3).unwrap(), phrase: PhraseId::new(0), score: 0.75 }];
        for document in 0..documents {
            rows.push(&Segment {
                document: DocumentId::new(document),
                product: (document % 2 == 0).then_some("B0"),
                segment: 0,
                input_ids: &[5, 6, 7, 8],
                phrases: &phrases,
                noun_phrases: &[],
            });
        }
        let mut table = create_segments(&folder.join(format!("{kind}-00000.parquet"))).unwrap();
        table.write_result(rows.finish()).unwrap();
        files.push(table.commit().unwrap());
    }
    let mut pairs = PairBuilder::default();
    let side = |product| PairProduct { product, input_ids: &[5, 6] };
    pairs.push(&Pair { relation: Relation::Substitute, anchor: side("A"), neighbor: side("B"), negative: side("C") });
    let mut table = create_pairs(&folder.join("pairs-00000.parquet")).unwrap();
    table.write_result(pairs.finish()).unwrap();
    files.push(table.commit().unwrap());
    let hash = || Hash { blake3: "00".into() };
    let body = ShardsBody {
        max_tokens: 254,
        seed: 0,
        tokenizer: TokenizerEntry {
            file: "tokenizer.json".into(),
            vocab_size: 9,
            blake3: "00".into(),
            continuation_ids: "0001".into(),
        },
        pool: PoolEntry { phrases: 1, lowest_score: 0.75, blake3: "00".into() },
        corpus: hash(),
        graph: hash(),
        options: ShardOptions { nouns: false, max_per_product: 64, draws: 1 },
        resolved: Resolved { file: "options.toml".into(), blake3: "00".into() },
        counts: ShardCounts { rejected: Counts::new(), ..Default::default() },
    };
    Manifest::new(body, files).seal(folder).unwrap();
}

fn trainer(out: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["pretrain", "--dry-run", "--held-out", "0.1", "--out"])
        .arg(out)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).replace(&out.display().to_string(), "OUT");
    (output.status.code(), text)
}

#[test]
fn a_dry_run_says_what_would_be_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    seal_shards(&folder.path().join("shards"));
    let (code, text) = trainer(folder.path());
    assert_eq!(code, Some(0), "{text}");
    insta::assert_snapshot!("dry_run", text);
}

#[test]
fn shards_that_cannot_be_trained_on_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = trainer(folder.path());
    assert_eq!(code, Some(1));
    assert!(text.contains("has no manifest") && text.contains("hint: run `make shards`"), "{text}");
    let shards = folder.path().join("shards");
    seal_shards(&shards);
    let path = shards.join("reviews-00000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, text) = trainer(folder.path());
    assert_eq!(code, Some(1));
    assert!(text.contains("reviews-00000.parquet` does not match the manifest") && text.contains("hint:"), "{text}");
}

#[test]
fn usage_errors_end_with_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_trainer")).args(["pretrain"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
