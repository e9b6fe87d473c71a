//! Scores of a masked-LM folder for one sequence of token ids, for comparison with another
//! implementation.
//!
//! ```text
//! cargo run --release --example logits -- FOLDER 101 7592 103 102 > logits.f32
//! ```
//!
//! Writes `[tokens, vocab_size]` float32 numbers, little-endian.
use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use ebert_bert::{BertConfig, BertForMaskedLm, Decision, Packed, Phase, weights};
use tch::Device;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("expected: FOLDER ID...")?);
    let ids = arguments.map(|id| id.parse::<u32>().context(id)).collect::<Result<Vec<_>, _>>()?;
    let config = BertConfig::read(&folder)?;
    let model = BertForMaskedLm::new(&config, 0, Device::Cpu, Decision::on_cpu());
    weights::load(&folder, &config.family, model.parameters())?;
    let packed = Packed::new(&ids, &[ids.len()], model.encoder().device());
    let all: Vec<u32> = (0..ids.len() as u32).collect();
    let logits = tch::no_grad(|| model.predict_at(&packed, &all, Phase::Evaluate)).contiguous();
    let mut bytes = vec![0; 4 * logits.numel()];
    logits.copy_data_u8(&mut bytes, logits.numel());
    io::stdout().write_all(&bytes)?;
    Ok(())
}
