//! Texts to [`Tokens`] on several threads, in the order of the documents.
use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ebert_dumps::{Kind, LineBatch, LineReader, NotText, SkipReason, open};
use ebert_english::Model;
use ebert_mining::{CommonPhrases, List, Memory, QualityList, Reader, Tokens};
use schemas::{CorpusNameRows, Manifest, manifest::CorpusBody};
use serde::{Deserialize, Serialize};

use super::{MiningError, once::OncePerText};
use crate::{
    corpus::tables::{self, DocumentReader, Item, Table},
    engine::{
        hashes::Hashes,
        memory::give_back,
        progress::{Progress, count_of},
        stage::{self, Threads},
    },
    settings::LanguageOption,
    text::language::Language,
};

/// A text to mine.
pub struct Text {
    /// Its words.
    pub tokens: Tokens,
    /// Lines that were skipped.
    pub left_out: LeftOut,
}

/// Numbers of lines that are not documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Longer than a line may be.
    pub too_long: u64,
    /// Not UTF-8.
    pub invalid_utf8: u64,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.invalid_utf8, "that are not UTF-8"), (self.too_long, "of more than 16 MiB")];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(n, what)| format!("{} {what}", count_of(n, "line", "lines"))).collect();
        f.write_str(&parts.join(", "))
    }
}

/// A reader of the embedded tagger, if the language has tags.
fn new_reader(language: Language) -> Reader<'static> {
    match language.has_tags() {
        true => Reader::new(&Model::embedded().tagger).expect("the tag set of the embedded tagger fits"),
        false => Reader::untagged(),
    }
}

/// The built-in phrases of a language.
pub fn common(language: Language) -> Option<CommonPhrases> {
    (language == Language::English).then(CommonPhrases::english)
}

/// A text with one document per line.
pub struct Lines<'a> {
    path: &'a Path,
    /// Bytes of the file that have been read.
    seen: Arc<AtomicU64>,
    size: u64,
    first: Option<LineBatch>,
    rest: LineReader,
    /// Given, or detected from the first mebibyte.
    pub language: Language,
}

impl<'a> Lines<'a> {
    /// Opens a text, and reads its first mebibyte.
    ///
    /// # Errors
    /// If the file cannot be opened, or is not text in UTF-8. [`Lines::read`] reports content that is damaged.
    pub fn open(path: &'a Path, language: LanguageOption) -> Result<Self, MiningError> {
        let read = |source| MiningError::Read { path: path.to_owned(), source };
        let seen = Arc::default();
        let about = std::fs::metadata(path).map_err(read)?;
        // A pipe can be read only once.
        let found = if about.is_file() { NotText::of(path).map_err(read)? } else { None };
        // A document may begin with a tag. A page has a title.
        let is_text = |found: &NotText| {
            matches!(found.reason, SkipReason::Empty | SkipReason::Xml { .. } | SkipReason::WebPage { title: None })
        };
        if let Some(found) = found.filter(|found| !is_text(found)) {
            return Err(MiningError::NotAText { path: path.to_owned(), found });
        }
        let size = about.len();
        let mut rest = LineReader::new(open(path, Arc::clone(&seen)).map_err(read)?.bytes);
        let first = rest.next_batch(1 << 20);
        let language = language.or_detect(|| {
            let lines = first.iter().flat_map(|batch| batch.iter());
            Ok::<_, MiningError>(Language::detect(lines.filter_map(|line| std::str::from_utf8(line.bytes).ok())))
        })?;
        Ok(Self { path, seen, size, first, rest, language })
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// If the file is damaged, no line has a word, or a temporary file fails.
    pub fn read(self, threads: Threads, memory: Memory, progress: &Progress) -> Result<Text, MiningError> {
        let Self { path, seen, size, mut first, rest: mut batches, language } = self;
        let read = |source| MiningError::Read { path: path.to_owned(), source };
        let bar = progress.bytes("reading", size);
        let mut text = Text { tokens: Tokens::new(memory), left_out: LeftOut::default() };
        stage::run(
            threads,
            || match first.take().or_else(|| batches.next_batch(1 << 20)) {
                Some(mut batch) => match batch.damage.take() {
                    Some(damage) => Err(read(damage.error)),
                    None => Ok(Some(batch)),
                },
                None => Ok(None),
            },
            || new_reader(language),
            |reader, batch| {
                let lines: Vec<_> = batch.iter().map(|line| std::str::from_utf8(line.bytes)).collect();
                let invalid = lines.iter().filter(|line| line.is_err()).count();
                Ok((reader.read(lines.into_iter().flatten()), batch.too_long.len(), invalid))
            },
            |(batch, too_long, invalid)| {
                text.tokens.append(&batch)?;
                text.left_out.too_long += too_long as u64;
                text.left_out.invalid_utf8 += invalid as u64;
                bar.set_position(seen.load(Ordering::Relaxed));
                Ok(())
            },
        )?;
        bar.finish_and_clear();
        text.tokens.shrink_to_fit();
        give_back();
        if text.tokens.is_empty() {
            return Err(MiningError::NoText { left_out: text.left_out });
        }
        Ok(text)
    }
}

/// How the texts of a corpus are read.
pub struct Reading<'a> {
    /// Whether words have tags.
    pub language: Language,
    /// Workers.
    pub threads: Threads,
    /// Memory for the words.
    pub memory: Memory,
    /// Where progress is shown.
    pub progress: &'a Progress,
}

