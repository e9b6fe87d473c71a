//! The model that a run starts from: fresh, or the weights of a Hugging Face folder.
mod tokens;

use std::path::{Path, PathBuf};

use schemas::{StoreError, store::hash_file};
use tch::{Device, Tensor};

use crate::{
    fetch::{FetchError, fetch},
    model::sequence_format,
    recipe::Recipe,
};
use ebert_batches::{
    Shards,
    vocabulary::{Vocabulary, VocabularyError},
};
use ebert_bert::{
    BertConfig, BertForMaskedLm, CannotCompute, Compute, ConfigError, Decision, is_of_masked_lm_head,
    tokens::{Added, TokensError, added, normalized, normalized_by, tokenizer},
    weights::{self, Foreign, WeightsError},
};
use ebert_hub::Progress;
use tokens::tokens_of_model;

/// A run cannot start from this.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The recipe post-trains, and nothing was named to start from.
    #[error(
        "recipe `{recipe}` post-trains a model, and none is named\n\
         hint: `ebert pretrain --recipe {} --init bert-base-uncased`, or the folder of a Hugging Face BERT; the recipe `sample` starts from scratch",
        schemas::quoted(recipe.as_ref())
    )]
    Wanted {
        /// The recipe.
        recipe: String,
    },
    /// It is not a folder.
    #[error(
        "`{}` is not a folder, nor can it be a model's id\nhint: name {}",
        path.display(),
        match path.parent() {
            Some(folder) if path.is_file() => format!("its folder, {}", folder.join("").display()),
            _ => "a Hugging Face folder, or an id on the hub such as bert-base-uncased".to_owned(),
        }
    )]
    NoFolder {
        /// What was named.
        path: PathBuf,
    },
    /// It is a folder without a model.
    #[error(
        "`{}` is not the folder of a model: it has no config.json\n\
         hint: name the folder of a Hugging Face BERT, or of a run, such as data/work/runs/sample",
        path.display()
    )]
    NoModel {
        /// What was named.
        path: PathBuf,
    },
    /// It is a model's id.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its vocabulary is another.
    #[error(
        "the vocabulary of `{}` does not fit the shards: token {id} is {found}, in the shards {wanted}\n\
         hint: {}",
        file.display(), shards_of(file.parent().unwrap_or(file))
    )]
    Vocabulary {
        /// Its vocabulary.
        file: PathBuf,
        /// The first id that differs.
        id: usize,
        /// What it is there.
        found: String,
        /// What it is in the shards.
        wanted: String,
    },
    /// It reads text in another way.
    #[error(
        "the tokenizer of `{}` reads `{text}` as `{found}`, that of the shards as `{wanted}`\nhint: {}",
        folder.display(), shards_of(folder)
    )]
    Normalizer {
        /// The model.
        folder: PathBuf,
        /// A text.
        text: &'static str,
        /// What it makes of it.
        found: String,
        /// What the shards' makes of it.
        wanted: String,
    },
    /// It has fewer or more rows than the shards have tokens, and no vocabulary to compare.
    #[error(
        "`{}` has {found} word embeddings, and the shards {wanted} tokens\nhint: {}",
        folder.display(),
        shards_of(folder)
    )]
    VocabularySize {
        /// The model.
        folder: PathBuf,
        /// Its rows.
        found: i64,
        /// Tokens of the shards.
        wanted: usize,
    },
    /// Its positions do not reach.
    #[error(
        "the model has {positions} positions, and segments of the shards need {wanted} ({tokens} tokens, [CLS] and [SEP])\n\
         hint: `ebert shards --max-tokens {} --out DIR`, another folder",
        positions.saturating_sub(2)
    )]
    Positions {
        /// Its positions.
        positions: usize,
        /// Positions that are needed.
        wanted: usize,
        /// Tokens of the longest segment.
        tokens: u16,
    },
    /// It has no second token type.
    #[error(
        "data.text_pairs is {fraction}, and the model has {types} token type\n\
         hint: `--set data.text_pairs=0`, or start from a model with two token types, such as bert-base-uncased"
    )]
    Types {
        /// As the recipe says.
        fraction: f64,
        /// Token types of the model.
        types: i64,
    },
    /// The device cannot compute as the recipe demands.
    #[error(transparent)]
    Compute(#[from] CannotCompute),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its vocabulary cannot be read.
    #[error(transparent)]
    Tokens(#[from] VocabularyError),
    /// Its added tokens cannot be read.
    #[error(transparent)]
    Added(#[from] TokensError),
    /// A file of it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The folder of what a user names as a model: a Hugging Face folder, a run's folder, whose `model`
/// it is, or a model's id on the hub, which is then fetched. `talk` shows bars.
///
/// # Errors
/// When it is none of them.
pub fn folder_of(model: &Path, talk: bool) -> Result<PathBuf, InitError> {
    let result = model.join("model");
    match hub_id(model) {
        _ if model.join("config.json").is_file() => Ok(model.to_owned()),
        _ if result.join("config.json").is_file() => Ok(result),
        _ if let Some(error) = published_by_google(model) => Err(error.into()),
        _ if model.is_dir() => Err(InitError::NoModel { path: model.to_owned() }),
        Some(id) => Ok(fetch(id, if talk { Progress::Bars } else { Progress::Hidden })?),
        None => Err(InitError::NoFolder { path: model.to_owned() }),
    }
}

/// The id on the hub, maybe with a revision, that a user names as a model. `None` for a folder or a
/// file here.
pub(crate) fn hub_id(model: &Path) -> Option<&str> {
    model.to_str().filter(|id| !model.exists() && ebert_hub::is_id(id))
}

/// What is wrong with the folder of a TensorFlow checkpoint, which has no config.json, or with the
/// name of the checkpoint in it.
fn published_by_google(model: &Path) -> Option<WeightsError> {
    let named = model.file_name().is_some_and(|name| name.to_string_lossy().contains(".ckpt"));
    let folder = if named && !model.is_dir() { model.parent()? } else { model };
    let foreign = weights::foreign(folder).filter(|foreign| matches!(foreign, Foreign::TensorFlow(_)))?;
    Some(WeightsError::Absent { folder: folder.to_owned(), foreign: Some(foreign) })
}

/// A model to start from, checked as far as it can be without shards: configuration, files, names
/// and shapes of weights, tokenizer. No weight is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    folder: PathBuf,
    config: BertConfig,
    vocabulary: Option<(PathBuf, Vec<String>)>,
    added: Vec<Added>,
    head: Head,
    notes: Vec<String>,
}

/// Whether the masked-LM head is behind the encoder at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is stored with the encoder, or both are fresh.
    Loaded,
    /// The encoder is trained, and at least a weight of the head is fresh.
    Fresh,
}

impl Candidate {
    /// Of a Hugging Face folder.
    ///
    /// # Errors
    /// When it is not a BERT, or its files cannot be used.
    pub fn read(folder: &Path) -> Result<Self, InitError> {
        let config = BertConfig::read(folder)?;
        let outline = BertForMaskedLm::outline(&config);
        let found = weights::check(folder, &config.family, &outline)?;
        let mut notes = Vec::new();
        let head = if found.fresh.is_empty() { Head::Loaded } else { Head::Fresh };
        if head == Head::Fresh {
            notes.push(format!(
                "{} of the masked-LM head's {} weights are not in `{}`, and start fresh",
                found.fresh.len(),
                outline.iter().filter(|(name, _)| is_of_masked_lm_head(name)).count(),
                folder.display()
            ));
        }
        let (pooler, unused): (Vec<_>, Vec<_>) = found.unused.into_iter().partition(|name| weights::is_of_pooler(name));
        if !pooler.is_empty() {
            notes.push("the pooler is not trained; checkpoints have it as it is".to_owned());
        }
        if !unused.is_empty() {
            notes.push(format!("left out, because the model has no place for them: {}", unused.join(", ")));
        }
        let vocabulary = tokens_of_model(folder)?;
        let added = added(folder)?;
        Ok(Self { folder: folder.to_owned(), config, vocabulary, added, head, notes })
    }

    /// Its configuration.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Whether its masked-LM head is stored.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks that token ids mean the same to the model and the shards. Returns what a person should
    /// know.
    ///
    /// # Errors
    /// When a token, or what is made of a text before, differs.
    pub fn fits(&self, shards: &Shards) -> Result<Vec<String>, InitError> {
        let of_vocabulary = fits(&self.folder, &self.config, self.vocabulary.as_ref(), shards.vocabulary())?;
        Ok(of_vocabulary.into_iter().chain(reads_alike(&self.folder, shards)?).collect())
    }
}

/// The start of a run, checked against the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The configuration, as checkpoints have it: its dropout is for whoever fine-tunes them.
    pub config: BertConfig,
    /// Dropout of this training.
    dropout: f64,
    /// Where the weights are, and the hash of all that decides them. `None` for a fresh model.
    pub from: Option<(PathBuf, String)>,
    /// Whether its masked-LM head is behind the encoder.
    pub head: Head,
    /// Tokens that were added to the model's vocabulary after those of the shards; checkpoints keep
    /// them.
    pub added: Vec<Added>,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

/// What checkpoints carry on from the start model unchanged, so that tasks find it as they would
/// there.
#[derive(Debug)]
pub struct Carried {
    /// Its configuration, with its own dropout.
    pub config: BertConfig,
    /// Its pooler.
    pub pooler: Vec<(String, Tensor)>,
    /// Its added tokens beyond the vocabulary of the shards.
    pub added: Vec<Added>,
}

impl Start {
    /// Decides what to start from; `init` goes before the recipe's own model.
    ///
    /// # Errors
    /// When there is nothing to start from, or it does not fit the shards.
    pub fn choose(recipe: &Recipe, name: &str, init: Option<Candidate>, shards: &Shards) -> Result<Self, InitError> {
        let vocabulary = shards.vocabulary();
        let mut start = match (init, recipe.model) {
            (None, None) => return Err(InitError::Wanted { recipe: name.to_owned() }),
            (None, Some(shape)) => {
                let config = shape.config(vocabulary.len(), vocabulary.special.pad);
                let (dropout, head) = (recipe.dropout, Head::Loaded);
                Self { config, dropout, from: None, head, added: Vec::new(), notes: Vec::new() }
            }
            (Some(candidate), _) => {
                let fit = candidate.fits(shards)?;
                let Candidate { folder, config, mut added, head, mut notes, .. } = candidate;
                notes.extend(fit);
                // Those alone that the model has embeddings of.
                let beyond = vocabulary.len() as i64..config.vocab_size;
                added.retain(|added| beyond.contains(&i64::from(added.id)));
                if !added.is_empty() {
                    let names: Vec<&str> = added.iter().map(|added| added.token.content.as_str()).collect();
                    notes.push(format!(
                        "added tokens that the shards do not have, kept in checkpoints: {}",
                        names.join(", ")
                    ));
                }
                let mut hasher = blake3::Hasher::new();
                for file in [folder.join("config.json")].into_iter().chain(weights::files(&folder)?) {
                    hasher.update(hash_file(&file)?.as_bytes());
                }
                let hash = hasher.finalize().to_hex().to_string();
                Self { config, dropout: recipe.dropout, from: Some((folder, hash)), head, added, notes }
            }
        };
        let (positions, tokens) = (start.config.longest_sequence(), shards.manifest().body.max_tokens);
        let wanted = tokens as usize + 2;
        if positions < wanted {
            return Err(InitError::Positions { positions, wanted, tokens });
        }
        let (fraction, types) = (recipe.data.text_pairs, start.config.type_vocab_size);
        if fraction > 0.0 && types < 2 && sequence_format(&start.config.family).has_types() {
            return Err(InitError::Types { fraction, types });
        }
        if !recipe.stage.is_empty() {
            start.config.trained_sequence_length = start.config.trained_sequence_length.max(Some(wanted));
        }
        Ok(start)
    }

    /// The configuration with the dropout of this training.
    pub fn training_config(&self) -> BertConfig {
        BertConfig {
            hidden_dropout_prob: self.dropout,
            attention_probs_dropout_prob: self.dropout,
            ..self.config.clone()
        }
    }

    /// Makes the model.
    ///
    /// # Errors
    /// If its weights cannot be read, or the device cannot compute as the recipe demands.
    pub fn model(&self, seed: u64, device: Device, compute: Compute) -> Result<BertForMaskedLm, InitError> {
        let config = self.training_config();
        let decision = Decision::on(compute, device, &config)?;
        let model = BertForMaskedLm::new(&config, seed, device, decision);
        if let Some((folder, _)) = &self.from {
            weights::load(folder, &config.family, model.parameters())?;
        }
        Ok(model)
    }

    /// What checkpoints carry on from the start model.
    ///
    /// # Errors
    /// If its weights cannot be read.
    pub fn carried(&self) -> Result<Carried, InitError> {
        let pooler =
            self.from.as_ref().map_or(Ok(Vec::new()), |(folder, _)| weights::pooler(folder, &self.config.family))?;
        Ok(Carried { config: self.config.clone(), pooler, added: self.added.clone() })
    }
}

/// A text that tokenizers make different things of: case, accents, Chinese characters.
const PROBE: &str = "Café 東京";
/// A text that they cut into other pieces: spaces, hyphens, words that are rare.
const PIECES: &str = "The café's re-usable waterbottles,  2-pack (blue)";
/// What an uncased BERT's makes of [`PROBE`].
const UNCASED: &str = "cafe  東  京 ";

/// How to build shards that fit a model.
fn shards_of(folder: &Path) -> String {
    let file = folder.join("tokenizer.json");
    let make = format!("`ebert shards --tokenizer {} --out DIR`, another folder", schemas::quoted(&file));
    if file.is_file() {
        return format!("build shards with the model's own tokenizer: {make}");
    }
    let vocabulary = folder.join("vocab.txt");
    if vocabulary.is_file() && normalized(folder, PROBE).is_ok_and(|read| read.is_none_or(|read| read == UNCASED)) {
        return format!(
            "build shards with the model's own vocabulary: `ebert shards --tokenizer {} --out DIR`, another folder",
            schemas::quoted(&vocabulary)
        );
    }
    let folder = folder.display();
    format!(
        "build shards with the model's own tokenizer, which `transformers` writes as one file: \
         AutoTokenizer.from_pretrained(\"{folder}\").save_pretrained(\"{folder}\"), then {make}"
    )
}

/// Checks that the model and the shards make the same of a text before they look for tokens, and that
/// they cut it into the same pieces. A folder that says nothing of case and accents passes; so does
/// one whose tokenizer cannot be read, with a note.
fn reads_alike(folder: &Path, shards: &Shards) -> Result<Option<String>, InitError> {
    let of_shards = tokenizer(shards.folder());
    let found = normalized(folder, PROBE);
    let wanted = of_shards.as_ref().map(|tokenizer| normalized_by(tokenizer, PROBE));
    let differs = |text, found, wanted| InitError::Normalizer { folder: folder.to_owned(), text, found, wanted };
    match (found, wanted) {
        (Ok(Some(found)), Ok(Ok(wanted))) if found != wanted => Err(differs(PROBE, found, wanted)),
        (Ok(None), Ok(Ok(_))) => Ok(None),
        (Ok(Some(_)), Ok(Ok(_))) => {
            match [tokenizer(folder).ok(), of_shards.ok()].map(|tokenizer| pieces(&tokenizer?)) {
                [Some(found), Some(wanted)] if found != wanted => Err(differs(PIECES, found, wanted)),
                _ => Ok(None),
            }
        }
        _ => Ok(Some(format!(
            "cannot read the tokenizer of `{}`; assuming that it reads text as the shards do",
            folder.display()
        ))),
    }
}

/// The tokens of [`PIECES`].
fn pieces(tokenizer: &tokenizers::Tokenizer) -> Option<String> {
    Some(tokenizer.encode(PIECES, false).ok()?.get_tokens().join(" "))
}

/// Checks that ids mean the same to the model and the shards.
fn fits(
    folder: &Path,
    config: &BertConfig,
    tokens: Option<&(PathBuf, Vec<String>)>,
    vocabulary: &Vocabulary,
) -> Result<Option<String>, InitError> {
    let wanted = vocabulary.tokens();
    let sizes = InitError::VocabularySize { folder: folder.to_owned(), found: config.vocab_size, wanted: wanted.len() };
    if config.vocab_size < wanted.len() as i64 {
        return Err(sizes);
    }
    let Some((file, tokens)) = tokens else {
        if config.vocab_size != wanted.len() as i64 {
            return Err(sizes);
        }
        return Ok(Some(format!(
            "`{}` has no vocabulary; assuming the shards', which has as many tokens as the model has word embeddings",
            folder.display()
        )));
    };
    let differs = wanted.iter().enumerate().find(|(id, token)| tokens.get(*id) != Some(token));
    match differs {
        None => Ok(None),
        Some((id, wanted)) => {
            let found = tokens.get(id).map_or_else(|| "absent".to_owned(), |token| format!("`{token}`"));
            Err(InitError::Vocabulary { file: file.clone(), id, found, wanted: format!("`{wanted}`") })
        }
    }
}
