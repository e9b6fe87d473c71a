//! What is measured on held-out documents and pairs, with fixed masks, and noted.
use tch::{Kind, Tensor};

use crate::{
    cloze::{Cloze, Predicted},
    log::{HeldOutRecord, MeasuredPairs, MeasuredRetrieval},
    neighbor::{PairStates, Spread, pooled},
    run::{Run, RunError},
    session::Trainable,
    state::Best,
};
use ebert_batches::{Retrieval, masking::MaskMode};
use ebert_bert::{Packed, Phase, indices};
use ebert_kernels::{Reading, TorchError};

/// Measures on the held-out documents and pairs, and notes it. Returns whether the mean of the
/// masked-LM losses is the lowest so far in the last stage.
pub(crate) fn measure(run: &mut Run) -> Result<bool, RunError> {
    let mut measured = Vec::new();
    for set in &run.held_out.sets {
        let mut cloze = Cloze::default();
        for number in run.session.world.indices_of_rank(set.batches.len()) {
            if let Some(predicted) = Predicted::of(&run.session.model.bert, set, number)? {
                cloze.add(set, number, &predicted, predicted.all());
            }
        }
        let all = Tensor::from_slice(cloze.sums().as_flattened()).to_device(run.session.model.device());
        run.session.world.all_reduce(&[all.shallow_clone()], "measured held-out documents")?;
        let cloze = Cloze::of_flattened(&Reading::<{ Cloze::NUMBERS }>::start(&all)?.finish()?);
        measured.extend(cloze.finish(set.mode));
    }
    let mean = measured.iter().map(|m| m.loss).sum::<f64>() / measured.len().max(1) as f64;
    let step = run.state.step;
    // What counts is the best of the last stage: earlier ones train on other data.
    let last_stage = run.schedule.stages.last().map_or(0, |stage| stage.steps.start);
    let is_comparable = step > last_stage && !measured.is_empty() && mean.is_finite();
    let best = is_comparable && run.state.best.is_none_or(|best| mean < best.loss);
    if best {
        run.state.best = Some(Best { step, loss: mean });
    }
    if step == 0 {
        run.state.first_measured = measured.clone();
    }
    let loss_in = |mode| measured.iter().find(|m| m.mode == mode).map_or(f64::NAN, |m| m.loss);
    run.state.switch.learn_measured(loss_in(MaskMode::Word), loss_in(MaskMode::Phrase));
    run.state.last_measured = measured.clone();
    let held_out_pairs = measure_pairs(run)?;
    if step == 0 {
        run.state.first_measured_pairs = held_out_pairs;
    }
    run.state.last_measured_pairs = held_out_pairs;
    run.note_held_out(&HeldOutRecord { step, held_out: measured, held_out_pairs })?;
    Ok(best)
}

/// Measures on pairs whose anchor is held out; `None` if there are none.
fn measure_pairs(run: &Run) -> Result<Option<MeasuredPairs>, RunError> {
    if run.held_out_pairs.is_empty() {
        return Ok(None);
    }
    let (encoder, options) = (run.session.model.bert.encoder(), &run.recipe.neighbor);
    let device = encoder.device();
    let width = encoder.config().hidden_size;
    // Hinge, near, far, pairs whose neighbor is nearer, pairs; then the sums of the spread. And the
    // mean state of every product.
    let means = Tensor::zeros([3 * run.held_out_pairs.len() as i64, width], (Kind::Float, device));
    let sums = tch::no_grad(|| {
        let mut sums = Tensor::zeros([5 + width + 3], (Kind::Double, device));
        for number in run.session.world.indices_of_rank(run.held_out_pairs.batches.len()) {
            let batch = &run.held_out_pairs.batches[number];
            let hidden = encoder.encode(&Packed::new(&batch.input_ids, &batch.lengths, device), Phase::Evaluate);
            let distances = PairStates::of(batch, &run.session.model.neighbor_states(&hidden)).distances(options);
            let total = |of: Tensor| of.sum(Kind::Double).view([1]);
            let count = Tensor::full([1], batch.pairs.len() as i64, (Kind::Double, device));
            let of_pairs = [
                total(distances.hinge(options.margin)),
                total(distances.near.shallow_clone()),
                total(distances.far.shallow_clone()),
                total(distances.near.lt_tensor(&distances.far)),
                count,
            ];
            let sides: Vec<u32> = batch.pairs.as_flattened().iter().map(|&side| side as u32).collect();
            let before: usize = run.held_out_pairs.batches[..number].iter().map(|batch| 3 * batch.pairs.len()).sum();
            let of_batch = pooled(&hidden, &batch.lengths).index_select(0, &indices(&sides, device));
            means.narrow(0, before as i64, sides.len() as i64).copy_(&of_batch);
            let anchors = batch.pairs.iter().map(|[anchor, ..]| *anchor);
            let spread = Spread::of(&hidden, &batch.lengths, anchors).sums;
            sums += Tensor::cat(&[Tensor::cat(&of_pairs, 0), spread], 0);
        }
        sums
    });
    run.session.world.all_reduce(&[sums.shallow_clone()], "measured held-out pairs")?;
    run.session.world.all_reduce(&[means.shallow_clone()], "measured held-out pairs")?;
    let sums = sums.to_device(tch::Device::Cpu);
    let sums = Vec::<f64>::try_from(&sums).map_err(|e| TorchError(e.to_string()))?;
    let pairs = sums[4];
    Ok(Some(MeasuredPairs {
        loss: sums[0] / pairs,
        near: sums[1] / pairs,
        far: sums[2] / pairs,
        nearer: sums[3] / pairs,
        within: Spread::within(&sums[5..]),
        pairs: pairs as u64,
        retrieval: Some(measure_retrieval(&run.held_out_pairs.retrieval, &means)?),
    }))
}

/// How well neighbors are found by the cosine of the mean states of all held-out products,
/// `[products, d]`.
fn measure_retrieval(retrieval: &Retrieval, means: &Tensor) -> Result<MeasuredRetrieval, RunError> {
    let lengths = means.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
    let means = means / lengths.clamp_min(1e-12);
    let of = |sides: &[usize]| {
        let sides: Vec<u32> = sides.iter().map(|&side| side as u32).collect();
        means.index_select(0, &indices(&sides, means.device()))
    };
    let cosines = of(&retrieval.anchors()).matmul(&of(retrieval.candidates()).transpose(0, 1));
    let cosines = cosines.to_device(tch::Device::Cpu).contiguous().view([-1]);
    let cosines = Vec::<f32>::try_from(&cosines).map_err(|e| TorchError(e.to_string()))?;
    Ok(MeasuredRetrieval {
        model: retrieval.ranks(&cosines),
        word_overlap: retrieval.word_overlap,
        tf_idf: retrieval.tf_idf,
        candidates: retrieval.candidates().len() as u64,
    })
}
