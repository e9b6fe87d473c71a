//! A task's head on an encoder, with the names of `transformers`, whose classes load the folder that
//! is saved.
//!
//! | task | class of a BERT | head |
//! |---|---|---|
//! | rqa | `BertForQuestionAnswering` | `qa_outputs`: a score of each token to be the first, and to be the last, of the answer |
//! | ae | `BertForTokenClassification` | dropout, `classifier`: O, B, I of each token |
//! | asc, pc | `BertForSequenceClassification` | `bert.pooler` over `[CLS]` with tanh, dropout, `classifier` |
//! | asc, pc with [`Pooling::Mean`] | none | mean of the hidden states of all tokens, dropout, `classifier` |
//!
//! RoBERTa's classes have the same heads, but for asc and pc: dropout, `classifier.dense` over `<s>`
//! with tanh, dropout, `classifier.out_proj`. All heads of a ModernBERT are its [`Transform`],
//! dropout and `classifier`; those of means have a class, too.
use std::path::Path;

use tch::{Device, Kind, Reduction, Tensor};
use trainer::session::Trainable;

use super::{
    Task,
    options::Pooling,
    sequence::{Sequence, TAGS, Target},
};
use ebert_bert::{
    BertConfig, Builder, Decision, Encoder, Family, Linear, Packed, Parameters, Phase, Transform, indices, upload,
    weights::{self, WeightsError},
};

/// An encoder with the head of a task.
#[derive(Debug)]
pub struct TaskModel {
    task: Task,
    classes: usize,
    encoder: Encoder,
    head: Head,
    parameters: Parameters,
}

#[derive(Debug)]
struct Head {
    reads: Reads,
    before: Before,
    /// Scores.
    outputs: Linear,
    /// How the names of the weights before it begin, where there are any.
    before_name: Option<String>,
}

/// Which hidden states a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Each token.
    Tokens,
    /// The first token, `[CLS]`.
    First,
    /// The mean of all tokens.
    Mean,
}

/// What stands between hidden states and scores.
#[derive(Debug)]
enum Before {
    /// Nothing.
    Nothing,
    /// BERT's pooler: a linear layer with tanh.
    Pooler(Linear),
    /// RoBERTa's layer: the same after dropout.
    Dense(Linear),
    /// What each head of a ModernBERT begins with.
    Transform(Transform),
}

impl Head {
    fn new(b: &mut Builder<'_>, task: Task, reads: Reads, classes: i64) -> Self {
        let (hidden, family) = (b.config().hidden_size, b.config().family.clone());
        let (before_name, before) = match (&family, reads) {
            (Family::ModernBert(_), _) => (Some("head.".to_owned()), Before::Transform(Transform::new(b))),
            (Family::Bert, Reads::First) => {
                let name = format!("{}pooler.dense", family.encoder_prefix());
                let pooler = b.linear(&name, hidden, hidden);
                (Some(name), Before::Pooler(pooler))
            }
            (Family::Roberta { .. }, Reads::First) => {
                let name = "classifier.dense".to_owned();
                let dense = b.linear(&name, hidden, hidden);
                (Some(name), Before::Dense(dense))
            }
            (Family::Bert | Family::Roberta { .. }, _) => (None, Before::Nothing),
        };
        let outputs = match (task, &before) {
            (Task::Rqa, Before::Nothing) => "qa_outputs",
            (_, Before::Dense(_)) => "classifier.out_proj",
            _ => "classifier",
        };
        Self { reads, before, outputs: b.linear(outputs, hidden, classes), before_name }
    }
}

/// What a head is for, and what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// The task.
    pub task: Task,
    /// Classes or labels, for tasks that have them.
    pub classes: usize,
    /// What a head of whole sequences reads.
    pub pooling: Pooling,
    /// Whether a pooler starts fresh even if the model has one.
    pub fresh_pooler: bool,
}

