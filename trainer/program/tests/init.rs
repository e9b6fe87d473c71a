//! INIT: which start models are read, which are refused and when, and what of them checkpoints
//! keep.
mod support;

use std::fs;

use ebert_bert::{
    tokens::{added, tokenizer},
    weights,
};
use serde_json::{Value, json};
use support::{Place, VOCABULARY, start, text_of, tokens};

const STEPS: [&str; 4] = ["--set", "stage.0.steps=2", "--set", "stage.1.steps=1"];

/// What `pretrain --init start` says with these arguments.
fn from_start(place: &Place, more: &[&str]) -> (i32, String) {
    let output = place.run(&[&["--recipe", "tiny.toml", "--init", "start"][..], &STEPS, more].concat());
    (output.status.code().unwrap(), text_of(&output))
}

fn same(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_start_model_is_refused_before_shards_are_hashed() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440449768\n";
    type Spoil = fn(&Place);
    let cases: [(&str, Spoil); 8] = [
        ("start/model.safetensors` is a Git LFS pointer, not the file itself\nhint: git -C start lfs pull", |place| {
            fs::write(place.path("start/model.safetensors"), POINTER).unwrap();
        }),
        ("start/config.json` is a Git LFS pointer, not the file itself\nhint: git -C start lfs pull", |place| {
            fs::write(place.path("start/config.json"), POINTER).unwrap();
        }),
        ("names 1 files, and 1 of them is missing, part.safetensors first\nhint: ", |place| {
            fs::remove_file(place.path("start/model.safetensors")).unwrap();
            let index = r#"{"weight_map": {"a": "part.safetensors"}}"#;
            fs::write(place.path("start/model.safetensors.index.json"), index).unwrap();
        }),
        ("found bert_model.ckpt.index (a TensorFlow checkpoint)", |place| {
            for file in ["config.json", "model.safetensors"] {
                fs::remove_file(place.path("start").join(file)).unwrap();
            }
            fs::write(place.path("start/bert_model.ckpt.index"), "").unwrap();
        }),
        ("found pytorch_model.bin.index.json (pickled PyTorch weights)", |place| {
            fs::remove_file(place.path("start/model.safetensors")).unwrap();
            fs::write(place.path("start/pytorch_model.bin.index.json"), "{}").unwrap();
        }),
        ("has model_type gpt2, expected bert, roberta or modernbert\nhint: ", |place| {
            let path = place.path("start/config.json");
            let text = fs::read_to_string(&path).unwrap().replace("\"bert\"", "\"gpt2\"");
            fs::write(path, text).unwrap();
        }),
        ("lacks 16 of the weights of a BERT", |place| {
            start(place, 0, |name| (!name.contains("layer.1.")).then(|| name.to_owned()));
        }),
        ("word_embeddings.weight has shape [69, 16], expected [64, 16]", |place| {
            let config = fs::read(place.path("start/config.json")).unwrap();
            start(place, 5, same);
            fs::write(place.path("start/config.json"), config).unwrap();
        }),
    ];
    let place = Place::new();
    // Whoever hashes the shards finds this one.
    let shard = place.path("shards/reviews-00000.parquet");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[100] ^= 1;
    fs::write(&shard, bytes).unwrap();
    for (wanted, spoil) in cases {
        start(&place, 0, same);
        assert!(from_start(&place, &["--dry-run"]).1.contains("does not match the manifest"));
        spoil(&place);
        for more in [&["--dry-run"][..], &[]] {
            let (code, text) = from_start(&place, more);
            assert_eq!((code, text.contains(wanted)), (1, true), "{wanted}: {text}");
        }
        fs::remove_dir_all(place.path("start")).unwrap();
    }
}

#[test]
fn a_file_in_place_of_its_folder_is_named() {
    let place = Place::new();
    start(&place, 0, same);
    let init = |path: &str| text_of(&place.run(&["--recipe", "tiny.toml", "--dry-run", "--init", path]));
    let text = init("start/model.safetensors");
    assert!(text.contains("is not a folder, nor can it be a model's id\nhint: name its folder, start/"), "{text}");
    fs::create_dir(place.path("google")).unwrap();
    fs::write(place.path("google/bert_model.ckpt.index"), "").unwrap();
    let text = init("google/bert_model.ckpt");
    assert!(text.contains("`google` has no weights that can be read: found bert_model.ckpt.index"), "{text}");
}

#[test]
fn a_shared_prefix_changes_nothing() {
    let place = Place::new();
    for (run, prefix) in [("plain", ""), ("wrapped", "_orig_mod.module.")] {
        start(&place, 0, |name| Some(format!("{prefix}{name}")));
        let (code, text) = from_start(&place, &["--out", run]);
        assert!(code == 0 && !text.contains("note"), "{text}");
    }
    assert_eq!(place.metrics("plain"), place.metrics("wrapped"));
}

