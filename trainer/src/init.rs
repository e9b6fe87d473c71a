//! The model that a run starts from: fresh, or the weights of a Hugging Face folder.
use std::path::{Path, PathBuf};

use schemas::{StoreError, store::hash_file};
use tch::{Device, Tensor};

use crate::{
    data::{Shards, Vocabulary, VocabularyError, tokens_of_model},
    fetch::{FetchError, fetch},
    recipe::Recipe,
};
use ebert_bert::{
    BertConfig, BertForMaskedLm, CannotCompute, Compute, ConfigError, Decision, tokens, weights, weights::WeightsError,
};
use ebert_hub::Progress;

/// A run cannot start from this.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The recipe post-trains, and nothing was named to start from.
    #[error(
        "recipe `{recipe}` post-trains a model, and none is named\n\
         hint: make pretrain RECIPE={recipe} INIT=bert-base-uncased, or the folder of a Hugging Face BERT; RECIPE=sample starts afresh"
    )]
    Wanted {
        /// The recipe.
        recipe: String,
    },
    /// It is no folder.
    #[error(
        "`{}` is not a folder, nor can it be a model's id\n\
         hint: name a Hugging Face folder, or an id on the hub such as bert-base-uncased",
        path.display()
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
        "the tokenizer of `{}` reads `{PROBE}` as `{found}`, that of the shards as `{wanted}`\nhint: {}",
        folder.display(), shards_of(folder)
    )]
    Normalizer {
        /// The model.
        folder: PathBuf,
        /// What it makes of a text.
        found: String,
        /// What the shards' makes of it.
        wanted: String,
    },
    /// It has fewer or more rows than the shards have tokens, and no vocabulary to compare.
    #[error(
        "`{}` has {found} word embeddings, and the shards {wanted} tokens\n\
         hint: make shards with the model's own vocabulary: make shards TOKENIZER=vocab.txt OUT=another folder",
        folder.display()
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
         hint: make shards ARGS=\"--max-tokens {}\" OUT=another folder",
        *positions - 2
    )]
    Positions {
        /// Its positions.
        positions: i64,
        /// Positions that are needed.
        wanted: i64,
        /// Tokens of the longest segment.
        tokens: u16,
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
    /// A file of it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The folder of what a user names as a model: a Hugging Face folder, a run's folder, whose `model` it is, or a model's id on the hub,
/// which is then fetched. `talk` shows bars.
///
/// # Errors
/// When it is none of them.
pub fn folder_of(model: &Path, talk: bool) -> Result<PathBuf, InitError> {
    let result = model.join("model");
    match model.to_str() {
        _ if model.join("config.json").is_file() => Ok(model.to_owned()),
        _ if result.join("config.json").is_file() => Ok(result),
        _ if model.is_dir() => Err(InitError::NoModel { path: model.to_owned() }),
        Some(id) if !model.exists() && ebert_hub::is_id(id) => {
            Ok(fetch(id, if talk { Progress::Bars } else { Progress::Hidden })?)
        }
        _ => Err(InitError::NoFolder { path: model.to_owned() }),
    }
}

/// The start of a run, checked against the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The shape, with the recipe's dropout.
    pub config: BertConfig,
    /// Where the weights are, and the hash of all that decides them. `None` for a fresh model.
    pub from: Option<(PathBuf, String)>,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

impl Start {
    /// Decides what to start from; `init` goes before the recipe's own model.
    ///
    /// # Errors
    /// When there is nothing to start from, or it does not fit the shards.
    pub fn choose(recipe: &Recipe, name: &str, init: Option<&Path>, shards: &Shards) -> Result<Self, InitError> {
        let vocabulary = shards.vocabulary();
        let mut start = match (init, recipe.model) {
            (None, None) => return Err(InitError::Wanted { recipe: name.to_owned() }),
            (None, Some(shape)) => {
                Self { config: shape.config(vocabulary.len(), recipe.dropout), from: None, notes: Vec::new() }
            }
            (Some(folder), _) => {
                let config = BertConfig::read(folder)?;
                let mut notes = fits(folder, &config, vocabulary)?;
                notes.extend(reads_alike(folder, shards)?);
                let mut hasher = blake3::Hasher::new();
                for file in [folder.join("config.json")].into_iter().chain(weights::files(folder)?) {
                    hasher.update(hash_file(&file)?.as_bytes());
                }
                let hash = hasher.finalize().to_hex().to_string();
                Self { config, from: Some((folder.to_owned(), hash)), notes }
            }
        };
        start.config.hidden_dropout_prob = recipe.dropout;
        start.config.attention_probs_dropout_prob = recipe.dropout;
        let (positions, tokens) = (start.config.max_position_embeddings, shards.manifest().body.max_tokens);
        let wanted = i64::from(tokens) + 2;
        if positions < wanted {
            return Err(InitError::Positions { positions, wanted, tokens });
        }
        Ok(start)
    }

    /// Makes the model, and adds to `notes` what of it is fresh or left out.
    ///
    /// # Errors
    /// If its weights cannot be read, or the device cannot compute as the recipe demands.
    pub fn model(&mut self, seed: u64, device: Device, compute: Compute) -> Result<BertForMaskedLm, InitError> {
        let decision = Decision::on(compute, device, &self.config)?;
        let model = BertForMaskedLm::new(&self.config, seed, device, decision);
        if let Some((folder, _)) = &self.from {
            let found = weights::load(folder, model.parameters())?;
            if !found.fresh.is_empty() {
                self.notes.push(format!(
                    "{} of the masked-LM head's 5 weights are not in `{}`, and start fresh",
                    found.fresh.len(),
                    folder.display()
                ));
            }
            let (pooler, unused): (Vec<_>, Vec<_>) =
                found.unused.into_iter().partition(|name| name.starts_with(weights::POOLER));
            if !pooler.is_empty() {
                self.notes.push("the pooler is not trained; checkpoints have it as it is".to_owned());
            }
            if !unused.is_empty() {
                self.notes.push(format!("left out, as the model has no place for them: {}", unused.join(", ")));
            }
        }
        Ok(model)
    }

    /// The pooler of what it starts from, which checkpoints carry on unchanged: a task that uses one then starts from the same.
    pub fn pooler(&self) -> Result<Vec<(String, Tensor)>, InitError> {
        Ok(self.from.as_ref().map_or(Ok(Vec::new()), |(folder, _)| weights::pooler(folder))?)
    }
}

/// A text that tokenizers make different things of: case, accents, Chinese characters.
const PROBE: &str = "Café 東京";
/// What an uncased BERT's makes of it.
const UNCASED: &str = "cafe  東  京 ";

/// How to make shards that fit a model.
fn shards_of(folder: &Path) -> String {
    let file = folder.join("tokenizer.json");
    let make = format!("make shards TOKENIZER={} OUT=another folder", file.display());
    if file.is_file() {
        return format!("make shards with the model's own tokenizer: {make}");
    }
    let vocabulary = folder.join("vocab.txt");
    if vocabulary.is_file()
        && tokens::normalized(folder, PROBE).is_ok_and(|read| read.is_none_or(|read| read == UNCASED))
    {
        return format!(
            "make shards with the model's own vocabulary: make shards TOKENIZER={} OUT=another folder",
            vocabulary.display()
        );
    }
    let folder = folder.display();
    format!(
        "make shards with the model's own tokenizer, which `transformers` writes as one file: \
         AutoTokenizer.from_pretrained(\"{folder}\").save_pretrained(\"{folder}\"), then {make}"
    )
}

/// Checks that the model and the shards make the same of a text before they look for tokens. A folder that
/// says nothing of case and accents passes; so does one whose tokenizer cannot be read, with a note.
fn reads_alike(folder: &Path, shards: &Shards) -> Result<Option<String>, InitError> {
    let found = tokens::normalized(folder, PROBE);
    let wanted = tokenizers::Tokenizer::from_bytes(shards.tokenizer())
        .and_then(|tokenizer| tokens::normalized_by(&tokenizer, PROBE));
    match (found, wanted) {
        (Ok(Some(found)), Ok(wanted)) if found != wanted => {
            Err(InitError::Normalizer { folder: folder.to_owned(), found, wanted })
        }
        (Ok(_), Ok(_)) => Ok(None),
        _ => Ok(Some(format!(
            "`{}` is taken to read text as the shards do: its tokenizer cannot be read",
            folder.display()
        ))),
    }
}

/// Checks that ids mean the same to the model and the shards.
fn fits(folder: &Path, config: &BertConfig, vocabulary: &Vocabulary) -> Result<Vec<String>, InitError> {
    let wanted = vocabulary.tokens();
    let sizes = InitError::VocabularySize { folder: folder.to_owned(), found: config.vocab_size, wanted: wanted.len() };
    if config.vocab_size < wanted.len() as i64 {
        return Err(sizes);
    }
    let Some((file, tokens)) = tokens_of_model(folder)? else {
        if config.vocab_size != wanted.len() as i64 {
            return Err(sizes);
        }
        return Ok(vec![format!(
            "`{}` has no vocabulary; as it has as many word embeddings as the shards have tokens, it is taken to be the same",
            folder.display()
        )]);
    };
    let differs = wanted.iter().enumerate().find(|(id, token)| tokens.get(*id) != Some(token));
    match differs {
        None => Ok(Vec::new()),
        Some((id, wanted)) => {
            let found = tokens.get(id).map_or_else(|| "absent".to_owned(), |token| format!("`{token}`"));
            Err(InitError::Vocabulary { file, id, found, wanted: format!("`{wanted}`") })
        }
    }
}
