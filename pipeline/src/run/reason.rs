//! Why shards are rebuilt.
use schemas::{
    Manifest, Previous,
    manifest::{CorpusBody, GraphBody, PoolBody},
};

use super::{Run, RunError, step_settings};
use crate::{
    engine::progress::{NEW, STOPPED, older_format},
    shard::{encode, pairs},
};

impl Run<'_> {
    /// Why the sealed shards are not the planned ones.
    pub(super) fn shard_reason(
        &mut self,
        corpus: &Manifest<CorpusBody>,
        pool: &Manifest<PoolBody>,
        graph: &Manifest<GraphBody>,
    ) -> Result<Option<String>, RunError> {
        let old = match self.sealed() {
            Ok(Previous::Sealed(old)) => old.body,
            Ok(Previous::OlderFormat(found)) => return Ok(Some(older_format(found))),
            _ if self.settings.out.join("shards").exists() => return Ok(Some(STOPPED.to_owned())),
            _ => return Ok(Some(NEW.to_owned())),
        };
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        if old.corpus.blake3 != corpus.data_blake3() {
            return Ok(Some("the corpus has changed".to_owned()));
        }
        if old.options.language != settings.language.code() {
            return Ok(Some("the language has changed".to_owned()));
        }
        let nouns = settings.finds_nouns();
        // Another kind of tokenizer has other rules.
        if old.tokenizer.blake3 != settings.tokenizer.blake3() {
            return Ok(Some("the tokenizer has changed".to_owned()));
        }
        if let Some(why) = encode::rules(settings.tokenizer, nouns).changed_since(&old.rules) {
            return Ok(Some(why));
        }
        if old.pool.blake3 != pool.data_blake3() {
            return Ok(Some("the pool has changed".to_owned()));
        }
        if old.max_tokens != settings.max_tokens {
            return Ok(Some(format!("`--max-tokens` was {} and is {}", old.max_tokens, settings.max_tokens)));
        }
        if old.options.nouns != nouns {
            let name = |on| if on { "on" } else { "off" };
            return Ok(Some(format!("`--nouns` was {} and is {}", name(old.options.nouns), name(nouns))));
        }
        if old.options.tagger != settings.shard_options().tagger {
            return Ok(Some("the tagger has changed".to_owned()));
        }
        if old.graph.blake3 != graph.data_blake3() {
            return Ok(Some("the graph has changed: only pairs are drawn again".to_owned()));
        }
        if let Some(why) = pairs::rules().changed_since(&old.rules) {
            return Ok(Some(format!("{why}: only pairs are drawn again")));
        }
        if old.seed != settings.seed {
            return Ok(Some(format!("`--seed` was {} and is {}: only pairs are drawn again", old.seed, settings.seed)));
        }
        if old.options != settings.shard_options() {
            return Ok(Some("the options of the pairs have changed: only pairs are drawn again".to_owned()));
        }
        Ok(None)
    }
}
