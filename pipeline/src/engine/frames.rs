//! Sealed tables as polars data frames.
//!
//! The reports are eager queries over one file at a time. (The lazy engine of polars
//! would add 170 packages to the build.) [`KeyCounts`] merge the partial counts of many files. So
//! memory grows with one file and with the number of distinct keys, not with the corpus.
use std::{
    fs::File,
    path::{Path, PathBuf},
};

use arrow_schema::SchemaRef;
use polars::prelude::*;
use schemas::{
    FileEntry, StoreError,
    store::{self, TableReader},
};

use crate::hint::Hint;

/// A table cannot be read as a data frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error("cannot read `{}` as a data frame", path.display())]
    Polars {
        path: PathBuf,
        #[source]
        source: PolarsError,
    },
}

/// Reads some columns of a sealed file, after comparing its hash with the manifest's.
pub(crate) fn read_sealed(
    folder: &Path,
    entry: &FileEntry,
    schema: &SchemaRef,
    columns: &[&str],
) -> Result<DataFrame, FrameError> {
    read(&store::verify_file(folder, entry)?, schema, columns)
}

/// Reads some columns of a file whose hash is known to be right.
///
/// # Errors
/// When the file's columns are not those of `schema`, too.
pub(crate) fn read(path: &Path, schema: &SchemaRef, columns: &[&str]) -> Result<DataFrame, FrameError> {
    // Its message lists the columns found and expected.
    TableReader::open(path, schema)?;
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    let reader = ParquetReader::new(file).with_columns(Some(columns));
    reader.finish().map_err(|source| FrameError::Polars { path: path.to_owned(), source })
}

/// The column that [`count_by`] and [`KeyCounts`] append.
pub(crate) const COUNT: &str = "count";

/// The number of rows of each distinct key.
pub(crate) fn count_by(frame: &DataFrame, keys: &[&str]) -> PolarsResult<DataFrame> {
    let groups = frame.group_by(keys)?;
    let counts = groups.get_groups().group_count().with_name(COUNT.into());
    let mut columns = groups.keys();
    columns.push(counts.cast(&DataType::UInt64)?.into_column());
    DataFrame::new_infer_height(columns)
}

/// The sum of [`COUNT`] of each distinct key.
pub(crate) fn sum_by(counts: &DataFrame, keys: &[&str]) -> PolarsResult<DataFrame> {
    let groups = counts.group_by(keys)?.select([COUNT]);
    #[expect(deprecated, reason = "in favor of the lazy engine, which this build does not have")]
    let mut sums = groups.sum()?;
    sums.rename("count_sum", COUNT.into())?;
    Ok(sums)
}

/// The rows of `frame` for which `keep` holds.
pub(crate) fn filter_text(frame: &DataFrame, column: &str, keep: impl Fn(&str) -> bool) -> PolarsResult<DataFrame> {
    let mask: BooleanChunked = frame.column(column)?.str()?.iter().map(|text| text.is_some_and(&keep)).collect();
    frame.filter(&mask)
}

/// The rows of `frame` whose key is also in `other`.
pub(crate) fn semi_join(frame: &DataFrame, other: &DataFrame, keys: &[&str]) -> PolarsResult<DataFrame> {
    frame.join(other, keys, keys, JoinArgs::new(JoinType::Semi), None)
}

/// Rows per distinct key, over many frames.
pub(crate) struct KeyCounts {
    keys: Vec<String>,
    /// Keys may repeat until the next merge.
    counts: DataFrame,
    /// Rows of `counts` above which they are merged.
    limit: usize,
}

/// Merging starts at this many rows.
const LEAST_LIMIT: usize = 1 << 16;

impl KeyCounts {
    pub(crate) fn new(keys: impl IntoIterator<Item = Field>) -> Self {
        let mut schema: Schema = keys.into_iter().collect();
        let keys = schema.iter_names().map(ToString::to_string).collect();
        schema.insert(COUNT.into(), DataType::UInt64);
        Self { keys, counts: DataFrame::empty_with_schema(&schema), limit: LEAST_LIMIT }
    }

    /// Counts the rows of a frame, which has the columns of the key.
    pub(crate) fn add(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        self.counts.vstack_mut(&count_by(frame, &self.keys())?)?;
        if self.counts.height() > self.limit {
            self.merge()?;
            // Merging whenever the rows have doubled costs a constant number of passes per row.
            self.limit = LEAST_LIMIT.max(2 * self.counts.height());
        }
        Ok(())
    }

    /// The keys with their counts, in no particular order.
    pub(crate) fn finish(mut self) -> PolarsResult<DataFrame> {
        self.merge()?;
        Ok(self.counts)
    }

    fn merge(&mut self) -> PolarsResult<()> {
        self.counts = sum_by(&self.counts, &self.keys())?;
        Ok(())
    }

    fn keys(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sorted(counts: &DataFrame) -> DataFrame {
        counts.sort(["name", "id"], SortMultipleOptions::default()).unwrap()
    }

    #[test]
    fn key_counts_count_as_a_map_does() {
        let mut counts =
            KeyCounts::new([Field::new("name".into(), DataType::String), Field::new("id".into(), DataType::UInt32)]);
        assert_eq!(counts.counts.height(), 0);
        let mut wanted: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for file in 0..20u32 {
            let rows: Vec<(String, u32)> = (0..file).map(|i| (format!("n{}", i % 3), i * file % 5)).collect();
            let names: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
            let ids: Vec<u32> = rows.iter().map(|row| row.1).collect();
            // A column that is not of the key.
            let other = vec![file; rows.len()];
            counts.add(&df!("other" => other, "name" => names, "id" => ids).unwrap()).unwrap();
            rows.into_iter().for_each(|row| *wanted.entry(row).or_default() += 1);
            // So that they are merged often.
            counts.limit = 3;
        }
        let names: Vec<&str> = wanted.keys().map(|key| key.0.as_str()).collect();
        let ids: Vec<u32> = wanted.keys().map(|key| key.1).collect();
        let numbers: Vec<u64> = wanted.values().copied().collect();
        let wanted = df!("name" => names, "id" => ids, COUNT => numbers).unwrap();
        let found = sorted(&counts.finish().unwrap());
        assert!(found.equals(&wanted), "{found:?}");
    }

    #[test]
    fn key_counts_of_nothing_have_their_columns() {
        let counts = KeyCounts::new([Field::new("id".into(), DataType::UInt32)]).finish().unwrap();
        let columns = [("id", DataType::UInt32), (COUNT, DataType::UInt64)];
        let schema: Schema = columns.into_iter().map(|(name, dtype)| Field::new(name.into(), dtype)).collect();
        assert!(counts.height() == 0 && **counts.schema() == schema, "{counts:?}");
    }
}
