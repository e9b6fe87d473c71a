//! The end of the step: checks that no record is lost, and writes the manifest.
use schemas::{
    Counts, Manifest,
    manifest::{CorpusBody, CorpusCounts, Hash},
};

use super::{
    CorpusError, Reason,
    checkpoint::Tally,
    plan::{self, CorpusPlan},
    spill_folder,
    write::CorpusTables,
};
use crate::{
    engine::{hashes::Hashes, ledger::Ledger, progress::thousands},
    settings::StepSettings,
};

/// Writes the manifest of these tables, and removes the tables of earlier runs.
pub(crate) fn seal(
    plan: &CorpusPlan<'_>,
    tally: Tally,
    tables: CorpusTables,
    ledger: &Ledger,
    hashes: &mut Hashes,
) -> Result<Manifest<CorpusBody>, CorpusError> {
    let CorpusPlan { settings, inputs, .. } = plan;
    let counts = balance(*settings, &tally, &tables)?;
    for entry in &tables.files {
        hashes.remember(&ledger.folder().join(&entry.name), &entry.blake3)?;
    }
    ledger.keep_only(&tables.files)?;
    let body = CorpusBody {
        rules: plan::rules(),
        options: plan::options(*settings),
        tokenizer: Hash { blake3: settings.tokenizer.blake3() },
        inputs: inputs.in_manifest(&tally),
        skipped: inputs.skipped.clone(),
        counts,
        places: tally.places,
    };
    Ok(Manifest::new(body, tables.files).seal(ledger.folder())?)
}

/// Adds up what reading and writing counted. Every record is a document, a rating, or counted as rejected.
fn balance(settings: StepSettings<'_>, tally: &Tally, tables: &CorpusTables) -> Result<CorpusCounts, CorpusError> {
    let mut rejected = tally.rejected.clone();
    add(&mut rejected, &tables.rejected);
    let mut without_interaction = tally.without_interaction.clone();
    add(&mut without_interaction, &tables.without_interaction);
    let documents = tables.products + tables.reviews;
    let known = documents + tally.ratings + rejected.values().sum::<u64>();
    if known != tally.records {
        let spill = spill_folder(&settings).path().to_owned();
        return Err(CorpusError::Lost { records: tally.records, known, spill });
    }
    if documents == 0 {
        let records = thousands(tally.records);
        let without_id = rejected.get(Reason::NoProductId.as_str()).copied().unwrap_or(0);
        return Err(if 2 * without_id > tally.records {
            CorpusError::NoIds { without_id: thousands(without_id), records }
        } else {
            CorpusError::NoDocument { records }
        });
    }
    Ok(CorpusCounts {
        records: tally.records,
        products: tables.products,
        reviews: tables.reviews,
        ratings: tally.ratings,
        associations: tables.associations,
        interactions: tables.interactions,
        without_interaction,
        text_bytes: tables.text_bytes,
        rejected,
        removed: tally.removed.clone(),
        unread: tally.unread.clone(),
    })
}

fn add(counts: &mut Counts, others: &Counts) {
    for (reason, n) in others {
        *counts.entry(reason.clone()).or_default() += n;
    }
}
