use super::*;
use crate::{BertConfig, BertForMaskedLm, Decision};

fn config() -> BertConfig {
    let text = r#"{"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "max_position_embeddings": 9}"#;
    serde_json::from_str(text).unwrap()
}

fn model(seed: u64) -> BertForMaskedLm {
    BertForMaskedLm::new(&config(), seed, Device::Cpu, Decision::on_cpu())
}

fn equal(a: &BertForMaskedLm, b: &BertForMaskedLm) -> bool {
    a.parameters().iter().zip(b.parameters().iter()).all(|(a, b)| a.0 == b.0 && a.1.equal(b.1))
}

fn save(folder: &Path, model: &BertForMaskedLm, rename: impl Fn(&str) -> Option<String>) {
    let named = model.parameters().iter().filter_map(|(name, tensor)| Some((rename(name)?, tensor)));
    write(&folder.join(WEIGHTS), named).unwrap();
}

#[test]
fn every_spelling_is_read() {
    let _alone = ebert_kernels::generator();
    let wanted = model(1);
    let old = |name: &str| match name.rsplit_once(".LayerNorm.") {
        Some((module, "weight")) => format!("{module}.LayerNorm.gamma"),
        Some((module, _)) => format!("{module}.LayerNorm.beta"),
        None => name.to_owned(),
    };
    type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;
    let bare = |name: &str| name.strip_prefix("bert.").unwrap_or(name).to_owned();
    let spellings: [Rename<'_>; 9] = [
        &|name| Some(name.to_owned()),
        &|name| Some(old(name)),
        &|name| Some(bare(name)),
        &|name| Some(format!("module.{name}")),
        &|name| Some(format!("_orig_mod.module.{}", old(name))),
        &|name| Some(format!("model.{name}")),
        &|name| Some(format!("module.{}", bare(name))),
        // The decoder's bias, and a head next to the encoder.
        &|name| Some(format!("module.{}", name.replace("cls.predictions.bias", "cls.predictions.decoder.bias"))),
        &|name| Some(if name.starts_with("cls.") { name.to_owned() } else { format!("model.{name}") }),
    ];
    for rename in spellings {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &wanted, rename);
        let found = model(2);
        assert!(!equal(&found, &wanted));
        assert_eq!(load(folder.path(), &Family::Bert, found.parameters()).unwrap(), Found::default());
        assert!(equal(&found, &wanted));
    }
}

#[test]
fn a_missing_head_is_said_and_a_missing_layer_refused() {
    let _alone = ebert_kernels::generator();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &model(1), |name| (!name.starts_with("cls.")).then(|| name.to_owned()));
    let found = load(folder.path(), &Family::Bert, model(2).parameters()).unwrap();
    assert_eq!(found.fresh.len(), 5);
    save(folder.path(), &model(1), |name| (!name.contains("layer.1.")).then(|| name.to_owned()));
    let error = load(folder.path(), &Family::Bert, model(2).parameters()).unwrap_err().to_string();
    assert!(error.contains("lacks 16 of the weights"), "{error}");
    assert!(error.contains("found 1 layers, expected 2\nhint: do config.json"), "{error}");
    save(folder.path(), &model(1), |name| Some(name.replace("bert.", "roberta.")));
    // All that a prefix hides is read, whatever its name.
    assert_eq!(load(folder.path(), &Family::Bert, model(2).parameters()).unwrap(), Found::default());
    save(folder.path(), &model(1), |name| Some(name.replace("bert.", "deberta.").replace("word_", "piece_")));
    let error = load(folder.path(), &Family::Bert, model(2).parameters()).unwrap_err().to_string();
    assert!(error.contains("most names begin with `deberta.`, expected `bert.`"), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let _alone = ebert_kernels::generator();
    let folder = tempfile::tempdir().unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let spoiled = model(1);
        let (_, tensor) =
            spoiled.parameters().iter().find(|(name, _)| name.ends_with("layer.1.output.dense.bias")).unwrap();
        let _ = tch::no_grad(|| tensor.get(3).fill_(value));
        save(folder.path(), &spoiled, |name| Some(format!("module.{name}")));
        let error = load(folder.path(), &Family::Bert, model(2).parameters()).unwrap_err().to_string();
        let wanted = "model.safetensors`: module.bert.encoder.layer.1.output.dense.bias holds NaN or infinite values";
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn other_shapes_and_decoders_are_refused() {
    let _alone = ebert_kernels::generator();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &model(1), |name| Some(name.to_owned()));
    let wide = BertConfig { vocab_size: 12, ..config() };
    let error = load(
        folder.path(),
        &Family::Bert,
        BertForMaskedLm::new(&wide, 1, Device::Cpu, Decision::on_cpu()).parameters(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("word_embeddings.weight has shape [11, 8], expected [12, 8]"), "{error}");
    let model = model(1);
    let decoder = Tensor::zeros([11, 8], (Kind::Float, Device::Cpu));
    let named = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let named = named.chain([("cls.predictions.decoder.weight".to_owned(), &decoder)]);
    write(&folder.path().join(WEIGHTS), named).unwrap();
    assert!(matches!(load(folder.path(), &Family::Bert, model.parameters()), Err(WeightsError::Untied { .. })));
}

#[test]
fn an_outline_has_the_names_and_shapes_of_the_model() {
    let _alone = ebert_kernels::generator();
    let named = |parameters: &Parameters| -> Vec<(String, Vec<i64>)> {
        parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor.size())).collect()
    };
    let outline = BertForMaskedLm::outline(&config());
    assert_eq!(named(&outline), named(model(1).parameters()));
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &model(1), |name| Some(name.to_owned()));
    assert_eq!(check(folder.path(), &Family::Bert, &outline).unwrap(), Found::default());
    let wide = BertForMaskedLm::outline(&BertConfig { vocab_size: 12, ..config() });
    assert!(matches!(check(folder.path(), &Family::Bert, &wide), Err(WeightsError::Shape { .. })));
}

