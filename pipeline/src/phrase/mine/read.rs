//! Text to [`Tokens`], by several threads, in the order of the documents.
use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use ebert_dumps::{Kind, LineReader, open};
use ebert_english::Model;
use ebert_mining::{List, Quality, Reader, Tokens};
use schemas::{Manifest, manifest::CorpusBody};

use super::MiningError;
use crate::{
    corpus::tables::{Item, Rows, tables},
    engine::{
        hashes::Hashes,
        memory,
        progress::{Progress, count_of},
        stage::{self, Threads},
    },
};

/// A text that was read.
pub struct Text {
    /// Its words.
    pub tokens: Tokens,
    /// Lines that were left out.
    pub left_out: LeftOut,
}

/// Lines that are no documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Longer than a line may be.
    pub too_long: u64,
    /// Not UTF-8.
    pub invalid_utf8: u64,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.invalid_utf8, "that are no UTF-8"), (self.too_long, "of more than 16 MiB")];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(n, what)| format!("{} {what}", count_of(n, "line", "lines"))).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Reads a text of one document a line.
pub fn lines(path: &Path, threads: Threads, progress: &Progress) -> Result<Text, MiningError> {
    let read = |source| MiningError::Read { path: path.to_owned(), source };
    let seen = Arc::default();
    let size = std::fs::metadata(path).map_err(read)?.len();
    let mut batches = LineReader::new(open(path, Arc::clone(&seen)).map_err(read)?.bytes);
    let bar = progress.bytes("reading", size);
    let mut text = Text { tokens: Tokens::default(), left_out: LeftOut::default() };
    stage::run(
        threads,
        || match batches.next_batch(1 << 20) {
            Some(mut batch) => match batch.damage.take() {
                Some(damage) => Err(read(damage.error)),
                None => Ok(Some(batch)),
            },
            None => Ok(None),
        },
        || Reader::new(&Model::embedded().tagger),
        |reader, batch| {
            let lines: Vec<_> = batch.iter().map(|line| std::str::from_utf8(line.bytes)).collect();
            let invalid = lines.iter().filter(|line| line.is_err()).count();
            Ok((reader.read(lines.into_iter().flatten()), batch.too_long.len(), invalid))
        },
        |(batch, too_long, invalid)| {
            text.tokens.append(&batch);
            text.left_out.too_long += too_long as u64;
            text.left_out.invalid_utf8 += invalid as u64;
            bar.set_position(seen.load(Ordering::Relaxed));
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    text.tokens.finish();
    memory::give_back();
    if text.tokens.words.is_empty() {
        return Err(MiningError::NoText { left_out: text.left_out });
    }
    Ok(text)
}

/// Reads the texts of a corpus, and what its products name.
pub fn corpus(
    folder: &Path,
    corpus: &Manifest<CorpusBody>,
    hashes: &mut Hashes,
    threads: Threads,
    progress: &Progress,
) -> Result<(Text, Quality), MiningError> {
    let tables = tables(corpus);
    let mut rows = Rows::new(folder, tables.iter(), columns_of, hashes);
    let bar = progress.count("reading", tables.iter().map(|t| t.entry.rows).sum());
    let mut text = Text { tokens: Tokens::default(), left_out: LeftOut::default() };
    let mut names = Names::default();
    stage::run(
        threads,
        || loop {
            match rows.next().transpose()? {
                Some(Item::Rows { table, rows }) => return Ok(Some((tables[table].kind, rows))),
                Some(Item::End { .. }) => {}
                None => return Ok::<_, MiningError>(None),
            }
        },
        || Reader::new(&Model::embedded().tagger),
        |reader, (kind, rows)| {
            let texts = rows.column(0).as_string::<i32>();
            let batch = reader.read(texts.iter().flatten());
            let mut named = Names::default();
            if kind == Kind::Product {
                named.add_rows(&rows);
            }
            Ok((batch, named, rows.num_rows()))
        },
        |(batch, mut named, rows)| {
            text.tokens.append(&batch);
            names.kinds.append(&mut named.kinds);
            names.brands.append(&mut named.brands);
            bar.inc(rows as u64);
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    text.tokens.finish();
    memory::give_back();
    let [kinds, brands] = [names.kinds, names.brands].map(|names| names.into_iter().collect::<List>());
    Ok((text, Quality::Corpus { kinds, brands }))
}

fn columns_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Product => &["text", "categories", "brand", "attributes"],
        Kind::Review => &["text"],
    }
}

/// What products name.
#[derive(Default)]
struct Names {
    /// Parts of their categories, and the attributes of their details.
    kinds: BTreeSet<String>,
    brands: BTreeSet<String>,
}

impl Names {
    fn add_rows(&mut self, rows: &RecordBatch) {
        let (categories, attributes) = (rows.column(1).as_list::<i32>(), rows.column(3).as_list::<i32>());
        for category in categories.values().as_string::<i32>().iter().flatten() {
            // `Clothing, Shoes & Jewelry` names three.
            for part in category.split(['&', ',', '/', '|', '>', ';', '(', ')']).flat_map(|part| part.split(" and ")) {
                add(part, &mut self.kinds);
            }
        }
        for attribute in attributes.values().as_string::<i32>().iter().flatten() {
            add(attribute, &mut self.kinds);
        }
        for brand in rows.column(2).as_string::<i32>().iter().flatten() {
            add(brand, &mut self.brands);
        }
    }
}

fn add(name: &str, names: &mut BTreeSet<String>) {
    let name = name.trim();
    if !name.is_empty() && !names.contains(name) {
        names.insert(name.to_owned());
    }
}
