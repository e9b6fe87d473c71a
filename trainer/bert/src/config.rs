//! `config.json` of a Hugging Face BERT, RoBERTa or ModernBERT.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    activation::Activation,
    family::{Family, ModernBert, ParseError, Refusal},
    pointer::Pointer,
};

/// The shape of an encoder. Field names are those of `transformers`' `BertConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// The kind of encoder.
    #[serde(skip)]
    pub family: Family,
    /// Rows of the word embedding.
    pub vocab_size: i64,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Layers.
    pub num_hidden_layers: i64,
    /// Attention heads; they divide `hidden_size`.
    pub num_attention_heads: i64,
    /// Width between the two halves of a feed-forward layer.
    pub intermediate_size: i64,
    /// Its activation.
    #[serde(default)]
    pub hidden_act: Activation,
    /// Dropout of hidden states.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout of attention weights.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Longest sequence, special tokens counted.
    #[serde(default = "positions")]
    pub max_position_embeddings: i64,
    /// Rows of the token type embedding.
    #[serde(default = "types")]
    pub type_vocab_size: i64,
    /// Standard deviation of fresh weights.
    #[serde(default = "initializer")]
    pub initializer_range: f64,
    /// Added to the variance in a layer norm.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// The longest sequence that this program trained the model on, special tokens counted;
    /// `transformers` has no such entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_sequence_length: Option<usize>,
}

/// No size of a BERT is larger than this; what is was a slip.
const MOST: i64 = 1 << 20;
const MOST_LAYERS: i64 = 1 << 10;

