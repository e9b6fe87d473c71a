//! `ebert inspect --leaks`: held-out documents that are nearly the same as a training document.
//!
//! Equal texts are held out together. Texts that differ in a few words are not, and a model that has
//! seen one is measured too well on the other. Two texts count as near duplicates if the Jaccard
//! similarity of their sets of three-word shingles is at least [`LEAST_SIMILARITY`].
//!
//! The search is exact. It holds the shingles of the held-out documents in memory (8 bytes per word)
//! and streams the training documents. Two sets as similar as this share one of the first
//! [`prefix`] elements in any common order, here that of the hashes. So only these are indexed and
//! looked up.
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use ebert_dumps::Kind;
use schemas::{
    CorpusTextRows, DocumentId, Manifest, ManifestError, StoreError, TextId,
    manifest::{CorpusBody, ShardsBody},
};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    corpus::tables::{DocumentReader, Item, tables},
    engine::{
        hashes::Hashes,
        progress::{Format, Progress, thousands},
    },
    hint::Hint,
};

/// The least Jaccard similarity of near duplicates.
pub const LEAST_SIMILARITY: f64 = 0.9;

/// Texts with fewer words are skipped: a few words are alike by chance.
pub const LEAST_WORDS: usize = 8;

/// Words of a shingle.
const SHINGLE: usize = 3;

/// Leaks cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum LeaksError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// The shards were made from another corpus.
    #[error(
        "`{}` was built from another corpus than `{}`\nhint: run `ebert shards` with the options of these shards",
        out.join("shards").display(), out.join("corpus").display()
    )]
    OtherCorpus { out: PathBuf },
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// Counts the held-out documents of `out` with a near duplicate among the training documents, and
/// prints them with some examples. `held_out` is the ratio of texts that a recipe holds out.
///
/// # Errors
/// If the shards or the corpus cannot be read or do not fit together, or `report` cannot be
/// written.
pub fn leaks(
    out: &Path,
    held_out: f64,
    format: Format,
    progress: &Progress,
    report: &mut dyn io::Write,
) -> Result<(), LeaksError> {
    let shards = Manifest::<ShardsBody>::read(&out.join("shards"))?;
    let corpus = Manifest::<CorpusBody>::read(&out.join("corpus"))?;
    if corpus.data_blake3() != shards.body.corpus.blake3 {
        return Err(LeaksError::OtherCorpus { out: out.to_owned() });
    }
    let is_held_out = |text: TextId| text.is_held_out(shards.body.seed, held_out);
    let mut hashes = Hashes::load(out);
    let mut search = Search::default();
    each_document(out, &corpus, &mut hashes, progress, |kind, document, text_id, text| {
        if is_held_out(text_id) {
            search.add(kind, document, text);
        }
    })?;
    search.index();
    let mut trained_twice = 0;
    each_document(out, &corpus, &mut hashes, progress, |_, document, text_id, text| {
        if is_held_out(text_id) {
            return;
        }
        trained_twice += u64::from(search.texts.contains_key(&text_id));
        search.look_up(document, text);
    })?;
    let found = Leaks { documents: &search.documents, trained_twice };
    match format {
        Format::Text => found.print(report)?,
        Format::Json => found.facts().iter().try_for_each(|facts| writeln!(report, "{facts}"))?,
    }
    Ok(())
}

/// What was found.
struct Leaks<'a> {
    documents: &'a [HeldOut],
    /// Documents in training whose text equals that of a held-out one.
    trained_twice: u64,
}

/// Documents of one kind.
struct LeaksOfKind {
    kind: Kind,
    held_out: u64,
    /// Those that are long enough.
    compared: u64,
    leaked: u64,
}

