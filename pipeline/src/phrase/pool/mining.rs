//! Mining the pool from the corpus.
use std::{fs, path::Path};

use ebert_english::Model;
use ebert_mining::{ENGLISH_STOP_WORDS, Lists, Memory, Mined, QualityList};
use schemas::{
    Manifest, StoreError, Task,
    manifest::{CorpusBody, Hash, MinedPool},
};

use super::{NAME, PoolError};
use crate::{
    engine::{
        hashes::Hashes,
        progress::{Done, Progress, thousands},
    },
    phrase::mine::{
        self, MiningError, check_list,
        read::{self, Reading},
        words::WordTasks,
    },
    settings::Settings,
    text::language::Language,
};

/// How a pool is mined from the corpus.
pub struct Mining<'a> {
    /// The corpus in `OUT/corpus`.
    pub corpus: &'a Manifest<CorpusBody>,
    pub settings: &'a Settings,
    pub language: Language,
    pub progress: &'a Progress,
}

/// Why a pool has no phrases. Its `Display` is a warning with what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingLearnt {
    /// The language.
    #[error(
        "phrases are not mined, since {0} puts no spaces between words; shards are built without them; \
         `--pool` imports phrases, and `--language en` or `--language other` is for a corpus with spaces"
    )]
    Unspaced(Language),
    /// The text or the lists.
    #[error("{0}\nno phrases are learned, so shards are built without them: recipes that mask words or spans work")]
    Mine(MiningError),
    /// None of the mined phrases passes the thresholds.
    #[error(
        "none of {} mined phrases reaches the minimum score, {min_score} or {min_score_single} for single \
         words\nhint: lower `--min-score` and `--min-score-single`, or give a larger corpus\n\
         shards are built without phrases: recipes that mask words or spans work",
        thousands(*entries)
    )]
    LowScores {
        entries: u64,
        /// Threshold of several words.
        min_score: f64,
        /// Threshold of one word.
        min_score_single: f64,
    },
}

fn english_stop_words() -> Hash {
    Hash { blake3: blake3::hash(ENGLISH_STOP_WORDS.as_bytes()).to_hex().to_string() }
}

impl Mining<'_> {
    /// The words of the corpus, in parts.
    pub fn words(&self) -> WordTasks {
        WordTasks::new(&self.settings.out, self.corpus, self.language)
    }

    /// Reads the words of some parts of the corpus.
    ///
    /// # Errors
    /// If a table cannot be read, or a file cannot be written.
    pub fn make_words(&self, task: Task, hashes: &mut Hashes) -> Result<Done, PoolError> {
        let folder = self.settings.out.join("pool");
        let memory = Memory::new(self.settings.mining.mining_mib, folder.join(NAME));
        let (language, threads, progress) = (self.language, self.settings.threads(), self.progress);
        Ok(self.words().make(task, &Reading { language, threads, memory, progress }, hashes)?)
    }

    /// What decides the phrases.
    pub(super) fn describe(&self, hashes: &mut Hashes) -> Result<MinedPool, PoolError> {
        let mining = &self.settings.mining;
        let mut hash = |list: Option<&Path>| -> Result<Option<Hash>, PoolError> {
            let Some(path) = list else { return Ok(None) };
            check_list(path)?;
            Ok(Some(Hash { blake3: hashes.blake3(path)? }))
        };
        Ok(MinedPool {
            corpus: Hash { blake3: self.corpus.data_blake3() },
            quality_list: hash(mining.quality_list.as_deref())?,
            entity_list: hash(mining.entity_list.as_deref())?,
            stop_words: match hash(mining.stop_words.as_deref())? {
                None if self.language.has_tags() => Some(english_stop_words()),
                own => own,
            },
            tagger: self.language.has_tags().then(|| Hash { blake3: Model::embedded_blake3().to_owned() }),
            language: self.language.code(),
            min_support: self.settings.mining.min_support,
            max_words: self.settings.mining.max_words,
        })
    }

    /// Reads the corpus and mines it, or returns why there is nothing to learn.
    pub(super) fn mine(&self, hashes: &mut Hashes) -> Result<Result<Mined, NothingLearnt>, PoolError> {
        if let Language::Unspaced(_) = self.language {
            return Ok(Err(NothingLearnt::Unspaced(self.language)));
        }
        let (settings, mining, threads) = (self.settings, &self.settings.mining, self.settings.threads());
        let own_stop_words = mining.stop_words.as_deref().map(mine::read_stop_words).transpose()?;
        let pool = settings.out.join("pool");
        fs::create_dir_all(&pool).map_err(StoreError::io("create", &pool))?;
        let memory = Memory::new(mining.mining_mib, pool.join(NAME));
        let folder = settings.out.join("corpus");
        let (text, named) = match self.words().read(memory.clone(), self.progress)? {
            Some(text) => text,
            None => {
                let reading = Reading { language: self.language, threads, memory, progress: self.progress };
                read::corpus(&folder, self.corpus, &reading, hashes)?
            }
        };
        let lists = Lists {
            quality: match &mining.quality_list {
                Some(path) => QualityList::Phrases(mine::read_list(path)?),
                None => named,
            },
            entities: mining.entity_list.as_deref().map(mine::read_list).transpose()?,
            stop_words: &mine::stop_words(own_stop_words, self.language, &text),
        };
        // The seed of the run does not change the pool: otherwise another seed would rebuild all shards.
        let mined = mine::mine(&text, &lists, &mining.options(0), threads, self.progress);
        match mined.map_err(|error| error.of_quality_list(mining.quality_list.as_deref())) {
            Err(error) if error.is_nothing_learnt() => Ok(Err(NothingLearnt::Mine(error))),
            mined => Ok(Ok(mined?)),
        }
    }
}
