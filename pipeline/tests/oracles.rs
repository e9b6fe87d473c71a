//! Slow and independent re-computations of what the streaming stage writes: Hugging Face's `tokenizers` for
//! the ids, a naive matcher for the spans, the rules of cutting for the segments. On the sample always, and on
//! the real files where they are.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use pipeline::{
    phrase::{
        matcher::{Matcher, Scratch},
        pool::{self, Phrase, Pool},
    },
    text::{Document, Encoder, Lexicon, Tokenizer, TokenizerError},
};
use proptest::prelude::*;
use schemas::{
    CorpusProductRows, CorpusTextRows, GraphEdgeRows, Manifest, SegmentRows, TextId,
    manifest::{CorpusBody, GraphBody, PoolBody, ShardsBody},
    open_corpus_products, open_corpus_reviews, open_graph_edges, open_pairs, open_segments,
    store::verify_file,
};
use support::{
    ebert,
    library::{Spans, by_library, ids_by_library, words_by_library},
    real_arguments, real_data, succeed,
    trained::{self, Like},
    workspace,
};

/// A document of the shards: id, tokens, ends of segments, spans and word starts.
type ShardDocument = (u64, Vec<u16>, Vec<usize>, Spans, Vec<u32>);

fn sample_tokenizer() -> Tokenizer {
    Tokenizer::load(&workspace().join("data/sample/tokenizer.json")).unwrap()
}

/// The sample's tokenizer with a part changed.
fn changed_tokenizer(part: &str, value: &serde_json::Value) -> Result<Tokenizer, TokenizerError> {
    let sample = std::fs::read_to_string(workspace().join("data/sample/tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&sample).unwrap();
    json[part] = value.clone();
    loaded(&json.to_string())
}

fn loaded(json: &str) -> Result<Tokenizer, TokenizerError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json).unwrap();
    Tokenizer::load(file.path())
}