impl Leaks<'_> {
    fn by_kind(&self) -> [LeaksOfKind; 2] {
        [Kind::Product, Kind::Review].map(|kind| {
            let of_kind = || self.documents.iter().filter(move |document| document.kind == kind);
            LeaksOfKind {
                kind,
                held_out: of_kind().count() as u64,
                compared: of_kind().filter(|document| !document.shingles.is_empty()).count() as u64,
                leaked: of_kind().filter(|document| document.duplicate.is_some()).count() as u64,
            }
        })
    }

    /// The first held-out documents with a near duplicate.
    fn examples(&self) -> impl Iterator<Item = (&HeldOut, &Duplicate)> {
        self.documents.iter().filter_map(|document| Some((document, document.duplicate.as_ref()?))).take(EXAMPLES)
    }

    /// Numbers and names for a program.
    fn facts(&self) -> Vec<Value> {
        let of_kind = |found: LeaksOfKind| {
            let LeaksOfKind { kind, held_out, compared, leaked } = found;
            json!({"event": "leaks", "documents": kind.stem(), "held_out": held_out, "compared": compared, "leaked": leaked})
        };
        let settings = json!({
            "event": "equal_texts", "trained_twice": self.trained_twice, "min_similarity": LEAST_SIMILARITY,
            "shingle_words": SHINGLE, "min_words": LEAST_WORDS,
        });
        let example = |(document, duplicate): (&HeldOut, &Duplicate)| {
            json!({
                "event": "near_duplicate", "similarity": duplicate.similarity, "held_out": document.text,
                "trained": duplicate.text,
            })
        };
        self.by_kind().into_iter().map(of_kind).chain([settings]).chain(self.examples().map(example)).collect()
    }

    /// A table for a person.
    fn print(&self, report: &mut dyn io::Write) -> io::Result<()> {
        writeln!(report, "near duplicates of held-out documents among training documents")?;
        writeln!(report, "  {:10} {:>12} {:>12} {:>12}", "", "held out", "compared", "leaked")?;
        for LeaksOfKind { kind, held_out, compared, leaked } in self.by_kind() {
            let percent = 100.0 * leaked as f64 / compared.max(1) as f64;
            let all = thousands(held_out);
            let (compared, leaked) = (thousands(compared), thousands(leaked));
            writeln!(report, "  {:10} {all:>12} {compared:>12} {leaked:>12}   {percent:.1}%", kind.stem())?;
        }
        writeln!(report, "  equal texts that are also trained on: {}", thousands(self.trained_twice))?;
        writeln!(
            report,
            "  Jaccard similarity of at least {LEAST_SIMILARITY} over shingles of {SHINGLE} words; texts under {LEAST_WORDS} words are skipped"
        )?;
        for (document, duplicate) in self.examples() {
            writeln!(report, "  {:.2}  held out  {}", duplicate.similarity, brief(&document.text))?;
            writeln!(report, "        trained   {}", brief(&duplicate.text))?;
        }
        Ok(())
    }
}

/// Pairs of documents that are shown.
const EXAMPLES: usize = 5;

/// The beginning of a text, on one line.
fn brief(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect();
    if line.len() < text.len() { line + "…" } else { line }
}

