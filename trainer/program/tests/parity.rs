//! Our BERT, RoBERTa and ModernBERT against those of `transformers`, from values that it gave once (`parity/parity.py
//! --fixture`). The same weights and ragged batch give the same logits, loss, gradients by name,
//! and weights after ten AdamW steps.
use std::{collections::BTreeMap, fs, path::Path, process::Command};

use safetensors::{Dtype, SafeTensors};

fn read(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        let tensor = tensors.tensor(name).unwrap();
        match tensor.dtype() {
            Dtype::F32 => {
                tensor.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            Dtype::F64 => tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            other => panic!("{name} is {other:?}"),
        }
    };
    tensors.names().into_iter().map(|name| (name.to_owned(), numbers(name))).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Compares a family, and returns how many tensors of each kind were compared.
fn compare(family: &str) -> BTreeMap<String, u32> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixture").join(family);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ours.safetensors");
    // `cargo test` builds the examples, too.
    let program = Path::new(env!("CARGO_BIN_EXE_ebert-trainer")).with_file_name("examples").join("parity");
    let status = Command::new(program).args([&fixture, &fixture.join("batch.json"), &out]).status().unwrap();
    assert!(status.success());
    let (ours, wanted) = (read(&out), read(&fixture.join("wanted.safetensors")));
    let mut compared = BTreeMap::new();
    for (name, wanted_values) in wanted.iter().filter(|(name, _)| !name.starts_with("start ")) {
        let found = &ours[name];
        assert_eq!(found.len(), wanted_values.len(), "{name}");
        let apart = || found.iter().zip(wanted_values).map(|(a, b)| a - b);
        let largest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
        let (difference, bound) = if let Some(parameter) = name.strip_prefix("weight ") {
            let start = &wanted[&format!("start {parameter}")];
            (norm(apart()) / norm(wanted_values.iter().zip(start).map(|(a, b)| a - b)).max(1e-12), 2e-3)
        } else {
            (largest(&mut apart()) / largest(&mut wanted_values.iter().copied()).max(1e-12), 2e-5)
        };
        // The gradient of a key's bias is zero but for rounding, which AdamW then scales up.
        if name.ends_with("key.bias") {
            continue;
        }
        assert!(difference <= bound, "{name}: {difference:e}, expected at most {bound:e}");
        *compared.entry(name.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    compared
}

#[test]
fn logits_gradients_and_steps_are_those_of_transformers() {
    // Two layers of 16 parameters, of which one is left out, 5 of the embeddings, 5 of the head. Four
    // layers of 6 parameters, of which the first has 5, 2 of the embeddings, the last norm, 3 of the head.
    for (family, parameters) in [("bert", 40), ("roberta", 40), ("modernbert", 29)] {
        let wanted = [("gradient", parameters), ("logits", 1), ("losses", 1), ("weight", parameters)];
        assert_eq!(compare(family), wanted.map(|(kind, count)| (kind.to_owned(), count)).into(), "{family}");
    }
}