#[test]
fn a_missing_head_is_noted_for_a_start_and_refused_in_a_checkpoint() {
    let place = Place::new();
    start(&place, 0, |name| (!name.starts_with("cls.")).then(|| name.to_owned()));
    let note = "note      5 of the masked-LM head's 5 weights are not in `start`, and start fresh";
    for more in [&["--dry-run"][..], &["--out", "headless"]] {
        let (code, text) = from_start(&place, more);
        assert_eq!((code, text.contains(note)), (0, true), "{text}");
    }
    // As if the run had been stopped, and its checkpoint had lost a weight.
    let run: [&str; 4] = ["--recipe", "tiny.toml", "--out", "resumed"];
    let output =
        place.run(&[&run[..], &STEPS, &["--set", "checkpoint.every=2", "--set", "checkpoint.keep=9"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    fs::remove_dir_all(place.path("resumed/checkpoints/step-00000003")).unwrap();
    let path = place.path("resumed/checkpoints/step-00000002/model/model.safetensors");
    let stored = weights::read(&path).unwrap();
    let kept = stored.iter().filter(|(name, _)| name != "cls.predictions.bias");
    weights::write(&path, kept.map(|(name, tensor)| (name.clone(), tensor))).unwrap();
    let output =
        place.run(&[&run[..], &STEPS, &["--set", "checkpoint.every=2", "--set", "checkpoint.keep=9"]].concat());
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("step-00000002` cannot be used: model.safetensors lacks cls.predictions.bias\nhint: "),
        "{text}"
    );
}

#[test]
fn checkpoints_say_how_long_their_training_sequences_were() {
    let place = Place::new();
    start(&place, 0, same);
    let length = |run: &str| {
        let text = fs::read_to_string(place.path(run).join("model/config.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["trained_sequence_length"].clone()
    };
    assert_eq!(from_start(&place, &["--out", "trained"]).0, 0);
    // The segments of the shards have up to 30 tokens.
    assert_eq!(length("trained"), json!(32));
    let output = place.run(&["--recipe", "bert-raw", "--init", "start", "--out", "raw"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert_eq!(length("raw"), Value::Null);
    // A model that was trained on longer sequences before knows them.
    let path = place.path("start/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["trained_sequence_length"] = 48.into();
    fs::write(&path, config.to_string()).unwrap();
    assert_eq!(from_start(&place, &["--out", "again"]).0, 0);
    assert_eq!(length("again"), json!(48));
}

#[test]
fn pairs_of_texts_need_two_token_types() {
    let place = Place::new();
    start(&place, 0, same);
    let path = place.path("start/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["type_vocab_size"] = 1.into();
    fs::write(&path, config.to_string()).unwrap();
    let weights_path = place.path("start/model.safetensors");
    let stored = weights::read(&weights_path).unwrap();
    let one_type = stored.into_iter().map(|(name, tensor)| {
        let tensor = if name.contains("token_type") { tensor.narrow(0, 0, 1) } else { tensor };
        (name, tensor)
    });
    let one_type: Vec<_> = one_type.collect();
    weights::write(&weights_path, one_type.iter().map(|(name, tensor)| (name.clone(), tensor))).unwrap();
    let (code, text) = from_start(&place, &["--dry-run", "--set", "data.text_pairs=0.2"]);
    assert!(code == 1 && text.contains("data.text_pairs is 0.2, and the model has 1 token type\nhint: "), "{text}");
    assert_eq!(from_start(&place, &["--dry-run"]).0, 0);
}

#[test]
fn added_tokens_are_kept() {
    let place = Place::new();
    start(&place, 2, same);
    // The model has no embedding of the third.
    fs::write(place.path("start/added_tokens.json"), r#"{"[PRICE]": 64, "wii": 66, "xbox": 65}"#).unwrap();
    fs::write(place.path("start/special_tokens_map.json"), r#"{"additional_special_tokens": ["[PRICE]"]}"#).unwrap();
    let (code, text) = from_start(&place, &["--out", "kept"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("added tokens that the shards do not have, kept in checkpoints: [PRICE], xbox\n"), "{text}");
    let model = place.path("kept/model");
    let found: Vec<_> = added(&model).unwrap().into_iter().map(|a| (a.id, a.token.content, a.token.special)).collect();
    assert_eq!(found, [(64, "[PRICE]".to_owned(), true), (65, "xbox".to_owned(), false)]);
    let encoded = tokenizer(&model).unwrap().encode("w5 xbox [PRICE]", false).unwrap();
    assert_eq!(encoded.get_ids(), [5, 65, 64]);
    let config: Value = serde_json::from_slice(&fs::read(model.join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!(config["added_tokens_decoder"]["65"]["content"], "xbox");
    // The checkpoint is a start model with the same tokens.
    let output = place.run(&[&["--recipe", "tiny.toml", "--init", "kept", "--out", "again"][..], &STEPS].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let tokenizer = |run: &str| fs::read(place.path(run).join("model/tokenizer.json")).unwrap();
    assert!(tokenizer("again") == tokenizer("kept"));
}

#[test]
fn shards_of_a_tokenizer_with_added_tokens_fit_the_older_files_of_the_model() {
    let place = Place::new();
    // As a folder saved by a tokenizer of an older `transformers`: the last two tokens of the
    // shards are added ones.
    start(&place, 0, same);
    let all = tokens();
    let vocabulary: String = all[..VOCABULARY - 2].iter().map(|token| format!("{token}\n")).collect();
    fs::write(place.path("start/vocab.txt"), vocabulary).unwrap();
    let added = json!({all[VOCABULARY - 2].clone(): VOCABULARY - 2, all[VOCABULARY - 1].clone(): VOCABULARY - 1});
    let (code, text) = from_start(&place, &["--dry-run"]);
    assert!(code == 1 && text.contains("is absent, in the shards `w62`"), "{text}");
    fs::write(place.path("start/added_tokens.json"), added.to_string()).unwrap();
    let (code, text) = from_start(&place, &["--dry-run"]);
    assert!(code == 0 && !text.contains("note "), "{text}");
}