/// A tokenizer that keeps upper case and accents.
fn cased_tokenizer() -> Tokenizer {
    let normalizer = serde_json::json!(
        {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": false});
    changed_tokenizer("normalizer", &normalizer).unwrap()
}

/// Tokenizers of all kinds.
fn all_tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let bert = |clean_text: bool, chinese: bool, strip_accents: Option<bool>, lowercase: bool| {
        let normalizer = serde_json::json!({
            "type": "BertNormalizer", "clean_text": clean_text, "handle_chinese_chars": chinese,
            "strip_accents": strip_accents, "lowercase": lowercase
        });
        changed_tokenizer("normalizer", &normalizer).unwrap()
    };
    let byte_level = |like, add_prefix_space: bool| {
        loaded(&trained::changed(like, |json| json["pre_tokenizer"]["add_prefix_space"] = add_prefix_space.into()))
            .unwrap()
    };
    vec![
        ("uncased", sample_tokenizer()),
        ("cased", bert(true, true, None, false)),
        ("lower case with accents", bert(true, true, Some(false), true)),
        ("case without accents", bert(true, true, Some(true), false)),
        ("Chinese together", bert(true, false, Some(false), false)),
        ("not clean", bert(false, true, None, true)),
        ("RoBERTa", byte_level(Like::RoBerta, false)),
        ("RoBERTa with a space before", byte_level(Like::RoBerta, true)),
        ("ModernBERT", byte_level(Like::ModernBert, false)),
        ("ModernBERT with a space before", byte_level(Like::ModernBert, true)),
        (
            "whole words first",
            loaded(&trained::changed(Like::RoBerta, |json| json["model"]["ignore_merges"] = true.into())).unwrap(),
        ),
    ]
}

/// Checks the first of [`all_tokenizers`] and any other one, each loaded once.
fn for_uncased_and_another(
    which: prop::sample::Index,
    check: impl Fn(&str, &Tokenizer) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    thread_local!(static TOKENIZERS: Vec<(&'static str, Tokenizer)> = all_tokenizers());
    TOKENIZERS.with(|tokenizers| {
        let (uncased, others) = tokenizers.split_first().unwrap();
        [uncased, which.get(others)].into_iter().try_for_each(|(name, tokenizer)| check(name, tokenizer))
    })
}

/// Compares what an encoder gives with the library.
fn assert_encoded(name: &str, tokenizer: &Tokenizer, document: &Document, text: &str) {
    let wanted = by_library(tokenizer, text);
    assert_eq!(document.ids, wanted.ids, "{name} {text:?}");
    assert_eq!(document.words(), wanted.words.len(), "{name} {text:?}");
    let hidden = document.pool_words.iter().filter(|w| **w == Document::TRANSPARENT).count();
    assert_eq!(hidden, wanted.words.len() - wanted.visible().len(), "{name} {text:?}");
    for word in 0..document.words() {
        assert_eq!(document.tokens(word..word + 1), wanted.tokens(word..word + 1), "{name} {text:?} {word}");
    }
    let starts = [wanted.word_starts(), vec![wanted.ids.len() as u32]].concat();
    assert_eq!(document.word_starts, starts, "{name} {text:?}");
}

#[test]
fn ids_equal_the_librarys_on_hard_text() {
    let mut document = Document::default();
    let long: Vec<String> = [15, 16, 17, 99, 100, 101, 1000].iter().map(|&n| "x".repeat(n)).collect();
    let marks = "e".to_owned() + &"\u{301}\u{316}".repeat(300);
    let mut texts = vec![
        "",
        " ",
        "\u{200b}",
        "Stainless-Steel wi-fi",
        "[MASK] [CLS] ##ing #ing",
        "naïve café Ångström İstanbul ẞ ß",
        "中文字符混合english",
        "한국어 조선말 ᄒ\u{1161}",
        "日本語の文章。カタカナ",
        "العربية עברית हिन्दी ไทย",
        "👩‍👩‍👧‍👦 🇩🇪 ☕️ 👍🏽",
        "a\u{0}b\u{7}c\u{fffd}d\u{ad}e",
        "x\u{302e}\u{302f}y \u{1d165}\u{1d16d}z \u{0f71}\u{0f72}",
        "\u{1e09}\u{0344}\u{212b}",
        "tab\tnew\nline\r\nnbsp\u{a0}ideographic\u{3000}end\u{2028}x",
        "don't can't I'm it's “quoted” ‘single’ —dash… ½ ² ™ ®",
        "$19.99 (3-pack) 10.5oz #1 50% a/b c\\d e_f g^h `i` ~j",
        "\u{feff}bom",
        " leading and trailing \n\n",
        "wait... 'tis 'S 's '' ''s don''t !'s \u{2019}s",
        "a  b   c    d\t\t e \u{a0}f\u{a0}\u{a0}g",
        "|||IP_ADDRESS||| x[unused0]y [unused1]|||EMAIL_ADDRESS||||||IP_ADDRESS||| e\u{301}|raw \u{e9}|raw",
        "<s> </s> <mask> <|endoftext|>  <|endoftext|> [MASK]  [MASK]",
        "e\u{301}|\u{e9} e\u{301}|e\u{301} 가\u{11a8} \u{1fef}x a\u{1fef}b",
    ];
    texts.extend(long.iter().map(String::as_str));
    texts.push(&marks);
    for (name, tokenizer) in all_tokenizers() {
        let lexicon = Lexicon::new(&tokenizer, ["stainless", "steel"].into_iter());
        let mut encoder = Encoder::new(&lexicon);
        for text in &texts {
            encoder.encode(text, &mut document);
            assert_eq!(document.ids, ids_by_library(&tokenizer, text), "{name} {text:?}");
            assert_eq!(document.words(), words_by_library(text).len(), "{name} {text:?}");
            assert!(document.origins.is_sorted() && document.origins.len() == document.words(), "{name} {text:?}");
        }
    }
}

#[test]
fn words_know_where_they_are_in_the_text() {
    let tokenizer = sample_tokenizer();
    let mut words = pipeline::text::Words::new(&tokenizer);
    // Each word is written as itself, in capitals or with accents that normalizing takes away.
    let long = "Wi-Fi, café\u{301} (NAÏVE) don't — “quoted” 中文 x\u{301}\u{316}y end. ".repeat(40);
    for text in ["Stainless STEEL", " a\tb\nc ", "e\u{301}\u{316}A b", &long] {
        words.find(text);
        for (i, &range) in words.ranges().iter().enumerate() {
            let origin = range.origin as usize;
            let end = words.ranges().get(i + 1).map_or(text.len(), |next| next.origin as usize);
            let written: String = words_by_library(&text[origin..end]).into_iter().map(|w| w.0).collect();
            assert_eq!(written, words.word(range), "{text:?}");
        }
    }
}

#[test]
fn other_normalizers_and_pre_tokenizers_give_the_librarys_ids() {
    for (what, value) in [
        ("normalizer", serde_json::json!(null)),
        ("normalizer", serde_json::json!({"type": "NFKC"})),
        (
            "normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}),
        ),
        (
            "pre_tokenizer",
            serde_json::json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}]}),
        ),
    ] {
        let tokenizer = changed_tokenizer(what, &value).unwrap();
        let lexicon = Lexicon::new(&tokenizer, std::iter::empty());
        let (mut encoder, mut document) = (Encoder::new(&lexicon), Document::default());
        for text in [
            "Stainless-Steel kettle, naïve Ångström",
            "  two  spaces ",
            "中文 mixed 한국어 e\u{301}",
            "½ ﬁne ℡",
            "wi-fi, don't",
        ] {
            encoder.encode(text, &mut document);
            assert_encoded(&value.to_string(), &tokenizer, &document, text);
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let sample = std::fs::read_to_string(workspace().join("data/sample/tokenizer.json")).unwrap();
    for (name, text) in [("tokenizer.json", sample.as_str()), ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")]
    {
        let (plain, marked) = (folder.path().join(name), folder.path().join(format!("marked-{name}")));
        std::fs::write(&plain, text).unwrap();
        std::fs::write(&marked, format!("\u{feff}{text}")).unwrap();
        assert_eq!(Tokenizer::load(&plain).unwrap().json(), Tokenizer::load(&marked).unwrap().json(), "{name}");
    }
}

#[test]
fn every_character_is_encoded_as_the_library_does() {
    let mut document = Document::default();
    // Each between letters, so that it shows whether it joins, splits or vanishes; some in a row to be quick.
    let all: Vec<char> =
        (0..=0x10_ffffu32).filter_map(char::from_u32).filter(|c| *c < '\u{32000}' || *c > '\u{e0000}').collect();
    // Others differ in settings that no character depends on, or are encoded by the library.
    let names = ["uncased", "cased", "lower case with accents", "RoBERTa", "ModernBERT with a space before"];
    let chosen: Vec<_> = all_tokenizers().into_iter().filter(|(name, _)| names.contains(name)).collect();
    assert_eq!(chosen.len(), names.len());
    for (name, tokenizer) in chosen {
        let lexicon = Lexicon::new(&tokenizer, std::iter::empty());
        let mut encoder = Encoder::new(&lexicon);
        for some in all.chunks(512) {
            let text: String = some.iter().flat_map(|&c| ['a', c, 'b', ' ']).collect();
            encoder.encode(&text, &mut document);
            assert_eq!(document.ids, ids_by_library(&tokenizer, &text), "{name} {:?}", some[0]);
        }
    }
}

/// Text of all kinds of characters, many of them such that they combine.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => "[a-zA-Z]{1,12}",
        2 => "[ -~]{1,8}",
        2 => prop::sample::select(vec![" ", "-", "'", "\n", "\t", "\u{a0}", "wi-fi", "stainless steel", "--", "- "]).prop_map(str::to_owned),
        1 => "\\PC{1,6}",
        1 => prop::collection::vec(prop::char::ranges(vec!['\u{300}'..='\u{36f}', '\u{591}'..='\u{5c7}', '\u{93c}'..='\u{94d}', '\u{1dc0}'..='\u{1dff}', '\u{302a}'..='\u{302f}', '\u{1100}'..='\u{11ff}', '\u{ac00}'..='\u{ac80}', '\u{1d165}'..='\u{1d172}', '\u{11000}'..='\u{11080}', '\u{4e00}'..='\u{4e40}'].into()), 1..6).prop_map(|c| c.into_iter().collect()),
        1 => prop::collection::vec(any::<char>(), 1..4).prop_map(|c| c.into_iter().collect()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn ids_and_words_equal_the_librarys(text in any_text(), which in any::<prop::sample::Index>()) {
        for_uncased_and_another(which, |name, tokenizer| {
            let mut document = Document::default();
            let lexicon = Lexicon::new(tokenizer, ["steel"].into_iter());
            Encoder::new(&lexicon).encode(&text, &mut document);
            prop_assert_eq!(&document.ids, &ids_by_library(tokenizer, &text), "{}", name);
            prop_assert_eq!(document.words(), words_by_library(&text).len(), "{}", name);
            Ok(())
        })?;
    }

    /// Without marks that canonical reordering moves, whose place in the raw text is not defined.
    #[test]
    fn words_have_the_tokens_that_share_a_byte_with_them(
        text in "([a-zA-Z]{1,9}|[ -~]{1,4}|[ .,!?'-]{1,5}|stainless steel|wi-fi|[0-9]{1,3}|[中文字é½°™²³👍🏽日本語한국ñ\u{a0}\u{200b}\u{ad}\u{85}\u{1fef}]{1,4}|e\u{301}|[ \n\t]{1,4}|\\|\\|\\|IP_ADDRESS\\|\\|\\||\\[MASK\\]){0,20}",
        which in any::<prop::sample::Index>(),
    ) {
        for_uncased_and_another(which, |name, tokenizer| {
            let mut document = Document::default();
            let lexicon = Lexicon::new(tokenizer, ["steel"].into_iter());
            Encoder::new(&lexicon).encode(&text, &mut document);
            assert_encoded(name, tokenizer, &document, &text);
            Ok(())
        })?;
    }

    #[test]
    fn a_cased_tokenizer_finds_the_phrases_of_an_uncased_one(
        words in prop::collection::vec(prop::sample::select(vec!["a", "B", "Wi", "wi", "FI", "-", " ", " ", "\n", "é", "É", "E\u{301}", "中"]), 0..40),
        phrases in prop::collection::hash_set(prop::collection::vec(prop::sample::select(vec!["a", "b", "wi", "fi", "e", "中"]), 1..4), 0..12),
    ) {
        thread_local!(static TOKENIZERS: [Tokenizer; 2] = [sample_tokenizer(), cased_tokenizer()]);
        TOKENIZERS.with(|tokenizers| {
            let phrases: Vec<Phrase> = phrases.iter()
                .map(|p| Phrase { text: p.join(" "), score: 0.5, words: p.len() as u8, frequency: None }).collect();
            let pool = Pool { phrases };
            let text = words.concat();
            let spans_in_words = |tokenizer: &Tokenizer| {
                let (matcher, lexicon) = Matcher::new(&pool, tokenizer).unwrap();
                let (mut document, mut scratch, mut found) = (Document::default(), Scratch::default(), Vec::new());
                Encoder::new(&lexicon).encode(&text, &mut document);
                matcher.find(&document, &mut scratch, &mut found);
                assert_eq!(document.ids, ids_by_library(tokenizer, &text));
                let word_at = |token: u32| document.word_starts.binary_search(&token).unwrap();
                found.iter().map(|o| (word_at(o.start), word_at(o.end), o.phrase.get())).collect::<Vec<_>>()
            };
            prop_assert_eq!(spans_in_words(&tokenizers[0]), spans_in_words(&tokenizers[1]));
            Ok(())
        })?;
    }

    #[test]
    fn spans_equal_those_found_by_trying(
        words in prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "-", "-", "wi", "fi", " ", " ", "\n", "é", "E", "中"]), 0..40),
        phrases in prop::collection::hash_set(prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "wi", "fi", "e", "中", "-"]), 1..5), 0..12),
        which in any::<prop::sample::Index>(),
    ) {
        spans_equal(&words.concat(), phrases, which)?;
    }

    #[test]
    fn long_phrases_are_found_in_long_texts(
        words in prop::collection::vec(prop::sample::select(vec!["a ", "b ", "a-", "b-"]), 0..500),
        phrases in prop::collection::hash_set(prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..11), 0..40),
        which in any::<prop::sample::Index>(),
    ) {
        spans_equal(&words.concat(), phrases, which)?;
    }
}

