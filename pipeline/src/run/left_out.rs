//! Messages about records, raw files and entries that a run left out.
use std::cmp::Reverse;

use schemas::{
    Counts, Manifest,
    manifest::{CorpusBody, CorpusCounts, PoolBody},
};

use super::{Run, RunError, bytes};
use crate::{
    corpus,
    engine::progress::{Facts, count_of, percent, thousands},
};
use ebert_dumps::{FindError, RawFiles, Skipped, UnreadReason};

/// The largest number of reasons for which skipped files are listed.
const REASONS_LISTED: usize = 20;

/// The largest number of files that are named for one reason.
const FILES_NAMED: usize = 3;

/// The hint for an error of the corpus folder, after more facts where there are some.
pub(crate) fn hint(error: &FindError) -> String {
    match error {
        FindError::NoFolder { .. } | FindError::Empty { .. } => {
            "\nhint: `--corpus` names raw files: a folder, a file, or a pattern such as `'dumps/*.json.gz'`".to_owned()
        }
        FindError::NoMatch { .. } => {
            "\nhint: quote a pattern, so that the shell leaves it as it is: `--corpus 'dumps/*.json.gz'`".to_owned()
        }
        FindError::NothingRecognised { files, .. } => {
            let are_damaged = files.skipped.is_empty() && !files.recognised.is_empty();
            let what = if are_damaged {
                "fetch them again: they are damaged before their first record"
            } else {
                "records have the fields of the 2014, 2018 or 2023 Amazon dumps, or those named with `--config`; \
                 docs/own-data.md has an example"
            };
            format!("{}\nhint: {what}", looked_at(files))
        }
        FindError::Read { .. } => {
            "\nhint: make it readable, or move it out of the corpus folder; files with names that begin with a dot are not read"
                .to_owned()
        }
    }
}

/// The files of a corpus without a record, one line each, for an error.
fn looked_at(files: &RawFiles) -> String {
    let damaged = files.recognised.iter().take(REASONS_LISTED).map(|file| {
        let damage = file.damage.as_deref().unwrap_or_default();
        format!("`{}`: damaged: {damage}", file.name)
    });
    damaged.chain(skipped_lines(&files.skipped)).map(|line| format!("\n  {line}")).collect()
}

/// Skipped files with the reason that they share, and what to do about the first of them.
struct SkippedGroup<'a> {
    reason: String,
    files: Vec<&'a Skipped>,
}

impl<'a> SkippedGroup<'a> {
    /// Groups files by reason, in the order of the first file of each group.
    fn of(files: &'a [Skipped]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for file in files {
            let reason = file.reason.to_string();
            match groups.iter_mut().find(|group| group.reason == reason) {
                Some(group) => group.files.push(file),
                None => groups.push(Self { reason, files: vec![file] }),
            }
        }
        groups
    }

    /// One line for the files and the reason, and one for what to do.
    fn facts(&self, most: usize) -> Facts {
        let (named, more) = self.files.split_at(self.files.len().min(most));
        let named: Vec<String> = named.iter().map(|file| format!("`{}`", file.name)).collect();
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", thousands(more.len() as u64)) };
        let hint = self.files[0].hint();
        let hint_line = hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        Facts::new("skipped_file", format!("{}{more}: {}{hint_line}", named.join(", "), self.reason))
            .with("files", self.files.len())
            .with("first", self.files[0].name.to_string())
            .with("reason", self.reason.as_str())
    }
}

/// The largest number of unreadable records that are named for one reason.
const PLACES_NAMED: usize = 3;

/// The rules that a summary names.
const RULES_NAMED: usize = 4;

