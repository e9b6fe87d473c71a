//! Where the numbers of a grid come from, as tables of its page.
use std::collections::BTreeSet;

use ebert_report::page::table;
use trainer::provenance::{Made, NOT_NOTED, brief_hash};

use crate::{cell::Metrics, identity::Hashed};

/// A model with the names and hashes of its folders; a folder that is not there has no hash.
pub(crate) type ModelFolders = (String, Vec<(String, Option<String>)>);

/// Tables of models, and of tests with their finished cells.
pub(crate) fn html(models: Vec<ModelFolders>, tests: &[(String, Vec<Metrics>)]) -> String {
    let models = models.into_iter().map(|(name, folders)| {
        let hash = |blake3: Option<String>| blake3.map_or(NOT_NOTED.to_owned(), |blake3| brief_hash(&blake3));
        let folders: Vec<String> =
            folders.into_iter().map(|(folder, blake3)| format!("{folder} ({})", hash(blake3))).collect();
        vec![name, folders.join(", ")]
    });
    let tests = tests.iter().map(|(name, cells)| {
        let files = |metrics: &Metrics| -> Vec<Hashed> {
            metrics.identity.data.iter().chain(&metrics.identity.test).cloned().collect()
        };
        let data = distinct(cells.iter().flat_map(files), |Hashed { file, blake3 }| {
            format!("{file} ({})", brief_hash(&blake3))
        });
        let made =
            |of: fn(&Made) -> &String| distinct(cells.iter().filter_map(|cell| cell.made.as_ref()), |m| of(m).clone());
        vec![name.clone(), data, made(|made| &made.version), made(|made| &made.device), made(|made| &made.date)]
    });
    format!(
        "<h2>Provenance of the scores</h2>\n{}{}<p><small>Hashes are the first 12 digits of BLAKE3.</small></p>\n",
        table(&["model", "folders"], models),
        table(&["test", "data", "version", "device", "date"], tests)
    )
}

/// Texts that differ, sorted.
fn distinct<T>(values: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let texts: BTreeSet<String> = values.map(text).collect();
    if texts.is_empty() { NOT_NOTED.to_owned() } else { texts.into_iter().collect::<Vec<_>>().join(", ") }
}
