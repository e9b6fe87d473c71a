//! Text to [`Tokens`], by several threads, in the order of the documents.
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use schemas::{Manifest, manifest::CorpusBody};

use super::{
    MineError,
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

/// Reads the texts of a corpus, and the names of good phrases in it: categories, brands and attributes of products.
pub fn corpus(
    folder: &Path,
    corpus: &Manifest<CorpusBody>,
    hashes: &mut Hashes,
    threads: Threads,
    progress: &Progress,
) -> Result<(Text, Vec<String>), MineError> {
    let tables = tables(corpus);
    let mut rows = Rows::new(folder, tables.iter(), columns_of, hashes);
    let bar = progress.count("reading", tables.iter().map(|t| t.entry.rows).sum());
    let mut text = Text { tokens: Tokens::default(), too_long: 0 };
    let mut names = BTreeSet::new();
    stage::run(
        threads,
        || loop {
            match rows.next()? {
                Some(Item::Rows { table, rows }) => return Ok(Some((tables[table].kind, rows))),
                Some(Item::End { .. }) => {}
                None => return Ok::<_, MineError>(None),
            }
        },
        || Reader::new(&Model::embedded().tagger),
        |reader, (kind, rows)| {
            let texts = rows.column(0).as_string::<i32>();
            let batch = reader.read(texts.iter().flatten());
            let mut named = BTreeSet::new();
            if kind == Kind::Product {
                names_of(&rows, &mut named);
            }
            Ok((batch, named, rows.num_rows()))
        },
        |(batch, mut named, rows)| {
            text.tokens.append(&batch);
            names.append(&mut named);
            bar.inc(rows as u64);
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    text.tokens.finish();
    Ok((text, names.into_iter().collect()))
}

fn columns_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Product => &["text", "categories", "brand", "attributes"],
        Kind::Review => &["text"],
    }
}

/// Adds what products name: parts of their categories, their brands, and the attributes of their details.
fn names_of(rows: &RecordBatch, names: &mut BTreeSet<String>) {
    let (categories, attributes) = (rows.column(1).as_list::<i32>(), rows.column(3).as_list::<i32>());
    for category in categories.values().as_string::<i32>().iter().flatten() {
        // `Clothing, Shoes & Jewelry` names three.
        for part in category.split(['&', ',', '/', '|', '>', ';', '(', ')']).flat_map(|part| part.split(" and ")) {
            add_name(part, names);
        }
    }
    for brand in rows.column(2).as_string::<i32>().iter().flatten() {
        add_name(brand, names);
    }
    for attribute in attributes.values().as_string::<i32>().iter().flatten() {
        add_name(attribute, names);
    }
}

fn add_name(name: &str, names: &mut BTreeSet<String>) {
    let name = name.trim();
    if !name.is_empty() && !names.contains(name) {
        names.insert(name.to_owned());
    }
}
