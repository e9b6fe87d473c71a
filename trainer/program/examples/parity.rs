//! What one batch gives: scores, loss, the gradient of every parameter, and the weights after some
//! AdamW steps on it, for comparison with another implementation (`tests/parity/parity.py`).
//!
//! ```text
//! parity FOLDER BATCH.json OUT.safetensors [cpu|cuda]
//! ```
use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use ebert_bert::{BertConfig, BertForMaskedLm, Compute, Decision, Packed, Phase, weights};
use ebert_kernels::device::{Machine, Wish};
use serde::Deserialize;
use tch::{Device, Tensor};
use trainer::optimizer::{Optimizer, OptimizerOptions};

#[derive(Deserialize)]
struct Batch {
    /// Token ids, special tokens counted.
    sequences: Vec<Vec<u32>>,
    /// Where in the row of all tokens those are that are predicted.
    selected: Vec<u32>,
    labels: Vec<i64>,
    optimizer: OptimizerOptions,
    steps: u32,
}

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let wish = match arguments.get(3).map(|wish| wish.as_os_str().to_string_lossy().into_owned()).as_deref() {
        None | Some("cpu") => Wish::Cpu,
        Some("cuda") => Wish::Cuda,
        Some(other) => bail!("expected cpu or cuda, found {other}"),
    };
    arguments.truncate(3);
    let [folder, batch, out] = arguments.as_slice() else {
        bail!("expected: FOLDER BATCH.json OUT.safetensors [cpu|cuda]")
    };
    let device = Machine::look().device(wish, 0)?;
    let batch: Batch = serde_json::from_slice(&fs::read(batch).context("cannot read the batch")?)?;
    let config = BertConfig::read(folder)?;
    let decision = Decision::on(Compute::Float32, device, &config)?;
    let model = BertForMaskedLm::new(&config, 0, device, decision);
    weights::load(folder, &config.family, model.parameters())?;
    let lengths: Vec<usize> = batch.sequences.iter().map(Vec::len).collect();
    let packed = Packed::new(&batch.sequences.concat(), &lengths, model.encoder().device());
    let labels = Tensor::from_slice(&batch.labels).to_device(device);
    let mut optimizer = Optimizer::new(model.parameters(), batch.optimizer, device);
    let mut told: Vec<(String, Tensor)> = Vec::new();
    let mut losses = Vec::new();
    for step in 0..batch.steps {
        let logits = model.predict_at(&packed, &batch.selected, Phase::Train);
        let loss = logits.cross_entropy_for_logits(&labels);
        loss.backward();
        losses.push(loss.double_value(&[]));
        if step == 0 {
            told.push(("logits".to_owned(), logits.detach().copy()));
            for (name, parameter) in model.parameters().iter() {
                told.push((format!("gradient {name}"), parameter.grad().copy()));
            }
        }
        let _ = optimizer.step(batch.optimizer.learning_rate)?;
    }
    told.push(("losses".to_owned(), Tensor::from_slice(&losses)));
    let after =
        model.parameters().iter().map(|(name, parameter)| (format!("weight {name}"), parameter.detach().copy()));
    told.extend(after);
    let told: Vec<_> = told.into_iter().map(|(name, tensor)| (name, tensor.to_device(Device::Cpu))).collect();
    weights::write(out, told.iter().map(|(name, tensor)| (name.clone(), tensor)))?;
    Ok(())
}
