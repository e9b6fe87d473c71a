//! What a run says of records, raw files and entries that it left out.
use schemas::{
    Manifest,
    manifest::{CorpusBody, PoolBody},
};

use super::{Run, RunError};
use crate::{
    corpus,
    engine::progress::{count_of, percent, thousands},
};
use ebert_dumps::{Skipped, skipped_in_words};

/// Raw files that a summary names when they hold nothing.
const SKIPPED_NAMED: usize = 20;

impl Run<'_> {
    /// Says which records and raw files are not in the corpus.
    pub fn left_out_of_corpus(&self, corpus: &Manifest<CorpusBody>) -> Result<(), RunError> {
        let body = &corpus.body;
        let counts = &body.counts;
        let unreadable = corpus::unreadable(&counts.rejected);
        let normal = |reason: &str| counts.rejected.get(reason).copied().unwrap_or(0);
        let (empty, duplicate) = (normal("empty"), normal("duplicate"));
        self.progress.note(
            "skipped",
            &format!(
                "{} of {} records: empty {}, duplicate {}, unreadable {} ({:.3}%, limit {}%)",
                thousands(empty + duplicate + unreadable),
                thousands(counts.records),
                thousands(empty),
                thousands(duplicate),
                thousands(unreadable),
                100.0 * unreadable as f64 / counts.records.max(1) as f64,
                percent(self.options.max_unreadable),
            ),
        )?;
        for (reason, places) in &body.places {
            for place in places.iter().take(3) {
                self.progress.note("", &format!("{reason}: `{}` line {}: {}", place.path, place.line, place.found))?;
            }
        }
        for file in body.inputs.iter().filter(|f| f.damage.is_some()) {
            let damage = file.damage.as_deref().unwrap_or_default();
            self.progress.note("damaged", &format!("`{}` {damage}", file.path))?;
        }
        if !body.skipped.is_empty() {
            let (named, more) = body.skipped.split_at(body.skipped.len().min(SKIPPED_NAMED));
            let more = more.len();
            let more = if more > 0 { format!(" and {more} more, in corpus/manifest.json") } else { String::new() };
            let named: Vec<Skipped> =
                named.iter().map(|file| Skipped { path: file.path.clone(), why: file.why.clone() }).collect();
            let skipped = count_of(body.skipped.len() as u64, "file is", "files are");
            let text = format!("{skipped} skipped: {}{more}", skipped_in_words(&named));
            self.progress.note("", &text)?;
        }
        Ok(())
    }

    /// Says which entries are not in the pool.
    pub fn left_out_of_pool(&self, pool: &Manifest<PoolBody>) -> Result<(), RunError> {
        let rejected: u64 = pool.body.rejected.values().sum();
        if rejected > 0 {
            let reasons: Vec<String> =
                pool.body.rejected.iter().map(|(reason, n)| format!("{reason} {}", thousands(*n))).collect();
            self.progress
                .note("", &format!("{} of the pool: {}", count_of(rejected, "entry", "entries"), reasons.join(", ")))?;
        }
        Ok(())
    }
}
