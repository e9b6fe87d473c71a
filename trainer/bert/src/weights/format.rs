//! Formats of weights: the one that is read, and those that a folder may have instead.
use std::{collections::BTreeSet, fmt, fs, path::Path};

/// The file of the weights, where they are one file.
pub const WEIGHTS: &str = "model.safetensors";
/// The list of their files, where they are many.
pub const INDEX: &str = "model.safetensors.index.json";

/// Weights in a format that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// PyTorch's older format, one file or many.
    Pickled(String),
    /// A TensorFlow checkpoint, as Google published BERT; its files are this name with `.index` and
    /// `.data-…` after it.
    TensorFlow(String),
    /// Keras weights, `tf_model.h5`.
    Keras,
    /// `flax_model.msgpack`.
    Flax,
    /// LoRA or another adapter, which needs its base model.
    Adapter,
    /// Safetensors under another name.
    Renamed(String),
    /// What may be the older format of PyTorch under another name.
    RenamedPickled(String),
    /// Parts of sharded weights without their list.
    Parts(String),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pickled(file) => write!(f, "{file} (pickled PyTorch weights)"),
            Self::TensorFlow(name) => write!(f, "{name}.index (a TensorFlow checkpoint)"),
            Self::Keras => f.write_str("tf_model.h5 (TensorFlow weights)"),
            Self::Flax => f.write_str("flax_model.msgpack (Flax weights)"),
            Self::Adapter => f.write_str("adapter_model.safetensors (an adapter without its base model)"),
            Self::Renamed(file) | Self::RenamedPickled(file) => f.write_str(file),
            Self::Parts(file) => write!(f, "{file} (a part of sharded weights, whose list is missing)"),
        }
    }
}

impl Foreign {
    /// How to make `model.safetensors` of it.
    pub(super) fn hint(&self, folder: &Path) -> String {
        let at = folder.display();
        let convert = |option: &str| {
            format!(
                "python -c 'from transformers import AutoModelForMaskedLM as M; \
                 M.from_pretrained(\"{at}\"{option}).save_pretrained(\"{at}\")'"
            )
        };
        let renamed = |file: &str, name: &str| {
            format!("mv {} {}", schemas::quoted(&folder.join(file)), schemas::quoted(&folder.join(name)))
        };
        match self {
            Self::Pickled(_) => convert(""),
            Self::TensorFlow(name) => {
                let config = if folder.join(GOOGLE_CONFIG).is_file() { GOOGLE_CONFIG } else { "config.json" };
                format!(
                    "pip install \"transformers<5\" torch tensorflow, then \
                     python -c 'from transformers import BertConfig as C, BertForPreTraining as M; \
                     M.from_pretrained(\"{at}/{name}.index\", from_tf=True, \
                     config=C.from_json_file(\"{at}/{config}\")).save_pretrained(\"{at}\")'"
                )
            }
            Self::Keras => {
                format!("pip install \"transformers<5\" torch tensorflow, then {}", convert(", from_tf=True"))
            }
            Self::Flax => format!("pip install \"transformers<5\" torch flax, then {}", convert(", from_flax=True")),
            Self::Adapter => format!(
                "python -c 'from peft import AutoPeftModel as M; \
                 M.from_pretrained(\"{at}\").merge_and_unload().save_pretrained(\"another folder\")'"
            ),
            Self::Renamed(file) => format!("if these are the model's weights, {}", renamed(file, WEIGHTS)),
            Self::RenamedPickled(file) => {
                format!("if these are the model's weights, {} && {}", renamed(file, PICKLED), convert(""))
            }
            Self::Parts(_) => format!("fetch {INDEX} into the same folder"),
        }
    }
}

/// The older format of PyTorch, as `transformers` finds it.
const PICKLED: &str = "pytorch_model.bin";

/// The configuration in the archives that Google published.
const GOOGLE_CONFIG: &str = "bert_config.json";

/// Weights of a folder that are in a format that is not read; `None` where there are none.
pub fn foreign(folder: &Path) -> Option<Foreign> {
    let names: BTreeSet<String> =
        fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let found = |name: &str| names.contains(name);
    let pickled = [PICKLED, "pytorch_model.bin.index.json"].into_iter().find(|name| found(name));
    if let Some(file) = pickled {
        return Some(Foreign::Pickled(file.to_owned()));
    }
    // `bert_model.ckpt.index`, `model.ckpt-1000000.index`.
    if let Some(name) = names.iter().filter_map(|name| name.strip_suffix(".index")).find(|name| name.contains(".ckpt"))
    {
        return Some(Foreign::TensorFlow(name.to_owned()));
    }
    // What trainers save next to the weights.
    let state = |name: &String| {
        ["optimizer", "scheduler", "training_args", "rng_state"].iter().any(|part| name.starts_with(part))
    };
    let other = |extension: &str| names.iter().find(|name| name.ends_with(extension) && !state(name)).cloned();
    if found("tf_model.h5") {
        return Some(Foreign::Keras);
    }
    if found("flax_model.msgpack") {
        return Some(Foreign::Flax);
    }
    if found("adapter_model.safetensors") {
        return Some(Foreign::Adapter);
    }
    if let Some(file) = names.iter().find(|name| name.contains("-of-") && name.ends_with(".safetensors")) {
        return Some(Foreign::Parts(file.clone()));
    }
    other(".safetensors")
        .map(Foreign::Renamed)
        .or_else(|| other(".bin").or_else(|| other(".pt")).map(Foreign::RenamedPickled))
}
