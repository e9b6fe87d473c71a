//! What a step computes: losses and their gradients, for this process's share of a batch.
//!
//! Gradients add up: over the parts that go through the model at once, over both losses, and, in [`World`], over the processes.
//! Each share is divided by what the whole batch holds, so that the sum is the mean over the batch, however it is cut.
use tch::{Device, Kind, Tensor};

use crate::{
    data::{Batch, MaskedBatch, PairBatch},
    masking::MaskMode,
    neighbor::{self, NeighborOptions},
    world::World,
};
use ebert_bert::{BertForMaskedLm, Packed, Phase, upload};

/// Adds the gradient of the masked-LM loss (eq. 6) of a batch in a mode, and gives this process's share of that loss, in nats, a scalar on
/// the device; `None` where nothing of the whole batch was selected. At most `micro_batch` tokens go through the model at once (0: any number).
pub fn masked_gradients(
    model: &BertForMaskedLm,
    batch: &Batch,
    mode: MaskMode,
    micro_batch: usize,
    world: &World,
) -> Option<Tensor> {
    let selected = batch.in_mode(mode).selected.len();
    let indices = world.indices_of_rank(batch.lengths.len());
    let losses = batch
        .parts(mode, indices, micro_batch)
        .into_iter()
        .filter_map(|(lengths, part)| Some(masked_loss(model, &part, &lengths)? / selected as f64));
    (selected > 0).then(|| backward(model, losses))
}

/// Adds the weighted gradient of Neighbor Product Reconstruction (eq. 12) of a batch of pairs, and gives this process's share of its
/// mean over the pairs, unweighted, a scalar on the device.
pub fn neighbor_gradients(
    model: &BertForMaskedLm,
    pairs: &PairBatch,
    options: &NeighborOptions,
    micro_batch: usize,
    world: &World,
) -> Tensor {
    let (encoder, all) = (model.encoder(), pairs.pairs.len() as f64);
    let losses = pairs.parts(world.indices_of_rank(pairs.pairs.len()), micro_batch).into_iter().map(|part| {
        let packed = Packed::new(&part.input_ids, &part.lengths, encoder.device());
        let hidden = encoder.encode(&packed, Phase::Train);
        let loss = neighbor::loss(&hidden, &part.lengths, &part.pairs, options);
        loss * (options.weight * part.pairs.len() as f64 / all)
    });
    // A weight of 0 leaves nothing to learn, and nothing to tell.
    let weight = if options.weight == 0.0 { 1.0 } else { options.weight };
    backward(model, losses) / weight
}

/// Runs each loss backward before the next is computed, and gives their sum.
fn backward(model: &BertForMaskedLm, losses: impl Iterator<Item = Tensor>) -> Tensor {
    let mut sum = Tensor::zeros([], (Kind::Float, model.encoder().device()));
    for loss in losses {
        loss.backward();
        sum += loss.detach();
    }
    sum
}

fn pack(batch: &MaskedBatch, lengths: &[usize], device: Device) -> Packed {
    let packed = Packed::new(&batch.input_ids, lengths, device);
    if batch.types.is_empty() { packed } else { packed.with_types(&batch.types) }
}

/// Sum of the cross entropies at the selected tokens of sequences of these lengths, in nats, a scalar; `None` where none is selected.
pub fn masked_loss(model: &BertForMaskedLm, batch: &MaskedBatch, lengths: &[usize]) -> Option<Tensor> {
    let packed = pack(batch, lengths, model.encoder().device());
    (!batch.selected.is_empty()).then(|| model.loss_at(&packed, &batch.selected, &batch.labels, Phase::Train))
}

/// Logits at the selected tokens of sequences of these lengths, `[N, vocab_size]`, without dropout, and the labels, `[N]`; `None`
/// if none is selected.
pub fn predict(model: &BertForMaskedLm, batch: &MaskedBatch, lengths: &[usize]) -> Option<(Tensor, Tensor)> {
    if batch.selected.is_empty() {
        return None;
    }
    let device = model.encoder().device();
    let packed = pack(batch, lengths, device);
    let labels: Vec<i32> = batch.labels.iter().map(|&id| i32::from(id)).collect();
    Some((model.predict_at(&packed, &batch.selected, Phase::Evaluate), upload(&labels, device).to_kind(Kind::Int64)))
}
