//! A task's head on BERT's encoder, with the names of `transformers`, whose classes load the folder that is saved.
//!
//! | task | class | head |
//! |---|---|---|
//! | rqa | `BertForQuestionAnswering` | `qa_outputs`: a score of each token to be the first, and to be the last, of the answer |
//! | ae | `BertForTokenClassification` | dropout, `classifier`: O, B, I of each token |
//! | asc, pc | `BertForSequenceClassification` | `bert.pooler` over `[CLS]` with tanh, dropout, `classifier` |
use std::path::Path;

use tch::{Device, Kind, Reduction, Tensor};
use trainer::session::Trainable;

use super::{
    Task,
    sequence::{Sequence, TAGS, Target},
};
use ebert_bert::{
    BertConfig, Builder, Decision, Encoder, Linear, Packed, Parameters, Phase, indices, upload,
    weights::{self, WeightsError},
};

/// BERT with the head of a task.
#[derive(Debug)]
pub struct TaskModel {
    task: Task,
    classes: usize,
    encoder: Encoder,
    head: Head,
    parameters: Parameters,
}

#[derive(Debug)]
enum Head {
    /// Of each token.
    Tokens(Linear),
    /// Of `[CLS]`.
    Pooled { pooler: Linear, classifier: Linear },
}

/// What of a model is not in the folder that it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// The head has none.
    None,
    /// It was loaded.
    Loaded,
    /// It starts fresh.
    Fresh,
}

impl Trainable for TaskModel {
    fn parameters(&self) -> &Parameters {
        self.parameters()
    }

    fn device(&self) -> Device {
        self.encoder().device()
    }
}

impl TaskModel {
    /// The model of a folder with a fresh head, drawn from `seed`; of so many classes or labels, for tasks that have them.
    ///
    /// # Errors
    /// When the folder does not hold the weights of an encoder of this configuration.
    pub fn load(
        folder: &Path,
        config: &BertConfig,
        (task, classes): (Task, usize),
        seed: u64,
        (device, decision): (Device, Decision),
    ) -> Result<(Self, Pooler), WeightsError> {
        let mut parameters = Parameters::default();
        let b = &mut Builder::new(&mut parameters, config, seed, device);
        let encoder = Encoder::new(b, decision);
        let hidden = config.hidden_size;
        let (head, classes) = match task {
            Task::Rqa => (Head::Tokens(b.linear("qa_outputs", hidden, 2)), 2),
            Task::Ae => (Head::Tokens(b.linear("classifier", hidden, TAGS.len() as i64)), TAGS.len()),
            Task::Asc | Task::Pc => {
                let pooler = b.linear("bert.pooler.dense", hidden, hidden);
                (Head::Pooled { pooler, classifier: b.linear("classifier", hidden, classes as i64) }, classes)
            }
        };
        let found = weights::load(folder, &parameters)?;
        let pooler = match head {
            Head::Tokens(_) => Pooler::None,
            Head::Pooled { .. } if found.fresh.iter().any(|name| name.starts_with(weights::POOLER)) => Pooler::Fresh,
            Head::Pooled { .. } => Pooler::Loaded,
        };
        Ok((Self { task, classes, encoder, head, parameters }, pooler))
    }

    /// Starts each label where its share of the examples trained on says: the bias of the classifier is the log odds (Lin et al. 2017,
    /// section 4.1, of rare classes). From 0 the first thing learnt is that all labels are rare, and the pooler's tanh saturates on the
    /// way there.
    pub fn start_labels(&self, sequences: &[Sequence]) {
        let Head::Pooled { .. } = self.head else { return };
        let mut counts = vec![0.5; self.classes];
        let mut examples = 1.0;
        for sequence in sequences {
            if let Target::Labels(labels) = &sequence.target {
                labels.iter().for_each(|&label| counts[label] += 1.0);
                examples += 1.0;
            }
        }
        let odds: Vec<f32> = counts.iter().map(|count| f64::ln(count / (examples - count)) as f32).collect();
        if let Some((_, bias)) = self.parameters.iter().find(|(name, _)| *name == "classifier.bias") {
            tch::no_grad(|| bias.shallow_clone().copy_(&Tensor::from_slice(&odds)));
        }
    }

