//! `ebert fill-mask`: the most probable entries of the vocabulary for each `[MASK]` of a text.
//!
//! Each mask has the softmax of its own logits, as `AutoModelForMaskedLM` gives them. So several
//! masks of a text do not know of each other.
use std::path::Path;

use ebert_batches::pack;
use ebert_bert::{Packed, Phase, tokens::Mask};
use serde::Serialize;
use tch::{Device, Kind, Tensor};
use trainer::init::{Candidate, Head};

use super::{ApplyError, MASK};
use crate::{probe::features::Frozen, shortened};

/// A model that fills in masks.
#[derive(Debug)]
pub struct MaskFiller {
    frozen: Frozen,
    mask: Mask,
}

/// An entry of the vocabulary for a mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// As the vocabulary writes it: `##s` continues a word.
    pub entry: String,
    /// Its id.
    pub id: u32,
    /// Its probability, from 0 to 1.
    pub probability: f32,
}

impl MaskFiller {
    /// Reads a Hugging Face folder.
    ///
    /// # Errors
    /// When it is not a model with a tokenizer, a masked-LM head and a token for masks.
    pub fn open(folder: &Path, device: Device) -> Result<Self, ApplyError> {
        let candidate = Candidate::read(folder)?;
        if candidate.head() == Head::Fresh {
            let weights = candidate.config().family.masked_lm_head();
            return Err(ApplyError::NoHead { folder: folder.to_owned(), weights });
        }
        let frozen = Frozen::open(folder, device)?;
        let mask = frozen.tokens().mask().cloned();
        let mask = mask.ok_or_else(|| ApplyError::NoMaskToken { folder: folder.to_owned() })?;
        Ok(Self { frozen, mask })
    }

    /// For each mask of the text the `top` most probable entries, the best first, or the whole
    /// vocabulary if it has fewer.
    ///
    /// # Errors
    /// When the text has no mask or too many tokens, or libtorch refuses.
    pub fn fill(&self, text: &str, top: usize) -> Result<Vec<Vec<Entry>>, ApplyError> {
        let ids = self.encode(text)?;
        let special = [self.frozen.tokens().cls(), self.frozen.tokens().sep()];
        let (row, lengths) = pack([ids.as_slice()].into_iter(), special);
        let masks: Vec<u32> = (0..).zip(&row).filter(|(_, id)| **id == self.mask.id).map(|(place, _)| place).collect();
        let model = self.frozen.model();
        let packed = Packed::new(&row, &lengths, model.encoder().device());
        let logits = tch::no_grad(|| model.predict_at(&packed, &masks, Phase::Evaluate));
        let top = top.min(logits.size()[1] as usize);
        let (probabilities, entries) = logits.softmax(-1, Kind::Float).topk(top as i64, -1, true, true);
        let probabilities: Vec<f32> = Vec::try_from(flat(&probabilities))?;
        let entries: Vec<i64> = Vec::try_from(flat(&entries))?;
        let candidate = |(&id, &probability): (&i64, &f32)| {
            let id = id as u32;
            Entry { entry: self.frozen.tokens().name(id), id, probability }
        };
        let all: Vec<Entry> = entries.iter().zip(&probabilities).map(candidate).collect();
        Ok(all.chunks(top.max(1)).map(<[Entry]>::to_vec).collect())
    }

    /// The tokens of a text with its masks. The tokenizer takes `[MASK]` for text, so the parts
    /// between masks are encoded one by one, as the tokenizer of `transformers` does.
    fn encode(&self, text: &str) -> Result<Vec<u32>, ApplyError> {
        let mut ids = Vec::new();
        // A text for BERT is good for RoBERTa, too.
        let text_of_model = text.replace(MASK, self.mask.name);
        let mut parts = text_of_model.split(self.mask.name).peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let part = if self.mask.takes_spaces && !is_last { part.trim_end() } else { part };
            ids.extend(self.frozen.tokens().encode(part)?.ids);
            if !is_last {
                ids.push(self.mask.id);
            }
        }
        let most = self.frozen.most_content_tokens();
        if !ids.contains(&self.mask.id) {
            return Err(ApplyError::NoMask { text: shortened(text, 61) });
        }
        if ids.len() > most {
            return Err(ApplyError::TooLong { text: shortened(text, 61), tokens: ids.len(), most });
        }
        Ok(ids)
    }
}

fn flat(tensor: &Tensor) -> Tensor {
    tensor.to_device(Device::Cpu).view([-1])
}
