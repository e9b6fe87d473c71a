//! Names of weights: what others call a weight, and what the model calls it.
use std::{collections::BTreeSet, fmt};

use crate::family::WeightNames;

/// Modules that PyTorch puts around others: data parallel, compiled, sharded, recomputed.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// How the names of a folder become those of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    names: &'static WeightNames,
    /// What stands before the names of the encoder, as in `model.bert.`.
    encoder: String,
    /// What stands before those of the whole model, as in `model.`.
    whole: String,
}

impl Naming {
    /// Of a folder with these names. Where it is not clear which encoder is meant, names stay as
    /// they are.
    pub(super) fn of<'a>(names: &'static WeightNames, stored: impl Iterator<Item = &'a str>) -> Self {
        let found = encoders(names, stored);
        let encoder = match found.iter().find(|prefix| [names.encoder, ""].contains(&prefix.as_str())) {
            Some(plain) => plain.clone(),
            None if found.len() == 1 => found.into_iter().next().unwrap_or_default(),
            None => String::new(),
        };
        let whole = match encoder.strip_suffix(names.encoder) {
            Some(whole) if whole.is_empty() || whole.ends_with('.') => whole.to_owned(),
            _ => encoder.clone(),
        };
        Self { names, encoder, whole }
    }

    /// The name that the model gives a weight. Once, `gamma` and `beta` were what `weight` and
    /// `bias` of a layer norm are.
    pub(super) fn modern(&self, name: &str) -> String {
        let name = unwrapped(name);
        let name = match name.rsplit_once(".LayerNorm.") {
            Some((module, "gamma")) => format!("{module}.LayerNorm.weight"),
            Some((module, "beta")) => format!("{module}.LayerNorm.bias"),
            _ => name,
        };
        let of_encoder = |rest: &&str| self.names.is_part(rest);
        let whole = || name.strip_prefix(&self.whole).unwrap_or(&name);
        let rest = name.strip_prefix(&self.encoder).filter(of_encoder).unwrap_or_else(whole);
        // A pooler may be named as in a bare encoder, next to an encoder that is not.
        if of_encoder(&rest) { format!("{}{rest}", self.names.encoder) } else { rest.to_owned() }
    }
}

/// A name without what PyTorch puts around modules.
fn unwrapped(name: &str) -> String {
    name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
}

/// What stands before the names of each encoder.
fn encoders<'a>(names: &WeightNames, stored: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let prefix = |name: &str| {
        let prefix = unwrapped(name).strip_suffix(names.words).map(str::to_owned);
        prefix.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    };
    stored.filter_map(prefix).collect()
}

/// What names there are where weights of the encoder are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Of fewer layers.
    Layers {
        /// As the weights have them.
        found: usize,
        /// As the configuration says.
        wanted: usize,
    },
    /// Of several encoders.
    Encoders(Vec<String>),
    /// Others, most of which begin like this.
    Others {
        /// That beginning.
        found: String,
        /// What it is in such a model.
        wanted: &'static str,
    },
    /// None.
    Nothing,
}