    /// Its task.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// All weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The class of `transformers` that loads it.
    pub fn architecture(task: Task) -> &'static str {
        match task {
            Task::Rqa => "BertForQuestionAnswering",
            Task::Ae => "BertForTokenClassification",
            Task::Asc | Task::Pc => "BertForSequenceClassification",
        }
    }

    /// Scores in float32: `[T, 2]` or `[T, tags]` of each token, or `[sequences, classes]`.
    fn scores(&self, batch: &Batch, phase: Phase) -> Tensor {
        let device = self.encoder.device();
        let packed = Packed::new(&batch.ids, &batch.lengths, self.encoder.device()).with_types(&batch.types);
        let hidden = self.encoder.encode(&packed, phase);
        let dropout = |x: Tensor| self.encoder.dropout(x, phase);
        let scores = match &self.head {
            Head::Tokens(outputs) if self.task == Task::Rqa => outputs.forward(&hidden),
            Head::Tokens(classifier) => classifier.forward(&dropout(hidden)),
            Head::Pooled { pooler, classifier } => {
                let first = hidden.index_select(0, &indices(&batch.starts(), device));
                classifier.forward(&dropout(pooler.forward(&first).tanh()))
            }
        };
        scores.to_kind(Kind::Float)
    }

    /// The mean loss of a batch of sequences that have targets, a scalar.
    pub fn loss(&self, sequences: &[&Sequence], phase: Phase) -> Tensor {
        let (batch, device) = (Batch::of(sequences), self.encoder.device());
        let scores = self.scores(&batch, phase);
        // Classes are int64; they go to the device as they are uploaded.
        let numbers = |numbers: &[i32]| upload(numbers, device).to_kind(Kind::Int64);
        let targets = sequences.iter().map(|s| &s.target);
        match self.task {
            Task::Rqa => {
                // Each sequence is a row of its own tokens; places behind its end have no probability.
                let longest = batch.lengths.iter().copied().max().unwrap_or(0);
                let (mut places, mut outside) = (Vec::new(), Vec::new());
                for (start, &length) in batch.starts().into_iter().zip(&batch.lengths) {
                    places.extend((0..longest as u32).map(|i| start + i.min(length as u32 - 1)));
                    outside.extend((0..longest).map(|i| i32::from(i >= length)));
                }
                let shape = [sequences.len() as i64, longest as i64];
                let outside = upload(&outside, device).to_kind(Kind::Bool).view(shape);
                let rows = scores.index_select(0, &indices(&places, device));
                let spans: Vec<[usize; 2]> =
                    targets.map(|t| if let Target::Span(span) = t { *span } else { [0, 0] }).collect();
                let side = |side: usize| {
                    let scores = rows.select(1, side as i64).reshape(shape).masked_fill(&outside, f64::NEG_INFINITY);
                    let wanted: Vec<i32> = spans.iter().map(|span| span[side] as i32).collect();
                    scores.cross_entropy_for_logits(&numbers(&wanted))
                };
                (side(0) + side(1)) / 2.0
            }
            Task::Ae => {
                let tags = targets.flat_map(|t| if let Target::Tags(tags) = t { tags.as_slice() } else { &[] });
                let tags: Vec<i32> = tags.map(|tag| *tag as i32).collect();
                scores.cross_entropy_loss::<Tensor>(&numbers(&tags), None, Reduction::Mean, -100, 0.0)
            }
            Task::Asc => {
                let classes: Vec<i32> =
                    targets.map(|t| if let Target::Class(class) = t { *class as i32 } else { 0 }).collect();
                scores.cross_entropy_for_logits(&numbers(&classes))
            }
            Task::Pc => {
                let mut wanted = vec![0; sequences.len() * self.classes];
                for (row, target) in targets.enumerate() {
                    if let Target::Labels(labels) = target {
                        labels.iter().for_each(|label| wanted[row * self.classes + label] = 1);
                    }
                }
                let wanted = upload(&wanted, device).to_kind(Kind::Float).view(scores.size().as_slice());
                scores.binary_cross_entropy_with_logits::<Tensor>(&wanted, None, None, Reduction::Mean)
            }
        }
    }

    /// The scores of each sequence: two or as many as tags for each of its tokens, or one for each class. No gradients.
    pub fn predict(&self, sequences: &[&Sequence]) -> Vec<Vec<f32>> {
        let batch = Batch::of(sequences);
        let scores = tch::no_grad(|| self.scores(&batch, Phase::Evaluate)).to_device(Device::Cpu).contiguous();
        let width = scores.size()[1] as usize;
        let mut all = vec![0f32; scores.numel()];
        let count = all.len();
        scores.copy_data(&mut all, count);
        let rows: Vec<usize> = match self.head {
            Head::Tokens(_) => batch.lengths,
            Head::Pooled { .. } => vec![1; sequences.len()],
        };
        let mut rest = all.as_slice();
        let mut each = Vec::with_capacity(rows.len());
        for rows in rows {
            let (own, behind) = rest.split_at(rows * width);
            each.push(own.to_vec());
            rest = behind;
        }
        each
    }
}

/// Sequences in one row.
struct Batch {
    ids: Vec<u16>,
    types: Vec<u8>,
    lengths: Vec<usize>,
}

impl Batch {
    fn of(sequences: &[&Sequence]) -> Self {
        Self {
            ids: sequences.iter().flat_map(|s| s.ids.iter().copied()).collect(),
            types: sequences.iter().flat_map(|s| s.types.iter().copied()).collect(),
            lengths: sequences.iter().map(|s| s.ids.len()).collect(),
        }
    }

    /// Where in the row each sequence begins.
    fn starts(&self) -> Vec<u32> {
        let ends = self.lengths.iter().scan(0, |end, &length| {
            *end += length as u32;
            Some(*end)
        });
        ends.zip(&self.lengths).map(|(end, &length)| end - length as u32).collect()
    }
}
