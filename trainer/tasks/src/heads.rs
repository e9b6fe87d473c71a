//! A task's head on BERT's encoder, with the names of `transformers`, whose classes load the folder
//! that is saved.
//!
//! | task | class | head |
//! |---|---|---|
//! | rqa | `BertForQuestionAnswering` | `qa_outputs`: a score of each token to be the first, and to be the last, of the answer |
//! | ae | `BertForTokenClassification` | dropout, `classifier`: O, B, I of each token |
//! | asc, pc | `BertForSequenceClassification` | `bert.pooler` over `[CLS]` with tanh, dropout, `classifier` |
//! | asc, pc with [`Pooling::Mean`] | none | mean of the hidden states of all tokens, dropout, `classifier` |
use std::path::Path;

use tch::{Device, Kind, Reduction, Tensor};
use trainer::session::Trainable;

use super::{
    Task,
    options::Pooling,
    sequence::{Sequence, TAGS, Target},
};
use ebert_bert::{
    BertConfig, Builder, Decision, Encoder, Family, Linear, Packed, Parameters, Phase, indices, upload,
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
    /// Of the mean of all tokens.
    Mean(Linear),
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

/// What of a model is not in the folder that it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// The head has none.
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
        let hidden = config.hidden_size;
        let (head, classes) = match task {
            Task::Rqa => (Head::Tokens(b.linear("qa_outputs", hidden, 2)), 2),
            Task::Ae => (Head::Tokens(b.linear("classifier", hidden, TAGS.len() as i64)), TAGS.len()),
            Task::Asc | Task::Pc if pooling == Pooling::Mean => {
                (Head::Mean(b.linear("classifier", hidden, classes as i64)), classes)
            }
            Task::Asc | Task::Pc => {
                let pooler = b.linear(&format!("{}pooler.dense", config.family.encoder_prefix()), hidden, hidden);
                (Head::Pooled { pooler, classifier: b.linear("classifier", hidden, classes as i64) }, classes)
            }
        };
        let of_pooler = parameters.iter().filter(|(name, _)| fresh_pooler && weights::is_of_pooler(name));
        let drawn: Vec<[Tensor; 2]> = of_pooler.map(|(_, to)| [to.shallow_clone(), to.detach().copy()]).collect();
        let found = weights::load(folder, &config.family, &parameters)?;
        tch::no_grad(|| drawn.iter().for_each(|[to, drawn]| to.shallow_clone().copy_(drawn)));
        let pooler = match head {
            Head::Tokens(_) | Head::Mean(_) => Pooler::None,
            Head::Pooled { .. } if found.fresh.iter().any(|name| weights::is_of_pooler(name)) => Pooler::Fresh,
            Head::Pooled { .. } if fresh_pooler => Pooler::Redrawn,
            Head::Pooled { .. } => Pooler::Loaded,
        };
        Ok((Self { task, classes, encoder, head, parameters }, pooler))
    }

    /// Sets each label's start from its ratio in the examples trained on: the bias of the
    /// classifier is the log odds (Lin et al. 2017, section 4.1, of rare classes). From 0, the
    /// model first learns that all labels are rare, and the pooler's tanh saturates on the way
    /// there.
    pub fn start_labels(&self, sequences: &[Sequence]) {
        if matches!(self.head, Head::Tokens(_)) {
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

    /// The class of `transformers` that loads it: without its head, `classifier`, if that reads the
    /// mean.
    pub fn architecture(task: Task, pooling: Pooling) -> &'static str {
        match task {
            Task::Rqa => "BertForQuestionAnswering",
            Task::Ae => "BertForTokenClassification",
            Task::Asc | Task::Pc if pooling == Pooling::Mean => "BertModel",
            Task::Asc | Task::Pc => "BertForSequenceClassification",
        }
    }

    /// The class of `transformers` that loads this model. Other families than BERT have other heads
    /// there; the encoder is loaded alone where they differ.
    pub fn class_name(&self) -> String {
        let of_bert = Self::architecture(self.task, self.pooling());
        match (&self.encoder.config().family, self.task) {
            (Family::Bert, _) => of_bert.to_owned(),
            (Family::Roberta { .. }, Task::Rqa | Task::Ae) => of_bert.replace("Bert", "Roberta"),
            (Family::Roberta { .. }, _) => "RobertaModel".to_owned(),
            (Family::ModernBert(_), _) => "ModernBertModel".to_owned(),
        }
    }

    /// What a head of whole sequences reads.
    pub fn pooling(&self) -> Pooling {
        if matches!(self.head, Head::Mean(_)) { Pooling::Mean } else { Pooling::Cls }
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
            Head::Mean(classifier) => classifier.forward(&dropout(batch.means(&hidden))),
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
        let rows: Vec<usize> = match self.head {
            Head::Tokens(_) => batch.lengths,
            Head::Pooled { .. } | Head::Mean(_) => vec![1; sequences.len()],
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