/// Reads the texts of a corpus and the names that its products give.
///
/// # Errors
/// If a table is missing or damaged, or a temporary file fails.
pub fn corpus(
    folder: &Path,
    corpus: &Manifest<CorpusBody>,
    reading: &Reading<'_>,
    hashes: &mut Hashes,
) -> Result<(Text, QualityList), MiningError> {
    let all = tables::tables(corpus);
    let mut once = OncePerText::new(folder, &all)?;
    let bar = reading.progress.count("reading", all.iter().map(|table| table.entry.rows).sum());
    let (tokens, names) = read_tables(folder, &all, &mut once, reading, hashes, |rows| bar.inc(rows))?;
    bar.finish_and_clear();
    Ok((Text { tokens, left_out: LeftOut::default() }, names.into_list(reading.language)))
}

/// Reads the texts of some tables, and the names that their products give. `on_rows` is called with numbers of rows.
pub(super) fn read_tables(
    folder: &Path,
    tables: &[Table],
    once: &mut OncePerText,
    reading: &Reading<'_>,
    hashes: &mut Hashes,
    on_rows: impl Fn(u64),
) -> Result<(Tokens, Names), MiningError> {
    let mut rows = DocumentReader::<CorpusNameRows>::new(folder, tables.iter(), hashes);
    let mut tokens = Tokens::new(reading.memory.clone());
    let mut names = Names::default();
    stage::run(
        reading.threads,
        || loop {
            match rows.next().transpose()? {
                Some(Item::Rows { table, rows }) => {
                    let is_read: Vec<bool> = match tables[table].kind {
                        Kind::Product => rows.names().map(|(id, text)| once.is_read_product(text, id)).collect(),
                        Kind::Review => rows.names().map(|(_, text)| once.is_read_review(text)).collect(),
                    };
                    return Ok(Some((rows, is_read)));
                }
                Some(Item::End { .. }) => once.end_table(),
                None => return Ok::<_, MiningError>(None),
            }
        },
        || new_reader(reading.language),
        |reader, (rows, is_read)| {
            let texts = rows.texts().zip(is_read).filter_map(|(text, is_read)| is_read.then_some(text));
            let batch = reader.read(texts);
            let mut named = Names::default();
            named.add_rows(&rows);
            Ok((batch, named, rows.len()))
        },
        |(batch, mut named, rows)| {
            tokens.append(&batch)?;
            names.append(&mut named);
            on_rows(rows as u64);
            Ok(())
        },
    )?;
    tokens.shrink_to_fit();
    give_back();
    Ok((tokens, names))
}

/// Names that products give.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    /// Parts of their categories, and names of their attributes.
    kinds: BTreeSet<String>,
    brands: BTreeSet<String>,
}

impl Names {
    /// Moves the names of `other` here.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.kinds.append(&mut other.kinds);
        self.brands.append(&mut other.brands);
    }

    /// What is learned from, with the built-in phrases of the language.
    pub(super) fn into_list(self, language: Language) -> QualityList {
        let [kinds, brands] = [self.kinds, self.brands].map(|names| names.into_iter().collect::<List>());
        QualityList::Products { kinds, brands, common: common(language) }
    }

    fn add_rows(&mut self, rows: &CorpusNameRows) {
        for category in rows.categories() {
            // `Clothing, Shoes & Jewelry` names three.
            for part in category.split(['&', ',', '/', '|', '>', ';', '(', ')']).flat_map(|part| part.split(" and ")) {
                add(part, &mut self.kinds);
            }
        }
        rows.attributes().for_each(|attribute| add(attribute, &mut self.kinds));
        rows.brands().for_each(|brand| add(brand, &mut self.brands));
    }
}

fn add(name: &str, names: &mut BTreeSet<String>) {
    let name = name.trim();
    if !name.is_empty() && !names.contains(name) {
        names.insert(name.to_owned());
    }
}