#[test]
fn two_names_of_one_weight_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = Tensor::zeros([2], (Kind::Float, Device::Cpu));
    let names = ["bert.pooler.dense.bias", "module.bert.pooler.dense.bias"];
    write(&folder.path().join(WEIGHTS), names.map(|name| (name.to_owned(), &tensor)).into_iter()).unwrap();
    let error = pooler(folder.path(), &config().family).unwrap_err().to_string();
    assert!(error.contains("and module.bert.pooler.dense.bias are both bert.pooler.dense.bias\nhint: "), "{error}");
}

/// What loading a folder with this file says; paths in it are as in `FOLDER/file`.
fn refused(file: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    let error = check(folder.path(), &Family::Bert, &BertForMaskedLm::outline(&config())).unwrap_err().to_string();
    error.replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn weights_in_other_formats_are_named() {
    let convert = "python -c 'from transformers import AutoModelForMaskedLM as M; M.from_pretrained(\"FOLDER\"";
    for (file, named, hint) in [
        ("pytorch_model.bin", "pickled PyTorch weights", convert),
        ("pytorch_model.bin.index.json", "pickled PyTorch weights", convert),
        ("bert_model.ckpt.index", "a TensorFlow checkpoint", "from_tf=True"),
        (
            "model.ckpt-1000000.index",
            "a TensorFlow checkpoint",
            "M.from_pretrained(\"FOLDER/model.ckpt-1000000.index\"",
        ),
        ("tf_model.h5", "TensorFlow weights", "from_tf=True"),
        ("flax_model.msgpack", "Flax weights", "from_flax=True"),
        ("adapter_model.safetensors", "an adapter", "merge_and_unload"),
        ("model-00001-of-00002.safetensors", "whose list is missing", "fetch model.safetensors.index.json"),
        ("bert.safetensors", "found bert.safetensors", "mv FOLDER/bert.safetensors FOLDER/model.safetensors"),
        ("notes.txt", "found neither", "is it the right folder?"),
        ("optimizer.safetensors", "found neither", "is it the right folder?"),
        ("training_args.bin", "found neither", "is it the right folder?"),
    ] {
        let error = refused(file, "x");
        let (what, how) = error.split_once("\nhint: ").unwrap();
        assert!(
            what.starts_with("`FOLDER` has no weights that can be read: found ") && what.contains(named),
            "{error}"
        );
        assert!(how.contains(hint), "{error}");
    }
}

#[test]
fn pointers_and_missing_parts_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440449768\n";
    for file in [WEIGHTS, INDEX, "pytorch_model.bin"] {
        let error = refused(file, pointer);
        assert_eq!(
            error,
            format!("`FOLDER/{file}` is a Git LFS pointer, not the file itself\nhint: git -C FOLDER lfs pull")
        );
    }
    let index = r#"{"weight_map": {"a": "model-1-of-3.safetensors", "b": "model-2-of-3.safetensors"}}"#;
    let error = refused(INDEX, index);
    assert!(
        error.contains("names 2 files, and 2 of them are missing, model-1-of-3.safetensors first\nhint: "),
        "{error}"
    );
}

#[test]
fn damaged_files_are_refused() {
    let _alone = ebert_kernels::generator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(WEIGHTS);
    let error = || check(folder.path(), &Family::Bert, &BertForMaskedLm::outline(&config())).unwrap_err();
    for text in ["", "no tensors", "\u{8}\0\0\0\0\0\0\0nonsense"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(error(), WeightsError::Malformed { .. }), "{text:?}: {}", error());
    }
    save(folder.path(), &model(1), |name| Some(name.to_owned()));
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
    let error = error().to_string();
    assert!(error.contains(&format!("has {} bytes, and its header says {length}\nhint: ", length - 3)), "{error}");
}

#[test]
fn sharded_weights_are_read() {
    let _alone = ebert_kernels::generator();
    let (folder, wanted, found) = (tempfile::tempdir().unwrap(), model(1), model(2));
    let parts = ["a.safetensors", "b.safetensors"];
    let of = |part: usize| wanted.parameters().iter().enumerate().filter(move |(at, _)| at % 2 == part);
    for (part, file) in parts.iter().enumerate() {
        let named = of(part).map(|(_, (name, tensor))| (format!("module.{name}"), tensor));
        write(&folder.path().join(file), named).unwrap();
    }
    let map: BTreeMap<String, &str> =
        (0..2).flat_map(|part| of(part).map(move |(_, (name, _))| (format!("module.{name}"), parts[part]))).collect();
    fs::write(folder.path().join(INDEX), serde_json::json!({"weight_map": map}).to_string()).unwrap();
    assert_eq!(load(folder.path(), &Family::Bert, found.parameters()).unwrap(), Found::default());
    assert!(equal(&found, &wanted));
}
