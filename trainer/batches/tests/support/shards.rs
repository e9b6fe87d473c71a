// A small sealed folder of shards, made by the writers of `schemas`.
use std::{fs, path::Path};

use schemas::{
    DocumentId, Draws, FileEntry, Manifest, Pair, PairBuilderOf, PairProduct, PhraseId, PhraseSpan, Relation,
    SegmentBuilderOf, SegmentOf, TextId, TokenId, TokenRange, create_pairs_of, create_segments_of,
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

/// How shards hold the same texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// WordPiece with ids of 16 bits.
    WordPiece,
    /// The same with ids of 32 bits: all tokens of text come after [`UNUSED`] others.
    Wide,
    /// Byte-level BPE with RoBERTa's special tokens: the words are stored.
    ByteLevel,
    /// Ids of a given byte-level BPE, after its special tokens and bytes.
    Given,
}

/// Unused tokens of [`Form::Wide`].
pub(crate) const UNUSED: u32 = 70_000;

impl Form {
    /// The tokens by id.
    pub(crate) fn tokens(self) -> Vec<String> {
        let plain = tokens().into_iter();
        match self {
            Self::WordPiece => plain.collect(),
            Self::Wide => {
                let unused = (0..UNUSED).map(|number| format!("[unused{number}]"));
                plain.clone().take(5).chain(unused).chain(plain.skip(5)).collect()
            }
            Self::ByteLevel => {
                let special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"].map(str::to_owned).into_iter();
                let of_text = plain.skip(5).map(|token| match token.strip_prefix("##") {
                    Some(rest) => rest.to_owned(),
                    None => format!("\u{120}{token}"),
                });
                special.chain(of_text).collect()
            }
            Self::Given => Vec::new(),
        }
    }

    /// The id of what has this id in a WordPiece of 16 bits.
    pub(crate) fn id(self, id: u32) -> u32 {
        match self {
            Self::Wide if id >= 5 => id + UNUSED,
            Self::Given => id + 300,
            _ => id,
        }
    }

    /// Whether its vocabulary does not mark the tokens that start a word.
    fn stores_words(self) -> bool {
        matches!(self, Self::ByteLevel | Self::Given)
    }

    fn tokenizer(self) -> String {
        if self == Self::ByteLevel {
            return format!(
                r#"{{"added_tokens": [{}], "normalizer": null,
                "pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}},
                "model": {{"type": "BPE", "merges": [], "vocab": {{{}}}}}}}"#,
                self.tokens()
                    .iter()
                    .take(5)
                    .enumerate()
                    .map(|(id, token)| added(id, token))
                    .collect::<Vec<_>>()
                    .join(", "),
                vocabulary(&self.tokens())
            );
        }
        word_piece(&self.tokens())
    }
}

fn added(id: usize, token: &str) -> String {
    let lstrip = token == "<mask>";
    format!(
        r#"{{"id": {id}, "content": {token:?}, "single_word": false, "lstrip": {lstrip}, "rstrip": false,
        "normalized": false, "special": true}}"#
    )
}

fn vocabulary(tokens: &[String]) -> String {
    let entries: Vec<String> = tokens.iter().enumerate().map(|(id, token)| format!("\"{token}\": {id}")).collect();
    entries.join(", ")
}