fn tenth() -> f64 {
    0.1
}
fn positions() -> i64 {
    512
}
fn types() -> i64 {
    2
}
fn initializer() -> f64 {
    0.02
}
fn epsilon() -> f64 {
    1e-12
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`\nhint: INIT is a Hugging Face folder with `config.json` and `model.safetensors`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that Git LFS has not fetched.
    #[error(transparent)]
    Pointer(#[from] Pointer),
    /// It is not the configuration of an encoder.
    #[error("`{}` is not the configuration of a BERT, RoBERTa or ModernBERT", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another model, or a form of a known one that this build does not have.
    #[error(
        "`{}` has {key} {found}, expected {wanted}{}",
        path.display(),
        match *key {
            "model_type" | "architectures" | "is_decoder" =>
                "\nhint: name a BERT, RoBERTa or ModernBERT, such as bert-base-uncased",
            _ => "",
        }
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// Which entry.
        key: &'static str,
        /// Its value.
        found: String,
        /// Values that this build knows.
        wanted: &'static str,
    },
}

impl BertConfig {
    /// The shape of BERT-base (Devlin et al. 2019), with so many tokens.
    pub fn base(vocab_size: i64) -> Self {
        Self {
            family: Family::Bert,
            vocab_size,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: tenth(),
            attention_probs_dropout_prob: tenth(),
            max_position_embeddings: positions(),
            type_vocab_size: types(),
            initializer_range: initializer(),
            layer_norm_eps: epsilon(),
            trained_sequence_length: None,
        }
    }

    /// The shape of RoBERTa-base (Liu et al. 2019), with so many tokens and this id of `<pad>`.
    pub fn roberta_base(vocab_size: i64, pad: i64) -> Self {
        Self {
            family: Family::Roberta { pad },
            max_position_embeddings: positions() + pad + 1,
            type_vocab_size: 1,
            layer_norm_eps: 1e-5,
            ..Self::base(vocab_size)
        }
    }

    /// The shape of ModernBERT-base (Warner et al. 2024), with so many tokens.
    pub fn modern_base(vocab_size: i64) -> Self {
        Self {
            family: Family::ModernBert(ModernBert::default()),
            num_hidden_layers: 22,
            intermediate_size: 1152,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            max_position_embeddings: 8192,
            type_vocab_size: 1,
            layer_norm_eps: 1e-5,
            ..Self::base(vocab_size)
        }
    }

    /// Reads `config.json` of a folder.
    ///
    /// # Errors
    /// When the file cannot be read, is malformed, or is of a model that this build does not have.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("config.json");
        Pointer::refuse(&path)?;
        let bytes = fs::read(&path).map_err(|source| ConfigError::Io { path: path.clone(), source })?;
        let malformed = |source| ConfigError::Malformed { path: path.clone(), source };
        let all: Map<String, Value> = serde_json::from_slice(&bytes).map_err(malformed)?;
        let refused = |Refusal { key, found, wanted }| ConfigError::Other { path: path.clone(), key, found, wanted };
        let family = Family::of(&all).map_err(refused)?;
        if all.get("is_decoder") == Some(&Value::Bool(true)) {
            return Err(refused(Refusal::new("is_decoder", "true", "false: words on both sides are seen")));
        }
        let (family, all) = match family {
            Family::ModernBert(_) => {
                let (shape, all) = ModernBert::parse(all).map_err(|error| match error {
                    ParseError::Refused(refusal) => refused(refusal),
                    ParseError::Malformed(source) => malformed(source),
                })?;
                (Family::ModernBert(shape), all)
            }
            family => (family, all),
        };
        let config: Self = serde_json::from_value(all.into()).map_err(malformed)?;
        let config = Self { family, ..config };
        config.check().map_err(refused)?;
        Ok(config)
    }

    /// The longest sequence, special tokens counted. Positions of a RoBERTa start after that of `<pad>`.
    pub fn longest_sequence(&self) -> usize {
        usize::try_from(self.max_position_embeddings - self.family.first_position()).unwrap_or(0)
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// When an entry is out of range, or does not fit another.
    pub fn check(&self) -> Result<(), Refusal> {
        for (key, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if !(1..=MOST).contains(&value) {
                return Err(Refusal::new(key, value, "a number from 1 to 1,048,576"));
            }
        }
        if self.num_hidden_layers > MOST_LAYERS {
            return Err(Refusal::new("num_hidden_layers", self.num_hidden_layers, "a number from 1 to 1,024"));
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            return Err(Refusal::new("num_attention_heads", self.num_attention_heads, "a divisor of hidden_size"));
        }
        match &self.family {
            Family::Roberta { pad } if !(0..self.vocab_size).contains(pad) => {
                return Err(Refusal::new("pad_token_id", pad, "an id of the vocabulary"));
            }
            Family::ModernBert(shape) => {
                if (self.hidden_size / self.num_attention_heads) % 2 != 0 {
                    return Err(Refusal::new("num_attention_heads", self.num_attention_heads, "heads of an even size"));
                }
                for (key, value) in [
                    ("local_attention", shape.local_attention),
                    ("global_attn_every_n_layers", shape.global_attn_every_n_layers),
                ] {
                    if !(1..=MOST).contains(&value) {
                        return Err(Refusal::new(key, value, "a number from 1 to 1,048,576"));
                    }
                }
            }
            Family::Bert | Family::Roberta { .. } => {}
        }
        for (key, value) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Refusal::new(key, value, "a probability below 1"));
            }
        }
        Ok(())
    }

    /// The text of `config.json` of a masked language model. `pad` is the id of the padding token.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self, pad: u32) -> serde_json::Result<String> {
        let mut all = match serde_json::to_value(self)? {
            Value::Object(all) => all,
            _ => Map::new(),
        };
        // It decides where the positions of a RoBERTa start.
        let pad = if let Family::Roberta { pad } = self.family { pad } else { pad.into() };
        all.insert("pad_token_id".into(), pad.into());
        all.insert("tie_word_embeddings".into(), true.into());
        all.insert("torch_dtype".into(), "float32".into());
        if let Family::ModernBert(shape) = &self.family {
            all = shape.write(all);
        } else {
            all.insert("position_embedding_type".into(), "absolute".into());
            all.insert("use_cache".into(), true.into());
        }
        all.insert("architectures".into(), serde_json::json!([self.family.class("ForMaskedLM")]));
        all.insert("model_type".into(), self.family.model_type().into());
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_are_not_bert_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |entry: &str| {
            let text = format!(
                r#"{{"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 12, {entry}}}"#
            );
            fs::write(folder.path().join("config.json"), text).unwrap();
            BertConfig::read(folder.path()).map_or_else(|error| error.to_string(), |_| "read".to_owned())
        };
        for entry in [r#""model_type": "gpt2""#, r#""model_type": "xlm-roberta""#] {
            let text = error(entry);
            assert!(text.contains(", expected bert, roberta or modernbert\nhint: name a BERT"), "{text}");
        }
        assert!(error(r#""architectures": ["GPT2LMHeadModel"]"#).contains("has architectures GPT2LMHeadModel"));
        let relative = r#""model_type": "bert", "position_embedding_type": "relative_key""#;
        assert!(error(relative).contains("has position_embedding_type relative_key, expected absolute"));
        assert!(error(r#""model_type": "bert", "is_decoder": true"#).contains("has is_decoder true"));
        for entry in [r#""model_type": "bert""#, r#""architectures": ["BertForMaskedLM"]"#, r#""is_decoder": false"#] {
            assert_eq!(error(entry), "read");
        }
    }
}
