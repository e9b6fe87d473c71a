//! The kinds of encoders: BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and ModernBERT
//! (Warner et al. 2024).
//!
//! RoBERTa is BERT with other names of weights, no token types, and positions that start after that
//! of `<pad>`. ModernBERT has rotary positions, norms before instead of after a sublayer, a gated
//! feed-forward layer, no biases, and two layers of three that see a window only.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::activation::Activation;

/// The kind of an encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Family {
    /// BERT.
    #[default]
    Bert,
    /// RoBERTa.
    Roberta {
        /// The id of `<pad>`, which decides where positions start.
        pad: i64,
    },
    /// ModernBERT.
    ModernBert(ModernBert),
}

/// What only a ModernBERT has. Field names are those of `transformers`' `ModernBertConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModernBert {
    /// Every so many layers, one sees the whole sequence. The first does.
    pub global_attn_every_n_layers: i64,
    /// Tokens that the other layers see, half of them on each side.
    pub local_attention: i64,
    /// Base of the rotary positions where the whole sequence is seen.
    pub global_rope_theta: f64,
    /// Base of the others.
    pub local_rope_theta: f64,
    /// The activation of the masked-LM head.
    pub classifier_activation: Activation,
}

/// An entry of a configuration that is not supported.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub found: String,
    /// What it may be.
    pub wanted: &'static str,
}

impl Refusal {
    pub(crate) fn new(key: &'static str, found: impl ToString, wanted: &'static str) -> Self {
        Self { key, found: found.to_string(), wanted }
    }
}

/// Why the entries of a ModernBERT cannot be read.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// One of them is not supported.
    Refused(Refusal),
    /// One of them is not what it should be.
    Malformed(serde_json::Error),
}

impl From<Refusal> for ParseError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Those of ModernBERT-base.
impl Default for ModernBert {
    fn default() -> Self {
        Self {
            global_attn_every_n_layers: 3,
            local_attention: 128,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
            classifier_activation: Activation::Gelu,
        }
    }
}

/// The names of a family's weights, as `transformers` has them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WeightNames {
    /// What stands before all weights of the encoder.
    pub(crate) encoder: &'static str,
    /// The word embedding, after that. Every encoder has it, once.
    pub(crate) words: &'static str,
    /// How the names of the encoder's parts begin after that. A pooler is optional.
    pub(crate) parts: [&'static str; 3],
    /// What stands before the number of a layer.
    pub(crate) layers: &'static str,
    /// How the names of the masked-LM head begin.
    pub(crate) head: [&'static str; 2],
    /// The decoder of the head, which is the word embedding.
    pub(crate) decoder: &'static str,
    /// The bias of the decoder.
    pub(crate) decoder_bias: &'static str,
    /// Another name of it.
    pub(crate) decoder_bias_alias: &'static str,
}

pub(crate) static BERT: WeightNames = WeightNames {
    encoder: "bert.",
    words: "embeddings.word_embeddings.weight",
    parts: ["embeddings.", "encoder.", "pooler."],
    layers: "bert.encoder.layer.",
    head: ["cls.predictions.", "cls.predictions."],
    decoder: "cls.predictions.decoder.weight",
    decoder_bias: "cls.predictions.bias",
    decoder_bias_alias: "cls.predictions.decoder.bias",
};

pub(crate) static ROBERTA: WeightNames = WeightNames {
    encoder: "roberta.",
    words: "embeddings.word_embeddings.weight",
    parts: ["embeddings.", "encoder.", "pooler."],
    layers: "roberta.encoder.layer.",
    head: ["lm_head.", "lm_head."],
    decoder: "lm_head.decoder.weight",
    decoder_bias: "lm_head.bias",
    decoder_bias_alias: "lm_head.decoder.bias",
};

pub(crate) static MODERN_BERT: WeightNames = WeightNames {
    encoder: "model.",
    words: "embeddings.tok_embeddings.weight",
    parts: ["embeddings.", "layers.", "final_norm."],
    layers: "model.layers.",
    head: ["head.", "decoder."],
    decoder: "decoder.weight",
    decoder_bias: "decoder.bias",
    decoder_bias_alias: "decoder.bias",
};

impl WeightNames {
    /// Whether a name, without what stands before all of them, is of the encoder.
    pub(crate) fn is_part(&self, rest: &str) -> bool {
        self.parts.iter().any(|part| rest.starts_with(part))
    }

    /// Whether every encoder of the family has a weight of this name. A pooler is optional.
    pub(crate) fn is_needed(&self, name: &str) -> bool {
        name.strip_prefix(self.encoder).is_some_and(|rest| self.is_part(rest) && !rest.starts_with("pooler."))
    }
}

/// Whether a weight belongs to a masked-LM head. The decoder, which is the word embedding, does not.
pub fn is_of_masked_lm_head(name: &str) -> bool {
    [&BERT, &ROBERTA, &MODERN_BERT].iter().any(|names| names.head.iter().any(|head| name.starts_with(head)))
}

impl Family {
    /// The family that a `config.json` names.
    pub(crate) fn of(all: &Map<String, Value>) -> Result<Self, Refusal> {
        let class = all.get("architectures").and_then(|classes| classes.get(0)).and_then(Value::as_str);
        let family = match (all.get("model_type").filter(|kind| !kind.is_null()), class) {
            (Some(kind), _) => match kind.as_str() {
                Some("bert") => Self::Bert,
                Some("roberta") => Self::Roberta { pad: all.get("pad_token_id").and_then(Value::as_i64).unwrap_or(1) },
                Some("modernbert") => Self::ModernBert(ModernBert::default()),
                _ => {
                    let found = kind.as_str().map_or_else(|| kind.to_string(), str::to_owned);
                    return Err(Refusal::new("model_type", found, "bert, roberta or modernbert"));
                }
            },
            // Old files name the class alone.
            (None, Some(class)) if !class.starts_with("Bert") => {
                return Err(Refusal::new("architectures", class, "a class of BERT, such as BertForMaskedLM"));
            }
            (None, _) => Self::Bert,
        };
        match all.get("position_embedding_type") {
            None | Some(Value::Null) => {}
            Some(Value::String(found)) if found == "absolute" => {}
            Some(found) => {
                let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                return Err(Refusal::new("position_embedding_type", found, "absolute"));
            }
        }
        Ok(family)
    }

    /// The entry `model_type` of its configurations.
    pub fn model_type(&self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta { .. } => "roberta",
            Self::ModernBert(_) => "modernbert",
        }
    }

    /// Its name, for a person.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bert => "BERT",
            Self::Roberta { .. } => "RoBERTa",
            Self::ModernBert(_) => "ModernBERT",
        }
    }

    /// Its class of `transformers` for a purpose, such as `ForMaskedLM`.
    pub fn class(&self, purpose: &str) -> String {
        let prefix = match self {
            Self::Bert => "Bert",
            Self::Roberta { .. } => "Roberta",
            Self::ModernBert(_) => "ModernBert",
        };
        format!("{prefix}{purpose}")
    }

    /// The position of the first token of a sequence.
    pub fn first_position(&self) -> i64 {
        match self {
            Self::Roberta { pad } => pad + 1,
            Self::Bert | Self::ModernBert(_) => 0,
        }
    }

    /// What stands before all weights of the encoder, as in `bert.`.
    pub fn encoder_prefix(&self) -> &'static str {
        self.names().encoder
    }

    /// How the names of the weights of a masked-LM head begin, for a message: `cls.predictions.*`.
    pub fn masked_lm_head(&self) -> String {
        let [first, second] = self.names().head;
        if first == second { format!("`{first}*`") } else { format!("`{first}*` and `{second}*`") }
    }

    pub(crate) fn names(&self) -> &'static WeightNames {
        match self {
            Self::Bert => &BERT,
            Self::Roberta { .. } => &ROBERTA,
            Self::ModernBert(_) => &MODERN_BERT,
        }
    }
}

