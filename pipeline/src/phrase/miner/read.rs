//! Text to [`Tokens`], by several threads, in the order of the documents.
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use schemas::{Manifest, manifest::CorpusBody};

use super::{
    List, MineError, Quality,
    tokens::{Reader, Tokens},
};
use crate::{
    corpus::tables::{Item, Rows, tables},
    hashes::Hashes,
    progress::Progress,
    source::{Kind, LineReader, open},
    stage::{self, Threads},
    syntax::Model,
};

/// A text that was read.
pub struct Text {
    /// Its words.
    pub tokens: Tokens,
    /// Lines that are too long and were left out.
    pub too_long: u64,
}

/// Reads a text of one document a line.
pub fn lines(path: &Path, threads: Threads, progress: &Progress) -> Result<Text, MineError> {
    let read = |source| MineError::Read { path: path.to_owned(), source };
    let seen = Arc::default();
    let size = std::fs::metadata(path).map_err(read)?.len();
    let mut batches = LineReader::new(open(path, Arc::clone(&seen)).map_err(read)?.bytes);
    let bar = progress.bytes("reading", size);
    let mut text = Text { tokens: Tokens::default(), too_long: 0 };
    stage::run(
        threads,
        || match batches.next_batch(1 << 20) {
            Some(mut batch) => match batch.damage.take() {
                Some((_, source)) => Err(read(source)),
                None => Ok(Some(batch)),
            },
            None => Ok(None),
        },
        || Reader::new(&Model::embedded().tagger),
        |reader, batch| {
            let lines: Vec<_> = batch.iter().map(|(_, line)| String::from_utf8_lossy(line)).collect();
            Ok((reader.read(lines.iter().map(AsRef::as_ref)), batch.too_long.len()))
        },
        |(batch, too_long)| {
            text.tokens.append(&batch);
            text.too_long += too_long as u64;
            bar.set_position(seen.load(Ordering::Relaxed));
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    text.tokens.finish();
    if text.tokens.words.is_empty() {
        return Err(MineError::NoText { too_long: text.too_long });
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
) -> Result<(Text, Quality), MineError> {
    let tables = tables(corpus);
    let mut rows = Rows::new(folder, tables.iter(), columns_of, hashes);
    let bar = progress.count("reading", tables.iter().map(|t| t.entry.rows).sum());
    let mut text = Text { tokens: Tokens::default(), too_long: 0 };
    let mut names = Names::default();
    stage::run(
        threads,
        || loop {
            match rows.next().transpose()? {
                Some(Item::Rows { table, rows }) => return Ok(Some((tables[table].kind, rows))),
                Some(Item::End { .. }) => {}
                None => return Ok::<_, MineError>(None),
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
    let [kinds, brands] = [names.kinds, names.brands].map(|names| List::Names(names.into_iter().collect()));
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
