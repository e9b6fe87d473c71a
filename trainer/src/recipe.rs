//! A recipe: one pre-training run as a TOML file. Nothing of the paper's numbers is hidden in code.
//!
//! [`Recipe::load`] takes the name of a recipe of the project or the path of a file. A file with
//! `base = "e-bert"` holds only what differs from that recipe. What is in neither has the default
//! that is defined here. [`Recipe::to_toml`] has every value, and is written next to the output of
//! a run.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ebert_batches::{
    Corpus, DataOptions, PairPlan,
    masking::{
        MaskingOptions, Scheme,
        switch::{Rule, SwitchOptions},
    },
};
pub use ebert_bert::Compute;
use ebert_bert::{BertConfig, Refusal};
use serde::{Deserialize, Serialize};

use crate::{
    neighbor::{Negatives, NeighborOptions},
    optimizer::{OptimizerOptions, Trains},
};

/// One pre-training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is for, in a line.
    pub summary: String,
    /// Key of every draw of the run.
    #[serde(default)]
    pub seed: u64,
    /// What is masked.
    pub scheme: Scheme,
    /// Dropout of hidden states and attention weights.
    #[serde(default = "dropout")]
    pub dropout: f64,
    /// Steps at the start in which the masked-LM head trains alone, if the start model lacks it; 0
    /// for none.
    #[serde(default = "fresh_head_steps")]
    pub fresh_head_steps: u64,
    /// The kind of number that layers compute in; weights are always float32.
    #[serde(default)]
    pub compute: Compute,
    /// The model to start afresh. Without it a model to start from must be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelShape>,
    /// How data are read.
    #[serde(default)]
    pub data: DataOptions,
    /// How masks are drawn.
    #[serde(default)]
    pub masking: MaskingOptions,
    /// How the adaptive scheme chooses.
    #[serde(default)]
    pub switch: SwitchOptions,
    /// Neighbor Product Reconstruction, for stages that have it.
    #[serde(default)]
    pub neighbor: NeighborOptions,
    /// AdamW.
    pub optimizer: OptimizerOptions,
    /// When to measure on held-out documents.
    #[serde(default)]
    pub measure: MeasureOptions,
    /// When to save.
    #[serde(default)]
    pub checkpoint: CheckpointOptions,
    /// What is trained, one after another.
    pub stage: Vec<Stage>,
}

/// The kind of a fresh encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelFamily {
    /// BERT.
    #[default]
    Bert,
    /// RoBERTa.
    Roberta,
    /// ModernBERT.
    ModernBert,
}

impl ModelFamily {
    fn is_bert(&self) -> bool {
        *self == Self::Bert
    }
}

/// The shape of a fresh encoder; the vocabulary is that of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// BERT, RoBERTa or ModernBERT.
    #[serde(default, skip_serializing_if = "ModelFamily::is_bert")]
    pub family: ModelFamily,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Layers.
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// Width within the feed-forward layers.
    pub intermediate_size: i64,
    /// Longest sequence, special tokens counted.
    #[serde(default = "positions")]
    pub positions: i64,
}

/// When to measure on held-out documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureOptions {
    /// Steps between two measurements; 0 for none but the first and the last.
    pub every: u64,
    /// The most held-out segments to measure on.
    pub segments: usize,
    /// The most held-out pairs to measure on.
    pub pairs: usize,
}

/// When to save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointOptions {
    /// Steps between two checkpoints; 0 for none but the last.
    pub every: u64,
    /// Checkpoints to keep.
    pub keep: usize,
}

/// A part of the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Whose segments are masked.
    pub corpora: Vec<Corpus>,
    /// How often to go through them; need not be whole. Either this or `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// How many steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Which weights are trained.
    #[serde(default, skip_serializing_if = "Trains::is_all")]
    pub trains: Trains,
    /// Whether every step also reconstructs a batch of neighbors.
    #[serde(default)]
    pub neighbor: bool,
    /// The part of tokens to select in this stage, instead of `masking.budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
}

fn dropout() -> f64 {
    0.1
}
fn fresh_head_steps() -> u64 {
    100
}
fn positions() -> i64 {
    512
}

impl Default for MeasureOptions {
    fn default() -> Self {
        Self { every: 1000, segments: 1024, pairs: 256 }
    }
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { every: 1000, keep: 2 }
    }
}