/// How much text of the shop's pages was removed, and the rules that removed most pieces.
fn removed(counts: &CorpusCounts, most: usize) -> Option<Facts> {
    let mut rules: Vec<_> = counts.removed.iter().collect();
    rules.sort_by_key(|(rule, removed)| (Reverse(removed.pieces), *rule));
    let (pieces, size) = rules.iter().fold((0, 0), |(pieces, size), (_, r)| (pieces + r.pieces, size + r.bytes));
    let named: Vec<String> = rules
        .iter()
        .take(most)
        .map(|(rule, removed)| format!("{} {}", rule.replace('_', " "), thousands(removed.pieces)))
        .collect();
    let more = if rules.len() > most { ", …; all in `ebert inspect`" } else { "" };
    let pieces_of = count_of(pieces, "piece", "pieces");
    let text = || format!("{pieces_of} of page text, {}: {}{more}", bytes(size), named.join(", "));
    let by_rule: Counts = rules.iter().map(|(rule, removed)| ((*rule).clone(), removed.pieces)).collect();
    let facts = || Facts::new("removed_page_text", text()).with("pieces", pieces).with("bytes", size);
    (pieces > 0).then(|| facts().with("rules", serde_json::json!(by_rule)))
}

/// What to do about reviews inside the records of products.
const REVIEWS_HINT: &str = "\n  hint: if the file is JSON, write one review per line with `jq -c '(.parent_asin // .asin) as $id | \
                            (.reviews // .review)[]? | {asin: $id} + .' < FILE > reviews.jsonl`, and add \
                            `--corpus reviews.jsonl`";

/// One line per field with values that could not be read, and what to do about it.
fn unread(counts: &CorpusCounts) -> Vec<Facts> {
    let line = |(field, reasons): (&String, &Counts)| {
        let named: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason} {}", thousands(*n))).collect();
        let hint = if reasons.contains_key(UnreadReason::Reviews.as_str()) { REVIEWS_HINT } else { "" };
        Facts::new("unread_values", format!("values of `{field}`: {}{hint}", named.join(", ")))
            .with("field", field.as_str())
            .with("reasons", serde_json::json!(reasons))
    };
    counts.unread.iter().map(line).collect()
}

/// The lines that list skipped files, in an error.
pub(crate) fn skipped_lines(files: &[Skipped]) -> Vec<String> {
    skipped_facts(files, REASONS_LISTED, FILES_NAMED)
        .iter()
        .flat_map(|facts| facts.text().lines())
        .map(str::to_owned)
        .collect()
}

/// Skipped files by reason, at most so many reasons and names per reason.
fn skipped_facts(files: &[Skipped], reasons: usize, names: usize) -> Vec<Facts> {
    let groups = SkippedGroup::of(files);
    let (listed, rest) = groups.split_at(groups.len().min(reasons));
    let mut all: Vec<Facts> = listed.iter().map(|group| group.facts(names)).collect();
    let more: usize = rest.iter().map(|group| group.files.len()).sum();
    if more > 0 {
        let text = format!("and {}", count_of(more as u64, "more file", "more files"));
        all.push(Facts::new("skipped_more_files", text).with("files", more));
    }
    all
}