/// Compares what is found of some phrases with what is found by trying.
fn spans_equal(text: &str, phrases: HashSet<Vec<&str>>, which: prop::sample::Index) -> Result<(), TestCaseError> {
    let of = |p: Vec<&str>| Phrase { text: p.join(" "), score: 0.5, words: p.len() as u8, frequency: None };
    let pool = Pool { phrases: phrases.into_iter().map(of).collect() };
    let index = index_of(&pool);
    for_uncased_and_another(which, |name, tokenizer| {
        let (matcher, lexicon) = Matcher::new(&pool, tokenizer).unwrap();
        let (mut document, mut scratch, mut found) = (Document::default(), Scratch::default(), Vec::new());
        Encoder::new(&lexicon).encode(text, &mut document);
        let sharing = matcher.find(&document, &mut scratch, &mut found);
        prop_assert!(found.is_sorted());
        let got: BTreeSet<_> = found.iter().map(|o| (o.start, o.end, o.phrase.get())).collect();
        prop_assert_eq!(got.len(), found.len());
        prop_assert_eq!((got, sharing), by_library(tokenizer, text).spans(&index), "{}", name);
        Ok(())
    })
}

/// The phrases of a pool by their words.
fn index_of(pool: &Pool) -> HashMap<Vec<&str>, u32> {
    pool.phrases.iter().enumerate().map(|(i, p)| (p.text.split(' ').collect(), i as u32)).collect()
}

