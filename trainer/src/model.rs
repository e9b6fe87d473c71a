//! The model in pre-training: an encoder with its masked-LM head, and weights that an objective needs
//! in training alone.
use ebert_bert::{BertForMaskedLm, Builder, Family, Packed, Parameters, Phase};
use schemas::Draws;
use tch::{Device, Tensor};

use crate::{boundary::BoundaryHead, neighbor, recipe::Recipe, session::Trainable};
use ebert_batches::{MaskedBatch, SequenceFormat};

/// The name of the weights of NPR's projection, `[d, d]`.
pub const PROJECTION: &str = "neighbor.projection.weight";

/// How a model of a family takes two texts.
pub fn sequence_format(family: &Family) -> SequenceFormat {
    match family {
        Family::Bert => SequenceFormat::Bert,
        Family::Roberta { .. } => SequenceFormat::Roberta,
        Family::ModernBert(_) => SequenceFormat::ModernBert,
    }
}

/// The model in pre-training.
#[derive(Debug)]
pub struct PretrainingModel {
    /// What checkpoints give to others.
    pub bert: BertForMaskedLm,
    /// The projection before NPR, `[d, d]`.
    projection: Option<Tensor>,
    /// The span boundary objective.
    boundary: Option<BoundaryHead>,
    /// The weights of objectives alone. A checkpoint has them in files of their own.
    objectives: Parameters,
    /// All weights: BERT's first.
    parameters: Parameters,
}

impl PretrainingModel {
    /// A model whose objectives start fresh.
    pub fn new(bert: BertForMaskedLm, recipe: &Recipe) -> Self {
        let config = bert.encoder().config().clone();
        let mut objectives = Parameters::default();
        let seed = Draws::new(recipe.seed, "weights of objectives", b"").next_u64();
        let mut builder = Builder::new(&mut objectives, &config, seed, bert.encoder().device());
        let width = config.hidden_size;
        let projection = recipe.neighbor.projection.then(|| builder.zeros(PROJECTION, &[width, width]));
        let boundary = recipe.masking.span_boundary.then(|| BoundaryHead::new(&mut builder));
        let parameters = Parameters::joined(&[bert.parameters(), &objectives]);
        Self { bert, projection, boundary, objectives, parameters }
    }

    /// The weights that only objectives have.
    pub fn objectives(&self) -> &Parameters {
        &self.objectives
    }

    /// The sum of the cross entropies of the masked-LM head at the selected tokens of sequences, in
    /// nats, a scalar. Also that of the span boundary objective, if there is one.
    pub fn masked_losses(&self, packed: &Packed, batch: &MaskedBatch) -> (Tensor, Option<Tensor>) {
        let MaskedBatch { selected, labels, .. } = batch;
        let hidden = self.bert.encoder().encode(packed, Phase::Train);
        let boundary = self.boundary.as_ref().map(|head| head.loss(&self.bert, &hidden, selected, labels));
        (self.bert.loss_of(&hidden, selected, labels), boundary)
    }

    /// The states that NPR compares, of hidden states `[T, d]`.
    pub fn neighbor_states(&self, hidden: &Tensor) -> Tensor {
        self.projection
            .as_ref()
            .map_or_else(|| hidden.shallow_clone(), |projection| neighbor::project(hidden, projection))
    }
}

impl Trainable for PretrainingModel {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn device(&self) -> Device {
        self.bert.encoder().device()
    }
}