/// The recipes of the project: the rows of the paper's Table 2, that of a ModernBERT, and the
/// sample's.
const KNOWN: [(&str, &str); 10] = [
    ("bert-raw", include_str!("../recipes/bert-raw.toml")),
    ("bert", include_str!("../recipes/bert.toml")),
    ("bert-np", include_str!("../recipes/bert-np.toml")),
    ("spanbert", include_str!("../recipes/spanbert.toml")),
    ("e-bert-dp", include_str!("../recipes/e-bert-dp.toml")),
    ("e-bert-ahm", include_str!("../recipes/e-bert-ahm.toml")),
    ("e-bert-products", include_str!("../recipes/e-bert-products.toml")),
    ("e-bert", include_str!("../recipes/e-bert.toml")),
    ("e-bert-modern", include_str!("../recipes/e-bert-modern.toml")),
    ("sample", include_str!("../recipes/sample.toml")),
];

/// The text of a recipe of the project.
fn text_of(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// There is none of that name.
    #[error("no recipe is called `{name}`\nhint: recipes are {}; any other is a path that ends in .toml", known())]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the recipe `{}`\nhint: name a .toml file that is there, or one of {}", path.display(), known())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not a recipe.
    #[error("recipe `{name}`: {}\nhint: trainer/recipes/e-bert.toml has every table that there is", what.trim_end())]
    Malformed {
        /// Its name.
        name: String,
        /// Where and what.
        what: String,
    },
    /// A base that is none.
    #[error("recipe `{name}`: base is {base}\nhint: a base is a recipe of the project: {}", known())]
    Base {
        /// Its name.
        name: String,
        /// What it names.
        base: String,
    },
    /// A value that cannot be.
    #[error(
        "recipe `{name}`: {key} is {found}, expected {wanted}\nhint: trainer/recipes/e-bert.toml explains every value"
    )]
    Value {
        /// Its name.
        name: String,
        /// Which value, or values.
        key: String,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// An override that is none.
    #[error(
        "`--set {text}`: {what}\nhint: key=value, such as `--set optimizer.learning_rate=5e-5` or `--set stage.0.epochs=1`"
    )]
    Override {
        /// What was given.
        text: String,
        /// What is wrong with it.
        what: String,
    },
}

fn known() -> String {
    KNOWN.map(|(name, _)| name).join(", ")
}

impl Recipe {
    /// The recipe of that name, or in that file, with overrides such as `optimizer.sequences=16` or
    /// `stage.0.steps=100` (stages count from 0 there).
    ///
    /// # Errors
    /// When the recipe does not exist, a key is unknown, or a value is not allowed.
    pub fn load(name: &str, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = match text_of(name) {
            Some(text) => text.to_owned(),
            None if name.ends_with(".toml") => {
                fs::read_to_string(name).map_err(|source| RecipeError::Io { path: PathBuf::from(name), source })?
            }
            None => return Err(RecipeError::Unknown { name: name.to_owned() }),
        };
        let malformed = |e: toml::de::Error| RecipeError::Malformed { name: name.to_owned(), what: e.to_string() };
        let mut table: toml::Table = toml::from_str(&text).map_err(malformed)?;
        if table.contains_key("base") {
            table = with_base(table, name)?;
        } else {
            // Parsed as a recipe first, so that a mistake is shown with its line.
            toml::from_str::<Self>(&text).map_err(malformed)?;
        }
        for text in overrides {
            set(&mut table, text).map_err(|what| RecipeError::Override { text: text.clone(), what })?;
        }
        let recipe: Self = table.try_into().map_err(malformed)?;
        recipe.check(name)?;
        Ok(recipe)
    }

    /// The name of a run of this recipe: the file's name without its ending.
    pub fn name_of(name: &str) -> String {
        let file = Path::new(name).file_name().map_or(name.into(), |f| f.to_string_lossy());
        file.strip_suffix(".toml").unwrap_or(&file).to_owned()
    }

    /// Every value, those of defaults included.
    pub fn to_toml(&self) -> String {
        match toml::to_string(self) {
            Ok(text) => text,
            Err(error) => unreachable!("a recipe is made of tables and values: {error}"),
        }
    }

    /// What batches of pairs hold.
    pub fn pair_plan(&self) -> PairPlan {
        let NeighborOptions { pairs, negatives, group, .. } = self.neighbor;
        let group = if negatives == Negatives::InBatch { group } else { 1 };
        PairPlan { pairs, group, mix: self.data.mix, seed: self.seed }
    }

