//! Mining the pool from the corpus.
use std::path::Path;

use ebert_english::Model;
use ebert_mining::{Lists, Mined, Options, QualityList, StopWords};
use schemas::{
    Manifest,
    manifest::{CorpusBody, Hash, MinedPool},
};

use super::PoolError;
use crate::{
    engine::{hashes::Hashes, progress::Progress, stage::Threads},
    phrase::mine::{self, check_list, read},
};

/// How a pool is mined from the corpus.
pub struct Mining<'a> {
    /// The corpus in `OUT/corpus`.
    pub corpus: &'a Manifest<CorpusBody>,
    /// Good phrases; those that the corpus names itself by default.
    pub quality_list: Option<&'a Path>,
    /// Names of things, good phrases or not.
    pub entity_list: Option<&'a Path>,
    /// Words that say little by themselves; English ones by default.
    pub stop_words: Option<&'a Path>,
    /// What else decides the phrases.
    pub options: Options,
    /// Workers.
    pub threads: Threads,
    /// Tells of the work.
    pub progress: &'a Progress,
}

impl Mining<'_> {
    /// What decides the phrases.
    pub(super) fn describe(&self, hashes: &mut Hashes) -> Result<MinedPool, PoolError> {
        let mut hash = |list: Option<&Path>| -> Result<Option<Hash>, PoolError> {
            let Some(path) = list else { return Ok(None) };
            check_list(path)?;
            Ok(Some(Hash { blake3: hashes.blake3(path)? }))
        };
        Ok(MinedPool {
            corpus: Hash { blake3: self.corpus.data_blake3() },
            quality_list: hash(self.quality_list)?,
            entity_list: hash(self.entity_list)?,
            stop_words: Some(match hash(self.stop_words)? {
                Some(own) => own,
                None => Hash { blake3: blake3::hash(ebert_mining::ENGLISH_STOP_WORDS.as_bytes()).to_hex().to_string() },
            }),
            tagger: Hash { blake3: Model::embedded_blake3().to_owned() },
            min_support: self.options.min_support,
            max_words: self.options.max_words as u64,
        })
    }

    /// Reads the corpus below `out` and mines it.
    pub(super) fn mine(&self, out: &Path, hashes: &mut Hashes) -> Result<Mined, PoolError> {
        let own_stop_words = self.stop_words.map(mine::read_stop_words).transpose()?;
        let (text, named) = read::corpus(&out.join("corpus"), self.corpus, hashes, self.threads, self.progress)?;
        let lists = Lists {
            quality: match self.quality_list {
                Some(path) => QualityList::Phrases(mine::read_list(path)?),
                None => named,
            },
            entities: self.entity_list.map(mine::read_list).transpose()?,
            stop_words: own_stop_words.as_ref().unwrap_or(StopWords::english()),
        };
        Ok(mine::mine(&text, &lists, &self.options, self.threads, self.progress)?)
    }
}