/// Compares whole shards with the corpus that they were made from; looks at every `stride`th document in full.
fn check_shards(out: &Path, stride: usize) {
    let shards = Manifest::<ShardsBody>::read(&out.join("shards")).unwrap();
    let corpus = Manifest::<CorpusBody>::read(&out.join("corpus")).unwrap();
    let pool_manifest = Manifest::<PoolBody>::read(&out.join("pool")).unwrap();
    let pool = pool::load(out, &pool_manifest).unwrap();
    assert!(pool.phrases.windows(2).all(|p| (p[1].score, &p[0].text) < (p[0].score, &p[1].text)));
    let tokenizer = Tokenizer::load(&out.join("shards/tokenizer.json")).unwrap();
    assert_eq!(shards.body.tokenizer.continuations().is_some(), tokenizer.marks_words());
    let continues = shards.body.tokenizer.continuations().unwrap_or_else(|| vec![false; 1 << 16]);
    let max_tokens = usize::from(shards.body.max_tokens);
    let counts = &shards.body.counts.of_segments;
    let rejected: u64 = corpus.body.counts.rejected.values().sum();
    let of = &corpus.body.counts;
    assert_eq!(of.records, of.products + of.reviews + rejected, "every record is somewhere");
    assert_eq!(counts.documents, of.products + of.reviews);

    let index = index_of(&pool);
    let (mut sharing, mut cut_words) = (0, 0);
    let (mut rows, mut tokens, mut stored, mut looked_at) = (0u64, 0u64, 0u64, 0);
    let (mut in_phrases, mut nouns, mut in_nouns, mut in_clean) = (0, 0, 0, 0);
    for kind in ["products", "reviews"] {
        let tables: Vec<_> = corpus.files.iter().filter(|f| f.name.starts_with(kind)).collect();
        for (bucket, entry) in tables.iter().enumerate() {
            let mut texts = HashMap::new();
            let path = verify_file(&out.join("corpus"), entry).unwrap();
            let open = if kind == "products" { open_corpus_products } else { open_corpus_reviews };
            for rows in open(&path).unwrap().read::<CorpusTextRows>(1000) {
                for row in rows.unwrap().iter() {
                    assert!(texts.insert(row.document.get(), row.text.to_owned()).is_none());
                }
            }
            let shard = shards.files.iter().find(|f| f.name == entry.name).unwrap();
            let table = open_segments(&verify_file(&out.join("shards"), shard).unwrap()).unwrap();
            let mut last = None;
            let mut documents: Vec<ShardDocument> = Vec::new();
            for batch in table.batches(1000, None) {
                let mut segments = SegmentRows::new(&batch.unwrap());
                for row in 0..segments.len() {
                    let starts = segments.word_starts(row).map(<[u16]>::to_vec);
                    assert_eq!(starts.is_none(), tokenizer.marks_words());
                    let starts = starts.unwrap_or_default();
                    let segment = segments.get(row).unwrap();
                    let (id, ids) = (segment.document.get(), segment.input_ids);
                    let group = if kind == "products" { id } else { segment.text_id.get() };
                    assert_eq!(group % tables.len() as u64, bucket as u64);
                    assert_eq!(segment.text_id, TextId::of(&texts[&id]));
                    assert!(last < Some((id, segment.segment)), "sorted");
                    last = Some((id, segment.segment));
                    assert!((1..=max_tokens).contains(&ids.len()));
                    assert!(!continues[usize::from(ids[0])], "a segment begins with a word");
                    assert!(segment.phrases.is_sorted_by_key(|p| (p.tokens, p.phrase)));
                    if segment.segment == 0 {
                        documents.push((id, Vec::new(), Vec::new(), BTreeSet::new(), Vec::new()));
                    }
                    let document = documents.last_mut().unwrap();
                    assert_eq!((document.0, document.2.len()), (id, segment.segment as usize));
                    let base = document.1.len() as u32;
                    if !tokenizer.marks_words() {
                        assert!(starts.is_sorted() && starts.iter().all(|start| usize::from(*start) < ids.len()));
                        cut_words += u64::from(segment.segment > 0 && starts.first() != Some(&0));
                        document.4.extend(starts.iter().map(|start| base + u32::from(*start)));
                    }
                    for span in segment.phrases {
                        let range = span.tokens.tokens();
                        assert_eq!(span.score, pool.phrases[span.phrase.get() as usize].score);
                        document.3.insert((base + range.start as u32, base + range.end as u32, span.phrase.get()));
                    }
                    let of_phrases: HashSet<usize> = segment.phrases.iter().flat_map(|p| p.tokens.tokens()).collect();
                    assert!(segment.noun_phrases.windows(2).all(|n| n[0].tokens().end <= n[1].tokens().start));
                    for noun in segment.noun_phrases {
                        let range = noun.tokens();
                        let begins = match tokenizer.marks_words() {
                            true => !continues[usize::from(ids[range.start])],
                            false => starts.contains(&(range.start as u16)),
                        };
                        assert!(begins, "a noun phrase begins with a word");
                        assert!(ids.get(range.end).is_none_or(|&id| !continues[usize::from(id)]), "and ends with one");
                        nouns += 1;
                        in_nouns += range.len() as u64;
                        if !range.clone().any(|token| of_phrases.contains(&token)) {
                            in_clean += range.len() as u64;
                        }
                    }
                    in_phrases += of_phrases.len() as u64;
                    document.1.extend_from_slice(ids);
                    document.2.push(document.1.len());
                    (rows, tokens, stored) =
                        (rows + 1, tokens + ids.len() as u64, stored + segment.phrases.len() as u64);
                }
            }
            assert_eq!(documents.len(), texts.len(), "{}: one document a corpus row", entry.name);
            for (id, ids, ends, got, starts) in documents.iter().step_by(stride) {
                looked_at += 1;
                let wanted = by_library(&tokenizer, &texts[id]);
                assert_eq!(*ids, wanted.ids, "{id:016x}");
                if !tokenizer.marks_words() {
                    assert_eq!(*starts, wanted.word_starts(), "{id:016x}");
                }
                let (all, of_document) = wanted.spans(&index);
                sharing += of_document;
                let cut = |s: &(u32, u32, u32)| ends.iter().any(|&b| (s.0 as usize) < b && b < s.1 as usize);
                let whole: BTreeSet<_> = all.iter().copied().filter(|s| !cut(s)).collect();
                assert_eq!(*got, whole, "{id:016x}");
            }
        }
    }
    assert!(looked_at > 100);
    assert!(stride > 1 || sharing == counts.spans_sharing_tokens);
    assert_eq!(cut_words, counts.cut_words);
    assert_eq!((rows, tokens, stored), (counts.segments, counts.tokens, counts.phrase_spans));
    assert_eq!(
        (in_phrases, nouns, in_nouns, in_clean),
        (counts.phrase_tokens, counts.noun_phrases, counts.noun_phrase_tokens, counts.clean_noun_phrase_tokens)
    );
    assert!(nouns > rows, "noun phrases are found");
    check_pairs(out, shards.body.counts.pairs);
}