/// Where the layer between the states and the scores comes from: BERT's pooler, or the
/// [`Transform`] of a ModernBERT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// The head has none, or one that always starts fresh.
    None,
    /// It was loaded.
    Loaded,
    /// It starts fresh, as the model has none.
    Fresh,
    /// It starts fresh, as was asked for.
    Redrawn,
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
    /// The model of a folder with a fresh head, drawn from `seed`.
    ///
    /// # Errors
    /// When the folder does not hold the weights of an encoder of this configuration.
    pub fn load(
        folder: &Path,
        config: &BertConfig,
        HeadShape { task, classes, pooling, fresh_pooler }: HeadShape,
        seed: u64,
        (device, decision): (Device, Decision),
    ) -> Result<(Self, Pooler), WeightsError> {
        let mut parameters = Parameters::default();
        let b = &mut Builder::new(&mut parameters, config, seed, device);
        let encoder = Encoder::new(b, decision);
        let (reads, classes) = match (task, pooling) {
            (Task::Rqa, _) => (Reads::Tokens, 2),
            (Task::Ae, _) => (Reads::Tokens, TAGS.len()),
            (Task::Asc | Task::Pc, Pooling::Mean) => (Reads::Mean, classes),
            (Task::Asc | Task::Pc, Pooling::Cls) => (Reads::First, classes),
        };
        let head = Head::new(b, task, reads, classes as i64);
        let is_before = |name: &str| head.before_name.as_ref().is_some_and(|before| name.starts_with(before));
        let redrawn = parameters.iter().filter(|(name, _)| fresh_pooler && reads != Reads::Tokens && is_before(name));
        let drawn: Vec<[Tensor; 2]> = redrawn.map(|(_, to)| [to.shallow_clone(), to.detach().copy()]).collect();
        let found = weights::load(folder, &config.family, &parameters)?;
        tch::no_grad(|| drawn.iter().for_each(|[to, drawn]| to.shallow_clone().copy_(drawn)));
        let pooler = match head.before {
            Before::Nothing | Before::Dense(_) => Pooler::None,
            _ if found.fresh.iter().any(|name| is_before(name)) => Pooler::Fresh,
            _ if !drawn.is_empty() => Pooler::Redrawn,
            _ => Pooler::Loaded,
        };
        Ok((Self { task, classes, encoder, head, parameters }, pooler))
    }

    /// Sets each label's start from its ratio in the examples trained on: the bias of the
    /// classifier is the log odds (Lin et al. 2017, section 4.1, of rare classes). From 0, the
    /// model first learns that all labels are rare, and the pooler's tanh saturates on the way
    /// there.
    pub fn start_labels(&self, sequences: &[Sequence]) {
        if self.head.reads == Reads::Tokens {
            return;
        }
        let mut counts = vec![0.5; self.classes];
        let mut examples = 1.0;
        for sequence in sequences {
            if let Target::Labels(labels) = &sequence.target {
                labels.iter().for_each(|&label| counts[label] += 1.0);
                examples += 1.0;
            }
        }
        let odds: Vec<f32> = counts.iter().map(|count| f64::ln(count / (examples - count)) as f32).collect();
        tch::no_grad(|| self.head.outputs.set_bias(&Tensor::from_slice(&odds)));
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

    /// The class of `transformers` that loads the model of a family for a task. If the head reads
    /// the mean, there is a class for a ModernBERT alone. Others are loaded without their head,
    /// `classifier`.
    pub fn class(task: Task, family: &Family, pooling: Pooling) -> String {
        family.class(match task {
            Task::Rqa => "ForQuestionAnswering",
            Task::Ae => "ForTokenClassification",
            Task::Asc | Task::Pc if pooling == Pooling::Mean && !matches!(family, Family::ModernBert(_)) => "Model",
            Task::Asc | Task::Pc => "ForSequenceClassification",
        })
    }

    /// What a head of whole sequences reads.
    pub fn pooling(&self) -> Pooling {
        if self.head.reads == Reads::Mean { Pooling::Mean } else { Pooling::Cls }
    }

    /// Scores in float32: `[T, 2]` or `[T, tags]` of each token, or `[sequences, classes]`.
    fn scores(&self, batch: &Batch, phase: Phase) -> Tensor {
        let device = self.encoder.device();
        let packed = Packed::new(&batch.ids, &batch.lengths, self.encoder.device()).with_types(&batch.types);
        let hidden = self.encoder.encode(&packed, phase);
        let dropout = |x: Tensor| self.encoder.dropout(x, phase);
        let states = match self.head.reads {
            Reads::Tokens => hidden,
            Reads::First => hidden.index_select(0, &indices(&batch.starts(), device)),
            Reads::Mean => batch.means(&hidden),
        };
        let states = match &self.head.before {
            Before::Nothing => states,
            Before::Pooler(pooler) => pooler.forward(&states).tanh(),
            Before::Dense(dense) => dense.forward(&dropout(states)).tanh(),
            Before::Transform(transform) => transform.forward(&states),
        };
        // Classes of `transformers` for questions have dropout in a ModernBERT alone.
        let has_dropout = self.task != Task::Rqa || matches!(self.head.before, Before::Transform(_));
        let scores = self.head.outputs.forward(&if has_dropout { dropout(states) } else { states });
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
                // Each sequence is a row of its own tokens; places behind its end have no
                // probability.
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

    /// The scores of each sequence: two or as many as tags for each of its tokens, or one for each
    /// class. No gradients.
    pub fn predict(&self, sequences: &[&Sequence]) -> Vec<Vec<f32>> {
        let batch = Batch::of(sequences);
        let scores = tch::no_grad(|| self.scores(&batch, Phase::Evaluate)).to_device(Device::Cpu).contiguous();
        let width = scores.size()[1] as usize;
        let mut all = vec![0f32; scores.numel()];
        let count = all.len();
        scores.copy_data(&mut all, count);
        let rows: Vec<usize> = match self.head.reads {
            Reads::Tokens => batch.lengths,
            Reads::First | Reads::Mean => vec![1; sequences.len()],
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
    ids: Vec<u32>,
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

    /// The mean hidden state of each sequence, `[sequences, hidden_size]` in float32, of those of
    /// the row, `[T, hidden_size]`.
    fn means(&self, hidden: &Tensor) -> Tensor {
        let device = hidden.device();
        let of: Vec<u32> = (0..).zip(&self.lengths).flat_map(|(sequence, &length)| vec![sequence; length]).collect();
        let lengths: Vec<i32> = self.lengths.iter().map(|&length| length as i32).collect();
        let sums = Tensor::zeros([lengths.len() as i64, hidden.size()[1]], (Kind::Float, device));
        let sums = sums.index_add(0, &indices(&of, device), &hidden.to_kind(Kind::Float));
        sums / upload(&lengths, device).to_kind(Kind::Float).unsqueeze(1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use ebert_bert::BertForMaskedLm;

    fn config() -> BertConfig {
        serde_json::from_value(serde_json::json!({
            "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 16, "initializer_range": 0.3,
        }))
        .unwrap()
    }

    /// A folder with a model and a pooler of ones.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let model = BertForMaskedLm::new(&config(), 3, Device::Cpu, Decision::on_cpu());
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let pooler = [("bert.pooler.dense.weight", ones(&[8, 8])), ("bert.pooler.dense.bias", ones(&[8]))];
        let named = model.parameters().iter().chain(pooler.iter().map(|(name, tensor)| (*name, tensor)));
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor));
        weights::write(&folder.path().join(weights::WEIGHTS), named).unwrap();
        folder
    }

    fn load(folder: &Path, pooling: Pooling, fresh_pooler: bool) -> (TaskModel, Pooler) {
        let shape = HeadShape { task: Task::Pc, classes: 3, pooling, fresh_pooler };
        TaskModel::load(folder, &config(), shape, 5, (Device::Cpu, Decision::on_cpu())).unwrap()
    }

    fn weight(model: &TaskModel, name: &str) -> Tensor {
        model.parameters().iter().find(|(found, _)| *found == name).unwrap().1.detach()
    }

    #[test]
    fn the_mean_is_that_of_each_sequence_alone() {
        let _alone = ebert_kernels::generator();
        let folder = folder();
        let (model, pooler) = load(folder.path(), Pooling::Mean, false);
        assert_eq!((pooler, model.pooling()), (Pooler::None, Pooling::Mean));
        let sequence = |ids: &[u32]| Sequence {
            example: 0,
            ids: ids.to_vec(),
            types: vec![0; ids.len()],
            target: Target::None,
            first: 1,
            spans: Vec::new(),
            words: Vec::new(),
        };
        let sequences = [sequence(&[2, 9, 8, 7, 6, 5, 3]), sequence(&[2, 11, 3]), sequence(&[2, 12, 13, 14, 3])];
        let predicted = model.predict(&sequences.iter().collect::<Vec<_>>());
        let double = |name| weight(&model, name).to_kind(Kind::Double);
        for (sequence, predicted) in sequences.iter().zip(predicted) {
            let packed = Packed::new(&sequence.ids, &[sequence.ids.len()], Device::Cpu);
            let hidden = tch::no_grad(|| model.encoder().encode(&packed, Phase::Evaluate)).to_kind(Kind::Double);
            let mean = hidden.sum_dim_intlist(0, false, Kind::Double) / sequence.ids.len() as f64;
            let wanted = mean.linear(&double("classifier.weight"), Some(&double("classifier.bias")));
            let error = (Tensor::from_slice(&predicted).to_kind(Kind::Double) - wanted).abs().max();
            assert!(error.double_value(&[]) < 1e-5, "{error}");
        }
    }

    #[test]
    fn a_pooler_is_loaded_or_drawn_as_asked() {
        let _alone = ebert_kernels::generator();
        let folder = folder();
        let (loaded, pooler) = load(folder.path(), Pooling::Cls, false);
        let is_stored = |model: &TaskModel, name| weight(model, name).eq(1.0).all().int64_value(&[]) == 1;
        assert!(pooler == Pooler::Loaded && is_stored(&loaded, "bert.pooler.dense.weight"));
        let (fresh, pooler) = load(folder.path(), Pooling::Cls, true);
        assert!(pooler == Pooler::Redrawn && !is_stored(&fresh, "bert.pooler.dense.weight"));
        assert_eq!(weight(&fresh, "bert.pooler.dense.bias").abs().max().double_value(&[]), 0.0);
        for name in ["bert.embeddings.word_embeddings.weight", "classifier.weight"] {
            assert_eq!(weight(&fresh, name), weight(&loaded, name), "{name}");
        }
    }
}