impl Names {
    /// Of a folder with these names, where a model of so many layers was wanted.
    pub(super) fn of(names: &'static WeightNames, stored: &[&str], wanted: usize) -> Self {
        let several = encoders(names, stored.iter().copied());
        let naming = Naming::of(names, stored.iter().copied());
        let modern: Vec<String> = stored.iter().map(|name| naming.modern(name)).collect();
        let layer = |name: &String| name.strip_prefix(names.layers)?.split('.').next()?.parse::<usize>().ok();
        let found = modern.iter().filter_map(layer).max().map_or(0, |last| last + 1);
        if several.len() > 1 && !modern.iter().any(|name| name.starts_with(names.encoder)) {
            return Self::Encoders(several.into_iter().collect());
        }
        if several.len() == 1 && found != wanted {
            return Self::Layers { found, wanted };
        }
        // The most frequent first part, of equal ones the first.
        let first = |name: &&str| name.split_inclusive('.').next().map(str::to_owned);
        let firsts: Vec<String> = stored.iter().filter_map(first).collect();
        let count = |part: &String| firsts.iter().filter(|other| *other == part).count();
        let parts: BTreeSet<&String> = firsts.iter().collect();
        match parts.into_iter().rev().max_by_key(|part| count(part)) {
            Some(part) => Self::Others { found: part.clone(), wanted: names.encoder },
            None => Self::Nothing,
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layers { found, wanted } => write!(
                f,
                "found {found} layers, expected {wanted}\nhint: do config.json (num_hidden_layers) and the weights belong together?"
            ),
            Self::Encoders(prefixes) => write!(
                f,
                "found several encoders, `{}`\nhint: save one of them alone, with its own save_pretrained(folder)",
                prefixes.join("`, `")
            ),
            Self::Others { found, wanted } => write!(
                f,
                "most names begin with `{found}`, expected `{wanted}`\nhint: do config.json (model_type) and the weights belong together? save it from `transformers`, with save_pretrained(folder)"
            ),
            Self::Nothing => f.write_str("found no weights at all\nhint: save it again, with save_pretrained(folder)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{BERT, MODERN_BERT, ROBERTA};

    #[test]
    fn prefixes_around_the_model_are_stripped() {
        for (stored, wanted) in [
            (["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"], ["bert.", "cls.predictions.bias"]),
            (["embeddings.word_embeddings.weight", "pooler.dense.bias"], ["bert.", "bert.pooler.dense.bias"]),
            (
                ["module.bert.embeddings.word_embeddings.weight", "module.cls.predictions.decoder.bias"],
                ["bert.", "cls.predictions.decoder.bias"],
            ),
            (
                ["_orig_mod.module.bert.embeddings.word_embeddings.weight", "_orig_mod.module.cls.predictions.bias"],
                ["bert.", "cls.predictions.bias"],
            ),
            (
                ["module.embeddings.word_embeddings.weight", "module.encoder.layer.0.output.dense.bias"],
                ["bert.", "bert.encoder.layer.0.output.dense.bias"],
            ),
            (
                ["model.bert.embeddings.word_embeddings.weight", "model.cls.predictions.bias"],
                ["bert.", "cls.predictions.bias"],
            ),
            // The head next to the wrapped encoder.
            (
                ["model.bert.embeddings.word_embeddings.weight", "cls.predictions.bias"],
                ["bert.", "cls.predictions.bias"],
            ),
            (
                ["encoder.embeddings.word_embeddings.weight", "encoder.encoder.layer.3.output.LayerNorm.gamma"],
                ["bert.", "bert.encoder.layer.3.output.LayerNorm.weight"],
            ),
            (["0.auto_model.embeddings.word_embeddings.weight", "2.linear.weight"], ["bert.", "2.linear.weight"]),
            (
                [
                    "bert.embeddings.word_embeddings.weight",
                    "bert.encoder.layer.0._checkpoint_wrapped_module.output.dense.bias",
                ],
                ["bert.", "bert.encoder.layer.0.output.dense.bias"],
            ),
            (["bert.embeddings.word_embeddings.weight", "pooler.dense.bias"], ["bert.", "bert.pooler.dense.bias"]),
            // Not an encoder called `bert`.
            (
                ["my_bert.embeddings.word_embeddings.weight", "my_bert.pooler.dense.bias"],
                ["bert.", "bert.pooler.dense.bias"],
            ),
        ] {
            let naming = Naming::of(&BERT, stored.into_iter());
            assert_eq!(naming.modern(stored[0]), format!("{}{}", wanted[0], BERT.words), "{stored:?}");
            assert_eq!(naming.modern(stored[1]), wanted[1], "{stored:?}");
        }
    }

    #[test]
    fn what_is_there_instead_is_named() {
        let two = ["student.bert.embeddings.word_embeddings.weight", "teacher.bert.embeddings.word_embeddings.weight"];
        assert_eq!(Naming::of(&BERT, two.into_iter()).modern(two[0]), two[0]);
        let text = Names::of(&BERT, &two, 2).to_string();
        assert!(text.starts_with("found several encoders, `student.bert.`, `teacher.bert.`"), "{text}");
        let roberta = ["lm_head.bias", "roberta.encoder.layer.0.output.dense.bias", "roberta.pooler.dense.bias"];
        assert_eq!(Names::of(&BERT, &roberta, 2), Names::Others { found: "roberta.".to_owned(), wanted: "bert." });
        let short = ["module.bert.embeddings.word_embeddings.weight", "module.bert.encoder.layer.1.output.dense.bias"];
        assert_eq!(Names::of(&BERT, &short, 12), Names::Layers { found: 2, wanted: 12 });
        assert_eq!(Names::of(&BERT, &[], 2), Names::Nothing);
    }

    #[test]
    fn other_families_have_prefixes_too() {
        for (names, stored, wanted) in [
            (&ROBERTA, ["embeddings.word_embeddings.weight", "pooler.dense.bias"], "roberta.pooler.dense.bias"),
            (&ROBERTA, ["module.roberta.embeddings.word_embeddings.weight", "module.lm_head.bias"], "lm_head.bias"),
            (
                &MODERN_BERT,
                ["embeddings.tok_embeddings.weight", "layers.3.attn.Wo.weight"],
                "model.layers.3.attn.Wo.weight",
            ),
            (&MODERN_BERT, ["model.embeddings.tok_embeddings.weight", "head.norm.weight"], "head.norm.weight"),
            (
                &MODERN_BERT,
                ["_orig_mod.model.embeddings.tok_embeddings.weight", "_orig_mod.decoder.bias"],
                "decoder.bias",
            ),
        ] {
            let naming = Naming::of(names, stored.into_iter());
            assert_eq!(naming.modern(stored[0]), format!("{}{}", names.encoder, names.words), "{stored:?}");
            assert_eq!(naming.modern(stored[1]), wanted, "{stored:?}");
        }
    }
}
