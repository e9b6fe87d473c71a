//! Messages about records, raw files and entries that a run left out.
use schemas::{
    Manifest,
    manifest::{CorpusBody, PoolBody, SkippedFile},
};

use super::{Run, RunError};
use crate::{
    corpus,
    engine::progress::{count_of, percent, thousands},
};
use ebert_dumps::{FindError, RawFiles, SkipReason};

/// The largest number of skipped files that a summary names.
const SKIPPED_NAMED: usize = 20;

/// The largest number of files that an error names.
const LOOKED_AT_NAMED: usize = 5;

/// The hint for an error of the corpus folder, after more facts where there are some.
pub(super) fn hint(error: &FindError) -> String {
    match error {
        FindError::NoFolder { .. } | FindError::Empty { .. } => {
            "\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)".to_owned()
        }
        FindError::NothingRecognised { files, .. } => format!(
            "; looked at {}\n\
             hint: files hold one JSON object (or Python dict) per line, with the fields of the 2014, 2018 or 2023 Amazon dumps",
            looked_at(files)
        ),
        FindError::Read { .. } => {
            "\nhint: make it readable, or move it out of the corpus folder; files with names that begin with a dot are not read"
                .to_owned()
        }
    }
}

/// The first few files of a corpus without a record.
fn looked_at(files: &RawFiles) -> String {
    let damaged = files.recognised.iter().map(|file| {
        let damage = file.damage.as_deref().unwrap_or_default();
        format!("`{}` (damaged: {damage})", file.name)
    });
    let skipped = files.skipped.iter().map(|file| named(file.name.as_str(), file.reason.as_str()));
    let all: Vec<String> = damaged.chain(skipped).collect();
    let (first, more) = all.split_at(all.len().min(LOOKED_AT_NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    first.join(", ") + &more
}

/// Skipped files by name with their reasons. Those without a record come last and share theirs.
fn skipped_in_words(files: &[SkippedFile]) -> String {
    let is_usual = |file: &&SkippedFile| SkipReason::from_words(&file.why) == Some(SkipReason::NothingRecognised);
    let (usual, others): (Vec<_>, Vec<_>) = files.iter().partition(is_usual);
    let mut all: Vec<String> =
        others.into_iter().chain(usual.clone()).map(|file| named(&file.path, &file.why)).collect();
    if let Some(last) = all.last_mut().filter(|_| !usual.is_empty()) {
        *last += &format!(" ({})", SkipReason::NothingRecognised);
    }
    all.join(", ")
}

/// A skipped file by its name, and the reason in parentheses unless it is the usual one.
fn named(path: &str, why: &str) -> String {
    match SkipReason::from_words(why) {
        Some(SkipReason::NothingRecognised) => format!("`{path}`"),
        Some(SkipReason::JsonArray) => format!("`{path}` ({why}; `jq -c '.[]'` writes its records one per line)"),
        _ => format!("`{path}` ({why})"),
    }
}

impl Run<'_> {
    /// Reports the records and raw files that are not in the corpus.
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
                percent(self.settings.max_unreadable),
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
            let skipped = count_of(body.skipped.len() as u64, "file is", "files are");
            let text = format!("{skipped} skipped: {}{more}", skipped_in_words(named));
            self.progress.note("", &text)?;
        }
        Ok(())
    }

    /// Reports the entries that are not in the pool.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_skipped_file_is_named_with_its_reason() {
        let file = |path: &str, reason: SkipReason| SkippedFile { path: path.to_owned(), why: reason.to_string() };
        let files = [
            file("a.txt", SkipReason::NothingRecognised),
            file("b.json", SkipReason::JsonArray),
            file("c.txt", SkipReason::NothingRecognised),
            file("d.json", SkipReason::DeadLink),
            SkippedFile { path: "e".to_owned(), why: "a reason of another version".to_owned() },
        ];
        assert_eq!(
            skipped_in_words(&files),
            "`b.json` (a JSON array; `jq -c '.[]'` writes its records one per line), `d.json` (a link to nothing), \
             `e` (a reason of another version), `a.txt`, `c.txt` (no recognisable record in its first 100 lines)"
        );
        assert_eq!(skipped_in_words(&files[3..4]), "`d.json` (a link to nothing)");
    }

    #[test]
    fn an_error_of_the_corpus_folder_comes_with_the_files_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("array.json"), "[\n{\"asin\": \"B0\"},\n").unwrap();
        fs::write(folder.path().join("cut.gz"), b"\x1f\x8b\x08").unwrap();
        (0..5).for_each(|i| fs::write(folder.path().join(format!("{i}.txt")), "hello\n").unwrap());
        let error = ebert_dumps::find(folder.path(), folder.path()).unwrap_err();
        let text = crate::run::RunError::from(error).to_string();
        let wanted = "in its first 100 lines; looked at `cut.gz` (damaged: the gzip stream is cut short), `0.txt`, `1.txt`, \
                      `2.txt`, `3.txt` and 2 more\nhint: files hold";
        assert!(text.contains(wanted), "{text}");
        let error = ebert_dumps::find(&folder.path().join("array.json"), folder.path()).unwrap_err();
        let text = crate::run::RunError::from(error).to_string();
        assert!(text.contains("looked at `array.json` (a JSON array; `jq"), "{text}");
    }
}
