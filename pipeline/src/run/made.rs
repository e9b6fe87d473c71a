//! What earlier steps have left in `OUT`, and whether it fits together.
use schemas::{
    Manifest, ManifestError, Previous, StoreError,
    manifest::{CorpusBody, GraphBody, Hash, PoolBody, PoolSource, ShardsBody},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Run, RunError, loaded};
use crate::{corpus, engine::progress::Facts, settings::LanguageOption, shard::ShardError, text::language::Language};

impl Run<'_> {
    /// Reads the manifest of the corpus in `OUT`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn corpus_made(&self) -> Result<Manifest<CorpusBody>, RunError> {
        self.earlier_step("corpus", "ebert corpus")
    }

    /// Reads the manifest of the pool.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or the pool was mined from another corpus or in another
    /// language.
    pub fn pool_made(&mut self, corpus: &Manifest<CorpusBody>) -> Result<Manifest<PoolBody>, RunError> {
        let pool: Manifest<PoolBody> = self.earlier_step("pool", "ebert pool")?;
        match &pool.body.source {
            PoolSource::Mined(mined) => {
                self.same_corpus("pool", &mined.corpus, corpus)?;
                let wanted = self.language(corpus)?.code();
                if mined.language != wanted {
                    let (out, found) = (self.settings.out.clone(), mined.language.clone());
                    return Err(RunError::PoolLanguage { out, found, wanted });
                }
            }
            PoolSource::Import { .. } => {}
        }
        Ok(pool)
    }

    /// Reads the manifest of the graph.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or the graph is of another corpus.
    pub fn graph_made(&self, corpus: &Manifest<CorpusBody>) -> Result<Manifest<GraphBody>, RunError> {
        let graph: Manifest<GraphBody> = self.earlier_step("graph", "ebert graph")?;
        self.same_corpus("graph", &graph.body.corpus, corpus)?;
        Ok(graph)
    }

    fn earlier_step<B: Serialize + DeserializeOwned>(
        &self,
        folder: &str,
        command: &'static str,
    ) -> Result<Manifest<B>, RunError> {
        Manifest::read(&self.settings.out.join(folder)).map_err(|source| RunError::EarlierStep { command, source })
    }

    /// The language of the corpus: the given one, or detected. Prints once what does not work in it.
    pub(super) fn language(&mut self, corpus: &Manifest<CorpusBody>) -> Result<Language, RunError> {
        if let Some(language) = self.language {
            return Ok(language);
        }
        let folder = self.settings.out.join("corpus");
        if self.settings.language == LanguageOption::Auto {
            self.bring_sample(corpus)?;
        }
        let language = self.settings.language.or_detect(|| {
            let texts = corpus::tables::sample(&folder, corpus, &mut self.hashes)?;
            Ok::<_, StoreError>(Language::detect(texts.iter().map(String::as_str)))
        })?;
        if let Some(limits) = language.limits() {
            self.progress.detail("language", &Facts::new("language", limits).with("language", language.code()))?;
        }
        self.language = Some(language);
        Ok(language)
    }

    /// The manifest of sealed shards, if there are any.
    pub(super) fn sealed(&self) -> Result<Previous<ShardsBody>, ManifestError> {
        Manifest::read_previous(&self.settings.out.join("shards"))
    }

    pub(super) fn same_corpus(
        &self,
        step: &'static str,
        made_from: &Hash,
        corpus: &Manifest<CorpusBody>,
    ) -> Result<(), ShardError> {
        if made_from.blake3 == corpus.data_blake3() {
            return Ok(());
        }
        Err(ShardError::OtherCorpus { step, out: self.settings.out.clone() })
    }

    pub(super) fn same_tokenizer(&self, step: &str, found: &str) -> Result<(), RunError> {
        let wanted = loaded(self.settings, &self.tokenizer)?.blake3();
        if found == wanted {
            return Ok(());
        }
        let folder = self.settings.out.join(step);
        Err(ShardError::Tokenizer { folder, found: found.to_owned(), wanted }.into())
    }
}