fn word_piece(tokens: &[String]) -> String {
    format!(
        r###"{{"normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}},
        "pre_tokenizer": {{"type": "BertPreTokenizer"}},
        "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {{{}}}}}}}"###,
        vocabulary(tokens)
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
pub(crate) fn ids(document: u64, kind: &str) -> Vec<u32> {
    let mut draws = Draws::new(1, kind, &document.to_le_bytes());
    let length = 4 + draws.below(26);
    (0..length).map(|_| 5 + (59.0 * draws.unit().powi(4)) as u32).collect()
}

pub(crate) fn seal_shards(folder: &Path) {
    seal_shards_as(Form::WordPiece, folder);
}

/// The tokens of a text that start a word, as the shards of [`Form::ByteLevel`] hold them.
pub(crate) fn word_starts(ids: &[u32]) -> Vec<u16> {
    (0..ids.len() as u16).filter(|&at| !ids[usize::from(at)].is_multiple_of(4)).collect()
}

/// Writes the segments and pairs, with ids of this width.
fn write_files<I: TokenId>(form: Form, folder: &Path) -> Vec<FileEntry> {
    let stored = |ids: &[u32]| -> Vec<I> { ids.iter().map(|&id| I::of(form.id(id))).collect() };
    let mut files = Vec::new();
    for (kind, documents) in [("products", 120u64), ("reviews", 200)] {
        for bucket in 0..BUCKETS {
            let mut rows = SegmentBuilderOf::<I>::default();
            for document in (0..documents).filter(|document| document % BUCKETS == bucket) {
                let ids = ids(document, kind);
                let starts = word_starts(&ids);
                let range = |start, end| TokenRange::new(start..end).unwrap();
                let phrases = [PhraseSpan { tokens: range(1, 3), phrase: PhraseId::new(0), score: 0.75 }];
                let product = format!("P{document}");
                let segment = SegmentOf {
                    document: document_id(document, kind),
                    text_id: text_id(document, kind),
                    product: (document % 2 == 0).then_some(product.as_str()),
                    segment: 0,
                    input_ids: &stored(&ids),
                    phrases: &phrases[..(document % 3 > 0).into()],
                    noun_phrases: &[range(0, 2)],
                };
                rows.push_with_words(&segment, form.stores_words().then_some(&starts));
            }
            let mut table = create_segments_of::<I>(&folder.join(format!("{kind}-{bucket:05}.parquet"))).unwrap();
            table.write_result(rows.finish()).unwrap();
            files.push(table.commit().unwrap());
        }
    }
    let mut pairs = PairBuilderOf::<I>::default();
    for pair in 0..60u64 {
        let products = [pair, (pair + 1) % 120, (pair + 60) % 120];
        let names = products.map(|product| format!("P{product}"));
        let texts = products.map(|product| stored(&ids(product, "products")));
        let [anchor, neighbor, negative] = [0, 1, 2].map(|i: usize| PairProduct {
            product: &names[i],
            text_id: text_id(products[i], "products"),
            input_ids: &texts[i],
        });
        pairs.push(&Pair { relation: Relation::Substitute, weight: None, anchor, neighbor, negative });
    }
    let mut table = create_pairs_of::<I>(&folder.join("pairs-00000.parquet")).unwrap();
    table.write_result(pairs.finish()).unwrap();
    files.push(table.commit().unwrap());
    files
}

pub(crate) fn seal_shards_as(form: Form, folder: &Path) {
    seal(form, folder, &form.tokenizer(), form.tokens().len());
}

/// Shards of a byte-level BPE with so many tokens.
pub(crate) fn seal_shards_of(tokenizer: &str, tokens: usize, folder: &Path) {
    seal(Form::Given, folder, tokenizer, tokens);
}

fn seal(form: Form, folder: &Path, tokenizer: &str, vocabulary: usize) {
    fs::create_dir_all(folder).unwrap();
    let files = if form == Form::Wide { write_files::<u32>(form, folder) } else { write_files::<u16>(form, folder) };
    let tokenizer = schemas::store::write_file(&folder.join("tokenizer.json"), tokenizer.as_bytes()).unwrap();
    let continues: Vec<bool> = match form.stores_words() {
        true => Vec::new(),
        false => form.tokens().iter().map(|token| token.starts_with("##")).collect(),
    };
    let hash = || Hash { blake3: "00".into() };
    let body = ShardsBody {
        rules: schemas::Rules::default(),
        max_tokens: 30,
        seed: 0,
        tokenizer: TokenizerEntry {
            file: "tokenizer.json".into(),
            vocab_size: vocabulary as u32,
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
