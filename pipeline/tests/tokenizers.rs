//! Tokenizers that cannot be used, and those that keep case, as whole commands.
mod support;

use std::fs;

use insta::assert_snapshot;
use support::{
    ebert,
    raw::{PRODUCT, Raw, lines},
    succeed,
};

#[test]
fn a_tokenizer_that_cannot_be_used() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT]))]);
    let file = raw.path("tokenizer");
    let bpe = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
    let large: String = (0..70_000).map(|i| format!("word{i}\n")).collect();
    for (name, bytes) in [
        ("tokenizer_bpe", bpe.as_bytes()),
        ("tokenizer_large", (format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{large}")).as_bytes()),
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
