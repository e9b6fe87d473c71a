//! Tokenizers that cannot be used, and those that keep case, as whole commands.
mod support;

use std::fs;

use insta::assert_snapshot;
use schemas::{PairRowsOf, SegmentRowsOf, open_pairs_of, open_segments, open_segments_of};
use serde_json::{Value, json};
use support::{
    ebert,
    raw::{PRODUCT, Raw, lines},
    succeed,
    trained::{self, Like},
};

#[test]
fn a_tokenizer_that_cannot_be_used() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT]))]);
    let file = raw.path("tokenizer");
    let model = |model: &str| {
        format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "model": {model}}}"#
        )
    };
    for (name, bytes) in [
        ("tokenizer_bpe", model(r#"{"type": "BPE", "vocab": {"a": 0}, "merges": []}"#).as_bytes()),
        ("tokenizer_unigram", model(r#"{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]]}"#).as_bytes()),
        ("tokenizer_plain", b"[UNK]\nthe\n##s\n"),
        ("tokenizer_broken", b"{\"version\": "),
        ("tokenizer_duplicate", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ntea\nsalt\ntea\r\n"),
        ("tokenizer_same_id", br###"{"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "tea": 5, "salt": 5}}}"###),
        ("tokenizer_entry_twice", br#"{"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "tea": 1, "tea": 2}}}"#),
        ("tokenizer_byte_level", "{\"<s>\": 0, \"\u{120}the\": 1}".as_bytes()),
        ("tokenizer_merges", b"#version: 0.2\nt h\n"),
        ("tokenizer_config", b"{\"model_type\": \"bert\", \"hidden_size\": 128}"),
        ("tokenizer_pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 231508\n"),
        ("tokenizer_cased", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nThe\n##s\nTea\n"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_snapshot!(name, raw.run(&["--tokenizer", file.to_str().unwrap()]));
    }
    assert_snapshot!("segments_short", raw.run(&["--max-tokens", "50"]));
}

#[test]
fn a_tokenizer_that_cannot_be_exact_is_refused() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT]))]);
    let sample = fs::read_to_string(support::workspace().join("data/sample/tokenizer.json")).unwrap();
    let changed = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_str(&sample).unwrap();
        change(&mut json);
        let path = raw.path(what);
        fs::write(&path, json.to_string()).unwrap();
        raw.run(&["--tokenizer", path.to_str().unwrap()])
    };
    let unknown = changed("unknown", &|j| j["model"]["unk_token"] = "<unk>".into());
    assert!(unknown.contains("the unknown token `<unk>`, which is not in its vocabulary"), "{unknown}");
    let replaced = changed("replaced", &|j| {
        j["normalizer"] = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": ""});
    });
    assert!(replaced.contains("has the normalizer Replace\nhint: with WordPiece, BERT's"), "{replaced}");
    let metaspace = changed("metaspace", &|j| {
        j["pre_tokenizer"] =
            serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    });
    assert!(metaspace.contains("has the pre-tokenizer Metaspace"), "{metaspace}");
    let spaces = changed("spaces", &|j| j["pre_tokenizer"] = serde_json::json!({"type": "WhitespaceSplit"}));
    assert!(spaces.contains("leaves `##` at the start of words"), "{spaces}");
    let added = changed("added", &|j| {
        let mut token = j["added_tokens"][0].clone();
        (token["id"], token["content"], token["special"]) = (6000.into(), "xbox".into(), false.into());
        j["added_tokens"].as_array_mut().unwrap().push(token);
    });
    assert!(added.contains("the added token `xbox`"), "{added}");
}

#[test]
fn a_byte_level_tokenizer_that_cannot_be_exact_is_refused() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT]))]);
    let refused = |like, change: &dyn Fn(&mut Value), wanted: &str| {
        fs::write(raw.path("changed.json"), trained::changed(like, change)).unwrap();
        let said = raw.run(&["--tokenizer", raw.path("changed.json").to_str().unwrap()]);
        assert!(said.starts_with("exit 1") && said.contains(wanted) && said.contains("\nhint: "), "{wanted}: {said}");
    };
    let (roberta, modern) = (Like::RoBerta, Like::ModernBert);
    refused(roberta, &|j| j["model"]["dropout"] = 0.1.into(), "has dropout 0.1, which makes ids random");
    refused(roberta, &|j| j["model"]["continuing_subword_prefix"] = "##".into(), "has the prefix `##` of its pieces");
    refused(roberta, &|j| j["model"]["end_of_word_suffix"] = "</w>".into(), "has the suffix `</w>` of its pieces");
    refused(roberta, &|j| j["pre_tokenizer"] = Value::Null, "has no pre-tokenizer");
    refused(roberta, &|j| j["pre_tokenizer"]["use_regex"] = false.into(), "without its pattern");
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    refused(roberta, &|j| j["pre_tokenizer"] = metaspace.clone(), "has the pre-tokenizer Metaspace");
    let split = json!({"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated", "invert": false});
    let sequence = |j: &mut Value| {
        let level = j["pre_tokenizer"].take();
        j["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split.clone(), level]});
    };
    refused(roberta, &sequence, "has the pre-tokenizer Sequence of Split, ByteLevel");
    refused(modern, &|j| j["normalizer"] = json!({"type": "NFKC"}), "has the normalizer NFKC");
    let without = |token: &'static str| {
        move |j: &mut Value| {
            let vocabulary = j["model"]["vocab"].as_object_mut().unwrap();
            let id = vocabulary.remove(token).unwrap();
            vocabulary.insert("another".to_owned(), id);
            j["added_tokens"].as_array_mut().unwrap().retain(|added| added["content"] != token);
        }
    };
    refused(roberta, &without("<mask>"), "has no `<mask>` in its vocabulary");
    refused(modern, &without("[CLS]"), "has no `[CLS]` in its vocabulary");
    // No text has this byte, so no merge has it.
    refused(roberta, &without("ÿ"), "has no token for the byte 0xff");
    let single = |j: &mut Value| {
        let added = j["added_tokens"].as_array_mut().unwrap();
        added.iter_mut().find(|token| token["content"] == "[unused0]").unwrap()["single_word"] = true.into();
    };
    refused(modern, &single, "has the added token `[unused0]`, which depends on the text around it");
}