/// Every pair is an association; no negative is the anchor or a neighbor of it.
fn check_pairs(out: &Path, wanted: u64) {
    let graph = Manifest::<GraphBody>::read(&out.join("graph")).unwrap();
    let mut edges = HashSet::new();
    let table = open_graph_edges(&out.join("graph/associations.parquet")).unwrap();
    for rows in table.read::<GraphEdgeRows>(1000) {
        for edge in rows.unwrap().iter() {
            let edge = edge.unwrap();
            let (a, b) = (edge.product_a.to_owned(), edge.product_b.to_owned());
            assert!(a < b);
            assert!(edges.insert((a, b, edge.relation)), "no row twice");
        }
    }
    assert_eq!(edges.len() as u64, graph.body.edges.values().sum::<u64>());
    let neighbors: HashSet<(&str, &str)> =
        edges.iter().flat_map(|(a, b, _)| [(a.as_str(), b.as_str()), (b.as_str(), a.as_str())]).collect();
    let (mut rows, mut forward) = (0u64, 0u64);
    for file in 0.. {
        let path = out.join(format!("shards/pairs-{file:05}.parquet"));
        if !path.exists() {
            break;
        }
        for batch in open_pairs(&path).unwrap().batches(1000, None) {
            let pairs = schemas::PairRows::new(&batch.unwrap());
            for row in 0..pairs.len() {
                let pair = pairs.get(row).unwrap();
                let (anchor, neighbor, negative) = (pair.anchor.product, pair.neighbor.product, pair.negative.product);
                let (a, b) = (anchor.min(neighbor), anchor.max(neighbor));
                assert!(edges.contains(&(a.to_owned(), b.to_owned(), pair.relation)));
                assert!(negative != anchor && !neighbors.contains(&(anchor, negative)));
                assert!(!pair.anchor.input_ids.is_empty() && !pair.negative.input_ids.is_empty());
                rows += 1;
                forward += u64::from(anchor < neighbor);
            }
        }
    }
    assert_eq!(rows, wanted);
    assert!(rows < 1000 || (0.45..0.55).contains(&(forward as f64 / rows as f64)), "directions are drawn");
}

