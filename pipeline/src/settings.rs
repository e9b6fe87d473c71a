//! The settings of a run: every option of the steps, in one place.
use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use ebert_dumps::Source;
use ebert_english::Model;
use ebert_mining::{Memory, Options};
use schemas::manifest::{AssociationSource, Copies, Hash, Negatives, ShardOptions};

use crate::{
    engine::stage::Threads,
    graph::options::AssociationOptions,
    text::{Tokenizer, language::Language},
};

/// The options of all steps. [`Settings::default`] has the defaults of the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Raw files.
    pub corpus: Vec<Source>,
    /// The model that training will start from, if it is named.
    pub init: Option<PathBuf>,
    /// Whether the corpus in `out` may be replaced by one of other raw files.
    pub force: bool,
    /// Phrase pool to import instead of mining it from the corpus.
    pub pool: Option<PathBuf>,
    /// How phrases are mined.
    pub mining: MiningSettings,
    /// The language of the corpus.
    pub language: LanguageOption,
    /// The tokenizer. Only the graph needs none.
    pub tokenizer: Option<PathBuf>,
    /// Output folder of all steps.
    pub out: PathBuf,
    /// The address in an object store of which `out` is the mirror, if it is one.
    pub address: Option<String>,
    /// Minimum score of a phrase with several words.
    pub min_score: f64,
    /// Minimum score of a phrase with one word.
    pub min_score_single: f64,
    /// Longest segment in tokens, special tokens not counted.
    pub max_tokens: u16,
    /// Seed of every random draw.
    pub seed: u64,
    /// Worker threads, if not one per core.
    pub threads: Option<u16>,
    /// Whether to find noun phrases.
    pub nouns: bool,
    /// Which associations of products become pairs.
    pub association_source: AssociationSource,
    /// A file of associations instead.
    pub associations: Option<PathBuf>,
    /// MiB of raw files per bucket; compressed files count four-fold.
    pub bucket_mib: u64,
    /// What happens to reviews with the text of an earlier one.
    pub copies: Copies,
    /// Whether the corpus has a table of interactions.
    pub interactions: bool,
    /// The ratio of records, and of lines of a pool, that may be unreadable.
    pub max_unreadable: f64,
    /// Whether to continue past truncated or corrupt raw files.
    pub allow_damaged: bool,
    /// Maximum number of associations per product that become pairs.
    pub max_per_product: u64,
    /// Negatives per pair.
    pub draws: u64,
    /// Which products negatives are drawn from.
    pub negatives: Negatives,
    /// MiB of raw text between two checkpoints of the corpus step.
    pub checkpoint_mib: u64,
}

/// Options of phrase mining.
#[derive(Clone, Debug, PartialEq)]
pub struct MiningSettings {
    /// Good phrases to learn from, one per line, instead of the built-in ones of English and the names of the corpus.
    pub quality_list: Option<PathBuf>,
    /// Names of things, one per line; none of them becomes a negative example.
    pub entity_list: Option<PathBuf>,
    /// Words with little meaning of their own, instead of those of the language.
    pub stop_words: Option<PathBuf>,
    /// Minimum number of occurrences of a phrase.
    pub min_support: u64,
    /// Maximum number of words of a phrase.
    pub max_words: u64,
    /// MiB of memory for the text.
    pub mining_mib: u64,
}

/// The language of a text, or that it is detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LanguageOption {
    /// Detected from a sample.
    #[default]
    Auto,
    /// English.
    En,
    /// Any other with spaces between words.
    Other,
}

impl LanguageOption {
    /// The given language, or the one that `detect` finds.
    ///
    /// # Errors
    /// If `detect` fails.
    pub fn or_detect<E>(self, detect: impl FnOnce() -> Result<Language, E>) -> Result<Language, E> {
        match self {
            Self::Auto => detect(),
            Self::En => Ok(Language::English),
            Self::Other => Ok(Language::Other(None)),
        }
    }
}

impl Settings {
    /// The raw files as they were given.
    pub fn corpus_names(&self) -> String {
        self.corpus.iter().map(Source::name).collect::<Vec<_>>().join(", ")
    }

    /// The output folder, or a folder or file in it, as its user names it.
    pub(crate) fn out_name(&self, path: &Path) -> String {
        match (&self.address, path.strip_prefix(&self.out)) {
            (Some(address), Ok(rest)) if rest.as_os_str().is_empty() => address.clone(),
            (Some(address), Ok(rest)) => format!("{address}/{}", rest.display()),
            _ => path.display().to_string(),
        }
    }

    /// Where a raw file is, from its name in the corpus.
    pub(crate) fn raw_path(&self, name: &str) -> PathBuf {
        match self.corpus.as_slice() {
            [only] if only.path.is_file() => only.path.clone(),
            [only] if only.path.is_dir() => only.path.join(name),
            _ => name.into(),
        }
    }

    /// The number of worker threads.
    pub fn threads(&self) -> Threads {
        threads(self.threads)
    }

    /// Which associations the graph has.
    pub(crate) fn association_options(&self) -> AssociationOptions<'_> {
        let (source, max_unreadable) = (self.association_source, self.max_unreadable);
        AssociationOptions { source, file: self.associations.as_deref(), max_unreadable }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let sample = Path::new("data/sample");
        Self {
            corpus: vec![Source::from(sample)],
            init: None,
            force: false,
            pool: None,
            mining: MiningSettings::default(),
            language: LanguageOption::Auto,
            tokenizer: Some(sample.join("tokenizer.json")),
            out: "data/work".into(),
            address: None,
            min_score: 0.5,
            min_score_single: 0.8,
            max_tokens: 254,
            seed: 0,
            threads: None,
            nouns: true,
            association_source: AssociationSource::Auto,
            associations: None,
            bucket_mib: 32,
            copies: Copies::Remove,
            interactions: true,
            max_unreadable: 0.01,
            allow_damaged: false,
            max_per_product: 64,
            draws: 1,
            negatives: Negatives::Random,
            checkpoint_mib: 1024,
        }
    }
}

impl MiningSettings {
    /// The options of the miner.
    pub fn options(&self, seed: u64) -> Options {
        Options { min_support: self.min_support, max_words: self.max_words as usize, seed }
    }
}

impl Default for MiningSettings {
    fn default() -> Self {
        Self {
            quality_list: None,
            entity_list: None,
            stop_words: None,
            min_support: 10,
            max_words: 6,
            mining_mib: Memory::DEFAULT_MIB,
        }
    }
}

/// The settings of a run with its tokenizer loaded. Steps get this.
#[derive(Clone, Copy)]
pub struct StepSettings<'a> {
    pub settings: &'a Settings,
    pub tokenizer: &'a Tokenizer,
    /// The language of the corpus; English until there is a corpus.
    pub language: Language,
}

impl StepSettings<'_> {
    /// Whether noun phrases are found: if they are asked for, and the language has tags.
    pub fn finds_nouns(&self) -> bool {
        self.nouns && self.language.has_tags()
    }

    /// The options that the shards' manifest states.
    pub(crate) fn shard_options(&self) -> ShardOptions {
        let nouns = self.finds_nouns();
        let tagger = nouns.then(|| Hash { blake3: Model::embedded_blake3().to_owned() });
        let Settings { max_per_product, draws, negatives, copies, .. } = *self.settings;
        ShardOptions { nouns, language: self.language.code(), tagger, max_per_product, draws, negatives, copies }
    }
}

impl Deref for StepSettings<'_> {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        self.settings
    }
}

/// As many workers as given, or one per core.
pub fn threads(given: Option<u16>) -> Threads {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Threads::new(given.map_or(cores, usize::from))
}
