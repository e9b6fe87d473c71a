//! Mining the pool from the corpus.
use std::path::Path;

use ebert_english::Model;
use ebert_mining::{Lists, Mined, QualityList, StopWords};
use schemas::{
    Manifest,
    manifest::{CorpusBody, Hash, MinedPool},
};

use super::PoolError;
use crate::{
    engine::{hashes::Hashes, progress::Progress},
    phrase::mine::{self, check_list, read},
    settings::Settings,
};

/// How a pool is mined from the corpus.
pub struct Mining<'a> {
    /// The corpus in `OUT/corpus`.
    pub corpus: &'a Manifest<CorpusBody>,
    pub settings: &'a Settings,
    pub progress: &'a Progress,
}

impl Mining<'_> {
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
            stop_words: Some(match hash(mining.stop_words.as_deref())? {
                Some(own) => own,
                None => Hash { blake3: blake3::hash(ebert_mining::ENGLISH_STOP_WORDS.as_bytes()).to_hex().to_string() },
            }),
            tagger: Hash { blake3: Model::embedded_blake3().to_owned() },
            min_support: self.settings.mining.min_support,
            max_words: self.settings.mining.max_words,
        })
    }

    /// Reads the corpus and mines it.
    pub(super) fn mine(&self, hashes: &mut Hashes) -> Result<Mined, PoolError> {
        let (settings, mining, threads) = (self.settings, &self.settings.mining, self.settings.threads());
        let own_stop_words = mining.stop_words.as_deref().map(mine::read_stop_words).transpose()?;
        let folder = settings.out.join("corpus");
        let (text, named) = read::corpus(&folder, self.corpus, hashes, threads, self.progress)?;
        let lists = Lists {
            quality: match &mining.quality_list {
                Some(path) => QualityList::Phrases(mine::read_list(path)?),
                None => named,
            },
            entities: mining.entity_list.as_deref().map(mine::read_list).transpose()?,
            stop_words: own_stop_words.as_ref().unwrap_or(StopWords::english()),
        };
        // The seed of the run does not change the pool: otherwise another seed would rebuild all shards.
        Ok(mine::mine(&text, &lists, &mining.options(0), threads, self.progress)?)
    }
}