/// Each negative is from the first category of the anchor in which at least 8 products are possible, by comparing the
/// paths of all products. Gives the pairs by category.
fn check_negatives_of_categories(out: &Path) -> BTreeMap<String, u64> {
    let mut paths: HashMap<String, Vec<String>> = HashMap::new();
    for bucket in 0.. {
        let path = out.join(format!("corpus/products-{bucket:05}.parquet"));
        if !path.exists() {
            break;
        }
        for rows in open_corpus_products(&path).unwrap().read::<CorpusProductRows>(1000) {
            for product in rows.unwrap().iter() {
                let categories = product.categories.iter().map(|&name| name.to_owned()).collect();
                paths.insert(product.product_id.to_owned(), categories);
            }
        }
    }
    let mut neighbors: HashMap<String, HashSet<String>> = HashMap::new();
    for rows in open_graph_edges(&out.join("graph/associations.parquet")).unwrap().read::<GraphEdgeRows>(1000) {
        for edge in rows.unwrap().iter().map(Result::unwrap) {
            neighbors.entry(edge.product_a.to_owned()).or_default().insert(edge.product_b.to_owned());
            neighbors.entry(edge.product_b.to_owned()).or_default().insert(edge.product_a.to_owned());
        }
    }
    // The text and the ids of every product of the graph that the shards hold.
    let mut segments: HashMap<String, (TextId, Vec<u16>)> = HashMap::new();
    for bucket in 0.. {
        let path = out.join(format!("shards/products-{bucket:05}.parquet"));
        if !path.exists() {
            break;
        }
        for rows in open_segments(&path).unwrap().read::<schemas::SegmentTokenRows>(1000) {
            for row in rows.unwrap().iter().filter(|row| row.segment == 0 && !row.input_ids.is_empty()) {
                let product = row.product.unwrap();
                if neighbors.contains_key(product) {
                    segments.insert(product.to_owned(), (row.text_id, row.input_ids.to_vec()));
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    let table = open_pairs(&out.join("shards/pairs-00000.parquet")).unwrap();
    for batch in table.batches(1000, None) {
        let pairs = schemas::PairRows::new(&batch.unwrap());
        for pair in (0..pairs.len()).map(|row| pairs.get(row).unwrap()) {
            let path = &paths[pair.anchor.product];
            let common = |other: &str| path.iter().zip(&paths[other]).take_while(|(a, b)| a == b).count();
            let mut possible = vec![0usize; path.len() + 1];
            for (product, (text, ids)) in &segments {
                let alike = |side: &schemas::PairProduct<'_>| side.text_id == *text || side.input_ids == ids.as_slice();
                let neighbor = neighbors[pair.anchor.product].contains(product);
                if product != pair.anchor.product && !neighbor && !alike(&pair.anchor) && !alike(&pair.neighbor) {
                    possible[..=common(product)].iter_mut().for_each(|products| *products += 1);
                }
            }
            let depth = (1..=path.len()).rev().find(|&depth| possible[depth] >= 8);
            let from = depth.map_or("random".to_owned(), |depth| match path.len() - depth {
                0 => "leaf".to_owned(),
                above => format!("up_{above}"),
            });
            assert!(
                common(pair.negative.product) >= depth.unwrap_or(0),
                "{from}: {:?} {path:?}",
                pair.negative.product
            );
            *found.entry(from).or_default() += 1;
        }
    }
    found
}

#[test]
fn negatives_of_a_category_are_exact() {
    let out = tempfile::tempdir().unwrap();
    let said = succeed(ebert(["shards", "--negatives", "category"]).arg("--out").arg(out.path()));
    let shards = Manifest::<ShardsBody>::read(&out.path().join("shards")).unwrap();
    check_pairs(out.path(), shards.body.counts.pairs);
    let found = check_negatives_of_categories(out.path());
    assert_eq!(found, shards.body.counts.negatives, "{said}");
    assert!(found.len() > 1 && said.contains("negatives leaf "), "{said}");
}

#[test]
fn the_samples_shards_are_exact() {
    let out = tempfile::tempdir().unwrap();
    succeed(ebert(["shards", "--bucket-mib", "1"]).arg("--out").arg(out.path()));
    check_shards(out.path(), 1);
}

#[test]
fn the_samples_shards_of_other_tokenizers_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let (out, file) = (folder.path().join("out"), folder.path().join("tokenizer.json"));
    // Short segments, so that words and spans meet their ends.
    for (tokenizer, max_tokens) in [
        (trained::byte_level(Like::RoBerta).to_owned(), "254"),
        (trained::byte_level(Like::ModernBert).to_owned(), "24"),
        (String::from_utf8(cased_tokenizer().json().to_vec()).unwrap(), "254"),
    ] {
        std::fs::write(&file, tokenizer).unwrap();
        let mut command = ebert(["shards", "--max-tokens", max_tokens]);
        succeed(command.arg("--tokenizer").arg(&file).arg("--out").arg(&out));
        check_shards(&out, 1);
    }
}

#[test]
fn the_real_files_shards_are_exact() {
    let Some(data) = real_data() else { return };
    let out = tempfile::tempdir().unwrap();
    succeed(ebert(["shards"]).args(real_arguments(&data)).arg("--out").arg(out.path()));
    check_shards(out.path(), 7);
}
