// A small sealed folder of shards, made by the writers of `schemas`.
use std::{fs, path::Path};

use schemas::{
    DocumentId, Draws, Manifest, Pair, PairBuilder, PairProduct, PhraseId, PhraseSpan, Relation, Segment,
    SegmentBuilder, TextId, TokenRange, create_pairs, create_segments,
    manifest::{
        Copies, Hash, Negatives, PoolEntry, Resolved, SegmentCounts, ShardCounts, ShardOptions, ShardsBody,
        TokenizerEntry,
    },
};

/// Tokens in the vocabulary: BERT's five, then words, every fourth of which continues one.
pub(crate) const VOCABULARY: usize = 64;

pub(crate) fn tokens() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let token = |id: usize| match special.get(id) {
        Some(token) => (*token).to_owned(),
        None if id.is_multiple_of(4) => format!("##w{id}"),
        None => format!("w{id}"),
    };
    (0..VOCABULARY).map(token).collect()
}

fn tokenizer() -> String {
    let vocabulary: Vec<String> = tokens().iter().enumerate().map(|(id, token)| format!("{token:?}: {id}")).collect();
    format!(
        r###"{{"normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}},
        "pre_tokenizer": {{"type": "BertPreTokenizer"}},
        "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {{{}}}}}}}"###,
        vocabulary.join(", ")
    )
}

/// Files of each kind.
const BUCKETS: u64 = 5;

/// The id of a document.
pub(crate) fn document_id(document: u64, kind: &str) -> DocumentId {
    if kind == "products" { DocumentId::of_product(&format!("P{document}")) } else { DocumentId::new(document) }
}

/// The id of the text of a document. Some documents of a kind have the same.
pub(crate) fn text_id(document: u64, kind: &str) -> TextId {
    TextId::of(&format!("{kind} {}", document % 100))
}

/// A text in which some words are far more frequent than others.
pub(crate) fn ids(document: u64, kind: &str) -> Vec<u16> {
    let mut draws = Draws::new(1, kind, &document.to_le_bytes());
    let length = 4 + draws.below(26);
    (0..length).map(|_| 5 + (59.0 * draws.unit().powi(4)) as u16).collect()
}

pub(crate) fn seal_shards(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut files = Vec::new();
    for (kind, documents) in [("products", 120u64), ("reviews", 200)] {
        for bucket in 0..BUCKETS {
            let mut rows = SegmentBuilder::default();
            for document in (0..documents).filter(|document| document % BUCKETS == bucket) {
                let ids = ids(document, kind);
                let range = |start, end| TokenRange::new(start..end).unwrap();
                let phrases = [PhraseSpan { tokens: range(1, 3), phrase: PhraseId::new(0), score: 0.75 }];
                let product = format!("P{document}");
                rows.push(&Segment {
                    document: document_id(document, kind),
                    text_id: text_id(document, kind),
                    product: (document % 2 == 0).then_some(&product),
                    segment: 0,
                    input_ids: &ids,
                    phrases: &phrases[..(document % 3 > 0).into()],
                    noun_phrases: &[range(0, 2)],
                });
            }
            let mut table = create_segments(&folder.join(format!("{kind}-{bucket:05}.parquet"))).unwrap();
            table.write_result(rows.finish()).unwrap();
            files.push(table.commit().unwrap());
        }
    }
    let mut pairs = PairBuilder::default();
    for pair in 0..60u64 {
        let products = [pair, (pair + 1) % 120, (pair + 60) % 120];
        let names = products.map(|product| format!("P{product}"));
        let texts = products.map(|product| ids(product, "products"));
        let [anchor, neighbor, negative] = [0, 1, 2].map(|i: usize| PairProduct {
            product: &names[i],
            text_id: text_id(products[i], "products"),
            input_ids: &texts[i],
        });
        pairs.push(&Pair { relation: Relation::Substitute, weight: None, anchor, neighbor, negative });
    }
    let mut table = create_pairs(&folder.join("pairs-00000.parquet")).unwrap();
    table.write_result(pairs.finish()).unwrap();
    files.push(table.commit().unwrap());
    let tokenizer = schemas::store::write_file(&folder.join("tokenizer.json"), tokenizer().as_bytes()).unwrap();
    let continues: Vec<bool> = tokens().iter().map(|token| token.starts_with("##")).collect();
    let hash = || Hash { blake3: "00".into() };
    let body = ShardsBody {
        rules: schemas::Rules::default(),
        max_tokens: 30,
        seed: 0,
        tokenizer: TokenizerEntry {
            file: "tokenizer.json".into(),
            vocab_size: VOCABULARY as u32,
            blake3: tokenizer.blake3,
            continuation_ids: TokenizerEntry::encode_continuations(&continues),
        },
        pool: PoolEntry { phrases: 1, lowest_score: 0.75, blake3: "00".into() },
        corpus: hash(),
        graph: hash(),
        options: ShardOptions {
            nouns: false,
            language: None,
            tagger: None,
            max_per_product: 64,
            draws: 1,
            negatives: Negatives::Random,
            copies: Copies::Remove,
        },
        resolved: Resolved { file: "options.toml".into(), blake3: "00".into() },
        counts: ShardCounts {
            of_segments: SegmentCounts { tokens: 5000, phrase_spans: 200, ..Default::default() },
            ..Default::default()
        },
        shares: Default::default(),
    };
    Manifest::new(body, files).seal(folder).unwrap();
}
