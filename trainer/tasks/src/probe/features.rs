//! The hidden states of a model that is not trained further.
use std::path::Path;

use ebert_bert::{
    BertConfig, BertForMaskedLm, Compute, Decision, Packed, Phase,
    tokens::{Encoded, Tokens},
    weights,
};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::ProbeError;
use ebert_batches::pack;

/// A frozen encoder with its tokenizer.
#[derive(Debug)]
pub struct Frozen {
    tokens: Tokens,
    model: BertForMaskedLm,
    most: usize,
}

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TextPooling {
    /// The mean over its tokens, special ones left out.
    #[default]
    Mean,
    /// The state of `[CLS]`.
    Cls,
}

impl TextPooling {
    /// Of the states of a text with its special tokens, `[tokens, d]`: `[d]`, float32.
    fn of(self, states: &Tensor) -> Tensor {
        match self {
            Self::Mean => mean(&content(states)),
            Self::Cls => states.get(0),
        }
    }
}

/// The states of a text without those of its special tokens.
fn content(states: &Tensor) -> Tensor {
    states.narrow(0, 1, states.size()[0] - 2)
}

/// The mean of the states of tokens, `[tokens, d]`: `[d]`, float32. It is 0 of none.
pub(crate) fn mean(states: &Tensor) -> Tensor {
    let (tokens, width) = (states.size()[0], states.size()[1]);
    if tokens == 0 {
        return Tensor::zeros([width], (Kind::Float, states.device()));
    }
    states.mean_dim([0i64].as_slice(), false, Kind::Float)
}

/// Tokens that go through the model at once.
const AT_ONCE: usize = 4096;
/// The most tokens of a text, special ones counted, as in pre-training.
const LONGEST: usize = 256;

impl Frozen {
    /// Reads a Hugging Face folder.
    ///
    /// # Errors
    /// When it holds no BERT with a tokenizer.
    pub fn open(folder: &Path, device: Device) -> Result<Self, ProbeError> {
        let config = BertConfig::read(folder)?;
        let decision = Decision::on(Compute::Float32, device, &config)?;
        let model = BertForMaskedLm::new(&config, 0, device, decision);
        weights::load(folder, &config.family, model.parameters())?;
        let most = LONGEST.min(config.longest_sequence());
        Ok(Self { tokens: Tokens::of(folder, &config)?, model, most })
    }

    /// The model.
    pub fn model(&self) -> &BertForMaskedLm {
        &self.model
    }

    /// The tokenizer.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The longest sequence, special tokens counted.
    pub fn most_tokens(&self) -> usize {
        self.most
    }

    /// The most tokens of a text, special tokens left out.
    pub fn most_content_tokens(&self) -> usize {
        self.most - 2
    }

    /// The hidden size.
    pub fn width(&self) -> i64 {
        self.model.encoder().config().hidden_size
    }

    /// The first tokens of a text, at most so many and what fits.
    ///
    /// # Errors
    /// When the tokenizer refuses.
    pub fn encode(&self, text: &str, most: usize) -> Result<Vec<u32>, ProbeError> {
        let Encoded { mut ids, .. } = self.tokens.encode(text)?;
        ids.truncate(most.min(self.most_content_tokens()));
        Ok(ids)
    }

    /// The mean of each text's last hidden states, special tokens left out: `[texts, d]`, float32
    /// on the CPU. The mean of no token is 0.
    pub fn means(&self, texts: &[Vec<u32>]) -> Tensor {
        self.pooled(texts, TextPooling::Mean)
    }

    /// One vector for each text: `[texts, d]`, float32 on the CPU. It is 0 for a text without
    /// tokens.
    pub fn pooled(&self, texts: &[Vec<u32>], pooling: TextPooling) -> Tensor {
        let pooled = Tensor::zeros([texts.len() as i64, self.width()], (Kind::Float, Device::Cpu));
        self.each_batch(texts, |numbers, states| {
            for (&number, states) in numbers.iter().zip(states) {
                pooled.get(number as i64).copy_(&pooling.of(&states));
            }
        });
        pooled
    }

    /// The last hidden states of each text, special tokens left out: `[tokens, d]` each, float32 on
    /// the CPU.
    pub fn contents(&self, texts: &[Vec<u32>]) -> Vec<Tensor> {
        let empty = || Tensor::zeros([0, self.width()], (Kind::Float, Device::Cpu));
        let mut all: Vec<Tensor> = texts.iter().map(|_| empty()).collect();
        self.each_batch(texts, |numbers, states| {
            for (&number, states) in numbers.iter().zip(states) {
                all[number] = content(&states).to_device(Device::Cpu).copy();
            }
        });
        all
    }

    /// The last hidden states of some tokens of each text, text after text: `[tokens, d]`, float32
    /// on the CPU.
    pub fn states(&self, texts: &[Vec<u32>], wanted: &[Vec<i64>]) -> Tensor {
        let contents = self.contents(texts);
        let chosen =
            contents.iter().zip(wanted).map(|(states, wanted)| states.index_select(0, &Tensor::from_slice(wanted)));
        Tensor::cat(&chosen.collect::<Vec<_>>(), 0)
    }

    /// Passes the states of each text that has tokens to `take`, in batches of similar lengths, with
    /// the numbers of the texts: `[tokens + 2, d]` in float32, with `[CLS]` and `[SEP]`.
    fn each_batch(&self, texts: &[Vec<u32>], mut take: impl FnMut(&[usize], Vec<Tensor>)) {
        let _guard = tch::no_grad_guard();
        let mut order: Vec<usize> = (0..texts.len()).filter(|&number| !texts[number].is_empty()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(texts[number].len()));
        let encoder = self.model.encoder();
        let mut rest = order.as_slice();
        while let Some(&longest) = rest.first() {
            let count = (AT_ONCE / (texts[longest].len() + 2)).clamp(1, rest.len());
            let (now, later) = rest.split_at(count);
            rest = later;
            let special = [self.tokens.cls(), self.tokens.sep()];
            let (row, lengths) = pack(now.iter().map(|&number| texts[number].as_slice()), special);
            let packed = Packed::new(&row, &lengths, encoder.device());
            let hidden = encoder.encode(&packed, Phase::Evaluate).to_kind(Kind::Float);
            let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
            take(now, hidden.split_with_sizes(&lengths, 0));
        }
    }
}
