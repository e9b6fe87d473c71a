//! `ebert check`: how raw files are read, from their first records.
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_dumps::{DocumentBuilder, DumpFile, FindError, Kind, Mapping, RawFiles, Record, Source, find_all};
use schemas::quoted;

use crate::engine::progress::count_of;

/// Records that are looked at for fields and values.
const LOOKED_AT: usize = 100;

/// Characters of a value that are shown.
const MOST_CHARS: usize = 90;

/// Raw files cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("{error}{}", crate::run::hint_of(error))]
    Find {
        #[from]
        error: FindError,
    },
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write what was found")]
    Report(#[from] io::Error),
}

/// Writes how the files of `sources` are read, with the first `records` of each.
///
/// # Errors
/// If a file or folder cannot be read, no file holds a record, or `out` cannot be written.
pub fn check(sources: &[Source], records: usize, out: &mut dyn Write) -> Result<RawFiles, CheckError> {
    let files = find_all(sources, Path::new(""))?;
    for file in &files.recognised {
        let holds = match (&file.mapping, file.holds, &file.ratings) {
            (Some(mapping), ..) => mapping.to_string(),
            (None, Some(holds), _) => holds.to_string(),
            (None, None, Some(_)) => "ratings".to_owned(),
            (None, None, None) => format!("damaged: {}", file.damage.as_deref().unwrap_or_default()),
        };
        // Ratings are read line by line.
        let layout = if file.ratings.is_some() { "a table".to_owned() } else { file.layout.name() };
        writeln!(out, "{}   {holds}, {layout}", quoted(Path::new(file.name.as_str())))?;
        if file.holds.is_some() {
            let read = |source| CheckError::Read { path: file.path.clone(), source };
            let checked = Checked::of(file, records).map_err(read)?;
            checked.write(file, out)?;
        }
        writeln!(out)?;
    }
    let count = |kind: Kind| {
        files.recognised.iter().filter(|file| file.holds.is_some_and(|holds| holds.kind == kind)).count() as u64
    };
    let (products, reviews) = (count(Kind::Product), count(Kind::Review));
    let files_of = |n| count_of(n, "file", "files");
    write!(out, "{} of products, {} of reviews", files_of(products), files_of(reviews))?;
    match files.skipped.len() as u64 {
        0 => writeln!(out)?,
        skipped => writeln!(out, ", {} not read:", files_of(skipped))?,
    }
    for line in crate::run::skipped_lines(&files.skipped) {
        writeln!(out, "  {line}")?;
    }
    Ok(files)
}

/// The first records of a file.
#[derive(Default)]
struct Checked {
    /// A block of lines for each record that is shown.
    shown: Vec<Vec<(&'static str, String)>>,
    looked_at: usize,
    malformed: Vec<(u64, String)>,
    damage: Option<String>,
    /// Records that could be read, and how many of them have each value.
    read: usize,
    with: BTreeMap<&'static str, usize>,
    kind: Option<Kind>,
    fields: Vec<String>,
}

impl Checked {
    fn of(file: &DumpFile, records: usize) -> io::Result<Self> {
        let mut checked = Self { kind: file.holds.map(|holds| holds.kind), ..Self::default() };
        checked.fields = file.fields(LOOKED_AT)?;
        let mut reader = file.records(Arc::default())?;
        let mut documents = DocumentBuilder::default();
        while checked.looked_at < LOOKED_AT {
            let Some(batch) = reader.next_batch(1 << 16) else { break };
            for line in batch.iter().take(LOOKED_AT - checked.looked_at) {
                checked.looked_at += 1;
                let values = file.parse(line.bytes, |record| checked.values(record, file, &mut documents));
                match values {
                    Ok(values) => {
                        checked.read += 1;
                        for (name, _) in &values {
                            *checked.with.entry(name).or_default() += 1;
                        }
                        if checked.shown.len() < records {
                            checked.shown.push(values);
                        }
                    }
                    Err(error) => checked.malformed.push((line.number, error.to_string())),
                }
            }
            checked.looked_at += batch.too_long.len() + batch.malformed.len();
            checked.malformed.extend(batch.malformed.into_iter().take(LOOKED_AT));
            checked.damage = batch.damage.map(|damage| damage.error.to_string());
        }
        Ok(checked)
    }

    /// The values of a record that are not empty.
    fn values(
        &self,
        record: &Record<'_>,
        file: &DumpFile,
        documents: &mut DocumentBuilder,
    ) -> Vec<(&'static str, String)> {
        let kind = record.record_type().or(file.holds).map_or(Kind::Product, |holds| holds.kind);
        let mut values = vec![("id", record.product_id().unwrap_or_default().to_owned())];
        match kind {
            Kind::Product => {
                let product = documents.product(record);
                values.push(("title", product.title.to_owned()));
                values
                    .push(("text", product.text.strip_prefix(product.title).unwrap_or(product.text).trim().to_owned()));
                values.push(("categories", product.categories().collect::<Vec<_>>().join(" > ")));
                values.push(("brand", product.brand.unwrap_or_default().to_owned()));
                let associations = record.associations.len() as u64;
                values.push(("associations", if associations > 0 { associations.to_string() } else { String::new() }));
            }
            Kind::Review => {
                values.push(("text", documents.review(record).text.to_owned()));
                values.push(("rating", record.rating().map(|stars| stars.to_string()).unwrap_or_default()));
                values.push(("time", record.seconds().map(|time| time.to_string()).unwrap_or_default()));
            }
        }
        values.retain(|(_, value)| !value.is_empty());
        values
    }

    fn write(&self, file: &DumpFile, out: &mut dyn Write) -> io::Result<()> {
        for (number, values) in self.shown.iter().enumerate() {
            for (at, (name, value)) in values.iter().enumerate() {
                let number = if at == 0 { (number + 1).to_string() } else { String::new() };
                writeln!(out, "  {number:>2}  {name:<13}{}", shortened(value))?;
            }
        }
        let expected: &[&str] = match self.kind {
            Some(Kind::Review) => &["id", "text", "rating", "time"],
            _ => &["id", "title", "text", "categories", "brand"],
        };
        let missing: Vec<String> = expected
            .iter()
            .filter_map(|name| {
                let without = self.read - self.with.get(name).unwrap_or(&0);
                (without > 0).then(|| format!("{name} in {without} of {}", self.read))
            })
            .collect();
        let unused: Vec<&str> = self.fields.iter().map(String::as_str).filter(|name| !file.reads(name)).collect();
        let absent: Vec<&str> = match &file.mapping {
            Some(mapping) => {
                let is_there = |name: &&str| self.fields.iter().any(|field| Mapping::leads(field, name));
                mapping.names().into_iter().filter(|name| !is_there(name)).collect()
            }
            None => Vec::new(),
        };
        for (heading, names) in
            [("missing", missing.join(", ")), ("unused", unused.join(", ")), ("not found", absent.join(", "))]
        {
            if !names.is_empty() {
                writeln!(out, "  {heading:<17}{names}")?;
            }
        }
        if let Some(damage) = &self.damage {
            writeln!(out, "  damaged          {damage}")?;
        }
        for (number, why) in self.malformed.iter().take(3) {
            writeln!(out, "  unreadable       line {number}: {why}")?;
        }
        Ok(())
    }
}

/// The beginning of a value, on one line.
fn shortened(value: &str) -> String {
    let line: Vec<&str> = value.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(MOST_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
