//! Messages about records, raw files and entries that a run left out.
use std::cmp::Reverse;

use schemas::{
    Counts, Manifest,
    manifest::{CorpusBody, CorpusCounts, PoolBody},
};

use super::{Run, RunError, bytes};
use crate::{
    corpus,
    engine::progress::{count_of, percent, thousands},
};
use ebert_dumps::{FindError, RawFiles, Skipped};

/// The largest number of reasons for which skipped files are listed.
const REASONS_LISTED: usize = 20;

/// The largest number of files that are named for one reason.
const FILES_NAMED: usize = 3;

/// The hint for an error of the corpus folder, after more facts where there are some.
pub(super) fn hint(error: &FindError) -> String {
    match error {
        FindError::NoFolder { .. } | FindError::Empty { .. } => {
            "\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)".to_owned()
        }
        FindError::NothingRecognised { files, .. } => format!(
            "{}\n\
             hint: files hold one JSON object (or Python dict) per line, with the fields of the 2014, 2018 or 2023 Amazon dumps",
            looked_at(files)
        ),
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
    fn lines(&self) -> Vec<String> {
        let (named, more) = self.files.split_at(self.files.len().min(FILES_NAMED));
        let named: Vec<String> = named.iter().map(|file| format!("`{}`", file.name)).collect();
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", thousands(more.len() as u64)) };
        let mut lines = vec![format!("{}{more}: {}", named.join(", "), self.reason)];
        lines.extend(self.files[0].hint().map(|hint| format!("  hint: {hint}")));
        lines
    }
}

/// The rules that a summary names.
const RULES_NAMED: usize = 4;

/// How much text of the shop's pages was removed, and the rules that removed most pieces.
fn removed_in_words(counts: &CorpusCounts) -> Option<String> {
    let mut rules: Vec<_> = counts.removed.iter().collect();
    rules.sort_by_key(|(rule, removed)| (Reverse(removed.pieces), *rule));
    let (pieces, size) = rules.iter().fold((0, 0), |(pieces, size), (_, r)| (pieces + r.pieces, size + r.bytes));
    let named: Vec<String> = rules
        .iter()
        .take(RULES_NAMED)
        .map(|(rule, removed)| format!("{} {}", rule.replace('_', " "), thousands(removed.pieces)))
        .collect();
    let more = if rules.len() > RULES_NAMED { ", …; all in `make inspect`" } else { "" };
    let pieces_of = count_of(pieces, "piece", "pieces");
    (pieces > 0).then(|| format!("{pieces_of} of page text, {}: {}{more}", bytes(size), named.join(", ")))
}

/// One line per field with values that could not be read.
fn unread_lines(counts: &CorpusCounts) -> Vec<String> {
    let line = |(field, reasons): (&String, &Counts)| {
        let reasons: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason} {}", thousands(*n))).collect();
        format!("values of `{field}`: {}", reasons.join(", "))
    };
    counts.unread.iter().map(line).collect()
}

/// The lines that list skipped files.
fn skipped_lines(files: &[Skipped]) -> Vec<String> {
    let groups = SkippedGroup::of(files);
    let (listed, rest) = groups.split_at(groups.len().min(REASONS_LISTED));
    let mut lines: Vec<String> = listed.iter().flat_map(SkippedGroup::lines).collect();
    let more: usize = rest.iter().map(|group| group.files.len()).sum();
    if more > 0 {
        lines.push(format!("and {}", count_of(more as u64, "more file", "more files")));
    }
    lines
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
        let are = if skipped == 1 { "is not a dump" } else { "are not dumps" };
        let text = format!("{} of {} {are}", thousands(skipped), count_of(all, "file", "files"));
        self.progress.note("skipped", &text)?;
        for line in skipped_lines(&files.skipped) {
            self.progress.note("", &line)?;
        }
        Ok(())
    }

    /// Reports the records that are not in the corpus, and the raw files that are damaged.
    pub fn left_out_of_corpus(&self, corpus: &Manifest<CorpusBody>) -> Result<(), RunError> {
        let body = &corpus.body;
        let counts = &body.counts;
        let unreadable = corpus::unreadable(&counts.rejected);
        let normal = |reason: &str| counts.rejected.get(reason).copied().unwrap_or(0);
        let (empty, duplicate, copy) = (normal("empty"), normal("duplicate"), normal("copy"));
        self.progress.note(
            "skipped",
            &format!(
                "{} of {} records: empty {}, duplicate {}, copy {}, unreadable {} ({:.3}%, limit {}%)",
                thousands(empty + duplicate + copy + unreadable),
                thousands(counts.records),
                thousands(empty),
                thousands(duplicate),
                thousands(copy),
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
        if let Some(text) = removed_in_words(counts) {
            self.progress.note("removed", &text)?;
        }
        for line in unread_lines(counts) {
            self.progress.note("unread", &line)?;
        }
        for file in body.inputs.iter().filter(|f| f.damage.is_some()) {
            let damage = file.damage.as_deref().unwrap_or_default();
            self.progress.note("damaged", &format!("`{}` {damage}", file.path))?;
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
    fn skipped_files_are_listed_by_reason_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("good.json", "{\"asin\": \"B0\", \"title\": \"Tea\"}\n");
        write("b.json", "[{\"asin\": \"B0\"}, {\"asin\": \"B1\"}]\n");
        (0..5).for_each(|i| write(&format!("{i}.txt"), "# Notes\nhello\n"));
        let files = ebert_dumps::find(folder.path(), folder.path()).unwrap();
        let path = folder.path().join("b.json");
        let path = path.display();
        assert_eq!(
            skipped_lines(&files.skipped),
            [
                "`0.txt`, `1.txt`, `2.txt` and 2 more: plain text".to_owned(),
                "`b.json`: a JSON array that is not one record per line".to_owned(),
                format!("  hint: `jq -c '.[]' < {path} > {path}.jsonl`"),
            ]
        );
    }

    #[test]
    fn an_error_of_the_corpus_folder_comes_with_the_files_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("array.json"), "[{\"asin\": \"B0\"}, {}]\n").unwrap();
        fs::write(folder.path().join("cut.gz"), b"\x1f\x8b\x08").unwrap();
        fs::write(folder.path().join("page.json"), "<html><title>Sign in</title>").unwrap();
        let error = ebert_dumps::find(folder.path(), folder.path()).unwrap_err();
        let text = crate::run::RunError::from(error).to_string();
        for wanted in [
            "in its first 100 lines\n  `cut.gz`: damaged: the gzip stream is cut short\n  `array.json`: a JSON array",
            "\n    hint: `jq -c '.[]' < ",
            "\n  `page.json`: a web page with the title \"Sign in\"\n    hint: fetch",
            "\nhint: files hold",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
