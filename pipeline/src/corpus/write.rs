//! The second pass: spill files to the tables of all buckets.
use std::{collections::BTreeMap, path::PathBuf};

use ebert_dumps::Kind;
use schemas::{FileEntry, StoreError, store};

use super::{
    CorpusError,
    bucket::{self, FinishedBucket},
    checkpoint::{BucketId, Checkpoint, SpillFileId, SpillLayout},
    limits,
    plan::CorpusPlan,
    spill::{SpillFolder, split},
};
use crate::engine::{
    hashes::Hashes,
    ledger::Ledger,
    progress::Progress,
    stage::{self, Threads},
};

/// Bytes of a bucket that are sorted in memory; a larger bucket is sorted on disk.
const IN_MEMORY: usize = 1 << 30;

/// The buckets of one spill file.
struct SpilledBuckets {
    file: SpillFileId,
    finished: Vec<FinishedBucket>,
    missing: Vec<BucketId>,
}

/// The tables of all buckets, and their counts.
#[derive(Default)]
pub(crate) struct CorpusTables {
    pub(crate) files: Vec<FileEntry>,
    pub(crate) products: u64,
    pub(crate) reviews: u64,
    pub(crate) duplicates: u64,
    pub(crate) associations: u64,
    pub(crate) text_bytes: u64,
}

impl CorpusTables {
    fn add(&mut self, bucket: FinishedBucket) {
        let FinishedBucket { id, files, counts } = bucket;
        self.files.extend(files);
        match id.kind {
            Kind::Product => self.products += counts.rows,
            Kind::Review => self.reviews += counts.rows,
        }
        self.duplicates += counts.duplicates;
        self.associations += counts.associations;
        self.text_bytes += counts.text_bytes;
    }
}

/// Writes the tables of buckets.
pub(crate) struct BucketWriter<'a> {
    spill: &'a SpillFolder,
    ledger: &'a Ledger,
    layout: SpillLayout,
    /// The key of the tables.
    made_from: String,
    threads: Threads,
}

impl<'a> BucketWriter<'a> {
    /// `checkpoint` is that of all raw files.
    pub(crate) fn new(
        plan: &CorpusPlan<'_>,
        spill: &'a SpillFolder,
        ledger: &'a Ledger,
        checkpoint: &Checkpoint,
    ) -> Self {
        let made_from = plan.made_from(&checkpoint.tally);
        Self { spill, ledger, layout: checkpoint.layout, made_from, threads: plan.settings.threads }
    }

    /// Which buckets are finished and which are missing, by spill file.
    fn buckets(&self, hashes: &mut Hashes) -> Result<Vec<SpilledBuckets>, StoreError> {
        let mut all = Vec::new();
        for file in self.layout.all_files() {
            let mut buckets = SpilledBuckets { file, finished: Vec::new(), missing: Vec::new() };
            for id in self.layout.buckets_of(file) {
                match bucket::finished(self.ledger, id, &self.made_from, hashes)? {
                    Some(finished) => buckets.finished.push(finished),
                    None => buckets.missing.push(id),
                }
            }
            all.push(buckets);
        }
        Ok(all)
    }

    /// Whether a bucket is missing whose spill file was removed: its table was finished and is gone.
    pub(crate) fn lacks_spill_files(&self, hashes: &mut Hashes) -> Result<bool, StoreError> {
        let buckets = self.buckets(hashes)?;
        Ok(buckets.iter().any(|of| !of.missing.is_empty() && !self.spill.file(of.file).exists()))
    }

    /// Writes the missing buckets and removes their spill files.
    pub(crate) fn write_all(&self, hashes: &mut Hashes, progress: &Progress) -> Result<CorpusTables, CorpusError> {
        let buckets = self.buckets(hashes)?;
        let bar = progress.count("buckets", 2 * u64::from(self.layout.buckets));
        let mut tables = CorpusTables::default();
        let open_files = (limits::open_files() / 2 / self.threads.get()).max(1);
        let mut buckets = buckets.into_iter();
        stage::run(
            self.threads,
            || Ok(buckets.next()),
            || (),
            |(), of| self.write_buckets(of, open_files),
            |made| {
                for bucket in made {
                    tables.add(bucket);
                    bar.inc(1);
                }
                Ok(())
            },
        )?;
        bar.finish_and_clear();
        Ok(tables)
    }

    /// Writes the missing buckets of one spill file, with at most `open_files` files open.
    fn write_buckets(&self, of: SpilledBuckets, open_files: usize) -> Result<Vec<FinishedBucket>, CorpusError> {
        let SpilledBuckets { file, mut finished, missing } = of;
        let spill_file = self.spill.file(file);
        let mut parts: BTreeMap<BucketId, PathBuf> = BTreeMap::new();
        if self.layout.files < self.layout.buckets && !missing.is_empty() {
            parts.extend(missing.iter().map(|&id| (id, spill_file.with_extension(format!("part{}", id.number)))));
            split(&spill_file, self.layout, &parts, open_files)?;
        }
        for id in missing {
            let part = parts.get(&id);
            let from = part.unwrap_or(&spill_file);
            finished.push(bucket::write(from, self.ledger, id, &self.made_from, IN_MEMORY)?);
            if let Some(part) = part {
                store::remove(part)?;
            }
        }
        // All its buckets are finished.
        store::remove(&spill_file)?;
        Ok(finished)
    }
}