/// A vocabulary with ids above 65,535, which products of one word have.
#[test]
fn a_large_vocabulary_has_ids_of_32_bits() {
    let product = |i: usize| {
        format!(r#"{{"asin": "B{i:02}", "title": "word{} word{i}", "also_buy": ["B{:02}"]}}"#, 69_990 + i, i + 1)
    };
    let products: Vec<String> = (0..10).map(product).collect();
    let raw = Raw::new(&[("meta.json", &lines(&products.iter().map(String::as_str).collect::<Vec<_>>()))]);
    let large: String = (0..70_000).map(|i| format!("word{i}\n")).collect();
    let file = raw.path("vocab.txt");
    fs::write(&file, format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{large}")).unwrap();
    let said = raw.run(&["--tokenizer", file.to_str().unwrap()]);
    assert!(said.starts_with("exit 0"), "{said}");
    let shards = raw.path("out/shards");
    let segments = open_segments_of::<u32>(&shards.join("products-00000.parquet")).unwrap();
    let rows: Vec<SegmentRowsOf<u32>> = segments.read(100).map(Result::unwrap).collect();
    let mut ids: Vec<Vec<u32>> = Vec::new();
    for mut rows in rows {
        ids.extend((0..rows.len()).map(|row| rows.get(row).unwrap().input_ids.to_vec()).collect::<Vec<_>>());
    }
    ids.sort();
    assert_eq!(ids, (0..10).map(|i| vec![69_995 + i, 5 + i]).collect::<Vec<_>>());
    let pairs = open_pairs_of::<u32>(&shards.join("pairs-00000.parquet")).unwrap();
    assert!(pairs.rows() > 5, "{said}");
    for rows in pairs.read::<PairRowsOf<u32>>(100).map(Result::unwrap) {
        for row in 0..rows.len() {
            let pair = rows.get(row).unwrap();
            assert!(
                [pair.anchor, pair.neighbor, pair.negative].iter().all(|side| ids.contains(&side.input_ids.to_vec()))
            );
        }
    }
    let error = open_segments(&shards.join("products-00000.parquet")).err().unwrap().to_string();
    assert!(error.contains("found") && error.contains("UInt32"), "{error}");
    let shown = succeed(ebert(["inspect"]).arg(raw.path("out")));
    assert!(shown.contains("word69990 word0"), "{shown}");
    succeed(ebert(["verify"]).arg(raw.path("out")));
}

#[test]
fn phrases_of_a_byte_level_tokenizer_are_whole_tokens() {
    let title = r#"{"asin": "B01", "title": "STAINLESS steel (wi-fi) Kettle by Café Olé... and more", "also_buy": []}"#;
    let raw = Raw::new(&[("meta.json", &lines(&[title]))]);
    fs::write(raw.path("pool.txt"), "0.9\tStainless Steel\n0.95\tkettle\n0.7\tcafé OLÉ\n0.85\twi-fi\n0.5\tolé .\n")
        .unwrap();
    for like in [Like::RoBerta, Like::ModernBert] {
        let file = raw.path("bpe.json");
        fs::write(&file, trained::byte_level(like)).unwrap();
        let said = raw.run(&["--tokenizer", file.to_str().unwrap()]);
        // `...` is one token, so `olé .` would cover words outside of it.
        assert!(said.starts_with("exit 0") && said.contains("4 phrase spans"), "{said}");
        assert!(said.contains("1 phrase span shares a token"), "{said}");
        let shown = succeed(ebert(["inspect"]).arg(raw.path("out")));
        assert!(shown.contains("[STAINLESS steel] ([wi-fi]) [Kettle] by [Café Olé]... and more"), "{shown}");
        let json = succeed(ebert(["inspect", "--log", "json"]).arg(raw.path("out")));
        assert!(json.contains(r#""spans_sharing_tokens":1"#) && json.contains(r#""word_starts":[0,"#), "{json}");
    }
}

#[test]
fn phrases_are_found_whatever_case_a_tokenizer_keeps() {
    let title = r#"{"asin": "B01", "title": "STAINLESS steel Kettle by Café Olé", "also_buy": []}"#;
    let raw = Raw::new(&[("meta.json", &lines(&[title]))]);
    let sample = fs::read_to_string(support::workspace().join("data/sample/tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&sample).unwrap();
    json["normalizer"]["lowercase"] = false.into();
    json["normalizer"]["strip_accents"] = false.into();
    fs::write(raw.path("cased.json"), json.to_string()).unwrap();
    fs::write(raw.path("pool.txt"), "0.9\tStainless Steel\n0.95\tkettle\n0.7\tcafé OLÉ\n").unwrap();
    let cased = raw.run(&["--tokenizer", raw.path("cased.json").to_str().unwrap()]);
    assert!(cased.starts_with("exit 0") && cased.contains("3 phrase spans"), "{cased}");
    let shown = succeed(ebert(["inspect"]).arg(raw.path("out")));
    assert!(shown.contains("stainless steel") && shown.contains("cafe ole"), "{shown}");
}
