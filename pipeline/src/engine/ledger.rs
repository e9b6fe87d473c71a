//! The ledger: a small record in `OUT/.made` for each finished table.
//!
//! A manifest describes a whole folder and is written last. A [`FinishedTable`] describes one
//! table: a hash of everything that determined its content, its counts, and the file's hash when it
//! was written. So a stopped run knows which tables are finished, and a changed option rebuilds
//! only the tables that it affects. A table that was damaged meanwhile is refused by name.
//!
//! [`Ledger::commit`] writes a table and its record. [`Ledger::finished`] looks a table up.
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use schemas::{
    FileEntry, StoreError,
    manifest::MANIFEST,
    store::{self, TableReader, TableWriter},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::engine::hashes::Hashes;

/// Metadata key of a table: the hash of everything that determined its content.
const MADE_FROM: &str = "ebert.made_from";
/// Metadata key of a table: its counts, as JSON.
const COUNTS: &str = "ebert.counts";

/// Whether a file is named like a table of this program, such as `products-00012.parquet`. Any
/// other file belongs to the user and is never removed.
pub(crate) fn is_table(name: &str) -> bool {
    let number = |stem: &str| name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".parquet");
    // Five digits, and more of them only if the number needs them.
    let is_number = |number: &str| number.len() == 5 || number.len() > 5 && !number.starts_with('0');
    ["products", "reviews", "interactions", "associations", "pairs"]
        .into_iter()
        .filter_map(number)
        .any(|number| is_number(number) && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The record of a finished table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedTable<C> {
    /// Hash of everything that determined its content.
    pub(crate) made_from: String,
    pub(crate) counts: C,
    /// Name, rows, bytes and hash of the file as it was written.
    pub(crate) file: FileEntry,
}

/// The finished tables of one folder of `OUT`.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    folder: PathBuf,
    records: PathBuf,
    /// The files of the folder's manifest, by name. Read when a table has no record.
    sealed: OnceLock<HashMap<String, FileEntry>>,
}

impl Ledger {
    /// The ledger of `out/step`.
    pub(crate) fn open(out: &Path, step: &str) -> Result<Self, StoreError> {
        let records = out.join(".made").join(step);
        fs::create_dir_all(&records).map_err(StoreError::io("create", &records))?;
        Ok(Self { folder: out.join(step), records, sealed: OnceLock::new() })
    }

    /// The folder of the tables.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commits a table and writes its record. Both hold `made_from` and `counts`. If another process has finished the
    /// same table meanwhile, that one stays: its record never goes, not even if this process is killed here.
    pub(crate) fn commit<C: Serialize + DeserializeOwned>(
        &self,
        mut table: TableWriter,
        made_from: &str,
        counts: C,
    ) -> Result<FinishedTable<C>, StoreError> {
        let error = |e: serde_json::Error| StoreError::io("write", &self.records)(e.into());
        table.note(MADE_FROM, made_from.to_owned());
        table.note(COUNTS, serde_json::to_string(&counts).map_err(error)?);
        let name = table.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let record = self.read_record(&name)?.filter(|_| !self.is_of_others(&name, made_from));
        if let Some(finished) = record.and_then(|bytes| self.made_from(&bytes, &name, made_from)) {
            return Ok(finished);
        }
        let made = FinishedTable { made_from: made_from.to_owned(), counts, file: table.commit()? };
        self.record(&made)?;
        Ok(made)
    }

    fn record<C: Serialize>(&self, made: &FinishedTable<C>) -> Result<(), StoreError> {
        let path = self.record_of(&made.file.name);
        let json = serde_json::to_vec(made).map_err(|e| StoreError::io("write", &path)(e.into()))?;
        store::write_file(&path, &json).map(drop)
    }

    /// The record of a table, if the table exists and was made from the same.
    ///
    /// # Errors
    /// If the table has changed since it was written.
    pub(crate) fn finished<C: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        made_from: &str,
        hashes: &mut Hashes,
    ) -> Result<Option<FinishedTable<C>>, StoreError> {
        let Some(bytes) = self.read_record(name)? else { return self.sealed(name, made_from, hashes) };
        // An unreadable record counts as none, so its table is rebuilt.
        let Ok(made) = serde_json::from_slice::<FinishedTable<C>>(&bytes) else { return Ok(None) };
        if made.made_from != made_from || made.file.name != name {
            return Ok(None);
        }
        match hashes.verify(&self.folder, &made.file) {
            Err(StoreError::Missing { .. }) => Ok(None),
            // A process with other options was killed between its table and the record.
            Err(StoreError::Damaged { .. }) if self.is_of_others(name, made_from) => Ok(None),
            other => other.map(|()| Some(made)),
        }
    }

    /// Whether a table notes that it was made from something else.
    fn is_of_others(&self, name: &str, made_from: &str) -> bool {
        let table = TableReader::open_any(&self.folder.join(name)).ok();
        table.is_some_and(|table| table.note(MADE_FROM).is_some_and(|of| of != made_from))
    }

    /// As [`Ledger::finished`], from the record and the size of the table: its hash is not checked.
    pub(crate) fn recorded(&self, name: &str, made_from: &str) -> Result<bool, StoreError> {
        Ok(self.recorded_counts::<serde::de::IgnoredAny>(name, made_from)?.is_some())
    }

    /// The counts of a table that is [`recorded`](Ledger::recorded).
    pub(crate) fn recorded_counts<C: DeserializeOwned>(
        &self,
        name: &str,
        made_from: &str,
    ) -> Result<Option<C>, StoreError> {
        let bytes = self.read_record(name)?;
        Ok(bytes.and_then(|bytes| self.made_from(&bytes, name, made_from)).map(|made: FinishedTable<C>| made.counts))
    }

    /// The bytes of the record of a table, if it has one.
    fn read_record(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let record = self.record_of(name);
        match fs::read(&record) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(StoreError::io("read", &record)),
        }
    }

    /// The table of a record, if it was made from this, and a table of that size is there.
    fn made_from<C: DeserializeOwned>(&self, record: &[u8], name: &str, made_from: &str) -> Option<FinishedTable<C>> {
        let made =
            serde_json::from_slice::<FinishedTable<C>>(record).ok().filter(|made| made.made_from == made_from)?;
        let size = fs::metadata(self.folder.join(name)).map(|about| about.len()).ok();
        (size == Some(made.file.bytes)).then_some(made)
    }

    /// Restores the record of a table that has none, as in a folder that was copied without its
    /// hidden files. The folder's manifest has the file's hash, and the table's metadata has the
    /// rest.
    fn sealed<C: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        made_from: &str,
        hashes: &mut Hashes,
    ) -> Result<Option<FinishedTable<C>>, StoreError> {
        let Some(file) = self.sealed_files().get(name) else { return Ok(None) };
        match hashes.verify(&self.folder, file) {
            Err(StoreError::Missing { .. }) => return Ok(None),
            other => other?,
        }
        let table = TableReader::open_any(&self.folder.join(name))?;
        let counts = table.note(COUNTS).and_then(|counts| serde_json::from_str(counts).ok());
        let Some(counts) = counts.filter(|_| table.note(MADE_FROM) == Some(made_from)) else { return Ok(None) };
        let made = FinishedTable { made_from: made_from.to_owned(), counts, file: file.clone() };
        self.record(&made)?;
        Ok(Some(made))
    }

    /// The files of the folder's manifest. An unreadable manifest has none.
    fn sealed_files(&self) -> &HashMap<String, FileEntry> {
        #[derive(Deserialize)]
        struct Sealed {
            files: Vec<FileEntry>,
        }
        self.sealed.get_or_init(|| {
            let manifest = fs::read(self.folder.join(MANIFEST)).ok();
            let sealed = manifest.and_then(|bytes| serde_json::from_slice::<Sealed>(&bytes).ok());
            let files = sealed.into_iter().flat_map(|sealed| sealed.files);
            files.map(|file| (file.name.clone(), file)).collect()
        })
    }

    /// Removes tables of earlier runs that are not among `files`, their records, and temporary
    /// files of a stopped run.
    pub(crate) fn keep_only(&self, files: &[FileEntry]) -> Result<(), StoreError> {
        let kept: HashSet<&str> = files.iter().map(|f| f.name.as_str()).collect();
        for (folder, ending) in [(&self.folder, ""), (&self.records, ".json")] {
            for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
                let path = entry.map_err(StoreError::io("list", folder))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let table = name.strip_suffix(ending).filter(|table| is_table(table));
                if table.is_some_and(|table| !kept.contains(table)) {
                    store::remove(&path)?;
                }
            }
            store::sweep(folder, |name| name == MANIFEST || name.strip_suffix(ending).is_some_and(is_table))?;
        }
        Ok(())
    }

    fn record_of(&self, name: &str) -> PathBuf {
        self.records.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tables_without_records_read_the_manifest_once() {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(out.path(), "shards").unwrap();
        fs::create_dir(ledger.folder()).unwrap();
        let manifest = ledger.folder().join(MANIFEST);
        let entry = |n: u32| format!(r#"{{"name":"reviews-{n:05}.parquet","rows":0,"bytes":0,"blake3":""}}"#);
        let entries: Vec<String> = (0..20_000).map(entry).collect();
        fs::write(&manifest, format!(r#"{{"files":[{}]}}"#, entries.join(","))).unwrap();
        let mut hashes = Hashes::load(out.path());
        for n in 0..20_000 {
            let name = format!("reviews-{n:05}.parquet");
            assert!(ledger.finished::<u64>(&name, "", &mut hashes).unwrap().is_none());
            // A second read would find no manifest.
            let _ = fs::remove_file(&manifest);
        }
        assert_eq!(ledger.sealed_files().len(), 20_000);
    }

    /// Writes a table with one row.
    fn commit(ledger: &Ledger, made_from: &str) -> FinishedTable<u64> {
        let path = ledger.folder().join("pairs-00000.parquet");
        ledger.commit(schemas::create_pairs_of::<u16>(&path).unwrap(), made_from, 7).unwrap()
    }

    /// A process that is killed between a table and its record leaves the old record.
    #[test]
    fn a_table_of_other_options_with_an_old_record_is_not_damaged() {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(out.path(), "shards").unwrap();
        fs::create_dir(ledger.folder()).unwrap();
        let old = commit(&ledger, "these");
        let record = ledger.record_of(&old.file.name);
        let kept = fs::read(&record).unwrap();
        commit(&ledger, "others");
        fs::write(&record, kept).unwrap();
        let is_finished = |made_from: &str| {
            let finished = ledger.finished::<u64>(&old.file.name, made_from, &mut Hashes::load(out.path()));
            finished.map(|finished| finished.is_some())
        };
        assert!(!is_finished("these").unwrap() && !is_finished("others").unwrap());
        assert_eq!(commit(&ledger, "these").file, old.file);
        assert!(is_finished("these").unwrap());
        // One that is damaged is refused.
        let path = ledger.folder().join(&old.file.name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[4] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(is_finished("these"), Err(StoreError::Damaged { .. })));
    }

    /// A process that makes a table again may be killed at any moment.
    #[test]
    fn a_finished_table_that_is_made_again_always_has_its_record() {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(out.path(), "shards").unwrap();
        fs::create_dir(ledger.folder()).unwrap();
        let first = commit(&ledger, "these");
        let is_recorded = || ledger.recorded(&first.file.name, "these").unwrap();
        std::thread::scope(|scope| {
            let doubles = scope.spawn(|| (0..40).map(|_| commit(&ledger, "these")).all(|made| made == first));
            let mut looks = 0;
            while !doubles.is_finished() {
                assert!(is_recorded(), "after {looks} looks");
                looks += 1;
            }
            assert!(doubles.join().unwrap() && looks > 0);
        });
        // A table of other options takes its place, and so does one that is gone.
        assert_eq!(commit(&ledger, "others").made_from, "others");
        assert!(!is_recorded());
        fs::remove_file(ledger.folder().join(&first.file.name)).unwrap();
        assert_eq!(commit(&ledger, "others").counts, 7);
        assert!(ledger.recorded(&first.file.name, "others").unwrap());
    }

    #[test]
    fn tables_of_earlier_runs_go_and_a_users_own_files_stay() {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(out.path(), "shards").unwrap();
        fs::create_dir(ledger.folder()).unwrap();
        let left = "products-00001.parquet.0123456789abcdef.tmp";
        let ours =
            ["products-00000.parquet", "reviews-00003.parquet", "pairs-00001.parquet", "pairs-100000.parquet", left];
        let theirs = [
            "sales.parquet",
            "products.parquet",
            "products-1.parquet",
            "products-000001.parquet",
            "products-00000-of-00002.parquet",
            "my-products-00000.parquet",
            "products-00001.parquet.tmp",
            "notes.tmp",
            "notes.txt.0123456789abcdef.tmp",
        ];
        ours.iter().chain(&theirs).for_each(|name| fs::write(ledger.folder().join(name), name).unwrap());
        ledger.keep_only(&[]).unwrap();
        let there = |names: &[&str]| names.iter().filter(|n| ledger.folder().join(n).exists()).count();
        assert_eq!((there(&ours), there(&theirs)), (0, theirs.len()));
    }
}
