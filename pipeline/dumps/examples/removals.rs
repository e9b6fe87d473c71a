//! Prints what each rule removes from the records below a folder: counts, or a sample.
//!
//! ```sh
//! cargo run --release -p ebert-dumps --example removals -- FOLDER        # counts by file
//! cargo run --release -p ebert-dumps --example removals -- FOLDER 200    # up to 200 per rule
//! ```
//!
//! The sample is drawn evenly over all records by a hash of rule, text and position, so the same
//! files give the same sample.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use ebert_dumps::{DocumentBuilder, Kind, LineReader, Removals, Rule, find, open, parse};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Characters of a removal that are printed.
const MAX_CHARS: usize = 120;

/// What a rule removed in one file.
#[derive(Default)]
struct FileCount {
    records: u64,
    removals: Removals,
    /// Records that a rule changed.
    changed: BTreeMap<Rule, u64>,
    labels: HashSet<String>,
    raw_labels: HashSet<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: removals FOLDER [SAMPLE]")?;
    let sample_size: usize = arguments.next().map_or(Ok(0), |size| size.parse())?;
    let mut sample: BTreeMap<Rule, BTreeSet<(u64, String)>> = BTreeMap::new();
    let mut files = Vec::new();
    let mut builder = DocumentBuilder::logging();
    for file in find(Path::new(&folder), Path::new("output"))?.recognised {
        let mut count = FileCount::default();
        let mut lines = LineReader::new(open(&file.path, Arc::default())?.bytes);
        while let Some(batch) = lines.next_batch(1 << 20) {
            for line in batch.iter() {
                let _ = parse(line.bytes, |record| {
                    let kind = record.record_type().or(file.holds).map_or(Kind::Product, |found| found.kind);
                    let removed = match kind {
                        Kind::Product => {
                            count.raw_labels.extend(record.categories().map(str::to_owned));
                            let product = builder.product(record);
                            count.labels.extend(product.categories().map(str::to_owned));
                            product.removed
                        }
                        Kind::Review => builder.review(record).removed,
                    };
                    count.records += 1;
                    count.removals.add(removed);
                    for (rule, _) in removed.iter().filter(|(_, removed)| removed.pieces > 0) {
                        *count.changed.entry(rule).or_default() += 1;
                    }
                    for (place, (rule, text)) in removed.log().iter().enumerate() {
                        let key = line.number << 16 | place as u64;
                        let hash = xxh3_64_with_seed(format!("{rule} {text}").as_bytes(), key);
                        let drawn = sample.entry(*rule).or_default();
                        drawn.insert((hash, text.clone()));
                        if drawn.len() > sample_size {
                            drawn.pop_last();
                        }
                    }
                });
            }
        }
        files.push((file.name.to_string(), count));
    }
    let mut out = io::stdout().lock();
    if sample_size > 0 {
        writeln!(out, "rule\tremoved")?;
        for (rule, drawn) in sample {
            for (_, text) in drawn {
                let short: String =
                    text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
                writeln!(out, "{rule}\t{short}")?;
            }
        }
        return Ok(());
    }
    writeln!(out, "file\trecords\trule\trecords changed\tpieces\tbytes")?;
    for (name, count) in files {
        for (rule, removed) in count.removals.iter().filter(|(_, removed)| removed.pieces > 0) {
            let changed = count.changed[&rule];
            writeln!(out, "{name}\t{}\t{rule}\t{changed}\t{}\t{}", count.records, removed.pieces, removed.bytes)?;
        }
        if !count.raw_labels.is_empty() {
            writeln!(out, "{name}\t{}\tlabels\t{}\t{}\t", count.records, count.raw_labels.len(), count.labels.len())?;
        }
    }
    Ok(())
}