fn each_document(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    hashes: &mut Hashes,
    progress: &Progress,
    mut each: impl FnMut(Kind, DocumentId, TextId, &str),
) -> Result<(), StoreError> {
    let tables = tables(corpus);
    let bar = progress.count("reading", tables.iter().map(|table| table.entry.rows).sum());
    let folder = out.join("corpus");
    for item in DocumentReader::<CorpusTextRows>::new(&folder, tables.iter(), hashes) {
        if let Item::Rows { table, rows } = item? {
            rows.iter().for_each(|row| each(tables[table].kind, row.document, row.text_id, row.text));
            bar.inc(rows.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The distinct shingles of a text as sorted hashes; none if it has too few words.
fn shingles(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.len() < LEAST_WORDS {
        return Vec::new();
    }
    let mut shingles: Vec<u64> = words.windows(SHINGLE).map(|shingle| xxh3_64(shingle.join(" ").as_bytes())).collect();
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// How many of the first elements of a set of this size must be compared. Of two sets with at least
/// [`LEAST_SIMILARITY`], each has at most this many less one that the other lacks.
fn prefix(size: usize) -> usize {
    size - (LEAST_SIMILARITY * size as f64).ceil() as usize + usize::from(size > 0)
}

fn similarity(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

/// A held-out document.
struct HeldOut {
    kind: Kind,
    document: DocumentId,
    text: String,
    shingles: Vec<u64>,
    /// The most similar training document; of equally similar ones, that with the lowest id.
    duplicate: Option<Duplicate>,
}

struct Duplicate {
    similarity: f64,
    document: DocumentId,
    text: String,
}

#[derive(Default)]
struct Search {
    documents: Vec<HeldOut>,
    texts: HashMap<TextId, usize>,
    /// Indices in `documents` by each shingle of a prefix.
    by_shingle: HashMap<u64, Vec<u32>>,
}

impl Search {
    fn add(&mut self, kind: Kind, document: DocumentId, text: &str) {
        self.texts.insert(TextId::of(text), self.documents.len());
        let (text, shingles) = (text.to_owned(), shingles(text));
        self.documents.push(HeldOut { kind, document, text, shingles, duplicate: None });
    }

    fn index(&mut self) {
        self.documents.sort_by_key(|held_out| (held_out.kind, held_out.document));
        for (number, HeldOut { shingles, .. }) in self.documents.iter().enumerate() {
            for &shingle in &shingles[..prefix(shingles.len())] {
                self.by_shingle.entry(shingle).or_default().push(number as u32);
            }
        }
    }

    /// Compares a training document with the held-out ones.
    fn look_up(&mut self, document: DocumentId, text: &str) {
        let of_text = shingles(text);
        let mut candidates: Vec<u32> = of_text[..prefix(of_text.len())]
            .iter()
            .filter_map(|shingle| self.by_shingle.get(shingle))
            .flatten()
            .copied()
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        for number in candidates {
            let held_out = &mut self.documents[number as usize];
            let similarity = similarity(&held_out.shingles, &of_text);
            let is_better = held_out.duplicate.as_ref().is_none_or(|known| {
                similarity > known.similarity || similarity == known.similarity && document < known.document
            });
            if similarity >= LEAST_SIMILARITY && is_better {
                held_out.duplicate = Some(Duplicate { similarity, document, text: text.to_owned() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_have_no_shingles() {
        assert!(shingles("one two three four five six seven").is_empty());
        assert_eq!(shingles("one two three, four five six: seven eight!").len(), 6);
        assert_eq!(shingles("A b c d e f g h"), shingles("a B c. D e f (g) h"));
    }

    /// Words around a common text: some replaced, some dropped.
    fn texts() -> impl Strategy<Value = Vec<String>> {
        let edits = prop::collection::vec((0usize..60, 0u8..3), 0..4);
        prop::collection::vec((0u8..3, edits, 20usize..60), 2..14).prop_map(|texts| {
            let text = |(base, edits, length): (u8, Vec<(usize, u8)>, usize)| {
                let mut words: Vec<String> = (0..length).map(|word| format!("w{base}x{word}")).collect();
                for (at, edit) in edits {
                    if let Some(word) = words.get_mut(at) {
                        *word = if edit == 0 { String::new() } else { format!("e{edit}") };
                    }
                }
                words.join(" ")
            };
            texts.into_iter().map(text).collect()
        })
    }

    proptest! {
        #[test]
        fn the_search_finds_what_comparing_all_pairs_finds(texts in texts(), held_out in 1usize..6) {
            let held_out = held_out.min(texts.len() - 1);
            let (measured, trained) = texts.split_at(held_out);
            let mut search = Search::default();
            for (number, text) in measured.iter().enumerate() {
                search.add(Kind::Review, DocumentId::new(number as u64), text);
            }
            search.index();
            for (number, text) in trained.iter().enumerate() {
                search.look_up(DocumentId::new(number as u64), text);
            }
            for (document, text) in search.documents.iter().zip(measured) {
                let best = trained.iter().map(|other| similarity(&shingles(text), &shingles(other)))
                    .filter(|&similarity| similarity >= LEAST_SIMILARITY)
                    .max_by(f64::total_cmp);
                prop_assert_eq!(document.duplicate.as_ref().map(|found| found.similarity), best);
            }
        }
    }
}