    /// The values of keys such as `masking.span_p, masking.span_words` or `stage.0.corpora`.
    fn values_of(&self, keys: &str) -> String {
        let table = serde_json::to_value(self).unwrap_or_default();
        let place = |key: &str| format!("/{}", key.trim().replace('.', "/"));
        let value = |key| table.pointer(&place(key)).unwrap_or_default().to_string();
        keys.split([',', '+']).map(value).collect::<Vec<_>>().join(", ")
    }

    fn check(&self, name: &str) -> Result<(), RecipeError> {
        let bad = |key: &str, wanted| RecipeError::Value {
            name: name.to_owned(),
            key: key.to_owned(),
            found: self.values_of(key),
            wanted,
        };
        for check in [self.masking.check(), self.switch.check(), self.neighbor.check(), self.optimizer.check()] {
            check.map_err(|(key, wanted)| bad(key, wanted))?;
        }
        if self.masking.span_boundary && self.scheme != Scheme::Span {
            return Err(bad("masking.span_boundary", "false but for scheme = \"span\""));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(bad("dropout", "a probability below 1"));
        }
        if !(0.0..1.0).contains(&self.data.held_out) {
            return Err(bad("data.held_out", "a ratio below 1"));
        }
        if !(0.0..=1.0).contains(&self.data.text_pairs) {
            return Err(bad("data.text_pairs", "a fraction, from 0 to 1"));
        }
        if self.fresh_head_steps > MOST_STEPS {
            return Err(bad("fresh_head_steps", "a number from 0 to 1e9"));
        }
        self.data.relations.check().map_err(|(key, wanted)| bad(&key, wanted))?;
        if self.data.mix == 0 {
            return Err(bad("data.mix", "at least 1"));
        }
        if self.scheme == Scheme::Adaptive && self.switch.rule == Rule::Measured {
            // Without held-out losses, alpha would stay where it begins.
            let needed = [
                ("measure.every", self.measure.every > 0, "at least 1 with switch.rule = \"measured\""),
                ("measure.segments", self.measure.segments > 0, "at least 1 with switch.rule = \"measured\""),
                ("data.held_out", self.data.held_out > 0.0, "above 0 with switch.rule = \"measured\""),
            ];
            if let Some((key, _, wanted)) = needed.into_iter().find(|(_, has, _)| !has) {
                return Err(bad(key, wanted));
            }
        }
        if self.checkpoint.keep == 0 {
            return Err(bad("checkpoint.keep", "at least 1"));
        }
        match (self.scheme, self.stage.is_empty()) {
            (Scheme::None, false) => return Err(bad("stage", "empty (`stage = []`), since nothing is masked")),
            (Scheme::None, true) | (_, false) => {}
            (_, true) => return Err(bad("stage", "at least one")),
        }
        for (number, stage) in self.stage.iter().enumerate() {
            let key = |field: &str| format!("stage.{number}{field}");
            let long = match (stage.epochs, stage.steps) {
                (Some(epochs), None) => epochs > 0.0 && epochs <= MOST_EPOCHS,
                (None, Some(steps)) => (1..=MOST_STEPS).contains(&steps),
                _ => false,
            };
            if !long {
                let wanted = "either `epochs`, above 0 and at most 1e6, or `steps`, from 1 to 1e9";
                return Err(bad(&key(""), wanted));
            }
            if stage.neighbor && stage.trains == Trains::Head {
                return Err(bad(&key(".neighbor"), "false with trains = \"head\": the head has no part in pairs"));
            }
            if stage.budget.is_some_and(|budget| !(budget > 0.0 && budget < 1.0)) {
                return Err(bad(&key(".budget"), "a part of the tokens, between 0 and 1"));
            }
            let mut corpora = stage.corpora.clone();
            corpora.sort();
            corpora.dedup();
            if corpora.len() != stage.corpora.len() || corpora.is_empty() {
                return Err(bad(&key(".corpora"), "\"products\", \"reviews\" or both"));
            }
        }
        if let Some(shape) = &self.model {
            // The vocabulary does not matter here.
            let config = shape.config(1, 0);
            config
                .check()
                .map_err(|Refusal { key, wanted, .. }| bad(&format!("model.{}", ModelShape::key_of(key)), wanted))?;
        }
        Ok(())
    }
}

