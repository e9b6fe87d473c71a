//! What a step computes: losses and their gradients, for this process's part of a batch.
//!
//! Gradients add up: over the parts that go through the model at once, over both losses, and, in
//! [`World`], over the processes. Each share is divided by what the whole batch holds, so that the
//! sum is the mean over the batch, however it is cut.
use tch::{Device, Kind, Tensor};

use crate::{
    model::PretrainingModel,
    neighbor::{NeighborOptions, PairStates},
    session::{StepLoss, Trainable},
    world::World,
};
use ebert_batches::{Batch, MaskedBatch, PairBatch, masking::MaskMode};
use ebert_bert::{BertForMaskedLm, Packed, Phase, upload};

/// Adds the gradient of the masked-LM loss (eq. 6) of a batch in a mode, and returns this process's
/// part of that loss, in nats. The loss of the span boundary objective, if there is one, is the
/// auxiliary loss; its gradient is added, too. `None` where nothing of the whole batch was
/// selected. At most `micro_batch` tokens go through the model at once (0: any number).
pub fn masked_gradients(
    model: &PretrainingModel,
    batch: &Batch,
    mode: MaskMode,
    micro_batch: usize,
    world: &World,
) -> Option<StepLoss> {
    let selected = batch.in_mode(mode).selected.len();
    let indices = world.indices_of_rank(batch.lengths.len());
    let parts = batch.parts(mode, indices, micro_batch).into_iter().filter(|(_, part)| !part.selected.is_empty());
    let losses = parts.map(|(lengths, part)| {
        let packed = pack(&part, &lengths, model.device());
        let (loss, boundary) = model.masked_losses(&packed, &part);
        let share = |sum: Tensor| sum / selected as f64;
        (share(loss), boundary.map(share))
    });
    (selected > 0).then(|| backward(model.device(), losses))
}

/// Adds the weighted gradient of Neighbor Product Reconstruction (eq. 12) of a batch of pairs, and
/// returns this process's part of its mean over the pairs, unweighted.
pub fn neighbor_gradients(
    model: &PretrainingModel,
    pairs: &PairBatch,
    options: &NeighborOptions,
    micro_batch: usize,
    world: &World,
) -> StepLoss {
    let (encoder, all) = (model.bert.encoder(), pairs.pairs.len() as f64);
    let losses = pairs.parts(world.indices_of_rank(pairs.groups()), micro_batch).into_iter().map(|part| {
        let packed = Packed::new(&part.input_ids, &part.lengths, encoder.device());
        let states = model.neighbor_states(&encoder.encode(&packed, Phase::Train));
        let loss = PairStates::of(&part, &states).loss(options);
        (loss * (options.weight * part.pairs.len() as f64 / all), None)
    });
    // A weight of 0 leaves nothing to learn, and nothing to tell.
    let weight = if options.weight == 0.0 { 1.0 } else { options.weight };
    StepLoss::from(backward(model.device(), losses).loss / weight)
}

/// Runs each loss, with its auxiliary loss, backward before the next is computed, and returns the
/// sums.
fn backward(device: Device, losses: impl Iterator<Item = (Tensor, Option<Tensor>)>) -> StepLoss {
    let zero = || Tensor::zeros([], (Kind::Float, device));
    let mut sum = StepLoss::from(zero());
    for (loss, auxiliary) in losses {
        auxiliary.as_ref().map_or_else(|| loss.shallow_clone(), |auxiliary| &loss + auxiliary).backward();
        sum.loss += loss.detach();
        if let Some(auxiliary) = auxiliary {
            let mut all = sum.auxiliary.take().unwrap_or_else(zero);
            all += auxiliary.detach();
            sum.auxiliary = Some(all);
        }
    }
    sum
}

fn pack(batch: &MaskedBatch, lengths: &[usize], device: Device) -> Packed {
    let packed = Packed::new(&batch.input_ids, lengths, device);
    if batch.types.is_empty() { packed } else { packed.with_types(&batch.types) }
}

/// Logits at the selected tokens of sequences of these lengths, `[N, vocab_size]`, without dropout,
/// and the labels, `[N]`; `None` if none is selected.
pub fn predict(model: &BertForMaskedLm, batch: &MaskedBatch, lengths: &[usize]) -> Option<(Tensor, Tensor)> {
    if batch.selected.is_empty() {
        return None;
    }
    let device = model.encoder().device();
    let packed = pack(batch, lengths, device);
    let labels: Vec<i32> = batch.labels.iter().map(|&id| id as i32).collect();
    Some((model.predict_at(&packed, &batch.selected, Phase::Evaluate), upload(&labels, device).to_kind(Kind::Int64)))
}