/// Entries of a ModernBERT that may have one value only.
const FIXED: [(&str, bool); 6] = [
    ("norm_bias", false),
    ("attention_bias", false),
    ("mlp_bias", false),
    ("classifier_bias", false),
    ("decoder_bias", true),
    ("tie_word_embeddings", true),
];

/// A theta by the kind of layer, in files of `transformers` 5.
const ROPE: [(&str, &str); 2] = [("full_attention", "global_rope_theta"), ("sliding_attention", "local_rope_theta")];

impl ModernBert {
    /// Whether a layer sees the whole sequence.
    pub(crate) fn is_global(&self, layer: i64) -> bool {
        layer % self.global_attn_every_n_layers == 0
    }

    /// Reads its entries. All others get the names that they have in a BERT.
    pub(crate) fn parse(mut all: Map<String, Value>) -> Result<(Self, Map<String, Value>), ParseError> {
        for (key, wanted) in FIXED {
            match all.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Bool(found)) if *found == wanted => {}
                Some(found) => return Err(Refusal::new(key, found, if wanted { "true" } else { "false" }).into()),
            }
        }
        if let Some(Value::Object(rope)) = all.get("rope_parameters").cloned() {
            for (kind, theta) in ROPE {
                let Some(parameters) = rope.get(kind).filter(|of_kind| !of_kind.is_null()) else { continue };
                match parameters.get("rope_type") {
                    None => {}
                    Some(Value::String(found)) if found == "default" => {}
                    Some(found) => return Err(Refusal::new("rope_type", found, "default").into()),
                }
                if let Some(found) = parameters.get("rope_theta") {
                    all.insert(theta.to_owned(), found.clone());
                }
            }
        }
        if let Some(Value::Array(kinds)) = all.get("layer_types").cloned() {
            let is_global: Vec<bool> = kinds.iter().map(|kind| kind == "full_attention").collect();
            let period = 1 + is_global.iter().skip(1).take_while(|global| !**global).count();
            if is_global.iter().enumerate().any(|(layer, global)| *global != layer.is_multiple_of(period)) {
                let wanted = "full_attention in the first of every few layers";
                return Err(Refusal::new("layer_types", "another order", wanted).into());
            }
            all.insert("global_attn_every_n_layers".to_owned(), period.into());
        }
        let number = |all: &Map<String, Value>, key: &str| all.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let dropout = number(&all, "mlp_dropout");
        if number(&all, "embedding_dropout") != dropout {
            let found = number(&all, "embedding_dropout");
            return Err(Refusal::new("embedding_dropout", found, "the value of mlp_dropout").into());
        }
        let shape: Self = serde_json::from_value(all.clone().into()).map_err(ParseError::Malformed)?;
        let attention = number(&all, "attention_dropout");
        all.insert("hidden_dropout_prob".to_owned(), dropout.into());
        all.insert("attention_probs_dropout_prob".to_owned(), attention.into());
        for (theirs, ours, default) in [
            ("hidden_activation", "hidden_act", json!("gelu")),
            ("norm_eps", "layer_norm_eps", json!(1e-5)),
            ("max_position_embeddings", "max_position_embeddings", json!(8192)),
        ] {
            let value = all.get(theirs).cloned().unwrap_or(default);
            all.insert(ours.to_owned(), value);
        }
        all.insert("type_vocab_size".to_owned(), 1.into());
        Ok((shape, all))
    }

    /// The entries of a configuration of `transformers`, from those with the names of a BERT.
    pub(crate) fn write(&self, mut all: Map<String, Value>) -> Map<String, Value> {
        for (ours, theirs) in [
            ("hidden_act", &["hidden_activation"][..]),
            ("layer_norm_eps", &["norm_eps"]),
            ("hidden_dropout_prob", &["embedding_dropout", "mlp_dropout"]),
            ("attention_probs_dropout_prob", &["attention_dropout"]),
            ("type_vocab_size", &[]),
        ] {
            let value = all.remove(ours).unwrap_or_default();
            theirs.iter().for_each(|name| drop(all.insert((*name).to_owned(), value.clone())));
        }
        all.extend(FIXED.map(|(key, value)| (key.to_owned(), value.into())));
        // Its defaults are ids of one vocabulary.
        all.extend(["bos", "eos", "cls", "sep"].map(|token| (format!("{token}_token_id"), Value::Null)));
        if let Ok(Value::Object(own)) = serde_json::to_value(self) {
            all.extend(own);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::BertConfig;

    fn read(text: &str) -> Result<BertConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), text).unwrap();
        BertConfig::read(folder.path()).map_err(|error| error.to_string())
    }

    const SIZES: &str = r#""vocab_size": 60, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 12"#;

    #[test]
    fn configurations_come_back_as_they_were_written() {
        let modern = r#""model_type": "modernbert", "norm_eps": 1e-6, "mlp_dropout": 0.2, "embedding_dropout": 0.2,
            "attention_dropout": 0.1, "hidden_activation": "gelu", "local_attention": 32"#;
        let roberta = r#""model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1"#;
        for (entries, longest, prefix) in
            [(modern, 8192, "model."), (roberta, 512, "roberta."), (r#""model_type": "bert""#, 512, "bert.")]
        {
            let config = read(&format!("{{{SIZES}, {entries}}}")).unwrap();
            assert_eq!((config.longest_sequence(), config.family.encoder_prefix()), (longest, prefix));
            let text = config.to_json(0).unwrap();
            assert_eq!(read(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn rotary_positions_are_read_from_old_and_new_files() {
        let old = r#""model_type": "modernbert", "global_rope_theta": 5000.0, "global_attn_every_n_layers": 2"#;
        let new = r#""model_type": "modernbert",
            "layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 5000.0},
                                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}"#;
        let [old, new] = [old, new].map(|entries| read(&format!("{{{SIZES}, {entries}}}")).unwrap());
        assert_eq!(old, new);
        let Family::ModernBert(shape) = new.family else { panic!() };
        assert!(shape.is_global(0) && !shape.is_global(1) && shape.is_global(2));
    }

    #[test]
    fn what_a_modernbert_cannot_have_is_refused() {
        for (entries, wanted) in [
            (r#""num_attention_heads": 8"#, "has num_attention_heads 8, expected heads of an even size"),
            (r#""local_attention": -1"#, "has local_attention -1, expected a number from 1"),
            (r#""global_attn_every_n_layers": 0"#, "has global_attn_every_n_layers 0, expected a number from 1"),
            (r#""mlp_bias": true"#, "has mlp_bias true, expected false"),
            (r#""embedding_dropout": 0.1"#, "has embedding_dropout 0.1, expected the value of mlp_dropout"),
            (r#""rope_parameters": {"full_attention": {"rope_type": "yarn"}}"#, "has rope_type \"yarn\""),
            (r#""layer_types": ["sliding_attention", "full_attention"]"#, "has layer_types another order"),
        ] {
            let error = read(&format!("{{{SIZES}, \"model_type\": \"modernbert\", {entries}}}")).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let error = read(&format!("{{{SIZES}, \"model_type\": \"roberta\", \"pad_token_id\": -1}}")).unwrap_err();
        assert!(error.contains("has pad_token_id -1, expected an id of the vocabulary"), "{error}");
    }
}