impl Run<'_> {
    /// Lists the raw files that are not read. They are listed before the corpus is made, so that they
    /// are known even if that fails.
    pub(super) fn skipped_files(&self, files: &RawFiles) -> Result<(), RunError> {
        if files.skipped.is_empty() {
            return Ok(());
        }
        let all = (files.recognised.len() + files.skipped.len()) as u64;
        let skipped = files.skipped.len() as u64;
        let are = if skipped == 1 { "is not read" } else { "are not read" };
        let text = format!("{} of {} {are}", thousands(skipped), count_of(all, "file", "files"));
        self.progress
            .note("skipped", &Facts::new("skipped_files", text).with("skipped", skipped).with("files", all))?;
        let (reasons, names) =
            if self.progress.is_verbose() { (usize::MAX, usize::MAX) } else { (REASONS_LISTED, FILES_NAMED) };
        for facts in skipped_facts(&files.skipped, reasons, names) {
            self.progress.note("", &facts)?;
        }
        Ok(())
    }

    /// Reports the records that are not in the corpus, and the raw files that are damaged.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn left_out_of_corpus(&self, corpus: &Manifest<CorpusBody>) -> Result<(), RunError> {
        let body = &corpus.body;
        let counts = &body.counts;
        let unreadable = corpus::unreadable(&counts.rejected);
        let normal = |reason: &str| counts.rejected.get(reason).copied().unwrap_or(0);
        let (empty, duplicate, copy) = (normal("empty"), normal("duplicate"), normal("copy"));
        let text = format!(
            "{} of {} records: empty {}, duplicate {}, copy {}, unreadable {} ({:.3}%, limit {}%)",
            thousands(empty + duplicate + copy + unreadable),
            thousands(counts.records),
            thousands(empty),
            thousands(duplicate),
            thousands(copy),
            thousands(unreadable),
            100.0 * unreadable as f64 / counts.records.max(1) as f64,
            percent(self.settings.max_unreadable),
        );
        let facts = Facts::new("skipped_records", text)
            .with("records", counts.records)
            .with("empty", empty)
            .with("duplicate", duplicate)
            .with("copy", copy)
            .with("unreadable", unreadable)
            .with("max_unreadable", self.settings.max_unreadable);
        self.progress.note("skipped", &facts)?;
        let named = if self.progress.is_verbose() { usize::MAX } else { PLACES_NAMED };
        for (reason, places) in &body.places {
            for place in places.iter().take(named) {
                let text = format!("{reason}: `{}` line {}: {}", place.path, place.line, place.found);
                let facts = Facts::new("unreadable_record", text)
                    .with("reason", reason.as_str())
                    .with("path", place.path.as_str())
                    .with("line", place.line);
                self.progress.note("", &facts)?;
            }
        }
        let named = if self.progress.is_verbose() { usize::MAX } else { RULES_NAMED };
        if let Some(facts) = removed(counts, named) {
            self.progress.note("removed", &facts)?;
        }
        for facts in unread(counts) {
            self.progress.note("unread", &facts)?;
        }
        for file in body.inputs.iter().filter(|f| f.damage.is_some()) {
            let damage = file.damage.as_deref().unwrap_or_default();
            let facts = Facts::new("damaged_file", format!("`{}` {damage}", file.path))
                .with("path", file.path.as_str())
                .with("damage", damage);
            self.progress.note("damaged", &facts)?;
        }
        Ok(())
    }

    /// Reports the entries that are not in the pool.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn left_out_of_pool(&self, pool: &Manifest<PoolBody>) -> Result<(), RunError> {
        let rejected: u64 = pool.body.rejected.values().sum();
        if rejected > 0 {
            let reasons: Vec<String> =
                pool.body.rejected.iter().map(|(reason, n)| format!("{reason} {}", thousands(*n))).collect();
            let text = format!("{} of the pool: {}", count_of(rejected, "entry", "entries"), reasons.join(", "));
            self.progress.note("", &Facts::new("removed_phrases", text).with_counts(&pool.body.rejected))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn skipped_files_are_listed_by_reason_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("good.json", "{\"asin\": \"B0\", \"title\": \"Tea\"}\n");
        write("b.json", "{\"B0\": {\"title\": \"Tea\"}, \"B1\": {\"title\": \"Salt\"}}\n");
        (0..5).for_each(|i| write(&format!("{i}.txt"), "# Notes\nhello\n"));
        let files = ebert_dumps::find(folder.path(), folder.path()).unwrap();
        let path = folder.path().join("b.json");
        let path = path.display();
        assert_eq!(
            skipped_lines(&files.skipped),
            [
                "`0.txt`, `1.txt`, `2.txt` and 2 more: plain text".to_owned(),
                "`b.json`: a JSON object with one record per key".to_owned(),
                format!("  hint: `jq -c 'to_entries[] | {{asin: .key}} + .value' < {path} > {path}.jsonl`"),
            ]
        );
    }

    #[test]
    fn an_error_of_the_corpus_folder_comes_with_the_files_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("other.json"), "[{\"sku\": \"B0\"}, {}]\n").unwrap();
        fs::write(folder.path().join("cut.gz"), b"\x1f\x8b\x08").unwrap();
        fs::write(folder.path().join("page.json"), "<html><title>Sign in</title>").unwrap();
        let error = ebert_dumps::find(folder.path(), folder.path()).unwrap_err();
        let text = crate::run::RunError::from(error).to_string();
        for wanted in [
            "in its first 100 lines\n  `cut.gz`: damaged: the gzip stream is cut short\n  `other.json`: records with other fields: found sku;",
            "\n    hint: name its fields in shop.toml, `products = { path = ",
            "\n  `page.json`: a web page with the title \"Sign in\"\n    hint: fetch",
            "\nhint: records have",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