/// A stage is no longer than this: numbers of steps and epochs add up.
const MOST_EPOCHS: f64 = 1e6;
const MOST_STEPS: u64 = 1_000_000_000;

impl ModelShape {
    /// What a recipe calls an entry of `config.json`.
    fn key_of(entry: &str) -> &str {
        match entry {
            "num_hidden_layers" => "layers",
            "num_attention_heads" => "heads",
            "max_position_embeddings" => "positions",
            other => other,
        }
    }

    /// The configuration of a fresh model with a vocabulary of this size, whose padding has this id.
    /// The rest is as in the family's base model.
    pub fn config(&self, vocabulary: usize, pad: u32) -> BertConfig {
        let base = match self.family {
            ModelFamily::Bert => BertConfig::base(vocabulary as i64),
            ModelFamily::Roberta => BertConfig::roberta_base(vocabulary as i64, pad.into()),
            ModelFamily::ModernBert => BertConfig::modern_base(vocabulary as i64),
        };
        BertConfig {
            hidden_size: self.hidden_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.intermediate_size,
            // A RoBERTa's first position comes after the id of its padding.
            max_position_embeddings: base.family.first_position() + self.positions,
            ..base
        }
    }
}

/// A recipe's own values, over those of its base and of the base of that.
fn with_base(mut own: toml::Table, name: &str) -> Result<toml::Table, RecipeError> {
    let Some(base) = own.remove("base") else { return Ok(own) };
    let Some((base, text)) = base.as_str().and_then(|base| Some((base, text_of(base)?))) else {
        return Err(RecipeError::Base { name: name.to_owned(), base: base.to_string() });
    };
    let whole = toml::from_str(text)
        .map_err(|error| RecipeError::Malformed { name: base.to_owned(), what: error.to_string() })?;
    let mut whole = with_base(whole, base)?;
    merge(&mut whole, own);
    Ok(whole)
}

/// Puts the values of a table over those of another. Tables within are merged, and lists replaced.
/// A key that one of the new keys excludes is removed. Of two new keys that exclude each other both
/// stay, to be refused.
fn merge(whole: &mut toml::Table, over: toml::Table) {
    for excluded in over.keys().filter_map(|key| excluded_by(key)).filter(|key| !over.contains_key(*key)) {
        whole.remove(excluded);
    }
    for (key, value) in over {
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Table(whole)), toml::Value::Table(over)) => merge(whole, over),
            (_, value) => drop(whole.insert(key, value)),
        }
    }
}

/// Puts a value into a table, in the place of the one that it excludes.
fn insert(table: &mut toml::Table, key: String, value: toml::Value) {
    if let Some(excluded) = excluded_by(&key) {
        table.remove(excluded);
    }
    table.insert(key, value);
}

/// The key that says in another way what a key says.
fn excluded_by(key: &str) -> Option<&'static str> {
    match key {
        "steps" => Some("epochs"),
        "epochs" => Some("steps"),
        "sequences" => Some("tokens"),
        "tokens" => Some("sequences"),
        _ => None,
    }
}

/// Sets `a.b=value` in a table; a number after a dot is an index, as in `stage.0.epochs=1`. An
/// error is what is wrong with the text.
fn set(table: &mut toml::Table, text: &str) -> Result<(), String> {
    let no_override = || "is not an override".to_owned();
    let (path, value) = text.split_once('=').ok_or_else(no_override)?;
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .or_else(|_| toml::from_str(&format!("v = {:?}", value.trim())))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .ok_or_else(no_override)?;
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(no_override)?;
    let mut at: &mut toml::Table = table;
    let mut keys = keys.into_iter().peekable();
    while let Some(key) = keys.next() {
        at = match at.entry(key).or_insert_with(|| toml::Value::Table(Default::default())) {
            toml::Value::Table(inner) => inner,
            toml::Value::Array(items) => {
                let (index, many) = (keys.next().unwrap_or(last), items.len());
                let item = index.parse().ok().and_then(|index: usize| items.get_mut(index));
                item.and_then(toml::Value::as_table_mut)
                    .ok_or_else(|| format!("{key}.{index} is none of the {many} that there are, counted from 0"))?
            }
            _ => return Err(format!("{key} has nothing below it")),
        };
    }
    insert(at, last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
